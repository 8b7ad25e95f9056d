//! Checks the documentation: every link within the repository is valid, and every page is in the book.

use std::path::{Path, PathBuf};

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// Targets of `[text](target)`, without those in code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        // Every second piece between backticks is code.
        for piece in line.split('`').step_by(2) {
            for part in piece.split("](").skip(1) {
                links.extend(part.split(')').next().map(str::to_owned));
            }
        }
        // A link whose text contains code is split above.
        if let Some((_, rest)) = line.rsplit_once("`](") {
            links.extend(rest.split(')').next().map(str::to_owned));
        }
    }
    links
}

/// The anchor of a heading, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let root = super::shared::root();
    let mut files: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "STYLE.md"].iter().map(|name| root.join(name)).collect();
    pages(&root.join("docs"), &mut files);
    let (mut wrong, mut followed) = (Vec::new(), 0);
    for file in &files {
        let text = std::fs::read_to_string(file).expect("a page");
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            followed += 1;
            let (path, fragment) = link.split_once('#').map_or((link.as_str(), None), |(path, fragment)| (path, Some(fragment)));
            let target = if path.is_empty() { file.clone() } else { file.parent().expect("a folder").join(path) };
            if !target.exists() {
                wrong.push(format!("{}: `{link}` leads nowhere", file.display()));
                continue;
            }
            if let Some(fragment) = fragment.filter(|_| target.is_file()) {
                let headings = std::fs::read_to_string(&target).expect("a page");
                if !headings.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == fragment) {
                    wrong.push(format!("{}: `{link}` names no heading", file.display()));
                }
            }
        }
    }
    assert!(followed > 40, "only {followed} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_is_in_the_book() {
    let docs = super::shared::root().join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).expect("the summary");
    let mut files = Vec::new();
    pages(&docs, &mut files);
    let missing: Vec<String> = files
        .iter()
        .filter_map(|path| path.strip_prefix(&docs).ok())
        .map(|path| path.display().to_string())
        .filter(|path| path != "SUMMARY.md" && !summary.contains(&format!("({path})")))
        .collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md does not list {}", missing.join(", "));
}

#[test]
fn connect_json_is_described_name_by_name() {
    let root = super::shared::root();
    let page = std::fs::read_to_string(root.join("docs/reference/connect.md")).expect("the page");
    let source = std::fs::read_to_string(root.join("crates/bartizan/src/service/connect.rs")).expect("the type");
    let fields = source.split("pub struct Connect {").nth(1).and_then(|rest| rest.split('}').next()).expect("the struct");
    let names = fields.lines().map(str::trim).filter(|line| !line.starts_with("//") && line.contains(':'));
    let names: Vec<&str> = names.filter_map(|line| line.trim_start_matches("pub ").split(':').next()).collect();
    assert!(names.len() >= 19, "{names:?}");
    let missing: Vec<&&str> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/reference/connect.md does not describe {missing:?}");
}
