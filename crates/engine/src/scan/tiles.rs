//! Divides time into tiles and caches their states, so that a dashboard refresh reads only new
//! rows.
//!
//! Tiles begin and end at window borders that are independent of the requested range, so different
//! ranges share tiles. A tile is cached by its request and by the version of its rows
//! ([`Version`]). A write, delete or merge changes the version, so the tile is then read again, and
//! a result is never stale. If there are no windows, or if series have few rows, the whole range is
//! one tile.

use std::rc::Rc;

use serde::Serialize;

use super::cached::{Cached, Tile, Version};
use super::error::ScanError;
use super::page::{CALL_CELLS, CELLS_PER_PAGE_MAX, Group, GroupData, SERIES_CELLS, TileLimits};
use super::predicate;
use super::reader::{Estimate, Reader};
use super::request::{AggregateCall, Output, Position, Predicate, ScanRequest};
use crate::codec::metadata;
use crate::merge::cursor::Direction;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::time::TimeRange;

const TILES_MAX: u64 = 32;
/// The maximum size of a cached tile, in bytes.
const CACHED_BYTES_MAX: usize = 1_000_000;
/// The approximate size, in bytes, of a call's state per window, and the additional size per group.
const WINDOW_BYTES: u64 = 24;
const GROUP_BYTES: u64 = 200;

/// The stretches whose states or rows are cached. The request must cover the whole result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caching {
    Nothing,
    /// Every row affects the result, so every tile may be cached.
    Tiles,
    /// The request needs only the last or first points of groups. The first stretch contains most
    /// of these points. Caching this stretch saves reading a part's page for each point.
    FirstStretch,
}

impl Caching {
    pub(super) fn of(request: &ScanRequest) -> Self {
        let is_whole = request.resume.from.is_none() && request.resume.until.is_none();
        let needs_ends = request.output.needed_end().is_some() || request.wants_newest();
        match &request.output {
            _ if !is_whole => Self::Nothing,
            _ if needs_ends && predicate::field_columns(request.predicate.as_ref()).is_empty() => {
                Self::FirstStretch
            }
            Output::Aggregates { limit: None, .. } if !needs_ends => Self::Tiles,
            _ => Self::Nothing,
        }
    }
}

/// The division of a time range into tiles.
#[derive(Debug, Default)]
pub(super) struct Tiling {
    /// The borders, ascending, in nanoseconds.
    borders_ns: Vec<i64>,
    /// A time range that contains all rows. `None` if there are no tiles.
    time: Option<TimeRange>,
    /// Whether a tile is cached at its first read, because its states are small compared with its
    /// rows. Otherwise, the tile is cached at its second read.
    pub(super) caches_immediately: bool,
    /// The number of tiles that one event can read.
    pub(super) at_once: usize,
}

