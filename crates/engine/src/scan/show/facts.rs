//! Collects facts about measurements from the directories of parts, before any series is read.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::merge::cursor::{Columns, ReadError};
use crate::scan::reader::{Reader, RowGroup};
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

/// The information about a measurement in the directories of its parts and in the memtable.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The tags, in key order.
    pub(super) order: Vec<ColumnId>,
    pub(super) has_rows: bool,
    /// Whether all rows of all groups are visible and inside the time range.
    pub(super) is_whole: bool,
    /// The approximate number of keys that a walk visits.
    pub(super) keys: u64,
    pub(super) fields: BTreeSet<ColumnId>,
    /// The fields that have values or had values before a delete.
    pub(super) possible_fields: BTreeSet<ColumnId>,
    /// The tags with a value in at least one series.
    pub(super) tags: BTreeSet<ColumnId>,
    /// The columns of the previous group.
    columns: Option<(bool, Columns)>,
    /// Whether further groups cannot add requested information.
    is_complete: bool,
}

/// The information that a summary needs. The collection stops when it is complete for every
/// measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestedFacts {
    /// Only whether the measurements have visible rows.
    Existence,
    Columns,
    /// Whether rows exist, and the order of the tags.
    Series,
}

/// Returns the facts in the order of the measurements.
pub(super) fn list(
    reader: &dyn Reader,
    measurements: &[MeasurementId],
    time: TimeRange,
    wanted: RequestedFacts,
) -> Result<Vec<Facts>, ReadError> {
    let mut by_id: Vec<(MeasurementId, u32)> = measurements.iter().copied().zip(0..).collect();
    by_id.sort();
    let ids: Vec<MeasurementId> = by_id.iter().map(|(id, _)| *id).collect();
    let fresh = Facts { is_whole: true, ..Facts::default() };
    let mut all = vec![fresh; measurements.len()];
    let mut incomplete = all.len();
    reader.groups(&ids, time, &mut |group| {
        let place = ids.binary_search(&group.measurement).ok();
        let place = place.and_then(|at| by_id.get(at)).map(|(_, place)| *place as usize);
        let Some(facts) = place.and_then(|place| all.get_mut(place)) else { return Ok(true) };
        facts.add(group, wanted)?;
        if !facts.is_complete && facts.has_all(wanted, || reader.columns_max(group.measurement)) {
            facts.is_complete = true;
            incomplete -= 1;
        }
        Ok(incomplete > 0)
    })?;
    Ok(all)
}

impl Facts {
    fn has_all(
        &self,
        wanted: RequestedFacts,
        columns_max: impl Fn() -> Option<(usize, usize)>,
    ) -> bool {
        let has_columns = || {
            let has = |(fields, tags)| self.fields.len() >= fields && self.tags.len() >= tags;
            columns_max().is_some_and(has)
        };
        match wanted {
            RequestedFacts::Existence => self.has_rows,
            RequestedFacts::Columns => self.has_rows && has_columns(),
            RequestedFacts::Series => false,
        }
    }

    fn add(&mut self, group: &mut RowGroup<'_>, wanted: RequestedFacts) -> Result<(), ReadError> {
        self.has_rows |= group.has_rows;
        self.is_whole &= group.is_whole;
        self.keys += group.series;
        if group.tag_ids.len() > self.order.len() {
            self.order = group.tag_ids.to_vec();
        }
        if wanted != RequestedFacts::Columns {
            return Ok(());
        }
        let known = (group.is_whole, group.columns);
        if self.columns.as_ref().is_none_or(|(whole, held)| (*whole, held) != known) {
            let fields = if group.is_whole { &mut self.fields } else { &mut self.possible_fields };
            fields.extend(group.columns.iter().map(|&(id, _)| id));
            self.columns = Some((group.is_whole, Rc::clone(group.columns)));
        }
        let seen = &mut self.tags;
        let unseen = |seen: &BTreeSet<ColumnId>| group.tag_ids.iter().any(|id| !seen.contains(id));
        // Each series of a whole group has visible rows, and each dictionary entry belongs to a
        // series.
        if group.is_whole && unseen(seen) {
            (group.tables)(&mut |ids, table| {
                let used =
                    ids.iter().zip(&table.tags).filter(|(_, tag)| !tag.dictionary.is_empty());
                seen.extend(used.map(|(&id, _)| id));
                unseen(seen)
            })?;
        }
        Ok(())
    }
}
