//! Which series of a measurement a condition on tags may take, and where the next of them can be.

use super::predicate::{self, Filter};
use super::reader::Rows;
use super::request::Predicate;
use crate::merge::cursor::{Direction, ReadError};
use crate::merge::key::SeriesKey;
use crate::model::ids::{ColumnId, MeasurementId};

/// The tag values of one series.
#[derive(Debug)]
pub(super) struct SeriesTags {
    /// In the order of the keys.
    order: Vec<ColumnId>,
    text: String,
    /// For each value that the key has where it ends in `text`.
    ends: Vec<usize>,
}

impl SeriesTags {
    /// Of no series yet. `order`: the measurement's tags in the order of its keys.
    pub(super) fn new(order: Vec<ColumnId>) -> Self {
        Self { order, text: String::new(), ends: Vec::new() }
    }

    /// Becomes those of the series with this key.
    pub(super) fn set(&mut self, key: &SeriesKey) {
        self.text.clear();
        self.ends.clear();
        for value in key.values() {
            self.text.push_str(&value);
            self.ends.push(self.text.len());
        }
    }

    /// The tags in the order of the keys.
    pub(super) fn order(&self) -> &[ColumnId] {
        &self.order
    }

    /// The value of a tag; '' if the series lacks it.
    pub(super) fn get(&self, tag: ColumnId) -> &str {
        self.order.iter().position(|&known| known == tag).map_or("", |place| self.at(place))
    }

    /// The value of the tag at `place` of the order; '' if the series lacks it.
    pub(super) fn at(&self, place: usize) -> &str {
        let start = place.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let range = start.zip(self.ends.get(place));
        range.and_then(|(start, &end)| self.text.get(start..end)).unwrap_or_default()
    }
}

/// What becomes of a series that was reached.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// Its rows may be wanted.
    Wanted,
    /// They are not.
    Unwanted,
    /// They are not, nor those of any series before this place.
    SeekTo(SeriesKey),
    /// They are not, nor those of any series further on.
    Through,
}

/// Chooses among the series of one measurement, which come in one direction.
pub(super) struct KeyFilter<'a> {
    measurement: MeasurementId,
    direction: Direction,
    filter: &'a Filter,
    /// Of the first tags in the order of the keys the only values that are of use, ascending: as
    /// far as there are such for each.
    only: Vec<Vec<&'a str>>,
}

impl<'a> KeyFilter<'a> {
    /// `filter` is `predicate`, compiled; `order`: the measurement's tags in the order of its keys.
    pub(super) fn new(
        measurement: MeasurementId,
        direction: Direction,
        (filter, predicate): (&'a Filter, Option<&'a Predicate>),
        order: &[ColumnId],
    ) -> Self {
        let only = order.iter().map_while(|&tag| {
            let mut values = predicate::only_values(predicate, tag)?;
            values.sort();
            values.dedup();
            Some(values)
        });
        Self { measurement, direction, filter, only: only.collect() }
    }

    /// Whether series that are not wanted are passed by seeking.
    pub(super) fn seeks(&self) -> bool {
        !self.only.is_empty()
    }

    /// A place before which there is no series that is wanted.
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

    /// Goes on to the next series whose rows may be wanted, and makes `tags` its own; `None` if
    /// there is none.
    ///
    /// # Errors
    /// Those of the merge.
    pub(super) fn next(
        &self,
        merge: &mut Rows<'_>,
        tags: &mut SeriesTags,
    ) -> Result<Option<SeriesKey>, ReadError> {
        while let Some(key) = merge.next_series()? {
            tags.set(key);
            match self.reached(key, tags) {
                Reached::Wanted => return Ok(Some(key.clone())),
                Reached::Unwanted => {}
                Reached::SeekTo(to) => merge.seek(&to)?,
                Reached::Through => break,
            }
        }
        Ok(None)
    }

    /// What becomes of the series with this key and these tags.
    pub(super) fn reached(&self, key: &SeriesKey, tags: &SeriesTags) -> Reached {
        if key.measurement() != self.measurement {
            return Reached::Through;
        }
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
                (_, None) if place == 0 => return Reached::Through,
                (Direction::Ascending, None) => SeriesKey::past(self.measurement, before),
                (Direction::Descending, None) => SeriesKey::new(self.measurement, before),
            };
            // The series that lacks all further tags has the key that stands before theirs.
            return if to == *key { Reached::Unwanted } else { Reached::SeekTo(to) };
        }
        match self.filter.excludes_series(&|tag| tags.get(tag)) {
            true => Reached::Unwanted,
            false => Reached::Wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::FieldValue;
    use crate::scan::request::{Comparison, Operand};

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

    /// Walks through keys as a scan does: those that are wanted, and how many were looked at.
    fn walk(
        keys: &[SeriesKey],
        direction: Direction,
        predicate: &Predicate,
    ) -> (Vec<SeriesKey>, usize) {
        let filter = Filter::compile(Some(predicate)).unwrap();
        let keys_filter = KeyFilter::new(M, direction, (&filter, Some(predicate)), &ORDER);
        let mut keys: Vec<&SeriesKey> = keys.iter().collect();
        if direction == Direction::Descending {
            keys.reverse();
        }
        let seek = |to: &SeriesKey, from: usize| {
            let is_before = |key: &&SeriesKey| direction.order((**key).cmp(to)).is_lt();
            from + keys[from..].partition_point(is_before)
        };
        let mut tags = SeriesTags::new(ORDER.to_vec());
        let (mut at, mut looked_at, mut found) = (seek(&keys_filter.first(), 0), 0, Vec::new());
        while let Some(&key) = keys.get(at) {
            looked_at += 1;
            tags.set(key);
            match keys_filter.reached(key, &tags) {
                Reached::Wanted => found.push(key.clone()),
                Reached::Unwanted => {}
                Reached::SeekTo(to) => {
                    let next = seek(&to, at);
                    assert!(next > at, "no progress from {key:?} to {to:?}");
                    at = next;
                    continue;
                }
                Reached::Through => break,
            }
            at += 1;
        }
        if direction == Direction::Descending {
            found.reverse();
        }
        (found, looked_at)
    }

    #[test]
    fn what_is_sought_is_found_in_both_directions_and_the_rest_is_passed() {
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
            let filter = Filter::compile(Some(&predicate)).unwrap();
            let mut tags = SeriesTags::new(ORDER.to_vec());
            let all: Vec<SeriesKey> =
                keys.iter().filter(|key| key.measurement() == M).cloned().collect();
            let expected: Vec<SeriesKey> = all
                .into_iter()
                .filter(|key| {
                    tags.set(key);
                    !filter.excludes_series(&|tag| tags.get(tag))
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
    fn a_tag_that_a_series_lacks_is_empty() {
        let mut tags = SeriesTags::new(ORDER.to_vec());
        tags.set(&SeriesKey::new(M, ["x", "", "zä"]));
        let all = |tags: &SeriesTags| [5, 2, 9, 1].map(|tag| tags.get(ColumnId(tag)).to_owned());
        assert_eq!(all(&tags), ["x", "", "zä", ""]);
        tags.set(&SeriesKey::new(M, ["y"]));
        assert_eq!(all(&tags), ["y", "", "", ""]);
    }
}
