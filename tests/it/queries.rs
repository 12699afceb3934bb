//! Tests SHOW QUERIES and KILL QUERY. One isolate runs a query, and another isolate kills the
//! query.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use tidemark_coordinator::error::Error;
use tidemark_engine::protocol::call::{Address, Reply};
use tidemark_server::action::Action;
use tidemark_server::exchange::Exchange;

use crate::protocol::{ask, create, write};
use crate::world::{Edge, World, real_shard};
use crate::write_overload::{head, service};

const LONG: &str = "SELECT s FROM db.autogen.long";

/// The number of rows of the measurement `long`. Each value is larger than half of a page.
pub(crate) const LONG_ROWS: usize = 20;

pub(crate) fn world() -> World {
    let mut world = World::new(7, real_shard::make);
    let edge = Edge::default();
    world.run(&edge, create("db", 2, None)).unwrap();
    world.run(&edge, write("db", "short,host=a s=\"x\" 1")).unwrap();
    for n in 0..LONG_ROWS {
        let line = format!("long,host=h{n} s=\"{}\" {n}", "x".repeat(700_000));
        world.run(&edge, write("db", &line)).unwrap();
    }
    world
}

#[test]
fn only_long_queries_are_listed() {
    let mut world = world();
    let edge = Edge::default();
    world.start_statement(&edge, "db", "SELECT s FROM short");
    while world.deliver() {
        assert_eq!(world.live_queries(), []);
    }
    let answers = world.start_statement(&edge, "db", LONG);
    let mut seen = Vec::new();
    while world.deliver() {
        seen.extend(world.live_queries().into_iter().map(|query| (query.text, query.database)));
    }
    assert_eq!(answers.borrow_mut().pop(), Some(Ok(None)), "it came to its end");
    seen.dedup();
    assert_eq!(seen, [(LONG.to_owned(), "db".to_owned())]);
    assert_eq!(world.live_queries(), []);
}

#[test]
fn kill_query_works_across_isolates() {
    let mut world = world();
    let (asking, killing) = (Edge::default(), Edge::default());
    let query = world.start_statement(&asking, "db", LONG);
    while world.live_queries().is_empty() {
        assert!(world.deliver(), "it is never listed");
    }
    let [live] = &*world.live_queries() else { panic!("one query") };
    assert_eq!((live.shards.len(), live.killed), (2, false));
    let kill = world.start_statement(&killing, "db", &format!("KILL QUERY {}", live.id));
    while world.deliver() {}
    assert_eq!(kill.borrow_mut().pop(), Some(Ok(None)));
    assert_eq!(query.borrow_mut().pop(), Some(Err(Error::Interrupted)));
    assert_eq!(Error::Interrupted.to_string(), "query interrupted");
    let again = world.start_statement(&killing, "db", &format!("KILL QUERY {}", live.id));
    while world.deliver() {}
    let refused = format!("no such query id: {}", live.id);
    assert_eq!(
        again.borrow_mut().pop().and_then(Result::err).map(|error| error.to_string()),
        Some(refused)
    );
}

#[test]
fn query_of_disconnected_client_is_no_longer_listed() {
    for target in [
        "/query?db=db&q=SELECT+s+FROM+long",
        "/query?db=db&chunked=true&q=SELECT+s+INTO+copy+FROM+long",
        "/api/v3/query_influxql?db=db&format=csv&q=SELECT+s+FROM+long",
        "/api/v3/export?db=db",
    ] {
        let (mut world, mut service, mut calls) = (world(), service(), VecDeque::new());
        let platform = world.platform.clone();
        let (mut exchange, mut action) =
            Exchange::start(&mut service, &platform, head(target, &[]));
        while world.live_queries().is_empty() {
            action = match action {
                Action::ReadBody => exchange.step(&mut service, &platform, None),
                Action::Calls(more) => {
                    calls.extend(more);
                    let call = calls.pop_front().expect("the request waits for no reply");
                    let reply = match call.to {
                        Address::Timer { .. } => Vec::new(),
                        to => ask(&mut world, to, call.message),
                    };
                    let reply = Reply { id: call.id, result: Ok(reply) };
                    exchange.step(&mut service, &platform, Some(reply))
                }
                Action::Stream(_) | Action::Bytes(_) => {
                    exchange.step(&mut service, &platform, None)
                }
                other => panic!("{target}: {other:?}"),
            };
        }
        let calls = exchange.abandon();
        assert_eq!(calls.len(), 1, "{target}");
        for call in calls {
            ask(&mut world, call.to, call.message);
        }
        assert_eq!(world.live_queries(), [], "{target}");
        assert!(exchange.abandon().is_empty(), "{target}");
    }
}

