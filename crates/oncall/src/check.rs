//! Validates a directory: unknown names, invalid addresses, plans that cannot be followed. Pure functions.

use std::collections::BTreeMap;
use std::fmt;

use jiff::tz::TimeZone;
use model::Span;
use schemars::JsonSchema;
use serde::Serialize;

use crate::addresses::{AddressError, Form};
use crate::channel::ChannelType;
use crate::conditions::{self, ConditionError};
use crate::directory::{Condition, Directory, Operator, Target, User};
use crate::document::{did_you_mean, shortened};
use crate::when::PlanTime;

/// Maximum repetitions of a policy.
pub const MAX_REPEAT: u32 = 9;
/// Maximum steps of a policy, targets of a step, rules and contacts of a user.
pub const MAX_PARTS: usize = 100;
/// Maximum problems listed by a check; more are only counted.
pub const MAX_PROBLEMS: usize = 200;
/// Maximum regular expressions of a directory: each is compiled for the check, and evaluated for every incident that reaches its policy.
pub const MAX_PATTERNS: usize = 500;
/// Maximum length of a problem's path and text: they may quote text as long as the document.
const MAX_TEXT: usize = 400;
/// Maximum lookups of similar names in one check; each compares up to a thousand.
const MAX_LOOKUPS: u32 = 50;

/// Something that is wrong with a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// Where: `escalation_policies.night.steps[0].targets[1]`.
    pub path: String,
    /// What, in one clause.
    pub problem: String,
    /// What to do about it; may be empty.
    pub help: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path, self.problem)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, ". {}", self.help) }
    }
}

/// Problems in document order; beyond [`MAX_PROBLEMS`] the last one counts the rest.
///
/// Runs in time linear in the size of the directory, regardless of the number of problems.
pub fn check(directory: &Directory) -> Vec<Problem> {
    check_with(directory, MAX_PROBLEMS)
}

/// As [`check`], without the limit: for comparing two versions of a directory.
pub(crate) fn check_all(directory: &Directory) -> Vec<Problem> {
    check_with(directory, usize::MAX)
}

