//! What a token can be for: Microsoft's APIs, this server itself, and registered applications that define an API.

use store::AppRegistration;

use crate::context::Context;
use crate::dialect::normal_audience;
use crate::error::ApiError;
use crate::identity::permissions::{self, IMPERSONATION, Permission};

/// A permission that a resource offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    pub id: String,
    pub value: String,
    pub admin: bool,
    /// For the consent page.
    pub says: String,
}

impl From<&Permission> for Offered {
    fn from(known: &Permission) -> Self {
        Self { id: known.id.to_owned(), value: known.value.to_owned(), admin: known.admin, says: known.says.to_owned() }
    }
}

/// A resource that tokens are issued for.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Under which consents are stored: the application id, or the audience of an API that has none.
    pub app_id: String,
    pub name: String,
    /// The value of `aud`.
    pub audience: String,
    /// The version of its access tokens.
    pub version: u8,
    pub scopes: Vec<Offered>,
    pub roles: Vec<Offered>,
}

/// The resource with this identifier: a URI or an application id. `None` if there is none.
pub async fn find(cx: &Context, wanted: &str) -> Result<Option<Resource>, ApiError> {
    let wanted = wanted.trim();
    let audience = normal_audience(wanted);
    if let Some(known) = permissions::resource(wanted) {
        let by_id = known.app_id.eq_ignore_ascii_case(wanted);
        return Ok(Some(Resource {
            app_id: known.app_id.to_owned(),
            name: known.name.to_owned(),
            audience: if by_id { known.audiences.first().copied().unwrap_or(wanted).to_owned() } else { wanted.to_owned() },
            version: 1,
            scopes: known.scopes.iter().map(Offered::from).collect(),
            roles: known.roles.iter().map(Offered::from).collect(),
        }));
    }
    let is_version_one = permissions::is_version_one(wanted);
    if is_version_one || cx.identity.origins.is_own_origin(&audience) {
        let is_own = !is_version_one;
        return Ok(Some(Resource {
            app_id: if is_own { "bartizan".to_owned() } else { audience.clone() },
            name: if is_own { "Bartizan".to_owned() } else { audience },
            audience: wanted.to_owned(),
            version: if is_own { 2 } else { 1 },
            scopes: vec![impersonation()],
            roles: Vec::new(),
        }));
    }
    let id = audience.strip_prefix("api://").unwrap_or(&audience).split('/').next().unwrap_or_default().to_owned();
    Ok(cx.store.app_registrations().get(&id).await?.filter(|app| is_identifier(app, wanted)).map(|app| of_app(app, wanted)))
}

fn is_identifier(app: &AppRegistration, wanted: &str) -> bool {
    let bare = wanted.strip_prefix("api://").unwrap_or(wanted);
    bare.eq_ignore_ascii_case(&app.app_id) || app.settings.identifier_uris.iter().any(|uri| uri.eq_ignore_ascii_case(wanted))
}

fn of_app(app: AppRegistration, wanted: &str) -> Resource {
    let version = app.settings.token_version.unwrap_or(1);
    let scope = |scope: &store::DelegatedScope| Offered {
        id: scope.id.clone(),
        value: scope.value.clone(),
        admin: scope.admin,
        says: format!("{} of {}", scope.value, app.display_name),
    };
    let role =
        |role: &store::AppRole| Offered { id: role.id.clone(), value: role.value.clone(), admin: true, says: role.display_name.clone() };
    Resource {
        name: app.display_name.clone(),
        // Version 2 names the application by its id (learn.microsoft.com/entra/identity-platform/access-token-claims-reference, `aud`).
        audience: if version == 2 { app.app_id.clone() } else { wanted.to_owned() },
        version,
        scopes: app.settings.scopes.iter().map(scope).collect(),
        roles: app.settings.app_roles.iter().map(role).collect(),
        app_id: app.app_id,
    }
}

fn impersonation() -> Offered {
    Offered { id: String::new(), value: IMPERSONATION.to_owned(), admin: false, says: "Do what you may do, in your name".to_owned() }
}

impl Resource {
    /// The scopes that the application requires of this resource in its manifest, or else what the resource offers to people.
    pub fn default_scopes(&self, app: &AppRegistration) -> Vec<String> {
        let required = app.settings.required.iter().find(|each| each.resource.eq_ignore_ascii_case(&self.app_id));
        match required {
            Some(required) => {
                let named =
                    |offered: &&Offered| !offered.id.is_empty() && required.scopes.iter().any(|id| id.eq_ignore_ascii_case(&offered.id));
                self.scopes.iter().filter(named).map(|offered| offered.value.clone()).collect()
            }
            None => self.scopes.iter().filter(|offered| !offered.admin).take(1).map(|offered| offered.value.clone()).collect(),
        }
    }

    /// The app roles that the application requires of this resource in its manifest.
    pub fn required_roles(&self, app: &AppRegistration) -> Vec<Offered> {
        let required = app.settings.required.iter().find(|each| each.resource.eq_ignore_ascii_case(&self.app_id));
        let named =
            |offered: &&Offered| required.is_some_and(|required| required.roles.iter().any(|id| id.eq_ignore_ascii_case(&offered.id)));
        self.roles.iter().filter(named).cloned().collect()
    }

    pub fn scope(&self, value: &str) -> Option<&Offered> {
        self.scopes.iter().find(|offered| offered.value.eq_ignore_ascii_case(value))
    }
}
