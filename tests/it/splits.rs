//! Tests splits of shard groups. Imports in every order are several times as large as the maximum
//! size of a group. Also tests what remains of a group after retention has dropped it.

use fastrand::Rng;
use serde_json::Value;

use crate::product::Product;

const CAP: &str = "40000";
/// Each point takes about 20 stored bytes.
const POINTS: i64 = 9_000;
const BATCH: usize = 300;
/// 2100-01-01, in seconds.
const FAR_S: i64 = 4_102_444_800;

/// Most lines are within 90 days, and some are in the year 2100.
fn lines(rng: &mut Rng) -> Vec<String> {
    let line = |number: i64| {
        let time_s = match number % 100 {
            99 => FAR_S + number,
            _ => 1_600_000_000 + number * 864,
        };
        let (host, value) = (number % 7, rng.f64());
        format!("m,host=h{host} f={value},i={number}i,s=\"text {number}\" {time_s}")
    };
    (0..POINTS).map(line).collect()
}

/// Repeats a write if a split or a full shard rejects it.
fn import(product: &mut Product, lines: &[String]) -> u32 {
    let mut refused = 0;
    for batch in lines.chunks(BATCH) {
        loop {
            let response = product.post("/write?db=d&precision=s", &batch.join("\n"));
            match response.status {
                204 => break,
                503 => refused += 1,
                status => panic!("{status}: {}", String::from_utf8_lossy(&response.body)),
            }
            assert!(refused < 1_000, "the import does not come to an end");
        }
    }
    refused
}

const QUESTIONS: [&str; 9] = [
    "SELECT count(f), count(s), sum(i), min(i), max(i) FROM m",
    "SELECT count(f), first(s), last(s) FROM m GROUP BY host",
    "SELECT mean(i) FROM m WHERE time >= 1600000000s AND time < 1608000000s GROUP BY time(7d)",
    "SELECT i, s FROM m WHERE host = 'h3' ORDER BY time DESC LIMIT 50",
    "SELECT i FROM m WHERE time > 4102444800s",
    "SELECT difference(i) FROM m WHERE host = 'h1' LIMIT 700",
    "SELECT percentile(i, 90), median(i) FROM m",
    "SHOW TAG VALUES FROM m WITH KEY = host",
    "SHOW SERIES",
];

fn answers(product: &mut Product) -> Vec<Value> {
    QUESTIONS.iter().map(|question| product.query("d", question)).collect()
}

/// The split of the old group does not delay points that are after the group's new end.
#[test]
fn delete_after_split_covers_every_group() {
    let mut rng = Rng::with_seed(8);
    let mut product = Product::with(&[("SHARD_SPLIT_BYTES", CAP)]);
    product.query("", "CREATE DATABASE d");
    import(&mut product, &lines(&mut rng));
    product.rest();
    let groups = product.query("", "SHOW SHARD GROUPS");
    let groups = groups.pointer("/results/0/series/0/values").and_then(Value::as_array);
    assert!(groups.is_some_and(|groups| groups.len() > 1), "{groups:?}");
    for q in ["DELETE FROM m WHERE host = 'h3'", "DROP SERIES FROM m WHERE host = 'h4'"] {
        assert_eq!(product.query("d", q), serde_json::json!({"results": [{"statement_id": 0}]}));
    }
    let left = product.query("d", "SHOW TAG VALUES FROM m WITH KEY = host");
    let left = left.pointer("/results/0/series/0/values").unwrap();
    let expected = ["h0", "h1", "h2", "h5", "h6"].map(|host| ["host", host]);
    assert_eq!(left, &serde_json::json!(expected));
}

#[test]
fn large_import_splits_without_loss() {
    let mut rng = Rng::with_seed(7);
    let mut ascending = lines(&mut rng);
    ascending.sort_by_key(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap());
    let mut unsplit = Product::with(&[]);
    unsplit.query("", "CREATE DATABASE d");
    import(&mut unsplit, &ascending);
    let expected = answers(&mut unsplit);
    let count = expected[0].pointer("/results/0/series/0/values/0/1").and_then(Value::as_i64);
    assert_eq!(count, Some(POINTS));
    unsplit.rest();
    let all: u64 = unsplit.shard_bytes().iter().sum();
    let cap: u64 = CAP.parse().unwrap();
    assert!(all > 3 * cap, "only {all} bytes");

    let descending = ascending.iter().rev().cloned().collect::<Vec<_>>();
    let mut random = ascending.clone();
    rng.shuffle(&mut random);
    for (order, lines) in [("ascending", ascending), ("descending", descending), ("random", random)]
    {
        for shards in ["1", "3"] {
            let settings = [("SHARD_SPLIT_BYTES", CAP), ("DEFAULT_SHARDS", shards)];
            let mut product = Product::with(&settings);
            product.query("", "CREATE DATABASE d");
            let refused = import(&mut product, &lines);
            let found = answers(&mut product);
            for ((question, found), expected) in QUESTIONS.iter().zip(&found).zip(&expected) {
                assert_eq!(found, expected, "{order}, {shards}: {question}");
            }
            product.rest();
            product.sleep();
            assert_eq!(answers(&mut product), expected, "{order}, {shards}, after a rest");
            let bytes = product.shard_bytes();
            println!("{order}, {shards} shard(s): {refused} refused, shards of {bytes:?} bytes");
            assert!(bytes.len() >= 3, "{order}: {bytes:?}");
            let most = bytes.iter().max().copied().unwrap_or_default();
            assert!(most < cap * 3 / 2, "{order}, {shards}: {bytes:?}");
        }
    }
}

