//! Gathers the rows of a merge into groups, cuts them into pages, and encodes the pages before they
//! are assigned to values. Text is read before other columns, because its size determines where
//! pages end.

use std::ops::Range;
use std::rc::Rc;

use super::Limits;
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, Values};
use crate::batch::column_bytes;
use crate::codec::crc::append_crc;
use crate::codec::draft::{Draft, finish_column};
use crate::codec::huffman::Stored;
use crate::merge::cursor::{
    Columns, ROW_TEXT_BYTES_MAX, ReadError, RowCounts, RunLimits, SeriesCursor,
};
use crate::merge::key::SeriesKey;
use crate::merge::kway::{Merge, SourcePage};
use crate::merge::picks::Picks;
use crate::part::directory::RowPage;
use crate::part::values::RowKeys;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldType;

/// A group with fewer columns counts as if it had this number. A single column therefore takes at
/// most a quarter of the decoded values that a group may have.
const GROUP_COLUMNS_MIN: usize = 4;
/// The number of pages whose text is read together. Each page has 256 KB of text or a single row.
const TEXT_PAGES: usize = 16;
/// The size of the stored text that is read together, in bytes. Single rows may have more text.
const TEXT_BYTES: usize = 4 << 20;

/// A callback that returns the tags of a measurement in the order of its keys.
pub type TagOrder<'a> = dyn FnMut(MeasurementId) -> Result<Vec<ColumnId>, ReadError> + 'a;

/// A reader that returns the rows of a merge group by group.
pub struct Groups<C> {
    merge: Merge<C>,
    limits: Limits,
    time: TimeRange,
    /// The times of the current series that are still to be read: `time`, without the rows that an
    /// interrupted merge has already written.
    series_time: TimeRange,
    has_series: bool,
    is_begun: bool,
    /// The rows of the current series that did not fit into the previous group.
    pending: Option<Picks>,
    continues: bool,
    /// The rows of the next group that were collected before a pause.
    open: Option<PendingRows>,
    skipped_max: usize,
    is_paused: bool,
}

impl<C: SeriesCursor> Groups<C> {
    /// Reads the rows inside `time` that follow the row `resume_after`. The merge must not have
    /// started.
    pub fn new(
        mut merge: Merge<C>,
        limits: Limits,
        time: TimeRange,
        resume_after: Option<&LastRow>,
    ) -> Result<Self, ReadError> {
        let (mut series_time, mut has_series, mut continues) = (time, false, false);
        if let Some(last) = resume_after {
            merge.seek(&last.key)?;
            let key = merge.next_series()?;
            has_series = key.is_some();
            if key == Some(&last.key) {
                series_time.start_ns = time.start_ns.max(last.time_ns.saturating_add(1));
                continues = true;
            }
        }
        let (is_begun, pending, open) = (continues, None, None);
        Ok(Self {
            merge,
            limits,
            time,
            series_time,
            has_series,
            is_begun,
            pending,
            continues,
            open,
            skipped_max: usize::MAX,
            is_paused: false,
        })
    }

    /// Pauses after this number of series without rows. The pauses do not change the groups.
    #[must_use]
    pub fn pausing_after(mut self, skipped_max: usize) -> Self {
        self.skipped_max = skipped_max;
        self
    }

