//! Roles of Azure Monitor (learn.microsoft.com/azure/role-based-access-control/built-in-roles/monitor and …/analytics, 2026-02-23).

use super::{ACCESS, READ_OWN};
use crate::roles::definition::RoleDefinition;

pub static LOG_ANALYTICS_READER: RoleDefinition = RoleDefinition {
    id: "73c42c96-874c-492b-b04d-ab87d138a893",
    name: "Log Analytics Reader",
    description: "Log Analytics Reader can view and search all monitoring data as well as and view monitoring settings, including viewing \
                  the configuration of Azure diagnostics on all Azure resources.",
    // `*/read` includes incidents and rules, as in Azure.
    actions: &[
        "*/read",
        "Microsoft.OperationalInsights/workspaces/analytics/query/action",
        "Microsoft.OperationalInsights/workspaces/search/action",
        "Microsoft.Support/*",
    ],
    not_actions: &["Microsoft.OperationalInsights/workspaces/sharedKeys/read"],
    data_actions: &[],
    not_data_actions: &[],
    own: READ_OWN,
    not_own: ACCESS,
};

pub static LOG_ANALYTICS_CONTRIBUTOR: RoleDefinition = RoleDefinition {
    id: "92aaf0da-9dab-42b6-94a3-d43ce8d16293",
    name: "Log Analytics Contributor",
    description: "Log Analytics Contributor can read all monitoring data and edit monitoring settings. Editing monitoring settings \
                  includes adding the VM extension to VMs; reading storage account keys to be able to configure collection of logs from \
                  Azure Storage; adding solutions; and configuring Azure diagnostics on all Azure resources.",
    actions: &[
        "*/read",
        "Microsoft.ClassicCompute/virtualMachines/extensions/*",
        "Microsoft.ClassicStorage/storageAccounts/listKeys/action",
        "Microsoft.Compute/virtualMachines/extensions/*",
        "Microsoft.HybridCompute/machines/extensions/write",
        "Microsoft.Insights/alertRules/*",
        "Microsoft.Insights/diagnosticSettings/*",
        "Microsoft.OperationalInsights/*",
        "Microsoft.OperationsManagement/*",
        "Microsoft.Resources/deployments/*",
        "Microsoft.Resources/subscriptions/resourcegroups/deployments/*",
        "Microsoft.Storage/storageAccounts/listKeys/action",
        "Microsoft.Support/*",
    ],
    not_actions: &[],
    data_actions: &[],
    not_data_actions: &[],
    own: &["Bartizan/*/read", "microsoft.directory/*/read", "Bartizan/sources/*", "Bartizan/destinations/*"],
    not_own: ACCESS,
};

pub static READER: RoleDefinition = RoleDefinition {
    id: "43d0d8ad-25c7-4714-9337-8ba259a9fe05",
    name: "Monitoring Reader",
    description: "Can read all monitoring data.",
    actions: &["*/read", "Microsoft.OperationalInsights/workspaces/search/action", "Microsoft.Support/*"],
    not_actions: &[],
    data_actions: &[],
    not_data_actions: &[],
    own: READ_OWN,
    not_own: ACCESS,
};

pub static CONTRIBUTOR: RoleDefinition = RoleDefinition {
    id: "749f88d5-cbae-40b8-bcfc-e573ddc772fa",
    name: "Monitoring Contributor",
    description: "Can read all monitoring data and update monitoring settings.",
    actions: &[
        "*/read",
        "Microsoft.AlertsManagement/alerts/*",
        "Microsoft.AlertsManagement/alertsSummary/*",
        "Microsoft.AlertsManagement/issues/*",
        "Microsoft.Insights/actiongroups/*",
        "Microsoft.Insights/activityLogAlerts/*",
        "Microsoft.Insights/AlertRules/*",
        "Microsoft.Insights/components/*",
        "Microsoft.Insights/createNotifications/*",
        "Microsoft.Insights/dataCollectionEndpoints/*",
        "Microsoft.Insights/dataCollectionRules/*",
        "Microsoft.Insights/dataCollectionRuleAssociations/*",
        "Microsoft.Insights/DiagnosticSettings/*",
        "Microsoft.Insights/eventtypes/*",
        "Microsoft.Insights/LogDefinitions/*",
        "Microsoft.Insights/metricalerts/*",
        "Microsoft.Insights/MetricDefinitions/*",
        "Microsoft.Insights/Metrics/*",
        "Microsoft.Insights/notificationStatus/*",
        "Microsoft.Insights/Register/Action",
        "Microsoft.Insights/scheduledqueryrules/*",
        "Microsoft.Insights/webtests/*",
        "Microsoft.Insights/workbooks/*",
        "Microsoft.Insights/workbooktemplates/*",
        "Microsoft.Insights/privateLinkScopes/*",
        "Microsoft.Insights/privateLinkScopeOperationStatuses/*",
        "Microsoft.Monitor/accounts/*",
        "Microsoft.Monitor/settings/*",
        "Microsoft.OperationalInsights/workspaces/write",
        "Microsoft.OperationalInsights/workspaces/intelligencepacks/*",
        "Microsoft.OperationalInsights/workspaces/savedSearches/*",
        "Microsoft.OperationalInsights/workspaces/search/action",
        "Microsoft.OperationalInsights/workspaces/sharedKeys/action",
        "Microsoft.OperationalInsights/workspaces/sharedKeys/read",
        "Microsoft.OperationalInsights/workspaces/storageinsightconfigs/*",
        "Microsoft.OperationalInsights/locations/workspaces/failover/action",
        "Microsoft.OperationalInsights/workspaces/failback/action",
        "Microsoft.Support/*",
        "Microsoft.AlertsManagement/smartDetectorAlertRules/*",
        "Microsoft.AlertsManagement/actionRules/*",
        "Microsoft.AlertsManagement/smartGroups/*",
        "Microsoft.AlertsManagement/migrateFromSmartDetection/*",
        "Microsoft.AlertsManagement/investigations/*",
        "Microsoft.AlertsManagement/prometheusRuleGroups/*",
        "Microsoft.Monitor/investigations/*",
        "Microsoft.Resources/deployments/*",
    ],
    not_actions: &[],
    data_actions: &[],
    not_data_actions: &[],
    own: &["Bartizan/*/read", "microsoft.directory/*/read", "Bartizan/sources/*", "Bartizan/destinations/*"],
    not_own: ACCESS,
};

pub static METRICS_PUBLISHER: RoleDefinition = RoleDefinition {
    id: "3913510d-42f4-4e42-8a64-420c390055eb",
    name: "Monitoring Metrics Publisher",
    description: "Enables publishing metrics against Azure resources",
    actions: &["Microsoft.Insights/Register/Action", "Microsoft.Support/*", "Microsoft.Resources/subscriptions/resourceGroups/read"],
    not_actions: &[],
    data_actions: &["Microsoft.Insights/Metrics/Write", "Microsoft.Insights/Telemetry/Write"],
    not_data_actions: &[],
    own: &[],
    not_own: &[],
};
