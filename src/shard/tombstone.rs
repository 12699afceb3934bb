//! What a DELETE leaves until compaction has removed the rows: which rows it hides.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::request::{Deletion, Refusal};
use crate::batch::FrameTable;
use crate::batch::column::Column;
use crate::batch::series_table::SeriesTable;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::regex::Pattern;
use crate::model::sorted_map::SortedMap;
use crate::model::time::TimeRange;
use crate::model::value::FieldValue;
use crate::scan::request::{Comparison, Operand, Predicate};
use crate::segment::directory::Summary;

/// Hides matching rows of write sequences below `before`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tombstone {
    /// Its own write sequence.
    pub sequence: u64,
    /// At most its own sequence.
    pub before: u64,
    pub deletions: Vec<Deletion>,
}

impl Tombstone {
    /// What may hide rows of `measurement` inside `time` that were written up to `last_sequence`.
    /// Rows of a block that spans the tombstone were removed when the block was made.
    pub(super) fn touching(
        &self,
        measurement: MeasurementId,
        time: TimeRange,
        last_sequence: u64,
    ) -> impl Iterator<Item = &Deletion> {
        let deletions = if last_sequence < self.before { &self.deletions[..] } else { &[] };
        deletions.iter().filter(move |deletion| {
            deletion.measurement == measurement && deletion.time.overlaps(&time)
        })
    }

    /// Whether there is any.
    pub(super) fn touches(
        &self,
        measurement: MeasurementId,
        time: TimeRange,
        last_sequence: u64,
    ) -> bool {
        self.touching(measurement, time, last_sequence).next().is_some()
    }

    /// Whether one deletion hides the whole of a segment.
    pub(super) fn covers(&self, segment: &Summary) -> bool {
        let time = segment.time();
        let mut touching = self.touching(segment.measurement, time, segment.last_sequence);
        touching.any(|d| d.predicate.is_none() && time.intersect(&d.time) == time)
    }
}

/// What the tombstones hide of a table of `measurement` whose rows lie inside `time` and were
/// written up to `last_sequence`.
pub(super) fn hidden(
    tombstones: &SortedMap<u64, Tombstone>,
    (measurement, time, last_sequence): (MeasurementId, TimeRange, u64),
    tag_ids: &[ColumnId],
    series: &SeriesTable,
) -> Result<Vec<Hidden>, Refusal> {
    let touching = tombstones.values().flat_map(|t| t.touching(measurement, time, last_sequence));
    let hides = |deletion: &Deletion| {
        let series = match &deletion.predicate {
            None => vec![true; series.len as usize],
            Some(predicate) => matching(predicate, tag_ids, series)?,
        };
        Ok(Hidden { series, time: deletion.time })
    };
    touching.map(hides).collect()
}

/// Rows of some series inside a time range.
#[derive(Clone, Debug)]
pub(super) struct Hidden {
    series: Vec<bool>,
    time: TimeRange,
}

impl Hidden {
    fn has(&self, series: u32, time_ns: i64) -> bool {
        self.time.contains(time_ns) && self.series.get(series as usize) == Some(&true)
    }

    /// The times that are hidden of `series`.
    pub(super) fn time_of(&self, series: u32) -> Option<TimeRange> {
        (self.series.get(series as usize) == Some(&true)).then_some(self.time)
    }

    /// Cuts what is hidden out of `runs`: positions of ascending times of `series`.
    pub(super) fn cut(&self, series: u32, times_ns: &[i64], runs: &mut Vec<Range<usize>>) {
        if self.series.get(series as usize) != Some(&true) {
            return;
        }
        let mut kept = Vec::with_capacity(runs.len() + 1);
        for run in runs.drain(..) {
            let times = times_ns.get(run.clone()).unwrap_or_default();
            let start = run.start + times.partition_point(|&time| time < self.time.start_ns);
            let end = run.start + times.partition_point(|&time| time < self.time.end_ns);
            if start >= end {
                kept.push(run);
            } else {
                kept.extend([run.start..start, end..run.end].into_iter().filter(|r| !r.is_empty()));
            }
        }
        *runs = kept;
    }
}

