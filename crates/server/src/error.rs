//! Defines every error of the HTTP API with its status, code and text, and writes the response.
//!
//! Every match on [`ApiError`] is exhaustive and has no catch-all arm, so that a new error cannot
//! become a 500 by accident. Clients depend on the status and the text: Telegraf drops, splits or
//! retries a batch depending on both.

use arrow_schema::ArrowError;

use crate::auth::AuthError;
use crate::content_encoding::BodyError;
use crate::foreign_origin::is_browser;
use crate::grpc_web::{Code, Form};
use crate::http::{RequestHead, Response};
use crate::params::{Dialect, ParamsError};
use crate::routes::metric_protocols::otlp;
use crate::settings::SettingsError;
use tidemark_coordinator::backup::BackupError;
use tidemark_coordinator::error::Error;
use tidemark_engine::protocol::catalog::CatalogRefusal;
use tidemark_engine::protocol::database::{DatabaseRefusal, PolicyRefusal};
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::recovery::RecoveryRefusal;
use tidemark_metric_protocols::otlp::Encoding;
use tidemark_model::limits::{BODY_STALL_S_MAX, ERROR_HEADER_CHARS_MAX};
use tidemark_query::admission::Overloaded;
use tidemark_response::emitter::Emitter;
use tidemark_response::{Format, csv, msgpack};

/// The path of Flux queries.
pub(super) const FLUX_PATH: &str = "/api/v2/query";

/// The result of a part of a request.
pub type ApiResult<T> = Result<T, ApiError>;

/// Returns [`ApiError::Invalid`] with this message.
pub(super) fn invalid<T>(message: impl Into<String>) -> ApiResult<T> {
    Err(ApiError::Invalid(message.into()))
}

/// The reason why a whole request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts and the names describe the variants")]
pub enum ApiError {
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// A page of another origin sent the request. The browser may have added credentials to the
    /// request.
    #[error(
        "the request comes from a page of \"{0}\", which is neither this server's address nor in \
         CORS_ORIGINS: to allow the page, add its origin to CORS_ORIGINS"
    )]
    ForeignOrigin(String),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Params(#[from] ParamsError),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The server dropped the body to free memory for other bodies.
    #[error(
        "too many request bodies in flight: the server dropped the slowest body of the database \
         with the most body bytes; the request changed no data: send it again"
    )]
    Displaced,
    #[error(
        "the body stalled: neither its next 128 KB nor its end arrived within {BODY_STALL_S_MAX} \
         s (BODY_STALL_S_MAX); the request changed no data: send it again"
    )]
    Stalled,
    #[error(
        "no such path: {0}; the API is /write, /query, /ping, /health, /api/v2/write, /api/v3/write_lp, \
         /api/v3/query_sql and /api/v3/query_influxql"
    )]
    NoRoute(String),
    #[error("method {method} is not allowed here: use {allow}")]
    Method { method: String, allow: String },
    /// The route does not support the body's media type.
    #[error("{0}")]
    MediaType(String),
    #[error(
        "the statement '{0}' writes, and this request can only read: send the statement with \
         POST, without read_only"
    )]
    ReadOnly(String),
    /// The query does not parse. No part of the query was executed.
    #[error("error parsing query: {0}")]
    Parse(String),
    /// The request is well-formed, but cannot be executed.
    #[error("{0}")]
    Invalid(String),
    /// The database does not exist. Telegraf recognizes the message, which is 1.x's.
    #[error("database not found: \"{name}\"{hint}")]
    DatabaseNotFound {
        name: String,
        /// A hint that is appended to the message after a colon; empty if there is no hint.
        hint: String,
    },
    #[error("retention policy not found: {0}")]
    PolicyNotFound(String),
    /// No token or other managed resource has this name.
    #[error("{0}")]
    NotFound(String),
    /// A resource with this name already exists.
    #[error("{0}")]
    Conflict(String),
    /// A resource of 2.x's API already exists. As in 2.x, the code is `conflict`.
    #[error("{0}")]
    AlreadyExists(String),
    /// The request is well-formed, but this server cannot execute it.
    #[error("{0}")]
    Unprocessable(String),
    /// The request exceeds a limit, and repeating the request does not help.
    #[error("{0}")]
    Limit(String),
    /// InfluxDB supports the request, but this server does not. The text names an alternative.
    #[error("{0}")]
    NotImplemented(String),
    /// The query needs more memory than the server can provide, and repeating the query does not
    /// help.
    #[error("{0}")]
    TooHeavy(String),
    #[error("the deadline of the call has passed")]
    Deadline,
    /// An internal error. Repeating the request does not help.
    #[error("{0}")]
    Internal(String),
    /// The request exceeds a limit per minute.
    #[error("{message}")]
    OverQuota {
        message: String,
        retry_after_s: u32,
        /// Whether clients of the route drop a batch on status 429 (Telegraf's `outputs.influxdb`
        /// does). Such clients receive 503 instead.
        drops_429: bool,
    },
    /// The request may be valid, and the client should repeat the request.
    #[error("{message}")]
    Unavailable { message: String, retry_after_s: u32 },
}

