//! `$filter` of role assignments and role definitions: the expressions that Azure documents, joined by `and`.
//!
//! Source: the REST references of `roleAssignments - List for scope` and `roleDefinitions - List`.

use crate::error::ApiError;
use crate::identity::Directory;

/// Maximum expressions in one filter.
const MAX_EXPRESSIONS: usize = 4;

/// Which role assignments are listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AssignmentFilter {
    /// `atScope()`: at the scope and above, without those below.
    pub at_scope: bool,
    /// `principalId eq '…'` or `assignedTo('…')`.
    pub principal: Option<String>,
    /// `assignedTo('…')`: also those of the groups that the person is in.
    pub through_groups: bool,
}

impl AssignmentFilter {
    /// Whether assignments of that principal are listed.
    pub fn holds(&self, directory: &Directory, principal: &str) -> bool {
        match &self.principal {
            Some(wanted) if self.through_groups => directory.acting_as(wanted).any(|id| id.eq_ignore_ascii_case(principal)),
            Some(wanted) => wanted.eq_ignore_ascii_case(principal),
            None => true,
        }
    }
}

/// Which role definitions are listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DefinitionFilter {
    pub name: Option<String>,
    /// `type eq 'CustomRole'`: there are none.
    custom_only: bool,
}

impl DefinitionFilter {
    pub fn holds(&self, name: &str) -> bool {
        !self.custom_only && self.name.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(name))
    }
}

pub fn assignments(text: &str) -> Result<AssignmentFilter, ApiError> {
    let mut filter = AssignmentFilter::default();
    let refuse = || {
        let message =
            "Role assignments can be filtered with \"principalId eq '<object id>'\", \"assignedTo('<object id>')\" or \"atScope()\".";
        ApiError::bad_request("UnsupportedFilter", message).target("$filter")
    };
    for part in parts(text).ok_or_else(refuse)? {
        if part.eq_ignore_ascii_case("atScope()") {
            filter.at_scope = true;
        } else {
            let through = call(part, "assignedTo");
            filter.through_groups |= through.is_some();
            let id = equality(part, "principalId").or(through).ok_or_else(refuse)?;
            if filter.principal.as_deref().is_some_and(|other| !other.eq_ignore_ascii_case(&id)) {
                return Err(refuse());
            }
            filter.principal = Some(id);
        }
    }
    Ok(filter)
}

pub fn definitions(text: &str) -> Result<DefinitionFilter, ApiError> {
    let mut filter = DefinitionFilter::default();
    let refuse = || {
        let message = "Role definitions can be filtered with \"roleName eq 'Reader'\", \"type eq 'BuiltInRole'\" or \"atScopeAndBelow()\".";
        ApiError::bad_request("UnsupportedFilter", message).target("$filter")
    };
    for part in parts(text).ok_or_else(refuse)? {
        if let Some(name) = equality(part, "roleName") {
            filter.name = Some(name);
        } else if let Some(kind) = equality(part, "type") {
            filter.custom_only = !kind.eq_ignore_ascii_case("BuiltInRole");
        } else if !part.eq_ignore_ascii_case("atScopeAndBelow()") {
            return Err(refuse());
        }
    }
    Ok(filter)
}

/// The expressions between `and`, outside of quotes.
fn parts(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        quoted ^= c == '\'';
        let joins = !quoted && at >= start && text.get(at..at + 5).is_some_and(|word| word.eq_ignore_ascii_case(" and "));
        if joins {
            parts.push(text[start..at].trim());
            start = at + 5;
        }
    }
    parts.push(text.get(start..)?.trim());
    (!quoted && parts.len() <= MAX_EXPRESSIONS && parts.iter().all(|part| !part.is_empty())).then_some(parts)
}

/// The text in `field eq '…'`.
fn equality(part: &str, field: &str) -> Option<String> {
    let mut words = part.splitn(3, ' ');
    let (name, operator, value) = (words.next()?, words.next()?, words.next()?);
    (name.eq_ignore_ascii_case(field) && operator.eq_ignore_ascii_case("eq")).then(|| quoted(value))?
}

/// The text in `function('…')`.
fn call(part: &str, function: &str) -> Option<String> {
    let (name, arguments) = part.split_once('(')?;
    name.trim().eq_ignore_ascii_case(function).then(|| quoted(arguments.strip_suffix(')')?))?
}

/// A literal in OData's quotes, in which a doubled quote stands for one.
fn quoted(text: &str) -> Option<String> {
    let inner = text.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    let single = inner.replace("''", "");
    (!inner.is_empty() && !single.contains('\'')).then(|| inner.replace("''", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_filtered_as_documented() {
        // The filters of Azure's reference, az and the SDKs: `principalId eq '{id}'`, `atScope()`, `atScope() and assignedTo('{id}')`.
        let read = |text: &str| assignments(text).map_err(|error| error.code.to_string());
        let filter = |at_scope, principal: Option<&str>, through_groups| {
            Ok::<_, String>(AssignmentFilter { at_scope, principal: principal.map(str::to_owned), through_groups })
        };
        assert_eq!(read("atScope()"), filter(true, None, false));
        assert_eq!(read("principalId eq 'p1'"), filter(false, Some("p1"), false));
        assert_eq!(read("principalid EQ  'p1'"), filter(false, Some("p1"), false));
        assert_eq!(read("atScope() and assignedTo('p2')"), filter(true, Some("p2"), true));
        for bad in [
            "",
            "createdOn gt 'x'",
            "principalId eq p1",
            "principalId eq 'p1' or atScope()",
            "assignedTo('a') and principalId eq 'b'",
            "assignedTo('a'",
            "assignedTo('')",
            "atScope() and ",
            "atScope() and atScope() and atScope() and atScope() and atScope()",
        ] {
            assert_eq!(read(bad), Err("UnsupportedFilter".to_owned()), "{bad}");
        }
    }

    #[test]
    fn definitions_are_filtered_by_name_and_type() {
        let holds = |text: &str, name: &str| definitions(text).unwrap().holds(name);
        assert!(holds("roleName eq 'monitoring metrics publisher'", "Monitoring Metrics Publisher"));
        assert!(!holds("roleName eq 'Reader'", "Owner"));
        assert!(holds("atScopeAndBelow() and roleName eq 'Reader'", "Reader"));
        assert!(holds("type eq 'BuiltInRole'", "Owner") && !holds("type eq 'CustomRole'", "Owner"));
        assert!(!holds("roleName eq 'it''s and that'", "Owner"));
        assert!(definitions("description eq 'x'").is_err());
    }
}
