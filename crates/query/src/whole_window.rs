//! Implements functions that need all values of a window together. These functions run at the edge
//! over rows from the shards, and pause while they process a large window.

use std::cmp::Ordering;
use std::collections::HashMap;

use foldhash::fast::FixedState;
use xxhash_rust::xxh64::xxh64;

use super::math;
use super::result::{Column, StringColumn, Values};
use super::sort::{VALUES_AT_ONCE, select_nth, sort, sort_texts};
use super::work::Work;
use tidemark_model::bug::OrBug;
use tidemark_model::value::FieldValue;

/// The size of the sort key of a row.
pub(crate) const SORT_KEY_BYTES: usize = size_of::<SortKey>();
/// The size of the rank of a row's string.
pub(crate) const RANK_BYTES: usize = size_of::<u64>();

/// The work of finding the combination of one tag of a row, in the units of [`Work`].
const COMBINATION_WORK: usize = 4;

/// A value as an ordered number, and its row.
type SortKey = (u64, u32);

/// The rows with a value in one group and window, in the reading order of the function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Points<'a> {
    /// The times in nanoseconds, in ascending order. In a descending statement, some functions
    /// receive the times in descending order.
    pub(crate) times_ns: &'a [i64],
    /// The values, one per time.
    pub(crate) values: &'a Values,
    /// A hash of each row's series, equal on every shard, for `sample`. The list may be empty.
    pub(crate) series: &'a [u64],
    /// The number of each row's combination of tag arguments. Only `top` and `bottom` read these
    /// numbers. The list is empty if there are no tag arguments.
    pub(crate) combinations: &'a [u32],
}

/// The result of a function for one window.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// A new value. `None` means that the window has no value.
    Value(Option<FieldValue>),
    /// Only the rows with these positions, in this order.
    Rows(Vec<u32>),
}

/// A function with its arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WholeWindowFunction {
    /// The median of numbers, as a float.
    Median,
    /// The most frequent value. Among equally frequent values, `mode` chooses as 1.x does.
    Mode,
    /// The first row of each value, ordered by first appearance, then by value.
    Distinct,
    /// The row at the nearest rank of this percentage (0 to 100), or no row below the first rank.
    Percentile(f64),
    /// The given number of rows with the largest values, in time order.
    Top(u32),
    /// The given number of rows with the smallest values, in time order.
    Bottom(u32),
    /// The given number of random rows in time order, chosen by a hash of series and time.
    Sample(u32),
}

impl WholeWindowFunction {
    /// Whether the function returns the same rows again if its input is its own result.
    pub(crate) fn chooses_again(self) -> bool {
        match self {
            Self::Distinct | Self::Top(_) | Self::Bottom(_) | Self::Sample(_) => true,
            Self::Median | Self::Mode | Self::Percentile(_) => false,
        }
    }

    /// Returns the result for `points`, which must contain at least one point.
    pub(crate) async fn evaluate(self, points: &Points<'_>, work: &Work) -> Outcome {
        // Strings may be long and may repeat, so each distinct string is compared only once.
        let ranks = match points.values {
            Values::String(texts) if !matches!(self, Self::Median | Self::Sample(_)) => {
                Some(Values::Unsigned(ranks(texts, work).await))
            }
            _ => None,
        };
        let points = &Points { values: ranks.as_ref().unwrap_or(points.values), ..*points };
        let compare = |a, b| compare(points.values, a, b);
        Outcome::Rows(match self {
            Self::Median => return Outcome::Value(median(points, work).await),
            Self::Mode => mode(points, work).await.into_iter().collect(),
            Self::Distinct => distinct(points, work).await,
            Self::Percentile(rank) => percentile(points, rank, work).await.into_iter().collect(),
            Self::Top(count) => extremes(points, count, |a, b| compare(b, a), work).await,
            Self::Bottom(count) => extremes(points, count, compare, work).await,
            Self::Sample(count) => sample(points, count, work).await,
        })
    }
}

