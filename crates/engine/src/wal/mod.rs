//! Implements the write-ahead log: writes frames to rows of table `wal`, and reads the frames after
//! a restart.
//!
//! The log does not interpret the bytes of a frame. The shard determines when a frame is flushed,
//! and which queries fail because of damage.
#![doc = include_str!("FORMAT.md")]

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::crc::{CRC_BYTES, append_crc, crc32c, crc32c_append, verify_crc};
use crate::store::{Store, StoreResult, Table, row};

/// A frame that is about to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewFrame<'a> {
    /// The write sequence, from [`Wal::next_sequence`].
    pub sequence: u64,
    /// The encoded frame.
    pub frame: &'a [u8],
    /// The rows, measurements and times that the frame affects, in the shard's encoding.
    pub summary: &'a [u8],
    /// The memory size of the decoded frame, in bytes.
    pub decoded_bytes: u64,
    /// The schema version from which the frame's ids come.
    pub schema_version: u64,
}

/// A live frame, as described by the heads of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The keys of the frame's log rows, in the order of the parts.
    pub keys: Vec<u64>,
    /// The encoded size, in bytes.
    pub bytes: u64,
    /// The memory size of the decoded frame, in bytes.
    pub decoded_bytes: u64,
    /// The schema version from which the frame's ids come.
    pub schema_version: u64,
    /// The rows, measurements and times that the frame affects, in the shard's encoding.
    pub summary: Vec<u8>,
}

/// A frame or row of the log that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The name of the damaged frame or row in query errors and diagnostics.
    pub block: String,
    /// The sequence of the damaged frame, if known.
    pub sequence: Option<u64>,
    /// The keys of the damaged rows. The shard copies these rows undecoded.
    pub keys: Vec<u64>,
    /// The bytes from which the shard derives the affected data: the frame's summary, or the start
    /// of the frame if `sequence` is `None`. Without these bytes, every query fails.
    pub evidence: Option<Vec<u8>>,
}

/// The log's index in memory. The index changes only after the store has written the rows.
#[derive(Clone, Debug, Default)]
pub struct Wal {
    rows: LogRows,
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

    /// Writes a frame as one row, or as several rows in one transaction. If `write_other_rows` is
    /// given, it runs first in the same transaction. After an error, the outcome is unknown, and
    /// the caller must load the log again.
    pub fn append<S: Store>(
        &mut self,
        store: &S,
        frame: &NewFrame<'_>,
        write_other_rows: Option<&dyn Fn() -> StoreResult<()>>,
    ) -> StoreResult<()> {
        let pieces = cut(frame, S::VALUE_BYTES_MAX);
        // A frame has at most about 14 parts: MESSAGE_BYTES_MAX (26 MB) / 1.9 MB.
        let parts = pieces.len() as u32;
        let keys = self.rows.choose(pieces.len());
        let write = |part: u32, key: u64, body: &[u8]| {
            store.put(Table::Wal, key, &Head::new(frame, part, parts, body).encode(), body)
        };
        match (pieces.as_slice(), keys.as_slice(), write_other_rows) {
            ([body], [key], None) => write(0, *key, body)?,
            _ => store.atomically(|| {
                write_other_rows.map_or(Ok(()), |write| write())?;
                let mut parts = (0..).zip(keys.iter().zip(&pieces));
                parts.try_for_each(|(part, (key, body))| write(part, *key, body))
            })?,
        }
        self.last_sequence = frame.sequence;
        let entry = Frame {
            keys,
            bytes: frame.frame.len() as u64,
            decoded_bytes: frame.decoded_bytes,
            schema_version: frame.schema_version,
            summary: frame.summary.to_vec(),
        };
        self.insert(frame.sequence, entry);
        Ok(())
    }

    fn insert(&mut self, sequence: u64, frame: Frame) {
        self.rows.occupy(&frame.keys);
        self.bytes += frame.bytes;
        self.decoded_bytes += frame.decoded_bytes;
        self.frames.insert(sequence, frame);
    }

