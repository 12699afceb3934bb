//! Serves `/api/v3/configure/token`: administrators create, list and revoke database tokens.
//!
//! Only the response to a creation contains the token. The Catalog stores its SHA-256.
//!
//! Also serves `/api/v3/configure/access`: GET lists tokens and users with the hashes of their
//! secrets, and POST imports such a list into another deployment. InfluxDB has no such route.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{ApiError, ApiResult, invalid};
use crate::http::{Parameters, Response};
use crate::routes::handler::{PendingRequest, Request, json_line};
use tidemark_coordinator::Io;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::grants::{TOKEN_PREFIX, hex, token_hash};
use tidemark_coordinator::users_and_tokens::grant_access;
use tidemark_engine::protocol::call::Platform;
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::grants::Grantee;
use tidemark_influxql::time_literal::format_utc;
use tidemark_model::grant::{Grants, Permission};
use tidemark_model::limits::{
    ACCESS_ROWS_PER_REQUEST, GRANTEES_PER_PAGE, PASSWORD_ITERATIONS, TOKEN_NAME_BYTES_MAX,
};
use tidemark_model::name;
use tidemark_model::time::{D_NS, S_NS};

/// The header with the `after` of the next page.
const NEXT_HEADER: &str = "X-Tidemark-Next";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    token_name: String,
    permissions: Vec<PermissionBody>,
    expiry_secs: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PermissionBody {
    resource_type: String,
    #[serde(alias = "resource_names")]
    resource_identifier: Vec<String>,
    actions: Vec<String>,
}

pub(super) fn begin(request: &Request) -> ApiResult<PendingRequest> {
    Ok(match request.head.method.as_str() {
        "POST" => PendingRequest::with_body(|request, body| async move {
            let (body, io) = (body.json()?, request.io);
            let (token, grantee) = io.with(|context| new_token(body, context.platform))??;
            create(io, token, grantee).await
        }),
        "DELETE" => {
            let missing = "name the token with the parameter token_name";
            let name = request.required("token_name", missing)?;
            PendingRequest::run(|io| delete(io, name))
        }
        _ => {
            let limit = number(&request.url, "limit", GRANTEES_PER_PAGE as u64)?;
            let limit = limit.clamp(1, GRANTEES_PER_PAGE as u64);
            let after = number(&request.url, "after", 0)?;
            PendingRequest::run(move |io| list(io, after, limit))
        }
    })
}

fn number(url: &Parameters, name: &str, otherwise: u64) -> ApiResult<u64> {
    let Some(text) = url.filled(name) else { return Ok(otherwise) };
    text.parse().or_else(|_| invalid(format!("{name} must be a whole number, not \"{text}\"")))
}

