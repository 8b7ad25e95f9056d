//! What is wrong with a directory: names that lead nowhere, addresses that cannot be right, plans that cannot be followed. Pure.

use std::collections::BTreeMap;
use std::fmt;

use model::{SecretRef, Span};
use schemars::JsonSchema;
use serde::Serialize;

use crate::channel::ChannelType;
use crate::conditions::{self, ConditionError};
use crate::directory::{Condition, Directory, Target, User};
use crate::document::did_you_mean;

/// Most rounds that a policy takes again.
pub const MAX_REPEAT: u32 = 9;
/// Most steps of a policy, targets of a step, rules and contacts of a user.
pub const MAX_PARTS: usize = 100;

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

/// Everything that is wrong, in the order of the document.
pub fn check(directory: &Directory) -> Vec<Problem> {
    check_with(directory, &crate::channels::find, &crate::channels::CHANNELS.iter().map(|channel| channel.name).collect::<Vec<_>>())
}

fn check_with(directory: &Directory, channel: &dyn Fn(&str) -> Option<&'static ChannelType>, channels: &[&str]) -> Vec<Problem> {
    let mut found = Found(Vec::new());
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
        for error in crate::schedule::check_override(change) {
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
        if policy.repeat > MAX_REPEAT {
            found.add(format!("{path}.repeat"), format!("{} is more than {MAX_REPEAT}", policy.repeat), "");
        }
        for (index, step) in policy.steps.iter().enumerate() {
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
        for (index, field) in policy.group_by.iter().enumerate() {
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
        if window.to <= window.from {
            found.add(format!("maintenance_windows.{name}.to"), "it is not after `from`", "Write a later time");
        }
    }
    for (name, heartbeat) in &directory.heartbeats {
        found.span(&format!("heartbeats.{name}.every"), heartbeat.every, Span::MINUTE);
        if heartbeat.query.as_deref().is_some_and(|query| query.trim().is_empty()) {
            found.add(
                format!("heartbeats.{name}.query"),
                "it is empty",
                "Leave it out, and let the watched thing call the heartbeat's address",
            );
        }
    }
    found.0
}

struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, path: impl Into<String>, problem: impl Into<String>, help: impl Into<String>) {
        self.0.push(Problem { path: path.into(), problem: problem.into(), help: help.into() });
    }

    fn known<T>(&mut self, path: &str, what: &str, name: &str, among: &BTreeMap<String, T>) {
        if !among.contains_key(name) {
            let help = near(name, among.keys().map(String::as_str), what);
            self.add(path, format!("there is no {what} `{name}`"), help);
        }
    }

    /// A condition that names nothing never holds, and nobody would be reached without a word.
    fn conditions(&mut self, path: &str, all: &[Condition]) {
        for (index, condition) in all.iter().enumerate() {
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
        // A year of silence is a mistake in a unit.
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
        for (index, target) in targets.iter().enumerate() {
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
        for (contact, reached) in &user.contacts {
            let path = format!("{path}.contacts.{contact}");
            let Some(kind) = channel(&reached.channel) else {
                let help = near(&reached.channel, channels.iter().copied(), "channel");
                self.add(path, format!("there is no channel `{}`", reached.channel), help);
                continue;
            };
            let reference = SecretRef::new(&reached.address);
            if kind.secret_address {
                if reference.parts().is_none() {
                    // What stands there may be the secret: it is not repeated.
                    self.add(
                        path,
                        "the address is a secret and stands here in the open",
                        "Write `env:NAME`, `file:/path` or `exec:command`",
                    );
                }
            } else if let Err(reason) = (kind.check_address)(&reached.address) {
                self.add(path, format!("`{}`: {reason}", reached.address), format!("Write an address such as `{}`", kind.address));
            }
        }
        for (index, rule) in user.rules.iter().enumerate() {
            self.known(&format!("{path}.rules[{index}].contact"), "contact", &rule.contact, &user.contacts);
            self.span(&format!("{path}.rules[{index}].after"), rule.after, Span::ZERO);
        }
    }
}

/// `Did you mean …?`, or the names there are.
fn near<'a>(wrong: &str, names: impl Iterator<Item = &'a str> + Clone, what: &str) -> String {
    if let Some(name) = did_you_mean(wrong, names.clone()) {
        return format!("Did you mean `{name}`?");
    }
    let known: Vec<String> = names.take(8).map(|name| format!("`{name}`")).collect();
    if known.is_empty() { format!("There is no {what} yet") } else { format!("There are: {}", known.join(", ")) }
}

fn join(path: &str, field: &str) -> String {
    if field.is_empty() { path.to_owned() } else { format!("{path}.{field}") }
}

/// With a capital letter.
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
    fn plans_that_reach_nobody_are_found() {
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
