//! The source types. To add one, add a file and a line here.

use crate::{Source, SourceError, SourceType};

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
            /// Builds all entries. Names are unique within a type.
            pub fn build(self) -> Result<Vec<Box<dyn Source>>, SourceError> {
                let mut built: Vec<Box<dyn Source>> = Vec::new();
                $(
                    let mut names = std::collections::HashSet::new();
                    for settings in self.$name {
                        let source = $name::build(settings)?;
                        if !names.insert(source.name().to_owned()) {
                            let problem = format!("two entries are named `{}`", source.name());
                            return Err(SourceError::Settings { kind: stringify!($name), problem });
                        }
                        built.push(source);
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
