//! The checks, one function each. They are read-only.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use detection::files::{RuleText, scan};
use model::{Span, Timestamp};
use serde::Deserialize;

use super::Check;
use crate::commands::service::Connect;
use crate::service::measure::{Room, size};

/// A certificate that expires sooner is reported; the service renews its own thirty days before.
const ENDS_SOON: Span = Span(14 * model::TICKS_PER_DAY);
/// Files with a modification time this far in the future mean that the clock was set back.
const CLOCK_TOLERANCE: Span = Span(300 * model::TICKS_PER_SECOND);
/// Maximum conditions printed.
const SHOWN: usize = 20;

/// Whether a process has locked the directory.
pub fn is_running(data_dir: &Path) -> bool {
    let lock = std::fs::File::open(data_dir.join("lock"));
    lock.is_ok_and(|file| matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
}

/// Required files and their permissions.
pub fn directory(data_dir: &Path) -> Vec<Check> {
    let mut found = Vec::new();
    match std::fs::metadata(data_dir) {
        Ok(data) if data.permissions().mode() & 0o077 != 0 => {
            let message = format!("others may read it: its mode is {:o}", data.permissions().mode() & 0o7777);
            found.push(Check::wrong("data directory", message, format!("chmod 700 {}", data_dir.display())));
        }
        Ok(data) => found.push(Check::ok("data directory", format!("mode {:o}, owner {}", data.permissions().mode() & 0o7777, data.uid()))),
        Err(error) => found.push(Check::wrong("data directory", error.to_string(), "look at its mode and owner")),
    }
    let missing: Vec<&str> =
        ["connect.json", "state.db", "tls", "keys", "tables"].into_iter().filter(|name| !data_dir.join(name).exists()).collect();
    found.push(if missing.is_empty() {
        Check::ok("files", "all parts are there")
    } else {
        Check::wrong("files", format!("missing: {}", missing.join(", ")), "start the service once; after a loss, restore a backup")
    });
    let set_aside = size(&data_dir.join("quarantine"));
    found.push(if set_aside == 0 {
        Check::ok("quarantine", "empty")
    } else {
        let message = format!("{set_aside} bytes of damaged data were set aside");
        Check::wrong("quarantine", message, "look at the log for what was damaged, check the disk, then remove the files in `quarantine/`")
    });
    found
}

pub fn room(data_dir: &Path) -> Check {
    match Room::of(data_dir) {
        Ok(room) => {
            let message = format!("{} MiB of {} MiB are free", room.free >> 20, room.size >> 20);
            if room.is_little() {
                Check::wrong("disk room", message, "free space, shorten retention, or move the data directory")
            } else {
                Check::ok("disk room", message)
            }
        }
        Err(error) => Check::wrong("disk room", error.to_string(), "the disk does not answer"),
    }
}

pub fn certificates(data_dir: &Path) -> Vec<Check> {
    let now = Timestamp::from_system(std::time::SystemTime::now());
    let names = [("certificate", "server.pem"), ("authority", "ca.pem")];
    names.into_iter().map(|(name, file)| certificate(name, &data_dir.join("tls").join(file), now)).collect()
}

fn certificate(name: &'static str, path: &Path, now: Timestamp) -> Check {
    if !path.exists() {
        return Check::skipped(name, "there is none yet");
    }
    match server::certificate_end(path) {
        Ok(end) => {
            let days = (end - now).ticks() / model::TICKS_PER_DAY;
            if end < now {
                Check::wrong(
                    name,
                    format!("ended {} days ago", -days),
                    "restart the service, which renews it, or install a new one and send SIGHUP",
                )
            } else if end - now < ENDS_SOON {
                Check::wrong(name, format!("ends in {days} days"), "send SIGHUP to the service, or install a new one")
            } else {
                Check::ok(name, format!("ends in {days} days"))
            }
        }
        Err(error) => Check::wrong(name, model::chain(&error), "move the file away and restart the service, which makes a new one"),
    }
}

/// Whether the clock is behind the newest files.
pub fn clock(data_dir: &Path) -> Check {
    let now = Timestamp::from_system(std::time::SystemTime::now());
    let written = |name: &str| std::fs::metadata(data_dir.join(name)).and_then(|data| data.modified()).ok().map(Timestamp::from_system);
    let newest = ["connect.json", "state.db", "state.db-wal", "tables", "wal"].into_iter().filter_map(written).max();
    match newest {
        Some(newest) if newest > now + CLOCK_TOLERANCE => {
            let message = format!("it is {now}, but files here were written at {newest}");
            Check::wrong("clock", message, "set the clock; rules and schedules wait until it has caught up")
        }
        _ => Check::ok("clock", now.to_string()),
    }
}

pub fn rule_files(paths: &[PathBuf]) -> Check {
    if paths.is_empty() {
        return Check::skipped("rule files", "the configuration names none");
    }
    let mut texts = Vec::new();
    for path in paths {
        match crate::service::rule_files(path) {
            Ok(files) => texts.extend(files.into_iter().map(|file| RuleText {
                text: std::fs::read_to_string(&file).map_err(|error| error.to_string()),
                file: file.display().to_string(),
            })),
            Err(error) => return Check::wrong("rule files", format!("`{}`: {error}", path.display()), "look at its mode and owner"),
        }
    }
    let scan = scan(&texts);
    if scan.broken.is_empty() {
        return Check::ok("rule files", format!("{} rules in {} files", scan.rules.len(), texts.len()));
    }
    let problems: Vec<&str> = scan.broken.iter().take(SHOWN).map(|(_, problem)| problem.as_str()).collect();
    Check::wrong("rule files", problems.join("\n                        "), "correct the files; the service reads them again by itself")
}

#[derive(Deserialize)]
struct Health {
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    name: String,
    subject: String,
    severity: String,
    summary: String,
    action: String,
    detail: String,
}

/// Queries a running service, or else checks whether its port is free.
pub async fn service(data_dir: &Path, running: bool, listen: Option<SocketAddr>) -> Vec<Check> {
    if !running {
        let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8443)));
        return vec![match TcpListener::bind(listen) {
            Ok(_) => Check::ok("port", format!("{listen} is free")),
            Err(error) => Check::wrong("port", format!("{listen}: {error}"), "stop what listens there, or set `listen`"),
        }];
    }
    match ask(data_dir).await {
        Ok(health) => {
            let mut found = vec![Check::ok("service", "answers")];
            found.extend(conditions(&health));
            found
        }
        Err(error) => {
            let message = model::chain(error.as_ref());
            vec![Check::wrong("service", message, "it runs and does not answer: look at its log, then restart it")]
        }
    }
}

