//! Compares filters that a scan evaluates with filters that DataFusion evaluates.

use tidemark_engine::scan::request::Comparison;
use tidemark_model::value::{FieldType, FieldValue};
use tidemark_sql::messages::Condition;
use tidemark_sql::output::Format;

use super::database::{Database, Layout, written};

fn database() -> Database {
    let mut database = Database::default();
    let mut time_ns = 0;
    let floats = ["-0.0", "0.0", "1.5", "-2.5", "9007199254740993"];
    for (at, float) in floats.iter().enumerate() {
        for tags in ["", ",host=a", ",host=b,dc=x", ",dc=y"] {
            time_ns += 1;
            database.write(&format!("t{tags} f={float},i={at}i,u={at}u {time_ns}"));
            time_ns += 1;
            let text = ["", "x", "y"][at % 3];
            database.write(&format!("t{tags} s=\"{text}\",b={} {time_ns}", at % 2 == 0));
        }
    }
    database
}

/// Runs every filter twice: unchanged, and in a form that a scan does not support.
#[test]
fn pushed_filters_select_equal_rows() {
    let mut database = database();
    // Converted to floats, both integers equal 2^53.
    for (time_ns, n) in [(200, 9_007_199_254_740_993_u64), (201, 9_007_199_254_740_992)] {
        database.write(&format!("t i={n}i,u={n}u {time_ns}"));
    }
    let mut filters = Vec::new();
    for compare in ["=", "!=", "<", "<=", ">", ">="] {
        for zero in ["0.0", "-0.0", "1.5", "-2.5"] {
            filters.push(format!("f {compare} {zero}"));
            filters.push(format!("{zero} {compare} f"));
        }
        filters.extend(["i", "u"].map(|field| format!("{field} {compare} 2")));
        for float in ["0.0", "-0.0", "1.5", "2.0", "-0.5", "-1.0", "9007199254740992.0"] {
            filters.extend(["i", "u"].map(|field| format!("{field} {compare} {float}::double")));
            filters.push(format!("{float}::double {compare} i"));
        }
        filters.extend(["''", "'x'"].map(|text| format!("s {compare} {text}")));
        filters.extend(["''", "'a'"].map(|text| format!("host {compare} {text}")));
        filters.push(format!("time {compare} to_timestamp(7)"));
        filters.push(format!("b {compare} true"));
    }
    let more = [
        "b",
        "NOT b",
        "b IS TRUE",
        "b IS NOT TRUE",
        "b IS NULL",
        "host IS NULL",
        "host IS NOT NULL",
        "f IS NULL",
        "f IS NOT NULL",
        "host IN ('a', 'z')",
        "host NOT IN ('a', 'z')",
        "host IN ('a', '')",
        "host NOT IN ('a', NULL)",
        "host != 5",
        "host = 'a' OR dc = 'x'",
        "host = 'a' OR f > 1",
        "NOT (host = 'a' OR f > 1)",
        "NOT (host = 'a' AND f > 1)",
        "host LIKE 'a%'",
        "host ~ '^(a|b)$'",
        "i BETWEEN 1 AND 3",
        "time BETWEEN to_timestamp(3) AND \
         to_timestamp(9)",
        "host = dc",
        "host != 'a' AND (dc = 'x' OR dc IS NULL)",
        "coalesce(host, 'n') = 'n'",
        "upper(host) = 'A'",
        "i IN (1, 2, 3, 4, 5)",
        "NULL",
        "host = NULL",
        "time > to_timestamp(3) OR host = 'a'",
        "time >= '1970-01-01T00:00:00.000000007Z'",
        "'1970-01-01T01:00:00.000000007+01:00' < time",
        "\"time\" <= '1970-01-01 00:00:00.000000009'",
        "time != '1970-01-01T00:00:00.000000007Z'",
        "time > '1969-12-31' AND time < '1970-01-02'",
        "time > '1970-01-02' AND time < '1970-01-01'",
        "TIME = '1970-01-01T00:00:00.000000007Z' OR HOST = 'b'",
        "(host = 'a' OR (dc = 'x' AND 'b' = host)) AND s = 'x'",
        "host <> 'a' AND f > 1 AND (dc IN ('x', 'y'))",
        "t.host = 'a' AND s != 'y'",
        "f = 'NaN'::double",
        "f < 'NaN'::double",
    ];
    filters.extend(more.map(str::to_owned));
    let ask = |filter: &str| {
        let text =
            format!("SELECT time, host, dc, f, i, u, s, b FROM t WHERE {filter} ORDER BY time");
        let answered = database.ask(&text, Layout { shards: 3, page_rows: 4 });
        let answered = answered.unwrap_or_else(|error| panic!("{filter}: {error}"));
        let scan = answered.scans.first();
        let took_over = scan.is_some_and(|scan| scan.condition.is_some() || scan.time.end_ns < 99);
        (String::from_utf8(written(&answered, Format::Csv).unwrap()).unwrap(), took_over)
    };
    let mut taken_over = 0;
    for filter in &filters {
        let (rows, took_over) = ask(filter);
        taken_over += usize::from(took_over);
        let (hidden, hidden_took_over) =
            ask(&format!("CASE WHEN random() > 2 THEN NULL ELSE ({filter}) END"));
        assert!(!hidden_took_over, "{filter}");
        assert_eq!(rows, hidden, "{filter}");
    }
    assert!(taken_over > 50, "only {taken_over} of {} were taken over", filters.len());
}