    /// Whether [`Groups::next`] returned `None` because of a pause. The caller then calls it again.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Returns the next group, if any. `tag_order` returns the order of tags in a measurement's
    /// keys.
    pub fn next(&mut self, tag_order: &mut TagOrder<'_>) -> Result<Option<Encoded>, ReadError> {
        let (mut rows, mut skipped) = (self.open.take(), 0);
        self.is_paused = false;
        while self.find_series()? {
            let Some(measurement) = self.merge.key().map(SeriesKey::measurement) else { break };
            if rows.as_ref().is_some_and(|rows| rows.measurement != measurement) {
                break;
            }
            if self.add_short_series(measurement, &mut rows)? {
                if rows.as_ref().is_some_and(PendingRows::is_full) {
                    break;
                }
                continue;
            }
            let is_new = !std::mem::replace(&mut self.is_begun, true);
            let picks = match self.pending.take() {
                Some(picks) => Some(picks),
                None => self.merge.next_rows(self.series_time)?,
            };
            let Some(picks) = picks else {
                self.end_series(rows.as_mut())?;
                if rows.as_ref().is_some_and(PendingRows::is_full) {
                    break;
                }
                skipped += usize::from(is_new);
                if skipped >= self.skipped_max {
                    (self.open, self.is_paused) = (rows, true);
                    return Ok(None);
                }
                continue;
            };
            let group = rows
                .get_or_insert_with(|| PendingRows::new(self.limits, measurement, self.continues));
            match self.merge.stored_page(&picks).filter(|_| group.has_page(&picks)) {
                Some(page) => group.add_stored(&mut self.merge, picks, page)?,
                None => {
                    group.add_rows(&self.merge, picks);
                    group.read_if_due(&mut self.merge)?;
                }
            }
            if group.is_full() {
                self.pending = self.merge.next_rows(self.series_time)?;
                self.continues = self.pending.is_some();
                group.is_continued = self.continues;
                if !self.continues {
                    self.end_series(Some(group))?;
                }
                break;
            }
        }
        let Some(mut rows) = rows else { return Ok(None) };
        rows.read_texts(&mut self.merge)?;
        rows.cut(PageBoundary::EndOfPage);
        let tag_order = tag_order(rows.measurement)?;
        rows.encode(&mut self.merge, &tag_order).map(Some)
    }

    /// Moves the merge to the next series, unless it already has a current series. Returns `false`
    /// after the last series.
    fn find_series(&mut self) -> Result<bool, ReadError> {
        if !self.has_series {
            self.has_series = self.merge.next_series()?.is_some();
            self.is_begun = false;
            self.series_time = self.time;
            self.continues = false;
        }
        Ok(self.has_series)
    }

    /// Adds consecutive short series to the group in one call. Returns `false` if the next series
    /// is not short.
    fn add_short_series(
        &mut self,
        measurement: MeasurementId,
        rows: &mut Option<PendingRows>,
    ) -> Result<bool, ReadError> {
        if self.is_begun {
            return Ok(false);
        }
        let new = || PendingRows::new(self.limits, measurement, false);
        let room = rows.as_ref().map_or_else(|| new().room(self.time), |rows| rows.room(self.time));
        let Some((series, picks)) = self.merge.short_series(&room)? else { return Ok(false) };
        let group = rows.get_or_insert_with(new);
        group.add(series, picks);
        group.read_if_due(&mut self.merge)?;
        group.end_series(&mut self.merge)?;
        self.has_series = self.merge.key().is_some();
        Ok(true)
    }

    fn end_series(&mut self, rows: Option<&mut PendingRows>) -> Result<(), ReadError> {
        self.has_series = false;
        match rows {
            Some(rows) => rows.end_series(&mut self.merge),
            None => Ok(()),
        }
    }
}

/// The rows of a group that form one page.
#[derive(Clone, Debug, Default)]
struct PageRange {
    rows: Range<usize>,
    first_series: u32,
    /// The number of rows of each series, starting with `first_series`.
    counts: Vec<i64>,
    stored: Option<SourcePage>,
}

/// The kind of boundary after the last open row, at which pages are cut. An *open* row is not yet
/// in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageBoundary {
    InSeries,
    EndOfSeries,
    /// The next row must start a page, because the group ends or the next page is copied.
    EndOfPage,
}

struct Text {
    id: ColumnId,
    /// The text of the open rows.
    open: Column,
    drafts: Vec<Draft>,
}

