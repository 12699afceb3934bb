//! What a shard keeps in memory although the store has it: the memtable and hot rows.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use super::budget::Evictable;
use super::manifest::Number;
use super::narrow::{ColumnPlace, NarrowColumns};
use crate::batch::column::Column;
use crate::batch::series_table::SeriesTable;
use crate::memtable::Memtable;
use crate::model::ids::ColumnId;
use crate::model::sorted_map::SortedMap;
use crate::part::directory::Directory;
use crate::scan::source::Rows as ScanRows;

/// Bodies of rows of one shard, bytes. Past it all of them go.
const BODIES_BYTES_MAX: usize = 8_000_000;
/// Decoded indexes and series of one shard, bytes. Past it all of them go. Kept apart from bodies:
/// a scan of everything must not make the next SHOW read everything.
const DECODED_BYTES_MAX: usize = 4_000_000;
/// Of that, blocks of series.
const SERIES_BYTES_MAX: usize = 3_000_000;

/// Columns of decoded pages of one shard, bytes: the hot days of some thousand series' fields.
const COLUMNS_BYTES_MAX: usize = 10_000_000;

/// Latest rows of one shard: enough for a dashboard, and for what lists the last value of all.
const NEWEST_MAX: usize = 2_048;
/// About what one value of such a row takes with its column, bytes.
const NEWEST_VALUE_BYTES: usize = 100;

/// A group of rows: its value, and its position there.
pub(super) type GroupKey = (Number, u32);

#[derive(Default)]
struct CachedRows {
    /// By value and where they begin: slices of a body, or all of it.
    bodies: SortedMap<(Number, u32), Rc<[u8]>>,
    bodies_bytes: usize,
    directories: SortedMap<Number, Rc<Directory>>,
    series: SortedMap<ChunkKey, Rc<SeriesTable>>,
    extents: SortedMap<ChunkKey, Rc<Ends>>,
    newest: SortedMap<SeriesKey, Newest>,
    decoded_bytes: usize,
    series_bytes: usize,
    columns: NarrowColumns,
}

/// A block of series of a group, by its position there.
pub(super) type ChunkKey = (GroupKey, u32);

/// The tag values of the first and the last series of a block.
pub(super) type Ends = [Vec<String>; 2];

/// A series of a group, by its position there.
type SeriesKey = (GroupKey, u32);

/// The latest row of a series in a group, of these columns.
struct Newest {
    columns: Vec<ColumnId>,
    row: Rc<ScanRows>,
}

impl CachedRows {
    fn make_room(&mut self, bytes: usize) {
        if self.decoded_bytes + bytes > DECODED_BYTES_MAX {
            self.directories = SortedMap::default();
            self.series = SortedMap::default();
            self.extents = SortedMap::default();
            self.series_bytes = 0;
            self.newest = SortedMap::default();
            self.decoded_bytes = 0;
        }
        self.decoded_bytes += bytes;
    }
}

/// The caches of one shard. Every part may be gone at any event's start.
#[derive(Default)]
pub(super) struct Cache {
    memtable: RefCell<Option<Memtable>>,
    memtable_bytes: Cell<usize>,
    rows: RefCell<CachedRows>,
}

impl Cache {
    /// Takes the memtable out, so that nothing evicts it while it is used.
    pub(super) fn take_memtable(&self) -> Option<Memtable> {
        self.memtable_bytes.set(0);
        self.memtable.take()
    }

    pub(super) fn has_memtable(&self) -> bool {
        self.memtable.borrow().is_some()
    }

    pub(super) fn put_memtable(&self, memtable: Memtable) {
        self.memtable_bytes.set(memtable.bytes());
        self.memtable.replace(Some(memtable));
    }

    /// These bytes of a body, if they are kept: where what is kept begins, and it.
    pub(super) fn slice(&self, of: Number, bytes: &Range<u32>) -> Option<(u32, Rc<[u8]>)> {
        let rows = self.rows.borrow();
        let before = rows.bodies.range((of, 0)..=(of, bytes.start)).rev();
        // A whole body begins at 0, and may be kept beside slices of it.
        let holds = |((_, start), body): &(&(Number, u32), &Rc<[u8]>)| {
            bytes.end.checked_sub(*start).is_some_and(|end| end as usize <= body.len())
        };
        before.into_iter().find(holds).map(|((_, start), body)| (*start, Rc::clone(body)))
    }

