//! Checks that a statement that exceeds a limit fails with an error that contains the limit.

use tidemark_sql::Engine;
use tidemark_sql::error::QueryError;
use tidemark_sql::limits::{CHECKED_BATCH_ROWS, COPIED_BATCH_ROWS, TURN_BYTES_MAX};

use super::database::{Database, Layout, request};

/// The stack size of a Worker, multiplied by four. A debug build needs several times more stack.
const STACK_BYTES: usize = 8 * 4 * 1024 * 1024;

fn ask(text: &str) -> Result<usize, QueryError> {
    let text = text.to_owned();
    let asked = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let mut database = Database::default();
        for at in 0..100 {
            database.write(&format!("cpu,host=h{at} usage={at} {at}"));
        }
        let engine = Engine::default();
        let answered = database.run(&engine, request(&text, Vec::new()), Layout::PLAIN);
        assert_eq!(engine.reserved_bytes(), 0, "{text}");
        Ok(answered?.batches.iter().map(|batch| batch.num_rows()).sum())
    });
    asked.unwrap().join().unwrap()
}

/// Returns the number of rows of each batch in the result.
fn batch_rows(database: &Database, text: &str) -> Vec<usize> {
    let result = database.run(&Engine::default(), request(text, Vec::new()), Layout::PLAIN);
    result.unwrap().batches.iter().map(|batch| batch.num_rows()).collect()
}

fn refusal(text: &str) -> String {
    match ask(text) {
        Ok(rows) => panic!("{rows} rows: {text:.80}"),
        Err(error) => format!("{}: {error}", error.status()),
    }
}

#[test]
fn deep_statements_fail_before_planning() {
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
        assert!(
            said.contains("more than 128 ") || said.contains("more than 44 "),
            "{said}: {text:.80}"
        );
    }
}

