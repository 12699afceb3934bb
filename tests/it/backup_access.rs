//! Tests tokens and users in backups and in exported lists.

use serde_json::{Value, json};
use tidemark::coordinator::grants::token_hash;

use crate::backup_place::MemoryPlace;
use crate::product::Product;
use crate::tokens::{admin, encoded, send, token};

fn on(place: &MemoryPlace) -> Product {
    let mut product =
        Product::with(&[("LOG_REQUESTS", "none"), ("AUTO_CREATE_DATABASES", "false")]);
    product.keep_backups(place);
    product
}

fn run(product: &mut Product, q: &str) -> Value {
    admin(product, ("POST", &format!("/query?q={}", encoded(q))), "", 200)
}

/// Repeats a request until its status is 200. Returns all responses.
fn all(product: &mut Product, target: &str) -> Vec<Value> {
    let (mut replies, mut resume) = (Vec::new(), String::new());
    loop {
        let response = send(
            product,
            ("Bearer", crate::product::TOKEN),
            ("POST", &(target.to_owned() + &resume)),
            "",
        );
        let text = String::from_utf8(response.body).unwrap();
        let body: Value = serde_json::from_str(&text).unwrap();
        if let Some(next) = body["resume"].as_str() {
            resume = format!("&resume={next}");
        }
        replies.push(body);
        match response.status {
            202 => assert!(replies.len() < 100, "{text}"),
            200 => return replies,
            status => panic!("{target}: {status} {text}"),
        }
    }
}

fn reads(product: &mut Product, by: (&str, &str), db: &str) -> bool {
    let target = format!("/query?db={db}&q={}", encoded("SELECT count(f) FROM m"));
    send(product, by, ("GET", &target), "").status == 200
}

/// Creates a deployment with a database, thirty tokens and several users. Returns the first token.
fn first(place: &MemoryPlace) -> (Product, String, String) {
    let mut product = on(place);
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

fn back_up(product: &mut Product) -> String {
    let made = all(product, "/api/v3/backup?db=a");
    made.last().unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn restore_includes_requested_access() {
    let place = MemoryPlace::default();
    let (mut product, secret, everywhere) = first(&place);
    let id = back_up(&mut product);
    // Backups contain only hashes of tokens.
    for key in place.keys("") {
        place.change(&key, |object| {
            for plain in [secret.as_str(), everywhere.as_str(), "long enough"] {
                let has = object.windows(plain.len()).any(|window| window == plain.as_bytes());
                assert!(!has, "{key} has a secret");
            }
            Some(object)
        });
    }
    assert!(!place.keys("/access/").is_empty());
    let verified = all(&mut product, &format!("/api/v3/backup/verify?id={id}"));
    assert!(verified.iter().all(|page| page["damaged"] == json!([])), "{verified:?}");

    let mut second = on(&place);
    run(&mut second, "CREATE DATABASE elsewhere");
    run(&mut second, "CREATE USER bob WITH PASSWORD 'somebody else'");
    all(&mut second, &format!("/api/v3/restore?db=plain&from={id}"));
    assert!(!reads(&mut second, ("Bearer", &secret), "plain"));

    let replies = all(&mut second, &format!("/api/v3/restore?db=b&from={id}&access=true"));
    let sum = |what: &str| -> u64 {
        replies.iter().filter_map(|reply| reply["access"][what].as_u64()).sum()
    };
    assert_eq!((sum("made"), sum("widened"), sum("unchanged")), (31, 0, 0), "{replies:?}");
    let refused: Vec<&Value> = replies
        .iter()
        .filter_map(|reply| reply["access"]["refused"].as_array())
        .flatten()
        .collect();
    assert_eq!(refused, [&json!("user \"bob\" exists with another password")]);

    assert!(reads(&mut second, ("Bearer", &secret), "b"));
    assert!(reads(&mut second, ("Token", "ann:long enough"), "b"));
    assert!(reads(&mut second, ("Bearer", &everywhere), "b"));
    assert!(!reads(&mut second, ("Token", "ann:wrong"), "b"));
    assert!(!reads(&mut second, ("Token", "bob:somebody else"), "b"));
    assert!(!reads(&mut second, ("Token", "bob:another one"), "b"));
    assert!(!reads(&mut second, ("Token", "root:of all of it"), "b"), "nobody becomes one by it");
    // A permission for all databases becomes a permission for the restored database.
    for db in ["elsewhere", "plain", "a", "other"] {
        for by in [("Bearer", secret.as_str()), ("Bearer", everywhere.as_str())] {
            assert!(!reads(&mut second, by, db), "{db}");
        }
    }
    let again = all(&mut second, &format!("/api/v3/restore?db=c&from={id}&access=true"));
    let widened: u64 = again.iter().filter_map(|reply| reply["access"]["widened"].as_u64()).sum();
    assert_eq!(widened, 31, "{again:?}");
    for db in ["b", "c"] {
        assert!(reads(&mut second, ("Bearer", &secret), db), "{db}");
    }
    let repeat = all(&mut second, &format!("/api/v3/restore?db=c&from={id}&access=true"));
    let same: u64 = repeat.iter().filter_map(|reply| reply["access"]["unchanged"].as_u64()).sum();
    assert_eq!(same, 31, "{repeat:?}");
    let (mut remaining, target) = (202, format!("id={id}"));
    while remaining == 202 {
        remaining = second.ask("DELETE", "/api/v3/backup", &target, &[], "").0;
    }
    assert_eq!((remaining, place.keys("")), (200, Vec::new()));
}

#[test]
fn damaged_access_page_fails_restore() {
    let place = MemoryPlace::default();
    let (mut product, secret, _) = first(&place);
    let id = back_up(&mut product);
    let key = place.keys("/access/").remove(0);
    place.change(&key, |mut object| {
        object[40] ^= 1;
        Some(object)
    });
    let verified = all(&mut product, &format!("/api/v3/backup/verify?id={id}"));
    let damaged = verified.last().unwrap()["damaged"].to_string();
    assert!(damaged.contains(&key), "{damaged}");
    let mut second = on(&place);
    all(&mut second, &format!("/api/v3/restore?db=b&from={id}"));
    let query = format!("db=b&from={id}&access=true&resume=0.0");
    let (status, text) = second.ask("POST", "/api/v3/restore", &query, &[], "");
    assert!(status == 500 && text.contains(&key), "{status} {text}");
    assert!(!reads(&mut second, ("Bearer", &secret), "b"));
}

#[test]
fn restore_reports_damaged_manifest_key() {
    let place = MemoryPlace::default();
    let (mut product, ..) = first(&place);
    let id = back_up(&mut product);
    let key = place.keys("/done/").remove(0);
    place.change(&key, |object| Some(object[1..].to_vec()));
    let query = format!("db=b&from={id}");
    let (status, text) = product.ask("POST", "/api/v3/restore", &query, &[], "");
    assert!(status == 500 && text.contains(&format!("damaged object {key}:")), "{status} {text}");
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
    let (mut product, secret, everywhere) = first(&MemoryPlace::default());
    let rows = listed(&mut product);
    assert_eq!(rows.len(), 34);
    let text = Value::from(rows.clone()).to_string();
    assert!(text.contains(&token_hash(&secret)) && !text.contains(&secret));
    let mut second = on(&MemoryPlace::default());
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
fn imported_token_names_become_unique() {
    let mut product = on(&MemoryPlace::default());
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
