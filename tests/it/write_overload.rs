//! Tests writes to a service that has no free memory, and on a platform that rejects calls. Checks
//! the response of each route, and that reserved memory is released.

use tidemark_engine::protocol::call::{Address, CallFailure};
use tidemark_model::limits::{
    BODIES_IN_FLIGHT_BYTES_MAX, QUERIES_BYTES_MAX, QUERY_START_BYTES, QUERY_STARTS_BYTES_MAX,
};
use tidemark_server::action::Action;
use tidemark_server::error::ApiError;
use tidemark_server::exchange::Exchange;
use tidemark_server::http::{RequestHead, Response};
use tidemark_server::isolate_state::Service;
use tidemark_server::settings::Settings;

use crate::calls::{Fails, respond};
use crate::product::{self, TOKEN, header};
use crate::protocol::world;
use crate::world::World;
use crate::world::platform::TestPlatform;

pub(crate) fn service() -> Service {
    let settings = Settings::read(|name| (name == "ADMIN_TOKEN").then(|| TOKEN.to_owned()));
    Service::new(settings, 1)
}

pub(crate) fn head(target: &str, headers: &[(&str, String)]) -> RequestHead {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    product::head("POST", &format!("{target}&p={TOKEN}"), &headers)
}

/// Starts a write that announces a gzip body of 9 MB. No byte of the body has arrived yet.
fn begin(service: &mut Service, platform: &TestPlatform, database: &str) -> Exchange {
    let headers = [("content-length", "9000000"), ("content-encoding", "gzip")];
    let headers = headers.map(|(name, value)| (name, value.to_owned()));
    let head = head(&format!("/write?db={database}"), &headers);
    let (exchange, action) = Exchange::start(service, platform, head);
    assert_eq!(action, Action::ReadBody);
    exchange
}

/// Passes `bytes` bytes of a body in chunks.
fn receive(exchange: &mut Exchange, bytes: usize, platform: &TestPlatform) -> Option<Action> {
    let piece = vec![0; 100_000];
    (0..bytes / piece.len()).find_map(|_| {
        exchange
            .receive_piece(piece.len(), platform.time_ns(), |held| held.extend_from_slice(&piece))
    })
}

fn is_retried(action: &Action) -> bool {
    matches!(action, Action::Respond(response)
        if response.status == 503 && header(response, "Retry-After") == Some("1"))
}

/// Neither announced bytes nor a stalled body may prevent writes to another database.
#[test]
fn stalled_uploads_block_no_other_database() {
    let (mut service, platform) = (service(), TestPlatform::new(1));
    let idle: Vec<Exchange> = (0..100).map(|_| begin(&mut service, &platform, "a")).collect();
    assert_eq!(service.admission.free_bytes(), BODIES_IN_FLIGHT_BYTES_MAX);
    let mut stalled: Vec<Exchange> = (0..4).map(|_| begin(&mut service, &platform, "a")).collect();
    for exchange in &mut stalled {
        platform.advance_to(platform.time_ns() + 1);
        assert_eq!(receive(exchange, BODIES_IN_FLIGHT_BYTES_MAX / 4, &platform), None);
    }
    assert_eq!(service.admission.free_bytes(), 0);
    // The other database gets the memory that it needs. Then the request that has stalled longest
    // is aborted.
    let mut neighbour = begin(&mut service, &platform, "b");
    assert_eq!(receive(&mut neighbour, 1_000_000, &platform), None);
    assert!(stalled.iter_mut().all(|exchange| exchange.displaced_response().is_none()));
    assert_eq!(receive(&mut neighbour, 8_000_000, &platform), None);
    let lost = stalled[0].displaced_response().unwrap();
    assert!(is_retried(&lost), "{lost:?}");
    assert!(stalled[1..].iter_mut().all(|exchange| exchange.displaced_response().is_none()));
    let line = stalled[0].log_line(&mut service, &platform).unwrap_or_default();
    assert!(line.contains("\"overloaded\"") && line.contains("503"), "{line}");
    // The client of an aborted request receives the error at the next chunk or at the end.
    let mut third = begin(&mut service, &platform, "c");
    assert_eq!(receive(&mut third, 9_000_000, &platform), None);
    let mut fourth = begin(&mut service, &platform, "d");
    assert_eq!(receive(&mut fourth, 8_000_000, &platform), None);
    let late = receive(&mut stalled[1], 9_000_000, &platform).unwrap();
    let later = stalled[2].step(&mut service, &platform, None);
    assert!(is_retried(&late) && is_retried(&later), "{late:?} {later:?}");
    // Both requests release their memory, after a disconnect and after a response.
    assert!(neighbour.abandon().is_empty());
    let action = third.step(&mut service, &platform, None);
    assert!(matches!(action, Action::Respond(Response { status: 400, .. })), "{action:?}");
    drop((stalled, idle, fourth));
    assert_eq!(service.admission.free_bytes(), BODIES_IN_FLIGHT_BYTES_MAX);
}