/// The statements with the greatest allowed nesting depth must fit into the stack.
#[test]
fn deepest_allowed_statements_run() {
    let ors = vec!["usage = 7"; 63].join(" OR ");
    assert_eq!(ask(&format!("SELECT * FROM cpu WHERE {ors}")).unwrap(), 1);
    let sum = vec!["usage"; 126].join(" + ");
    assert_eq!(ask(&format!("SELECT {sum} FROM cpu")).unwrap(), 100);
    // The condition contains twenty patterns of about 20 KB each.
    let pattern = "CASE WHEN usage < 20 THEN '^[a-z]{250}' || host ELSE 'x' END";
    assert_eq!(ask(&format!("SELECT * FROM cpu WHERE regexp_like(host, {pattern})")).unwrap(), 0);
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
fn exponential_plan_is_rejected() {
    for quote in ["", "\"", "`"] {
        let mut lines = vec!["c0 AS (SELECT usage FROM cpu)".to_owned()];
        for at in 1..40 {
            let before = format!("{quote}c{}{quote}", at - 1);
            lines.push(format!("c{at} AS (SELECT a.usage FROM {before} a, {before} b)"));
        }
        let text = format!("WITH {} SELECT count(*) FROM {quote}c39{quote}", lines.join(", "));
        let said = refusal(&text);
        assert!(said.starts_with("400: the statement reads more than 64 tables"), "{said}");
        // The names of CTEs differ in case.
        let small = r#""C39" AS (SELECT usage FROM cpu)"#;
        let text = format!("WITH {}, {small} SELECT count(*) FROM c39", lines.join(", "));
        let said = refusal(&text);
        assert!(said.starts_with("400: the statement reads more than 64 tables"), "{said}");
    }
    let tables = vec!["cpu"; 70];
    let tables: Vec<String> =
        tables.iter().enumerate().map(|(at, name)| format!("{name} t{at}")).collect();
    let text = format!("SELECT count(*) FROM {}", tables.join(", "));
    let said = refusal(&text);
    assert!(said.starts_with("400: the statement reads more than 64 tables"), "{said}");
    for table in [
        "(SELECT 1)",
        "(VALUES (1))",
        "unnest([1])",
        "LATERAL (SELECT 1)",
        "LATERAL generate_series(1, 2)",
    ] {
        let tables: Vec<String> = (0..70).map(|at| format!("{table} t{at}")).collect();
        let said = refusal(&format!("SELECT 1 FROM {}", tables.join(", ")));
        assert!(said.starts_with("400: the statement reads more than 64 tables"), "{said}");
    }
    // The session does not request the columns of so many tables.
    assert!(Engine::default().open(request(&text, Vec::new())).is_err());
}

#[test]
fn nested_ctes_are_limited() {
    let nested = |depth: usize| {
        let begin: String = (0..depth).map(|at| format!("WITH c{at} AS (")).collect();
        let end: String = (0..depth).rev().map(|at| format!(") SELECT * FROM c{at}")).collect();
        format!("{begin}SELECT usage FROM cpu{end}")
    };
    assert_eq!(ask(&nested(6)).unwrap(), 100);
    for depth in [7, 30] {
        let said = refusal(&nested(depth));
        assert!(said.starts_with("400: more than 6 CTEs are nested"), "{said}");
    }
}

#[test]
fn constants_of_explained_statements_are_limited() {
    let explain =
        |words: &str, count: usize| ask(&format!("{words} SELECT repeat('a', {count}) FROM cpu"));
    for words in ["EXPLAIN", "EXPLAIN VERBOSE"] {
        let said = explain(words, 1_000_000).unwrap_err().to_string();
        assert!(said.starts_with("EXPLAIN prints more than 262144 bytes of constants"), "{said}");
        assert!(explain(words, 10_000).is_ok());
    }
    assert!(explain("EXPLAIN ANALYZE", 10_000).is_ok());
    // The rule for gap filling fails after the rule that computes the constant.
    let bins = ["1", "2"].map(|hours| format!("date_bin_gapfill(interval '{hours} hours', time)"));
    let said = refusal(&format!(
        "EXPLAIN VERBOSE SELECT repeat('a', 1000000), count(*) FROM cpu GROUP BY {}",
        bins.join(", ")
    ));
    assert!(said.starts_with("507: EXPLAIN prints more than"), "{said}");
}

#[test]
fn windows_are_limited() {
    let windows = |count: usize| {
        let calls: Vec<String> = (0..count)
            .map(|at| format!("count(*) OVER (ORDER BY usage + {at}) AS c{at}"))
            .collect();
        format!("SELECT {} FROM cpu", calls.join(", "))
    };
    assert_eq!(ask(&windows(20)).unwrap(), 100);
    let several = |count: usize| vec![format!("({})", windows(20)); count].join(", ");
    let named: Vec<String> = (0..70).map(|at| format!("w{at} AS (ORDER BY {at})")).collect();
    let calls: Vec<String> = (0..70).map(|at| format!("sum(usage) OVER w{at}")).collect();
    for text in [
        windows(65),
        windows(1_000),
        format!("EXPLAIN {}", windows(1_000)),
        format!("WITH c AS ({}) SELECT 1 FROM c, c AS d, c AS e, c AS f", windows(20)),
        format!("{} UNION ALL {}", windows(40), windows(40)),
        format!("SELECT 1 FROM {}", several(4)),
        format!("SELECT {} FROM cpu WINDOW {}", calls.join(", "), named.join(", ")),
        format!("SELECT usage FROM cpu ORDER BY {}", calls.join(", ")),
    ] {
        let said = refusal(&text);
        assert!(
            said.starts_with("400: the statement has more than 64 different windows"),
            "{text:.80}: {said}"
        );
    }
    let lags: Vec<String> =
        (1..100).map(|at| format!("lag(usage, {at}) OVER (ORDER BY time) AS l{at}")).collect();
    assert_eq!(ask(&format!("SELECT {} FROM cpu", lags.join(", "))).unwrap(), 100);
}

#[test]
fn pipe_operators_are_rejected() {
    for text in [
        format!("SELECT usage FROM cpu {}", "|> SELECT usage + usage AS usage ".repeat(40)),
        "SELECT * FROM (SELECT usage FROM cpu |> WHERE usage > 1)".to_owned(),
        "WITH c AS (SELECT usage FROM cpu |> LIMIT 5) SELECT * FROM c".to_owned(),
        "EXPLAIN SELECT usage FROM cpu |> LIMIT 5".to_owned(),
    ] {
        let said = refusal(&text);
        assert!(
            said.starts_with("400: pipe operators (|>) are not supported"),
            "{text:.80}: {said}"
        );
    }
}

#[test]
fn nested_expressions_are_planned_once() {
    let betweens = |depth: usize| {
        format!(
            "SELECT {}usage > 1{} FROM cpu",
            "(".repeat(depth),
            ") BETWEEN false AND true".repeat(depth)
        )
    };
    assert_eq!(ask(&betweens(6)).unwrap(), 100);
    for text in
        [betweens(7), format!("SELECT usage > 1{} FROM cpu", " BETWEEN false AND true".repeat(30))]
    {
        let said = refusal(&text);
        assert!(
            said.starts_with("400: more than 6 BETWEEN, CAST or COALESCE are nested"),
            "{said}"
        );
    }
    // DataFusion converts the texts to numbers, which fails. The planner must not copy the
    // operands, because it would need 2^30 copies.
    let (cases, ends) = ("CASE ".repeat(30), " WHEN host THEN 1 ELSE 2 END".repeat(30));
    drop(ask(&format!("SELECT {cases}usage{ends} FROM cpu")));
    for (begin, end) in [
        ("cast(", " IN (1, 2) AS int)"),
        ("cast(", " + 1 AS int)"),
        ("(", " + 1)::int"),
        ("coalesce(", ", 1)"),
    ] {
        let nested = |depth| format!("{}usage{}", begin.repeat(depth), end.repeat(depth));
        assert_eq!(ask(&format!("SELECT {} FROM cpu", nested(4))).unwrap(), 100);
        let said = refusal(&format!("SELECT {} FROM cpu", nested(7)));
        assert!(
            said.starts_with("400: more than 6 BETWEEN, CAST or COALESCE are nested"),
            "{said}"
        );
    }
    // The optimizer copies the expressions of subqueries.
    for expression in ["usage + usage", "coalesce(usage, 1)", "cast(usage + 1 AS int)"] {
        let mut nested = "cpu".to_owned();
        let mut ctes = "c0 AS (SELECT usage FROM cpu)".to_owned();
        for level in 0..17 {
            nested = format!("(SELECT {expression} AS usage FROM {nested})");
            ctes += &format!(", c{} AS (SELECT {expression} AS usage FROM c{level})", level + 1);
        }
        for text in [
            format!("SELECT usage FROM {nested} WHERE usage > 1"),
            format!("WITH {ctes} SELECT usage FROM c17 WHERE usage > 1"),
        ] {
            let said = refusal(&text);
            assert!(
                said.starts_with("400: nested queries repeat a column more than 65536"),
                "{said}"
            );
        }
    }
}

#[test]
fn memory_limit_fails_query_and_frees() {
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
        assert!(error.to_string().contains("narrow the time range or aggregate first"), "{error}");
        assert_eq!(engine.reserved_bytes(), 0, "{text}");
    }
    let small = "SELECT count(*) FROM generate_series(1, 600000)";
    assert!(database.run(&engine, request(small, Vec::new()), Layout::PLAIN).is_ok());
}

