//! Stores the rows of frames as columns in memory. The memtable is a cache of the WAL and can be
//! dropped and replayed at any time.
//!
//! Each measurement has a table of its series, and its rows in the order of writing. Rows are
//! sorted when they are read or flushed. Field values are stored in slabs, one for each set of
//! columns. A row therefore takes no space for columns without a value, and the memtable is about
//! as large as its decoded frames.

pub mod cursor;
mod sorted_rows;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::rc::Rc;

use foldhash::fast::FixedState;
use smallvec::SmallVec;
use sorted_rows::SortedRows;

use crate::batch::FrameTable;
use crate::batch::chunks::Chunks;
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::batch::slabs::Slabs;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

/// An index of which at most half is used, because a write searches it once for each series.
type HashIndex = crate::batch::interner::HashIndex<2>;

/// The number of codes that a map of a tag's codes stores in place, for frames with few series.
const FEW_CODES: usize = 8;

/// The overhead of a measurement in the memtable, in bytes.
const TABLE_BYTES: usize = 240;

/// The rows of all frames after the flushed head.
#[derive(Debug)]
pub struct Memtable {
    hash_seed: u64,
    tables: BTreeMap<MeasurementId, MeasurementTable>,
    bytes: usize,
    series: u64,
}

impl Memtable {
    /// Creates an empty memtable. `hash_seed` seeds the hash tables of tag values.
    pub fn new(hash_seed: u64) -> Self {
        Self { hash_seed, tables: BTreeMap::new(), bytes: 0, series: 0 }
    }

    /// Appends one measurement's rows.
    pub fn append(&mut self, table: &FrameTable) {
        if table.block.rows() == 0 {
            return;
        }
        let target = self.tables.entry(table.measurement).or_insert_with(|| {
            self.bytes += TABLE_BYTES;
            MeasurementTable::new(self.hash_seed)
        });
        let (bytes, series) = (target.bytes(), target.series().len);
        target.append(table);
        self.bytes = (self.bytes + target.bytes()).saturating_sub(bytes);
        self.series += u64::from(target.series().len - series);
    }

    /// Returns the measurement's rows, or `None` if it has no rows.
    pub fn table(&self, measurement: MeasurementId) -> Option<&MeasurementTable> {
        self.tables.get(&measurement)
    }

    /// Returns the measurements that have rows, in ascending order of their ids.
    pub fn tables(&self) -> impl Iterator<Item = (MeasurementId, &MeasurementTable)> + Clone {
        self.tables.iter().map(|(&id, table)| (id, table))
    }

    /// Returns the memory size in bytes, without reading every table.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of series in all measurements.
    pub fn series(&self) -> u64 {
        self.series
    }
}

/// A measurement's rows. Each row has a series, a time and field values. Rows can only be appended.
#[derive(Debug)]
pub struct MeasurementTable {
    hasher: FixedState,
    tag_ids: Vec<ColumnId>,
    series: Rc<SeriesTable>,
    /// The index of each tag's dictionary.
    values: Vec<HashIndex>,
    keys: HashIndex,
    row_series: Chunks<u32>,
    times_ns: Chunks<i64>,
    fields: Slabs,
    time: TimeRange,
    /// The rows sorted by key, for this order of tags. The newest rows are possibly not sorted yet.
    by_key: RefCell<Option<(Vec<usize>, Rc<SortedRows>)>>,
}

