//! Merges the rows of a group from several shards by time.

use super::join_limit::append;
use crate::error::{QueryError, Result};
use crate::plan::VariableSource;
use crate::result::{Column, StringColumn, Values};
use crate::stream::{Front, Stream};
use crate::work::Work;
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::scan::page::GroupData;
use tidemark_model::bug::OrBug;
use tidemark_model::limits::WORK_PER_TURN;
use tidemark_model::value::FieldType;

/// The next rows of a group. A column that is `None` contains only nulls.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RowBatch {
    pub(crate) times_ns: Vec<i64>,
    pub(crate) columns: Vec<Option<Column>>,
}

impl RowBatch {
    /// Returns rows `from..to`, which must exist in the batch.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Self {
        // The positions of the rows in a batch fit in u32.
        let rows: Vec<u32> = (from as u32..to as u32).collect();
        Self {
            times_ns: self.times_ns.get(from..to).or_bug().to_vec(),
            columns: self.columns.iter().map(|c| Some(c.as_ref()?.gather(&rows))).collect(),
        }
    }
}

/// A batch of rows that is read in several turns.
#[derive(Debug)]
pub(crate) struct Unread {
    batch: RowBatch,
    next: usize,
}

impl Unread {
    pub(crate) fn new(batch: RowBatch) -> Self {
        Self { batch, next: 0 }
    }

