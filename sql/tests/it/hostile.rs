//! Statements that ask for too much are refused, and by name.

use tidemark_sql::Engine;
use tidemark_sql::error::QueryError;

use super::database::{Database, Layout, request};

/// As much stack as a Worker has. What is compiled for a test takes several times as much of it.
const STACK_BYTES: usize = 8 * 4 * 1024 * 1024;

fn ask(text: &str) -> Result<usize, QueryError> {
    let text = text.to_owned();
    let asked = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let mut database = Database::default();
        for at in 0..100 {
            database.write(&format!("cpu,host=h{at} usage={at} {at}"));
        }
        let answered = database.ask(&text, Layout::PLAIN)?;
        Ok(answered.batches.iter().map(|batch| batch.num_rows()).sum())
    });
    asked.unwrap().join().unwrap()
}

fn refusal(text: &str) -> String {
    match ask(text) {
        Ok(rows) => panic!("{rows} rows: {text:.80}"),
        Err(error) => format!("{}: {error}", error.status()),
    }
}

#[test]
fn what_is_too_deep_is_refused_before_it_is_planned() {
    let ors = vec!["host = 'h1'"; 1_000].join(" OR ");
    let sum = vec!["1"; 1_000].join(" + ");
    let parentheses = format!("{}1{}", "(".repeat(60), ")".repeat(60));
    let cases = format!("{}1{}", "CASE WHEN true THEN ".repeat(200), " END".repeat(200));
    let queries = format!("{}SELECT 1{}", "SELECT * FROM (".repeat(60), ")".repeat(60));
    let unions = vec!["SELECT 1"; 500].join(" UNION ALL ");
    for text in [
        format!("SELECT * FROM cpu WHERE {ors}"),
        format!("SELECT {sum}"),
        format!("SELECT {parentheses}"),
        format!("SELECT {cases}"),
        queries,
        unions,
    ] {
        let said = refusal(&text);
        assert!(said.starts_with("400: more than "), "{said}: {text:.80}");
    }
}

/// The deepest that is taken fits into the stack.
#[test]
fn what_is_just_not_too_deep_is_answered() {
    let ors = vec!["usage = 7"; 63].join(" OR ");
    assert_eq!(ask(&format!("SELECT * FROM cpu WHERE {ors}")).unwrap(), 1);
    let sum = vec!["usage"; 126].join(" + ");
    assert_eq!(ask(&format!("SELECT {sum} FROM cpu")).unwrap(), 100);
    let nots = "NOT ".repeat(40);
    assert_eq!(ask(&format!("SELECT {nots} true")).unwrap(), 1);
    let parentheses = format!("{}1{}", "(".repeat(44), ")".repeat(44));
    assert_eq!(ask(&format!("SELECT {parentheses}")).unwrap(), 1);
    let unions = vec!["SELECT usage FROM cpu"; 60].join(" UNION ALL ");
    assert_eq!(ask(&unions).unwrap(), 6_000);
    let values: Vec<String> = (0..5_000).map(|at| format!("'h{at}'")).collect();
    let text = format!("SELECT * FROM cpu WHERE host IN ({})", values.join(","));
    assert_eq!(ask(&text).unwrap(), 100);
}

#[test]
fn a_plan_that_doubles_with_each_line_is_refused() {
    let mut lines = vec!["c0 AS (SELECT usage FROM cpu)".to_owned()];
    for at in 1..40 {
        let before = at - 1;
        lines.push(format!("c{at} AS (SELECT a.usage FROM c{before} a, c{before} b)"));
    }
    let said = refusal(&format!("WITH {} SELECT count(*) FROM c39", lines.join(", ")));
    assert!(said.starts_with("400: the statement reads more than 64 tables"), "{said}");
    let tables = vec!["cpu"; 70];
    let tables: Vec<String> =
        tables.iter().enumerate().map(|(at, name)| format!("{name} t{at}")).collect();
    let said = refusal(&format!("SELECT count(*) FROM {}", tables.join(", ")));
    assert!(said.starts_with("400: the statement reads more than 64 tables"), "{said}");
}

