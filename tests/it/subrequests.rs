//! Counts the calls for one request of each route. The platform limits how many calls one request
//! may make. `docs/design/platform-facts.md` contains the limits.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use tidemark_engine::protocol::call::Address;
use tidemark_model::limits::SHARDS_PER_GROUP_MAX;
use tidemark_server::http::Response;
use tidemark_server::routes::ROUTES;

use crate::product::{Product, form};
use crate::repository::text;

/// The limit of the free plan for calls to objects and bindings in one request.
const FREE_CALLS: u64 = 1_000;
/// The limit of the free plan for calls to other hosts in one request.
const FREE_EXTERNAL_CALLS: u64 = 50;

const SHARDS: usize = 8;
/// Each week is a shard group.
const WEEKS: usize = 12;
const MEASUREMENTS: usize = 40;
const OTHERS: usize = 20;
/// 2023-01-01, in seconds.
const FIRST_S: usize = 1_672_531_200;

/// The requests, one for each route that makes calls.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("POST", "/write?db=d&precision=s", "m0,host=a v=1i 1700000000"),
    ("POST", "/api/v2/write?bucket=d&precision=s", "m0,host=a v=1i 1700000000"),
    ("POST", "/api/v3/write_lp?db=d&precision=second", "m0,host=a v=1i 1700000000"),
    ("GET", "/query?db=d&q=SELECT+max(v)+FROM+/m/+GROUP+BY+host", ""),
    ("GET", "/query?db=d&chunked=true&q=SELECT+*+FROM+/m/", ""),
    ("GET", "/query?db=d&q=SHOW+SERIES", ""),
    ("GET", "/query?q=SHOW+MEASUREMENTS+ON+*.*", ""),
    ("GET", "/query?q=SHOW+STATS", ""),
    ("GET", "/query?q=SHOW+DIAGNOSTICS", ""),
    ("POST", "/query?db=d&q=DELETE+FROM+m1+WHERE+time+<+1672531201s", ""),
    ("POST", "/api/v2/delete?bucket=d", DELETE_BODY),
    ("GET", "/api/v3/query_influxql?db=d&q=SELECT+count(v)+FROM+/m/", ""),
    ("GET", "/api/v3/query_sql?db=d&q=count+m0", ""),
    ("GET", "/api/v3/export?db=d", ""),
    ("GET", "/health", ""),
    ("GET", "/metrics?db=d", ""),
    ("GET", "/metrics/targets", ""),
    ("GET", "/api/v2/buckets?limit=100", ""),
    ("GET", "/api/v2/dbrps", ""),
    ("GET", "/api/v2/orgs", ""),
    ("GET", "/api/v3/configure/database?format=json", ""),
    ("GET", "/api/v3/configure/token", ""),
    ("GET", "/api/v3/configure/quota?db=d", ""),
    ("GET", "/api/v3/configure/backup?db=d", ""),
    ("GET", "/api/v3/configure/access", ""),
    ("POST", "/api/v3/backup?db=d", ""),
    ("GET", "/api/v3/backup?db=d", ""),
    ("POST", "/debug/verify?db=d", ""),
    ("DELETE", "/api/v3/configure/database?db=d", ""),
];

const DELETE_BODY: &str =
    r#"{"start":"2023-01-01T00:00:00Z","stop":"2023-01-01T00:00:01Z","predicate":"host=\"none\""}"#;

