//! Collects the rows of a measurement. A row is a draft until it is committed or rolled back.
//!
//! If a line lacks a column, the column remains shorter than the other columns. The column is
//! padded before its next value. The cost of a row therefore depends only on the row's fields.
//! Consecutive rows form runs, whose rows are padded to common columns. If most cells are padding,
//! a new run begins.

use super::bitmap::{Bitmap, Validity};
use super::column::{Column, Values, match_values};
use super::interner::Interner;
use super::line_numbers::LineNumbers;
use super::room::Room;
use super::series_table::{SeriesTable, TagColumn, renumber};
use super::{Block, CELLS_PER_VALUE_MAX, MeasurementBatch};
use tidemark_line_protocol::Cause;
use tidemark_model::bug::OrBug;
use tidemark_model::configurable_limits::{Limit, Limits};
use tidemark_model::limits::{CELLS_PER_REQUEST_MAX, TAG_KEYS_PER_MEASUREMENT_MAX};
use tidemark_model::value::FieldType;

const N_TYPES: usize = FieldType::ALL.len();
const NONE: u32 = u32::MAX;
/// The error if a column does not exist, which is impossible.
const NO_COLUMN: Cause = Cause::MissingFieldKey;

#[derive(Debug)]
struct TagWriter {
    values: Interner,
    /// The code of each series, as in [`TagColumn`]. Trailing series without the tag are missing.
    codes: Vec<u32>,
}

impl TagWriter {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.values.bytes() + self.codes.capacity() * 4
    }
}

/// Defines a function that appends a value of the expected field, or returns `false`.
macro_rules! push_expected {
    ($name:ident, $variant:ident, $value:ty) => {
        #[inline(always)]
        pub(super) fn $name(&mut self, value: $value) -> bool {
            let Some(&number) = self.order.get(self.at) else { return false };
            let Some(writer) = self.columns.get_mut(number as usize) else { return false };
            let rows = self.times_ns.len();
            if !matches!(&writer.values, Values::$variant(values) if values.len() == rows) {
                writer.pad(rows);
            }
            let Values::$variant(values) = &mut writer.values else { return false };
            if values.len() > rows || writer.shared {
                return false;
            }
            values.push(value);
            self.at += 1;
            true
        }
    };
}

/// The rows of one measurement so far.
#[derive(Debug, Default)]
pub(super) struct MeasurementWriter {
    name: String,
    seed: u64,
    limits: Limits,
    tag_keys: Interner,
    tags: Vec<TagWriter>,
    n_series: u32,
    fields: Interner,
    columns_of_field: Vec<[u32; N_TYPES]>,
    columns: Vec<FieldWriter>,
    /// The columns of the draft's fields so far, and then the columns of the fields that are
    /// expected next.
    order: Vec<u32>,
    at: usize,
    committed: (usize, usize),
    row_series: Vec<u32>,
    times_ns: Vec<i64>,
    lines: LineNumbers,
    values: usize,
    runs: Vec<MeasurementBatch>,
    runs_bytes: usize,
}

