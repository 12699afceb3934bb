//! Functions of classic histograms, which have a series for each bucket.

use super::labels::Labels;
use super::row::{ByLabels, Row, position};

/// The label with the upper bound of a bucket.
const BUCKET_LABEL: &str = "le";
/// The relative difference of two counts that is an error of rounding.
const TOLERANCE: f64 = 1e-12;

/// The buckets of a histogram.
pub(crate) struct Histogram {
    /// The labels without the name and `le`.
    pub(crate) labels: Labels,
    /// Upper bounds and counts, in ascending order of the bounds.
    buckets: Vec<(f64, Row)>,
}

/// Groups the buckets by histogram. Rows without a valid upper bound are no buckets.
pub(crate) fn histograms(rows: Vec<Row>) -> Vec<Histogram> {
    let (mut known, mut histograms) = (ByLabels::default(), Vec::<Histogram>::new());
    for row in rows {
        let Ok(bound) = row.labels.get(BUCKET_LABEL).parse::<f64>() else {
            continue;
        };
        let labels = row.labels.filter(|name| name != BUCKET_LABEL);
        let at = position(&mut known, labels.clone());
        if at == histograms.len() {
            histograms.push(Histogram { labels: labels.without_name(), buckets: vec![] });
        }
        if let Some(histogram) = histograms.get_mut(at) {
            histogram.buckets.push((bound, row));
        }
    }
    for histogram in &mut histograms {
        histogram.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    histograms
}

#[derive(Clone, Copy)]
struct Bucket {
    bound: f64,
    /// The number of observations up to the bound.
    count: f64,
}

impl Histogram {
    /// Returns the number of buckets.
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Returns the buckets with a value at the step. Buckets with equal bounds are added. Returns
    /// `None` without any bucket, and no buckets without the bucket of all observations.
    fn at(&self, step: usize) -> Option<Vec<Bucket>> {
        let mut buckets: Vec<Bucket> = vec![];
        for (bound, row) in &self.buckets {
            let Some(count) = row.get(step) else {
                continue;
            };
            match buckets.last_mut() {
                Some(last) if last.bound == *bound => last.count += count,
                _ => buckets.push(Bucket { bound: *bound, count }),
            }
        }
        let last = buckets.last()?;
        Some(if last.bound == f64::INFINITY { buckets } else { vec![] })
    }

    /// Returns the quantile `q`, or `None` if there are no buckets at the step.
    pub(crate) fn quantile(&self, q: f64, step: usize) -> Option<f64> {
        let mut buckets = self.at(step)?;
        if q.is_nan() {
            return Some(f64::NAN);
        }
        if !(0.0..=1.0).contains(&q) {
            return Some(if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        make_monotonic(&mut buckets);
        Some(quantile(q, &buckets))
    }

    /// Returns the fraction of the observations between two bounds.
    pub(crate) fn fraction(&self, lower: f64, upper: f64, step: usize) -> Option<f64> {
        let buckets = self.at(step)?;
        let count = buckets.last().map_or(0.0, |last| last.count);
        if count == 0.0 || lower.is_nan() || upper.is_nan() {
            return Some(f64::NAN);
        }
        if lower >= upper {
            return Some(0.0);
        }
        Some((rank(upper, &buckets) - rank(lower, &buckets)) / count)
    }
}

/// Removes decreases of the counts, which scrapes at slightly different times cause, and tiny
/// increases, which are errors of rounding.
fn make_monotonic(buckets: &mut [Bucket]) {
    let Some(mut before) = buckets.first().map(|bucket| bucket.count) else {
        return;
    };
    for bucket in buckets {
        if bucket.count < before || is_almost_equal(before, bucket.count) {
            bucket.count = before;
        }
        before = bucket.count;
    }
}

fn is_almost_equal(a: f64, b: f64) -> bool {
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == b {
        return true;
    }
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// Interpolates linearly in the bucket of the quantile. The first bucket starts at 0 if its upper
/// bound is positive.
fn quantile(q: f64, buckets: &[Bucket]) -> f64 {
    let (Some(last), true) = (buckets.last(), buckets.len() >= 2) else {
        return f64::NAN;
    };
    if last.count == 0.0 || last.count.is_nan() {
        return f64::NAN;
    }
    let rank = q * last.count;
    let at = buckets.iter().position(|bucket| bucket.count >= rank);
    let at = at.unwrap_or(buckets.len() - 1).min(buckets.len() - 1);
    let Some(bucket) = buckets.get(at) else {
        return f64::NAN;
    };
    let before = at.checked_sub(1).and_then(|before| buckets.get(before));
    match before {
        // The last bucket has no upper bound.
        Some(before) if at == buckets.len() - 1 => before.bound,
        None if bucket.bound <= 0.0 => bucket.bound,
        _ => {
            let before = before.copied().unwrap_or(Bucket { bound: 0.0, count: 0.0 });
            let fraction = (rank - before.count) / (bucket.count - before.count);
            before.bound + (bucket.bound - before.bound) * fraction
        }
    }
}

/// Returns the interpolated number of observations up to `bound`.
fn rank(bound: f64, buckets: &[Bucket]) -> f64 {
    let starts_at_zero = buckets.first().is_some_and(|first| first.bound > 0.0);
    let start = if starts_at_zero { 0.0 } else { f64::NEG_INFINITY };
    let mut before = Bucket { bound: start, count: 0.0 };
    for bucket in buckets {
        if before.bound >= bound {
            return before.count;
        }
        if bound < bucket.bound {
            // A bucket without a lower bound cannot be interpolated.
            if before.bound == f64::NEG_INFINITY {
                return bucket.count;
            }
            let fraction = (bound - before.bound) / (bucket.bound - before.bound);
            return before.count + (bucket.count - before.count) * fraction;
        }
        before = *bucket;
    }
    before.count
}
