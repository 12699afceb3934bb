//! Tests rows of a newer version and damaged rows. The tests of recorded formats (`frozen`) also
//! use the deployment that this module creates, and its text form.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_engine::store::{Store, Table};
use tidemark_model::ids::ObjectId;

use crate::product::Product;

const KEY_MAX: u64 = (1 << 53) - 1;

fn product() -> Product {
    Product::with(&[("LOG_REQUESTS", "none"), ("DEFAULT_SHARDS", "2")])
}

pub(crate) fn recorded() -> Product {
    let mut product = product();
    product.query("", "CREATE DATABASE a");
    product.query("", "CREATE RETENTION POLICY short ON a DURATION 1d REPLICATION 1");
    product.query("", "CREATE DATABASE b WITH DURATION INF REPLICATION 2 NAME p");
    for round in 0..3 {
        let hosts = (0..6).map(|n| {
            let time = round * 700_000 + n;
            format!("m,host=h{n},dc=d{} f={n}.5,i={n}i,s=\"text {n}\",b={} {time}", n % 2, n > 2)
        });
        product.write("a", &hosts.collect::<Vec<_>>().join("\n"));
        product.write("a", &format!("gone v={round} 1\nsparse,t=x v=1 {round}"));
        product.rest();
    }
    product.query("a", "DROP MEASUREMENT gone");
    product.rest();
    let now_s = product.now_s();
    let response =
        product.post("/write?db=a&rp=short&precision=s", &format!("m,host=x f=1i {now_s}"));
    assert_eq!(response.status, 204);
    // The last points remain in the log, and a delete waits for its merge.
    product.write("a", "m,host=h0 f=100 10\nm,host=new g=1 11");
    product.query("a", "DELETE FROM m WHERE host = 'h5'");
    product.write("a", "m,host=h5 f=55 5");
    product
}

/// The queries whose results are compared. The first three are about the deployment, and the others
/// are about database `a`.
pub(crate) const ASKED: [&str; 12] = [
    "SHOW DATABASES",
    "SHOW RETENTION POLICIES ON a",
    "SHOW RETENTION POLICIES ON b",
    "SHOW MEASUREMENTS",
    "SHOW SERIES",
    "SHOW FIELD KEYS",
    "SHOW TAG VALUES WITH KEY = host",
    "SELECT * FROM m",
    "SELECT * FROM sparse",
    "SELECT count(f), sum(i) FROM m GROUP BY dc",
    "SELECT * FROM gone",
    "SELECT count(f) FROM short.m",
];

pub(crate) fn answers(product: &mut Product) -> Vec<Value> {
    ASKED.map(|q| product.query("a", q)["results"][0]["series"].clone()).into()
}

/// Returns the results of all queries except those about the deployment.
pub(crate) fn answers_of_database(product: &mut Product) -> Vec<Value> {
    let asked = ASKED[3..].iter();
    asked.map(|q| product.query("a", q)["results"][0]["series"].clone()).collect()
}

/// Returns the bytes as `-` and hexadecimal digits. The `-` makes the text of zero bytes non-empty.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::from("-");
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let digits = text.trim_start_matches('-').as_bytes();
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

pub(crate) fn dump(stores: &BTreeMap<Address, MemoryStore>) -> String {
    let mut text = String::new();
    for (address, store) in stores.iter().filter(|(_, store)| store.is_open().unwrap()) {
        let (kind, id) = match address {
            Address::Catalog => ("catalog", "-"),
            Address::Database(id) => ("database", id.0.as_str()),
            Address::Shard(id) => ("shard", id.0.as_str()),
            Address::KeyDerivation
            | Address::AccessKeys
            | Address::SignatureCheck
            | Address::Sql
            | Address::Backups
            | Address::Timer { .. } => continue,
        };
        writeln!(text, "object {kind} {id}").unwrap();
        for table in Table::ALL {
            for (key, head) in store.heads(table, 0..=KEY_MAX, u32::MAX).unwrap() {
                let body = store.body(table, key).unwrap().unwrap();
                let (head, body) = (hex(&head), hex(&body));
                writeln!(text, "{} {key} {head} {body}", table.name()).unwrap();
            }
        }
    }
    text
}

pub(crate) fn restored(text: &str) -> Product {
    let mut product = product();
    let mut store = MemoryStore::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["object", kind, id] = words[..] {
            let id = ObjectId(id.to_owned());
            let address = match kind {
                "catalog" => Address::Catalog,
                "database" => Address::Database(id),
                _ => Address::Shard(id),
            };
            store = MemoryStore::new();
            store.open().unwrap();
            product.put_store(address, store.clone());
        } else {
            let table = Table::ALL.into_iter().find(|table| table.name() == words[0]).unwrap();
            let (head, body) = (bytes(words[2]), bytes(words[3]));
            store.put(table, words[1].parse().unwrap(), &head, &body).unwrap();
        }
    }
    product
}

/// Changes the head of a row. Returns the result of a query after a restart.
fn edited(table: Table, kind: &str, edit: impl Fn(&mut Vec<u8>)) -> (u16, String) {
    let mut product = recorded();
    product.rest();
    for (address, store) in product.stores() {
        if format!("{address:?}").starts_with(kind) && store.is_open().unwrap() {
            for (key, mut head) in store.heads(table, 0..=KEY_MAX, u32::MAX).unwrap() {
                let body = store.body(table, key).unwrap().unwrap();
                edit(&mut head);
                store.put(table, key, &head, &body).unwrap();
            }
        }
    }
    product.sleep();
    product.ask("POST", "/query", "db=a&q=SELECT+f+FROM+m", &[], "")
}