/// The rows that are not yet in a group.
#[derive(Default)]
struct PendingRows {
    limits: Limits,
    measurement: MeasurementId,
    continues: bool,
    is_continued: bool,
    keys: Vec<SeriesKey>,
    key_bytes: usize,
    columns: Vec<(ColumnId, FieldType)>,
    added: Option<Columns>,
    picks: Picks,
    rows_read: usize,
    unread: Picks,
    /// The number of pages in `unread` that `unread_text_bytes` includes.
    counted_pages: usize,
    unread_text_bytes: usize,
    page_ranges: Vec<PageRange>,
    cut_rows: usize,
    /// The runs of open rows: each run's series number and length.
    runs: Vec<(u32, u32)>,
    /// The text size of each open row, in bytes, if the group has text columns.
    text_bytes: Vec<u32>,
    open_rows: usize,
    /// The size of the open rows' text and keys, in bytes.
    open_bytes: usize,
    all_text_bytes: usize,
    texts: Vec<Text>,
}

impl PendingRows {
    fn new(limits: Limits, measurement: MeasurementId, continues: bool) -> Self {
        Self { limits, measurement, continues, ..Self::default() }
    }

    /// Whether the rows, which are a whole page of a source, may be copied as one page. This is not
    /// possible if the group has text, or if the previous page would become too short.
    fn has_page(&self, picks: &Picks) -> bool {
        let is_text = |&(_, field_type): &(ColumnId, FieldType)| field_type == FieldType::String;
        let enough = self.limits.page_rows_enough.min(self.page_rows_max());
        let is_enough = |rows: usize| (enough..=self.page_rows_max()).contains(&rows);
        is_enough(picks.len())
            && (self.open_rows == 0 || is_enough(self.open_rows))
            && self.texts.is_empty()
            && !picks.columns().iter().any(is_text)
    }

    fn add_stored<C: SeriesCursor>(
        &mut self,
        merge: &mut Merge<C>,
        picks: Picks,
        page: SourcePage,
    ) -> Result<(), ReadError> {
        let rows = picks.len();
        self.read_texts(merge)?;
        self.cut(PageBoundary::EndOfPage);
        self.add_rows(merge, picks);
        self.read_texts(merge)?;
        self.cut(PageBoundary::EndOfPage);
        // The page may add columns to the group, and may therefore exceed the limit and be cut.
        if let Some(range) = self.page_ranges.last_mut().filter(|range| range.rows.len() == rows) {
            range.stored = Some(page);
        }
        Ok(())
    }

