//! Patterns of actions: `Microsoft.SecurityInsights/*/read`.

/// Whether `action` matches `pattern`, ignoring case. `*` stands for any text, slashes included, and `/*/` also for a single slash.
///
/// Azure does not document whether `incidents/*/Delete` includes `incidents/delete`. Its documentation says that a Sentinel Responder, from
/// whose role that pattern is taken away, cannot delete incidents, and that a Sentinel Reader, who has `workspaces/*/read`, sees the
/// workspace: both hold only if it does.
///
/// O(pattern × action) in time, no allocation unless the pattern has `/*/`.
pub fn matches(pattern: &str, action: &str) -> bool {
    glob(pattern.as_bytes(), action.as_bytes())
        || (pattern.contains("/*/") && glob(pattern.replace("/*/", "/").as_bytes(), action.as_bytes()))
}

/// The usual matching with one point to return to: the last `*`, with one more byte taken by it.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut pos) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while pos < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, pos));
                at += 1;
            }
            Some(byte) if byte.eq_ignore_ascii_case(&text[pos]) => {
                at += 1;
                pos += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    pos = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_are_azures() {
        // learn.microsoft.com/azure/role-based-access-control/role-definitions: "Actions format" and its examples of wildcards.
        for (pattern, action, expected) in [
            ("*", "Microsoft.X/things/read", true),
            ("*/read", "Microsoft.X/things/READ", true),
            ("*/read", "Microsoft.X/things/write", false),
            ("Microsoft.CostManagement/exports/*", "Microsoft.CostManagement/exports/run/action", true),
            ("Microsoft.CostManagement/exports/*", "Microsoft.CostManagement/export/read", false),
            ("Microsoft.SecurityInsights/*/read", "microsoft.securityinsights/incidents/comments/read", true),
            ("Microsoft.SecurityInsights/incidents/*/Delete", "Microsoft.SecurityInsights/incidents/comments/delete", true),
            ("Microsoft.SecurityInsights/incidents/*/Delete", "Microsoft.SecurityInsights/incidents/delete", true),
            ("Microsoft.SecurityInsights/incidents/*/Delete", "Microsoft.SecurityInsights/incidentsdelete", false),
            ("Microsoft.OperationalInsights/workspaces/*/read", "Microsoft.OperationalInsights/workspaces/read", true),
            ("Microsoft.OperationalInsights/workspaces/*/read", "Microsoft.OperationalInsights/workspaces/write", false),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "a--b--b-c", true),
            ("a*b*c", "a--b--b-", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, action), expected, "{pattern} {action}");
        }
    }
}