#[test]
fn window_functions_are_limited_by_rows() {
    for call in ["row_number() OVER (ORDER BY value)", "lag(value) OVER (ORDER BY value)"] {
        let said = refusal(&format!("SELECT {call} FROM generate_series(1, 600000)"));
        assert!(said.starts_with("507: a window function or string_agg processes more"), "{said}");
    }
    for (call, rows, limit) in [
        ("array_agg(value) OVER (ORDER BY value)", 3_000, "4000000 pairs"),
        ("median(value) OVER (ORDER BY value)", 30_000, "400000000 pairs"),
        ("string_agg(value::text, ',') OVER ()", 3_000, "4000000 pairs"),
        ("array_agg(value) OVER (PARTITION BY value % 2)", 4_000, "4000000 pairs"),
    ] {
        let said = refusal(&format!("SELECT {call} FROM generate_series(1, {rows})"));
        let limit = format!("507: a window function reads more than {limit} of rows of the same");
        assert!(said.starts_with(&limit), "{said}");
    }
    for call in [
        "median(value) OVER ()",
        "median(value) OVER (PARTITION BY value % 100 ORDER BY value)",
        "cardinality(array_agg(value) OVER (PARTITION BY value % 300))",
        "median(value) OVER (ORDER BY value ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)",
    ] {
        let text =
            format!("SELECT max(m) FROM (SELECT {call} AS m FROM generate_series(1, 30000))");
        assert_eq!(ask(&text).unwrap(), 1, "{call}");
    }
    let said = refusal(
        "SELECT max(n), max(t) FROM (SELECT t, count(*) OVER () AS n FROM (SELECT \
         repeat('x', 1000 + value % 2) AS t FROM generate_series(1, 60000)))",
    );
    let limit = "507: a window function or string_agg processes more than 50331648 bytes";
    assert!(said.starts_with(limit), "{said}");
    // One long text would be copied to all rows.
    let first = |bytes: usize| {
        format!(
            "SELECT max(octet_length(f)) FROM (SELECT first_value(t) OVER (ORDER BY value) AS f \
             FROM (SELECT value, repeat('x', CASE WHEN value = 1 THEN {bytes} ELSE 1 END) AS t \
             FROM generate_series(1, 10000)))"
        )
    };
    let said = refusal(&first(100_000));
    assert!(said.starts_with(limit), "{said}");
    assert_eq!(ask(&first(1_000)).unwrap(), 1);
    let counted = |call: &str| {
        first(100_000).replace("first_value(t)", call).replace("max(octet_length(f))", "count(f)")
    };
    for call in ["first_value([t])", "first_value(arrow_cast(t, 'Binary'))"] {
        assert!(refusal(&counted(call)).starts_with(limit), "{call}");
    }
    for call in ["lag(t)", "first_value(value::text)"] {
        assert_eq!(ask(&counted(call)).unwrap(), 1, "{call}");
    }
    // The results of many functions are larger than the input.
    let lags: Vec<String> =
        (1..=30).map(|at| format!("lag(value, {at}) OVER w AS l{at}")).collect();
    let said = refusal(&format!(
        "SELECT {} FROM generate_series(1, 400000) WINDOW w AS (ORDER BY value)",
        lags.join(", ")
    ));
    assert!(said.starts_with(limit), "{said}");
    let text = "SELECT string_agg(value::text, ',') FROM generate_series(1, 600000)";
    assert!(refusal(text).starts_with("507: a window function or string_agg processes more"));
    let few = "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY value) AS n FROM \
               generate_series(1, 60000))";
    assert_eq!(ask(few).unwrap(), 1);
}

#[test]
fn large_window_frames_contain_all_rows() {
    for frame in [
        "ROWS BETWEEN CURRENT ROW AND 18446744073709551615 FOLLOWING",
        "ROWS BETWEEN 18446744073709551615 PRECEDING AND 0 FOLLOWING",
        "GROUPS BETWEEN CURRENT ROW AND 18446744073709551615 FOLLOWING",
    ] {
        let text = format!(
            "SELECT max(n) FROM (SELECT count(*) OVER (ORDER BY usage {frame}) AS n FROM cpu) \
             HAVING max(n) = 100"
        );
        assert_eq!(ask(&text).unwrap(), 1, "{frame}");
    }
    let text = "SELECT max(n) FROM (SELECT count(*) OVER (ORDER BY usage ROWS BETWEEN 1 FOLLOWING \
                AND 18446744073709551615 FOLLOWING) AS n FROM cpu) HAVING max(n) = 99";
    assert_eq!(ask(text).unwrap(), 1);
}

#[test]
fn produced_rows_are_limited() {
    let said = refusal("SELECT count(*) FROM generate_series(1, 9000000000000)");
    assert!(said.starts_with("507: a join or a series returns more than 10000000 rows"), "{said}");
    let said = refusal(
        "SELECT count(*) FROM cpu a CROSS JOIN cpu b CROSS JOIN cpu c CROSS JOIN cpu d \
         WHERE a.usage + b.usage + c.usage + d.usage >= 0",
    );
    assert!(said.starts_with("507: a join or a series returns more than 10000000 rows"), "{said}");
    let text =
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i FROM n) SELECT count(*) FROM n";
    let said = refusal(text);
    assert!(said.starts_with("507: a recursive query returns more than 50000 rows"), "{said}");
}

