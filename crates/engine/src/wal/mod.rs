//! Implements the write-ahead log: writes frames to rows of a few slots, and reads the frames after
//! a restart.
//!
//! The log does not interpret the bytes of a frame. The shard determines when a frame is flushed,
//! and which queries fail because of damage.
#![doc = include_str!("FORMAT.md")]

pub mod record;
pub mod replay;
pub mod row_slots;

use std::collections::BTreeMap;

use crate::store::{KEY_MAX, Store, StoreResult, Table};
use record::Head;
use row_slots::Slots;

/// A slot is the key of a row.
pub(crate) const SLOT_MAX: u64 = KEY_MAX;

/// A frame that is about to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewFrame<'a> {
    /// The write sequence, from [`Wal::next_sequence`].
    pub sequence: u64,
    /// The encoded frame.
    pub frame: &'a [u8],
    /// The rows, measurements and times that the frame affects, in the shard's encoding.
    pub touch: &'a [u8],
    /// The memory size of the decoded frame, in bytes.
    pub decoded_bytes: u64,
    /// The schema version from which the frame's ids come.
    pub schema_version: u64,
}

/// A live frame, as described by the heads of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The number of log rows that the frame occupies.
    pub parts: u32,
    /// The encoded size, in bytes.
    pub bytes: u64,
    /// The memory size of the decoded frame, in bytes.
    pub decoded_bytes: u64,
    /// The schema version from which the frame's ids come.
    pub schema_version: u64,
    /// The rows, measurements and times that the frame affects, in the shard's encoding.
    pub touch: Vec<u8>,
}

/// A frame or row of the log that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The name of the damaged frame or row in query errors and diagnostics.
    pub block: String,
    /// The sequence of the damaged frame, if known.
    pub sequence: Option<u64>,
    /// The slots of the damaged rows. The shard copies these rows undecoded.
    pub slots: Vec<u64>,
    /// The rows, measurements and times that the frame affects. `None` means that the affected data
    /// is unknown, so every query fails.
    pub touch: Option<Vec<u8>>,
}

/// The log's index in memory. The index changes only after the store has written the rows.
#[derive(Clone, Debug, Default)]
pub struct Wal {
    slots: Slots,
    /// The live frames without damage, by sequence.
    frames: BTreeMap<u64, Frame>,
    damaged: Vec<Damage>,
    last_sequence: u64,
    /// The sums over `frames`, which are kept up to date because every event reads them.
    bytes: u64,
    decoded_bytes: u64,
}

impl Wal {
    /// Returns the sequence of the next frame.
    pub fn next_sequence(&self) -> u64 {
        self.last_sequence + 1
    }

    /// Skips the next sequence, because a change that is not a frame uses it.
    pub fn skip(&mut self) {
        self.last_sequence += 1;
    }

    /// Returns the live frames by sequence, in ascending order.
    pub fn frames(&self) -> &BTreeMap<u64, Frame> {
        &self.frames
    }

    /// Returns the damage that replay and reads have found so far.
    pub fn damaged(&self) -> &[Damage] {
        &self.damaged
    }

    /// Returns the encoded size of the live frames, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the memory size of the live frames when decoded, in bytes.
    pub fn decoded_bytes(&self) -> u64 {
        self.decoded_bytes
    }

    /// Writes a frame as one row, or as several rows in one transaction. `beside`, if given, runs
    /// first in the same transaction. After an error, the outcome is unknown, and the caller must
    /// load the log again.
    pub fn append<S: Store>(
        &mut self,
        store: &S,
        frame: &NewFrame<'_>,
        beside: Option<&dyn Fn() -> StoreResult<()>>,
    ) -> StoreResult<()> {
        let pieces = cut(frame, S::VALUE_BYTES_MAX);
        // A frame has at most about 14 parts: MESSAGE_BYTES_MAX (26 MB) / 1.9 MB.
        let parts = pieces.len() as u32;
        let slots = self.slots.choose(parts);
        let write = |part: u32, slot: u64, body: &[u8]| {
            store.put(Table::Wal, slot, &Head::new(frame, part, parts, body).encode(), body)
        };
        match (pieces.as_slice(), slots.as_slice(), beside) {
            ([body], [slot], None) => write(0, *slot, body)?,
            _ => store.atomically(|| {
                beside.map_or(Ok(()), |beside| beside())?;
                let mut parts = (0..).zip(slots.iter().zip(&pieces));
                parts.try_for_each(|(part, (slot, body))| write(part, *slot, body))
            })?,
        }
        self.slots.occupy(frame.sequence, slots);
        self.last_sequence = frame.sequence;
        let entry = Frame {
            parts,
            bytes: frame.frame.len() as u64,
            decoded_bytes: frame.decoded_bytes,
            schema_version: frame.schema_version,
            touch: frame.touch.to_vec(),
        };
        self.insert(frame.sequence, entry);
        Ok(())
    }

