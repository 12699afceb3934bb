//! Native benchmark of access control with 10,000 databases and 10 tokens per database. Measures
//! the time to create, list and find tokens in the Catalog, the Catalog's memory and start time,
//! and the memory of an edge cache. Run `cargo bench --bench access`.
//!
//! Calls to other objects return immediately, so the times contain only the work of the Catalog and
//! the edge.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

#[path = "../../tests/it/allocator.rs"]
mod allocator;

use std::cell::Cell;

use allocator::{live, peak_since};
use cpu_time::ThreadTime;
use tidemark::catalog::Catalog;
use tidemark::coordinator::cache::Cache;
use tidemark::coordinator::grants::{ConfirmedGrantee, token_hash};
use tidemark::model::grant::{Grants, Permission};
use tidemark::model::ids::ObjectId;
use tidemark::protocol::call::{ObjectKind, PlacementError, Platform, Reply, Step};
use tidemark::protocol::catalog::{CreateDatabase, FromCatalog, ToCatalog};
use tidemark::protocol::database::{Description, FromDatabase};
use tidemark::protocol::envelope;
use tidemark::protocol::event::EventHandler;
use tidemark::protocol::grants::{Grantee, GranteeKey};
use tidemark::store::memory::MemoryStore;

const DATABASES: u64 = 10_000;
const TOKENS_EACH: u64 = 10;
const PAGE: u64 = 1_000;

struct Fixed(Cell<u64>);

impl Platform for Fixed {
    fn now_ns(&self) -> i64 {
        0
    }

    fn random_u64(&self) -> u64 {
        7
    }

    fn new_object_id(&self, _: ObjectKind, _: Option<&str>) -> Result<ObjectId, PlacementError> {
        self.0.set(self.0.get() + 1);
        Ok(ObjectId(format!("{:064x}", self.0.get())))
    }
}

/// The databases execute the Catalog's calls immediately.
fn ask(catalog: &mut Catalog<MemoryStore>, platform: &Fixed, message: &ToCatalog) -> FromCatalog {
    let (ticket, mut step) = catalog.begin(platform, &envelope::encode(message));
    loop {
        match step {
            Step::Done(reply) => return envelope::decode(&reply).unwrap().1,
            Step::Calls(calls) => {
                step = Step::Calls(Vec::new());
                for call in calls {
                    let result = Ok(envelope::encode(&FromDatabase::Done));
                    step = catalog.resume(platform, ticket, Reply { id: call.id, result });
                }
            }
        }
    }
}

/// `work` performs `count` operations. Prints the CPU time per operation, and the retained and peak
/// memory.
fn measured<T>(what: &str, count: u64, work: impl FnOnce() -> T) -> T {
    let (before, from) = (live(), ThreadTime::now());
    let result = work();
    let us = from.elapsed().as_secs_f64() * 1e6;
    let [kept, most] = [live() - before, peak_since() - before].map(|bytes| bytes as f64 / 1e6);
    let each = us / count as f64;
    println!("{what:<34} {count:>7} × {each:>8.2} µs   keeps {kept:>6.1} MB, at most {most:>6.1}");
    result
}

fn secret(number: u64) -> String {
    format!("secret {number}")
}

fn token(number: u64) -> Grantee {
    let database = Some(name(number / TOKENS_EACH));
    let permission = Permission { database, policy: None, read: true, write: true, metrics: false };
    let grants = Grants { admin: false, permissions: vec![permission] };
    Grantee::token(&format!("token {number}"), token_hash(&secret(number)), grants, [0, i64::MAX])
}

fn name(number: u64) -> String {
    format!("tenant{number}")
}

fn main() {
    let platform = Fixed(Cell::new(0));
    let store = MemoryStore::new();
    let mut catalog = Catalog::new(store.clone());
    let tokens = DATABASES * TOKENS_EACH;
    println!("{DATABASES} databases, {tokens} tokens; rows of the store in memory included");
    measured("create a database", DATABASES, || {
        for number in 0..DATABASES {
            let (name, policy, shards) = (name(number), None, 1);
            let (location, jurisdiction) = (None, None);
            let create = CreateDatabase { name, policy, shards, location, jurisdiction };
            let created = ask(&mut catalog, &platform, &ToCatalog::Create(create));
            assert!(matches!(created, FromCatalog::Created { .. }), "{created:?}");
        }
    });
    measured("create a token", tokens, || {
        for number in 0..tokens {
            let put = ToCatalog::PutGrantee(Box::new(token(number)));
            let granted = ask(&mut catalog, &platform, &put);
            assert!(matches!(granted, FromCatalog::Granted { remaining: 0, .. }), "{granted:?}");
        }
    });
    let mut catalog = measured("wake up, and the first answer", 1, || {
        let mut catalog = Catalog::new(store.clone());
        let page = ToCatalog::Grantees { user: false, after: 0, limit: 1 };
        ask(&mut catalog, &platform, &page);
        ask(&mut catalog, &platform, &ToCatalog::Resolve { name: name(0) });
        catalog
    });
    measured("resolve a database", DATABASES, || {
        for number in 0..DATABASES {
            let resolved = ask(&mut catalog, &platform, &ToCatalog::Resolve { name: name(number) });
            assert!(matches!(resolved, FromCatalog::Resolved { object: Some(_) }));
        }
    });
    measured("find a token by its secret", tokens, || {
        for number in 0..tokens {
            let keys = vec![GranteeKey { user: false, text: token_hash(&secret(number)) }];
            let found = ask(&mut catalog, &platform, &ToCatalog::Identify { keys });
            assert!(matches!(found, FromCatalog::Identified { found, .. } if found.len() == 1));
        }
    });
    measured("list a page of 1,000 tokens", tokens / PAGE, || list(&mut catalog, &platform));
    edge();
}

fn list(catalog: &mut Catalog<MemoryStore>, platform: &Fixed) {
    let (mut after, mut listed) = (0, 0);
    loop {
        let page = ToCatalog::Grantees { user: false, after, limit: PAGE };
        let FromCatalog::Grantees { rows, more, .. } = ask(catalog, platform, &page) else {
            unreachable!("no list")
        };
        listed += rows.len() as u64;
        after = rows.last().map_or(after, |row| row.id);
        if !more {
            assert_eq!(listed, DATABASES * TOKENS_EACH);
            return;
        }
    }
}

fn edge() {
    let object = |number: u64| ObjectId(format!("{number:064x}"));
    let mut cache = Cache::default();
    measured("an edge meets a database", DATABASES, || {
        for number in 0..DATABASES {
            cache.put_database(&name(number), object(number), Description::default());
        }
    });
    measured("an edge meets a token", DATABASES * TOKENS_EACH, || {
        for number in 0..DATABASES * TOKENS_EACH {
            let row = Grantee { id: number + 1, version: number + 1, ..token(number) };
            let row = row.on(&name(number / TOKENS_EACH));
            cache.callers.on_reply(&object(number / TOKENS_EACH), ConfirmedGrantee::new(row, 1));
        }
    });
    let known = (0..DATABASES).filter(|number| cache.database(&name(*number)).is_some()).count();
    let met = (0..DATABASES * TOKENS_EACH).filter(|number| {
        let key = GranteeKey { user: false, text: token_hash(&secret(*number)) };
        !cache.callers.replies_of_all_databases(&key).is_empty()
    });
    println!("it remembers {known} databases and {} tokens", met.count());
}
