//! Tests the costs that EXPLAIN ANALYZE reports for pages.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use cpu_time::ThreadTime;
use tidemark_engine::protocol::call::Address;

use crate::product::Product;

/// Returns the lines of the result that contain no time.
fn lines(product: &mut Product, q: &str) -> Vec<String> {
    let answer = product.query("d", q);
    let rows = answer["results"][0]["series"][0]["values"].as_array().unwrap();
    let lines = rows.iter().map(|row| row[0].as_str().unwrap().to_owned());
    lines.filter(|line| !line.contains("_time: ")).collect()
}

fn number(lines: &[String], name: &str) -> u64 {
    let line = lines.iter().find_map(|line| line.split_once(name)).unwrap();
    line.1.trim_start_matches(": ").parse().unwrap()
}

fn product() -> Product {
    let mut product = Product::with(&[]);
    product.query("d", "CREATE DATABASE d");
    for week in 0..3 {
        let lines: Vec<String> =
            (0..100).map(|n| format!("m,host=h{} v={n} {}", n % 4, week * 604_800 + n)).collect();
        product.write("d", &lines.join("\n"));
        product.rest();
    }
    product
}

#[test]
fn explain_analyze_tree_matches_influxdb_1() {
    let mut product = product();
    let q = "EXPLAIN ANALYZE SELECT mean(v) FROM m WHERE time < 700000s";
    let tree = lines(&mut product, q);
    let shape: Vec<&str> =
        tree.iter().map(|line| line.trim_end_matches(|c: char| c.is_ascii_digit())).collect();
    assert_eq!(
        shape,
        [
            ".",
            "└── select",
            "    └── build_cursor",
            "        ├── labels",
            "        │   └── statement: SELECT mean(v) FROM m WHERE time < 700000s",
            "        └── iterator_scanner",
            "            ├── labels",
            "            │   └── expr: mean(v::float)",
            "            └── create_iterator",
            "                ├── labels",
            "                │   ├── measurement: m",
            "                │   └── shard_id: ",
            "                ├── series: ",
            "                ├── cached_values: ",
            "                ├── blocks_pruned: ",
            "                ├── blocks_read: ",
            "                ├── bytes_decoded: ",
            "                ├── rows_read: ",
            "                └── storage_rows_read: ",
            "",
        ]
    );
    assert_eq!(number(&tree, "series"), 4);
    assert_eq!(number(&tree, "rows_read"), 200);
    assert_eq!(number(&tree, "blocks_pruned"), 1, "the third week");
    assert!(number(&tree, "bytes_decoded") > 0, "{tree:?}");
}

#[test]
fn explain_counts_files_without_reading() {
    let mut product = product();
    let plan = lines(&mut product, "EXPLAIN SELECT v FROM m WHERE host = 'h1' AND time < 700000s");
    assert_eq!(
        plan[..4],
        [
            "EXPRESSION: <nil>",
            "AUXILIARY FIELDS: v::float",
            "NUMBER OF SHARDS: 1",
            "NUMBER OF SERIES: 1",
        ]
    );
    assert_eq!(number(&plan, "FILES"), 2);
    assert_eq!(number(&plan, "NUMBER OF BLOCKS"), 2);
    assert!(number(&plan, "SIZE OF BLOCKS") > 100, "{plan:?}");
}

#[test]
fn explain_of_many_calls_takes_linear_time() {
    let mut product = Product::with(&[]);
    product.query("d", "CREATE DATABASE d");
    let fields: Vec<String> = (0..1_000).map(|field| format!("f{field}=1")).collect();
    for n in 0..60 {
        product.write("d", &format!("m{n} {} 1", fields.join(",")));
    }
    let explain = "EXPLAIN SELECT mean(*),max(*),min(*),sum(*),count(*) FROM";
    let error = product.query("d", &format!("{explain} /.*/")).to_string();
    assert!(
        error.contains("more than 300000 columns, dimensions, conditions and calls"),
        "{error}"
    );
    let started = ThreadTime::now();
    let pauses = product.count_pauses();
    let plan = lines(&mut product, &format!("{explain} /^m1/"));
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(plan.iter().filter(|line| line.starts_with("EXPRESSION: ")).count(), 5_000);
    assert!(plan.contains(&"EXPRESSION: mean(f999::float)".to_owned()));
    assert!(pauses.get() / 2 >= 5, "{} pauses", pauses.get() / 2);
    assert_eq!(number(&plan, "NUMBER OF SERIES"), 11);
    let plan = lines(&mut product, "EXPLAIN SELECT mean(*) FROM /.*/");
    assert_eq!(number(&plan, "NUMBER OF SERIES"), 60);
}

