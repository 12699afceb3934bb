//! Reads the values of a part from the store. Queries use the shard's read cache. Merges bypass the
//! cache.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use super::manifest::{Key, Manifest, Number, Part};
use super::read_cache::ShardReads;
use super::refusal::Refusal;
use crate::codec::huffman::Decoder;
use crate::merge::cursor::ReadError;
use crate::part::block::Error;
use crate::part::directory::Directory;
use crate::part::values::{Decoded, DecodedAt, Values};
use crate::scan::read_stats::ReadStats;
use crate::store::{Store, Table};
use tidemark_model::bug::OrBug;

/// The number of body bytes that are read together while few blocks of the body are needed.
const SLICE_BYTES: u32 = 128 << 10;
/// The number of slices after which the whole body is read.
const SLICES_MAX: u32 = 3;
/// The number that the cache key of a whole body contains in place of the start of a slice.
const WHOLE_BODY: u32 = u32::MAX;

/// A value of a part, and the key of the row with this value.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValueRow {
    pub(super) number: Number,
    key: Key,
}

impl ValueRow {
    /// Returns the row of a value that a part lists. Every valid manifest has such a row.
    pub(super) fn of(manifest: &Manifest, number: Number) -> Self {
        Self { number, key: manifest.key_of(number).or_bug() }
    }

    /// Returns the value in a row and the ids of the value's parts, or `None` if the row is missing
    /// or unreadable.
    pub(super) fn of_job<S: Store>(
        store: &S,
        key: Key,
    ) -> Result<Option<(Self, Vec<u64>)>, ReadError> {
        let Some(head) = store.head(Table::Value, key).map_err(failed)? else { return Ok(None) };
        let Ok((number, directory)) = Directory::decode(&head) else { return Ok(None) };
        let row = Self { number: Number(number), key };
        Ok(Some((row, directory.parts.iter().map(|part| part.id).collect())))
    }

    pub(super) fn damaged(&self, reason: impl std::fmt::Display) -> ReadError {
        ReadError::Damaged { what: format!("value row {}: {reason}", self.key) }
    }

    pub(super) fn directory<S: Store>(&self, store: &S) -> Result<Directory, ReadError> {
        let head = store.head(Table::Value, self.key).map_err(failed)?;
        let head = head.ok_or_else(|| self.damaged("missing"))?;
        let (number, directory) =
            Directory::decode(&head).map_err(|reason| self.damaged(reason))?;
        match number == self.number.0 {
            true => Ok(directory),
            false => Err(self.damaged(format!("the row contains value {number:x} instead"))),
        }
    }

    pub(super) fn body<S: Store>(&self, store: &S) -> Result<Vec<u8>, ReadError> {
        let body = store.body(Table::Value, self.key).map_err(failed)?;
        body.ok_or_else(|| self.damaged("missing"))
    }

    /// Reads bytes of the body. The result is shorter if the body ends inside or before the range.
    fn slice<S: Store>(&self, store: &S, bytes: Range<u32>) -> Result<Vec<u8>, ReadError> {
        let slice = store.body_slice(Table::Value, self.key, bytes).map_err(failed)?;
        slice.ok_or_else(|| self.damaged("missing"))
    }

    /// Calls `read` with the range `bytes` of the value's body. `body` is a slice of this body that
    /// begins at `start`.
    fn read<T>(
        &self,
        body: &[u8],
        start: u32,
        bytes: &Range<u32>,
        read: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, ReadError> {
        let at = bytes.start;
        read(part_of(body, start, bytes).unwrap_or_default())
            .map_err(|reason| self.damaged(format!("block at {at}: {reason}")))
    }
}

/// The rows that contain the values of a part, in the order of the values.
#[derive(Clone, Debug)]
pub(super) struct PartRows(pub(super) Rc<[ValueRow]>);

impl PartRows {
    pub(super) fn of(manifest: &Manifest, part: &Part) -> Self {
        Self(part.values.iter().map(|number| ValueRow::of(manifest, Number(number))).collect())
    }

