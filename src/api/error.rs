//! Every refusal of the HTTP API: its status, its code, and its body in the shape of the route.
//!
//! The exhaustive match on [`ApiError`] is the table; there is deliberately no catch-all arm, so a
//! new error cannot become a 500 by accident. Clients act on status and text (`Telegraf` drops,
//! splits or retries by them), so both are tested.

use super::admission::Overloaded;
use super::auth::AuthError;
use super::body::BodyError;
use super::headers::CREATED;
use super::http::Response;
use super::params::{Dialect, ParamsError};
use super::settings::SettingsError;
use crate::model::limits::BODY_STALL_S_MAX;
use crate::protocol::catalog::CatalogRefusal;
use crate::protocol::database::DatabaseRefusal;
use crate::protocol::host::Unavailable;
use crate::response::emitter::Emitter;
use crate::route::error::Error;

/// Which shape of error body a route's clients read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `/write`: `{"code","message","error","line"?}`; 1.x clients read only `error`.
    WriteV1,
    /// `/api/v2/write`: `{"code","message","line"?}`.
    WriteV2,
    /// `/query`: `{"error"}`.
    Query,
    /// `/api/v3/write_lp`: `{"code","message","error"}`; of rejected lines `error` is InfluxDB 3's
    /// title and `data` names each line.
    WriteV3,
    /// Everything else: `{"code","message","error"}`.
    Other,
}

/// One rejected line, as InfluxDB 3 names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedLine {
    /// 1-based physical line on which it started.
    pub line: u32,
    /// Its beginning, where the body is still at hand.
    pub excerpt: Option<String>,
    /// Why.
    pub cause: String,
}

impl From<Dialect> for Shape {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::V1 => Self::WriteV1,
            Dialect::V2 => Self::WriteV2,
            Dialect::V3 => Self::WriteV3,
        }
    }
}

/// Why a request is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Who is calling.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// A page of another origin sent it, with whatever the browser added.
    #[error(
        "refused: a page of \"{0}\" asks, which is neither this server's own address nor in \
         CORS_ORIGINS; if the page may, add its origin there"
    )]
    ForeignOrigin(String),
    /// The operator's mistake.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The parameters.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The body.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Too much in flight.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The body was given up for others'.
    #[error(
        "too many request bodies in flight: this one had received nothing for longest, of the \
         database that held most; nothing was done, send it again"
    )]
    Displaced,
    /// The body stopped coming.
    #[error(
        "the body stalled: neither its next 128 KB nor its end came within {BODY_STALL_S_MAX} s \
         (BODY_STALL_S_MAX); nothing was done, send it again"
    )]
    Stalled,
    /// No such path.
    #[error("no such path: {0}; the API is /write, /api/v2/write, /query, /ping and /health")]
    NoRoute(String),
    /// The path exists, the method does not.
    #[error("method {method} is not allowed here: use {allow}")]
    Method {
        /// What was used.
        method: String,
        /// What the path takes, as in the header `Allow`.
        allow: &'static str,
    },
    /// A writing statement on GET (1.x's sentence, which it only warns with).
    #[error("deprecated use of '{0}' in a read only context, please use a POST request instead")]
    ReadOnly(String),
    /// The query does not parse; nothing of it was executed.
    #[error("error parsing query: {0}")]
    Parse(String),
    /// A request that is well formed and cannot be carried out as it is.
    #[error("{0}")]
    Invalid(String),
    /// Some or all lines were rejected.
    #[error("{message}")]
    Rejected {
        /// What was written, what was not, and why.
        message: String,
        /// The named lines, ascending.
        lines: Vec<RejectedLine>,
        /// Whether one bad line rejects all (v3's `accept_partial=false`).
        whole: bool,
        /// Whether every line lies outside the retention policy, which is 422.
        retention: bool,
        /// What the header [`CREATED`] says, if the write created its database.
        created: Option<String>,
    },
    /// The database is not there (1.x's and Telegraf's words).
    #[error("database not found: \"{name}\"{cure}")]
    DatabaseNotFound {
        /// Which.
        name: String,
        /// What can be done about it, a colon before it; empty where that is plain.
        cure: String,
    },
    /// The policy is not there.
    #[error("retention policy not found: {0}")]
    PolicyNotFound(String),
    /// No token, or whatever else is managed, has the name.
    #[error("{0}")]
    NotFound(String),
    /// Something of that name is there already.
    #[error("{0}")]
    Conflict(String),
    /// Well formed, and not possible here.
    #[error("{0}")]
    Unprocessable(String),
    /// A limit that more requests will not get past.
    #[error("{0}")]
    Limit(String),
    /// What the vendor offers and this does not, and what to use.
    #[error("{0}")]
    NotImplemented(String),
    /// Our own fault, which a repeat does not mend.
    #[error("{0}")]
    Internal(String),
    /// Nothing is known to be wrong with the request: come back.
    #[error("{message}")]
    Unavailable {
        /// What failed.
        message: String,
        /// When to come back, seconds.
        retry_after_s: u32,
    },
}