impl Tiling {
    /// Divides the time range of a request into tiles. `limits` is the minimum contents of a tile.
    pub(super) fn new(request: &ScanRequest, estimate: &Estimate, limits: TileLimits) -> Self {
        let Output::Aggregates { window, calls, .. } = &request.output else {
            return Self::default();
        };
        let values = calls.len() as u64 + 1;
        let cells = estimate.rows.saturating_mul(values);
        let worth = limits.cells_per_byte.saturating_mul(states_bytes(request, estimate));
        // The number of series that satisfy the predicate is unknown, but probably small.
        let is_of_some = worth > 0 && predicate::reads_tags(request.predicate.as_ref());
        // A sum over a window that spans two stretches is rounded differently if the stretches are
        // read separately. Inexact states are therefore cached at their first read, so that the
        // first and the second result are equal.
        let is_exact = calls.iter().all(AggregateCall::is_exact);
        // Without windows, a group has only one state. The number of groups is unknown.
        let has_few_states = window.is_none() || (!is_of_some && cells >= worth);
        let caches_immediately = !is_exact || has_few_states;
        let whole = Self { caches_immediately, ..Self::default() };
        let Some(window) = window else { return whole };
        let time = request.time.intersect(&estimate.time);
        let tiles = (estimate.rows / estimate.series.max(1) / limits.rows.max(1)).min(TILES_MAX);
        if time.is_empty() || tiles < 2 || !window.zone.is_empty() {
            return whole;
        }
        let (start_ns, end_ns) = (i128::from(time.start_ns), i128::from(time.end_ns));
        let range_ns = (end_ns - start_ns).max(1);
        let rows = i128::from(estimate.rows / estimate.series.max(1));
        let every_ns = i128::from(window.every_ns.max(1));
        let mut width_ns = every_ns;
        // Chooses the smallest number of windows that contain many rows.
        while width_ns < every_ns * i128::from(limits.windows)
            && rows * width_ns / range_ns < i128::from(limits.many_rows)
        {
            width_ns *= 2;
        }
        while (end_ns - start_ns) / width_ns > i128::from(tiles) {
            width_ns *= 2;
        }
        let offset_ns = i128::from(window.offset_ns);
        let first = (start_ns - offset_ns).div_euclid(width_ns) + 1;
        let borders = (first..).map(|tile| tile * width_ns + offset_ns);
        // The borders are inside a range of `i64` times.
        let borders = borders.take_while(|&at| at < end_ns).map(|border_ns| border_ns as i64);
        let of_series = SERIES_CELLS + CALL_CELLS * calls.len() as u64;
        let cells = estimate.rows / tiles * values + estimate.series * of_series;
        let at_once = (CELLS_PER_PAGE_MAX / cells.max(1)).clamp(1, 2 * TILES_MAX);
        let (borders_ns, at_once) = (borders.collect(), at_once as usize);
        Self { borders_ns, time: Some(estimate.time), caches_immediately, at_once }
    }

    pub(super) fn has_border(&self, time_ns: i64) -> bool {
        self.borders_ns.binary_search(&time_ns).is_ok()
    }

    /// Whether a range that ends at `time_ns` contains only a part of a tile.
    pub(super) fn cuts_at(&self, time_ns: i64) -> bool {
        let is_inside = |time: &TimeRange| time.start_ns < time_ns && time_ns < time.end_ns;
        self.time.as_ref().is_some_and(is_inside) && !self.has_border(time_ns)
    }

    pub(super) fn cut(&self, time: TimeRange) -> impl Iterator<Item = TimeRange> + '_ {
        let inside = move |border_ns: &i64| time.start_ns < *border_ns && *border_ns < time.end_ns;
        let borders = self.borders_ns.iter().copied().filter(inside);
        let mut start_ns = time.start_ns;
        borders
            .chain([time.end_ns])
            .map(move |end_ns| TimeRange::new(std::mem::replace(&mut start_ns, end_ns), end_ns))
    }
}

/// Returns the approximate size of the result's states, in bytes. Each series counts as a group.
fn states_bytes(request: &ScanRequest, estimate: &Estimate) -> u64 {
    let Output::Aggregates { window, calls, .. } = &request.output else { return 0 };
    let time = request.time.intersect(&estimate.time);
    let range_ns = u64::try_from(i128::from(time.end_ns) - i128::from(time.start_ns));
    let every_ns = window.as_ref().map_or(0, |window| window.every_ns.unsigned_abs());
    let windows = range_ns.unwrap_or_default().checked_div(every_ns).unwrap_or_default() + 1;
    let groups = if request.group_by.is_empty() { 1 } else { estimate.series };
    let of_group = windows.saturating_mul(WINDOW_BYTES).saturating_add(GROUP_BYTES);
    groups.saturating_mul(calls.len() as u64).saturating_mul(of_group)
}

/// The name of a tile in the cache of results.
#[derive(Serialize)]
struct TileName<'a> {
    measurement: MeasurementId,
    predicate: &'a Option<Predicate>,
    group_by: &'a [ColumnId],
    direction: Direction,
    output: &'a Output,
    tile: TimeRange,
    resume_at: Option<&'a Position>,
}

