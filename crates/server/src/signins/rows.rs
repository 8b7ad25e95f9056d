//! Rows of `AADServicePrincipalSignInLogs` and `SigninLogs`.

use model::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Group, Place, SignIn, Who};

/// `ResultType` of the row that counts what is beyond the limits; not a number of Entra's.
pub const BEYOND: &str = "Bartizan.NotListed";

pub fn table(who: Who) -> &'static str {
    match who {
        Who::Application => "AADServicePrincipalSignInLogs",
        Who::User => "SigninLogs",
    }
}

/// Equal sign-ins: the first one's time, and their number if there are several.
pub(super) fn row(sign_in: &SignIn, group: &Group, place: &Place) -> Map<String, Value> {
    let succeeded = sign_in.code == 0;
    let mut row = common(sign_in.who, place, group.first);
    let details = match group.count {
        1 => "[]".to_owned(),
        several => json!([{ "key": "Sign-ins", "value": several.to_string() }]).to_string(),
    };
    let fields = json!({
        "AppId": sign_in.app_id,
        "AuthenticationProcessingDetails": details,
        "ClientCredentialType": sign_in.credential,
        "CorrelationId": group.correlation,
        "Identity": sign_in.name,
        "IPAddress": sign_in.address,
        "ResourceDisplayName": sign_in.resource,
        "ResourceIdentity": sign_in.resource,
        "ResultDescription": sign_in.description,
        "ResultSignature": if succeeded { "SUCCESS" } else { "FAILURE" },
        "ResultType": sign_in.code.to_string(),
        "UserAgent": sign_in.user_agent,
    });
    extend(&mut row, fields);
    let who = match sign_in.who {
        Who::Application => json!({ "ServicePrincipalId": sign_in.object_id, "ServicePrincipalName": sign_in.name }),
        Who::User => json!({
            "UserId": sign_in.object_id, "UserPrincipalName": sign_in.name, "UserDisplayName": sign_in.name,
            "Status": { "errorCode": sign_in.code, "failureReason": sign_in.description },
        }),
    };
    extend(&mut row, who);
    row
}

/// The row that counts the sign-ins beyond the limits.
pub(super) fn beyond(count: u64, place: &Place, now: Timestamp) -> Map<String, Value> {
    let mut row = common(Who::Application, place, now);
    let description = format!("{count} more sign-ins are not listed: there were more than the limit of a window");
    extend(&mut row, json!({ "ResultType": BEYOND, "ResultSignature": "FAILURE", "ResultDescription": description }));
    row
}

fn common(who: Who, place: &Place, at: Timestamp) -> Map<String, Value> {
    let mut row = Map::new();
    let fields = json!({
        "TimeGenerated": at,
        "CreatedDateTime": at,
        "AADTenantId": place.tenant_id,
        "TenantId": place.workspace_id,
        "Category": if who == Who::Application { "ServicePrincipalSignInLogs" } else { "SignInLogs" },
        "OperationName": "Sign-in activity",
        "OperationVersion": "1.0",
        "Level": "4",
        "Id": Uuid::new_v4(),
        "SourceSystem": "Azure AD",
        "Type": table(who),
    });
    extend(&mut row, fields);
    row
}

fn extend(row: &mut Map<String, Value>, fields: Value) {
    if let Value::Object(fields) = fields {
        row.extend(fields);
    }
}
