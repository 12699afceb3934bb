//! Code that the shard tests share: points, frames, and a map that is the model.

mod crash;
mod deletes;
mod directories;
mod driven;
mod due;
mod flips;
mod grid;
mod kept;
mod life;
mod model;
mod reading;
mod rows_written;
mod shard;
mod show;

use std::collections::BTreeMap;
use std::rc::Rc;

use tidemark_engine::batch::column::{Column, Values};
use tidemark_engine::batch::frame::{self, TableRef};
use tidemark_engine::batch::selection::Selection;
use tidemark_engine::batch::series_table::{SeriesTable, TagColumn};
use tidemark_engine::batch::{Block, FrameTable};
use tidemark_engine::protocol::shard::{ShardSettings, Stamp};
use tidemark_engine::scan::page::ScanPage;
use tidemark_engine::scan::request::{Output, ScanRequest};
use tidemark_engine::shard::Shard;
use tidemark_engine::shard::budget::Budget;
use tidemark_engine::shard::refusal::Refusal;
use tidemark_engine::store::Store;
use tidemark_engine::store::memory::MemoryStore;
use tidemark_model::ids::{ColumnId, MeasurementId, ObjectId, PolicyId};
use tidemark_model::time::TimeRange;
use tidemark_model::value::{FieldType, FieldValue};

use crate::every_row::{Row, every_row, part_count};
use crate::world::draw_seed;

/// The ids of tags are 1 to 3. The ids of fields are 10 to 14, one for each type.
pub(super) const FIELDS: [u32; 5] = [10, 11, 12, 13, 14];
pub(super) const WINDOW_NS: i64 = 1_000;
pub(super) const NOW_NS: i64 = 1_000_000_000;

#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) measurement: u32,
    pub(super) tags: Vec<(u32, String)>,
    pub(super) time_ns: i64,
    pub(super) fields: Vec<(u32, FieldValue)>,
}

pub(super) type Key = (u32, Vec<(u32, String)>, i64, u32);
pub(super) type Model = BTreeMap<Key, FieldValue>;

pub(super) fn apply(model: &mut Model, points: &[Point]) {
    for point in points {
        for (field, value) in &point.fields {
            let key = (point.measurement, point.tags.clone(), point.time_ns, *field);
            model.insert(key, value.clone());
        }
    }
}

pub(super) fn field_type(field: u32) -> FieldType {
    FieldType::from_code((field % 5) as u8).unwrap()
}

pub(super) fn random_value(rng: &mut fastrand::Rng, field: u32) -> FieldValue {
    match field_type(field) {
        FieldType::Float => FieldValue::Float(f64::from(rng.i32(-500..500)) / 10.0),
        FieldType::Integer => FieldValue::Integer(rng.i64(-9..9)),
        FieldType::Unsigned => FieldValue::Unsigned(rng.u64(..)),
        FieldType::String => FieldValue::String(format!("s{}", rng.u32(..30)).into()),
        FieldType::Boolean => FieldValue::Boolean(rng.bool()),
    }
}

/// Returns random points with only a few different series and times, so that points overwrite each
/// other.
pub(super) fn random_points(rng: &mut fastrand::Rng, count: usize) -> Vec<Point> {
    let mut point = || {
        let tags = (1..=3)
            .filter_map(|tag| match rng.u32(..4) {
                0 => None,
                value => Some((tag, format!("v{value}"))),
            })
            .collect();
        let mut fields: Vec<_> = FIELDS.iter().filter(|_| rng.u32(..3) > 0).copied().collect();
        if fields.is_empty() {
            fields.push(FIELDS[rng.usize(..5)]);
        }
        let fields = fields.into_iter().map(|field| (field, random_value(rng, field))).collect();
        let time_ns = match rng.u32(..20) {
            0 => rng.i64(-5..5) * 200_000_000,
            _ => rng.i64(-500..2_500),
        };
        Point { measurement: rng.u32(1..4), tags, time_ns, fields }
    };
    (0..count).map(|_| point()).collect()
}

fn push(column: &mut Column, value: Option<&FieldValue>) {
    let values = match value {
        None => return column.push_null(),
        Some(FieldValue::Float(v)) => Values::Float(vec![*v]),
        Some(FieldValue::Integer(v)) => Values::Integer(vec![*v]),
        Some(FieldValue::Unsigned(v)) => Values::Unsigned(vec![*v]),
        Some(FieldValue::String(v)) => Values::String([&**v].into_iter().collect()),
        Some(FieldValue::Boolean(v)) => Values::Boolean(vec![*v]),
    };
    assert!(column.extend_from(&Column::full(values)), "one type per field");
}

pub(super) fn encode(points: &[Point]) -> Vec<u8> {
    let mut measurements: Vec<u32> = points.iter().map(|point| point.measurement).collect();
    measurements.sort_unstable();
    measurements.dedup();
    let tables: Vec<FrameTable> =
        measurements.into_iter().map(|measurement| table(points, measurement)).collect();
    encode_tables(&tables)
}

pub(crate) fn encode_tables(tables: &[FrameTable]) -> Vec<u8> {
    let tables: Vec<TableRef<'_>> = tables
        .iter()
        .map(|table| TableRef {
            measurement: table.measurement,
            tag_ids: &table.tag_ids,
            field_ids: &table.field_ids,
            block: &table.block,
            rows: &Selection::All,
        })
        .collect();
    let mut out = Vec::new();
    frame::encode(&tables, &mut out);
    out
}

