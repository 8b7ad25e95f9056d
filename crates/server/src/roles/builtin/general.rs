//! Privileged and general roles (learn.microsoft.com/azure/role-based-access-control/built-in-roles/privileged and …/general).

use super::{ACCESS, READ_OWN};
use crate::roles::definition::RoleDefinition;

pub static OWNER: RoleDefinition = RoleDefinition {
    id: "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    name: "Owner",
    description: "Grants full access to manage all resources, including the ability to assign roles in Azure RBAC.",
    actions: &["*"],
    not_actions: &[],
    data_actions: &[],
    not_data_actions: &[],
    own: &["*"],
    not_own: &[],
};

pub static CONTRIBUTOR: RoleDefinition = RoleDefinition {
    id: "b24988ac-6180-42a0-ab88-20f7382dd24c",
    name: "Contributor",
    description: "Grants full access to manage all resources, but does not allow you to assign roles in Azure RBAC, manage assignments in \
                  Azure Blueprints, or share image galleries.",
    actions: &["*"],
    not_actions: &[
        "Microsoft.Authorization/*/Delete",
        "Microsoft.Authorization/*/Write",
        "Microsoft.Authorization/elevateAccess/Action",
        "Microsoft.Blueprint/blueprintAssignments/write",
        "Microsoft.Blueprint/blueprintAssignments/delete",
        "Microsoft.Compute/galleries/share/action",
        "Microsoft.Purview/consents/write",
        "Microsoft.Purview/consents/delete",
        "Microsoft.Resources/deploymentStacks/manageDenySetting/action",
        "Microsoft.Subscription/cancel/action",
        "Microsoft.Subscription/enable/action",
    ],
    data_actions: &[],
    not_data_actions: &[],
    own: &["Bartizan/*", "microsoft.directory/*/read"],
    not_own: ACCESS,
};

pub static READER: RoleDefinition = RoleDefinition {
    id: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    name: "Reader",
    description: "View all resources, but does not allow you to make any changes.",
    actions: &["*/read"],
    not_actions: &[],
    data_actions: &[],
    not_data_actions: &[],
    own: READ_OWN,
    not_own: ACCESS,
};

pub static USER_ACCESS_ADMINISTRATOR: RoleDefinition = RoleDefinition {
    id: "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
    name: "User Access Administrator",
    description: "Lets you manage user access to Azure resources.",
    actions: &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
    not_actions: &[],
    data_actions: &[],
    not_data_actions: &[],
    own: READ_OWN,
    not_own: ACCESS,
};