#[test]
fn failed_into_is_no_longer_listed() {
    let mut world = world();
    let edge = Edge::default();
    world.run(&edge, write("db", "other,host=h0 s=1 1")).unwrap();
    let into = "SELECT s INTO db.autogen.other FROM db.autogen.long";
    let answers = world.start_statement(&edge, "db", into);
    let mut was_listed = false;
    while world.deliver() {
        was_listed |= !world.live_queries().is_empty();
    }
    let error = answers.borrow_mut().pop().and_then(Result::err).unwrap().to_string();
    assert!(error.contains("type conflict"), "{error}");
    assert!(was_listed);
    assert_eq!(world.live_queries(), []);
}

/// Starts a query and runs it to its end. While the query reads its further pages, another isolate
/// adds fields, each with one acknowledged write. Returns the result, the query's calls to
/// objects, and the number of added fields.
pub(crate) fn run_while_fields_are_added<T>(
    world: &mut World,
    fields_max: usize,
    start: impl FnOnce(&mut World) -> Rc<RefCell<Vec<T>>>,
) -> (Vec<T>, usize, usize) {
    let other = Edge::default();
    let add = |world: &mut World, field: &str| {
        let line = format!("long,host=h0 {field}=1 0");
        let writing = world.start_task(&other, write("db", &line));
        while writing.take().is_none() {
            assert!(world.deliver());
        }
    };
    let asked = world.asked;
    add(world, &format!("first{fields_max}"));
    let asked_before_write = world.asked;
    add(world, &format!("second{fields_max}"));
    let calls_per_write = world.asked - asked_before_write;
    assert!(calls_per_write > 0 && asked < asked_before_write);
    let asked = world.asked;
    let query = start(world);
    while world.live_queries().is_empty() {
        assert!(world.deliver(), "the query has only one page");
    }
    let mut added = 0;
    while world.deliver() {
        if added < fields_max {
            add(world, &format!("more{added}"));
            added += 1;
        }
    }
    (query.take(), world.asked - asked - added * calls_per_write, added)
}

#[test]
fn query_continues_with_its_schema_while_fields_are_added() {
    let text = "SELECT count(s) FROM (SELECT s FROM db.autogen.long)";
    let run = |fields_max| {
        let mut world = world();
        let edge = Edge::default();
        let mut answers = run_while_fields_are_added(&mut world, fields_max, |world| {
            // The isolate caches the schema.
            world.run_statement(&edge, "db", text).unwrap();
            world.start_statement(&edge, "db", text)
        });
        assert_eq!(answers.0.pop(), Some(Ok(None)));
        let Some(Ok(Some(chunk))) = answers.0.pop() else { panic!("no result") };
        // The next query reads the acknowledged points.
        let fields = (0..answers.2).map(|n| format!("more{n}")).collect::<Vec<_>>();
        for field in fields {
            let text = format!("SELECT {field} FROM long");
            assert_eq!(world.run_statement(&edge, "db", &text).unwrap()[0].rows, 1, "{field}");
        }
        (format!("{:?}", chunk.values), answers.1, answers.2)
    };
    let (alone, disturbed) = (run(0), run(5));
    assert_eq!((alone.2, disturbed.2), (0, 5));
    assert_eq!((disturbed.0, disturbed.1), (alone.0, alone.1));
}