#[test]
fn compared_join_pairs_are_limited() {
    let said = refusal(
        "SELECT count(*) FROM generate_series(1, 20000) a JOIN generate_series(1, 20000) b \
         ON a.value + b.value < 0",
    );
    assert!(said.starts_with("507: a join compares more than 250000000 pairs of rows"), "{said}");
    assert!(said.ends_with("or replace EXISTS with IN (SELECT …)"), "{said}");
    // The join compares the pairs in nine pieces.
    let text = "SELECT count(*) FROM generate_series(1, 3000) a LEFT JOIN generate_series(1, 3000) b \
                ON a.value > b.value + 2990 HAVING count(*) = 2991 + 45";
    assert_eq!(ask(text).unwrap(), 1);
    let rows = "(SELECT value % 2 AS k, value FROM generate_series(1, 40000))";
    for (condition, count) in [
        ("k IN (SELECT value % 3 FROM generate_series(1, 40000))", 40_000),
        ("k NOT IN (SELECT value % 3 FROM generate_series(1, 40000))", 0),
        ("value IN (SELECT value * 2 FROM generate_series(1, 40000))", 20_000),
        (
            "EXISTS (SELECT 1 FROM generate_series(1, 40000) b \
             WHERE b.value = a.value AND b.value > k)",
            39_999,
        ),
    ] {
        let text =
            format!("SELECT count(*) FROM {rows} a WHERE {condition} HAVING count(*) = {count}");
        assert_eq!(ask(&text).unwrap(), 1, "{condition}");
    }
}

#[test]
fn joins_with_costly_conditions_take_several_turns() {
    let text = "SELECT count(*) \
                FROM (SELECT repeat('ab', 50) || value AS msg FROM generate_series(1, 600)) a \
                JOIN (SELECT 'needle' || value AS name FROM generate_series(1, 600)) b \
                ON strpos(a.msg, b.name) = 0 HAVING count(*) = 360000";
    assert_eq!(ask(text).unwrap(), 1);
    let said = refusal(
        "SELECT count(*) FROM cpu a JOIN cpu b \
         ON CASE WHEN a.usage > b.usage THEN repeat('x', 5000) ELSE a.host END > b.host",
    );
    let limit = "507: the condition of a join contains more than 4096 bytes of constants";
    assert!(said.starts_with(limit), "{said}");
}

#[test]
fn joins_copy_long_constants_to_small_batches() {
    for condition in ["true", "a.k = b.value % 1"] {
        let text = format!(
            "SELECT t, value FROM (SELECT repeat('x', 65536) AS t, 0 AS k) a \
             JOIN generate_series(1, 600) b ON {condition}"
        );
        let rows = batch_rows(&Database::default(), &text);
        assert_eq!(rows.iter().sum::<usize>(), 600, "{condition}");
        assert!(rows.iter().all(|rows| rows * 65_536 <= TURN_BYTES_MAX), "{condition}: {rows:?}");
    }
}

#[test]
fn joins_copy_texts_to_small_batches() {
    let mut database = Database::default();
    database.write(&format!("m,k=a s=\"{}\" 1", "x".repeat(2_000)));
    for table in ["m", "(SELECT k, array_agg(1) AS s FROM m GROUP BY k)"] {
        let text = format!(
            "SELECT s, value FROM {table} \
             JOIN generate_series(1, 3000) ON k = repeat('a', value % 2)"
        );
        let rows = batch_rows(&database, &text);
        assert_eq!(rows.iter().sum::<usize>(), 1_500);
        assert!(rows.iter().all(|&rows| rows <= CHECKED_BATCH_ROWS), "{rows:?}");
    }
}

#[test]
fn copies_of_long_values_are_limited() {
    let text =
        |value: &str| format!("(SELECT repeat({value}, 60000) AS t FROM cpu WHERE usage = 7)");
    let subquery = |value: &str| {
        format!("(SELECT {} AS t, value FROM generate_series(1, 10000))", text(value))
    };
    let join = |value: &str, condition: &str| {
        format!(
            "(SELECT t, value FROM {} a JOIN generate_series(1, 10000) b ON {condition})",
            text(value)
        )
    };
    // The texts have 180,000 bytes and 60,000 bytes.
    let (long, short) = ("'_' || host", "left(host, 1)");
    for from in [
        subquery(long),
        join(long, "true"),
        join(long, "octet_length(t) > value"),
        join(long, "left(t, value) > ''"),
    ] {
        let said = refusal(&format!("SELECT count(*), max(octet_length(t)) FROM {from}"));
        let limit = "507: a join or a subquery copies a row with 180";
        assert!(said.starts_with(limit), "{from}: {said}");
    }
    for from in [subquery(short), join(short, "true"), join(short, "octet_length(t) > value")] {
        let text = format!("SELECT count(*), max(octet_length(t)) FROM {from}");
        assert_eq!(
            ask(&format!("{text} HAVING max(octet_length(t)) = 60000")).unwrap(),
            1,
            "{from}"
        );
    }
    // A condition on the other input does not make the batches larger.
    let mut database = Database::default();
    database.write("cpu,host=a usage=7 1");
    let text = "SELECT t, value FROM (SELECT repeat(host, 6000) AS t FROM cpu) a \
                JOIN generate_series(1, 1000) b ON b.value > 0";
    let rows = batch_rows(&database, text);
    assert_eq!(rows.iter().sum::<usize>(), 1_000);
    assert!(rows.iter().all(|&rows| rows <= COPIED_BATCH_ROWS), "{rows:?}");
}

#[test]
fn filters_collect_no_long_texts() {
    let mut database = Database::default();
    let text = "x".repeat(40_000);
    for at in 0..1_000 {
        database.write(&format!("m s=\"{text}\",v={at}i {at}"));
    }
    let text = "SELECT s FROM m WHERE octet_length(s) + v % 10 = 40000";
    let rows = batch_rows(&database, text);
    assert_eq!(rows.iter().sum::<usize>(), 100);
    assert!(rows.len() > 1, "{rows:?}");
}

