//! Tests that each request writes one log line, and that no log line contains a secret.

use crate::product::{Product, gzip, header};
use crate::tokens::encoded;
use base64::Engine as _;
use serde_json::{Value, json};

const CANARY: &str = "canary-3f9c2a71b";

const LINES: &str = "cpu v=1\ncpu";

#[test]
fn tokens_never_appear_in_output() {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("u:{CANARY}"));
    let schemes = [
        ("authorization", format!("Bearer {CANARY}")),
        ("authorization", format!("Token {CANARY}")),
        ("authorization", format!("Token u:{CANARY}")),
        ("authorization", format!("Basic {basic}")),
        ("authorization", format!("Digest {CANARY}")),
        ("authorization", CANARY.to_owned()),
    ];
    let routes = [
        "/write?db=db",
        "/write?db=..",
        "/write?precision=x&db=db",
        "/api/v2/write?bucket=db",
        "/api/v3/write_lp?db=db",
        "/api/v2/query",
        "/query?q=SHOW+DATABASES",
        "/query?q=SELEC",
        "/query?db=db&q=SELECT+v+FROM+cpu",
        "/api/v3/configure/database",
        "/api/v3/configure/token",
        "/api/v3/configure/token?token_name=x",
        "/api/v3/enterprise/configure/token",
        "/api/v3/configure/token/admin",
        "/debug/verify",
        "/metrics",
        "/ping",
        "/health",
        "/nowhere",
    ];
    let mut requests = 0;
    // `CANARY` is the admin token in the first case, and a wrong token in the second case.
    for admin in [CANARY, "another-admin-token"] {
        let mut product = Product::with(&[("ADMIN_TOKEN", admin), ("CORS_ORIGINS", "*")]);
        for route in routes {
            let mark = if route.contains('?') { '&' } else { '?' };
            let in_url = format!("{route}{mark}u=u&p={CANARY}");
            let in_url = [(in_url, ("origin", "https://a".to_owned()))];
            let in_header = schemes.iter().map(|scheme| (route.to_owned(), scheme.clone()));
            for (target, (name, value)) in in_header.chain(in_url) {
                for method in ["GET", "POST", "PUT", "HEAD", "OPTIONS"] {
                    let reply = product.send(method, &target, &[(name, &value)], LINES);
                    let line = product.log_line().unwrap();
                    let sinks =
                        format!("{reply:?} {} {line}", String::from_utf8_lossy(&reply.body));
                    assert!(!sinks.contains(CANARY), "{method} {target}: {sinks}");
                    assert!(!sinks.contains(&basic), "{method} {target}: {sinks}");
                    requests += 1;
                }
            }
        }
    }
    assert_eq!(requests, 2 * 19 * 7 * 5);
}

#[test]
fn log_line_describes_request_outcome() {
    let mut product = Product::with(&[]);
    let mut logged = |method: &str, target: &str, body: &[u8], encoding: &str| {
        let headers = [("x-request-id", "id-1"), ("content-encoding", encoding)];
        product.send(method, target, &headers, body);
        serde_json::from_str::<Value>(product.log_line().unwrap()).unwrap()
    };
    let line = logged(
        "POST",
        "/write?db=db&p=token-of-the-tests",
        b"cpu v=1\ncpu v=2 5000000000\ncpu",
        "",
    );
    assert_eq!(
        line,
        json!({
            "id": "id-1", "method": "POST", "route": "/write", "database": "db", "status": 400,
            "error": "rejected lines", "bytes_in": 30, "duration_ms": 0, "points": 1, "tiny": 1,
            "writes": 1, "tiny_writes": 1
        })
    );
    let lines: String = (0..100).map(|n| format!("cpu,n={n} v=1\n")).collect();
    let body = gzip(lines.as_bytes());
    let line =
        logged("POST", "/api/v2/write/?bucket=db/autogen&p=token-of-the-tests", &body, "gzip");
    assert_eq!(
        line,
        json!({
            "id": "id-1", "method": "POST", "route": "/api/v2/write", "database": "db",
            "status": 204, "bytes_in": body.len(), "duration_ms": 0, "points": 100, "tiny": 0,
            "writes": 2, "tiny_writes": 1
        })
    );
    let line = logged("GET", "/query?db=db&q=SELECT+v+FROM+cpu&p=no", b"", "");
    assert_eq!((&line["status"], &line["error"]), (&json!(401), &json!("unauthorized")));
    assert_eq!(line.get("database"), None);
    let line = logged("GET", "/query?db=db&q=SELECT+v+FROM+cpu&p=token-of-the-tests", b"", "");
    assert_eq!((&line["status"], &line["database"]), (&json!(200), &json!("db")));
}

