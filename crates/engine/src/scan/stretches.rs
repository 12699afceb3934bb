//! Divides the time range of a slice into stretches, which are read successively.
//!
//! If the request needs all rows, there is one stretch, or more if there are too many runs for one
//! merge. If the first few rows, one page, or the last point of each group suffice, the first
//! stretch is about as long as these rows require. Each further stretch is four times as long as
//! its predecessor.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::bounds::Bounds;
use super::error::ScanError;
use super::groups::Groups;
use super::page::TileLimits;
use super::reader::{Estimate, Reader};
use super::request::{NeededEnd, Output, ScanRequest};
use super::tiles::{Caching, Tiling};
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

const GROWTH: i128 = 4;
/// The target number of rows in a slice with a single group.
const SLICE_ROWS: u64 = 1 << 16;

/// The remaining stretches, in the direction of the result.
pub(super) struct Stretches {
    /// Whether the latest stretch is read first.
    is_backwards: bool,
    remaining: VecDeque<TimeRange>,
    /// The maximum length of the next stretch, in nanoseconds.
    length_max_ns: Option<i128>,
    /// Whether a slice ends at the end of a stretch.
    ends_slices: bool,
    tiling: Tiling,
    requested: TimeRange,
}

impl Stretches {
    pub(super) fn new(
        reader: &dyn Reader,
        request: &ScanRequest,
        least: TileLimits,
    ) -> Result<Self, ScanError> {
        let bounds = Bounds::new(request);
        let one_group = match &request.resume.from {
            _ if request.group_by.is_empty() => Some(Vec::new()),
            Some(from) if bounds.is_one_group() => Some(from.group.clone()),
            _ => None,
        };
        let mut time = one_group.as_deref().map_or(request.time, |group| bounds.time_of(group));
        let is_ordered =
            matches!(request.output, Output::Rows { limit: None, every_row: false, .. });
        let ends_slices = is_ordered && one_group.is_some();
        let end = request.output.needed_end();
        let is_backwards =
            end.map_or(request.direction.is_descending(), |end| end == NeededEnd::Latest);
        let (mut length_max_ns, mut tiling) = (None, Tiling::default());
        if ends_slices || end.is_some() || is_limited(&request.output) {
            let (all, estimate) =
                estimate_of_end(reader, request.measurement, time, is_backwards, least)?;
            time = time.intersect(&all);
            length_max_ns = first_length_ns(request, &estimate, ends_slices)
                .filter(|&max_ns| max_ns < time.length_ns());
        } else if Caching::of(request) == Caching::Tiles {
            let estimate = reader.estimate(request.measurement, time)?;
            tiling = Tiling::new(request, &estimate, least);
        }
        let mut remaining: VecDeque<TimeRange> = VecDeque::new();
        if let Some(position) = &request.resume.position {
            remaining.push_back(position.stretch);
            let TimeRange { start_ns, end_ns } = position.stretch;
            time = time.intersect(&match is_backwards {
                true => TimeRange::new(i64::MIN, start_ns),
                false => TimeRange::new(end_ns, i64::MAX),
            });
            let length = position.stretch.length_ns();
            length_max_ns = length_max_ns.map(|max_ns| max_ns.max(length.saturating_mul(GROWTH)));
        }
        let mut pieces = if time.is_empty() { Vec::new() } else { reader.split(time)? };
        pieces = pieces.into_iter().flat_map(|piece| tiling.cut(piece)).collect();
        if is_backwards {
            pieces.reverse();
        }
        remaining.extend(pieces);
        Ok(Self {
            is_backwards,
            remaining,
            length_max_ns,
            ends_slices,
            tiling,
            requested: request.time,
        })
    }

    pub(super) fn next(&mut self) -> Option<TimeRange> {
        let piece = self.remaining.pop_front()?;
        let Some(length_max_ns) = self.length_max_ns.filter(|&max_ns| max_ns < piece.length_ns())
        else {
            return Some(piece);
        };
        self.length_max_ns = Some(length_max_ns.saturating_mul(GROWTH));
        // The stretch is shorter than the remaining range, whose ends are `i64` times.
        let (stretch, rest) = match self.is_backwards {
            true => {
                let cut_ns = (i128::from(piece.end_ns) - length_max_ns) as i64;
                (TimeRange::new(cut_ns, piece.end_ns), TimeRange::new(piece.start_ns, cut_ns))
            }
            false => {
                let cut_ns = (i128::from(piece.start_ns) + length_max_ns) as i64;
                (TimeRange::new(piece.start_ns, cut_ns), TimeRange::new(cut_ns, piece.end_ns))
            }
        };
        self.remaining.push_front(rest);
        Some(stretch)
    }

    pub(super) fn first(&self) -> Option<TimeRange> {
        self.remaining.front().copied()
    }

    pub(super) fn rest(&self) -> Option<TimeRange> {
        let start_ns = self.remaining.iter().map(|piece| piece.start_ns).min()?;
        let end_ns = self.remaining.iter().map(|piece| piece.end_ns).max()?;
        Some(TimeRange::new(start_ns, end_ns))
    }