#[test]
fn long_texts_of_tables_get_small_batches() {
    let mut database = Database::default();
    let text = "x".repeat(40_000);
    for at in 0..1_000 {
        database.write(&format!("m,t=a s=\"{text}\" {at}"));
        database.write(&format!("n,t={text} v=1 {at}"));
    }
    for table in ["m", "n"] {
        let text = format!("SELECT * FROM {table}");
        let rows = batch_rows(&database, &text);
        assert_eq!(rows.iter().sum::<usize>(), 1_000, "{table}");
        assert!(rows.iter().all(|rows| rows * 40_000 <= TURN_BYTES_MAX), "{table}: {rows:?}");
    }
}

#[test]
fn conversions_of_long_tags_get_small_batches() {
    let mut database = Database::default();
    database.write(&format!("m,t={} v=1 1", "x".repeat(40_000)));
    for columns in ["t::text", "reverse(t), substr(t, 1)"] {
        let text = format!("SELECT {columns}, value FROM m CROSS JOIN generate_series(1, 1500)");
        let rows = batch_rows(&database, &text);
        let row_bytes = 40_000 * columns.split(", ").count();
        assert_eq!(rows.iter().sum::<usize>(), 1_500, "{columns}");
        assert!(rows.iter().all(|rows| rows * row_bytes <= TURN_BYTES_MAX), "{columns}: {rows:?}");
    }
}

#[test]
fn calls_with_many_arguments_get_small_batches() {
    let arguments: Vec<String> = (0..3_000).map(|at| at.to_string()).collect();
    let whens: Vec<String> = (0..1_500).map(|at| format!("WHEN {at} THEN value")).collect();
    for call in [
        format!("greatest(value, {})", arguments.join(", ")),
        format!("CASE value {} END", whens.join(" ")),
    ] {
        let text = format!("SELECT {call} FROM generate_series(1, 3000)");
        let rows = batch_rows(&Database::default(), &text);
        assert_eq!(rows.iter().sum::<usize>(), 3_000, "{call:.20}");
        assert!(rows.iter().all(|&rows| rows <= 1_000), "{call:.20}: {rows:?}");
    }
}

#[test]
fn formats_that_end_within_a_character_are_rejected() {
    for function in ["to_timestamp", "to_timestamp_millis", "to_date", "to_unixtime"] {
        for text in ["'2020-01-01 UTC'", "CASE WHEN usage > 5 THEN '2020-01-01 UTC' END"] {
            let call = |format: &str| format!("SELECT {function}({text}, '{format}') FROM cpu");
            let said = refusal(&call("%Y-%m-%d %Z\u{3000} "));
            assert_eq!(
                said,
                "400: the format of a time ends with spaces that are not ASCII: remove them"
            );
        }
    }
    let call = "to_date('1 2022-01-02', '%Y', '%d %Y', '%d %Y-%m-%d', '1 %Y-%m-%d')";
    assert_eq!(ask(&format!("SELECT {call} FROM cpu")).unwrap(), 100);
}

#[test]
fn sorts_compute_keys_of_small_batches() {
    let (engine, mut database) = (Engine::default(), Database::default());
    database.write(&format!("m,t={} v=1 1", "x".repeat(40_000)));
    let run = |key: &str, rows: usize| {
        let text =
            format!("SELECT value FROM m CROSS JOIN generate_series(1, {rows}) ORDER BY {key}");
        database.run(&engine, request(&text, Vec::new()), Layout::PLAIN)
    };
    assert!(run("reverse(t::text)", 100).is_ok());
    // The result of reverse() is a tag, so equal keys are stored once.
    assert!(run("reverse(t)", 1_500).is_ok());
    // The keys of all rows need 60 MB. The memory pool counts the keys of each batch.
    let error = run("reverse(t::text)", 1_500).err().unwrap();
    assert_eq!(error.status(), 507, "{error}");
    assert!(error.to_string().starts_with("the query exceeds the available memory"), "{error}");
}

#[test]
fn sorts_by_long_constants_are_limited() {
    let sorted = |key: &str, limit: &str| {
        format!(
            "SELECT max(value) FROM (SELECT value FROM generate_series(1, 20000) ORDER BY {key} \
             {limit})"
        )
    };
    let constant = "CASE WHEN value > 5 THEN repeat('a', 2000) ELSE value::text END";
    let subquery = "CASE WHEN value > 5 THEN (SELECT max(host) FROM cpu) ELSE value::text END";
    for key in [constant, subquery] {
        let said = refusal(&format!("SELECT value FROM generate_series(1, 20000) ORDER BY {key}"));
        assert!(
            said.starts_with("507: a sort by long constants or subqueries processes more than"),
            "{key}: {said}"
        );
        assert_eq!(ask(&sorted(key, "LIMIT 10")).unwrap(), 1, "{key}");
    }
}

