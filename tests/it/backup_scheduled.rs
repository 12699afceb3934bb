//! Tests backup schedules in the whole product.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::backup_place::MemoryPlace;
use crate::product::Product;

const H_S: i64 = 3_600;

fn product() -> (Product, MemoryPlace) {
    let mut product = Product::with(&[("LOG_REQUESTS", "none"), ("DEFAULT_SHARDS", "2")]);
    let place = MemoryPlace::default();
    product.keep_backups(&place);
    product.query("", "CREATE DATABASE a");
    for round in 0..6 {
        let lines = (0..6).map(|n| format!("m,host=h{n} f={n},i={round}i {}", round * 700_000 + n));
        product.write("a", &lines.collect::<Vec<_>>().join("\n"));
        product.rest();
    }
    (product, place)
}

fn set(product: &mut Product, body: &str) -> (u16, Value) {
    let (status, text) = product.ask("POST", "/api/v3/configure/backup", "", &[], body);
    (status, serde_json::from_str(&text).unwrap())
}

fn schedule(product: &mut Product, every: &str, keep: u32) {
    let body = json!({ "db": "a", "every": every, "keep": keep }).to_string();
    let (status, body) = set(product, &body);
    assert_eq!(status, 200, "{body}");
}

/// Returns a database's backups as `(begun, state)`, and its schedule.
fn listed(product: &mut Product) -> (Vec<(i64, String)>, Value) {
    let (status, text) = product.ask("GET", "/api/v3/backup", "db=a", &[], "");
    assert_eq!(status, 200, "{text}");
    let body: Value = serde_json::from_str(&text).unwrap();
    let of = |backup: &Value| {
        (backup["begun_s"].as_i64().unwrap(), backup["state"].as_str().unwrap().to_owned())
    };
    (body["backups"].as_array().unwrap().iter().map(of).collect(), body["schedule"].clone())
}

fn whole(product: &mut Product) -> BTreeSet<i64> {
    let (backups, _) = listed(product);
    backups.into_iter().filter(|(_, state)| state == "whole").map(|(begun_s, _)| begun_s).collect()
}

/// Advances the time by minutes. The first 20 seconds of each minute pass one by one, so that all
/// passes of a schedule can run.
fn minutes(product: &mut Product, count: i64) {
    for _ in 0..count {
        for _ in 0..20 {
            product.wait(1);
        }
        product.wait(40);
    }
}

fn restore_answers(product: &mut Product, begun_s: i64) {
    let query = format!("db=copy{begun_s}&from=a.{begun_s}");
    for _ in 0..100 {
        let (status, body) = product.ask("POST", "/api/v3/restore", &query, &[], "");
        match status {
            202 => {}
            200 => break,
            _ => panic!("{status} {body}"),
        }
    }
    let count = "SELECT count(f) FROM m";
    let [copy, own] =
        [format!("copy{begun_s}"), "a".to_owned()].map(|db| product.query(&db, count));
    assert_eq!(copy, own);
}

#[test]
fn scheduled_backups_keep_configured_count() {
    let (mut product, _) = product();
    let by_hand = {
        for _ in 0..50 {
            if product.ask("POST", "/api/v3/backup", "db=a", &[], "").0 == 200 {
                break;
            }
        }
        whole(&mut product)
    };
    assert_eq!(by_hand.len(), 1);
    schedule(&mut product, "6h", 2);
    minutes(&mut product, 1);
    let (backups, shown) = listed(&mut product);
    assert_eq!(backups.len(), 2, "{backups:?}");
    assert_eq!((&shown["every"], &shown["keep"]), (&json!("6h"), &json!(2)));
    let last = backups.last().unwrap().0;
    assert_eq!(shown["last_success"]["id"], format!("a.{last}"));
    assert_eq!((&shown["last_failure"], &shown["is_under_way"]), (&Value::Null, &json!(false)));
    assert_eq!(shown["due_s"].as_i64().unwrap() / H_S, (last + 6 * H_S) / H_S);
    for day in 0..3 {
        for _ in 0..24 * 6 {
            minutes(&mut product, 10);
        }
        product.write("a", &format!("m,host=new f=1 {}", day + 1));
    }
    let now = whole(&mut product);
    assert_eq!(now.len(), 3, "{now:?}");
    assert!(now.is_superset(&by_hand), "{now:?} without {by_hand:?}");
    let newest = *now.last().unwrap();
    assert!(product.now_s() - newest < 7 * H_S, "{newest} is old");
    let (status, body) = product.ask("DELETE", "/api/v3/configure/backup", "db=a", &[], "");
    assert_eq!((status, body.as_str()), (200, "{\"db\":\"a\",\"schedule\":null}\n"));
    product.pass_hours(48);
    assert_eq!((whole(&mut product), listed(&mut product).1), (now, Value::Null));
    product.query("a", "DELETE FROM m WHERE host = 'new'");
    restore_answers(&mut product, *by_hand.first().unwrap());
}

#[test]
fn missed_schedules_make_one_backup() {
    let (mut product, _) = product();
    schedule(&mut product, "1h", 15);
    minutes(&mut product, 1);
    assert_eq!(whole(&mut product).len(), 1);
    product.sleep();
    product.wait(30 * H_S);
    // A request loads the database in this test. On the platform, the alarm of the database loads
    // it.
    product.query("a", "SHOW MEASUREMENTS");
    minutes(&mut product, 1);
    assert_eq!(whole(&mut product).len(), 2);
}

