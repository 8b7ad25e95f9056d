//! Facilities and severities: wire numbers and names in the `Syslog` table.
//!
//! Numbers: RFC 5424 §6.2.1. Names: those of the Azure Monitor agent (rsyslog's). Configuration also accepts names used by appliances:
//! `KERNEL`, `EMERGENCY`, `ERROR`, ….

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

const FACILITY_ALIASES: [(&str, &str); 3] = [("kernel", "kern"), ("security", "auth"), ("authorization", "authpriv")];

const SEVERITY_ALIASES: [(&str, &str); 7] = [
    ("emergency", "emerg"),
    ("panic", "emerg"),
    ("critical", "crit"),
    ("error", "err"),
    ("warn", "warning"),
    ("notification", "notice"),
    ("information", "info"),
];

/// Facility of a message, 0 to 23.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Facility(u8);

/// Severity of a message: 0 (`emerg`) to 7 (`debug`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Severity(u8);

impl Facility {
    pub const USER: Facility = Facility(1);

    pub fn name(self) -> &'static str {
        FACILITIES[usize::from(self.0)]
    }

    pub fn parse(name: &str) -> Option<Self> {
        number(&FACILITIES, &FACILITY_ALIASES, name).map(Self)
    }

    pub fn bit(self) -> u32 {
        1 << self.0
    }
}

impl Severity {
    pub const NOTICE: Severity = Severity(5);
    pub const DEBUG: Severity = Severity(7);

    pub fn name(self) -> &'static str {
        SEVERITIES[usize::from(self.0)]
    }

    pub fn parse(name: &str) -> Option<Self> {
        number(&SEVERITIES, &SEVERITY_ALIASES, name).map(Self)
    }

    /// At least as severe as `other`.
    pub fn reaches(self, other: Severity) -> bool {
        self.0 <= other.0
    }
}

/// Splits a PRI, 0 to 191.
pub fn split(pri: u8) -> Option<(Facility, Severity)> {
    (pri <= 191).then_some((Facility(pri / 8), Severity(pri % 8)))
}

fn number(names: &[&str], aliases: &[(&str, &str)], name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    let name = aliases.iter().find(|(alias, _)| *alias == name).map_or(name.as_str(), |(_, real)| real);
    names.iter().position(|known| *known == name).and_then(|at| u8::try_from(at).ok())
}

impl<'de> Deserialize<'de> for Facility {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&name).ok_or_else(|| serde::de::Error::custom(format!("`{name}` is no facility; there are {}", FACILITIES.join(", "))))
    }
}

impl<'de> Deserialize<'de> for Severity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&name).ok_or_else(|| serde::de::Error::custom(format!("`{name}` is no severity; there are {}", SEVERITIES.join(", "))))
    }
}

impl schemars::JsonSchema for Facility {
    fn schema_name() -> Cow<'static, str> {
        "Facility".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": FACILITIES })
    }
}

impl schemars::JsonSchema for Severity {
    fn schema_name() -> Cow<'static, str> {
        "Severity".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": SEVERITIES })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pri_has_two_halves() {
        // RFC 5424 §6.2.1: local4.notice is 165, kern.emerg is 0.
        let (facility, severity) = split(165).unwrap();
        assert_eq!((facility.name(), severity.name()), ("local4", "notice"));
        assert_eq!(split(0).map(|(f, s)| (f.name(), s.name())), Some(("kern", "emerg")));
        assert_eq!(split(192), None);
    }

    #[test]
    fn names_on_appliances_are_known() {
        assert_eq!(Severity::parse("EMERGENCY"), Severity::parse("emerg"));
        assert_eq!(Facility::parse("KERNEL").map(Facility::name), Some("kern"));
        assert!(Severity::parse("err").unwrap().reaches(Severity::parse("Warning").unwrap()));
        assert!(!Severity::DEBUG.reaches(Severity::NOTICE));
        assert_eq!(Facility::parse("local8"), None);
    }
}
