//! Resolves the targets of a step to users and contacts when the step is taken.

use std::collections::BTreeMap;

use model::{Severity, Span, Timestamp};

use super::{Holder, Scene};
use crate::directory::{Contact, Directory, Target};
use crate::schedule;

/// A contact to notify `after` the step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub user: String,
    pub contact_name: String,
    pub contact: Contact,
    pub after: Span,
    /// Index of repeated attempts for the same contact within the step, from 0.
    pub nth: usize,
    pub because: String,
}

/// All contacts that `targets` resolve to at `now`, each once per time; and problems encountered.
pub(super) fn reached(scene: &Scene, targets: &[Target], severity: Severity, now: Timestamp) -> (Vec<Reach>, Vec<String>) {
    let mut notes = Vec::new();
    // Keyed by user, contact and time, so that a user who is a target twice is notified once.
    let mut found: BTreeMap<(String, String, Span), String> = BTreeMap::new();
    for target in targets {
        match target {
            Target::User(user) => by_rules(scene, user, severity, &format!("user {user}"), &mut found, &mut notes),
            Target::Schedule(schedule) => match (scene.on_call)(schedule, now) {
                Ok(holders) if holders.is_empty() => notes.push(format!("nobody is on call on `{schedule}`")),
                Ok(holders) => {
                    for holder in holders {
                        let because = format!("schedule {schedule}, {}", holder.because);
                        by_rules(scene, &holder.user, severity, because.trim_end_matches([' ', ',']), &mut found, &mut notes);
                    }
                }
                Err(reason) => notes.push(format!("schedule `{schedule}`: {reason}")),
            },
            Target::Contact { user, contact } => {
                let known = scene.directory.users.get(user).is_some_and(|known| known.contacts.contains_key(contact));
                if known {
                    found.entry((user.clone(), contact.clone(), Span::ZERO)).or_insert_with(|| format!("contact {user}/{contact}"));
                } else {
                    notes.push(format!("there is no contact `{user}/{contact}`"));
                }
            }
        }
    }
    // A contact that is a target itself is notified once, immediately: the user's rules would only repeat it.
    let outright: Vec<_> = targets
        .iter()
        .filter_map(|target| match target {
            Target::Contact { user, contact } => Some((user, contact)),
            _ => None,
        })
        .collect();
    found.retain(|(user, contact, after), _| *after == Span::ZERO || !outright.contains(&(user, contact)));
    let mut tries: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut reached = Vec::new();
    for ((user, contact_name, after), because) in found {
        let Some(contact) = scene.directory.users.get(&user).and_then(|known| known.contacts.get(&contact_name)) else { continue };
        let nth = tries.entry((user.clone(), contact_name.clone())).or_default();
        reached.push(Reach { contact: contact.clone(), nth: *nth, user, contact_name, after, because });
        *nth += 1;
    }
    reached.sort_by(|a, b| (a.after, &a.user, &a.contact_name).cmp(&(b.after, &b.user, &b.contact_name)));
    (reached, notes)
}

fn by_rules(
    scene: &Scene,
    name: &str,
    severity: Severity,
    because: &str,
    found: &mut BTreeMap<(String, String, Span), String>,
    notes: &mut Vec<String>,
) {
    let Some(user) = scene.directory.users.get(name) else {
        notes.push(format!("there is no user `{name}`"));
        return;
    };
    let mut reach = |contact: &str, after: Span| {
        found.entry((name.to_owned(), contact.to_owned(), after)).or_insert_with(|| because.to_owned());
    };
    if user.contacts.is_empty() {
        notes.push(format!("`{name}` has no contacts"));
    } else if user.rules.is_empty() {
        user.contacts.keys().for_each(|contact| reach(contact, Span::ZERO));
    } else {
        let mut any = false;
        for rule in &user.rules {
            if !user.contacts.contains_key(&rule.contact) {
                notes.push(format!("a rule of `{name}` names `{}`, which is none of their contacts", rule.contact));
            } else if rule.min_severity.is_none_or(|least| severity >= least) {
                reach(&rule.contact, rule.after.max(Span::ZERO));
                any = true;
            }
        }
        if !any {
            notes.push(format!("no rule of `{name}` is for {severity} incidents"));
        }
    }
}

/// Who is on call according to the directory's schedules and overrides.
pub fn on_call(directory: &Directory, name: &str, at: Timestamp) -> Result<Vec<Holder>, String> {
    let Some(schedule) = directory.schedules.get(name) else { return Err("there is no such schedule".to_owned()) };
    let duty = schedule::who(schedule, name, &directory.overrides, at).map_err(|error| model::chain(&error))?;
    Ok(duty.into_iter().map(|on| Holder { user: on.user, because: on.because }).collect())
}