impl MeasurementTable {
    /// Creates an empty table.
    pub fn new(hash_seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(hash_seed),
            tag_ids: Vec::new(),
            series: Rc::default(),
            values: Vec::new(),
            keys: HashIndex::default(),
            row_series: Chunks::default(),
            times_ns: Chunks::default(),
            fields: Slabs::default(),
            time: TimeRange::new(i64::MAX, i64::MIN),
            by_key: RefCell::default(),
        }
    }

    /// Returns the ids of the tags in [`MeasurementTable::series`].
    pub fn tag_ids(&self) -> &[ColumnId] {
        &self.tag_ids
    }

    /// Returns the series, in the order of their first appearance.
    pub fn series(&self) -> &Rc<SeriesTable> {
        &self.series
    }

    /// Returns the series number of each row.
    pub fn row_series(&self) -> &Chunks<u32> {
        &self.row_series
    }

    /// Returns the time of each row, in nanoseconds.
    pub fn times_ns(&self) -> &Chunks<i64> {
        &self.times_ns
    }

    /// Returns the field values.
    pub fn fields(&self) -> &Slabs {
        &self.fields
    }

    /// Returns the time range of all rows. The range is empty if the table is empty.
    pub fn time(&self) -> TimeRange {
        self.time
    }

    /// Returns the rows in key order. `tags` contains the positions of the tags in key order.
    fn by_key(&self, tags: &[usize]) -> Rc<SortedRows> {
        let mut known = self.by_key.borrow_mut();
        let rows = match &*known {
            Some((of, rows)) if *of == tags && rows.rows() == self.times_ns.len() => {
                return Rc::clone(rows);
            }
            Some((of, rows)) if *of == tags => rows.extended(self, tags),
            _ => SortedRows::new(self, tags),
        };
        let rows = Rc::new(rows);
        *known = Some((tags.to_vec(), Rc::clone(&rows)));
        rows
    }

    /// Appends the rows of a frame.
    pub fn append(&mut self, table: &FrameTable) {
        let series_map = self.intern_series(table);
        let own_number = |&series: &u32| series_map.get(series as usize).copied().or_bug();
        let row_series: Vec<u32> = table.block.row_series.iter().map(own_number).collect();
        self.row_series.extend(&row_series);
        self.times_ns.extend(&table.block.times_ns);
        for &time_ns in &table.block.times_ns {
            self.time.start_ns = self.time.start_ns.min(time_ns);
            self.time.end_ns = self.time.end_ns.max(time_ns.saturating_add(1));
        }
        self.fields.append(&table.field_ids, &table.block.fields, table.block.rows());
    }

    /// Adds the new series of `table`. Returns a map from series numbers of `table` to series
    /// numbers of this table.
    fn intern_series(&mut self, table: &FrameTable) -> Vec<u32> {
        let from = &table.block.series;
        let target = Rc::make_mut(&mut self.series);
        let places: Vec<usize> = table
            .tag_ids
            .iter()
            .map(|&id| {
                self.tag_ids.iter().position(|&known| known == id).unwrap_or_else(|| {
                    self.tag_ids.push(id);
                    self.values.push(HashIndex::default());
                    let codes = vec![0; target.len as usize];
                    target.tags.push(TagColumn { codes, ..TagColumn::default() });
                    target.tags.len() - 1
                })
            })
            .collect();
        let mut code_maps = Vec::with_capacity(places.len());
        for (&place, tag) in places.iter().zip(&from.tags) {
            let (Some(to), Some(index)) = (target.tags.get_mut(place), self.values.get_mut(place))
            else {
                continue;
            };
            code_maps.push(intern_values(&self.hasher, index, to, tag));
        }
        let mut codes = vec![0; target.tags.len()];
        let mut map = Vec::with_capacity(from.len as usize);
        for series in 0..from.len as usize {
            codes.fill(0);
            for ((&place, tag), code_map) in places.iter().zip(&from.tags).zip(&code_maps) {
                let code = tag.codes.get(series).copied().or_bug();
                if let Some(slot) = codes.get_mut(place) {
                    *slot = code_map.get(code as usize).copied().or_bug();
                }
            }
            map.push(intern_key(&self.hasher, &mut self.keys, target, &codes));
        }
        map
    }

    /// Returns, for each series of a frame, whether this table has rows of the series.
    pub fn known_series(&self, table: &FrameTable) -> Vec<bool> {
        let places: Vec<Option<usize>> = table
            .tag_ids
            .iter()
            .map(|&id| self.tag_ids.iter().position(|&known| known == id))
            .collect();
        // For each tag, maps codes of the frame to codes of this table.
        let code_maps: Vec<Vec<Option<u32>>> = places
            .iter()
            .zip(&table.block.series.tags)
            .map(|(place, tag)| {
                let known = place.and_then(|at| self.series.tags.get(at).zip(self.values.get(at)));
                let code = |value| {
                    let (column, index) = known?;
                    let hash = value_hash(&self.hasher, value);
                    find_value(index, column, hash, value).map(|entry| entry + 1)
                };
                std::iter::once(Some(0)).chain(tag.dictionary.iter().map(code)).collect()
            })
            .collect();
        let mut codes = vec![0; self.series.tags.len()];
        let mut is_known = |series: usize| {
            codes.fill(0);
            for ((place, tag), code_map) in
                places.iter().zip(&table.block.series.tags).zip(&code_maps)
            {
                let code = tag.codes.get(series).copied().or_bug();
                let Some(Some(code)) = code_map.get(code as usize) else { return false };
                if let Some(slot) = place.and_then(|place| codes.get_mut(place)) {
                    *slot = *code;
                }
            }
            let hash = key_hash(&self.hasher, &codes);
            find_key(&self.keys, &self.series, hash, &codes).is_some()
        };
        (0..table.block.series.len as usize).map(&mut is_known).collect()
    }

    /// Returns the memory size in bytes, estimated from capacities. The size includes the sorted
    /// order of the rows, which the first read computes.
    pub fn bytes(&self) -> usize {
        let tags: usize = self.series.tags.iter().map(TagColumn::bytes).sum();
        // A short index has no memory outside of its place in the list.
        let places = self.values.capacity() * size_of::<HashIndex>();
        let values = self.values.iter().map(HashIndex::bytes).sum::<usize>();
        let indexes = self.keys.bytes() + places + values;
        let by_key = SortedRows::bytes(self.times_ns.len(), self.series.len as usize);
        let rows = self.row_series.bytes() + self.times_ns.bytes();
        tags + indexes + self.fields.bytes() + by_key + rows
    }
}

