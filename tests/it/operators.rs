//! Tests the data for operators: counters, sizes, versions, reported problems and checksums.

use serde_json::{Value, json};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::store::{Store, Table};

use crate::product::Product;

fn product() -> Product {
    Product::with(&[("LOG_REQUESTS", "none")])
}

fn one(product: &mut Product, q: &str) -> Value {
    let answer = product.query("", q);
    let series = &answer["results"][0]["series"];
    assert_eq!(series.as_array().map(Vec::len), Some(1), "{q}: {answer}");
    series[0].clone()
}

fn stat(product: &mut Product, module: &str, column: &str) -> u64 {
    let series = one(product, &format!("SHOW STATS FOR '{module}'"));
    let columns = series["columns"].as_array().unwrap();
    let at = columns.iter().position(|name| name == column).expect(column);
    series["values"][0][at].as_u64().unwrap()
}

#[test]
fn show_shards_matches_influxdb_1() {
    let mut product = product();
    product.query("", "CREATE DATABASE a WITH DURATION 30d NAME p");
    product.query("", "CREATE DATABASE b");
    let columns = json!([
        "id",
        "database",
        "retention_policy",
        "shard_group",
        "start_time",
        "end_time",
        "expiry_time",
        "owners"
    ]);
    let empty = |name: &str| json!({ "name": name, "columns": columns });
    let shown = product.query("", "SHOW SHARDS");
    // The first point creates a shard group, as in 1.x.
    assert_eq!(shown["results"][0]["series"], json!([empty("a"), empty("b")]));
    product.write("b", "m v=1 0");
    let row = json!([
        1,
        "b",
        "autogen",
        1,
        "1677-09-21T00:12:43.145224194Z",
        "2262-04-11T23:47:16Z",
        "2262-04-11T23:47:16Z",
        ""
    ]);
    let shown = product.query("", "SHOW SHARDS");
    let full = json!({ "name": "b", "columns": columns, "values": [row] });
    assert_eq!(shown["results"][0]["series"], json!([empty("a"), full]));
    assert_eq!(
        one(&mut product, "SHOW SHARD GROUPS"),
        json!({
            "name": "shard groups",
            "columns": ["id", "database", "retention_policy", "start_time", "end_time",
                        "expiry_time"],
            "values": [[1, "b", "autogen", "1677-09-21T00:12:43.145224194Z",
                        "2262-04-11T23:47:16Z", "2262-04-11T23:47:16Z"]],
        })
    );
}

#[test]
fn billing_counters_survive_eviction() {
    let mut product = product();
    product.query("", "CREATE DATABASE a");
    for n in 0..10 {
        product.write("a", &format!("m,host=a v={n} {n}\nm,host=b v={n} {n}"));
    }
    let before = ["writePointsOk", "writeReqOk", "rowsWritten", "rowsRead"]
        .map(|column| stat(&mut product, "shard", column));
    assert_eq!(before[..2], [20, 10]);
    assert!(before[2] >= 10, "each write is a row: {before:?}");
    // After a restart, rows that are only in the log are counted again.
    product.sleep();
    let slept = ["writePointsOk", "writeReqOk", "rowsWritten"]
        .map(|column| stat(&mut product, "shard", column));
    assert_eq!(slept[..2], [20, 10]);
    assert!(slept[2] >= before[2], "{before:?} then {slept:?}");
    product.rest();
    product.sleep();
    let after = ["writePointsOk", "writeReqOk", "rowsWritten", "rowsRead"]
        .map(|column| stat(&mut product, "shard", column));
    assert_eq!(after[..2], [20, 10]);
    assert!(after[2] > before[2] && after[3] >= before[3], "{before:?} then {after:?}");
    assert_eq!(stat(&mut product, "shard", "flushes"), 1);
    assert_eq!(stat(&mut product, "database", "numMeasurements"), 1);
    let billed = stat(&mut product, "database", "rowsWritten");
    assert!(billed > 0);
    product.sleep();
    assert_eq!(stat(&mut product, "database", "rowsWritten"), billed);
    assert_eq!(product.query("", "SHOW STATS FOR 'nothing'")["results"][0]["series"], Value::Null);
}

#[test]
fn show_stats_on_reports_one_database() {
    let mut product = product();
    for name in ["a", "b b", "c"] {
        product.query("", &format!("CREATE DATABASE \"{name}\""));
        product.write(&name.replace(' ', "%20"), "m v=1 0");
    }
    let all = product.query("", "SHOW STATS");
    let all = all["results"][0]["series"].as_array().unwrap().clone();
    let of_one: Vec<&Value> =
        all.iter().filter(|series| series["tags"]["database"] == "b b").collect();
    assert_eq!((all.len(), of_one.len()), (9, 3), "the database's object, a shard, their usage");
    let shown = product.query("", "SHOW STATS ON \"b b\"");
    let shown = shown["results"][0]["series"].as_array().unwrap();
    assert_eq!(shown.len(), of_one.len());
    for (one, among_all) in shown.iter().zip(of_one) {
        for key in ["name", "tags", "columns"] {
            assert_eq!(one[key], among_all[key]);
        }
    }
    one(&mut product, "SHOW STATS ON \"b b\" FOR 'shard'");
    let absent = product.query("", "SHOW STATS ON nope");
    assert_eq!(absent["results"][0]["error"], "database not found: nope");
}

