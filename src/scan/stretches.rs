//! The stretches of time in which a slice is read, one after the other.
//!
//! Where everything is wanted there is one, or as many as runs make necessary. Where the first few
//! rows are enough, or a page of them, or the last point of each group, the first one is about as
//! long as those are, and each one behind four times as long as the one before.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::bounds::Bounds;
use super::error::ScanError;
use super::groups::Groups;
use super::page::TileLimits;
use super::reader::{Reader, Survey};
use super::request::{AggregateFunction, Output, ScanRequest};
use super::tiles::{self, Tiling};
use crate::model::ids::MeasurementId;
use crate::model::time::TimeRange;

/// How much longer the next stretch is.
const GROWTH: i128 = 4;
/// Rows that a slice of one group should have.
const SLICE_ROWS: u64 = 1 << 16;

/// The stretches that are left, in the direction of the answer.
pub(super) struct Stretches {
    /// The latest comes first.
    is_backwards: bool,
    left: VecDeque<TimeRange>,
    /// How long the next one is at most, nanoseconds.
    span: Option<i128>,
    /// Whether a slice ends at the end of one.
    ends_slices: bool,
    tiling: Tiling,
    /// What is asked about.
    asked: TimeRange,
}

impl Stretches {
    /// Those of a request, from where the last piece ended.
    ///
    /// # Errors
    /// Those of the reader.
    pub(super) fn new(
        reader: &dyn Reader,
        request: &ScanRequest,
        least: TileLimits,
    ) -> Result<Self, ScanError> {
        let bounds = Bounds::new(request, request.time);
        let one_group = match &request.resume.from {
            _ if request.group_by.is_empty() => Some(Vec::new()),
            Some(from) if bounds.is_one_group() => Some(from.group.clone()),
            _ => None,
        };
        let mut time = one_group.as_deref().map_or(request.time, |group| bounds.time_of(group));
        let is_rows = matches!(request.output, Output::Rows { limit: None, .. });
        let ends_slices = is_rows && !takes_every_row(&request.output) && one_group.is_some();
        let end = End::of(&request.output);
        let is_backwards = end.map_or(request.descending, |end| end == End::Latest);
        let (mut span, mut tiling) = (None, Tiling::default());
        if ends_slices || end.is_some() || is_limited(&request.output) {
            let end = (time, is_backwards);
            let (all, survey) = survey_of_end(reader, request.measurement, end, least)?;
            time = time.intersect(&all);
            span =
                first_span(request, &survey, ends_slices).filter(|&span| span < time.length_ns());
        } else if tiles::are_kept(request) {
            let survey = reader.survey(request.measurement, time)?;
            tiling = Tiling::new(request, &survey, least);
        }
        let mut left: VecDeque<TimeRange> = VecDeque::new();
        if let Some(position) = &request.resume.position {
            left.push_back(position.stretch);
            let TimeRange { start_ns, end_ns } = position.stretch;
            time = time.intersect(&match is_backwards {
                true => TimeRange::new(i64::MIN, start_ns),
                false => TimeRange::new(end_ns, i64::MAX),
            });
            let length = position.stretch.length_ns();
            span = span.map(|span| span.max(length.saturating_mul(GROWTH)));
        }
        let mut pieces = if time.is_empty() { Vec::new() } else { reader.chained(time)? };
        pieces = pieces.into_iter().flat_map(|piece| tiling.cut(piece)).collect();
        if is_backwards {
            pieces.reverse();
        }
        left.extend(pieces);
        Ok(Self { is_backwards, left, span, ends_slices, tiling, asked: request.time })
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Option<TimeRange> {
        let piece = self.left.pop_front()?;
        let Some(span) = self.span.filter(|&span| span < piece.length_ns()) else {
            return Some(piece);
        };
        self.span = Some(span.saturating_mul(GROWTH));
        // It is shorter than the piece, whose ends are times.
        let (stretch, rest) = match self.is_backwards {
            true => {
                let cut_ns = (i128::from(piece.end_ns) - span) as i64;
                (TimeRange::new(cut_ns, piece.end_ns), TimeRange::new(piece.start_ns, cut_ns))
            }
            false => {
                let cut_ns = (i128::from(piece.start_ns) + span) as i64;
                (TimeRange::new(piece.start_ns, cut_ns), TimeRange::new(cut_ns, piece.end_ns))
            }
        };
        self.left.push_front(rest);
        Some(stretch)
    }

    /// Times of which the next one is a part, or all.
    pub(super) fn first(&self) -> Option<TimeRange> {
        self.left.front().copied()
    }

    /// All that is left, from its start to its end.
    pub(super) fn rest(&self) -> Option<TimeRange> {
        let start_ns = self.left.iter().map(|piece| piece.start_ns).min()?;
        let end_ns = self.left.iter().map(|piece| piece.end_ns).max()?;
        Some(TimeRange::new(start_ns, end_ns))
    }

    /// Leaves out what lies outside `time`.
    pub(super) fn keep_inside(&mut self, time: TimeRange) {
        for piece in &mut self.left {
            *piece = piece.intersect(&time);
        }
        self.left.retain(|piece| !piece.is_empty());
    }

    /// The one that comes next, if it and `last` are tiles side by side.
    pub(super) fn neighbour(&self, last: TimeRange) -> Option<TimeRange> {
        let is_next = |next: &&TimeRange| match self.is_backwards {
            true => next.end_ns == last.start_ns && self.tiling.has_border(last.start_ns),
            false => next.start_ns == last.end_ns && self.tiling.has_border(last.end_ns),
        };
        self.left.front().filter(is_next).copied()
    }

    /// Whether a stretch is what an end of the range leaves of a tile. The next question has
    /// another range, most likely.
    pub(super) fn is_cut_off(&self, stretch: TimeRange) -> bool {
        let starts = stretch.start_ns == self.asked.start_ns;
        let ends = stretch.end_ns == self.asked.end_ns;
        (starts && self.tiling.cuts_at(stretch.start_ns))
            || (ends && self.tiling.cuts_at(stretch.end_ns))
    }

    /// Whether a tile is kept when it is first read.
    pub(super) fn keeps_at_once(&self) -> bool {
        self.tiling.keeps_at_once
    }

    /// Tiles that may be read together.
    pub(super) fn tiles_at_once(&self) -> usize {
        self.tiling.at_once
    }

    /// Cells of a piece by series of what is read for tiles, where there are any.
    pub(super) fn piece_cells(&self) -> Option<u64> {
        self.tiling.piece_cells
    }

    /// Whether the slice ends at the end of the last stretch: `groups` have enough rows, or the
    /// stretch was begun by an earlier piece (`is_resumed`), and there are more.
    pub(super) fn is_enough(&self, groups: &Groups<'_>, is_resumed: bool) -> bool {
        let has_enough = is_resumed || groups.rows() as u64 >= SLICE_ROWS / 2;
        self.ends_slices && !self.left.is_empty() && has_enough
    }
}

/// The times inside `time` that there are rows of, and what there is at the end of them that comes
/// first: of a month only its last day is looked at.
fn survey_of_end(
    reader: &dyn Reader,
    measurement: MeasurementId,
    (time, is_backwards): (TimeRange, bool),
    least: TileLimits,
) -> Result<(TimeRange, Survey), ScanError> {
    let mut runs = reader.runs(measurement, time).unwrap_or_default();
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
        let survey = reader.survey(measurement, end.intersect(&time))?;
        if survey.rows > 0 {
            return Ok((TimeRange::new(start_ns, end_ns), survey));
        }
    }
    let survey = reader.survey(measurement, time)?;
    Ok((survey.time, survey))
}

