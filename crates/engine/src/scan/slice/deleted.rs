//! Updates a cached tile after deletes. Only the pieces that contain series of the deletes are read
//! again.

use std::rc::Rc;

use super::Walk;
use super::tiled::Bound;
use crate::merge::cursor::Direction;
use crate::merge::key::SeriesKey;
use crate::scan::cached::{Piece, Tile};
use crate::scan::error::ScanError;
use crate::scan::keys::{KeyFilter, NextSeries, SKIPPED_PER_STEP};
use crate::scan::predicate::Filter;
use crate::scan::request::{Deletion, Position};
use crate::scan::tiles::Missing;
use tidemark_model::time::TimeRange;

/// The maximum number of series that are listed for deletes. If deletes affect more series, tiles
/// are read again completely.
const SERIES_MAX: usize = 1_000;
/// The maximum number of series that are visited to find the series of deletes.
const SERIES_PASSED_MAX: u64 = 100_000;

#[derive(Debug, Default)]
pub(super) struct Deleted {
    of: Vec<Deletion>,
    /// The series in any order, or `None` if they exceed the limits.
    series: Option<Rc<[SeriesKey]>>,
}

impl Walk<'_> {
    /// Returns, for each piece of a tile, whether deletes may have changed the piece. Returns
    /// `None` if reading the whole tile again is cheaper.
    pub(super) fn touched(
        &mut self,
        tile: &Tile,
        deletions: &[Deletion],
    ) -> Result<Option<Vec<bool>>, ScanError> {
        if self.deleted.of != deletions {
            let series = self.series_of(deletions)?;
            self.deleted = Deleted { of: deletions.to_vec(), series };
        }
        let Some(series) = &self.deleted.series else { return Ok(None) };
        let mut touched = vec![false; tile.pieces.len()];
        for key in series.iter() {
            let is_before = |piece: &Rc<Piece>| {
                let last = piece.last.as_ref();
                last.is_some_and(|last| self.direction.order(key.cmp(last)).is_gt())
            };
            let piece = tile.pieces.partition_point(is_before);
            if let Some(touched) = touched.get_mut(piece) {
                *touched = true;
            }
        }
        let read = touched.iter().filter(|touched| **touched).count();
        // The tile ends within a series, and its next page begins there.
        let is_within = tile.end.as_ref().is_some_and(|end| end.time_ns.is_some());
        let ends_there = is_within && touched.last() == Some(&true);
        Ok((2 * read <= touched.len() && !ends_there).then_some(touched))
    }

    fn series_of(&mut self, deletions: &[Deletion]) -> Result<Option<Rc<[SeriesKey]>>, ScanError> {
        let measurement = self.request.measurement;
        let runs = self.reader.runs(measurement, self.request.time);
        let Some(runs) = runs else { return Ok(None) };
        let passed = runs.iter().map(|run| run.series).fold(0, u64::saturating_add);
        let (mut series, mut skipped) = (Vec::new(), 0);
        for Deletion { predicate, .. } in deletions {
            let filter = Filter::compile(predicate.as_ref())?;
            let condition = (&filter, predicate.as_ref());
            let order = self.tags.order().to_vec();
            let keys = KeyFilter::new(measurement, Direction::Ascending, condition, &order);
            if !keys.seeks() && passed > SERIES_PASSED_MAX {
                return Ok(None);
            }
            for run in &runs {
                let first = keys.first();
                let mut merge = self.reader.run(run, measurement, Direction::Ascending, &first)?;
                loop {
                    let next = keys.next(&mut merge, &mut self.tags)?;
                    self.count_series(&next);
                    match next {
                        NextSeries::Matching(key) => series.push(key),
                        NextSeries::Skipped(_) => skipped += SKIPPED_PER_STEP,
                        NextSeries::End => break,
                    }
                    if series.len() > SERIES_MAX || skipped > SERIES_PASSED_MAX {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(series.into()))
    }

    /// Uses a tile that was cached before some deletes: reads the `touched` pieces again, and takes
    /// the other pieces from the cache. If the page ends inside the tile, returns the position at
    /// which the rest of the tile begins.
    pub(super) fn refresh(
        &mut self,
        tile: &Tile,
        missing: Missing,
        behind: Option<&Position>,
        touched: &[bool],
    ) -> Result<Option<Position>, ScanError> {
        let time = missing.time;
        let mut pieces = Vec::with_capacity(tile.pieces.len());
        let (mut from, mut is_whole) = (behind.cloned(), true);
        for (piece, is_touched) in tile.pieces.iter().zip(touched) {
            let last = piece.last.clone();
            let next = last.as_ref().map(|last| self.position_after(time, last));
            if *is_touched {
                self.bound = Bound::until(last.clone());
                let mut fresh = self.read_apart(time, from.as_ref(), Vec::new())?;
                self.bound = Bound::default();
                self.take_in(fresh.piece.groups.iter(), fresh.piece.rows)?;
                if fresh.end.is_some() {
                    return Ok(fresh.end);
                }
                is_whole &= fresh.is_whole;
                fresh.piece.last = last;
                pieces.push(Rc::new(fresh.piece));
            } else {
                self.rows_kept += piece.rows;
                self.take_in(piece.groups.iter(), piece.rows)?;
                pieces.push(Rc::clone(piece));
            }
            from = next;
        }
        if is_whole {
            self.keep(missing, pieces, tile.end.clone())?;
        }
        Ok(tile.end.clone())
    }

    fn position_after(&self, stretch: TimeRange, series: &SeriesKey) -> Position {
        let (order, series) = (self.tags.order().to_vec(), series.as_bytes().to_vec());
        Position { order, stretch, series, time_ns: None }
    }
}
