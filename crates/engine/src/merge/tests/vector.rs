//! Defines a cursor over vectors of rows, which are randomly cut into pages, and the rows that the
//! cursor must return.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use crate::batch::column::{Column, Values};
use crate::batch::narrow::Narrow;
use crate::merge::cursor::{Columns, Direction, PageColumn, PageKeys, ReadError, SeriesCursor};
use crate::merge::key::SeriesKey;
use tidemark_model::ids::ColumnId;
use tidemark_model::time::TimeRange;
use tidemark_model::value::{FieldType, FieldValue};

pub(crate) type Fields = BTreeMap<u32, FieldValue>;
pub(crate) type Story = BTreeMap<(SeriesKey, i64), Fields>;

pub(crate) struct VectorCursor {
    direction: Direction,
    pages: Vec<Page>,
    series: Vec<Series>,
    at: usize,
    pieces: usize,
    /// Repeated reads of the last column are not counted.
    pub(crate) decoded: Rc<Cell<usize>>,
    last: Option<(u64, ColumnId)>,
}

struct Page {
    columns: Columns,
    times_ns: Rc<[i64]>,
    fields: BTreeMap<u32, Rc<Column>>,
}

struct Series {
    key: SeriesKey,
    pieces: Vec<(usize, Range<u32>)>,
}

/// Also returns a column without values.
fn columns_of(rows: &[(&(SeriesKey, i64), &Fields)], rng: &mut fastrand::Rng) -> Columns {
    let mut columns = BTreeMap::new();
    for (&id, value) in rows.iter().flat_map(|row| row.1) {
        columns.insert(ColumnId(id), value.field_type());
    }
    columns.insert(ColumnId(1_000 + rng.u32(..3)), FieldType::Float);
    columns.into_iter().collect()
}

fn page_of(rows: &[(&(SeriesKey, i64), &Fields)], columns: &Columns) -> Page {
    let mut fields = BTreeMap::new();
    for &(id, field_type) in columns.iter() {
        if !rows.iter().any(|row| row.1.contains_key(&id.0)) {
            continue;
        }
        let mut column = Column::new(field_type);
        for row in rows {
            match row.1.get(&id.0) {
                Some(value) => assert!(column.push_from(&Column::full(values(value)), 0)),
                None => column.push_null(),
            }
        }
        fields.insert(id.0, Rc::new(column));
    }
    let times_ns = rows.iter().map(|row| row.0.1).collect();
    Page { columns: Rc::clone(columns), times_ns, fields }
}

pub(crate) fn values(value: &FieldValue) -> Values {
    match value {
        FieldValue::Float(value) => Values::Float(vec![*value]),
        FieldValue::Integer(value) => Values::Integer(vec![*value]),
        FieldValue::Unsigned(value) => Values::Unsigned(vec![*value]),
        FieldValue::String(value) => Values::String([&**value].into_iter().collect()),
        FieldValue::Boolean(value) => Values::Boolean(vec![*value]),
    }
}

impl VectorCursor {
    /// Creates a cursor in which the rows of each page belong to one measurement.
    pub(crate) fn new(
        story: &Story,
        page_rows: usize,
        direction: Direction,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let rows: Vec<_> = story.iter().collect();
        let (mut pages, mut series) = (Vec::new(), Vec::<Series>::new());
        for group in rows.chunk_by(|a, b| a.0.0.measurement() == b.0.0.measurement()) {
            let mut rest = group;
            while !rest.is_empty() {
                let (page, behind) = rest.split_at(rng.usize(1..=page_rows).min(rest.len()));
                let mut start = 0;
                for piece in page.chunk_by(|a, b| a.0.0 == b.0.0) {
                    let key = &piece[0].0.0;
                    if series.last().is_none_or(|last| last.key != *key) {
                        series.push(Series { key: key.clone(), pieces: Vec::new() });
                    }
                    let end = start + piece.len() as u32;
                    series.last_mut().unwrap().pieces.push((pages.len(), start..end));
                    start = end;
                }
                pages.push(page_of(page, &columns_of(page, rng)));
                rest = behind;
            }
        }
        if direction == Direction::Descending {
            series.reverse();
            series.iter_mut().for_each(|series| series.pieces.reverse());
        }
        Self { direction, pages, series, at: 0, pieces: 0, decoded: Rc::default(), last: None }
    }
}

impl SeriesCursor for VectorCursor {
    fn key(&self) -> Option<&SeriesKey> {
        self.series.get(self.at).map(|series| &series.key)
    }

    fn seek(&mut self, to: &SeriesKey) -> Result<(), ReadError> {
        while self.key().is_some_and(|key| self.direction.order(key.cmp(to)).is_lt()) {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), ReadError> {
        (self.at, self.pieces) = (self.at + 1, 0);
        Ok(())
    }

    fn page(&mut self, time: TimeRange) -> Result<Option<PageKeys>, ReadError> {
        let Some(series) = self.series.get(self.at) else { return Ok(None) };
        while let Some((at, rows)) = series.pieces.get(self.pieces) {
            self.pieces += 1;
            let Page { columns, times_ns, .. } = &self.pages[*at];
            let (columns, times_ns) = (Rc::clone(columns), Rc::clone(times_ns));
            let keys = PageKeys::new(*at as u64, columns, times_ns, rows.clone());
            if let Some(keys) = keys.within(time) {
                return Ok(Some(keys));
            }
        }
        Ok(None)
    }

    fn has_rows(&mut self, time: TimeRange) -> Result<bool, ReadError> {
        let pieces = std::mem::replace(&mut self.pieces, 0);
        let has_rows = self.page(time)?.is_some();
        self.pieces = pieces;
        Ok(has_rows)
    }

    fn column(&mut self, page: &PageKeys, id: ColumnId) -> Result<Option<PageColumn>, ReadError> {
        if self.last.replace((page.page(), id)) != Some((page.page(), id)) {
            self.decoded.update(|decoded| decoded + 1);
        }
        let column = self.pages[page.page() as usize].fields.get(&id.0);
        Ok(column.map(|column| match Narrow::of(column) {
            Some(narrow) if id.0.is_multiple_of(2) => PageColumn::Narrow(Rc::new(narrow)),
            _ => PageColumn::Wide(Rc::clone(column)),
        }))
    }
}
