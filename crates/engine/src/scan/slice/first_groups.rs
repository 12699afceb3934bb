//! Ends a slice after its first groups, which the scan finds before it reads any row.
//!
//! If the groups of rows are not read in the result's order, the slice ends after the number of
//! groups that probably fit into the slice. If the query has SLIMIT, the slice ends after the
//! requested number of groups.

use std::collections::BTreeMap;

use super::{GroupOrder, PageScan};
use crate::merge::cursor::Direction;
use crate::scan::error::ScanError;
use crate::scan::keys::NextSeries;
use crate::scan::page::CELLS_PER_PAGE_MAX;
use crate::scan::reader::Estimate;
use crate::scan::request::Output;
use crate::scan::tiles::Caching;
use tidemark_model::time::TimeRange;

/// The target number of rows in a slice. The target is higher if there are many series, because
/// each slice reads the keys of all series.
const SLICE_ROWS_MIN: u64 = 1 << 14;
const SLICE_ROWS_MAX: u64 = 1 << 16;
const SLICE_ROWS_PER_SERIES: u64 = 4;
/// The maximum number of rows of SLIMIT groups that are read on each request. With more rows, the
/// states of all groups are read and cached instead.
const CHOSEN_ROWS_MAX: u64 = 1 << 16;
/// The share of a page's work that the search for groups may use.
const CELLS_MAX: u64 = CELLS_PER_PAGE_MAX / 2;

/// The first groups, until there are `groups_max` groups or `series_max` series.
#[derive(Default)]
struct First {
    groups_max: u64,
    series_max: u64,
    /// The number of series of each group.
    groups: BTreeMap<Vec<String>, u64>,
    series: u64,
    is_cut: bool,
}

impl First {
    /// Creates an empty list of groups. `None` means no limit.
    fn new(groups_max: Option<u64>, series_max: Option<u64>) -> Self {
        let [groups_max, series_max] = [groups_max, series_max].map(|max| max.unwrap_or(u64::MAX));
        Self { groups_max, series_max, ..Self::default() }
    }

    fn add(&mut self, group: Vec<String>, direction: Direction) {
        *self.groups.entry(group).or_default() += 1;
        self.series += 1;
        while self.groups.len() > 1 {
            let is_too_many = self.groups.len() as u64 > self.groups_max;
            let last = match direction {
                Direction::Ascending => self.groups.last_entry(),
                Direction::Descending => self.groups.first_entry(),
            };
            let goes = |of: u64| is_too_many || self.series - of >= self.series_max;
            let Some(last) = last.filter(|last| goes(*last.get())) else { return };
            self.series -= last.remove();
            self.is_cut = true;
        }
    }

    fn last(mut self, direction: Direction) -> Option<Vec<String>> {
        let last = match direction {
            Direction::Ascending => self.groups.pop_last(),
            Direction::Descending => self.groups.pop_first(),
        };
        last.filter(|_| self.is_cut).map(|(group, _)| group)
    }
}

impl PageScan<'_> {
    /// Ends the slice after its first groups that have series in `stretch`, if the slice would have
    /// too many rows or the request limits the number of groups.
    pub(super) fn end_after_first_groups(&mut self, stretch: TimeRange) -> Result<(), ScanError> {
        let resume = &self.request.resume;
        let groups_max = self.request.groups_max;
        let is_beginning = resume.position.is_none() && resume.until.is_none();
        let reads_rows_out_of_order =
            matches!(self.request.output, Output::Rows { limit: None, .. })
                && self.group_order != GroupOrder::InOrder;
        if !is_beginning || !(reads_rows_out_of_order || groups_max.is_some()) {
            return Ok(());
        }
        let Estimate { rows, series, .. } =
            self.reader.estimate(self.request.measurement, self.request.time)?;
        let series_max =
            if reads_rows_out_of_order { series_per_slice(rows, series) } else { None };
        if groups_max.is_none() && series_max.is_none() {
            return Ok(());
        }
        let mut first = First::new(groups_max, series_max);
        self.find_first(stretch, &mut first)?;
        let chosen_rows = u128::from(rows) * u128::from(first.series) / u128::from(series.max(1));
        if self.caching == Caching::Tiles && chosen_rows > u128::from(CHOSEN_ROWS_MAX) {
            return Ok(());
        }
        if let Some(last) = first.last(self.request.direction) {
            self.groups.bounds.end_at(last, TimeRange::ALL);
            self.caching = Caching::Nothing;
        }
        Ok(())
    }

    fn find_first(&mut self, stretch: TimeRange, first: &mut First) -> Result<(), ScanError> {
        let direction = self.request.direction;
        let begun = self.request.resume.from.as_ref().map(|from| &from.group);
        let (measurement, from) = (self.request.measurement, self.first());
        let mut merge = self.reader.merge(&[measurement], stretch, direction, &from)?;
        while self.costs.cells + self.costs.filter_cells < CELLS_MAX {
            match self.next_series(&mut merge)? {
                NextSeries::Matching(_) => {}
                NextSeries::Skipped(_) => continue,
                NextSeries::End => break,
            }
            if !self.groups.set_current(&self.keys.tags).is_empty() {
                let group = self.group_key();
                // An earlier slice began this group, so the group does not count.
                if Some(&group) != begun {
                    first.add(group, direction);
                }
            }
            if first.is_cut && self.group_order == GroupOrder::InOrder {
                break;
            }
        }
        Ok(())
    }
}

/// Returns the number of series, at least 1, whose rows probably fit into a slice. Returns `None`
/// if the rows of all series fit.
fn series_per_slice(rows: u64, series: u64) -> Option<u64> {
    let rows_max = series.saturating_mul(SLICE_ROWS_PER_SERIES);
    let rows_max = rows_max.clamp(SLICE_ROWS_MIN, SLICE_ROWS_MAX);
    let fitting = || (u128::from(series) * u128::from(rows_max) / u128::from(rows)) as u64;
    (rows > rows_max).then(|| fitting().max(1))
}
