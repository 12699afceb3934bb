//! Tests PROTOCOL.md rule 11 in a whole deployment: when permissions begin and end on the edges.
//! Objects and messages fail during the tests.

use std::collections::BTreeSet;

use tidemark_coordinator::Task;
use tidemark_coordinator::confirmations::confirm;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::grants::{Principal, token_hash};
use tidemark_coordinator::identify::{self, AuthSource, Credentials, Identification};
use tidemark_coordinator::write::WriteOutcome;
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::grants::Grantee;
use tidemark_model::grant::{Grants, Permission};
use tidemark_model::ids::ObjectId;

use crate::protocol::{ask, create, drop_database, world, write, write_request, write_task};
use crate::world::stub_shard;
use crate::world::{Edge, Faults, World};

const S_NS: i64 = 1_000_000_000;
/// The maximum pause, in seconds, of the alarm between two attempts to end a permission.
const RETRY_S: i64 = 4;

pub(crate) fn token(name: &str, databases: &[&str]) -> Grantee {
    let permission = |database: &&str| Permission {
        database: (*database != "*").then(|| (*database).to_owned()),
        policy: None,
        read: true,
        write: true,
        metrics: false,
    };
    let grants = Grants { admin: false, permissions: databases.iter().map(permission).collect() };
    Grantee::token(name, token_hash(name), grants, [0, i64::MAX])
}

pub(crate) fn call_catalog(world: &mut World, message: &ToCatalog) -> FromCatalog {
    let spares = std::mem::replace(&mut world.spares_clients, true);
    let reply = ask(world, Address::Catalog, envelope::encode(message));
    world.spares_clients = spares;
    envelope::decode(&reply).unwrap().1
}

pub(crate) fn put(world: &mut World, row: Grantee) -> FromCatalog {
    call_catalog(world, &ToCatalog::PutGrantee(Box::new(row)))
}

/// Returns the number of databases that have not confirmed the revocation, or `None` if the token
/// does not exist.
pub(crate) fn revoke(world: &mut World, name: &str) -> Option<u64> {
    let message = ToCatalog::RemoveGrantee { user: false, name: name.to_owned() };
    match call_catalog(world, &message) {
        FromCatalog::Dropped { existed, remaining } => existed.then_some(remaining),
        other => panic!("{other:?}"),
    }
}

/// Identifies the caller in the same way as the edge does for a write to `database`.
fn identify(
    world: &mut World,
    edge: &Edge,
    token: &str,
    database: &str,
) -> Result<Identification, Error> {
    let credentials = Credentials::pair(None, token.to_owned());
    let of = AuthSource::Databases(vec![database.to_owned()]);
    let task = Task::new(|io| async move { identify::identify(&io, credentials, of, "").await });
    world.run(edge, task)
}

fn write_as(principal: Principal, database: &str, line: &str) -> Task<WriteOutcome> {
    let mut request = write_request(database, line);
    request.principal = principal;
    write_task(request)
}

/// Returns whether the write was accepted, or `None` if the edge cannot determine the permission.
pub(crate) fn writes(world: &mut World, edge: &Edge, token: &str, database: &str) -> Option<bool> {
    let principal = match identify(world, edge, token, database) {
        Ok(Identification::Known(principal)) => principal,
        Ok(Identification::Unknown) => return Some(false),
        Ok(Identification::LoginRefused(_)) | Err(Error::Unavailable(_)) => return None,
        Err(error) => panic!("{error}"),
    };
    let identity = principal.identity.clone().expect("a token");
    let taken = match world.run(edge, write_as(principal, database, "m f=1 1")) {
        Ok(_) => Some(true),
        Err(Error::Unavailable(_)) => None,
        Err(Error::Revoked | Error::Forbidden { .. }) => Some(false),
        Err(error) => panic!("{error}"),
    };
    // The edge reports the use of the token after the response.
    let _ = world.run(edge, Task::new(|io| async move { confirm(&io, &identity).await }));
    taken
}

pub(crate) fn three_edges() -> [Edge; 3] {
    [Edge::default(), Edge::default(), Edge::default()]
}

pub(crate) fn meet(world: &mut World, edges: &[Edge], token: &str, databases: &[&str]) {
    for edge in edges {
        for database in databases {
            assert_eq!(writes(world, edge, token, database), Some(true), "{database}");
        }
    }
}

pub(crate) fn pass(world: &mut World, span_ns: i64) {
    let until_ns = world.platform.time_ns() + span_ns;
    while world.alarm_is_due_within(until_ns - world.platform.time_ns()) && world.alarm() {
        while world.deliver() {}
    }
    world.platform.advance_to(until_ns);
}