    pub(super) fn get(&self, value: usize) -> Result<ValueRow, ReadError> {
        let missing = || ReadError::Damaged { what: format!("value {value} of a part: missing") };
        self.0.get(value).copied().ok_or_else(missing)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn damaged(&self, value: usize, error: Error) -> ReadError {
        self.get(value).map_or_else(|missing| missing, |row| row.damaged(error))
    }
}

/// Returns the range `bytes` of a value's body. `body` is a slice of this body that begins at
/// `start`.
fn part_of<'a>(body: &'a [u8], start: u32, bytes: &Range<u32>) -> Option<&'a [u8]> {
    let (first, end) = (bytes.start.checked_sub(start)?, bytes.end.checked_sub(start)?);
    body.get(first as usize..end as usize)
}

fn failed(error: crate::store::StoreError) -> ReadError {
    ReadError::Storage(error.to_string())
}

pub(super) fn read_error(refusal: Refusal) -> ReadError {
    match refusal {
        Refusal::Damaged { block } => ReadError::Damaged { what: block },
        other => ReadError::Storage(other.to_string()),
    }
}

/// A source of values for queries, through the read cache.
pub(super) struct CachedValues<'a, S> {
    store: &'a S,
    reads: &'a ShardReads,
    rows: PartRows,
    /// The number of blocks and bytes read so far.
    pub(super) stats: Rc<Cell<ReadStats>>,
}

impl<'a, S: Store> CachedValues<'a, S> {
    /// Creates a source of the values in `rows`. Adds the reads to `stats`.
    pub(super) fn new(
        store: &'a S,
        reads: &'a ShardReads,
        rows: PartRows,
        stats: &Rc<Cell<ReadStats>>,
    ) -> Self {
        Self { store, reads, rows, stats: Rc::clone(stats) }
    }
}

impl<S: Store> CachedValues<'_, S> {
    fn count(&self, bytes: &Range<u32>) {
        let mut stats = self.stats.get();
        stats.blocks_read += 1;
        stats.bytes_decoded += u64::from(bytes.end.saturating_sub(bytes.start));
        self.stats.set(stats);
    }

    /// Returns a slice of the body that contains these bytes, or the whole body. Also returns the
    /// start of the slice.
    fn around(&self, row: ValueRow, bytes: &Range<u32>) -> Result<(u32, Rc<Vec<u8>>), ReadError> {
        let start = bytes.start - bytes.start % SLICE_BYTES;
        for start in [start, WHOLE_BODY] {
            if let Some(body) = self.reads.bytes_from(row.number, start) {
                let start = if start == WHOLE_BODY { 0 } else { start };
                if part_of(&body, start, bytes).is_some() {
                    return Ok((start, body));
                }
            }
        }
        let is_slice = self.reads.reads(row.number) < SLICES_MAX
            && bytes.end.saturating_sub(bytes.start) <= SLICE_BYTES;
        let (name, body) = match is_slice {
            true => (start, row.slice(self.store, start..bytes.end.next_multiple_of(SLICE_BYTES))?),
            false => (WHOLE_BODY, row.body(self.store)?),
        };
        let body = Rc::new(body);
        self.reads.put_bytes(row.number, name, &body);
        let start = if is_slice { start } else { 0 };
        Ok((start, body))
    }
}

impl<S: Store> Values for CachedValues<'_, S> {
    fn count(&self) -> usize {
        self.rows.len()
    }

    fn directory(&mut self, value: usize) -> Result<Rc<Directory>, ReadError> {
        let row = self.rows.get(value)?;
        if let Some(directory) = self.reads.directory(row.number) {
            return Ok(directory);
        }
        let directory = Rc::new(row.directory(self.store)?);
        self.reads.put_directory(row.number, &directory);
        Ok(directory)
    }

    fn with<T>(
        &mut self,
        value: usize,
        bytes: Range<u32>,
        read: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, ReadError> {
        let row = self.rows.get(value)?;
        let (start, body) = self.around(row, &bytes)?;
        self.count(&bytes);
        row.read(&body, start, &bytes, read)
    }

    fn damaged(&self, value: usize, error: Error) -> ReadError {
        self.rows.damaged(value, error)
    }

    fn cached(&self, value: usize, group: usize, at: DecodedAt) -> Option<Decoded> {
        let number = self.rows.get(value).ok()?.number;
        self.reads.decoded(number, u32::try_from(group).ok()?, at)
    }

    fn keep(&self, value: usize, group: usize, at: DecodedAt, decoded: &Decoded) {
        if let (Ok(row), Ok(group)) = (self.rows.get(value), u32::try_from(group)) {
            self.reads.put_decoded(row.number, group, at, decoded);
        }
    }
}