fn is_printable_name(name: &str) -> bool {
    (1..=TOKEN_NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn new_token(body: Body, platform: &dyn Platform) -> ApiResult<(String, Grantee)> {
    if !is_printable_name(&body.token_name) {
        return invalid("token_name must consist of 1 to 256 bytes of printable characters");
    }
    let mut permissions = Vec::new();
    for permission in &body.permissions {
        read_permission(permission, &mut permissions)?;
    }
    if permissions.is_empty() {
        return invalid("permissions must name at least one database");
    }
    let now_ns = platform.now_ns();
    let expires_ns = match body.expiry_secs {
        None => i64::MAX,
        Some(seconds) if seconds > 0 => now_ns.saturating_add(seconds.saturating_mul(S_NS)),
        Some(_) => {
            return invalid(
                "expiry_secs must be above 0; omit expiry_secs for a token that never expires",
            );
        }
    };
    let words = [(); 4].map(|()| platform.random_u64().to_be_bytes());
    let random = words.as_flattened();
    if random.iter().all(|&byte| byte == 0) {
        return Err(ApiError::Internal("the runtime does not provide random numbers".to_owned()));
    }
    let token = format!("{TOKEN_PREFIX}{}", hex(random));
    let grants = Grants { admin: false, permissions };
    let (hash, times_ns) = (token_hash(&token), [now_ns, expires_ns]);
    let grantee = Grantee::token(&body.token_name, hash, grants, times_ns);
    Ok((token, grantee))
}

async fn create(io: Io, token: String, grantee: Grantee) -> ApiResult<Response> {
    let message = ToCatalog::PutGrantee(Box::new(grantee.clone()));
    let id = match io.call_catalog(&message).await {
        Ok(FromCatalog::Granted { id, .. }) => id,
        Err(Error::Unavailable(Unavailable::Changing)) => {
            return Err(ApiError::Conflict(format!("token \"{}\" already exists", grantee.name)));
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Error::unexpected_reply().into()),
    };
    let body = json!({
        "id": id,
        "name": grantee.name,
        "token": token,
        "hash": grantee.hash,
        "created_at": format_utc(grantee.created_ns),
        "expiry": expiry(grantee.expires_ns),
    });
    Ok(json_line(201, &body))
}

async fn delete(io: Io, name: String) -> ApiResult<Response> {
    let message = ToCatalog::RemoveGrantee { user: false, name: name.clone() };
    match io.call_catalog(&message).await? {
        FromCatalog::Dropped { existed: true, remaining: 0 } => Ok(Response::empty(200)),
        // The token is revoked, but some databases may still accept it.
        FromCatalog::Dropped { existed: true, remaining } => {
            Ok(json_line(202, &json!({ "remaining": remaining })))
        }
        FromCatalog::Dropped { existed: false, .. } => {
            Err(ApiError::NotFound(format!("token not found: \"{name}\"")))
        }
        _ => Err(Error::unexpected_reply().into()),
    }
}

async fn list(io: Io, after: u64, limit: u64) -> ApiResult<Response> {
    let message = ToCatalog::Grantees { user: false, after, limit };
    let FromCatalog::Grantees { rows, more, used } = io.call_catalog(&message).await? else {
        return Err(Error::unexpected_reply().into());
    };
    let next = rows.last().filter(|_| more).map(|row| row.id.to_string());
    let used = used.into_iter().chain(std::iter::repeat(None));
    let tokens = rows.iter().zip(used).map(|(row, used)| described(row, used));
    let response = json_line(200, &Value::Array(tokens.collect()));
    Ok(match next {
        Some(next) => response.with_header(NEXT_HEADER, next),
        None => response,
    })
}

/// Describes a token without its secret. `used` is the day of its last use, in days since 1970.
fn described(row: &Grantee, used: Option<u32>) -> Value {
    let permissions = row.grants.permissions.iter().map(|permission| {
        let database = permission.database.as_deref().unwrap_or("*");
        let policy = permission.policy.as_ref().map(|policy| format!("/{policy}"));
        let rights = [
            ("read", permission.read),
            ("write", permission.write),
            ("metrics", permission.metrics),
        ];
        let actions = rights.iter().filter(|(_, held)| *held).map(|(name, _)| Value::from(*name));
        json!({
            "resource_type": "db",
            "resource_identifier": [format!("{database}{}", policy.unwrap_or_default())],
            "actions": actions.collect::<Vec<_>>(),
        })
    });
    let mut last_used = used.map(|day| format_utc(i64::from(day).saturating_mul(D_NS)));
    // Only the date, such as `2026-11-22`.
    last_used.iter_mut().for_each(|text| text.truncate(10));
    json!({
        "id": row.id,
        "name": row.name,
        "hash": row.hash,
        "permissions": permissions.collect::<Vec<_>>(),
        "created_at": format_utc(row.created_ns),
        "expiry": expiry(row.expires_ns),
        "last_used": last_used,
    })
}

/// Formats an expiry time; null means never.
fn expiry(expires_ns: i64) -> Value {
    if expires_ns == i64::MAX { Value::Null } else { format_utc(expires_ns).into() }
}

fn read_permission(body: &PermissionBody, out: &mut Vec<Permission>) -> ApiResult<()> {
    if body.resource_type != "db" {
        return invalid(
            "resource_type must be \"db\"; for an admin token set the secret ADMIN_TOKEN",
        );
    }
    let has = |action: &str| body.actions.iter().any(|given| given == action);
    let (read, write, metrics) = (has("read"), has("write"), has("metrics"));
    let known = ["read", "write", "metrics"];
    let are_known = body.actions.iter().all(|action| known.contains(&action.as_str()));
    if !are_known || body.actions.is_empty() {
        return invalid(
            "actions must contain one or more of \"read\", \"write\" and \"metrics\", and no other \
             value",
        );
    }
    for resource in &body.resource_identifier {
        let (database, policy) = match name::split_bucket(resource) {
            ("*", None) => (None, None),
            (database, policy) => (Some(database.to_owned()), policy.map(str::to_owned)),
        };
        let valid = |name: &Option<String>| name.iter().all(|name| name::check(name).is_ok());
        if !valid(&database) || !valid(&policy) || (resource.starts_with("*/")) {
            let expected = "expected a database, database/policy or *";
            return invalid(format!("invalid resource \"{resource}\": {expected}"));
        }
        if metrics && policy.is_some() {
            return invalid(
                "the action metrics applies to a whole database: name the database without a \
                 policy",
            );
        }
        out.push(Permission { database, policy, read, write, metrics });
    }
    Ok(())
}

const HASH_DIGITS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Token,
    User,
}

/// A token in the list. Times are seconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    kind: Kind,
    name: String,
    hash: String,
    #[serde(default)]
    salt: String,
    #[serde(default)]
    iterations: u32,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    permissions: Vec<Permission>,
    #[serde(default)]
    created_s: i64,
    /// `None` means never.
    expires_s: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename = "Body")]
