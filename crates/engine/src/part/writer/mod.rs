//! Writes groups of rows to the values of parts, one part after another.

mod encoded;
mod groups;
mod pending_rows;
mod resume;

use std::ops::Range;

use siphasher::sip::SipHasher24;

pub use encoded::{Encoded, LastRow};
pub use groups::{Groups, TagOrder};
pub use resume::Resumed;

use super::directory::{Directory, PartGroup, PartOf, Root, RowExtent, RowPage, SeriesBlock};
use super::{PAGE_ROWS_MAX, VALUE_BYTES_MAX, series_block};
use crate::codec::huffman::Stored;
use crate::merge::key::SeriesKey;
use crate::merge::sequences::Sequences;
use tidemark_model::bug::OrBug;
use tidemark_model::series::{id_hash, tag_hash};
use tidemark_model::series_sketch::SeriesSketch;

/// The maximum size of a part's entry in a head, in bytes.
const PART_BYTES_MAX: usize = 5 * 10;
/// The maximum size of a head without its entries, in bytes.
const HEAD_BYTES_MAX: usize = 1 + 8 + 2 * 5 + 5 + 4;
/// The maximum size of a root without its values, in bytes.
const ROOT_BYTES_MAX: usize = 10;
/// The maximum size of a value's entry in a root without its key, in bytes.
const EXTENT_BYTES_MAX: usize = 5 + 8 + 10 + 10;
/// The minimum size of a separator of keys (`from`), in bytes: the size of the measurement's id.
const FROM_BYTES_MIN: usize = 4;

/// The limits of a writer. Tests use lower limits than the default.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The maximum size of a value's head and body, in bytes.
    pub value_bytes: usize,
    /// The size of the directory, in bytes, at which a value is closed.
    pub directory_bytes: usize,
    /// The maximum number of rows in a page, up to [`PAGE_ROWS_MAX`].
    pub page_rows: usize,
    /// The number of rows after which a page ends at the end of a series.
    pub page_rows_enough: usize,
    /// The maximum number of cells in a page: rows times columns.
    pub page_cells: usize,
    /// The size of the values' text and the series' keys at which a page ends, in bytes.
    pub page_text_bytes: usize,
    /// The number of pages at which a group ends. A group may exceed this limit and the following
    /// limits by a quarter.
    pub group_pages: usize,
    /// The number of cells at which a group ends: rows times columns.
    pub group_cells: usize,
    /// The size of the series' keys at which a group ends, in bytes.
    pub group_key_bytes: usize,
    /// The size of the text at which a group ends, in bytes.
    pub group_text_bytes: usize,
    /// The number of decoded values at which a group ends, including all values of source pages.
    pub group_cells_read: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            value_bytes: VALUE_BYTES_MAX,
            directory_bytes: 128 << 10,
            page_rows: PAGE_ROWS_MAX,
            page_rows_enough: 512,
            page_cells: 131_072,
            page_text_bytes: 256 << 10,
            group_pages: 64,
            group_cells: 250_000,
            group_key_bytes: 512 << 10,
            group_text_bytes: 1 << 20,
            group_cells_read: 1_000_000,
        }
    }
}

/// The directory and the body of one stored value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// The directory, which is encoded in the head.
    pub directory: Directory,
    /// The bytes of the body.
    pub body: Vec<u8>,
    group_bytes: usize,
}

impl Value {
    /// Encodes the head with the value's number.
    pub fn head(&self, number: u64) -> Vec<u8> {
        self.directory.encode(number)
    }

    /// Returns an upper limit of the size of head and body, in bytes.
    fn bytes(&self) -> usize {
        let roots = self.directory.roots.iter().flat_map(|root| &root.values);
        HEAD_BYTES_MAX
            + self.directory.parts.len() * (PART_BYTES_MAX + ROOT_BYTES_MAX)
            + roots.map(extent_bytes).sum::<usize>()
            + self.group_bytes
            + self.body.len()
    }
}

