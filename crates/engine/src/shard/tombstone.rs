//! Defines tombstones: the rows that a DELETE hides until merges remove them.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::manifest::Part;
use super::request::{Deletion, Refusal};
use crate::batch::FrameTable;
use crate::batch::column::Column;
use crate::batch::series_table::SeriesTable;
use crate::merge::condition::{CachedRegex, Condition, Text};
use crate::scan::request::{Comparison, Operand, Predicate};
use crate::store::row;
use crate::store::{Store, Table};
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::regex::Pattern;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldValue;

/// Hides matching rows with write sequences below `before`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tombstone {
    pub sequence: u64,
    /// At most `sequence`.
    pub before: u64,
    pub deletions: Vec<Deletion>,
}

impl Tombstone {
    pub(super) fn write<S: Store>(&self, store: &S, key: u64) -> Result<(), Refusal> {
        Ok(store.put(Table::Tombstone, key, &row::encode(self)?, b"")?)
    }

    pub(super) fn overlaps(&self, part: &Part) -> bool {
        let time = part.extent().time;
        self.deletions.iter().any(|deletion| deletion.time.overlaps(&time))
    }

    /// A tombstone that has been applied to the part hides no more rows.
    pub(super) fn may_hide_rows_of(&self, part: &Part) -> bool {
        part.may_be_hidden_by(self.sequence, self.before) && self.overlaps(part)
    }

    pub(super) fn touching(
        &self,
        measurement: MeasurementId,
        time: TimeRange,
    ) -> impl Iterator<Item = &Deletion> {
        let touches = move |d: &&Deletion| d.measurement == measurement && d.time.overlaps(&time);
        self.deletions.iter().filter(touches)
    }
}

/// Returns the rows of a frame's table that `deletions` hide, and the rows from `end_ns` on, which a
/// split has moved to another shard.
pub(super) fn hidden_rows<'a>(
    deletions: impl Iterator<Item = &'a Deletion>,
    table: &FrameTable,
    end_ns: i64,
) -> Result<Vec<HiddenRows>, Refusal> {
    let series = &table.block.series;
    let all = || vec![true; series.len as usize];
    let hides = |deletion: &Deletion| {
        let series = match &deletion.predicate {
            None => all(),
            Some(predicate) => matching(predicate, &table.tag_ids, series)?,
        };
        Ok(HiddenRows { series, time: deletion.time })
    };
    let moved = TimeRange::new(end_ns, i64::MAX);
    let moved = (!moved.is_empty()).then(|| Ok(HiddenRows { series: all(), time: moved }));
    deletions.map(hides).chain(moved).collect()
}

/// The condition is for series keys with this tag order.
pub(super) fn condition(
    predicate: &Predicate,
    tag_order: &[ColumnId],
) -> Result<Condition, Refusal> {
    let text = |operand: &Operand| match operand {
        Operand::Tag(tag) => {
            let place = tag_order.iter().position(|known| known == tag);
            Ok(place.map_or(Text::Missing, Text::Tag))
        }
        Operand::Literal(FieldValue::String(text)) => Ok(Text::Literal(text.as_ref().into())),
        _ => Err(tags_only()),
    };
    let both = |a: &Predicate, b: &Predicate| -> Result<_, Refusal> {
        Ok(vec![condition(a, tag_order)?, condition(b, tag_order)?])
    };
    Ok(match predicate {
        Predicate::Constant(value) => Condition::Constant(*value),
        Predicate::And(a, b) => Condition::All(both(a, b)?),
        Predicate::Or(a, b) => Condition::Any(both(a, b)?),
        Predicate::Compare(Comparison::Equal, a, b) => {
            Condition::Equal { left: text(a)?, right: text(b)?, negated: false }
        }
        Predicate::Compare(Comparison::NotEqual, a, b) => {
            Condition::Equal { left: text(a)?, right: text(b)?, negated: true }
        }
        Predicate::Matches { operand, regex, negated } => Condition::Matches {
            text: text(operand)?,
            pattern: CachedRegex::new(Rc::new(compile(regex)?)),
            negated: *negated,
        },
        Predicate::Compare(..) | Predicate::IsTrue(_) | Predicate::Differ(..) => {
            return Err(tags_only());
        }
    })
}

#[derive(Clone, Debug)]
pub(super) struct HiddenRows {
    series: Vec<bool>,
    time: TimeRange,
}

impl HiddenRows {
    /// Hides all rows of the series whose element is `true`.
    pub(super) fn of_series(series: Vec<bool>) -> Self {
        Self { series, time: TimeRange::ALL }
    }

    fn has(&self, series: u32, time_ns: i64) -> bool {
        self.time.contains(time_ns) && self.series.get(series as usize) == Some(&true)
    }
}

pub(super) fn without(table: FrameTable, hidden: &[HiddenRows]) -> FrameTable {
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
    // Series and columns without remaining rows are removed, so that queries do not list them.
    let fields: Vec<usize> = fields.filter(|(_, column)| left(column)).map(|(at, _)| at).collect();
    let field_ids = fields.iter().filter_map(|&at| table.field_ids.get(at).copied()).collect();
    FrameTable { block: table.block.extract(&rows, &fields), field_ids, ..table }
}

/// Checks that a predicate uses only tags, and that its regular expressions compile.
pub(super) fn check(predicate: &Predicate) -> Result<(), Refusal> {
    matching(predicate, &[], &SeriesTable::default()).map(|_| ())
}

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
        Predicate::IsTrue(_) | Predicate::Differ(..) => Err(tags_only()),
    }
}

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
    Refusal::Invalid("a delete can compare tags only with =, !=, =~ and !~".into())
}
