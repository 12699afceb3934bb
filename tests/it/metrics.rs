//! Tests that `/metrics` contains every counter of SHOW STATS, and every metric that the examples
//! query.

use std::collections::BTreeSet;

use serde_json::Value;
use tidemark_engine::protocol::call::Address;

use crate::product::Product;
use crate::repository::text;
use crate::tokens::token;

fn scraped(product: &mut Product, db: &str) -> String {
    let accept = ("accept", "application/openmetrics-text");
    let (status, body) = product.ask("GET", "/metrics", &format!("db={db}"), &[accept], "");
    assert_eq!(status, 200, "{body}");
    assert!(body.ends_with("\n# EOF\n"), "{body}");
    body
}

fn names(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split_once('{').unwrap().0).collect()
}

fn with_quota() -> Product {
    let mut product = Product::with(&[("BACKUPS", "memory"), ("COUNT_DURATIONS", "true")]);
    product.query("", "CREATE DATABASE a");
    product.write("a", "m,host=a v=1 1\nm,host=b v=2 2\nn v=3 3");
    let quota = "{\"db\":\"a\",\"points_per_minute\":1000,\"stored_bytes\":1000000}";
    let response = product.post("/api/v3/configure/quota", quota);
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    product
}

#[test]
fn show_stats_counters_are_metrics() {
    let mut product = with_quota();
    let text = scraped(&mut product, "a");
    let shown = product.query("", "SHOW STATS ON a");
    let mut numbers = 0;
    for series in shown["results"][0]["series"].as_array().unwrap() {
        let rows = series["values"].as_array().unwrap().iter();
        numbers += rows.flat_map(|row| row.as_array().unwrap()).filter(|n| n.is_number()).count();
    }
    let is_counter = |line: &&str| !line.starts_with('#') && !line.contains("_duration_seconds");
    let samples = text.lines().filter(is_counter);
    assert_eq!(samples.count(), numbers, "{text}\n{shown}");
    let shard = "{database=\"a\",shard=\"1\",retention_policy=\"autogen\"}";
    assert!(text.contains(&format!("\ntidemark_points_written_total{shard} 3\n")), "{text}");
    assert!(text.contains("\ntidemark_measurements{database=\"a\"} 2\n"), "{text}");
    let limit = "{database=\"a\",limit=\"points_per_minute\"}";
    assert!(text.contains(&format!("\ntidemark_quota_allowed{limit} 1000\n")), "{text}");
}

#[test]
fn documented_metrics_and_alerts_exist() {
    let mut product = with_quota();
    let schedule = "{\"db\":\"a\",\"every\":\"1d\",\"keep\":1}";
    assert_eq!(product.post("/api/v3/configure/backup", schedule).status, 200);
    let scraped = scraped(&mut product, "a");
    let names = names(&scraped);
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut used = BTreeSet::new();
    for path in ["examples/prometheus/alerts.yml", "docs/OPERATING.md"] {
        let text = text(path);
        for name in text.split(|c| !is_name(c)).filter(|name| name.starts_with("tidemark_")) {
            assert!(names.contains(name) || name == "tidemark_token", "{path}: {name}");
            used.insert(name.to_owned());
        }
    }
    assert!(used.len() > 6, "{used:?}");
    let operating = text("docs/OPERATING.md");
    let alerts = text("examples/prometheus/alerts.yml");
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(operating.contains(&format!("| `{alert}` |")), "{alert}");
    }
}

#[test]
fn scrape_calls_each_object_once() {
    let mut product = with_quota();
    product.query("", "CREATE DATABASE b");
    product.write("b", "m v=1 1");
    for (db, asked) in [("a", [1, 2, 1]), ("b", [1, 2, 1])] {
        let before = product.object_requests().clone();
        scraped(&mut product, db);
        let after = product.object_requests();
        let added = after.iter().map(|(to, n)| (to, n - before.get(to).unwrap_or(&0)));
        let added: Vec<_> = added.filter(|(_, n)| *n > 0).collect();
        let of = |is: fn(&Address) -> bool| -> u64 {
            added.iter().filter(|(to, _)| is(to)).map(|(_, n)| n).sum()
        };
        let counted = [
            of(|to| *to == Address::Catalog),
            of(|to| matches!(to, Address::Database(_))),
            of(|to| matches!(to, Address::Shard(_))),
        ];
        assert_eq!((counted, added.len()), (asked, 3), "{added:?}");
    }
}

