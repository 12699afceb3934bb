//! Reads a slice tile by tile: what is kept of one is taken in as it is.

use super::Walk;
use crate::merge::cursor::Direction;
use crate::model::time::TimeRange;
use crate::scan::bounds::Bounds;
use crate::scan::error::ScanError;
use crate::scan::groups::Groups;
use crate::scan::kept::Tile;
use crate::scan::page::Group;
use crate::scan::request::Position;
use crate::scan::stretches::Stretches;
use crate::scan::tiles::{self, Found, Missing};

/// Rows looked at, by the tile that they lie in.
#[derive(Debug)]
pub(super) struct Scanned {
    /// Between the tiles, ascending.
    borders_ns: Vec<i64>,
    rows: Vec<u64>,
}

impl Scanned {
    /// None yet, of the tiles between these borders.
    pub(super) fn new(borders_ns: Vec<i64>) -> Self {
        Self { rows: vec![0; borders_ns.len() + 1], borders_ns }
    }

    /// Adds rows of these times, which ascend.
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

    /// Adds rows that were looked at elsewhere.
    fn add_rows(&mut self, rows: u64) {
        self.rows.iter_mut().take(1).for_each(|first| *first += rows);
    }

    pub(super) fn total(&self) -> u64 {
        self.rows.iter().sum()
    }
}

/// What tiles came to that are not kept.
struct Fresh {
    groups: Vec<Group>,
    scanned: Scanned,
    end: Option<Position>,
    /// Nothing of them had to be left out.
    is_whole: bool,
}

impl Walk<'_> {
    /// Answers the tile `time`, behind where the last piece ended if that was there. Neighbours
    /// that are not kept either are taken from `stretches` and read with it.
    pub(super) fn tile(
        &mut self,
        time: TimeRange,
        behind: Option<&Position>,
        stretches: &mut Stretches,
    ) -> Result<Option<Position>, ScanError> {
        let mut behind = behind.filter(|behind| **behind != self.beginning(time)).cloned();
        loop {
            if self.is_full(0) {
                return Ok(Some(behind.unwrap_or_else(|| self.beginning(time))));
            }
            match tiles::look(self.reader, self.request, time, behind.as_ref())? {
                Found::Never => return self.stretch(time, behind.as_ref()),
                Found::Missing(missing) => {
                    return self.read_tiles(missing, behind.as_ref(), stretches);
                }
                Found::Kept(tile) => {
                    self.rows_kept += tile.rows;
                    self.take_in(&tile.groups, tile.rows)?;
                    let Some(end) = &tile.end else { return Ok(None) };
                    behind = Some(end.clone());
                }
            }
        }
    }

    /// Where a piece goes on that has nothing of a tile yet.
    fn beginning(&self, time: TimeRange) -> Position {
        let time_ns = match self.direction {
            Direction::Ascending => time.start_ns,
            Direction::Descending => time.end_ns.saturating_sub(1),
        };
        let (order, series) = (self.tags.order().to_vec(), self.first().as_bytes().to_vec());
        Position { order, stretch: time, series, time_ns: Some(time_ns) }
    }

    fn read_tiles(
        &mut self,
        first: Missing,
        behind: Option<&Position>,
        stretches: &mut Stretches,
    ) -> Result<Option<Position>, ScanError> {
        let (mut time, mut last) = (first.time, first.time);
        let mut missing = vec![first];
        while behind.is_none()
            && missing.len() < stretches.tiles_at_once()
            && let Some(next) = stretches.neighbour(last)
            && let Found::Missing(found) = tiles::look(self.reader, self.request, next, None)?
        {
            stretches.next();
            missing.push(found);
            last = next;
            time = time.hull(next);
        }
        missing.sort_unstable_by_key(|tile| tile.time.start_ns);
        let borders_ns = missing.iter().skip(1).map(|tile| tile.time.start_ns).collect();
        let cells = self.cells;
        let Fresh { groups, scanned, end, is_whole } = self.read_apart(time, behind, borders_ns)?;
        let rows = scanned.total();
        let cells = self.cells - cells + rows;
        self.take_in(&groups, rows)?;
        let is_one = missing.len() == 1;
        match missing.pop() {
            Some(tile) if is_one && is_whole => {
                let tile_of = Tile { groups, end: end.clone(), rows };
                tiles::keep(self.reader, tile, tile_of, cells);
            }
            Some(tile) if is_whole && end.is_none() => {
                missing.push(tile);
                tiles::keep_each(self.reader, missing, (&groups, cells), &scanned.rows);
            }
            _ => {}
        }
        Ok(end)
    }

    /// Reads the rows inside `time` into groups of their own.
    fn read_apart(
        &mut self,
        time: TimeRange,
        behind: Option<&Position>,
        borders_ns: Vec<i64>,
    ) -> Result<Fresh, ScanError> {
        let bounds = Bounds::new(self.request, self.request.time);
        let held = std::mem::replace(&mut self.groups, Groups::new(self.request, bounds));
        let scanned = std::mem::replace(&mut self.scanned, Scanned::new(borders_ns));
        let limit = self.limits.bytes;
        // A group that there is already takes no more.
        self.limits.bytes = limit.saturating_sub(held.bytes()).max(limit / 4);
        let end = self.stretch(time, behind)?;
        self.limits.bytes = limit;
        let (groups, bounds) = std::mem::replace(&mut self.groups, held).finish();
        let scanned = std::mem::replace(&mut self.scanned, scanned);
        let until = bounds.lowered();
        let is_whole = until.is_none();
        until.into_iter().for_each(|until| self.groups.bounds.lower(until));
        Ok(Fresh { groups, scanned, end, is_whole })
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
