//! Tests users in the whole product. The responses must equal those that 1.x with authentication
//! returns for the same requests.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::product::Product;
use crate::tokens::{admin, body, encoded, run, send};

/// Creates a product with the user `u`, who has the password `x` and can read database `e`.
fn with_user() -> Product {
    let mut product = Product::with(&[]);
    for q in [
        "CREATE DATABASE d",
        "CREATE DATABASE e",
        "CREATE USER u WITH PASSWORD 'x'",
        "GRANT READ ON e TO u",
        "GRANT WRITE ON d TO u",
        "REVOKE WRITE ON d FROM u",
    ] {
        let done = run(&mut product, q);
        assert_eq!(done, json!({"results": [{"statement_id": 0}]}), "{q}");
    }
    product
}

#[test]
fn user_needs_name_and_password() {
    let mut product = with_user();
    let get = ("GET", "/query?q=SHOW+DATABASES");
    let listed = "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"databases\",\
                  \"columns\":[\"name\"],\"values\":[[\"e\"]]}]}]}";
    let pair = BASE64_STANDARD.encode("u:x");
    for scheme in [("basic", pair.as_str()), ("Token", "u:x")] {
        let response = send(&mut product, scheme, get, "");
        assert_eq!((response.status, body(&response).as_str()), (200, listed), "{scheme:?}");
    }
    let by_url = ("GET", "/query?q=SHOW+DATABASES&u=u&p=x");
    let response = send(&mut product, ("", ""), by_url, "");
    assert_eq!((response.status, body(&response).as_str()), (200, listed));

    for (scheme, secret) in [
        ("Bearer", "x"),
        ("Token", "x"),
        ("Bearer", "u:x"),
        ("Basic", "x"),
        ("p", "x"),
        ("u and p", "x"),
        ("Token", "u:X"),
        ("Token", "u:"),
        ("Token", ":x"),
        ("Token", "U:x"),
        ("Token", "nobody:x"),
    ] {
        let response = send(&mut product, (scheme, secret), get, "");
        assert_eq!(response.status, 401, "{scheme} {secret}");
    }
}

#[test]
fn permission_errors_match_influxdb_1() {
    let mut product = with_user();
    let user = ("Token", "u:x");
    for (db, q, requires) in [
        ("d", "SHOW MEASUREMENTS", "READ on d"),
        ("nope", "SHOW MEASUREMENTS", "READ on nope"),
        ("e", "SELECT * FROM nope..m", "READ on nope"),
        ("e", "SELECT * INTO d..x FROM m", "WRITE on d"),
        ("e", "SELECT * FROM (SELECT * FROM d..m)", "READ on d"),
        ("e", "DROP DATABASE d", "admin privilege"),
        ("e", "CREATE DATABASE z", "admin privilege"),
        ("e", "SHOW USERS", "admin privilege"),
        ("e", "SHOW RETENTION POLICIES ON d", "READ on d"),
        ("e", "DROP RETENTION POLICY x ON e", "WRITE on e"),
        ("e", "ALTER RETENTION POLICY x ON d DEFAULT", "admin privilege"),
        ("e", "DELETE FROM m", "WRITE on e"),
        ("e", "DROP SERIES FROM m", "WRITE on e"),
        ("e", "DROP MEASUREMENT m", "admin privilege"),
        ("e", "SHOW STATS", "admin privilege"),
        ("e", "SHOW STATS ON d", "READ on d"),
        ("e", "SHOW GRANTS FOR u", "admin privilege"),
        ("e", "KILL QUERY 3", "admin privilege"),
    ] {
        let target = format!("/query?db={db}&q={}", encoded(q));
        let response = send(&mut product, user, ("POST", &target), "");
        let expected = format!(
            "{{\"error\":\"error authorizing query: u not authorized to execute statement '{q}', \
             requires {requires}\"}}"
        );
        assert_eq!((response.status, body(&response)), (403, expected));
    }
    let set = encoded("SET PASSWORD FOR u = 'y'");
    let response = send(&mut product, user, ("POST", &format!("/query?q={set}")), "");
    let redacted = "{\"error\":\"error authorizing query: u not authorized to execute statement \
                    'SET PASSWORD FOR u = [REDACTED]', requires admin privilege\"}";
    assert_eq!((response.status, body(&response).as_str()), (403, redacted));
    for db in ["d", "e", "nope"] {
        let response = send(&mut product, user, ("POST", &format!("/write?db={db}")), "m v=1");
        let text = format!("\\\"u\\\" user is not authorized to write to database \\\"{db}\\\"");
        let expected =
            format!("{{\"code\":\"forbidden\",\"message\":\"{text}\",\"error\":\"{text}\"}}");
        assert_eq!((response.status, body(&response)), (403, expected));
    }
}

