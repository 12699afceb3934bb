//! Serves `/api/v3/configure/access`: GET lists tokens and users with the hashes of their secrets,
//! and POST imports such a list into another deployment. InfluxDB has no such route.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::error::{ApiError, ApiResult};
use crate::api::http::Response;
use crate::api::routes::handler::{Incoming, PendingRequest, json_line};
use crate::coordinator::Io;
use crate::coordinator::error::Error;
use crate::coordinator::users_and_tokens::{GrantedAccess, grant_access};
use crate::model::grant::{Grants, Permission};
use crate::model::limits::{
    ACCESS_ROWS_PER_REQUEST, GRANTEES_PER_PAGE, PASSWORD_ITERATIONS, TOKEN_NAME_BYTES_MAX,
};
use crate::model::time::S_NS;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::grants::Grantee;

const HASH_DIGITS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Token,
    User,
}

/// Times are seconds since 1970.
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
#[serde(deny_unknown_fields)]
struct Body {
    rows: Vec<Row>,
}

fn invalid<T>(message: String) -> ApiResult<T> {
    Err(ApiError::Invalid(message))
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
        let is_named = !name.is_empty() && name.len() <= TOKEN_NAME_BYTES_MAX;
        if !is_named || name.chars().any(char::is_control) {
            return invalid(
                "a name must consist of 1 to 256 bytes of printable characters".to_owned(),
            );
        }
        let is_hex = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
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

/// Parses the request of `GET` and `POST /api/v3/configure/access`.
pub fn begin(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    if request.head.method == "POST" {
        return Ok(PendingRequest::with_body(|_, body| {
            let Body { rows } = body.json()?;
            if rows.len() > ACCESS_ROWS_PER_REQUEST {
                return invalid(format!("at most {ACCESS_ROWS_PER_REQUEST} rows at a time"));
            }
            rows.iter().try_for_each(Row::check)?;
            let rows = rows.into_iter().map(Row::grantee).collect();
            Ok(|io: Io| async move {
                let given = io.run(grant_access(rows)).await?;
                Ok(json_line(200, &describe(&given)))
            })
        }));
    }
    let kind = match request.url.filled("kind") {
        None | Some("token") => Kind::Token,
        Some("user") => Kind::User,
        Some(other) => return invalid(format!("kind must be token or user, not \"{other}\"")),
    };
    let after = request.url.filled("after").unwrap_or("0");
    let Ok(after) = after.parse() else {
        return invalid(format!("after must be a whole number, not \"{after}\""));
    };
    Ok(PendingRequest::run(move |io| page(io, kind, after)))
}

/// Returns a page and the parameters of the next page. Tokens precede users.
async fn page(io: Io, kind: Kind, after: u64) -> ApiResult<Response> {
    let (user, limit) = (kind == Kind::User, GRANTEES_PER_PAGE as u64);
    let message = ToCatalog::Grantees { user, after, limit };
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

fn describe(given: &GrantedAccess) -> Value {
    json!({
        "made": given.made,
        "widened": given.widened,
        "unchanged": given.unchanged,
        "refused": given.refused,
    })
}