    fn room(&self, time: TimeRange) -> RunLimits<'static> {
        let enough = self.limits.page_rows_enough.min(self.page_rows_max());
        let of_page = self.limits.page_text_bytes.saturating_sub(self.open_bytes);
        let of_group = self.limits.group_key_bytes.saturating_sub(self.key_bytes);
        let rows = enough.saturating_sub(self.open_rows);
        RunLimits { time, end: None, rows, key_bytes: of_page.min(of_group) }
    }

    fn add_rows<C: SeriesCursor>(&mut self, merge: &Merge<C>, picks: Picks) {
        let Some(key) = merge.key() else { return };
        let rows = picks.len() as u32;
        if self.keys.last() == Some(key) {
            let series = self.keys.len().saturating_sub(1) as u32;
            match self.runs.last_mut().filter(|run| run.0 == series) {
                Some(run) => run.1 += rows,
                None => {
                    self.runs.push((series, rows));
                    self.open_bytes += key.as_bytes().len();
                }
            }
            return self.add_picks(picks);
        }
        self.add(vec![(key.clone(), rows)], picks);
    }

    fn add(&mut self, series: RowCounts, picks: Picks) {
        for (key, rows) in series {
            let key_bytes = key.as_bytes().len();
            self.runs.push((self.keys.len() as u32, rows));
            self.open_bytes += key_bytes;
            self.key_bytes += key_bytes;
            self.keys.push(key);
        }
        self.add_picks(picks);
    }

    fn add_picks(&mut self, picks: Picks) {
        self.add_columns(&picks.columns());
        self.open_rows += picks.len();
        self.unread.extend(picks);
    }

    fn add_columns(&mut self, columns: &Columns) {
        if self.added.as_ref().is_some_and(|added| Rc::ptr_eq(added, columns)) {
            return;
        }
        for &(id, field_type) in columns.iter() {
            let Err(at) = self.columns.binary_search_by_key(&id, |&(id, _)| id) else { continue };
            self.columns.insert(at, (id, field_type));
            if field_type == FieldType::String {
                // The column is new, so it has no value for the open rows whose text was already
                // read.
                let mut open = Column::new(field_type);
                open.extend_nulls(self.open_rows - self.unread.len());
                let drafts = vec![Draft::default(); self.page_ranges.len()];
                self.texts.push(Text { id, open, drafts });
            }
        }
        self.added = Some(Rc::clone(columns));
    }

    fn page_rows_max(&self) -> usize {
        (self.limits.page_cells / self.columns.len().max(1)).clamp(1, self.limits.page_rows)
    }

    fn read_if_due<C: SeriesCursor>(&mut self, merge: &mut Merge<C>) -> Result<(), ReadError> {
        let is_long = |rows: &Self| {
            rows.open_rows >= rows.page_rows_max() || rows.open_bytes >= rows.limits.page_text_bytes
        };
        let mut is_due = false;
        if !self.texts.is_empty() {
            self.unread_text_bytes += merge.text_bytes(&self.unread, self.counted_pages)?;
            self.counted_pages = self.unread.pages_read();
            is_due = self.counted_pages >= TEXT_PAGES || self.unread_text_bytes >= TEXT_BYTES;
        }
        if is_due || is_long(self) {
            self.read_texts(merge)?;
        }
        if is_long(self) && self.unread.is_empty() {
            self.cut(PageBoundary::InSeries);
        }
        Ok(())
    }

    fn end_series<C: SeriesCursor>(&mut self, merge: &mut Merge<C>) -> Result<(), ReadError> {
        if self.open_rows >= self.limits.page_rows_enough.min(self.page_rows_max()) {
            self.read_texts(merge)?;
            self.cut(PageBoundary::EndOfSeries);
        }
        Ok(())
    }

    fn read_texts<C: SeriesCursor>(&mut self, merge: &mut Merge<C>) -> Result<(), ReadError> {
        let unread = std::mem::take(&mut self.unread);
        let stored_bytes = std::mem::take(&mut self.unread_text_bytes);
        self.counted_pages = 0;
        if unread.is_empty() {
            return Ok(());
        }
        if !self.texts.is_empty() {
            self.text_bytes.resize(self.open_rows, 0);
        }
        let first = self.open_rows - unread.len();
        for text in &mut self.texts {
            let Some(column) = merge.column(&unread, text.id)? else {
                text.open.extend_nulls(unread.len());
                continue;
            };
            let Values::String(values) = &column.values else {
                let (expected, found) = (FieldType::String, column.values.field_type());
                return Err(ReadError::ColumnType { column: text.id, expected, found });
            };
            for (value, bytes) in values.iter().zip(self.text_bytes.iter_mut().skip(first)) {
                *bytes += value.len() as u32;
                self.open_bytes += value.len();
                self.all_text_bytes += value.len();
            }
            text.open.extend_from(&column);
            // A flush can always write the rows in memory, whose stored size is 0.
            if stored_bytes.min(self.open_bytes) > ROW_TEXT_BYTES_MAX {
                return Err(ReadError::TooMuchText);
            }
        }
        self.picks.extend(unread);
        self.rows_read = self.picks.rows_read();
        Ok(())
    }

    fn is_full(&self) -> bool {
        let (rows, columns) = (self.cut_rows + self.open_rows, self.columns.len().max(1));
        let read = self.rows_read + self.unread.rows_read();
        let of =
            |is: usize, should: usize| is * 4 >= should * if self.open_rows == 0 { 4 } else { 5 };
        of(self.page_ranges.len(), self.limits.group_pages)
            || of(rows * columns, self.limits.group_cells)
            || of(self.key_bytes, self.limits.group_key_bytes)
            || of(self.all_text_bytes, self.limits.group_text_bytes)
            || of(read * columns.max(GROUP_COLUMNS_MIN), self.limits.group_cells_read)
    }

    /// Divides the open rows into pages. A remainder that is too small for a page remains open,
    /// except at [`PageBoundary::EndOfPage`].
    fn cut(&mut self, at: PageBoundary) {
        let (most, runs) = (self.page_rows_max(), std::mem::take(&mut self.runs));
        let mut page = PageRange { rows: self.cut_rows..self.cut_rows, ..PageRange::default() };
        let (mut row, mut bytes) = (0, 0);
        for (run, &(series, rows)) in runs.iter().enumerate() {
            let is_whole = run + 1 < runs.len() || at != PageBoundary::InSeries;
            bytes += self.keys.get(series as usize).map_or(0, |key| key.as_bytes().len());
            let mut left = rows as usize;
            while left > 0 {
                let room = most - page.rows.len();
                let taken = self.fitting(row, left.min(room), &mut bytes);
                if page.counts.is_empty() {
                    page.first_series = series;
                }
                let place = (series - page.first_series) as usize;
                page.counts.resize(place + 1, 0);
                if let Some(count) = page.counts.last_mut() {
                    *count += taken as i64;
                }
                (row, left) = (row + taken, left - taken);
                page.rows.end += taken;
                let is_full = page.rows.len() >= most || bytes >= self.limits.page_text_bytes;
                if is_full
                    || left == 0 && is_whole && page.rows.len() >= self.limits.page_rows_enough
                {
                    let next = page.rows.end..page.rows.end;
                    self.close(std::mem::replace(
                        &mut page,
                        PageRange { rows: next, ..PageRange::default() },
                    ));
                    (row, bytes) = (0, 0);
                }
            }
        }
        if at == PageBoundary::EndOfPage && !page.rows.is_empty() {
            self.close(page);
            bytes = 0;
        } else {
            let counts = (page.first_series..).zip(&page.counts);
            self.runs = counts.map(|(series, &rows)| (series, rows as u32)).collect();
        }
        self.open_bytes = bytes;
    }

    /// Returns the number of rows, at least 1, that fit into a page with `bytes` bytes of text.
    fn fitting(&self, first: usize, rows: usize, bytes: &mut usize) -> usize {
        if self.text_bytes.is_empty() {
            return rows;
        }
        for taken in 1..=rows {
            *bytes += self.text_bytes.get(first + taken - 1).map_or(0, |&bytes| bytes as usize);
            if *bytes >= self.limits.page_text_bytes {
                return taken;
            }
        }
        rows
    }

    fn close(&mut self, page: PageRange) {
        let rows = page.rows.len();
        let rest: Vec<u32> = (rows as u32..self.open_rows as u32).collect();
        for text in &mut self.texts {
            text.drafts.push(match has_value(&text.open, 0..rows) {
                true => column_bytes::draft_rows(&text.open, 0..rows),
                false => Draft::default(),
            });
            text.open = text.open.gather(&rest);
        }
        self.text_bytes.drain(..rows.min(self.text_bytes.len()));
        self.open_rows -= rows;
        self.cut_rows += rows;
        self.page_ranges.push(page);
    }

    fn encode<C: SeriesCursor>(
        mut self,
        merge: &mut Merge<C>,
        tag_order: &[ColumnId],
    ) -> Result<Encoded, ReadError> {
        let picks = std::mem::take(&mut self.picks);
        let columns = std::mem::take(&mut self.columns);
        let mut texts = std::mem::take(&mut self.texts);
        let mut encoded = Encoded::new(self, picks.times_ns(), tag_order)?;
        for (id, field_type) in columns {
            if let Some(at) = texts.iter().position(|text| text.id == id) {
                encoded.add(id, field_type, texts.swap_remove(at).drafts, Vec::new());
                continue;
            }
            let blocks = encoded.stored_blocks(merge, id, field_type)?;
            let column = match blocks.iter().filter(|block| block.is_some()).count() {
                0 => merge.column(&picks, id)?,
                stored if stored == blocks.len() => None,
                _ => merge.column(&encoded.without_block(&picks, &blocks), id)?,
            };
            if let Some(found) = column.as_ref().map(|column| column.values.field_type())
                && found != field_type
            {
                return Err(ReadError::ColumnType { column: id, expected: field_type, found });
            }
            let drafts = column.map(|column| encoded.drafts_of(&column, &blocks));
            encoded.add(id, field_type, drafts.unwrap_or_default(), blocks);
        }
        Ok(encoded)
    }
}