impl MeasurementWriter {
    pub(super) fn new(name: &str, seed: u64, limits: Limits) -> Self {
        Self {
            name: name.to_owned(),
            seed,
            limits,
            tag_keys: Interner::new(seed),
            fields: Interner::new(seed),
            ..Self::default()
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let rows =
            self.row_series.capacity() * 4 + self.times_ns.capacity() * 8 + self.lines.bytes();
        let keys = self.tag_keys.bytes() + self.fields.bytes();
        let numbers = size_of_val(self.columns_of_field.as_slice()) + self.order.capacity() * 4;
        let tags = self.tags.iter().map(TagWriter::bytes);
        let columns = self.columns.iter().map(|writer| writer.bytes(self.times_ns.len()));
        let columns = tags.chain(columns).sum::<usize>();
        size_of::<Self>() + rows + keys + numbers + columns + self.runs_bytes
    }

    pub(super) fn make_room(&mut self, room: &Room) {
        room.reserve(&mut self.row_series);
        room.reserve(&mut self.times_ns);
        for tag in &mut self.tags {
            let (text, ends) = tag.values.strings.grown();
            room.reserve_text(text);
            room.reserve(ends);
            room.reserve(&mut tag.codes);
        }
        for writer in &mut self.columns {
            match_values!(&mut writer.values, values => room.reserve(values), strings => {
                let (text, ends) = strings.grown();
                room.reserve_text(text);
                room.reserve(ends);
            });
        }
    }

    pub(super) fn add_series<'a>(
        &mut self,
        tags: impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone,
        cells: &mut usize,
    ) -> Result<u32, Cause> {
        let series = self.n_series;
        if self.tags.len() + tags.len() > TAG_KEYS_PER_MEASUREMENT_MAX {
            self.check_tag_keys(tags.clone().map(|(key, _)| key))?;
        }
        charge(cells, self.tags.len())?;
        for (at, (key, value)) in (0_u32..).zip(tags) {
            // Most series have the same tags at the same positions.
            let (tag, is_new) = match self.tag_keys.strings.bytes_of(at as usize) == key.as_bytes()
            {
                true => (at, false),
                false => self.tag_keys.intern(key),
            };
            if is_new {
                if let Err(cause) = charge(cells, series as usize) {
                    self.tag_keys.pop();
                    self.tags.iter_mut().for_each(|tag| tag.codes.truncate(series as usize));
                    return Err(cause);
                }
                self.tags.push(TagWriter { values: Interner::new(self.seed), codes: Vec::new() });
            }
            if let Some(writer) = self.tags.get_mut(tag as usize) {
                writer.codes.resize(series as usize, 0);
                writer.codes.push(writer.values.intern(value).0 + 1);
            }
        }
        self.n_series += 1;
        Ok(series)
    }

    #[cold]
    fn check_tag_keys<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Result<(), Cause> {
        let current = self.tags.len();
        let requested = current + keys.filter(|key| self.tag_keys.find(key).is_none()).count();
        if requested <= TAG_KEYS_PER_MEASUREMENT_MAX {
            return Ok(());
        }
        Err(Cause::TooManyTagKeys { measurement: self.name.clone(), current, requested })
    }

    push_expected!(push_float, Float, f64);
    push_expected!(push_integer, Integer, i64);
    push_expected!(push_boolean, Boolean, bool);
    push_expected!(push_string, String, &str);

    /// Returns the key of the expected field as clients write it, including its `=`. The key is
    /// empty if no field is expected.
    #[inline(always)]
    pub(super) fn expected_field(&self) -> &[u8] {
        let column = self.order.get(self.at).and_then(|&column| self.columns.get(column as usize));
        column.map_or(&[], |column| column.expected.as_bytes())
    }

    #[inline]
    pub(super) fn expected_column(
        &mut self,
        field_type: FieldType,
        cells: &mut usize,
    ) -> Result<&mut Values, Cause> {
        let mut number = self.order.get(self.at).copied().unwrap_or(NONE);
        let Some(writer) = self.columns.get(number as usize) else { return Err(NO_COLUMN) };
        if writer.values.field_type() != field_type {
            let (field, expected) = (writer.field, writer.expected.clone());
            number = self.column_of(field, &|| expected.clone(), field_type, cells)?;
        }
        self.ready(number, field_type)
    }

    pub(super) fn named_column(
        &mut self,
        raw: &str,
        key: &str,
        field_type: FieldType,
        cells: &mut usize,
    ) -> Result<&mut Values, Cause> {
        let (field, is_new) = self.fields.intern(key);
        if is_new {
            self.columns_of_field.push([NONE; N_TYPES]);
        }
        let number = self.column_of(field, &|| [raw, "="].concat(), field_type, cells)?;
        self.ready(number, field_type)
    }

    #[inline(always)]
    pub(super) fn commit(
        &mut self,
        series: u32,
        time_ns: i64,
        line: u32,
        cells: &mut usize,
    ) -> Result<(), Cause> {
        charge(cells, self.columns.len())?;
        self.row_series.push(series);
        self.times_ns.push(time_ns);
        self.lines.push(line);
        self.values += self.at;
        self.at = 0;
        self.committed = (self.columns.len(), self.fields.strings.len());
        if is_padded(self.times_ns.len(), self.columns.len(), self.values) {
            self.end_run(cells);
        }
        Ok(())
    }

