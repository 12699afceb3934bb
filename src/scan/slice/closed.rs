//! Leaves out times in which only groups have rows that need nothing more: who asks for the last
//! point of a thousand series does not pass through a month to see that there are no others.
//!
//! Which groups a run at rest has never changes, so it is kept. Those that a delete hides are among
//! them: then a stretch is read for nothing.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::rc::Rc;

use foldhash::fast::FixedState;
use serde::Serialize;

use super::Walk;
use crate::codec::metadata;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::time::TimeRange;
use crate::scan::error::ScanError;
use crate::scan::kept::{GroupKeys, Kept};
use crate::scan::page::SERIES_CELLS;
use crate::scan::reader::Run;
use crate::scan::request::{Predicate, ScanRequest};
use crate::scan::stretches::Stretches;

/// Groups of a run that are listed; where there are more, times are passed through.
const KEYS_MAX: usize = 10_000;

/// What decides which groups a run has.
#[derive(Serialize)]
struct Name<'a> {
    groups_of: MeasurementId,
    predicate: &'a Option<Predicate>,
    group_by: &'a [ColumnId],
}

impl Walk<'_> {
    /// Takes from `stretches` the times before the next one in which a group may have a row that is
    /// needed.
    pub(super) fn skip_closed(&mut self, stretches: &mut Stretches) -> Result<(), ScanError> {
        let Some(rest) = stretches.rest() else { return Ok(()) };
        if self.request.group_by.is_empty() || !self.groups.has_closed() {
            return Ok(());
        }
        let Some(runs) = self.reader.runs(self.request.measurement, rest) else { return Ok(()) };
        let mut closed = HashSet::new();
        let mut wanted: Option<TimeRange> = None;
        for run in runs {
            let Some(keys) = self.group_keys(&run)? else { return Ok(()) };
            if closed.contains(&keys.set) {
                continue;
            }
            if keys.keys.iter().all(|key| self.groups.needs_nothing_of(key)) {
                closed.insert(keys.set);
                continue;
            }
            let TimeRange { start_ns, end_ns } = run.time;
            let before = wanted.unwrap_or(run.time);
            let hull = TimeRange::new(before.start_ns.min(start_ns), before.end_ns.max(end_ns));
            wanted = Some(hull);
        }
        stretches.keep_inside(wanted.unwrap_or(TimeRange::new(0, 0)));
        Ok(())
    }

    /// The groups of a run; `None` if they are too many.
    fn group_keys(&mut self, run: &Run) -> Result<Option<Rc<GroupKeys>>, ScanError> {
        let Some(number) = run.number else { return self.read_group_keys(run) };
        let ScanRequest { measurement, predicate, group_by, .. } = self.request;
        let name = Name { groups_of: *measurement, predicate, group_by };
        let Ok(name) = metadata::encode(&(number, name)) else { return Ok(None) };
        let version = self.reader.version_of_run(number);
        if let Some(Kept::Groups(keys)) = self.reader.kept(&name, &version) {
            return Ok(Some(keys));
        }
        let before = self.cells;
        let Some(keys) = self.read_group_keys(run)? else { return Ok(None) };
        let cells = self.cells - before;
        self.reader.keep(name, version, Kept::Groups(Rc::clone(&keys)), cells);
        Ok(Some(keys))
    }

    fn read_group_keys(&mut self, run: &Run) -> Result<Option<Rc<GroupKeys>>, ScanError> {
        if run.series > KEYS_MAX as u64 {
            return Ok(None);
        }
        let (measurement, first) = (self.request.measurement, self.keys.first());
        let mut merge = self.reader.run(run, measurement, self.direction, &first)?;
        let mut keys = HashSet::with_hasher(FixedState::default());
        while self.keys.next(&mut merge, &mut self.tags)?.is_some() {
            self.cells += SERIES_CELLS;
            let values = self.request.group_by.iter().map(|&tag| self.tags.get(tag).to_owned());
            keys.insert(values.collect::<Vec<String>>());
        }
        let mut keys: Vec<Vec<String>> = keys.into_iter().collect();
        keys.sort_unstable();
        let set = FixedState::default().hash_one(&keys);
        Ok(Some(Rc::new(GroupKeys { keys, set })))
    }
}