#[test]
fn rows_of_newer_version_are_rejected() {
    // The row has a correct checksum, and a version byte that is too high by one.
    let newer = |head: &mut Vec<u8>| {
        let end = head.len() - 4;
        head[0] += 1;
        let crc = crc32c(&head[..end]);
        head[end..].copy_from_slice(&crc.to_le_bytes());
    };
    let (_, state) = edited(Table::State, "Shard", newer);
    assert!(state.contains("state row: its version is newer than this release"), "{state}");
    let (_, value) = edited(Table::Value, "Shard", newer);
    assert!(value.contains("version 3, which this release cannot read"), "{value}");
    for (table, kind) in [
        (Table::State, "Database"),
        (Table::Entry, "Database"),
        (Table::Schema, "Database"),
        (Table::Entry, "Catalog"),
    ] {
        let (status, text) = edited(table, kind, newer);
        assert_eq!(status, 503, "{kind}: {text}");
        assert!(text.contains("its version is newer than this release"), "{kind}: {text}");
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// The verification must report the damaged row. A request that needs the row must fail with an
/// error that contains the row's name.
#[test]
fn damaged_metadata_row_is_reported() {
    let mut product = restored(&dump(&recorded().stores()));
    let sound = answers(&mut product);
    let (mut flips, mut refused) = (0, 0);
    for (address, store) in product.stores() {
        let owner = match &address {
            Address::Catalog => "catalog",
            // Tests only one of the two databases, because the rows of the other database differ.
            Address::Database(id) if id.0 == "database-1" => "database",
            _ => continue,
        };
        for table in Table::ALL {
            for (key, head) in store.heads(table, 0..=KEY_MAX, u32::MAX).unwrap() {
                for at in 0..head.len() {
                    let mut bad = head.clone();
                    bad[at] ^= 1 << (at % 8);
                    store.put(table, key, &bad, b"").unwrap();
                    let verified = product.post("/debug/verify?db=a", "");
                    let verified: Value = serde_json::from_slice(&verified.body).unwrap();
                    let row = format!("damaged row {key} of {}: checksum mismatch", table.name());
                    let expected = json!([[null, format!("{owner}: {row}")]]);
                    assert_eq!(verified["damaged"], expected, "byte {at}");
                    if at % 16 == 0 {
                        product.sleep();
                        let (status, text) =
                            product.ask("POST", "/query", "db=a&q=SELECT+f+FROM+m", &[], "");
                        assert_eq!(status, 503, "{row}: {text}");
                        assert!(text.contains(&row), "{row}: {text}");
                        refused += 1;
                    }
                    flips += 1;
                }
                store.put(table, key, &head, b"").unwrap();
                product.sleep();
            }
        }
    }
    assert_eq!(answers(&mut product), sound);
    println!("{flips} flips of rows of metadata named, {refused} queries refused");
    assert!(flips > 400 && refused > 20, "{flips} {refused}");
}

fn flip(product: &Product, table: Table, first: bool) {
    for (address, store) in product.stores() {
        if !matches!(address, Address::Shard(_)) || !store.is_open().unwrap() {
            continue;
        }
        for (key, mut head) in store.heads(table, 0..=KEY_MAX, u32::MAX).unwrap() {
            let mut body = store.body(table, key).unwrap().unwrap();
            let damaged = if body.is_empty() { &mut head } else { &mut body };
            let at = if first { 3.min(damaged.len() - 1) } else { damaged.len() - 3 };
            damaged[at] ^= 4;
            store.put(table, key, &head, &body).unwrap();
        }
    }
}

#[test]
fn damaged_block_fails_only_affected_queries() {
    for table in [Table::Value, Table::Wal] {
        let mut product = Product::with(&[("LOG_REQUESTS", "none")]);
        product.query("", "CREATE DATABASE a");
        // The flush writes both measurements into one row of the table `value`. The block of
        // `first` is at its start.
        product.write("a", "first,host=a v=1 0\nsecond,host=a v=2 0");
        if table != Table::Wal {
            product.rest();
        }
        product.write("a", "other v=1 10");
        let damage_first = table == Table::Value;
        product.query("a", "SELECT * FROM first");
        flip(&product, table, table != Table::Wal);
        // The verification reads the storage and ignores caches.
        let damaged = |product: &mut Product| {
            let verified = product.post("/debug/verify?db=a", "");
            let verified: Value = serde_json::from_slice(&verified.body).unwrap();
            verified["damaged"].as_array().unwrap().len()
        };
        assert!(damaged(&mut product) > 0, "{table:?}");
        product.sleep();
        for q in ["SELECT v FROM first", "SELECT count(v) FROM first", "SELECT sum(v) FROM first"] {
            let answer = product.query("a", q);
            let error = answer["results"][0]["error"].as_str().unwrap_or_default();
            let block = error.strip_prefix("damaged block: ");
            let block = block.unwrap_or_else(|| panic!("{table:?} {q}: {answer}"));
            let diagnostics = product.query("", "SHOW DIAGNOSTICS").to_string();
            assert!(diagnostics.contains(block), "{table:?} {q}: {diagnostics}");
        }
        if damage_first {
            assert_eq!(product.values("a", "SELECT sum(v) FROM second"), json!([[0, 2]]));
        }
        if table == Table::Value {
            product.write("a", "other v=5 20");
            assert_eq!(product.values("a", "SELECT sum(v) FROM other"), json!([[0, 6]]));
        }
        assert!(damaged(&mut product) > 0, "{table:?}");
        if table == Table::Wal {
            let named = product.query("", "SHOW DIAGNOSTICS FOR 'jobs'");
            let row = &named["results"][0]["series"][0]["values"][0];
            let what = row[2].as_str().unwrap_or_default();
            assert_eq!([&row[0], &row[1]], [&json!("a"), &json!("shard 1")]);
            assert!(what.starts_with("WAL frame"), "{named}");
        }
    }
}
