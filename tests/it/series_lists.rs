//! Tests lists and counts of series and tag values over many pages and many series blocks. A page
//! must read only the blocks that it needs. The lists must equal the lists of a set in memory.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::product::Product;

/// The value is so long that a series block contains only a few dozen such values.
fn long(letter: char, number: u32) -> String {
    format!("{letter}{number:03}{}", "x".repeat(6_000))
}

fn cells(answer: &Value, at: usize) -> Vec<String> {
    let series = answer["results"][0]["series"].as_array().into_iter().flatten();
    let rows = series.flat_map(|series| series["values"].as_array().unwrap());
    rows.map(|row| row[at].as_str().map_or_else(|| row[at].to_string(), str::to_owned)).collect()
}

/// A product, and the set of its series. The first tag that was written determines the order of the
/// series in the parts.
struct Model {
    product: Product,
    series: BTreeSet<(String, String)>,
    times: i64,
}

impl Model {
    fn new(shards: &str, first_tag: &str) -> Self {
        let mut product = Product::with(&[("DEFAULT_SHARDS", shards)]);
        product.query("d", "CREATE DATABASE d");
        product.write("d", &format!("m,{first_tag}=first v=1 0"));
        product.query("d", &format!("DELETE FROM m WHERE {first_tag} = 'first'"));
        Self { product, series: BTreeSet::new(), times: 0 }
    }

    /// Writes points. Flushes them unless `is_last` is set.
    fn write(&mut self, numbers: impl Iterator<Item = u32>, is_last: bool) {
        let mut lines = String::new();
        for number in numbers {
            let (a, b) = (long('a', number * 7 % 90), long('b', number % 40));
            self.times += 1;
            lines += &format!("m,a={a},b={b} v=1 {}\n", self.times);
            self.series.insert((a, b));
        }
        self.product.write("d", &lines);
        if !is_last {
            self.product.rest();
        }
    }

    fn delete(&mut self) {
        self.product.query("d", "DELETE FROM m WHERE b =~ /^b00/");
        self.series.retain(|(_, b)| !b.starts_with("b00"));
    }

    fn asks(&mut self, q: &str, at: usize, expected: &[String]) {
        let found = cells(&self.product.query("d", q), at);
        let shown = |texts: &[String]| -> Vec<String> {
            texts.iter().map(|text| text.replace(&"x".repeat(6_000), "…")).collect()
        };
        assert_eq!(shown(&found), shown(expected), "{q:.80}");
    }

    fn check(&mut self) {
        let keys: Vec<String> = self.series.iter().map(|(a, b)| format!("m,a={a},b={b}")).collect();
        let values = |of: fn(&(String, String)) -> &String| -> Vec<String> {
            let distinct: BTreeSet<&String> = self.series.iter().map(of).collect();
            distinct.into_iter().cloned().collect()
        };
        let (a, b) = (values(|series| &series.0), values(|series| &series.1));
        let count = [self.series.len().to_string()];
        self.asks("SHOW SERIES", 0, &keys);
        self.asks("SHOW SERIES LIMIT 9 OFFSET 30", 0, &keys[30..39]);
        self.asks("SHOW TAG VALUES WITH KEY = a", 1, &a);
        self.asks("SHOW TAG VALUES WITH KEY = b", 1, &b);
        self.asks("SHOW TAG VALUES WITH KEY = b LIMIT 7 OFFSET 20", 1, &b[20..27]);
        self.asks("SHOW TAG VALUES WITH KEY IN (a, b)", 1, &[a.clone(), b.clone()].concat());
        let page = &[&a[a.len() - 1..], &b[..2]].concat();
        let q = format!("SHOW TAG VALUES WITH KEY IN (a, b) LIMIT 3 OFFSET {}", a.len() - 1);
        self.asks(&q, 1, page);
        self.asks("SHOW SERIES CARDINALITY", 0, &count);
        self.asks("SHOW SERIES EXACT CARDINALITY", 0, &count);
        self.asks("SHOW TAG VALUES CARDINALITY WITH KEY = a", 0, &[a.len().to_string()]);
        let one = self.series.iter().nth(40).unwrap().clone();
        let is_one = format!("a = '{}' AND b = '{}'", one.0, one.1);
        self.asks(
            &format!("SHOW SERIES WHERE {is_one}"),
            0,
            &[format!("m,a={},b={}", one.0, one.1)],
        );
        let written =
            cells(&self.product.query("d", &format!("SELECT count(v) FROM m WHERE {is_one}")), 1);
        assert_ne!(written, Vec::<String>::new());
        let either = format!("a = '{}' OR a = '{}'", a[3], a[60]);
        let of_either = |key: &&String| key.contains(&a[3]) || key.contains(&a[60]);
        let of_either: Vec<String> = keys.iter().filter(of_either).cloned().collect();
        self.asks(&format!("SHOW SERIES WHERE {either}"), 0, &of_either);
    }
}

#[test]
fn series_lists_are_complete_and_ordered() {
    for (shards, first_tag) in [("1", "a"), ("1", "b"), ("3", "a")] {
        let mut model = Model::new(shards, first_tag);
        model.write(0..200, false);
        // The statistics of one page determine which blocks the next page skips.
        model.check();
        model.check();
        // After this delete, a page ends at the end of its blocks, even if it is not full.
        model.delete();
        model.check();
        model.write((60..260).step_by(3), false);
        model.write((0..300).step_by(11), true);
        model.check();
        model.product.sleep();
        model.check();
    }
}

#[test]
fn series_pages_skip_dead_blocks() {
    const DAY_S: i64 = 86_400;
    let mut product = Product::with(&[]);
    product.query("d", "CREATE DATABASE d WITH DURATION 8d SHARD DURATION 7d");
    let week = product.now_s() / (7 * DAY_S) * (7 * DAY_S) + 7 * DAY_S;
    product.pass(week + 8 * DAY_S - product.now_s());
    // Half of the series expire. The other series keep their part.
    let (mut lines, mut kept) = (String::new(), Vec::new());
    for number in 0..300 {
        let key = format!("m,a={}", long('a', number));
        let is_kept = number % 2 == 1;
        lines += &format!("{key} v=1 {}\n", if is_kept { week + DAY_S } else { week + 3_600 });
        kept.extend(is_kept.then_some(key));
    }
    product.write("d", &lines);
    product.rest();
    for _ in 0..2 {
        assert_eq!(cells(&product.query("d", "SHOW SERIES"), 0), kept);
        let count = cells(&product.query("d", "SHOW SERIES CARDINALITY"), 0);
        assert_eq!(count, [kept.len().to_string()]);
    }
}
