//! A compact model of the contents of a shard: two measurements, six series, 24 times and five
//! fields. The model is an array of small numbers, so it is cheap to copy and to compare.

use tidemark_engine::batch::column::{Column, Values};
use tidemark_engine::batch::series_table::{SeriesTable, TagColumn};
use tidemark_engine::batch::{Block, FrameTable};
use tidemark_engine::merge::cursor::ReadError;
use tidemark_engine::scan::reader::Reader;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldValue;

use super::{WINDOW_NS, encode_tables};
use crate::every_row::every_row;

pub(super) const MEASUREMENTS: usize = 2;
pub(super) const SERIES: usize = 6;
pub(super) const TIMES: usize = 24;
pub(super) const FIELDS: usize = 5;
const CELLS: usize = MEASUREMENTS * SERIES * TIMES * FIELDS;

/// Tags 1 and 2 of each series. An empty text means that the series does not have the tag.
const TAGS: [(&str, &str); SERIES] =
    [("", ""), ("a", ""), ("b", ""), ("", "x"), ("a", "x"), ("b", "x")];
const TAG_IDS: [ColumnId; 2] = [ColumnId(1), ColumnId(2)];
const FIELD_IDS: [ColumnId; FIELDS] =
    [ColumnId(10), ColumnId(11), ColumnId(12), ColumnId(13), ColumnId(14)];

/// The value of each cell, at least 1. An empty cell has the value 0.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Grid(Box<[u16; CELLS]>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Cells {
    pub(super) measurement: usize,
    pub(super) series: usize,
    pub(super) time: usize,
    pub(super) values: [u16; FIELDS],
}

/// Each of the six windows contains four times. The last two windows are far in the future.
pub(super) fn time_ns(time: usize) -> i64 {
    let near = (time as i64 - 8) * (WINDOW_NS / 4);
    match time {
        22 => near - 40_000 * WINDOW_NS,
        23 => near + 90_000 * WINDOW_NS,
        _ => near,
    }
}

fn time_of(time_ns: i64) -> usize {
    let time = (0..TIMES).find(|&time| self::time_ns(time) == time_ns);
    time.unwrap_or_else(|| panic!("nobody wrote a row at {time_ns}"))
}

fn place(measurement: usize, series: usize, time: usize, field: usize) -> usize {
    ((measurement * SERIES + series) * TIMES + time) * FIELDS + field
}

impl Grid {
    pub(super) fn new() -> Self {
        Self(Box::new([0; CELLS]))
    }

    pub(super) fn write(&mut self, rows: &[Cells]) {
        for row in rows {
            for (field, value) in row.values.into_iter().enumerate().filter(|&(_, v)| v > 0) {
                self.0[place(row.measurement, row.series, row.time, field)] = value;
            }
        }
    }

    /// Empties the cells for whose series and time `doomed` returns true.
    pub(super) fn delete(&mut self, measurement: usize, doomed: impl Fn(usize, i64) -> bool) {
        for series in 0..SERIES {
            for time in (0..TIMES).filter(|&time| doomed(series, time_ns(time))) {
                let at = place(measurement, series, time, 0);
                self.0[at..at + FIELDS].fill(0);
            }
        }
    }

    pub(super) fn part(&self, measurement: usize, time: TimeRange) -> Self {
        let mut part = Self::new();
        for series in 0..SERIES {
            for at_time in (0..TIMES).filter(|&t| time.contains(time_ns(t))) {
                let at = place(measurement, series, at_time, 0);
                part.0[at..at + FIELDS].copy_from_slice(&self.0[at..at + FIELDS]);
            }
        }
        part
    }

    pub(super) fn rows(&self) -> Vec<Cells> {
        let mut rows = Vec::new();
        for at in 0..CELLS / FIELDS {
            let mut values = [0; FIELDS];
            values.copy_from_slice(&self.0[at * FIELDS..(at + 1) * FIELDS]);
            if values != [0; FIELDS] {
                let (series, time) = (at / TIMES, at % TIMES);
                let (measurement, series) = (series / SERIES, series % SERIES);
                rows.push(Cells { measurement, series, time, values });
            }
        }
        rows
    }

    pub(super) fn series(&self) -> u64 {
        let series = self.0.chunks(TIMES * FIELDS);
        series.filter(|cells| cells.iter().any(|&value| value > 0)).count() as u64
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(value, more)| *value += more);
    }

    /// Empties the cells before `first_kept_ns` that are empty in `found`.
    pub(super) fn drop_expired(&mut self, found: &Self, first_kept_ns: i64) {
        for at in (0..CELLS).filter(|&at| found.0[at] == 0) {
            if time_ns(at / FIELDS % TIMES) < first_kept_ns {
                self.0[at] = 0;
            }
        }
    }

    pub(super) fn assert_is(&self, found: &Self) {
        if let Some(difference) = self.difference(found) {
            panic!("expected and found differ in {difference}");
        }
    }

    fn difference(&self, other: &Self) -> Option<String> {
        let at = (0..CELLS).find(|&at| self.0[at] != other.0[at])?;
        let (row, field) = (at / FIELDS, at % FIELDS);
        let (series, time) = (row / TIMES, row % TIMES);
        Some(format!(
            "measurement {} tags {:?} time {time} field {field}: {} against {}",
            series / SERIES,
            TAGS[series % SERIES],
            self.0[at],
            other.0[at]
        ))
    }
}