#[test]
fn permissions_and_passwords_change_at_once() {
    let mut product = with_user();
    let write = ("POST", "/write?db=d");
    assert_eq!(send(&mut product, ("Token", "u:x"), write, "m v=1").status, 403);
    run(&mut product, "GRANT ALL ON d TO u");
    assert_eq!(send(&mut product, ("Token", "u:x"), write, "m v=1").status, 204);
    run(&mut product, "SET PASSWORD FOR u = 'new'");
    assert_eq!(send(&mut product, ("Token", "u:x"), write, "m v=1").status, 401);
    assert_eq!(send(&mut product, ("Token", "u:new"), write, "m v=1").status, 204);
    run(&mut product, "DROP DATABASE d");
    run(&mut product, "CREATE DATABASE d");
    assert_eq!(send(&mut product, ("Token", "u:new"), write, "m v=1").status, 403);
    run(&mut product, "GRANT ALL TO u");
    assert_eq!(send(&mut product, ("Token", "u:new"), write, "m v=1").status, 204);
    let users = ("GET", "/query?q=SHOW+USERS");
    assert_eq!(send(&mut product, ("Token", "u:new"), users, "").status, 200);
    run(&mut product, "DROP USER u");
    assert_eq!(send(&mut product, ("Token", "u:new"), write, "m v=1").status, 401);
}

#[test]
fn users_survive_eviction() {
    let mut product = with_user();
    product.sleep();
    let get = ("GET", "/query?q=SHOW+DATABASES");
    assert_eq!(send(&mut product, ("Token", "u:x"), get, "").status, 200);
}

#[test]
fn get_responses_hide_passwords() {
    let mut product = with_user();
    let target = format!("/query?q={}", encoded("CREATE USER v WITH PASSWORD 'canary'"));
    let refused = admin(&mut product, ("GET", &format!("{target}&read_only=true")), "", 405);
    let warned = admin(&mut product, ("GET", &target), "", 200);
    assert!(warned.to_string().contains("[REDACTED]"), "{warned}");
    for reply in [refused, warned] {
        assert!(!reply.to_string().contains("canary"), "{reply}");
    }
}

#[test]
fn failed_logins_hide_user_existence() {
    let mut product = with_user();
    let get = ("GET", "/query?q=SHOW+DATABASES");
    assert_eq!(send(&mut product, ("Token", "u:x"), get, "").status, 200);
    product.standing_still(|product| {
        for n in 0..25 {
            let status = send(product, ("Token", &format!("u:guess{n}")), get, "").status;
            let same = send(product, ("Token", &format!("nobody:guess{n}")), get, "").status;
            assert_eq!((status, same), if n < 20 { (401, 401) } else { (429, 429) }, "{n}");
        }
    });
    let status = |product: &mut Product, pair: &str| send(product, ("Token", pair), get, "").status;
    assert_eq!(status(&mut product, "u:wrong"), 429);
    assert_eq!(status(&mut product, "nobody:wrong"), 429);
    // A recently authenticated user can continue without another check.
    assert_eq!(status(&mut product, "u:x"), 200);
}

/// The response waits until 128 databases have been informed. This test has two more databases.
#[test]
fn incomplete_revocation_returns_warning() {
    let mut product = Product::with(&[]);
    for n in 0..130 {
        product.query("", &format!("CREATE DATABASE d{n}"));
    }
    let done = json!({"results": [{"statement_id": 0}]});
    let mut ask = |q: &str| product.query("", q);
    for q in [
        "CREATE USER ann WITH PASSWORD 'x' WITH ALL PRIVILEGES",
        "CREATE USER bob WITH PASSWORD 'x'",
        "GRANT ALL PRIVILEGES TO bob",
        "GRANT READ ON d1 TO bob",
    ] {
        assert_eq!(ask(q), done, "{q}");
    }
    for q in [
        "SET PASSWORD FOR ann = 'y'",
        "REVOKE ALL PRIVILEGES FROM ann",
        "DROP USER bob; SHOW USERS",
    ] {
        let answer = ask(q);
        let messages = &answer["results"][0]["messages"];
        assert_eq!(messages[0]["level"], "warning", "{q}: {answer}");
        let text = messages[0]["text"].as_str().unwrap();
        assert!(
            text.starts_with("the change is stored, but 2 databases have not received it yet"),
            "{text}"
        );
        assert_eq!(answer["results"][0]["error"], Value::Null, "{q}: {answer}");
    }
    // The alarm has informed the databases. The statement that followed the warning was executed.
    assert_eq!(ask("REVOKE ALL PRIVILEGES FROM ann"), done);
    let listed = ask("SHOW USERS")["results"][0]["series"][0]["values"].clone();
    assert_eq!(listed, json!([["ann", false]]));
}
