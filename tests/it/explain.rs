//! EXPLAIN ANALYZE: what pages cost, counted where they are made.

use crate::product::Product;

/// The lines of the answer, without those that name a time.
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
fn the_tree_has_1x_shape_and_this_engines_counters() {
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
fn a_plan_reads_nothing_and_counts_files_and_blocks() {
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
