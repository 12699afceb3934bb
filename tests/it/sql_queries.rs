//! Tests SQL statements with several isolates: statements that are killed, and outdated caches.

use std::cell::RefCell;
use std::rc::Rc;

use tidemark_coordinator::error::Error;
use tidemark_coordinator::sql::{SqlStatement, execute};

use crate::protocol::write;
use crate::queries::{LONG_ROWS, run_while_fields_are_added, world};
use crate::world::{Edge, World, session};

type Answer = Result<Option<Vec<u8>>, Error>;

fn start(world: &mut World, edge: &Edge, text: &str) -> Rc<RefCell<Vec<Answer>>> {
    let (text, parameters) = (text.to_owned(), Vec::new());
    let query = execute(SqlStatement { text, parameters, format: "json" }, session());
    world.start_pieces(edge, query)
}

fn said(answers: &RefCell<Vec<Answer>>) -> Result<Vec<String>, Error> {
    let mut pieces = Vec::new();
    for answer in answers.borrow().iter() {
        match answer {
            Ok(Some(piece)) => pieces.push(String::from_utf8(piece.clone()).unwrap()),
            Ok(None) => return Ok(pieces),
            Err(error) => return Err(error.clone()),
        }
    }
    panic!("it has not ended: {pieces:?}");
}

#[test]
fn long_sql_statement_is_listed() {
    let mut world = world();
    let query = start(&mut world, &Edge::default(), "pages long");
    let mut seen = Vec::new();
    while world.deliver() {
        seen.extend(world.live_queries().into_iter().map(|query| (query.text, query.database)));
    }
    assert_eq!(said(&query).unwrap().last(), Some(&format!("{LONG_ROWS}\n")));
    seen.dedup();
    assert_eq!(seen, [("pages long".to_owned(), "db".to_owned())]);
    assert_eq!(world.live_queries(), []);
}

#[test]
fn killed_sql_statement_is_interrupted() {
    let mut world = world();
    let query = start(&mut world, &Edge::default(), "pages long");
    while world.live_queries().is_empty() {
        assert!(world.deliver(), "it is never listed");
    }
    let [live] = &*world.live_queries() else { panic!("one query") };
    world.start_statement(&Edge::default(), "db", &format!("KILL QUERY {}", live.id));
    while world.deliver() {}
    assert_eq!(said(&query), Err(Error::Interrupted));
    assert_eq!(world.live_queries(), []);
}

/// The shards require the newer schema from other requests.
#[test]
fn running_sql_survives_added_columns() {
    let mut world = world();
    let query = start(&mut world, &Edge::default(), "pages long");
    while query.borrow().is_empty() {
        assert!(world.deliver(), "it never begins");
    }
    let other = Edge::default();
    for n in 0..4 {
        let line = format!("long,host=h{n} more{n}=1 {n}");
        let writing = world.start_task(&other, write("db", &line));
        while writing.take().is_none() {
            assert!(world.deliver());
        }
    }
    while world.deliver() {}
    let pieces = said(&query).unwrap();
    assert!(pieces.len() > 1, "{pieces:?}");
    assert_eq!(pieces.last(), Some(&format!("{LONG_ROWS}\n")));
}

#[test]
fn sql_retries_after_stale_cache() {
    let mut world = world();
    let old = Edge::default();
    let query = start(&mut world, &old, "count short");
    while world.deliver() {}
    assert_eq!(said(&query), Ok(vec!["[{\"rows\":1}]".to_owned()]));
    world.run(&Edge::default(), write("db", "fresh v=1 1\nfresh v=1 2")).unwrap();
    let query = start(&mut world, &old, "count fresh");
    while world.deliver() {}
    assert_eq!(said(&query), Ok(vec!["[{\"rows\":2}]".to_owned()]));
    let query = start(&mut world, &old, "count nowhere");
    while world.deliver() {}
    let Err(Error::Sql { status: 400, .. }) = said(&query) else { panic!("{query:?}") };
}

/// A statement that has not sent any rows waits for memory that other statements use.
#[test]
fn sql_restarts_when_memory_frees() {
    let (mut world, edge) = (world(), Edge::default());
    let others = edge.queries.reservation_for("others");
    assert!(others.start(0));
    let mut buffer = others.buffer();
    buffer.set(33_500_000).unwrap();
    let query = start(&mut world, &edge, "whole 600000");
    for _ in 0..500 {
        assert!(world.deliver(), "{query:?}");
    }
    assert!(query.borrow().is_empty(), "{query:?}");
    drop((buffer, others));
    while world.deliver() {}
    assert_eq!(said(&query).map(|pieces| pieces.concat().len()), Ok(600_000));
}

#[test]
fn sql_continues_with_its_schema_while_fields_are_added() {
    let run = |fields_max| {
        let (mut world, edge) = (world(), Edge::default());
        let (answers, calls, added) = run_while_fields_are_added(&mut world, fields_max, |world| {
            start(world, &edge, "pages long");
            while world.deliver() {}
            start(world, &edge, "pages long")
        });
        (said(&RefCell::new(answers)), calls, added)
    };
    let (alone, disturbed) = (run(0), run(5));
    assert_eq!((alone.2, disturbed.2), (0, 5));
    assert_eq!((disturbed.0, disturbed.1), (alone.0, alone.1));
}
