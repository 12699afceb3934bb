//! Tests the approximate quota for the number of series in a database. Writes to existing series
//! always succeed.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tidemark_engine::protocol::call::Address;

use crate::product::Product;
use crate::quotas::{assert_kept, database, set};
use crate::tokens::body;

fn product(shards: u32) -> Product {
    let settings = [("AUTO_CREATE_RETENTION", "INF"), ("LOG_REQUESTS", "none")];
    let mut product = Product::with(&settings);
    database(&mut product, "d", shards);
    product
}

fn points(series: impl Iterator<Item = usize>, time: usize) -> String {
    series.fold(String::new(), |mut lines, at| {
        writeln!(lines, "m,host=h{at},rack=r{} v={time} {time}", at % 10).unwrap();
        lines
    })
}

fn write(product: &mut Product, lines: &str) -> (u16, String) {
    let response = product.post("/write?db=d", lines);
    let retry = response.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
    assert!(!retry, "no repeat helps");
    (response.status, body(&response))
}

fn series(product: &mut Product) -> (u64, u64) {
    let tables = |answer: Value| answer["results"][0]["series"].as_array().cloned();
    let exact = tables(product.query("d", "SHOW SERIES EXACT CARDINALITY ON d"));
    let exact = exact.into_iter().flatten().map(|table| table["values"][0][0].as_u64().unwrap());
    let stats = tables(product.query("d", "SHOW STATS FOR 'quota'")).unwrap().swap_remove(0);
    let used = stats["values"].as_array().unwrap().iter().find(|row| row[0] == "series").unwrap();
    (exact.sum(), used[2].as_u64().unwrap())
}

#[test]
fn series_quota_is_accurate_within_quarter() {
    for shards in [1, 8] {
        for (allowed, batch) in [(300, 1), (300, 50), (2_000, 500), (20_000, 5_000)] {
            let mut product = product(shards);
            set(&mut product, &json!({"db": "d", "series": allowed}));
            let (mut first_refusal, offered) = (None, 3 * allowed as usize);
            for from in (0..offered).step_by(batch) {
                let (status, error) = write(&mut product, &points(from..from + batch, 1));
                assert!([204, 400].contains(&status), "{status}: {error}");
                if status == 400 && first_refusal.is_none() {
                    assert!(error.contains("quota exceeded: about ") && error.contains("(series)"));
                    first_refusal = Some(from as u64);
                }
                // Between the writes, the data is flushed, merged and evicted.
                if from % (offered / 6) < batch {
                    product.rest();
                }
                if from % (offered / 9) < batch {
                    product.sleep();
                }
            }
            let (exact, used) = series(&mut product);
            assert_kept(exact, allowed);
            assert_kept(used, exact);
            assert!(first_refusal.unwrap() * 4 >= allowed * 3, "{first_refusal:?} of {allowed}");
        }
    }
}

#[test]
fn series_quota_rejects_only_new_series() {
    for shards in [1, 8] {
        let mut product = product(shards);
        assert_eq!(write(&mut product, &points(0..1_000, 1)).0, 204);
        product.rest();
        assert_eq!(write(&mut product, &points(1_000..1_500, 1)).0, 204);
        // Some of the series are in parts, some in memory, and some in a log that is not loaded.
        set(&mut product, &json!({"db": "d", "series": 500}));
        for round in 2..8 {
            if round % 3 == 0 {
                product.rest();
            }
            product.sleep();
            assert_eq!(write(&mut product, &points(0..1_500, round)), (204, String::new()));
            let mixed = points([7, 9_000, 1_200, 9_001].into_iter(), 50 + round);
            let (status, error) = write(&mut product, &mixed);
            assert_eq!(status, 400);
            let texts = [
                "line 2 (1-based): quota exceeded",
                "line 4 (1-based): quota exceeded",
                "2 lines rejected",
            ];
            for text in texts.into_iter().chain(["2 points written"]) {
                assert!(error.contains(text), "{text}: {error}");
            }
            assert!(!error.contains("line 1 ") && !error.contains("line 3 "), "{error}");
        }
        let points = 1_500 * 7 + 2 * 6;
        assert_eq!(product.values("d", "SELECT count(v) FROM m")[0][1], points);
        assert_eq!(series(&mut product).0, 1_500);
    }
}

