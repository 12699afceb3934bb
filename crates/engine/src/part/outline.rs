//! Estimates the rows of a measurement in a part, without reading every directory of the part.

use super::directory::{Directory, Root, RowExtent};
use super::values::Values;
use crate::merge::cursor::ReadError;
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

/// The estimated rows of a measurement in a part, for a range of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// A time range that contains the part's rows inside the requested range.
    pub time: TimeRange,
    /// The approximate number of rows inside the range, if rows are evenly distributed in time.
    pub rows: u64,
    pub(crate) rows_of_all_times: u64,
}

impl Outline {
    const NOTHING: Self =
        Self { time: TimeRange::new(i64::MAX, i64::MIN), rows: 0, rows_of_all_times: 0 };

    /// Estimates the rows of `measurement` in part `part` inside `time`.
    pub fn of<V: Values>(
        values: &mut V,
        part: u64,
        measurement: MeasurementId,
        time: TimeRange,
    ) -> Result<Self, ReadError> {
        let mut outline = Self::NOTHING;
        let Some(last) = values.count().checked_sub(1) else { return Ok(outline) };
        let directory = values.directory(last)?;
        let behind = directory.groups_of_part(part).first().map(|group| group.measurement);
        if let Some(root) = directory.root_of(part) {
            for value in root.values_of(measurement) {
                let is_alone = only_measurement(root, value, behind) == Some(measurement);
                match root.values.get(value).filter(|_| is_alone) {
                    Some(extent) => outline.add_evenly(extent, time),
                    None => outline.add_groups(&*values.directory(value)?, part, measurement, time),
                }
            }
        }
        outline.add_groups(&directory, part, measurement, time);
        Ok(outline)
    }

    fn add_groups(
        &mut self,
        directory: &Directory,
        part: u64,
        measurement: MeasurementId,
        time: TimeRange,
    ) {
        let groups = directory.groups_of_part(part).iter();
        for group in
            groups.filter(|group| group.measurement == measurement && !group.continues_columns())
        {
            for page in &group.pages {
                self.rows_of_all_times += u64::from(page.rows);
                let of_page = TimeRange::new(page.min_ns, page.max_ns.saturating_add(1));
                if of_page.overlaps(&time) {
                    self.rows += u64::from(page.rows);
                    self.time = self.time.hull(of_page);
                }
            }
        }
    }

    fn add_evenly(&mut self, extent: &RowExtent, time: TimeRange) {
        self.rows_of_all_times += extent.rows;
        let all = TimeRange::new(extent.min_ns, extent.max_ns.saturating_add(1));
        let inside = all.intersect(&time);
        if extent.rows == 0 || inside.is_empty() {
            return;
        }
        let share = i128::from(extent.rows) * inside.length_ns() / all.length_ns();
        self.rows += (share as u64).max(1);
        self.time = self.time.hull(inside);
    }
}

/// Whether the part has groups of the measurement. Reads as few directories as possible.
pub(crate) fn has_groups<V: Values>(
    values: &mut V,
    part: u64,
    measurement: MeasurementId,
) -> Result<bool, ReadError> {
    let Some(last) = values.count().checked_sub(1) else { return Ok(false) };
    let is_in = |directory: &Directory| {
        directory.groups_of_part(part).iter().any(|group| group.measurement == measurement)
    };
    let directory = values.directory(last)?;
    if is_in(&directory) {
        return Ok(true);
    }
    let Some(root) = directory.root_of(part) else { return Ok(false) };
    for value in root.values_of(measurement) {
        if root.values.get(value).and_then(|extent| extent.first_measurement()) == Some(measurement)
            || is_in(&*values.directory(value)?)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the measurement of the value at position `value`, or `None` if the value may contain
/// several measurements. `behind` is the measurement of the first group after the values that the
/// root lists.
fn only_measurement(
    root: &Root,
    value: usize,
    behind: Option<MeasurementId>,
) -> Option<MeasurementId> {
    let first = root.values.get(value)?.first_measurement()?;
    let next = root.values.get(value + 1).map_or(behind, |extent| extent.first_measurement())?;
    (first == next).then_some(first)
}
