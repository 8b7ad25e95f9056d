//! Scopes of role assignments: this cloud's subscription, its resource group, and resources below them.
//!
//! A scope is stored in canonical form: subscription and group in their stored case, no empty or relative segments, and complete pairs of
//! type and name after every provider, so that a scope cannot be interpreted in two ways.

use crate::cloud::Cloud;
use crate::refusal::Refusal;

/// Maximum length of a scope; Azure's resource ids have at most 2,048 characters.
const MAX_SCOPE: usize = 2_048;

/// The scope of a role assignment's path in canonical form; without a scope, the root.
pub fn of_roles(cloud: &Cloud, path: &str) -> Result<String, Refusal> {
    if path.split('/').all(str::is_empty) { Ok("/".to_owned()) } else { canonical(cloud, path) }
}

/// The scope of a path in canonical form.
pub fn canonical(cloud: &Cloud, path: &str) -> Result<String, Refusal> {
    let invalid = |why: &str| {
        let shown: String = path.chars().filter(|c| !c.is_control()).take(200).collect();
        Refusal::bad_request("InvalidScope", format!("The scope '/{shown}' is no resource id: {why}.")).target("scope")
    };
    if path.len() > MAX_SCOPE {
        return Err(invalid("it is too long"));
    }
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if let Some(bad) = segments.iter().find(|part| !is_name(part)) {
        return Err(invalid(&format!("'{}' is no name of a resource", bad.escape_default())));
    }
    let (subscription, rest) = match segments.as_slice() {
        [word, subscription, rest @ ..] if word.eq_ignore_ascii_case("subscriptions") => (*subscription, rest),
        _ => return Err(invalid("it must begin with 'subscriptions' and a subscription's id")),
    };
    if !subscription.eq_ignore_ascii_case(&cloud.subscription_id) {
        let message = format!("The subscription '{subscription}' could not be found. This server has '{}'.", cloud.subscription_id);
        return Err(Refusal::not_found("SubscriptionNotFound", message));
    }
    let mut scope = format!("/subscriptions/{}", cloud.subscription_id);
    let rest = match rest {
        [word, group, rest @ ..] if word.eq_ignore_ascii_case("resourceGroups") => {
            if !group.eq_ignore_ascii_case(&cloud.resource_group) {
                let message = format!("Resource group '{group}' could not be found. This server has '{}'.", cloud.resource_group);
                return Err(Refusal::not_found("ResourceGroupNotFound", message));
            }
            scope = cloud.group_path();
            rest
        }
        rest => rest,
    };
    // `providers`, a namespace and pairs of type and name, once or repeatedly.
    let mut left = rest;
    while let [word, _namespace, tail @ ..] = left {
        if !word.eq_ignore_ascii_case("providers") {
            return Err(invalid("a resource is named by 'providers', a namespace, a type and a name"));
        }
        let pairs = tail.iter().position(|part| part.eq_ignore_ascii_case("providers")).unwrap_or(tail.len());
        if pairs == 0 || pairs % 2 != 0 {
            return Err(invalid("each type needs a name"));
        }
        left = &tail[pairs..];
    }
    if !left.is_empty() {
        return Err(invalid("it ends in the middle"));
    }
    for part in rest {
        scope.push('/');
        scope.push_str(part);
    }
    Ok(scope)
}

/// Whether a decoded segment can be a name: not relative, and without separators of paths, queries or escapes.
fn is_name(part: &str) -> bool {
    !matches!(part, "." | "..") && !part.chars().any(|c| c.is_control() || c.is_whitespace() || "\\%?#&<>*:\"".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud() -> Cloud {
        Cloud {
            subscription_id: "S1".into(),
            resource_group: "Group".into(),
            workspace_name: "w".into(),
            workspace_id: "id".into(),
            location: "local".into(),
        }
    }

    #[test]
    fn scopes_have_one_spelling() {
        // learn.microsoft.com/azure/role-based-access-control/scope-overview: the forms of a scope.
        let read = |path: &str| canonical(&cloud(), path).unwrap();
        assert_eq!(read("SUBSCRIPTIONS/s1"), "/subscriptions/S1");
        assert_eq!(read("subscriptions//s1/resourcegroups/GROUP/"), "/subscriptions/S1/resourceGroups/Group");
        let rule = "subscriptions/s1/resourceGroups/group/providers/Microsoft.Insights/dataCollectionRules/R";
        assert_eq!(read(rule), "/subscriptions/S1/resourceGroups/Group/providers/Microsoft.Insights/dataCollectionRules/R");
        assert!(canonical(&cloud(), &format!("{rule}/providers/Microsoft.X/things/t/parts/p")).is_ok());
        for bad in [
            "",
            "subscriptions",
            "x/y",
            "subscriptions/s1/..",
            "subscriptions/s1/./resourceGroups/group",
            "subscriptions/s1/resourceGroups/group/../../..",
            "subscriptions/s1/resourceGroups/group/providers",
            "subscriptions/s1/resourceGroups/group/providers/Microsoft.X",
            "subscriptions/s1/resourceGroups/group/providers/Microsoft.X/things",
            "subscriptions/s1/resourceGroups/group/things/t",
            "subscriptions/s1\\x",
            "subscriptions/s1/resourceGroups/group/providers/Microsoft.X/things/a%2Fb",
        ] {
            assert_eq!(canonical(&cloud(), bad).unwrap_err().reason, crate::refusal::Reason::Invalid, "{bad}");
        }
        assert_eq!((of_roles(&cloud(), "").unwrap(), of_roles(&cloud(), "//").unwrap()), ("/".to_owned(), "/".to_owned()));
        assert_eq!(of_roles(&cloud(), "subscriptions/s1").unwrap(), "/subscriptions/S1");
        assert_eq!(canonical(&cloud(), "subscriptions/other").unwrap_err().code, "SubscriptionNotFound");
        assert_eq!(canonical(&cloud(), "subscriptions/s1/resourceGroups/other").unwrap_err().code, "ResourceGroupNotFound");
    }
}
