//! Tests the execution of continuous queries with a simulated clock.

use serde_json::{Value, json};
use tidemark_model::limits::{CONTINUOUS_QUERIES_BYTES_MAX, CONTINUOUS_QUERIES_MAX};

use crate::product::{Product, form};

const CREATE: &str = "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT sum(v) INTO d.long.t FROM m \
                      GROUP BY time(1m), host END";

fn product() -> Product {
    let mut product = Product::with(&[]);
    for q in ["CREATE DATABASE d", "CREATE RETENTION POLICY long ON d DURATION INF REPLICATION 1"] {
        product.query("d", q);
    }
    product
}

fn minute(product: &Product) -> i64 {
    product.now_s() / 60 * 60
}

/// Returns the stored results of the continuous query, each as `[minutes, sum]`, where the minutes
/// count from `from`.
fn sums(product: &mut Product, from: i64) -> Vec<Value> {
    let q = "SELECT sum FROM d.long.t GROUP BY host";
    let answer = product.query("d", q);
    let rows = &answer["results"][0]["series"][0]["values"];
    let minutes = |row: &Value| (row[0].as_i64().unwrap() - from) / 60;
    rows.as_array()
        .map_or(Vec::new(), |rows| rows.iter().map(|row| json!([minutes(row), row[1]])).collect())
}

#[test]
fn continuous_query_runs_after_each_window() {
    let mut product = product();
    product.query("d", CREATE);
    product.wait(60);
    let start = minute(&product);
    for later in 0..10 {
        product.write("d", &format!("m,host=a v={} {}", later + 1, start + 60 * later));
    }
    assert_eq!(sums(&mut product, start), [] as [Value; 0], "no window has ended");
    product.wait(60);
    assert_eq!(sums(&mut product, start), [json!([0, 1])]);
    product.wait(120);
    assert_eq!(sums(&mut product, start), [json!([0, 1]), json!([1, 2]), json!([2, 3])]);
    product.sleep();
    product.wait(240);
    product.query("d", "SHOW DATABASES");
    assert_eq!(sums(&mut product, start).len(), 3, "the alarm of a sleeping object does not ring");
    product.query("d", "SHOW MEASUREMENTS");
    let all: Vec<Value> = (0..7).map(|later| json!([later, later + 1])).collect();
    assert_eq!(sums(&mut product, start), all);
    product.query("d", "DROP CONTINUOUS QUERY c ON d");
    product.wait(180);
    assert_eq!(sums(&mut product, start), all, "a dropped query runs no more");
}

/// The windows of query `x` end faster than its runs can compute them, so `x` is always behind.
#[test]
fn short_windows_do_not_starve_other_queries() {
    let mut product = product();
    let short = "CREATE CONTINUOUS QUERY x ON d BEGIN SELECT sum(v) INTO d.long.u FROM n \
                 GROUP BY time(1ns) END";
    product.query("d", short);
    // Each run of `x` computes 1,000 windows, from the time of the first run.
    let begin_ns = product.now_s() * 1_000_000_000;
    let points: String = (0..20).map(|run| format!("n v=1 {}\n", begin_ns + run * 1_000)).collect();
    assert_eq!(product.post("/write?db=d", &points).status, 204);
    let runs = |product: &mut Product| {
        product.values("d", "SELECT count(sum) FROM d.long.u")[0][1].as_i64().unwrap()
    };
    product.wait(60);
    let before = runs(&mut product);
    product.query("d", CREATE);
    product.wait(60);
    let start = minute(&product);
    product.write("d", &format!("m,host=a v=1 {start}"));
    product.wait(60);
    assert_eq!(sums(&mut product, start), [json!([0, 1])]);
    assert_eq!(runs(&mut product) - before, 6, "one run after each request and each pause");
}

#[test]
fn watermark_advances_after_acknowledged_write() {
    let mut product = product();
    product.query("d", CREATE);
    product.wait(60);
    let start = minute(&product);
    for later in 0..5 {
        product.write("d", &format!("m,host=a v={} {}", later + 1, start + 60 * later));
    }
    // Each run fails, because its target does not exist.
    product.query("d", "DROP RETENTION POLICY long ON d");
    for _ in 0..3 {
        product.wait(60);
    }
    product.query("d", "CREATE RETENTION POLICY long ON d DURATION INF REPLICATION 1");
    for _ in 0..6 {
        product.wait(600);
    }
    let all: Vec<Value> = (0..5).map(|later| json!([later, later + 1])).collect();
    assert_eq!(sums(&mut product, start), all);
}

