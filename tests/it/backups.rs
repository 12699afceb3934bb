//! Tests backups in the whole product: load, back up, delete, restore. The results must remain the
//! same. The tests also interrupt each step, and write, delete, flush and merge between the steps.

use serde_json::{Value, json};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_engine::store::{KEY_MAX, Store as _, Table};

use crate::backup_place::MemoryPlace;
use crate::product::Product;

fn product() -> (Product, MemoryPlace) {
    let mut product = Product::with(&[("LOG_REQUESTS", "none"), ("DEFAULT_SHARDS", "2")]);
    let place = MemoryPlace::default();
    product.keep_backups(&place);
    (product, place)
}

fn load(product: &mut Product) {
    product.query("", "CREATE DATABASE a");
    product.query("", "CREATE RETENTION POLICY \"long.er\" ON a DURATION 520w REPLICATION 1");
    let every = "CREATE CONTINUOUS QUERY c ON a BEGIN SELECT mean(f) INTO hourly FROM m \
                 GROUP BY time(1h) END";
    product.query("", every);
    for round in 0..4 {
        let hosts = (0..6).map(|n| {
            let time = 1_699_000_000 + round * 700_000 + n;
            format!("m,host=h{n},dc=d{} f={n}.5,i={round}i,s=\"text {n}\" {time}", n % 2)
        });
        product.write("a", &hosts.collect::<Vec<_>>().join("\n"));
        product.write("a", &format!("gone v={round} 1\nsparse,t=x v=1 {round}"));
        product.rest();
    }
    product.query("a", "DROP MEASUREMENT gone");
    let now_s = product.now_s();
    let long = "/write?db=a&rp=long.er&precision=s";
    assert_eq!(product.post(long, &format!("m,host=x f=1i {now_s}")).status, 204);
    product.rest();
    // Some of the last points are in the log, and a delete is waiting for its merge.
    product.query("a", "DELETE FROM m WHERE host = 'h5'");
    product.write("a", "m,host=h0 f=100 1699000000\nm,host=new g=1 1699000001");
}

fn answers(product: &mut Product, database: &str) -> Vec<Value> {
    let asked = [
        "SHOW RETENTION POLICIES",
        "SHOW MEASUREMENTS",
        "SHOW SERIES",
        "SHOW FIELD KEYS",
        "SHOW TAG VALUES WITH KEY = host",
        "SELECT * FROM m",
        "SELECT * FROM sparse",
        "SELECT count(f), sum(i) FROM m GROUP BY dc",
        "SELECT * FROM gone",
        "SELECT count(f) FROM \"long.er\".m",
    ];
    asked.map(|q| product.query(database, q)["results"][0].clone()).into()
}

/// Repeats a request until no work remains.
pub(crate) fn finish(product: &mut Product, method: &str, target: &str) -> Value {
    for _ in 0..200 {
        let (status, body) = send(product, method, target);
        match status {
            202 => assert!(body["remaining"].as_u64() > Some(0), "{body}"),
            200 => return body,
            _ => panic!("{target}: {status} {body}"),
        }
    }
    panic!("{target} comes to no end");
}

fn send(product: &mut Product, method: &str, target: &str) -> (u16, Value) {
    let (path, query) = target.split_once('?').unwrap();
    let (status, body) = product.ask(method, path, query, &[], "");
    (status, serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}")))
}

pub(crate) fn back_up(product: &mut Product) -> String {
    let made = finish(product, "POST", "/api/v3/backup?db=a");
    made["id"].as_str().unwrap().to_owned()
}

pub(crate) fn damaged(product: &mut Product, id: &str) -> Vec<String> {
    let (mut found, mut resume) = (Vec::new(), String::new());
    loop {
        let target = format!("/api/v3/backup/verify?id={id}&resume={resume}");
        let (status, body) = send(product, "POST", &target);
        let of_page = body["damaged"].as_array().unwrap_or_else(|| panic!("{body}"));
        found.extend(of_page.iter().map(|text| text.as_str().unwrap().to_owned()));
        match body["resume"].as_str() {
            Some(next) => resume = next.to_owned(),
            None => {
                assert_eq!(status, 200, "{body}");
                return found;
            }
        }
    }
}

