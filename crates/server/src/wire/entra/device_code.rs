//! `POST /{tenant}/oauth2[/v2.0]/devicecode` — a code for a device without a browser (RFC 8628).

use http::Method;
use model::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{GrantKind, GrantState, OAuthGrant};

use super::authorization::is_version_one;
use super::scopes::{self, Asked};
use super::{client, errors, one_time, tenant};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::ENTRA;
use crate::endpoint::{Endpoint, NO_ACTION, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::Person;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/{tenant}/oauth2[/v2.0]/devicecode",
    summary: "Give a device without a browser a code that a person enters elsewhere",
    dialect: &ENTRA,
    role: Role::Open("the code is worth nothing until a person signs in with it"),
    action: NO_ACTION,
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(device_code(cx, call)),
};

/// Codes of one application that may wait for a person at the same time.
const MAX_WAITING: u64 = 1_000;

/// What a device code stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceBody {
    pub asked: Asked,
    /// Who approved it.
    pub person: Option<Person>,
    /// When the device asked last, and how long it must wait between requests, in seconds.
    pub last: Option<Timestamp>,
    pub interval: i64,
}

async fn device_code(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let tenant = tenant(cx, call.param("tenant"))?;
    let form = call.form().await?;
    let app = client::find(cx, form.filled("client_id").ok_or_else(|| errors::missing_parameter("client_id"))?).await?;
    if tenant.is_common && !app.settings.multi_tenant {
        return Err(errors::not_multi_tenant(&app.app_id, &app.display_name));
    }
    if !app.settings.is_public {
        return Err(errors::proof_required());
    }
    let resource = form.filled("resource").filter(|_| is_version_one(&call));
    let (asked, _) = scopes::read(cx, &app, form.filled("scope"), resource).await?;
    let (device, user) = (one_time::generate()?, one_time::user_code()?);
    let now = cx.clock.now();
    let body = DeviceBody { asked, person: None, last: None, interval: one_time::DEVICE_INTERVAL };
    let grant = OAuthGrant {
        hash: one_time::hash(device.reveal()),
        kind: GrantKind::DeviceCode,
        family: one_time::hash(&user),
        app_id: app.app_id.clone(),
        state: GrantState::Pending,
        body: serde_json::to_value(&body).map_err(|error| ApiError::internal(&error))?,
        expires: now + one_time::DEVICE_LIFETIME,
    };
    let mut change = cx.store.begin().await?;
    change.delete_expired_oauth_grants(now).await?;
    if change.count_oauth_grants(GrantKind::DeviceCode, &app.app_id, GrantState::Pending).await? >= MAX_WAITING {
        return Err(errors::too_many_device_codes());
    }
    change.put_oauth_grant(&grant).await?;
    change.commit().await?;
    let address = format!("{}/devicelogin", call.origin);
    let seconds = one_time::DEVICE_LIFETIME.ticks() / Span::SECOND.ticks();
    let message = format!("To sign in, use a web browser to open the page {address} and enter the code {user} to authenticate.");
    let mut answer = json!({
        "user_code": user,
        "device_code": device.reveal(),
        "verification_uri": address,
        "expires_in": seconds,
        "interval": one_time::DEVICE_INTERVAL,
        "message": message,
    });
    if is_version_one(&call) {
        // Version 1 has another name for the address, and numbers as strings.
        answer["verification_url"] = json!(address);
        if form.filled("resource").is_some() {
            answer["expires_in"] = json!(seconds.to_string());
            answer["interval"] = json!(one_time::DEVICE_INTERVAL.to_string());
        }
    }
    Reply::json(answer)
}
