//! The change feed: one notifier per topic.

use tokio::sync::watch;

/// A kind of state. A task subscribes to the topics it depends on and re-reads the state on each notification; notifications coalesce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Alerts,
    Incidents,
    Outbox,
    AnalyticsRules,
    DataCollectionRules,
    AppRegistrations,
    RoleAssignments,
    /// Accounts of people, groups and memberships.
    Accounts,
    Workspaces,
    /// Users, schedules, policies.
    OnCall,
    /// Escalations, pages and answers.
    Pages,
    /// A heartbeat was received.
    Heartbeats,
}

impl Topic {
    pub const ALL: [Topic; 12] = [
        Topic::Alerts,
        Topic::Incidents,
        Topic::Outbox,
        Topic::AnalyticsRules,
        Topic::DataCollectionRules,
        Topic::AppRegistrations,
        Topic::RoleAssignments,
        Topic::Accounts,
        Topic::Workspaces,
        Topic::OnCall,
        Topic::Pages,
        Topic::Heartbeats,
    ];
}

/// The notifiers. A receiver that was busy sees a pending notification.
#[derive(Debug)]
pub(crate) struct Bells(Vec<watch::Sender<u64>>);

impl Bells {
    pub(crate) fn new() -> Self {
        Self(Topic::ALL.iter().map(|_| watch::Sender::new(0)).collect())
    }

    pub(crate) fn ring(&self, topic: Topic) {
        self.0[topic as usize].send_modify(|count| *count += 1);
    }

    pub(crate) fn listen(&self, topic: Topic) -> watch::Receiver<u64> {
        self.0[topic as usize].subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_in_the_order_of_their_bells() {
        for (index, topic) in Topic::ALL.into_iter().enumerate() {
            assert_eq!(topic as usize, index);
        }
    }
}