#[test]
fn expired_groups_free_their_storage() {
    let mut product = Product::with(&[("SHARD_SPLIT_BYTES", CAP)]);
    let (status, text) =
        product.configure("POST", "{\"db\":\"d\",\"retention_period\":\"2d\",\"shards\":2}");
    assert_eq!(status, 200, "{text}");
    let mut rng = Rng::with_seed(3);
    let mut written = 0;
    for _ in 0..72 {
        let now_s = product.now_s();
        let line = |number| {
            let text = format!("{} {} {number}", rng.u64(..), rng.u64(..));
            format!("m,host=h{} f={},s=\"{text}\" {}", number % 7, rng.f64(), now_s - number)
        };
        let lines: Vec<String> = (0..150).map(line).collect();
        written += lines.len();
        product.write("d", &lines.join("\n"));
        product.pass_hours(1);
    }
    let used = |product: &Product| product.shard_bytes().iter().filter(|&&b| b > 0).count();
    assert!(written > 10_000 && product.shard_bytes().len() > 8, "{:?}", product.shard_bytes());
    let before = used(&product);
    product.pass_hours(24 * 5);
    println!("{before} shards in use of {}", product.shard_bytes().len());
    // The last group remains, but it has no points. All other groups have no tables.
    assert_eq!(used(&product), 2, "{:?}", product.shard_bytes());
    assert!(product.shard_bytes().iter().sum::<u64>() < 10_000);
    let nothing = serde_json::json!({ "results": [{ "statement_id": 0 }] });
    assert_eq!(product.query("d", "SELECT count(f) FROM m"), nothing);
    let now_s = product.now_s();
    product.write("d", &format!("m f=1 {now_s}\nm f=2 {}", now_s - 100_000));
    let count = product.query("d", "SELECT count(f) FROM m");
    assert_eq!(count.pointer("/results/0/series/0/values/0/1"), Some(&2.into()));
}

#[test]
fn changed_shard_count_applies_to_next() {
    let mut product = Product::with(&[]);
    product.query("", "CREATE DATABASE d");
    let now_s = product.now_s();
    let line = |time_s: i64| format!("m,host=h{} i={time_s}i {time_s}", time_s % 50);
    // The split must move the points of the next hour and of the year 2100.
    let before: Vec<String> =
        (0..200).map(|n| line(now_s - 4_000 + 40 * n)).chain([line(FAR_S)]).collect();
    product.write("d", &before.join("\n"));
    assert_eq!(product.shard_bytes().len(), 1);
    let body = "{\"db\":\"d\",\"shards\":4}";
    assert_eq!(product.configure("PUT", body), (200, "{\"db\":\"d\"}\n".to_owned()));
    assert_eq!(product.shard_bytes().len(), 5);
    assert_eq!(product.configure("PUT", body).0, 200, "a repeat");
    assert_eq!(product.shard_bytes().len(), 5, "changes nothing");
    let after: Vec<String> = (0..200).map(|n| line(now_s - 3_990 + 40 * n)).collect();
    product.write("d", &after.join("\n"));
    for rested in [false, true] {
        let count = product.query("d", "SELECT count(i), sum(i) FROM m");
        let sum: i64 = (0..200).map(|n| 2 * (now_s - 4_000 + 40 * n) + 10).sum::<i64>() + FAR_S;
        let row = count.pointer("/results/0/series/0/values/0").unwrap();
        assert_eq!(row, &serde_json::json!([0, 401, sum]), "rested: {rested}");
        product.rest();
    }
    let (low, high) = product.shard_bytes().split_first().map(|(a, b)| (*a, b.to_vec())).unwrap();
    assert!(low > 0 && high.iter().all(|&bytes| bytes > 300), "{low} {high:?}");
}