    /// Returns the bytes of the live frame `sequence`, or `None` if the frame is damaged. A damaged
    /// frame is moved from the live frames to [`Wal::damaged`].
    pub fn read<S: Store>(&mut self, store: &S, sequence: u64) -> StoreResult<Option<Vec<u8>>> {
        let Some(frame) = self.frames.get(&sequence) else { return Ok(None) };
        let (keys, mut bytes) = (frame.keys.clone(), Vec::new());
        for (part, &key) in (0..).zip(&keys) {
            let row = store.head_and_body(Table::Wal, key)?;
            let sound = row.filter(|(head, body)| {
                Head::decode(head).is_ok_and(|head| {
                    head.sequence == sequence && head.part == part && head.check(body).is_ok()
                })
            });
            let Some((_, body)) = sound else {
                self.mark_damaged(sequence, &format!("part {part} fails its checksum"));
                return Ok(None);
            };
            bytes.extend(body);
        }
        Ok(Some(bytes))
    }

    /// Moves a frame to the damaged frames, if its checksum is valid but decoding fails.
    pub(crate) fn mark_damaged(&mut self, sequence: u64, reason: &str) {
        if let Some(frame) = self.frames.remove(&sequence) {
            self.bytes -= frame.bytes;
            self.decoded_bytes -= frame.decoded_bytes;
            self.damaged.push(Damage {
                block: format!("WAL frame {sequence}: {reason}"),
                sequence: Some(sequence),
                keys: frame.keys,
                evidence: Some(frame.summary),
            });
        }
    }

    /// Releases all rows. Before the call, the caller must have committed the flush of all frames,
    /// and copied the damaged rows.
    pub fn release(&mut self) {
        let frames = std::mem::take(&mut self.frames).into_values().map(|frame| frame.keys);
        let damaged = std::mem::take(&mut self.damaged).into_iter().map(|damage| damage.keys);
        frames.chain(damaged).flatten().for_each(|key| self.rows.add_unused(key));
        (self.bytes, self.decoded_bytes) = (0, 0);
    }

    /// Deletes the unused rows. Each deleted row is billed.
    pub(crate) fn delete_unused<S: Store>(&mut self, store: &S) -> StoreResult<()> {
        let unused = self.rows.unused.iter().copied();
        store.atomically(|| store.delete_keys(Table::Wal, unused))?;
        self.rows.unused.clear();
        Ok(())
    }

    pub(crate) fn has_unused(&self) -> bool {
        !self.rows.unused.is_empty()
    }
}

/// Divides the frame into pieces. Each piece except the last, together with its head, fills a row.
fn cut<'a>(frame: &NewFrame<'a>, row_bytes_max: usize) -> Vec<&'a [u8]> {
    let first_max = row_bytes_max.saturating_sub(Head::encoded_bytes(frame.summary));
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

/// The keys of rows that a new frame may use.
#[derive(Clone, Debug, Default)]
struct LogRows {
    /// The rows of flushed frames, which may be overwritten.
    unused: BTreeSet<u64>,
    /// The lowest key that has never contained a row.
    next: u64,
}

impl LogRows {
    /// Marks a row as unused, so that a later frame may overwrite the row. An unused row is not
    /// needed, for example because its frame is flushed.
    fn add_unused(&mut self, key: u64) {
        self.reserve(key);
        self.unused.insert(key);
    }

    /// Marks the key of a row as assigned, so that no new row receives the key.
    fn reserve(&mut self, key: u64) {
        self.next = self.next.max(key + 1);
    }

    /// Chooses unused rows before new rows, in ascending order. The rows remain unused until
    /// [`LogRows::occupy`] is called.
    fn choose(&self, parts: usize) -> Vec<u64> {
        self.unused.iter().copied().chain(self.next..).take(parts).collect()
    }

    fn occupy(&mut self, keys: &[u64]) {
        for &key in keys {
            self.unused.remove(&key);
            self.reserve(key);
        }
    }
}