#[test]
fn new_fields_add_no_series() {
    let mut product = product(1);
    assert_eq!(write(&mut product, "m,host=a v=1 1\nm,host=b v=1 1\nbare v=1 1").0, 204);
    product.rest();
    set(&mut product, &json!({"db": "d", "series": 1}));
    assert_eq!(write(&mut product, "m,host=a w=2 2\nbare w=3 3").0, 204);
    for new in ["m v=1 1", "m,host=a,dc=x v=1 1", "m,host=c v=1 1", "bare,dc=x v=1 1", "n v=1 1"] {
        let (status, error) = write(&mut product, new);
        assert_eq!((status, error.contains("(series)")), (400, true), "{new}: {error}");
    }
    assert_eq!(write(&mut product, "m,host=b v=2 2").0, 204);
    assert_eq!(series(&mut product), (3, 3));
}

/// The rows of an evicted shard may be only in its log. Their series count as well.
#[test]
fn series_quota_counts_evicted_shards() {
    let mut product = product(1);
    set(&mut product, &json!({"db": "d", "series": 900}));
    let week_s = 604_800;
    let lines: Vec<_> = (0..4).map(|n| format!("m,host=h{n} v=1 {}", n * week_s)).collect();
    assert_eq!(product.post("/write?db=d&precision=s", &lines.join("\n")).status, 204);
    product.sleep();
    let used = product.query("d", "SHOW STATS FOR 'quota'");
    let rows = used["results"][0]["series"][0]["values"].as_array().unwrap();
    assert!(rows.contains(&json!(["series", 900, 4])), "{rows:?}");
}

#[test]
fn dropped_series_free_series_quota() {
    let mut product = product(2);
    set(&mut product, &json!({"db": "d", "series": 1_000}));
    write(&mut product, &points(0..3_000, 1));
    product.rest();
    assert_eq!(write(&mut product, &points(5_000..5_100, 1)).0, 400);
    product.query("d", "DROP SERIES FROM m WHERE rack = 'r1' OR rack = 'r2' OR rack = 'r3'");
    product.rest();
    assert_eq!(write(&mut product, &points(5_000..5_100, 1)).0, 204);
    product.query("d", "DROP MEASUREMENT m");
    product.rest();
    assert_eq!(series(&mut product), (0, 0));
    assert_eq!(write(&mut product, &points(0..700, 1)).0, 204);
}

#[test]
fn expired_series_free_series_quota() {
    let mut product = product(1);
    product.query("", "ALTER RETENTION POLICY autogen ON d DURATION 2d SHARD DURATION 1d");
    set(&mut product, &json!({"db": "d", "series": 200}));
    let lines = |product: &Product, from: usize| {
        let now_ns = product.now_s() as usize * 1_000_000_000;
        points(from..from + 100, now_ns)
    };
    // Each day has different series. Slightly more than two days of series exist at the same time.
    let mut taken = 0;
    for day in 0..20 {
        let lines = lines(&product, 1_000 * day);
        taken += usize::from(write(&mut product, &lines).0 == 204);
        product.pass_hours(48);
        product.rest();
    }
    assert_eq!(taken, 20);
}

#[test]
fn series_quota_adds_no_calls() {
    let mut product = product(1);
    set(&mut product, &json!({"db": "d", "series": 100}));
    write(&mut product, &points(0..1_000, 1));
    product.rest();
    for lines in [points(0..10, 2), points(0..1_010, 3), points(5_000..6_000, 4)] {
        let shard = |product: &Product| -> u64 {
            let of = |address: &Address| matches!(address, Address::Shard(_));
            product.object_requests().iter().filter(|(at, _)| of(at)).map(|(_, n)| n).sum()
        };
        let rows = |product: &mut Product| {
            let stats = product.query("d", "SHOW STATS FOR 'shard'");
            let stats = &stats["results"][0]["series"][0];
            let at = stats["columns"].as_array().unwrap().iter().position(|c| c == "rowsWritten");
            stats["values"][0][at.unwrap()].as_u64().unwrap()
        };
        let rows_before = rows(&mut product);
        let before = shard(&product);
        write(&mut product, &lines);
        assert_eq!(shard(&product) - before, 1);
        assert!(rows(&mut product) - rows_before <= 1);
    }
}

#[test]
fn removed_series_quota_has_no_effect() {
    let mut product = product(1);
    set(&mut product, &json!({"db": "d", "series": 10}));
    write(&mut product, &points(0..100, 1));
    set(&mut product, &json!({"db": "d"}));
    assert_eq!(write(&mut product, &points(0..1_000, 2)).0, 204);
    set(&mut product, &json!({"db": "d", "series": 5_000}));
    assert_eq!(write(&mut product, &points(1_000..2_000, 2)).0, 204);
    assert_eq!(series(&mut product).0, 2_000);
}
