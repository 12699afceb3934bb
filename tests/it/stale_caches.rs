//! Combines every kind of change with every kind of request, to find requests that succeed
//! differently on an edge whose caches are older than the change.
//!
//! For each change, a deployment has one edge for each request. Every edge executes its request,
//! which fills the edge's caches. The first edge makes the change. Then every edge executes its
//! request again. A second deployment does the same, but empties the caches before each request.
//! Each response, and the points after each write, must be equal in both deployments.

use serde_json::Value;
use tidemark_server::http::Response;

use crate::product::{AUTHORIZATION, Product, TOKEN, form};
use crate::tokens::encoded;

/// The caller of a request.
#[derive(Clone, Copy)]
enum Caller {
    Admin,
    /// A user and a password.
    User(&'static str, &'static str),
    /// The token of the setup, which may read and write `d`.
    Token,
}
use Caller::{Admin, Token, User};

#[derive(Clone, Copy)]
enum Request {
    /// An InfluxQL statement in database `d`.
    Query(Caller, &'static str),
    /// A write with these lines. Before the change, the edge writes `m v=1` instead. `{autogen}`
    /// and `{p}` are the ids of the buckets.
    Write(Caller, &'static str, &'static str),
    Get(Caller, &'static str),
    /// Any other request: method, target, body.
    Send(&'static str, &'static str, &'static str),
}
use Request::{Get, Query, Send, Write};

const DEFAULT: &str = "CREATE RETENTION POLICY \"default\" ON d DURATION INF REPLICATION 1";
const NEW_POLICY: &str = "CREATE RETENTION POLICY q ON d DURATION INF REPLICATION 1";
const U1: Caller = User("u", "one");
const U2: Caller = User("u", "two");
const X2: Caller = User("x", "two");
const W: Caller = User("w", "w");

/// The changes. Each change is a list of requests.
const CHANGES: &[(&str, &[Request])] = &[
    ("create policy default", &[Query(Admin, DEFAULT)]),
    (
        "create policy default, write to it",
        &[Query(Admin, DEFAULT), Write(Admin, "/write?db=d&rp=default", "m v=70 70")],
    ),
    (
        "create policy default as default",
        &[Query(
            Admin,
            "CREATE RETENTION POLICY \"default\" ON d DURATION INF REPLICATION 1 DEFAULT",
        )],
    ),
    (
        "create and drop policy default",
        &[Query(Admin, DEFAULT), Query(Admin, "DROP RETENTION POLICY \"default\" ON d")],
    ),
    ("create policy", &[Query(Admin, NEW_POLICY)]),
    (
        "create policy, write to it",
        &[Query(Admin, NEW_POLICY), Write(Admin, "/write?db=d&rp=q", "k,z=1 v=70 70")],
    ),
    (
        "create policy as default",
        &[Query(Admin, "CREATE RETENTION POLICY q ON d DURATION INF REPLICATION 1 DEFAULT")],
    ),
    ("change default", &[Query(Admin, "ALTER RETENTION POLICY p ON d DEFAULT")]),
    (
        "change default, write to it",
        &[
            Query(Admin, "ALTER RETENTION POLICY p ON d DEFAULT"),
            Write(Admin, "/write?db=d", "m v=70 70"),
        ],
    ),
    (
        "shorten duration",
        &[Query(Admin, "ALTER RETENTION POLICY autogen ON d DURATION 1h SHARD DURATION 1h")],
    ),
    ("drop policy", &[Query(Admin, "DROP RETENTION POLICY p ON d")]),
    ("drop autogen", &[Query(Admin, "DROP RETENTION POLICY autogen ON d")]),
    (
        "drop autogen, create policy default",
        &[Query(Admin, "DROP RETENTION POLICY autogen ON d"), Query(Admin, DEFAULT)],
    ),
    (
        "create policy again",
        &[
            Query(Admin, "DROP RETENTION POLICY p ON d"),
            Query(Admin, "CREATE RETENTION POLICY p ON d DURATION INF REPLICATION 1"),
        ],
    ),
    (
        "create autogen again as default",
        &[
            Query(Admin, "DROP RETENTION POLICY autogen ON d"),
            Query(Admin, "CREATE RETENTION POLICY autogen ON d DURATION INF REPLICATION 1 DEFAULT"),
        ],
    ),
    ("create bucket", &[Send("POST", "/api/v2/buckets", r#"{"name":"d/q","orgID":"{org}"}"#)]),
    ("delete bucket", &[Send("DELETE", "/api/v2/buckets/{p}", "")]),
    ("drop database", &[Query(Admin, "DROP DATABASE d")]),
    (
        "create database again",
        &[Query(Admin, "DROP DATABASE d"), Query(Admin, "CREATE DATABASE d")],
    ),
    (
        "create database again with another type",
        &[
            Query(Admin, "DROP DATABASE d"),
            Query(Admin, "CREATE DATABASE d"),
            Write(Admin, "/write?db=d", "m v=\"text\" 70"),
        ],
    ),
    (
        "create database",
        &[Query(Admin, "CREATE DATABASE f"), Write(Admin, "/write?db=f", "m v=70 70")],
    ),
    ("drop other database", &[Query(Admin, "DROP DATABASE e")]),
    ("drop measurement", &[Query(Admin, "DROP MEASUREMENT m")]),
    (
        "change type of field",
        &[Query(Admin, "DROP MEASUREMENT m"), Write(Admin, "/write?db=d", "m v=\"text\" 70")],
    ),
    ("add field", &[Write(Admin, "/write?db=d", "m f=70 70")]),
    ("add tag", &[Write(Admin, "/write?db=d", "m,z=70 v=70 70")]),
    ("add measurement", &[Write(Admin, "/write?db=d", "k v=70 70")]),
    ("add measurement to policy", &[Write(Admin, "/write?db=d&rp=p", "k v=70 70")]),
    ("write", &[Write(Admin, "/write?db=d", "m,host=a v=70 70")]),
    (
        "create table",
        &[Send(
            "POST",
            "/api/v3/configure/table",
            r#"{"db":"d","table":"k","tags":["z"],"fields":[{"name":"v","type":"utf8"}]}"#,
        )],
    ),
    ("select into", &[Query(Admin, "SELECT v INTO k FROM m")]),
    ("delete", &[Query(Admin, "DELETE FROM m WHERE time < 5")]),
    ("drop series", &[Query(Admin, "DROP SERIES FROM m WHERE host = 'a'")]),
    (
        "create continuous query",
        &[Query(
            Admin,
            "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT mean(v) INTO k FROM m GROUP BY time(1h) END",
        )],
    ),
    ("drop continuous query", &[Query(Admin, "DROP CONTINUOUS QUERY old ON d")]),
    ("set password", &[Query(Admin, "SET PASSWORD FOR u = 'two'")]),
    ("create user", &[Query(Admin, "CREATE USER x WITH PASSWORD 'two'")]),
    (
        "create user with grant",
        &[Query(Admin, "CREATE USER x WITH PASSWORD 'two'"), Query(Admin, "GRANT ALL ON d TO x")],
    ),
    (
        "create administrator",
        &[Query(Admin, "CREATE USER x WITH PASSWORD 'two' WITH ALL PRIVILEGES")],
    ),
    ("drop user", &[Query(Admin, "DROP USER u")]),
    (
        "create user again",
        &[
            Query(Admin, "DROP USER u"),
            Query(Admin, "CREATE USER u WITH PASSWORD 'two'"),
            Query(Admin, "GRANT READ ON d TO u"),
        ],
    ),
    ("grant", &[Query(Admin, "GRANT ALL ON e TO u"), Query(Admin, "GRANT READ ON d TO w")]),
    ("revoke", &[Query(Admin, "REVOKE ALL ON d FROM u")]),
    ("revoke write", &[Query(Admin, "REVOKE WRITE ON d FROM u")]),
    ("grant all privileges", &[Query(Admin, "GRANT ALL PRIVILEGES TO w")]),
    ("delete token", &[Send("DELETE", "/api/v3/configure/token?token_name=t", "")]),
    ("set quota", &[Send("POST", "/api/v3/configure/quota", r#"{"db":"d","series":2}"#)]),
    (
        "change retention",
        &[Send("PUT", "/api/v3/configure/database", r#"{"db":"d","retention_period":"1h"}"#)],
    ),
    ("add shards", &[Send("PUT", "/api/v3/configure/database", r#"{"db":"d","shards":3}"#)]),
];

/// The requests that an edge repeats after the change.
const REQUESTS: &[Request] = &[
    Query(Admin, "SELECT v FROM m"),
    Query(Admin, "SELECT * FROM m"),
    Query(Admin, "SELECT f FROM m"),
    Query(Admin, "SELECT count(*) FROM m"),
    Query(Admin, "SELECT v FROM m WHERE z = '70'"),
    Query(Admin, "SELECT v FROM m GROUP BY *"),
    Query(Admin, "SELECT v FROM m WHERE time >= 60"),
    Query(Admin, "SELECT * FROM k"),
    Query(Admin, "SELECT * FROM /.*/"),
    Query(Admin, "SELECT v FROM \"default\".m"),
    Query(Admin, "SELECT v FROM d.\"default\".m"),
    Query(Admin, "SELECT v FROM autogen.m"),
    Query(Admin, "SELECT v FROM p.m"),
    Query(Admin, "SELECT v FROM p.m, autogen.m"),
    Query(Admin, "SELECT v FROM q.m"),
    Query(Admin, "SELECT * FROM q.k"),
    Query(Admin, "SELECT v FROM d..m"),
    Query(Admin, "SELECT v FROM e..m"),
    Query(Admin, "SELECT v FROM f..m"),
    Query(Admin, "SELECT mean(v) FROM (SELECT v FROM m, p.m)"),
    Query(Admin, "EXPLAIN SELECT v FROM \"default\".m"),
    Query(Admin, "SHOW DATABASES"),
    Query(Admin, "SHOW RETENTION POLICIES"),
    Query(Admin, "SHOW MEASUREMENTS"),
    Query(Admin, "SHOW SERIES"),
    Query(Admin, "SHOW SERIES FROM k"),
    Query(Admin, "SHOW SERIES WHERE time < 100"),
    Query(Admin, "SHOW SERIES ON f"),
    Query(Admin, "SHOW FIELD KEYS"),
    Query(Admin, "SHOW FIELD KEYS FROM k"),
    Query(Admin, "SHOW TAG KEYS"),
    Query(Admin, "SHOW TAG VALUES WITH KEY = z"),
    Query(Admin, "SHOW SERIES CARDINALITY"),
    Query(Admin, "SHOW MEASUREMENT EXACT CARDINALITY"),
    Query(Admin, "SHOW CONTINUOUS QUERIES"),
    Query(Admin, "SHOW USERS"),
    Query(Admin, "SHOW GRANTS FOR u"),
    Get(Admin, "/query?db=d&rp=default&q=SELECT+v+FROM+m"),
    Get(Admin, "/query?db=d&rp=q&q=SELECT+v+FROM+k"),
    Get(Admin, "/api/v3/query_influxql?db=d&format=json&q=SELECT+v+FROM+%22default%22.m"),
    Get(Admin, "/api/v3/configure/database?format=json"),
    Get(Admin, "/api/v2/buckets"),
    Get(Admin, "/api/v2/buckets?name=d/q"),
    Get(Admin, "/api/v2/buckets/{p}"),
    Get(Admin, "/api/v2/dbrps?orgID={org}"),
    Get(Admin, "/api/v3/configure/token"),
    Write(Admin, "/write?db=d", "m v={n} {n}"),
    Write(Admin, "/write?db=d&rp=default", "m v={n} {n}"),
    Write(Admin, "/write?db=d&rp=autogen", "m v={n} {n}"),
    Write(Admin, "/write?db=d&rp=p", "m v={n} {n}"),
    Write(Admin, "/write?db=d&rp=q", "m v={n} {n}"),
    Write(Admin, "/write?db=e", "m v={n} {n}"),
    Write(Admin, "/write?db=f", "m v={n} {n}"),
    Write(Admin, "/write?db=d", "m f={n} {n}"),
    Write(Admin, "/write?db=d", "m f=\"{n}\" {n}"),
    Write(Admin, "/write?db=d", "m v=\"{n}\" {n}"),
    Write(Admin, "/write?db=d", "m,z=1 v={n} {n}"),
    Write(Admin, "/write?db=d", "k v={n} {n}"),
    Write(Admin, "/write?db=d", "k v=\"{n}\" {n}"),
    Write(Admin, "/api/v2/write?bucket=d", "m v={n} {n}"),
    Write(Admin, "/api/v2/write?bucket=d/default", "m v={n} {n}"),
    Write(Admin, "/api/v2/write?bucket=d/q", "m v={n} {n}"),
    Write(Admin, "/api/v2/write?bucket={autogen}", "m v={n} {n}"),
    Write(Admin, "/api/v2/write?bucket={p}", "m v={n} {n}"),
    Write(Admin, "/api/v3/write_lp?db=d", "m v={n} {n}"),
    Query(Admin, "SELECT v INTO \"default\".into FROM m"),
    Query(Admin, "SELECT v INTO q.into FROM m"),
    Query(Admin, "DELETE FROM m WHERE time = 1"),
    Send(
        "POST",
        "/api/v2/delete?bucket={p}",
        r#"{"start":"1970-01-01T00:00:00Z","stop":"1970-01-01T00:00:00.000000003Z"}"#,
    ),
    Query(U1, "SELECT v FROM m"),
    Query(U1, "SELECT v FROM e..m"),
    Query(U1, "SHOW DATABASES"),
    Query(U1, "SHOW MEASUREMENTS"),
    Write(U1, "/write?db=d", "m v={n} {n}"),
    Write(U1, "/write?db=e", "m v={n} {n}"),
    Query(U2, "SELECT v FROM m"),
    Query(U2, "SHOW DATABASES"),
    Write(U2, "/write?db=d", "m v={n} {n}"),
    Query(X2, "SELECT v FROM m"),
    Query(X2, "SHOW DATABASES"),
    Write(X2, "/write?db=d", "m v={n} {n}"),
    Query(W, "SELECT v FROM m"),
    Query(W, "SHOW DATABASES"),
    Write(W, "/write?db=e", "m v={n} {n}"),
    Query(Token, "SELECT v FROM m"),
    Query(Token, "SELECT v FROM \"default\".m"),
    Query(Token, "SHOW MEASUREMENTS"),
    Write(Token, "/write?db=d&rp=default", "m v={n} {n}"),
    Write(Token, "/api/v2/write?bucket={p}", "m v={n} {n}"),
];

/// A deployment, and the names that are known only after its setup.
struct Deployment {
    product: Product,
    token: String,
    names: Vec<(&'static str, String)>,
}

impl Deployment {
    /// Creates a deployment with one edge for each of [`REQUESTS`].
    fn new() -> Self {
        let product = Product::with(&[("AUTO_CREATE_DATABASES", "false")]);
        let (token, names) = (String::new(), Vec::new());
        let mut deployment = Self { product, token, names };
        for q in [
            "CREATE DATABASE d",
            "CREATE DATABASE e",
            "CREATE RETENTION POLICY p ON d DURATION INF REPLICATION 1",
            "CREATE CONTINUOUS QUERY old ON d BEGIN SELECT mean(v) INTO o FROM m GROUP BY time(1h) \
             END",
            "CREATE USER u WITH PASSWORD 'one'",
            "CREATE USER w WITH PASSWORD 'w'",
            "GRANT ALL ON d TO u",
        ] {
            deployment.must(Query(Admin, q));
        }
        for (target, lines) in [
            ("/write?db=d", "m,host=a v=1 1\nm,host=b v=2 2\nn s=\"x\" 3"),
            ("/write?db=d&rp=p", "m,host=p v=3 3"),
            ("/write?db=e", "m v=4 4"),
        ] {
            deployment.must(Write(Admin, target, lines));
        }
        let permissions =
            r#"[{"resource_type":"db","resource_identifier":["d"],"actions":["read","write"]}]"#;
        let body = format!(r#"{{"token_name":"t","permissions":{permissions}}}"#);
        let route = "/api/v3/enterprise/configure/token";
        let created = deployment.product.send("POST", route, &[AUTHORIZATION], body);
        deployment.token = json(&created)["token"].as_str().unwrap().to_owned();
        let listed = deployment.product.send("GET", "/api/v2/buckets", &[AUTHORIZATION], "");
        let listed = json(&listed);
        for bucket in listed["buckets"].as_array().unwrap() {
            let name = match bucket["name"].as_str().unwrap() {
                "d" => "{autogen}",
                "d/p" => "{p}",
                _ => continue,
            };
            deployment.names.push((name, bucket["id"].as_str().unwrap().to_owned()));
            let org = bucket["orgID"].as_str().unwrap().to_owned();
            deployment.names.push(("{org}", org));
        }
        for _ in 1..REQUESTS.len() {
            deployment.product.add_edge();
        }
        deployment
    }

    fn named(&self, text: &str, number: usize) -> String {
        let known = self.names.iter();
        let text = known.fold(text.to_owned(), |text, (name, known)| text.replace(name, known));
        text.replace("{n}", &number.to_string())
    }

    /// Returns the status and the body.
    fn send(&mut self, request: Request, number: usize) -> String {
        let (caller, method, target, body) = match request {
            Query(caller, q) => (caller, "POST", "/query?db=d&epoch=ns", form(&[("q", q)])),
            Write(caller, target, lines) => (caller, "POST", target, self.named(lines, number)),
            Get(caller, target) => (caller, "GET", target, String::new()),
            Send(method, target, body) => (Admin, method, target, self.named(body, number)),
        };
        let mut target = self.named(target, number);
        let authorization = match caller {
            Admin => format!("Token {TOKEN}"),
            Token => format!("Token {}", self.token),
            User(name, password) => {
                let mark = if target.contains('?') { '&' } else { '?' };
                target = format!("{target}{mark}u={name}&p={}", encoded(password));
                String::new()
            }
        };
        let mut headers = vec![];
        if let Query(..) = request {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
        }
        if !authorization.is_empty() {
            headers.push(("authorization", authorization.as_str()));
        }
        let response = self.product.send(method, &target, &headers, body);
        format!("{} {}", response.status, String::from_utf8_lossy(&response.body).trim_end())
    }

    fn must(&mut self, request: Request) {
        let reply = self.send(request, 0);
        let is_done = reply.starts_with('2') && !reply.contains("error");
        assert!(is_done, "{}: {reply}", described(request));
    }

    /// Returns all points. The edge loads the state from its owners.
    fn points(&mut self) -> String {
        self.product.forget_caches();
        let of = |policy: &&str| format!("SELECT * FROM {policy}./.*/");
        let policies = ["d.autogen", "d.p", "d.q", "d.\"default\"", "e.autogen", "f.autogen"];
        let texts: Vec<String> = policies.iter().map(of).collect();
        let responses = texts.iter().map(|text| {
            let response = self.product.post("/query?epoch=ns", &form(&[("q", text)]));
            String::from_utf8(response.body).unwrap()
        });
        responses.collect()
    }
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {response:?}"))
}

fn described(request: Request) -> String {
    let (caller, text) = match request {
        Query(caller, q) => (caller, q.to_owned()),
        Write(caller, target, lines) => (caller, format!("{target} {lines}")),
        Get(caller, target) => (caller, target.to_owned()),
        Send(method, target, body) => (Admin, format!("{method} {target} {body}")),
    };
    match caller {
        Admin => text,
        Token => format!("{text} (token)"),
        User(name, password) => format!("{text} ({name}:{password})"),
    }
}

/// Returns, for each request, its response and the resulting points.
fn run(change: &[Request], empties_caches: bool) -> Vec<(String, String)> {
    let mut deployment = Deployment::new();
    let mut results = Vec::new();
    // Cached refusals must not expire.
    let mut act = |product: &mut Deployment| {
        for request in REQUESTS {
            match *request {
                Write(caller, target, _) => {
                    product.send(Write(caller, target, "m v=1 1"), 0);
                }
                Query(caller, q) if q.contains(" INTO ") => {
                    product.send(Query(caller, "SELECT v INTO \"default\".m FROM m"), 0);
                }
                Query(_, q) if q.starts_with("DELETE") => {
                    product.send(Query(Admin, "DELETE FROM m WHERE time = 0"), 0);
                }
                Send(..) => {
                    product.send(Write(Admin, "/api/v2/write?bucket={p}", "m v=3 3"), 0);
                }
                request => drop(product.send(request, 0)),
            }
            product.product.switch_edge();
        }
        for request in change {
            product.must(*request);
        }
        for (at, request) in REQUESTS.iter().enumerate() {
            if empties_caches {
                product.product.forget_caches();
            }
            let reply = product.send(*request, 100 + at);
            let is_read = matches!(request, Get(..))
                || matches!(request, Query(_, q) if !q.contains("INTO") && !q.contains("DELETE"));
            let points = if is_read { String::new() } else { product.points() };
            results.push((reply, points));
            product.product.switch_edge();
        }
    };
    deployment.product.set_tick(0);
    act(&mut deployment);
    results
}

/// Whether both edges give the same response. The text of 401 and 403 names the place that refused
/// the caller.
fn are_equal(stale: &str, fresh: &str) -> bool {
    let is_refusal = |reply: &str| reply.starts_with("401") || reply.starts_with("403");
    match is_refusal(fresh) {
        true => stale[..3] == fresh[..3],
        false => stale == fresh,
    }
}

#[test]
fn stale_edges_execute_every_request_like_fresh_edges() {
    let (mut pairs, mut failures) = (0, Vec::new());
    let results = std::thread::scope(|scope| {
        let half = CHANGES.len().div_ceil(2);
        let threads: Vec<_> = CHANGES
            .chunks(half)
            .map(|changes| {
                let both =
                    |(_, change): &(&str, &[Request])| (run(change, false), run(change, true));
                scope.spawn(move || changes.iter().map(both).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    for ((name, _), (stale, fresh)) in CHANGES.iter().zip(results) {
        // A point in a wrong policy also changes the later results, so only the first difference of
        // the points is a failure.
        let mut same_points = true;
        for ((request, stale), fresh) in REQUESTS.iter().zip(stale).zip(fresh) {
            pairs += 1;
            let differs = stale.1 != fresh.1 && std::mem::replace(&mut same_points, false);
            if !are_equal(&stale.0, &fresh.0) || differs {
                failures.push(format!(
                    "{name}: {}\n  stale: {}\n  fresh: {}{}",
                    described(*request),
                    stale.0,
                    fresh.0,
                    if differs { format!("\n  {}\n  {}", stale.1, fresh.1) } else { String::new() },
                ));
            }
        }
    }
    println!("{pairs} pairs, {} failures", failures.len());
    assert!(failures.is_empty(), "{} of {pairs}:\n{}", failures.len(), failures.join("\n"));
}
