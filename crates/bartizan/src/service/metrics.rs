//! Descriptions of all metrics, for `# HELP` and the reference documentation; and process metrics, read on scrape.
//!
//! A test scans the sources of all crates: an undescribed metric fails it.

use std::fmt::Write as _;

use metrics::Unit;

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric and its description.
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, help }
}

/// All metrics of the service, by name.
pub const METRICS: &[Metric] = &[
    counter("bartizan_alerts_total", "Alerts that analytics rules made."),
    gauge("bartizan_analytics_rules", "Enabled analytics rules that can run."),
    counter("bartizan_answers_total", "Answers to pages, by what they were."),
    gauge("bartizan_data_bytes", "Bytes of the data directory, by part: wal, tables, state, quarantine, tmp."),
    counter("bartizan_destination_errors_total", "Times a destination did not take rows."),
    counter("bartizan_destination_rows_total", "Rows that a destination acknowledged."),
    gauge("bartizan_disk_free_bytes", "Bytes that the service may still use on the disk of its data directory."),
    gauge("bartizan_disk_size_bytes", "Size of the disk of the data directory in bytes."),
    gauge("bartizan_health_condition", "1 while a condition is reported, by name and severity."),
    gauge("bartizan_http_connections", "Open connections."),
    counter("bartizan_http_connections_cut_total", "Connections that the server ended, by reason."),
    counter("bartizan_http_connections_refused_total", "Connections refused because there were too many."),
    histogram("bartizan_http_request_seconds", "Time to answer a request."),
    counter("bartizan_http_requests_refused_total", "Requests refused because the server was busy."),
    counter("bartizan_http_requests_total", "Requests answered, by route and status."),
    counter("bartizan_incidents_not_followed_total", "Changes of incidents that escalations could not follow."),
    counter("bartizan_incidents_opened_total", "Incidents opened from alerts."),
    counter("bartizan_oncall_mails_total", "Mails received as answers, by what became of them."),
    counter("bartizan_outbox_rows_total", "Rows of alerts, incidents and health written to their tables."),
    counter("bartizan_page_attempts_total", "Attempts to send a page, by channel and result."),
    histogram("bartizan_page_send_seconds", "Time that a channel took to send a page."),
    counter("bartizan_pages_planned_total", "Pages that escalations decided on."),
    counter("bartizan_panics_total", "Panics in any thread. Each is a defect."),
    counter("bartizan_pipeline_columns_dropped_total", "Columns that a transform gives and the table lacks."),
    counter("bartizan_pipeline_dead_letters_total", "Records written to DCRLogErrors instead of their table."),
    counter("bartizan_pipeline_members_unknown_total", "Members of records that the stream does not declare."),
    counter("bartizan_pipeline_records_total", "Records received through data collection rules."),
    gauge("bartizan_rule_failing", "1 while an analytics rule fails, 0 once it runs again, by rule."),
    counter("bartizan_rule_failures_total", "Failed runs of analytics rules, by rule and reason."),
    gauge("bartizan_rule_files_broken", "Rule files that are not loaded."),
    histogram("bartizan_rule_run_seconds", "Time that a run of an analytics rule took."),
    counter("bartizan_rule_runs_total", "Runs of analytics rules, by kind and result."),
    histogram("bartizan_rule_start_delay_seconds", "Time between the instant a scheduled run was due and its start."),
    gauge("bartizan_runtime_blocked_seconds", "How long a thread of the runtime has been blocked; 0 while none is."),
    counter("bartizan_runtime_blocked_total", "Times that a thread of the runtime was blocked for more than a second."),
    counter("bartizan_sign_ins_not_listed_total", "Sign-ins beyond the limit of rows of a window; they are counted in one row."),
    counter("bartizan_sign_ins_total", "Attempts of people to sign in; `result` is `success` or `refused`."),
    gauge("bartizan_source_connections", "Open connections of a listener."),
    counter("bartizan_source_dropped_total", "Messages that a listener refused or filtered, by reason."),
    gauge("bartizan_source_last_message_seconds", "When a listener last received a message, in seconds since 1970."),
    gauge("bartizan_source_last_poll_seconds", "When a source last got an answer, in seconds since 1970."),
    counter("bartizan_source_poll_errors_total", "Times a source got no answer, by reason."),
    counter("bartizan_source_received_total", "Messages received by a listener."),
    counter("bartizan_source_stored_total", "Messages of a listener that are stored."),
    counter("bartizan_source_waits_total", "Times a source waited because the tables took no rows."),
    gauge("bartizan_table_bytes", "Bytes of a table: files and memory. Tables without rows are left out."),
    gauge("bartizan_table_rows", "Rows of a table. Tables without rows are left out."),
    counter("bartizan_task_restarts_total", "Restarts of a task of the service, by task and reason."),
    gauge("bartizan_task_up", "1 while a task of the service runs, by task."),
    counter("bartizan_tokens_issued_total", "Access tokens issued."),
    counter("bartizan_workspace_appends_total", "Appends stored."),
    counter("bartizan_workspace_commit_errors_total", "Groups of appends that could not be written to the log."),
    counter("bartizan_workspace_compactions_total", "Merges of small files."),
    counter("bartizan_workspace_damaged_files_total", "Data files found damaged or missing."),
    counter("bartizan_workspace_flushed_rows_total", "Rows moved from memory to files."),
    histogram("bartizan_workspace_group_appends", "Appends that shared one sync."),
    gauge("bartizan_workspace_log_bytes", "Bytes of the write-ahead log."),
    counter("bartizan_workspace_maintain_errors_total", "Failed rounds of flush, compaction and retention."),
    gauge("bartizan_workspace_memory_bytes", "Bytes of rows that are in memory and not yet in files."),
    counter("bartizan_workspace_quarantined_total", "Damaged parts of the log that were set aside."),
    counter("bartizan_wrong_secrets_total", "Token requests with a wrong secret."),
];

