//! Reads a slice tile by tile. Uses cached tiles if possible.

use std::rc::Rc;

use super::{GroupOrder, Walk};
use crate::merge::cursor::Direction;
use crate::merge::key::SeriesKey;
use crate::scan::bounds::Bounds;
use crate::scan::cached::{Piece, Tile};
use crate::scan::error::ScanError;
use crate::scan::groups::Groups;
use crate::scan::page::Group;
use crate::scan::request::Position;
use crate::scan::stretches::Stretches;
use crate::scan::tiles::{self, Found, Missing};
use tidemark_model::bug::OrBug;
use tidemark_model::time::TimeRange;

/// The average number of groups per piece above which the pieces are cached without being merged.
const APART: usize = 4;

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

    /// `times_ns` must ascend.
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

#[derive(Debug, Default)]
pub(super) struct Bound {
    /// The piece ends after the first series that reaches this number of cells.
    cells: Option<Cells>,
    /// The piece ends after this series.
    last: Option<SeriesKey>,
}

#[derive(Clone, Copy, Debug)]
struct Cells {
    from: u64,
    least: u64,
}

impl Bound {
    pub(super) fn until(last: Option<SeriesKey>) -> Self {
        Self { cells: None, last }
    }

    /// `from` is the number of cells read before the first piece.
    fn every(least: Option<u64>, from: u64) -> Self {
        Self { cells: least.map(|least| Cells { from, least }), last: None }
    }

    fn next(&mut self, from: u64) {
        self.cells = self.cells.map(|cells| Cells { from, ..cells });
    }

    /// Whether a series comes after the end of the piece.
    pub(super) fn is_before(&self, key: &SeriesKey, direction: Direction) -> bool {
        self.last.as_ref().is_some_and(|last| direction.order(key.cmp(last)).is_gt())
    }

    /// Whether the piece ends after `cells` cells in total. A piece has at least `least` cells.
    pub(super) fn is_reached(&self, cells: u64, least: u64) -> bool {
        let of_piece =
            |&Cells { from, least: all }: &Cells| cells.saturating_sub(from) >= all.max(least);
        self.cells.as_ref().is_some_and(of_piece)
    }
}

pub(super) struct Fresh {
    pub(super) piece: Piece,
    rows: Vec<u64>,
    pub(super) end: Option<Position>,
    /// Whether the states contain all groups and windows.
    pub(super) is_whole: bool,
}

struct Read {
    pieces: Vec<Fresh>,
    end: Option<Position>,
    is_whole: bool,
}

