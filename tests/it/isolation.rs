//! Tests that no response contains data of another database in the same runtime.

use serde_json::json;
use tidemark_engine::protocol::database::CreateDatabase;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_model::ids::ObjectId;
use tidemark_objects::catalog::lifecycle::{Entries, Entry};
use tidemark_server::http::{Parameters, Response};
use tidemark_server::params::{Dialect, WriteParams};

use crate::product::{Product, header};
use crate::tokens::{body, encoded, run, send, token};

const OPERATIONS: usize = 3_000;

/// A database with its token. The data and the names in it contain the text `canary`, which must
/// not occur in responses about the other database.
struct Tenant {
    database: &'static str,
    token: String,
    canary: &'static str,
}

/// Returns a request to `mine`. Some requests try to read the data of `other`.
fn operation(n: u32, mine: &Tenant, other: &Tenant) -> (&'static str, String, String) {
    let (db, canary) = (mine.database, mine.canary);
    let query = |db: &str, q: String| ("POST", format!("/query?db={db}&q={}", encoded(&q)));
    let (method, target, body) = match n % 20 {
        0..4 => ("POST", format!("/write?db={db}"), line(canary, n)),
        4 => ("POST", format!("/api/v2/write?bucket={db}"), line(canary, n)),
        5 => ("POST", format!("/api/v3/write_lp?db={db}"), line(canary, n)),
        // The write contradicts the schema, so the error contains the existing type.
        6 => ("POST", format!("/write?db={db}"), format!("m_{canary} v_{canary}=1i {n}")),
        n => {
            let (method, target) = match n {
                7 => query(db, "SELECT * FROM /.*/ ORDER BY time DESC LIMIT 20".to_owned()),
                8 => query(db, format!("SELECT last(v_{canary}) FROM m_{canary}")),
                9 => query(db, "SHOW MEASUREMENTS".to_owned()),
                10 => query(db, "SHOW TAG VALUES WITH KEY = t".to_owned()),
                11 => query(db, "SHOW FIELD KEYS".to_owned()),
                12 => query(db, "SHOW SERIES LIMIT 5".to_owned()),
                13 => query(db, "SHOW DATABASES".to_owned()),
                14 => query(db, format!("SELECT * FROM {}..m", other.database)),
                15 => query(db, format!("SELECT v INTO {}..x FROM m", other.database)),
                16 => query(db, format!("SHOW SERIES ON {}", other.database)),
                17 => query(other.database, "SHOW FIELD KEYS".to_owned()),
                18 => ("GET", "/api/v3/configure/token".to_owned()),
                _ => query(db, "SHOW RETENTION POLICIES".to_owned()),
            };
            (method, target, String::new())
        }
    };
    (method, target, body)
}

fn line(canary: &str, n: u32) -> String {
    format!("m_{canary},t={canary}{} v_{canary}=\"{canary}-{n}\" {n}", n % 7)
}

#[test]
fn interleaved_tenant_operations_leak_nothing() {
    let mut product = Product::with(&[]);
    for name in ["left", "right"] {
        run(&mut product, &format!("CREATE DATABASE {name}"));
    }
    let mut tenant = |database: &'static str, canary: &'static str| Tenant {
        database,
        token: token(&mut product, database, &[database], &["read", "write"], None),
        canary,
    };
    let tenants = [tenant("left", "canaryL7f"), tenant("right", "canaryR9c")];
    let mut random = fastrand::Rng::with_seed(6);
    let (mut served, mut refused) = (0, 0);
    for n in 0..OPERATIONS {
        let mine = random.usize(..2);
        let (mine, other) = (&tenants[mine], &tenants[1 - mine]);
        let (method, target, text) = operation(random.u32(..1_000_000), mine, other);
        let reply = send(&mut product, ("Token", &mine.token), (method, &target), &text);
        let seen = format!("{:?} {} {}", reply.headers, body(&reply), product.log_line().unwrap());
        assert!(!seen.contains(other.canary), "{n}: {method} {target}: {seen}");
        no_store(&reply);
        match reply.status {
            200 | 204 | 400 => served += 1,
            403 => refused += 1,
            status => panic!("{n}: {method} {target}: {status}: {seen}"),
        }
        if n % 300 == 299 {
            product.sleep();
        }
    }
    println!("{served} served, {refused} refused, 0 foreign canaries");
    assert!(served > OPERATIONS / 2 && refused > OPERATIONS / 10, "{served} {refused}");
    for tenant in &tenants {
        let target = format!("/query?db={}&q=SHOW+MEASUREMENTS", tenant.database);
        let reply = send(&mut product, ("Token", &tenant.token), ("GET", &target), "");
        assert!(body(&reply).contains(tenant.canary), "{}", body(&reply));
    }
}

fn no_store(reply: &Response) {
    assert_eq!(header(reply, "Cache-Control"), Some("no-store"), "{reply:?}");
}

#[test]
fn responses_are_never_shared_between_tokens() {
    let mut product = Product::with(&[]);
    for name in ["left", "right"] {
        run(&mut product, &format!("CREATE DATABASE {name}"));
    }
    let of = ["left", "right"].map(|db| (db, token(&mut product, db, &[db], &["read"], None)));
    for _ in 0..3 {
        for (name, secret) in &of {
            let target = ("GET", "/query?q=SHOW+DATABASES");
            let reply = send(&mut product, ("Bearer", secret), target, "");
            let listed: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(listed["results"][0]["series"][0]["values"], json!([[name]]));
            no_store(&reply);
        }
    }
}

/// Characters that often cause problems in file systems, in URLs and in Unicode handling.
const PIECES: [&str; 28] = [
    "a", "A", "b", "B", "a", "\u{e4}", "a\u{308}", "\u{c4}", "ss", "\u{df}", "i", "\u{131}", "I",
    "\u{130}", ".", "..", "%2f", "%2F", "%2e", " ", "+", "-", "_", "*", "\"", "'", "\u{200b}",
    "\u{ff21}",
];

#[test]
fn database_names_never_share_objects() {
    let mut random = fastrand::Rng::with_seed(6);
    let mut names = std::collections::BTreeSet::new();
    while names.len() < 4_500 {
        let count = random.usize(1..6);
        let name: String = (0..count).map(|_| PIECES[random.usize(..PIECES.len())]).collect();
        let mut arrived = None;
        for (dialect, key) in [(Dialect::V1, "db"), (Dialect::V2, "bucket"), (Dialect::V3, "db")] {
            let query = format!("{key}={}", encoded(&name));
            let params = WriteParams::parse(dialect, &Parameters::parse(query.as_bytes()).unwrap());
            arrived = params.ok().map(|params| params.database);
            assert!(arrived.is_none() || arrived.as_deref() == Some(name.as_str()), "{name}");
        }
        names.extend(arrived);
    }
    let store = MemoryStore::new();
    let mut entries = Entries::load(&store).unwrap();
    let object = |number: usize| ObjectId(format!("object {number}"));
    for (number, name) in names.iter().enumerate() {
        let create = CreateDatabase {
            name: name.clone(),
            policy: None,
            shards: 1,
            location: None,
            jurisdiction: None,
        };
        entries.insert(&store, Entry::creating(create, object(number), 0)).unwrap();
    }
    // Each lookup is compared with every other name. These are 4,500 × 4,499 / 2 pairs.
    for (number, name) in names.iter().enumerate() {
        let found = entries.by_name(name).map(|(_, entry)| entry.object.clone());
        assert_eq!(found, Some(object(number)), "{name}");
    }
}