/// Registers the descriptions with the recorder. Call once, after it is installed.
pub fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram if metric.name.ends_with("_seconds") => metrics::describe_histogram!(metric.name, Unit::Seconds, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}

/// The page `docs/reference/metrics.md`.
#[cfg(test)]
fn reference() -> String {
    let mut text = "# Metrics\n\n`GET /metrics` has these in Prometheus' text format, and the values of the process under the usual names \
                    (`process_resident_memory_bytes`, `process_cpu_seconds_total`, …). Printed from the table that the service describes them \
                    with.\n\n| metric | kind | meaning |\n|---|---|---|\n"
        .to_owned();
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "summary",
        };
        let _ = writeln!(text, "| `{}` | {kind} | {} |", metric.name, metric.help);
    }
    text
}

/// USER_HZ, which is 100 for user space on every Linux architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Process metrics in Prometheus' text format, with the names of its client libraries. Unavailable ones are omitted.
pub fn process() -> String {
    let mut text = String::new();
    let mut say = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
    };
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let stat = read("/proc/self/stat").and_then(|stat| Stat::parse(&stat));
    let stat = stat.as_ref();
    let booted = read("/proc/stat").and_then(|text| text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok()));
    let started = booted.zip(stat).map(|(booted, stat)| booted + stat.started as f64 / TICKS_PER_SECOND);
    let cpu = stat.map(|stat| stat.cpu as f64 / TICKS_PER_SECOND);
    let files = std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    let most = read("/proc/self/limits").and_then(|limits| most_files(&limits));
    say("process_cpu_seconds_total", "counter", "User and system CPU time of the process in seconds.", cpu);
    say("process_open_fds", "gauge", "Open file descriptors.", files);
    say("process_max_fds", "gauge", "Most file descriptors that may be open.", most);
    let memory = read("/proc/self/status").and_then(|status| resident(&status));
    say("process_resident_memory_bytes", "gauge", "Resident memory in bytes.", memory);
    say("process_virtual_memory_bytes", "gauge", "Virtual memory in bytes.", stat.map(|stat| stat.virtual_bytes as f64));
    say("process_start_time_seconds", "gauge", "Start of the process in seconds since 1970.", started);
    say("process_threads", "gauge", "Threads of the process.", stat.map(|stat| stat.threads as f64));
    text
}

/// Fields of `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu: u64,
    threads: u64,
    started: u64,
    virtual_bytes: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name in parentheses is arbitrary; after the last parenthesis come numbers, starting with field 3.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self { cpu: field(14)? + field(15)?, threads: field(20)?, started: field(22)?, virtual_bytes: field(23)? })
    }
}

/// `VmRSS` in bytes, from KiB.
fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0)
}

fn most_files(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_metric_is_described_once() {
        let names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "by name, none twice");
        for metric in METRICS {
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}: counters end with _total", metric.name);
            assert!(metric.help.ends_with('.') && metric.help.starts_with(|c: char| c.is_uppercase() || c == '1'), "{}", metric.name);
        }
        let mut used = BTreeSet::new();
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut used);
        let described: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(used.difference(&described).collect::<Vec<_>>(), Vec::<&String>::new(), "recorded and not described");
        assert_eq!(described.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new(), "described and not recorded");
    }

    #[test]
    fn the_reference_is_printed_from_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md");
        if std::env::var_os("BARTIZAN_BLESS").is_some() {
            std::fs::write(&path, reference()).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap() == reference(), "run this test with BARTIZAN_BLESS=1 and read the diff");
    }

    /// Names of metrics in the sources under `folder`.
    fn collect(folder: &Path, used: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, used);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("service/metrics.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for call in ["counter!(", "gauge!(", "histogram!("] {
                    for after in text.split(call).skip(1) {
                        let name = after.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                        used.extend(name.filter(|name| name.starts_with("bartizan_")).map(str::to_owned));
                    }
                }
            }
        }
    }

    #[test]
    fn the_process_is_told_under_prometheus_names() {
        let text = process();
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"] {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{name}: {text}"));
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() >= 0.0, "{line}");
        }
        assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"));
        let stat = Stat::parse("7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 9 0 5000 1000000 250 18446744073709551615").unwrap();
        assert_eq!(stat, Stat { cpu: 42, threads: 9, started: 5000, virtual_bytes: 1_000_000 });
        assert_eq!(
            most_files("Limit  Soft  Hard\nMax open files            1024                 4096                 files\n"),
            Some(1024.0)
        );
    }
}