fn extent_bytes(extent: &RowExtent) -> usize {
    EXTENT_BYTES_MAX + extent.from.len()
}

/// The properties of a part that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The part's id.
    pub id: u64,
    /// The part's values, counted from the writer's first value.
    pub values: Range<usize>,
    /// The earliest time, in nanoseconds.
    pub min_ns: i64,
    /// The latest time, in nanoseconds.
    pub max_ns: i64,
    /// The number of rows.
    pub rows: u64,
    /// The number of series. A series counts once for each measurement.
    pub series: u64,
    /// The total size of the part's blocks, in bytes.
    pub bytes: u64,
    /// The number of values, times and series that are decoded to read the whole part.
    pub cells: u64,
    /// The sketch of the part's series, with the writer's seed.
    pub sketch: SeriesSketch,
    /// The sum of the hashes of the part's series keys, which identifies the set of series.
    pub series_sum: u64,
}

impl Written {
    fn new(id: u64, at: usize) -> Self {
        Self { id, values: at..at, min_ns: i64::MAX, max_ns: i64::MIN, ..Self::default() }
    }

    fn add(&mut self, group: &PartGroup) {
        let (rows, cells) = group.rows_and_cells();
        self.rows += rows;
        self.cells += cells;
        self.bytes += group.bytes();
        // A group that contains only further columns of a wide page has 0 series, so the
        // subtraction must not go below 0.
        self.series += u64::from(group.series()).saturating_sub(u64::from(group.continues()));
        for page in &group.pages {
            self.min_ns = self.min_ns.min(page.min_ns);
            self.max_ns = self.max_ns.max(page.max_ns);
        }
    }

    /// Adds the group's series to the sketch and to the sum of hashes. A series that continues from
    /// the previous group is not counted again.
    fn count_series<'a>(
        &mut self,
        seed: u64,
        group: &PartGroup,
        keys: impl Iterator<Item = &'a SeriesKey>,
    ) {
        for key in keys.skip(usize::from(group.continues())) {
            let tags = group.tag_ids.iter().zip(key.values());
            let tags = tags.map(|(&tag, value)| tag_hash(seed, tag, &value));
            let tags = tags.fold(0, u64::wrapping_add);
            self.sketch.add(id_hash(seed, group.measurement, tags));
            self.series_sum = self.series_sum.wrapping_add(key_hash(seed, key));
        }
    }
}

/// Returns the hash of a series key for [`Written::series_sum`], which is part of the stored
/// format. A collision would make two parts with different series seem equal, and a query would
/// then miss rows. The hash is a keyed SipHash, because some texts have the same xxh64 with every
/// seed.
fn key_hash(seed: u64, key: &SeriesKey) -> u64 {
    SipHasher24::new_with_keys(seed, 0).hash(key.as_bytes())
}

struct OpenPart {
    sequences: Sequences,
    extents: Vec<RowExtent>,
    last_key: Vec<u8>,
    written: Written,
}

/// A writer of parts, which share values.
#[derive(Default)]
pub struct PartWriter {
    limits: Limits,
    seed: u64,
    /// The closed values that the caller has not taken yet. `taken` is the number of values that
    /// the caller has taken.
    closed: Vec<Value>,
    taken: usize,
    open: Value,
    part: Option<OpenPart>,
}

