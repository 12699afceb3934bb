//! The rows of one group while its series are read: collected series by series, put in order of
//! time, cut where the page or the limit is full.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::dense::positions;
use super::error::ScanError;
use super::input::{self, Read, Slice};
use super::page::GroupData;
use super::predicate::Mask;
use super::request::Input;
use super::source::Run;
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, StringColumn, Values};
use crate::model::ids::ColumnId;
use crate::model::sorted::sort_positions;
use crate::model::time::TimeRange;
use crate::model::value::FieldType;

/// Rows of one page. Bounds what the edge holds of one page once tags are strings again.
pub(super) const ROWS_PER_PAGE_MAX: usize = 1 << 16;
/// Text that is collected for a page, in times of the room that it has: so much is put in order at
/// once.
const PENDING_PAGES: usize = 2;
/// The first row of a page fits whatever its size, and one more shows that the page is full.
const ROWS_THAT_FIT_ALWAYS: usize = 2;

/// Rows in order of the series, of which the first few by time will be sent.
pub(super) struct GroupRows<'a> {
    fields: &'a [Input],
    descending: bool,
    /// Where the last page ended, if inside this group.
    resume: Option<Full>,
    /// Rows still to be passed over because the last page has sent them.
    skip: u64,
    limit: Option<u64>,
    bytes_max: usize,
    rows_max: usize,
    pending: Rows,
    done: Rows,
    done_bytes: usize,
    done_series: SeriesNumbers,
}

/// Series of the page, numbered in order of appearance.
#[derive(Default)]
struct SeriesNumbers {
    numbers: HashMap<usize, u32, FixedState>,
    series: Vec<usize>,
}

impl SeriesNumbers {
    /// The number of a series, and whether it was given just now.
    fn number(&mut self, series: usize) -> (u32, bool) {
        let next = self.series.len() as u32;
        let number = *self.numbers.entry(series).or_insert(next);
        if number == next {
            self.series.push(series);
        }
        (number, number == next)
    }
}

/// Rows side by side.
#[derive(Default)]
struct Rows {
    times_ns: Vec<i64>,
    /// Each row's series.
    series: Vec<usize>,
    fields: Vec<Column>,
}

/// The page is full: what the resume key says about rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) time_ns: i64,
    pub(super) skip: u64,
    pub(super) sent: u64,
}

impl<'a> GroupRows<'a> {
    pub(super) fn new(
        fields: &'a [Input],
        descending: bool,
        limit: Option<u64>,
        (bytes_max, rows_max): (usize, usize),
        resume: Option<Full>,
    ) -> Self {
        let empty = || Rows { fields: fields.iter().map(new_column).collect(), ..Rows::default() };
        Self {
            fields,
            descending,
            resume,
            skip: resume.map_or(0, |resume| resume.skip),
            limit,
            bytes_max,
            rows_max,
            pending: empty(),
            done: empty(),
            done_bytes: 0,
            done_series: SeriesNumbers::default(),
        }
    }

    /// Rows of the group sent so far, earlier pages included.
    pub(super) fn sent(&self) -> u64 {
        self.resume.map_or(0, |resume| resume.sent) + self.done.times_ns.len() as u64
    }

    /// Whether the group needs no more rows.
    pub(super) fn is_done(&self) -> bool {
        self.limit.is_some_and(|limit| self.sent() >= limit)
    }

    /// Whether one row is wanted, the latest, and none has been sent.
    pub(super) fn wants_newest(&self) -> bool {
        self.descending && self.limit == Some(1) && self.sent() == 0 && self.skip == 0
    }

    /// Whether some row of `run` has a value in one of the fields.
    ///
    /// # Errors
    /// [`ScanError::ColumnType`].
    pub(super) fn has_value(&self, run: &Run) -> Result<bool, ScanError> {
        for input in self.fields {
            if input::read(run, input)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many more rows can be used at most.
    pub(super) fn wanted(&self) -> usize {
        let open = self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.sent()));
        let open = usize::try_from(open.saturating_add(self.skip)).unwrap_or(usize::MAX);
        let fitting = self.room() / self.row_bytes();
        let fitting = fitting.min(self.rows_max.saturating_sub(self.rows()));
        // The first row always fits. One more than fits, so that the page is known to be full.
        let fitting = fitting.max(usize::from(self.rows() == 0));
        open.min(fitting + 1 + self.skip as usize)
    }

