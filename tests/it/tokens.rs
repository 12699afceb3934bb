//! Tests database tokens in the whole product: permissions with every authentication scheme and on
//! every route.

use std::fmt::Write as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tidemark_coordinator::grants::token_hash;
use tidemark_model::limits::{ADDRESS_FAILURES_MAX, FAILURES_MAX};
use tidemark_server::http::Response;

use crate::product::{Product, TOKEN, header};

const SCHEMES: [&str; 8] =
    ["Bearer", "bearer", "Token", "TOKEN", "Basic", "u and p", "p", "Token u:"];

pub(crate) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Sends a request with the token in the given authentication scheme. With an empty scheme, the
/// request has no token.
pub(crate) fn send(
    product: &mut Product,
    (scheme, token): (&str, &str),
    (method, target): (&str, &str),
    body: &str,
) -> Response {
    let mark = if target.contains('?') { '&' } else { '?' };
    let (mut target, mut authorization) = (target.to_owned(), String::new());
    match scheme {
        "" => {}
        "Basic" => {
            let pair = BASE64_STANDARD.encode(format!("any:{token}"));
            authorization = format!("Basic {pair}");
        }
        "u and p" => write!(target, "{mark}u=any&p={}", encoded(token)).unwrap(),
        "p" => write!(target, "{mark}p={}", encoded(token)).unwrap(),
        "Token u:" => authorization = format!("Token any:{token}"),
        word => authorization = format!("{word} {token}"),
    }
    let form = ("content-type", "application/x-www-form-urlencoded");
    let mut headers = vec![form, ("cf-connecting-ip", "192.0.2.1")];
    if !authorization.is_empty() {
        headers.push(("authorization", &authorization));
    }
    product.send(method, &target, &headers, body)
}