#[test]
fn restored_database_returns_same_results() {
    let (mut product, place) = product();
    load(&mut product);
    let before = answers(&mut product, "a");
    let id = back_up(&mut product);
    assert_eq!(damaged(&mut product, &id), Vec::<String>::new());
    assert!(place.keys("/value/").len() > 4, "too few values to mean something");
    product.write("a", "m,host=late f=1 1699000002");
    product.query("", "DROP DATABASE a");
    product.rest();
    for name in ["b", "a"] {
        let restored =
            finish(&mut product, "POST", &format!("/api/v3/restore?db={name}&from={id}"));
        assert_eq!(restored["remaining"], 0);
        assert_eq!(answers(&mut product, name), before, "{name}");
        // The text of a continuous query contains the name of its database, so a restore under
        // another name omits the continuous query.
        let queries = product.query("", "SHOW CONTINUOUS QUERIES");
        assert_eq!(queries.to_string().contains("hourly"), name == "a", "{queries}");
        product.write(name, "m,host=h1 f=7 1699000003\nnew f=1 5\ngone v=9 5");
        product.rest();
        let count = "SELECT count(f) FROM m WHERE host = 'h1'";
        assert_eq!(product.values(name, count)[0][1], 5);
        let (status, body) = send(&mut product, "POST", &format!("/debug/verify?db={name}"));
        assert_eq!((status, &body["damaged"]), (200, &json!([])));
        let again = finish(&mut product, "POST", &format!("/api/v3/restore?db={name}&from={id}"));
        assert_eq!(again["remaining"], 0);
        assert_eq!(product.values(name, count)[0][1], 5);
    }
}

#[test]
fn emptied_database_is_restored_again() {
    let (mut product, _) = product();
    load(&mut product);
    let before = answers(&mut product, "a");
    let id = back_up(&mut product);
    product.query("", "DROP DATABASE a");
    product.rest();
    for db in ["b", "a"] {
        let target = format!("/api/v3/restore?db={db}&from={id}");
        let queries = if db == "a" { vec!["c", "own"] } else { vec!["own"] };
        for round in 0..3 {
            let restored = finish(&mut product, "POST", &target);
            assert_eq!(restored["already_restored"], false);
            assert_eq!(answers(&mut product, db), before);
            let repeated = finish(&mut product, "POST", &target);
            assert_eq!(repeated["already_restored"], true);
            for name in ["m", "sparse", "hourly"] {
                product.query(db, &format!("DROP MEASUREMENT {name}"));
            }
            if round == 0 {
                // The second restore restores query c, and keeps query own.
                product.query("", &format!("DROP CONTINUOUS QUERY c ON {db}"));
                let own = format!(
                    "CREATE CONTINUOUS QUERY own ON {db} BEGIN SELECT max(f) INTO hourly FROM gone \
                     GROUP BY time(1h) END"
                );
                product.query("", &own);
            }
            product.rest();
        }
        finish(&mut product, "POST", &target);
        product.query(db, "DELETE FROM m");
        // The measurement still exists, so the database is not empty.
        assert_eq!(finish(&mut product, "POST", &target)["already_restored"], true);
        let listed = product.query("", "SHOW CONTINUOUS QUERIES")["results"][0].clone();
        let of_database = listed["series"].as_array().unwrap().iter().find(|s| s["name"] == db);
        let rows = of_database.unwrap()["values"].as_array().unwrap().iter();
        let mut names: Vec<_> = rows.map(|row| row[0].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, queries);
    }
}

#[test]
fn second_backup_uploads_only_changes() {
    let (mut product, place) = product();
    load(&mut product);
    back_up(&mut product);
    let values = |put: &[String]| put.iter().filter(|key| key.contains("/value/")).count();
    let first = values(&place.take_put());
    let second_id = back_up(&mut product);
    assert_eq!((first > 4, values(&place.take_put())), (true, 0), "nothing has changed");
    product.write("a", "m,host=h1 f=7 1699000003");
    let third_id = back_up(&mut product);
    assert_eq!(values(&place.take_put()), 1);
    for id in [second_id, third_id] {
        assert_eq!(damaged(&mut product, &id), Vec::<String>::new());
    }
}