/// Returns the middle value, or the mean of both middle values, as a float.
async fn median(points: &Points<'_>, work: &Work) -> Option<FieldValue> {
    let number = |row: u32| math::number(&points.values.get(row as usize)?);
    let count = points.values.len();
    let mut keys = keys(points.values)?;
    select_nth(&mut keys, count / 2, Ord::cmp, work).await;
    let &(_, high) = keys.get(count / 2)?;
    let below = if count.is_multiple_of(2) { count / 2 } else { 0 };
    let low = keys.iter().take(below).max().and_then(|&(_, row)| number(row));
    let high = number(high)?;
    Some(FieldValue::Float(low.map_or(high, |low| low + (high - low) / 2.0)))
}

/// Returns the most frequent value (1.x `query/functions.go`, `FloatModeReduceSlice` and its
/// variants).
///
/// Among values that occur equally often, and at least twice, an early value is chosen. If no value
/// occurs twice, the smallest value is chosen. Among booleans that occur equally often, `true` is
/// chosen.
async fn mode(points: &Points<'_>, work: &Work) -> Option<u32> {
    let rows = by_value(points, work).await;
    let mut runs = rows.chunk_by(|&a, &b| compare(points.values, a, b).is_eq());
    let mut best: &[u32] = runs.next()?;
    if let Values::Boolean(_) = points.values {
        // `true` is greater than `false`, so the rows with `true` are the second run.
        let second = runs.next().filter(|second| second.len() >= best.len());
        return second.unwrap_or(best).first().copied();
    }
    let time_of = |row: Option<&u32>| row.and_then(|&row| points.times_ns.get(row as usize));
    // 1.x compares the first point of the later group of equal values with the last point of
    // the best group.
    for run in runs {
        work.spend(run.len()).await;
        if run.len() == 1 {
            continue;
        }
        let later = time_of(run.first()) > time_of(best.get(run.len() - 1));
        if run.len() > best.len() || (run.len() == best.len() && !later) {
            best = run;
        }
    }
    best.first().copied()
}

/// Returns each value once, ordered by the time of its first point, then by value.
async fn distinct(points: &Points<'_>, work: &Work) -> Vec<u32> {
    let value = |a, b| compare(points.values, a, b);
    let mut rows: Vec<u32> = Vec::new();
    for some in by_value(points, work).await.chunks(VALUES_AT_ONCE) {
        for &row in some {
            if rows.last().is_none_or(|&last| value(last, row).is_ne()) {
                rows.push(row);
            }
        }
        work.spend(some.len()).await;
    }
    // The times of all rows ascend or descend. If the times differ, the second sort takes linear
    // time.
    sort(&mut rows, Ord::cmp, work).await;
    let time = |row: u32| points.times_ns.get(row as usize);
    sort(&mut rows, |&a, &b| time(a).cmp(&time(b)).then_with(|| value(a, b)), work).await;
    rows
}

/// Returns the point at the nearest rank by value. 1.x returns no point if the rank is outside the
/// points (`FloatPercentileReduceSliceFunc`).
async fn percentile(points: &Points<'_>, rank: f64, work: &Work) -> Option<u32> {
    let rank = (points.values.len() as f64 * rank / 100.0 + 0.5).floor() - 1.0;
    if rank < 0.0 { None } else { nth_by_value(points, rank as usize, work).await }
}

/// Implements `top()` and `bottom()`. Returns at most one row per tag combination, in time order.
/// Rows with the same time are sorted by `order`.
async fn extremes(
    points: &Points<'_>,
    count: u32,
    order: impl Fn(u32, u32) -> Ordering,
    work: &Work,
) -> Vec<u32> {
    // Equal values are in time order.
    let order = |a: &u32, b: &u32| order(*a, *b).then(a.cmp(b));
    let mut rows = all_rows(points);
    if !points.combinations.is_empty() {
        let mut best: HashMap<Option<&u32>, u32, FixedState> = HashMap::default();
        for some in rows.chunks(VALUES_AT_ONCE) {
            for &row in some {
                let best = best.entry(points.combinations.get(row as usize)).or_insert(row);
                if order(&row, best).is_lt() {
                    *best = row;
                }
            }
            work.spend(some.len()).await;
        }
        rows = best.into_values().collect();
    }
    let mut rows = first(rows, count as usize, order, work).await;
    let time = |row: u32| points.times_ns.get(row as usize);
    sort(&mut rows, |a, b| time(*a).cmp(&time(*b)).then_with(|| order(a, b)), work).await;
    rows
}