/// The server checks the permissions of a query after its body. Until then the body must not count
/// for the database that its URL names.
#[test]
fn query_bodies_displace_no_uploads_of_named_database() {
    let (mut service, platform) = (service(), TestPlatform::new(1));
    let mut upload = begin(&mut service, &platform, "a");
    assert_eq!(receive(&mut upload, 2_000_000, &platform), None);
    let mut queries = Vec::new();
    for _ in 0..200 {
        platform.advance_to(platform.time_ns() + 1);
        let head = head("/query?db=a", &[]);
        let (mut query, action) = Exchange::start(&mut service, &platform, head);
        assert_eq!(action, Action::ReadBody);
        assert_eq!(receive(&mut query, 200_000, &platform), None);
        queries.push(query);
    }
    assert!(queries[0].displaced_response().is_some() && upload.displaced_response().is_none());
}

#[test]
fn stalled_body_releases_its_memory() {
    let (mut service, platform) = (service(), TestPlatform::new(1));
    let (mut exchange, _) = Exchange::start(&mut service, &platform, head("/write?db=db", &[]));
    let piece = b"m v=1\nm v";
    assert_eq!(exchange.receive_piece(piece.len(), 0, |held| held.extend_from_slice(piece)), None);
    assert!(service.admission.free_bytes() < BODIES_IN_FLIGHT_BYTES_MAX);
    let action = exchange.refuse(ApiError::Stalled);
    let Action::Respond(response) = action else { panic!("no response") };
    assert_eq!((response.status, header(&response, "Connection")), (408, Some("close")));
    let message = "the body stalled: neither its next 128 KB nor its end arrived within 60 s \
                   (BODY_STALL_S_MAX); the request changed no data: send it again";
    let body = format!(
        "{{\"code\":\"request timeout\",\"message\":\"{message}\",\"error\":\"{message}\"}}\n"
    );
    assert_eq!(String::from_utf8(response.body).unwrap(), body);
    assert_eq!(service.admission.free_bytes(), BODIES_IN_FLIGHT_BYTES_MAX);
    assert_eq!(exchange.step(&mut service, &platform, None), Action::End);
    let line = exchange.log_line(&mut service, &platform).unwrap_or_default();
    assert!(line.contains("\"stalled\"") && line.contains("408"), "{line}");
}

/// The reservation of a body without an announced size grows.
#[test]
fn growing_body_exceeding_memory_is_rejected() {
    let (mut service, platform) = (service(), TestPlatform::new(1));
    let mut held = service.admission.permit_for("db");
    held.grow_to(25_000_000).unwrap();
    let (mut exchange, _) = Exchange::start(&mut service, &platform, head("/write?db=db", &[]));
    let piece = b"m v=1 1\n".repeat(125_000);
    let refused = (1..=15).find_map(|pieces| {
        let action =
            exchange.receive_piece(piece.len(), 0, |held| held.extend_from_slice(&piece))?;
        Some((pieces, action))
    });
    let Some((2..=8, Action::Respond(response))) = refused else { panic!("{refused:?}") };
    assert_eq!((response.status, header(&response, "Retry-After")), (503, Some("1")));
    drop(held);
    assert_eq!(service.admission.free_bytes(), BODIES_IN_FLIGHT_BYTES_MAX);
}

/// Status 413 is not a request to retry. Telegraf then splits its batch.
#[test]
fn oversized_body_returns_413() {
    let (mut service, platform) = (service(), TestPlatform::new(1));
    let (mut exchange, _) = Exchange::start(&mut service, &platform, head("/write?db=db", &[]));
    let piece = b"m v=1 1\n".repeat(125_000);
    let refused = (0..25).find_map(|_| {
        exchange.receive_piece(piece.len(), 0, |held| held.extend_from_slice(&piece))
    });
    let Some(Action::Respond(response)) = refused else { panic!("{refused:?}") };
    assert_eq!((response.status, header(&response, "Retry-After")), (413, None));
    let text = String::from_utf8(response.body).unwrap();
    assert!(
        text.contains(
            "of 36000000 bytes (BODIES_IN_FLIGHT_BYTES_MAX) are free; send smaller batches"
        ),
        "{text}"
    );
    assert_eq!(service.admission.free_bytes(), BODIES_IN_FLIGHT_BYTES_MAX);
}

fn write(world: &mut World, target: &str, fails: Fails) -> Response {
    respond(world, service(), head(target, &[]), "cpu v=1", fails)
}