/// The number of slices that a merge cursor keeps. The cursor reads a group column by column. With
/// only one slice, a group across the end of a slice would need two reads per column.
const SLICES_KEPT: u32 = 2;

/// A source of values for a merge. Each cursor keeps a limited number of body bytes in memory.
pub(super) struct StreamedValues<S> {
    store: Rc<S>,
    rows: PartRows,
    slice_bytes: u32,
    latest: Option<Slice>,
    before: Option<Slice>,
    /// The latest directory is first.
    directories: Vec<(usize, Rc<Directory>)>,
    tables: RefCell<Tables>,
}

struct Slice {
    value: usize,
    start: u32,
    bytes: Vec<u8>,
}

/// The number of directories that a merge cursor keeps: the current directory, the last directory
/// with the root, and the next directory.
const DIRECTORIES_KEPT: usize = 3;

#[derive(Default)]
struct Tables {
    value: usize,
    group: usize,
    kept: Vec<(DecodedAt, Rc<Decoder>)>,
}

/// The maximum number of decoded Huffman tables that a merge cursor keeps, 4 KB each.
const TABLES_KEPT: usize = 32;

impl<S: Store> StreamedValues<S> {
    pub(super) fn new(store: Rc<S>, rows: PartRows, memory_bytes: u32) -> Self {
        Self {
            store,
            rows,
            slice_bytes: memory_bytes / SLICES_KEPT,
            latest: None,
            before: None,
            directories: Vec::new(),
            tables: RefCell::default(),
        }
    }

    /// Returns the slice that contains `bytes` of a value. Keeps the last two slices in memory.
    fn read_slice(
        &mut self,
        row: ValueRow,
        value: usize,
        bytes: &Range<u32>,
    ) -> Result<&Slice, ReadError> {
        let has = |slice: &Slice| {
            slice.value == value && part_of(&slice.bytes, slice.start, bytes).is_some()
        };
        if !self.latest.as_ref().is_some_and(has) {
            std::mem::swap(&mut self.latest, &mut self.before);
        }
        let slice = match self.latest.take().filter(has) {
            Some(slice) => slice,
            None => {
                let start = bytes.start;
                let end = bytes.end.max(start.saturating_add(self.slice_bytes));
                Slice { value, start, bytes: row.slice(&*self.store, start..end)? }
            }
        };
        Ok(self.latest.insert(slice))
    }
}

impl<S: Store> Values for StreamedValues<S> {
    fn count(&self) -> usize {
        self.rows.len()
    }

    fn directory(&mut self, value: usize) -> Result<Rc<Directory>, ReadError> {
        let known = self.directories.iter().position(|(of, _)| *of == value);
        let entry = match known.map(|at| self.directories.remove(at)) {
            Some(entry) => entry,
            None => (value, Rc::new(self.rows.get(value)?.directory(&*self.store)?)),
        };
        let directory = Rc::clone(&entry.1);
        self.directories.truncate(DIRECTORIES_KEPT - 1);
        self.directories.insert(0, entry);
        Ok(directory)
    }

    fn with<T>(
        &mut self,
        value: usize,
        bytes: Range<u32>,
        read: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, ReadError> {
        let row = self.rows.get(value)?;
        let slice = self.read_slice(row, value, &bytes)?;
        row.read(&slice.bytes, slice.start, &bytes, read)
    }

    fn damaged(&self, value: usize, error: Error) -> ReadError {
        self.rows.damaged(value, error)
    }

    fn cached(&self, value: usize, group: usize, at: DecodedAt) -> Option<Decoded> {
        let tables = self.tables.try_borrow().ok()?;
        if (tables.value, tables.group) != (value, group) {
            return None;
        }
        let table = tables.kept.iter().find(|(of, _)| *of == at);
        table.map(|(_, table)| Decoded::Table(Rc::clone(table)))
    }

    fn keep(&self, value: usize, group: usize, at: DecodedAt, decoded: &Decoded) {
        let (Decoded::Table(table), Ok(mut tables)) = (decoded, self.tables.try_borrow_mut())
        else {
            return;
        };
        let is_other = (tables.value, tables.group) != (value, group);
        if is_other || tables.kept.len() >= TABLES_KEPT {
            *tables = Tables { value, group, kept: Vec::new() };
        }
        tables.kept.push((at, Rc::clone(table)));
    }
}
