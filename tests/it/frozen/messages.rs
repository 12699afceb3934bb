//! Tests the messages between objects, the messages to and from the SQL Worker, and the metadata of
//! backups. Tests each variant of each type, including nested types.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidemark_engine::protocol::backup::{
    BackedUpMap, BackedUpValues, BackupManifest, FromBackups, ObjectKind, ToBackups, open_metadata,
    seal_metadata,
};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::database::{FromDatabase, ToDatabase};
use tidemark_engine::protocol::envelope::{self, Wire};
use tidemark_engine::protocol::recovery::{FromStorage, ToStorage};
use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_engine::protocol::sql::{FromSql, ToSql};
use tidemark_model::schema::MeasurementSchema;

use super::sampler::{Sampler, sample};
use super::{OWN, read, recorded, releases};
use crate::format::{bytes, hex};

const TRIES: u64 = 300;
const KEPT_MIN: u32 = 2;
/// The maximum size of a recorded value in bytes.
const BYTES_MAX: usize = 400;
const BODY: &[u8] = &[0, 255, 7];

/// A decoded value and the bytes after its header, or the decoding error.
type Decoded<T> = Result<(T, Vec<u8>), String>;

struct Form<T> {
    name: &'static str,
    encode: fn(&mut T) -> Vec<u8>,
    decode: fn(&[u8]) -> Decoded<T>,
}

fn message<M: Wire>(name: &'static str) -> Form<M> {
    Form {
        name,
        encode: |message| {
            message.set_body(BODY);
            envelope::encode(message)
        },
        decode: |bytes| {
            let (_, message) = envelope::decode::<M>(bytes).map_err(|why| why.to_string())?;
            let body = message.body().to_vec();
            Ok((message, body))
        },
    }
}

macro_rules! object {
    ($name:literal $type:ty, $kind:expr) => {
        Form::<$type> {
            name: $name,
            encode: |value| seal_metadata($kind, value).unwrap(),
            decode: |bytes| {
                let value = open_metadata($kind, bytes).map_err(|why| why.to_string())?;
                Ok((value, Vec::new()))
            },
        }
    };
}

trait Visit {
    fn visit<T: Serialize + DeserializeOwned + Debug>(&mut self, form: &Form<T>);
}

fn each(visit: &mut impl Visit) {
    visit.visit(&message::<ToCatalog>("ToCatalog"));
    visit.visit(&message::<FromCatalog>("FromCatalog"));
    visit.visit(&message::<ToDatabase>("ToDatabase"));
    visit.visit(&message::<FromDatabase>("FromDatabase"));
    visit.visit(&message::<ToShard>("ToShard"));
    visit.visit(&message::<FromShard>("FromShard"));
    visit.visit(&message::<ToSql>("ToSql"));
    visit.visit(&message::<FromSql>("FromSql"));
    visit.visit(&message::<ToBackups>("ToBackups"));
    visit.visit(&message::<FromBackups>("FromBackups"));
    visit.visit(&message::<ToStorage>("ToStorage"));
    visit.visit(&message::<FromStorage>("FromStorage"));
    visit.visit(&object!("Map" BackedUpMap, ObjectKind::Map));
    visit.visit(&object!("Schema" Vec<MeasurementSchema>, ObjectKind::Schema));
    visit.visit(&object!("Index" BackedUpValues, ObjectKind::Index));
    visit.visit(&object!("Manifest" BackupManifest, ObjectKind::Manifest));
}

/// Generates values until every variant has occurred.
#[derive(Default)]
struct Draw {
    lines: Vec<String>,
    seen: BTreeSet<String>,
}

impl Visit for Draw {
    fn visit<T: Serialize + DeserializeOwned + Debug>(&mut self, form: &Form<T>) {
        let (_, Sampler { variants, .. }) = sample::<T>(0, 0);
        for first in 0..variants.max(1) {
            let mut kept = 0;
            for seed in 1..=TRIES {
                let (value, sampler) = sample::<T>(seed, first);
                let Some(mut value) = value else { continue };
                let bytes = (form.encode)(&mut value);
                let is_new = !sampler.seen.is_subset(&self.seen);
                if bytes.len() > BYTES_MAX || kept >= KEPT_MIN && !is_new {
                    continue;
                }
                let json = serde_json::to_string(&value).unwrap();
                self.lines.push(format!("{} {} {json}\n", form.name, hex(&bytes)));
                self.seen.extend(sampler.seen);
                kept += 1;
            }
            assert!(kept > 0, "{}: variant {first} was never drawn", form.name);
        }
    }
}