    pub(super) fn rollback(&mut self, cells: &mut usize) {
        let rows = self.times_ns.len();
        let (n_columns, n_fields) = self.committed;
        for &number in self.order.iter().take(self.at) {
            if let Some(writer) = self.columns.get_mut(number as usize) {
                writer.truncate(rows);
            }
        }
        for writer in self.columns.drain(n_columns..) {
            *cells = cells.saturating_sub(rows);
            let code = usize::from(writer.values.field_type().code());
            let columns = self.columns_of_field.get_mut(writer.field as usize);
            if let Some(number) = columns.and_then(|columns| columns.get_mut(code)) {
                *number = NONE;
            }
        }
        while self.fields.strings.len() > n_fields {
            self.fields.pop();
        }
        self.columns_of_field.truncate(n_fields);
        let draft = self.order.get(..self.at).or_bug();
        if let Some(first) = draft.iter().position(|&number| number as usize >= n_columns) {
            self.order.truncate(first);
        }
        self.at = 0;
    }

    /// Returns the rows of all runs. If `any_rejected` is set, some series may have no rows, and
    /// the function removes these series.
    pub(super) fn finish(mut self, any_rejected: bool) -> Vec<MeasurementBatch> {
        let mut runs = std::mem::take(&mut self.runs);
        if self.times_ns.is_empty() {
            return runs;
        }
        let n_columns = self.columns.len();
        if !runs.is_empty() {
            runs.push(self.take_run(n_columns));
            return runs;
        }
        let mut only = self.take_rows(n_columns);
        only.tag_keys = self.tag_keys.strings.iter().map(str::to_owned).collect();
        let tags = self.tags.into_iter().map(|mut tag| {
            tag.codes.resize(self.n_series as usize, 0);
            TagColumn { dictionary: tag.values.strings, codes: tag.codes }
        });
        only.block.series = SeriesTable { tags: tags.collect(), len: self.n_series };
        if any_rejected {
            drop_unused(&mut only.block, &mut only.tag_keys);
        }
        vec![only]
    }

    /// Returns the rows of the first `columns` columns with only the series and tags of these rows.
    fn take_run(&mut self, columns: usize) -> MeasurementBatch {
        let mut run = self.take_rows(columns);
        let used = renumber(&mut run.block.row_series);
        run.block.series.len = used.len() as u32;
        for (key, tag) in self.tag_keys.strings.iter().zip(&mut self.tags) {
            tag.codes.resize(self.n_series as usize, 0);
            let tag = TagColumn::gather_codes(&tag.values.strings, &tag.codes, &used);
            if !tag.dictionary.is_empty() {
                run.tag_keys.push(key.to_owned());
                run.block.series.tags.push(tag);
            }
        }
        run
    }

    /// Returns the rows of the first `columns` columns without their series.
    fn take_rows(&mut self, columns: usize) -> MeasurementBatch {
        let rows = self.times_ns.len();
        let columns = std::mem::take(&mut self.columns).into_iter().take(columns);
        let key_and_column = |mut writer: FieldWriter| {
            let key = writer.take_key(self.fields.strings.get(writer.field as usize));
            (key, writer.finish(rows))
        };
        let (field_keys, fields) = columns.map(key_and_column).unzip();
        self.values = 0;
        let block = Block {
            series: SeriesTable::default(),
            row_series: std::mem::take(&mut self.row_series),
            times_ns: std::mem::take(&mut self.times_ns),
            fields,
        };
        let (name, lines) = (self.name.clone(), std::mem::take(&mut self.lines));
        MeasurementBatch { name, tag_keys: Vec::new(), field_keys, block, lines }
    }