fn disturb(product: &mut Product, turn: u32) {
    match turn % 4 {
        0 => product.write("a", &format!("m,host=h{turn} f={turn} {}", 1_699_100_000 + turn)),
        1 => drop(product.query("a", "DELETE FROM m WHERE host = 'h1'")),
        2 => product.rest(),
        _ => product.write("a", &format!("m,host=new{turn} g=2 {turn}\nother,new=x z=1 {turn}")),
    }
}

#[test]
fn killed_backup_resumes_consistently() {
    for takes_effect in [false, true] {
        for at in 0.. {
            let (mut product, place) = product();
            load(&mut product);
            place.die_at(at, takes_effect);
            let mut status = 202;
            while status == 202 {
                (status, _) = send(&mut product, "POST", "/api/v3/backup?db=a");
            }
            if !place.heal() {
                assert_eq!(status, 200, "call {at}");
                assert!(at > 20, "only {at} calls");
                break;
            }
            assert_eq!(status, 503, "call {at}");
            if let Some(whole) = place.keys("/done/").first() {
                let seconds = whole.rsplit_once('/').unwrap().1.trim_start_matches('0');
                assert_eq!(damaged(&mut product, &format!("a.{seconds}")), Vec::<String>::new());
            }
            // Some of the four shards have been copied. The backup omits their later points.
            let points = place.keys("/points/").len();
            let before = (points == 0 || points == 4).then(|| answers(&mut product, "a"));
            if points > 0 {
                (0..4).for_each(|turn| disturb(&mut product, turn + at));
            }
            // The failed request may have completed the backup, although its response was lost.
            // Then the next request starts another backup.
            let is_whole = points > 0 && place.keys("/begun/").is_empty();
            let id = match place.keys("/done/").first().filter(|_| is_whole) {
                Some(key) => {
                    format!("a.{}", key.rsplit_once('/').unwrap().1.trim_start_matches('0'))
                }
                None => back_up(&mut product),
            };
            assert_eq!(damaged(&mut product, &id), Vec::<String>::new(), "call {at}");
            assert_eq!(place.keys("/begun/"), Vec::<String>::new());
            finish(&mut product, "POST", &format!("/api/v3/restore?db=b&from={id}"));
            let after = answers(&mut product, "b");
            if let Some(before) = before {
                assert_eq!(after, before, "call {at}, {points} points");
            }
        }
    }
}

#[test]
fn killed_restore_resumes_without_partial_reads() {
    let (mut first, place) = product();
    load(&mut first);
    let before = answers(&mut first, "a");
    let id = back_up(&mut first);
    for at in 0.. {
        let mut product = Product::with(&[("LOG_REQUESTS", "none")]);
        product.keep_backups(&place);
        place.die_at(at, false);
        let target = format!("/api/v3/restore?db=b&from={id}");
        let (mut status, mut body) = send(&mut product, "POST", &target);
        while status == 202 {
            (status, body) = send(&mut product, "POST", &target);
        }
        if !place.heal() {
            assert_eq!(status, 200, "{body}");
            assert_eq!(answers(&mut product, "b"), before);
            assert!(at > 15, "only {at} calls");
            return;
        }
        assert_eq!(status, 503, "{body}");
        let seen = product.query("b", "SHOW MEASUREMENTS")["results"][0].clone();
        assert!(seen["series"].is_null(), "call {at}: {seen}");
        finish(&mut product, "POST", &target);
        assert_eq!(answers(&mut product, "b"), before, "call {at}");
    }
}

#[test]
fn empty_page_with_next_page_does_not_end_list() {
    let (mut product, place) = product();
    load(&mut product);
    let id = back_up(&mut product);
    let values = place.keys("/value/");
    place.list_nothing(true);
    for (method, target) in [("GET", "db=a"), ("POST", "db=a"), ("DELETE", &format!("id={id}"))] {
        let (status, body) = send(&mut product, method, &format!("/api/v3/backup?{target}"));
        assert_eq!(status, 503, "{method}: {body}");
    }
    place.list_nothing(false);
    assert_eq!((place.keys("/value/"), place.keys("/begun/")), (values, Vec::new()));
    assert_eq!(damaged(&mut product, &id), Vec::<String>::new());
}

