//! Skips times in which only completed groups have rows: groups whose result needs no further rows.
//! In a query for last points, most old times are skipped.
//!
//! The groups of a flushed run never change, so the list of groups is cached, once for all runs
//! with the same series. The list includes groups that a delete hides. Because of such groups, the
//! scan may read a stretch without need.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use foldhash::fast::FixedState;
use serde::Serialize;

use super::PageScan;
use crate::codec::metadata;
use crate::scan::cached::{Cached, GroupKeys, RunGroups, Version};
use crate::scan::error::ScanError;
use crate::scan::keys::NextSeries;
use crate::scan::page::SKIPPED_KEY_CELLS;
use crate::scan::reader::Run;
use crate::scan::request::{Predicate, ScanRequest};
use crate::scan::stretches::Stretches;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

/// The maximum number of series in a run whose groups are listed. Larger runs are always read.
const KEYS_MAX: u64 = 10_000;
/// The memory limit for the groups of all runs, in bytes.
const GROUPS_BYTES_MAX: usize = 1_000_000;

#[derive(Serialize)]
struct Name<'a> {
    groups_of_runs: MeasurementId,
    predicate: &'a Option<Predicate>,
    group_by: &'a [ColumnId],
}

fn series_of(run: &Run) -> Option<(u64, u64)> {
    Some((run.series, run.series_sum?))
}

impl PageScan<'_> {
    /// Restricts `stretches` to the time ranges of the runs that may have a row of an incomplete
    /// group.
    pub(super) fn skip_closed(&mut self, stretches: &mut Stretches) -> Result<(), ScanError> {
        let Some(rest) = stretches.rest() else { return Ok(()) };
        if !self.lists_groups || self.request.group_by.is_empty() || !self.groups.has_closed() {
            return Ok(());
        }
        let runs = self.reader.runs(self.request.measurement, rest);
        if runs.is_empty() {
            return Ok(());
        }
        let Some(known) = self.run_groups(&runs)? else { return Ok(()) };
        // Most runs share a list of groups, so each list is checked only once.
        let mut closed: HashMap<*const Vec<String>, bool> = HashMap::new();
        let mut wanted = TimeRange::new(0, 0);
        for run in runs {
            let is_closed = match run.number.and_then(|number| known.of_runs.get(&number)) {
                Some(keys) => *closed.entry(keys.as_ptr()).or_insert_with(|| self.are_closed(keys)),
                None if run.number.is_none() && run.series <= KEYS_MAX => {
                    let keys = self.read_group_keys(&run)?;
                    keys.is_some_and(|keys| self.are_closed(&keys))
                }
                None => false,
            };
            if !is_closed {
                wanted = wanted.hull(run.time);
            }
        }
        stretches.keep_inside(wanted);
        Ok(())
    }

    fn are_closed(&self, keys: &[Vec<String>]) -> bool {
        keys.iter().all(|key| self.groups.is_group_complete(key))
    }

    fn run_groups(&mut self, runs: &[Run]) -> Result<Option<Rc<RunGroups>>, ScanError> {
        let ScanRequest { measurement, predicate, group_by, .. } = self.request;
        let name = Name { groups_of_runs: *measurement, predicate, group_by };
        let Ok(name) = metadata::encode(&name) else { return Ok(None) };
        let Some(cache) = self.reader.result_cache() else { return Ok(None) };
        // Flushed runs never change.
        let version = Version::new();
        let known = match cache.get(&name, &version) {
            Some(Cached::Groups(known)) => known,
            _ => Rc::default(),
        };
        let is_missing = |run: &&Run| {
            run.series <= KEYS_MAX
                && run.number.is_some_and(|number| !known.of_runs.contains_key(&number))
        };
        let missing: Vec<&Run> = runs.iter().filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(Some(known));
        }
        let mut more = RunGroups::clone(&known);
        let all = self.reader.runs(*measurement, TimeRange::ALL);
        let numbers: HashSet<u64> = all.iter().filter_map(|run| run.number).collect();
        more.of_runs.retain(|number, _| numbers.contains(number));
        // The groups for each distinct set of series.
        let of_series =
            |run: &Run| Some((series_of(run)?, Rc::clone(more.of_runs.get(&run.number?)?)));
        let mut alike: HashMap<(u64, u64), GroupKeys> = all.iter().filter_map(of_series).collect();
        for run in missing {
            let Some(number) = run.number else { continue };
            let keys = match series_of(run).and_then(|series| alike.get(&series)) {
                Some(keys) => Rc::clone(keys),
                None => {
                    let cells = self.costs.cells + self.costs.filter_cells;
                    if cells > self.limits.cells || more.bytes() >= GROUPS_BYTES_MAX {
                        break;
                    }
                    // Listing the groups of the other runs would probably also take too long.
                    let Some(keys) = self.read_group_keys(run)? else { break };
                    more.shared(keys)
                }
            };
            alike.extend(series_of(run).map(|series| (series, Rc::clone(&keys))));
            more.of_runs.insert(number, keys);
        }
        let more = Rc::new(more);
        cache.put(name, version, Cached::Groups(Rc::clone(&more)));
        Ok(Some(more))
    }

    /// Lists the groups of a run. Returns `None` if evaluating the condition for the series of the
    /// run takes too long.
    fn read_group_keys(&mut self, run: &Run) -> Result<Option<Vec<Vec<String>>>, ScanError> {
        let cells_max = self.costs.filter_cells + KEYS_MAX * SKIPPED_KEY_CELLS;
        let (measurement, first) = (self.request.measurement, self.keys.first());
        let direction = self.request.direction;
        let mut merge = self.reader.series_of_run(run, measurement, direction, &first)?;
        let mut keys: HashSet<Vec<String>, FixedState> = HashSet::default();
        loop {
            let next = self.next_series(&mut merge)?;
            if self.costs.filter_cells > cells_max {
                // Otherwise, the next stretch would try to list the groups again.
                self.lists_groups = false;
                return Ok(None);
            }
            match next {
                NextSeries::Matching(_) => keys.insert(self.group_key()),
                NextSeries::Skipped(_) => continue,
                NextSeries::End => break,
            };
        }
        let mut keys: Vec<_> = keys.into_iter().collect();
        keys.sort_unstable();
        Ok(Some(keys))
    }
}
