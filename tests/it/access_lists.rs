//! Tests exported and imported lists of tokens and users.

use serde_json::{Value, json};
use tidemark_coordinator::grants::token_hash;

use crate::product::Product;
use crate::tokens::{admin, encoded, run, send, token};

fn deployment() -> Product {
    Product::with(&[("LOG_REQUESTS", "none"), ("AUTO_CREATE_DATABASES", "false")])
}

fn reads(product: &mut Product, by: (&str, &str), db: &str) -> bool {
    let target = format!("/query?db={db}&q={}", encoded("SELECT count(f) FROM m"));
    send(product, by, ("GET", &target), "").status == 200
}

/// Creates a deployment with two databases, thirty tokens and several users.
fn first() -> (Product, String, String) {
    let mut product = deployment();
    for q in [
        "CREATE DATABASE a",
        "CREATE DATABASE other",
        "CREATE USER ann WITH PASSWORD 'long enough'",
        "GRANT READ ON a TO ann",
        "CREATE USER bob WITH PASSWORD 'another one'",
        "GRANT ALL ON a TO bob",
        "CREATE USER root WITH PASSWORD 'of all of it' WITH ALL PRIVILEGES",
        "CREATE USER none WITH PASSWORD 'may do nothing'",
    ] {
        run(&mut product, q);
    }
    product.write("a", "m f=1 1");
    let secret = token(&mut product, "first", &["a"], &["read"], None);
    for n in 0..28 {
        token(&mut product, &format!("t{n}"), &["a", "other"], &["write"], None);
    }
    let everywhere = token(&mut product, "all", &["*"], &["read", "write"], None);
    (product, secret, everywhere)
}

fn listed(product: &mut Product) -> Vec<Value> {
    let (mut rows, mut query) = (Vec::new(), String::new());
    loop {
        let target = format!("/api/v3/configure/access?{query}");
        let page = admin(product, ("GET", &target), "", 200);
        rows.extend(page["rows"].as_array().unwrap().iter().cloned());
        let next = &page["next"];
        if next.is_null() {
            return rows;
        }
        query = format!("kind={}&after={}", next["kind"].as_str().unwrap(), next["after"]);
    }
}

#[test]
fn access_list_moves_between_deployments() {
    let (mut product, secret, everywhere) = first();
    let rows = listed(&mut product);
    assert_eq!(rows.len(), 34);
    let text = Value::from(rows.clone()).to_string();
    assert!(text.contains(&token_hash(&secret)) && !text.contains(&secret));
    let mut second = deployment();
    for q in ["CREATE DATABASE a", "CREATE DATABASE other"] {
        run(&mut second, q);
    }
    second.write("a", "m f=1 1");
    let take = |product: &mut Product, rows: &[Value]| {
        let mut sums = [0, 0, 0];
        for rows in rows.chunks(10) {
            let body = json!({ "rows": rows }).to_string();
            let given = admin(product, ("POST", "/api/v3/configure/access"), &body, 200);
            assert_eq!(given["refused"], json!([]));
            for (sum, what) in sums.iter_mut().zip(["made", "widened", "unchanged"]) {
                *sum += given[what].as_u64().unwrap();
            }
        }
        sums
    };
    assert_eq!(take(&mut second, &rows), [34, 0, 0]);
    assert_eq!(take(&mut second, &rows), [0, 0, 34]);
    let without_times = |rows: Vec<Value>| -> Vec<Value> {
        rows.into_iter()
            .map(|mut row| {
                row["created_s"] = Value::Null;
                row
            })
            .collect()
    };
    assert_eq!(without_times(listed(&mut second)), without_times(rows));
    for by in [
        ("Bearer", secret.as_str()),
        ("Bearer", everywhere.as_str()),
        ("Token", "ann:long enough"),
        ("Token", "root:of all of it"),
    ] {
        assert!(reads(&mut second, by, "a"), "{by:?}");
    }
    assert!(!reads(&mut second, ("Bearer", &secret), "other"));
    assert!(!reads(&mut second, ("Token", "none:may do nothing"), "a"));
}

#[test]
fn import_adds_metrics_permissions() {
    let mut product = deployment();
    let mut import = |permissions: Value| {
        let hash: String = std::iter::repeat_n('1', 64).collect();
        let row = json!({ "kind": "token", "name": "t", "hash": hash, "permissions": permissions });
        let body = json!({ "rows": [row] }).to_string();
        let given = admin(&mut product, ("POST", "/api/v3/configure/access"), &body, 200);
        ["made", "widened", "unchanged"].map(|what| given[what].as_u64().unwrap())
    };
    let write = |db: &str| json!({ "database": db, "policy": null, "read": false, "write": true });
    let metrics = |db: &str| json!({ "database": db, "policy": null, "read": false, "write": false, "metrics": true });
    assert_eq!(import(json!([write("a")])), [1, 0, 0]);
    for (database, counts) in [("a", [0, 1, 0]), ("b", [0, 1, 0]), ("a", [0, 0, 1])] {
        assert_eq!(import(json!([metrics(database)])), counts, "{database}");
    }
    let expected = json!([
        { "database": "a", "policy": null, "read": false, "write": true, "metrics": true },
        { "database": "b", "policy": null, "read": false, "write": false, "metrics": true },
    ]);
    assert_eq!(listed(&mut product)[0]["permissions"], expected);
}

#[test]
fn imported_token_names_become_unique() {
    let mut product = deployment();
    run(&mut product, "CREATE DATABASE a");
    let now_s = product.now_s();
    let row = |digit: char, expires_s: Option<i64>| {
        let hash: String = std::iter::repeat_n(digit, 64).collect();
        let read = json!({ "database": "a", "policy": null, "read": true, "write": false });
        json!({ "kind": "token", "name": "t", "hash": hash, "permissions": [read], "expires_s": expires_s })
    };
    let rows =
        [row('1', None), row('2', None), row('3', Some(now_s + 9_000)), row('4', Some(now_s - 9))];
    let body = json!({ "rows": rows }).to_string();
    let given = admin(&mut product, ("POST", "/api/v3/configure/access"), &body, 200);
    assert_eq!((&given["made"], &given["unchanged"]), (&json!(3), &json!(1)));
    let names: Vec<Value> = listed(&mut product).iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["t", "t (2)", "t (3)"]);
    let hash: String = std::iter::repeat_n('5', 64).collect();
    for (row, why) in [
        (json!({ "kind": "token", "name": "", "hash": hash }), "a name must consist of"),
        (json!({ "kind": "token", "name": "t", "hash": "5" }), "lower-case hex"),
        (
            json!({ "kind": "token", "name": "t", "hash": hash, "admin": true }),
            "cannot be an administrator",
        ),
        (json!({ "kind": "user", "name": "u", "hash": hash, "iterations": 100_001 }), "iterations"),
        (json!({ "kind": "user", "name": "u", "hash": hash, "iterations": 0 }), "iterations"),
    ] {
        let body = json!({ "rows": [row] }).to_string();
        let refused = admin(&mut product, ("POST", "/api/v3/configure/access"), &body, 400);
        assert!(refused["error"].as_str().unwrap().contains(why), "{refused}");
    }
    let many = json!({ "rows": vec![row('6', None); 11] }).to_string();
    admin(&mut product, ("POST", "/api/v3/configure/access"), &many, 400);
}
