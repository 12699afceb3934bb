//! Merges the rows of a group from several shards by time.

use std::borrow::Cow;

use super::join_limit::append;
use crate::model::bug::OrBug;
use crate::model::limits::WORK_PER_TURN;
use crate::model::value::FieldType;
use crate::query::error::{QueryError, Result};
use crate::query::plan::{Slot, SlotSource};
use crate::query::result::{Column, StringColumn, Values};
use crate::query::stream::{Front, Stream};
use crate::query::work::Work;
use crate::scan::page::GroupData;

/// The next rows of a group. A column that is `None` contains only nulls.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowBatch {
    pub(crate) times_ns: Vec<i64>,
    pub(crate) slots: Vec<Option<Column>>,
}

impl RowBatch {
    /// Returns rows `from..to`, which must exist in the batch.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Self {
        // The positions of the rows in a batch fit in u32.
        let rows: Vec<u32> = (from as u32..to as u32).collect();
        Self {
            times_ns: self.times_ns.get(from..to).or_bug().to_vec(),
            slots: self.slots.iter().map(|slot| slot.as_ref().map(|c| c.gather(&rows))).collect(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Unread {
    batch: RowBatch,
    next: usize,
}

impl Unread {
    pub(crate) fn new(batch: RowBatch) -> Self {
        Self { batch, next: 0 }
    }

    /// Takes the rows of one turn if each row costs `row_work` units, and counts this work.
    pub(crate) fn next(
        unread: &mut Option<Self>,
        row_work: usize,
        work: &Work,
    ) -> Option<RowBatch> {
        let Self { batch, next } = unread.take()?;
        let rows = batch.times_ns.len();
        let most = usize::try_from(WORK_PER_TURN).unwrap_or(usize::MAX) / row_work.max(1);
        let end = rows.min(next + most.max(1));
        work.add((end - next) * row_work);
        if (next, end) == (0, rows) {
            return Some(batch);
        }
        let part = batch.slice(next, end);
        if end < rows {
            *unread = Some(Self { batch, next: end });
        }
        Some(part)
    }
}

#[derive(Debug)]
pub(crate) enum Merged {
    Batch(RowBatch),
    /// The streams that must first receive another page.
    Missing(Vec<usize>),
    End,
}

#[derive(Debug)]
struct Cursor {
    times_ns: Vec<i64>,
    fields: Vec<Column>,
    tags: Vec<StringColumn>,
    next: usize,
}

impl Cursor {
    fn time(&self) -> Option<i64> {
        self.times_ns.get(self.next).copied()
    }
}

#[derive(Debug, Default)]
pub(crate) struct RowMerge {
    cursors: Vec<Option<Cursor>>,
}

impl RowMerge {
    /// Returns the next rows of group `key`. `sources[i]` contains each slot's position in the
    /// pages of stream `i`.
    pub(crate) fn next(
        &mut self,
        key: &[String],
        streams: &mut [Stream],
        sources: &[&[SlotSource]],
        slots: &[Slot],
        descending: bool,
    ) -> Result<Merged> {
        self.cursors.resize_with(streams.len(), || None);
        let missing = self.refill(key, streams)?;
        if !missing.is_empty() {
            return Ok(Merged::Missing(missing));
        }
        let active: Vec<usize> = (0..self.cursors.len())
            .filter(|&i| matches!(self.cursors.get(i), Some(Some(_))))
            .collect();
        Ok(match active.as_slice() {
            [] => Merged::End,
            [only] => Merged::Batch(self.single(*only, sources, slots.len())),
            _ => Merged::Batch(self.several(&active, sources, slots.len(), descending)),
        })
    }

    /// Takes the next part of the group from each stream without remaining rows. Returns the
    /// streams whose next page may contain more rows of the group.
    fn refill(&mut self, key: &[String], streams: &mut [Stream]) -> Result<Vec<usize>> {
        let mut missing = Vec::new();
        for (index, (cursor, stream)) in self.cursors.iter_mut().zip(streams).enumerate() {
            if cursor.as_ref().is_some_and(|cursor| cursor.time().is_none()) {
                *cursor = None;
            }
            while cursor.is_none() {
                match stream.front() {
                    Front::Group(front) if front == key => {
                        let Some(GroupData::Rows { times_ns, fields, tags }) = stream.pop() else {
                            return Err(QueryError::Page("rows were asked for"));
                        };
                        if !times_ns.is_empty() {
                            *cursor = Some(Cursor { times_ns, fields, tags, next: 0 });
                        }
                    }
                    Front::Missing if stream.is_behind(key) => break,
                    Front::Missing => {
                        missing.push(index);
                        break;
                    }
                    Front::Group(_) | Front::End => break,
                }
            }
        }
        Ok(missing)
    }

    /// Returns the number of the stream's rows that were returned.
    fn passed(&self, index: usize) -> usize {
        self.cursors.get(index).and_then(Option::as_ref).map_or(0, |cursor| cursor.next)
    }

    fn single(&mut self, index: usize, sources: &[&[SlotSource]], slots: usize) -> RowBatch {
        let Some(Some(cursor)) = self.cursors.get_mut(index).map(Option::take) else {
            return RowBatch { times_ns: Vec::new(), slots: Vec::new() };
        };
        let source = |slot| source_of(sources, index, slot);
        let slots = (0..slots).map(|slot| Some(column(&cursor, source(slot))?.into_owned()));
        let (slots, rows) = (slots.collect(), cursor.times_ns.len());
        let batch = RowBatch { times_ns: cursor.times_ns, slots };
        if cursor.next == 0 { batch } else { batch.slice(cursor.next, rows) }
    }

    /// Merges rows by time until a stream has no remaining rows.
    fn several(
        &mut self,
        active: &[usize],
        sources: &[&[SlotSource]],
        slots: usize,
        descending: bool,
    ) -> RowBatch {
        let starts: Vec<usize> = active.iter().map(|&i| self.passed(i)).collect();
        let types = self.types(active, sources, slots);
        let (times_ns, order) = self.order(active, &types, descending);
        // Concatenate the rows of all streams, then select the rows in order.
        let mut bases = Vec::with_capacity(active.len());
        let mut base = 0;
        for (&index, &start) in active.iter().zip(&starts) {
            bases.push(base as i64 - start as i64);
            base += self.passed(index) - start;
        }
        let picked: Vec<u32> = (order.iter())
            .map(|&(stream, row)| (bases.get(stream).copied().or_bug() + row as i64) as u32)
            .collect();
        let columns = (0..slots).map(|slot| {
            let mut all: Option<Column> = None;
            let mut before = 0;
            for (&index, &start) in active.iter().zip(&starts) {
                let end = self.passed(index);
                if start == end {
                    continue;
                }
                let Some(Some(cursor)) = self.cursors.get(index) else { continue };
                let rows: Vec<u32> = (start as u32..end as u32).collect();
                let part = column(cursor, source_of(sources, index, slot));
                append(&mut all, part.as_deref(), &rows, before);
                before += end - start;
            }
            all.map(|column| column.gather(&picked))
        });
        let slots = columns.collect();
        RowBatch { times_ns, slots }
    }

    /// Returns each stream's slot types. Only subqueries can cause different types.
    fn types(
        &self,
        active: &[usize],
        sources: &[&[SlotSource]],
        slots: usize,
    ) -> Vec<Vec<Option<FieldType>>> {
        let of_slot = |index: usize, slot: usize| match sources.get(index)?.get(slot)? {
            SlotSource::Field(field) => {
                let column = self.cursors.get(index)?.as_ref()?.fields.get(*field)?;
                Some(column.values.field_type())
            }
            SlotSource::Tag(_) => Some(FieldType::String),
            SlotSource::Missing => None,
        };
        let of_stream = |&index: &usize| (0..slots).map(|slot| of_slot(index, slot)).collect();
        active.iter().map(of_stream).collect()
    }

    /// Returns the times and the rows in order, and advances the cursors. A row is a position in
    /// `active` and a row number in that stream. The order ends when a stream has no more rows, or
    /// before a row of different types.
    fn order(
        &mut self,
        active: &[usize],
        types: &[Vec<Option<FieldType>>],
        descending: bool,
    ) -> (Vec<i64>, Vec<(usize, usize)>) {
        let (mut times, mut order) = (Vec::new(), Vec::new());
        let mut batch_types = vec![None; types.first().map_or(0, Vec::len)];
        let mut has_rows = vec![false; active.len()];
        loop {
            let mut best: Option<(i64, usize)> = None;
            for (position, &index) in active.iter().enumerate() {
                let Some(time) = self.cursors.get(index).and_then(|c| c.as_ref()?.time()) else {
                    return (times, order);
                };
                let better =
                    best.is_none_or(|(best, _)| if descending { time > best } else { time < best });
                if better {
                    best = Some((time, position));
                }
            }
            let Some((time, position)) = best else { return (times, order) };
            let is_known =
                has_rows.get_mut(position).is_none_or(|has| std::mem::replace(has, true));
            if !is_known && !join_types(&mut batch_types, types.get(position)) {
                return (times, order);
            }
            let cursor = active.get(position).and_then(|&i| self.cursors.get_mut(i)?.as_mut());
            let Some(cursor) = cursor else { return (times, order) };
            times.push(time);
            order.push((position, cursor.next));
            cursor.next += 1;
        }
    }
}

/// Returns `false` if the types clash.
fn join_types(batch: &mut [Option<FieldType>], added: Option<&Vec<Option<FieldType>>>) -> bool {
    let clash = |(known, added): (&Option<FieldType>, &Option<FieldType>)| {
        known.is_some() && added.is_some() && known != added
    };
    if batch.iter().zip(added.into_iter().flatten()).any(clash) {
        return false;
    }
    for (known, added) in batch.iter_mut().zip(added.into_iter().flatten()) {
        *known = known.or(*added);
    }
    true
}

fn source_of(sources: &[&[SlotSource]], index: usize, slot: usize) -> SlotSource {
    let source = sources.get(index).and_then(|sources| sources.get(slot));
    source.copied().unwrap_or(SlotSource::Missing)
}

fn column(cursor: &Cursor, source: SlotSource) -> Option<Cow<'_, Column>> {
    match source {
        SlotSource::Field(index) => cursor.fields.get(index).map(Cow::Borrowed),
        SlotSource::Tag(index) => cursor.tags.get(index).map(|tags| Cow::Owned(tag_column(tags))),
        SlotSource::Missing => None,
    }
}

/// Empty tag values become nulls.
pub(crate) fn tag_column(tags: &StringColumn) -> Column {
    let mut column = Column::full(Values::String(tags.clone()));
    if tags.entries().any(str::is_empty) {
        tags.iter().enumerate().for_each(|(row, tag)| column.validity.push(row, !tag.is_empty()));
    }
    column
}