#[test]
fn result_size_of_calls_is_limited() {
    for call in [
        "repeat('x', 2000000000)",
        "repeat(host, 100000000)",
        "repeat('x', usage::bigint * 10000000)",
        "length(lpad('x', 1000000000))",
        "rpad(host, 100000000, 'ab')",
        "array_repeat(1, 1000000000)",
        "array_repeat('', 1000000000)",
        "list_repeat('x', 1000000000)",
        "array_resize([1], 1000000000)",
        "range(1000000000)",
        "generate_series(-1, 9000000000, 3)",
        "range(1, usage::bigint * 100000000)",
        "replace(repeat('a', 100000), 'a', repeat('b', 1000))",
        "array_to_string(range(100000), repeat(',', 1000))",
        "to_char(time, repeat('%c', 1000000))",
        "concat(repeat('a', 20000000), host, repeat('b', 20000000))",
        "repeat('a', 20000000) || host || repeat('b', 20000000)",
        "repeat(host, 60000) || repeat(host, 60001)",
        "overlay(repeat(host, 90000) placing repeat(host, 90001) from 1)",
        "array_concat(range(usage::bigint * 700), range(usage::bigint * 701))",
        "array_resize(['x'], 1000000, repeat('a', 1000))",
        "encode(encode(repeat(host, 50000), 'hex'), 'hex')",
        "concat_ws(repeat(',', 20000000), 'a', 'b', 'c')",
        "array_to_string(array_repeat(arrow_cast(NULL, 'Utf8'), 100000), ',', repeat('x', 1000))",
        "array_to_string([range(100000)], repeat(',', 1000))",
        "array_replace_all(array_repeat(host, 1000), host, repeat(host, 20000))",
        "arrays_zip(range(1000000), [1], [2], [3])",
        "regexp_replace(repeat(host, 10000), 'h', repeat('x', 2000), 'g')",
        "regexp_replace(repeat(host, 10000), '(.*)', repeat('\\1', 1000))",
    ] {
        let said = refusal(&format!("SELECT {call} FROM cpu"));
        assert!(said.starts_with("507: "), "{call}: {said}");
        let limit = "would produce more than 33554432 bytes in one turn; use fewer functions";
        assert!(said.contains(limit), "{call}: {said}");
    }
    for call in [
        "repeat('x', 1000)",
        "lpad(host, 10)",
        "array_repeat(host, 3)",
        "array_resize([1, 2], 5)",
        "range(10)",
        "generate_series(1, usage::bigint)",
        "range(1, 10, NULL)",
        "replace(host, 'h', 'host ')",
        "array_to_string(make_array(host, host), ',')",
        "to_char(time, '%Y-%m-%d')",
        "concat(host, '-', usage)",
        "concat_ws(', ', host, usage, NULL)",
        "host || '-' || usage",
        "array_to_string(array_repeat(host, 100), ', ', 'NULL')",
        "array_replace_all(array_repeat(usage, 3000), 1.0, 2.0)",
        "array_replace_all(array_repeat(host, 100), 'h1', 'host')",
        "arrays_zip(array_repeat(usage, 100), [1, 2])",
        "regexp_replace(repeat(host, 1000), 'h', 'the host ', 'g')",
        "regexp_replace(repeat(host, 10000), 'h', 'the host ')",
    ] {
        assert_eq!(ask(&format!("SELECT {call} FROM cpu")).unwrap(), 100, "{call}");
    }
    // Only one row has a long list.
    let (list, times) = ("THEN range(100000) ELSE [1]", "THEN 1000 ELSE 1");
    let said = refusal(&format!(
        "SELECT array_repeat(CASE WHEN value = 1 {list} END, CASE WHEN value = 1 {times} END) \
         FROM generate_series(1, 1000)"
    ));
    assert!(said.contains("would produce more than 33554432 bytes"), "{said}");
    let said = refusal("SELECT arrow_cast([usage], 'ListView(Float64)') FROM cpu");
    assert!(said.contains("list views are not supported"), "{said}");
    // Each call is allowed, but not both.
    let said = refusal("SELECT repeat(host, 90000), repeat(host, 90001) FROM cpu");
    let limit = "507: the functions of the statement would produce more than 33554432 bytes in one";
    assert!(said.starts_with(limit), "{said}");
    // An operator with a long constant evaluates small batches.
    let constant = "CASE WHEN usage > 5 THEN repeat('a', 15000000) ELSE host END";
    assert_eq!(ask(&format!("SELECT sum(octet_length({constant})) FROM cpu")).unwrap(), 1);
    // Long texts get small batches.
    let text = "SELECT count(*) FROM (SELECT value::text AS host, repeat('x', 4000 + value % 2) \
                AS msg FROM generate_series(1, 10000)) \
                WHERE octet_length(host || ': ' || msg) > 4000 HAVING count(*) = 10000";
    assert_eq!(ask(text).unwrap(), 1);
    for data_type in
        ["FixedSizeBinary(1000000000)", "Dictionary(Int32, FixedSizeBinary(1000000000))"]
    {
        let said = refusal(&format!("SELECT arrow_cast(NULL, '{data_type}')"));
        assert!(said.starts_with("400: ") && said.ends_with(" exceeds 4096 bytes"), "{said}");
    }
    let said = refusal("SELECT range(date '2022-01-01', date '9999-01-01', interval '1 day')");
    assert!(said.starts_with(limit), "{said}");
    // DataFusion returns to 29 January after each step, and never ends.
    let step = "interval '1 month' - interval '30 days'";
    let said =
        refusal(&format!("SELECT generate_series(date '2021-01-29', date '2021-01-29', {step})"));
    assert!(said.starts_with("400: the parts of a step have different signs"), "{said}");
}

#[test]
fn grouping_sets_are_limited() {
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|at| format!("usage + {at}")).collect();
        keys.join(", ")
    };
    for group_by in [
        format!("CUBE ({})", keys(25)),
        format!("CUBE ({}), usage", keys(30)),
        format!("CUBE ({0}), CUBE ({0})", keys(6)),
        format!("ROLLUP ({})", keys(200)),
        format!("{}, CUBE ({})", keys(100), keys(9)),
    ] {
        let said = refusal(&format!("SELECT count(*) FROM cpu GROUP BY {group_by}"));
        assert!(
            said.starts_with("400: the grouping sets of a query contain more than 16384 keys"),
            "{group_by:.40}: {said}"
        );
    }
    // One CUBE of ten keys is allowed, but not two.
    let cube = format!("SELECT count(*) FROM cpu GROUP BY CUBE ({})", keys(10));
    for text in [
        format!("{cube} UNION ALL {cube}"),
        format!("SELECT 1 FROM ({cube}) a, ({cube}) b"),
        format!("WITH c AS ({cube}) SELECT 1 FROM c a, c b"),
        format!("SELECT ({cube} LIMIT 1), ({cube} LIMIT 1)"),
    ] {
        let said = refusal(&text);
        assert!(
            said.starts_with("400: the grouping sets of a query contain more than 16384 keys"),
            "{text:.40}: {said}"
        );
    }
    assert_eq!(ask(&format!("SELECT {0} FROM cpu GROUP BY {0}", keys(20))).unwrap(), 100);
    assert_eq!(ask("SELECT count(*) FROM cpu GROUP BY CUBE (usage, host)").unwrap(), 301);
}