#[test]
fn what_needs_more_memory_than_there_is_says_so_and_gives_it_back() {
    let engine = Engine::with_pool_bytes(4 * 1024 * 1024);
    let database = Database::default();
    let statements = [
        "SELECT max(v) FROM (SELECT value AS v FROM generate_series(1, 600000) ORDER BY value % 7, \
         value LIMIT 500000)",
        "SELECT count(*) FROM (SELECT max(value) FROM generate_series(1, 600000) GROUP BY value * 7 % 600011)",
        "SELECT count(*) FROM generate_series(1, 600000) a JOIN generate_series(1, 600000) b \
         ON a.value = b.value + 1",
        "SELECT array_agg(value) FROM generate_series(1, 600000)",
    ];
    for text in statements {
        let ran = database.run(&engine, request(text, Vec::new()), Layout::PLAIN);
        let error = ran.err().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(error.status(), 507, "{text}: {error}");
        assert!(error.to_string().contains("narrow the time or aggregate first"), "{error}");
        assert_eq!(engine.reserved_bytes(), 0, "{text}");
    }
    let small = "SELECT count(*) FROM generate_series(1, 600000)";
    assert!(database.run(&engine, request(small, Vec::new()), Layout::PLAIN).is_ok());
}

#[test]
fn what_holds_its_rows_without_asking_is_capped_by_rows() {
    for call in ["row_number() OVER (ORDER BY value)", "lag(value) OVER (ORDER BY value)"] {
        let said = refusal(&format!("SELECT {call} FROM generate_series(1, 600000)"));
        assert!(said.starts_with("507: a window function or string_agg over more"), "{said}");
    }
    let text = "SELECT string_agg(value::text, ',') FROM generate_series(1, 600000)";
    assert!(refusal(text).starts_with("507: a window function or string_agg over more"));
    let few = "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY value) AS n FROM \
               generate_series(1, 60000))";
    assert_eq!(ask(few).unwrap(), 1);
}

#[test]
fn what_makes_rows_without_end_is_stopped() {
    let said = refusal("SELECT count(*) FROM generate_series(1, 9000000000000)");
    assert!(said.starts_with("507: a join or a series makes more than 10000000 rows"), "{said}");
    let said = refusal(
        "SELECT count(*) FROM cpu a CROSS JOIN cpu b CROSS JOIN cpu c CROSS JOIN cpu d \
         WHERE a.usage + b.usage + c.usage + d.usage >= 0",
    );
    assert!(said.starts_with("507: a join or a series makes more than 10000000 rows"), "{said}");
    let text =
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i FROM n) SELECT count(*) FROM n";
    let said = refusal(text);
    assert!(said.starts_with("507: a recursive query makes more than 50000 rows"), "{said}");
}

#[test]
fn what_compares_without_end_is_stopped() {
    let said = refusal(
        "SELECT count(*) FROM generate_series(1, 20000) a JOIN generate_series(1, 20000) b \
         ON a.value + b.value < 0",
    );
    assert!(said.starts_with("507: a join compares more than 250000000 pairs of rows"), "{said}");
}

#[test]
fn what_makes_much_out_of_little_is_looked_at_first() {
    for call in [
        "repeat('x', 2000000000)",
        "repeat(host, 100000000)",
        "repeat('x', usage::bigint * 10000000)",
        "length(lpad('x', 1000000000))",
        "rpad(host, 100000000, 'ab')",
        "array_repeat(1, 1000000000)",
        "list_repeat('x', 1000000000)",
        "array_resize([1], 1000000000)",
        "range(1000000000)",
        "generate_series(-1, 9000000000, 3)",
        "range(1, usage::bigint * 100000000)",
    ] {
        let said = refusal(&format!("SELECT {call} FROM cpu"));
        assert!(said.starts_with("507: "), "{call}: {said}");
        assert!(said.ends_with(" would make more than 33554432 bytes at once"), "{call}: {said}");
    }
    for call in [
        "repeat('x', 1000)",
        "lpad(host, 10)",
        "array_repeat(host, 3)",
        "array_resize([1, 2], 5)",
        "range(10)",
        "generate_series(1, usage::bigint)",
        "range(1, 10, NULL)",
    ] {
        assert_eq!(ask(&format!("SELECT {call} FROM cpu")).unwrap(), 100, "{call}");
    }
    let said = refusal("SELECT range(date '2022-01-01', date '9999-01-01', interval '1 day')");
    assert!(said.starts_with("400: ranges of times are tables"), "{said}");
}
