//! Converts a page of rows from one shard into frames for other shards.

use std::collections::BTreeMap;

use crate::batch::Block;
use crate::batch::column::Column;
use crate::batch::frame::{self, TableRef};
use crate::batch::selection::Selection;
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::batch::shard_rows::{ShardRows, split_by_shard};
use crate::model::ids::{ColumnId, ObjectId};
use crate::model::limits::PIECE_BYTES_MAX;
use crate::model::schema::MeasurementSchema;
use crate::model::shard_map::ShardGroup;
use crate::model::time::TimeRange;
use crate::scan::page::{Group, GroupData};
use crate::scan::request::{Input, Output, Resume, ScanRequest};

/// Returns the scan of a measurement's rows within `time`. Each series is a group.
pub(super) fn scan(
    measurement: &MeasurementSchema,
    time: TimeRange,
    resume: Resume,
) -> ScanRequest {
    let input =
        |(column, field_type): (&_, _)| Input { column: column_id(column), field_type, cast: None };
    ScanRequest {
        measurement: measurement.id,
        time,
        predicate: None,
        group_by: measurement.tags().map(column_id).collect(),
        descending: false,
        output: Output::Rows {
            fields: measurement.fields().map(input).collect(),
            tags: Vec::new(),
            limit: None,
            every_row: false,
        },
        resume,
        piece_bytes: PIECE_BYTES_MAX,
        groups_max: None,
    }
}

fn column_id(column: &crate::model::schema::ColumnDefinition) -> ColumnId {
    column.id
}

/// Converts the rows of a page of [`scan`] into frames: one frame for each shard of `target` that
/// receives rows.
pub(super) fn frames(
    measurement: &MeasurementSchema,
    groups: Vec<Group>,
    target: &ShardGroup,
) -> Vec<(ObjectId, Vec<u8>)> {
    let tag_keys: Vec<&str> = measurement.tags().map(|column| column.key.as_str()).collect();
    let tag_ids: Vec<ColumnId> = measurement.tags().map(column_id).collect();
    let field_ids: Vec<ColumnId> = measurement.fields().map(|(column, _)| column.id).collect();
    let block = block(measurement, tag_ids.len(), groups);
    let groups = std::slice::from_ref(target);
    let parts = split_by_shard(&measurement.name, &tag_keys, &block, &Selection::All, groups).parts;
    let frame = |part: ShardRows| {
        let (tag_ids, field_ids, rows) = (&tag_ids, &field_ids, &part.rows);
        let table =
            TableRef { measurement: measurement.id, tag_ids, field_ids, block: &block, rows };
        let mut frame = Vec::new();
        frame::encode(&[table], &mut frame);
        Some((target.shards.get(part.shard)?.clone(), frame))
    };
    parts.into_iter().filter_map(frame).collect()
}

/// Returns the rows as one block. In this block, each group is a series.
fn block(measurement: &MeasurementSchema, tags: usize, groups: Vec<Group>) -> Block {
    let mut codes: Vec<BTreeMap<String, u32>> = vec![BTreeMap::new(); tags];
    let mut block = Block {
        series: SeriesTable { tags: vec![TagColumn::default(); tags], len: 0 },
        fields: measurement.fields().map(|(_, field_type)| Column::new(field_type)).collect(),
        ..Block::default()
    };
    for group in groups {
        let GroupData::Rows { times_ns, fields, .. } = group.data else { continue };
        for ((tag, codes), value) in block.series.tags.iter_mut().zip(&mut codes).zip(group.key) {
            let next = codes.len() as u32 + 1;
            let known = if value.is_empty() { Some(0) } else { codes.get(&value).copied() };
            tag.codes.push(known.unwrap_or(next));
            if known.is_none() {
                tag.dictionary.push(&value);
                codes.insert(value, next);
            }
        }
        block.row_series.extend(times_ns.iter().map(|_| block.series.len));
        block.series.len += 1;
        block.times_ns.extend(times_ns);
        for (column, values) in block.fields.iter_mut().zip(&fields) {
            column.extend_from(values);
        }
    }
    block
}
