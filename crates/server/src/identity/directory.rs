//! The people and groups of the tenant in memory: what every request needs to know about its caller.

use std::collections::{HashMap, HashSet};

use store::{Account, Store, StoreError};

/// Kinds of principals, as role assignments name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    User,
    Group,
    ServicePrincipal,
}

impl PrincipalKind {
    /// Azure's `principalType`.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::ServicePrincipal => "ServicePrincipal",
        }
    }
}

/// A person, as far as requests are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    pub name: String,
    pub display_name: String,
    pub email: Option<String>,
    pub disabled: bool,
    pub must_change_password: bool,
    /// Object ids of the groups that the person is in.
    pub groups: Vec<String>,
}

/// A snapshot of accounts, groups and memberships. Object ids are compared in lower case.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    people: HashMap<String, DirectoryEntry>,
    groups: HashSet<String>,
}

impl Directory {
    /// Reads the snapshot.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let (accounts, groups) = (store.accounts().list().await?, store.groups().list().await?);
        let mut directory = Self::default();
        for account in accounts {
            directory.people.insert(account.object_id.to_ascii_lowercase(), DirectoryEntry::from(account));
        }
        directory.groups = groups.into_iter().map(|group| group.object_id.to_ascii_lowercase()).collect();
        for (group, member) in store.groups().memberships().await? {
            if let Some(entry) = directory.people.get_mut(&member.to_ascii_lowercase()) {
                entry.groups.push(group);
            }
        }
        Ok(directory)
    }

    /// The person with that object id.
    pub fn person(&self, object_id: &str) -> Option<&DirectoryEntry> {
        self.people.get(&object_id.to_ascii_lowercase())
    }

    /// The principals whose role assignments count for that object id: itself and, of a person, all groups that the person is in.
    pub fn acting_as<'a>(&'a self, object_id: &'a str) -> impl Iterator<Item = &'a str> {
        let groups = self.person(object_id).map(|person| person.groups.as_slice()).unwrap_or_default();
        std::iter::once(object_id).chain(groups.iter().map(String::as_str))
    }

    /// What the object id names, if it is a person or a group.
    pub fn kind(&self, object_id: &str) -> Option<PrincipalKind> {
        let key = object_id.to_ascii_lowercase();
        if self.people.contains_key(&key) {
            return Some(PrincipalKind::User);
        }
        self.groups.contains(&key).then_some(PrincipalKind::Group)
    }
}

impl From<Account> for DirectoryEntry {
    fn from(account: Account) -> Self {
        Self {
            name: account.name,
            display_name: account.display_name,
            email: account.email,
            disabled: account.disabled,
            must_change_password: account.must_change_password,
            groups: Vec::new(),
        }
    }
}
