//! Rows in the order of writing to a run of segments.

use super::directory::{Directory, Summary};
use super::index::{Index, Page};
use super::packer::{Address, Packer};
use super::{block, series};
use crate::batch::layout::{FieldLayout, Layout};
use crate::batch::order::{Distinct, Order, rank_series};
use crate::batch::series_table::SeriesTable;
use crate::batch::slabs::Slabs;
use crate::codec::draft::Draft;
use crate::codec::tables;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::sorted;
use crate::model::sorted_map::SortedMap;
use crate::model::value::FieldType;

/// A page ends at this many rows,
pub const PAGE_ROWS_MAX: usize = 1_024;
/// at the end of a series from this many rows on,
const PAGE_ROWS_ENOUGH: usize = 512;
/// or when its strings are longer than this, bytes. With one string of 1 MiB more, a block still
/// fits a row.
const PAGE_TEXT_BYTES: usize = 256 << 10;

/// Rows of one measurement. Of rows with equal series and time the later overwrites field by field.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Whose rows.
    pub measurement: MeasurementId,
    /// Ids of `series.tags`.
    pub tag_ids: &'a [ColumnId],
    /// The series; those without rows are left out.
    pub series: &'a SeriesTable,
    /// For each row, its series.
    pub row_series: &'a [u32],
    /// For each row, its time.
    pub times_ns: &'a [i64],
    /// The values of the fields; those that no row has are left out.
    pub fields: &'a Slabs,
}

/// A run being written.
pub struct RunWriter {
    window_ns: i64,
    sequences: (u64, u64),
    packer: Packer,
    segments: Vec<(Summary, Vec<u8>)>,
}

/// A finished run: what goes into the tables, in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Bodies of the rows of table `segment`, from the run's first value on.
    pub values: Vec<Vec<u8>>,
    /// Rows of table `directory`: heads, and bodies with the indexes.
    pub directories: Vec<(Directory, Vec<u8>)>,
}

impl RunWriter {
    /// A run of rows whose write sequences lie in `first_sequence..=last_sequence`, in windows of
    /// `window_ns` (above 0).
    pub fn new(window_ns: i64, first_sequence: u64, last_sequence: u64) -> Self {
        Self {
            window_ns: window_ns.max(1),
            sequences: (first_sequence, last_sequence),
            packer: Packer::default(),
            segments: Vec::new(),
        }
    }

    /// Adds a measurement's rows, one segment per window. Ascending order of measurements keeps
    /// what is read together close together.
    pub fn add(&mut self, rows: &Rows<'_>) {
        let mut tags: Vec<(ColumnId, usize)> = rows.tag_ids.iter().copied().zip(0..).collect();
        sorted::sort_by(&mut tags, Ord::cmp);
        let tags: Vec<usize> = tags.into_iter().map(|(_, tag)| tag).collect();
        let rank = rank_series(rows.series, &tags);
        let order =
            Order::new(rows.series.len as usize, Some(&rank), rows.row_series, rows.times_ns);
        let window_at = |time_ns: i64| time_ns.div_euclid(self.window_ns);
        let Some(earliest) = rows.times_ns.iter().copied().min().map(window_at) else { return };
        let latest = rows.times_ns.iter().copied().max().map_or(earliest, window_at);
        // Nearly always; a division per row would take as long as the order.
        if earliest == latest {
            return self.add_segment(rows, latest, &order.rows, order.has_duplicates);
        }
        let window_of =
            |row: &u32| window_at(rows.times_ns.get(*row as usize).copied().unwrap_or_default());
        let mut windows: SortedMap<i64, Vec<u32>> = SortedMap::new();
        for same in order.rows.chunk_by(|a, b| window_of(a) == window_of(b)) {
            if let Some(first) = same.first() {
                windows.entry(window_of(first)).or_default().extend_from_slice(same);
            }
        }
        for (window, ordered) in windows {
            self.add_segment(rows, window, &ordered, order.has_duplicates);
        }
    }