#[test]
fn interrupted_schedule_never_loses_backups() {
    for takes_effect in [false, true] {
        let mut at = 0;
        loop {
            let (mut product, place) = product();
            schedule(&mut product, "1h", 1);
            minutes(&mut product, 1);
            let first = whole(&mut product);
            assert_eq!(first.len(), 1);
            product.write("a", "m,host=new f=1 9");
            // From the time of the next backup on, call `at` and later calls to the backup store
            // fail. The object crashes.
            product.pass(H_S);
            place.die_at(at, takes_effect);
            for _ in 0..10 {
                product.wait(1);
            }
            let has_failed = place.heal();
            let during = whole(&mut product);
            assert!(!during.is_empty(), "call {at}: no whole backup is left");
            product.sleep();
            product.query("a", "SHOW MEASUREMENTS");
            minutes(&mut product, 40);
            let (backups, shown) = listed(&mut product);
            assert_eq!(backups.len(), 1, "call {at}: {backups:?} {shown}");
            let (begun_s, state) = &backups[0];
            assert!(state == "whole" && !first.contains(begun_s), "call {at}: {backups:?}");
            assert_eq!(shown["last_success"]["id"], format!("a.{begun_s}"), "call {at}");
            assert_eq!(shown["backups"], json!([format!("a.{begun_s}")]), "call {at}");
            if !has_failed {
                assert!(at > 40, "only {at} calls");
                restore_answers(&mut product, *begun_s);
                break;
            }
            at += 1;
        }
    }
}

#[test]
fn backup_failure_shows_until_next_success() {
    let (mut product, place) = product();
    place.die_at(0, false);
    schedule(&mut product, "1h", 3);
    minutes(&mut product, 90);
    let (_, text) = product.ask("GET", "/metrics", "db=a", &[], "");
    let metric = "tidemark_last_backup_seconds{database=\"a\"}";
    assert!(text.contains(&format!("{metric} 0\n")), "{text}");
    assert!(text.contains("tidemark_database_troubles{database=\"a\"} 1\n"), "{text}");
    place.heal();
    let (_, shown) = listed(&mut product);
    let why = shown["last_failure"]["why"].as_str().unwrap();
    assert!(why.contains("the place is gone"), "{why}");
    let failed_s = shown["last_failure"]["at_s"].as_i64().unwrap();
    minutes(&mut product, 61);
    let (backups, shown) = listed(&mut product);
    assert_eq!(backups.len(), 1, "{backups:?}");
    let at_s = shown["last_success"]["at_s"].as_i64().unwrap();
    assert!(at_s > failed_s, "{shown}");
    let (_, text) = product.ask("GET", "/metrics", "db=a", &[], "");
    assert!(text.contains(&format!("{metric} {at_s}\n")), "{text}");
    assert!(text.contains("tidemark_database_troubles{database=\"a\"} 0\n"), "{text}");
}

#[test]
fn unfinishable_backup_is_replaced() {
    let (mut product, place) = product();
    // A client has begun a backup and never continues it. The shards keep the values of this backup
    // for a day.
    let dies_at = (0..).find(|at| {
        let (mut product, place) = self::product();
        place.die_at(*at, false);
        product.ask("POST", "/api/v3/backup", "db=a", &[], "");
        !place.keys("/map").is_empty()
    });
    place.die_at(dies_at.unwrap(), false);
    product.ask("POST", "/api/v3/backup", "db=a", &[], "");
    place.heal();
    let (backups, _) = listed(&mut product);
    assert_eq!(backups[0].1, "unfinished");
    product.query("a", "DELETE FROM m WHERE host = 'h1'");
    product.pass_hours(50);
    schedule(&mut product, "1h", 1);
    minutes(&mut product, 5);
    let (now, shown) = listed(&mut product);
    assert_eq!(now.len(), 1, "{now:?} {shown}");
    assert!(now[0].1 == "whole" && now[0].0 > backups[0].0, "{now:?}");
}

#[test]
fn scheduled_backups_run_independently() {
    let (mut product, place) = product();
    for n in 0..20 {
        product.query("", &format!("CREATE DATABASE d{n}"));
        product.write(&format!("d{n}"), "m f=1 1");
    }
    product.standing_still(|product| {
        for n in 0..20 {
            let body = json!({ "db": format!("d{n}"), "every": "1h", "keep": 1 }).to_string();
            assert_eq!(set(product, &body).0, 200);
        }
    });
    // An alarm does the same work as one request: one pass per second.
    let before = product.object_requests().clone();
    product.wait(1);
    let most = product
        .object_requests()
        .iter()
        .map(|(address, count)| count - before.get(address).copied().unwrap_or_default());
    assert!(most.max().unwrap() < 60, "one object did the work of many");
    for _ in 0..60 {
        product.wait(1);
    }
    for n in 0..20 {
        assert_eq!(place.keys(&format!("db-d{n}/done/")).len(), 1, "d{n}");
    }
}

#[test]
fn invalid_backup_schedule_is_rejected() {
    let (mut product, _) = product();
    for (body, status, why) in [
        (r#"{"db":"a","every":"1h"}"#, 400, "missing field `keep`"),
        (r#"{"db":"a","every":"often","keep":1}"#, 400, "invalid every"),
        (r#"{"db":"a","every":"0","keep":1}"#, 400, "invalid every"),
        (r#"{"db":"a","every":"59s","keep":1}"#, 400, "between 1m and 366d"),
        (r#"{"db":"a","every":"1h","keep":0}"#, 400, "keep must be between 1 and 15"),
        (r#"{"db":"a","every":"1h","keep":16}"#, 400, "keep must be between 1 and 15"),
        (r#"{"db":"nope","every":"1h","keep":1}"#, 404, "database not found"),
    ] {
        let (answered, text) = set(&mut product, body);
        assert_eq!(answered, status, "{body}: {text}");
        assert!(text["error"].as_str().unwrap().contains(why), "{body}: {text}");
    }
    assert_eq!(listed(&mut product).1, Value::Null);
}
