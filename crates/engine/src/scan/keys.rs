//! Finds the series that may satisfy a condition on tags, and seeks past the other series.

use super::error::ScanError;
use super::page::SKIPPED_KEY_CELLS;
use super::predicate::{self, Filter};
use super::reader::{MergedRows, Reader};
use super::series_tags::SeriesTags;
use crate::merge::cursor::Direction;
use crate::merge::key::SeriesKey;
use tidemark_model::ids::{ColumnId, MeasurementId};

/// The decision on a series, by its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FilterDecision {
    Matching,
    Skip,
    /// No series before this key is needed.
    SeekTo(SeriesKey),
    /// Neither this series nor any later series is needed.
    Complete,
}

/// The result of one search for a series.
#[derive(Debug)]
pub(super) enum NextSeries {
    Matching(SeriesKey),
    /// The search has skipped series at a cost of [`STEP_CELLS`]. The last skipped series has this
    /// key.
    Skipped(SeriesKey),
    End,
}

/// The maximum cost of one search for a series, in cells.
const STEP_CELLS: u64 = 1_000 * SKIPPED_KEY_CELLS;

/// Finds the series of one measurement that may satisfy the condition.
pub(super) struct KeyFilter<'a> {
    measurement: MeasurementId,
    direction: Direction,
    pub(super) filter: &'a Filter<'a>,
    /// The tags of the last series that was found.
    pub(super) tags: SeriesTags,
    /// The values that can satisfy the condition, ascending, for each of the first tags in key
    /// order. The list ends before the first tag for which every value may satisfy the condition.
    only: Vec<Vec<&'a str>>,
    /// The cost of excluded and hidden series and of evaluating the condition for tags, in cells.
    /// The caller resets the cost when it has counted it.
    pub(super) cells: u64,
    /// The reader's cost of hidden series that `cells` already contains.
    hidden_cells: u64,
}

impl<'a> KeyFilter<'a> {
    /// Creates the search. `order` contains the measurement's tags in key order.
    pub(super) fn new(
        measurement: MeasurementId,
        direction: Direction,
        filter: &'a Filter<'a>,
        order: Vec<ColumnId>,
    ) -> Self {
        let only = order.iter().map_while(|&tag| {
            let mut values = predicate::only_values(filter.predicate, tag)?;
            values.sort();
            values.dedup();
            Some(values)
        });
        let only = only.collect();
        let (tags, cells, hidden_cells) = (SeriesTags::new(order), 0, 0);
        Self { measurement, direction, filter, tags, only, cells, hidden_cells }
    }