/// The encoded pages of consecutive rows.
pub struct Encoded {
    pub(super) measurement: MeasurementId,
    pub(super) continues: bool,
    pub(super) is_continued: bool,
    /// The tags of the keys, up to the last tag that has a value.
    pub(super) tag_ids: Vec<ColumnId>,
    pub(super) keys: Vec<SeriesKey>,
    pub(super) pages: Vec<RowPage>,
    page_ranges: Vec<PageRange>,
    pub(super) page_keys: (Stored, Vec<Vec<u8>>),
    pub(super) columns: Vec<EncodedColumn>,
    last_ns: i64,
    cells: u64,
}

/// The last row of a group. An interrupted merge continues after this row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRow {
    /// The key of the row's series.
    pub key: SeriesKey,
    /// The time of the row, in nanoseconds.
    pub time_ns: i64,
}

pub(super) struct EncodedColumn {
    pub(super) id: ColumnId,
    pub(super) field_type: FieldType,
    pub(super) table: Stored,
    /// A block has a checksum, and is empty for a page of nulls.
    pub(super) blocks: Vec<Vec<u8>>,
}

impl Encoded {
    fn new(rows: PendingRows, times_ns: &[i64], tag_order: &[ColumnId]) -> Result<Self, ReadError> {
        let PendingRows { measurement, continues, is_continued, keys, page_ranges, .. } = rows;
        let tags = keys.iter().map(SeriesKey::value_count).max().unwrap_or_default();
        let tag_ids = tag_order.get(..tags).ok_or_else(|| ReadError::Damaged {
            what: format!(
                "a series of measurement {} has more tags than the measurement",
                measurement.0
            ),
        })?;
        let (mut drafts, mut pages) = (Vec::with_capacity(page_ranges.len()), Vec::new());
        for range in &page_ranges {
            let times_ns = times_ns.get(range.rows.clone()).or_bug();
            drafts.push(RowKeys::draft(&range.counts, times_ns));
            pages.push(RowPage {
                first_series: range.first_series,
                series: range.counts.len() as u32,
                rows: range.rows.len() as u32,
                min_ns: times_ns.iter().copied().min().unwrap_or_default(),
                max_ns: times_ns.iter().copied().max().unwrap_or_default(),
                ..RowPage::default()
            });
        }
        Ok(Self {
            measurement,
            continues,
            is_continued,
            tag_ids: tag_ids.to_vec(),
            keys,
            pages,
            cells: 2 * times_ns.len() as u64,
            last_ns: times_ns.last().copied().or_bug(),
            page_ranges,
            page_keys: sealed(drafts),
            columns: Vec::new(),
        })
    }

