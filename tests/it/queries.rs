//! Tests SHOW QUERIES and KILL QUERY. One isolate runs a query, and another isolate kills the query.

use std::cell::RefCell;
use std::rc::Rc;

use tidemark::coordinator::error::Error;
use tidemark::coordinator::grants::Principal;
use tidemark::coordinator::statement::Execution;
use tidemark::coordinator::statement::Session;
use tidemark::influxql::{self, bound_params::Params};
use tidemark::query::result::SeriesChunk;

use crate::protocol::{create, write};
use crate::world::{Edge, World, real_shard};

const LONG: &str = "SELECT s FROM db.autogen.long";

fn world() -> World {
    let mut world = World::new(7, real_shard::make);
    let edge = Edge::default();
    world.run(&edge, create("db", 2, None)).unwrap();
    world.run(&edge, write("db", "short,host=a s=\"x\" 1")).unwrap();
    // Each value is larger than half of a page.
    for n in 0..20 {
        let line = format!("long,host=h{n} s=\"{}\" {n}", "x".repeat(700_000));
        world.run(&edge, write("db", &line)).unwrap();
    }
    world
}

type Answers = Rc<RefCell<Vec<Result<Option<SeriesChunk>, Error>>>>;

fn start(world: &mut World, edge: &Edge, q: &str) -> Answers {
    let statement = influxql::parse(q, &Params::default()).unwrap().remove(0);
    let principal = Principal::admin();
    let database = Some("db".to_owned());
    let session = Session { database, now_ns: 1 << 60, principal, ..Session::default() };
    let goes_on = |answer: &Result<Option<SeriesChunk>, Error>| matches!(answer, Ok(Some(_)));
    world.start_pieces(edge, Execution::new(statement, session), goes_on)
}

#[test]
fn only_long_queries_are_listed() {
    let mut world = world();
    let edge = Edge::default();
    start(&mut world, &edge, "SELECT s FROM short");
    while world.deliver() {
        assert_eq!(world.live_queries(), []);
    }
    let answers = start(&mut world, &edge, LONG);
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
    let query = start(&mut world, &asking, LONG);
    while world.live_queries().is_empty() {
        assert!(world.deliver(), "it is never listed");
    }
    let [live] = &*world.live_queries() else { panic!("one query") };
    assert_eq!((live.shards.len(), live.killed), (2, false));
    let kill = start(&mut world, &killing, &format!("KILL QUERY {}", live.id));
    while world.deliver() {}
    assert_eq!(kill.borrow_mut().pop(), Some(Ok(None)));
    assert_eq!(query.borrow_mut().pop(), Some(Err(Error::Interrupted)));
    assert_eq!(Error::Interrupted.to_string(), "query interrupted");
    let again = start(&mut world, &killing, &format!("KILL QUERY {}", live.id));
    while world.deliver() {}
    let refused = format!("no such query id: {}", live.id);
    assert_eq!(
        again.borrow_mut().pop().and_then(Result::err).map(|error| error.to_string()),
        Some(refused)
    );
}

#[test]
fn failed_into_is_no_longer_listed() {
    let mut world = world();
    let edge = Edge::default();
    world.run(&edge, write("db", "other,host=h0 s=1 1")).unwrap();
    let into = "SELECT s INTO db.autogen.other FROM db.autogen.long";
    let answers = start(&mut world, &edge, into);
    let mut was_listed = false;
    while world.deliver() {
        was_listed |= !world.live_queries().is_empty();
    }
    let error = answers.borrow_mut().pop().and_then(Result::err).unwrap().to_string();
    assert!(error.contains("type conflict"), "{error}");
    assert!(was_listed);
    assert_eq!(world.live_queries(), []);
}
