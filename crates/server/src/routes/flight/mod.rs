//! Serves Arrow Flight and Flight SQL as gRPC-Web: `/arrow.flight.protocol.FlightService/{method}`.
//!
//! The routes `/api/v3/query_sql` and `/api/v3/query_influxql` create the rows in Arrow's
//! format. This module splits their response into Flight messages. Native gRPC clients connect
//! through `tidemark flight` or through Cloudflare, which both convert gRPC to gRPC-Web.
//!
//! | file | content |
//! |---|---|
//! | `messages` | the messages of Flight and Flight SQL |
//! | `flight_request` | tickets, commands and headers: the requested data |
//! | `reading` | the response of a running statement, split into Flight messages |
//! | `listings` | lists of catalogs, schemas, tables, types and keys; the server's features |
//! | `prepared` | prepared statements: their handles and placeholders |
//! | `parameters` | the values that a client binds to a prepared statement |

mod flight_request;
mod listings;
mod messages;
mod parameters;
mod prepared;
mod reading;

use prost::Message;

use crate::action::Action;
use crate::auth::{self, AuthError};
use crate::error::{ApiError, ApiResult, invalid};
use crate::grpc_web::{self, Code, Form};
use crate::http::Response;
use crate::routes::handler::{BodyBytes, PendingRequest, Request};
use flight_request::{FlightRequest, Metadata, decode};
use messages::{Any, BytesValue, FlightDescriptor, Handshake, ReadInfo};
use prepared::FlightAction;
use reading::{Purpose, Reading};
use tidemark_coordinator::grants::Principal;
use tidemark_model::time::{H_NS, MINUTE_NS, S_NS};

const NO_GRPC_WEB: &str = "this server supports Flight as gRPC-Web only \
                           (application/grpc-web+proto or application/grpc-web-text): connect gRPC \
                           clients through `tidemark flight` (docs/FLIGHT.md)";
const NO_METHOD: &str = "the server supports the Flight methods Handshake, GetFlightInfo, \
                         GetSchema, DoGet, DoAction and DoPut";
const NO_BEARER: &str = "a user's password is not a bearer token: send name and password as Basic \
                         authentication with every call, or connect with a token";

pub(super) fn begin(request: &Request) -> ApiResult<PendingRequest> {
    let form = Form::of_request(&request.head);
    let form = form.ok_or_else(|| ApiError::MediaType(NO_GRPC_WEB.to_owned()))?;
    Ok(PendingRequest::stream(move |request, _, body| respond(request, form, body)))
}

async fn respond(request: Request, form: Form, body: BodyBytes) -> ApiResult<Action> {
    let timeout = request.head.header("grpc-timeout").map(timeout_ns).transpose()?;
    if let Some(timeout_ns) = timeout {
        request.deadline_ns.set(Some(request.now_ns()?.saturating_add(timeout_ns)));
    }
    let settings = request.settings()?;
    let metadata = Metadata::of(&request.head, settings)?;
    let messages = form.messages(&body)?;
    drop(body);
    let first = messages.first().map_or(&[][..], Vec::as_slice);
    let (flight_request, purpose) = match request.id.as_deref().unwrap_or_default() {
        "Handshake" => return handshake(&request, form, first).await,
        "DoGet" => {
            let BytesValue { value: ticket } = decode(first)?;
            (FlightRequest::of_ticket(&ticket, &metadata)?, Purpose::Rows)
        }
        "GetFlightInfo" => {
            let descriptor: FlightDescriptor = decode(first)?;
            let (flight_request, ticket) = described(&descriptor, &metadata)?;
            (flight_request, Purpose::Info { descriptor, ticket })
        }
        "GetSchema" => (described(&decode(first)?, &metadata)?.0, Purpose::Schema),
        "DoAction" => match prepared::act(first, &metadata)? {
            FlightAction::Prepare(query) => prepared::prepare(&request, query).await?,
            FlightAction::Close(reply) => return known(&request, form, reply.as_deref()).await,
        },
        "DoPut" => {
            let reply = prepared::bind(&messages, settings)?;
            return known(&request, form, Some(&reply)).await;
        }
        _ => return Err(ApiError::NotImplemented(NO_METHOD.to_owned())),
    };
    drop(messages);
    Reading::new(&request, form, purpose).run(flight_request).await
}

