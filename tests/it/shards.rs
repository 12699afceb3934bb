//! Tests that a query over K shards returns the same result as a query over one shard
//! (docs/design/query-path.md). The tests use random schemas, overwrites, equal times, all types,
//! flushes, evictions and splits.

use fastrand::Rng;
use serde_json::Value;

use crate::product::Product;
use crate::world::seeds;

const SEEDS: u64 = 13;
/// The number of shards, and whether their groups split during the test.
const VARIANTS: [(&str, bool); 5] =
    [("1", false), ("2", false), ("4", true), ("7", false), ("1", true)];

#[test]
fn results_ignore_shard_count() {
    let seeds = seeds(SEEDS);
    let count = seeds.end - seeds.start;
    let rows: usize = seeds.map(one_seed).sum();
    println!("{rows} rows compared");
    assert!(count == 1 || rows as u64 > 100 * count, "only {rows} rows were compared");
}

/// Returns the number of compared rows.
fn one_seed(seed: u64) -> usize {
    let story = story(&mut Rng::with_seed(seed));
    let mut expected: Vec<Value> = Vec::new();
    let mut rows = 0;
    // The size at which a shard splits depends on the seed. The smallest size is a few points, and
    // the largest is more than most seeds write.
    let split_bytes = (200 + 150 * (seed % 20)).to_string();
    for (count, splits) in VARIANTS {
        let split_bytes = if splits { split_bytes.as_str() } else { "4000000000" };
        let settings = [("DEFAULT_SHARDS", count), ("SHARD_SPLIT_BYTES", split_bytes)];
        let mut product = Product::with(&settings);
        product.query("", "CREATE DATABASE d");
        let mut answers = Vec::new();
        for step in &story {
            match step {
                Step::Write(lines) => product.write("d", lines),
                Step::Rest => product.rest(),
                Step::Sleep => product.sleep(),
                Step::Query(q) => answers.push((q, sorted(product.query("d", q)))),
            }
        }
        if expected.is_empty() {
            expected = answers.into_iter().map(|(_, answer)| answer).collect();
            continue;
        }
        for ((q, answer), expected) in answers.iter().zip(&expected) {
            let context = || {
                format!("SEED={seed}, {count} shards, splits: {splits}: {q}\n{expected}\n{answer}")
            };
            assert!(same(answer, expected), "{}", context());
            rows += answer
                .pointer("/results/0/series")
                .and_then(Value::as_array)
                .map_or(0, |s| s.iter().filter_map(|s| s["values"].as_array()).map(Vec::len).sum());
        }
    }
    rows
}

enum Step {
    Write(String),
    Rest,
    Sleep,
    Query(String),
}

fn story(rng: &mut Rng) -> Vec<Step> {
    let hosts = rng.usize(1..9);
    let exact = rng.u8(..4) > 0;
    let mut steps = Vec::new();
    for _ in 0..rng.usize(3..7) {
        steps.push(Step::Write(batch(rng, hosts, exact)));
        match rng.u8(..5) {
            0 => steps.push(Step::Rest),
            1 => steps.push(Step::Sleep),
            _ => {}
        }
    }
    for _ in 0..6 {
        steps.push(Step::Query(query(rng)));
    }
    steps
}

/// Only a few series and times occur, so that many points are overwritten and many times are equal.
fn batch(rng: &mut Rng, hosts: usize, exact: bool) -> String {
    let mut lines = Vec::new();
    for _ in 0..rng.usize(1..40) {
        let mut line = if rng.u8(..5) == 0 { "n".to_owned() } else { "m".to_owned() };
        if rng.u8(..8) > 0 {
            line += &format!(",host=h{}", rng.usize(..hosts));
        }
        if rng.u8(..3) > 0 {
            line += [",region=eu", ",region=us"][rng.usize(..2)];
        }
        let mut fields = Vec::new();
        if rng.u8(..4) > 0 {
            // A sum of quarters is exact in any order. Other sums are only approximate.
            let float = f64::from(rng.i32(-400..400)) / 4.0;
            fields.push(format!("f={}", if exact { float } else { float + rng.f64() }));
        }
        for (chance, field) in [
            (2, format!("i={}i", rng.i64(-50..50))),
            (4, format!("u={}u", rng.u64(..50))),
            (3, format!("s=\"{}\"", ["a", "b c", "", "ü"][rng.usize(..4)])),
            (4, format!("b={}", rng.bool())),
        ] {
            if rng.u8(..chance) == 0 {
                fields.push(field);
            }
        }
        if fields.is_empty() {
            fields.push("i=1i".into());
        }
        // Some points are in another week, and therefore in another time slot.
        let week = if rng.u8(..10) == 0 { 604_800 } else { 0 };
        lines.push(format!("{line} {} {}", fields.join(","), week + rng.i64(0..120)));
    }
    lines.join("\n")
}