impl ApiError {
    /// Returns the HTTP status.
    pub fn status(&self) -> u16 {
        self.status_and_class().0
    }

    /// Returns the error's class for the log.
    pub fn class(&self) -> &'static str {
        self.status_and_class().1
    }

    fn status_and_class(&self) -> (u16, &'static str) {
        match self {
            Self::Auth(AuthError::Unauthorized | AuthError::UnknownUser) => (401, "unauthorized"),
            Self::Auth(AuthError::InUrl) => (401, "credentials in url"),
            Self::ForeignOrigin(_) => (403, "foreign origin"),
            Self::Auth(
                AuthError::Write { .. } | AuthError::Statement { .. } | AuthError::Forbidden { .. },
            ) => (403, "forbidden"),
            Self::Auth(AuthError::NotConfigured) | Self::Settings(_) => (503, "settings"),
            Self::Auth(AuthError::Unverified(_)) => (503, "unverified"),
            Self::Auth(AuthError::TooManyFailures { .. }) => (429, "too many failures"),
            Self::Auth(AuthError::LoginsWait { .. }) => (503, "too many failures"),
            Self::Params(_) => (400, "parameters"),
            Self::Body(BodyError::UnknownEncoding(_)) => (415, "encoding"),
            Self::Body(BodyError::Gzip(_)) => (400, "encoding"),
            Self::Body(BodyError::TooLarge(_)) => (413, "too large"),
            Self::Overloaded(Overloaded { never: true, .. }) => (413, "overloaded"),
            Self::Overloaded(Overloaded { never: false, .. }) | Self::Displaced => {
                (503, "overloaded")
            }
            Self::Stalled => (408, "stalled"),
            Self::NoRoute(_) => (404, "route"),
            Self::Method { .. } | Self::ReadOnly(_) => (405, "method"),
            Self::MediaType(_) => (415, "media type"),
            Self::Parse(_) => (400, "query"),
            Self::Invalid(_) => (400, "invalid"),
            Self::DatabaseNotFound { .. } => (404, "database not found"),
            Self::PolicyNotFound(_) => (404, "retention policy not found"),
            Self::NotFound(_) => (404, "not found"),
            Self::Conflict(_) => (409, "conflict"),
            Self::AlreadyExists(_) => (422, "conflict"),
            Self::Unprocessable(_) => (422, "unprocessable"),
            Self::Limit(_) => (422, "limit"),
            Self::NotImplemented(_) => (501, "not supported"),
            Self::TooHeavy(_) => (507, "too heavy"),
            Self::Deadline => (504, "deadline"),
            Self::Internal(_) => (500, "internal"),
            Self::OverQuota { drops_429: false, .. } => (429, "quota"),
            Self::OverQuota { drops_429: true, .. } => (503, "quota"),
            Self::Unavailable { .. } => (503, "unavailable"),
        }
    }

    /// Returns the value of `code` in the body.
    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyExists(_) => "conflict",
            error => code(error.status()),
        }
    }

    /// Returns the gRPC status code.
    pub fn grpc_code(&self) -> Code {
        match self {
            // gRPC reports an unknown path as an unimplemented method.
            Self::NoRoute(_) => Code::Unimplemented,
            error => Code::of_http(error.status()),
        }
    }

    fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::Unavailable { retry_after_s, .. }
            | Self::OverQuota { retry_after_s, .. }
            | Self::Auth(
                AuthError::TooManyFailures { retry_after_s }
                | AuthError::LoginsWait { retry_after_s },
            ) => Some(*retry_after_s),
            Self::Auth(AuthError::Unverified(_)) => Some(2),
            Self::Overloaded(Overloaded { never: false, .. }) | Self::Displaced => Some(1),
            _ => None,
        }
    }

    /// Returns the response in the format that the route's clients read.
    pub fn response(&self, shape: ErrorShape, pretty: bool) -> Response {
        let message = self.to_string();
        let (status, code) = (self.status(), self.code());
        let mut response = error_response(shape, status, code, [&message; 2], pretty, |out| {
            if shape != ErrorShape::V2 {
                out.key("error");
                out.string(&message);
            }
        });
        if let Some(seconds) = self.retry_after_s() {
            response = response.with_header("Retry-After", seconds.to_string());
        }
        let allow = match self {
            Self::Method { allow, .. } => Some(allow.as_str()),
            Self::ReadOnly(_) => Some("POST"),
            _ => None,
        };
        if let Some(allow) = allow {
            response = response.with_header("Allow", allow.to_owned());
        }
        if matches!(self, Self::Stalled | Self::Displaced) {
            // The unread rest of the refused body would be parsed as the next request, so the
            // connection is closed.
            response = response.with_header("Connection", "close");
        }
        response
    }

    /// Returns the response to the request `head`. An error of `/query` has the format of the
    /// result. A gRPC-Web client receives every error as trailers. An error of Flux is plain text,
    /// as in 1.x without Flux, if the request has no `Content-Type`. Chronograf sends such a
    /// request, and would assume from a JSON error that Flux is enabled.
    pub fn response_to(&self, head: &RequestHead, shape: ErrorShape, pretty: bool) -> Response {
        if shape == ErrorShape::Flight
            && let Some(form) = Form::of_request(head)
        {
            return form.refusal(self.grpc_code(), &self.to_string());
        }
        // The 2.x command `influx v1 shell` queries `/query`, and prints only the member `message`.
        // The 1.x command sends `InfluxDBShell/`.
        let is_influx_command =
            head.header("user-agent").is_some_and(|agent| agent.starts_with("influx/"));
        let body_shape = match is_influx_command && shape == ErrorShape::Query(Dialect::V1) {
            true => ErrorShape::Other,
            false => shape,
        };
        let mut response = self.response(body_shape, pretty);
        if let Some(refusal) = self.refusal_of_samples(head, shape) {
            (response.status, response.body) = (refusal.status, refusal.body);
            response.headers.retain(|(name, _)| *name != "Content-Type");
            response.headers.extend(refusal.headers);
            return response;
        }
        let is_1x =
            matches!(shape, ErrorShape::Write(Dialect::V1) | ErrorShape::Query(Dialect::V1));
        if is_1x && response.status == 401 && !is_browser(head) {
            response = response.with_header("WWW-Authenticate", "Basic realm=\"InfluxDB\"");
        }
        let format = match (shape, self) {
            // 1.x identifies the caller before it reads the format.
            (_, Self::Auth(error)) if !matches!(error, AuthError::Statement { .. }) => Format::Json,
            (ErrorShape::Query(Dialect::V1), _) => Format::negotiate(head.header("accept")),
            _ => Format::Json,
        };
        let (content_type, body) = match format {
            _ if head.route() == FLUX_PATH && head.header("content-type").is_none() => {
                ("text/plain; charset=utf-8", format!("{self}\n").into_bytes())
            }
            Format::Json => return response,
            Format::Csv => (format.content_type(), csv::failed(&self.to_string())),
            Format::MessagePack => (format.content_type(), msgpack::failed(&self.to_string())),
        };
        response.body = body;
        let json = response.headers.iter_mut().find(|(name, _)| *name == "Content-Type");
        json.into_iter().for_each(|(_, value)| *value = content_type.into());
        response
    }
}