#[test]
fn request_log_includes_client_trace() {
    let mut product = Product::with(&[]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (traceparent, expected) in [
        (format!("00-{trace}-00f067aa0ba902b7-01"), Some(trace)),
        (format!("00-{CANARY}-00f067aa0ba902b7-01"), None),
    ] {
        let reply = product.send("GET", "/ping", &[("traceparent", &traceparent)], LINES);
        let line: Value = serde_json::from_str(product.log_line().unwrap()).unwrap();
        assert_eq!(line.get("trace").and_then(Value::as_str), expected);
        let timing = "body;dur=0.000, objects;dur=0.000, total;dur=0.000";
        assert_eq!(header(&reply, "Server-Timing"), Some(timing));
    }
}

#[test]
fn log_line_omits_query_string() {
    let mut product = Product::with(&[]);
    let target = "/write?db=d&u=ann&p=secret&rp=policy&precision=s&x=canary#canary";
    product.send("POST", target, &[("x-request-id", "id-1")], LINES);
    assert_eq!(
        product.log_line(),
        Some(
            "{\"id\":\"id-1\",\"method\":\"POST\",\"route\":\"/write\",\
             \"error\":\"unauthorized\",\"status\":401,\"bytes_in\":0,\"duration_ms\":0}"
        )
    );
    product.send(
        "POST",
        "/write?db=d&u=ann&p=token-of-the-tests",
        &[("x-request-id", "id-2")],
        LINES,
    );
    assert_eq!(
        product.log_line(),
        Some(
            "{\"id\":\"id-2\",\"method\":\"POST\",\"route\":\"/write\",\"database\":\"d\",\
             \"error\":\"rejected lines\",\"status\":400,\"bytes_in\":11,\"duration_ms\":0,\
             \"points\":1,\"tiny\":1,\"writes\":1,\"tiny_writes\":1}"
        )
    );
}

#[test]
fn url_credentials_can_be_disabled() {
    let basic = base64::engine::general_purpose::STANDARD.encode("u:token-of-the-tests");
    let header = format!("Basic {basic}");
    for (allowed, in_url, in_header) in [("true", 200, 200), ("false", 401, 200)] {
        let mut product = Product::with(&[("URL_CREDENTIALS", allowed)]);
        let q = "q=SHOW+DATABASES";
        for (target, header, status) in [
            (format!("/query?{q}&u=u&p=token-of-the-tests"), "", in_url),
            // The password must not be in the log even if the request is rejected.
            (format!("/query?{q}&u=u&p=token-of-the-tests"), header.as_str(), in_url),
            (format!("/query?{q}&u=&p="), header.as_str(), in_header),
            (format!("/query?{q}"), header.as_str(), in_header),
        ] {
            let reply = product.send("GET", &target, &[("authorization", header)], LINES);
            assert_eq!(reply.status, status, "{allowed} {target}");
            let text = String::from_utf8(reply.body).unwrap();
            let is_told = text.contains("does not accept credentials in the URL");
            assert_eq!(is_told, status == 401, "{text}");
            assert!(!text.contains("token-of"), "{text}");
        }
    }
}

#[test]
fn log_requests_setting_selects_lines() {
    for (which, expected) in
        [("all", [true, true]), ("errors", [false, true]), ("none", [false; 2])]
    {
        let mut product = Product::with(&[("LOG_REQUESTS", which)]);
        let logged = ["GET", "PUT"].map(|method| {
            product.send(method, "/ping", &[("accept", "*/*")], LINES);
            product.log_line().is_some()
        });
        assert_eq!(logged, expected, "{which}");
    }
}

#[test]
fn secrets_are_shown_at_most_once() {
    let mut product = Product::with(&[]);
    let body = json!({"token_name": "t", "permissions": [
        {"resource_type": "db", "resource_identifier": ["d"], "actions": ["read"]}]});
    let made = product.post("/api/v3/configure/token", &body.to_string());
    let made: Value = serde_json::from_slice(&made.body).unwrap();
    let token = made["token"].as_str().unwrap().to_owned();
    assert!(!product.log_line().unwrap().contains(&token));
    let create = encoded(&format!("CREATE USER u WITH PASSWORD '{CANARY}'"));
    let secrets = [token.as_str(), CANARY];
    let bearer = ("authorization", format!("Bearer {token}"));
    let of_user = ("authorization", format!("Token u:{CANARY}"));
    let admin = ("authorization", "Bearer token-of-the-tests".to_owned());
    for (method, target, (name, value)) in [
        ("POST", format!("/query?q={create}"), &admin),
        ("POST", format!("/query?q={create}"), &admin),
        ("GET", format!("/query?q={create}"), &admin),
        ("POST", format!("/query?q={create}"), &bearer),
        (
            "POST",
            format!("/query?q={}", encoded(&format!("SET PASSWORD FOR u = '{CANARY}'"))),
            &admin,
        ),
        ("POST", "/query?q=SHOW+USERS".to_owned(), &admin),
        ("GET", "/api/v3/configure/token".to_owned(), &admin),
        ("POST", "/write?db=d".to_owned(), &bearer),
        ("POST", "/write?db=d".to_owned(), &of_user),
        ("POST", "/query?db=d&q=SHOW+SERIES".to_owned(), &bearer),
        ("POST", "/query?db=d&q=SHOW+SERIES".to_owned(), &of_user),
        ("POST", "/api/v3/configure/token".to_owned(), &bearer),
        ("DELETE", "/api/v3/configure/token?token_name=t".to_owned(), &admin),
        ("POST", "/write?db=d".to_owned(), &bearer),
    ] {
        let reply = product.send(method, &target, &[(name, value)], LINES);
        let line = product.log_line().unwrap();
        let sinks = format!("{reply:?} {} {line}", String::from_utf8_lossy(&reply.body));
        for secret in secrets {
            assert!(!sinks.contains(secret), "{method} {target}: {sinks}");
        }
    }
}