#[test]
fn overload_returns_503_with_retry_after() {
    let overloaded: [Fails; 3] = [
        |to| matches!(to, Address::Catalog).then_some(CallFailure::Overloaded),
        |to| matches!(to, Address::Database(_)).then_some(CallFailure::Overloaded),
        |to| matches!(to, Address::Shard(_)).then_some(CallFailure::Overloaded),
    ];
    let retryable: [Fails; 3] = [
        |to| matches!(to, Address::Catalog).then(|| CallFailure::Retryable("reset".into())),
        |to| matches!(to, Address::Database(_)).then(|| CallFailure::Retryable("reset".into())),
        |to| matches!(to, Address::Shard(_)).then(|| CallFailure::Failed("reset".into())),
    ];
    let mut world = world(7);
    for route in ["/write?db=db", "/api/v2/write?bucket=db", "/api/v3/write_lp?db=db"] {
        assert_eq!(write(&mut world, route, |_| None).status, 204);
        for (all, seconds) in [(overloaded, "1"), (retryable, "2")] {
            for fails in all {
                let response = write(&mut world, route, fails);
                let text = String::from_utf8(response.body.clone()).unwrap();
                assert_eq!(response.status, 503, "{text}");
                assert_eq!(header(&response, "Retry-After"), Some(seconds), "{text}");
                assert_eq!(header(&response, "Content-Type"), Some("application/json"));
                // Telegraf's v1 output drops a batch if a 5xx response contains such a phrase.
                for phrase in ["partial write", "unable to parse", "points beyond retention policy"]
                {
                    assert!(!text.contains(phrase), "{text}");
                }
                assert!(!text.contains("\"line\""), "{text}");
            }
        }
        assert_eq!(write(&mut world, route, |_| None).status, 204);
    }
}

#[test]
fn unverifiable_tokens_return_503() {
    let mut world = world(8);
    assert_eq!(write(&mut world, "/write?db=db", |_| None).status, 204);
    for route in ["/write?db=db", "/api/v2/write?bucket=db", "/query?q=SHOW+DATABASES"] {
        let head = head(route, &[("authorization", "Bearer apiv3_some".to_owned())]);
        let response = respond(&mut world, service(), head, "cpu v=1", |to| {
            matches!(to, Address::Catalog).then_some(CallFailure::Overloaded)
        });
        let text = String::from_utf8(response.body.clone()).unwrap();
        assert_eq!((response.status, header(&response, "Retry-After")), (503, Some("2")), "{text}");
        assert!(text.contains("the token cannot be verified: overloaded"), "{text}");
    }
}

/// Queries whose readers stall keep their memory until other queries need the memory.
#[test]
fn slow_readers_block_no_other_database() {
    let (mut service, platform) = (service(), TestPlatform::new(1));
    let reader = |database: &str, service: &mut Service| {
        let head = head(&format!("/query?db={database}&q=SHOW+SERIES"), &[]);
        let (mut exchange, _) = Exchange::start(service, &platform, head);
        // The query starts, or waits for memory.
        let Action::Calls(calls) = exchange.step(service, &platform, None) else { panic!() };
        let begins = !matches!(calls[0].to, Address::Timer { .. });
        exchange.begin_sending(platform.time_ns());
        platform.advance_to(platform.time_ns() + 200_000_000);
        (exchange, begins)
    };
    let at_once = (QUERIES_BYTES_MAX + QUERY_STARTS_BYTES_MAX) / QUERY_START_BYTES;
    let slow = (0..at_once).map(|_| reader("a", &mut service));
    let mut slow: Vec<Exchange> = slow.map(|(exchange, _)| exchange).collect();
    assert_eq!(service.queries.free_bytes(), 0);
    // The first query continues, and then waits again.
    assert!(slow[0].end_sending());
    slow[0].begin_sending(platform.time_ns());
    // The other database gets the memory that it needs. If it needs more memory, the queries that
    // have waited longest are aborted.
    let (mut neighbour, begins) = reader("b", &mut service);
    assert!(begins && neighbour.end_sending() && !slow.iter_mut().any(Exchange::is_stopped));
    let (_second, begins) = reader("b", &mut service);
    let outrun: Vec<usize> = (0..at_once).filter(|&at| slow[at].is_stopped()).collect();
    assert_eq!((begins, outrun), (true, vec![1, 2]));
    assert!(!slow[1].end_sending());
    let line = slow[1].log_line(&mut service, &platform).unwrap_or_default();
    assert!(line.contains("\"slow reader\""), "{line}");
    // Within one database, the query that has waited longest is also aborted.
    let more: Vec<_> = (0..4).map(|_| reader("a", &mut service)).collect();
    assert!(more.iter().all(|(_, begins)| *begins));
    // An aborted query that has already received its error is not counted.
    assert_eq!(slow.iter_mut().map(Exchange::is_stopped).filter(|outrun| *outrun).count(), 5);
    drop((slow, more, neighbour, _second));
    assert_eq!(service.queries.free_bytes(), QUERIES_BYTES_MAX);
}