/// Responds with the token that the client must send with every call.
async fn handshake(request: &Request, form: Form, message: &[u8]) -> ApiResult<Action> {
    let message = decode::<Handshake>(message)?.encode_to_vec();
    let known_token = auth::credentials(&request.head, &request.url, request.settings()?);
    authorise_without_database(request).await?;
    if request.caller().user {
        return invalid(NO_BEARER);
    }
    let mut frames = Vec::new();
    grpc_web::message(&mut frames, &message)?;
    grpc_web::end(&mut frames, Code::Ok, "");
    let mut response = Response::ok(form.content_type, form.encode(frames));
    // The token may come from base64 or percent-encoding, and may have characters that a header
    // cannot contain.
    let safe = |token: &String| token.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    if let Some(token) = known_token.ok().map(|known| known.token).filter(safe) {
        response.headers.push(("Authorization", format!("Bearer {token}").into()));
    }
    Ok(Action::Respond(response))
}

/// Responds with at most one message.
async fn known(request: &Request, form: Form, message: Option<&[u8]>) -> ApiResult<Action> {
    authorise_without_database(request).await?;
    let mut frames = Vec::new();
    if let Some(message) = message {
        grpc_web::message(&mut frames, message)?;
    }
    grpc_web::end(&mut frames, Code::Ok, "");
    Ok(Action::Respond(Response::ok(form.content_type, form.encode(frames))))
}

/// Admits the caller of a call that reads no database. No database checks this caller, so the
/// Catalog must have identified the caller for this request.
async fn authorise_without_database(request: &Request) -> ApiResult<()> {
    let check = |caller: &Principal| match caller.needs_lookup() {
        true => Err(AuthError::Unverified("no request to the Catalog was made".to_owned())),
        false => Ok(()),
    };
    request.authorise(Vec::new, check).await
}

/// Returns the data that a descriptor requests, and the ticket for its rows.
fn described(
    descriptor: &FlightDescriptor,
    metadata: &Metadata<'_>,
) -> ApiResult<(FlightRequest, Vec<u8>)> {
    if !descriptor.path.is_empty() {
        let reason = "a flight cannot be selected by a path: send a command";
        return Err(ApiError::NotImplemented(reason.to_owned()));
    }
    let flight_request = FlightRequest::of_command(&decode(&descriptor.command)?, metadata)?;
    let mut read =
        ReadInfo { database: metadata.database.clone().unwrap_or_default(), ..ReadInfo::default() };
    match &flight_request {
        FlightRequest::Influxql(query) => {
            read.query.clone_from(&query.q);
            read.query_type = ReadInfo::INFLUXQL;
        }
        _ => {
            read.command.clone_from(&descriptor.command);
            read.query_type = ReadInfo::FLIGHT_SQL;
        }
    }
    let type_url = ReadInfo::TYPE_URL.to_owned();
    Ok((flight_request, Any { type_url, value: read.encode_to_vec() }.encode_to_vec()))
}

/// Parses a `grpc-timeout`, such as `250m`: up to eight digits and a unit.
fn timeout_ns(text: &str) -> ApiResult<i64> {
    let wrong = || {
        let text: String = text.chars().take(16).collect();
        let expected = "expected digits and a unit, such as 250m or 10S";
        ApiError::Invalid(format!("grpc-timeout is \"{text}\": {expected}"))
    };
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit_ns = match unit {
        "H" => H_NS,
        "M" => MINUTE_NS,
        "S" => S_NS,
        "m" => S_NS / 1_000,
        "u" => S_NS / 1_000_000,
        "n" => 1,
        _ => return Err(wrong()),
    };
    let is_short = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let count: i64 = digits.parse().ok().filter(|_| is_short).ok_or_else(wrong)?;
    Ok(count.saturating_mul(unit_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeout_needs_digits_and_unit() {
        for (text, ns) in [
            ("1H", H_NS),
            ("2M", 2 * MINUTE_NS),
            ("10S", 10 * S_NS),
            ("250m", S_NS / 4),
            ("0u", 0),
            ("99999999H", i64::MAX),
            ("7n", 7),
        ] {
            assert_eq!(timeout_ns(text), Ok(ns), "{text}");
        }
        for text in ["", "S", "1", "-1S", "+1S", "1.5S", "123456789S", "1s", "1é", "1 S"] {
            assert!(timeout_ns(text).is_err(), "{text}");
        }
    }
}
