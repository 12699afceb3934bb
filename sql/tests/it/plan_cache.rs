//! Tests that later executions of a statement use the cached plan.

use tidemark_sql::Engine;
use tidemark_sql::limits::{CACHED_COLUMNS_MAX, CACHED_PLANS_MAX, CACHED_TEXT_BYTES_MAX};
use tidemark_sql::messages::{Parameter, QueryRequest};
use tidemark_sql::output::Format;

use crate::database::{Database, Layout, request, written};

/// Runs a statement and returns its result as CSV.
fn csv(database: &Database, engine: &Engine, text: &str) -> String {
    csv_with(database, engine, text, &[])
}

fn csv_with(
    database: &Database,
    engine: &Engine,
    text: &str,
    parameters: &[(&str, Parameter)],
) -> String {
    let named = |(name, value): &(&str, Parameter)| ((*name).to_owned(), value.clone());
    csv_of(database, engine, request(text, parameters.iter().map(named).collect()))
}

fn csv_of(database: &Database, engine: &Engine, request: QueryRequest) -> String {
    let answered = database.run(engine, request, Layout::PLAIN).unwrap();
    String::from_utf8(written(&answered, Format::Csv).unwrap()).unwrap()
}

#[test]
fn cached_plan_reads_new_rows() {
    let (engine, mut database) = (Engine::default(), Database::default());
    database.write("m,t=a v=1 1\nm,t=b v=2 2");
    let text = "SELECT t, sum(v) AS s FROM m WHERE v > 0 GROUP BY t ORDER BY s DESC LIMIT 1";
    assert_eq!(csv(&database, &engine, text), "t,s\nb,2.0\n");
    database.write("m,t=a v=4 3");
    assert_eq!(csv(&database, &engine, text), "t,s\na,5.0\n");
    assert_eq!(engine.cached_plans(), 1);
}

#[test]
fn statements_with_other_times_and_texts_share_plan() {
    let (engine, mut database) = (Engine::default(), Database::default());
    database.write("m,t=a v=1 1\nm,t=b v=2 2\nm,t=a v=4 3");
    let from = |time_ns: i64| format!("time >= '1970-01-01T00:00:00.00000000{time_ns}Z'");
    for (condition, rows) in [
        (from(2), "a,4.0\nb,2.0\n"),
        (from(3), "a,4.0\n"),
        (from(4), ""),
        ("t = 'a'".to_owned(), "a,5.0\n"),
        (format!("(t = 'a' OR t = 'c') AND {}", from(2)), "a,4.0\n"),
        (format!("{} AND t IN ('b', 'c')", from(1)), "b,2.0\n"),
    ] {
        let text = format!("SELECT t, sum(v) AS s FROM m WHERE {condition} GROUP BY t ORDER BY t");
        assert_eq!(csv(&database, &engine, &text), format!("t,s\n{rows}"), "{condition}");
        assert_eq!(engine.cached_plans(), 1, "{condition}");
    }
}

#[test]
fn statements_with_other_parameters_share_plan() {
    let (engine, mut database) = (Engine::default(), Database::default());
    database.write("m,t=a v=1,n=1i 1\nm,t=b v=2,n=2i 2\nm,t=a v=4,n=3i 3");
    let text = |text: &str| Parameter::String(text.to_owned());
    let all = [("t", text("a")), ("from", text("1970-01-01")), ("n", Parameter::Integer(0))];
    for (changed, rows) in [
        (("t", text("b")), "b,2.0\n"),
        (("from", text("1970-01-01T00:00:00.000000002Z")), "a,4.0\n"),
        (("from", Parameter::Time(4)), ""),
        (("n", Parameter::Integer(2)), "a,4.0\n"),
        (("n", Parameter::Float(0.5)), "a,5.0\n"),
        (("unused", Parameter::Null), "a,5.0\n"),
    ] {
        let condition = "t IN ($t, 'c') AND time >= $from AND n > $n";
        let text = format!("SELECT t, sum(v) AS s FROM m WHERE {condition} GROUP BY t");
        let mut parameters = all.to_vec();
        parameters.retain(|(name, _)| *name != changed.0);
        parameters.push(changed.clone());
        assert_eq!(csv_with(&database, &engine, &text, &parameters), format!("t,s\n{rows}"));
        assert_eq!(engine.cached_plans(), 1, "{changed:?}");
    }
}

