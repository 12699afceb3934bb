//! Tests the reports that edges send to the Catalog after requests. A report contains the day of a
//! token's last use. The response to a report shows a permission that was revoked while its
//! database was unreachable.

use serde_json::Value;
use tidemark_engine::protocol::call::Address;
use tidemark_model::limits::{CONFIRM_RETRY_NS, CONFIRMED_NS};

use crate::grants::{meet, pass, put, revoke, three_edges, token, writes};
use crate::product::Product;
use crate::protocol::{create, world, write};
use crate::tokens::{admin, send, token as new_token};
use crate::world::{Edge, Faults};

const S_NS: i64 = 1_000_000_000;

/// Revokes a token, while clients write and all messages to the objects in `is_mute` are lost.
/// Returns the number of writes that succeed after the revocation was acknowledged, and the time of
/// the last such write.
fn writes_after(seed: u64, grants: &[&str], is_mute: fn(&Address) -> bool) -> (u32, i64) {
    let mut world = world(seed);
    let edges = three_edges();
    world.run(&edges[0], create("a", 2, None)).unwrap();
    world.run(&edges[0], write("a", "m f=1 1")).unwrap();
    put(&mut world, token("t", grants));
    meet(&mut world, &edges, "t", &["a"]);
    world.settle();
    world.is_mute = is_mute;
    world.faults = Faults { lost: 20, crashed: 2, repeated: 20, ..Faults::default() };
    world.spares_clients = true;
    let mut remaining = revoke(&mut world, "t");
    while remaining.is_none() {
        remaining = revoke(&mut world, "t");
    }
    assert_eq!(remaining, Some(1), "nobody could be told");
    let began_ns = world.platform.time_ns();
    let (mut taken, mut last_ns) = (0, 0);
    while world.platform.time_ns() < began_ns + 3 * CONFIRMED_NS {
        let edge = &edges[world.platform.below(3)];
        if writes(&mut world, edge, "t", "a") == Some(true) {
            (taken, last_ns) = (taken + 1, world.platform.time_ns() - began_ns);
        }
        pass(&mut world, 20 * S_NS);
    }
    // While the database is unreachable, an edge with an empty cache accepts the token at most
    // once.
    let stranger = Edge::default();
    let taken_there = [(); 4].map(|()| writes(&mut world, &stranger, "t", "a"));
    assert!(!taken_there[1..].contains(&Some(true)), "{taken_there:?}");
    world.is_mute = |_| false;
    world.faults = Faults::default();
    pass(&mut world, 20 * S_NS);
    assert!(matches!(revoke(&mut world, "t"), None | Some(0)));
    assert_eq!(writes(&mut world, &Edge::default(), "t", "a"), Some(false));
    (taken, last_ns)
}

#[test]
fn rule_11_unreachable_objects_end_access_within_hour() {
    let catalog: fn(&Address) -> bool = |of| matches!(of, Address::Catalog);
    let database: fn(&Address) -> bool = |of| matches!(of, Address::Database(_));
    for (who, is_mute) in [("Catalog", catalog), ("Database", database)] {
        for grants in [["a"], ["*"]] {
            let (mut taken, mut slowest_ns) = (0, 0);
            for seed in 0..6 {
                let (more, last_ns) = writes_after(seed, &grants, is_mute);
                (taken, slowest_ns) = (taken + more, slowest_ns.max(last_ns));
            }
            println!(
                "no {who}, {grants:?}: {taken} writes, the last after {} s",
                slowest_ns / S_NS
            );
            assert!(taken > 0, "nothing shows what would happen without the question");
            // Each edge writes about once a minute. One edge detects the revocation.
            let late_ns = 10 * 60 * S_NS;
            assert!(slowest_ns <= CONFIRMED_NS + late_ns, "{} s", slowest_ns / S_NS);
        }
    }
}

#[test]
fn lost_catalog_keeps_confirmed_access() {
    let mut world = world(1);
    let edge = Edge::default();
    world.run(&edge, create("a", 1, None)).unwrap();
    put(&mut world, token("t", &["a"]));
    meet(&mut world, std::slice::from_ref(&edge), "t", &["a"]);
    world.catalog_is_lost = true;
    for _ in 0..30 {
        assert_eq!(writes(&mut world, &edge, "t", "a"), Some(true));
        pass(&mut world, CONFIRMED_NS / 10);
    }
    // The edge repeats the request once a minute.
    let asked = world.asked;
    for _ in 0..60 {
        assert_eq!(writes(&mut world, &edge, "t", "a"), Some(true));
        pass(&mut world, CONFIRM_RETRY_NS / 20);
    }
    assert_eq!(world.asked - asked, 60 + 3, "a write each, and three questions");
}

fn last_used(product: &mut Product) -> Value {
    let list = admin(product, ("GET", "/api/v3/configure/token"), "", 200);
    list[0]["last_used"].clone()
}

#[test]
fn token_list_shows_last_use_day() {
    let mut product = Product::with(&[]);
    product.query("a", "CREATE DATABASE a");
    let secret = new_token(&mut product, "t", &["a"], &["write"], None);
    assert_eq!(last_used(&mut product), Value::Null);
    let write = |product: &mut Product| {
        send(product, ("Token", &secret), ("POST", "/write?db=a"), "m v=1").status
    };
    assert_eq!(write(&mut product), 204);
    assert_eq!(last_used(&mut product), "2023-11-14");
    product.pass(12 * 3_600);
    let read = ("GET", "/query?db=a&q=SHOW+MEASUREMENTS");
    assert_eq!(send(&mut product, ("Token", &secret), read, "").status, 403);
    assert_eq!(last_used(&mut product), "2023-11-15");
    product.pass(24 * 3_600);
    assert_eq!(write(&mut product), 204);
    assert_eq!(last_used(&mut product), "2023-11-16");
    admin(&mut product, ("DELETE", "/api/v3/configure/token?token_name=t"), "", 200);
    new_token(&mut product, "t", &["a"], &["write"], None);
    assert_eq!(last_used(&mut product), Value::Null);
}

#[test]
fn token_use_is_stored_once_daily() {
    let mut product = Product::with(&[]);
    product.query("a", "CREATE DATABASE a");
    let secret = new_token(&mut product, "t", &["a"], &["write"], None);
    let write = |product: &mut Product| {
        send(product, ("Token", &secret), ("POST", "/write?db=a"), "m v=1").status
    };
    assert_eq!(write(&mut product), 204);
    let bill = |product: &Product| {
        let asked = product.object_requests().get(&Address::Catalog).copied().unwrap_or_default();
        let store = product.stores().remove(&Address::Catalog).unwrap();
        (asked, tidemark_engine::store::Store::row_counts(&store).written)
    };
    let (asked, written) = bill(&product);
    for _ in 0..24 * 6 {
        product.pass(599);
        assert_eq!(write(&mut product), 204);
    }
    let (asked_then, written_then) = bill(&product);
    assert_eq!((asked_then - asked, written_then - written), (24, 1));
}