#[test]
fn scan_returns_only_needed_columns() {
    let database = database();
    let scan = |text: &str| database.ask(text, Layout::PLAIN).unwrap().scans.remove(0);
    let count = scan("SELECT count(*) FROM t");
    assert_eq!((count.fields.len(), count.tags.len()), (0, 0));
    let some = scan("SELECT dc, f FROM t WHERE upper(s) = 'X'");
    assert_eq!((some.fields, some.tags), (vec!["f".into(), "s".into()], vec!["dc".to_owned()]));
    assert_eq!(scan("SELECT f FROM t WHERE host = 'a' LIMIT 2").rows_max, Some(2));
    assert_eq!(scan("SELECT f FROM t WHERE upper(host) = 'A' LIMIT 2").rows_max, None);
    for (filter, compare, whole) in [
        ("i > 1.5", Comparison::Greater, 1),
        ("i < 1.5", Comparison::Less, 2),
        ("2.0 <= i", Comparison::GreaterOrEqual, 2),
    ] {
        let condition = scan(&format!("SELECT f FROM t WHERE {filter}")).condition;
        let (integer, value) = (FieldType::Integer, FieldValue::Integer(whole));
        assert_eq!(condition, Some(Condition::Field("i".to_owned(), integer, compare, value)));
    }
    let condition = scan("SELECT f FROM t WHERE host = 5").condition;
    assert_eq!(condition, Some(Condition::TagIn("host".to_owned(), vec!["5".to_owned()])));
    // The plan evaluates conditions with long texts, because a scan sends its condition to every
    // shard.
    let long = |column: &str, bytes: usize| format!("{column} <> repeat('y', {bytes})");
    assert_eq!(scan(&format!("SELECT f FROM t WHERE {}", long("s", 70_000))).condition, None);
    let eight: Vec<String> =
        (1..9).map(|at| format!("({} OR f > {at})", long("s", 40_000))).collect();
    let text = format!("SELECT f FROM t WHERE {}", eight.join(" AND "));
    let Some(Condition::All(pushed)) = scan(&text).condition else { panic!("one in each pass") };
    assert!(pushed.len() < 6, "{} conditions in the passes of the optimizer", pushed.len());
    let range = scan("SELECT f FROM t WHERE time > to_timestamp(3) AND time <= to_timestamp(5)");
    assert_eq!((range.time.start_ns, range.time.end_ns), (4, 6));
}

/// The plan shows the cost of a scan.
#[test]
fn explain_analyze_reports_read_rows() {
    let text = "EXPLAIN ANALYZE SELECT host, count(*) FROM t GROUP BY host";
    let answered = database().ask(text, Layout { shards: 2, page_rows: 10 }).unwrap();
    let said = String::from_utf8(written(&answered, Format::JsonLines).unwrap()).unwrap();
    let scan = said.split("Scan: t").nth(1).unwrap_or_else(|| panic!("{said}"));
    for metric in ["output_rows=40", "pages=4", "page_bytes="] {
        assert!(scan.contains(metric), "{metric}: {scan}");
    }
}