/// The maximum number of body bytes that are kept for a row with an unreadable head. From these
/// bytes, the shard derives which measurements and times the frame affects.
const DAMAGED_BODY_BYTES_MAX: usize = 256 << 10;

/// Loads the log by reading the heads of all rows, and lists damage in the returned [`Wal`]. A body
/// is read only if the row's head is unreadable. The sequences in `taken` belong to changes that
/// are not frames. These sequences are not reported as missing, and no new frame uses them.
pub fn load<S: Store>(store: &S, head: u64, taken: &BTreeSet<u64>) -> StoreResult<Wal> {
    let mut log_rows = LogRows::default();
    let mut damaged = Vec::new();
    let mut parts_of: BTreeMap<u64, Vec<(u64, Head)>> = BTreeMap::new();
    row::each(store, Table::Wal, &mut |key, bytes| {
        match Head::decode(bytes) {
            Ok(row) if row.sequence > head => {
                parts_of.entry(row.sequence).or_default().push((key, row));
            }
            Ok(_) => log_rows.add_unused(key),
            Err(error) => {
                // A frame begins with the measurements and times that it affects. This part of the
                // frame has a separate checksum.
                let mut body = store.body(Table::Wal, key)?.unwrap_or_default();
                body.truncate(DAMAGED_BODY_BYTES_MAX);
                damaged.push(Damage {
                    block: format!("WAL row {key}: {error}"),
                    sequence: None,
                    keys: vec![key],
                    evidence: Some(body),
                });
            }
        }
        Ok(())
    })?;
    let last_frame = parts_of.keys().next_back().copied().unwrap_or(head);
    let last_sequence = last_frame.max(taken.last().copied().unwrap_or(head));
    let mut wal = Wal { rows: log_rows, damaged, last_sequence, ..Wal::default() };
    for (sequence, rows) in parts_of {
        add_frame(&mut wal, sequence, rows);
    }
    add_holes(&mut wal, head, taken);
    Ok(wal)
}

/// Records damage unless all parts of the frame exist.
fn add_frame(wal: &mut Wal, sequence: u64, mut rows: Vec<(u64, Head)>) {
    rows.sort_by_key(|(_, row)| row.part);
    let keys: Vec<u64> = rows.iter().map(|&(key, _)| key).collect();
    let parts = rows.first().map_or(0, |(_, row)| row.parts);
    let complete = rows.len() as u64 == u64::from(parts)
        && rows.iter().zip(0..).all(|((_, row), part)| row.part == part && row.parts == parts);
    let bytes = rows.iter().map(|(_, row)| u64::from(row.body_bytes)).sum();
    let first = rows.into_iter().next().map(|(_, row)| row).filter(|row| row.part == 0);
    match first {
        Some(row) if complete => {
            let Head { decoded_bytes, schema_version, summary, .. } = row;
            wal.insert(sequence, Frame { keys, bytes, decoded_bytes, schema_version, summary });
        }
        first => {
            wal.damaged.push(Damage {
                block: format!("WAL frame {sequence}: a part is missing"),
                sequence: Some(sequence),
                keys,
                evidence: first.map(|row| row.summary),
            });
        }
    }
}

/// Records missing sequences as damage. A row with an unreadable head may contain one of the
/// missing sequences, so missing sequences are damage only if there are more of them than such
/// rows.
fn add_holes(wal: &mut Wal, head: u64, taken: &BTreeSet<u64>) {
    let known = |wal: &Wal, sequence: u64| {
        wal.frames.contains_key(&sequence)
            || wal.damaged.iter().any(|damage| damage.sequence == Some(sequence))
    };
    for damage in &wal.damaged {
        for &key in &damage.keys {
            wal.rows.reserve(key);
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
            keys: Vec::new(),
            evidence: None,
        });
    }
}

const VERSION: u8 = 2;
/// The size of a head without its summary and checksum, in bytes: version, sequence, part, parts,
/// decoded_bytes, schema_version, body_bytes and body_crc.
const FIXED_BYTES: usize = 1 + 8 + 4 + 4 + 8 + 8 + 4 + 4;

