//! Tests statements that try to crash a shard or to keep it busy. Each statement must end soon, and
//! the next statement must succeed.

use std::time::Duration;

use cpu_time::ThreadTime;

use crate::product::{Product, error_of};

/// Far more CPU time than any statement needs. Without the limits, a statement would need hours.
const PATIENCE: Duration = Duration::from_secs(10);
const YEAR: &str = "time >= 0 AND time < 365d";

fn product() -> Product {
    let mut product = Product::with(&[]);
    product.query("", "CREATE DATABASE db WITH DURATION INF");
    let lines: String = (0..400)
        .map(|i| format!("m,t={},u=h{} v={i},i={i}i,s=\"{i}\" {}\n", i % 7, i % 100, i * 60))
        .collect();
    product.write("db", &lines);
    product
}

#[test]
fn exponential_subqueries_are_rejected() {
    let mut product = product();
    let mut ask = |depth: usize| {
        let mut from = "m".to_owned();
        for _ in 0..depth {
            let fields = "difference(mean(v)) AS v, mean(v) AS w";
            from = format!("(SELECT {fields} FROM {from} GROUP BY time(1m))");
        }
        product.query("db", &format!("SELECT count(v) FROM {from} WHERE time >= 0 AND time < 9h"))
    };
    let fine = ask(7);
    assert_eq!(error_of(&fine), "");
    let started = ThreadTime::now();
    let refused = error_of(&ask(30));
    assert!(
        refused.starts_with("the server would read a subquery more than 64 times"),
        "{refused}"
    );
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

#[test]
fn repeated_subqueries_have_a_limit() {
    let mut product = product();
    let sources = vec!["(SELECT v FROM m tz('Europe/Oslo'))"; 950].join(",");
    let levels = |fields: &str, mut from: String, depth: usize| {
        for _ in 0..depth {
            from = format!("(SELECT {fields} FROM {from} GROUP BY time(1m))");
        }
        format!("SELECT count(v) FROM {from} WHERE time >= 0 AND time < 9h")
    };
    let both = "difference(mean(v)) AS v, mean(v) AS w";
    let fields = format!("(SELECT {}v FROM m)", "v,".repeat(30_000));
    for from in [sources, fields] {
        let started = ThreadTime::now();
        let refused = error_of(&product.query("db", &levels(both, from, 6)));
        assert!(refused.starts_with("the subqueries have more than 100000 sources"), "{refused}");
        assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    }
}

#[test]
fn clock_changes_of_many_subqueries_take_little_time() {
    let mut product = product();
    let inner = "(SELECT max(v) FROM n WHERE time < '2261-01-01' \
                 GROUP BY time(9w) tz('Europe/Oslo'))";
    let q = format!("SELECT count(max) FROM {}", vec![inner; 700].join(","));
    let started = ThreadTime::now();
    assert_eq!(error_of(&product.query("db", &q)), "");
    assert!(started.elapsed() < PATIENCE / 10, "{:?}", started.elapsed());
}

#[test]
fn window_limit_error_names_stray_point() {
    let mut product = product();
    product.write("db", "s,h=a v=1 1\ns,h=a v=2 1600000000\ns,h=a v=3 1600000010\ns,h=b v=4 1");
    let mut ask = |clauses: &str| {
        let q = format!("SELECT mean(v) FROM s WHERE time < 1600001000s {clauses}");
        product.query("db", &q)
    };
    let stray = "nearly all of the 160000 windows are empty, because the statement has no lower time \
                 bound and its first point is at 1970-01-01T00:00:00Z, the next point at \
                 2020-09-13T12:26:40Z: add WHERE time >= …, or omit empty windows with fill(none)";
    for clauses in ["", ", h", " fill(0)", " fill(previous)", " ORDER BY time DESC"] {
        let error = error_of(&ask(&format!("GROUP BY time(10000s){clauses}")));
        assert!(error.contains("its first point is at 1970-01-01T00:00:00Z"), "{clauses}: {error}");
    }
    assert_eq!(error_of(&ask("GROUP BY time(10000s)")), stray);
    for clauses in ["GROUP BY time(30d)", "GROUP BY time(10000s) fill(none)"] {
        assert_eq!(error_of(&ask(clauses)), "", "{clauses}");
    }
    let bounded = "AND time >= 1600000000s GROUP BY time(10s)";
    assert_eq!(error_of(&ask(bounded)), "");
}

#[test]
fn expensive_queries_fail_before_running() {
    let mut product = product();
    let buckets = "max-select-buckets limit exceeded: (";
    for (q, error) in [
        (format!("SELECT mean(v) FROM m WHERE {YEAR} GROUP BY time(1ns)"), buckets),
        (format!("SELECT mean(v) FROM m WHERE {YEAR} GROUP BY time(1ns), * fill(0)"), buckets),
        (format!("SELECT mean(v) FROM m WHERE {YEAR} GROUP BY time(1s) fill(0)"), buckets),
        ("SELECT mean(v) FROM m GROUP BY time(1ns)".into(), buckets),
        ("SELECT mean(v) FROM m WHERE time < 365d GROUP BY time(1ns) fill(linear)".into(), buckets),
        (
            format!("SELECT x FROM (SELECT mean(v) AS x FROM m GROUP BY time(1u)) WHERE {YEAR}"),
            buckets,
        ),
        (format!("SELECT mean(v) INTO n FROM m WHERE {YEAR} GROUP BY time(1ms) fill(0)"), buckets),
        (
            format!(
                "SELECT holt_winters(mean(v), 9223372036854775807, 4) FROM m WHERE {YEAR} GROUP BY time(1h)"
            ),
            "a series or a season of holt_winters() has more than 5000 windows",
        ),
        (
            format!(
                "SELECT holt_winters(mean(v), 4, 9223372036854775807) FROM m WHERE {YEAR} GROUP BY time(1h)"
            ),
            "",
        ),
    ] {
        let started = ThreadTime::now();
        let answer = error_of(&product.query("db", &q));
        assert!(
            answer.starts_with(error) && answer.is_empty() == error.is_empty(),
            "{q}: {answer}"
        );
        assert!(started.elapsed() < PATIENCE, "{q}");
    }
    assert_eq!(product.values("db", "SELECT count(v) FROM m")[0][1], 400);
}

/// Statements that contain the largest number wherever a number is permitted.
#[test]
fn extreme_numbers_never_stop_server() {
    let mut product = product();
    let max = "9223372036854775807";
    for call in [
        "top(v, N)",
        "bottom(v, t, N)",
        "sample(v, N)",
        "percentile(v, N)",
        "moving_average(v, N)",
        "derivative(v, Nns)",
        "elapsed(v, Nns)",
        "integral(v, Nns)",
        "exponential_moving_average(v, N)",
        "double_exponential_moving_average(v, N, N, 'simple')",
        "triple_exponential_moving_average(v, N)",
        "triple_exponential_derivative(v, N)",
        "relative_strength_index(v, N)",
        "chande_momentum_oscillator(v, N)",
        "chande_momentum_oscillator(v, N, N, 'simple')",
        "kaufmans_efficiency_ratio(v, N)",
        "kaufmans_adaptive_moving_average(v, N)",
        "pow(v, N)",
        "log(v, N)",
        "i + N",
        "i * N",
        "i % N",
        "i ^ N",
    ] {
        let started = ThreadTime::now();
        let q = format!("SELECT {} FROM m WHERE time >= 0", call.replace('N', max));
        product.query("db", &q);
        assert!(started.elapsed() < PATIENCE, "{q}");
    }
    for rest in [
        "WHERE time < 1d GROUP BY time(Nns)",
        "WHERE time < 1d GROUP BY time(1h, Nns)",
        "WHERE time < 1d GROUP BY time(1h, -Nns)",
        "WHERE time > N",
        "WHERE time > -N AND time < N GROUP BY time(100000d)",
        "WHERE time < -N - 1000",
        "WHERE i + N > N AND i * N < N",
        "LIMIT N OFFSET N SLIMIT N SOFFSET N",
    ] {
        let started = ThreadTime::now();
        let q = format!("SELECT count(v), max(i) FROM m {}", rest.replace('N', max));
        product.post("/query?db=db", &format!("q={}", q.replace('+', "%2B").replace('%', "%25")));
        assert!(started.elapsed() < PATIENCE, "{q}");
    }
    assert_eq!(product.values("db", "SELECT count(v) FROM m")[0][1], 400);
}

#[test]
fn periods_have_a_limit() {
    let mut product = product();
    for name in [
        "exponential_moving_average",
        "double_exponential_moving_average",
        "triple_exponential_moving_average",
        "triple_exponential_derivative",
        "relative_strength_index",
        "chande_momentum_oscillator",
        "kaufmans_efficiency_ratio",
        "kaufmans_adaptive_moving_average",
    ] {
        let mut error = |period: u64| {
            error_of(&product.query("db", &format!("SELECT {name}(v, {period}) FROM m")))
        };
        assert_eq!(error(4_294_967_295), "", "{name}");
        let text = format!("{name} period must be at most 4294967295, got 4294967296");
        assert_eq!(error(4_294_967_296), text);
    }
    let average = product.query("db", "SELECT moving_average(v, 4294967296) FROM m");
    assert_eq!(average["results"][0], serde_json::json!({ "statement_id": 0 }));
}

/// Copies of the strings in all windows would need far more memory than the limits of a query.
#[test]
fn strings_of_filled_windows_are_stored_once() {
    let mut product = Product::with(&[]);
    product.query("", "CREATE DATABASE db WITH DURATION INF");
    let [long, longest] = [10_000, 500_000].map(|bytes| "x".repeat(bytes));
    product.write("db", &format!("m s=\"{long}\",t=\"{longest}\" 0"));
    let filled = |field: &str, into: &str, windows: u32| {
        format!(
            "SELECT last({field}) {into} FROM m WHERE time >= 0 AND time < {windows}s \
             GROUP BY time(1s) fill(previous)"
        )
    };
    let mut first = |q: &str| {
        let started = ThreadTime::now();
        let answer = product.query("db", q);
        assert!(started.elapsed() < PATIENCE, "{q}: {:?}", started.elapsed());
        match error_of(&answer) {
            error if error.is_empty() => answer["results"][0]["series"][0]["values"][0][1].clone(),
            error => error.into(),
        }
    };
    // The copies would have 25 GB.
    let many = filled("t", "", 50_000);
    assert_eq!(first(&format!("{many} LIMIT 1")), longest);
    let refused = first(&format!("SELECT count(last) FROM ({many})"));
    let expected = "the rows of a subquery need more than 10000000 bytes";
    assert!(refused.as_str().is_some_and(|text| text.starts_with(expected)), "{refused:.200}");
    assert_eq!(first(&filled("s", "INTO copy", 2_000)), 2_000);
    assert_eq!(first("SELECT count(last) FROM copy"), 2_000);
}

/// Each row of a subquery has a value or a null for every field of all sources.
#[test]
fn missing_fields_of_subqueries_count_as_memory() {
    let mut product = Product::with(&[]);
    product.query("", "CREATE DATABASE db WITH DURATION INF");
    let lines: String = (0..5_000).map(|time| format!("a,t=x v=1 {time}\n")).collect();
    product.write("db", &lines);
    let fields: Vec<String> = (0..400).map(|field| format!("f{field}=1")).collect();
    product.write("db", &format!("b,t=x {} 0", fields.join(",")));
    let refused = |from: &str, product: &mut Product| {
        error_of(
            &product.query("db", &format!("SELECT * FROM (SELECT * {from} GROUP BY t) LIMIT 1")),
        )
    };
    assert_eq!(refused("FROM a", &mut product), "");
    let error = refused("FROM a, b", &mut product);
    let expected = "the rows of a subquery need more than 10000000 bytes";
    assert!(error.starts_with(expected), "{error:.200}");
}

/// A backtracking engine would need very long for these patterns.
#[test]
fn regexes_take_linear_time() {
    let mut product = Product::with(&[]);
    product.query("", "CREATE DATABASE db WITH DURATION INF");
    let lines: String = (0..20_000)
        .map(|i| format!("m,t={}{i} s=\"{}{i}\" {i}\n", "a".repeat(30), "a".repeat(30)))
        .collect();
    product.write("db", &lines);
    let many = (0..200).map(|i| i.to_string()).collect::<Vec<_>>().join("|");
    for regex in ["(.*)*x", "(a+)+$", "(a|aa)+$", "(x+x+)+y", &format!("^a*({many})$")] {
        for key in ["t", "s"] {
            let started = ThreadTime::now();
            let answer =
                product.query("db", &format!("SELECT count(s) FROM m WHERE {key} =~ /{regex}/"));
            assert_eq!(error_of(&answer), "", "{regex}");
            assert!(started.elapsed() < PATIENCE, "{regex}: {:?}", started.elapsed());
        }
    }
}

/// Evaluating the conditions on tags at each level of parentheses would take quadratic time.
#[test]
fn nested_conditions_take_linear_time() {
    let mut product = Product::with(&[]);
    product.query("", "CREATE DATABASE db WITH DURATION INF");
    let lines: String = (0..20_000).map(|i| format!("m,t=a,n={i} f=1,g=2 {i}\n")).collect();
    product.write("db", &lines);
    let mut condition = "f = 1".to_owned();
    for _ in 0..8 {
        condition = format!("({condition}{})", " AND t = 'a'".repeat(60));
    }
    let started = ThreadTime::now();
    let sum = product.values("db", &format!("SELECT sum(g) FROM m WHERE {condition}"));
    assert_eq!(sum[0][1], 40_000);
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

#[test]
fn thirty_nested_subqueries_run() {
    let mut product = product();
    let mut q = "SELECT v FROM m".to_owned();
    for _ in 0..30 {
        q = format!("SELECT v FROM ({q})");
    }
    let answer = product.query("db", &q.replacen("SELECT v", "SELECT count(v)", 1));
    assert_eq!(answer["results"][0]["series"][0]["values"][0][1], 400, "{answer}");
}
