//! Converts the pages of a scan to Arrow batches.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, StringBuilder, StringDictionaryBuilder,
    TimestampNanosecondArray, UInt64Array,
};
use datafusion::arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int32Type, SchemaRef, TimeUnit};
use tidemark_engine::batch::bitmap::Validity;
use tidemark_engine::batch::column::{Column, StringColumn, Values};
use tidemark_engine::protocol::scan_page;
use tidemark_engine::scan::page::{Group, GroupData};
use tidemark_model::value::FieldValue;

use crate::error::QueryError;
use crate::limits::{BATCH_ROWS, TURN_BYTES_MAX};

const WORD_BITS: usize = 64;
/// The number of dictionary entries that can be copied in the time that a lookup of one row's text
/// takes.
const ENTRIES_PER_ROW: usize = 8;

/// The position of a column's values in the pages of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Time,
    Tag(usize),
    Field(usize),
    /// The field at this position. NULL is replaced with 0.
    Count(usize),
    IsPresent(usize),
}

/// The rows of a page, which are converted to one batch after another. If a page contains codes
/// instead of long texts, the batches together are much larger than the page.
#[derive(Default)]
pub(super) struct PageBatches {
    rows: VecDeque<PageRows>,
    /// The number of converted rows of the first element of `rows`.
    start: usize,
    /// The maximum number of rows in a batch of the first element of `rows`.
    batch_rows: usize,
}

impl PageBatches {
    /// Decodes a page.
    ///
    /// # Errors
    /// Returns an error if the page is invalid or contains no rows.
    pub(super) fn decode(page: &[u8]) -> Result<Self, QueryError> {
        let groups = scan_page::decode(page).map_err(|error| unreadable(&error.to_string()))?;
        let rows = joined(groups)
            .ok_or_else(|| unreadable("it contains partial aggregates instead of rows"))?;
        Ok(Self { rows: rows.into(), ..Self::default() })
    }

    /// Returns the next batch with the columns in `schema`. The batch has at most `rows_max` rows.
    ///
    /// # Errors
    /// Returns an error if the page does not contain these columns.
    pub(super) fn next(
        &mut self,
        sources: &[Source],
        schema: &SchemaRef,
        rows_max: usize,
    ) -> Result<Option<RecordBatch>, QueryError> {
        while let Some(page) = self.rows.front() {
            if self.start == 0 {
                self.batch_rows = page.batch_rows(sources, rows_max);
            }
            let rows = self.start..page.times_ns.len().min(self.start + self.batch_rows);
            if !rows.is_empty() {
                self.start = rows.end;
                return page.batch(&rows, sources, schema).map(Some);
            }
            self.start = 0;
            drop(self.rows.pop_front());
        }
        Ok(None)
    }
}

fn unreadable(reason: &str) -> QueryError {
    QueryError::internal(format!("the page of a scan cannot be used: {reason}"))
}

/// The rows of one or more groups.
struct PageRows {
    times_ns: Vec<i64>,
    fields: Vec<Column>,
    tags: Vec<StringColumn>,
}

impl PageRows {
    /// Returns the maximum number of rows in a batch. If an operator converts the tags to texts,
    /// the texts of the batch have at most [`TURN_BYTES_MAX`] bytes.
    fn batch_rows(&self, sources: &[Source], rows_max: usize) -> usize {
        let longest = |texts: &StringColumn| texts.entries().map(str::len).max().unwrap_or(0);
        let bytes = |source: &Source| match *source {
            Source::Tag(at) => self.tags.get(at).map_or(0, longest),
            Source::Field(at) => match self.fields.get(at).map(|field| &field.values) {
                Some(Values::String(texts)) => longest(texts),
                _ => 0,
            },
            _ => 0,
        };
        let row_bytes: usize = sources.iter().map(bytes).sum();
        (TURN_BYTES_MAX / row_bytes.max(1)).clamp(1, rows_max.max(1))
    }

    fn batch(
        &self,
        rows: &Range<usize>,
        sources: &[Source],
        schema: &SchemaRef,
    ) -> Result<RecordBatch, QueryError> {
        let column = |(source, wanted): (&Source, &FieldRef)| {
            let column = match *source {
                Source::Time => times(&self.times_ns, rows),
                Source::Tag(at) => tag(self.tags.get(at)?, rows)?,
                Source::Field(at) => field(self.fields.get(at)?, rows),
                Source::Count(at) => count(self.fields.get(at)?, rows),
                Source::IsPresent(at) => is_present(self.fields.get(at)?, rows),
            };
            cast_to_plan(column, wanted.data_type())
        };
        let columns: Option<Vec<ArrayRef>> =
            sources.iter().zip(schema.fields()).map(column).collect();
        let columns =
            columns.ok_or_else(|| unreadable("its columns are not the requested columns"))?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }

    /// Appends the rows of `next`. Returns `false` if the columns of `self` and `next` differ.
    fn append(&mut self, next: &Self) -> bool {
        let columns = self.fields.iter_mut().zip(&next.fields);
        let are_alike = columns.fold(true, |are, (to, from)| to.extend_from(from) && are);
        self.tags.iter_mut().zip(&next.tags).for_each(|(to, from)| to.extend_from(from));
        self.times_ns.extend(&next.times_ns);
        are_alike
    }
}

