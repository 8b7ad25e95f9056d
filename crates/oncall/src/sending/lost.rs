//! Pages that will not arrive, by the channel's word or by the provider's receipt: what comes next for the person, or the next step, comes at
//! once.

use model::Timestamp;
use store::{Change, StoreError};
use uuid::Uuid;

use crate::escalation::{EscalationStatus, Page, PageStatus, Trouble};
use crate::inbound::News;
use crate::ledger;
use crate::message::MessageKind;
use crate::records;

/// Writes down what a provider says became of a page, and lets what comes next come at once where it will not arrive. News that come late or
/// twice change nothing.
pub(crate) async fn receive(change: &mut Change, id: Uuid, news: &News, now: Timestamp) -> Result<(), StoreError> {
    let Some(row) = change.page(id).await? else { return Ok(()) };
    let page = records::page(row)?;
    let Some(after) = after_news(&page, news, now) else { return Ok(()) };
    change.update_page(&records::page_row(&after)?).await?;
    if will_not_arrive(&after.status) {
        tracing::warn!(page = %id, user = after.user, channel = after.channel, "the provider did not deliver a page");
        hurry(change, &after, now).await?;
    }
    Ok(())
}

/// What a page is after news of it; none: they change nothing. What was seen stays seen, and what failed was said to have failed by the same
/// provider.
fn after_news(page: &Page, news: &News, now: Timestamp) -> Option<Page> {
    let provider_id = match &page.status {
        PageStatus::Sent { provider_id, .. } => provider_id.clone(),
        // The news of a message whose answer was lost settle the doubt; they may even overtake the answer.
        PageStatus::Doubtful { .. } | PageStatus::Claimed { .. } => None,
        _ => return None,
    };
    let mut after = page.clone();
    after.status = match news {
        News::Delivered => PageStatus::Delivered { at: now, provider_id },
        News::Failed { reason } => {
            after.troubles.push(Trouble { at: now, reason: reason.clone(), doubtful: false });
            PageStatus::Failed { at: now, reason: reason.clone() }
        }
    };
    Some(after)
}

pub(super) fn will_not_arrive(status: &PageStatus) -> bool {
    matches!(status, PageStatus::Failed { .. } | PageStatus::Doubtful { .. })
}

/// A page will not arrive: the person's next one comes now; where nobody of the step is left to hear of it, the next step does.
pub(super) async fn hurry(change: &mut Change, lost: &Page, now: Timestamp) -> Result<(), StoreError> {
    if lost.kind != MessageKind::Page || lost.escalation.is_nil() {
        return Ok(());
    }
    let pages = ledger::of_escalation(change, lost.escalation).await?;
    match comes_next(lost, &pages) {
        Next::Page(id) => {
            if let Some(row) = change.page(id).await? {
                let page = Page { status: PageStatus::Planned { not_before: now }, ..records::page(row)? };
                change.update_page(&records::page_row(&page)?).await?;
            }
        }
        Next::Step => {
            let rows = change.escalations_of(lost.incident).await?;
            let Some(row) = rows.into_iter().find(|row| row.id == lost.escalation) else { return Ok(()) };
            let mut escalation = records::escalation(row)?;
            // Only while the step that failed is the last one taken.
            let current = escalation.status == EscalationStatus::Running
                && escalation.round == lost.round
                && escalation.step == lost.step + 1
                && escalation.next.is_some_and(|next| next > now);
            if current {
                escalation.next = Some(now);
                change.put_escalation(&records::escalation_row(&escalation)?).await?;
            }
        }
        Next::Nothing => {}
    }
    Ok(())
}

/// What comes at once because a page will not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Page(Uuid),
    Step,
    Nothing,
}

fn comes_next(lost: &Page, pages: &[Page]) -> Next {
    let step: Vec<&Page> = pages
        .iter()
        .filter(|page| page.kind == MessageKind::Page && (page.round, page.step) == (lost.round, lost.step) && page.id != lost.id)
        .collect();
    let theirs = step.iter().filter(|page| page.user == lost.user);
    // Whoever was reached another way needs no hurry.
    let waiting = |page: &&&Page| matches!(page.status, PageStatus::Planned { .. }) && page.attempts == 0;
    let reached =
        |page: &&Page| !matches!(page.status, PageStatus::Planned { .. } | PageStatus::Dropped { .. }) && !will_not_arrive(&page.status);
    if theirs.clone().any(|page| reached(page)) {
        return Next::Nothing;
    }
    if let Some(next) = theirs.filter(waiting).min_by_key(|page| (page.due, page.id)) {
        return Next::Page(next.id);
    }
    if step.iter().all(|page| will_not_arrive(&page.status)) { Next::Step } else { Next::Nothing }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, page};
    use super::*;

    #[test]
    fn what_comes_after_a_loss_comes_at_once() {
        let failed = || PageStatus::Failed { at: at(0), reason: String::new() };
        let planned = || PageStatus::Planned { not_before: at(900) };
        let lost = page(1, "ann", failed());
        let pages = [lost.clone(), page(3, "ann", planned()), page(2, "ann", planned()), page(9, "bo", planned())];
        assert_eq!(comes_next(&lost, &pages), Next::Page(Uuid::from_u128(2)), "her next rule");
        let sent = PageStatus::Sent { at: at(0), provider_id: None };
        assert_eq!(
            comes_next(&lost, &[lost.clone(), page(2, "ann", sent.clone()), page(3, "ann", planned())]),
            Next::Nothing,
            "she was reached"
        );
        assert_eq!(comes_next(&lost, &[lost.clone(), page(9, "bo", sent)]), Next::Nothing, "somebody else was reached");
        assert_eq!(comes_next(&lost, &[lost.clone(), page(9, "bo", failed())]), Next::Step, "nobody was");
        assert_eq!(comes_next(&lost, std::slice::from_ref(&lost)), Next::Step);
    }

    #[test]
    fn news_that_come_late_or_twice_change_nothing() {
        let failed = News::Failed { reason: "x".to_owned() };
        let of = |status: PageStatus, news: &News| after_news(&page(1, "ann", status), news, at(1)).map(|page| page.status);
        let sent = PageStatus::Sent { at: at(0), provider_id: Some("SM1".to_owned()) };
        let delivered = PageStatus::Delivered { at: at(1), provider_id: Some("SM1".to_owned()) };
        assert_eq!(of(sent.clone(), &News::Delivered), Some(delivered.clone()));
        assert_eq!(of(sent, &failed), Some(PageStatus::Failed { at: at(1), reason: "x".to_owned() }));
        for settled in [delivered, PageStatus::Seen { at: at(0) }, PageStatus::Failed { at: at(0), reason: String::new() }] {
            assert_eq!(of(settled.clone(), &News::Delivered), None);
            assert_eq!(of(settled, &failed), None);
        }
        // News that overtake the answer to the request, or settle a doubt.
        for open in [PageStatus::Claimed { at: at(0) }, PageStatus::Doubtful { at: at(0), reason: String::new() }] {
            assert!(matches!(of(open, &failed), Some(PageStatus::Failed { .. })));
        }
    }
}
