//! Rate limits: excess pages to a contact are bundled into one that counts them.
//!
//! Several windows apply at once, as in GoAlert (its engine/message/ratelimit.go): a short one for bursts, longer ones for sustained load.
//! Incidents of High severity are always sent at once; they count, but are never held.

use model::{Severity, Span, Timestamp};
use uuid::Uuid;

use super::{Page, PageStatus};
use crate::message::MessageKind;

/// Class of a channel, which determines its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelClass {
    /// Telephone calls. Not used for acknowledgements.
    Voice,
    Sms,
    /// Read asynchronously: mail, chat, push.
    Screen,
    /// Received by another system, which does its own grouping and needs every change.
    Machine,
}

/// At most `pages` within `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub pages: usize,
    pub window: Span,
}

const fn limit(pages: usize, minutes: i64) -> Limit {
    Limit { pages, window: Span(minutes * model::TICKS_PER_MINUTE) }
}

/// The class of a channel by name.
pub fn class(channel: &str) -> ChannelClass {
    match channel {
        "voice" => ChannelClass::Voice,
        "sms" => ChannelClass::Sms,
        "webhook" | "pagerduty" | "opsgenie" => ChannelClass::Machine,
        _ => ChannelClass::Screen,
    }
}

/// Limits for pages to one contact on channels of this class.
pub fn limits(class: ChannelClass) -> &'static [Limit] {
    const VOICE: &[Limit] = &[limit(3, 15), limit(8, 60), limit(15, 180)];
    const SMS: &[Limit] = &[limit(5, 15), limit(12, 60), limit(20, 180)];
    const SCREEN: &[Limit] = &[limit(20, 15), limit(60, 60), limit(120, 180)];
    match class {
        ChannelClass::Voice => VOICE,
        ChannelClass::Sms => SMS,
        ChannelClass::Screen => SCREEN,
        ChannelClass::Machine => &[],
    }
}

/// Applies the limits to `page`, given the other pages to its contact.
pub(super) fn admit<'a>(page: &mut Page, severity: Severity, others: impl Iterator<Item = &'a Page>) {
    if page.kind != MessageKind::Page || severity >= Severity::High {
        return;
    }
    let limits = limits(class(&page.channel));
    if limits.is_empty() {
        return;
    }
    let to_them: Vec<&Page> = others
        .filter(|other| {
            other.id != page.id && other.kind == MessageKind::Page && other.channel == page.channel && other.address == page.address
        })
        .collect();
    let mut times: Vec<Timestamp> = to_them.iter().filter_map(|other| goes_out(other)).filter(|at| *at <= page.due).collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    let free = limits.iter().filter_map(|limit| {
        // The oldest of the newest `pages`: once it leaves the window, another page is allowed.
        let blocking = *times.get(limit.pages.checked_sub(1)?)?;
        (blocking + limit.window > page.due).then_some(blocking + limit.window)
    });
    let Some(free) = free.max() else { return };
    page.status = match to_them.iter().filter(|other| is_holding(other)).min_by_key(|other| other.id) {
        Some(holder) => PageStatus::Bundled { into: holder.id },
        None => PageStatus::Planned { not_before: free },
    };
}

/// When a page is or was sent; `None` if it is not.
fn goes_out(page: &Page) -> Option<Timestamp> {
    match &page.status {
        PageStatus::Planned { not_before } => Some(*not_before),
        PageStatus::Claimed { at } | PageStatus::Doubtful { at, .. } => Some(*at),
        PageStatus::Sent { at, .. } | PageStatus::Delivered { at, .. } | PageStatus::Seen { at } => Some(*at),
        PageStatus::Bundled { .. } | PageStatus::Failed { .. } | PageStatus::Dropped { .. } => None,
    }
}

/// Whether a page is held by the limits, so that others can be bundled into it. A page that waits for a retry is not.
fn is_holding(page: &Page) -> bool {
    page.attempts == 0 && matches!(page.status, PageStatus::Planned { not_before } if not_before > page.due)
}

/// A reply code for a page: the same for all contacts of a user within an escalation, and distinct from those of other pages to the same
/// address.
pub(super) fn reply_code<'a>(escalation: Uuid, user: &str, address: &str, others: impl Iterator<Item = &'a Page>) -> String {
    let seed = Uuid::new_v5(&escalation, user.as_bytes()).as_u128();
    let taken: std::collections::HashSet<&str> =
        others.filter(|other| other.address == address && other.escalation != escalation).map(|other| other.reply_code.as_str()).collect();
    (0..9000u128)
        .map(|n| (1000 + (seed % 9000 + n) % 9000).to_string())
        .find(|code| !taken.contains(code.as_str()))
        .unwrap_or_else(|| (100_000 + seed % 900_000).to_string())
}