#[test]
fn duration_metrics_start_at_first_scrape() {
    let sample = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("tidemark_{name}")));
        line.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
    };
    let mut product = with_quota();
    let first = scraped(&mut product, "a");
    assert_eq!(sample(&first, "write_duration_seconds_count{database=\"a\"}"), Some(0.0));
    product.write("a", "m,host=a v=1 4");
    product.write("a", "m,host=a v=1 5");
    product.query("a", "SELECT v FROM m");
    // A request without permission must not be counted, because such callers could otherwise change
    // a quantile.
    product.ask("POST", "/write", "db=a", &[], "this is no line");
    let text = scraped(&mut product, "a");
    for (kind, count) in [("write", 2.0), ("query", 1.0)] {
        let name = format!("{kind}_duration_seconds");
        assert_eq!(sample(&text, &format!("{name}_count")), Some(count), "{text}");
        assert_eq!(sample(&text, &format!("{name}_sum")), Some(0.0), "no time goes by in a test");
        let buckets =
            text.matches(&format!("\ntidemark_{name}_bucket{{database=\"a\",le=")).count();
        assert_eq!(buckets, 8, "{text}");
    }
    let mut many = Product::with(&[]);
    many.query("", "CREATE DATABASE a");
    scraped(&mut many, "a");
    many.write("a", "m v=1 1");
    assert!(!scraped(&mut many, "a").contains("duration"), "a platform of many isolates");
}

#[test]
fn metrics_token_reads_only_metrics() {
    let mut product = with_quota();
    product.query("", "CREATE DATABASE b");
    let bearer = format!("Bearer {}", token(&mut product, "m", &["a"], &["metrics"], None));
    let mut ask = |method: &str, path: &str, query: &str, body: &str| {
        let headers = [("authorization", bearer.as_str()), ("host", "h")];
        let response = product.send(method, &format!("{path}?{query}"), &headers, body);
        (response.status, String::from_utf8(response.body).unwrap())
    };
    assert_eq!(
        (ask("GET", "/metrics", "db=a", "").0, ask("GET", "/metrics", "db=b", "").0),
        (200, 403)
    );
    let targets: Value = serde_json::from_str(&ask("GET", "/metrics/targets", "", "").1).unwrap();
    assert_eq!(targets.as_array().map(Vec::len), Some(1), "{targets}");
    for (method, path, query, body) in [
        ("POST", "/write", "db=a", "m v=1 1"),
        ("POST", "/query", "db=a&q=SELECT+*+FROM+m", ""),
        ("GET", "/api/v3/export", "db=a", ""),
        ("POST", "/query", "db=a&q=SHOW+SERIES", ""),
        ("POST", "/query", "q=SHOW+STATS+ON+a", ""),
        ("POST", "/query", "q=SHOW+STATS", ""),
    ] {
        let (status, said) = ask(method, path, query, body);
        assert!(status == 403, "{path} {query}: {status} {said}");
    }
    let (status, said) = product.ask(
        "POST",
        "/api/v3/configure/token",
        "",
        &[],
        "{\"token_name\":\"p\",\"permissions\":[{\"resource_type\":\"db\",\"resource_identifier\":\
         [\"a/p\"],\"actions\":[\"metrics\"]}]}",
    );
    assert_eq!((status, said.contains("applies to a whole database")), (400, true), "{said}");
    let (_, listed) = product.ask("GET", "/api/v3/configure/token", "", &[], "");
    assert!(listed.contains("\"actions\":[\"metrics\"]"), "{listed}");
}

#[test]
fn metrics_show_only_readable_databases() {
    let mut product = with_quota();
    product.query("", "CREATE DATABASE b");
    for (resource, action, expected) in [
        ("a", "read", "a"),
        ("a", "metrics", "a"),
        ("a", "write", ""),
        ("a/autogen", "read", ""),
        ("*", "read", "a,b"),
        ("*", "write", ""),
    ] {
        let case = format!("{action} {resource}");
        let bearer = format!("Bearer {}", token(&mut product, &case, &[resource], &[action], None));
        let mut get = |path: &str, query: &str| {
            let headers = [("authorization", bearer.as_str()), ("host", "h")];
            let response = product.send("GET", &format!("{path}?{query}"), &headers, "");
            (response.status, String::from_utf8(response.body).unwrap())
        };
        let (status, body) = get("/metrics/targets", "");
        assert_eq!(status, 200, "{case}: {body}");
        let targets: Value = serde_json::from_str(&body).unwrap();
        let database = |target: &Value| target["labels"]["__param_db"].as_str().map(str::to_owned);
        let listed: Vec<_> = targets.as_array().unwrap().iter().filter_map(database).collect();
        assert_eq!(listed.join(","), expected, "{case}");
        for db in ["a", "b"] {
            let expected_status = if expected.contains(db) { 200 } else { 403 };
            let (status, body) = get("/metrics", &format!("db={db}"));
            assert_eq!(status, expected_status, "{case}, {db}: {body}");
        }
    }
}
