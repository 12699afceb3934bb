//! Tests two secrets of one token: when the new secret becomes valid, and when the previous secret
//! becomes invalid (PROTOCOL.md rule 11). Runs over HTTP, and in a deployment in which messages and
//! objects fail.

use serde_json::{Value, json};
use tidemark::coordinator::grants::token_hash;
use tidemark::protocol::catalog::{CatalogRefusal, FromCatalog, Rotation, ToCatalog};

use crate::grants::{call_catalog, meet, pass, put, revoke, three_edges, token, writes};
use crate::product::Product;
use crate::protocol::{create, world, write};
use crate::tokens::{admin, send, token as new_token};
use crate::world::{Edge, Faults, World};

const S_NS: i64 = 1_000_000_000;
const KEPT_NS: i64 = 60 * S_NS;

fn rotate(world: &mut World, secret: &str, now_ns: i64) -> FromCatalog {
    let (name, hash) = ("t".to_owned(), token_hash(secret));
    let until_ns = now_ns + KEPT_NS;
    call_catalog(world, &ToCatalog::RotateToken(Rotation { name, hash, now_ns, until_ns }))
}

/// Returns the number of databases that have not confirmed the end, or 0 if no token has the
/// secret.
fn end(world: &mut World, secret: &str) -> u64 {
    let message = ToCatalog::EndSecret { name: "t".to_owned(), hash: token_hash(secret) };
    match call_catalog(world, &message) {
        FromCatalog::Dropped { remaining, .. } => remaining,
        other => panic!("{other:?}"),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Expires,
    Ended,
    Revoked,
}

/// The number of accepted writes with the previous secret after all databases know the new secret,
/// and with the new secret.
type Taken = [u32; 2];

/// Nine of ten messages are lost, objects restart, and writes continue.
fn rotate_under_losses(seed: u64, ending: Ending, grants: &[&str]) -> Taken {
    let mut world = world(seed);
    let (edges, databases) = (three_edges(), ["a", "b"]);
    for database in databases {
        world.run(&edges[0], create(database, 2, None)).unwrap();
        world.run(&edges[0], write(database, "m f=1 1")).unwrap();
    }
    put(&mut world, token("t", grants));
    meet(&mut world, &edges, "t", &databases);
    world.settle();
    world.faults = Faults { lost: 90, crashed: 5, repeated: 20, ..Faults::default() };
    world.spares_clients = true;
    let began_ns = world.platform.time_ns();
    let (mut heard, mut over_ns) = (false, None);
    let mut taken = [0, 0];
    for turn in 0.. {
        let now_ns = world.platform.time_ns();
        if !heard {
            let reply = rotate(&mut world, "t2", began_ns);
            let FromCatalog::Granted { remaining, .. } = reply else { panic!("{reply:?}") };
            heard = remaining == 0;
        } else if over_ns.is_none() {
            let is_over = match ending {
                Ending::Expires => now_ns >= began_ns + KEPT_NS,
                Ending::Ended => end(&mut world, "t") == 0,
                Ending::Revoked => matches!(revoke(&mut world, "t"), None | Some(0)),
            };
            over_ns = is_over.then_some(now_ns);
        }
        let edge = match world.platform.below(4) {
            0 => Edge::default(),
            known => edges[known - 1].clone(),
        };
        let database = databases[world.platform.below(2)];
        let old = writes(&mut world, &edge, "t", database) == Some(true);
        let new = writes(&mut world, &edge, "t2", database);
        assert!(!old || over_ns.is_none(), "seed {seed}: the old secret was taken");
        taken[0] += u32::from(old && heard);
        taken[1] += u32::from(new == Some(true));
        match ending {
            Ending::Revoked if over_ns.is_some() => assert_ne!(new, Some(true), "seed {seed}"),
            Ending::Revoked => {}
            _ => assert_ne!(new, Some(false), "seed {seed}: the new secret was refused"),
        }
        if over_ns.is_some_and(|at_ns| now_ns > at_ns + 30 * S_NS) {
            return taken;
        }
        if turn == 40 {
            world.faults = Faults::default();
        }
        pass(&mut world, S_NS / 2);
    }
    taken
}

#[test]
fn rule_11_both_secrets_work_until_end() {
    for ending in [Ending::Expires, Ending::Ended, Ending::Revoked] {
        for grants in [&["a", "b"][..], &["*"]] {
            let mut sum = [0, 0];
            for seed in 0..12 {
                let taken = rotate_under_losses(seed, ending, grants);
                sum = [sum[0] + taken[0], sum[1] + taken[1]];
            }
            assert!(sum[1] > 0, "the new secret was never taken");
            assert!(ending != Ending::Expires || sum[0] > 0, "the old one ended at once");
        }
    }
}

#[test]
fn token_has_at_most_two_secrets() {
    let mut world = world(4);
    let edge = Edge::default();
    world.run(&edge, create("d", 1, None)).unwrap();
    put(&mut world, token("t", &["d"]));
    let now_ns = world.platform.time_ns();
    let granted = FromCatalog::Granted { id: 1, remaining: 0 };
    assert_eq!(rotate(&mut world, "t2", now_ns), granted);
    let refused = |refusal| FromCatalog::Refused(refusal);
    assert_eq!(rotate(&mut world, "t3", now_ns), refused(CatalogRefusal::TwoSecrets));
    assert_eq!(rotate(&mut world, "t2", now_ns), granted, "a repeat");
    // The response with the new secret was lost. The previous secret is again the only secret.
    assert_eq!(end(&mut world, "t2"), 0);
    pass(&mut world, 2 * KEPT_NS);
    assert_eq!(writes(&mut world, &edge, "t2", "d"), Some(false));
    assert_eq!(writes(&mut world, &edge, "t", "d"), Some(true));
    let only = ToCatalog::EndSecret { name: "t".to_owned(), hash: token_hash("t") };
    assert_eq!(call_catalog(&mut world, &only), refused(CatalogRefusal::OnlySecret));
    let now_ns = world.platform.time_ns();
    assert_eq!(rotate(&mut world, "t4", now_ns), granted);
    pass(&mut world, 2 * KEPT_NS);
    let now_ns = world.platform.time_ns();
    assert_eq!(rotate(&mut world, "t5", now_ns), granted);
    let taken = ["t", "t4", "t5"].map(|secret| writes(&mut world, &edge, secret, "d"));
    assert_eq!(taken, [Some(false), Some(true), Some(true)]);
    assert_eq!(revoke(&mut world, "t"), Some(0));
    let taken = ["t", "t4", "t5"].map(|secret| writes(&mut world, &edge, secret, "d"));
    assert_eq!(taken, [Some(false); 3]);
}

/// A database that has missed the end of a secret is informed with the next message.
#[test]
fn revocation_also_ends_older_secrets() {
    let mut world = world(6);
    let edge = Edge::default();
    world.run(&edge, create("d", 1, None)).unwrap();
    put(&mut world, token("t", &["d"]));
    let now_ns = world.platform.time_ns();
    rotate(&mut world, "t2", now_ns);
    let met = ["t", "t2"].map(|secret| writes(&mut world, &edge, secret, "d"));
    assert_eq!(met, [Some(true); 2]);
    world.faults = Faults { lost: 100, ..Faults::default() };
    world.spares_clients = true;
    assert_eq!(end(&mut world, "t"), 1);
    assert_eq!(writes(&mut world, &edge, "t", "d"), Some(true), "nobody has told it");
    world.faults = Faults::default();
    assert_eq!(revoke(&mut world, "t"), Some(0));
    let taken = ["t", "t2"].map(|secret| writes(&mut world, &edge, secret, "d"));
    assert_eq!(taken, [Some(false); 2]);
}

#[test]
fn new_database_accepts_both_secrets() {
    let mut world = world(7);
    let edge = Edge::default();
    put(&mut world, token("t", &["*"]));
    let now_ns = world.platform.time_ns();
    rotate(&mut world, "t2", now_ns);
    world.run(&edge, create("d", 1, None)).unwrap();
    world.run(&edge, write("d", "m f=1 1")).unwrap();
    world.catalog_is_lost = true;
    let taken = ["t", "t2"].map(|secret| writes(&mut world, &edge, secret, "d"));
    assert_eq!(taken, [Some(true); 2]);
    pass(&mut world, 2 * KEPT_NS);
    assert_ne!(writes(&mut world, &edge, "t", "d"), Some(true));
    assert_eq!(writes(&mut world, &edge, "t2", "d"), Some(true));
}

const ROUTE: &str = "/api/v3/configure/token/secret";

fn secrets(product: &mut Product) -> Vec<Value> {
    let list = admin(product, ("GET", "/api/v3/configure/token"), "", 200);
    list[0]["secrets"].as_array().unwrap().clone()
}

#[test]
fn http_rotation_lists_both_secrets() {
    let mut product = Product::with(&[]);
    product.query("a", "CREATE DATABASE a");
    let old = new_token(&mut product, "t", &["a"], &["write"], None);
    let statuses = |product: &mut Product, secrets: [&str; 2]| {
        secrets
            .map(|secret| send(product, ("Token", secret), ("POST", "/write?db=a"), "m v=1").status)
    };
    let asked = json!({"token_name": "t", "keep_secs": 600}).to_string();
    let made = admin(&mut product, ("POST", ROUTE), &asked, 200);
    let new = made["token"].as_str().unwrap().to_owned();
    assert_eq!(made["remaining"], 0);
    assert_eq!(statuses(&mut product, [&old, &new]), [204, 204]);
    let listed = secrets(&mut product);
    let hashes: Vec<&str> = listed.iter().map(|one| one["hash"].as_str().unwrap()).collect();
    assert_eq!(hashes, [token_hash(&new), token_hash(&old)]);
    assert_eq!(listed[0]["expiry"], Value::Null);
    assert_eq!(listed[1]["expiry"], made["earlier_expiry"]);
    assert!(listed[0]["created_at"].as_str() > listed[1]["created_at"].as_str());
    let twice = admin(&mut product, ("POST", ROUTE), &asked, 409);
    assert!(twice["message"].as_str().unwrap().contains("already has two secrets"), "{twice}");
    product.pass(600);
    assert_eq!(statuses(&mut product, [&old, &new]), [401, 204]);
    let made = admin(&mut product, ("POST", ROUTE), &asked, 200);
    let newest = made["token"].as_str().unwrap().to_owned();
    assert_eq!(statuses(&mut product, [&new, &newest]), [204, 204]);
    let of_new = format!("{ROUTE}?token_name=t&hash={}", token_hash(&new));
    admin(&mut product, ("DELETE", &of_new), "", 200);
    assert_eq!(statuses(&mut product, [&new, &newest]), [401, 204]);
    admin(&mut product, ("DELETE", &of_new), "", 404);
    let of_newest = format!("{ROUTE}?token_name=t&hash={}", token_hash(&newest));
    admin(&mut product, ("DELETE", &of_newest), "", 409);
    // By default, the previous secret ends after one day. With 0, it ends immediately.
    let made = admin(&mut product, ("POST", ROUTE), "{\"token_name\":\"t\"}", 200);
    assert_eq!(secrets(&mut product).len(), 2);
    let created = made["created_at"].as_str().unwrap();
    let until = made["earlier_expiry"].as_str().unwrap();
    assert_eq!((&created[11..], &until[8..10]), (&until[11..], "15"), "{made}");
    admin(&mut product, ("DELETE", &of_newest), "", 200);
    let none = json!({"token_name": "t", "keep_secs": 0}).to_string();
    let last = admin(&mut product, ("POST", ROUTE), &none, 200);
    let (made, last) = (made["token"].as_str().unwrap(), last["token"].as_str().unwrap());
    assert_eq!(statuses(&mut product, [made, last]), [401, 204]);
    assert_eq!(secrets(&mut product).len(), 1);
}

#[test]
fn invalid_rotation_is_rejected() {
    let mut product = Product::with(&[]);
    product.query("a", "CREATE DATABASE a");
    let secret = new_token(&mut product, "t", &["a"], &["write"], None);
    for (body, status) in [
        ("{\"token_name\":\"none\"}", 404),
        ("{\"token_name\":\"t\",\"keep_secs\":-1}", 400),
        ("{\"token_name\":\"t\",\"keep_secs\":2592001}", 400),
        ("{\"name\":\"t\"}", 400),
    ] {
        admin(&mut product, ("POST", ROUTE), body, status);
    }
    admin(&mut product, ("DELETE", &format!("{ROUTE}?token_name=t")), "", 400);
    let own = send(&mut product, ("Token", &secret), ("POST", ROUTE), "{\"token_name\":\"t\"}");
    assert_eq!(own.status, 403);
}