impl PartWriter {
    /// Creates a writer without parts. Only parts with equal seeds can be compared.
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self { limits, seed, ..Self::default() }
    }

    /// Starts the next part.
    pub fn begin(&mut self, id: u64, sequences: Sequences) {
        self.part = Some(OpenPart::new(id, sequences, self.next_value()));
    }

    /// Adds the next rows of the part. Does nothing if no part was started.
    pub fn add(&mut self, rows: &Encoded) {
        let mut start = 0;
        while start < rows.pages.len() && self.part.is_some() {
            let count = self.fitting(rows, start);
            if let Some(piece) = self.largest(rows, start..start + count) {
                start += piece.group.pages.len();
                self.push(piece);
            } else if self.open.directory.groups.is_empty() {
                self.add_wide(rows, start);
                start += 1;
            } else {
                self.close();
            }
        }
    }

    /// Ends the part. Returns `None` if the part has no rows.
    pub fn end(&mut self) -> Option<Written> {
        let part = self.part.as_ref()?;
        let id = part.written.id;
        let is_here = self.open.directory.parts.last().is_some_and(|last| last.id == id);
        // All rows of a resumed part may be in closed values.
        let has_root = part.extents.len() + usize::from(is_here) > 1;
        let root: usize = part.extents.iter().map(extent_bytes).sum();
        if has_root && is_here && self.open.bytes() + root > self.limits.value_bytes {
            self.close();
        }
        let part = self.part.take().filter(|part| part.written.rows > 0)?;
        let at = has_root.then(|| self.part_at(&part));
        let OpenPart { extents, mut written, .. } = part;
        self.open.directory.roots.extend(at.map(|part| Root { part, values: extents }));
        if has_root || is_here {
            written.values.end = self.next_value() + 1;
        }
        Some(written)
    }

    fn next_value(&self) -> usize {
        self.taken + self.closed.len()
    }

    pub(crate) fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    pub(crate) fn take_closed(&mut self) -> Vec<Value> {
        self.taken += self.closed.len();
        std::mem::take(&mut self.closed)
    }

    /// Returns the values that the caller has not taken yet.
    pub fn finish(mut self) -> Vec<Value> {
        if !self.open.directory.parts.is_empty() {
            self.closed.push(self.open);
        }
        self.closed
    }

    fn fitting(&self, rows: &Encoded, start: usize) -> usize {
        if self.open.group_bytes >= self.limits.directory_bytes {
            return 0;
        }
        let mut room = self.limits.value_bytes.saturating_sub(self.open.bytes());
        let fits = |page: &usize| {
            let bytes = rows.page_bytes(*page);
            let has_room = bytes <= room;
            room = room.saturating_sub(bytes);
            has_room
        };
        (start..rows.pages.len()).take_while(fits).count()
    }

    fn largest<'a>(&self, rows: &'a Encoded, mut pages: Range<usize>) -> Option<Piece<'a>> {
        while !pages.is_empty() {
            let piece = self.piece(rows, pages.clone(), 0..rows.columns.len());
            if self.has_room(&piece) {
                return Some(piece);
            }
            let room = self.limits.value_bytes.saturating_sub(self.open.bytes());
            let fitting = pages.len() * room / piece.bytes().max(1);
            let fewer = pages.len() - 1;
            pages.end = pages.start + fitting.clamp(fewer.min(1), fewer);
        }
        None
    }

    fn piece<'a>(
        &self,
        rows: &'a Encoded,
        pages: Range<usize>,
        columns: Range<usize>,
    ) -> Piece<'a> {
        let before = self.part.as_ref().map_or(&[][..], |part| part.last_key.as_slice());
        Piece::new(rows, pages, columns, before)
    }

    fn has_room(&self, piece: &Piece<'_>) -> bool {
        self.open.bytes() + piece.bytes() <= self.limits.value_bytes
    }

    /// Divides the columns of a page that does not fit into a value among several values.
    fn add_wide(&mut self, rows: &Encoded, page: usize) {
        let mut start = 0;
        while start < rows.columns.len() {
            let mut columns = start..rows.columns.len();
            let mut piece = self.piece(rows, page..page + 1, columns.clone());
            while columns.len() > 1 && !self.has_room(&piece) {
                columns.end = start + columns.len() / 2;
                piece = self.piece(rows, page..page + 1, columns.clone());
            }
            start = columns.end;
            let is_wide = piece.group.is_wide();
            self.push(piece);
            if is_wide {
                self.close();
            }
        }
    }

    fn push(&mut self, piece: Piece<'_>) {
        let Some(mut part) = self.part.take() else { return };
        let Piece { mut group, body, group_bytes, last_key, keys } = piece;
        group.part = self.part_at(&part);
        part.written.add(&group);
        part.written.count_series(self.seed, &group, keys.iter());
        let start = self.open.body.len() as u32;
        group.series.iter_mut().for_each(|block| block.offset += start);
        group.pages.iter_mut().for_each(|page| page.offset += start);
        part.last_key = last_key;
        grow(&mut self.open.body, body.len(), self.limits.value_bytes);
        self.open.body.extend_from_slice(&body);
        self.open.group_bytes += group_bytes;
        self.open.directory.groups.push(group);
        self.part = Some(part);
    }

    fn part_at(&mut self, part: &OpenPart) -> u32 {
        let parts = &mut self.open.directory.parts;
        let id = part.written.id;
        if parts.last().is_none_or(|last| last.id != id) {
            let ordinal = part.extents.len() as u32;
            parts.push(PartOf { id, sequences: part.sequences, ordinal });
        }
        parts.len().saturating_sub(1) as u32
    }

    fn close(&mut self) {
        let value = std::mem::take(&mut self.open);
        if let Some(part) = &mut self.part {
            part.note(&value.directory);
        }
        self.closed.push(value);
        let next = self.next_value();
        if let Some(part) = self.part.as_mut().filter(|part| part.written.rows == 0) {
            part.written.values = next..next;
        }
    }
}