    /// How many slices of a body are kept.
    pub(super) fn slices(&self, of: Number) -> usize {
        self.rows.borrow().bodies.range((of, 0)..=(of, u32::MAX)).count()
    }

    pub(super) fn put_bytes(&self, of: Number, start: u32, body: &Rc<[u8]>) {
        let mut rows = self.rows.borrow_mut();
        if rows.bodies_bytes + body.len() > BODIES_BYTES_MAX {
            rows.bodies = SortedMap::default();
            rows.bodies_bytes = 0;
        }
        rows.bodies_bytes += body.len();
        if let Some(before) = rows.bodies.insert((of, start), Rc::clone(body)) {
            rows.bodies_bytes -= before.len();
        }
    }

    pub(super) fn directory(&self, of: Number) -> Option<Rc<Directory>> {
        self.rows.borrow().directories.get(&of).map(Rc::clone)
    }

    pub(super) fn put_directory(&self, of: Number, directory: &Rc<Directory>) {
        let mut rows = self.rows.borrow_mut();
        rows.make_room(directory.bytes());
        rows.directories.insert(of, Rc::clone(directory));
    }

    pub(super) fn series(&self, key: ChunkKey) -> Option<Rc<SeriesTable>> {
        self.rows.borrow().series.get(&key).map(Rc::clone)
    }

    pub(super) fn put_series(&self, key: ChunkKey, series: &Rc<SeriesTable>) {
        let tags = series.tags.iter();
        let bytes = tags.map(|tag| tag.dictionary.bytes() + tag.codes.len() * 4).sum::<usize>();
        let mut rows = self.rows.borrow_mut();
        // What many blocks have to be read for anyway does not push out what others need.
        if bytes <= SERIES_BYTES_MAX - rows.series_bytes {
            rows.make_room(bytes);
            rows.series_bytes += bytes;
            rows.series.insert(key, Rc::clone(series));
        }
    }

    /// The first and the last series of a block that was read before.
    pub(super) fn extent(&self, key: ChunkKey) -> Option<Rc<Ends>> {
        self.rows.borrow().extents.get(&key).map(Rc::clone)
    }

    pub(super) fn put_extent(&self, key: ChunkKey, ends: Ends) {
        let mut rows = self.rows.borrow_mut();
        let text = ends.iter().flatten().map(|value| value.len() + size_of::<String>());
        rows.make_room(text.sum::<usize>() + size_of::<Ends>());
        rows.extents.insert(key, Rc::new(ends));
    }

    /// A column of a page, if it is kept decoded.
    pub(super) fn column(&self, slot: ColumnPlace) -> Option<Column> {
        self.rows.borrow().columns.get(slot)
    }

    pub(super) fn put_column(&self, slot: ColumnPlace, column: &Column) {
        self.rows.borrow_mut().columns.put(slot, column, COLUMNS_BYTES_MAX);
    }

    /// The latest row of a series, if it is kept with just these columns.
    pub(super) fn newest(&self, key: SeriesKey, columns: &[ColumnId]) -> Option<Rc<ScanRows>> {
        let rows = self.rows.borrow();
        rows.newest
            .get(&key)
            .filter(|known| known.columns == columns)
            .map(|known| Rc::clone(&known.row))
    }

    pub(super) fn put_newest(&self, key: SeriesKey, columns: &[ColumnId], row: &Rc<ScanRows>) {
        let mut rows = self.rows.borrow_mut();
        if rows.newest.len() < NEWEST_MAX {
            rows.make_room((columns.len() + 1) * NEWEST_VALUE_BYTES);
            rows.newest.insert(key, Newest { columns: columns.to_vec(), row: Rc::clone(row) });
        }
    }

    /// Drops everything: what is stored has changed, or may have.
    pub(super) fn clear(&self) {
        self.take_memtable();
        self.rows.take();
    }
}

impl Evictable for Cache {
    fn bytes(&self) -> usize {
        let bytes =
            |rows: &CachedRows| rows.bodies_bytes + rows.decoded_bytes + rows.columns.bytes();
        self.memtable_bytes.get() + self.rows.try_borrow().map_or(0, |rows| bytes(&rows))
    }

    fn evict(&self) {
        if let Ok(mut memtable) = self.memtable.try_borrow_mut() {
            *memtable = None;
            self.memtable_bytes.set(0);
        }
        if let Ok(mut rows) = self.rows.try_borrow_mut() {
            *rows = CachedRows::default();
        }
    }
}