struct Check<'a> {
    release: &'a str,
    lines: BTreeMap<&'a str, Vec<(&'a str, &'a str)>>,
    read: usize,
}

impl Visit for Check<'_> {
    fn visit<T: Serialize + DeserializeOwned + Debug>(&mut self, form: &Form<T>) {
        let Self { release, .. } = *self;
        for (sent, shown) in self.lines.remove(form.name).unwrap_or_default() {
            let sent = bytes(sent);
            let (mut value, body) =
                (form.decode)(&sent).unwrap_or_else(|why| panic!("{release}: {why}: {shown}"));
            let then: Value = serde_json::from_str(shown).unwrap();
            let now = serde_json::to_value(&value).unwrap();
            assert!(covers(&now, &then), "{release} said {then}, which is read as {now}");
            assert!(body.is_empty() || body == BODY, "{release}: {shown}");
            // The same version must write the same bytes. A changed form needs a new version.
            let now = (form.encode)(&mut value);
            let advice = "what is sent has changed: raise the version, or record it again if it \
                          was never released";
            assert!(release != OWN || now == sent, "{release}: {advice}: {shown}");
            self.read += 1;
        }
    }
}

/// Whether `now` contains every field of `then`. It may contain more fields.
fn covers(now: &Value, then: &Value) -> bool {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            then.iter().all(|(key, then)| now.get(key).is_some_and(|now| covers(now, then)))
        }
        (Value::Array(now), Value::Array(then)) => {
            now.len() == then.len() && now.iter().zip(then).all(|(now, then)| covers(now, then))
        }
        (now, then) => now == then,
    }
}

fn record() {
    recorded("messages.txt", || {
        let mut draw = Draw::default();
        each(&mut draw);
        draw.lines.concat()
    });
}

#[test]
fn messages_of_every_release_decode() {
    record();
    for release in releases() {
        let text = read(&release, "messages.txt");
        let mut lines: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            let [name, sent, shown] = [(); 3].map(|()| words.next().unwrap());
            lines.entry(name).or_default().push((sent, shown));
        }
        let mut check = Check { release: &release, lines, read: 0 };
        each(&mut check);
        assert!(check.lines.is_empty(), "{release}: nobody reads {:?}", check.lines.keys());
        assert_eq!(check.read, text.lines().count());
        println!("{release}: {} messages read", check.read);
    }
}

/// Requires that every variant of a message is recorded, so that a new variant needs a new version:
/// an older release cannot read it.
#[test]
fn released_message_variants_are_recorded() {
    record();
    if !releases().iter().any(|release| release == OWN) {
        return;
    }
    let text = read(OWN, "messages.txt");
    let mut draw = Draw::default();
    each(&mut draw);
    let kinds: BTreeSet<&str> =
        draw.seen.iter().map(|seen| seen.split("::").next().unwrap()).collect();
    println!("{} variants of {} enums", draw.seen.len(), kinds.len());
    assert!(draw.seen.len() > 200, "{:?}", draw.seen);
    // A new variant changes the random values of the enclosing enums, so new lines appear. The
    // recorded older lines stay in the file.
    let recorded: BTreeSet<&str> = text.split_inclusive('\n').collect();
    let missing = draw.lines.iter().filter(|line| !recorded.contains(line.as_str()));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    let advice = "raise the version in Cargo.toml first, or, before its release, add these lines";
    assert!(missing.is_empty(), "{OWN} has none of them, {advice}:\n{}", missing.concat());
}

#[test]
fn covers_allows_only_added_values() {
    let then = serde_json::json!({ "Kind": { "a": 1, "b": [{ "c": 2 }] } });
    let more = serde_json::json!({ "Kind": { "a": 1, "b": [{ "c": 2, "d": 3 }], "e": null } });
    assert!(covers(&more, &then) && !covers(&then, &more));
    for other in ["{\"Kind\":{\"a\":2,\"b\":[{\"c\":2}]}}", "{\"Kind\":{\"a\":1,\"b\":[]}}"] {
        assert!(!covers(&serde_json::from_str(other).unwrap(), &then), "{other}");
    }
}