/// The end of a range at which the only points are that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Earliest,
    Latest,
}

impl End {
    /// That of an output, if it asks for nothing but the point there.
    pub(super) fn of(output: &Output) -> Option<Self> {
        let Output::Aggregates { calls, window: None, .. } = output else { return None };
        let mut ends = calls.iter().map(|call| match call.function {
            AggregateFunction::First | AggregateFunction::Met { latest: false, .. } => {
                Some(Self::Earliest)
            }
            AggregateFunction::Last | AggregateFunction::Met { latest: true, .. } => {
                Some(Self::Latest)
            }
            _ => None,
        });
        let first = ends.next()??;
        ends.all(|end| end == Some(first)).then_some(first)
    }
}

/// Whether rows count whatever they have, which then come in any order.
fn takes_every_row(output: &Output) -> bool {
    matches!(output, Output::Rows { every_row: true, .. })
}

/// Whether the first few rows or windows of each group are enough.
fn is_limited(output: &Output) -> bool {
    match output {
        Output::Rows { limit, .. } => limit.is_some(),
        // Clocks that change put rows into windows out of order.
        Output::Aggregates { limit, window, .. } => {
            limit.is_some() && window.as_ref().is_some_and(|window| window.zone.is_empty())
        }
    }
}

/// How long the first stretch should be.
fn first_span(request: &ScanRequest, survey: &Survey, ends_slices: bool) -> Option<i128> {
    let groups = if request.group_by.is_empty() { 1 } else { survey.series.max(1) };
    let wanted = match &request.output {
        Output::Aggregates { .. } if End::of(&request.output).is_some() => groups.saturating_mul(2),
        Output::Aggregates { limit, window, .. } => {
            // One to see that the last one is whole, one because the first is cut by the range.
            let windows = i128::from((*limit)?).saturating_add(2);
            return Some(windows.saturating_mul(i128::from(window.as_ref()?.every_ns.max(1))));
        }
        Output::Rows { .. } if ends_slices => SLICE_ROWS,
        Output::Rows { limit, .. } => {
            limit.unwrap_or(u64::MAX).saturating_mul(groups).saturating_mul(2)
        }
    };
    let rows = i128::from(survey.rows.max(1));
    Some((survey.time.length_ns().max(1) * i128::from(wanted) / rows).max(1))
}
