//! Defines tombstones: the rows that a DELETE hides until merges remove them. [`Deletions`] keeps
//! the tombstones and the dropped measurements of a shard.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::columns::Columns;
use super::damage::{DAMAGE_KEY_MIN, DamagedRows};
use super::manifest::{Manifest, Part};
use super::refusal::Refusal;
use super::state::read_retired;
use crate::batch::FrameTable;
use crate::batch::column::Column;
use crate::merge::condition::{CachedRegex, TagCondition, Text};
use crate::merge::hide;
use crate::scan::request::{Comparison, Deletion, Operand, Predicate};
use crate::store::{Store, Table, row};
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::limits::{
    DELETE_COMPARISONS_MAX, DELETE_PATTERNS_BYTES_MAX, PENDING_DELETES_BYTES_MAX,
    PENDING_DELETES_MAX, REGEXES_COMPILED_BYTES_MAX, REGEXES_PER_QUERY_MAX,
};
use tidemark_model::regex::{Pattern, Patterns};
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldValue;

/// The number of pending tombstones above which the log is flushed and parts are rewritten even
/// while further deletes arrive.
pub(super) const TOMBSTONES_ENOUGH: usize = 32;

/// The rows that one DELETE hides: the rows with write sequences below `before` that match one of
/// `deletions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tombstone {
    pub sequence: u64,
    /// The exclusive upper bound for the write sequences of hidden rows, at most `sequence`.
    pub before: u64,
    pub deletions: Vec<Deletion>,
    /// The size of the stored row in bytes, so that a check of all rows need not encode them.
    #[serde(skip)]
    bytes: usize,
}

impl Tombstone {
    pub(super) fn new(sequence: u64, before: u64, deletions: Vec<Deletion>) -> Self {
        let mut tombstone = Self { sequence, before, deletions, bytes: 0 };
        // If the encoding fails here, it also fails when the row is written, and that call returns
        // the error.
        tombstone.bytes = row::encode(&tombstone).map_or(0, |row| row.len());
        tombstone
    }

    pub(super) fn write<S: Store>(&self, store: &S, key: u64) -> Result<(), Refusal> {
        Ok(store.put(Table::Tombstone, key, &row::encode(self)?, b"")?)
    }

    pub(super) fn overlaps(&self, part: &Part) -> bool {
        let time = part.extent().time;
        self.deletions.iter().any(|deletion| deletion.time.overlaps(&time))
    }

    /// Whether the tombstone may hide rows of the part. After a merge has applied the tombstone to
    /// the part, the result is false.
    pub(super) fn may_hide_rows_of(&self, part: &Part) -> bool {
        part.may_be_hidden_by(self.sequence, self.before) && self.overlaps(part)
    }

