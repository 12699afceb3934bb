//! Collects the rows of a measurement. A row is a draft until it is committed or rolled back.
//!
//! A column that a line lacks remains shorter than the other columns, and is padded before its next
//! value. The cost of a row therefore depends only on the row's fields.

use super::MeasurementBatch;
use super::bitmap::Bitmap;
use super::column::Values;
use super::column_growth::Room;
use super::field_writer::FieldWriter;
use super::interner::Interner;
use super::line_numbers::LineNumbers;
use super::row_runs::{self, Names, RowRun};
use super::series_table::{SeriesTable, TagColumn};
use tidemark_model::bug::OrBug;
use tidemark_model::configurable_limits::{Exceeded, Limit, Limits};
use tidemark_model::limits::CELLS_PER_REQUEST_MAX;
use tidemark_model::value::FieldType;

const N_TYPES: usize = FieldType::ALL.len();
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    TypeConflict { key: String, first: FieldType, second: FieldType },
    TooManyFields(Exceeded),
    TooManyCells { current: usize, requested: usize },
}

#[derive(Debug)]
struct TagWriter {
    values: Interner,
    /// The code of each series, as in [`TagColumn`]. Trailing series without the tag are missing.
    codes: Vec<u32>,
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

#[derive(Debug)]
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
    /// The columns of the draft, followed by the columns that are expected next.
    order: Vec<u32>,
    at: usize,
    committed: (usize, usize),
    row_series: Vec<u32>,
    times_ns: Vec<i64>,
    lines: LineNumbers,
    values: usize,
    runs: Vec<RowRun>,
}

impl MeasurementWriter {
    pub(super) fn new(name: &str, seed: u64, limits: Limits) -> Self {
        Self {
            name: name.to_owned(),
            seed,
            limits,
            tag_keys: Interner::new(seed),
            tags: Vec::new(),
            n_series: 0,
            fields: Interner::new(seed),
            columns_of_field: Vec::new(),
            columns: Vec::new(),
            order: Vec::new(),
            at: 0,
            committed: (0, 0),
            row_series: Vec::new(),
            times_ns: Vec::new(),
            lines: LineNumbers::default(),
            values: 0,
            runs: Vec::new(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let rows =
            self.row_series.capacity() * 4 + self.times_ns.capacity() * 8 + self.lines.bytes();
        let tags = self.tags.iter().map(|tag| tag.values.bytes() + tag.codes.capacity() * 4);
        let columns = self.columns.iter().map(|w| w.values.bytes() + w.valid.words().len() * 8);
        let runs = self.runs.iter().map(RowRun::bytes);
        rows + tags.sum::<usize>() + columns.sum::<usize>() + runs.sum::<usize>()
    }

    pub(super) fn make_room(&mut self, room: &Room) {
        room.make(&mut self.row_series);
        room.make(&mut self.times_ns);
        for tag in &mut self.tags {
            let (text, ends) = tag.values.strings_mut().grown();
            room.make_text(text);
            room.make(ends);
            room.make(&mut tag.codes);
        }
        for writer in &mut self.columns {
            match &mut writer.values {
                Values::Float(values) => room.make(values),
                Values::Integer(values) => room.make(values),
                Values::Unsigned(values) => room.make(values),
                Values::Boolean(values) => room.make(values),
                Values::String(strings) => {
                    let (text, ends) = strings.grown();
                    room.make_text(text);
                    room.make(ends);
                }
            }
        }
    }

    pub(super) fn add_series<'a>(
        &mut self,
        tags: impl Iterator<Item = (&'a str, &'a str)>,
        cells: &mut usize,
    ) -> Result<u32, Refusal> {
        let series = self.n_series;
        charge(cells, self.tags.len())?;
        for (at, (key, value)) in (0_u32..).zip(tags) {
            // Most series have the same tags at the same positions.
            let (tag, is_new) =
                match self.tag_keys.strings().bytes_of(at as usize) == key.as_bytes() {
                    true => (at, false),
                    false => self.tag_keys.intern(key),
                };
            if is_new {
                self.tags.push(TagWriter { values: Interner::new(self.seed), codes: Vec::new() });
                charge(cells, series as usize)?;
            }
            if let Some(writer) = self.tags.get_mut(tag as usize) {
                writer.codes.resize(series as usize, 0);
                writer.codes.push(writer.values.intern(value).0 + 1);
            }
        }
        self.n_series += 1;
        Ok(series)
    }

    push_expected!(push_float, Float, f64);
    push_expected!(push_integer, Integer, i64);
    push_expected!(push_boolean, Boolean, bool);
    push_expected!(push_string, String, &str);

    /// The key is as written, including its `=`.
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
    ) -> Result<&mut Values, Refusal> {
        let number = self.order.get(self.at).copied().unwrap_or(NONE);
        match self.columns.get(number as usize) {
            Some(writer) if writer.values.field_type() == field_type => {
                self.ready(number, field_type)
            }
            Some(writer) => {
                let (field, expected) = (writer.field, writer.expected.clone());
                let number = self.column_of(field, &expected, field_type, cells)?;
                self.ready(number, field_type)
            }
            None => Err(no_column(&self.limits)),
        }
    }

    pub(super) fn named_column(
        &mut self,
        raw: &str,
        key: &str,
        field_type: FieldType,
        cells: &mut usize,
    ) -> Result<&mut Values, Refusal> {
        let (field, is_new) = self.fields.intern(key);
        if is_new {
            self.columns_of_field.push([NONE; N_TYPES]);
        }
        let known = self.column_number(field, field_type);
        let number = match known {
            NONE => self.column_of(field, &format!("{raw}="), field_type, cells)?,
            known => known,
        };
        self.ready(number, field_type)
    }