/// The table without the rows that any of `hidden` hides.
pub(super) fn without(table: FrameTable, hidden: &[Hidden]) -> FrameTable {
    let keys = table.block.row_series.iter().zip(&table.block.times_ns);
    let rows: Vec<u32> = (0..)
        .zip(keys)
        .filter(|&(_, (&series, &time_ns))| !hidden.iter().any(|h| h.has(series, time_ns)))
        .map(|(row, _)| row)
        .collect();
    if rows.len() == table.block.rows() {
        return table;
    }
    let left = |column: &Column| rows.iter().any(|&row| column.validity.is_valid(row as usize));
    let fields = table.block.fields.iter().enumerate();
    // Series and columns that lost everything are not shown as alive.
    let fields: Vec<usize> = fields.filter(|(_, column)| left(column)).map(|(at, _)| at).collect();
    let field_ids = fields.iter().filter_map(|&at| table.field_ids.get(at).copied()).collect();
    FrameTable { block: table.block.extract(&rows, &fields), field_ids, ..table }
}

/// Checks that a predicate looks at tags only and that its regexes compile.
pub(super) fn check(predicate: &Predicate) -> Result<(), Refusal> {
    matching(predicate, &[], &SeriesTable::default()).map(|_| ())
}

/// For each series whether the predicate holds.
fn matching(
    predicate: &Predicate,
    tag_ids: &[ColumnId],
    series: &SeriesTable,
) -> Result<Vec<bool>, Refusal> {
    let both = |a: &Predicate, b: &Predicate, join: fn(bool, bool) -> bool| {
        let (a, b) = (matching(a, tag_ids, series)?, matching(b, tag_ids, series)?);
        Ok(a.into_iter().zip(b).map(|(a, b)| join(a, b)).collect())
    };
    let count = series.len as usize;
    match predicate {
        Predicate::Constant(value) => Ok(vec![*value; count]),
        Predicate::And(a, b) => both(a, b, |a, b| a && b),
        Predicate::Or(a, b) => both(a, b, |a, b| a || b),
        Predicate::Compare(comparison, a, b) => {
            let negated = match comparison {
                Comparison::Equal => false,
                Comparison::NotEqual => true,
                _ => return Err(tags_only()),
            };
            let (a, b) = (text(a, tag_ids, series)?, text(b, tag_ids, series)?);
            Ok((0..count).map(|number| (a(number) == b(number)) != negated).collect())
        }
        Predicate::Matches { operand, regex, negated } => {
            let (text, regex) = (text(operand, tag_ids, series)?, compile(regex)?);
            Ok((0..count).map(|number| regex.is_match(text(number)) != *negated).collect())
        }
        Predicate::IsTrue(_) => Err(tags_only()),
    }
}

/// An operand's text by number of the series.
fn text<'a>(
    operand: &'a Operand,
    tag_ids: &[ColumnId],
    series: &'a SeriesTable,
) -> Result<Box<dyn Fn(usize) -> &'a str + 'a>, Refusal> {
    match operand {
        Operand::Tag(column) => {
            let tag = tag_ids.iter().position(|id| id == column);
            let tag = tag.and_then(|at| series.tags.get(at));
            Ok(Box::new(move |number| tag.map_or("", |tag| tag.get(number))))
        }
        Operand::Literal(FieldValue::String(text)) => Ok(Box::new(move |_| text)),
        _ => Err(tags_only()),
    }
}

fn compile(source: &str) -> Result<Pattern, Refusal> {
    let invalid = |error| Refusal::Invalid(format!("invalid regex /{source}/: {error}"));
    Pattern::new(source).map_err(invalid)
}

fn tags_only() -> Refusal {
    Refusal::Invalid("a delete compares tags with = != =~ !~ only".into())
}
