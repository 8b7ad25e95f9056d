//! The kinds of destinations there are. Adding one is a file beside this and a line here.

use std::sync::Arc;

use crate::{DestinationError, DestinationMaker, DestinationType};

/// Declares the modules, the table of kinds, and the configuration section with one list for each kind.
macro_rules! destinations {
    ($($name:ident: $summary:literal),* $(,)?) => {
        $(pub mod $name;)*

        /// Every kind, in the order of the lines.
        pub static DESTINATIONS: &[&DestinationType] = &[$(&$name::DESTINATION),*];

        /// The section `destinations`: for each kind, any number of named entries.
        #[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct DestinationsConfig {
            $(#[doc = $summary] pub $name: Vec<$name::Settings>,)*
        }

        impl DestinationsConfig {
            /// All entries, checked. Names are unique within a kind.
            pub fn makers(self) -> Result<Vec<DestinationMaker>, DestinationError> {
                let mut built = Vec::new();
                $(
                    let mut names = std::collections::HashSet::new();
                    for settings in self.$name {
                        let name = $name::build(settings.clone())?.name().to_owned();
                        if names.contains(&name) {
                            let problem = format!("two entries are named `{name}`");
                            return Err(DestinationError::Settings { kind: stringify!($name), problem });
                        }
                        names.insert(name);
                        built.push(DestinationMaker { kind: &$name::DESTINATION, make: Arc::new(move || $name::build(settings.clone())) });
                    }
                )*
                Ok(built)
            }
        }
    };
}

destinations! {
    file: "Files of JSON lines, one folder for each table.",
}
