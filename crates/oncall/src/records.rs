//! Conversions between domain types and stored rows of escalations, pages and answers.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use store::{AlertResponseRow, EscalationRow, PageRow, StoreError, WishRow};
use uuid::Uuid;

use crate::desk::Wish;
use crate::escalation::{AlertResponse, Escalation, EscalationStatus, Page, PageStatus, ResponseState};

pub fn escalation_row(escalation: &Escalation) -> Result<EscalationRow, StoreError> {
    use EscalationStatus as S;
    // Others are evaluated on events, not by time.
    let due = match &escalation.status {
        S::Running | S::Held { .. } | S::Acknowledged { .. } => escalation.next,
        S::Nobody { .. } | S::Grouped { .. } | S::Exhausted { .. } | S::Closed { .. } => None,
    };
    Ok(EscalationRow {
        id: escalation.id,
        incident: escalation.incident,
        generation: escalation.generation,
        status: status_name(&escalation.status).to_owned(),
        due,
        group: escalation.group.clone(),
        body: write("escalation", escalation)?,
    })
}

pub fn escalation(row: EscalationRow) -> Result<Escalation, StoreError> {
    read("escalation", row.id, row.body)
}

/// Name in filters and columns.
pub fn status_name(status: &EscalationStatus) -> &'static str {
    match status {
        EscalationStatus::Running => "running",
        EscalationStatus::Nobody { .. } => "nobody",
        EscalationStatus::Held { .. } => "held",
        EscalationStatus::Grouped { .. } => "grouped",
        EscalationStatus::Acknowledged { .. } => "acknowledged",
        EscalationStatus::Exhausted { .. } => "exhausted",
        EscalationStatus::Closed { .. } => "closed",
    }
}

pub fn page_row(page: &Page) -> Result<PageRow, StoreError> {
    let (not_before, provider_id) = match &page.status {
        PageStatus::Planned { not_before } => (Some(*not_before), None),
        PageStatus::Sent { provider_id, .. } | PageStatus::Delivered { provider_id, .. } => (None, provider_id.clone()),
        _ => (None, None),
    };
    Ok(PageRow {
        id: page.id,
        escalation: page.escalation,
        incident: page.incident,
        channel: page.channel.clone(),
        address: page.address.clone(),
        reply_code: page.reply_code.clone(),
        status: page_status_name(&page.status).to_owned(),
        due: page.due,
        not_before,
        provider_id,
        body: write("page", page)?,
    })
}

pub fn page(row: PageRow) -> Result<Page, StoreError> {
    read("page", row.id, row.body)
}

pub fn pages(rows: Vec<PageRow>) -> Result<Vec<Page>, StoreError> {
    rows.into_iter().map(page).collect()
}

/// Name in filters and columns.
pub fn page_status_name(status: &PageStatus) -> &'static str {
    match status {
        PageStatus::Planned { .. } => "planned",
        PageStatus::Bundled { .. } => "bundled",
        PageStatus::Claimed { .. } => "claimed",
        PageStatus::Sent { .. } => "sent",
        PageStatus::Delivered { .. } => "delivered",
        PageStatus::Seen { .. } => "seen",
        PageStatus::Doubtful { .. } => "doubtful",
        PageStatus::Failed { .. } => "failed",
        PageStatus::Dropped { .. } => "dropped",
    }
}

pub fn response_row(incident: Uuid, response: &AlertResponse) -> Result<AlertResponseRow, StoreError> {
    let state = match response.state {
        ResponseState::Triggered => "triggered",
        ResponseState::Acknowledged => "acknowledged",
        ResponseState::Resolved => "resolved",
    };
    Ok(AlertResponseRow {
        incident,
        alert: response.alert,
        state: state.to_owned(),
        at: response.at,
        body: write("alert response", response)?,
    })
}

pub fn responses(rows: Vec<AlertResponseRow>) -> Result<Vec<AlertResponse>, StoreError> {
    rows.into_iter().map(|row| read("alert response", row.alert, row.body)).collect()
}

pub fn wish(row: WishRow) -> Result<Wish, StoreError> {
    read("wish for an incident", row.id, row.body)
}

pub(crate) fn write<T: Serialize>(aggregate: &'static str, value: &T) -> Result<Value, StoreError> {
    serde_json::to_value(value).map_err(|cause| StoreError::Encode { aggregate, cause })
}

fn read<T: DeserializeOwned>(aggregate: &'static str, id: Uuid, body: Value) -> Result<T, StoreError> {
    serde_json::from_value(body).map_err(|cause| StoreError::Corrupt { aggregate, id: id.to_string(), cause })
}
