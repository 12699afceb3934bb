//! Tests the log with a store that preserves, loses and corrupts rows.

use std::collections::BTreeSet;

use super::*;
use crate::store::KEY_MAX;
use crate::store::memory::MemoryStore;

fn store() -> MemoryStore {
    let store = MemoryStore::new();
    store.open().unwrap();
    store
}

fn append(wal: &mut Wal, store: &MemoryStore, frame: &[u8]) -> u64 {
    let sequence = wal.next_sequence();
    let new = NewFrame {
        sequence,
        frame,
        summary: &[sequence as u8],
        decoded_bytes: 10,
        schema_version: 3,
    };
    wal.append(store, &new, None).unwrap();
    sequence
}

fn frame(sequence: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i as u64 * 31 + sequence) as u8).collect()
}

#[test]
fn wal_replays_frames_of_any_size() {
    let store = store();
    let mut wal = Wal::default();
    let head = Head::encoded_bytes(&[0]);
    let sizes = [1, 1_900_000 - head, 1_900_000 - head + 1, 5_000_000];
    for (sequence, bytes) in (1..).zip(sizes) {
        assert_eq!(append(&mut wal, &store, &frame(sequence, bytes)), sequence);
    }
    let mut again = load(&store, 0, &BTreeSet::new()).unwrap();
    assert_eq!((again.frames(), again.damaged()), (wal.frames(), &[][..]));
    assert_eq!((again.bytes(), again.decoded_bytes()), (8_800_002 - 2 * head as u64, 40));
    for (sequence, bytes) in (1..).zip(sizes) {
        assert_eq!(again.read(&store, sequence), Ok(Some(frame(sequence, bytes))));
    }
    assert_eq!(again.next_sequence(), 5);
}

#[test]
fn flushed_frame_frees_its_row() {
    let store = store();
    let mut wal = Wal::default();
    append(&mut wal, &store, &frame(1, 100));
    append(&mut wal, &store, &frame(2, 100));
    wal.release();
    append(&mut wal, &store, &frame(3, 100));
    let keys: Vec<u64> =
        store.heads(Table::Wal, 0..=KEY_MAX, 9).unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [0, 1]);
    let mut again = load(&store, 2, &BTreeSet::new()).unwrap();
    assert_eq!(again.frames().keys().copied().collect::<Vec<_>>(), [3]);
    assert_eq!(again.read(&store, 3), Ok(Some(frame(3, 100))));
    assert!(again.has_unused());
    again.delete_unused(&store).unwrap();
    assert_eq!(store.heads(Table::Wal, 0..=KEY_MAX, 9).unwrap().len(), 1);
    assert_eq!(load(&store, 2, &BTreeSet::new()).unwrap().frames(), again.frames());
}

#[test]
fn empty_wal_continues_flushed_sequence() {
    let store = store();
    let mut wal = Wal::default();
    append(&mut wal, &store, b"x");
    assert_eq!(load(&store, 41, &BTreeSet::new()).unwrap().next_sequence(), 42);
}