    /// Takes in the rows of `run` that `mask` selects and that have a value in one of the fields.
    /// `open` are the times still wanted: they shrink at their far end once enough is collected.
    ///
    /// # Errors
    /// [`ScanError::ColumnType`].
    pub(super) fn consume(
        &mut self,
        series: usize,
        run: &Run,
        mask: &Mask,
        open: &mut TimeRange,
    ) -> Result<(), ScanError> {
        let mut reads = Vec::with_capacity(self.fields.len());
        for input in self.fields {
            reads.push(input::read(run, input)?);
        }
        if reads.iter().all(Option::is_none) {
            return Ok(());
        }
        let rows = run.times().len();
        let any = any_value(&reads);
        let mut chosen =
            positions(mask, any.as_deref(), rows).unwrap_or_else(|| (0..rows as u32).collect());
        // No more of one series than would be sent if it were alone.
        let wanted = self.wanted();
        let text = |&p: &u32| reads.iter().map(|read| text_of(read.as_ref(), p)).sum();
        if self.descending {
            let usable = self.usable(wanted, chosen.iter().rev().map(text));
            chosen.drain(..chosen.len().saturating_sub(usable));
        } else {
            chosen.truncate(self.usable(wanted, chosen.iter().map(text)));
        }
        let times = run.times();
        let time = |&p: &u32| times.get(p as usize).copied().unwrap_or_default();
        self.pending.times_ns.extend(chosen.iter().map(time));
        self.pending.series.extend(std::iter::repeat_n(series, chosen.len()));
        for (column, read) in self.pending.fields.iter_mut().zip(&reads) {
            append(column, read.as_ref(), &chosen);
        }
        let rows = self.pending.times_ns.len();
        let many = rows >= wanted.saturating_mul(2).max(1024);
        let long =
            self.pending.text_bytes() + rows * self.row_bytes() >= PENDING_PAGES * self.room();
        if many || (long && rows > ROWS_THAT_FIT_ALWAYS) {
            self.shrink(wanted, open);
        }
        Ok(())
    }

    /// Bytes left on the page.
    fn room(&self) -> usize {
        self.bytes_max.saturating_sub(self.done_bytes)
    }

    /// What a row takes on the page at least, without its text.
    fn row_bytes(&self) -> usize {
        8 + self.done.fields.iter().map(least_bytes).sum::<usize>()
    }

    /// How many of rows in the order of the page, whose text has so many bytes, can be used at
    /// most, and `wanted` at most: however little text takes where it is stored, what is beyond the
    /// page is not collected. At least so many that the page is found full.
    fn usable(&self, wanted: usize, texts: impl Iterator<Item = usize>) -> usize {
        if !self.done.fields.iter().any(is_text) {
            return wanted;
        }
        let (room, row_bytes, skip) = (self.room(), self.row_bytes(), self.skip as usize);
        let mut bytes = 0_usize;
        let fits = |text: &usize| {
            bytes += row_bytes + text;
            bytes <= room
        };
        let fitting = texts.skip(skip).take_while(fits).count();
        wanted.min(skip + fitting + ROWS_THAT_FIT_ALWAYS)
    }

    /// Keeps the first `wanted` pending rows by time and closes the times behind them.
    fn shrink(&mut self, wanted: usize, open: &mut TimeRange) {
        let mut order = self.order();
        let text = |&row: &u32| self.pending.text_bytes_of(row as usize);
        order.truncate(self.usable(wanted, order.iter().map(text)));
        let last = order.last().and_then(|&row| self.pending.times_ns.get(row as usize));
        let Some(&last_ns) = last else { return };
        if self.descending {
            open.start_ns = open.start_ns.max(last_ns);
        } else {
            open.end_ns = open.end_ns.min(last_ns.saturating_add(1));
        }
        // Back to the order of series, which decides between equal times.
        sort_positions(&mut order, &|a, b| a.cmp(&b));
        self.pending = self.pending.pick(&order);
    }

    /// Positions of pending rows by time, then in the order in which series came.
    fn order(&self) -> Vec<u32> {
        let times = &self.pending.times_ns;
        let mut order: Vec<u32> = (0..times.len() as u32).collect();
        let time = |row: u32| times.get(row as usize).copied().unwrap_or_default();
        if self.descending {
            sort_positions(&mut order, &|a, b| time(b).cmp(&time(a)));
        } else if !times.is_sorted() {
            sort_positions(&mut order, &|a, b| time(a).cmp(&time(b)));
        }
        order
    }