    /// Removes and returns as many rows as the rest of the turn permits, but at least one row. Each
    /// row costs `row_work` units, which are added to `work`.
    pub(crate) fn next(
        unread: &mut Option<Self>,
        row_work: usize,
        work: &Work,
    ) -> Option<RowBatch> {
        let Self { batch, next } = unread.take()?;
        let rows = batch.times_ns.len();
        let end = rows.min(next + (work.left() / row_work.max(1)).max(1));
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

/// Returns the number of rows of one turn if each row costs `row_work` units.
pub(crate) fn rows_per_turn(row_work: usize) -> usize {
    (WORK_PER_TURN as usize / row_work.max(1)).max(1)
}

/// The result of a step of [`RowMerge`].
#[derive(Debug)]
pub(crate) enum Merged {
    Batch(RowBatch),
    /// The streams that must first receive another page.
    Missing(Vec<usize>),
    /// The statement must pause before the next call.
    Pause,
    End,
}

/// The number of copied cells that count as one unit of [`Work`].
const CELLS_PER_UNIT: usize = 4;

/// The rows of a stream's page.
#[derive(Debug, Default)]
struct Cursor {
    rows: RowBatch,
    next: usize,
}

impl Cursor {
    fn time(&self) -> Option<i64> {
        self.rows.times_ns.get(self.next).copied()
    }

    fn take_rest(&mut self) -> RowBatch {
        let Self { rows, next } = std::mem::take(self);
        if next == 0 { rows } else { rows.slice(next, rows.times_ns.len()) }
    }
}

/// Merges the rows of the current group from several streams.
#[derive(Debug, Default)]
pub(crate) struct RowMerge {
    cursors: Vec<Cursor>,
}

impl RowMerge {
    /// Returns the next rows of group `key`. `sources[i]` contains each variable's position in the
    /// pages of stream `i`.
    pub(crate) fn next(
        &mut self,
        key: &[String],
        streams: &mut [Stream],
        sources: &[&[VariableSource]],
        n_columns: usize,
        direction: Direction,
        work: &Work,
    ) -> Result<Merged> {
        self.cursors.resize_with(streams.len(), Cursor::default);
        match self.refill(key, streams, sources, n_columns, work)? {
            None => return Ok(Merged::Pause),
            Some(missing) if !missing.is_empty() => return Ok(Merged::Missing(missing)),
            Some(_) => {}
        }
        let active = self.cursors.iter_mut().filter(|cursor| cursor.time().is_some());
        let mut active: Vec<&mut Cursor> = active.collect();
        Ok(match active.as_mut_slice() {
            [] => Merged::End,
            [only] => Merged::Batch(only.take_rest()),
            several => {
                let batch = merge(several, n_columns, direction);
                work.add(batch.times_ns.len() * n_columns / CELLS_PER_UNIT);
                Merged::Batch(batch)
            }
        })
    }

    /// Takes the next part of the group from each stream without remaining rows. Returns the
    /// streams whose next page may contain more rows of the group; `None` if the statement must
    /// first pause.
    fn refill(
        &mut self,
        key: &[String],
        streams: &mut [Stream],
        sources: &[&[VariableSource]],
        n_columns: usize,
        work: &Work,
    ) -> Result<Option<Vec<usize>>> {
        let mut missing = Vec::new();
        let streams = streams.iter_mut().zip(sources);
        for (index, (cursor, (stream, sources))) in self.cursors.iter_mut().zip(streams).enumerate()
        {
            while cursor.time().is_none() {
                // Frees the page, because the stream may have no further page.
                *cursor = Cursor::default();
                match stream.front() {
                    Front::Group(front) if front == key => {
                        if work.is_due() {
                            return Ok(None);
                        }
                        let Some(GroupData::Rows { times_ns, fields, tags }) = stream.pop() else {
                            return Err(QueryError::Page("rows were asked for"));
                        };
                        work.add(1 + times_ns.len() * (1 + n_columns) / CELLS_PER_UNIT);
                        let mut fields: Vec<Option<Column>> =
                            fields.into_iter().map(Some).collect();
                        // Each field is the source of one variable.
                        let column = |source: &VariableSource| match *source {
                            VariableSource::Field(index) => fields.get_mut(index)?.take(),
                            VariableSource::Tag(index) => tags.get(index).map(tag_column),
                            VariableSource::Missing => None,
                        };
                        let mut columns: Vec<Option<Column>> = sources.iter().map(column).collect();
                        columns.resize(n_columns, None);
                        *cursor = Cursor { rows: RowBatch { times_ns, columns }, next: 0 };
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
        Ok(Some(missing))
    }
}

/// Merges rows by time until a stream has no remaining rows, or a turn's work is done.
fn merge(cursors: &mut [&mut Cursor], n_columns: usize, direction: Direction) -> RowBatch {
    let starts: Vec<usize> = cursors.iter().map(|cursor| cursor.next).collect();
    let (times_ns, order) = order(cursors, n_columns, direction);
    // Concatenate the rows of all streams, then select the rows in order.
    let mut bases = Vec::with_capacity(cursors.len());
    let mut base = 0;
    for (cursor, &start) in cursors.iter().zip(&starts) {
        bases.push(base as i64 - start as i64);
        base += cursor.next - start;
    }
    let picked: Vec<u32> = (order.iter())
        .map(|&(stream, row)| (bases.get(stream).copied().or_bug() + row as i64) as u32)
        .collect();
    let column = |position: usize| {
        let mut all: Option<Column> = None;
        let mut before = 0;
        for (cursor, &start) in cursors.iter().zip(&starts).filter(|(c, start)| c.next > **start) {
            let rows: Vec<u32> = (start as u32..cursor.next as u32).collect();
            let part = cursor.rows.columns.get(position).and_then(Option::as_ref);
            append(&mut all, part, &rows, before);
            before += rows.len();
        }
        all.map(|column| column.gather(&picked))
    };
    RowBatch { times_ns, columns: (0..n_columns).map(column).collect() }
}

/// Returns the times and the rows in order, and advances the cursors. A row is the position of a
/// cursor and a row number. The order ends when a stream has no more rows, before a row of
/// different types, or when a turn's work is done. Only subqueries can cause different types.
fn order(
    cursors: &mut [&mut Cursor],
    n_columns: usize,
    direction: Direction,
) -> (Vec<i64>, Vec<(usize, usize)>) {
    let (mut times, mut order) = (Vec::new(), Vec::new());
    let mut types: Vec<Option<FieldType>> = vec![None; n_columns];
    let mut has_rows = vec![false; cursors.len()];
    // Each row is compared with the next row of every stream, and its columns are copied.
    let rows_max = rows_per_turn(cursors.len() + n_columns);
    loop {
        if times.len() == rows_max {
            return (times, order);
        }
        let mut best: Option<(i64, usize)> = None;
        for (position, cursor) in cursors.iter().enumerate() {
            let Some(time) = cursor.time() else { return (times, order) };
            if best.is_none_or(|(best, _)| direction.order(time.cmp(&best)).is_lt()) {
                best = Some((time, position));
            }
        }
        let Some((time, position)) = best else { return (times, order) };
        let found = (cursors.get_mut(position), has_rows.get_mut(position));
        let (Some(cursor), Some(is_known)) = found else { return (times, order) };
        if !std::mem::replace(is_known, true) && !join_types(&mut types, &cursor.rows.columns) {
            return (times, order);
        }
        times.push(time);
        order.push((position, cursor.next));
        cursor.next += 1;
    }
}

/// Returns `false` if the types clash.
fn join_types(types: &mut [Option<FieldType>], columns: &[Option<Column>]) -> bool {
    let added = || columns.iter().map(|c| c.as_ref().map(|column| column.values.field_type()));
    let clash = |(known, added): (&Option<FieldType>, Option<FieldType>)| {
        known.is_some() && added.is_some() && *known != added
    };
    if types.iter().zip(added()).any(clash) {
        return false;
    }
    types.iter_mut().zip(added()).for_each(|(known, added)| *known = known.or(added));
    true
}

/// Converts the values of a tag to a column. Empty values become nulls.
pub(crate) fn tag_column(tags: &StringColumn) -> Column {
    let mut column = Column::full(Values::String(tags.clone()));
    if tags.entries().any(str::is_empty) {
        tags.iter().enumerate().for_each(|(row, tag)| column.validity.push(row, !tag.is_empty()));
    }
    column
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::partials::tests::stream;
    use tidemark_engine::scan::request::{Input, Output};
    use tidemark_model::ids::ColumnId;

    #[test]
    fn rows_of_many_streams_are_taken_in_turns() {
        const COLUMNS: usize = 7;
        let input = Input { column: ColumnId(1), field_type: FieldType::Integer, cast: None };
        let (fields, tags) = (vec![input; COLUMNS], Vec::new());
        let output = Output::Rows { fields, tags, limit: None, every_row: false };
        let column = Column::full(Values::Integer(vec![1; 200]));
        let rows = GroupData::Rows {
            times_ns: (0..200).collect(),
            fields: vec![column; COLUMNS],
            tags: Vec::new(),
        };
        let mut streams: Vec<Stream> =
            (0..100).map(|_| stream(output.clone(), rows.clone())).collect();
        let fields: Vec<VariableSource> = (0..COLUMNS).map(VariableSource::Field).collect();
        let sources = vec![&fields[..]; 100];
        let (mut merge, work) = (RowMerge::default(), Work::default());
        // The rest of the turn suffices for the rows of 50 streams.
        let stream_work = 1 + 200 * (1 + COLUMNS) / CELLS_PER_UNIT;
        work.add(WORK_PER_TURN as usize - 50 * stream_work);
        let mut next = || {
            merge.next(&[], &mut streams, &sources, COLUMNS, Direction::Ascending, &work).unwrap()
        };
        assert!(matches!(next(), Merged::Pause));
        assert!(work.pauses().unwrap());
        let Merged::Batch(batch) = next() else { panic!("no rows") };
        assert_eq!(batch.times_ns.len(), rows_per_turn(100 + COLUMNS));
        let is_full = |column: &Option<Column>| {
            column.as_ref().is_some_and(|column| column.len() == batch.times_ns.len())
        };
        assert!(batch.columns.iter().all(is_full));
        assert_eq!(batch.columns.len(), COLUMNS);
    }

    #[test]
    fn unread_rows_fill_the_rest_of_a_turn() {
        let work = Work::default();
        work.add(WORK_PER_TURN as usize - 1_000);
        let batch = RowBatch { times_ns: (0..100).collect(), columns: Vec::new() };
        let mut unread = Some(Unread::new(batch));
        let mut next = || Unread::next(&mut unread, 100, &work).map(|rows| rows.times_ns.len());
        assert_eq!([next(), next()], [Some(10), Some(1)]);
        work.rest();
        assert_eq!([next(), next()], [Some(89), None]);
    }

    #[test]
    fn merge_of_many_streams_ends_after_a_turn() {
        let rows = RowBatch { times_ns: (0..2_000).collect(), columns: Vec::new() };
        let new = |_| Cursor { rows: rows.clone(), next: 0 };
        let mut cursors: Vec<Cursor> = (0..100).map(new).collect();
        let mut times_ns = Vec::new();
        while cursors.iter().all(|cursor| cursor.time().is_some()) {
            let batch = merge(&mut cursors.iter_mut().collect::<Vec<_>>(), 0, Direction::Ascending);
            assert!((1..=2_000).contains(&batch.times_ns.len()), "{}", batch.times_ns.len());
            times_ns.extend(batch.times_ns);
        }
        // The first stream ends before the last rows of the other streams.
        assert_eq!(times_ns.len(), 2_000 * 100 - 99);
        assert!(times_ns.is_sorted());
    }
}