    /// Returns a key that precedes every needed series.
    pub(super) fn first(&self) -> SeriesKey {
        let ends = |values: &Vec<&'a str>| match self.direction {
            Direction::Ascending => values.first().copied(),
            Direction::Descending => values.last().copied(),
        };
        let values = self.only.iter().map_while(ends);
        match self.direction {
            Direction::Ascending => SeriesKey::new(self.measurement, values),
            Direction::Descending => SeriesKey::past(self.measurement, values),
        }
    }

    /// Returns the next series of `merge`, a merge of `reader`, that may satisfy the condition.
    /// Also counts the hidden series that the reader has passed since the last call, for example
    /// when it created `merge`. After [`NextSeries::Skipped`], the caller must call this function
    /// again.
    pub(super) fn next(
        &mut self,
        merge: &mut MergedRows<'_>,
        reader: &dyn Reader,
    ) -> Result<NextSeries, ScanError> {
        while let Some(key) = merge.next_series()? {
            let decision = self.decide(key)?;
            let hidden_cells = reader.stats().filter_cells;
            let before = std::mem::replace(&mut self.hidden_cells, hidden_cells);
            self.cells += hidden_cells.saturating_sub(before);
            match decision {
                FilterDecision::Matching => return Ok(NextSeries::Matching(key.clone())),
                FilterDecision::Complete => break,
                _ if self.cells >= STEP_CELLS => return Ok(NextSeries::Skipped(key.clone())),
                FilterDecision::SeekTo(to) => merge.seek(&to)?,
                FilterDecision::Skip => {}
            }
        }
        Ok(NextSeries::End)
    }

    pub(super) fn decide(&mut self, key: &SeriesKey) -> Result<FilterDecision, ScanError> {
        if key.measurement() != self.measurement {
            return Ok(FilterDecision::Complete);
        }
        self.tags.set(key);
        let tags = &self.tags;
        for (place, only) in self.only.iter().enumerate() {
            let value = tags.at(place);
            let Err(next) = only.binary_search(&value) else { continue };
            let next = match self.direction {
                Direction::Ascending => only.get(next),
                Direction::Descending => next.checked_sub(1).and_then(|next| only.get(next)),
            };
            let before = (0..place).map(|place| tags.at(place));
            let to = match (self.direction, next) {
                (Direction::Ascending, Some(next)) => {
                    SeriesKey::new(self.measurement, before.chain([*next]))
                }
                (Direction::Descending, Some(next)) => {
                    SeriesKey::past(self.measurement, before.chain([*next]))
                }
                (_, None) if place == 0 => return Ok(FilterDecision::Complete),
                (Direction::Ascending, None) => SeriesKey::past(self.measurement, before),
                (Direction::Descending, None) => SeriesKey::new(self.measurement, before),
            };
            self.cells += SKIPPED_KEY_CELLS;
            // If the series lacks all further tags, its key equals `to`, and a seek would not move
            // the cursor.
            return Ok(if to == *key { FilterDecision::Skip } else { FilterDecision::SeekTo(to) });
        }
        let is_excluded = self.filter.excludes_series(tags);
        self.filter.check()?;
        self.cells += self.filter.key_cells() + if is_excluded { SKIPPED_KEY_CELLS } else { 0 };
        Ok(if is_excluded { FilterDecision::Skip } else { FilterDecision::Matching })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::request::{Comparison, Operand, Predicate};
    use tidemark_model::regex::Patterns;
    use tidemark_model::value::FieldValue;

    const M: MeasurementId = MeasurementId(3);
    const ORDER: [ColumnId; 3] = [ColumnId(5), ColumnId(2), ColumnId(9)];

    fn is(tag: u32, value: &str) -> Predicate {
        let literal = Operand::Literal(FieldValue::String(value.into()));
        let tag = Box::new(Operand::Tag(ColumnId(tag)));
        Predicate::Compare(Comparison::Equal, tag, Box::new(literal))
    }

    fn one_of(tag: u32, values: &[&str]) -> Predicate {
        let all = values.iter().map(|value| is(tag, value));
        all.reduce(|a, b| Predicate::Or(Box::new(a), Box::new(b))).unwrap()
    }

    fn and(a: Predicate, b: Predicate) -> Predicate {
        Predicate::And(Box::new(a), Box::new(b))
    }

    /// Returns the selected keys and the number of visited keys.
    fn walk(
        keys: &[SeriesKey],
        direction: Direction,
        predicate: &Predicate,
    ) -> (Vec<SeriesKey>, usize) {
        let filter = Filter::compile(Some(predicate), &Patterns::limited()).unwrap();
        let mut keys_filter = KeyFilter::new(M, direction, &filter, ORDER.to_vec());
        let mut keys: Vec<&SeriesKey> = keys.iter().collect();
        if direction == Direction::Descending {
            keys.reverse();
        }
        let seek = |to: &SeriesKey, from: usize| {
            let is_before = |key: &&SeriesKey| direction.order((**key).cmp(to)).is_lt();
            from + keys[from..].partition_point(is_before)
        };
        let (mut at, mut looked_at, mut found) = (seek(&keys_filter.first(), 0), 0, Vec::new());
        while let Some(&key) = keys.get(at) {
            looked_at += 1;
            match keys_filter.decide(key).unwrap() {
                FilterDecision::Matching => found.push(key.clone()),
                FilterDecision::Skip => {}
                FilterDecision::SeekTo(to) => {
                    let next = seek(&to, at);
                    assert!(next > at, "no progress from {key:?} to {to:?}");
                    at = next;
                    continue;
                }
                FilterDecision::Complete => break,
            }
            at += 1;
        }
        if direction == Direction::Descending {
            found.reverse();
        }
        (found, looked_at)
    }

    #[test]
    fn seek_finds_series_in_both_directions() {
        let values = ["", "a", "b", "c", "d"];
        let mut keys =
            vec![SeriesKey::new(MeasurementId(2), ["b"]), SeriesKey::new(MeasurementId(4), [])];
        for a in values {
            for b in values {
                keys.extend(values.map(|c| SeriesKey::new(M, [a, b, c])));
            }
        }
        keys.sort_unstable();
        let cases = [
            (is(5, "b"), 27),
            (is(5, ""), 27),
            (is(5, "x"), 2),
            (and(is(5, "b"), is(2, "c")), 8),
            (and(one_of(5, &["d", "a", "x"]), one_of(2, &["", "d", "z"])), 28),
            (and(is(9, "c"), is(5, "a")), 27),
            (is(2, "a"), 126),
        ];
        for (predicate, most) in cases {
            let filter = Filter::compile(Some(&predicate), &Patterns::limited()).unwrap();
            let mut tags = SeriesTags::new(ORDER.to_vec());
            let all: Vec<SeriesKey> =
                keys.iter().filter(|key| key.measurement() == M).cloned().collect();
            let expected: Vec<SeriesKey> = all
                .into_iter()
                .filter(|key| {
                    tags.set(key);
                    !filter.excludes_series(&tags)
                })
                .collect();
            for direction in [Direction::Ascending, Direction::Descending] {
                let (found, looked_at) = walk(&keys, direction, &predicate);
                assert_eq!(found, expected, "{predicate:?} {direction:?}");
                assert!(looked_at <= most, "{predicate:?} {direction:?}: {looked_at}");
            }
        }
    }

    #[test]
    fn absent_series_tag_is_empty() {
        let mut tags = SeriesTags::new(ORDER.to_vec());
        tags.set(&SeriesKey::new(M, ["x", "", "zä"]));
        let all = |tags: &SeriesTags| [5, 2, 9, 1].map(|tag| tags.get(ColumnId(tag)).to_owned());
        assert_eq!(all(&tags), ["x", "", "zä", ""]);
        tags.set(&SeriesKey::new(M, ["y"]));
        assert_eq!(all(&tags), ["y", "", "", ""]);
    }
}
