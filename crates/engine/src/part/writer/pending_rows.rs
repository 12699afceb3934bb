//! Collects the rows of a group and cuts them into pages. Text is read before other columns,
//! because its size determines where pages end.

use std::ops::Range;
use std::rc::Rc;

use super::Limits;
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, Values};
use crate::batch::column_bytes;
use crate::codec::draft::Draft;
use crate::merge::cursor::{
    Columns, ROW_TEXT_BYTES_MAX, ReadError, RowCounts, RunLimits, SeriesCursor,
};
use crate::merge::key::SeriesKey;
use crate::merge::kway::{Merge, SourcePage};
use crate::merge::picks::Picks;
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

/// The rows of a group that form one page.
#[derive(Clone, Debug, Default)]
pub(super) struct PageRange {
    pub(super) rows: Range<usize>,
    pub(super) first_series: u32,
    /// The number of rows of each series, starting with `first_series`.
    pub(super) counts: Vec<i64>,
    pub(super) stored: Option<SourcePage>,
}

/// The kind of boundary after the last open row, at which pages are cut. An *open* row is not yet
/// in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageBoundary {
    InSeries,
    EndOfSeries,
    /// The next row must start a page, because the group ends or the next page is copied.
    EndOfPage,
}

pub(super) struct Text {
    pub(super) id: ColumnId,
    /// The text of the open rows.
    open: Column,
    pub(super) drafts: Vec<Draft>,
}

/// The rows that are not yet in a group.
#[derive(Default)]
pub(super) struct PendingRows {
    limits: Limits,
    pub(super) measurement: MeasurementId,
    pub(super) continues: bool,
    pub(super) is_continued: bool,
    pub(super) keys: Vec<SeriesKey>,
    key_bytes: usize,
    pub(super) columns: Vec<(ColumnId, FieldType)>,
    added: Option<Columns>,
    pub(super) picks: Picks,
    rows_read: usize,
    unread: Picks,
    /// The number of pages in `unread` that `unread_text_bytes` includes.
    counted_pages: usize,
    unread_text_bytes: usize,
    pub(super) page_ranges: Vec<PageRange>,
    cut_rows: usize,
    /// The runs of open rows: each run's series number and length.
    runs: Vec<(u32, u32)>,
    /// The text size of each open row, in bytes, if the group has text columns.
    text_bytes: Vec<u32>,
    open_rows: usize,
    /// The size of the open rows' text and keys, in bytes.
    open_bytes: usize,
    all_text_bytes: usize,
    pub(super) texts: Vec<Text>,
}

impl PendingRows {
    pub(super) fn new(limits: Limits, measurement: MeasurementId, continues: bool) -> Self {
        Self { limits, measurement, continues, ..Self::default() }
    }

    /// Whether the rows, which are a whole page of a source, may be copied as one page. This is not
    /// possible if the group has text, or if the previous page would become too short.
    pub(super) fn has_page(&self, picks: &Picks) -> bool {
        let is_text = |&(_, field_type): &(ColumnId, FieldType)| field_type == FieldType::String;
        let enough = self.limits.page_rows_enough.min(self.page_rows_max());
        let is_enough = |rows: usize| (enough..=self.page_rows_max()).contains(&rows);
        is_enough(picks.len())
            && (self.open_rows == 0 || is_enough(self.open_rows))
            && self.texts.is_empty()
            && !picks.columns().iter().any(is_text)
    }

    pub(super) fn add_stored<C: SeriesCursor>(
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

    pub(super) fn room(&self, time: TimeRange) -> RunLimits<'static> {
        let enough = self.limits.page_rows_enough.min(self.page_rows_max());
        let of_page = self.limits.page_text_bytes.saturating_sub(self.open_bytes);
        let of_group = self.limits.group_key_bytes.saturating_sub(self.key_bytes);
        let rows = enough.saturating_sub(self.open_rows);
        RunLimits { time, end: None, rows, key_bytes: of_page.min(of_group) }
    }

    pub(super) fn add_rows<C: SeriesCursor>(&mut self, merge: &Merge<C>, picks: Picks) {
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

    pub(super) fn add(&mut self, series: RowCounts, picks: Picks) {
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

    pub(super) fn read_if_due<C: SeriesCursor>(
        &mut self,
        merge: &mut Merge<C>,
    ) -> Result<(), ReadError> {
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

    pub(super) fn end_series<C: SeriesCursor>(
        &mut self,
        merge: &mut Merge<C>,
    ) -> Result<(), ReadError> {
        if self.open_rows >= self.limits.page_rows_enough.min(self.page_rows_max()) {
            self.read_texts(merge)?;
            self.cut(PageBoundary::EndOfSeries);
        }
        Ok(())
    }

    pub(super) fn read_texts<C: SeriesCursor>(
        &mut self,
        merge: &mut Merge<C>,
    ) -> Result<(), ReadError> {
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

    pub(super) fn is_full(&self) -> bool {
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
    pub(super) fn cut(&mut self, at: PageBoundary) {
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
}

pub(super) fn has_value(column: &Column, mut rows: Range<usize>) -> bool {
    match &column.validity {
        Validity::All => !rows.is_empty() && rows.start < column.len(),
        Validity::Some(bits) => rows.any(|row| bits.get(row)),
    }
}