fn check_with(directory: &Directory, most: usize) -> Vec<Problem> {
    let mut found = Found { problems: Vec::new(), most, more: 0, lookups: MAX_LOOKUPS, patterns: 0 };
    let (channel, channels): (&dyn Fn(&str) -> Option<&'static ChannelType>, Vec<&str>) =
        (&crate::channels::find, crate::channels::CHANNELS.iter().map(|channel| channel.name).collect());
    let channels = channels.as_slice();
    for (name, user) in &directory.users {
        found.user(&format!("users.{name}"), name, user, channel, channels);
    }
    for (name, schedule) in &directory.schedules {
        let path = format!("schedules.{name}");
        for error in crate::schedule::check(schedule) {
            found.add(join(&path, error.path()), error.to_string(), sentence(&error.help()));
        }
        for (index, layer) in schedule.layers.iter().enumerate() {
            for user in layer.rotation.users.iter().flat_map(|turn| turn.users()) {
                found.known(&format!("{path}.layers[{index}].rotation.users"), "user", user, &directory.users);
            }
        }
        for (index, temporary) in schedule.temporary.iter().enumerate() {
            for (shift, fixed) in temporary.shifts.iter().enumerate() {
                found.known(&format!("{path}.temporary[{index}].shifts[{shift}].user"), "user", &fixed.user, &directory.users);
            }
        }
    }
    for (name, change) in &directory.overrides {
        let path = format!("overrides.{name}");
        found.known(&format!("{path}.schedule"), "schedule", &change.schedule, &directory.schedules);
        let zone = directory.schedules.get(&change.schedule).and_then(|schedule| model::time_zone(&schedule.time_zone));
        for error in crate::schedule::check_override(change, &zone.unwrap_or(TimeZone::UTC)) {
            found.add(join(&path, error.path()), error.to_string(), sentence(&error.help()));
        }
        for (field, user) in [("remove", &change.remove), ("add", &change.add)] {
            if let Some(user) = user {
                found.known(&format!("{path}.{field}"), "user", user, &directory.users);
            }
        }
    }
    for (name, policy) in &directory.escalation_policies {
        let path = format!("escalation_policies.{name}");
        if policy.steps.is_empty() {
            found.add(format!("{path}.steps"), "there are none: nobody would be reached", "Add a step, such as `- targets: [user:ann]`");
        }
        found.at_most(&format!("{path}.steps"), policy.steps.len());
        // Not checked further: the policy is rejected anyway.
        if policy.repeat > MAX_REPEAT {
            found.add(format!("{path}.repeat"), format!("{} is more than {MAX_REPEAT}", policy.repeat), "");
        }
        for (index, step) in policy.steps.iter().enumerate().take(MAX_PARTS) {
            let path = format!("{path}.steps[{index}]");
            found.span(&format!("{path}.after"), step.after, Span::ZERO);
            if step.targets.is_empty() {
                found.add(format!("{path}.targets"), "the step reaches nobody", "Name somebody, such as `user:ann`");
            }
            found.targets(&format!("{path}.targets"), &step.targets, directory);
        }
        found.targets(&format!("{path}.fallback"), &policy.fallback, directory);
        if let Some(expires) = policy.acknowledgement_expires {
            found.span(&format!("{path}.acknowledgement_expires"), expires, Span::MINUTE);
        }
    }
    for (name, policy) in &directory.alert_policies {
        let path = format!("alert_policies.{name}");
        match &policy.escalation_policy {
            Some(_) if policy.mute => {
                found.add(
                    format!("{path}.mute"),
                    "a muted policy reaches nobody, and this one names an escalation policy",
                    "Leave one out",
                );
            }
            Some(wanted) => {
                found.known(&format!("{path}.escalation_policy"), "escalation policy", wanted, &directory.escalation_policies);
            }
            None if !policy.mute => {
                found.add(path.clone(), "it names no `escalation_policy`", "Name one, or say `mute: true`");
            }
            None => {}
        }
        found.conditions(&path, &policy.when);
        found.at_most(&format!("{path}.group_by"), policy.group_by.len());
        for (index, field) in policy.group_by.iter().enumerate().take(MAX_PARTS) {
            if let Err(error) = conditions::check_field(field) {
                found.condition(format!("{path}.group_by[{index}]"), &error);
            }
        }
        if policy.group_for.is_some() != !policy.group_by.is_empty() {
            found.add(format!("{path}.group_by"), "`group_by` and `group_for` go together", "Write both, or neither");
        }
        if let Some(span) = policy.group_for {
            found.span(&format!("{path}.group_for"), span, Span::SECOND);
        }
    }
    for (name, window) in &directory.maintenance_windows {
        found.conditions(&format!("maintenance_windows.{name}"), &window.when);
        let path = format!("maintenance_windows.{name}");
        match (window.zone(directory), &window.time_zone) {
            (Some(zone), _) if window.from.is_before(window.to, &zone) => {}
            (Some(_), _) => found.add(format!("{path}.to"), "it is not after `from`", "Write a later time"),
            (None, Some(zone)) => {
                let problem = format!("`{}` is no IANA time zone", shortened(zone, 80));
                found.add(format!("{path}.time_zone"), problem, "Write a name such as `Europe/Oslo`");
            }
            (None, None) if [window.from, window.to].iter().all(|time| matches!(time, PlanTime::Instant(_))) => {
                if !window.from.is_before(window.to, &TimeZone::UTC) {
                    found.add(format!("{path}.to"), "it is not after `from`", "Write a later time");
                }
            }
            (None, None) => found.add(
                format!("{path}.from"),
                "it has no offset, and the schedules are not all in one zone",
                "Write `time_zone`, or an offset such as `2026-12-24T22:00+01:00`",
            ),
        }
    }
    for (name, heartbeat) in &directory.heartbeats {
        found.span(&format!("heartbeats.{name}.every"), heartbeat.every, Span::MINUTE);
        found.span(&format!("heartbeats.{name}.grace"), heartbeat.grace, Span::ZERO);
        if heartbeat.query.as_deref().is_some_and(|query| query.trim().is_empty()) {
            found.add(
                format!("heartbeats.{name}.query"),
                "it is empty",
                "Leave it out, and let the watched thing call the heartbeat's address",
            );
        }
    }
    found.finish()
}

/// Valid but probably unintended: incidents that no policy matches, policies that are never reached.
pub fn warnings(directory: &Directory) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut policies: Vec<_> = directory.alert_policies.iter().map(|(name, policy)| (policy.order, name.as_str(), policy)).collect();
    policies.sort_by_key(|(order, name, _)| (*order, *name));
    let first = policies.iter().position(|(_, _, policy)| policy.when.is_empty());
    match first {
        Some(at) => {
            for (_, name, _) in &policies[at + 1..] {
                let problem = format!("it is never asked: `{}` comes before it and matches every incident", policies[at].1);
                let help = "Give it a lower `order`, or the other one a higher".to_owned();
                found.push(Problem { path: format!("alert_policies.{name}"), problem, help });
            }
        }
        // A partial directory, such as one with users only, needs no alert policy.
        None if directory.alert_policies.is_empty() && directory.escalation_policies.is_empty() => {}
        None => found.push(Problem {
            path: "alert_policies".to_owned(),
            problem: "no policy matches every incident: those that none matches reach nobody".to_owned(),
            help: "Add one without `when` and with the highest `order`".to_owned(),
        }),
    }
    found
}

