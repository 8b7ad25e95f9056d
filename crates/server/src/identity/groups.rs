//! Groups of people.

use store::{Change, Group, StoreError};
use uuid::Uuid;

use super::accounts::{MAX_NAME, People};

/// Maximum groups of a service.
pub const MAX_GROUPS: usize = 1_000;
/// Maximum characters of a description, as in Entra.
const MAX_DESCRIPTION: usize = 1_024;

/// Why a group cannot be changed as wanted.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error("there is no group `{0}`")]
    NoGroup(String),
    #[error("there is a group `{0}` already")]
    NameTaken(String),
    #[error("a group name has 1 to {MAX_NAME} characters without control characters and is no GUID")]
    Name,
    #[error("a description has at most {MAX_DESCRIPTION} characters")]
    Description,
    #[error("the service has {MAX_GROUPS} groups, its limit")]
    TooMany,
    #[error("cannot read or change the group")]
    Store(#[from] StoreError),
}

impl People {
    /// The group with that object id or name.
    pub async fn find_group(&self, text: &str) -> Result<Group, GroupError> {
        let found = match Uuid::parse_str(text) {
            Ok(_) => self.store.groups().get(text).await?,
            Err(_) => self.store.groups().by_name(&self.tenant_id, text).await?,
        };
        found.ok_or_else(|| GroupError::NoGroup(text.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect()))
    }

    /// Adds a group without members.
    pub async fn create_group(&self, change: &mut Change, name: &str, description: &str) -> Result<Group, GroupError> {
        let name = name.trim();
        let fits = (1..=MAX_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if !fits || Uuid::parse_str(name).is_ok() {
            return Err(GroupError::Name);
        }
        if description.chars().count() > MAX_DESCRIPTION {
            return Err(GroupError::Description);
        }
        if change.count_groups().await? >= MAX_GROUPS {
            return Err(GroupError::TooMany);
        }
        if change.group_by_name(&self.tenant_id, name).await?.is_some() {
            return Err(GroupError::NameTaken(name.to_owned()));
        }
        let group = Group {
            object_id: Uuid::new_v4().to_string(),
            tenant_id: self.tenant_id.clone(),
            name: name.to_owned(),
            description: description.to_owned(),
            created: self.clock.now(),
        };
        change.add_group(&group).await?;
        Ok(group)
    }
}
