//! Messages between objects and with the Worker of SQL, and the parts of a backup that are
//! metadata: each variant of each, and each variant of whatever they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidemark::model::schema::MeasurementSchema;
use tidemark::protocol::backup::{
    BackedUpMap, BackedUpValues, BackupManifest, FromBackups, ObjectKind, ToBackups, open_metadata,
    seal_metadata,
};
use tidemark::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark::protocol::database::{FromDatabase, ToDatabase};
use tidemark::protocol::envelope::{self, Wire};
use tidemark::protocol::recovery::{FromStorage, ToStorage};
use tidemark::protocol::shard::{FromShard, ToShard};
use tidemark::protocol::sql::{FromSql, ToSql};

use super::sampler::{Sampler, sample};
use super::{OWN, bytes, hex, read, recorded, releases};

/// Values that are tried for each variant, and those that are kept at least.
const TRIES: u64 = 300;
const KEPT_MIN: u32 = 2;
/// Bytes of a value that is kept, at most.
const BYTES_MAX: usize = 400;
/// The part of a message that is not in its header.
const BODY: &[u8] = &[0, 255, 7];

/// A value and the part of it that is not in its header, or why bytes are none.
type Decoded<T> = Result<(T, Vec<u8>), String>;

/// How values of a type become bytes and come back, with their body.
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

/// What is done with each form.
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

/// Draws values until no variant of anything is missing.
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

/// Reads what is recorded of each form.
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
            // The same version writes the same bytes: another form needs another version.
            let now = (form.encode)(&mut value);
            let advice = "what is sent has changed: raise the version, or record it again if it \
                          was never released";
            assert!(release != OWN || now == sent, "{release}: {advice}: {shown}");
            self.read += 1;
        }
    }
}

/// Whether `now` says all that `then` says; it may have fields more.
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
fn messages_of_each_release_are_read_as_they_were_meant() {
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

/// A message that is new since the release is seen here before it is sent to one that cannot read it.
#[test]
fn every_variant_of_this_version_is_recorded_once_it_is_released() {
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
    // A new variant moves what is drawn of the enums around it: lines of before it stay recorded.
    let recorded: BTreeSet<&str> = text.split_inclusive('\n').collect();
    let missing = draw.lines.iter().filter(|line| !recorded.contains(line.as_str()));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    let advice = "raise the version in Cargo.toml first, or, before its release, add these lines";
    assert!(missing.is_empty(), "{OWN} has none of them, {advice}:\n{}", missing.concat());
}

#[test]
fn a_value_that_lost_or_changed_something_is_told_from_one_that_has_more() {
    let then = serde_json::json!({ "Kind": { "a": 1, "b": [{ "c": 2 }] } });
    let more = serde_json::json!({ "Kind": { "a": 1, "b": [{ "c": 2, "d": 3 }], "e": null } });
    assert!(covers(&more, &then) && !covers(&then, &more));
    for other in ["{\"Kind\":{\"a\":2,\"b\":[{\"c\":2}]}}", "{\"Kind\":{\"a\":1,\"b\":[]}}"] {
        assert!(!covers(&serde_json::from_str(other).unwrap(), &then), "{other}");
    }
}
