//! `bartizan lsp` — the KQL language server, over standard input and output. Source: the Language Server Protocol, version 3.17. Messages
//! are few, so they are parsed as untyped JSON.
//!
//! Positions are in UTF-16 units of a line, which every client supports. Documents are synchronised incrementally. Diagnostics are computed
//! once no further message is pending, so that fast typing does not queue them.

mod answers;
mod document;
mod wire;

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use engine::{Options, Progress};
use kql::check::TableSchemas;
use model::Timestamp;
use serde_json::{Value as Json, json};

use super::query::Sources;
use super::service::Service;
use super::{Failure, Outcome};
use document::Document;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan lsp --schema tables.json               complete and check against these tables\n  bartizan lsp                                    against the tables of the running service, if there is one\n\nAn editor starts it by itself: see docs/guide/kql.md for Visual Studio Code, Neovim and Helix."
)]
pub struct Args {
    /// Tables that queries may name: {"Table": [["Column", "type"], …]}.
    #[arg(long, value_name = "F", conflicts_with = "data_dir")]
    schema: Option<PathBuf>,
    /// A workspace whose tables queries may name. Default: the one under $XDG_DATA_HOME/bartizan, if there is one.
    #[arg(long, value_name = "D")]
    data_dir: Option<PathBuf>,
    /// What every client does; taken so that those who pass it need not be told.
    #[arg(long, hide = true)]
    stdio: bool,
}

/// Binding recurses over the syntax tree, whose depth is limited; this stack is ample.
const STACK: usize = 64 << 20;

/// Maximum age of the cached workspace schema when a document is opened.
const FRESH: Duration = Duration::from_secs(60);

pub fn run(args: Args) -> Outcome {
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(move || serve(args))?;
    worker.join().map_err(|_| anyhow::anyhow!("the language server broke"))?
}

/// Source of the table schemas.
enum Tables {
    Fixed,
    Workspace(PathBuf),
}

/// Exit codes of the protocol: 0 after `shutdown`, 1 without.
fn serve(args: Args) -> Outcome {
    tracing::debug!(stdio = args.stdio, "the language server starts");
    let (source, tables) = match (&args.schema, args.data_dir) {
        (Some(path), _) => {
            let file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
            let tables = serde_json::from_reader(BufReader::new(file))
                .map_err(|error| Failure::Wrong(format!("`{}` is no table schema: {error}", path.display())))?;
            (Tables::Fixed, tables)
        }
        (None, data_dir) => {
            let asked = data_dir.is_some();
            let own = || crate::config::default_data_dir(|name| std::env::var(name).ok()).ok().filter(|path| path.join("lock").exists());
            match data_dir.or_else(own) {
                Some(path) => {
                    let tables = match of_workspace(&path) {
                        Ok(tables) => tables,
                        Err(error) if asked => return Err(error.into()),
                        Err(error) => {
                            eprintln!("warning: the tables of `{}` are not known: {error:#}", path.display());
                            TableSchemas::default()
                        }
                    };
                    (Tables::Workspace(path), tables)
                }
                None => (Tables::Fixed, TableSchemas::default()),
            }
        }
    };
    let (sender, messages) = channel();
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            match wire::read(&mut input) {
                Ok(Some(message)) => {
                    if sender.send(message).is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    eprintln!("error: {error}");
                    return;
                }
            }
        }
    });
    let mut server = Server { documents: HashMap::new(), tables, source, loaded: Instant::now(), shut_down: false };
    server.run(&messages)
}

/// The tables of a data directory, through its service if one is running.
fn of_workspace(data_dir: &std::path::Path) -> anyhow::Result<TableSchemas> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match Service::tables(data_dir).await {
            Ok(tables) => Ok(tables),
            // No service: the tables are read from disk, without keeping the lock.
            Err(_) => {
                let sources = Sources { data_dir: Some(data_dir.to_owned()), ..Sources::default() };
                Ok(sources.open(Options::default(), &Progress::default()).await?.tables)
            }
        }
    })
}

struct Server {
    documents: HashMap<String, Document>,
    tables: TableSchemas,
    source: Tables,
    loaded: Instant,
    shut_down: bool,
}