    #[cold]
    fn end_run(&mut self, cells: &mut usize) {
        let rows = self.times_ns.len();
        let (n_columns, n_fields) = self.committed;
        *cells = cells.saturating_sub((self.columns.len() - n_columns) * rows);
        self.columns_of_field.fill([NONE; N_TYPES]);
        let (mut order, mut columns) = (Vec::with_capacity(self.at), Vec::with_capacity(self.at));
        for &number in self.order.iter().take(self.at) {
            let Some(writer) = self.columns.get_mut(number as usize) else { continue };
            let code = usize::from(writer.values.field_type().code());
            let Some(slot) =
                self.columns_of_field.get_mut(writer.field as usize).and_then(|c| c.get_mut(code))
            else {
                continue;
            };
            if *slot == NONE {
                *slot = columns.len() as u32;
                let values = writer.values.gather(&[rows as u32]);
                writer.truncate(rows);
                columns.push(FieldWriter {
                    field: writer.field,
                    expected: writer.expected.clone(),
                    values,
                    valid: Bitmap::default(),
                    shared: false,
                });
            }
            order.push(*slot);
        }
        let mut run = self.take_run(n_columns);
        shrink(&mut run.block);
        self.runs_bytes += run.bytes();
        self.runs.push(run);
        (self.order, self.columns, self.committed) = (order, columns, (0, n_fields));
    }

    fn column_of(
        &mut self,
        field: u32,
        expected: &dyn Fn() -> String,
        field_type: FieldType,
        cells: &mut usize,
    ) -> Result<u32, Cause> {
        let columns = self.columns_of_field.get(field as usize);
        let known = columns.and_then(|columns| columns.get(usize::from(field_type.code())));
        let known = known.copied().unwrap_or(NONE);
        if known != NONE {
            return Ok(known);
        }
        let fields = field as usize;
        self.limits.check(Limit::Fields, fields, fields + 1)?;
        let (rows, values) = (self.times_ns.len(), self.values + self.at);
        if rows > 0 && is_padded(rows + 1, self.columns.len() + 1, values) {
            self.end_run(cells);
        }
        charge(cells, self.times_ns.len())?;
        let number = self.columns.len() as u32;
        let mut shared = false;
        if let Some(columns) = self.columns_of_field.get_mut(field as usize) {
            for &sibling in columns.iter() {
                if let Some(writer) = self.columns.get_mut(sibling as usize) {
                    writer.shared = true;
                    shared = true;
                }
            }
            if let Some(slot) = columns.get_mut(usize::from(field_type.code())) {
                *slot = number;
            }
        }
        let (values, valid) = (Values::new(field_type), Bitmap::default());
        self.columns.push(FieldWriter { field, expected: expected(), values, valid, shared });
        Ok(number)
    }

    /// Returns the values of a column, padded up to the draft row, so that the caller can append
    /// the draft's value. If a line repeats a field, the last value replaces the earlier values.
    #[inline]
    fn ready(&mut self, number: u32, field_type: FieldType) -> Result<&mut Values, Cause> {
        let rows = self.times_ns.len();
        if self.columns.get(number as usize).is_some_and(|writer| writer.shared) {
            self.check_siblings(number, field_type)?;
        }
        match self.order.get_mut(self.at) {
            Some(expected) => *expected = number,
            None => self.order.push(number),
        }
        self.at += 1;
        let Some(writer) = self.columns.get_mut(number as usize) else { return Err(NO_COLUMN) };
        writer.pad(rows);
        writer.values.truncate(rows);
        Ok(&mut writer.values)
    }

    #[cold]
    fn check_siblings(&self, number: u32, second: FieldType) -> Result<(), Cause> {
        let Some(writer) = self.columns.get(number as usize) else { return Ok(()) };
        let columns = self.columns_of_field.get(writer.field as usize);
        for &sibling in columns.into_iter().flatten().filter(|&&sibling| sibling != number) {
            if let Some(other) = self.columns.get(sibling as usize)
                && other.values.len() > self.times_ns.len()
            {
                let key = self.fields.strings.get(writer.field as usize).to_owned();
                let first = other.values.field_type();
                return Err(Cause::FieldTypeConflict { key, first, second });
            }
        }
        Ok(())
    }
}

#[inline]
fn charge(cells: &mut usize, more: usize) -> Result<(), Cause> {
    let requested = *cells + more;
    if requested > CELLS_PER_REQUEST_MAX {
        return Err(Cause::TooManyCells { current: *cells, requested });
    }
    *cells = requested;
    Ok(())
}

#[derive(Debug)]
struct FieldWriter {
    /// The position in `MeasurementWriter::fields`.
    field: u32,
    /// The key as the client writes it, including its `=`.
    expected: String,
    values: Values,
    /// The validity of the rows up to the last null.
    valid: Bitmap,
    shared: bool,
}

