//! Walks one group: stretches of time, and in each the series, merged, filtered and fed to a sink.
//!
//! Parts that overlap in time form an era; eras come in order of time, each cut into slices so that
//! one series' rows of a slice fit in memory. Inside a slice series come in order of their key. A
//! page may end behind any row, any window, or (states) any series of a slice; [`ResumeKey`] says
//! where. Everything is mirrored when the scan descends.

use super::error::ScanError;
use super::group_rows::{Full, GroupRows};
use super::group_states::GroupStates;
use super::merge::merge;
use super::predicate::{Filter, Mask};
use super::request::{ResumeKey, SeriesMark};
use super::series_index::{Place, SeriesIndex};
use super::source::{Part, Run, Source};
use crate::model::ids::ColumnId;
use crate::model::sorted;
use crate::model::time::TimeRange;

/// Rows of one series that a slice is meant to hold at most.
const SLICE_ROWS: u64 = 1 << 19;
/// How much longer the next slice is when one brought fewer rows than wanted.
const SLICE_GROWTH: i128 = 4;

/// Parts that overlap in time.
pub(super) struct Era {
    time: TimeRange,
    /// Whether each part belongs to it.
    parts: Vec<bool>,
}

/// How a slice ended.
enum Slice {
    /// These times are through.
    Done(TimeRange),
    /// The page is full.
    Stopped((Full, Option<SeriesMark>)),
}

/// Where a group's rows or states go.
pub(super) enum Sink<'a> {
    Rows(GroupRows<'a>),
    States(GroupStates<'a>),
}

/// What all groups of one page share.
pub(super) struct Walk<'a> {
    pub(super) source: &'a mut dyn Source,
    pub(super) time: TimeRange,
    pub(super) descending: bool,
    /// The source's count of decoded bytes at which the page ends.
    pub(super) decoded_max: u64,
    pub(super) index: &'a SeriesIndex,
    pub(super) filter: &'a Filter,
    /// Fields to decode.
    pub(super) columns: &'a [ColumnId],
    /// Those of them that the filter reads; empty if it reads all of them, or none.
    pub(super) deciding: &'a [ColumnId],
    pub(super) eras: &'a [Era],
    pub(super) rows_scanned: u64,
}

/// The eras of `parts` inside `time`, in the scan's direction.
pub(super) fn eras(parts: &[Part], time: TimeRange, descending: bool) -> Vec<Era> {
    let mut order: Vec<(TimeRange, usize)> =
        parts.iter().enumerate().map(|(part, p)| (p.time.intersect(&time), part)).collect();
    order.retain(|(time, _)| !time.is_empty());
    sorted::sort_by_key(&mut order, |(time, _)| time.start_ns);
    let mut eras: Vec<Era> = Vec::new();
    for (time, part) in order {
        let member = |p: usize| p == part;
        match eras.last_mut() {
            Some(era) if time.start_ns < era.time.end_ns => {
                era.time.end_ns = era.time.end_ns.max(time.end_ns);
                era.parts.iter_mut().enumerate().for_each(|(p, is_in)| *is_in |= member(p));
            }
            _ => eras.push(Era { time, parts: (0..parts.len()).map(member).collect() }),
        }
    }
    if descending {
        eras.reverse();
    }
    eras
}