#[test]
fn centroids_are_limited() {
    for function in
        ["approx_percentile_cont(usage, ", "approx_percentile_cont_with_weight(usage, 1, "]
    {
        for rest in ["", " OVER ()"] {
            let of = |centroids: &str| format!("SELECT {function}0.5, {centroids}){rest} FROM cpu");
            for centroids in ["10001", "5000 * 5000", "18446744073709551615"] {
                let said = refusal(&of(centroids));
                assert!(
                    said.contains("the number of centroids must be a constant of at most 10000"),
                    "{}: {said}",
                    of(centroids)
                );
            }
        }
    }
    assert_eq!(ask("SELECT approx_percentile_cont(usage, 0.5, 10000) FROM cpu").unwrap(), 1);
    let sorted = "approx_percentile_cont(0.5, 1000000000000) WITHIN GROUP (ORDER BY usage)";
    let said = refusal(&format!("SELECT {sorted} FROM cpu"));
    assert!(said.contains("the number of centroids must be a constant"), "{said}");
}

#[test]
fn unnested_lists_are_limited() {
    let said = refusal("SELECT unnest(range(1000000)), unnest([1]), time, host, usage FROM cpu");
    let limit = "507: unnest makes of one row more than 33554432 bytes: use shorter lists";
    assert!(said.starts_with(limit), "{said}");
    let said = refusal("SELECT unnest(range(5000)), repeat(host, 9000) FROM cpu");
    assert!(said.starts_with(limit), "{said}");
    // Each element of the outer list gets a copy of the other list.
    let nested = "SELECT unnest(unnest(l)), unnest(l) FROM (SELECT array_repeat([1], 5000) AS l)";
    let said = refusal(nested);
    assert!(said.starts_with(limit), "{said}");
    for (text, rows) in [
        ("SELECT unnest(unnest(l)), unnest(l) FROM (SELECT [[1, 2], [3]] AS l)", 4),
        ("SELECT unnest(range(1000000))", 1_000_000),
        ("SELECT unnest(range(3000)), time, repeat(host, 100) FROM cpu", 300_000),
        ("SELECT unnest(make_array(host, host)), unnest([1, 2, 3]), usage FROM cpu", 300),
        ("SELECT unnest(unnest([[1, 2], [3]])), host FROM cpu", 300),
    ] {
        assert_eq!(ask(text).unwrap(), rows, "{text}");
    }
}

#[test]
fn quadratic_calls_are_limited() {
    for call in [
        "strpos(repeat('a', 200000), repeat('a', 100000) || 'b')",
        "position(repeat('a', 100000) || 'b' IN repeat('a', 200000))",
        "instr(repeat('a', 20000) || host, repeat('a', 10000) || 'b')",
        "levenshtein(repeat('a', 20000), repeat('b', 20000))",
        "levenshtein(repeat(host, 1000), repeat('b', 2000))",
        "btrim(repeat('a', 100000), repeat('b', 100000) || 'a')",
        "array_has_all(range(20000), range(20000))",
        "list_has_any(range(20000), range(20000, 40000))",
    ] {
        let said = refusal(&format!("SELECT {call} FROM cpu"));
        let limit = "the functions of the statement need too much time in one turn; use fewer";
        assert!(said.starts_with("507: ") && said.contains(limit), "{call}: {said}");
    }
    // Each call is allowed, but not all three.
    let call = |times: usize| format!("strpos(repeat(host, 1000), repeat('b', {times}))");
    let said = refusal(&format!("SELECT {}, {}, {} FROM cpu", call(300), call(301), call(302)));
    assert!(said.starts_with("507: the functions of the statement need too much time"), "{said}");
    for call in [
        "strpos(host, '7')",
        "position('7' IN host)",
        "strpos(repeat('a', 1000000), 'ab')",
        "levenshtein(host, 'h50')",
        "btrim(host, 'h')",
        "btrim(host)",
        "array_has_all(range(1000), range(usage::bigint))",
        "strpos(repeat(host, 1000), repeat('b', 300))",
    ] {
        assert_eq!(ask(&format!("SELECT {call} FROM cpu")).unwrap(), 100, "{call}");
    }
}