    pub(super) fn keep_inside(&mut self, time: TimeRange) {
        for piece in &mut self.remaining {
            *piece = piece.intersect(&time);
        }
        self.remaining.retain(|piece| !piece.is_empty());
    }

    /// Returns the next stretch if it is the neighbouring tile of `last`.
    pub(super) fn neighbour(&self, last: TimeRange) -> Option<TimeRange> {
        let is_next = |next: &&TimeRange| match self.is_backwards {
            true => next.end_ns == last.start_ns && self.tiling.has_border(last.start_ns),
            false => next.start_ns == last.end_ns && self.tiling.has_border(last.end_ns),
        };
        self.remaining.front().filter(is_next).copied()
    }

    /// Whether an end of the requested range cuts off a part of this tile. Such a tile is not worth
    /// caching, because the next request probably has another range.
    pub(super) fn is_cut_off(&self, stretch: TimeRange) -> bool {
        let starts = stretch.start_ns == self.requested.start_ns;
        let ends = stretch.end_ns == self.requested.end_ns;
        (starts && self.tiling.cuts_at(stretch.start_ns))
            || (ends && self.tiling.cuts_at(stretch.end_ns))
    }

    pub(super) fn caches_immediately(&self) -> bool {
        self.tiling.caches_immediately
    }

    pub(super) fn tiles_at_once(&self) -> usize {
        self.tiling.at_once
    }

    /// Whether the slice ends after the current stretch, although further stretches remain. This
    /// requires that `groups` contains enough rows, or that an earlier page began the stretch
    /// (`is_resumed`).
    pub(super) fn is_enough(&self, groups: &Groups<'_>, is_resumed: bool) -> bool {
        let has_enough = is_resumed || groups.rows() as u64 >= SLICE_ROWS / 2;
        self.ends_slices && !self.remaining.is_empty() && has_enough
    }
}

/// Returns the range of existing rows inside `time`, and an estimate for the end of this range that
/// is read first. For example, the range is a month, and the estimate is for the last day of the
/// month.
fn estimate_of_end(
    reader: &dyn Reader,
    measurement: MeasurementId,
    time: TimeRange,
    is_backwards: bool,
    least: TileLimits,
) -> Result<(TimeRange, Estimate), ScanError> {
    let mut runs = reader.runs(measurement, time);
    let start_ns = runs.iter().map(|run| run.time.start_ns).min();
    let end_ns = runs.iter().map(|run| run.time.end_ns).max();
    match is_backwards {
        true => runs.sort_unstable_by_key(|run| Reverse(run.time.end_ns)),
        false => runs.sort_unstable_by_key(|run| run.time.start_ns),
    }
    let (mut rows, mut series) = (0_u64, 0);
    let last = runs.iter().position(|run| {
        rows = rows.saturating_add(run.rows);
        series = run.series.max(series);
        rows >= series.max(1).saturating_mul(least.rows)
    });
    if let (Some(start_ns), Some(end_ns), Some(last)) = (start_ns, end_ns, last)
        && last + 1 < runs.len()
        && let Some(run) = runs.get(last)
    {
        let TimeRange { start_ns: from_ns, end_ns: to_ns } = run.time;
        let end = match is_backwards {
            true => TimeRange::new(from_ns, end_ns),
            false => TimeRange::new(start_ns, to_ns),
        };
        let estimate = reader.estimate(measurement, end.intersect(&time))?;
        if estimate.rows > 0 {
            return Ok((TimeRange::new(start_ns, end_ns), estimate));
        }
    }
    let estimate = reader.estimate(measurement, time)?;
    Ok((estimate.time, estimate))
}

fn is_limited(output: &Output) -> bool {
    matches!(output, Output::Rows { limit: Some(_), .. }) || output.windows_max().is_some()
}

fn first_length_ns(request: &ScanRequest, estimate: &Estimate, ends_slices: bool) -> Option<i128> {
    let groups = if request.group_by.is_empty() { 1 } else { estimate.series.max(1) };
    let wanted = match &request.output {
        Output::Aggregates { .. } if request.output.needed_end().is_some() => {
            groups.saturating_mul(2)
        }
        Output::Aggregates { limit, window, .. } => {
            // Adds two windows to the limit. The requested range may cut off the first window, and
            // one more window is needed to detect that the last window is complete.
            let windows = i128::from((*limit)?).saturating_add(2);
            return Some(windows.saturating_mul(i128::from(window.as_ref()?.every_ns.max(1))));
        }
        Output::Rows { .. } if ends_slices => SLICE_ROWS,
        Output::Rows { limit, .. } => {
            limit.unwrap_or(u64::MAX).saturating_mul(groups).saturating_mul(2)
        }
    };
    let rows = i128::from(estimate.rows.max(1));
    Some((estimate.time.length_ns().max(1) * i128::from(wanted) / rows).max(1))
}
