//! Where a slice ends of which the first groups are enough.
//!
//! So it is for rows whose groups do not come in the order of the answer: all of them would have to
//! be read to know which come first. The slice ends behind as many of the first groups as it is
//! likely to hold. And so it is where SLIMIT wants no more than some groups: it ends behind these.
//! Either way keys are looked at before any row is.

use std::collections::BTreeMap;

use super::{Arrangement, Walk};
use crate::merge::cursor::Direction;
use crate::model::time::TimeRange;
use crate::scan::error::ScanError;
use crate::scan::page::{CELLS_PER_PIECE_MAX, SERIES_CELLS};
use crate::scan::reader::Survey;
use crate::scan::request::{Output, ScanRequest};

/// Rows that a slice should have: where there are many series more, since all of their keys are
/// looked at for each slice.
const SLICE_ROWS_MIN: u64 = 1 << 14;
const SLICE_ROWS_MAX: u64 = 1 << 16;
const SLICE_ROWS_PER_SERIES: u64 = 4;
/// Rows of groups that SLIMIT leaves which are read each time they are asked for. Of more what they
/// come to is kept, which is worth it only if it is of all groups.
const CHOSEN_ROWS_MAX: u64 = 1 << 16;
/// Of the work of a piece the part that looking for groups may take.
const CELLS_MAX: u64 = CELLS_PER_PIECE_MAX / 2;

/// The first groups, with the number of their series.
struct First {
    most: Most,
    groups: BTreeMap<Vec<String>, u64>,
    series: u64,
    /// Some were left out that come after these.
    is_cut: bool,
}

/// How many groups are enough.
#[derive(Clone, Copy)]
struct Most {
    groups: u64,
    /// As many as have so many series.
    series: u64,
}

impl First {
    fn new(most: Most) -> Self {
        Self { most, groups: BTreeMap::new(), series: 0, is_cut: false }
    }

    /// Takes in a series of a group, and leaves out last groups without which there are enough.
    fn add(&mut self, group: Vec<String>, direction: Direction) {
        *self.groups.entry(group).or_default() += 1;
        self.series += 1;
        while self.groups.len() > 1 {
            let is_too_many = self.groups.len() as u64 > self.most.groups;
            let last = match direction {
                Direction::Ascending => self.groups.last_entry(),
                Direction::Descending => self.groups.first_entry(),
            };
            let goes = |of: u64| is_too_many || self.series - of >= self.most.series;
            let Some(last) = last.filter(|last| goes(*last.get())) else { return };
            self.series -= last.remove();
            self.is_cut = true;
        }
    }

    /// The last of them, if there are more.
    fn last(mut self, direction: Direction) -> Option<Vec<String>> {
        let last = match direction {
            Direction::Ascending => self.groups.pop_last(),
            Direction::Descending => self.groups.pop_first(),
        };
        last.filter(|_| self.is_cut).map(|(group, _)| group)
    }
}

/// Whether rows do not come in the order of the answer.
fn are_mixed_rows(request: &ScanRequest, arrangement: Arrangement) -> bool {
    let is_rows = matches!(request.output, Output::Rows { limit: None, .. });
    is_rows && arrangement != Arrangement::InOrder
}

impl Walk<'_> {
    /// Ends a slice behind its first groups, of those that have series in `stretch`, if there are
    /// too many rows for one slice, or more groups than are wanted.
    pub(super) fn end_behind_first_groups(&mut self, stretch: TimeRange) -> Result<(), ScanError> {
        let resume = &self.request.resume;
        let is_beginning = resume.position.is_none() && resume.until.is_none();
        let is_rows = are_mixed_rows(self.request, self.arrangement);
        if !is_beginning || !(is_rows || self.request.groups_max.is_some()) {
            return Ok(());
        }
        let Survey { rows, series, .. } =
            self.reader.survey(self.request.measurement, self.request.time)?;
        let Some(most) = self.enough(is_rows, rows, series) else { return Ok(()) };
        let first = self.find_first(stretch, most)?;
        let chosen_rows = u128::from(rows) * u128::from(first.series) / u128::from(series.max(1));
        if self.keeps && chosen_rows > u128::from(CHOSEN_ROWS_MAX) {
            return Ok(());
        }
        if let Some(last) = first.last(self.direction) {
            self.groups.bounds.lower(self.groups.bounds.end_of(last));
            (self.keeps, self.keeps_end) = (false, false);
        }
        Ok(())
    }

    /// How many groups of a slice are enough, of mixed rows (`is_rows`) or for SLIMIT; `None` if
    /// all are to be read.
    fn enough(&self, is_rows: bool, rows: u64, series: u64) -> Option<Most> {
        let wanted = series.saturating_mul(SLICE_ROWS_PER_SERIES);
        let wanted = wanted.clamp(SLICE_ROWS_MIN, SLICE_ROWS_MAX);
        let is_long = is_rows && rows > wanted;
        let of_rows = || (u128::from(series) * u128::from(wanted) / u128::from(rows)) as u64;
        let series = if is_long { of_rows().max(1) } else { u64::MAX };
        let groups = self.request.groups_max;
        let is_some = is_long || groups.is_some();
        is_some.then(|| Most { groups: groups.unwrap_or(u64::MAX), series })
    }

    /// The first groups that have series in `stretch`.
    fn find_first(&mut self, stretch: TimeRange, most: Most) -> Result<First, ScanError> {
        let mut first = First::new(most);
        let begun = self.request.resume.from.as_ref().map(|from| &from.group);
        let (measurement, from) = (self.request.measurement, self.first());
        let mut merge = self.reader.merge(&[measurement], stretch, self.direction, &from)?;
        while self.cells < CELLS_MAX && self.keys.next(&mut merge, &mut self.tags)?.is_some() {
            self.cells += SERIES_CELLS;
            if !self.groups.reach(&self.tags).is_empty() {
                let group = self.request.group_by.iter().map(|&tag| self.tags.get(tag).to_owned());
                let group: Vec<String> = group.collect();
                // The slice goes on behind the one that it begins in.
                if Some(&group) != begun {
                    first.add(group, self.direction);
                }
            }
            if first.is_cut && self.arrangement == Arrangement::InOrder {
                break;
            }
        }
        Ok(first)
    }
}