pub(crate) fn admin(
    product: &mut Product,
    request: (&str, &str),
    body: &str,
    status: u16,
) -> Value {
    let response = send(product, ("Bearer", TOKEN), request, body);
    let text = String::from_utf8(response.body).unwrap();
    assert_eq!(response.status, status, "{request:?}: {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// Runs an InfluxQL statement of the administrator.
pub(crate) fn run(product: &mut Product, q: &str) -> Value {
    admin(product, ("POST", &format!("/query?q={}", encoded(q))), "", 200)
}

pub(crate) fn token(
    product: &mut Product,
    name: &str,
    resources: &[&str],
    actions: &[&str],
    expiry_secs: Option<u64>,
) -> String {
    let permission =
        json!({"resource_type": "db", "resource_identifier": resources, "actions": actions});
    let mut body = json!({"token_name": name, "permissions": [permission]});
    if let Some(seconds) = expiry_secs {
        body["expiry_secs"] = seconds.into();
    }
    let route = ("POST", "/api/v3/enterprise/configure/token");
    let made = admin(product, route, &body.to_string(), 201);
    made["token"].as_str().unwrap().to_owned()
}

pub(crate) fn body(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).trim_end().to_owned()
}

/// Creates a product with the databases `a` and `b` and a policy `a/p`, with one point in each.
fn two_databases() -> Product {
    let mut product = Product::with(&[("AUTO_CREATE_RETENTION", "INF")]);
    for q in [
        "CREATE DATABASE a",
        "CREATE DATABASE b",
        "CREATE RETENTION POLICY p ON a DURATION INF REPLICATION 1",
    ] {
        run(&mut product, q);
    }
    for target in ["/write?db=a", "/write?db=a&rp=p", "/write?db=b"] {
        admin(&mut product, ("POST", target), "m v=1 1", 204);
    }
    product
}

#[test]
fn access_matrix_of_schemes_and_routes() {
    let mut product = two_databases();
    let all = [
        ("read a", token(&mut product, "read a", &["a"], &["read"], None)),
        ("write a", token(&mut product, "write a", &["a"], &["write"], None)),
        ("both a", token(&mut product, "both a", &["a"], &["read", "write"], None)),
        ("both a/p", token(&mut product, "both a/p", &["a/p"], &["read", "write"], None)),
        ("both *", token(&mut product, "both *", &["*"], &["write", "read"], None)),
        ("admin", TOKEN.to_owned()),
        ("unknown", "apiv3_unknown".to_owned()),
    ];
    // The statuses for these callers: read a, write a, both a, both a/p, both *, admin, unknown.
    let table: &[(&str, &str, &str, [u16; 7])] = &[
        ("POST", "/write?db=a", "m v=1 2", [403, 204, 204, 403, 204, 204, 401]),
        ("POST", "/write?db=a&rp=p", "m v=1 2", [403, 204, 204, 204, 204, 204, 401]),
        ("POST", "/write?db=b", "m v=1 2", [403, 403, 403, 403, 204, 204, 401]),
        ("POST", "/write?db=none", "m v=bad", [403, 403, 403, 403, 400, 400, 401]),
        ("POST", "/api/v2/write?bucket=a", "m v=1 2", [403, 204, 204, 403, 204, 204, 401]),
        ("POST", "/api/v2/write?bucket=a/p", "m v=1 2", [403, 204, 204, 204, 204, 204, 401]),
        ("POST", "/api/v3/write_lp?db=a", "m v=1 2", [403, 204, 204, 403, 204, 204, 401]),
        ("POST", "/query?db=a", "q=SELECT * FROM m", [200, 403, 200, 403, 200, 200, 401]),
        ("GET", "/query?db=a&q=SELECT+*+FROM+m", "", [200, 403, 200, 403, 200, 200, 401]),
        ("POST", "/query?db=a&rp=p", "q=SELECT * FROM m", [200, 403, 200, 200, 200, 200, 401]),
        ("POST", "/query?db=a", "q=SELECT * FROM b..m", [403, 403, 403, 403, 200, 200, 401]),
        ("POST", "/query?db=none", "q=SELECT * FROM m", [403, 403, 403, 403, 200, 200, 401]),
        (
            "POST",
            "/query?db=a",
            "q=SELECT v FROM (SELECT v FROM b..m)",
            [403, 403, 403, 403, 200, 200, 401],
        ),
        ("POST", "/query?db=a", "q=SELECT v INTO b..n FROM m", [403, 403, 403, 403, 200, 200, 401]),
        ("POST", "/query?db=a", "q=SELECT v INTO n FROM m", [403, 403, 200, 403, 200, 200, 401]),
        (
            "POST",
            "/query?db=a",
            "q=SHOW MEASUREMENTS; SHOW MEASUREMENTS ON b",
            [403, 403, 403, 403, 200, 200, 401],
        ),
        ("POST", "/query?db=a", "q=SHOW MEASUREMENTS", [200, 403, 200, 200, 200, 200, 401]),
        ("POST", "/query", "q=SHOW DATABASES", [200, 200, 200, 200, 200, 200, 401]),
        ("POST", "/query", "q=SHOW RETENTION POLICIES ON a", [200, 403, 200, 200, 200, 200, 401]),
        ("POST", "/query?db=a", "q=DELETE FROM x", [403, 200, 200, 403, 200, 200, 401]),
        ("POST", "/query?db=a", "q=DROP SERIES FROM x", [403, 200, 200, 403, 200, 200, 401]),
        ("POST", "/query?db=a", "q=DROP MEASUREMENT x", [403, 403, 403, 403, 403, 200, 401]),
        ("POST", "/query", "q=CREATE DATABASE a", [403, 403, 403, 403, 403, 200, 401]),
        ("POST", "/query", "q=DROP DATABASE none", [403, 403, 403, 403, 403, 200, 401]),
        ("POST", "/query", "q=SHOW USERS", [403, 403, 403, 403, 403, 200, 401]),
        ("GET", "/api/v3/configure/token", "", [403, 403, 403, 403, 403, 200, 401]),
        ("DELETE", "/api/v3/configure/token?token_name=x", "", [403, 403, 403, 403, 403, 404, 401]),
        ("POST", "/api/v3/configure/token", "{}", [403, 403, 403, 403, 403, 400, 401]),
        (
            "POST",
            "/api/v3/configure/database",
            "{\"db\":\"a\"}",
            [403, 403, 403, 403, 403, 409, 401],
        ),
        ("GET", "/ping", "", [204; 7]),
        ("GET", "/health", "", [200; 7]),
    ];
    let mut faults = Vec::new();
    println!(
        "route | body | {}",
        all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" | ")
    );
    for (method, target, body, expected) in table {
        let body =
            body.strip_prefix("q=").map_or((*body).to_owned(), |q| format!("q={}", encoded(q)));
        let mut found = Vec::new();
        for scheme in SCHEMES {
            let mut row = Vec::new();
            for (_, token) in &all {
                // After this pause, the number of failures of the unknown token is below the limit.
                product.pass(10);
                row.push(send(&mut product, (scheme, token), (method, target), &body).status);
            }
            if row != expected {
                faults
                    .push(format!("{scheme}: {method} {target} {body}: {row:?}, not {expected:?}"));
            }
            found = row;
        }
        println!("{method} {target} | {body} | {found:?}");
        let open = matches!(*target, "/ping" | "/health");
        let without = send(&mut product, ("", ""), (method, target), &body).status;
        if !open && without != 401 {
            faults.push(format!("without a token: {method} {target}: {without}"));
        }
    }
    println!("each row with every scheme: {SCHEMES:?}; without any: 401");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn forbidden_response_hides_database_existence() {
    let mut product = two_databases();
    let secret = token(&mut product, "mine", &["a"], &["read", "write"], None);
    for (there, absent) in [
        (("POST", "/write?db=b"), ("POST", "/write?db=x")),
        (("POST", "/api/v2/write?bucket=b"), ("POST", "/api/v2/write?bucket=x")),
        (("POST", "/api/v3/write_lp?db=b"), ("POST", "/api/v3/write_lp?db=x")),
        (("GET", "/query?db=b&q=SHOW+SERIES"), ("GET", "/query?db=x&q=SHOW+SERIES")),
    ] {
        let [there, absent] = [there, absent].map(|request| {
            let response = send(&mut product, ("Token", &secret), request, "m v=1");
            assert_eq!(response.status, 403, "{request:?}");
            body(&response).replace("\"b\\\"", "\"x\\\"").replace("on b", "on x")
        });
        assert_eq!(there, absent);
    }
    let response = send(&mut product, ("Token", &secret), ("POST", "/write?db=b"), "m v=1");
    let error = "token \\\"mine\\\" user is not authorized to write to database \\\"b\\\"";
    let expected =
        format!("{{\"code\":\"forbidden\",\"message\":\"{error}\",\"error\":\"{error}\"}}");
    assert_eq!(body(&response), expected);
    let get = ("GET", "/query?db=b&q=SELECT+v+FROM+m");
    let response = send(&mut product, ("Token", &secret), get, "");
    let expected = "{\"error\":\"error authorizing query: token \\\"mine\\\" not authorized to \
                    execute statement 'SELECT v FROM m', requires READ on b\"}";
    assert_eq!(body(&response), expected);
}

#[test]
fn write_permission_allows_database_creation() {
    let mut product = two_databases();
    let everywhere = token(&mut product, "everywhere", &["*"], &["write"], None);
    let named = token(&mut product, "named", &["later", "later2"], &["write"], None);
    let reader = token(&mut product, "reader", &["later"], &["read"], None);
    let of_policy = token(&mut product, "of policy", &["later/p"], &["write"], None);
    let mut write = |secret: &str, target: &str| {
        let response = send(&mut product, ("Bearer", secret), ("POST", target), "m v=1");
        let created = header(&response, "X-Tidemark-Created").map(str::to_owned);
        (response.status, body(&response), created)
    };
    let (status, text, _) = write(&of_policy, "/write?db=later&rp=p");
    assert_eq!(status, 404, "{text}");
    let cure = "database not found: \\\"later\\\"; token \\\"of policy\\\" may write only to some \
                policies of the database, so it cannot create the database: run CREATE DATABASE later, or \
                use a token for the whole database";
    assert!(text.contains(cure), "{text}");
    assert_eq!(write(&reader, "/write?db=later").0, 403);
    assert_eq!(write(&named, "/write?db=elsewhere").0, 403);
    let made = |name: &str| (204, String::new(), Some(format!("{name}; retention=INF")));
    assert_eq!(write(&named, "/write?db=later&rp=p"), made("later/p"));
    assert_eq!(write(&named, "/api/v2/write?bucket=later2"), made("later2/autogen"));
    assert_eq!(write(&of_policy, "/write?db=later&rp=p"), (204, String::new(), None));
    assert_eq!(write(&everywhere, "/write?db=third"), made("third/autogen"));
}

#[test]
fn token_secret_is_shown_once() {
    let mut product = two_databases();
    let secret = token(&mut product, "t", &["a", "b/p", "*"], &["read"], Some(3_600));
    assert!(secret.starts_with("apiv3_") && secret.len() == 6 + 64, "{secret}");
    let list = admin(&mut product, ("GET", "/api/v3/configure/token"), "", 200);
    let permission = |resource: &str| json!({"resource_type": "db", "resource_identifier": [resource], "actions": ["read"]});
    let expected = json!([{
        "id": 1,
        "name": "t",
        "permissions": [permission("a"), permission("b/p"), permission("*")],
        "created_at": list[0]["created_at"],
        "expiry": list[0]["expiry"],
        "hash": token_hash(&secret),
        "last_used": null,
    }]);
    assert_eq!(list, expected);
    assert!(list[0]["expiry"].as_str() > list[0]["created_at"].as_str(), "{list}");
    let again = json!({"token_name": "t", "permissions": [permission("a")]}).to_string();
    let route = ("POST", "/api/v3/configure/token");
    let refused = admin(&mut product, route, &again, 409);
    assert_eq!(refused["message"], "token \"t\" already exists");
}

#[test]
fn invalid_token_requests_are_reported() {
    let mut product = two_databases();
    let permission = |resource_type: &str, resource: &str, action: &str| {
        json!({"token_name": "t", "permissions": [{
            "resource_type": resource_type, "resource_names": [resource], "actions": [action]}]})
    };
    let mut expired = permission("db", "a", "read");
    expired["expiry_secs"] = 0.into();
    let mut nameless = permission("db", "a", "read");
    nameless["token_name"] = "".into();
    for (request, expected) in [
        (json!({"token_name": "t", "permissions": []}), "permissions must name at least"),
        (permission("admin", "a", "read"), "resource_type must be \"db\""),
        (permission("db", "a", "delete"), "actions must contain"),
        (permission("db", "..", "read"), "invalid resource \"..\""),
        (permission("db", "a/", "read"), "invalid resource \"a/\""),
        (permission("db", "*/p", "read"), "invalid resource \"*/p\""),
        (permission("db", "", "read"), "invalid resource \"\""),
        (expired, "expiry_secs must be above 0"),
        (nameless, "token_name must consist of"),
    ] {
        let route = ("POST", "/api/v3/configure/token");
        let refused = admin(&mut product, route, &request.to_string(), 400);
        let message = refused["message"].as_str().unwrap();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn expired_or_revoked_token_is_rejected() {
    let mut product = two_databases();
    let short = token(&mut product, "short", &["a"], &["write"], Some(30));
    let write = ("POST", "/write?db=a");
    assert_eq!(send(&mut product, ("Token", &short), write, "m v=1").status, 204);
    product.pass(30);
    assert_eq!(send(&mut product, ("Token", &short), write, "m v=1").status, 401);

    let long = token(&mut product, "long", &["a"], &["write"], None);
    assert_eq!(send(&mut product, ("Token", &long), write, "m v=1").status, 204);
    admin(&mut product, ("DELETE", "/api/v3/configure/token?token_name=long"), "", 200);
    assert_eq!(send(&mut product, ("Token", &long), write, "m v=1").status, 401);
    admin(&mut product, ("DELETE", "/api/v3/configure/token?token_name=long"), "", 404);
}

/// This isolate has cached the caller.
#[test]
fn revoked_credentials_fail_on_every_route() {
    let mut product = two_databases();
    for q in ["CREATE USER ann WITH PASSWORD 'old'", "GRANT ALL ON a TO ann"] {
        run(&mut product, q);
    }
    let secret = token(&mut product, "t", &["a"], &["read", "write"], None);
    let routes = |q: &str| format!("/query?db=a&q={}", encoded(q));
    let targets = [
        ("POST", "/write?db=a".to_owned(), "m v=1 1"),
        ("POST", "/write?db=a".to_owned(), "# no lines"),
        ("POST", "/api/v2/write?bucket=a".to_owned(), "m v=1 1"),
        ("GET", routes("SELECT * FROM m"), ""),
        ("GET", routes("SELECT * FROM nothing"), ""),
        ("POST", routes("SELECT * INTO n FROM m"), ""),
        ("GET", routes("SHOW MEASUREMENTS"), ""),
        ("GET", routes("SHOW RETENTION POLICIES"), ""),
        ("GET", routes("EXPLAIN SELECT * FROM m"), ""),
        ("GET", routes("SHOW DATABASES"), ""),
        ("GET", routes("SHOW STATS ON a"), ""),
        ("POST", routes("DELETE FROM x"), ""),
        ("POST", routes("DROP SERIES FROM x"), ""),
        ("GET", "/api/v3/export?db=a".to_owned(), ""),
        ("GET", "/api/v3/configure/database".to_owned(), ""),
    ];
    let statuses = |product: &mut Product, scheme: (&str, &str)| -> Vec<u16> {
        let send = |(method, target, body): &(&str, String, &str)| {
            send(product, scheme, (method, target), body).status
        };
        targets.iter().map(send).collect()
    };
    for _ in 0..2 {
        for scheme in [("Bearer", secret.as_str()), ("Token", "ann:old")] {
            let found = statuses(&mut product, scheme);
            assert!(found.iter().all(|status| *status < 300), "{scheme:?}: {found:?}");
        }
    }
    admin(&mut product, ("DELETE", "/api/v3/configure/token?token_name=t"), "", 200);
    run(&mut product, "SET PASSWORD FOR ann = 'new'");
    for scheme in [("Bearer", secret.as_str()), ("Token", "ann:old")] {
        let found = statuses(&mut product, scheme);
        assert!(found.iter().all(|status| *status == 401), "{scheme:?}: {found:?}");
    }
    let found = statuses(&mut product, ("Token", "ann:new"));
    assert!(found.iter().all(|status| *status < 300), "{found:?}");
}

fn log_in(product: &mut Product, (user, password): (&str, &str), address: &str) -> Response {
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    let headers = [("cf-connecting-ip", address), ("authorization", basic.as_str())];
    product.send("POST", "/api/v2/write?bucket=a", &headers, "m v=1")
}

/// Other clients use the same address as the client that guesses passwords. Each request takes one
/// second.
#[test]
fn password_guessing_is_slowed() {
    let mut product = two_databases();
    let secret = token(&mut product, "mine", &["a"], &["read", "write"], None);
    for q in [
        "CREATE USER ann WITH PASSWORD 'right'",
        "CREATE USER bob WITH PASSWORD 'good'",
        "GRANT WRITE ON a TO ann",
        "GRANT WRITE ON a TO bob",
    ] {
        run(&mut product, q);
    }
    let here = "192.0.2.1";
    assert_eq!(log_in(&mut product, ("ann", "right"), here).status, 204);
    for name in ["ann", "nobody"] {
        let mut guess = |n: u32| log_in(&mut product, (name, &format!("guess {n}")), here);
        let replies: Vec<Response> = (0..40).map(&mut guess).collect();
        let (before, after) = replies.split_at(FAILURES_MAX as usize);
        assert!(before.iter().all(|reply| reply.status == 401), "{before:?}");
        for reply in after {
            assert_eq!(reply.status, 429, "{}", body(reply));
            let wait: u32 = header(reply, "Retry-After").unwrap().parse().unwrap();
            assert!((1..=30).contains(&wait), "{wait}");
        }
        assert!(body(&after[0]).contains("failed logins of this user"), "{}", body(&after[0]));
        // Telegraf's v1 output drops a batch after status 429.
        let target = format!("/write?db=a&u={name}&p=more");
        assert_eq!(send(&mut product, ("", ""), ("POST", &target), "m v=1").status, 401);
        for (user, password) in [("ann", "right"), ("bob", "good")] {
            let reply = log_in(&mut product, (user, password), here);
            assert_eq!(reply.status, 204, "{}", body(&reply));
        }
        for (token, status) in [(secret.as_str(), 204), (TOKEN, 204), ("apiv3_guess", 401)] {
            let write = ("POST", "/api/v2/write?bucket=a");
            let reply = send(&mut product, ("Bearer", token), write, "m v=1");
            assert_eq!(reply.status, status, "{}", body(&reply));
        }
        assert_eq!(log_in(&mut product, (name, "elsewhere"), "192.0.2.2").status, 401);
        product.pass(60);
        assert_eq!(log_in(&mut product, (name, "a minute later"), here).status, 401);
    }
}

/// While a client guesses names, a user must wait if the password was not recently verified from
/// the client's address.
#[test]
fn address_guessing_many_names_is_slowed() {
    let mut product = two_databases();
    for q in ["CREATE USER ann WITH PASSWORD 'right'", "CREATE USER bob WITH PASSWORD 'good'"] {
        run(&mut product, q);
    }
    let here = "192.0.2.1";
    assert_eq!(log_in(&mut product, ("ann", "right"), here).status, 403);
    // The verification expires, but the address is still known.
    product.pass(20 * 60);
    product.standing_still(|product| {
        for n in 0..ADDRESS_FAILURES_MAX {
            assert_eq!(log_in(product, (&format!("name {n}"), "x"), here).status, 401);
        }
        let waits = log_in(product, ("bob", "good"), here);
        assert_eq!(waits.status, 503, "{}", body(&waits));
        assert!(waits.headers.contains(&("Retry-After", "30".into())));
        assert_eq!(log_in(product, ("ann", "right"), here).status, 403);
        assert_eq!(log_in(product, ("bob", "good"), "192.0.2.2").status, 403);
        // A verification on one isolate is valid on all isolates.
        assert_eq!(log_in(product, ("bob", "good"), here).status, 403);
    });
}

#[test]
fn continuous_queries_respect_permissions() {
    let mut product = two_databases();
    for db in ["a", "b"] {
        let cq = format!(
            "CREATE CONTINUOUS QUERY c ON {db} BEGIN SELECT mean(v) INTO n FROM m GROUP BY time(1m) END"
        );
        run(&mut product, &cq);
    }
    let secret = token(&mut product, "mine", &["a"], &["read", "write"], None);
    let show = ("GET", "/query?q=SHOW+CONTINUOUS+QUERIES");
    let listed = body(&send(&mut product, ("Bearer", &secret), show, ""));
    assert!(listed.contains("\"name\":\"a\"") && !listed.contains("\"name\":\"b\""), "{listed}");
    // A name without a database refers to the request's database.
    let steal =
        "CREATE CONTINUOUS QUERY s ON a BEGIN SELECT mean(v) INTO n FROM m GROUP BY time(1m) END";
    let target = format!("/query?db=b&q={}", encoded(steal));
    let reply = send(&mut product, ("Bearer", &secret), ("POST", &target), "");
    assert_eq!(reply.status, 403, "{}", body(&reply));
    let everywhere = format!("/query?q={}", encoded("SHOW MEASUREMENTS ON *"));
    let listed = body(&send(&mut product, ("Bearer", &secret), ("GET", &everywhere), ""));
    assert!(listed.contains("\"a\"") && !listed.contains("\"b\""), "{listed}");
}

#[test]
fn policy_token_sees_only_its_policy() {
    let mut product = two_databases();
    admin(&mut product, ("POST", "/write?db=a"), "in_autogen,t=x v=1 1", 204);
    admin(&mut product, ("POST", "/write?db=a&rp=p"), "in_p,t=x v=1 1", 204);
    let secret = token(&mut product, "p only", &["a/p"], &["read", "write"], None);
    let mut ask = |q: &str| {
        let target = format!("/query?db=a&q={}", encoded(q));
        let reply = send(&mut product, ("Bearer", &secret), ("POST", &target), "");
        (reply.status, body(&reply))
    };
    for q in [
        "SHOW MEASUREMENTS",
        "SHOW TAG VALUES WITH KEY = t",
        "SHOW TAG KEYS",
        "SELECT * FROM p.in_p",
        "SHOW RETENTION POLICIES",
    ] {
        let (status, listed) = ask(q);
        assert_eq!(status, 200, "{q}: {listed}");
        assert!(!listed.contains("autogen"), "{q}: {listed}");
        assert!(listed.contains("in_p") || listed.contains("\"p\""), "{q}: {listed}");
    }
    for q in [
        "SELECT * FROM in_autogen",
        "SELECT * FROM autogen.in_autogen",
        "SELECT * FROM a.\"default\".in_autogen",
        "SELECT v INTO autogen.x FROM p.in_p",
        "SELECT v INTO x FROM p.in_p",
        "SHOW SERIES CARDINALITY",
        "DELETE FROM p.in_p",
        "DROP RETENTION POLICY p ON a",
    ] {
        let (status, answer) = ask(q);
        assert_eq!(status, 403, "{q}: {answer}");
    }
    // SHOW SERIES and SHOW FIELD KEYS list the default policy, as in 1.x, and not this policy.
    let nothing = (200, "{\"results\":[{\"statement_id\":0}]}".to_owned());
    assert_eq!(ask("SHOW SERIES"), nothing);
    // After the policy has become the default policy, names without a policy refer to it.
    run(&mut product, "ALTER RETENTION POLICY p ON a DEFAULT");
    let write = ("POST", "/write?db=a");
    assert_eq!(send(&mut product, ("Bearer", &secret), write, "m v=1").status, 204);
}

#[test]
fn both_admin_tokens_work_during_rotation() {
    let mut product = Product::with(&[("ADMIN_TOKEN_NEXT", "the next token to be")]);
    let list = ("GET", "/api/v3/configure/token");
    for (secret, status) in [(TOKEN, 200), ("the next token to be", 200), ("the last one", 401)] {
        assert_eq!(send(&mut product, ("Bearer", secret), list, "").status, status, "{secret}");
    }
}