#[test]
fn parameters_outside_moved_conditions_are_planned_each_time() {
    let (engine, mut database) = (Engine::default(), Database::default());
    database.write("m,t=a v=1 1\nm,t=b v=2 2");
    for text in [
        "SELECT v, $x AS x FROM m WHERE v > 1",
        "SELECT v, 1 AS x FROM m WHERE v > $x",
        "SELECT v, 1 AS x FROM m ORDER BY v DESC LIMIT $x",
    ] {
        let parameters = [("x", Parameter::Integer(1))];
        assert_eq!(csv_with(&database, &engine, text, &parameters), "v,x\n2.0,1\n", "{text}");
        assert_eq!(engine.cached_plans(), 0, "{text}");
    }
}

#[test]
fn statements_relative_to_now_share_plan() {
    let (engine, mut database) = (Engine::default(), Database::default());
    database.write("m v=1 1000000000\nm v=2 2000000000\nm v=4 3000000000");
    let text = "SELECT sum(v) AS s FROM m WHERE time > now() - interval '1 second' \
        AND time <= date_trunc('second', now())";
    for (now_s, sum) in [(1, "1.0"), (2, "2.0"), (3, "4.0"), (4, "\"\"")] {
        let request = QueryRequest { now_ns: now_s * 1_000_000_000, ..request(text, Vec::new()) };
        let csv = csv_of(&database, &engine, request);
        assert_eq!(csv, format!("s\n{sum}\n"), "{now_s}");
        assert_eq!(engine.cached_plans(), 1, "{now_s}");
    }
}

#[test]
fn times_are_compared_as_without_cache() {
    let mut database = Database::default();
    database.write("m v=1 1\nm v=2 86400000000000\nm v=4 1641081599000000000");
    for (condition, expected) in [
        ("time >= timestamp '1970-01-02'", "2.0\n4.0\n"),
        ("timestamp '1970-01-02' > time", "1.0\n"),
        ("time = to_timestamp(1)", "1.0\n"),
        ("time > now() - interval '1 month'", "4.0\n"),
        ("time >= date '1970-01-02'", "2.0\n4.0\n"),
        ("time >= to_timestamp_seconds(86400)", "2.0\n4.0\n"),
        ("time >= tz(timestamp '1970-01-02', 'Europe/Paris')", "2.0\n4.0\n"),
        ("time > (SELECT now() - interval '1 day')", "4.0\n"),
        ("time > CASE WHEN v = 1 THEN now() ELSE timestamp '1970-01-01' END", "2.0\n4.0\n"),
    ] {
        // The second text contains a join, so conditions stay in the statement.
        let both = [
            format!("SELECT v FROM m WHERE {condition}"),
            format!("SELECT v FROM m CROSS JOIN (VALUES (1)) WHERE {condition}"),
        ];
        for text in both {
            let found = csv(&database, &Engine::default(), &text);
            assert_eq!(found, format!("v\n{expected}"), "{text}");
        }
    }
}

