//! Measures the counts in `docs/COSTS.md`: requests to objects and SQLite rows. The platform bills
//! both.

use tidemark_engine::protocol::call::Address;
use tidemark_engine::store::Store;

use crate::product::{Product, TOKEN};
use crate::tokens;

/// The number of requests to each kind of object, and the number of rows that Shards write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bill {
    catalog: u64,
    databases: u64,
    shards: u64,
    rows_written: u64,
}

impl Bill {
    fn so_far(product: &Product) -> Self {
        let sum = |of: fn(&Address) -> bool| {
            product.object_requests().iter().filter(|(at, _)| of(at)).map(|(_, n)| n).sum()
        };
        let shards = product.stores().into_iter();
        let shards = shards.filter(|(address, _)| matches!(address, Address::Shard(_)));
        Self {
            catalog: sum(|at| matches!(at, Address::Catalog)),
            databases: sum(|at| matches!(at, Address::Database(_))),
            shards: sum(|at| matches!(at, Address::Shard(_))),
            rows_written: shards.map(|(_, store)| store.row_counts().written).sum(),
        }
    }
}

fn bill(product: &mut Product, work: impl FnOnce(&mut Product)) -> Bill {
    let before = Bill::so_far(product);
    work(product);
    let after = Bill::so_far(product);
    Bill {
        catalog: after.catalog - before.catalog,
        databases: after.databases - before.databases,
        shards: after.shards - before.shards,
        rows_written: after.rows_written - before.rows_written,
    }
}

fn product() -> Product {
    let mut product = Product::with(&[]);
    product.query("d", "CREATE DATABASE d");
    product.write("d", &lines(0, 10));
    product.query("d", "SELECT last(v) FROM m");
    product
}