async fn ask(data_dir: &Path) -> anyhow::Result<Health> {
    let (connect, http) = Connect::read(data_dir)?;
    let base = connect.base_url.trim_end_matches('/').to_owned();
    let access = connect.access(&http, &format!("{base}/.default")).await?;
    let answer = access.apply(http.get(format!("{base}/api/v1/health"))).timeout(std::time::Duration::from_secs(20)).send().await?;
    // A 503 has the same body.
    Ok(answer.json().await?)
}

/// Kinds of conditions with checks of their own, by name prefix.
const KINDS: [(&str, &str, &str); 3] = [
    ("tasks", "task.", "look for the panic in the log and report it; the task is started again by itself"),
    ("rules", "rule", "`GET /api/v1/rules` and the table SentinelHealth say more"),
    ("conditions", "", "docs/reference/health.md lists the conditions and what to do"),
];

fn conditions(health: &Health) -> Vec<Check> {
    let kind =
        |condition: &Condition| KINDS.iter().position(|(_, prefix, _)| condition.name.starts_with(prefix)).unwrap_or(KINDS.len() - 1);
    let check = |(index, (name, _, help)): (usize, &(&'static str, &str, &str))| {
        let lines: Vec<String> = health.conditions.iter().filter(|condition| kind(condition) == index).map(line).collect();
        match lines.len() {
            0 => Check::ok(name, "nothing is wrong"),
            more => {
                let rest = more.saturating_sub(SHOWN);
                let mut lines: Vec<String> = lines.into_iter().take(SHOWN).collect();
                if rest > 0 {
                    lines.push(format!("and {rest} more"));
                }
                Check::wrong(name, lines.join("\n                        "), *help)
            }
        }
    };
    KINDS.iter().enumerate().map(check).collect()
}

fn line(condition: &Condition) -> String {
    let in_parentheses = |text: &str| if text.is_empty() { String::new() } else { format!(" ({text})") };
    let action = if condition.action.is_empty() { String::new() } else { format!("; {}", condition.action) };
    let Condition { name, subject, severity, summary, detail, .. } = condition;
    format!("{name}{}, {severity}: {summary}{}{action}", in_parentheses(subject), in_parentheses(detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Status;

    #[test]
    fn a_directory_that_others_may_read_and_a_clock_set_back_are_wrong() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let found = directory(folder.path());
        assert_eq!((found[0].status, found[1].status), (Status::Wrong, Status::Wrong));
        assert!(found[1].message.contains("state.db"), "{}", found[1].message);
        assert_eq!(clock(folder.path()).status, Status::Ok);
        let file = std::fs::File::create(folder.path().join("state.db")).unwrap();
        file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(3_600)).unwrap();
        assert_eq!(clock(folder.path()).status, Status::Wrong);
        assert!(!is_running(folder.path()));
    }

    #[test]
    fn conditions_are_sorted_into_tasks_rules_and_the_rest() {
        let text = |text: &str| text.to_owned();
        let condition = |name: &str| Condition {
            name: text(name),
            subject: String::new(),
            severity: text("degraded"),
            summary: text("x"),
            action: String::new(),
            detail: String::new(),
        };
        let health =
            Health { conditions: vec![condition("task.a"), condition("rule.b"), condition("rule-file.c"), condition("disk.room")] };
        let found = conditions(&health);
        let counts: Vec<usize> = found.iter().map(|check| check.message.lines().count()).collect();
        assert_eq!(counts, [1, 2, 1]);
        assert!(found.iter().all(|check| check.status == Status::Wrong));
        assert!(conditions(&Health { conditions: Vec::new() }).iter().all(|check| check.status == Status::Ok));
    }
}
