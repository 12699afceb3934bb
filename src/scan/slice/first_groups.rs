//! Where a slice of rows ends whose groups do not come in the order of the answer.
//!
//! All of them would have to be read to know which come first. So their keys are looked at before
//! any row is, and the slice ends behind as many of the first groups as it is likely to hold.

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
/// Of the work of a piece the part that looking for groups may take.
const CELLS_MAX: u64 = CELLS_PER_PIECE_MAX / 2;

/// The first groups, with the number of their series.
#[derive(Default)]
struct First {
    groups: BTreeMap<Vec<String>, u64>,
    series: u64,
    /// Some were left out that come after these.
    is_cut: bool,
}

impl First {
    /// Takes in a series of a group, and leaves out last groups without which there are
    /// `series_max` series.
    fn add(&mut self, group: Vec<String>, series_max: u64, direction: Direction) {
        *self.groups.entry(group).or_default() += 1;
        self.series += 1;
        while self.groups.len() > 1 {
            let last = match direction {
                Direction::Ascending => self.groups.last_entry(),
                Direction::Descending => self.groups.first_entry(),
            };
            let Some(last) = last.filter(|last| self.series - last.get() >= series_max) else {
                return;
            };
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

/// Whether the first groups of a slice are to be found before it is read.
fn are_wanted(request: &ScanRequest, arrangement: Arrangement) -> bool {
    let is_rows = matches!(request.output, Output::Rows { limit: None, .. });
    let is_beginning = request.resume.position.is_none() && request.resume.until.is_none();
    is_rows && is_beginning && arrangement != Arrangement::InOrder
}

impl Walk<'_> {
    /// Ends a slice behind its first groups, of those that have series in `stretch`, if there are
    /// too many rows for one slice.
    pub(super) fn end_behind_first_groups(&mut self, stretch: TimeRange) -> Result<(), ScanError> {
        if !are_wanted(self.request, self.arrangement) {
            return Ok(());
        }
        let measurement = self.request.measurement;
        let Survey { rows, series, .. } = self.reader.survey(measurement, self.request.time)?;
        let wanted = series.saturating_mul(SLICE_ROWS_PER_SERIES);
        let wanted = wanted.clamp(SLICE_ROWS_MIN, SLICE_ROWS_MAX);
        if rows <= wanted {
            return Ok(());
        }
        let series_max = (u128::from(series) * u128::from(wanted) / u128::from(rows)) as u64;
        let mut first = First::default();
        let from = self.first();
        let mut merge = self.reader.merge(&[measurement], stretch, self.direction, &from)?;
        while self.cells < CELLS_MAX && self.keys.next(&mut merge, &mut self.tags)?.is_some() {
            self.cells += SERIES_CELLS;
            if !self.groups.reach(&self.tags).is_empty() {
                let group = self.request.group_by.iter().map(|&tag| self.tags.get(tag).to_owned());
                first.add(group.collect(), series_max.max(1), self.direction);
            }
        }
        if let Some(last) = first.last(self.direction) {
            self.groups.bounds.lower(self.groups.bounds.end_of(last));
        }
        Ok(())
    }
}