/// Revokes a token while nine of ten messages are lost, objects restart, and clients write. Checks
/// that no database accepts a write with the token after the revocation was acknowledged.
fn revoke_under_losses(seed: u64, databases: &[&str], grants: &[&str]) -> (i64, u32) {
    let mut world = world(seed);
    let edges = three_edges();
    for database in databases {
        world.run(&edges[0], create(database, 2, None)).unwrap();
        world.run(&edges[0], write(database, "m f=1 1")).unwrap();
    }
    put(&mut world, token("t", grants));
    meet(&mut world, &edges, "t", databases);
    world.settle();
    world.faults = Faults { lost: 90, crashed: 5, repeated: 20, ..Faults::default() };
    world.spares_clients = true;
    let began_ns = world.platform.time_ns();
    let (mut acknowledged_ns, mut calm_ns) = (None, None);
    let mut accepted = 0;
    for turn in 0.. {
        if acknowledged_ns.is_none() && matches!(revoke(&mut world, "t"), None | Some(0)) {
            acknowledged_ns = Some(world.platform.time_ns());
        }
        // Some writes use an edge with an empty cache, which must request the permission from the
        // Catalog or the Database.
        let edge = match world.platform.below(4) {
            0 => Edge::default(),
            known => edges[known - 1].clone(),
        };
        let database = databases[world.platform.below(databases.len())];
        let taken = writes(&mut world, &edge, "t", database);
        if taken == Some(true) {
            accepted += 1;
            assert_eq!(acknowledged_ns, None, "seed {seed}: {database} took a write");
        }
        match acknowledged_ns {
            Some(at_ns) if world.platform.time_ns() > at_ns + 60 * S_NS => break,
            _ => {}
        }
        // From this turn on, no messages are lost, so the alarm soon completes the revocation. In
        // half of the schedules, this turn is very late.
        if turn == if seed.is_multiple_of(2) { 40 } else { 4_000 } {
            world.faults = Faults::default();
            calm_ns = Some(world.platform.time_ns());
        }
        pass(&mut world, S_NS / 2);
    }
    let until_ns = acknowledged_ns.unwrap();
    if let Some(calm_ns) = calm_ns {
        assert!(until_ns - calm_ns <= (2 * RETRY_S + 2) * S_NS, "seed {seed}");
    }
    (until_ns - began_ns, accepted)
}

#[test]
fn rule_11_acknowledged_revocation_stops_every_edge() {
    let (mut slowest_ns, mut taken) = (0, 0);
    for seed in 0..40 {
        let (acknowledged_ns, accepted) = revoke_under_losses(seed, &["a"], &["a"]);
        slowest_ns = slowest_ns.max(acknowledged_ns);
        taken += accepted;
    }
    println!("acknowledged after {} s at the latest, {taken} writes before", slowest_ns / S_NS);
    assert!(taken > 0, "no schedule had a write in time");
}

#[test]
fn rule_11_revoked_token_ends_in_every_database() {
    let databases: Vec<String> = (0..40).map(|n| format!("db{n}")).collect();
    let databases: Vec<&str> = databases.iter().map(String::as_str).collect();
    let mut slowest_ns = 0;
    for seed in 0..4 {
        slowest_ns = slowest_ns.max(revoke_under_losses(seed, &databases, &["*"]).0);
    }
    println!("40 databases: acknowledged after {} s at the latest", slowest_ns / S_NS);
}

#[test]
fn rule_11_shard_rejects_revoked_requests() {
    let mut world = world(3);
    let edge = Edge::default();
    world.run(&edge, create("d", 1, None)).unwrap();
    put(&mut world, token("t", &["d"]));
    meet(&mut world, std::slice::from_ref(&edge), "t", &["d"]);
    // The request is authorized before the permission ends, but its lines arrive afterwards.
    let Ok(Identification::Known(principal)) = identify(&mut world, &edge, "t", "d") else {
        panic!()
    };
    assert_eq!(revoke(&mut world, "t"), Some(0));
    let late = world.run(&edge, write_as(principal, "d", "m f=2 2"));
    assert_eq!(late, Err(Error::Revoked));
    assert_eq!(revoke(&mut world, "t"), None, "there is none any more");
}

#[test]
fn rule_11_new_token_works_at_once() {
    let mut world = world(1);
    let edges = three_edges();
    world.run(&edges[0], create("d", 1, None)).unwrap();
    put(&mut world, token("old", &["d"]));
    meet(&mut world, &edges, "old", &["d"]);
    // The database is unreachable, so only the Catalog decides.
    world.faults = Faults { lost: 100, ..Faults::default() };
    world.spares_clients = true;
    assert!(matches!(
        put(&mut world, token("new", &["*"])),
        FromCatalog::Granted { remaining: 1, .. }
    ));
    for edge in &edges {
        assert_eq!(writes(&mut world, edge, "new", "d"), Some(true));
        assert_eq!(writes(&mut world, edge, "none", "d"), Some(false));
    }
    // The permission also ends if the database has never received it.
    world.faults = Faults::default();
    assert_eq!(revoke(&mut world, "new"), Some(0));
    for edge in &edges {
        assert_eq!(writes(&mut world, edge, "new", "d"), Some(false));
        assert_eq!(writes(&mut world, edge, "old", "d"), Some(true));
    }
}