/// Returns random points in time order. A hash of series and time chooses the points, so that the
/// result is independent of the number of shards.
async fn sample(points: &Points<'_>, count: u32, work: &Work) -> Vec<u32> {
    let draw = |row: u32| {
        let time_ns = points.times_ns.get(row as usize).copied().or_bug();
        // The points of a subquery have no hashes, so only their times determine the result.
        let series = points.series.get(row as usize).copied().unwrap_or_default();
        let mut bytes = [0; 16];
        let (left, right) = bytes.split_at_mut(8);
        left.copy_from_slice(&series.to_le_bytes());
        right.copy_from_slice(&time_ns.to_le_bytes());
        (xxh64(&bytes, 0), series, time_ns)
    };
    let rows = all_rows(points);
    let mut drawn = Vec::with_capacity(rows.len());
    for some in rows.chunks(VALUES_AT_ONCE) {
        drawn.extend(some.iter().map(|&row| draw(row)));
        work.spend(some.len()).await;
    }
    let key = |row: u32| drawn.get(row as usize);
    let order = |a: &u32, b: &u32| key(*a).cmp(&key(*b)).then(a.cmp(b));
    let mut rows = first(rows, count as usize, order, work).await;
    sort(&mut rows, Ord::cmp, work).await;
    rows
}

/// Returns the position of each row's string in the order of the distinct strings.
async fn ranks(texts: &StringColumn, work: &Work) -> Vec<u64> {
    let entry = |at: &u32| texts.entry(*at as usize);
    let mut order: Vec<u32> = (0..texts.entries().len() as u32).collect();
    let longest = texts.entries().map(str::len).max().unwrap_or_default();
    let by_text = |a: &u32, b: &u32| entry(a).cmp(entry(b)).then(a.cmp(b));
    sort_texts(&mut order, by_text, texts.parts().0.len(), longest, work).await;
    let mut of_entries = vec![0; order.len()];
    for (rank, same) in (0..).zip(order.chunk_by(|a, b| entry(a) == entry(b))) {
        for &at in same {
            if let Some(of_entry) = of_entries.get_mut(at as usize) {
                *of_entry = rank;
            }
        }
        work.spend(same.len()).await;
    }
    let Some(codes) = texts.codes() else { return of_entries };
    let mut ranks = Vec::with_capacity(codes.len());
    for codes in codes.chunks(VALUES_AT_ONCE) {
        let rank = |&code: &u32| of_entries.get(code as usize).copied().or_bug();
        ranks.extend(codes.iter().map(rank));
        work.spend(codes.len()).await;
    }
    ranks
}

/// Returns the number of each row's combination of tag arguments. Tags may be long and may repeat,
/// so each distinct tag is compared only once.
pub(crate) async fn combinations(tags: &[Option<Column>], rows: usize, work: &Work) -> Vec<u32> {
    let mut combinations = vec![0; rows];
    for tag in tags.iter().flatten() {
        let values: Vec<u64> = match &tag.values {
            Values::String(texts) => ranks(texts, work).await,
            Values::Float(values) => values.iter().map(|value| value.to_bits()).collect(),
            Values::Integer(values) => values.iter().map(|&value| value as u64).collect(),
            Values::Unsigned(values) => values.clone(),
            Values::Boolean(values) => values.iter().map(|&value| value.into()).collect(),
        };
        // Maps a combination of the earlier tags and a value of this tag to a combination.
        let mut known: HashMap<(u32, Option<u64>), u32, FixedState> = HashMap::default();
        for (row, combination) in combinations.iter_mut().enumerate() {
            let value = values.get(row).copied().filter(|_| tag.validity.is_valid(row));
            let next = known.len() as u32;
            *combination = *known.entry((*combination, value)).or_insert(next);
            work.spend(COMBINATION_WORK).await;
        }
    }
    combinations
}

fn all_rows(points: &Points<'_>) -> Vec<u32> {
    (0..points.values.len() as u32).collect()
}

fn compare(values: &Values, a: u32, b: u32) -> Ordering {
    let (a, b) = (a as usize, b as usize);
    match values {
        Values::Float(v) => v.get(a).partial_cmp(&v.get(b)).unwrap_or(Ordering::Equal),
        Values::Integer(v) => v.get(a).cmp(&v.get(b)),
        Values::Unsigned(v) => v.get(a).cmp(&v.get(b)),
        Values::String(v) => v.get(a).cmp(v.get(b)),
        Values::Boolean(v) => v.get(a).cmp(&v.get(b)),
    }
}

