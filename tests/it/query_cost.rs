//! Uses EXPLAIN ANALYZE to count the reads of queries. The number of reads must not depend on data
//! outside of the query.

use tidemark_engine::store::Store;

use crate::product::Product;

const DAY_S: i64 = 86_400;
const START_S: i64 = 1_600_000_000 - 1_600_000_000 % (7 * DAY_S);

/// Creates a product in which each series has a point every `every_s` seconds for `days` days. All
/// rows are flushed.
fn product(hosts: i64, every_s: i64, days: i64) -> Product {
    let mut product = Product::with(&[]);
    product.query("d", "CREATE DATABASE d");
    for day in 0..days {
        let mut lines = Vec::new();
        for second in (0..DAY_S).step_by(every_s as usize) {
            let time = START_S + day * DAY_S + second;
            lines.extend((0..hosts).map(|host| {
                format!("m,host=h{host} v={}i,w={}i {time}", time % 101, (time + host) % 97)
            }));
        }
        product.write("d", &lines.join("\n"));
    }
    product.rest();
    product
}

fn cost(product: &mut Product, q: &str) -> (u64, u64, u64) {
    let answer = product.query("d", &format!("EXPLAIN ANALYZE {q}"));
    let rows = answer["results"][0]["series"][0]["values"].as_array().unwrap();
    let of = |name: &str| {
        let line = rows.iter().find_map(|row| row[0].as_str().unwrap().split_once(name));
        line.map_or(0, |(_, number)| number.parse::<u64>().unwrap())
    };
    (of("blocks_read: "), of(" rows_read: "), of("bytes_decoded: "))
}

#[test]
fn query_cost_ignores_history_length() {
    for q in [
        "SELECT max(v) FROM m WHERE host = 'h3' AND {hour} GROUP BY time(1m)",
        "SELECT * FROM m WHERE v > 90 AND {hour}",
        "SELECT mean(w) FROM m WHERE {hour} GROUP BY host",
    ] {
        let costs = [7, 70].map(|days| {
            let mut product = product(5, 1_800, days);
            let from = START_S + (days - 1) * DAY_S;
            let hour = format!("time >= {from}s AND time < {}s", from + 3_600);
            cost(&mut product, &q.replace("{hour}", &hour))
        });
        assert!(costs[0].0 > 0, "{q}: {costs:?}");
        assert!(costs[1].0 * 5 <= costs[0].0 * 6, "{q}: {costs:?}");
        assert!(costs[1].1 * 5 <= costs[0].1 * 6, "{q}: {costs:?}");
    }
}

#[test]
fn last_points_read_newest_blocks() {
    let q = "SELECT * FROM m {where} GROUP BY host ORDER BY time DESC LIMIT 1";
    let week = format!("WHERE time >= {}s", START_S + 21 * DAY_S);
    let newest = cost(&mut product(100, 7_200, 28), &q.replace("{where}", &week));
    let all = cost(&mut product(100, 7_200, 28), &q.replace("{where}", ""));
    assert_eq!(all.1, 100, "one row of each series");
    assert!(newest.0 > 0 && all.0 <= newest.0 + 3, "{newest:?} {all:?}: a dictionary per week");
}

/// The last values of all series do not fit in one page.
#[test]
fn many_last_values_read_newest_rows() {
    let (hosts, weeks) = (700, 4);
    let mut product = Product::with(&[]);
    product.query("d", "CREATE DATABASE d");
    for week in 0..weeks {
        let row = |minute: i64, host: i64| {
            let fields: Vec<String> = (0..10).map(|field| format!("f{field}={minute}i")).collect();
            let time = START_S + 7 * DAY_S * week + 60 * minute;
            format!("m,host=h{host} {} {time}", fields.join(","))
        };
        let rows = (0..30).flat_map(|minute| (0..hosts).map(move |host| row(minute, host)));
        product.write("d", &rows.collect::<Vec<_>>().join("\n"));
        product.rest();
    }
    let (_, rows, _) = cost(&mut product, "SELECT last(*) FROM m GROUP BY *");
    let of_week = 30 * hosts as u64;
    assert!(rows < of_week * 3 / 2, "{rows} rows of {of_week} in the last week");
}

#[test]
fn last_points_are_cached() {
    let mut product = product(50, 3_600, 7);
    let q = "SELECT * FROM m GROUP BY host ORDER BY time DESC LIMIT 1";
    let first = product.query("d", q);
    assert_eq!(cost(&mut product, q).0, 0);
    product.write("d", &format!("m,host=h7 w=1i {}", START_S + 30 * DAY_S));
    let second = product.query("d", q);
    let [first, second] = [first, second].map(|a| a["results"][0]["series"].clone());
    let (first, second) = (first.as_array().unwrap(), second.as_array().unwrap());
    let changed = first.iter().zip(second).filter(|(a, b)| a != b).count();
    assert_eq!((first.len(), second.len(), changed), (50, 50, 1));
}

#[test]
fn window_limit_ends_scan() {
    let mut product = product(5, 60, 7);
    let q = "SELECT max(v) FROM m GROUP BY time(1h) ORDER BY time DESC";
    let all = cost(&mut product, q);
    let some = cost(&mut product, &format!("{q} LIMIT 3"));
    assert!(some.1 * 10 < all.1 && some.0 * 4 < all.0, "{some:?} {all:?}");
}