/// A tile that is not in the cache, with its name and version.
pub(super) struct Missing {
    pub(super) time: TimeRange,
    name: Vec<u8>,
    version: Version,
}

/// The result of a lookup in the cache.
pub(super) enum Found {
    Cached(Rc<Tile>),
    Missing(Missing),
    /// The tile must not be cached.
    Never,
}

/// Searches the cache for a tile. If `caches_immediately` is false, the tile is cached only at its
/// second read.
pub(super) fn look_up(
    reader: &dyn Reader,
    request: &ScanRequest,
    time: TimeRange,
    caches_immediately: bool,
    resume_at: Option<&Position>,
) -> Result<Found, ScanError> {
    let &ScanRequest { measurement, ref predicate, ref group_by, direction, ref output, .. } =
        request;
    let Some(cache) = reader.result_cache() else { return Ok(Found::Never) };
    let version = cache.version(&[measurement], time)?;
    let tile = time;
    let name = |resume_at| {
        let name =
            TileName { measurement, predicate, group_by, direction, output, tile, resume_at };
        metadata::encode(&name)
    };
    // The ends of a tile's pages depend on whether the tile is cached. The lookup for the tile's
    // first page therefore applies to all pages of the tile.
    let was_requested = || name(None).is_ok_and(|name| cache.was_requested(&name));
    let Ok(name) = name(resume_at) else { return Ok(Found::Never) };
    if let Some(Cached::Tile(tile)) = cache.get(&name, &version) {
        return Ok(Found::Cached(tile));
    }
    Ok(match caches_immediately || was_requested() {
        true => Found::Missing(Missing { time, name, version }),
        false => Found::Never,
    })
}

/// Caches a tile, unless it is too large.
pub(super) fn put(reader: &dyn Reader, missing: Missing, tile: Tile) {
    if tile.bytes() <= CACHED_BYTES_MAX
        && let Some(cache) = reader.result_cache()
    {
        cache.put(missing.name, missing.version, Cached::Tile(Rc::new(tile)));
    }
}

