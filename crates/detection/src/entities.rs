//! Maps columns of a row to entities, by the rule's mappings.
//!
//! Identifiers and splitting of full names: learn.microsoft.com/azure/sentinel/entities-reference.

use model::{Entity, EntityKind};
use serde_json::Value;

use crate::rule::EntityMapping;

/// The entity of a mapping in one row; `value` returns a column's text.
pub fn from_mapping(mapping: &EntityMapping, value: &dyn Fn(&str) -> Option<String>) -> Option<Entity> {
    let found = mapping.field_mappings.iter().filter_map(|field| value(&field.column_name).map(|text| (field.identifier.as_str(), text)));
    let mut identifiers: Vec<(String, String)> = Vec::new();
    for (name, text) in found {
        let text = text.trim().to_owned();
        if text.is_empty() {
            continue;
        }
        match (mapping.entity_type, name.to_ascii_lowercase().as_str()) {
            (EntityKind::Account, "fullname") => identifiers.extend(split_account(&text)),
            (EntityKind::Host, "fullname") => identifiers.extend(split_host(&text)),
            _ => identifiers.push((name.to_owned(), text)),
        }
    }
    Entity::new(mapping.entity_type, identifiers)
}

/// `ann@example.com` is a name and a UPN suffix, `EXAMPLE\ann` a domain and a name; anything else is a name.
fn split_account(full: &str) -> Vec<(String, String)> {
    let pair = |a: (&str, &str), b: (&str, &str)| vec![(a.0.to_owned(), a.1.to_owned()), (b.0.to_owned(), b.1.to_owned())];
    if let Some((domain, name)) = full.split_once('\\').filter(|(domain, name)| !domain.is_empty() && !name.is_empty()) {
        return pair(("NTDomain", domain), ("Name", name));
    }
    if let Some((name, suffix)) = full.rsplit_once('@').filter(|(name, suffix)| !name.is_empty() && !suffix.is_empty()) {
        return pair(("Name", name), ("UPNSuffix", suffix));
    }
    vec![("Name".to_owned(), full.to_owned())]
}

/// `web1.example.com` is a host and its DNS domain, `EXAMPLE\web1` a domain and a host.
fn split_host(full: &str) -> Vec<(String, String)> {
    if let Some((domain, name)) = full.split_once('\\').filter(|(domain, name)| !domain.is_empty() && !name.is_empty()) {
        return vec![("NTDomain".to_owned(), domain.to_owned()), ("HostName".to_owned(), name.to_owned())];
    }
    // An IP address contains dots too, but has no domain.
    match full.split_once('.').filter(|(name, domain)| !name.is_empty() && !domain.is_empty() && full.parse::<std::net::IpAddr>().is_err())
    {
        Some((name, domain)) => vec![("HostName".to_owned(), name.to_owned()), ("DnsDomain".to_owned(), domain.to_owned())],
        None => vec![("HostName".to_owned(), full.to_owned())],
    }
}

/// Entities in a column of complete entities, like `SecurityAlert.Entities`: a JSON array of objects with `Type`.
pub fn from_column(text: &str) -> Vec<Entity> {
    let Ok(Value::Array(items)) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    items
        .iter()
        .filter_map(|item| {
            let object = item.as_object()?;
            let kind = EntityKind::parse(object.get("Type")?.as_str()?)?;
            let identifiers = object.iter().filter_map(|(name, value)| match value {
                Value::String(text) => Some((name.clone(), text.clone())),
                Value::Number(number) => Some((name.clone(), number.to_string())),
                Value::Bool(flag) => Some((name.clone(), flag.to_string())),
                _ => None,
            });
            Entity::new(kind, identifiers)
        })
        .collect()
}

/// Adds an entity unless an equal one exists; a more complete description of the same entity replaces the existing one.
pub fn add(entities: &mut Vec<Entity>, entity: Entity, limit: usize) {
    let key = entity.key();
    if let Some(known) = entities.iter_mut().find(|known| known.key() == key) {
        if entity.identifiers.len() > known.identifiers.len() {
            *known = entity;
        }
    } else if entities.len() < limit {
        entities.push(entity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::FieldMapping;

    fn mapped(kind: EntityKind, identifier: &str, text: &str) -> Option<Entity> {
        let field_mappings = vec![FieldMapping { identifier: identifier.to_owned(), column_name: "c".to_owned() }];
        from_mapping(&EntityMapping { entity_type: kind, field_mappings }, &|_| Some(text.to_owned()))
    }

    #[test]
    fn full_names_are_taken_apart() {
        let ann = mapped(EntityKind::Account, "FullName", "ann@example.com").unwrap();
        assert_eq!((ann.get("Name"), ann.get("UPNSuffix")), (Some("ann"), Some("example.com")));
        let ann = mapped(EntityKind::Account, "FullName", "EXAMPLE\\ann").unwrap();
        assert_eq!((ann.get("NTDomain"), ann.get("Name")), (Some("EXAMPLE"), Some("ann")));
        let web = mapped(EntityKind::Host, "FullName", "web1.example.com").unwrap();
        assert_eq!((web.get("HostName"), web.get("DnsDomain")), (Some("web1"), Some("example.com")));
        assert_eq!(mapped(EntityKind::Host, "FullName", "192.0.2.1").unwrap().get("DnsDomain"), None);
        assert_eq!(mapped(EntityKind::Ip, "Address", " "), None);
    }

    #[test]
    fn the_same_thing_is_listed_once() {
        let mut entities = Vec::new();
        for name in ["ann@example.com", "ANN@example.com", "bo@example.com"] {
            add(&mut entities, mapped(EntityKind::Account, "FullName", name).unwrap(), 10);
        }
        assert_eq!(entities.len(), 2);
    }

    #[test]
    fn whole_entities_are_read_from_a_column() {
        let entities = from_column(r#"[{"$id":"1","Type":"ip","Address":"203.0.113.9"},{"Type":"nonsense"},7]"#);
        assert_eq!(entities.len(), 1);
        assert_eq!(entities[0].get("Address"), Some("203.0.113.9"));
    }
}