#[test]
fn restore_needs_new_or_empty_database() {
    let (mut product, _) = product();
    load(&mut product);
    let id = back_up(&mut product);
    let restore = |name: &str| format!("/api/v3/restore?db={name}&from={id}");
    assert_eq!(send(&mut product, "POST", &restore("a")).0, 409);
    product.query("", "CREATE DATABASE empty");
    finish(&mut product, "POST", &restore("empty"));
    assert_eq!(answers(&mut product, "empty"), answers(&mut product, "a"));
    let (mut product, place) = (product, MemoryPlace::default());
    product.keep_backups(&place);
    let id = back_up(&mut product);
    place.die_at(12, false);
    let target = format!("/api/v3/restore?db=other&from={id}");
    assert_eq!(send(&mut product, "POST", &target).0, 503);
    place.heal();
    product.write("other", "kept f=1 1");
    assert_eq!(send(&mut product, "POST", &target).0, 409);
    assert_eq!(product.values("other", "SELECT f FROM kept")[0][1], 1);
}

#[test]
fn damaged_backup_objects_are_never_restored() {
    let (mut product, place) = product();
    load(&mut product);
    let id = back_up(&mut product);
    let seconds = id.rsplit_once('.').unwrap().1.to_owned();
    let mut of_backup = place.keys(&seconds);
    of_backup.extend(place.keys("/value/"));
    assert!(of_backup.len() > 10);
    for key in &of_backup {
        for is_missing in [false, true] {
            let mut whole = Vec::new();
            place.change(key, |object| {
                whole.clone_from(&object);
                let mut bad = object;
                let middle = bad.len() / 2;
                bad[middle] ^= 1;
                (!is_missing).then_some(bad)
            });
            let is_manifest = key.contains("/done/");
            if is_missing && is_manifest {
                let target = format!("/api/v3/backup/verify?id={id}");
                assert_eq!(send(&mut product, "POST", &target).0, 404);
            } else {
                let found = damaged(&mut product, &id);
                assert!(found.iter().any(|text| text.contains(key.as_str())), "{key}: {found:?}");
            }
            place.put_back(key, whole);
        }
    }
    let value = place.keys("/value/")[0].clone();
    place.change(&value, |mut object| {
        object[20] ^= 1;
        Some(object)
    });
    let (status, body) = send(&mut product, "POST", &format!("/api/v3/restore?db=b&from={id}"));
    assert!(status == 500 && body["error"].as_str().unwrap().contains(&value), "{status} {body}");
    assert!(product.query("b", "SHOW MEASUREMENTS")["results"][0]["series"].is_null());
}

#[test]
fn deleted_backup_keeps_shared_values() {
    for at in 0.. {
        let (mut product, place) = product();
        load(&mut product);
        let first = back_up(&mut product);
        product.query("a", "DELETE FROM m WHERE host = 'h1'");
        product.rest();
        product.write("a", "m,host=h1 f=7 1699000003");
        product.rest();
        let before = answers(&mut product, "a");
        let second = back_up(&mut product);
        let both = place.keys("/value/").len();
        place.die_at(at, true);
        let target = format!("/api/v3/backup?id={first}");
        let (status, body) = send(&mut product, "DELETE", &target);
        let has_died = place.heal();
        assert!([200, 202, if has_died { 503 } else { 0 }].contains(&status), "{status} {body}");
        if has_died && !place.keys("/deleting/").is_empty() {
            assert_eq!(send(&mut product, "POST", "/api/v3/backup?db=a").0, 409, "call {at}");
        }
        let is_there = !place.keys(first.rsplit_once('.').unwrap().1).is_empty();
        if status == 202 || has_died && is_there {
            finish(&mut product, "DELETE", &target);
        }
        assert_eq!(send(&mut product, "DELETE", &target).0, 404, "it is gone");
        assert_eq!(
            place.keys(&format!("/{:0>12}", first.rsplit_once('.').unwrap().1)),
            Vec::<String>::new()
        );
        assert!(place.keys("/value/").len() < both, "its own values are gone");
        assert_eq!(damaged(&mut product, &second), Vec::<String>::new(), "call {at}");
        finish(&mut product, "POST", &format!("/api/v3/restore?db=b&from={second}"));
        assert_eq!(answers(&mut product, "b"), before);
        if !has_died {
            assert!(at > 10, "only {at} calls");
            return;
        }
    }
}

