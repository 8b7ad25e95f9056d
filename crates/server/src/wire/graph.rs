//! Microsoft Graph, v1.0 and beta: applications and their service principals, so that connectors are registered as in Azure (S0-06, S0-13).
//!
//! Wire: the public reference of Graph's `application`, `servicePrincipal` and `passwordCredential`. Ids: an application has its own object
//! id (`id`) besides `appId`; role assignments use the object id of its service principal.

mod applications;
mod filter;
mod groups;
mod service_principals;
mod users;

use crate::endpoint::Endpoint;

pub static ENDPOINTS: &[&Endpoint] = &[
    &applications::LIST,
    &applications::GET,
    &applications::CREATE,
    &applications::ADD_PASSWORD,
    &applications::REMOVE_PASSWORD,
    &applications::DELETE,
    &service_principals::LIST,
    &service_principals::CREATE,
    &users::LIST,
    &users::GET,
    &groups::LIST,
    &groups::GET,
];
