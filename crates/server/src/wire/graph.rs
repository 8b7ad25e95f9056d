//! Microsoft Graph, v1.0 and beta: applications and their service principals, so that connectors are registered as in Azure (S0-06, S0-13).
//!
//! Wire: the public reference of Graph's `application`, `servicePrincipal` and `passwordCredential`. Ids: an application has its own object
//! id (`id`) besides `appId`; role assignments use the object id of its service principal.

mod application_body;
mod applications;
mod consents;
mod credentials;
mod filter;
mod groups;
mod service_principals;
mod users;

use crate::endpoint::Endpoint;

pub static ENDPOINTS: &[&Endpoint] = &[
    &applications::LIST,
    &applications::GET,
    &applications::CREATE,
    &applications::UPDATE,
    &applications::DELETE,
    &credentials::ADD_PASSWORD,
    &credentials::REMOVE_PASSWORD,
    &credentials::ADD_KEY,
    &credentials::REMOVE_KEY,
    &service_principals::LIST,
    &service_principals::CREATE,
    &consents::LIST_ROLES,
    &consents::ADD_ROLE,
    &consents::REMOVE_ROLE,
    &consents::LIST_SCOPES,
    &consents::REMOVE_SCOPES,
    &users::LIST,
    &users::GET,
    &groups::LIST,
    &groups::GET,
];
