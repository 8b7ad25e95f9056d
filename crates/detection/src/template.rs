//! `{{Column}}` placeholders in an alert's title and description.

/// Maximum placeholders in a text; further ones are left as they are.
pub const MAX_COLUMNS: usize = 3;

/// Replaces each `{{Column}}` in `format` by `value`; `None` if a column is missing or empty, so that the caller uses the rule's own text.
pub fn fill(format: &str, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut text = String::with_capacity(format.len());
    let mut rest = format;
    let mut columns = 0;
    while let Some(start) = rest.find("{{") {
        let Some(length) = rest[start..].find("}}") else { break };
        if columns == MAX_COLUMNS {
            break;
        }
        columns += 1;
        text.push_str(&rest[..start]);
        text.push_str(&value(rest[start + 2..start + length].trim()).filter(|found| !found.is_empty())?);
        rest = &rest[start + length + 2..];
    }
    text.push_str(rest);
    Some(text)
}

/// The first `limit` characters.
pub fn cut(text: &str, limit: usize) -> String {
    text.chars().take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_filled_in() {
        let value = |name: &str| (name == "User").then(|| "ann".to_owned());
        assert_eq!(fill("{{User}} and {{ User }}", &value).as_deref(), Some("ann and ann"));
        assert_eq!(fill("no column", &value).as_deref(), Some("no column"));
        assert_eq!(fill("{{Nobody}}", &value), None);
        assert_eq!(fill("half {{User", &value).as_deref(), Some("half {{User"));
        assert_eq!(fill("{{User}}{{User}}{{User}}{{User}}", &value).as_deref(), Some("annannann{{User}}"));
    }
}
