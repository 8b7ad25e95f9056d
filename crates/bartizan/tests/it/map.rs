//! Checks ARCHITECTURE.md: every crate is listed, and every path it mentions exists.

#[test]
fn the_map_is_true() {
    let root = super::shared::root();
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(root.join("crates")).expect("crates/") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        if !map.contains(&format!("### `{name}`")) {
            wrong.push(format!("crate `{name}` is not on the map"));
        }
    }
    for path in map.split('`').skip(1).step_by(2).filter(|text| text.contains('/') && !text.contains([' ', '<', '*', '{', '|'])) {
        if path.starts_with("crates/") || path.starts_with("docs/") || path.starts_with("content/") || path.starts_with("cases/") {
            if !root.join(path.trim_end_matches('/')).exists() {
                wrong.push(format!("the map names `{path}`, which is not there"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_documents_do_not_mention_how_they_were_made() {
    let root = super::shared::root();
    let machine = ["/root", "/home/"];
    for file in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "STYLE.md"] {
        let text = std::fs::read_to_string(root.join(file)).expect(file);
        for path in machine {
            assert!(!text.contains(path), "{file} names a machine's path: {path}");
        }
    }
}
