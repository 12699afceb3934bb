use super::*;
use crate::api::admission::Admission;
use crate::model::limit::Settable;

const LIMIT: usize = 1 << 20;

/// One gzip member around `plain`, with a file name as real tools write it.
fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 255, b'a', 0];
    out.extend(miniz_oxide::deflate::compress_to_vec(plain, 6));
    out.extend(crc32fast::hash(plain).to_le_bytes());
    out.extend((plain.len() as u32).to_le_bytes());
    out
}

fn inflated(compressed: &[u8]) -> Result<Vec<u8>, BodyError> {
    let mut permit = Admission::new(4 << 20).reserve(compressed.len()).unwrap();
    let read = |row: &Settable| Ok::<_, ()>((row.name == "BODY_BYTES_MAX").then_some(LIMIT as u32));
    inflate(compressed, &Limits::read(read).unwrap(), &mut permit)
}

#[test]
fn several_members_are_one_body() {
    let mut two = gzip(b"cpu v=1\n");
    two.extend(gzip(b"cpu v=2\n"));
    assert_eq!(inflated(&two).unwrap(), b"cpu v=1\ncpu v=2\n");
    assert_eq!(inflated(b"").unwrap(), b"");
}

#[test]
fn every_truncation_is_an_error() {
    let whole = gzip(&b"cpu,host=a usage=1.5 1700000000000000000\n".repeat(50));
    for end in 1..whole.len() {
        let fault = inflated(&whole[..end]).unwrap_err();
        assert_eq!(fault, BodyError::Gzip(GzipFault::Truncated), "cut at {end}");
    }
}

#[test]
fn a_flipped_bit_never_passes() {
    let whole = gzip(&b"cpu,host=a usage=1.5 1700000000000000000\n".repeat(50));
    // The header's time, system and name fields carry nothing that is checked.
    for at in (0..3).chain(12..whole.len()) {
        let mut broken = whole.clone();
        broken[at] ^= 4;
        assert!(inflated(&broken).is_err(), "flip at {at}");
    }
}

#[test]
fn the_ceiling_is_exact() {
    assert_eq!(inflated(&gzip(&vec![7; LIMIT])).unwrap().len(), LIMIT);
    let fault = inflated(&gzip(&vec![7; LIMIT + 1])).map(|b| b.len()).unwrap_err();
    assert!(
        matches!(fault, BodyError::TooLarge(Exceeded { limit: Limit::BodyBytes, .. })),
        "{fault}"
    );
}

#[test]
fn a_bomb_stops_at_the_budget() {
    let bomb = gzip(&vec![0; 32 << 20]);
    let mut permit = Admission::new(100_000 + bomb.len()).reserve(bomb.len()).unwrap();
    let fault = inflate(&bomb, &Limits::default(), &mut permit).map(|b| b.len()).unwrap_err();
    assert!(matches!(fault, BodyError::Overloaded(_)), "{fault}");
}

#[test]
fn encodings_are_named() {
    assert_eq!(Encoding::from_header(None), Ok(Encoding::Identity));
    assert_eq!(Encoding::from_header(Some("GZIP")), Ok(Encoding::Gzip));
    assert_eq!(
        Encoding::from_header(Some("br")).unwrap_err().to_string(),
        "unsupported content encoding \"br\": send identity or gzip"
    );
    assert_eq!(inflated(b"cpu v=1\ncpu v=2\n"), Err(BodyError::Gzip(GzipFault::NotGzip)));
}
