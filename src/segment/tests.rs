//! Rows through a run and back, against a map.

use std::collections::BTreeMap;

use super::block::Error;
use super::index::Index;
use super::packer::Address;
use super::reader::{self, Blocks};
use super::writer::{PAGE_ROWS_MAX, Rows, Run, RunWriter};
use crate::batch::FrameTable;
use crate::batch::column::{Column, Values};
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::batch::slabs::Slabs;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::value::{FieldType, FieldValue};

struct Bytes<'a>(&'a Run);

impl Blocks for Bytes<'_> {
    type Error = Error;
    fn with<T>(
        &mut self,
        at: Address,
        read: impl FnOnce(&[u8]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let start = at.offset as usize;
        read(&self.0.values[at.value as usize][start..start + at.bytes as usize])
    }
}

/// Rows in the order of writing.
#[derive(Default)]
struct Input {
    series: SeriesTable,
    row_series: Vec<u32>,
    times_ns: Vec<i64>,
    fields: Vec<(ColumnId, Column)>,
}

/// Series (tag values), time, field id to value.
type Model = BTreeMap<(Vec<String>, i64, u32), FieldValue>;

fn random_value(rng: &mut fastrand::Rng, field_type: FieldType) -> Values {
    match field_type {
        FieldType::Float => Values::Float(vec![rng.f64()]),
        FieldType::Integer => Values::Integer(vec![rng.i64(..)]),
        FieldType::Unsigned => Values::Unsigned(vec![rng.u64(..)]),
        FieldType::String => {
            Values::String([rng.u32(..50).to_string().as_str()].into_iter().collect())
        }
        FieldType::Boolean => Values::Boolean(vec![rng.bool()]),
    }
}

/// Random rows with overwrites and nulls; field 9 never has a value, tag 8 no series.
fn random(rng: &mut fastrand::Rng, rows: usize, series: u32, model: &mut Model) -> Input {
    let dictionary =
        |prefix: char| (0..series).map(move |i| format!("{prefix}{}", (i + 3) % series));
    let texts = [dictionary('h').collect::<Vec<_>>(), dictionary('r').take(2).collect()];
    let tag = |texts: &[String], code: &dyn Fn(u32) -> u32| TagColumn {
        dictionary: texts.iter().map(String::as_str).collect(),
        codes: (0..series).map(code).collect(),
    };
    let mut input = Input {
        series: SeriesTable {
            tags: vec![
                tag(&texts[0], &|s| s + 1),
                tag(&[], &|_| 0),
                tag(&texts[1], &|s| s % texts[1].len().max(1) as u32 * (s % 2)),
            ],
            len: series,
        },
        ..Input::default()
    };
    input.fields =
        (10..15).zip(FieldType::ALL).map(|(id, t)| (ColumnId(id), Column::new(t))).collect();
    input.fields.push((ColumnId(9), Column::new(FieldType::Float)));
    for _ in 0..rows {
        let (series, time_ns) = (rng.u32(..series), rng.i64(-3_000..9_000));
        input.row_series.push(series);
        input.times_ns.push(time_ns);
        let tags: Vec<String> =
            input.series.tags.iter().map(|tag| tag.get(series as usize).to_owned()).collect();
        for (id, column) in &mut input.fields {
            if *id == ColumnId(9) || rng.u32(..3) == 0 {
                column.push_null();
                continue;
            }
            let value = Column::full(random_value(rng, column.values.field_type()));
            column.extend_from(&value);
            model.insert((tags.clone(), time_ns, id.0), value.get(0).unwrap());
        }
    }
    input
}

fn write(input: &Input, window_ns: i64) -> Run {
    let mut writer = RunWriter::new(window_ns, 3, 5);
    writer.add(&Rows {
        measurement: MeasurementId(1),
        tag_ids: &[ColumnId(7), ColumnId(8), ColumnId(2)],
        series: &input.series,
        row_series: &input.row_series,
        times_ns: &input.times_ns,
        fields: &Slabs::single(&input.fields),
    });
    writer.finish(100, 1_900_000)
}

/// Tags 2 and 7 of a series, and a time.
type RowKey = (String, String, i64);