impl FieldWriter {
    /// Returns the memory in use after the column is padded to `rows` rows, in bytes.
    fn bytes(&self, rows: usize) -> usize {
        let bits = self.valid.words().len() * 8;
        let padding = rows.saturating_sub(self.values.len()) * 8;
        size_of::<Self>() + self.expected.capacity() + self.values.bytes() + bits + padding
    }

    /// Returns `key`. Reuses the memory of [`Self::expected`] if the client writes the key without
    /// escapes.
    fn take_key(&mut self, key: &str) -> String {
        let mut expected = std::mem::take(&mut self.expected);
        if expected.strip_suffix('=') != Some(key) {
            return key.to_owned();
        }
        expected.pop();
        expected
    }

    #[inline(never)]
    fn pad(&mut self, rows: usize) {
        let len = self.values.len();
        if len < rows {
            if self.valid.len() < len {
                self.valid.extend_filled(len - self.valid.len(), true);
            }
            self.valid.extend_filled(rows - len, false);
            self.values.extend_padding(rows - len);
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.valid.truncate(rows);
    }

    fn finish(mut self, rows: usize) -> Column {
        self.pad(rows);
        if self.valid.is_empty() {
            return Column::full(self.values);
        }
        self.valid.extend_filled(rows - self.valid.len(), true);
        Column { values: self.values, validity: Validity::Some(self.valid) }
    }
}

/// The number of cells (512 KB) that a run may have even if most of the cells are padding.
pub(super) const CELLS_ENOUGH: usize = 1 << 16;

#[inline]
fn is_padded(rows: usize, columns: usize, values: usize) -> bool {
    rows.saturating_mul(columns) > CELLS_ENOUGH + CELLS_PER_VALUE_MAX * values
}

fn shrink(block: &mut Block) {
    let rows: Vec<u32> = (0..block.rows() as u32).collect();
    block.fields.iter_mut().for_each(|column| *column = column.gather(&rows));
    block.row_series.shrink_to_fit();
    block.times_ns.shrink_to_fit();
}

/// Removes the series without rows, and the tags without series.
fn drop_unused(block: &mut Block, tag_keys: &mut Vec<String>) {
    let Block { series: table, row_series, .. } = block;
    let mut new_numbers = vec![NONE; table.len as usize];
    for &series in row_series.iter() {
        if let Some(number) = new_numbers.get_mut(series as usize) {
            *number = 0;
        }
    }
    let mut kept = 0;
    for number in new_numbers.iter_mut().filter(|number| **number == 0) {
        *number = kept;
        kept += 1;
    }
    if kept == table.len {
        return;
    }
    for series in row_series {
        *series = new_numbers.get(*series as usize).copied().or_bug();
    }
    for tag in &mut table.tags {
        let mut numbers = new_numbers.iter();
        tag.codes.retain(|_| numbers.next().is_some_and(|&number| number != NONE));
    }
    table.len = kept;
    let used: Vec<bool> =
        table.tags.iter().map(|tag| tag.codes.iter().any(|&code| code > 0)).collect();
    let mut keep = used.iter();
    table.tags.retain(|_| keep.next().copied().unwrap_or_default());
    let mut keep = used.iter();
    tag_keys.retain(|_| keep.next().copied().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_series_leaves_no_codes() {
        let mut writer = MeasurementWriter::new("m", 1, Limits::default());
        let mut cells = 0;
        for host in ["a", "b"] {
            writer.add_series([("host", host)].into_iter(), &mut cells).unwrap();
        }
        let mut full = CELLS_PER_REQUEST_MAX - 1;
        let tags = [("host", "c"), ("new", "x")];
        writer.add_series(tags.into_iter(), &mut full).unwrap_err();
        let series = writer.add_series([].into_iter(), &mut cells).unwrap();
        writer.commit(series, 0, 1, &mut cells).unwrap();
        let batch = writer.finish(false);
        assert_eq!(batch[0].tag_keys, ["host"]);
        assert_eq!(batch[0].block.series.tags[0].codes, [1, 2, 0]);
    }
}
