//! Implements the write-ahead log: writes frames to rows of a few slots, and reads them after a
//! restart.
//!
//! Knows nothing of what a frame holds. Who decides when a frame is flushed, and what damage means
//! to a query, is the shard.
#![doc = include_str!("FORMAT.md")]

pub mod record;
pub mod replay;
pub mod row_slots;

use std::collections::BTreeMap;

use crate::store::{KEY_MAX, Store, StoreError, Table};
use record::Head;
use row_slots::Slots;

/// The highest slot: slots are keys.
pub const SLOT_MAX: u64 = KEY_MAX;

/// A frame that is about to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewFrame<'a> {
    /// Its write sequence: [`Wal::next_sequence`].
    pub sequence: u64,
    /// The encoded frame.
    pub frame: &'a [u8],
    /// What it touches, in the shard's own encoding.
    pub touch: &'a [u8],
    /// Memory that it takes once decoded, bytes.
    pub decoded_bytes: u64,
    /// The schema version that gave its ids.
    pub schema_version: u64,
}

/// A live frame as its rows' heads tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Rows of the log that it takes.
    pub parts: u32,
    /// Encoded bytes.
    pub bytes: u64,
    /// Memory once decoded, bytes.
    pub decoded_bytes: u64,
    /// The schema version that gave its ids.
    pub schema_version: u64,
    /// What it touches.
    pub touch: Vec<u8>,
}

/// A part of the log that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which, in the words that queries and diagnostics use.
    pub block: String,
    /// The frame, when it is known.
    pub sequence: Option<u64>,
    /// Its rows, to be set aside raw.
    pub slots: Vec<u64>,
    /// What it touches; `None` when that is not known, and then every query fails.
    pub touch: Option<Vec<u8>>,
}

/// The log's index. Changes only after the store has taken the rows.
#[derive(Clone, Debug, Default)]
pub struct Wal {
    slots: Slots,
    /// Live and sound, by sequence.
    frames: BTreeMap<u64, Frame>,
    damaged: Vec<Damage>,
    last_sequence: u64,
    /// Sums over `frames`: asked for by every event.
    bytes: u64,
    decoded_bytes: u64,
}

impl Wal {
    /// The sequence of the next frame.
    pub fn next_sequence(&self) -> u64 {
        self.last_sequence + 1
    }

    /// Gives the next sequence to something that is not a frame.
    pub fn skip(&mut self) {
        self.last_sequence += 1;
    }

    /// Live frames by sequence, ascending.
    pub fn frames(&self) -> &BTreeMap<u64, Frame> {
        &self.frames
    }

    /// What cannot be read, as far as heads and reads so far have shown.
    pub fn damaged(&self) -> &[Damage] {
        &self.damaged
    }

    /// Encoded bytes of the live frames.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Memory that the live frames take once decoded, bytes.
    pub fn decoded_bytes(&self) -> u64 {
        self.decoded_bytes
    }

    /// Writes a frame: one row, or several in one transaction, with what `beside` writes if that
    /// is given.
    ///
    /// # Errors
    /// [`StoreError`]; then the caller must load the log again, since the outcome is unknown.
    pub fn append<S: Store>(
        &mut self,
        store: &S,
        frame: &NewFrame<'_>,
        beside: Option<&dyn Fn() -> Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        let pieces = cut(frame, S::VALUE_BYTES_MAX);
        // At most MESSAGE_BYTES_MAX / 1.9 MB parts.
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

    /// The bytes of live frame `sequence`. A frame found damaged is `None`, and from then on
    /// among [`Wal::damaged`] and no longer among the live.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read<S: Store>(
        &mut self,
        store: &S,
        sequence: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
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
                self.condemn(sequence, &format!("part {part} fails its checksum"));
                return Ok(None);
            }
            bytes.extend(body.unwrap_or_default());
        }
        Ok(Some(bytes))
    }

    /// Declares frame `sequence` damaged: its bytes are sound but cannot be decoded, say.
    pub fn condemn(&mut self, sequence: u64, why: &str) {
        if let Some(frame) = self.frames.remove(&sequence) {
            self.bytes -= frame.bytes;
            self.decoded_bytes -= frame.decoded_bytes;
            self.damaged.push(Damage {
                block: format!("WAL frame {sequence}: {why}"),
                sequence: Some(sequence),
                slots: self.slots.of_frame(sequence).unwrap_or_default().to_vec(),
                touch: Some(frame.touch),
            });
        }
    }

    /// After a flush of everything up to `head` was committed and damaged rows were set aside.
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

    /// Deletes the rows of dead slots, each of which is billed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn delete_dead<S: Store>(&mut self, store: &S) -> Result<(), StoreError> {
        let runs = self.slots.dead_runs();
        store.atomically(|| runs.into_iter().try_for_each(|run| store.delete(Table::Wal, run)))?;
        self.slots.forget_dead();
        Ok(())
    }

    /// Whether there are rows that [`Wal::delete_dead`] would delete.
    pub fn has_dead(&self) -> bool {
        self.slots.has_dead()
    }
}

/// The frame in pieces that fill a row each, head included.
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