impl ApiError {
    /// Returns the response in the format of a metric protocol; `None` for other routes.
    fn refusal_of_samples(&self, head: &RequestHead, shape: ErrorShape) -> Option<Response> {
        let status = match (shape, self.status()) {
            // The senders drop a body after 408, and Prometheus also after 429. They repeat a body
            // after 503.
            (_, 408) | (ErrorShape::Text, 429) => 503,
            (_, status) => status,
        };
        match shape {
            ErrorShape::Text => Some(Response::text(status, &self.to_string())),
            ErrorShape::Otlp => {
                let encoding = otlp::encoding(head).unwrap_or(Encoding::Json);
                let body = encoding.error(self.grpc_code() as i32, self.to_string());
                Some(Response { status, ..Response::ok(encoding.media_type(), body) })
            }
            ErrorShape::Write(_)
            | ErrorShape::Query(_)
            | ErrorShape::Flight
            | ErrorShape::Other => None,
        }
    }
}

impl From<ArrowError> for ApiError {
    fn from(error: ArrowError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Forbidden { who, permission, database } => {
                let requires = format!("{permission} on {database}");
                Self::Auth(AuthError::Forbidden { who, requires })
            }
            Error::DatabaseNotFound(name) => Self::DatabaseNotFound { name, hint: String::new() },
            Error::PolicyNotFound(name) => Self::PolicyNotFound(name),
            Error::NoDefaultPolicy(_)
            | Error::Query(_)
            | Error::ListTooLong
            | Error::Interrupted => Self::Invalid(text),
            Error::Catalog(refusal) => match refusal {
                CatalogRefusal::InvalidName(_)
                | CatalogRefusal::NoSuchQuery { .. }
                | CatalogRefusal::AlreadyKilled
                | CatalogRefusal::Policy(_) => Self::Invalid(text),
                CatalogRefusal::TooManyDatabases { .. }
                | CatalogRefusal::TooManyGrantees { .. } => Self::Limit(text),
                CatalogRefusal::Placement(_) => Self::NotImplemented(text),
                CatalogRefusal::Recovery(refusal) => match refusal {
                    RecoveryRefusal::NoDatabase(name) => {
                        Self::DatabaseNotFound { name, hint: String::new() }
                    }
                    RecoveryRefusal::Time
                    | RecoveryRefusal::Failed(_)
                    | RecoveryRefusal::BeingMade => Self::Invalid(text),
                    RecoveryRefusal::UnderWay => Self::Conflict(text),
                    RecoveryRefusal::TooManyShards(_) | RecoveryRefusal::TooManyCalls { .. } => {
                        Self::Limit(text)
                    }
                    RecoveryRefusal::Unsupported(_) => Self::NotImplemented(text),
                },
            },
            Error::Database(refusal) => match refusal {
                DatabaseRefusal::Policy(PolicyRefusal::TooManyQuotas { .. }) => Self::Limit(text),
                DatabaseRefusal::Policy(_) => Self::Invalid(text),
                DatabaseRefusal::Placement(_) => Self::NotImplemented(text),
                DatabaseRefusal::NotEmpty | DatabaseRefusal::Restoring(_) => Self::Conflict(text),
            },
            Error::RateExceeded { over, .. } => Self::OverQuota {
                message: text,
                retry_after_s: over.retry_after_s,
                drops_429: false,
            },
            Error::Damaged { .. } | Error::Shard(_) | Error::Internal(_) => Self::Internal(text),
            Error::Sql { status, .. } => match status {
                400 => Self::Invalid(text),
                507 => Self::TooHeavy(text),
                503 => Self::Unavailable { message: text, retry_after_s: 2 },
                _ => Self::Internal(text),
            },
            Error::Backup(reason) => match reason {
                BackupError::Missing(_) => Self::NotFound(text),
                BackupError::Conflict(_) | BackupError::Unfinishable { .. } => Self::Conflict(text),
                BackupError::TooMany { .. } => Self::Limit(text),
                BackupError::Damaged { .. } => Self::Internal(text),
            },
            Error::Revoked => Self::Auth(AuthError::Unauthorized),
            Error::PartlyApplied(_) | Error::NotEverywhere { .. } => {
                Self::Unavailable { message: text, retry_after_s: 2 }
            }
            Error::Unavailable(reason) => {
                let retry_after_s = match reason {
                    Unavailable::Changing
                    | Unavailable::Crowded
                    | Unavailable::Overloaded
                    | Unavailable::Behind { .. } => 1,
                    Unavailable::Unreachable(_)
                    | Unavailable::Storage(_)
                    | Unavailable::Busy { .. } => 2,
                    // The shard stays full until data is deleted. The status is still 503, because
                    // clients then keep their points.
                    Unavailable::Full { .. } => 30,
                };
                Self::Unavailable { message: text, retry_after_s }
            }
        }
    }
}