#[test]
fn statements_with_other_parts_have_separate_plans() {
    let (engine, mut database) = (Engine::default(), Database::default());
    database.write("m,t=a,table_name=n v=1 1\nm,t=b,table_name=m v=2 2");
    let statements = [
        ("SELECT v FROM m WHERE t = 'a'", "v\n1.0\n"),
        ("SELECT v FROM m WHERE t = 'a' AND v > 1", "v\n"),
        ("SELECT v FROM m WHERE t = 'a' OR v > 1", "v\n1.0\n2.0\n"),
        ("SELECT v AS w FROM m WHERE t = 'a'", "w\n1.0\n"),
        ("SELECT 'a' AS v FROM m WHERE t = 'b'", "v\na\n"),
        ("SELECT 'b' AS v FROM m WHERE t = 'b'", "v\nb\n"),
        // Each of these statements reads another table than `m`, or reads `m` twice.
        ("SELECT v FROM m WHERE t = 'a' AND v < (SELECT max(v) FROM m)", "v\n1.0\n"),
        ("SELECT v FROM (SELECT 2 AS v, 'b' AS t FROM m) WHERE t = 'a'", "v\n"),
        ("WITH m AS (SELECT 'a' AS t, 3 AS v) SELECT v FROM m WHERE t = 'a'", "v\n3\n"),
        ("SELECT b FROM m AS x(a, b, c, d) WHERE a = 'a'", "b\nn\n"),
        (
            "SELECT table_name FROM information_schema.tables WHERE table_name = 'm'",
            "table_name\nm\n",
        ),
    ];
    for (text, expected) in statements.iter().chain(statements.iter().rev()) {
        assert_eq!(csv(&database, &engine, text), *expected, "{text}");
    }
}

#[test]
fn changed_schema_needs_new_plan() {
    let (engine, mut database) = (Engine::default(), Database::default());
    database.write("m v=1 1");
    assert_eq!(csv(&database, &engine, "SELECT * FROM m").lines().next(), Some("time,v"));
    database.write("m,t=a v=2 2");
    assert_eq!(csv(&database, &engine, "SELECT * FROM m").lines().next(), Some("t,time,v"));
    // Both plans are cached, because databases with different schemas may send the same text.
    assert_eq!(engine.cached_plans(), 2);
}

#[test]
fn now_is_evaluated_per_execution() {
    let (engine, mut database) = (Engine::default(), Database::default());
    database.write("m v=1 1");
    let text = "SELECT now() AS n FROM m";
    for now_ns in [1_000_000_000, 2_000_000_000] {
        let request = QueryRequest { now_ns, ..request(text, Vec::new()) };
        let csv = csv_of(&database, &engine, request);
        assert_eq!(csv, format!("n\n1970-01-01T00:00:0{}\n", now_ns / 1_000_000_000));
    }
    assert_eq!(engine.cached_plans(), 0);
}

#[test]
fn stateful_plans_are_not_cached() {
    let (engine, mut database) = (Engine::default(), Database::default());
    database.write("m v=1 1\nm v=2 2");
    for text in [
        "SELECT a.v FROM m a JOIN m b ON a.v = b.v",
        "SELECT a.v FROM m a, m b WHERE a.v < b.v",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r",
        "EXPLAIN SELECT v FROM m",
        "SELECT table_name FROM information_schema.tables",
        "SELECT random() FROM m",
        // The optimizer computes this text, so the plan contains it.
        "SELECT repeat('x', 100000) FROM m",
    ] {
        csv(&database, &engine, text);
        assert_eq!(engine.cached_plans(), 0, "{text}");
    }
}

#[test]
fn cached_plans_are_limited() {
    let (engine, mut database) = (Engine::default(), Database::default());
    database.write("m v=1 1");
    csv(&database, &engine, &format!("SELECT v FROM m -- {}", "x".repeat(CACHED_TEXT_BYTES_MAX)));
    let fields: Vec<String> = (0..=CACHED_COLUMNS_MAX).map(|at| format!("f{at}=1")).collect();
    database.write(&format!("wide {} 1", fields.join(",")));
    csv(&database, &engine, "SELECT f1 FROM wide");
    assert_eq!(engine.cached_plans(), 0);
    for number in 0..=CACHED_PLANS_MAX {
        csv(&database, &engine, &format!("SELECT v + {number} FROM m"));
    }
    assert_eq!(engine.cached_plans(), CACHED_PLANS_MAX);
}