    fn insert(&mut self, sequence: u64, frame: Frame) {
        self.bytes += frame.bytes;
        self.decoded_bytes += frame.decoded_bytes;
        self.frames.insert(sequence, frame);
    }

    /// Returns the bytes of the live frame `sequence`, or `None` if the frame is damaged. A damaged
    /// frame is moved from the live frames to [`Wal::damaged`].
    pub fn read<S: Store>(&mut self, store: &S, sequence: u64) -> StoreResult<Option<Vec<u8>>> {
        let slots = self.slots.of_frame(sequence).unwrap_or_default().to_vec();
        let mut bytes = Vec::new();
        for (part, &slot) in (0..).zip(&slots) {
            let head = store.head(Table::Wal, slot)?.map(|head| Head::decode(&head));
            let body = store.body(Table::Wal, slot)?;
            let sound = match (head, &body) {
                (Some(Ok(head)), Some(body)) => {
                    head.sequence == sequence && head.part == part && head.check(body).is_ok()
                }
                _ => false,
            };
            if !sound {
                self.mark_damaged(sequence, &format!("part {part} fails its checksum"));
                return Ok(None);
            }
            bytes.extend(body.unwrap_or_default());
        }
        Ok(Some(bytes))
    }

    /// A frame is also damaged if its checksum is valid but decoding fails.
    pub(crate) fn mark_damaged(&mut self, sequence: u64, reason: &str) {
        if let Some(frame) = self.frames.remove(&sequence) {
            self.bytes -= frame.bytes;
            self.decoded_bytes -= frame.decoded_bytes;
            self.damaged.push(Damage {
                block: format!("WAL frame {sequence}: {reason}"),
                sequence: Some(sequence),
                slots: self.slots.of_frame(sequence).unwrap_or_default().to_vec(),
                touch: Some(frame.touch),
            });
        }
    }

    /// Releases the slots of damaged rows and of the frames up to `head`. Before the call, the
    /// caller must have committed the flush up to `head` and copied the damaged rows.
    pub fn release(&mut self, head: u64) {
        self.frames = self.frames.split_off(&(head + 1));
        self.bytes = self.frames.values().map(|frame| frame.bytes).sum();
        self.decoded_bytes = self.frames.values().map(|frame| frame.decoded_bytes).sum();
        self.slots.release(head);
        for damage in std::mem::take(&mut self.damaged) {
            for slot in damage.slots {
                self.slots.add_dead(slot);
            }
        }
    }

    /// Each deleted row is billed.
    pub(crate) fn delete_dead<S: Store>(&mut self, store: &S) -> StoreResult<()> {
        let runs = self.slots.dead_runs();
        store.atomically(|| runs.into_iter().try_for_each(|run| store.delete(Table::Wal, run)))?;
        self.slots.forget_dead();
        Ok(())
    }

    pub(crate) fn has_dead(&self) -> bool {
        self.slots.has_dead()
    }
}

/// Each piece, together with its head, fills a row.
fn cut<'a>(frame: &NewFrame<'a>, row_bytes_max: usize) -> Vec<&'a [u8]> {
    let first_max = row_bytes_max.saturating_sub(Head::encoded_bytes(frame.touch));
    let (first, mut rest) = frame.frame.split_at(first_max.min(frame.frame.len()));
    let mut pieces = vec![first];
    while !rest.is_empty() {
        let most = row_bytes_max.saturating_sub(Head::encoded_bytes(b"")).max(1);
        let (piece, tail) = rest.split_at(most.min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

#[cfg(test)]
mod tests;
