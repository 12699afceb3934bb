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
use crate::isolate_state::Isolate;
use crate::routes::handler::{Admitted, Delivery, Incoming, Outcome, PendingRequest, Responder};
use crate::routes::query_v3::{QueryRequest, sql};
use flight_request::{FlightRequest, Metadata, decode};
use messages::{Any, BytesValue, FlightDescriptor, Handshake, ReadInfo};
use reading::{Progress, Purpose, Reading};
use tidemark_coordinator::grants::Principal;
use tidemark_engine::protocol::call::{Call, Reply};
use tidemark_model::time::{H_NS, MINUTE_NS, S_NS};
use tidemark_query::admission::QueryReservation;

const NO_GRPC_WEB: &str = "this server supports Flight as gRPC-Web only \
                           (application/grpc-web+proto or application/grpc-web-text): connect gRPC \
                           clients through `tidemark flight` (docs/FLIGHT.md)";
const NO_METHOD: &str = "the server supports the Flight methods Handshake, GetFlightInfo, \
                         GetSchema, DoGet, DoAction and DoPut";
const NO_BEARER: &str = "a user's password is not a bearer token: send name and password as Basic \
                         authentication with every call, or connect with a token";

struct FlightResponder {
    form: Form,
    deadline_ns: Option<i64>,
    caller: Principal,
    stage: FlightStage,
    delivery: Delivery,
    refusal: Option<&'static str>,
}

enum FlightStage {
    /// A handshake, with its reply and the token to return.
    Handshake(Vec<u8>, Option<String>),
    /// A statement to prepare, without parameters. The server first checks the caller's permission.
    Preparing(Box<QueryRequest>),
    Reading(Box<Reading>),
    /// The last frames of the call. The frames are sent after the running statement, if any, was
    /// removed from the list of running queries.
    Ending(ApiResult<Vec<u8>>),
    Over,
}

pub(super) fn begin(request: &Incoming<'_>) -> ApiResult<PendingRequest> {
    let form = Form::of_request(request.head);
    let form = form.ok_or_else(|| ApiError::MediaType(NO_GRPC_WEB.to_owned()))?;
    Ok(PendingRequest::new(move |admitted, isolate, body| {
        Ok(Box::new(FlightResponder::start(form, admitted, isolate, &body)?))
    }))
}

impl FlightResponder {
    fn start(
        form: Form,
        admitted: Admitted<'_>,
        isolate: &mut Isolate<'_>,
        body: &[u8],
    ) -> ApiResult<Self> {
        let request = admitted.request;
        let timeout = request.head.header("grpc-timeout").map(timeout_ns).transpose()?;
        let deadline_ns = timeout.map(|ns| isolate.now_ns().saturating_add(ns));
        let settings = isolate.settings()?;
        let metadata = Metadata::of(request.head, settings)?;
        let messages = form.messages(body)?;
        let first = messages.first().map_or(&[][..], Vec::as_slice);
        let reading = |flight_request, purpose| -> ApiResult<FlightStage> {
            Ok(FlightStage::Reading(Box::new(Reading::new(flight_request, purpose, isolate)?)))
        };
        let stage = match request.id.unwrap_or_default() {
            "Handshake" => {
                let mut frames = Vec::new();
                grpc_web::message(&mut frames, &decode::<Handshake>(first)?.encode_to_vec())?;
                let known = auth::credentials(request.head, request.url, settings);
                FlightStage::Handshake(frames, known.ok().map(|credentials| credentials.token))
            }
            "DoGet" => {
                let BytesValue { value: ticket } = decode(first)?;
                reading(FlightRequest::of_ticket(&ticket, &metadata)?, Purpose::Rows)?
            }
            "GetFlightInfo" => {
                let descriptor: FlightDescriptor = decode(first)?;
                let (flight_request, ticket) = described(&descriptor, &metadata)?;
                reading(flight_request, Purpose::Info { descriptor, ticket })?
            }
            "GetSchema" => {
                let (flight_request, _) = described(&decode(first)?, &metadata)?;
                reading(flight_request, Purpose::Schema)?
            }
            "DoAction" => prepared::act(first, &metadata)?,
            "DoPut" => known(&prepared::bind(&messages, settings)?)?,
            _ => return Err(ApiError::NotImplemented(NO_METHOD.to_owned())),
        };
        *admitted.log_database = match &stage {
            FlightStage::Reading(reading) => reading.database.clone(),
            FlightStage::Preparing(query) => query.database.clone(),
            _ => None,
        };
        Ok(Self {
            form,
            deadline_ns,
            caller: Principal::default(),
            stage,
            delivery: Delivery::new(form.content_type),
            refusal: None,
        })
    }
}

