//! Pages that will not arrive, according to the channel or a receipt: the user's next page, or the next step, is brought forward.

use model::Timestamp;
use store::{Change, StoreError};
use uuid::Uuid;

use crate::escalation::{EscalationStatus, Page, PageStatus, Trouble};
use crate::inbound::News;
use crate::ledger;
use crate::message::MessageKind;
use crate::records;

/// Records a delivery receipt, and brings the next page or step forward if the page will not arrive. Late or repeated receipts change
/// nothing.
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

/// The page after a receipt; `None` if unchanged. A seen page stays seen, and a failure reported by the provider stays final.
fn after_news(page: &Page, news: &News, now: Timestamp) -> Option<Page> {
    let provider_id = match &page.status {
        PageStatus::Sent { provider_id, .. } => provider_id.clone(),
        // A receipt resolves the doubt of a lost response; it may even arrive before the response.
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

/// A page will not arrive: the user's next page is sent now; if no page of the step is left, the next step is taken.
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
            // Only while the failed step is the last one taken.
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

/// What is brought forward because a page will not arrive.
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
    // A user who was reached otherwise does not need it.
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
        // Receipts that arrive before the response, or resolve a doubt.
        for open in [PageStatus::Claimed { at: at(0) }, PageStatus::Doubtful { at: at(0), reason: String::new() }] {
            assert!(matches!(of(open, &failed), Some(PageStatus::Failed { .. })));
        }
    }
}