#[test]
fn rule_11_new_database_receives_existing_grants() {
    let mut world = world(5);
    let edge = Edge::default();
    for n in 0..3 {
        put(&mut world, token(&format!("named {n}"), &["later"]));
    }
    put(&mut world, token("all", &["*"]));
    put(&mut world, token("other", &["elsewhere"]));
    world.faults = Faults { lost: 60, crashed: 10, repeated: 20, ..Faults::default() };
    while world.run(&edge, create("later", 1, None)).is_err() {}
    world.faults = Faults::default();
    world.run(&edge, write("later", "m f=1 1")).unwrap();
    lose_catalog(&mut world, |world| {
        for name in ["named 0", "named 2", "all"] {
            assert_eq!(writes(world, &edge, name, "later"), Some(true), "{name}");
        }
        assert_eq!(writes(world, &edge, "other", "later"), None, "its owner is not there");
    });
    assert_eq!(writes(&mut world, &edge, "other", "later"), Some(false));
    // A new database with the same name is a different database. It has the same callers.
    world.run(&edge, drop_database("later")).unwrap();
    world.run(&edge, create("later", 1, None)).unwrap();
    assert_eq!(writes(&mut world, &edge, "named 1", "later"), Some(true));
}

/// An incompletely created database accepts no caller, so a revocation does not wait for it.
#[test]
fn rule_11_incomplete_database_never_delays_revocation() {
    let mut stuck = 0;
    for seed in 0..60 {
        let mut world = world(seed);
        let edge = Edge::default();
        world.run(&edge, create("ready", 1, None)).unwrap();
        put(&mut world, token("gone", &["*"]));
        put(&mut world, token("stays", &["*"]));
        world.faults = Faults { lost: 60, crashed: 5, repeated: 20, ..Faults::default() };
        world.spares_clients = true;
        let is_stuck = world.run(&edge, create("later", 1, None)).is_err();
        stuck += u32::from(is_stuck);
        // Databases that are ready can receive messages again. The other databases still cannot.
        let ready = world.addresses().into_iter().find(|at| matches!(at, Address::Database(_)));
        world.unreachable = is_stuck.then(|| world.addresses()).into_iter().flatten().collect();
        world
            .unreachable
            .retain(|at| matches!(at, Address::Database(_)) && Some(at) != ready.as_ref());
        world.faults = Faults::default();
        assert_eq!(revoke(&mut world, "gone"), Some(0), "seed {seed}");
        world.unreachable.clear();
        while world.run(&edge, create("later", 1, None)).is_err() {}
        world.run(&edge, write("later", "m f=1 1")).unwrap();
        for database in ["ready", "later"] {
            assert_eq!(writes(&mut world, &edge, "gone", database), Some(false), "seed {seed}");
        }
        lose_catalog(&mut world, |world| {
            assert_eq!(writes(world, &edge, "stays", "later"), Some(true), "seed {seed}");
            assert_ne!(writes(world, &edge, "gone", "later"), Some(true), "seed {seed}");
        });
    }
    assert!(stuck > 10, "only {stuck} were stuck");
}

fn lose_catalog(world: &mut World, during: impl FnOnce(&mut World)) {
    world.catalog_is_lost = true;
    during(world);
    world.catalog_is_lost = false;
}

#[test]
fn rule_11_known_databases_work_without_catalog() {
    let mut world = world(2);
    let [edge, stranger, _] = three_edges();
    world.run(&edge, create("d", 1, None)).unwrap();
    put(&mut world, token("t", &["d"]));
    put(&mut world, token("u", &["d"]));
    meet(&mut world, std::slice::from_ref(&edge), "t", &["d"]);
    lose_catalog(&mut world, |world| {
        pass(world, 3_600 * S_NS);
        assert_eq!(writes(world, &edge, "t", "d"), Some(true));
        // The edge has not cached this token, and its cache is outdated because of a change.
        assert_eq!(writes(world, &edge, "u", "d"), Some(true));
        stub_shard_generation(world, 9);
        assert_eq!(writes(world, &edge, "t", "d"), None, "the Database has not published it");
        assert_eq!(writes(world, &stranger, "t", "d"), None);
        assert_eq!(writes(world, &edge, "unknown", "d"), None);
    });
    stub_shard_generation(&mut world, 1);
    assert_eq!(writes(&mut world, &stranger, "t", "d"), Some(true));
    assert_eq!(writes(&mut world, &edge, "unknown", "d"), Some(false));
}

fn stub_shard_generation(world: &mut World, generation: u64) {
    for id in world.shard_ids().into_iter().collect::<BTreeSet<ObjectId>>() {
        if let Some(settings) = &mut stub_shard::stored(&id).borrow_mut().settings {
            settings.generation = generation;
        }
    }
}
