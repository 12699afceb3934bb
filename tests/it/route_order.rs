//! Tests that every route checks the credentials, the permission, the length and the database in
//! this order, before it calls a shard.

use tidemark_engine::protocol::call::Address;
use tidemark_model::limits::{BODY_BYTES_MAX, QUERY_BODY_PER_TEXT, QUERY_TEXT_BYTES_MAX};
use tidemark_server::http::{RequestHead, Response};
use tidemark_server::routes::{Access, Body, ROUTES};

use crate::product::{Product, TOKEN};
use crate::tokens::token;

/// A request. `DB` in its texts stands for the name of the database.
struct Sample {
    method: &'static str,
    path: &'static str,
    query: &'static str,
    body: &'static str,
    /// The status for a missing database. `None` if the request has no database, creates the
    /// database, or lists existing items.
    missing: Option<u16>,
}

const fn sample(
    method: &'static str,
    path: &'static str,
    query: &'static str,
    body: &'static str,
    missing: Option<u16>,
) -> Sample {
    Sample { method, path, query, body, missing }
}

/// One request for each operation. If an operation has no row, the test fails.
#[rustfmt::skip]
const SAMPLES: &[Sample] = &[
    sample("POST", "/write", "db=DB", "m v=1 1", Some(404)),
    sample("POST", "/api/v2/write", "bucket=DB", "m v=1 1", Some(404)),
    sample("POST", "/api/v3/write_lp", "db=DB", "m v=1 1", Some(404)),
    sample("GET", "/query", "db=DB&q=SELECT+v+FROM+m", "", Some(200)),
    sample("POST", "/query", "db=DB", "q=SELECT+v+FROM+m", Some(200)),
    sample("POST", "/api/v2/delete", "bucket=DB", r#"{"start":"1970-01-01T00:00:00Z","stop":"1970-01-01T00:00:09Z"}"#, Some(404)),
    sample("GET", "/api/v2/buckets", "name=DB", "", None),
    sample("POST", "/api/v2/buckets", "", r#"{"name":"DB","retentionRules":[]}"#, None),
    sample("GET", "/api/v2/buckets/{id}", "", "", Some(404)),
    sample("PATCH", "/api/v2/buckets/{id}", "", "{}", Some(404)),
    sample("DELETE", "/api/v2/buckets/{id}", "", "", Some(404)),
    sample("GET", "/api/v2/dbrps", "db=DB", "", None),
    sample("POST", "/api/v2/dbrps", "", r#"{"database":"DB","retention_policy":"p","bucketID":"0000000000000001"}"#, None),
    sample("GET", "/api/v2/dbrps/{id}", "", "", Some(404)),
    sample("PATCH", "/api/v2/dbrps/{id}", "", "{}", Some(404)),
    sample("DELETE", "/api/v2/dbrps/{id}", "", "", Some(404)),
    sample("GET", "/api/v2/orgs", "", "", None),
    sample("POST", "/api/v2/orgs", "", r#"{"name":"o"}"#, None),
    sample("GET", "/api/v2/orgs/{id}", "", "", None),
    sample("GET", "/api/v3/query_influxql", "db=DB&q=SELECT+v+FROM+m", "", Some(404)),
    sample("POST", "/api/v3/query_influxql", "", r#"{"db":"DB","q":"SELECT v FROM m"}"#, Some(404)),
    sample("GET", "/api/v3/query_sql", "db=DB&q=count+m", "", Some(404)),
    sample("POST", "/api/v3/query_sql", "", r#"{"db":"DB","q":"count m"}"#, Some(404)),
    sample("POST", "/arrow.flight.protocol.FlightService/{id}", "", r#"{"database":"DB","sql_query":"count m","query_type":"sql"}"#, Some(404)),
    sample("POST", "/api/v1/write", "db=DB", REMOTE_WRITE, Some(404)),
    sample("POST", "/api/v1/prom/write", "db=DB", REMOTE_WRITE, Some(404)),
    sample("POST", "/v1/metrics", "db=DB", OTLP, Some(404)),
    sample("GET", "/api/v3/export", "db=DB", "", Some(404)),
    sample("POST", "/api/v3/export", "db=DB", "after=p,,,m", Some(404)),
    sample("GET", "/api/v3/configure/database", "format=json", "", None),
    sample("POST", "/api/v3/configure/database", "", r#"{"db":"DB"}"#, None),
    sample("PUT", "/api/v3/configure/database", "", r#"{"db":"DB","retention_period":"1d"}"#, Some(404)),
    sample("DELETE", "/api/v3/configure/database", "db=DB", "", Some(404)),
    sample("POST", "/api/v3/configure/table", "", r#"{"db":"DB","table":"new"}"#, Some(404)),
    sample("DELETE", "/api/v3/configure/table", "db=DB&table=m", "", Some(404)),
    sample("GET", "/api/v3/configure/token", "", "", None),
    sample("POST", "/api/v3/configure/token", "", r#"{"token_name":"new","permissions":[]}"#, None),
    sample("DELETE", "/api/v3/configure/token", "token_name=none", "", None),
    sample("GET", "/api/v3/enterprise/configure/token", "", "", None),
    sample("POST", "/api/v3/enterprise/configure/token", "", r#"{"token_name":"new","permissions":[]}"#, None),
    sample("DELETE", "/api/v3/enterprise/configure/token", "token_name=none", "", None),
    sample("GET", "/api/v3/configure/quota", "db=DB", "", Some(404)),
    sample("POST", "/api/v3/configure/quota", "", r#"{"db":"DB","points_per_minute":1}"#, Some(404)),
    sample("GET", "/api/v3/configure/backup", "", "", None),
    sample("POST", "/api/v3/configure/backup", "", r#"{"db":"DB","every":"1d","keep":7}"#, Some(404)),
    sample("DELETE", "/api/v3/configure/backup", "db=DB", "", Some(404)),
    sample("GET", "/api/v3/configure/access", "", "", None),
    sample("POST", "/api/v3/configure/access", "", "{}", None),
    sample("GET", "/metrics", "db=DB", "", Some(404)),
    sample("GET", "/metrics/targets", "", "", None),
    sample("GET", "/api/v3/backup", "db=DB", "", None),
    sample("POST", "/api/v3/backup", "db=DB", "", Some(404)),
    sample("DELETE", "/api/v3/backup", "id=DB.1", "", Some(404)),
    sample("POST", "/api/v3/backup/verify", "id=DB.1", "", Some(404)),
    sample("POST", "/api/v3/restore", "db=new&from=DB.1", "", Some(404)),
    sample("GET", "/api/v3/recover", "db=DB", "", Some(404)),
    sample("POST", "/api/v3/recover", "db=DB&time=2023-11-14T20:00:00Z", "", Some(404)),
    sample("POST", "/debug/verify", "db=DB", "", Some(404)),
];

/// The sample `m 0 1`, compressed with snappy.
const REMOTE_WRITE: &str = "\x15\x50\x0a\x13\x0a\x0d\x0a\x08__name__\x12\x01m\x12\x02\x10\x01";
const OTLP: &str = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"timeUnixNano":"1","asInt":1}]}}]}]}]}"#;

#[derive(Clone, Copy, Debug)]
struct Faults<'a> {
    token: Option<&'a str>,
    is_long: bool,
    is_missing: bool,
}

fn too_long(sample: &Sample, body: Body) -> Option<u16> {
    match body {
        _ if is_influxql(sample) => Some(400),
        // The platform limits the length of a URL.
        Body::None => None,
        Body::Bytes(_) | Body::Query | Body::Lines | Body::Samples => Some(413),
    }
}

fn is_influxql(sample: &Sample) -> bool {
    sample.query.contains("FROM") || sample.body.contains("FROM")
}

fn send(product: &mut Product, sample: &Sample, body: Body, faults: Faults<'_>) -> u16 {
    let Sample { method, path, query, body: text, .. } = sample;
    let name = if faults.is_missing { "gone" } else { "db" };
    let (mut query, mut text) = (query.replace("DB", name), text.replace("DB", name));
    let mut headers: Vec<(String, String)> = Vec::new();
    headers.extend(faults.token.map(|token| ("authorization".into(), format!("Token {token}"))));
    if *path == "/query" && *method == "POST" {
        headers.push(("content-type".into(), "application/x-www-form-urlencoded".into()));
    }
    if body == Body::Samples {
        let media_type = if *path == "/v1/metrics" { "json" } else { "x-protobuf" };
        headers.push(("content-type".into(), format!("application/{media_type}")));
        let encoding = if *path == "/v1/metrics" { "identity" } else { "snappy" };
        headers.push(("content-encoding".into(), encoding.into()));
    }
    let spaces = |count: usize| " ".repeat(count);
    match (body, faults.is_long) {
        (_, false) => {}
        // The text is longer than the limit for texts, but shorter than the limit for bodies.
        (Body::None | Body::Query, true) if is_influxql(sample) => {
            let long = format!("FROM{}m", "+".repeat(QUERY_TEXT_BYTES_MAX));
            query = query.replace("FROM+m", &long);
            text = text.replace("FROM+m", &long);
            text = text.replace("FROM m", &long.replace('+', " "));
        }
        (Body::None, true) => {}
        (Body::Bytes(bytes), true) => text.push_str(&spaces(bytes + 1)),
        (Body::Query, true) => text.push_str(&spaces(QUERY_BODY_PER_TEXT * QUERY_TEXT_BYTES_MAX)),
        (Body::Lines | Body::Samples, true) => {
            headers.push(("content-length".into(), (BODY_BYTES_MAX + 1).to_string()));
        }
    }
    let mut bytes = text.into_bytes();
    let is_flight = path.starts_with("/arrow");
    if is_flight {
        bytes = called(&bytes);
        headers.push(("content-type".into(), "application/grpc-web+proto".into()));
    }
    let id = if is_flight { "DoGet" } else { "00000000000000ff" };
    let path = path.replace("{id}", id);
    let response =
        product.request(RequestHead { method: (*method).into(), path, query, headers }, bytes);
    if is_flight { status_of_grpc(&response) } else { response.status }
}

fn called(ticket: &[u8]) -> Vec<u8> {
    let mut message = vec![0x0a];
    let mut rest = ticket.len();
    while rest >= 128 {
        message.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    message.push(rest as u8);
    message.extend(ticket);
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    body
}

fn status_of_grpc(response: &Response) -> u16 {
    let text = String::from_utf8_lossy(&response.body);
    let (_, code) = text.split_once("grpc-status:").unwrap();
    match code.split("\r\n").next().unwrap() {
        "16" => 401,
        "7" => 403,
        "5" => 404,
        "3" => 400,
        "8" => 413,
        other => panic!("{other}: {text}"),
    }
}

fn shard_requests(product: &Product) -> u64 {
    let requests = product.object_requests().iter();
    requests.filter(|(at, _)| matches!(at, Address::Shard(_))).map(|(_, count)| count).sum()
}

#[test]
fn request_checks_precede_other_work() {
    let mut product =
        Product::with(&[("SQL", "true"), ("BACKUPS", "true"), ("AUTO_CREATE_DATABASES", "false")]);
    product.query("", "CREATE DATABASE db; CREATE DATABASE other");
    product.write("db", "m v=1 1");
    let stranger = token(&mut product, "t", &["other"], &["read"], None);
    for route in ROUTES {
        for operation in route.operations.iter().filter(|of| of.access != Access::Open) {
            for method in operation.methods {
                let of = |row: &&Sample| (row.method, row.path) == (method, route.path);
                let row = SAMPLES.iter().find(of);
                let row = row.unwrap_or_else(|| panic!("no sample of {method} {}", route.path));
                let before = shard_requests(&product);
                let mut check = |token, is_long, is_missing, expected| {
                    let faults = Faults { token, is_long, is_missing };
                    let status = send(&mut product, row, operation.body, faults);
                    assert_eq!(status, expected, "{method} {}: {faults:?}", route.path);
                };
                for token in [None, Some("wrong")] {
                    check(token, true, true, 401);
                    check(token, false, false, 401);
                }
                let too_long = too_long(row, operation.body);
                if operation.access != Access::Known {
                    // The server does not parse a text that is too long.
                    let is_parsed = operation.access == Access::Statements;
                    let first = too_long.filter(|_| is_parsed).unwrap_or(403);
                    check(Some(&stranger), true, true, first);
                    // The status must not reveal which databases exist.
                    check(Some(&stranger), false, true, 403);
                    check(Some(&stranger), false, false, 403);
                }
                if let Some(too_long) = too_long {
                    check(Some(TOKEN), true, true, too_long);
                    check(Some(TOKEN), true, false, too_long);
                }
                if let Some(missing) = row.missing {
                    check(Some(TOKEN), false, true, missing);
                }
                assert_eq!(shard_requests(&product), before, "{method} {}", route.path);
            }
        }
    }
}