#[test]
fn unmatched_filter_reads_only_filter_columns() {
    let mut product = product(5, 60, 7);
    let all = cost(&mut product, "SELECT * FROM m WHERE v > 0");
    let none = cost(&mut product, "SELECT * FROM m WHERE v > 1000");
    let own = cost(&mut product, "SELECT v FROM m WHERE v > 1000");
    assert_eq!(none, own);
    assert!(none.2 * 2 < all.2, "{none:?} {all:?}");
}

#[test]
fn part_size_is_known_without_reading() {
    let costs = [300, 3_000].map(|series| {
        let mut product = Product::with(&[]);
        product.query("d", "CREATE DATABASE d");
        let mut rng = fastrand::Rng::with_seed(5);
        for first in (0..series).step_by(300) {
            // The keys are long, so that a few points extend over many values.
            let line = |id| {
                let noise: String =
                    std::iter::repeat_with(|| rng.alphanumeric()).take(6_000).collect();
                format!("m,id={id},noise={noise} v={id}i {START_S}")
            };
            product.write("d", &(first..first + 300).map(line).collect::<Vec<_>>().join("\n"));
        }
        product.rest();
        product.sleep();
        let q = "EXPLAIN ANALYZE SELECT v FROM m WHERE id = '7'";
        let answer = product.query("d", q).to_string();
        let (_, rest) = answer.split_once("storage_rows_read: ").unwrap();
        rest.split_once('"').unwrap().0.parse::<u64>().unwrap()
    });
    assert!(costs[1] <= costs[0] + 4, "{costs:?}");
}

#[test]
fn slimit_stops_requests_after_groups() {
    let mut product = product(100, 60, 1);
    for hour in 0..12 {
        let from = START_S + 3_600 * hour + 720;
        let range = format!("time >= {from}s AND time < {}s", from + 3_600);
        let q = format!("SELECT mean(v) FROM m WHERE {range} GROUP BY host SLIMIT 10 SOFFSET 20");
        for _ in 0..2 {
            let asked = |product: &Product| product.object_requests().values().sum::<u64>();
            let before = asked(&product);
            product.query("d", &q);
            let pages = asked(&product) - before;
            assert!(pages <= 3, "{q}: {pages} requests of objects");
        }
    }
}

/// Returns the storage rows that the first query after a restart reads. The data consists of
/// `rounds` weeks of 50 series. Each week fills several storage rows.
fn storage_rows(rounds: i64, queries: &[&str]) -> Vec<u64> {
    let mut product = Product::with(&[]);
    product.query("d", "CREATE DATABASE d");
    let mut rng = fastrand::Rng::with_seed(5);
    for round in 0..rounds {
        for minute in 0..80 {
            let time = START_S + 7 * DAY_S * round + 60 * minute;
            let mut line = |host| {
                let text: String =
                    std::iter::repeat_with(|| rng.alphanumeric()).take(1_000).collect();
                format!("m,host=h{host} v={minute}i,text=\"{text}\" {time}")
            };
            product.write("d", &(0..50).map(&mut line).collect::<Vec<_>>().join("\n"));
        }
    }
    product.rest();
    let mut cold = |q: &&str| {
        product.sleep();
        let read = |product: &Product| -> u64 {
            product.stores().values().map(|store| store.row_counts().read).sum()
        };
        let before = read(&product);
        product.query("d", q);
        read(&product) - before
    };
    queries.iter().map(&mut cold).collect()
}

#[test]
fn uncached_last_reads_newest_blocks() {
    let queries = [
        "SELECT last(*) FROM m GROUP BY *",
        "SELECT first(*) FROM m GROUP BY *",
        "SELECT last(v) FROM m",
        "SELECT first(v) FROM m",
    ];
    let few = storage_rows(1, &queries);
    let many = storage_rows(12, &queries);
    for ((q, few), many) in queries.iter().zip(few).zip(many) {
        assert!(many * 2 <= few * 3, "{q}: {few} and {many} rows of storage");
    }
}

#[test]
fn last_finds_series_that_ended() {
    let mut product = Product::with(&[]);
    product.query("d", "CREATE DATABASE d");
    // The third week has other series. A week has so many rows per series that the scan reads one
    // week after another.
    for week in 0..6 {
        let mut lines = Vec::new();
        for minute in 0..200 {
            let time = START_S + 7 * DAY_S * week + 60 * minute;
            let hosts = if week == 2 { 5..10 } else { 0..5 };
            lines.extend(hosts.map(|host| format!("m,host=h{host} v={week}i {time}")));
        }
        product.write("d", &lines.join("\n"));
        product.rest();
    }
    product.sleep();
    let answer = product.query("d", "SELECT last(v) FROM m GROUP BY *");
    let series = answer["results"][0]["series"].as_array().unwrap();
    let last: Vec<_> = series.iter().map(|one| one["values"][0][1].as_i64().unwrap()).collect();
    assert_eq!(last, [5, 5, 5, 5, 5, 2, 2, 2, 2, 2]);
}