#[test]
fn diagnostics_name_versions_and_sizes() {
    let mut product = product();
    product.query("", "CREATE DATABASE a");
    product.query("", "CREATE RETENTION POLICY p ON a DURATION 1d REPLICATION 1");
    let build = one(&mut product, "SHOW DIAGNOSTICS FOR 'build'");
    assert_eq!(build["values"], json!([["", "", "", env!("CARGO_PKG_VERSION")]]));
    // InfluxData.Net reads these columns, and parses both times.
    let network = one(&mut product, "SHOW DIAGNOSTICS FOR 'network'");
    assert_eq!([&network["columns"], &network["values"]], [&json!(["hostname"]), &json!([[""]])]);
    let runtime = one(&mut product, "SHOW DIAGNOSTICS FOR 'runtime'");
    assert_eq!(runtime["columns"], json!(["GOARCH", "GOMAXPROCS", "GOOS", "version"]));
    assert_eq!(runtime["values"], json!([["", 0, "", ""]]));
    let system = one(&mut product, "SHOW DIAGNOSTICS FOR 'system'");
    assert_eq!(system["columns"], json!(["PID", "currentTime", "started", "uptime"]));
    let row = &system["values"][0];
    assert_eq!(
        [&row[0], &row[2], &row[3]],
        [&json!(0), &json!("1970-01-01T00:00:00Z"), &json!("")]
    );
    assert!(row[1].as_str().unwrap().starts_with("2023-11-14T22:"), "{row}");
    let databases = one(&mut product, "SHOW DIAGNOSTICS FOR 'databases'");
    let columns = ["database", "diskBytes", "generation", "groups", "policies", "shards"];
    assert_eq!(databases["columns"], json!(columns));
    let row = &databases["values"][0];
    assert_eq!(
        [&row[0], &row[3], &row[4], &row[5]],
        [&json!("a"), &json!(2), &json!(2), &json!(2)]
    );
    assert!(row[1].as_u64().unwrap() > 0);
    let jobs = one(&mut product, "SHOW DIAGNOSTICS FOR 'jobs'");
    assert_eq!(jobs["values"], Value::Null, "nothing is set aside");
}

/// Returns the highest number of any row in the table `value`. In the head of such a row, the
/// number follows the version.
fn last_value(product: &Product) -> u64 {
    let stores = product.stores();
    let open = stores.values().filter(|store| store.is_open().unwrap());
    let heads =
        open.flat_map(|store| store.heads(Table::Value, 0..=u64::MAX >> 11, u32::MAX).unwrap());
    let numbers = heads.map(|(_, head)| u64::from_le_bytes(head[1..9].try_into().unwrap()));
    numbers.max().unwrap()
}

#[test]
fn verification_reads_everything_in_pages() {
    let mut product = product();
    product.query("", "CREATE DATABASE a");
    product.write("a", "m,host=a v=1,s=\"x\" 0\nn v=2 10");
    let verify = |product: &mut Product, target: &str| -> (u16, Value) {
        let response = product.post(target, "");
        (response.status, serde_json::from_slice(&response.body).unwrap())
    };
    // The Catalog has two rows. The Database has six rows, a frame in the log, and the columns of
    // two measurements.
    let (status, in_wal) = verify(&mut product, "/debug/verify?db=a");
    assert_eq!((status, &in_wal["db"], &in_wal["blocks"]), (200, &json!("a"), &json!(11)));
    product.rest();
    let (_, flushed) = verify(&mut product, "/debug/verify?db=a");
    assert!(flushed["blocks"].as_u64().unwrap() > 13, "{flushed}");
    assert!(flushed["bytes"].as_u64().unwrap() > 50, "{flushed}");
    assert_eq!([&flushed["damaged"], &flushed["resume"]], [&json!([]), &Value::Null]);
    // A request continues after the value with the given number.
    let last = last_value(&product);
    let mut from =
        |number: u64| verify(&mut product, &format!("/debug/verify?db=a&resume=1.{number}")).1;
    let (at, behind) = (from(last), from(last + 1));
    assert!(at["blocks"].as_u64().unwrap() > 1, "{at}");
    assert_eq!([&behind["blocks"], &behind["resume"]], [&json!(0), &Value::Null]);
    assert_eq!(verify(&mut product, "/debug/verify?db=a&resume=x").0, 400);
    assert_eq!(verify(&mut product, "/debug/verify?db=nope").0, 404);
    assert_eq!(verify(&mut product, "/debug/verify").0, 400);
    let (status, _) = product.ask("GET", "/debug/verify", "db=a", &[], "");
    assert_eq!(status, 405);
}

#[test]
fn verification_reports_missing_shard() {
    let mut product = product();
    product.query("", "CREATE DATABASE a");
    product.write("a", "m v=1 0");
    let verify = |product: &mut Product| -> Value {
        serde_json::from_slice(&product.post("/debug/verify?db=a", "").body).unwrap()
    };
    assert_eq!(verify(&mut product)["damaged"], json!([]));
    for (address, store) in product.stores() {
        if matches!(address, Address::Shard(_)) {
            store.wipe().unwrap();
        }
    }
    product.sleep();
    let missing = "the shard's storage is missing, and its points are lost: restore a backup of the \
                   database, or write the points again";
    assert_eq!(verify(&mut product)["damaged"], json!([[1, missing]]));
    let (status, text) = product.ask("POST", "/query", "db=a&q=SELECT+v+FROM+m", &[], "");
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("POST /debug/verify"), "{text}");
}