struct AccessBody {
    rows: Vec<Row>,
}

impl Row {
    fn of(row: &Grantee) -> Self {
        Self {
            kind: if row.user { Kind::User } else { Kind::Token },
            name: row.name.clone(),
            hash: row.hash.clone(),
            salt: row.salt.clone(),
            iterations: row.iterations,
            admin: row.grants.admin,
            permissions: row.grants.permissions.clone(),
            created_s: row.created_ns / S_NS,
            expires_s: (row.expires_ns != i64::MAX).then_some(row.expires_ns / S_NS),
        }
    }

    fn check(&self) -> ApiResult<()> {
        let name = &self.name;
        if !is_printable_name(name) {
            return invalid("a name must consist of 1 to 256 bytes of printable characters");
        }
        let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if self.hash.len() != HASH_DIGITS || !is_hex(&self.hash) || !is_hex(&self.salt) {
            return invalid(format!("\"{name}\": hash and salt must be lower-case hex digits"));
        }
        match self.kind {
            Kind::Token if self.admin => {
                invalid(format!("\"{name}\": a token cannot be an administrator"))
            }
            Kind::User if !(1..=PASSWORD_ITERATIONS).contains(&self.iterations) => {
                invalid(format!("\"{name}\": iterations must be 1 to {PASSWORD_ITERATIONS}"))
            }
            _ => Ok(()),
        }
    }

    fn grantee(self) -> Grantee {
        let nanoseconds = |seconds: i64| seconds.saturating_mul(S_NS);
        let times_ns = [nanoseconds(self.created_s), self.expires_s.map_or(i64::MAX, nanoseconds)];
        let grants = Grants { admin: self.admin, permissions: self.permissions };
        let row = Grantee::token(&self.name, self.hash, grants, times_ns);
        let user = self.kind == Kind::User;
        Grantee { user, salt: self.salt, iterations: self.iterations, ..row }
    }
}

pub(super) fn begin_access(request: &Request) -> ApiResult<PendingRequest> {
    if request.head.method == "POST" {
        return Ok(PendingRequest::with_body(|request, body| async move {
            let AccessBody { rows } = body.json()?;
            if rows.len() > ACCESS_ROWS_PER_REQUEST {
                return invalid(format!("at most {ACCESS_ROWS_PER_REQUEST} rows at a time"));
            }
            rows.iter().try_for_each(Row::check)?;
            let rows = rows.into_iter().map(Row::grantee).collect();
            let given = grant_access(&request.io, rows).await?;
            let body = json!({
                "made": given.made,
                "widened": given.widened,
                "unchanged": given.unchanged,
                "refused": given.refused,
            });
            Ok(json_line(200, &body))
        }));
    }
    let kind = match request.url.filled("kind") {
        None | Some("token") => Kind::Token,
        Some("user") => Kind::User,
        Some(other) => return invalid(format!("kind must be token or user, not \"{other}\"")),
    };
    let after = number(&request.url, "after", 0)?;
    Ok(PendingRequest::run(move |io| page(io, kind, after)))
}

/// Returns a page and the parameters of the next page. Tokens precede users.
async fn page(io: Io, kind: Kind, after: u64) -> ApiResult<Response> {
    let limit = GRANTEES_PER_PAGE as u64;
    let message = ToCatalog::Grantees { user: kind == Kind::User, after, limit };
    let FromCatalog::Grantees { rows, more, .. } = io.call_catalog(&message).await? else {
        return Err(Error::unexpected_reply().into());
    };
    let next = match (rows.last().filter(|_| more), kind) {
        (Some(last), _) => json!({ "kind": kind, "after": last.id }),
        (None, Kind::Token) => json!({ "kind": Kind::User, "after": 0 }),
        (None, Kind::User) => Value::Null,
    };
    let rows: Vec<Row> = rows.iter().map(Row::of).collect();
    Ok(json_line(200, &json!({ "rows": rows, "next": next })))
}