fn query(rng: &mut Rng) -> String {
    let pick = |rng: &mut Rng, list: &[&str]| list[rng.usize(..list.len())].to_owned();
    let source = pick(rng, &["m", "m", "m", "n", "m, n", "/./"]);
    let condition = pick(
        rng,
        &[
            "",
            "",
            " WHERE time >= 30s AND time < 90s",
            " WHERE host = 'h1'",
            " WHERE host != 'h0' AND i > 0",
            " WHERE region =~ /^e/ OR f < 0",
            " WHERE s = 'a'",
            " WHERE b = true",
            " WHERE host = '' AND time < 100s",
            " WHERE f * 2 > i",
        ],
    );
    if rng.u8(..3) == 0 {
        let fields = pick(rng, &["f, i", "*", "s, host", "f, region, b", "u + i, f"]);
        let group = pick(rng, &["", "", " GROUP BY host", " GROUP BY *"]);
        let order = pick(rng, &["", "", " ORDER BY time DESC"]);
        return format!("SELECT {fields} FROM {source}{condition}{group}{order}");
    }
    let calls = pick(
        rng,
        &[
            "count(f), sum(f), mean(f)",
            "count(i), sum(i), mean(i)",
            "min(f), max(i)",
            "first(f), last(i)",
            "first(s), last(b)",
            "max(u)",
            "last(f)",
            "count(s), count(b)",
            "sum(f) / count(f), max(f) - min(f)",
            "spread(i), stddev(i)",
        ],
    );
    let group = pick(
        rng,
        &[
            "",
            " GROUP BY host",
            " GROUP BY *",
            " GROUP BY time(20s)",
            " GROUP BY time(7s, 3s), region",
            " GROUP BY time(1m), host",
        ],
    );
    let windowed = group.contains("time(");
    // A window over all times would have too many buckets.
    let condition = match (windowed, condition.contains("time")) {
        (true, false) if condition.is_empty() => " WHERE time >= 0s AND time < 2m".to_owned(),
        (true, false) => format!("{condition} AND time >= 0s AND time < 2m"),
        _ => condition,
    };
    let fill = if windowed {
        pick(rng, &["", " fill(none)", " fill(previous)", " fill(0)", " fill(linear)"])
    } else {
        String::new()
    };
    format!("SELECT {calls} FROM {source}{condition}{group}{fill}")
}

/// The order of rows with equal times across series is undefined.
fn sorted(mut answer: Value) -> Value {
    let series = answer.pointer_mut("/results/0/series").and_then(Value::as_array_mut);
    for one in series.into_iter().flatten() {
        if let Some(rows) = one["values"].as_array_mut() {
            rows.chunk_by_mut(|a, b| a[0] == b[0])
                .for_each(|tied| tied.sort_by_key(ToString::to_string));
        }
    }
    answer
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::Number(x), Value::Number(y)) if x.is_f64() || y.is_f64() => {
            let (x, y) = (x.as_f64().unwrap_or_default(), y.as_f64().unwrap_or_default());
            // At most 200 values below 128 are added. The tolerance is 1e-12 of their sum.
            (x - y).abs() <= 1e-12 * 200.0 * 128.0
        }
        _ => a == b,
    }
}

#[test]
fn shard_comparison_detects_differences() {
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert!(same(&value("[1.0, \"a\"]"), &value("[1.0000000000001, \"a\"]")));
    for (a, b) in [("[1.0]", "[1.1]"), ("[1]", "[2]"), ("{\"a\":1}", "{}"), ("[1]", "[1,1]")] {
        assert!(!same(&value(a), &value(b)), "{a} {b}");
    }
    let rows =
        |rows: &str| value(&format!("{{\"results\":[{{\"series\":[{{\"values\":{rows}}}]}}]}}"));
    assert_eq!(
        sorted(rows("[[1,\"b\"],[1,\"a\"],[2,\"c\"]]")),
        rows("[[1,\"a\"],[1,\"b\"],[2,\"c\"]]")
    );
    assert_ne!(sorted(rows("[[2,\"a\"],[1,\"b\"]]")), sorted(rows("[[1,\"b\"],[2,\"a\"]]")));
}