/// A round requests the plans of 32 shards at most.
#[test]
fn plans_of_many_shards_arrive_in_rounds() {
    let mut product = Product::with(&[("SERIES_PER_QUERY_MAX", "1")]);
    product.query("", "CREATE DATABASE d WITH DURATION INF");
    let points: String = (0..70).map(|n| format!("m{n},host=a v=1 1\n")).collect();
    product.write("d", &points);
    let plan = lines(&mut product, "EXPLAIN SELECT v FROM /m.*/");
    assert_eq!(number(&plan, "NUMBER OF SERIES"), 70);
    let rows = product.query("d", "SELECT v FROM /m.*/");
    assert_eq!(rows["results"][0]["series"].as_array().map(Vec::len), Some(70), "{rows}");
    product.write("d", "m69,host=b v=1 1");
    let refused = product.query("d", "SELECT v FROM /m.*/").to_string();
    assert!(refused.contains("max-select-series"), "{refused}");
}

/// Creates rows of a hundred hosts. In groups, the tag `area` precedes the tag `host`, but in
/// series keys it follows, so the two orders differ.
fn many_rows(shards: &str, rows: usize) -> Product {
    let mut product = Product::with(&[("DEFAULT_SHARDS", shards)]);
    product.query("d", "CREATE DATABASE d");
    for first in (0..rows).step_by(5_000) {
        let line = |n: usize| {
            let (host, second) = (n % 100, n / 100);
            let fields = ["a", "b", "c", "d", "e"].map(|field| format!("{field}={}.5", n % 97));
            format!("m,host=h{host},area={} {} {second}", host % 10, fields.join(","))
        };
        product.write("d", &(first..first + 5_000).map(line).collect::<Vec<_>>().join("\n"));
    }
    product.rest();
    product
}

#[test]
fn long_query_reads_rows_once() {
    let rows = 300_000;
    for shards in ["1", "8"] {
        let mut product = many_rows(shards, rows);
        for (q, most) in [
            ("SELECT * FROM m", 1.6),
            ("SELECT * FROM m GROUP BY *", 1.4),
            ("SELECT * FROM m GROUP BY * ORDER BY time DESC", 1.4),
            ("SELECT a, b, c, d, e FROM m GROUP BY area", 1.2),
            ("SELECT mean(a) FROM m WHERE time < 3000s GROUP BY time(1m), area", 1.0),
        ] {
            if q.starts_with("SELECT *") {
                let answer = product.query("d", q);
                let series = answer["results"][0]["series"].as_array().unwrap();
                let values = series.iter().map(|series| series["values"].as_array().unwrap());
                assert_eq!(values.map(Vec::len).sum::<usize>(), rows, "{q} on {shards} shards");
            }
            let tree = lines(&mut product, &format!("EXPLAIN ANALYZE {q}"));
            let of_shards = tree.iter().filter_map(|line| line.split_once("─ rows_read: "));
            let read: usize = of_shards.map(|(_, read)| read.parse::<usize>().unwrap()).sum();
            let times = read as f64 / rows as f64;
            assert!((1.0..=most).contains(&times), "{q} on {shards} shards: read {times} times");
        }
    }
}

#[test]
fn explain_of_many_groups_bounds_stack() {
    let mut product = Product::with(&[]);
    product.query("d", "CREATE DATABASE d");
    for first in (0..50_000).step_by(5_000) {
        let line = |n: usize| format!("m,host=h{n} v={n} {n}");
        product.write("d", &(first..first + 5_000).map(line).collect::<Vec<_>>().join("\n"));
    }
    let tree = lines(&mut product, "EXPLAIN ANALYZE SELECT v FROM m GROUP BY host");
    assert!((50_000..60_000).contains(&number(&tree, "─ rows_read")), "{tree:?}");
}

#[test]
fn explain_counts_series_in_pages() {
    let mut product = Product::with(&[("DEFAULT_SHARDS", "1")]);
    product.query("d", "CREATE DATABASE d");
    for first in (0..24_000).step_by(4_000) {
        let line = |n: usize| format!("m,host=h{n} v={n} {n}");
        product.write("d", &(first..first + 4_000).map(line).collect::<Vec<_>>().join("\n"));
    }
    let calls = Rc::new(Cell::new(0));
    let counter = Rc::clone(&calls);
    product.watch_calls(Box::new(move |to| {
        counter.set(counter.get() + u32::from(matches!(to, Address::Shard(_))));
    }));
    for (condition, series) in [("", 24_000), (" WHERE host =~ /9999$/", 2)] {
        calls.set(0);
        let plan = lines(&mut product, &format!("EXPLAIN SELECT v FROM m{condition}"));
        assert_eq!(number(&plan, "NUMBER OF SERIES"), series, "{plan:?}");
        assert_eq!(number(&plan, "CACHED VALUES"), 24_000, "{plan:?}");
        assert_eq!(calls.get() / 2, 2, "pages with{condition}");
    }
}
