//! What the directories tell of measurements before any series is looked at.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::merge::cursor::{Columns, ReadError};
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::time::TimeRange;
use crate::scan::reader::{Reader, RowGroup};

/// Of one measurement.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Its tags in the order of the keys.
    pub(super) order: Vec<ColumnId>,
    /// It has a row inside the time that nothing hides.
    pub(super) has_rows: bool,
    /// Every group of it is known, and nothing of any is hidden or outside of the time.
    pub(super) is_whole: bool,
    /// Groups are known.
    pub(super) is_told: bool,
    /// About how many keys a walk comes by.
    pub(super) keys: u64,
    /// Fields that have values.
    pub(super) fields: BTreeSet<ColumnId>,
    /// Fields that have values or had some.
    pub(super) doubtful: BTreeSet<ColumnId>,
    /// Tags that some series has.
    pub(super) tags: BTreeSet<ColumnId>,
    /// Of the group before.
    columns: Option<(bool, Columns)>,
}

/// What is to be found out beside what a group's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing; and nothing more of any once all have rows.
    Life,
    /// Fields and tags.
    Columns,
    /// The order of the tags.
    Series,
}

/// The facts of these measurements, in this order.
///
/// # Errors
/// Those of the reader.
pub(super) fn list(
    reader: &dyn Reader,
    measurements: &[MeasurementId],
    time: TimeRange,
    wanted: Wanted,
) -> Result<Vec<Facts>, ReadError> {
    let mut by_id: Vec<(MeasurementId, u32)> = measurements.iter().copied().zip(0..).collect();
    by_id.sort();
    let ids: Vec<MeasurementId> = by_id.iter().map(|(id, _)| *id).collect();
    let fresh = Facts { is_whole: true, is_told: true, ..Facts::default() };
    let mut all = vec![fresh; measurements.len()];
    let mut lifeless = all.len();
    let is_told = reader.groups(&ids, time, &mut |group| {
        let place = ids.binary_search(&group.measurement).ok();
        let place = place.and_then(|at| by_id.get(at)).map(|(_, place)| *place as usize);
        let Some(facts) = place.and_then(|place| all.get_mut(place)) else { return Ok(true) };
        lifeless -= usize::from(group.has_rows && !facts.has_rows);
        facts.add(group, wanted)?;
        Ok(wanted != Wanted::Life || lifeless > 0)
    })?;
    if !is_told {
        for (facts, &measurement) in all.iter_mut().zip(measurements) {
            *facts = Facts { order: reader.tag_order(measurement)?, ..Facts::default() };
        }
    }
    Ok(all)
}

impl Facts {
    fn add(&mut self, group: &mut RowGroup<'_>, wanted: Wanted) -> Result<(), ReadError> {
        self.has_rows |= group.has_rows;
        self.is_whole &= group.is_whole;
        self.keys += group.series;
        if group.tag_ids.len() > self.order.len() {
            self.order = group.tag_ids.to_vec();
        }
        if wanted != Wanted::Columns {
            return Ok(());
        }
        let known = (group.is_whole, group.columns);
        if self.columns.as_ref().is_none_or(|(whole, held)| (*whole, held) != known) {
            let fields = if group.is_whole { &mut self.fields } else { &mut self.doubtful };
            fields.extend(group.columns.iter().map(|&(id, _)| id));
            self.columns = Some((group.is_whole, Rc::clone(group.columns)));
        }
        let seen = &mut self.tags;
        let unseen = |seen: &BTreeSet<ColumnId>| group.tag_ids.iter().any(|id| !seen.contains(id));
        // Each series of such a group has rows, and no dictionary has more than its series do.
        if group.is_whole && unseen(seen) {
            group.tables.each(&mut |ids, table| {
                let used =
                    ids.iter().zip(&table.tags).filter(|(_, tag)| !tag.dictionary.is_empty());
                seen.extend(used.map(|(&id, _)| id));
                unseen(seen)
            })?;
        }
        Ok(())
    }
}
