//! Areas of the product, for people who ask what a role unlocks. Each endpoint's action belongs to one.

/// A part of the product.
#[derive(Debug, PartialEq, Eq)]
pub struct Area {
    pub name: &'static str,
    /// Prefixes of actions; the longest matching prefix of all areas decides.
    prefixes: &'static [&'static str],
}

macro_rules! areas {
    ($($name:literal: $($prefix:literal),+;)*) => {
        static AREAS: &[Area] = &[$(Area { name: $name, prefixes: &[$($prefix),+] }),*];
    };
}

areas! {
    "Incidents": "Microsoft.SecurityInsights/incidents/";
    "Analytics rules": "Microsoft.SecurityInsights/alertRules/", "Microsoft.SecurityInsights/alertRuleTemplates/", "Bartizan/rules/";
    "Sentinel settings": "Microsoft.SecurityInsights/";
    "Queries": "Microsoft.OperationalInsights/workspaces/query/", "Bartizan/kql/";
    "Tables": "Microsoft.OperationalInsights/workspaces/tables/", "Bartizan/tables/";
    "Saved searches": "Microsoft.OperationalInsights/workspaces/savedSearches/";
    "Subscription, resource group, workspace": "Microsoft.Resources/", "Microsoft.OperationalInsights/workspaces/";
    "Data collection rules": "Microsoft.Insights/dataCollectionRules/";
    "Sending events": "Microsoft.Insights/Telemetry/";
    "Sources and destinations": "Bartizan/sources/", "Bartizan/destinations/";
    "On call": "Bartizan/oncall/";
    "Roles": "Microsoft.Authorization/";
    "Directory": "microsoft.directory/";
    "People and groups": "Bartizan/access/";
    "Audit": "Bartizan/audit/";
    "Documents": "Bartizan/documents/";
    "Service": "Bartizan/";
}

/// All areas, in the order of the documentation.
pub fn areas() -> &'static [Area] {
    AREAS
}

/// The area of an action; `None` if it belongs to none.
pub fn area_of(action: &str) -> Option<&'static Area> {
    let length = |area: &Area| {
        let begins = |prefix: &&&str| action.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        area.prefixes.iter().filter(begins).map(|prefix| prefix.len()).max()
    };
    AREAS.iter().filter_map(|area| Some((length(area)?, area))).max_by_key(|(length, _)| *length).map(|(_, area)| area)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        let name = |action| area_of(action).map(|area| area.name);
        assert_eq!(name("Microsoft.SecurityInsights/incidents/tasks/write"), Some("Incidents"));
        assert_eq!(name("microsoft.securityinsights/onboardingStates/read"), Some("Sentinel settings"));
        assert_eq!(name("Microsoft.OperationalInsights/workspaces/read"), Some("Subscription, resource group, workspace"));
        assert_eq!(name("Microsoft.Compute/virtualMachines/read"), None);
    }
}
