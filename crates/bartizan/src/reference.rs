//! The generated pages of docs/reference. A page is one function here and one line in [`PAGES`]; `bartizan-dev reference` writes them, and a test
//! proves that they are current.

mod api;
mod cli;
mod configuration;
mod documents;
mod oncall;
mod roles;
mod schema;
mod tables;

/// File name in docs/reference and the function that generates it.
pub const PAGES: &[(&str, fn() -> String)] = &[
    ("api.md", api::page),
    ("cli.md", cli::page),
    ("configuration.md", configuration::page),
    ("documents.md", documents::page),
    ("oncall.md", oncall::page),
    ("roles.md", roles::page),
    ("tables.md", tables::page),
];

/// The sentence under the title of a page.
fn made_from(what: &str) -> String {
    format!("Made from {what} by `bartizan-dev reference docs/reference`; edit the texts there, not this page.\n")
}

/// Text in a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_pages_are_current() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
        for (name, page) in super::PAGES {
            let (wanted, path) = (page(), folder.join(name));
            if std::env::var_os("BLESS").is_some() {
                std::fs::write(&path, &wanted).unwrap();
            }
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            let differs = found.lines().zip(wanted.lines()).position(|(a, b)| a != b);
            assert!(
                found == wanted,
                "docs/reference/{name} is not current, first at line {differs:?}: run `bartizan-dev reference docs/reference`"
            );
        }
    }
}