impl OpenPart {
    fn new(id: u64, sequences: Sequences, at: usize) -> Self {
        let written = Written::new(id, at);
        Self { sequences, extents: Vec::new(), last_key: Vec::new(), written }
    }

    fn note(&mut self, directory: &Directory) {
        let Some(groups) = directory.group_range(self.written.id) else { return };
        let groups = directory.groups.get(groups).or_bug();
        let begins = groups.iter().find_map(|group| group.series.first());
        let own = groups.iter().filter(|group| !group.continues_columns());
        let pages = || own.clone().flat_map(|group| &group.pages);
        self.extents.push(RowExtent {
            from: begins.map_or_else(|| successor(&self.last_key), |block| block.from.clone()),
            min_ns: pages().map(|page| page.min_ns).min().unwrap_or_default(),
            max_ns: pages().map(|page| page.max_ns).max().unwrap_or_default(),
            rows: pages().map(|page| u64::from(page.rows)).sum(),
        });
    }
}

struct Piece<'a> {
    group: PartGroup,
    body: Vec<u8>,
    group_bytes: usize,
    last_key: Vec<u8>,
    keys: &'a [SeriesKey],
}

impl<'a> Piece<'a> {
    /// Returns the maximum size that the group adds to a value, in bytes.
    fn bytes(&self) -> usize {
        self.group_bytes + self.body.len() + PART_BYTES_MAX + ROOT_BYTES_MAX
    }

