//! The configuration file: a list of sections, each a struct in the crate that uses it.
//!
//! `Config` is what the user wrote; [`Settings`] is the validated result together with the command line, with defaults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

/// A whole configuration file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of this file's format; `1`.
    pub version: u32,
    /// Where state, tables, keys and `connect.json` live. Default: `$XDG_DATA_HOME/bartizan`. Example: `/var/lib/bartizan`.
    #[serde(default)]
    pub data_dir: Option<PathBuf>,
    /// Address and port of HTTPS. Default: `127.0.0.1:8443`; port 0 takes a free one. Example: `0.0.0.0:8443`.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Host names and addresses under which others reach the service, with a port where it differs from the one listened on. The certificate
    /// covers them; links and `connect.json` use the first. Example: `[soc.example.org, 192.0.2.7]`.
    #[serde(default)]
    pub names: Vec<String>,
    /// A certificate of your own instead of one signed by the service's authority.
    #[serde(default)]
    pub tls: Option<server::TlsFiles>,
    /// How people sign in.
    #[serde(default)]
    pub identity: server::identity::IdentityConfig,
    /// Limits of HTTPS connections.
    #[serde(default)]
    pub server: server::ServerConfig,
    /// Folders and files with analytics rules in Microsoft's YAML format. They are read at start, when they change, and on SIGHUP. Example:
    /// `[rules/]`.
    #[serde(default)]
    pub rules: Vec<PathBuf>,
    /// How analytics rules run.
    #[serde(default)]
    pub detection: detection::DetectionConfig,
    #[serde(default)]
    pub log: LogConfig,
    #[serde(default)]
    pub workspace: workspace::WorkspaceConfig,
    /// Limits of queries.
    #[serde(default)]
    pub query: engine::QueryConfig,
    /// Where records come from: listeners, and vendors that are asked, by kind.
    #[serde(default)]
    pub sources: connectors::SourcesConfig,
    /// Other systems that get the rows of tables, by kind.
    #[serde(default)]
    pub destinations: connectors::DestinationsConfig,
    /// Folders below which destinations may write files; none by default. Example: `[/var/lib/bartizan-archive]`.
    #[serde(default)]
    pub destination_roots: Vec<PathBuf>,
    /// Folders, and beginnings of addresses, that `externaldata` in a query may read; none by default. Example:
    /// `[/srv/lists, https://lists.example.org/public/]`.
    #[serde(default)]
    pub external: Vec<String>,
    #[serde(default)]
    pub outbound: crate::service::http::OutboundConfig,
    #[serde(default)]
    pub oncall: oncall::OnCallConfig,
}

/// What the service says about itself on standard error.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `text` for people, `json` for machines. Default: `text`.
    pub format: LogFormat,
    /// Which events, in the syntax of `tracing`. Default: `info`. Example: `info,workspace=debug`.
    pub filter: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Why a configuration file is invalid. Formatted as *what · where · what to do*.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration `{0}`")]
    Read(PathBuf, #[source] std::io::Error),
    #[error("{file}, {place}: {problem}{help}")]
    Wrong { file: PathBuf, place: String, problem: String, help: String },
    #[error("{file}: `version` is {found}; this build reads version 1. Write `version: 1`.")]
    Version { file: PathBuf, found: u32 },
    #[error("there is no place for data: set `data_dir` in the configuration or use --data-dir")]
    NoDataDir,
}

/// The default configuration, as of a file with only `version: 1`.
pub fn default() -> Config {
    Config {
        version: 1,
        data_dir: None,
        listen: None,
        names: Vec::new(),
        tls: None,
        server: Default::default(),
        rules: Vec::new(),
        detection: Default::default(),
        log: LogConfig::default(),
        workspace: Default::default(),
        query: Default::default(),
        sources: Default::default(),
        destinations: Default::default(),
        destination_roots: Vec::new(),
        external: Vec::new(),
        outbound: Default::default(),
        oncall: Default::default(),
        identity: Default::default(),
    }
}

pub fn read(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Read(path.to_owned(), cause))?;
    parse(path, &text)
}

fn parse(file: &Path, text: &str) -> Result<Config, ConfigError> {
    let config: Config = serde_path_to_error::deserialize(serde_yaml_ng::Deserializer::from_str(text)).map_err(|error| {
        let field = error.path().to_string();
        let cause = error.into_inner();
        let message = cause.to_string();
        let (problem, help) = oncall::document::problem_and_help(&field, &message);
        let line = cause.location().map(|location| format!("line {}", location.line()));
        let place = match (line, field.as_str()) {
            (Some(line), "." | "?") => line,
            (Some(line), field) => format!("{line}, field `{field}`"),
            (None, field) => format!("field `{field}`"),
        };
        ConfigError::Wrong { file: file.to_owned(), place, help, problem }
    })?;
    if config.version != 1 {
        return Err(ConfigError::Version { file: file.to_owned(), found: config.version });
    }
    Ok(config)
}

/// The default data directory: the XDG base directory.
pub fn default_data_dir(env: impl Fn(&str) -> Option<String>) -> Result<PathBuf, ConfigError> {
    let absolute = |name| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("bartizan"))
        .ok_or(ConfigError::NoDataDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse(Path::new("bartizan.yaml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_typo_names_file_line_field_and_the_right_name() {
        let message = refusal("version: 1\nlisen: 127.0.0.1:8443\n");
        assert!(message.starts_with("bartizan.yaml, line 2"), "{message}");
        assert!(message.ends_with("Did you mean `listen`?"), "{message}");
        let message = refusal("version: 1\nlog:\n  format: jsn\n");
        assert!(message.contains("line 3") && message.contains("log.format") && message.contains("Did you mean `json`?"), "{message}");
    }

    #[test]
    fn limits_of_queries_carry_their_units() {
        let config = parse(Path::new("x"), "version: 1\nquery:\n  time: 3m\n  memory: 4GiB\n").unwrap();
        assert_eq!((config.query.time, config.query.memory), (model::Span::seconds(180), model::ByteSize(4 << 30)));
        assert_eq!(config.query.rows, 500_000);
        assert!(refusal("version: 1\nquery:\n  memory: a lot\n").contains("write for example `128MiB`"));
    }

    #[test]
    fn another_version_is_refused() {
        assert!(refusal("version: 2\n").contains("this build reads version 1"));
        assert!(refusal("listen: 127.0.0.1:1\n").contains("missing field `version`"));
    }

    #[test]
    fn the_shortest_file_is_the_default() {
        let config = parse(Path::new("x"), "version: 1\n").unwrap();
        assert!(config.listen.is_none() && config.rules.is_empty());
    }

    #[test]
    fn the_data_directory_follows_the_base_directory_specification() {
        let env = |pairs: &'static [(&str, &str)]| move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        assert_eq!(default_data_dir(env(&[("HOME", "/home/ann")])).unwrap(), Path::new("/home/ann/.local/share/bartizan"));
        assert_eq!(default_data_dir(env(&[("XDG_DATA_HOME", "/srv"), ("HOME", "/x")])).unwrap(), Path::new("/srv/bartizan"));
        assert!(default_data_dir(env(&[("XDG_DATA_HOME", "relative")])).is_err());
    }
}