impl ApiError {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Auth(AuthError::Unauthorized) => 401,
            Self::ForeignOrigin(_)
            | Self::Auth(
                AuthError::Write { .. } | AuthError::Statement { .. } | AuthError::Forbidden { .. },
            ) => 403,
            Self::Auth(AuthError::TooManyFailures { .. }) => 429,
            Self::Auth(
                AuthError::NotConfigured | AuthError::Unverified(_) | AuthError::LoginsWait { .. },
            )
            | Self::Settings(_)
            | Self::Overloaded(Overloaded { never: false, .. })
            | Self::Displaced
            | Self::Unavailable { .. } => 503,
            Self::Params(_)
            | Self::Body(BodyError::Gzip(_))
            | Self::Parse(_)
            | Self::Invalid(_)
            | Self::Rejected { retention: false, .. } => 400,
            Self::Body(BodyError::UnknownEncoding(_)) => 415,
            Self::Body(BodyError::TooLarge(_))
            | Self::Overloaded(Overloaded { never: true, .. }) => 413,
            Self::Stalled => 408,
            Self::NoRoute(_)
            | Self::DatabaseNotFound { .. }
            | Self::PolicyNotFound(_)
            | Self::NotFound(_) => 404,
            Self::Method { .. } | Self::ReadOnly(_) => 405,
            Self::Conflict(_) => 409,
            Self::Rejected { retention: true, .. } | Self::Limit(_) | Self::Unprocessable(_) => 422,
            Self::NotImplemented(_) => 501,
            Self::Internal(_) => 500,
        }
    }

    /// Which kind of refusal it is, for the log.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Auth(AuthError::Unauthorized) => "unauthorized",
            Self::ForeignOrigin(_) => "foreign origin",
            Self::Auth(AuthError::NotConfigured) | Self::Settings(_) => "settings",
            Self::Auth(AuthError::Unverified(_)) => "unverified",
            Self::Auth(AuthError::TooManyFailures { .. } | AuthError::LoginsWait { .. }) => {
                "too many failures"
            }
            Self::Auth(
                AuthError::Write { .. } | AuthError::Statement { .. } | AuthError::Forbidden { .. },
            ) => "forbidden",
            Self::Params(_) => "parameters",
            Self::Body(BodyError::UnknownEncoding(_) | BodyError::Gzip(_)) => "encoding",
            Self::Body(BodyError::TooLarge(_)) => "too large",
            Self::Overloaded(_) | Self::Displaced => "overloaded",
            Self::Stalled => "stalled",
            Self::NoRoute(_) => "route",
            Self::Method { .. } | Self::ReadOnly(_) => "method",
            Self::Parse(_) => "query",
            Self::Invalid(_) => "invalid",
            Self::Rejected { retention: false, .. } => "rejected lines",
            Self::Rejected { retention: true, .. } => "retention",
            Self::DatabaseNotFound { .. } => "database not found",
            Self::PolicyNotFound(_) => "retention policy not found",
            Self::NotFound(_) => "not found",
            Self::Conflict(_) => "conflict",
            Self::Unprocessable(_) => "unprocessable",
            Self::Limit(_) => "limit",
            Self::NotImplemented(_) => "not supported",
            Self::Internal(_) => "internal",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    /// Seconds after which the same request may succeed.
    fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::Unavailable { retry_after_s, .. }
            | Self::Auth(
                AuthError::TooManyFailures { retry_after_s }
                | AuthError::LoginsWait { retry_after_s },
            ) => Some(*retry_after_s),
            Self::Auth(AuthError::Unverified(_)) => Some(2),
            Self::Overloaded(Overloaded { never: false, .. }) | Self::Displaced => Some(1),
            _ => None,
        }
    }

    /// Methods of the path, for `Allow`.
    fn allow(&self) -> Option<&'static str> {
        match self {
            Self::Method { allow, .. } => Some(allow),
            Self::ReadOnly(_) => Some("POST"),
            _ => None,
        }
    }

    /// The response in the shape that the route's clients read; `pretty` indents it.
    pub fn response(&self, shape: Shape, pretty: bool) -> Response {
        let message = self.to_string();
        let code = code(self.status());
        let mut body = Emitter::new(pretty);
        body.open(b'{');
        if shape != Shape::Query {
            body.key("code");
            body.string(code);
            body.key("message");
            body.string(&message);
        }
        match (self, shape) {
            (_, Shape::WriteV2) => {}
            (Self::Rejected { lines, whole, .. }, Shape::WriteV3) => v3(&mut body, lines, *whole),
            _ => {
                body.key("error");
                body.string(&message);
            }
        }
        if let Self::Rejected { lines, .. } = self
            && let Some(first) = lines.first()
        {
            body.key("line");
            body.out().extend_from_slice(first.line.to_string().as_bytes());
        }
        body.close(b'}');
        body.end_document();
        let mut response = Response::json(self.status(), body.take())
            .with_header("X-Influxdb-Error", header_text(&message))
            .with_header("X-Platform-Error-Code", code);
        if let Some(seconds) = self.retry_after_s() {
            response = response.with_header("Retry-After", seconds.to_string());
        }
        if let Self::Rejected { created: Some(created), .. } = self {
            response = response.with_header(CREATED, created);
        }
        if let Some(allow) = self.allow() {
            response = response.with_header("Allow", allow);
        }
        if matches!(self, Self::Stalled | Self::Displaced) {
            // What else it sends on this connection would be the rest of the body.
            response = response.with_header("Connection", "close");
        }
        response
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Forbidden { who, right, database } => {
                let requires = format!("{right} on {database}");
                Self::Auth(AuthError::Forbidden { who, requires })
            }
            Error::DatabaseNotFound(name) => Self::DatabaseNotFound { name, cure: String::new() },
            Error::PolicyNotFound(name) => Self::PolicyNotFound(name),
            Error::NoDefaultPolicy(_) | Error::Query(_) | Error::Interrupted => Self::Invalid(text),
            Error::Catalog(refusal) => match refusal {
                CatalogRefusal::InvalidName
                | CatalogRefusal::NoSuchQuery { .. }
                | CatalogRefusal::AlreadyKilled
                | CatalogRefusal::Policy(_) => Self::Invalid(text),
                CatalogRefusal::TooManyDatabases { .. }
                | CatalogRefusal::TooManyGrantees { .. } => Self::Limit(text),
                CatalogRefusal::Placement(_) => Self::NotImplemented(text),
            },
            Error::Database(refusal) => match refusal {
                DatabaseRefusal::Policy(_) => Self::Invalid(text),
                DatabaseRefusal::Placement(_) => Self::NotImplemented(text),
            },
            Error::Damaged { .. } | Error::Shard(_) => Self::Internal(text),
            Error::PartlyApplied(_) => Self::Unavailable { message: text, retry_after_s: 2 },
            Error::Unavailable(why) => {
                let retry_after_s = match why {
                    Unavailable::Changing | Unavailable::Overloaded => 1,
                    Unavailable::Unreachable(_)
                    | Unavailable::Storage(_)
                    | Unavailable::Busy { .. } => 2,
                    // No retry helps until something is deleted, but clients keep their points.
                    Unavailable::Full { .. } => 30,
                };
                Self::Unavailable { message: text, retry_after_s }
            }
        }
    }
}