/// The format of a route's error bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorShape {
    /// The write routes: `{"code","message","error","line"?}`. 1.x clients read only `error`.
    /// [`Self::V2`] omits `error`. For rejected lines of `/api/v3/write_lp`, `error` is InfluxDB
    /// 3's title and `data` lists each line.
    Write(Dialect),
    /// The query routes of 1.x and 3: `{"error"}`.
    Query(Dialect),
    /// Flight: gRPC trailers for gRPC-Web clients, and [`Self::Other`] for all other clients.
    Flight,
    /// Remote write: the message as plain text, because Prometheus logs the first line.
    Text,
    /// OTLP: the message `Status` in the encoding of the request.
    Otlp,
    /// All other routes: `{"code","message","error"}`.
    Other,
}

impl ErrorShape {
    /// The routes of 2.x: `{"code","message","line"?}`. If a body contains `error`, 2.x's Go client
    /// ignores `code`.
    pub const V2: Self = Self::Write(Dialect::V2);
}

/// Returns a response whose body ends with the keys that `fields` writes. The first message is for
/// the body, and the second message is for the header `X-Influxdb-Error`.
pub(super) fn error_response(
    shape: ErrorShape,
    status: u16,
    code: &'static str,
    [message, header]: [&str; 2],
    pretty: bool,
    fields: impl FnOnce(&mut Emitter),
) -> Response {
    let mut out = Emitter::new(pretty);
    out.open(b'{');
    if !matches!(shape, ErrorShape::Query(_)) {
        out.key("code");
        out.string(code);
        out.key("message");
        out.string(message);
    }
    fields(&mut out);
    out.close(b'}');
    out.end_document();
    Response::json(status, out.take())
        .with_header("X-Influxdb-Error", header_text(header))
        .with_header("X-Platform-Error-Code", code)
}

