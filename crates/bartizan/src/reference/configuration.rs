//! docs/reference/configuration.md.

use crate::config::Config;

const INTRODUCTION: &str = "
A file in YAML for `bartizan up --config FILE`. None is needed: `version: 1` alone is the default. Unknown keys are refused, with the file,
the line and the nearest right name. Spans are ISO 8601 or a number and a unit (`90s`, `10m`, `8h`, `1d`); sizes are a number of bytes or a
number and a unit (`128MiB`). Secrets are references: `env:NAME`, `file:/path` or `exec:command`.

```yaml
version: 1
data_dir: /var/lib/bartizan
listen: 0.0.0.0:8443
rules: [/etc/bartizan/rules]
```
";

pub fn page() -> String {
    let schema = schemars::schema_for!(Config).to_value();
    format!("# Configuration\n\n{}{INTRODUCTION}{}", super::made_from("the types"), super::schema::page("The file", &schema))
}
