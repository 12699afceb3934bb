//! Reads a slice tile by tile. Uses cached tiles if possible.

use super::PageScan;
use crate::merge::cursor::Direction;
use crate::scan::cached::Tile;
use crate::scan::error::ScanError;
use crate::scan::groups::Groups;
use crate::scan::page::Group;
use crate::scan::request::Position;
use crate::scan::stretches::Stretches;
use crate::scan::tiles::{self, Found, Missing};
use tidemark_model::time::TimeRange;

/// The number of scanned rows, counted for each tile.
#[derive(Debug)]
pub(super) struct Scanned {
    /// The borders between the tiles, ascending, in nanoseconds.
    borders_ns: Vec<i64>,
    rows: Vec<u64>,
}

impl Scanned {
    pub(super) fn new(borders_ns: Vec<i64>) -> Self {
        Self { rows: vec![0; borders_ns.len() + 1], borders_ns }
    }

    /// Counts rows with these times, which must ascend.
    pub(super) fn add(&mut self, times_ns: &[i64]) {
        let mut start = 0;
        for (rows, at) in self.rows.iter_mut().zip(0..) {
            let border_ns = self.borders_ns.get(at);
            let end = border_ns.map_or(times_ns.len(), |border_ns| {
                times_ns.partition_point(|time_ns| time_ns < border_ns)
            });
            *rows += (end - start) as u64;
            start = end;
        }
    }

    fn add_rows(&mut self, rows: u64) {
        self.rows.iter_mut().take(1).for_each(|first| *first += rows);
    }

    pub(super) fn total(&self) -> u64 {
        self.rows.iter().sum()
    }
}

impl PageScan<'_> {
    /// Adds the tile `time` to the page, starting at `resume_at`. If the neighbouring tiles have no
    /// cache entries, removes these tiles from `stretches` and reads them together with the tile.
    pub(super) fn tile(
        &mut self,
        time: TimeRange,
        resume_at: Option<&Position>,
        stretches: &mut Stretches,
    ) -> Result<Option<Position>, ScanError> {
        let mut resume_at = resume_at.cloned();
        loop {
            if self.is_full(0) {
                return Ok(Some(resume_at.unwrap_or_else(|| self.beginning(time))));
            }
            let end = match self.look_up(time, resume_at.as_ref(), stretches)? {
                Found::Never => {
                    let time = self.with_neighbours(time, resume_at.as_ref(), stretches)?;
                    return self.stretch(time, resume_at.as_ref());
                }
                Found::Missing(missing) => {
                    return self.read_tiles(missing, resume_at.as_ref(), stretches);
                }
                Found::Cached(tile) => {
                    self.costs.rows_kept += tile.rows;
                    self.take_in(&tile.groups, tile.rows)?;
                    tile.end.clone()
                }
            };
            let Some(end) = end else { return Ok(None) };
            resume_at = Some(end);
        }
    }

    fn look_up(
        &self,
        time: TimeRange,
        resume_at: Option<&Position>,
        stretches: &Stretches,
    ) -> Result<Found, ScanError> {
        if stretches.is_cut_off(time) {
            return Ok(Found::Never);
        }
        let caches_immediately = stretches.caches_immediately();
        tiles::look_up(self.reader, self.request, time, caches_immediately, resume_at)
    }

    /// Extends `time` by neighbouring tiles for which the cache has no entry and gets no entry.
    fn with_neighbours(
        &self,
        mut time: TimeRange,
        resume_at: Option<&Position>,
        stretches: &mut Stretches,
    ) -> Result<TimeRange, ScanError> {
        let mut last = time;
        for _ in 1..stretches.tiles_at_once() {
            let Some(next) = stretches.neighbour(last).filter(|_| resume_at.is_none()) else {
                break;
            };
            let Found::Never = self.look_up(next, None, stretches)? else { break };
            stretches.next();
            last = next;
            time = time.hull(next);
        }
        Ok(time)
    }

    pub(super) fn beginning(&self, time: TimeRange) -> Position {
        let time_ns = match self.request.direction {
            Direction::Ascending => time.start_ns,
            Direction::Descending => time.end_ns.saturating_sub(1),
        };
        let (order, series) = (self.keys.tags.order().to_vec(), self.first().as_bytes().to_vec());
        Position { order, stretch: time, series, time_ns: Some(time_ns) }
    }

    fn read_tiles(
        &mut self,
        first: Missing,
        resume_at: Option<&Position>,
        stretches: &mut Stretches,
    ) -> Result<Option<Position>, ScanError> {
        let (mut time, mut last) = (first.time, first.time);
        let mut missing = vec![first];
        while resume_at.is_none()
            && missing.len() < stretches.tiles_at_once()
            && let Some(next) = stretches.neighbour(last)
            && let Found::Missing(found) = self.look_up(next, None, stretches)?
        {
            stretches.next();
            missing.push(found);
            last = next;
            time = time.hull(next);
        }
        missing.sort_unstable_by_key(|tile| tile.time.start_ns);
        let borders_ns: Vec<i64> = missing.iter().skip(1).map(|tile| tile.time.start_ns).collect();
        // The tiles are read into new groups, separate from the groups of the page.
        let held = std::mem::replace(&mut self.groups, Groups::new(self.request));
        let scanned = std::mem::replace(&mut self.scanned, Scanned::new(borders_ns));
        let limit = self.limits.bytes;
        // Groups that are already on the page need no further bytes, so the limit is not reduced
        // below a quarter.
        self.limits.bytes = limit.saturating_sub(held.bytes()).max(limit / 4);
        let end = self.stretch(time, resume_at)?;
        self.limits.bytes = limit;
        let (groups, bounds) = std::mem::replace(&mut self.groups, held).finish();
        let Scanned { rows, .. } = std::mem::replace(&mut self.scanned, scanned);
        // If the end of the slice was lowered, the states lack some groups or windows.
        let until = bounds.lowered();
        let is_whole = until.is_none();
        until.into_iter().for_each(|until| self.groups.bounds.lower(until));
        self.take_in(&groups, rows.iter().sum())?;
        if !is_whole || (end.is_some() && missing.len() > 1) {
            return Ok(end);
        }
        if missing.len() == 1
            && let Some(tile) = missing.pop()
        {
            let rows = rows.iter().sum();
            tiles::put(self.reader, tile, Tile { groups, end: end.clone(), rows });
            return Ok(end);
        }
        for (tile, rows) in missing.into_iter().zip(rows) {
            let groups = tiles::states_of(&tile, &groups, time.start_ns);
            tiles::put(self.reader, tile, Tile { groups, end: None, rows });
        }
        Ok(end)
    }

    fn take_in(&mut self, groups: &[Group], rows: u64) -> Result<(), ScanError> {
        self.scanned.add_rows(rows);
        groups.iter().try_for_each(|group| self.groups.absorb(group))?;
        if self.gathers() {
            self.groups.lower(self.limits.bytes);
        }
        Ok(())
    }
}