/// The routes without a request in `REQUESTS`, each with the reason: the route makes no calls, does
/// the same as another route, or makes a limited number of steps that separate tests count.
const WITHOUT_ROW: &[(&str, &str)] = &[
    ("/api/v1/write", "/write"),
    ("/api/v1/prom/write", "/write"),
    ("/v1/metrics", "/write"),
    ("/ping", "no call"),
    ("/status", "no call"),
    ("/api/v1/health", "/health"),
    ("/ready", "no call"),
    ("/api/v2/ready", "no call"),
    ("/api/v2/setup", "no call"),
    ("/api/v2/buckets/{id}", "/api/v2/buckets"),
    ("/api/v2/dbrps/{id}", "/api/v2/dbrps"),
    ("/api/v2/orgs/{id}", "/api/v2/orgs"),
    ("/arrow.flight.protocol.FlightService/{id}", "/api/v3/query_sql"),
    ("/api/v3/configure/table", "DROP MEASUREMENT at /query, after a load of the schema"),
    ("/api/v3/enterprise/configure/token", "/api/v3/configure/token"),
    ("/api/v3/backup/verify", "bounded by BACKUP_OBJECTS_PER_REQUEST"),
    ("/api/v3/restore", "bounded by BACKUP_OBJECTS_PER_REQUEST"),
    ("/api/v3/recover", "one call to the Catalog"),
];

#[derive(Default)]
struct Calls {
    /// The objects that are processing a call, starting with the outermost call.
    open: Vec<Address>,
    /// The number of calls from the Worker to objects and bindings.
    internal: u64,
    /// The number of calls from the Worker to other hosts.
    external: u64,
    /// The calls of each running call of an object, in the order of `open`.
    by_object: Vec<u64>,
    /// The largest number of calls that an object has made while it processed a single call.
    most_of_object: u64,
}

impl Calls {
    /// Called twice for each call: at its start and at its end, with the same argument. No object
    /// calls itself. If `to` is the object of the innermost open call, this is therefore the end of
    /// that call.
    fn notice(&mut self, to: &Address) {
        if !to.is_counted() {
            return;
        }
        if self.open.last() == Some(to) {
            self.open.pop();
            self.most_of_object = self.most_of_object.max(self.by_object.pop().unwrap());
            return;
        }
        match self.by_object.last_mut() {
            Some(calls) => *calls += 1,
            None if *to == Address::AccessKeys => self.external += 1,
            None => self.internal += 1,
        }
        self.open.push(to.clone());
        self.by_object.push(0);
    }
}

fn calls<T>(product: &mut Product, act: impl FnOnce(&mut Product) -> T) -> (Calls, T) {
    let counted = Rc::new(RefCell::new(Calls::default()));
    let counter = Rc::clone(&counted);
    product.watch_calls(Box::new(move |to| counter.borrow_mut().notice(to)));
    let result = act(product);
    product.watch_calls(Box::new(|_| {}));
    (counted.take(), result)
}