#[test]
fn wal_replay_reports_damaged_frames() {
    let store = store();
    let mut wal = Wal::default();
    append(&mut wal, &store, &frame(1, 10));
    append(&mut wal, &store, &frame(2, 4_000_000));
    append(&mut wal, &store, &frame(3, 10));
    append(&mut wal, &store, &frame(4, 10));
    append(&mut wal, &store, &frame(5, 10));
    let head = |key| store.head(Table::Wal, key).unwrap().unwrap();
    // Frame 1 is in row 0, frame 2 in rows 1 to 3, and frames 3 to 5 in rows 4 to 6.
    store.delete(Table::Wal, 2..=2).unwrap();
    store.put(Table::Wal, 0, b"bad head", &frame(1, 10)).unwrap();
    store.put(Table::Wal, 5, &head(5), b"bad body").unwrap();
    store.delete(Table::Wal, 4..=4).unwrap();

    let mut again = load(&store, 0, &BTreeSet::new()).unwrap();
    assert_eq!(again.frames().keys().copied().collect::<Vec<_>>(), [4, 5]);
    assert_eq!(again.read(&store, 4), Ok(None));
    assert_eq!(again.read(&store, 5), Ok(Some(frame(5, 10))));
    let damaged: Vec<_> =
        again.damaged().iter().map(|d| (d.block.as_str(), d.evidence.clone())).collect();
    assert_eq!(
        damaged,
        [
            ("WAL row 0: the head of the WAL row is damaged", Some(frame(1, 10))),
            ("WAL frame 2: a part is missing", Some(vec![2])),
            ("WAL frame 1: missing (2 in all)", None),
            ("WAL frame 4: part 0 fails its checksum", Some(vec![4])),
        ]
    );
    let next = again.next_sequence();
    append(&mut again, &store, b"new");
    let keys = again.frames()[&next].keys.clone();
    // The missing sequences do not outnumber the unreadable heads, so no damage is recorded.
    store.delete(Table::Wal, 6..=6).unwrap();
    let again = load(&store, 3, &BTreeSet::new()).unwrap();
    assert_eq!(again.damaged().len(), 1, "{:?}", again.damaged());
    assert_eq!(keys, [7], "damaged rows are not overwritten before they are set aside");
}

#[test]
fn sequences_without_frames_are_no_holes() {
    let store = store();
    let mut wal = Wal::default();
    append(&mut wal, &store, b"1");
    wal.skip();
    append(&mut wal, &store, b"3");
    wal.skip();
    let again = load(&store, 0, &BTreeSet::from_iter([2, 4])).unwrap();
    assert_eq!((again.damaged(), again.next_sequence()), (&[][..], 5));
    assert_eq!(load(&store, 0, &BTreeSet::from_iter([4])).unwrap().damaged().len(), 1);
}

#[test]
fn wal_reuses_dead_rows_first() {
    let mut rows = LogRows::default();
    for chosen in [[0, 1], [2, 3], [4, 5]] {
        assert_eq!(rows.choose(2), chosen);
        rows.occupy(&chosen);
    }
    rows.add_unused(1);
    rows.add_unused(0);
    assert_eq!(rows.choose(3), [0, 1, 6]);
    rows.occupy(&[0, 1, 6]);
    assert_eq!(rows.choose(1), [7]);
    rows.reserve(9);
    assert_eq!(rows.choose(1), [10]);
}

fn head(body: &[u8]) -> Head {
    let frame = NewFrame {
        sequence: 7,
        frame: body,
        summary: b"summary",
        decoded_bytes: 1 << 40,
        schema_version: 9,
    };
    Head::new(&frame, 0, 2, body)
}

#[test]
fn wal_head_round_trips_and_verifies() {
    let head = head(b"body");
    let bytes = head.encode();
    assert_eq!(bytes.len(), Head::encoded_bytes(b"summary"));
    assert_eq!(Head::decode(&bytes), Ok(head));
    for index in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[index / 8] ^= 1 << (index % 8);
        assert_eq!(Head::decode(&bad), Err(Error::Head), "bit {index}");
    }
    for length in 0..bytes.len() {
        assert_eq!(Head::decode(&bytes[..length]), Err(Error::Head));
    }
}

#[test]
fn wal_body_checks_sequence_and_part() {
    let head = head(b"body");
    assert_eq!(head.check(b"body"), Ok(()));
    assert_eq!(head.check(b"bodY"), Err(Error::Body));
    let other = Head { part: 1, ..head.clone() };
    assert_eq!(other.check(b"body"), Err(Error::Body));
    let other = Head { sequence: 8, ..head };
    assert_eq!(other.check(b"body"), Err(Error::Body));
}

#[test]
fn newer_wal_version_is_reported() {
    let mut bytes = head(b"").encode();
    bytes[0] = 3;
    bytes.truncate(bytes.len() - CRC_BYTES);
    append_crc(&mut bytes, 0);
    assert_eq!(Head::decode(&bytes), Err(Error::Version(3)));
}
