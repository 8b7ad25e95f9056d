//! docs/reference/oncall.md.

const INTRODUCTION: &str =
    "A document is YAML or JSON. It holds any of these kinds, each object under its name; docs/guide/oncall.md shows them at work.
Spans are ISO 8601 or a number and a unit (`90s`, `10m`, `8h`, `1d`). Names have letters, digits, `-`, `_` and `.`.
";

pub fn page() -> String {
    let schema = schemars::schema_for!(oncall::directory::Directory).to_value();
    format!(
        "# On call: what a document contains\n\n{}{INTRODUCTION}{}",
        super::made_from("the types"),
        super::schema::page("The document", &schema)
    )
}