    fn predicates(&self) -> impl Iterator<Item = &Predicate> {
        self.deletions.iter().filter_map(|deletion| deletion.predicate.as_ref())
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

/// Compiles the predicate to a condition for series keys with this tag order.
fn condition(
    predicate: &Predicate,
    tag_order: &[ColumnId],
    patterns: &Patterns,
) -> Result<TagCondition, Refusal> {
    let condition = |predicate: &Predicate| condition(predicate, tag_order, patterns);
    let text = |operand: &Operand| match operand {
        Operand::Tag(tag) => {
            let place = tag_order.iter().position(|known| known == tag);
            Ok(place.map_or(Text::Missing, Text::Tag))
        }
        Operand::Literal(FieldValue::String(text)) => Ok(Text::Literal(text.as_ref().into())),
        _ => Err(tags_only()),
    };
    let join = |all, a: &Predicate, b: &Predicate| -> Result<_, Refusal> {
        let joined = TagCondition::join(all, condition(a)?, condition(b)?);
        if let TagCondition::All(list) | TagCondition::Any(list) = &joined {
            check_count(list.len())?;
        }
        Ok(joined)
    };
    let equal = |a: &Operand, b: &Operand, negated| -> Result<_, Refusal> {
        Ok(match (text(a)?, text(b)?) {
            (text, Text::Literal(literal)) | (Text::Literal(literal), text) => {
                TagCondition::In { text, texts: BTreeSet::from([literal]), negated }
            }
            (left, right) => TagCondition::Equal { left, right, negated },
        })
    };
    Ok(match predicate {
        Predicate::Constant(value) => TagCondition::Constant(*value),
        Predicate::And(a, b) => join(true, a, b)?,
        Predicate::Or(a, b) => join(false, a, b)?,
        Predicate::Compare(Comparison::Equal, a, b) => equal(a, b, false)?,
        Predicate::Compare(Comparison::NotEqual, a, b) => equal(a, b, true)?,
        Predicate::Matches { operand, regex, negated } => TagCondition::Matches {
            text: text(operand)?,
            pattern: CachedRegex::new(compile(regex, patterns)?),
            negated: *negated,
        },
        Predicate::Compare(..) | Predicate::IsTrue(_) | Predicate::Differ(..) => {
            return Err(tags_only());
        }
    })
}

/// The series of a table whose rows within `time` are hidden.
#[derive(Clone, Debug)]
pub(super) struct HiddenSeries {
    /// Whether the rows of each series are hidden.
    pub(super) series: Vec<bool>,
    pub(super) time: TimeRange,
}

impl HiddenSeries {
    fn has(&self, series: u32, time_ns: i64) -> bool {
        self.time.contains(time_ns) && self.series.get(series as usize) == Some(&true)
    }
}

pub(super) fn without(table: FrameTable, hidden: &[HiddenSeries]) -> FrameTable {
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

/// Checks that a predicate uses only tags, has few comparisons, and that `patterns` accepts its
/// regular expressions. The predicates of one statement share `patterns`.
///
/// # Errors
/// [`Refusal::Invalid`] describes the fault.
pub fn check_predicate(predicate: &Predicate, patterns: &Patterns) -> Result<(), Refusal> {
    let mut tags = Vec::new();
    predicate.operands(&mut |operand| {
        if let Operand::Tag(tag) = operand {
            tags.push(*tag);
        }
    });
    tags.sort();
    tags.dedup();
    check_count(condition(predicate, &tags, patterns)?.comparisons())
}

/// Checks the number of comparisons in a predicate. Comparisons of one tag with several texts count
/// once.
fn check_count(comparisons: usize) -> Result<(), Refusal> {
    if comparisons <= DELETE_COMPARISONS_MAX {
        return Ok(());
    }
    Err(Refusal::Invalid(format!(
        "the condition has more than {DELETE_COMPARISONS_MAX} comparisons \
         (DELETE_COMPARISONS_MAX), not counting comparisons of one tag with several texts: use a \
         regular expression, or several statements"
    )))
}

fn add_regexes<'a>(predicate: &'a Predicate, regexes: &mut BTreeSet<&'a str>) {
    predicate.leaves(&mut |leaf| {
        if let Predicate::Matches { regex, .. } = leaf {
            regexes.insert(regex);
        }
    });
}

fn compile(source: &str, patterns: &Patterns) -> Result<Rc<Pattern>, Refusal> {
    let invalid = |error| Refusal::Invalid(format!("invalid regex /{source}/: {error}"));
    patterns.get(source).map_err(invalid)
}

fn tags_only() -> Refusal {
    Refusal::Invalid("a delete can compare tags only with =, !=, =~ and !~".into())
}

fn too_many_pending(limit: &str) -> Refusal {
    Refusal::Invalid(format!(
        "too many deletes are pending in a shard ({limit}): send the statement again in some \
         minutes, when merges have removed the rows of earlier deletes, or use fewer statements \
         with shorter conditions"
    ))
}

/// The rows that are hidden until merges remove them.
pub(super) struct Deletions {
    /// The tombstones by key, which is also the order of their sequences.
    pub(super) tombstones: BTreeMap<u64, Tombstone>,
    /// The key of the next tombstone. It is above the keys of damaged rows, so that no delete
    /// overwrites such a row.
    pub(super) next_key: u64,
    /// The dropped measurements. The shard rejects frames of these measurements and hides their
    /// rows. A shard may have 100,000 dropped measurements, so reads and merges share the set.
    pub(super) retired: Rc<BTreeSet<MeasurementId>>,
    /// The compiled regexes of the tombstones. Their matches have no step limit, because a
    /// tombstone must always hide the same rows.
    pub(super) patterns: Patterns,
}

impl Deletions {
    /// Reads the tombstones and the dropped measurements. Also reads the descriptions of damaged
    /// rows, which are in the same table, into `damaged`.
    pub(super) fn read<S: Store>(store: &S, damaged: &mut DamagedRows) -> Result<Self, Refusal> {
        let retired = Rc::new(read_retired(store)?);
        let (mut tombstones, mut next_key) = (BTreeMap::new(), 0);
        row::each(store, Table::Tombstone, &mut |key, head| {
            if key >= DAMAGE_KEY_MIN {
                damaged.add_row(key, head);
                return Ok(());
            }
            next_key = key + 1;
            match row::decode::<Tombstone>(head) {
                Ok(tombstone) => {
                    tombstones.insert(key, Tombstone { bytes: head.len(), ..tombstone });
                }
                Err(reason) => damaged.add(format!("tombstone {key}: {reason}")),
            }
            Ok(())
        })?;
        Ok(Self { tombstones, next_key, retired, patterns: Patterns::of_deletes() })
    }

    /// Returns the highest sequence of a tombstone, or 0.
    pub(super) fn last_sequence(&self) -> u64 {
        self.tombstones.values().map(|tombstone| tombstone.sequence).max().unwrap_or_default()
    }

    /// Returns the rows of a frame that deletes hide, and the rows at or after `end_ns`, which a
    /// split has moved.
    pub(super) fn hidden_of_frame(
        &self,
        sequence: u64,
        table: &FrameTable,
        end_ns: i64,
    ) -> Result<Vec<HiddenSeries>, Refusal> {
        let series = &table.block.series;
        let all = || vec![true; series.len as usize];
        let hides = |deletion: &Deletion| {
            let Some(predicate) = &deletion.predicate else {
                return Ok(HiddenSeries { series: all(), time: deletion.time });
            };
            let condition = condition(predicate, &table.tag_ids, &self.patterns)?;
            let mut values = Vec::with_capacity(series.tags.len());
            let holds = |number: usize| {
                values.clear();
                values.extend(series.tags.iter().map(|tag| tag.get(number).into()));
                condition.holds(&values)
            };
            let series = (0..series.len as usize).map(holds).collect();
            Ok(HiddenSeries { series, time: deletion.time })
        };
        let open = self.tombstones.values().filter(|tombstone| sequence < tombstone.before);
        let deletions = open.flat_map(|t| t.touching(table.measurement, TimeRange::ALL));
        let moved = TimeRange::new(end_ns, i64::MAX);
        let moved = (!moved.is_empty()).then(|| Ok(HiddenSeries { series: all(), time: moved }));
        deletions.map(hides).chain(moved).collect()
    }

    /// Limits the memory of the compiled regexes. Every event with deletions calls this function.
    pub(super) fn limit_patterns(&self) {
        self.patterns.clear_above(DELETE_PATTERNS_BYTES_MAX);
    }

    /// Checks that the pending tombstones, including `next`, do not exceed their limits.
    pub(super) fn check_pending(&self, next: &Tombstone) -> Result<(), Refusal> {
        if self.tombstones.len() >= PENDING_DELETES_MAX {
            return Err(too_many_pending("PENDING_DELETES_MAX"));
        }
        let pending = self.tombstones.values();
        let bytes: usize = pending.clone().chain([next]).map(|tombstone| tombstone.bytes).sum();
        if bytes > PENDING_DELETES_BYTES_MAX {
            return Err(too_many_pending("PENDING_DELETES_BYTES_MAX"));
        }
        let mut regexes = BTreeSet::new();
        next.predicates().for_each(|predicate| add_regexes(predicate, &mut regexes));
        if regexes.is_empty() {
            return Ok(());
        }
        let predicates = pending.flat_map(Tombstone::predicates);
        predicates.for_each(|predicate| add_regexes(predicate, &mut regexes));
        if regexes.len() > REGEXES_PER_QUERY_MAX {
            return Err(too_many_pending("REGEXES_PER_QUERY_MAX"));
        }
        let mut compiled_bytes = 0;
        for regex in regexes {
            compiled_bytes += compile(regex, &self.patterns)?.compiled_bytes();
            if compiled_bytes > REGEXES_COMPILED_BYTES_MAX {
                return Err(too_many_pending("REGEXES_COMPILED_BYTES_MAX"));
            }
        }
        Ok(())
    }

    /// Returns the rows of parts that deletes hide. If `only` is given, the result contains only
    /// rows of these measurements.
    pub(super) fn hidden_of_parts<S: Store>(
        &self,
        store: &S,
        columns: &mut Columns,
        manifest: &Manifest,
        only: Option<&[MeasurementId]>,
    ) -> Result<Rc<hide::HiddenRows>, Refusal> {
        self.limit_patterns();
        let only: Option<BTreeSet<&MeasurementId>> = only.map(|only| only.iter().collect());
        let mut tombstones = Vec::new();
        for Tombstone { sequence, before, deletions, .. } in self.tombstones.values() {
            let parts = manifest.parts().values();
            let open = parts.filter(|part| part.may_be_hidden_by(*sequence, *before));
            let times: Vec<TimeRange> = open.map(|part| part.extent().time).collect();
            // The deletions of a statement without FROM all have the same time range.
            let (mut known, mut may_hide) = (None, false);
            for Deletion { measurement, predicate, time } in deletions {
                if only.as_ref().is_some_and(|only| !only.contains(measurement)) {
                    continue;
                }
                if known.replace(time) != Some(time) {
                    may_hide = times.iter().any(|part| time.overlaps(part));
                }
                if !may_hide {
                    continue;
                }
                let condition = match predicate {
                    None => TagCondition::Constant(true),
                    Some(predicate) => {
                        let tag_order = columns.tag_order(store, *measurement)?;
                        condition(predicate, tag_order, &self.patterns)?
                    }
                };
                tombstones.push(hide::CompiledDeletion {
                    sequence: *sequence,
                    before: *before,
                    measurement: *measurement,
                    time: *time,
                    condition,
                });
            }
        }
        Ok(Rc::new(hide::HiddenRows::new(tombstones, Rc::clone(&self.retired))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_tombstone_stays_readable() {
        let mut recorded = b"\x01\x2a\0\0\0\x09\x09\x01\x23\0\0\0".to_vec();
        recorded.extend(b"\0\x01\x03\0\x01\x01\x02\x03\x02h5");
        // The time range contains all times.
        recorded.extend(b"\x14\0\0\0");
        recorded.extend([0xff; 9]);
        recorded.extend(b"\x01\xfe");
        recorded.extend([0xff; 8]);
        recorded.extend(b"\x01\xd5\x6a\xd6\xdc");
        let host = Operand::Literal(FieldValue::String("h5".into()));
        let tag = Operand::Tag(ColumnId(1));
        let predicate = Predicate::Compare(Comparison::Equal, Box::new(tag), Box::new(host));
        let time = TimeRange::ALL;
        let deletion = Deletion { measurement: MeasurementId(0), predicate: Some(predicate), time };
        let deletions = vec![deletion];
        let tombstone = Tombstone { sequence: 9, before: 9, deletions, bytes: 0 };
        assert_eq!(row::decode(&recorded), Ok(tombstone.clone()));
        assert_eq!(row::encode(&tombstone), Ok(recorded));
    }
}
