//! What a DELETE leaves until compaction has removed the rows: which rows it hides.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::request::{Deletion, Refusal};
use crate::batch::series_table::SeriesTable;
use crate::batch::{Block, FrameTable};
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::limits::{REGEX_BYTES_MAX, REGEX_COMPILED_BYTES_MAX};
use crate::model::time::TimeRange;
use crate::model::value::FieldValue;
use crate::scan::request::{Comparison, Operand, Predicate};

/// Hides matching rows of write sequences below its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tombstone {
    /// Its own write sequence.
    pub sequence: u64,
    pub deletion: Deletion,
}

impl Tombstone {
    /// Whether it may hide rows of `measurement` inside `time` that were written up to
    /// `last_sequence`. Rows of a block that spans it were removed when the block was made.
    pub(super) fn touches(
        &self,
        measurement: MeasurementId,
        time: &TimeRange,
        last_sequence: u64,
    ) -> bool {
        self.deletion.measurement == measurement
            && last_sequence < self.sequence
            && self.deletion.time.overlaps(time)
    }

    /// The times it hides, per series of a table.
    pub(super) fn hides(
        &self,
        tag_ids: &[ColumnId],
        series: &SeriesTable,
    ) -> Result<Hidden, Refusal> {
        let all = vec![true; series.len as usize];
        let series = match &self.deletion.predicate {
            None => all,
            Some(predicate) => matching(predicate, tag_ids, series)?,
        };
        Ok(Hidden { series, time: self.deletion.time })
    }
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
    let block = &table.block;
    let at = |row: &u32| *row as usize;
    let block = Block {
        series: block.series.clone(),
        row_series: rows.iter().filter_map(|r| block.row_series.get(at(r)).copied()).collect(),
        times_ns: rows.iter().filter_map(|r| block.times_ns.get(at(r)).copied()).collect(),
        fields: block.fields.iter().map(|column| column.gather(&rows)).collect(),
    };
    FrameTable { block, ..table }
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
    let tag = |column: ColumnId| {
        let tag = tag_ids.iter().position(|&id| id == column).and_then(|at| series.tags.get(at));
        move |number: usize| tag.map_or("", |tag| tag.get(number))
    };
    match predicate {
        Predicate::Constant(value) => Ok(vec![*value; count]),
        Predicate::And(a, b) => both(a, b, |a, b| a && b),
        Predicate::Or(a, b) => both(a, b, |a, b| a || b),
        Predicate::Compare(comparison, a, b) => match (&**a, &**b) {
            (Operand::Tag(column), Operand::Literal(FieldValue::String(text)))
            | (Operand::Literal(FieldValue::String(text)), Operand::Tag(column)) => {
                let negated = match comparison {
                    Comparison::Equal => false,
                    Comparison::NotEqual => true,
                    _ => return Err(tags_only()),
                };
                let tag = tag(*column);
                Ok((0..count).map(|s| (tag(s) == &**text) != negated).collect())
            }
            _ => Err(tags_only()),
        },
        Predicate::Matches { operand, regex, negated } => {
            let Operand::Tag(column) = &**operand else { return Err(tags_only()) };
            let regex = compile(regex)?;
            let tag = tag(*column);
            Ok((0..count).map(|s| regex.is_match(tag(s)) != *negated).collect())
        }
        Predicate::IsTrue(_) => Err(tags_only()),
    }
}

fn compile(source: &str) -> Result<regex::Regex, Refusal> {
    if source.len() > REGEX_BYTES_MAX {
        return Err(Refusal::Invalid(format!("a regex is limited to {REGEX_BYTES_MAX} bytes")));
    }
    regex::RegexBuilder::new(source)
        .size_limit(REGEX_COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| Refusal::Invalid(format!("invalid regex /{source}/: {error}")))
}

fn tags_only() -> Refusal {
    Refusal::Invalid("a delete compares tags with = != =~ !~ only".into())
}
