//! The source types. To add one, add a file and a line here.

use std::sync::Arc;

use crate::{SourceError, SourceMaker, SourceType};

/// Declares the modules, the table of kinds, and the configuration section with one list for each kind.
macro_rules! sources {
    ($($name:ident: $summary:literal),* $(,)?) => {
        $(pub mod $name;)*

        /// Every kind, in the order of the lines.
        pub static SOURCES: &[&SourceType] = &[$(&$name::SOURCE),*];

        /// The section `sources`: for each kind, any number of named entries.
        #[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct SourcesConfig {
            $(#[doc = $summary] pub $name: Vec<$name::Settings>,)*
        }

        impl SourcesConfig {
            /// All entries, checked. Names are unique within a kind.
            pub fn makers(self) -> Result<Vec<SourceMaker>, SourceError> {
                let mut built = Vec::new();
                $(
                    let mut names = std::collections::HashSet::new();
                    for settings in self.$name {
                        let name = $name::build(settings.clone())?.name().to_owned();
                        if names.contains(&name) {
                            let problem = format!("two entries are named `{name}`");
                            return Err(SourceError::Settings { kind: stringify!($name), problem });
                        }
                        names.insert(name);
                        built.push(SourceMaker { kind: &$name::SOURCE, make: Arc::new(move || $name::build(settings.clone())) });
                    }
                )*
                Ok(built)
            }
        }
    };
}

sources! {
    syslog: "Listeners for syslog, CEF, LEEF and Sophos' own format over UDP, TCP and TLS.",
}
