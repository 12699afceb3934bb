//! Tests SQL with a page's own database. The page loads SQL while it is running, and SQL may fail.

use std::cell::Cell;
use std::rc::Rc;

use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::sql::ToSql;

use crate::product::Product;
use crate::sql_stand_in::stand_in;

fn ask(product: &mut Product, q: &str) -> (u16, String) {
    let body = serde_json::json!({ "db": "a", "q": q, "format": "json" }).to_string();
    product.ask("POST", "/api/v3/query_sql", "", &[], &body)
}

fn written() -> Product {
    let mut product = Product::with(&[]);
    product.query("", "CREATE DATABASE a");
    product.write("a", "m v=1 1\nm v=2 2");
    product
}

#[test]
fn sql_reads_earlier_points() {
    let mut product = written();
    let (status, said) = ask(&mut product, "count m");
    assert_eq!((status, said.contains("npm run sql")), (501, true), "{said}");
    product.answer_sql(stand_in());
    assert_eq!(ask(&mut product, "count m"), (200, "[{\"rows\":2}]".to_owned()));
}

/// After a failure, the server must not return the rows so far, because a client would consider the
/// partial result complete.
#[test]
fn broken_sql_statement_returns_503() {
    let mut product = written();
    let (mut session, mut messages) = (stand_in(), 0);
    product.answer_sql(Box::new(move |message: &[u8]| {
        messages += 1;
        if messages == 4 { Err("it went down".to_owned()) } else { session(message) }
    }));
    for (q, why) in [("trap", "unreachable"), ("SELECT rows 1000", "it went down")] {
        let (status, said) = ask(&mut product, q);
        let named = said.contains(&format!("SQL stopped: {why}"));
        assert_eq!((status, named), (503, true), "{q}: {said}");
    }
    assert_eq!(ask(&mut product, "count m"), (200, "[{\"rows\":2}]".to_owned()));
    let listed = product.query("a", "SHOW QUERIES").to_string();
    assert!(!listed.contains("rows 1000"), "{listed}");
}

#[test]
fn lost_sql_statement_runs_again() {
    let mut product = written();
    let (mut session, mut messages) = (stand_in(), 0);
    product.answer_sql(Box::new(move |message: &[u8]| {
        messages += 1;
        match messages {
            2 => Err("lost: its thread ended".to_owned()),
            6 => Err("stopped: it computed for too long".to_owned()),
            _ => session(message),
        }
    }));
    assert_eq!(ask(&mut product, "count m"), (200, "[{\"rows\":2}]".to_owned()));
    let stopped = (507, "{\"error\":\"it computed for too long\"}\n".to_owned());
    assert_eq!(ask(&mut product, "count m"), stopped);
    assert_eq!(ask(&mut product, "count m"), (200, "[{\"rows\":2}]".to_owned()));
}

#[test]
fn repeatedly_lost_sql_statement_returns_503() {
    let mut product = written();
    let (mut session, mut messages) = (stand_in(), 0);
    product.answer_sql(Box::new(move |message: &[u8]| {
        messages += 1;
        if messages % 2 == 0 { Err("lost: its thread ended".to_owned()) } else { session(message) }
    }));
    let (status, said) = ask(&mut product, "count m");
    assert_eq!((status, said.contains("SQL stopped: its thread ended")), (503, true), "{said}");
}

#[test]
fn rejected_sql_statement_is_planned_once() {
    let mut product = written();
    let opened = Rc::new(Cell::new(0));
    let (counter, mut session) = (Rc::clone(&opened), stand_in());
    product.answer_sql(Box::new(move |message: &[u8]| {
        let is_open = matches!(envelope::decode(message), Ok((_, ToSql::Open(_))));
        counter.set(counter.get() + u32::from(is_open));
        session(message)
    }));
    let (status, said) = ask(&mut product, "count nowhere");
    assert_eq!((status, opened.get()), (400, 1), "{said}");
}
