//! Identifiers of the embedded cloud, from which resource ids are built.

/// One subscription with one resource group and one workspace.
#[derive(Clone, Debug)]
pub struct Cloud {
    pub subscription_id: String,
    pub resource_group: String,
    pub workspace_name: String,
    /// The workspace (customer) id, a GUID.
    pub workspace_id: String,
    /// Azure's `location`.
    pub location: String,
}

impl Cloud {
    /// The resource id of the subscription.
    pub fn subscription_path(&self) -> String {
        format!("/subscriptions/{}", self.subscription_id)
    }

    /// The resource id of the subscription's only resource group.
    pub fn group_path(&self) -> String {
        format!("{}/resourceGroups/{}", self.subscription_path(), self.resource_group)
    }

    /// The resource id of the workspace.
    pub fn workspace_path(&self) -> String {
        format!("{}/providers/Microsoft.OperationalInsights/workspaces/{}", self.group_path(), self.workspace_name)
    }

    /// The resource id of a data collection rule.
    pub fn rule_path(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.Insights/dataCollectionRules/{name}", self.group_path())
    }
}