    fn add_segment(&mut self, rows: &Rows<'_>, window: i64, ordered: &[u32], has_duplicates: bool) {
        let distinct = if has_duplicates {
            Distinct::new(ordered, rows.row_series, rows.times_ns)
        } else {
            Distinct::of_distinct(ordered.to_vec())
        };
        let layout = Layout::new(rows.fields, &distinct);
        let mut segment = SegmentWriter::new(rows, &distinct, &layout);
        segment.write_series(&mut self.packer);
        let values = segment.write_pages(&mut self.packer);
        let SegmentWriter { index, times, .. } = segment;
        let (first, last) = (index.addresses().next(), index.addresses().last());
        let value = first.map_or(0, |address| address.value);
        let mut encoded = Vec::new();
        index.encode(&mut encoded);
        // Row counts and offsets are u32: a run comes from at most some 10 MB of frames.
        let summary = Summary {
            measurement: rows.measurement,
            window,
            first_sequence: self.sequences.0,
            last_sequence: self.sequences.1,
            min_time_ns: times.0,
            max_time_ns: times.1,
            rows: distinct.rows.len() as u32,
            series: index.series(),
            bytes: index.addresses().map(|address| u64::from(address.bytes)).sum(),
            decoded_bytes: (distinct.rows.len() as u64 * 2 + values) * 8
                + u64::from(index.series()) * SERIES_BYTES,
            value,
            value_count: last.map_or(0, |address| address.value + 1 - value),
            index_offset: 0,
            index_bytes: encoded.len() as u32,
        };
        self.segments.push((summary, encoded));
    }

    /// The run. `first_value` is the key of its first value; no directory row exceeds `row_bytes`
    /// unless a single segment's does.
    pub fn finish(self, first_value: u64, row_bytes: usize) -> Run {
        let values = self.packer.into_values();
        let mut directories: Vec<(Directory, Vec<u8>)> = Vec::new();
        for (mut summary, index) in self.segments {
            let full = |(head, body): &(Directory, Vec<u8>)| {
                let heads = (head.segments.len() + 1) * SUMMARY_BYTES_MAX;
                heads + body.len() + index.len() > row_bytes
            };
            if directories.last().is_none_or(full) {
                let head = Directory { first_value, values: values.len() as u32, segments: vec![] };
                directories.push((head, Vec::new()));
            }
            if let Some((head, body)) = directories.last_mut() {
                summary.index_offset = body.len() as u32;
                body.extend_from_slice(&index);
                head.segments.push(summary);
            }
        }
        Run { values, directories }
    }
}

/// About what a series takes in memory, its tags and what finds it: merging a million of them in
/// one event would stop the object for a second.
const SERIES_BYTES: u64 = 64;
/// What a summary takes at most: two times and twelve varints.
const SUMMARY_BYTES_MAX: usize = 2 * 8 + 4 * 10 + 8 * 5 + 10;

/// One segment being written.
struct SegmentWriter<'a> {
    rows: &'a Rows<'a>,
    distinct: &'a Distinct,
    /// Positions of the tags that are kept, ascending by id.
    tags: Vec<usize>,
    /// The fields that are kept, ascending by id.
    fields: Vec<FieldLayout<'a>>,
    /// Rows of each series, in order.
    series: Vec<(u32, u32)>,
    index: Index,
    times: (i64, i64),
}

impl<'a> SegmentWriter<'a> {
    fn new(rows: &'a Rows<'a>, distinct: &'a Distinct, layout: &'a Layout<'a>) -> Self {
        let series_of = |row: &u32| rows.row_series.get(*row as usize).copied().unwrap_or_default();
        let series: Vec<(u32, u32)> = distinct
            .rows
            .chunk_by(|a, b| series_of(a) == series_of(b))
            .map(|group| (group.first().map_or(0, series_of), group.len() as u32))
            .collect();
        let has_tag = |tag: usize| {
            let codes = rows.series.tags.get(tag).map_or(&[][..], |tag| &tag.codes);
            series.iter().any(|(number, _)| codes.get(*number as usize).is_some_and(|&c| c > 0))
        };
        let mut tags: Vec<(ColumnId, usize)> =
            rows.tag_ids.iter().copied().zip(0..).filter(|&(_, tag)| has_tag(tag)).collect();
        sorted::sort_by(&mut tags, Ord::cmp);
        let fields: Vec<FieldLayout<'_>> = layout.fields().collect();
        let index = Index {
            tag_ids: tags.iter().map(|&(id, _)| id).collect(),
            fields: fields.iter().map(|field| (field.id, field.field_type)).collect(),
            ..Index::default()
        };
        let tags = tags.into_iter().map(|(_, tag)| tag).collect();
        Self { rows, distinct, tags, fields, series, index, times: (i64::MAX, i64::MIN) }
    }

    fn write_series(&mut self, packer: &mut Packer) {
        let numbers: Vec<u32> = self.series.iter().map(|&(number, _)| number).collect();
        let mut rest = numbers.as_slice();
        let mut bytes = Vec::new();
        while !rest.is_empty() {
            let length = series::block_length(self.rows.series, &self.tags, rest);
            let (chunk, tail) = rest.split_at(length);
            rest = tail;
            bytes.clear();
            series::encode(self.rows.series, &self.tags, chunk, &mut bytes);
            self.index.chunks.push((chunk.len() as u32, packer.add(&bytes)));
        }
    }