    fn stored_blocks<C: SeriesCursor>(
        &self,
        merge: &mut Merge<C>,
        id: ColumnId,
        field_type: FieldType,
    ) -> Result<Vec<Option<Vec<u8>>>, ReadError> {
        let block = |range: &PageRange| match &range.stored {
            Some(page) => merge.block(page, id, field_type),
            None => Ok(None),
        };
        self.page_ranges.iter().map(block).collect()
    }

    /// Returns the rows of the pages without a stored block. `picks` must contain all rows.
    fn without_block(&self, picks: &Picks, blocks: &[Option<Vec<u8>>]) -> Picks {
        let page_ranges = self.page_ranges.iter().zip(blocks).filter(|(_, block)| block.is_none());
        // A group has far fewer than 2^32 rows.
        let rows =
            page_ranges.flat_map(|(range, _)| range.rows.start as u32..range.rows.end as u32);
        picks.only(&rows.collect::<Vec<_>>())
    }

    fn drafts_of(&self, column: &Column, blocks: &[Option<Vec<u8>>]) -> Vec<Draft> {
        let mut end = 0;
        let draft = |(range, block): (&PageRange, &Option<Vec<u8>>)| {
            if block.is_some() {
                return Draft::default();
            }
            let rows = end..end + range.rows.len();
            end = rows.end;
            match has_value(column, rows.clone()) {
                true => column_bytes::draft_rows(column, rows),
                false => Draft::default(),
            }
        };
        self.page_ranges.iter().zip(blocks).map(draft).collect()
    }