pub(super) fn read(
    reader: &dyn Reader,
    (measurement, id): (usize, MeasurementId),
    time: TimeRange,
) -> Result<Grid, ReadError> {
    let mut grid = Grid::new();
    every_row(reader, id, time, &FIELD_IDS, &mut |(tags, time_ns, values)| {
        let tag = |id| tags.iter().find(|(tag, _)| *tag == id).map_or("", |(_, v)| v.as_str());
        let tags = (tag(TAG_IDS[0]), tag(TAG_IDS[1]));
        let series = TAGS.iter().position(|&held| held == tags).expect("a series of ours");
        for (id, value) in values {
            let field = id.0 as usize - 10;
            let at = place(measurement, series, time_of(time_ns), field);
            grid.0[at] = number(field, &value);
        }
    })?;
    Ok(grid)
}

pub(super) fn value_max(field: usize) -> u16 {
    if field == 4 { 2 } else { 900 }
}

fn number(field: usize, value: &FieldValue) -> u16 {
    match (field, value) {
        (0, FieldValue::Float(value)) => (value * 4.0) as u16,
        (1, FieldValue::Integer(value)) => -*value as u16,
        (2, FieldValue::Unsigned(value)) => (value - (1 << 63)) as u16,
        (3, FieldValue::String(value)) => value[1..].parse().expect("a string of ours"),
        (4, FieldValue::Boolean(value)) => 1 + u16::from(*value),
        other => panic!("{other:?}"),
    }
}

fn column(field: usize, values: impl Iterator<Item = u16> + Clone) -> Column {
    let values_of = || values.clone().filter(|&value| value > 0).map(u64::from);
    let mut column = Column::full(match field {
        0 => Values::Float(values_of().map(|value| value as f64 / 4.0).collect()),
        1 => Values::Integer(values_of().map(|value| -(value as i64)).collect()),
        2 => Values::Unsigned(values_of().map(|value| value + (1 << 63)).collect()),
        3 => {
            let texts: Vec<String> = values_of().map(|value| format!("s{value}")).collect();
            Values::String(texts.iter().map(String::as_str).collect())
        }
        _ => Values::Boolean(values_of().map(|value| value > 1).collect()),
    });
    if values.clone().any(|value| value == 0) {
        let full = std::mem::replace(&mut column, Column::new(full_type(field)));
        let mut next = 0;
        for value in values {
            if value == 0 {
                column.push_null();
            } else {
                assert!(column.push_from(&full, next), "one type per field");
                next += 1;
            }
        }
    }
    column
}

fn full_type(field: usize) -> tidemark_model::value::FieldType {
    super::field_type(10 + field as u32)
}

/// Encodes a frame with the rows. `ids` are the ids of the measurements.
pub(super) fn encode(rows: &[Cells], ids: [MeasurementId; MEASUREMENTS]) -> Vec<u8> {
    let mut tables = Vec::new();
    for (at, &measurement) in ids.iter().enumerate() {
        let of: Vec<&Cells> = rows.iter().filter(|row| row.measurement == at).collect();
        if !of.is_empty() {
            let (field_ids, block) = block(&of);
            tables.push(FrameTable { measurement, tag_ids: TAG_IDS.to_vec(), field_ids, block });
        }
    }
    encode_tables(&tables)
}

fn block(rows: &[&Cells]) -> (Vec<ColumnId>, Block) {
    let mut tags = [TagColumn::default(), TagColumn::default()];
    let mut slots: Vec<usize> = Vec::new();
    let mut block = Block::default();
    for row in rows {
        let known = slots.iter().position(|&slot| slot == row.series);
        let number = known.unwrap_or_else(|| {
            slots.push(row.series);
            let (first, second) = TAGS[row.series];
            for (tag, value) in tags.iter_mut().zip([first, second]) {
                let held = tag.dictionary.iter().position(|held| held == value);
                let code = match (value, held) {
                    ("", _) => 0,
                    (_, Some(position)) => position + 1,
                    (_, None) => {
                        tag.dictionary.push(value);
                        tag.dictionary.len()
                    }
                };
                tag.codes.push(code as u32);
            }
            slots.len() - 1
        });
        block.row_series.push(number as u32);
        block.times_ns.push(time_ns(row.time));
    }
    block.series = SeriesTable { tags: tags.into(), len: slots.len() as u32 };
    let mut ids = Vec::new();
    for (field, id) in FIELD_IDS.into_iter().enumerate() {
        let values = rows.iter().map(|row| row.values[field]);
        if values.clone().any(|value| value > 0) {
            ids.push(id);
            block.fields.push(column(field, values));
        }
    }
    (ids, block)
}

pub(super) fn tag(series: usize) -> &'static str {
    TAGS[series].0
}

/// Whether the deletes in these tests select the series.
pub(super) fn is_chosen(series: usize) -> bool {
    TAGS[series].0 == "a"
}