    /// Creates a group of these pages and columns. Only the columns of a single page may be divided
    /// among several groups. The first of these groups contains the series and keys, and names all
    /// columns. `before` is the part's last key before these rows.
    fn new(rows: &'a Encoded, pages: Range<usize>, columns: Range<usize>, before: &[u8]) -> Self {
        let of = rows.pages.get(pages.clone()).or_bug();
        let first = of.first().map_or(0, |page| page.first_series);
        let end = of.last().map_or(0, |page| page.last_series() + 1);
        let continues = rows.is_cut_at(pages.start);
        let flags = PartGroup::flags(
            continues,
            rows.is_cut_at(pages.end),
            columns.start > 0,
            columns.end < rows.columns.len(),
        );
        let of_pages = rows.keys.get(first as usize..end as usize).or_bug();
        let (measurement, tag_ids) = (rows.measurement, rows.tag_ids.clone());
        let mut group = PartGroup { measurement, flags, tag_ids, ..PartGroup::default() };
        let mut body = Vec::new();
        if !group.continues_columns() {
            let tags = group.tag_ids.len();
            group.series = write_series(of_pages, tags, continues, before, &mut body);
        }
        let listed =
            if group.continues_columns() { columns.clone() } else { 0..rows.columns.len() };
        let listed: Vec<usize> = listed.collect();
        let column = |at: &usize| rows.columns.get(*at);
        let named = listed.iter().filter_map(column);
        group.columns = named.map(|column| (column.id, column.field_type)).collect();
        let is_here = |at: &usize| columns.contains(at);
        let table = |at: &usize| column(at).filter(|_| is_here(at)).map(|c| c.table.clone());
        group.tables = listed.iter().map(|at| table(at).unwrap_or_default()).collect();
        group.tables.push(match group.continues_columns() {
            true => Stored::default(),
            false => rows.page_keys.0.clone(),
        });
        for at in pages {
            let Some(&page) = rows.pages.get(at) else { continue };
            let offset = body.len() as u32;
            let keys = rows.page_keys.1.get(at).filter(|_| !group.continues_columns());
            let keys_bytes = append(keys, &mut body);
            let first_series = page.first_series - first;
            group.pages.push(RowPage { first_series, offset, keys_bytes, ..page });
            for number in &listed {
                let of = column(number).filter(|_| is_here(number));
                let block = of.and_then(|column| column.blocks.get(at));
                group.column_bytes.push(append(block, &mut body));
            }
        }
        let mut encoded = Vec::new();
        group.encode(&mut encoded);
        let last_key = of_pages.last().map(|key| key.as_bytes().to_vec()).or_bug();
        let keys = if group.continues_columns() { &[] } else { of_pages };
        Self { group, body, group_bytes: encoded.len(), last_key, keys }
    }
}

fn grow(body: &mut Vec<u8>, more: usize, most: usize) {
    let needed = body.len() + more;
    if needed > body.capacity() {
        let room = needed.max((2 * body.len()).min(most));
        body.reserve_exact(room - body.len());
    }
}

fn append(block: Option<&Vec<u8>>, body: &mut Vec<u8>) -> u32 {
    let block = block.map_or(&[][..], Vec::as_slice);
    body.extend_from_slice(block);
    block.len() as u32
}

fn write_series(
    keys: &[SeriesKey],
    tags: usize,
    continues: bool,
    before: &[u8],
    body: &mut Vec<u8>,
) -> Vec<SeriesBlock> {
    let mut blocks = Vec::new();
    let mut start = 0;
    while let Some(rest) = keys.get(start..).filter(|rest| !rest.is_empty()) {
        let count = series_block::length(rest).max(1);
        let (block, _) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        let bytes_of = |at: usize| keys.get(at).map_or(&[][..], |key| key.as_bytes());
        let from = match (start, continues) {
            (0, true) if block.len() > 1 => between(bytes_of(0), bytes_of(1)),
            (0, true) => successor(bytes_of(0)),
            (0, false) => between(before, bytes_of(0)),
            _ => between(bytes_of(start - 1), bytes_of(start)),
        };
        let offset = body.len();
        series_block::encode(block, tags, body);
        blocks.push(SeriesBlock {
            first: start as u32,
            series: block.len() as u32,
            from,
            offset: offset as u32,
            bytes: (body.len() - offset) as u32,
        });
        start += block.len();
    }
    blocks
}

/// Returns a short string after `before`, but not after `key`. `key` must be after `before`.
fn between(before: &[u8], key: &[u8]) -> Vec<u8> {
    let alike = before.iter().zip(key).take_while(|(a, b)| a == b).count();
    key.iter().take((alike + 1).max(FROM_BYTES_MIN)).copied().collect()
}

/// Returns the first byte string after `key`.
fn successor(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