    /// Cuts the rows into pages, walking series by series.
    fn cut(&mut self) -> Vec<Cut> {
        // Of each row; empty if no field is text.
        let mut texts: Vec<u32> = Vec::new();
        for field in self.fields.iter().filter(|field| field.field_type == FieldType::String) {
            texts.resize(self.distinct.rows.len(), 0);
            field.add_text_bytes(&mut texts);
        }
        let series = std::mem::take(&mut self.series);
        let mut cuts = Vec::new();
        let mut open = Cut::default();
        let (mut end, mut text_bytes) = (0, 0);
        for (number, &(_, rows)) in (0_u32..).zip(&series) {
            let mut count = 0;
            for left in (0..rows).rev() {
                text_bytes += texts.get(end).map_or(0, |&bytes| bytes as usize);
                end += 1;
                count += 1;
                let rows = end - open.rows.start;
                let long = rows >= PAGE_ROWS_MAX || text_bytes >= PAGE_TEXT_BYTES;
                if long || (left == 0 && rows >= PAGE_ROWS_ENOUGH) {
                    open.counts.push(std::mem::take(&mut count));
                    cuts.push(std::mem::take(&mut open).until(number, end));
                    open.rows = end..end;
                    text_bytes = 0;
                }
            }
            if count > 0 {
                open.counts.push(count);
            }
        }
        if open.rows.start < end {
            let last = (series.len() as u32).saturating_sub(1);
            cuts.push(open.until(last, end));
        }
        cuts
    }

    /// Writes the pages: drafts column by column, since the blocks of a column share a table; then
    /// blocks page by page, since what is read together stands together. Answers how many values
    /// and nulls the blocks have.
    fn write_pages(&mut self, packer: &mut Packer) -> u64 {
        let cuts = self.cut();
        let mut columns = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let draft = |cut: &Cut| field.with(cut.rows.clone(), block::draft_field);
            let drafts = cuts.iter().map(|cut| draft(cut).unwrap_or_default());
            let (table, data) = tables::finish(drafts.collect());
            self.index.tables.push(table);
            columns.push((field.field_type, data));
        }
        let (table, keys) = tables::finish(cuts.iter().map(|cut| self.draft_page(cut)).collect());
        self.index.tables.push(table);
        let (mut bytes, mut values) = (Vec::new(), 0);
        for (at, page) in self.index.pages.iter_mut().enumerate() {
            block::write_keys(page.rows, keys.get(at).map_or(&[], Vec::as_slice), &mut bytes);
            page.keys = packer.add(&bytes);
            bytes.clear();
            for (field_type, data) in &columns {
                let data = data.get(at).map_or(&[][..], Vec::as_slice);
                let mut address = Address::default();
                if !data.is_empty() {
                    values += u64::from(page.rows);
                    block::write_field(*field_type, page.rows, data, &mut bytes);
                    address = packer.add(&bytes);
                    bytes.clear();
                }
                page.fields.push(address);
            }
        }
        values
    }

    /// Adds a page to the index, without addresses; answers with its keys.
    fn draft_page(&mut self, cut: &Cut) -> Draft {
        let rows = self.distinct.rows.get(cut.rows.clone()).unwrap_or_default();
        let time = |row: &u32| self.rows.times_ns.get(*row as usize).copied().unwrap_or_default();
        let times_ns: Vec<i64> = rows.iter().map(time).collect();
        let min_time_ns = times_ns.iter().copied().min().unwrap_or_default();
        let max_time_ns = times_ns.iter().copied().max().unwrap_or_default();
        self.times = (self.times.0.min(min_time_ns), self.times.1.max(max_time_ns));
        let series = cut.counts.len() as u32;
        self.index.pages.push(Page {
            first_series: (cut.last_series + 1).saturating_sub(series),
            series,
            rows: rows.len() as u32,
            min_time_ns,
            max_time_ns,
            ..Page::default()
        });
        block::draft_keys(&cut.counts, &times_ns)
    }
}

/// Rows of a page.
#[derive(Clone, Debug, Default)]
struct Cut {
    /// Positions among the distinct rows.
    rows: std::ops::Range<usize>,
    /// Rows of each series up to the last.
    counts: Vec<i64>,
    last_series: u32,
}

impl Cut {
    fn until(mut self, last_series: u32, end: usize) -> Self {
        self.last_series = last_series;
        self.rows.end = end;
        self
    }
}
