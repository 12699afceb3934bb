//! Tests that the current code reads what each release stored: the rows of every object, a backup,
//! and the image of a page.

use serde_json::{Value, json};
use tidemark_browser::image::{Image, Restored};

use super::{read, recorded, releases};
use crate::backup_place::MemoryPlace;
use crate::backups::{back_up, damaged, finish};
use crate::format::{self, bytes, hex};
use crate::product::Product;

const SETTINGS: &[(&str, &str)] = &[("LOG_REQUESTS", "none"), ("DEFAULT_SHARDS", "2")];

/// Creates the database of [`format::recorded`], and all other data that a deployment stores.
fn loaded() -> (Product, MemoryPlace) {
    let (mut product, place) = (format::recorded(), MemoryPlace::default());
    let query = "CREATE CONTINUOUS QUERY c ON b BEGIN SELECT mean(f) INTO hourly FROM m \
                 GROUP BY time(1h) END";
    for q in [
        query,
        "CREATE USER \"root\" WITH PASSWORD 'secret of root' WITH ALL PRIVILEGES",
        "CREATE USER \"u\" WITH PASSWORD 'secret of u'",
        "GRANT READ ON a TO \"u\"",
        "CREATE DATABASE dropped",
        // The objects are deleted a minute later.
        "DROP DATABASE dropped",
    ] {
        product.query("", q);
    }
    for (path, body) in [
        (
            "/api/v3/configure/token",
            json!({ "token_name": "t", "permissions": [{
                "resource_type": "db",
                "resource_identifier": ["a", "b/p"],
                "actions": ["read", "write"],
            }, {
                "resource_type": "db", "resource_identifier": ["*"], "actions": ["metrics"],
            }] }),
        ),
        ("/api/v3/configure/quota", json!({ "db": "a", "points_per_minute": 1_000_000 })),
        (
            "/api/v3/configure/quota",
            json!({ "db": "a", "token_name": "t", "requests_per_minute": 600 }),
        ),
    ] {
        let response = product.post(path, &body.to_string());
        let said = String::from_utf8_lossy(&response.body).into_owned();
        assert!((200..300).contains(&response.status), "{path}: {} {said}", response.status);
    }
    product.keep_backups(&place);
    let id = back_up(&mut product);
    finish(&mut product, "POST", &format!("/api/v3/restore?db=c&from={id}"));
    (product, place)
}

fn answers(product: &mut Product) -> Vec<Value> {
    let mut all = format::answers(product);
    let shown = ["SHOW CONTINUOUS QUERIES", "SHOW USERS", "SHOW GRANTS FOR \"u\""];
    all.extend(shown.map(|q| product.query("", q)["results"][0].clone()));
    all.extend(format::ASKED.map(|q| product.query("c", q)["results"][0]["series"].clone()));
    for (path, query) in
        [("/api/v3/configure/token", "format=json"), ("/api/v3/configure/quota", "db=a")]
    {
        let (status, body) = product.ask("GET", path, query, &[], "");
        assert_eq!(status, 200, "{path}: {body}");
        all.push(serde_json::from_str(&body).unwrap());
    }
    all
}

fn text_of(answers: &[Value]) -> String {
    let lines: Vec<String> = answers.iter().map(Value::to_string).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

fn record() {
    recorded("answers.json", || text_of(&answers(&mut loaded().0)));
    recorded("state.txt", || format::dump(&loaded().0.stores()));
    recorded("backup.txt", || {
        let (_, place) = loaded();
        let line = |key: &String| format!("{key} {}\n", hex(&object(&place, key)));
        place.keys("").iter().map(line).collect()
    });
    recorded("image.txt", || {
        let product = loaded().0;
        let changes = Image::default().changes(&product.stores(), product.object_count());
        let now = format!("{} -\n", product.now_s());
        let rows = changes.into_iter();
        now + &rows.map(|(key, row)| format!("{key} {}\n", hex(&row.unwrap()))).collect::<String>()
    });
}

fn object(place: &MemoryPlace, key: &str) -> Vec<u8> {
    let mut found = Vec::new();
    place.change(key, |object| {
        found.clone_from(&object);
        Some(object)
    });
    found
}

fn expected(release: &str) -> Vec<Value> {
    serde_json::from_str(&read(release, "answers.json")).unwrap()
}

fn compare(found: &[Value], expected: &[Value], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn stored_data_of_releases_opens() {
    record();
    for release in releases() {
        let expected = expected(&release);
        let mut product = format::restored(&read(&release, "state.txt"));
        compare(&answers(&mut product), &expected, &release);
        // Alarms flush and merge the rows, so that this build loads its own data after a restart.
        product.write("a", "m,host=h1,dc=d1 f=1.5 1");
        product.rest();
        product.sleep();
        let tokens = expected.len() - 2;
        compare(
            &answers(&mut product)[..tokens],
            &expected[..tokens],
            &format!("{release}, later"),
        );
        for database in ["a", "b", "c"] {
            let verified = product.post(&format!("/debug/verify?db={database}"), "");
            let verified: Value = serde_json::from_slice(&verified.body).unwrap();
            assert_eq!(verified["damaged"], json!([]), "{release}, {database}");
        }
    }
}

#[test]
fn backups_of_every_release_restore() {
    record();
    for release in releases() {
        let (mut product, place) = (Product::with(SETTINGS), MemoryPlace::default());
        let text = read(&release, "backup.txt");
        for line in text.lines() {
            let (key, object) = line.split_once(' ').unwrap();
            place.put_back(key, bytes(object));
        }
        product.keep_backups(&place);
        let (_, list) = product.ask("GET", "/api/v3/backup", "db=a", &[], "");
        let list: Value = serde_json::from_str(&list).unwrap();
        let id = list["backups"][0]["id"].as_str().unwrap_or_else(|| panic!("{release}: {list}"));
        assert_eq!(damaged(&mut product, id), Vec::<String>::new(), "{release}");
        finish(&mut product, "POST", &format!("/api/v3/restore?db=a&from={id}"));
        // The results about the deployment, such as the list of databases, differ after a restore.
        let (found, expected) = (format::answers_of_database(&mut product), expected(&release));
        compare(&found, &expected[3..format::ASKED.len()], &release);
    }
}

#[test]
fn browser_images_of_releases_open() {
    record();
    for release in releases() {
        let text = read(&release, "image.txt");
        let mut lines = text.lines().map(|line| line.split_once(' ').unwrap());
        let now_s = lines.next().unwrap().0.parse().unwrap();
        let mut restored = Restored::default();
        for (key, row) in lines {
            restored.add(key, &bytes(row)).unwrap();
        }
        let (stores, image) = restored.finish().unwrap();
        let mut product = Product::going_on(now_s, image.objects);
        for (address, store) in stores {
            product.put_store(address, store);
        }
        compare(&answers(&mut product), &expected(&release), &release);
    }
}