    /// Moves the collected rows to the page; says where it got full, if it did.
    pub(super) fn end_slice(&mut self, text: &dyn Fn(usize) -> usize) -> Option<Full> {
        let order = self.order();
        let pending = std::mem::take(&mut self.pending);
        let empty = self.fields.iter().map(new_column).collect();
        self.pending = Rows { fields: empty, ..Rows::default() };
        let time = |row: u32| pending.times_ns.get(row as usize).copied().unwrap_or_default();
        let row_bytes = RowBytes::of(&pending);
        // A resumed page starts with the rows that were sent already.
        let again = order.iter().take_while(|&&row| Some(time(row)) == self.resume_ns()).count();
        let start = again.min(std::mem::take(&mut self.skip) as usize);
        let mut end = start;
        let mut full = None;
        while let Some(&row) = order.get(end) {
            if self.limit.is_some_and(|limit| self.sent() + (end - start) as u64 >= limit) {
                break;
            }
            let series = pending.series.get(row as usize).copied().unwrap_or_default();
            // Tag values go into dictionaries: their text counts once per series.
            let text =
                if self.done_series.numbers.contains_key(&series) { 0 } else { text(series) };
            let bytes = row_bytes.row(row as usize) + text;
            let rows = self.done.times_ns.len() + end - start;
            if rows > 0 && (self.done_bytes + bytes > self.bytes_max || rows >= self.rows_max) {
                full = Some(time(row));
                break;
            }
            self.done_series.number(series);
            self.done_bytes += bytes;
            end += 1;
        }
        let sent_rows = order.get(start..end).unwrap_or_default();
        self.done.extend(&pending, sent_rows);
        let time_ns = full?;
        let same = self.done.times_ns.iter().rev().take_while(|&&t| t == time_ns).count() as u64;
        let before = self.resume.filter(|resume| resume.time_ns == time_ns);
        let skip = same + before.map_or(0, |resume| resume.skip);
        Some(Full { time_ns, skip, sent: self.sent() })
    }

    fn resume_ns(&self) -> Option<i64> {
        self.resume.map(|resume| resume.time_ns)
    }

    /// Bytes of the rows on the page.
    pub(super) fn bytes(&self) -> usize {
        self.done_bytes
    }

    /// Number of rows on the page.
    pub(super) fn rows(&self) -> usize {
        self.done.times_ns.len()
    }

    /// The rows on the page, with the tags of their series; `None` when there is none.
    pub(super) fn finish<'t>(
        self,
        tags: &[ColumnId],
        tag: impl Fn(usize, ColumnId) -> &'t str,
    ) -> Option<GroupData> {
        let Rows { times_ns, series, fields } = self.done;
        let SeriesNumbers { numbers, series: found } = self.done_series;
        let rows: Vec<u32> =
            series.iter().map(|series| numbers.get(series).copied().unwrap_or_default()).collect();
        let column = |&id: &ColumnId| coded(found.iter().map(|&series| tag(series, id)), &rows);
        let tags = tags.iter().map(column).collect();
        (!times_ns.is_empty()).then_some(GroupData::Rows { times_ns, fields, tags })
    }
}

/// Row i is string `rows[i]` of `strings`.
fn coded<'t>(strings: impl Iterator<Item = &'t str>, rows: &[u32]) -> StringColumn {
    let mut dictionary = StringColumn::default();
    let mut codes: HashMap<&str, u32, FixedState> = HashMap::default();
    let code_of = |string| {
        let next = dictionary.len() as u32;
        let code = *codes.entry(string).or_insert(next);
        if code == next {
            dictionary.push(string);
        }
        code
    };
    let by_string: Vec<u32> = strings.map(code_of).collect();
    let code = |&row: &u32| by_string.get(row as usize).copied().unwrap_or_default();
    StringColumn::coded(dictionary, rows.iter().map(code).collect()).unwrap_or_default()
}

fn is_text(column: &Column) -> bool {
    matches!(column.values, Values::String(_))
}

/// Bytes of the text at position `p` of the rows that were read.
fn text_of(read: Option<&Read<'_>>, p: u32) -> usize {
    match read {
        Some(Read { slice: Slice::Text(from, rows), .. }) => {
            from.get(rows.start + p as usize).len()
        }
        _ => 0,
    }
}

/// Bytes that a value takes at least, as [`RowBytes`] counts them: what is left out because it
/// would not fit the page must not fit.
fn least_bytes(column: &Column) -> usize {
    match &column.values {
        Values::String(_) => 5,
        Values::Float(_) => 9,
        Values::Boolean(_) => 2,
        // Packed by the largest, which may be 0.
        Values::Integer(_) | Values::Unsigned(_) => 1,
    }
}

/// Bytes of pending rows in a page. Integers are packed, so that the largest tells.
struct RowBytes<'a> {
    fixed: usize,
    texts: Vec<&'a StringColumn>,
}

