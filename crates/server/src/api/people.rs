//! `/api/v1/session`, `/api/v1/users` and `/api/v1/groups` — signing in, one's own account, and the administration of people.

mod common;
mod group_members;
mod groups;
mod own_sessions;
mod password;
mod second_factor;
mod session;
mod user_actions;
mod users;

use crate::endpoint::Endpoint;

pub static ENDPOINTS: &[&Endpoint] = &[
    &session::SIGN_IN,
    &session::GET,
    &session::SIGN_OUT,
    &own_sessions::LIST,
    &own_sessions::REVOKE,
    &own_sessions::REVOKE_OTHERS,
    &password::CHANGE,
    &second_factor::ENROL,
    &second_factor::CONFIRM,
    &second_factor::REMOVE,
    &second_factor::NEW_CODES,
    &users::LIST,
    &users::GET,
    &users::CREATE,
    &users::UPDATE,
    &users::DELETE,
    &user_actions::DISABLE,
    &user_actions::ENABLE,
    &user_actions::RESET_PASSWORD,
    &user_actions::RESET_TOTP,
    &user_actions::REVOKE_SESSIONS,
    &groups::LIST,
    &groups::GET,
    &groups::CREATE,
    &groups::DELETE,
    &group_members::ADD,
    &group_members::REMOVE,
];