/// Encodes a frame with rows of measurement 1.
pub(crate) fn encode_block(block: Block, tag_ids: &[ColumnId], field_ids: &[ColumnId]) -> Vec<u8> {
    let (tag_ids, field_ids) = (tag_ids.to_vec(), field_ids.to_vec());
    encode_tables(&[FrameTable { measurement: MeasurementId(1), tag_ids, field_ids, block }])
}

fn table(points: &[Point], measurement: u32) -> FrameTable {
    let points: Vec<&Point> = points.iter().filter(|p| p.measurement == measurement).collect();
    let ids = |mut ids: Vec<u32>| {
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let tag_ids = ids(points.iter().flat_map(|p| p.tags.iter().map(|t| t.0)).collect());
    let field_ids = ids(points.iter().flat_map(|p| p.fields.iter().map(|f| f.0)).collect());
    let mut numbers: BTreeMap<Vec<(u32, String)>, u32> = BTreeMap::new();
    let mut block = Block {
        series: SeriesTable { tags: vec![TagColumn::default(); tag_ids.len()], len: 0 },
        fields: field_ids.iter().map(|&field| Column::new(field_type(field))).collect(),
        ..Block::default()
    };
    for point in points {
        let next = block.series.len;
        let series = *numbers.entry(point.tags.clone()).or_insert(next);
        if series == next {
            block.series.len += 1;
            for (id, tag) in tag_ids.iter().zip(&mut block.series.tags) {
                let value = point.tags.iter().find(|tag| tag.0 == *id).map(|tag| tag.1.as_str());
                let code = value.map_or(0, |value| {
                    let known = tag.dictionary.iter().position(|held| held == value);
                    1 + known.unwrap_or_else(|| {
                        tag.dictionary.push(value);
                        tag.dictionary.len() - 1
                    })
                });
                tag.codes.push(code as u32);
            }
        }
        block.row_series.push(series);
        block.times_ns.push(point.time_ns);
        for (id, column) in field_ids.iter().zip(&mut block.fields) {
            push(column, point.fields.iter().find(|field| field.0 == *id).map(|field| &field.1));
        }
    }
    let ids = |ids: Vec<u32>| ids.into_iter().map(ColumnId).collect();
    FrameTable {
        measurement: MeasurementId(measurement),
        tag_ids: ids(tag_ids),
        field_ids: ids(field_ids),
        block,
    }
}

pub(crate) fn settings() -> ShardSettings {
    ShardSettings {
        database: ObjectId("db".into()),
        policy: PolicyId(7),
        group: 1,
        shard: 0,
        range: TimeRange::ALL,
        duration_ns: 0,
        retired: Vec::new(),
        window_ns: WINDOW_NS,
        generation: 1,
        access: 0,
    }
}

/// The stamp of a sender whose cached state is current, for a shard with [`settings`].
pub(crate) const STAMP: Stamp = Stamp {
    policy: PolicyId(7),
    generation: 1,
    schema_version: 1,
    fresh: false,
    access: 0,
    meter: None,
};

pub(super) fn budget() -> Rc<Budget> {
    Budget::new(40_000_000, draw_seed())
}

/// Opens a shard with `store`, as a new object would.
pub(super) fn reopen<S: Store>(store: S) -> Shard<S> {
    Shard::new(store, budget(), 9_000_000_000)
}

/// Creates an open shard with an empty store.
pub(super) fn opened() -> (MemoryStore, Shard<MemoryStore>) {
    let store = MemoryStore::new();
    let mut shard = reopen(store.clone());
    shard.open(&settings()).unwrap();
    (store, shard)
}

/// Creates a request for all rows of measurement 1.
pub(crate) fn scan_of(output: Output) -> ScanRequest {
    ScanRequest::new(MeasurementId(1), output)
}

/// Runs the due alarms, and returns their number.
pub(crate) fn run_due<S: Store>(shard: &mut Shard<S>, now_ns: i64) -> u32 {
    let mut count = 0;
    while shard.next_due(now_ns).is_some_and(|due_ns| due_ns <= now_ns) {
        shard.alarm(now_ns);
        count += 1;
    }
    count
}

/// Reads the page that `next` requests, and then changes `next` to the request for the next page.
pub(crate) fn next_page<S: Store>(
    shard: &mut Shard<S>,
    next: &mut Option<ScanRequest>,
    stamp: &Stamp,
) -> Result<Option<ScanPage>, Refusal> {
    let Some(request) = next.take() else { return Ok(None) };
    let page = shard.scan(&request, stamp)?;
    let resume = request.resume.clone().after(page.until.clone(), page.position.clone());
    *next = resume.map(|resume| ScanRequest { resume, ..request });
    Ok(Some(page))
}

pub(super) fn read<S: Store>(
    shard: &mut Shard<S>,
    measurement: u32,
    time: TimeRange,
) -> Result<Model, Refusal> {
    let columns: Vec<ColumnId> = FIELDS.iter().map(|&id| ColumnId(id)).collect();
    let of = MeasurementId(measurement);
    shard.with_reader(&STAMP, &[of], |reader| {
        let mut model = Model::new();
        every_row(reader, of, time, &columns, &mut |(tags, time_ns, values)| {
            let tags: Vec<(u32, String)> = tags.iter().map(|(id, v)| (id.0, v.clone())).collect();
            for (id, value) in values {
                model.insert((measurement, tags.clone(), time_ns, id.0), value);
            }
        })?;
        Ok(model)
    })
}

pub(super) fn read_all<S: Store>(shard: &mut Shard<S>) -> Result<Model, Refusal> {
    let mut model = Model::new();
    for measurement in 1..4 {
        model.extend(read(shard, measurement, TimeRange::ALL)?);
    }
    Ok(model)
}
