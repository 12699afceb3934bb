use super::*;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::shard::{FromShard, Stamp, ToShard};
use crate::scan::read_stats::ReadStats;
use tidemark_model::ids::PolicyId;
use tidemark_model::value::FieldValue;

fn append() -> ToShard {
    let stamp = Stamp {
        policy: PolicyId(u64::MAX),
        generation: 3,
        schema_version: 9,
        fresh: false,
        access: 0,
        meter: None,
    };
    ToShard::Append { stamp, frame: vec![0, 255, b'"', 7] }
}

#[test]
fn messages_round_trip_with_their_bodies() {
    let bytes = encode(&append());
    assert_eq!(decode::<ToShard>(&bytes), Ok((VERSION, append())));
    let ToShard::Append { stamp, frame } = append() else { unreachable!() };
    let without = ToShard::Append { stamp, frame: Vec::new() };
    assert_eq!(encode_around(&without, frame), bytes);
    let page = FromShard::Scanned {
        until: None,
        position: None,
        stats: ReadStats::default(),
        further: Vec::new(),
        groups: vec![1, 2, 3],
    };
    assert_eq!(decode::<FromShard>(&encode(&page)), Ok((VERSION, page)));
}

#[test]
fn envelope_bytes_match_protocol_page() {
    let bytes = encode(&ToCatalog::Resolve { name: "db".into() });
    // The third variant, three bytes of fields, and a string of two bytes.
    let header = [2, 3, 0, 0, 0, 2, b'd', b'b'];
    let expected = [&[1, 1, header.len() as u8, 0, 0, 0][..], &header].concat();
    assert_eq!(bytes, expected);
}

#[test]
fn only_supported_envelope_versions_decode() {
    let readable: Vec<u8> = (0..=u8::MAX)
        .filter(|&version| decode::<ToShard>(&encode_as(version, &append())).is_ok())
        .collect();
    assert_eq!(readable, (VERSION_MIN..=VERSION_MAX).collect::<Vec<_>>());
    let newer = encode_as(VERSION_MAX + 1, &append());
    assert_eq!(decode::<ToShard>(&newer), Err(EnvelopeError::Version(VERSION_MAX + 1)));
}

#[test]
fn truncated_messages_are_rejected() {
    let bytes = encode(&ToCatalog::Drop { name: "db".into() });
    for end in 0..bytes.len() {
        let cut = bytes.get(..end).unwrap();
        assert!(decode::<ToCatalog>(cut).is_err(), "{end}");
    }
}

#[test]
fn message_for_other_object_is_rejected() {
    let bytes = encode(&ToCatalog::Drop { name: "db".into() });
    assert_eq!(decode::<ToShard>(&bytes), Err(EnvelopeError::Direction(1)));
    assert_eq!(decode::<FromCatalog>(&bytes), Err(EnvelopeError::Direction(1)));
}

#[test]
fn missing_header_field_takes_default() {
    // The first variant, and five bytes of fields: a name, no policy, and the number of shards.
    let header = [0, 5, 0, 0, 0, 2, b'd', b'b', 0, 4];
    let bytes = [&[VERSION_MIN, 1, header.len() as u8, 0, 0, 0][..], &header].concat();
    let Ok((version, ToCatalog::Create(create))) = decode(&bytes) else { panic!("refused") };
    assert_eq!((version, create.shards, create.location), (VERSION_MIN, 4, None));
}

#[test]
fn request_floats_keep_their_bits() {
    let bits: Vec<u64> = (0..2_000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let values = bits.iter().map(|&bits| f64::from_bits(bits)).filter(|v| v.is_finite());
    for value in values {
        let bytes = metadata::encode(&FieldValue::Float(value)).unwrap();
        let back: FieldValue = metadata::decode(&bytes).unwrap();
        let FieldValue::Float(back) = back else { panic!("{back:?}") };
        assert_eq!(back.to_bits(), value.to_bits(), "{value:e}");
    }
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Mute {
    sign: char,
}

impl Wire for Mute {
    const DIRECTION: Direction = Direction::FromDatabase;

    fn body(&self) -> &[u8] {
        b"body"
    }
}

#[test]
fn encoding_error_reaches_the_receiver() {
    let reason = EnvelopeError::Encode(
        "the metadata has a type that the format does not \
                                     support"
            .to_owned(),
    );
    let bytes = encode(&Mute { sign: 'x' });
    assert_eq!(decode::<Mute>(&bytes), Err(reason.clone()));
    assert_eq!(decode::<FromShard>(&bytes), Err(reason.clone()), "whoever reads it");
    let around = encode_around(&Mute { sign: 'x' }, b"more".to_vec());
    assert_eq!(decode::<Mute>(&around), Err(reason.clone()));
    let failure = CallFailure::Failed(reason.to_string());
    assert_eq!(decode_reply::<Mute>(Ok(bytes)), Err(failure));
}
