//! The last Owner cannot be removed: nobody could assign roles afterwards. Azure refuses the same for a subscription.

use crate::rights::{OWNER, covers};

/// A role assignment, as far as the rule needs it.
#[derive(Clone, Debug)]
pub struct OwnerAssignment {
    pub definition_id: String,
    pub scope: String,
    /// Whether it is about to be removed.
    pub removed: bool,
}

/// Whether the removals leave the subscription without an Owner although it has one now.
///
/// `subscription` is its resource id. Only owners of all of it count.
pub fn is_last_owner(assignments: &[OwnerAssignment], subscription: &str) -> bool {
    let mut owners =
        assignments.iter().filter(|each| each.definition_id.eq_ignore_ascii_case(OWNER) && covers(&each.scope, subscription)).peekable();
    owners.peek().is_some() && owners.all(|each| each.removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_owner_of_all_stays() {
        // learn.microsoft.com/azure/role-based-access-control/troubleshooting: "Cannot delete the last Owner role assignment".
        let assignment =
            |definition: &str, scope: &str, removed| OwnerAssignment { definition_id: definition.into(), scope: scope.into(), removed };
        let owner = |scope, removed| assignment(OWNER, scope, removed);
        let reader = |removed| assignment("acdd72a7-3385-48ef-bd42-f606fba81ae7", "/", removed);
        let last = |all: &[OwnerAssignment]| is_last_owner(all, "/subscriptions/s");
        assert!(last(&[owner("/", true), reader(false)]));
        assert!(!last(&[owner("/", false), reader(true)]));
        assert!(!last(&[owner("/", true), owner("/SUBSCRIPTIONS/S", false)]));
        assert!(last(&[owner("/", true), owner("/subscriptions/s/resourceGroups/g", false)]));
        assert!(!last(&[owner("/", false), owner("/subscriptions/s/resourceGroups/g", true)]));
        assert!(!last(&[reader(true)]), "without an owner there is none to keep");
    }
}
