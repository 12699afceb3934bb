//! Reads the WAL's rows after a restart, and finds the live frames and the damage.

use std::collections::{BTreeMap, BTreeSet};

use super::record::Head;
use super::row_slots::Slots;
use super::{Damage, Frame, Wal};
use crate::store::{Store, StoreResult, Table};

const HEADS_PER_READ: u32 = 1_000;

/// The maximum number of body bytes that are kept for a row with an unreadable head. From these
/// bytes, the shard derives which measurements and times the frame affects.
const TOUCH_BYTES_MAX: usize = 256 << 10;

/// Loads the log by reading the heads of all rows, and lists damage in the returned [`Wal`]. A body
/// is read only if the row's head is unreadable. The sequences in `taken` belong to changes that
/// are not frames. These sequences are not reported as missing, and no new frame uses them.
pub fn load<S: Store>(store: &S, head: u64, taken: &BTreeSet<u64>) -> StoreResult<Wal> {
    let mut slots = Slots::default();
    let mut damaged = Vec::new();
    let mut parts_of: BTreeMap<u64, Vec<(u64, Head)>> = BTreeMap::new();
    let mut from = 0;
    loop {
        let heads = store.heads(Table::Wal, from..=super::SLOT_MAX, HEADS_PER_READ)?;
        let Some(&(last, _)) = heads.last() else { break };
        for (slot, bytes) in heads {
            match Head::decode(&bytes) {
                Ok(row) if row.sequence > head => {
                    parts_of.entry(row.sequence).or_default().push((slot, row));
                }
                Ok(_) => slots.add_dead(slot),
                Err(error) => {
                    // A frame begins with the measurements and times that it affects. This part of
                    // the frame has a separate checksum.
                    let mut touch = store.body(Table::Wal, slot)?.unwrap_or_default();
                    touch.truncate(TOUCH_BYTES_MAX);
                    damaged.push(Damage {
                        block: format!("WAL slot {slot}: {error}"),
                        sequence: None,
                        slots: vec![slot],
                        touch: Some(touch),
                    });
                }
            }
        }
        from = last + 1;
    }
    let last_frame = parts_of.keys().next_back().copied().unwrap_or(head);
    let last_sequence = last_frame.max(taken.last().copied().unwrap_or(head));
    let mut wal = Wal { slots, damaged, last_sequence, ..Wal::default() };
    for (sequence, rows) in parts_of {
        add_frame(&mut wal, sequence, rows);
    }
    add_holes(&mut wal, head, taken);
    Ok(wal)
}

/// Records damage unless all parts of the frame exist.
fn add_frame(wal: &mut Wal, sequence: u64, mut rows: Vec<(u64, Head)>) {
    rows.sort_by_key(|(_, row)| row.part);
    let slots: Vec<u64> = rows.iter().map(|&(slot, _)| slot).collect();
    let parts = rows.first().map_or(0, |(_, row)| row.parts);
    let complete = rows.len() as u64 == u64::from(parts)
        && rows.iter().zip(0..).all(|((_, row), part)| row.part == part && row.parts == parts);
    let bytes = rows.iter().map(|(_, row)| u64::from(row.body_bytes)).sum();
    let first = rows.into_iter().next().map(|(_, row)| row).filter(|row| row.part == 0);
    match first {
        Some(row) if complete => {
            wal.slots.occupy(sequence, slots);
            let Head { parts, decoded_bytes, schema_version, touch, .. } = row;
            wal.insert(sequence, Frame { parts, bytes, decoded_bytes, schema_version, touch });
        }
        first => {
            wal.damaged.push(Damage {
                block: format!("WAL frame {sequence}: a part is missing"),
                sequence: Some(sequence),
                slots,
                touch: first.map(|row| row.touch),
            });
        }
    }
}

/// Each row with an unreadable head may contain one of the missing sequences, so missing sequences
/// are damage only if they outnumber these rows.
fn add_holes(wal: &mut Wal, head: u64, taken: &BTreeSet<u64>) {
    let known = |wal: &Wal, sequence: u64| {
        wal.frames.contains_key(&sequence)
            || wal.damaged.iter().any(|damage| damage.sequence == Some(sequence))
    };
    for damage in &wal.damaged {
        for &slot in &damage.slots {
            wal.slots.reserve(slot);
        }
    }
    let headless = wal.damaged.iter().filter(|damage| damage.sequence.is_none()).count();
    let mut missing = None;
    for sequence in head + 1..=wal.last_sequence {
        if !taken.contains(&sequence) && !known(wal, sequence) {
            missing.get_or_insert((sequence, 0)).1 += 1;
        }
    }
    if let Some((first, count)) = missing.filter(|&(_, count)| count > headless) {
        wal.damaged.push(Damage {
            block: format!("WAL frame {first}: missing ({count} in all)"),
            sequence: None,
            slots: Vec::new(),
            touch: None,
        });
    }
}