impl Walk<'_> {
    /// Feeds one group to `sink`, from where the last page ended if inside the group. Says where
    /// the next page starts if this one is full before the group is through.
    pub(super) fn group(
        &mut self,
        group: usize,
        from: Option<&ResumeKey>,
        sink: &mut Sink<'_>,
    ) -> Result<Option<ResumeKey>, ScanError> {
        let mut series: Vec<usize> = self.index.group(group).collect();
        if self.descending {
            series.reverse();
        }
        let open = from.map_or(self.time, |from| self.from(self.time, from.time_ns));
        let ahead = from.and_then(|from| from.ahead.as_ref());
        // Up to where some series are answered already, and which series those are not.
        let ahead_until = ahead.map(|mark| self.before(mark.time_ns));
        let behind = ahead.map_or(0, |mark| self.first_behind(&series, mark));
        for (number, era) in self.eras.iter().enumerate() {
            let mut rest = era.time.intersect(&open);
            let mut span = self.first_span(&series, era, sink);
            while !rest.is_empty() && !sink.is_done() {
                let slice = self.head(rest, span);
                let partly = ahead_until.map(|until| until.intersect(&slice));
                let partly = partly.filter(|time| !time.is_empty());
                let left = series.get(if partly.is_some() { behind } else { 0 }..);
                let left = left.unwrap_or_default();
                let live = match self.slice(left, era, partly.unwrap_or(slice), sink, &partly)? {
                    Slice::Done(live) => live,
                    Slice::Stopped(end) => return Ok(Some(self.resume(group, end))),
                };
                if sink.is_limited() {
                    span = span.saturating_mul(SLICE_GROWTH);
                }
                rest = self.after(rest, live);
                let last = rest.is_empty() && number + 1 == self.eras.len();
                let enough = self.decoded_enough() && !last && !sink.is_done();
                if enough || sink.is_cut() {
                    let full = Full { time_ns: self.behind(live), skip: 0, sent: sink.sent() };
                    // The old mark stands while it lies ahead of the new start.
                    let still = ahead_until.is_some_and(|until| until.contains(full.time_ns));
                    return Ok(Some(self.resume(group, (full, ahead.filter(|_| still).cloned()))));
                }
            }
        }
        Ok(None)
    }

    fn resume(&self, group: usize, (full, ahead): (Full, Option<SeriesMark>)) -> ResumeKey {
        let group = self.index.group_key(group);
        ResumeKey { group, time_ns: full.time_ns, skip: full.skip, sent: full.sent, ahead }
    }

    /// Feeds the rows of `series` inside `slice`, as far as the page has room. `partly`: other
    /// series are through with it already.
    fn slice(
        &mut self,
        series: &[usize],
        era: &Era,
        slice: TimeRange,
        sink: &mut Sink<'_>,
        partly: &Option<TimeRange>,
    ) -> Result<Slice, ScanError> {
        let mut live = slice;
        for (position, &series_number) in series.iter().enumerate() {
            if live.is_empty() {
                break;
            }
            self.series(series_number, era, &mut live, sink)?;
            // One mark cannot say that series ended in three different places.
            let stoppable = matches!(sink, Sink::States(_)) && !(partly.is_some() && sink.is_cut());
            let last = position + 1 == series.len();
            if stoppable && !last && !live.is_empty() && self.decoded_enough() {
                let series = self.index.series_key(series_number);
                let mark = SeriesMark { series, time_ns: self.behind(live) };
                let full = Full { time_ns: self.first_open(slice), skip: 0, sent: 0 };
                return Ok(Slice::Stopped((full, Some(mark))));
            }
        }
        let index = self.index;
        let text = |series: usize| -> usize {
            index.tag_ids().iter().map(|&tag| index.tag(series, tag).len()).sum()
        };
        if let Sink::Rows(rows) = sink
            && let Some(full) = rows.end_slice(&text)
        {
            return Ok(Slice::Stopped((full, None)));
        }
        Ok(Slice::Done(live))
    }

    fn series(
        &mut self,
        series: usize,
        era: &Era,
        live: &mut TimeRange,
        sink: &mut Sink<'_>,
    ) -> Result<(), ScanError> {
        let index = self.index;
        let mut all = places(index, series, era);
        if let (false, Some(only), None) = (self.deciding.is_empty(), all.next(), all.next()) {
            return self.filter_first(series, only, live, sink);
        }
        if sink.wants_newest()
            && !self.filter.reads_rows()
            && let Some(run) = self.newest(series, era, *live)?
            && sink.has_value(&run)?
        {
            self.rows_scanned += 1;
            return self.consume(series, &run, &Mask::All, live, sink);
        }
        let mut runs = Vec::new();
        for place in places(index, series, era) {
            runs.extend(self.runs(place, *live, self.columns)?);
        }
        if runs.is_empty() {
            return Ok(());
        }
        let mut runs = merge(runs)?;
        if self.descending {
            runs.reverse();
        }
        for run in runs {
            if let Some((run, mask)) = self.select(series, run, *live)? {
                self.consume(series, &run, &mask, live, sink)?;
            }
        }
        Ok(())
    }

    /// The same for a series of one part: columns that the filter does not read are decoded only
    /// where it selects a row.
    fn filter_first(
        &mut self,
        series: usize,
        place: Place,
        live: &mut TimeRange,
        sink: &mut Sink<'_>,
    ) -> Result<(), ScanError> {
        let mut runs = self.runs(place, *live, self.deciding)?;
        if self.descending {
            runs.reverse();
        }
        for run in runs {
            let Some((run, mask)) = self.select(series, run, *live)? else { continue };
            let (Some(&first_ns), Some(&last_ns)) = (run.times().first(), run.times().last())
            else {
                continue;
            };
            if mask == Mask::None {
                continue;
            }
            // Runs of one part do not overlap: this is the same one.
            let time = TimeRange::new(first_ns, last_ns.saturating_add(1));
            for run in self.runs(place, time, self.columns)? {
                self.consume(series, &run, &mask, live, sink)?;
            }
        }
        Ok(())
    }

    /// The rows of a run that are still wanted, which may have become fewer since it was read, and
    /// which of them the filter takes; `None` when there are none.
    fn select(
        &mut self,
        series: usize,
        run: Run,
        live: TimeRange,
    ) -> Result<Option<(Run, Mask)>, ScanError> {
        let Some(run) = run.trim(live) else { return Ok(None) };
        self.rows_scanned += run.rows.len() as u64;
        let mask = self.filter.select(&run, &|id| self.index.tag(series, id))?;
        Ok(Some((run, mask)))
    }

    /// The latest row of a series inside `time`, as all parts together have it.
    fn newest(
        &mut self,
        series: usize,
        era: &Era,
        time: TimeRange,
    ) -> Result<Option<Run>, ScanError> {
        let mut runs = Vec::new();
        for place in places(self.index, series, era) {
            let (part, number) = (place.part as usize, place.series);
            runs.extend(self.source.newest(part, number, time, self.columns)?);
        }
        Ok(merge(runs)?.pop())
    }

    fn runs(
        &mut self,
        place: Place,
        time: TimeRange,
        columns: &[ColumnId],
    ) -> Result<Vec<Run>, ScanError> {
        let runs = self.source.runs(place.part as usize, place.series, time, columns)?;
        Ok(runs.into_iter().filter_map(|run| run.trim(time)).collect())
    }

    fn consume(
        &self,
        series: usize,
        run: &Run,
        mask: &Mask,
        live: &mut TimeRange,
        sink: &mut Sink<'_>,
    ) -> Result<(), ScanError> {
        if *mask == Mask::None {
            return Ok(());
        }
        match sink {
            Sink::Rows(rows) => rows.consume(series, run, mask, live),
            Sink::States(states) => {
                states.consume(run, mask, &|id| self.index.tag(series, id), live)
            }
        }
    }

    /// Whether the source has decoded what one page may cost.
    pub(super) fn decoded_enough(&self) -> bool {
        self.source.stats().bytes_decoded > self.decoded_max
    }

    /// How long the first slice of an era should be, nanoseconds.
    fn first_span(&self, series: &[usize], era: &Era, sink: &Sink<'_>) -> i128 {
        let length = i128::from(era.time.end_ns) - i128::from(era.time.start_ns);
        let per_series = |place: Place| {
            let part = self.index.parts().get(place.part as usize);
            part.map_or(1, |part| part.rows / u64::from(part.series.len.max(1)) + 1)
        };
        let places = series.iter().flat_map(|&series| places(self.index, series, era));
        let rows: u64 = places.map(per_series).fold(0, u64::saturating_add);
        if let Sink::States(states) = sink
            && let Some(span) = states.span_ns()
        {
            return span.min(length);
        }
        let (rows, wanted) = match sink {
            // All series together, and some to spare.
            Sink::Rows(sink) => (rows, 2 * sink.wanted() as u64),
            Sink::States(_) => (rows / series.len().max(1) as u64, SLICE_ROWS),
        };
        if rows <= wanted {
            return length;
        }
        (length * i128::from(wanted) / i128::from(rows)).max(1)
    }

    /// Number of series (which are in the scan's order) up to and including the mark's.
    fn first_behind(&self, series: &[usize], mark: &SeriesMark) -> usize {
        series.partition_point(|&series| {
            let order = self.index.compare_series(series, &mark.series);
            if self.descending { order.is_ge() } else { order.is_le() }
        })
    }

    /// The first time of a range in the scan's direction.
    pub(super) fn first_open(&self, time: TimeRange) -> i64 {
        if self.descending { time.end_ns.saturating_sub(1) } else { time.start_ns }
    }

    /// The first time behind a range in the scan's direction.
    fn behind(&self, time: TimeRange) -> i64 {
        if self.descending { time.start_ns.saturating_sub(1) } else { time.end_ns }
    }

    /// The times of `time` from `from_ns` on in the scan's direction.
    fn from(&self, time: TimeRange, from_ns: i64) -> TimeRange {
        match self.descending {
            true => time.intersect(&TimeRange::new(i64::MIN, from_ns.saturating_add(1))),
            false => time.intersect(&TimeRange::new(from_ns, i64::MAX)),
        }
    }

    /// The times before `until_ns` in the scan's direction.
    fn before(&self, until_ns: i64) -> TimeRange {
        match self.descending {
            true => TimeRange::new(until_ns.saturating_add(1), i64::MAX),
            false => TimeRange::new(i64::MIN, until_ns),
        }
    }

    /// The first `span` nanoseconds of `time` in the scan's direction.
    fn head(&self, time: TimeRange, span: i128) -> TimeRange {
        let clamp = |time_ns: i128| {
            i64::try_from(time_ns.clamp(i128::from(time.start_ns), i128::from(time.end_ns)))
                .unwrap_or(time.end_ns)
        };
        match self.descending {
            true => TimeRange::new(clamp(i128::from(time.end_ns) - span), time.end_ns),
            false => TimeRange::new(time.start_ns, clamp(i128::from(time.start_ns) + span)),
        }
    }

    /// What is left of `time` behind `done`.
    fn after(&self, time: TimeRange, done: TimeRange) -> TimeRange {
        match self.descending {
            true => TimeRange::new(time.start_ns, done.start_ns),
            false => TimeRange::new(done.end_ns, time.end_ns),
        }
    }
}