/// Returns the rows sorted by value. Rows with equal values keep their order.
async fn by_value(points: &Points<'_>, work: &Work) -> Vec<u32> {
    if let Some(mut keys) = keys(points.values) {
        sort(&mut keys, Ord::cmp, work).await;
        return keys.into_iter().map(|(_, row)| row).collect();
    }
    let mut rows = all_rows(points);
    sort(&mut rows, |&a, &b| compare(points.values, a, b).then(a.cmp(&b)), work).await;
    rows
}

async fn nth_by_value(points: &Points<'_>, place: usize, work: &Work) -> Option<u32> {
    match keys(points.values) {
        Some(mut keys) => {
            select_nth(&mut keys, place, Ord::cmp, work).await;
            keys.get(place).map(|&(_, row)| row)
        }
        None => by_value(points, work).await.get(place).copied(),
    }
}

/// Returns the `count` rows that come first in `order`, unsorted. The time is linear. `order` must
/// not return `Equal` for two different rows.
async fn first(
    mut rows: Vec<u32>,
    count: usize,
    order: impl Fn(&u32, &u32) -> Ordering,
    work: &Work,
) -> Vec<u32> {
    select_nth(&mut rows, count, order, work).await;
    rows.truncate(count);
    rows
}

/// Returns a sort key and the row number for each row, or `None` for strings.
fn keys(values: &Values) -> Option<Vec<SortKey>> {
    const SIGN: u64 = 1 << 63;
    let of_float = |value: f64| {
        // Positive and negative zero are equal.
        let bits = if value == 0.0 { 0 } else { value.to_bits() };
        if bits & SIGN == 0 { bits | SIGN } else { !bits }
    };
    Some(match values {
        Values::Float(values) => values.iter().map(|&v| of_float(v)).zip(0..).collect(),
        Values::Integer(values) => values.iter().map(|&v| v as u64 ^ SIGN).zip(0..).collect(),
        Values::Unsigned(values) => values.iter().copied().zip(0..).collect(),
        Values::Boolean(values) => values.iter().map(|&v| u64::from(v)).zip(0..).collect(),
        Values::String(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work;
    use tidemark_model::value::FieldType;

    fn evaluate(function: WholeWindowFunction, points: &Points<'_>) -> Outcome {
        let work = Work::default();
        work::run_measured(&work, 4 * VALUES_AT_ONCE, function.evaluate(points, &work)).0
    }

    fn points<'a>(times_ns: &'a [i64], values: &'a Values) -> Points<'a> {
        Points { times_ns, values, series: &[], combinations: &[] }
    }

    fn rows(outcome: Outcome) -> Vec<u32> {
        match outcome {
            Outcome::Rows(rows) => rows,
            Outcome::Value(value) => panic!("{value:?} instead of rows"),
        }
    }

    #[test]
    fn median_averages_two_middle_values() {
        let median = |values: Values| {
            let times_ns = vec![0; values.len()];
            evaluate(WholeWindowFunction::Median, &points(&times_ns, &values))
        };
        let float = |value| Outcome::Value(Some(FieldValue::Float(value)));
        assert_eq!(median(Values::Float(vec![20.0, 19.0])), float(19.5));
        assert_eq!(median(Values::Integer(vec![2, 3])), float(2.5));
        assert_eq!(median(Values::Unsigned(vec![1, 2, 3, 4, 5])), float(3.0));
        assert_eq!(median(Values::Integer(vec![100])), float(100.0));
        assert_eq!(median(Values::Boolean(vec![true])), Outcome::Value(None));
        // 0.0 and -0.0 are equal, so they keep their order. The later zero is the middle value.
        for (values, is_negative) in [([0.0, 1.0, -0.0], true), ([-0.0, 1.0, 0.0], false)] {
            let Outcome::Value(Some(FieldValue::Float(middle))) =
                median(Values::Float(values.to_vec()))
            else {
                panic!("a median of floats is a float")
            };
            assert_eq!(middle.is_sign_negative(), is_negative, "{values:?}");
        }
    }

    #[test]
    fn mode_matches_influxdb_1() {
        let mode = |values: &Values| {
            let times_ns: Vec<i64> = (0..values.len() as i64).collect();
            rows(evaluate(WholeWindowFunction::Mode, &points(&times_ns, values)))
        };
        assert_eq!(mode(&Values::Integer(vec![10, 19])), [0]);
        // The later run begins before the earlier run ends.
        assert_eq!(mode(&Values::Integer(vec![4, 1, 2, 1, 2])), [2]);
        assert_eq!(mode(&Values::Float(vec![5.0, 4.0, 3.0, 2.0, 1.0])), [4]);
        assert_eq!(mode(&Values::Boolean(vec![true, false])), [0]);
        assert_eq!(mode(&Values::String(["b", "a", "a"].into_iter().collect())), [1]);
    }

    /// Comparing the strings of all rows would take minutes.
    #[test]
    fn repeated_strings_are_compared_once() {
        const ROWS: u32 = 200_000;
        let same = "x".repeat(500_000);
        let entries = [format!("{same}b"), format!("{same}a")];
        let entries: StringColumn = entries.iter().map(String::as_str).collect();
        let codes = (0..ROWS).map(|row| row % 2).collect();
        let values = Values::String(StringColumn::coded(entries, codes).expect("two entries"));
        let times_ns: Vec<i64> = (0..i64::from(ROWS)).collect();
        let rows_of = |function| rows(evaluate(function, &points(&times_ns, &values)));
        assert_eq!(rows_of(WholeWindowFunction::Mode), [0]);
        assert_eq!(rows_of(WholeWindowFunction::Distinct), [0, 1]);
        assert_eq!(rows_of(WholeWindowFunction::Percentile(50.0)), [ROWS - 1]);
    }

    #[test]
    fn sample_is_independent_of_sharding() {
        let times_ns: Vec<i64> = (0..100).collect();
        let series: Vec<u64> = (0..100).map(|row| row % 7).collect();
        let values = Values::Integer((0..100).collect());
        let all =
            Points { times_ns: &times_ns, values: &values, series: &series, combinations: &[] };
        let sample =
            |count, points: &Points<'_>| rows(evaluate(WholeWindowFunction::Sample(count), points));
        let drawn = sample(5, &all);
        assert_eq!(drawn.len(), 5);
        assert!(drawn.is_sorted());
        // A row that is drawn from all rows is also drawn from any subset that contains it.
        let half = Values::Integer((0..50).collect());
        let first =
            Points { times_ns: &times_ns[..50], values: &half, series: &series[..50], ..all };
        let part = sample(5, &first);
        assert!(drawn.iter().filter(|&&row| row < 50).all(|row| part.contains(row)));
        assert_eq!(sample(200, &all).len(), 100);
    }

    #[test]
    fn combinations_distinguish_tags_and_nulls() {
        let texts =
            |texts: [&str; 5]| Some(Column::full(Values::String(texts.into_iter().collect())));
        let mut with_null = Column::new(FieldType::String);
        with_null.push_null();
        let rest = Column::full(Values::String(["", "", "x", ""].into_iter().collect()));
        assert!(with_null.extend_from(&rest));
        let work = Work::default();
        let tags = [texts(["a", "a", "b", "a", "a"]), None, Some(with_null)];
        assert_eq!(work::complete(combinations(&tags, 5, &work), &work), [0, 1, 2, 3, 1]);
        assert_eq!(work::complete(combinations(&[], 2, &work), &work), [0, 0]);
    }

    #[test]
    fn combinations_of_long_tags_take_several_turns() {
        let text = |row: usize| format!("{}{}", "x".repeat(60_000), row * 7 % 400);
        let texts: Vec<String> = (0..400).map(text).collect();
        let tag = Column::full(Values::String(texts.iter().map(String::as_str).collect()));
        let work = Work::default();
        let (found, pauses) =
            work::run_measured(&work, 1_000_000, combinations(&[Some(tag)], 400, &work));
        assert_eq!(found, (0..400).collect::<Vec<u32>>());
        assert!(pauses >= 1, "{pauses} pauses");
    }

    /// Compares the results of large windows with simpler computations.
    #[test]
    fn large_windows_have_the_same_results() {
        let count = 5 * VALUES_AT_ONCE + 3;
        let mut random = fastrand::Rng::with_seed(5);
        let special = [0.0, -0.0, 1.5, -7.25, f64::MAX, f64::MIN, f64::INFINITY, 5e-324];
        let mut float = |_| match random.u8(..4) {
            0 => special[random.usize(..8)],
            1 => f64::from(random.u32(..1_000)),
            _ => random.f64(),
        };
        let floats: Vec<f64> = (0..count).map(&mut float).collect();
        let integers: Vec<i64> = floats.iter().map(|&value| (value * 1e4) as i64).collect();
        let texts: Vec<String> = integers.iter().map(i64::to_string).collect();
        let all = [
            Values::Unsigned(integers.iter().map(|&value| value as u64).collect()),
            Values::Boolean(integers.iter().map(|&value| value % 3 == 0).collect()),
            Values::String(texts.iter().map(String::as_str).collect()),
            Values::Integer(integers),
            Values::Float(floats),
        ];
        let times_ns: Vec<i64> = (0..count as i64).map(|row| row / 3).collect();
        let combinations: Vec<u32> = (0..count as u32).map(|row| row % 20_000).collect();
        let by_time = |rows: &mut Vec<u32>, order: &dyn Fn(u32, u32) -> Ordering| {
            rows.sort_by(|&a, &b| {
                times_ns[a as usize].cmp(&times_ns[b as usize]).then(order(a, b))
            });
        };
        for values in &all {
            let points = points(&times_ns, values);
            let rows_of = |function, points: &Points<'_>| rows(evaluate(function, points));
            let ascending = |a: u32, b: u32| compare(values, a, b).then(a.cmp(&b));
            let descending = |a: u32, b: u32| compare(values, b, a).then(a.cmp(&b));
            let mut sorted: Vec<u32> = (0..count as u32).collect();
            sorted.sort_by(|&a, &b| ascending(a, b));
            for rank in [1.0, 33.0, 50.0, 99.99] {
                let place = (count as f64 * rank / 100.0 + 0.5).floor() as usize - 1;
                let found = rows_of(WholeWindowFunction::Percentile(rank), &points);
                assert_eq!(found, [sorted[place]], "{rank}");
            }
            let middle = match values {
                Values::Float(values) => Some(values[sorted[count / 2] as usize]),
                Values::Integer(values) => Some(values[sorted[count / 2] as usize] as f64),
                Values::Unsigned(values) => Some(values[sorted[count / 2] as usize] as f64),
                _ => None,
            };
            let median = evaluate(WholeWindowFunction::Median, &points);
            assert_eq!(median, Outcome::Value(middle.map(FieldValue::Float)));
            let mut distinct = sorted.clone();
            distinct.dedup_by(|b, a| compare(values, *a, *b).is_eq());
            by_time(&mut distinct, &ascending);
            assert!(rows_of(WholeWindowFunction::Distinct, &points) == distinct);
            for number in [3, 9_000, 30_000] {
                let mut first = sorted[..number].to_vec();
                by_time(&mut first, &ascending);
                let function = WholeWindowFunction::Bottom(number as u32);
                assert!(rows_of(function, &points) == first, "{number}");
                let mut last: Vec<u32> = (0..count as u32).collect();
                last.sort_by(|&a, &b| descending(a, b));
                // The best row of each combination.
                let mut known = vec![false; count];
                let mut combined = last.clone();
                combined.retain(|&row| {
                    !std::mem::replace(&mut known[combinations[row as usize] as usize], true)
                });
                last.truncate(number);
                by_time(&mut last, &descending);
                let function = WholeWindowFunction::Top(number as u32);
                assert!(rows_of(function, &points) == last, "{number}");
                combined.truncate(number);
                by_time(&mut combined, &descending);
                let points = Points { combinations: &combinations, ..points };
                assert!(rows_of(function, &points) == combined, "{number}");
            }
            let sample = |count| rows_of(WholeWindowFunction::Sample(count), &points);
            let (few, many) = (sample(100), sample(20_000));
            assert_eq!((few.len(), many.len()), (100, 20_000));
            assert!(few.is_sorted() && few.iter().all(|row| many.binary_search(row).is_ok()));
        }
    }
}
