//! The part of OData's `$filter` that lists of people and groups accept.

use crate::error::ApiError;

/// The field and the value of `field eq 'value'`, where the field is one of `fields`.
pub fn equality<'f>(filter: &'f str, fields: &[&'static str]) -> Result<(&'static str, &'f str), ApiError> {
    let parts = filter.trim().split_once(" eq ").and_then(|(field, value)| {
        let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        let field = fields.iter().copied().find(|known| known.eq_ignore_ascii_case(field.trim()))?;
        Some((field, value))
    });
    parts.ok_or_else(|| {
        let known: Vec<String> = fields.iter().map(|field| format!("\"{field} eq '<value>'\"")).collect();
        let message = format!("Lists here can be filtered with {}.", known.join(" or "));
        ApiError::bad_request("Request_UnsupportedQuery", message)
    })
}

#[cfg(test)]
mod tests {
    use super::equality;

    #[test]
    fn a_filter_names_a_known_field() {
        // Graph's reference, "Use the $filter query parameter": `displayName eq 'Ann'`.
        assert_eq!(equality(" DisplayName eq 'Ann B' ", &["displayName"]).unwrap(), ("displayName", "Ann B"));
        for wrong in ["displayName ne 'x'", "mail eq 'x'", "displayName eq x", ""] {
            assert!(equality(wrong, &["displayName"]).is_err(), "{wrong}");
        }
    }
}