/// Adds the values of a table whose rows follow the one at `last`.
fn read_table(
    table: &FrameTable,
    last: &mut Option<RowKey>,
    model: &mut Model,
    check: impl Fn(i64),
) {
    let block = &table.block;
    for (row, (&series, &time_ns)) in block.row_series.iter().zip(&block.times_ns).enumerate() {
        let tag = |at: usize| block.series.tags[at].get(series as usize).to_owned();
        let key = Some((tag(0), tag(1), time_ns));
        assert!(*last < key, "sorted by series and time, and distinct");
        check(time_ns);
        for (id, column) in table.field_ids.iter().zip(&block.fields) {
            if let Some(value) = column.get(row) {
                model.insert((vec![tag(1), String::new(), tag(0)], time_ns, id.0), value);
            }
        }
        *last = key;
    }
}

/// Reads everything back and checks order, bounds and sizes on the way.
fn read(run: &Run, window_ns: i64) -> (Model, usize) {
    let mut model = Model::new();
    let mut rows = 0;
    for (directory, body) in &run.directories {
        for summary in &directory.segments {
            let start = summary.index_offset as usize;
            let bytes = &body[start..start + summary.index_bytes as usize];
            let index = Index::decode(bytes).unwrap();
            let mut last = None;
            let mut of_segment = 0;
            let each = |table: FrameTable| {
                of_segment += table.block.rows();
                read_table(&table, &mut last, &mut model, |time_ns| {
                    assert_eq!(time_ns.div_euclid(window_ns), summary.window);
                    assert!(summary.time().contains(time_ns));
                });
                Ok(())
            };
            reader::each_table(summary.measurement, &index, &mut Bytes(run), each).unwrap();
            assert_eq!(summary.rows as usize, of_segment);
            rows += of_segment;
            for page in &index.pages {
                assert!(page.rows as usize <= PAGE_ROWS_MAX);
                assert!(summary.min_time_ns <= page.min_time_ns);
            }
            for address in index.addresses() {
                assert!(
                    (summary.value..summary.value + summary.value_count).contains(&address.value)
                );
            }
        }
    }
    (model, rows)
}

#[test]
fn what_was_written_is_read_with_the_last_value_of_each_field() {
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (rows, series) = (rng.usize(1..6_000), rng.u32(1..200));
        let mut model = Model::new();
        let input = random(&mut rng, rows, series.max(2), &mut model);
        let window_ns = [1_000, 100_000][rng.usize(..2)];
        let run = write(&input, window_ns);
        let (found, _) = read(&run, window_ns);
        assert_eq!(found, model, "seed {seed}");
    }
}

#[test]
fn long_strings_make_short_pages_that_fit_a_row() {
    let text = "x".repeat(1 << 20);
    let mut column = Column::new(FieldType::String);
    let one = Column::full(Values::String([text.as_str()].into_iter().collect()));
    (0..5).for_each(|_| assert!(column.extend_from(&one)));
    let input = Input {
        series: SeriesTable { tags: Vec::new(), len: 1 },
        row_series: vec![0; 5],
        times_ns: (0..5).collect(),
        fields: vec![(ColumnId(1), column)],
    };
    let mut writer = RunWriter::new(1_000, 1, 1);
    writer.add(&Rows {
        measurement: MeasurementId(1),
        tag_ids: &[],
        series: &input.series,
        row_series: &input.row_series,
        times_ns: &input.times_ns,
        fields: &Slabs::single(&input.fields),
    });
    let run = writer.finish(0, 1_900_000);
    assert_eq!(run.directories[0].0.segments[0].value_count, 5);
    assert!(run.values.iter().all(|value| value.len() < 1_900_000));
}

#[test]
fn directory_rows_are_split_before_they_grow_too_long() {
    let mut rng = fastrand::Rng::with_seed(1);
    let input = random(&mut rng, 5_000, 50, &mut Model::new());
    let mut writer = RunWriter::new(10, 1, 1);
    let rows = Rows {
        measurement: MeasurementId(1),
        tag_ids: &[ColumnId(7), ColumnId(8), ColumnId(2)],
        series: &input.series,
        row_series: &input.row_series,
        times_ns: &input.times_ns,
        fields: &Slabs::single(&input.fields),
    };
    writer.add(&rows);
    let run = writer.finish(7, 20_000);
    assert!(run.directories.len() > 2);
    for (head, body) in &run.directories {
        assert!(head.encode().len() + body.len() <= 20_000);
        assert_eq!((head.first_value, head.values), (7, run.values.len() as u32));
    }
}