    /// Adds the next column, unless all of its values are null.
    fn add(
        &mut self,
        id: ColumnId,
        field_type: FieldType,
        drafts: Vec<Draft>,
        stored: Vec<Option<Vec<u8>>>,
    ) {
        let (table, mut blocks) = sealed(drafts);
        blocks.resize(self.pages.len(), Vec::new());
        for (block, stored) in blocks.iter_mut().zip(stored) {
            *block = stored.unwrap_or_else(|| std::mem::take(block));
        }
        if blocks.iter().any(|block| !block.is_empty()) {
            let with = self.pages.iter().zip(&blocks).filter(|(_, block)| !block.is_empty());
            self.cells += with.map(|(page, _)| u64::from(page.rows)).sum::<u64>();
            self.columns.push(EncodedColumn { id, field_type, table, blocks });
        }
    }

    /// Returns the number of values, times and series. This number measures the work of an event.
    pub fn cells(&self) -> u64 {
        self.cells
    }

    /// Returns the total size of the pages, in bytes.
    pub fn bytes(&self) -> usize {
        (0..self.pages.len()).map(|page| self.page_bytes(page)).sum()
    }

    /// Returns the number of series.
    pub fn series(&self) -> usize {
        self.keys.len()
    }

    /// Returns the last row.
    pub fn last(&self) -> Option<LastRow> {
        let key = self.keys.last()?.clone();
        Some(LastRow { key, time_ns: self.last_ns })
    }

    /// Whether a series has rows on both sides of the boundary before page number `page`.
    pub(super) fn is_cut_at(&self, page: usize) -> bool {
        if page == 0 {
            return self.continues;
        }
        match (self.pages.get(page - 1), self.pages.get(page)) {
            (Some(before), Some(page)) => page.first_series == before.last_series(),
            _ => self.is_continued,
        }
    }

    pub(super) fn page_bytes(&self, page: usize) -> usize {
        let keys = self.page_keys.1.get(page).map_or(0, Vec::len);
        keys + self.columns.iter().filter_map(|c| c.blocks.get(page)).map(Vec::len).sum::<usize>()
    }
}

fn sealed(drafts: Vec<Draft>) -> (Stored, Vec<Vec<u8>>) {
    let (table, mut blocks) = finish_column(drafts);
    blocks.iter_mut().filter(|data| !data.is_empty()).for_each(|data| append_crc(data, 0));
    (table, blocks)
}

fn has_value(column: &Column, mut rows: Range<usize>) -> bool {
    match &column.validity {
        Validity::All => !rows.is_empty() && rows.start < column.len(),
        Validity::Some(bits) => rows.any(|row| bits.get(row)),
    }
}