/// Combines the rows of small groups, because a batch with few rows costs as much as a batch with
/// many rows. Returns `None` if the groups contain aggregates or their columns differ.
fn joined(groups: Vec<Group>) -> Option<Vec<PageRows>> {
    let mut all: Vec<PageRows> = Vec::new();
    for group in groups {
        let GroupData::Rows { times_ns, fields, tags } = group.data else { return None };
        let next = PageRows { times_ns, fields, tags };
        let has_room = |last: &&mut PageRows| {
            last.times_ns.len().saturating_add(next.times_ns.len()) <= BATCH_ROWS
        };
        match all.last_mut().filter(has_room) {
            Some(last) => last.append(&next).then_some(())?,
            None => all.push(next),
        }
    }
    Some(all)
}

/// Casts a column to its type in the plan. In pages, counts and the times of states are integers,
/// and the tags of a selected row are texts.
fn cast_to_plan(column: ArrayRef, wanted: &DataType) -> Option<ArrayRef> {
    match (column.data_type(), wanted) {
        (given, wanted) if given == wanted => Some(column),
        (DataType::Int64, DataType::UInt64 | DataType::Timestamp(TimeUnit::Nanosecond, _))
        | (DataType::Utf8, DataType::Dictionary(..)) => cast(&column, wanted).ok(),
        _ => None,
    }
}

/// Returns the values in `rows`. The caller copies the values, because the memory pool would count
/// each slice of a page as a whole page.
fn part<'a, T>(values: &'a [T], rows: &Range<usize>) -> &'a [T] {
    values.get(rows.clone()).unwrap_or_default()
}

fn times(times_ns: &[i64], rows: &Range<usize>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(part(times_ns, rows).to_vec()))
}

fn nulls(validity: &Validity, rows: &Range<usize>) -> Option<NullBuffer> {
    match validity {
        Validity::All => None,
        Validity::Some(bits) => {
            let words = rows.start / WORD_BITS..rows.end.div_ceil(WORD_BITS);
            let words = Buffer::from_vec(bits.words().get(words)?.to_vec());
            let bits = BooleanBuffer::new(words, rows.start % WORD_BITS, rows.len());
            Some(NullBuffer::new(bits))
        }
    }
}

fn count(column: &Column, rows: &Range<usize>) -> ArrayRef {
    let counts = rows.clone().map(|row| match column.get(row) {
        Some(FieldValue::Integer(count)) => count,
        _ => 0,
    });
    Arc::new(counts.collect::<Int64Array>())
}

fn is_present(column: &Column, rows: &Range<usize>) -> ArrayRef {
    let are_there = rows.clone().map(|row| Some(column.validity.is_valid(row)));
    Arc::new(are_there.collect::<BooleanArray>())
}

fn field(column: &Column, rows: &Range<usize>) -> ArrayRef {
    let nulls = nulls(&column.validity, rows);
    match &column.values {
        Values::Float(values) => {
            Arc::new(Float64Array::new(part(values, rows).to_vec().into(), nulls))
        }
        Values::Integer(values) => {
            Arc::new(Int64Array::new(part(values, rows).to_vec().into(), nulls))
        }
        Values::Unsigned(values) => {
            Arc::new(UInt64Array::new(part(values, rows).to_vec().into(), nulls))
        }
        Values::Boolean(values) => {
            Arc::new(BooleanArray::new(part(values, rows).to_vec().into(), nulls))
        }
        Values::String(values) => {
            let mut built = StringBuilder::new();
            for row in rows.clone() {
                match column.validity.is_valid(row) {
                    true => built.append_value(values.get(row)),
                    false => built.append_null(),
                }
            }
            Arc::new(built.finish())
        }
    }
}

/// Returns the values of a tag. If a series lacks the tag, its values are NULL.
fn tag(column: &StringColumn, rows: &Range<usize>) -> Option<ArrayRef> {
    // A small batch of a page with many entries looks up only its rows.
    let has_few_entries = column.entries().len() <= ENTRIES_PER_ROW * rows.len();
    let Some(codes) = column.codes().filter(|_| has_few_entries) else {
        let mut built = StringDictionaryBuilder::<Int32Type>::new();
        for row in rows.clone() {
            match column.get(row) {
                "" => built.append_null(),
                value => built.append_value(value),
            }
        }
        return Some(Arc::new(built.finish()));
    };
    let entries: Vec<&str> = column.entries().collect();
    let mut keys = vec![None; entries.len()];
    let mut values: Vec<&str> = Vec::new();
    let mut key = |&code: &u32| {
        let entry = *entries.get(code as usize)?;
        if entry.is_empty() {
            return None;
        }
        let known = keys.get_mut(code as usize)?;
        Some(*known.get_or_insert_with(|| {
            values.push(entry);
            // The number of values is less than the number of rows in a batch.
            (values.len() - 1) as i32
        }))
    };
    let keys: Int32Array = part(codes, rows).iter().map(&mut key).collect();
    let tags = DictionaryArray::try_new(keys, Arc::new(StringArray::from(values))).ok()?;
    Some(Arc::new(tags))
}