impl Responder for FlightResponder {
    fn step(&mut self, isolate: &mut Isolate<'_>, reply: Option<Reply>) -> ApiResult<Action> {
        match std::mem::replace(&mut self.stage, FlightStage::Over) {
            FlightStage::Over => Ok(Action::End),
            FlightStage::Handshake(frames, token) => self.handshake(frames, token),
            FlightStage::Ending(ending) => self.conclude(ending),
            FlightStage::Preparing(query) => {
                let (query, purpose) = prepared::prepare(*query, isolate.settings()?)?;
                let mut reading = Reading::new(FlightRequest::Sql(query), purpose, isolate)?;
                reading.responder.check_statements(&self.caller)?;
                self.stage = FlightStage::Reading(Box::new(reading));
                self.step(isolate, reply)
            }
            FlightStage::Reading(mut reading) => {
                if self.deadline_ns.is_some_and(|deadline_ns| isolate.now_ns() >= deadline_ns) {
                    return self.leave(&mut reading, Err(ApiError::Deadline));
                }
                match reading.step(isolate, reply, &self.caller) {
                    Ok(Progress::Calls(calls)) => {
                        self.stage = FlightStage::Reading(reading);
                        Ok(Action::Calls(calls))
                    }
                    Ok(Progress::Pause) => {
                        self.stage = FlightStage::Reading(reading);
                        Ok(Action::Pause)
                    }
                    Ok(Progress::Frames(frames)) => {
                        self.stage = FlightStage::Reading(reading);
                        Ok(self.send(frames))
                    }
                    Ok(Progress::Known(frames)) => self.leave(&mut reading, Ok(frames)),
                    Ok(Progress::Complete(frames)) => self.conclude(Ok(frames)),
                    Err(error) => self.conclude(Err(error)),
                }
            }
        }
    }

    fn outcome(&self) -> Outcome {
        Outcome { refusal: self.refusal, ..Outcome::default() }
    }

    fn check_statements(&mut self, caller: &Principal) -> Result<(), AuthError> {
        self.caller = caller.clone();
        match &mut self.stage {
            FlightStage::Reading(reading) if reading.database.is_some() => {
                reading.responder.check_statements(caller)
            }
            FlightStage::Preparing(query) => {
                let database = query.database.as_deref().unwrap_or_default();
                sql::check_read(caller, database, query.policy.as_deref())
            }
            // No database checks the caller of a call that reads no database, so the Catalog must
            // have identified the caller for this request.
            _ if caller.needs_lookup() => {
                Err(AuthError::Unverified("no request to the Catalog was made".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn databases(&mut self) -> Vec<String> {
        match &mut self.stage {
            FlightStage::Reading(reading) => reading.responder.databases(),
            FlightStage::Preparing(query) => query.database.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    fn reservation(&mut self) -> Option<&QueryReservation> {
        match &mut self.stage {
            FlightStage::Reading(reading) => reading.responder.reservation(),
            _ => None,
        }
    }

    fn fail(&mut self, error: ApiError) -> ApiResult<Action> {
        match std::mem::replace(&mut self.stage, FlightStage::Over) {
            FlightStage::Reading(mut reading) => self.leave(&mut reading, Err(error)),
            _ => self.conclude(Err(error)),
        }
    }

    fn abandon(&mut self) -> Vec<Call> {
        match &mut self.stage {
            FlightStage::Reading(reading) => reading.responder.abandon(),
            _ => Vec::new(),
        }
    }
}

impl FlightResponder {
    /// Responds with the token that the client must send with every call.
    fn handshake(&mut self, frames: Vec<u8>, token: Option<String>) -> ApiResult<Action> {
        if self.caller.user {
            return invalid(NO_BEARER);
        }
        let mut action = self.conclude(Ok(frames))?;
        // The token may come from base64 or percent-encoding, and may have characters that a header
        // cannot contain.
        let safe = |token: &String| token.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
        if let (Action::Stream(response), Some(token)) = (&mut action, token.filter(safe)) {
            response.headers.push(("Authorization", format!("Bearer {token}").into()));
        }
        Ok(action)
    }

    /// Streams every response, because Cloudflare would not convert a response with a
    /// Content-Length to gRPC.
    fn send(&mut self, frames: Vec<u8>) -> Action {
        self.delivery.piece(self.form.encode(frames))
    }

    fn leave(&mut self, reading: &mut Reading, ending: ApiResult<Vec<u8>>) -> ApiResult<Action> {
        let calls = reading.responder.abandon();
        if calls.is_empty() {
            return self.conclude(ending);
        }
        self.stage = FlightStage::Ending(ending);
        Ok(Action::Calls(calls))
    }

    /// Puts an error after the first message into the trailers, so that a truncated response never
    /// looks complete.
    fn conclude(&mut self, ending: ApiResult<Vec<u8>>) -> ApiResult<Action> {
        self.stage = FlightStage::Over;
        let (mut frames, code, text) = match ending {
            Ok(frames) => (frames, Code::Ok, String::new()),
            Err(error) if !self.delivery.is_streaming() => return Err(error),
            Err(error) => {
                self.refusal = Some(error.class());
                (Vec::new(), error.grpc_code(), error.to_string())
            }
        };
        grpc_web::end(&mut frames, code, &text);
        Ok(self.send(frames))
    }
}

/// Responds with one message.
fn known(message: &[u8]) -> ApiResult<FlightStage> {
    let mut frames = Vec::new();
    grpc_web::message(&mut frames, message)?;
    Ok(FlightStage::Ending(Ok(frames)))
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