/// Returns the value of `code` in the body of an error with this status.
pub(super) fn code(status: u16) -> &'static str {
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

/// Replaces control characters with spaces, and other characters outside of printable ASCII with
/// `?`.
fn header_text(message: &str) -> String {
    let safe = |c: char| match c {
        ' '..='~' => c,
        c if c.is_control() => ' ',
        _ => '?',
    };
    message.chars().map(safe).take(ERROR_HEADER_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_map_to_grpc_codes() {
        let unavailable = ApiError::Unavailable { message: String::new(), retry_after_s: 1 };
        let missing = ApiError::DatabaseNotFound { name: "d".into(), hint: String::new() };
        let forbidden = AuthError::Forbidden { who: "w".into(), requires: "r".into() };
        for (error, code) in [
            (ApiError::Auth(AuthError::Unauthorized), Code::Unauthenticated),
            (ApiError::Auth(forbidden), Code::PermissionDenied),
            (ApiError::Auth(AuthError::NotConfigured), Code::Unavailable),
            (missing, Code::NotFound),
            (ApiError::NoRoute("/x".into()), Code::Unimplemented),
            (ApiError::NotImplemented("x".into()), Code::Unimplemented),
            (ApiError::Invalid("x".into()), Code::InvalidArgument),
            (ApiError::TooHeavy("x".into()), Code::ResourceExhausted),
            (ApiError::Displaced, Code::Unavailable),
            (ApiError::Internal("x".into()), Code::Internal),
            (unavailable, Code::Unavailable),
        ] {
            assert_eq!(error.grpc_code(), code, "{error:?}");
        }
    }

    #[test]
    fn header_text_escapes_control_characters() {
        assert_eq!(header_text("a\r\nSet-Cookie: x\u{7f}ü"), "a  Set-Cookie: x ?");
    }
}