    #[inline(always)]
    pub(super) fn commit(
        &mut self,
        series: u32,
        time_ns: i64,
        line: u32,
        cells: &mut usize,
    ) -> Result<(), Refusal> {
        charge(cells, self.columns.len())?;
        self.row_series.push(series);
        self.times_ns.push(time_ns);
        self.lines.push(line);
        self.values += self.at;
        self.at = 0;
        self.committed = (self.columns.len(), self.fields.strings().len());
        if row_runs::is_padded(self.times_ns.len(), self.columns.len(), self.values) {
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
        while self.fields.strings().len() > n_fields {
            self.fields.pop();
        }
        self.columns_of_field.truncate(n_fields);
        let draft = self.order.get(..self.at).or_bug();
        if let Some(first) = draft.iter().position(|&number| number as usize >= n_columns) {
            self.order.truncate(first);
        }
        self.at = 0;
    }

    /// If `any_rejected` is set, some series may have no rows.
    pub(super) fn finish(mut self, any_rejected: bool) -> Vec<MeasurementBatch> {
        if !self.times_ns.is_empty() {
            let last = self.take_run(self.columns.len());
            self.runs.push(last);
        }
        let texts = |keys: &Interner| keys.strings().iter().map(str::to_owned).collect();
        let (tag_keys, field_keys) = (texts(&self.tag_keys), texts(&self.fields));
        let names = Names { name: self.name, tag_keys, field_keys };
        let tags = self.tags.into_iter().map(|mut tag| {
            tag.codes.resize(self.n_series as usize, 0);
            TagColumn { dictionary: tag.values.into_strings(), codes: tag.codes }
        });
        let series = SeriesTable { tags: tags.collect(), len: self.n_series };
        row_runs::to_batches(&names, series, self.runs, any_rejected)
    }

    fn take_run(&mut self, columns: usize) -> RowRun {
        let rows = self.times_ns.len();
        let columns = std::mem::take(&mut self.columns).into_iter().take(columns);
        self.values = 0;
        RowRun {
            columns: columns.map(|writer| (writer.field, writer.finish(rows))).collect(),
            row_series: std::mem::take(&mut self.row_series),
            times_ns: std::mem::take(&mut self.times_ns),
            lines: std::mem::take(&mut self.lines),
        }
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
        let run = self.take_run(n_columns).shrunk();
        self.runs.push(run);
        (self.order, self.columns, self.committed) = (order, columns, (0, n_fields));
    }

    fn column_number(&self, field: u32, field_type: FieldType) -> u32 {
        let columns = self.columns_of_field.get(field as usize);
        let number = columns.and_then(|columns| columns.get(usize::from(field_type.code())));
        number.copied().unwrap_or(NONE)
    }

    fn column_of(
        &mut self,
        field: u32,
        expected: &str,
        field_type: FieldType,
        cells: &mut usize,
    ) -> Result<u32, Refusal> {
        let known = self.column_number(field, field_type);
        if known != NONE {
            return Ok(known);
        }
        let fields = field as usize;
        self.limits.check(Limit::Fields, fields, fields + 1).map_err(Refusal::TooManyFields)?;
        let (rows, values) = (self.times_ns.len(), self.values + self.at);
        if rows > 0 && row_runs::is_padded(rows + 1, self.columns.len() + 1, values) {
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
        let (expected, values) = (expected.to_owned(), Values::new(field_type));
        let valid = Bitmap::default();
        self.columns.push(FieldWriter { field, expected, values, valid, shared });
        Ok(number)
    }

    /// If a line repeats a field, the field has its last value.
    #[inline]
    fn ready(&mut self, number: u32, field_type: FieldType) -> Result<&mut Values, Refusal> {
        let rows = self.times_ns.len();
        if self.columns.get(number as usize).is_some_and(|writer| writer.shared) {
            self.check_siblings(number, field_type)?;
        }
        match self.order.get_mut(self.at) {
            Some(expected) => *expected = number,
            None => self.order.push(number),
        }
        self.at += 1;
        let limits = self.limits;
        let Some(writer) = self.columns.get_mut(number as usize) else {
            return Err(no_column(&limits));
        };
        writer.pad(rows);
        writer.values.truncate(rows);
        Ok(&mut writer.values)
    }

    #[cold]
    fn check_siblings(&self, number: u32, second: FieldType) -> Result<(), Refusal> {
        let Some(writer) = self.columns.get(number as usize) else { return Ok(()) };
        let columns = self.columns_of_field.get(writer.field as usize);
        for &sibling in columns.into_iter().flatten().filter(|&&sibling| sibling != number) {
            if let Some(other) = self.columns.get(sibling as usize)
                && other.values.len() > self.times_ns.len()
            {
                let key = self.fields.strings().get(writer.field as usize).to_owned();
                let first = other.values.field_type();
                return Err(Refusal::TypeConflict { key, first, second });
            }
        }
        Ok(())
    }
}

#[cold]
fn no_column(limits: &Limits) -> Refusal {
    Refusal::TooManyFields(limits.exceeded(Limit::Fields, 0, 0))
}

#[inline]
fn charge(cells: &mut usize, more: usize) -> Result<(), Refusal> {
    let requested = *cells + more;
    if requested > CELLS_PER_REQUEST_MAX {
        return Err(Refusal::TooManyCells { current: *cells, requested });
    }
    *cells = requested;
    Ok(())
}
