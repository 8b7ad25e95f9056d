//! The change feed: one bell per kind of state.

use tokio::sync::watch;

/// What a bell rings for. A task listens to the topics it works on and looks again at each ring; rings coalesce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Alerts,
    Incidents,
    Outbox,
    AnalyticsRules,
    DataCollectionRules,
    AppRegistrations,
    RoleAssignments,
    Workspaces,
    /// Users, schedules, policies: what was applied.
    OnCall,
    /// Escalations, pages and answers.
    Pages,
    /// Something that is watched for silence was heard.
    Heartbeats,
}

impl Topic {
    pub const ALL: [Topic; 11] = [
        Topic::Alerts,
        Topic::Incidents,
        Topic::Outbox,
        Topic::AnalyticsRules,
        Topic::DataCollectionRules,
        Topic::AppRegistrations,
        Topic::RoleAssignments,
        Topic::Workspaces,
        Topic::OnCall,
        Topic::Pages,
        Topic::Heartbeats,
    ];
}

/// The bells. A listener that was busy while one rang finds it rung.
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