fn lines(first: usize, count: usize) -> String {
    let line = |n: usize| format!("m,host=h{} v={}i {}", n % 10, n % 97, 1_700_000_000 + n);
    (first..first + count).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn write_costs_one_request_and_row() {
    for points in [1, 100, 10_000] {
        let mut product = product();
        let bill = bill(&mut product, |product| product.write("d", &lines(10, points)));
        let expected = Bill { catalog: 0, databases: 0, shards: 1, rows_written: 1 };
        assert_eq!(bill, expected, "{points} points");
    }
}

#[test]
fn query_costs_one_object_request() {
    let mut product = product();
    let bill = bill(&mut product, |product| {
        product.query("d", "SELECT max(v) FROM m WHERE time >= 1700000000s GROUP BY host");
    });
    assert_eq!(bill, Bill { catalog: 0, databases: 0, shards: 1, rows_written: 0 });
}

#[test]
fn multi_measurement_query_makes_few_calls() {
    let mut product = product();
    let line = |n: usize| format!("m{n:03},host=a v={n}i {}", 1_700_000_000 + n);
    product.write("d", &(0..600).map(line).collect::<Vec<_>>().join("\n"));
    let mut found = serde_json::Value::Null;
    let bill = bill(&mut product, |product| {
        found = product.query("d", "SELECT v FROM /m\\d+/ LIMIT 1");
    });
    let series = found["results"][0]["series"].as_array().unwrap();
    assert_eq!(series.len(), 600);
    let is_its_own = |(n, series): (usize, &serde_json::Value)| series["values"][0][1] == n;
    assert!(series.iter().enumerate().all(is_its_own), "{found}");
    assert!(bill.shards <= 8, "{bill:?}");
}

/// The agent flushes every ten seconds.
fn an_hour_of_an_agent(product: &mut Product, authorization: &str) -> Bill {
    const FLUSHES: usize = 3_600 / 10;
    bill(product, |product| {
        for flush in 0..FLUSHES {
            let (target, body) = ("/api/v2/write?bucket=d&precision=s", lines(10 + flush * 30, 30));
            // Each request moves the clock by one second.
            let response = product.send("POST", target, &[("authorization", authorization)], body);
            assert_eq!(response.status, 204);
            product.wait(9);
        }
    })
}

#[test]
fn admin_agent_calls_only_its_shard() {
    let mut product = product();
    let bill = an_hour_of_an_agent(&mut product, &format!("Token {TOKEN}"));
    assert_eq!((bill.catalog, bill.databases, bill.shards), (0, 0, 360));
    // Each flush writes one row, and may write one more row to delete the log's rows.
    assert!((360..=720).contains(&bill.rows_written), "{bill:?}");
}

#[test]
fn token_agent_calls_mostly_its_shard() {
    let mut product = product();
    let token = tokens::token(&mut product, "agent", &["d"], &["write"], None);
    let bill = an_hour_of_an_agent(&mut product, &format!("Token {token}"));
    // Once an hour, the edge sends a report to the Catalog after a response.
    assert_eq!((bill.catalog, bill.databases, bill.shards), (1, 1, 360));
    assert!((360..=720).contains(&bill.rows_written), "{bill:?}");
}

/// Returns the rows of `SHOW STATS ON d FOR 'usage'` without the column of days.
fn usage(product: &mut Product) -> Vec<[u64; 4]> {
    let answer = product.query("d", "SHOW STATS ON d FOR 'usage'");
    let rows = answer["results"][0]["series"][0]["values"].as_array().unwrap().clone();
    rows.iter().map(|row| [1, 2, 3, 4].map(|at| row[at].as_u64().unwrap())).collect()
}

/// Returns requests, rows read and rows written.
fn counted(product: &Product) -> [u64; 3] {
    let is_own = |at: &Address| !matches!(at, Address::Catalog);
    let requests = product.object_requests().iter().filter(|(at, _)| is_own(at));
    let stores = product.stores();
    let counts = stores.iter().filter(|(at, _)| is_own(at)).map(|(_, store)| store.row_counts());
    let rows =
        counts.fold([0, 0], |[read, written], count| [read + count.read, written + count.written]);
    [requests.map(|(_, n)| n).sum(), rows[0], rows[1]]
}

#[test]
fn usage_by_day_writes_no_rows() {
    let mut product = product();
    // The clock begins two hours before midnight.
    product.pass(2 * 3_600);
    product.write("d", "m,host=h v=1i 1700000000");
    let before = counted(&product);
    an_hour_of_an_agent(&mut product, &format!("Token {TOKEN}"));
    let after = counted(&product);
    let days = usage(&mut product);
    let [requests, read, written] = [0, 1, 2].map(|at| after[at] - before[at]);
    let [own_requests, own_read, own_written, seconds] = days[1];
    // The day also includes the first write, the alarms, and the statement itself.
    assert!((requests..requests + 10).contains(&own_requests), "{own_requests} of {requests}");
    assert!((read..read + 20).contains(&own_read), "{own_read} of {read}");
    assert_eq!((days.len(), own_written), (2, written + 1));
    assert_eq!(seconds, (own_requests * 50).div_ceil(1_000));
    product.rest();
    let first = usage(&mut product)[1];
    product.pass(86_400);
    product.write("d", "m,host=h v=1i 1700000001");
    product.sleep();
    product.write("d", "m,host=h v=1i 1700000002");
    let days = usage(&mut product);
    assert_eq!((days.len(), days[1][2]), (3, first[2]), "{days:?}");
    assert!((2..20).contains(&days[2][0]) && (2..20).contains(&days[2][2]), "{days:?}");
    let (status, metrics) = product.ask("GET", "/metrics", "db=d", &[], "");
    assert_eq!(status, 200);
    let of_day = |day| format!("tidemark_usage_rows_written{{database=\"d\",day=\"{day}\"}}");
    assert!(metrics.contains(&format!("{} {}\n", of_day("today"), days[2][2])), "{metrics}");
    assert!(metrics.contains(&format!("{} {}\n", of_day("yesterday"), first[2])), "{metrics}");
    product.pass(10 * 86_400);
    let days = usage(&mut product);
    assert_eq!((days.len(), days[0][2]), (8, 0), "{days:?}");
}

#[test]
fn object_time_estimate_matches_table() {
    let costs: serde_json::Value =
        serde_json::from_str(&crate::repository::text("docs/costs.json")).unwrap();
    assert_eq!(costs["assumed"]["active_ms"]["most"], 50);
}