/// What InfluxDB 3 says of rejected lines: a list of them, or the first when it rejects all.
fn v3(body: &mut Emitter, lines: &[RejectedLine], whole: bool) {
    body.key("error");
    body.string(match whole {
        true => "parsing failed for write_lp endpoint",
        false => "partial write of line protocol occurred",
    });
    body.key("data");
    if !whole {
        body.open(b'[');
    }
    for line in lines.iter().take(if whole { 1 } else { lines.len() }) {
        if !whole {
            body.next();
        }
        body.open(b'{');
        if let Some(excerpt) = &line.excerpt {
            body.key("original_line");
            body.string(excerpt);
        }
        body.key("line_number");
        body.out().extend_from_slice(line.line.to_string().as_bytes());
        body.key("error_message");
        body.string(&line.cause);
        body.close(b'}');
    }
    if !whole {
        body.close(b']');
    }
}

/// The vendor's code for a status.
fn code(status: u16) -> &'static str {
    match status {
        400 => "invalid",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not found",
        405 => "method not allowed",
        408 => "request timeout",
        409 => "conflict",
        413 => "request too large",
        415 => "unsupported media type",
        422 => "unprocessable entity",
        429 => "too many requests",
        501 => "not implemented",
        503 => "unavailable",
        _ => "internal error",
    }
}

