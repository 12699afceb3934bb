//! Tests round trips, schema evolution, and bytes that are not metadata.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    first_ns: i64,
    names: Vec<Option<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NewerInner {
    first_ns: i64,
    names: Vec<Option<String>>,
    #[serde(default)]
    rate: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Message<T> {
    Nothing,
    One(u64),
    Two(i32, bool),
    All { inner: T, by_name: BTreeMap<String, u8>, pair: (u16, f64) },
}

fn all<T>(inner: T) -> Message<T> {
    let by_name = BTreeMap::from([("a".to_owned(), 1), ("ä".to_owned(), u8::MAX)]);
    Message::All { inner, by_name, pair: (u16::MAX, -0.0) }
}

fn inner() -> Inner {
    Inner { first_ns: i64::MIN, names: vec![None, Some("b".to_owned()), Some(String::new())] }
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: T) {
    let bytes = encode(&value).unwrap();
    assert_eq!(decode::<T>(&bytes), Ok(value));
    for length in 0..bytes.len() {
        assert!(decode::<T>(&bytes[..length]).is_err(), "cut to {length}");
    }
    assert_eq!(decode::<T>(&[&bytes[..], &[0]].concat()), Err(Error::Length));
}

#[test]
fn metadata_round_trips_and_rejects_truncation() {
    round_trip(Message::<Inner>::Nothing);
    round_trip(Message::<Inner>::One(u64::MAX));
    round_trip(Message::<Inner>::Two(i32::MIN, true));
    round_trip(all(inner()));
}

#[test]
fn metadata_bytes_match_documentation() {
    let expected = [
        &[3][..],                                          // the fourth variant
        &[32, 0, 0, 0],                                    // the byte length of the fields
        &[14, 0, 0, 0],                                    // the byte length of `inner`
        &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1], // i64::MIN, zigzag
        &[1, 1, 1, b'b'],                                  // one name
        &[1, 1, b'k', 200, 1],                             // a map with one entry
        &[2],                                              // 2_u16
        &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f],                   // 1.5
    ]
    .concat();
    let inner = Inner { first_ns: i64::MIN, names: vec![Some("b".to_owned())] };
    let by_name = BTreeMap::from([("k".to_owned(), 200)]);
    let value = Message::All { inner, by_name, pair: (2, 1.5) };
    assert_eq!(encode(&value).unwrap(), expected);
}

#[test]
fn adjacent_releases_read_each_other() {
    let Inner { first_ns, names } = inner();
    let older = all(inner());
    let default = all(NewerInner { first_ns, names: names.clone(), rate: 0.0 });
    assert_eq!(decode(&encode(&older).unwrap()), Ok(default));
    let newer = all(NewerInner { first_ns, names, rate: 0.1 });
    assert_eq!(decode(&encode(&newer).unwrap()), Ok(older));
}

#[test]
fn metadata_rejects_unknown_variants_and_values() {
    assert!(matches!(decode::<Message<Inner>>(&[4]), Err(Error::Shape(_))));
    assert_eq!(decode::<bool>(&[2]), Err(Error::Value));
    assert_eq!(decode::<String>(&[1, 0xff]), Err(Error::Value));
    assert_eq!(decode::<Vec<u64>>(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]), Err(Error::Length));
    assert!(matches!(decode::<u8>(&[0x80, 2]), Err(Error::Shape(_))), "256 is no u8");
}

/// Damaged bytes must not cause an allocation that is larger than the bytes.
#[test]
fn metadata_decoder_survives_random_bytes() {
    let mut random = fastrand::Rng::with_seed(1);
    let good = encode(&all(inner())).unwrap();
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        let _ = decode::<Message<Inner>>(&bytes);
        let noise: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
        let _ = decode::<Message<Inner>>(&noise);
    }
}