#[test]
fn regex_patterns_are_limited() {
    for (call, limit) in [
        ("regexp_like('a', '\\pL{40}' || cast(usage as varchar))", "compile more than 32 patterns"),
        ("'a' ~ ('\\pL{40}' || cast(usage as varchar))", "compile more than 32 patterns"),
        ("NOT host !~* ('a' || cast(usage as varchar))", "compile more than 32 patterns"),
        ("regexp_replace(host, host, 'a')", "compile more than 32 patterns"),
        (
            "regexp_like(host, '(\\pL{100}){100}')",
            "a compiled pattern needs more than 1048576 bytes",
        ),
        ("host ~ '(\\pL{100}){100}'", "a compiled pattern needs more than 1048576 bytes"),
        (
            "host ~ ('\\pL{20}' || cast(usage::bigint % 30 AS varchar))",
            "patterns of one batch of rows need more than 1048576 bytes together",
        ),
        (
            "regexp_count(repeat('a', 200000) || host, '(a|b)*a(a|b){400}')",
            "need too much time in one turn",
        ),
        ("repeat(host, 60000) ~ '(a|b)*a(a|b){400}'", "need too much time in one turn"),
        ("host SIMILAR TO ('a' || cast(usage as varchar))", "compile more than 32 patterns"),
        ("host LIKE ('_a%' || repeat('_%', 20000) || host)", "need too much time in one turn"),
        (
            "host LIKE ('_a%' || repeat('_%', 20000) || host) ESCAPE '\\'",
            "need too much time in one turn",
        ),
        ("host ~~ ('_a%' || repeat('_%', 20000) || host)", "need too much time in one turn"),
        ("host !~~* ('_a%' || repeat('_%', 20000) || host)", "need too much time in one turn"),
    ] {
        let said = refusal(&format!("SELECT {call} FROM cpu"));
        assert!(said.starts_with("507: ") && said.contains(limit), "{call}: {said}");
    }
    for (condition, rows) in [
        ("host ~ 'h1.'", 10),
        ("host ~* 'H1.'", 10),
        ("host !~ 'h1.'", 90),
        ("host !~* 'H1.'", 90),
        ("host ~ ('h' || CASE WHEN usage > 50 THEN '5' ELSE '1' END || '.')", 19),
        ("NOT host !~* ('H' || CASE WHEN usage > 50 THEN '5' ELSE '1' END || '.')", 19),
        ("regexp_like(host, 'h1.')", 10),
        ("regexp_like(host, '^h' || CASE WHEN usage > 50 THEN '5' ELSE '1' END || '.$', 'i')", 19),
        ("regexp_count(host, '[0-9]') = 1", 10),
        ("host LIKE ('h' || CASE WHEN usage > 50 THEN '5' ELSE '1' END || '_')", 19),
        ("NOT host NOT ILIKE ('H' || CASE WHEN usage > 50 THEN '5' ELSE '1' END || '%')", 20),
        ("host SIMILAR TO ('^h' || CASE WHEN usage > 50 THEN '5' ELSE '1' END || '.$')", 19),
        ("host SIMILAR TO '^h1.$'", 10),
        ("host ~~ ('h' || CASE WHEN usage > 50 THEN '5' ELSE '1' END || '_')", 19),
        ("host !~~ ('h' || CASE WHEN usage > 50 THEN '5' ELSE '1' END || '_')", 81),
        ("host ~~* ('H' || CASE WHEN usage > 50 THEN '5' ELSE '1' END || '_')", 19),
        ("host !~~* ('H' || CASE WHEN usage > 50 THEN '5' ELSE '1' END || '_')", 81),
        ("regexp_replace(host, '\\d', '') = 'h'", 10),
    ] {
        let text = format!("SELECT * FROM cpu WHERE {condition}");
        assert_eq!(ask(&text).unwrap(), rows, "{condition}");
    }
}

#[test]
fn wildcard_column_products_are_limited() {
    let mut database = Database::default();
    let fields: Vec<String> = (0..1_000).map(|at| format!("f{at}={at}")).collect();
    database.write(&format!("wide {} 1", fields.join(",")));
    let engine = Engine::default();
    let run = |text: &str| {
        let ran = database.run(&engine, request(text, Vec::new()), Layout::PLAIN);
        ran.map(|ran| ran.schema.fields().len()).map_err(|error| error.to_string())
    };
    let joined = |count: usize| {
        let tables: Vec<String> =
            (0..count).map(|at| format!("(SELECT * FROM wide) t{at}")).collect();
        tables.join(" CROSS JOIN ")
    };
    let tables = |count: usize| {
        let tables: Vec<String> = (0..count).map(|at| format!("wide t{at}")).collect();
        tables.join(", ")
    };
    let references: Vec<String> = (0..200).map(|at| format!("t1.f{at}")).collect();
    let references = format!("coalesce({})", references.join(", "));
    for text in [
        format!("SELECT count(*) FROM {}", joined(10)),
        "SELECT a.*, b.* FROM wide a, wide b".to_owned(),
        format!("EXPLAIN SELECT count(*) FROM {}", joined(10)),
        format!("SELECT 1 WHERE 1 IN (SELECT count(*) FROM {})", joined(10)),
        "WITH w AS (SELECT * FROM wide) SELECT count(*) FROM w a, w b, w c, w d".to_owned(),
        "WITH wide AS (SELECT 1) SELECT a.*, b.* FROM iox.wide a, public.iox.wide b".to_owned(),
        "SELECT a.*, b.* FROM (WITH wide AS (SELECT 1) SELECT * FROM wide) c, wide a, wide b"
            .to_owned(),
        "WITH a AS (SELECT * FROM wide), b AS (SELECT * FROM wide), c AS (SELECT * FROM wide) \
         SELECT 1"
            .to_owned(),
        "(SELECT * FROM wide) UNION ALL (SELECT * FROM wide) UNION ALL SELECT * FROM wide"
            .to_owned(),
        "SELECT 1 FROM wide a NATURAL JOIN wide b NATURAL JOIN wide c".to_owned(),
        "SELECT 1 FROM (wide a NATURAL JOIN wide b), wide c, wide d".to_owned(),
        format!("SELECT 1 FROM {} WHERE {references} > 1", tables(20)),
        format!("SELECT {references} FROM {}", tables(20)),
        format!("SELECT 1 FROM {} ORDER BY {references}", tables(20)),
    ] {
        let said = run(&text).expect_err(&text);
        assert!(said.starts_with("the statement selects too many columns"), "{text:.80}: {said}");
        assert!(said.ends_with("the limit is 3000000; name the columns instead of `*`"), "{said}");
    }
    assert_eq!(run("SELECT * FROM wide"), Ok(1_001));
    assert_eq!(run("SELECT a.f1, b.f2 FROM wide a, wide b"), Ok(2));
    let names: Vec<String> = (0..1_000).map(|at| format!("f{at}")).collect();
    assert_eq!(run(&format!("SELECT {} FROM wide", names.join(", "))), Ok(1_000));
}