impl Server {
    fn run(&mut self, messages: &Receiver<Json>) -> Outcome {
        let mut changed: Vec<String> = Vec::new();
        loop {
            let message = match messages.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Empty) => {
                    for uri in changed.drain(..) {
                        self.publish(&uri)?;
                    }
                    match messages.recv() {
                        Ok(message) => message,
                        Err(_) => return self.ended(),
                    }
                }
                Err(TryRecvError::Disconnected) => return self.ended(),
            };
            let method = message["method"].as_str().unwrap_or_default().to_owned();
            if method == "exit" {
                return self.ended();
            }
            match message.get("id").filter(|_| !method.is_empty()) {
                Some(id) => {
                    let reply = match self.request(&method, &message["params"]) {
                        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
                        Err((code, why)) => json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": why}}),
                    };
                    wire::write(&reply)?;
                }
                None => {
                    if let Some(uri) = self.notified(&method, &message["params"])
                        && !changed.contains(&uri)
                    {
                        changed.push(uri);
                    }
                }
            }
        }
    }

    fn ended(&self) -> Outcome {
        if self.shut_down { Ok(()) } else { Err(Failure::Wrong("the editor left without `shutdown`".to_owned())) }
    }

    /// Handles a notification; returns the document whose diagnostics must be published.
    fn notified(&mut self, method: &str, params: &Json) -> Option<String> {
        let uri = params["textDocument"]["uri"].as_str()?.to_owned();
        match method {
            "textDocument/didOpen" => {
                self.refresh();
                let text = params["textDocument"]["text"].as_str().unwrap_or_default().to_owned();
                self.documents.insert(uri.clone(), Document { text, version: params["textDocument"]["version"].clone() });
            }
            "textDocument/didChange" => {
                let document = self.documents.get_mut(&uri)?;
                document.version = params["textDocument"]["version"].clone();
                params["contentChanges"].as_array().into_iter().flatten().for_each(|change| document.change(change));
            }
            "textDocument/didClose" => {
                // Clears its published diagnostics.
                self.documents.remove(&uri);
            }
            _ => return None,
        }
        Some(uri)
    }

    /// Tables may change while an editor is open.
    fn refresh(&mut self) {
        if let Tables::Workspace(path) = &self.source
            && self.loaded.elapsed() > FRESH
        {
            match of_workspace(path) {
                Ok(tables) => self.tables = tables,
                Err(error) => eprintln!("warning: the tables of `{}` are not known: {error:#}", path.display()),
            }
            self.loaded = Instant::now();
        }
    }

    fn publish(&self, uri: &str) -> anyhow::Result<()> {
        let (version, diagnostics) = match self.documents.get(uri) {
            Some(document) => (document.version.clone(), answers::diagnostics(document, &self.tables, now())),
            None => (Json::Null, json!([])),
        };
        let mut params = json!({"uri": uri, "diagnostics": diagnostics});
        if !version.is_null() {
            params["version"] = version;
        }
        wire::write(&json!({"jsonrpc": "2.0", "method": "textDocument/publishDiagnostics", "params": params}))?;
        Ok(())
    }

    fn request(&mut self, method: &str, params: &Json) -> Result<Json, (i64, String)> {
        const METHOD_NOT_FOUND: i64 = -32601;
        const INVALID_PARAMS: i64 = -32602;
        match method {
            "initialize" => return Ok(capabilities()),
            "shutdown" => {
                self.shut_down = true;
                return Ok(Json::Null);
            }
            _ => {}
        }
        let Some(answer) = answers::find(method) else { return Err((METHOD_NOT_FOUND, format!("`{method}` is not served"))) };
        let uri = params["textDocument"]["uri"].as_str().unwrap_or_default();
        let Some(document) = self.documents.get(uri) else { return Err((INVALID_PARAMS, format!("`{uri}` is not open"))) };
        answer(&answers::Asked { document, params, uri, tables: &self.tables, now: now() })
    }
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

fn capabilities() -> Json {
    json!({
        "serverInfo": {"name": "bartizan", "version": env!("CARGO_PKG_VERSION")},
        "capabilities": {
            "positionEncoding": "utf-16",
            "textDocumentSync": {"openClose": true, "change": 2},
            "completionProvider": {"triggerCharacters": [".", "|", " ", "(", ",", "=", "$", "!"]},
            "hoverProvider": true,
            "signatureHelpProvider": {"triggerCharacters": ["(", ","]},
            "definitionProvider": true,
            "documentSymbolProvider": true,
            "documentFormattingProvider": true,
            "renameProvider": {"prepareProvider": true},
            "codeActionProvider": {"codeActionKinds": ["quickfix"]},
        },
    })
}