impl<'a> RowBytes<'a> {
    fn of(rows: &'a Rows) -> Self {
        let mut this = Self { fixed: 8, texts: Vec::new() };
        for column in &rows.fields {
            this.fixed += match &column.values {
                Values::String(values) => {
                    this.texts.push(values);
                    5
                }
                Values::Boolean(_) => 2,
                Values::Float(_) => 9,
                Values::Integer(v) => {
                    1 + packed(v.iter().fold(0, |all, v| all | (v ^ (v << 1)) as u64))
                }
                Values::Unsigned(v) => 1 + packed(v.iter().fold(0, |all, v| all | v)),
            };
        }
        this
    }

    fn row(&self, row: usize) -> usize {
        self.fixed + self.texts.iter().map(|texts| texts.get(row).len()).sum::<usize>()
    }
}

/// Bytes that hold every bit of `all`.
fn packed(all: u64) -> usize {
    (u64::BITS - all.leading_zeros()).div_ceil(8) as usize
}

fn new_column(input: &Input) -> Column {
    Column::new(input.output_type().unwrap_or(FieldType::Float))
}

/// Rows in which some field has a value; `None` when every row has.
fn any_value(reads: &[Option<Read<'_>>]) -> Option<Vec<bool>> {
    let mut any: Option<Vec<bool>> = None;
    for read in reads.iter().flatten() {
        let valid = read.valid.as_ref()?;
        match &mut any {
            None => any = Some(valid.clone()),
            Some(any) => any.iter_mut().zip(valid).for_each(|(any, valid)| *any |= valid),
        }
    }
    any
}

/// Appends the rows at `positions`, nulls where there is nothing to read.
fn append(column: &mut Column, read: Option<&Read<'_>>, positions: &[u32]) {
    let Some(read) = read else {
        positions.iter().for_each(|_| column.push_null());
        return;
    };
    let start = column.len();
    let at = |p: u32| p as usize;
    match (&mut column.values, &read.slice) {
        (Values::Float(to), Slice::Float(from)) => {
            to.extend(positions.iter().map(|&p| from.get(at(p)).copied().unwrap_or_default()));
        }
        (Values::Integer(to), Slice::Integer(from)) => {
            to.extend(positions.iter().map(|&p| from.get(at(p)).copied().unwrap_or_default()));
        }
        (Values::Unsigned(to), Slice::Unsigned(from)) => {
            to.extend(positions.iter().map(|&p| from.get(at(p)).copied().unwrap_or_default()));
        }
        (Values::Boolean(to), Slice::Boolean(from)) => {
            to.extend(positions.iter().map(|&p| from.get(at(p)).copied().unwrap_or_default()));
        }
        (Values::String(to), Slice::Text(from, rows)) => {
            positions.iter().for_each(|&p| to.push(from.get(rows.start + at(p))));
        }
        _ => return positions.iter().for_each(|_| column.push_null()),
    }
    let valid = read.valid.as_ref();
    if valid.is_none() && column.validity == Validity::All {
        return;
    }
    for (row, &p) in (start..).zip(positions) {
        column.validity.push(row, valid.is_none_or(|v| v.get(at(p)).copied().unwrap_or(false)));
    }
}

impl Rows {
    fn texts(&self) -> impl Iterator<Item = &StringColumn> {
        self.fields.iter().filter_map(|column| match &column.values {
            Values::String(texts) => Some(texts),
            _ => None,
        })
    }

    /// Bytes of all text.
    fn text_bytes(&self) -> usize {
        self.texts().map(StringColumn::text_bytes).sum()
    }

    /// Bytes of a row's text.
    fn text_bytes_of(&self, row: usize) -> usize {
        self.texts().map(|texts| texts.get(row).len()).sum()
    }

    /// The rows at these positions.
    fn pick(&self, order: &[u32]) -> Self {
        let fields = self.fields.iter().map(|c| Column::new(c.values.field_type())).collect();
        let mut picked = Self { fields, ..Self::default() };
        picked.extend(self, order);
        picked
    }

    /// Appends the rows of `other` at these positions.
    fn extend(&mut self, other: &Self, order: &[u32]) {
        let at = |&row: &u32| row as usize;
        self.times_ns.extend(order.iter().filter_map(|row| other.times_ns.get(at(row))));
        self.series.extend(order.iter().filter_map(|row| other.series.get(at(row))));
        for (to, from) in self.fields.iter_mut().zip(&other.fields) {
            to.extend_from(&from.gather(order));
        }
    }
}