impl Sink<'_> {
    /// Whether the group needs nothing more.
    fn is_done(&self) -> bool {
        match self {
            Self::Rows(rows) => rows.is_done(),
            Self::States(states) => states.is_done(),
        }
    }

    /// Whether one row is wanted, the latest.
    fn wants_newest(&self) -> bool {
        matches!(self, Self::Rows(rows) if rows.wants_newest())
    }

    /// Whether a row of `run` can be sent.
    fn has_value(&self, run: &Run) -> Result<bool, ScanError> {
        match self {
            Self::Rows(rows) => rows.has_value(run),
            Self::States(_) => Ok(false),
        }
    }

    /// Whether a slice may have brought less than is wanted.
    fn is_limited(&self) -> bool {
        match self {
            Self::Rows(_) => true,
            Self::States(states) => states.span_ns().is_some(),
        }
    }

    /// Rows of the group sent so far.
    fn sent(&self) -> u64 {
        if let Self::Rows(rows) = self { rows.sent() } else { 0 }
    }

    /// Whether windows have been left to the next page.
    fn is_cut(&self) -> bool {
        matches!(self, Self::States(states) if states.is_cut())
    }
}

/// The places of a series in an era's parts, by ascending write sequence.
fn places<'a>(
    index: &'a SeriesIndex,
    series: usize,
    era: &'a Era,
) -> impl Iterator<Item = Place> + 'a {
    let is_in = |place: &Place| era.parts.get(place.part as usize).copied().unwrap_or(false);
    index.places(series).iter().copied().filter(is_in)
}