/// Most characters of an error in a header (1.x truncates there too).
const HEADER_CHARS_MAX: usize = 1_024;

/// Text that is safe in a header: printable ASCII, everything else a space or `?`.
fn header_text(message: &str) -> String {
    let safe = |c: char| match c {
        ' '..='~' => c,
        c if c.is_control() => ' ',
        _ => '?',
    };
    message.chars().map(safe).take(HEADER_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(error: &ApiError, shape: Shape) -> String {
        String::from_utf8(error.response(shape, false).body).unwrap()
    }

    #[test]
    fn each_route_has_the_body_its_clients_read() {
        let excerpt = Some("m v=".to_owned());
        let lines = vec![RejectedLine { line: 3, excerpt, cause: "why".into() }];
        let message = "a \"b\"\nc".to_owned();
        let error =
            ApiError::Rejected { message, lines, whole: false, retention: false, created: None };
        assert_eq!(
            body(&error, Shape::WriteV1),
            "{\"code\":\"invalid\",\"message\":\"a \\\"b\\\"\\nc\",\
             \"error\":\"a \\\"b\\\"\\nc\",\"line\":3}\n"
        );
        assert_eq!(
            body(&error, Shape::WriteV2),
            "{\"code\":\"invalid\",\"message\":\"a \\\"b\\\"\\nc\",\"line\":3}\n"
        );
        assert_eq!(
            body(&error, Shape::WriteV3),
            "{\"code\":\"invalid\",\"message\":\"a \\\"b\\\"\\nc\",\
             \"error\":\"partial write of line protocol occurred\",\"data\":[{\
             \"original_line\":\"m v=\",\"line_number\":3,\"error_message\":\"why\"}],\"line\":3}\n"
        );
        assert_eq!(
            body(&ApiError::Auth(AuthError::Unauthorized), Shape::Query),
            "{\"error\":\"unauthorized access\"}\n"
        );
    }

    #[test]
    fn headers_tell_what_to_do() {
        let busy = ApiError::Unavailable { message: "busy".into(), retry_after_s: 1 };
        let response = busy.response(Shape::WriteV1, false);
        assert_eq!(response.status, 503);
        assert!(response.headers.contains(&("Retry-After".into(), "1".into())));
        let method = ApiError::Method { method: "PUT".into(), allow: "POST" };
        assert!(
            method.response(Shape::Other, false).headers.contains(&("Allow".into(), "POST".into()))
        );
    }

    #[test]
    fn nothing_can_break_out_of_a_header() {
        let error = ApiError::Invalid("a\r\nSet-Cookie: x\u{7f}ü".into());
        let header = error.response(Shape::Query, false).headers.swap_remove(1).1;
        assert_eq!(header, "a  Set-Cookie: x ?");
    }
}
