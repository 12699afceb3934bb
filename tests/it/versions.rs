//! Both ends of the object protocol one version apart, and further apart.
//!
//! `tests/data/format/messages_v1.txt` holds messages as version 1 sends them, one of each kind that
//! a story brings about; every later version that reads version 1 must read them. It is made where
//! it is missing, by `RECORD_FORMAT=1 cargo test --test it versions`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use tidemark::coordinator::create_drop::{Change, CreateDrop};
use tidemark::coordinator::delete::Delete;
use tidemark::coordinator::error::Error;
use tidemark::coordinator::verify::Verify;
use tidemark::influxql::bound_params::Params;
use tidemark::influxql::parse_statement;
use tidemark::protocol::call::{Call, CallFailure};
use tidemark::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark::protocol::database::{FromDatabase, ToDatabase};
use tidemark::protocol::envelope::{self, VERSION, VERSION_MIN, Wire};
use tidemark::protocol::host::Unavailable;
use tidemark::protocol::shard::{FromShard, ToShard};

use crate::protocol::{ask, create, kept, script, write};
use crate::world::{Edge, World, real_shard};

type Answer<'a> = dyn FnMut(&mut World, &Call) -> Result<Vec<u8>, CallFailure> + 'a;

/// Creates, writes, reads, deletes and drops, every call answered by `answer`.
fn story(world: &mut World, answer: &mut Answer<'_>) {
    let edge = Edge::default();
    script(world, &edge, &mut create("db", 2, None), &mut *answer).unwrap();
    for lines in ["m,host=a f=1,s=\"x\" 1\nm,host=b f=2 2", "n i=1i 3"] {
        let points = lines.lines().count() as u64;
        assert_eq!(script(world, &edge, &mut write("db", lines), &mut *answer), kept(points));
    }
    let statement = parse_statement("DELETE FROM m WHERE host = 'a'", &Params::default()).unwrap();
    let mut delete = Delete::new(statement, "db".into(), 0);
    assert_eq!(script(world, &edge, &mut delete, &mut *answer), Ok(()));
    let report = script(world, &edge, &mut Verify::new("db", None), &mut *answer).unwrap();
    assert!(report.blocks > 0 && report.damaged.is_empty() && report.resume.is_none());
    let change = Change::DropMeasurement { database: "db".into(), name: "m".into() };
    script(world, &edge, &mut CreateDrop::new(change), &mut *answer).unwrap();
    let change = Change::DropDatabase { name: "db".into() };
    script(world, &edge, &mut CreateDrop::new(change), &mut *answer).unwrap();
}

fn world() -> World {
    World::new(1, real_shard::make)
}

#[test]
fn an_edge_of_the_version_before_is_served_in_its_own_version() {
    let mut calls = 0;
    story(&mut world(), &mut |world, call| {
        let mut message = call.message.clone();
        message[0] = VERSION_MIN;
        let reply = ask(world, call.to.clone(), message);
        assert_eq!(reply[0], VERSION_MIN, "{:?}", call.to);
        calls += 1;
        Ok(reply)
    });
    assert!(calls > 15, "{calls}");
}

#[test]
fn a_version_that_is_too_new_is_refused_by_every_object_and_means_503() {
    let mut world = world();
    let edge = Edge::default();
    world.run(&edge, create("db", 1, None)).unwrap();
    let mut refused = Vec::new();
    for unreadable in ["Catalog", "Database", "Shard"] {
        let answer =
            script(&mut world, &Edge::default(), &mut write("db", "m f=1 1"), |world, call| {
                let mut message = call.message.clone();
                if format!("{:?}", call.to).starts_with(unreadable) {
                    message[0] = VERSION + 1;
                }
                Ok(ask(world, call.to.clone(), message))
            });
        let Err(Error::Unavailable(Unavailable::Unreachable(why))) = answer else {
            panic!("{unreadable}: {answer:?}");
        };
        refused.push(why);
    }
    let expected = "protocol version 2 is not spoken here (this end speaks 0 to 1)";
    assert_eq!(refused, [expected; 3]);
    // A reply that is too new is no answer either.
    let answer = script(&mut world, &edge, &mut write("db", "m f=1 1"), |world, call| {
        let mut reply = ask(world, call.to.clone(), call.message.clone());
        reply[0] = VERSION + 1;
        Ok(reply)
    });
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
}

/// Direction and name of a message; nothing for bytes that are none.
fn kind(message: &[u8]) -> Option<String> {
    fn name<M: Wire + std::fmt::Debug>(message: &[u8]) -> Option<String> {
        let text = format!("{:?}", envelope::decode::<M>(message).ok()?.1);
        Some(text.chars().take_while(|c| c.is_alphanumeric()).collect())
    }
    let name = match message[1] {
        1 => name::<ToCatalog>(message),
        2 => name::<FromCatalog>(message),
        3 => name::<ToDatabase>(message),
        4 => name::<FromDatabase>(message),
        5 => name::<ToShard>(message),
        6 => name::<FromShard>(message),
        _ => None,
    };
    Some(format!("{} {}", message[1], name?))
}

#[test]
fn messages_recorded_from_version_1_are_read() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/format");
    let file = folder.join("messages_v1.txt");
    if std::env::var_os("RECORD_FORMAT").is_some() && !file.exists() {
        let mut kinds: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        story(&mut world(), &mut |world, call| {
            let reply = ask(world, call.to.clone(), call.message.clone());
            for message in [&call.message, &reply] {
                kinds.entry(kind(message).unwrap()).or_insert_with(|| message.clone());
            }
            Ok(reply)
        });
        let mut text = String::new();
        for (kind, message) in &kinds {
            let hex: String = message.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(text, "{kind} {hex}").unwrap();
        }
        std::fs::write(&file, text).unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap();
    for line in text.lines() {
        let (kind_of, hex) = line.rsplit_once(' ').unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let message: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        assert_eq!((message[0], kind(&message).as_deref()), (1, Some(kind_of)));
    }
    assert!(text.lines().count() > 15, "{text}");
}