/// Returns the states of one of several tiles that were read together. The first of these tiles
/// starts at `first_ns`.
pub(super) fn states_of(tile: &Missing, groups: &[Group], first_ns: i64) -> Vec<Group> {
    let TimeRange { start_ns, end_ns } = tile.time;
    // The first window of a range may begin before the range.
    let is_first = start_ns == first_ns;
    let has = |window_ns: i64| (is_first || start_ns <= window_ns) && window_ns < end_ns;
    let within = |group: &Group| {
        let GroupData::Partials(states) = &group.data else { return None };
        let states: Vec<_> = states.iter().map(|state| state.windows(has)).collect();
        let is_empty = states.iter().all(|state| state.windows_ns.is_empty());
        (!is_empty).then(|| Group { key: group.key.clone(), data: GroupData::Partials(states) })
    };
    groups.iter().filter_map(within).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::request::{AggregateFunction, Comparison, Input, Operand, Window};
    use tidemark_model::value::{FieldType, FieldValue};

    fn request(time: TimeRange, every_ns: i64, offset_ns: i64) -> ScanRequest {
        let window = Some(Window { every_ns, offset_ns, zone: Vec::new() });
        let output = Output::Aggregates { calls: Vec::new(), window, limit: None };
        ScanRequest { time, ..ScanRequest::new(MeasurementId(1), output) }
    }

    fn estimate(time: TimeRange, series: u64, rows: u64) -> Estimate {
        Estimate { time, series, rows }
    }

    #[test]
    fn tile_borders_ignore_query_range() {
        let all = TimeRange::new(0, 1_000_000);
        let estimate = estimate(all, 1, 100_000);
        let of = |start, end| {
            Tiling::new(&request(TimeRange::new(start, end), 10, 3), &estimate, TileLimits::DEFAULT)
                .borders_ns
        };
        let (a, b) = (of(50_007, 60_007), of(50_107, 60_107));
        assert!((16..=32).contains(&a.len()), "{}", a.len());
        assert!(a.iter().all(|border_ns| (border_ns - 3) % 10 == 0));
        let inside = |list: &[i64]| {
            let both = list.iter().filter(|&&at| 50_107 < at && at < 60_007);
            both.copied().collect::<Vec<_>>()
        };
        assert_eq!(inside(&a), inside(&b));
        assert_eq!(inside(&a), a);
    }

    #[test]
    fn short_series_have_no_tiles() {
        let all = TimeRange::new(0, 1_000_000);
        let of = |series| {
            Tiling::new(&request(all, 10, 0), &estimate(all, series, 100_000), TileLimits::DEFAULT)
        };
        assert!(of(1_000).borders_ns.is_empty());
        assert_eq!(of(500).borders_ns.len(), 3);
    }

    #[test]
    fn range_end_may_cut_tile() {
        let rows = estimate(TimeRange::new(100, 1_000_000), 1, 100_000);
        let requested = request(TimeRange::new(0, 600_000), 10, 0);
        let tiling = Tiling::new(&requested, &rows, TileLimits::DEFAULT);
        let border_ns = *tiling.borders_ns.first().unwrap();
        assert!(tiling.cuts_at(border_ns + 1) && tiling.cuts_at(600_000));
        for whole_ns in [border_ns, 0, 100, 1_000_000, 2_000_000] {
            assert!(!tiling.cuts_at(whole_ns), "{whole_ns}");
        }
    }

    #[test]
    fn large_reductions_are_cached_at_once() {
        let sum = |field_type| {
            let column = ColumnId(7);
            let input = Input { column, field_type, cast: None };
            AggregateCall { function: AggregateFunction::Sum, input, aux: Vec::new() }
        };
        let of_a_host = || {
            let value = Operand::Literal(FieldValue::String("a".into()));
            let tag = Box::new(Operand::Tag(ColumnId(3)));
            Predicate::Compare(Comparison::Equal, tag, Box::new(value))
        };
        let keeps = |every_ns, rows, predicate, field_type| {
            let all = TimeRange::new(0, 1_000_000);
            let mut request = ScanRequest { predicate, ..request(all, every_ns, 0) };
            if let Output::Aggregates { calls, .. } = &mut request.output {
                calls.push(sum(field_type));
            }
            Tiling::new(&request, &estimate(all, 1, rows), TileLimits::DEFAULT).caches_immediately
        };
        let caches_immediately =
            |every_ns, rows, predicate| keeps(every_ns, rows, predicate, FieldType::Integer);
        assert!(!caches_immediately(1_000, 100_000, None));
        assert!(caches_immediately(1_000, 1_000_000, None));
        assert!(caches_immediately(100_000, 100_000, None));
        assert!(!caches_immediately(1_000, 1_000_000, Some(of_a_host())));
        assert!(caches_immediately(1_000, 1_000_000, Some(Predicate::Constant(true))));
        assert!(keeps(1_000, 100_000, None, FieldType::Float));
        let calls = vec![sum(FieldType::Integer)];
        let output = Output::Aggregates { calls, window: None, limit: None };
        let all = TimeRange::new(0, 1_000_000);
        let group_by = vec![ColumnId(3)];
        let whole = ScanRequest { output, group_by, ..request(all, 1, 0) };
        let estimate = estimate(all, 200_000, 600_000);
        assert!(Tiling::new(&whole, &estimate, TileLimits::DEFAULT).caches_immediately);
    }

    #[test]
    fn range_splits_at_tile_borders() {
        let tiling = Tiling { borders_ns: vec![10, 20], ..Tiling::default() };
        let cut = |start, end| tiling.cut(TimeRange::new(start, end)).collect::<Vec<_>>();
        let [a, b, c] = [(5, 10), (10, 20), (20, 25)].map(|(a, b)| TimeRange::new(a, b));
        assert_eq!(cut(5, 25), [a, b, c]);
        assert_eq!(cut(10, 20), [b]);
    }
}
