//! Tests that the choice of `sample()` depends only on series and time (docs/design/query-path.md).
//! The points must be the same for any number of shards, for any other columns, and for any values.

use serde_json::Value;

use crate::product::Product;

const SERIES: usize = 12;
const TIMES: usize = 20;

fn lines(values: impl Fn(usize, usize) -> usize) -> String {
    let mut all = String::new();
    for series in 0..SERIES {
        for time in 0..TIMES {
            let (host, dc) = (series % 4, series / 4);
            let value = values(series, time);
            all.push_str(&format!("m,host=h{host},dc=d{dc} f={value},g={series}i {time}\n"));
        }
    }
    all
}

fn product(shards: &str, values: impl Fn(usize, usize) -> usize) -> Product {
    let mut product = Product::with(&[("DEFAULT_SHARDS", shards)]);
    product.query("", "CREATE DATABASE d");
    product.write("d", &lines(values));
    product
}

fn rows(product: &mut Product, query: &str, columns: usize) -> Vec<String> {
    let answer = product.query("d", query);
    let series = answer.pointer("/results/0/series").and_then(Value::as_array);
    let mut rows = Vec::new();
    for series in series.unwrap_or_else(|| panic!("{query}: {answer}")) {
        for row in series["values"].as_array().expect("rows") {
            let cells: Vec<String> =
                row.as_array().expect("cells").iter().take(columns).map(Value::to_string).collect();
            rows.push(format!("{} {}", series["tags"], cells.join(" ")));
        }
    }
    rows.sort();
    rows
}

#[test]
fn sample_ignores_shard_count() {
    let queries = [
        "SELECT sample(f, 7), host, dc FROM m",
        "SELECT sample(f, 2), host, dc FROM m WHERE time >= 0 AND time < 20 GROUP BY time(5ns)",
        "SELECT sample(f, 2), host FROM m WHERE time >= 0 AND time < 20 GROUP BY time(5ns), dc",
        "SELECT sample(f, 5), host, dc FROM m WHERE host != 'h1' ORDER BY time DESC",
        "SELECT sample(x, 5) FROM (SELECT max(f) AS x FROM m GROUP BY host, dc)",
    ];
    let expected: Vec<_> = {
        let mut one = product("1", |series, _| series);
        queries.iter().map(|query| rows(&mut one, query, 4)).collect()
    };
    for shards in ["2", "7"] {
        let mut several = product(shards, |series, _| series);
        for (query, expected) in queries.iter().zip(&expected) {
            assert!(!expected.is_empty(), "{query}");
            assert_eq!(&rows(&mut several, query, 4), expected, "{shards} shards: {query}");
        }
    }
}

#[test]
fn sample_ignores_columns_and_values() {
    // Each value encodes its series and its time.
    let mut product_one = product("2", |series, time| series * TIMES + time);
    let plain = rows(&mut product_one, "SELECT sample(f, 9) FROM m", 2);
    assert_eq!(plain.len(), 9);
    assert_eq!(rows(&mut product_one, "SELECT sample(f, 9), host FROM m", 2), plain);
    assert_eq!(rows(&mut product_one, "SELECT sample(f, 9), g, dc FROM m", 2), plain);
    // All values are equal, so only the tags identify the points.
    let all = "SELECT sample(f, 9), host, dc FROM m";
    let mut alike = product("2", |_, _| 1);
    let drawn = |rows: Vec<String>| -> Vec<String> {
        let place = |row: &String| {
            let cells: Vec<&str> = row.split(' ').collect();
            format!("{} {:?}", cells[1], &cells[3..])
        };
        rows.iter().map(place).collect()
    };
    assert_eq!(drawn(rows(&mut alike, all, 4)), drawn(rows(&mut product_one, all, 4)));
}