fn body(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

fn small() -> Product {
    let settings = [("BACKUPS", "yes"), ("SQL", "yes"), ("AUTO_CREATE_RETENTION", "none")];
    let mut product = Product::with(&settings);
    product.write("d", &format!("m0,host=a v=1i {FIRST_S}"));
    product.rest();
    product
}

/// Uses the settings of the free plan.
fn large(settings: &[(&str, &str)]) -> Product {
    let shards = SHARDS.to_string();
    let mut all = vec![
        ("BACKUPS", "yes"),
        ("SQL", "yes"),
        ("AUTO_CREATE_RETENTION", "none"),
        ("DEFAULT_SHARDS", shards.as_str()),
    ];
    all.extend(settings);
    let mut product = Product::with(&all);
    for week in 0..WEEKS {
        let line = |n: usize| {
            let time_s = FIRST_S + week * 7 * 86_400 + n;
            format!("m{},host=h{} v={n}i,w=\"value of {n}\" {time_s}", n % MEASUREMENTS, n % 100)
        };
        product.write("d", &(0..2_000).map(line).collect::<Vec<_>>().join("\n"));
    }
    for n in 0..OTHERS {
        product.write(&format!("other{n}"), &format!("m v=1 {FIRST_S}"));
        product
            .query("d", &format!("CREATE RETENTION POLICY p{n} ON d DURATION INF REPLICATION 1"));
    }
    product.rest();
    product
}

#[test]
fn routes_stay_within_free_plan_calls() {
    let (mut small, mut large) = (small(), large(&[("CALLS_PER_REQUEST_MAX", "1000")]));
    let mut rows = Vec::new();
    for &(method, target, sent) in REQUESTS {
        let mut counts = Vec::new();
        for product in [&mut small, &mut large] {
            // At this time, the caches of the isolate are empty.
            product.sleep();
            let (calls, response) = calls(product, |p| p.ask_alone(method, target, sent));
            let what = format!("{method} {target}");
            assert!(response.status < 300, "{what}: {} {}", response.status, body(&response));
            assert!(calls.internal <= FREE_CALLS, "{what}: {} calls", calls.internal);
            assert!(calls.external <= FREE_EXTERNAL_CALLS, "{what}: {} calls", calls.external);
            let most = calls.most_of_object;
            assert!(most <= FREE_CALLS, "{what}: {most} calls of one object");
            counts.push(calls);
        }
        let shown = target.replace('|', "\\|");
        rows.push(format!(
            "| `{method} {shown}` | {} | {} | {} |",
            counts[0].internal, counts[1].internal, counts[1].most_of_object
        ));
    }
    let page = text("docs/DEPLOYING.md");
    let missing: Vec<&String> = rows.iter().filter(|row| !page.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "docs/DEPLOYING.md lacks some of these rows:\n{}", rows.join("\n"));
}

#[test]
fn every_route_has_counted_calls() {
    let path = |target: &'static str| target.split('?').next().unwrap();
    let counted: BTreeSet<&str> = REQUESTS.iter().map(|(_, target, _)| path(target)).collect();
    for route in ROUTES {
        let has_reason = WITHOUT_ROW.iter().any(|(path, _)| *path == route.path);
        assert_ne!(counted.contains(route.path), has_reason, "{}", route.path);
    }
}

fn export(product: &mut Product, calls_max: u64) -> (String, usize) {
    let (mut points, mut after) = (String::new(), String::new());
    for requests in 1.. {
        let target = format!("/api/v3/export?{}", form(&[("db", "d"), ("after", &after)]));
        let (calls, response) = calls(product, |p| p.ask_alone("GET", &target, ""));
        let text = body(&response);
        assert_eq!(response.status, 200, "{text}");
        assert!(calls.internal <= calls_max, "{} calls", calls.internal);
        let cut = text.trim_end().rfind('\n').map_or(0, |at| at + 1);
        let Some(next) = text[cut..].strip_prefix("# after: ") else {
            points.push_str(&text);
            return (points, requests);
        };
        assert_ne!(next.trim_end(), after, "an export that does not advance");
        assert!(requests < 200, "an export without an end");
        points.push_str(&text[..cut]);
        after = next.trim_end().to_owned();
    }
    unreachable!()
}

#[test]
fn export_resumes_across_requests_exactly() {
    let mut product = large(&[]);
    let (whole, requests) = export(&mut product, 10_000);
    assert_eq!((requests, whole.lines().count()), (1, WEEKS * 2_000));
    for calls_max in [100, 200] {
        let most = calls_max.to_string();
        let mut product = large(&[("CALLS_PER_REQUEST_MAX", &most)]);
        let (points, requests) = export(&mut product, calls_max);
        assert!(requests > 2, "{calls_max} calls: {requests} requests");
        assert_eq!(points, whole, "{calls_max} calls");
        // A client that ignores the last line must not receive an incomplete export.
        let response = product.ask_alone("GET", "/api/v3/export?db=d", "");
        assert_eq!(response.status, 422, "{}", body(&response));
        assert!(body(&response).contains("CALLS_PER_REQUEST_MAX"), "{}", body(&response));
    }
}

#[test]
fn export_resumes_inside_a_measurement() {
    let settings = [("AUTO_CREATE_RETENTION", "none"), ("CALLS_PER_REQUEST_MAX", "90")];
    let mut product = Product::with(&settings);
    for round in 0..30 {
        let line = |n: usize| {
            let time_s = FIRST_S + round * 2_000 + n;
            let text = format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(20);
            format!("m,host=h{} v={n}i,w=\"{text}\" {time_s}", n % 3)
        };
        product.write("d", &(0..2_000).map(line).collect::<Vec<_>>().join("\n"));
    }
    let (points, requests) = export(&mut product, 90);
    assert!(requests > 1, "{requests} requests");
    // A response that ends early must remove its query from the list.
    let listed = product.query("", "SHOW QUERIES");
    assert_eq!(listed["results"][0]["series"][0].get("values"), None, "{listed}");
    assert_eq!(points.lines().count(), 60_000);
    let distinct: BTreeSet<&str> = points.lines().collect();
    assert_eq!(distinct.len(), 60_000);
}

#[test]
fn delete_exceeding_call_limit_deletes_nothing() {
    let count =
        |product: &mut Product| product.values("d", "SELECT count(v) FROM m1")[0][1].as_u64();
    let mut product = large(&[("CALLS_PER_REQUEST_MAX", "60")]);
    let before = count(&mut product);
    let answer = product.query("d", "DELETE FROM m1");
    let error = answer["results"][0]["error"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert!(error.contains("CALLS_PER_REQUEST_MAX"), "{error}");
    assert_eq!(count(&mut product), before);
}

#[test]
fn deletes_of_many_shards_respect_limit() {
    for calls_max in [150, 200, 400] {
        let most = calls_max.to_string();
        let shards = SHARDS_PER_GROUP_MAX.to_string();
        let mut product =
            Product::with(&[("CALLS_PER_REQUEST_MAX", &most), ("DEFAULT_SHARDS", &shards)]);
        // The Database may need several events to open the shards.
        product.ask_alone("POST", "/query?q=CREATE+DATABASE+d", "");
        product.rest();
        for measurement in ["m1", "m2", "m3"] {
            let line = |n: usize| format!("{measurement},host=h{n} v={n}i {}", FIRST_S + n);
            product.write("d", &(0..500).map(line).collect::<Vec<_>>().join("\n"));
        }
        let deletes = "DELETE FROM m1; DROP SERIES FROM m2";
        let target = format!("/query?{}", form(&[("db", "d"), ("q", deletes)]));
        let (calls, response) = calls(&mut product, |p| p.ask_alone("POST", &target, ""));
        let text = body(&response);
        assert!(response.status == 200 && !text.contains("error"), "{calls_max} calls: {text}");
        let (internal, of_object) = (calls.internal, calls.most_of_object);
        assert!(internal <= calls_max && of_object <= calls_max, "{internal}, {of_object}");
        for (measurement, rest) in [("m1", None), ("m2", None), ("m3", Some(500))] {
            let rows = product.values("d", &format!("SELECT count(v) FROM {measurement}"));
            assert_eq!(rows[0][1].as_u64(), rest, "{calls_max} calls");
        }
    }
}

#[test]
fn statistics_name_skipped_databases() {
    let mut product = large(&[("CALLS_PER_REQUEST_MAX", "200")]);
    for statement in ["SHOW STATS", "SHOW DIAGNOSTICS"] {
        let target = format!("/query?q={}", statement.replace(' ', "+"));
        let (calls, response) = calls(&mut product, |p| p.ask_alone("GET", &target, ""));
        assert_eq!(response.status, 200, "{}", body(&response));
        assert!(calls.internal <= 200, "{statement}: {} calls", calls.internal);
        let answer: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        let series = answer["results"][0]["series"].as_array().unwrap();
        let skipped = series.iter().find(|series| series["name"] == "skipped").unwrap();
        let rows = skipped["values"].as_array().unwrap();
        // The first database alone has more objects than the request may call.
        let names: Vec<&str> = rows.iter().map(|row| row[0].as_str().unwrap()).collect();
        assert_eq!(names.len(), OTHERS + 1, "{names:?}");
        let of_d = rows.iter().find(|row| row[0] == "d").unwrap()[1].as_str().unwrap();
        assert!(of_d.parse::<u64>().is_ok_and(|n| n > 0), "{of_d}");
        assert!(rows.iter().any(|row| row[1] == "all"), "{rows:?}");
    }
    let target = "/query?q=SHOW+STATS+ON+other1";
    let response = product.ask_alone("GET", target, "");
    assert!(!body(&response).contains("skipped") && body(&response).contains("\"shard\""));
}