impl Walk<'_> {
    /// Adds the tile `time` to the page, starting after `behind`. If the neighbouring tiles have no
    /// cache entries, removes these tiles from `stretches` and reads them together with the tile.
    pub(super) fn tile(
        &mut self,
        time: TimeRange,
        behind: Option<&Position>,
        stretches: &mut Stretches,
    ) -> Result<Option<Position>, ScanError> {
        let mut behind = behind.cloned();
        loop {
            if self.is_full(0) {
                return Ok(Some(behind.unwrap_or_else(|| self.beginning(time))));
            }
            let end = match self.look_up(time, behind.as_ref(), stretches)? {
                Found::Never => {
                    let time = self.with_neighbours(time, behind.as_ref(), stretches)?;
                    return self.stretch(time, behind.as_ref());
                }
                Found::Missing(missing) => {
                    return self.read_tiles(missing, behind.as_ref(), stretches);
                }
                Found::Deleted(tile, missing, deletions) => {
                    match self.touched(&tile, &deletions)? {
                        Some(touched) => self.refresh(&tile, missing, behind.as_ref(), &touched)?,
                        None => return self.read_tiles(missing, behind.as_ref(), stretches),
                    }
                }
                Found::Cached(tile) => {
                    self.rows_kept += tile.rows;
                    self.take_in(tile.groups(), tile.rows)?;
                    tile.end.clone()
                }
            };
            let Some(end) = end else { return Ok(None) };
            behind = Some(end);
        }
    }

    fn look_up(
        &self,
        time: TimeRange,
        behind: Option<&Position>,
        stretches: &Stretches,
    ) -> Result<Found, ScanError> {
        if stretches.is_cut_off(time) {
            return Ok(Found::Never);
        }
        tiles::look_up(self.reader, self.request, (time, stretches.caches_immediately()), behind)
    }

    /// Extends `time` by neighbouring tiles that are not cached and will not be cached.
    fn with_neighbours(
        &self,
        mut time: TimeRange,
        behind: Option<&Position>,
        stretches: &mut Stretches,
    ) -> Result<TimeRange, ScanError> {
        let mut last = time;
        for _ in 1..stretches.tiles_at_once() {
            let Some(next) = stretches.neighbour(last).filter(|_| behind.is_none()) else { break };
            let Found::Never = self.look_up(next, None, stretches)? else { break };
            stretches.next();
            last = next;
            time = time.hull(next);
        }
        Ok(time)
    }

    pub(super) fn beginning(&self, time: TimeRange) -> Position {
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
            && let Found::Missing(found) = self.look_up(next, None, stretches)?
        {
            stretches.next();
            missing.push(found);
            last = next;
            time = time.hull(next);
        }
        missing.sort_unstable_by_key(|tile| tile.time.start_ns);
        let borders_ns: Vec<i64> = missing.iter().skip(1).map(|tile| tile.time.start_ns).collect();
        self.bound = Bound::every(stretches.piece_cells(), self.cells);
        let Read { pieces, end, is_whole } = self.read_pieces(time, behind, &borders_ns)?;
        self.bound = Bound::default();
        if !is_whole || (end.is_some() && missing.len() > 1) {
            return Ok(end);
        }
        if missing.len() == 1
            && let Some(tile) = missing.pop()
        {
            let pieces = pieces.into_iter().map(|fresh| Rc::new(fresh.piece)).collect();
            self.keep(tile, pieces, end.clone())?;
            return Ok(end);
        }
        for (number, tile) in missing.into_iter().enumerate() {
            let of_tile = |Fresh { piece, rows, .. }: &Fresh| {
                let rows = rows.get(number).copied().or_bug();
                Rc::new(tiles::piece_of(&tile, piece, rows, time.start_ns))
            };
            let pieces = pieces.iter().map(of_tile).collect();
            self.keep(tile, pieces, None)?;
        }
        Ok(end)
    }

    /// Reads the rows inside `time` piece by piece and adds each piece to the page, until the
    /// event's work limit is reached.
    fn read_pieces(
        &mut self,
        time: TimeRange,
        behind: Option<&Position>,
        borders_ns: &[i64],
    ) -> Result<Read, ScanError> {
        let mut read = Read { pieces: Vec::new(), end: behind.cloned(), is_whole: true };
        loop {
            let mut fresh = self.read_apart(time, read.end.as_ref(), borders_ns.to_vec())?;
            self.take_in(fresh.piece.groups.iter(), fresh.rows.iter().sum())?;
            read.is_whole &= fresh.is_whole;
            read.end = fresh.end.take();
            let last = read.end.as_ref();
            fresh.piece.last = last.and_then(|end| SeriesKey::from_bytes(end.series.clone()));
            let goes_on = last.is_some_and(|end| end.time_ns.is_none()) && !self.is_full(0);
            read.pieces.push(fresh);
            if !goes_on {
                return Ok(read);
            }
            self.bound.next(self.cells);
            if !read.is_whole {
                // Incomplete tiles are not cached, so they need no pieces.
                self.bound = Bound::default();
            }
        }
    }

    pub(super) fn is_piece_over(&self) -> bool {
        let per_byte = self.limits.tile.piece_cells_per_byte;
        let least = (self.groups.bytes() as u64).saturating_mul(per_byte);
        self.bound.is_reached(self.cells_with(self.batch.picks.len()), least)
    }

    pub(super) fn keep(
        &self,
        tile: Missing,
        mut pieces: Vec<Rc<Piece>>,
        end: Option<Position>,
    ) -> Result<(), ScanError> {
        let rows = pieces.iter().map(|piece| piece.rows).sum();
        let groups = match &mut pieces[..] {
            [only] => Rc::get_mut(only).map(|only| std::mem::take(&mut only.groups)),
            _ => None,
        };
        let groups = match groups {
            Some(groups) => {
                pieces.clear();
                groups
            }
            None if self.have_disjoint_groups(&pieces) => Vec::new(),
            None => self.merge_pieces(&pieces)?,
        };
        tiles::keep(self.reader, tile, Tile { groups, pieces, end, rows });
        Ok(())
    }

    /// Whether at most one group at each border between pieces has states in both pieces.
    fn have_disjoint_groups(&self, pieces: &[Rc<Piece>]) -> bool {
        let groups: usize = pieces.iter().map(|piece| piece.groups.len()).sum();
        let has_groups = !self.request.group_by.is_empty();
        has_groups && self.arrangement != GroupOrder::Mixed && groups >= APART * pieces.len()
    }

    fn merge_pieces(&self, pieces: &[Rc<Piece>]) -> Result<Vec<Group>, ScanError> {
        let bounds = Bounds::new(self.request, self.request.time);
        let mut groups = Groups::new(self.request, bounds);
        for group in pieces.iter().flat_map(|piece| &piece.groups) {
            groups.absorb(group)?;
        }
        Ok(groups.finish().0)
    }

    /// Reads the rows inside `time` into new groups, separate from the groups of the page.
    pub(super) fn read_apart(
        &mut self,
        time: TimeRange,
        behind: Option<&Position>,
        borders_ns: Vec<i64>,
    ) -> Result<Fresh, ScanError> {
        let bounds = Bounds::new(self.request, self.request.time);
        let held = std::mem::replace(&mut self.groups, Groups::new(self.request, bounds));
        let scanned = std::mem::replace(&mut self.scanned, Scanned::new(borders_ns));
        let limit = self.limits.bytes;
        // Groups that are already on the page need no further bytes, so the limit is not reduced
        // below a quarter.
        self.limits.bytes = limit.saturating_sub(held.bytes()).max(limit / 4);
        let end = self.stretch(time, behind)?;
        self.limits.bytes = limit;
        let (groups, bounds) = std::mem::replace(&mut self.groups, held).finish();
        let Scanned { rows, .. } = std::mem::replace(&mut self.scanned, scanned);
        let until = bounds.lowered();
        let is_whole = until.is_none();
        until.into_iter().for_each(|until| self.groups.bounds.lower(until));
        let piece = Piece { last: None, groups, rows: rows.iter().sum() };
        Ok(Fresh { piece, rows, end, is_whole })
    }

    pub(super) fn take_in<'g>(
        &mut self,
        mut groups: impl Iterator<Item = &'g Group>,
        rows: u64,
    ) -> Result<(), ScanError> {
        self.scanned.add_rows(rows);
        groups.try_for_each(|group| self.groups.absorb(group))?;
        if self.gathers() {
            self.groups.lower(self.limits.bytes);
        }
        Ok(())
    }
}
