//! PROTOCOL.md rule 11 over a whole deployment: when a token begins and ends on edges that lose messages.

use tidemark::coordinator::error::Error;
use tidemark::coordinator::grants::token_hash;
use tidemark::coordinator::identify::{Credentials, Identify, Verdict};
use tidemark::model::grant::Grants;
use tidemark::protocol::call::Address;
use tidemark::protocol::catalog::ToCatalog;
use tidemark::protocol::envelope;
use tidemark::protocol::grants::Grantee;

use crate::protocol::{ask, world};
use crate::world::{Edge, Faults, World};

const MS_NS: i64 = 1_000_000;
const S_NS: i64 = 1_000 * MS_NS;

fn put(world: &mut World, name: &str) {
    let grantee = Grantee {
        id: 0,
        version: 0,
        user: false,
        name: name.to_owned(),
        hash: token_hash(name),
        salt: String::new(),
        iterations: 0,
        grants: Grants::admin(),
        created_ns: 0,
        expires_ns: i64::MAX,
    };
    let message = envelope::encode(&ToCatalog::PutGrantee(Box::new(grantee)));
    ask(world, Address::Catalog, message);
}

fn remove(world: &mut World, name: &str) {
    let message = ToCatalog::RemoveGrantee { user: false, name: name.to_owned() };
    ask(world, Address::Catalog, envelope::encode(&message));
}

/// Whether `edge` lets the token in; `None` when it cannot say.
fn is_let_in(world: &mut World, edge: &Edge, token: &str) -> Option<bool> {
    let credentials = Credentials::pair(None, token.to_owned());
    match world.run(edge, Identify::new(credentials, false, "")) {
        Ok(found) => Some(matches!(found, Verdict::Known(_))),
        Err(Error::Unavailable(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn rule_11_a_revoked_token_ends_everywhere_within_ten_seconds() {
    let mut longest_ns = 0;
    for seed in 0..60 {
        let mut world = world(seed);
        let edges = [Edge::default(), Edge::default(), Edge::default()];
        put(&mut world, "t");
        for edge in &edges {
            assert_eq!(is_let_in(&mut world, edge, "t"), Some(true), "seed {seed}");
        }
        // A pause of its own for each edge, so that their copies are of different age.
        let pause_ns = |world: &World| (world.platform.below(900) as i64 + 100) * MS_NS;
        for _ in 0..seed % 10 {
            let at_ns = world.platform.time_ns() + pause_ns(&world);
            world.platform.advance_to(at_ns);
            let edge = &edges[world.platform.below(3)];
            is_let_in(&mut world, edge, "t");
        }
        remove(&mut world, "t");
        let revoked_ns = world.platform.time_ns();
        world.faults = Faults { lost: (seed % 4) as u8 * 30, ..Faults::default() };
        while world.platform.time_ns() < revoked_ns + 20 * S_NS {
            let at_ns = world.platform.time_ns() + pause_ns(&world);
            world.platform.advance_to(at_ns);
            let edge = &edges[world.platform.below(3)];
            if is_let_in(&mut world, edge, "t") == Some(true) {
                let after_ns = world.platform.time_ns() - revoked_ns;
                longest_ns = longest_ns.max(after_ns);
                assert!(after_ns <= 10 * S_NS, "seed {seed}: {} ms", after_ns / MS_NS);
            }
        }
        world.faults = Faults::default();
        for edge in &edges {
            assert_eq!(is_let_in(&mut world, edge, "t"), Some(false), "seed {seed}");
        }
    }
    println!("a revoked token was last let in {} ms after", longest_ns / MS_NS);
    assert!(longest_ns > 5 * S_NS, "the schedule never tried an old copy");
}

#[test]
fn rule_11_a_new_token_begins_everywhere_at_once() {
    let mut world = world(1);
    let edges = [Edge::default(), Edge::default()];
    put(&mut world, "old");
    for edge in &edges {
        assert_eq!(is_let_in(&mut world, edge, "old"), Some(true));
    }
    put(&mut world, "new");
    for edge in &edges {
        assert_eq!(is_let_in(&mut world, edge, "new"), Some(true));
        assert_eq!(is_let_in(&mut world, edge, "none"), Some(false));
    }
}

#[test]
fn rule_11_without_the_catalog_nobody_is_let_in_after_ten_seconds() {
    let mut world = world(2);
    let edge = Edge::default();
    put(&mut world, "t");
    assert_eq!(is_let_in(&mut world, &edge, "t"), Some(true));
    world.faults = Faults { lost: 100, ..Faults::default() };
    let start_ns = world.platform.time_ns();
    for (after_ns, expected) in
        [(S_NS, Some(true)), (8 * S_NS, Some(true)), (10 * S_NS, Some(true)), (10 * S_NS + 1, None)]
    {
        world.platform.advance_to(start_ns + after_ns);
        assert_eq!(is_let_in(&mut world, &edge, "t"), expected, "{after_ns}");
        assert_eq!(is_let_in(&mut world, &edge, "unknown"), None, "{after_ns}");
    }
    world.faults = Faults::default();
    assert_eq!(is_let_in(&mut world, &edge, "t"), Some(true));
}