struct Found {
    problems: Vec<Problem>,
    most: usize,
    /// Number of problems beyond `most`.
    more: usize,
    /// Remaining lookups of similar names.
    lookups: u32,
    /// Number of regular expressions compiled.
    patterns: usize,
}

impl Found {
    fn add(&mut self, path: impl Into<String>, problem: impl Into<String>, help: impl Into<String>) {
        if self.problems.len() >= self.most {
            self.more += 1;
            return;
        }
        let [path, problem, help] = [path.into(), problem.into(), help.into()].map(|text: String| shortened(&text, MAX_TEXT));
        self.problems.push(Problem { path, problem, help });
    }

    fn finish(mut self) -> Vec<Problem> {
        if self.more > 0 {
            let problem = format!("{} more problems are not listed", self.more);
            self.problems.push(Problem { path: String::new(), problem, help: "Correct these first".to_owned() });
        }
        self.problems
    }

    fn known<T>(&mut self, path: &str, what: &str, name: &str, among: &BTreeMap<String, T>) {
        if !among.contains_key(name) {
            let help = self.near(name, among.keys().map(String::as_str), what);
            self.add(path, format!("there is no {what} `{}`", shortened(name, 80)), help);
        }
    }

    /// `Did you mean …?`, or the existing names; empty once the lookup limit is reached.
    fn near<'a>(&mut self, wrong: &str, names: impl Iterator<Item = &'a str> + Clone, what: &str) -> String {
        if self.lookups == 0 {
            return String::new();
        }
        self.lookups -= 1;
        near(wrong, names, what)
    }

    /// A condition on an unknown name never matches, so that paging would silently not happen.
    fn conditions(&mut self, path: &str, all: &[Condition]) {
        self.at_most(&format!("{path}.when"), all.len());
        for (index, condition) in all.iter().enumerate().take(MAX_PARTS) {
            if condition.op == Operator::Matches {
                let before = self.patterns;
                self.patterns += condition.value.as_array().map_or(1, Vec::len);
                if self.patterns > MAX_PATTERNS {
                    if before <= MAX_PATTERNS {
                        let problem = format!("there are more than {MAX_PATTERNS} regular expressions");
                        self.add(format!("{path}.when[{index}]"), problem, "Use `equals` or `contains` with a list of values");
                    }
                    continue;
                }
            }
            if let Err(error) = conditions::check(condition) {
                self.condition(format!("{path}.when[{index}]"), &error);
            }
        }
    }

    fn condition(&mut self, path: String, error: &ConditionError) {
        let help = error.help().unwrap_or_default();
        let help = help.strip_prefix("did").map_or_else(|| help.to_owned(), |rest| format!("Did{rest}"));
        self.add(path, error.to_string(), help);
    }

    fn span(&mut self, path: &str, span: Span, least: Span) {
        if span < least {
            self.add(path, format!("{span} is too short"), format!("Write at least {least}"));
        }
        // More than a year is most likely a wrong unit.
        if span > Span(366 * Span::DAY.ticks()) {
            self.add(path, format!("{span} is longer than a year"), "Check the unit: `m` is minutes");
        }
    }

    fn at_most(&mut self, path: &str, count: usize) {
        if count > MAX_PARTS {
            self.add(path, format!("{count} are too many"), format!("At most {MAX_PARTS} are allowed"));
        }
    }

    fn targets(&mut self, path: &str, targets: &[Target], directory: &Directory) {
        self.at_most(path, targets.len());
        for (index, target) in targets.iter().enumerate().take(MAX_PARTS) {
            let path = format!("{path}[{index}]");
            match target {
                Target::User(user) => self.known(&path, "user", user, &directory.users),
                Target::Schedule(schedule) => self.known(&path, "schedule", schedule, &directory.schedules),
                Target::Contact { user, contact } => match directory.users.get(user) {
                    Some(known) => self.known(&path, &format!("contact of `{user}`"), contact, &known.contacts),
                    None => self.known(&path, "user", user, &directory.users),
                },
            }
        }
    }

    fn user(&mut self, path: &str, name: &str, user: &User, channel: &dyn Fn(&str) -> Option<&'static ChannelType>, channels: &[&str]) {
        if user.name.trim().is_empty() {
            self.add(format!("{path}.name"), "it is missing", format!("Write the name that people see, such as `name: {name}`"));
        }
        if let Some(zone) = &user.time_zone
            && model::time_zone(zone).is_none()
        {
            self.add(format!("{path}.time_zone"), format!("`{zone}` is no IANA time zone"), "Write a name such as `Europe/Oslo`");
        }
        if user.contacts.is_empty() {
            self.add(
                format!("{path}.contacts"),
                "there are none: nobody would be reached",
                "Add one, such as `mail: { email: ann@example.org }`",
            );
        }
        self.at_most(&format!("{path}.contacts"), user.contacts.len());
        self.at_most(&format!("{path}.rules"), user.rules.len());
        for (contact, reached) in user.contacts.iter().take(MAX_PARTS) {
            let path = format!("{path}.contacts.{contact}");
            let Some(kind) = channel(&reached.channel) else {
                let help = self.near(&reached.channel, channels.iter().copied(), "channel");
                self.add(path, format!("there is no channel `{}`", reached.channel), help);
                continue;
            };
            if kind.secret_address {
                if Form::parse(&reached.address).is_none() {
                    // The text may be a secret, so it is not quoted.
                    let error = AddressError::InTheOpen;
                    self.add(path, error.to_string(), error.help());
                }
            } else if let Err(reason) = (kind.check_address)(&reached.address) {
                self.add(path, format!("`{}`: {reason}", reached.address), format!("Write an address such as `{}`", kind.address));
            }
        }
        for (index, rule) in user.rules.iter().enumerate().take(MAX_PARTS) {
            self.known(&format!("{path}.rules[{index}].contact"), "contact", &rule.contact, &user.contacts);
            self.span(&format!("{path}.rules[{index}].after"), rule.after, Span::ZERO);
        }
    }
}