#[test]
fn resample_writes_open_and_past_windows() {
    let mut product = product();
    let now = minute(&product);
    for later in -3..3 {
        product.write("d", &format!("m,host=a v={} {}", later + 10, now + 60 * later));
    }
    let create = "CREATE CONTINUOUS QUERY c ON d RESAMPLE EVERY 20s FOR 3m BEGIN SELECT sum(v) \
                  INTO d.long.t FROM m GROUP BY time(1m), host END";
    product.query("d", create);
    product.wait(1);
    let written = sums(&mut product, now);
    assert_eq!(written.first(), Some(&json!([-2, 8])), "{written:?}");
    assert_eq!(written.last(), Some(&json!([0, 10])), "the window that is open: {written:?}");
}

#[test]
fn continuous_query_that_could_not_run_is_refused() {
    let mut product = product();
    let mut create = |condition: &str| {
        let q = format!(
            "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT sum(v) INTO d.long.t FROM m WHERE \
             {condition} GROUP BY time(1m) END"
        );
        let form = form(&[("q", &q), ("params", r#"{"r":{"regex":"a\nb"}}"#)]);
        String::from_utf8(product.post("/query?db=d", &form).body).unwrap()
    };
    let refused = create("host =~ $r");
    assert!(refused.contains("its text cannot be parsed"), "{refused}");
    let queries = product.query("d", "SHOW CONTINUOUS QUERIES");
    assert!(!queries.to_string().contains("CREATE"), "{queries}");
}

#[test]
fn long_continuous_run_spans_several_alarms() {
    let minutes = 300;
    for limit in [("BUCKETS_PER_QUERY_MAX", "40"), ("CALLS_PER_REQUEST_MAX", "70")] {
        let mut product = Product::with(&[limit, ("DEFAULT_SHARDS", "8")]);
        product.query("d", "CREATE DATABASE d");
        product.query("d", "CREATE RETENTION POLICY long ON d DURATION INF REPLICATION 1");
        product.query("d", CREATE);
        product.wait(60);
        let start = minute(&product);
        product.query("d", "DROP RETENTION POLICY long ON d");
        for later in 0..minutes {
            // The points of each half hour are in new shards. A query calls all shards of its time
            // range.
            if later % 30 == 0 {
                let change = format!(r#"{{"db":"d","shards":{}}}"#, 9 - later / 30 % 2);
                assert_eq!(product.configure("PUT", &change).0, 200);
                product.wait(20);
            }
            product.write("d", &format!("m,host=a v={} {}", later + 1, start + 60 * later));
            product.wait(start + 60 * (later + 1) - product.now_s());
        }
        product.query("d", "CREATE RETENTION POLICY long ON d DURATION INF REPLICATION 1");
        for _ in 0..1_000 {
            product.wait(10);
        }
        let all: Vec<Value> = (0..minutes).map(|later| json!([later, later + 1])).collect();
        assert_eq!(sums(&mut product, start), all, "{limit:?}");
    }
}

#[test]
fn continuous_queries_list_per_database() {
    let mut product = product();
    product.query("d", "CREATE DATABASE e");
    product.query("d", CREATE);
    let answer = product.query("d", "SHOW CONTINUOUS QUERIES");
    let text = "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT sum(v) INTO d.long.t FROM d.autogen.m \
                GROUP BY time(1m), host END";
    let series = json!([
        {"name": "d", "columns": ["name", "query"], "values": [["c", text]]},
        {"name": "e", "columns": ["name", "query"]},
    ]);
    assert_eq!(answer["results"][0]["series"], series);
    product.sleep();
    assert_eq!(product.query("d", "SHOW CONTINUOUS QUERIES"), answer);
}

#[test]
fn number_and_size_of_continuous_queries_are_limited() {
    let mut product = product();
    product.query("d", "CREATE DATABASE e");
    let mut create = |database: &str, number: usize, padding: usize| {
        let text = format!(
            "CREATE CONTINUOUS QUERY c{number} ON {database} BEGIN SELECT sum(v) INTO d.long.t FROM m \
             WHERE host = '{}' GROUP BY time(7d) END",
            "x".repeat(padding)
        );
        let answer = product.query(database, &text);
        answer["results"][0]["error"].as_str().map(str::to_owned)
    };
    // Each text in `e` has about 8,120 bytes.
    let by_size = CONTINUOUS_QUERIES_BYTES_MAX / 8_120;
    for (database, padding, expected) in [("d", 0, CONTINUOUS_QUERIES_MAX), ("e", 8_000, by_size)] {
        let mut numbers = 0..=CONTINUOUS_QUERIES_MAX;
        let refused = numbers.find_map(|number| Some((number, create(database, number, padding)?)));
        let (number, error) = refused.unwrap();
        assert_eq!(number, expected, "{error}");
        assert!(error.ends_with("524288 bytes together: drop or shorten a continuous query"));
    }
    let shown = product.query("d", "SHOW CONTINUOUS QUERIES");
    let rows = shown["results"][0]["series"][0]["values"].as_array().unwrap();
    assert_eq!(rows.len(), CONTINUOUS_QUERIES_MAX);
}
