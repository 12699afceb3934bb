//! Tests SELECT INTO with more data than a single message can contain.

use serde_json::json;

use crate::product::Product;

/// Every batch except the first uses a plan that was created before the first batch created its
/// columns.
#[test]
fn select_into_copies_every_row() {
    let mut product = Product::with(&[("DEFAULT_SHARDS", "3")]);
    product.query("", "CREATE DATABASE db WITH DURATION INF");
    let text = "x".repeat(1_000);
    for part in 0..8 {
        let line = |i: i32| format!("m,host=h{} s=\"{text}\",i={i}i {i}\n", i % 5);
        let lines: String = (part * 3_000..(part + 1) * 3_000).map(line).collect();
        product.write("db", &lines);
    }
    let answer = product.query("db", "SELECT s, i INTO copy FROM m GROUP BY *");
    let written = json!({
        "name": "result", "columns": ["time", "written"], "values": [[0, 24_000]]
    });
    assert_eq!(answer["results"][0]["series"], json!([written]), "{answer}");
    let count = product.query("db", "SELECT count(s), sum(i) FROM copy GROUP BY host");
    let sum = |host: i64| (0..4_800).map(|n| n * 5 + host).sum::<i64>();
    for (host, series) in (0..5).zip(count["results"][0]["series"].as_array().unwrap()) {
        assert_eq!(series["tags"]["host"], format!("h{host}"));
        assert_eq!(series["values"], json!([[0, 4_800, sum(host)]]));
    }
}