/// `Did you mean …?`, or the existing names.
fn near<'a>(wrong: &str, names: impl Iterator<Item = &'a str> + Clone, what: &str) -> String {
    if let Some(name) = did_you_mean(wrong, names.clone()) {
        return format!("Did you mean `{name}`?");
    }
    let known: Vec<String> = names.take(8).map(|name| format!("`{}`", shortened(name, 64))).collect();
    if known.is_empty() { format!("There is no {what} yet") } else { format!("There are: {}", known.join(", ")) }
}

fn join(path: &str, field: &str) -> String {
    if field.is_empty() { path.to_owned() } else { format!("{path}.{field}") }
}

/// Capitalises the first letter.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::parse;

    fn problems(text: &str) -> Vec<String> {
        check(&parse("team.yaml", text).unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_that_lead_nowhere_are_found_and_the_near_ones_proposed() {
        let found = problems(
            "users:\n  ann: {name: Ann, contacts: {m: {telegraph: x}}, rules: [{contact: n}]}\n\
             escalation_policies:\n  night: {steps: [{targets: ['user:anm', 'schedule:week', 'contact:ann/x']}]}\n\
             alert_policies:\n  all: {escalation_policy: nihgt}\n",
        );
        for expected in [
            "`users.ann.contacts.m`: there is no channel `telegraph`",
            "`users.ann.rules[0].contact`: there is no contact `n`. Did you mean `m`?",
            "`escalation_policies.night.steps[0].targets[0]`: there is no user `anm`. Did you mean `ann`?",
            "`escalation_policies.night.steps[0].targets[1]`: there is no schedule `week`. There is no schedule yet",
            "`escalation_policies.night.steps[0].targets[2]`: there is no contact of `ann` `x`",
            "`alert_policies.all.escalation_policy`: there is no escalation policy `nihgt`. Did you mean `night`?",
        ] {
            assert!(found.iter().any(|problem| problem.starts_with(expected)), "{expected}\n{found:#?}");
        }
        assert_eq!(found.len(), 6, "{found:#?}");
    }

    #[test]
    fn a_condition_that_never_holds_is_found() {
        let found = problems(
            "users: {ann: {name: Ann, contacts: {m: {email: a@example.org}}}}\nescalation_policies: {p: {steps: [{targets: ['user:ann']}]}}\n\
             alert_policies:\n  x:\n    escalation_policy: p\n    group_by: [titel]\n    group_for: 5m\n    when:\n\
             \x20     - {field: severty, op: at_least, value: High}\n\
             \x20     - {field: severity, op: at_least, value: Hihg}\n\
             \x20     - {field: title, op: matches, value: '('}\n",
        );
        for expected in [
            "`alert_policies.x.when[0]`: `severty` is no field of an incident. Did you mean `severity`?",
            "`alert_policies.x.when[1]`: `Hihg` is neither a number nor a severity",
            "`alert_policies.x.when[2]`: `(` is no regular expression",
            "`alert_policies.x.group_by[0]`: `titel` is no field of an incident. Did you mean `title`?",
        ] {
            assert!(found.iter().any(|problem| problem.starts_with(expected)), "{expected}\n{found:#?}");
        }
    }

    #[test]
    fn incidents_that_no_policy_matches_are_warned_about() {
        let warned = |text: &str| warnings(&parse("x", text).unwrap()).iter().map(ToString::to_string).collect::<Vec<_>>();
        let some = "when: [{field: severity, op: equals, value: High}]";
        let found = warned(&format!("alert_policies: {{a: {{mute: true, {some}}}}}"));
        assert!(found[0].starts_with("`alert_policies`: no policy matches every incident"), "{found:?}");
        assert_eq!(warned("escalation_policies: {p: {steps: []}}").len(), 1);
        let found = warned(&format!("alert_policies: {{all: {{mute: true}}, late: {{order: 5, mute: true, {some}}}}}"));
        assert!(found.len() == 1 && found[0].starts_with("`alert_policies.late`: it is never asked: `all` comes before"), "{found:?}");
        assert!(warned("users: {ann: {name: Ann}}").is_empty());
        assert!(warned(&format!("alert_policies: {{all: {{order: 9, mute: true}}, first: {{mute: true, {some}}}}}")).is_empty());
    }

    /// Two megabytes with only invalid names: the time is linear, and the result stays short.
    #[test]
    fn a_document_full_of_mistakes_takes_no_long_time() {
        use std::fmt::Write as _;
        let (mut users, mut policies) = (String::new(), String::new());
        for n in 0..20_000 {
            let _ = write!(users, r#""some-person-of-the-team-{n:05}":{{"name":"x","contacts":{{"m":{{"email":"a@example.org"}}}}}},"#);
        }
        for n in 0..8_000 {
            let _ = write!(
                policies,
                r#""p{n}":{{"steps":[{{"targets":["user:some-person-of-the-taem-{n:05}","user:{n}-nobody-of-the-team-at-all-here"]}}]}},"#
            );
        }
        let (users, policies) = (users.trim_end_matches(','), policies.trim_end_matches(','));
        let text = format!(r#"{{"users":{{{users}}},"escalation_policies":{{{policies}}}}}"#);
        assert!(text.len() > 2_000_000, "{}", text.len());
        let directory = parse("x", &text).unwrap();
        let began = std::time::Instant::now();
        let found = check(&directory);
        // Sixteen thousand times twenty thousand comparisons took minutes. The limit allows for slow machines.
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!(found.len(), MAX_PROBLEMS + 1);
        assert_eq!(found[MAX_PROBLEMS].problem, "15800 more problems are not listed");
        assert!(found[0].help.contains("Did you mean"), "{:?}", found[0]);
        // A name as long as the document is neither compared nor quoted.
        let long = "x".repeat(2 << 20);
        let found = problems(&format!("escalation_policies: {{p: {{steps: [{{targets: ['user:{long}']}}]}}}}"));
        assert!(found.iter().all(|problem| problem.len() < 1_000));
        let error = parse("x", &format!("{long}: 1")).unwrap_err().to_string();
        assert!(error.len() < 2_000, "{}", error.len());
    }

    #[test]
    fn policies_without_recipients_are_reported() {
        let found = problems(
            "users: {ann: {}}\nescalation_policies: {a: {repeat: 10}, b: {steps: [{after: 400d, targets: []}]}}\n\
             alert_policies: {x: {}, y: {mute: true}, z: {escalation_policy: a, group_for: 5m}}\n\
             maintenance_windows: {m: {from: 2026-01-02T00:00:00Z, to: 2026-01-01T00:00:00Z}}\nheartbeats: {h: {every: 1s}}\n",
        );
        for expected in [
            "`users.ann.name`",
            "`users.ann.contacts`",
            "`escalation_policies.a.steps`",
            "`escalation_policies.a.repeat`",
            "`escalation_policies.b.steps[0].after`",
            "`escalation_policies.b.steps[0].targets`",
            "`alert_policies.x`",
            "`alert_policies.z.group_by`",
            "`maintenance_windows.m.to`",
            "`heartbeats.h.every`",
        ] {
            assert!(found.iter().any(|problem| problem.starts_with(expected)), "{expected}\n{found:#?}");
        }
        assert_eq!(found.len(), 10, "{found:#?}");
    }
}