/// An error in a row of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The head is too short, or its checksum is wrong.
    #[error("the head of the WAL row is damaged")]
    Head,
    /// A newer release wrote the row.
    #[error("the WAL row has version {0}, which this release cannot read")]
    Version(u8),
    /// The body's length or checksum is wrong.
    #[error("the body of the WAL row is damaged")]
    Body,
}

/// The head of a WAL row. The head contains the body's checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The frame's write sequence.
    pub sequence: u64,
    /// The number of this part of the frame, counted from 0.
    pub part: u32,
    /// The number of parts of the frame.
    pub parts: u32,
    /// The memory size of the whole decoded frame, in bytes.
    pub decoded_bytes: u64,
    /// The schema version from which the frame's ids come.
    pub schema_version: u64,
    /// The length of the body, in bytes.
    pub body_bytes: u32,
    body_crc: u32,
    /// The rows, measurements and times that the frame affects. Only part 0 contains them.
    pub summary: Vec<u8>,
}

impl Head {
    /// Creates the head for `body`, which is one part of a frame.
    pub fn new(frame: &NewFrame<'_>, part: u32, parts: u32, body: &[u8]) -> Self {
        Self {
            sequence: frame.sequence,
            part,
            parts,
            decoded_bytes: frame.decoded_bytes,
            schema_version: frame.schema_version,
            // A row is smaller than 2 MB (Store::VALUE_BYTES_MAX).
            body_bytes: body.len() as u32,
            body_crc: body_crc(frame.sequence, part, parts, body),
            summary: if part == 0 { frame.summary.to_vec() } else { Vec::new() },
        }
    }

    pub(crate) const fn encoded_bytes(summary: &[u8]) -> usize {
        FIXED_BYTES + summary.len() + CRC_BYTES
    }

    /// Encodes the head.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::encoded_bytes(&self.summary));
        out.push(VERSION);
        out.extend(self.sequence.to_le_bytes());
        out.extend(self.part.to_le_bytes());
        out.extend(self.parts.to_le_bytes());
        out.extend(self.decoded_bytes.to_le_bytes());
        out.extend(self.schema_version.to_le_bytes());
        out.extend(self.body_bytes.to_le_bytes());
        out.extend(self.body_crc.to_le_bytes());
        out.extend(&self.summary);
        append_crc(&mut out, 0);
        out
    }

    /// Decodes a head.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let covered = verify_crc(bytes).map_err(|_| Error::Head)?;
        let (&version, mut rest) = covered.split_first().ok_or(Error::Head)?;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        Ok(Self {
            sequence: u64::from_le_bytes(take(&mut rest)?),
            part: u32::from_le_bytes(take(&mut rest)?),
            parts: u32::from_le_bytes(take(&mut rest)?),
            decoded_bytes: u64::from_le_bytes(take(&mut rest)?),
            schema_version: u64::from_le_bytes(take(&mut rest)?),
            body_bytes: u32::from_le_bytes(take(&mut rest)?),
            body_crc: u32::from_le_bytes(take(&mut rest)?),
            summary: rest.to_vec(),
        })
    }

    /// Checks the length and checksum of `body` against this head.
    pub fn check(&self, body: &[u8]) -> Result<(), Error> {
        let sound = body.len() as u64 == u64::from(self.body_bytes)
            && body_crc(self.sequence, self.part, self.parts, body) == self.body_crc;
        if sound { Ok(()) } else { Err(Error::Body) }
    }
}

fn body_crc(sequence: u64, part: u32, parts: u32, body: &[u8]) -> u32 {
    let crc = crc32c(&sequence.to_le_bytes());
    let crc = crc32c_append(crc, &part.to_le_bytes());
    let crc = crc32c_append(crc, &parts.to_le_bytes());
    crc32c_append(crc, body)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Error> {
    bytes.split_off(..N).and_then(|taken| taken.as_array()).copied().ok_or(Error::Head)
}

#[cfg(test)]
mod tests;
