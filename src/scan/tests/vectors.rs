//! A source over plain vectors.

use std::rc::Rc;

use crate::batch::column::{Column, StringColumn};
use crate::batch::series_table::{SeriesTable, TagColumn};
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::time::TimeRange;
use crate::model::value::{FieldType, FieldValue};
use crate::scan::selectors::selected::push;
use crate::scan::source::{Part, ReadStats, Rows, Run, Source, SourceError};

/// Tags of a series, ascending by id, none empty.
pub(in crate::scan) type Tags = Vec<(ColumnId, String)>;

/// A written row: series, time, fields.
#[derive(Clone, Debug)]
pub(in crate::scan) struct Write {
    pub(in crate::scan) tags: Tags,
    pub(in crate::scan) time_ns: i64,
    pub(in crate::scan) fields: Vec<(ColumnId, FieldValue)>,
}

/// Parts over vectors; every run counts as one decoded byte per row.
#[derive(Default)]
pub(in crate::scan) struct VectorSource {
    parts: Vec<(Part, Vec<Vec<Run>>)>,
    pub(in crate::scan) stats: ReadStats,
}

impl VectorSource {
    /// Adds a part that holds `writes`, of which later ones win, in blocks of `block_rows`.
    pub(in crate::scan) fn add(
        &mut self,
        writes: &[Write],
        types: &[(ColumnId, FieldType)],
        block_rows: usize,
    ) {
        let mut all: Vec<Tags> = Vec::new();
        for write in writes {
            if !all.contains(&write.tags) {
                all.push(write.tags.clone());
            }
        }
        let Some(start_ns) = writes.iter().map(|w| w.time_ns).min() else { return };
        let end_ns = writes.iter().map(|w| w.time_ns).max().map_or(0, |t| t + 1);
        let (tag_ids, series) = table(&all);
        let part = Part {
            time: TimeRange::new(start_ns, end_ns),
            tag_ids: tag_ids.into(),
            series: Rc::new(series),
            field_ids: types.iter().map(|(id, _)| *id).collect(),
            rows: writes.len() as u64,
            tombstones: false,
        };
        let runs = all.iter().map(|tags| {
            let rows: Vec<&Write> = writes.iter().filter(|w| w.tags == *tags).collect();
            blocks(&rows, types, block_rows)
        });
        let runs = runs.collect();
        self.parts.push((part, runs));
    }
}

fn table(all: &[Tags]) -> (Vec<ColumnId>, SeriesTable) {
    let mut ids: Vec<ColumnId> = all.iter().flatten().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    // A part keeps its tags in its own order.
    ids.reverse();
    let column = |id: &ColumnId| {
        let value = |tags: &Tags| tags.iter().find(|(t, _)| t == id).map(|(_, v)| v.clone());
        let mut distinct: Vec<String> = Vec::new();
        let codes = all.iter().map(|tags| match value(tags) {
            None => 0,
            Some(value) => {
                if !distinct.contains(&value) {
                    distinct.push(value.clone());
                }
                distinct.iter().position(|v| *v == value).unwrap() as u32 + 1
            }
        });
        let codes = codes.collect();
        let dictionary: StringColumn = distinct.iter().map(String::as_str).collect();
        TagColumn { dictionary, codes }
    };
    let tags = ids.iter().map(column).collect();
    (ids, SeriesTable { tags, len: all.len() as u32 })
}

/// One series' rows, sorted and overwritten, behind a stranger's row in every block.
fn blocks(writes: &[&Write], types: &[(ColumnId, FieldType)], block_rows: usize) -> Vec<Run> {
    let mut rows: Vec<(i64, Vec<(ColumnId, FieldValue)>)> = Vec::new();
    for write in writes {
        match rows.iter_mut().find(|(time_ns, _)| *time_ns == write.time_ns) {
            None => rows.push((write.time_ns, write.fields.clone())),
            Some((_, fields)) => {
                fields.retain(|(id, _)| !write.fields.iter().any(|(new, _)| new == id));
                fields.extend(write.fields.iter().cloned());
            }
        }
    }
    rows.sort_by_key(|(time_ns, _)| *time_ns);
    let block = |rows: &[(i64, Vec<(ColumnId, FieldValue)>)]| {
        let mut times_ns = vec![i64::MAX];
        times_ns.extend(rows.iter().map(|(time_ns, _)| *time_ns));
        let column = |&(id, field_type): &(ColumnId, FieldType)| {
            let mut column = Column::new(field_type);
            column.push_null();
            for (_, fields) in rows {
                push(&mut column, fields.iter().find(|(f, _)| *f == id).map(|(_, v)| v));
            }
            (id, column)
        };
        let columns = types.iter().map(column).filter(|(_, c)| c.validity.nulls(c.len()) < c.len());
        let block = Rows { columns: columns.collect(), times_ns };
        Run { rows: 1..rows.len() + 1, block: Rc::new(block) }
    };
    rows.chunks(block_rows.max(1)).map(block).collect()
}

impl Source for VectorSource {
    fn parts(&mut self, _: MeasurementId, time: TimeRange) -> Result<Vec<Part>, SourceError> {
        // A source may answer with more than it must.
        let _ = time;
        Ok(self.parts.iter().map(|(part, _)| part.clone()).collect())
    }

    fn runs(
        &mut self,
        part: usize,
        series: u32,
        time: TimeRange,
        columns: &[ColumnId],
    ) -> Result<Vec<Run>, SourceError> {
        let mut found = Vec::new();
        for run in &self.parts[part].1[series as usize] {
            let times = &run.block.times_ns[run.rows.clone()];
            let overlaps = times.last().is_some_and(|&t| t >= time.start_ns)
                && times.first().is_some_and(|&t| t < time.end_ns);
            if overlaps {
                self.stats.blocks_read += 1;
                self.stats.bytes_decoded += times.len() as u64;
                let mut block = (*run.block).clone();
                block.columns.retain(|(id, _)| columns.contains(id));
                found.push(Run { block: Rc::new(block), rows: run.rows.clone() });
            } else {
                self.stats.blocks_pruned += 1;
            }
        }
        Ok(found)
    }

    fn stats(&self) -> ReadStats {
        self.stats
    }
}