/// Adds the new values of `from` to `to`. Returns a map from codes of `from` to codes of `to`.
fn intern_values(
    hasher: &FixedState,
    index: &mut HashIndex,
    to: &mut TagColumn,
    from: &TagColumn,
) -> SmallVec<[u32; FEW_CODES]> {
    let mut map = SmallVec::with_capacity(from.dictionary.len() + 1);
    map.push(0);
    for value in from.dictionary.iter() {
        let hash = value_hash(hasher, value);
        let found = find_value(index, to, hash, value);
        map.push(
            1 + found.unwrap_or_else(|| {
                to.dictionary.push(value);
                index.insert(hash)
            }),
        );
    }
    map
}

/// Returns the upper half of the hash. [`HashIndex`] uses the low bits of this half.
fn value_hash(hasher: &FixedState, value: &str) -> u32 {
    (hasher.hash_one(value) >> 32) as u32
}

fn find_value(index: &HashIndex, tag: &TagColumn, hash: u32, value: &str) -> Option<u32> {
    index.find(hash, |entry| tag.dictionary.get(entry as usize) == value)
}

/// Returns the number of the series with these codes. Adds the series if it is new.
fn intern_key(
    hasher: &FixedState,
    index: &mut HashIndex,
    table: &mut SeriesTable,
    codes: &[u32],
) -> u32 {
    let hash = key_hash(hasher, codes);
    if let Some(series) = find_key(index, table, hash, codes) {
        return series;
    }
    for (tag, &code) in table.tags.iter_mut().zip(codes) {
        tag.codes.push(code);
    }
    table.len += 1;
    index.insert(hash)
}

/// Returns the hash of a series' codes. The codes of missing tags do not affect the hash, so it
/// does not change when a new tag key is added to the table.
fn key_hash(hasher: &FixedState, codes: &[u32]) -> u32 {
    let mut sum = hasher.hash_one(0_u8);
    for (place, &code) in (1_u64..).zip(codes) {
        if code > 0 {
            sum = (sum ^ (place << 32 | u64::from(code)))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        }
    }
    (sum >> 32) as u32
}

fn find_key(index: &HashIndex, table: &SeriesTable, hash: u32, codes: &[u32]) -> Option<u32> {
    let same = |entry: u32| {
        let known_codes = table.tags.iter().map(|tag| tag.codes.get(entry as usize).copied());
        known_codes.eq(codes.iter().map(|&code| Some(code)))
    };
    index.find(hash, same)
}

#[cfg(test)]
mod tests;