/// Makes an unfinished backup that has a list of values, but no values.
fn unfinished_backup() -> (Product, MemoryPlace) {
    let dies_at = |at: u32| {
        let (mut product, place) = product();
        load(&mut product);
        place.die_at(at, false);
        send(&mut product, "POST", "/api/v3/backup?db=a");
        place.heal();
        (product, place)
    };
    let mut lives = (0..).map(dies_at);
    let (product, place) = lives.find(|(_, place)| !place.keys("/map").is_empty()).unwrap();
    assert_eq!(place.keys("/value/"), Vec::<String>::new());
    (product, place)
}

#[test]
fn deleted_unfinished_backup_releases_values() {
    let (mut product, _) = unfinished_backup();
    for name in ["m", "sparse"] {
        product.query("a", &format!("DROP MEASUREMENT {name}"));
    }
    product.rest();
    let values = |product: &Product| -> usize {
        let stores = product.stores().into_iter();
        let shards = stores.filter(|(address, _)| matches!(address, Address::Shard(_)));
        let count = |store: MemoryStore| store.heads(Table::Value, 0..=KEY_MAX, 1_000).unwrap();
        shards.map(|(_, store)| count(store).len()).sum()
    };
    let held = values(&product);
    let (_, list) = send(&mut product, "GET", "/api/v3/backup?db=a");
    let id = list["backups"][0]["id"].as_str().unwrap().to_owned();
    finish(&mut product, "DELETE", &format!("/api/v3/backup?id={id}"));
    // The deletion releases the values that the backup held. Without it, they would be held until
    // the hold expires.
    product.rest();
    assert!(values(&product) < held, "{held} values");
}

#[test]
fn abandoned_backup_releases_values() {
    let (mut product, _) = unfinished_backup();
    product.query("a", "DELETE FROM m WHERE host = 'h1'");
    product.rest();
    product.pass(2 * 24 * 3_600);
    product.rest();
    let (status, body) = send(&mut product, "POST", "/api/v3/backup?db=a");
    assert!(status == 409 && body["error"].as_str().unwrap().contains("24 hours"), "{body}");
    let (_, list) = send(&mut product, "GET", "/api/v3/backup?db=a");
    assert_eq!(list["backups"][0]["state"], "unfinished");
    let id = list["backups"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(send(&mut product, "POST", &format!("/api/v3/restore?db=b&from={id}")).0, 404);
    finish(&mut product, "DELETE", &format!("/api/v3/backup?id={id}"));
    let id = back_up(&mut product);
    assert_eq!(damaged(&mut product, &id), Vec::<String>::new());
}

#[test]
fn restore_reports_damaged_manifest_key() {
    let (mut product, place) = product();
    load(&mut product);
    let id = back_up(&mut product);
    let key = place.keys("/done/").remove(0);
    place.change(&key, |object| Some(object[1..].to_vec()));
    let (status, body) = send(&mut product, "POST", &format!("/api/v3/restore?db=b&from={id}"));
    assert_eq!(status, 500);
    assert!(body.to_string().contains(&format!("damaged object {key}:")), "{body}");
}

#[test]
fn backup_contains_no_tokens_and_users() {
    let (mut product, place) = product();
    load(&mut product);
    product.query("", "CREATE USER ann WITH PASSWORD 'long enough'");
    product.query("", "GRANT READ ON a TO ann");
    let token = crate::tokens::token(&mut product, "reader", &["a"], &["read"], None);
    back_up(&mut product);
    let hash = tidemark_coordinator::grants::token_hash(&token);
    for key in place.keys("") {
        place.change(&key, |object| {
            for text in [&token, &hash, "ann", "reader"] {
                assert!(!object.windows(text.len()).any(|part| part == text.as_bytes()), "{key}");
            }
            Some(object)
        });
    }
}
