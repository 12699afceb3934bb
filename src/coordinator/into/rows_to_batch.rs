//! Converts the rows of a result into a batch: group tags become tags, columns become fields.

use std::collections::BTreeMap;

use crate::batch::column::Column;
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::batch::{Batch, Block, MeasurementBatch};
use crate::model::name::{NameKind, Unwritable, check_writable};
use crate::query::result::{ResultColumn, SeriesChunk, Values};

/// The size at which a batch is written. The batch becomes one frame for each shard.
const BATCH_BYTES: usize = 4 << 20;

/// The approximate size of a series' tags.
const SERIES_BYTES: usize = 200;

type Tags = Vec<(String, String)>;

#[derive(Debug)]
pub(super) struct IntoPoints {
    tag_columns: Vec<String>,
    tables: BTreeMap<String, MeasurementRows>,
    count: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct MeasurementRows {
    tag_keys: Vec<String>,
    series: BTreeMap<Tags, u32>,
    field_keys: Vec<String>,
    row_series: Vec<u32>,
    times_ns: Vec<i64>,
    fields: Vec<Column>,
}

impl IntoPoints {
    pub(super) fn new(tag_columns: Vec<String>) -> Self {
        Self { tag_columns, tables: BTreeMap::new(), count: 0, bytes: 0 }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn is_enough(&self) -> bool {
        self.bytes >= BATCH_BYTES
    }

    /// Adds those rows of `chunk` that have a value. The rows are added to `measurement`, or to the
    /// chunk's own measurement. As in 1.x, a row with an infinite value is omitted.
    pub(super) fn push(&mut self, measurement: Option<&str>, chunk: &SeriesChunk) {
        let Some(name) = measurement.or(chunk.name.as_deref()) else { return };
        let Some(ResultColumn::Time(times_ns)) = chunk.values.first() else { return };
        let (mut tags, mut fields) = (Vec::new(), Vec::new());
        for (key, column) in chunk.columns.iter().zip(&chunk.values).skip(1) {
            let (ResultColumn::Values(column) | ResultColumn::Filled { column, .. }) = column
            else {
                continue;
            };
            if self.tag_columns.contains(key) {
                tags.push((key, column));
            } else {
                fields.push((key, column));
            }
        }
        let is_point = |row: &u32| {
            let row = *row as usize;
            let mut present = fields.iter().filter(|(_, c)| c.validity.is_valid(row)).peekable();
            present.peek().is_some()
                && present.all(|(_, column)| match &column.values {
                    Values::Float(values) => values.get(row).is_none_or(|value| value.is_finite()),
                    _ => true,
                })
        };
        let rows: Vec<u32> = (0..chunk.rows as u32).filter(is_point).collect();
        if rows.is_empty() {
            return;
        }
        let table = self.tables.entry(name.to_owned()).or_default();
        for &row in &rows {
            table.times_ns.extend(times_ns.get(row as usize));
        }
        let group = chunk.tags.iter().filter(|(_, value)| !value.is_empty());
        let group: Tags = group.cloned().collect();
        self.bytes += SERIES_BYTES * if tags.is_empty() { 1 } else { rows.len() };
        if tags.is_empty() {
            let series = table.series_of(group);
            table.row_series.resize(table.times_ns.len(), series);
        } else {
            for &row in &rows {
                let mut own = group.clone();
                for (key, column) in &tags {
                    if let Values::String(values) = &column.values
                        && column.validity.is_valid(row as usize)
                    {
                        own.push(((*key).clone(), values.get(row as usize).to_owned()));
                    }
                }
                own.sort();
                let series = table.series_of(own);
                table.row_series.push(series);
            }
        }
        self.count += rows.len() as u64;
        self.bytes += 12 * rows.len();
        for (key, column) in fields {
            let next = column.gather(&rows);
            self.bytes += next.bytes();
            table.add_field(key, &next);
        }
        table.pad();
    }

    pub(super) fn take(&mut self) -> Result<Batch, Unwritable> {
        let batch = self.batch();
        for measurement in &batch.measurements {
            check(measurement)?;
        }
        Ok(batch)
    }

    fn batch(&mut self) -> Batch {
        (self.count, self.bytes) = (0, 0);
        let tables = std::mem::take(&mut self.tables).into_iter();
        Batch { measurements: tables.map(|(name, table)| table.finish(name)).collect() }
    }
}

fn check(measurement: &MeasurementBatch) -> Result<(), Unwritable> {
    check_writable(&measurement.name, NameKind::Measurement)?;
    for key in &measurement.field_keys {
        check_writable(key, NameKind::FieldKey)?;
    }
    for (key, tag) in measurement.tag_keys.iter().zip(&measurement.block.series.tags) {
        check_writable(key, NameKind::TagKey)?;
        for value in tag.dictionary.iter() {
            check_writable(value, NameKind::TagValue)?;
        }
    }
    Ok(())
}

impl MeasurementRows {
    fn series_of(&mut self, tags: Tags) -> u32 {
        for (key, _) in &tags {
            if !self.tag_keys.contains(key) {
                self.tag_keys.push(key.clone());
            }
        }
        let next = self.series.len() as u32;
        *self.series.entry(tags).or_insert(next)
    }

    fn add_field(&mut self, key: &str, values: &Column) {
        let field_type = values.values.field_type();
        let mut known = self.field_keys.iter().zip(&self.fields);
        let found = known.position(|(k, c)| k == key && c.values.field_type() == field_type);
        let index = found.unwrap_or_else(|| {
            self.field_keys.push(key.to_owned());
            self.fields.push(Column::new(field_type));
            self.fields.len() - 1
        });
        let before = self.times_ns.len().saturating_sub(values.len());
        if let Some(column) = self.fields.get_mut(index) {
            column.extend_nulls(before.saturating_sub(column.len()));
            column.extend_from(values);
        }
    }

    fn pad(&mut self) {
        let rows = self.times_ns.len();
        self.fields.iter_mut().for_each(|c| c.extend_nulls(rows.saturating_sub(c.len())));
    }

    fn finish(self, name: String) -> MeasurementBatch {
        let mut series: Vec<(u32, &Tags)> = self.series.iter().map(|(t, id)| (*id, t)).collect();
        series.sort();
        let tags = self.tag_keys.iter().map(|key| {
            let mut codes: BTreeMap<&str, u32> = BTreeMap::new();
            let mut column = TagColumn::default();
            for (_, tags) in &series {
                let value = tags.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str());
                let next = codes.len() as u32 + 1;
                let code = if value.is_empty() { 0 } else { *codes.entry(value).or_insert(next) };
                if code == next {
                    column.dictionary.push(value);
                }
                column.codes.push(code);
            }
            column
        });
        let tags = tags.collect();
        let len = series.len() as u32;
        let lines = (1..=self.times_ns.len() as u32).collect();
        let Self { tag_keys, field_keys, row_series, times_ns, fields, .. } = self;
        let block = Block { series: SeriesTable { tags, len }, row_series, times_ns, fields };
        MeasurementBatch { name, tag_keys, field_keys, block, lines }
    }
}
