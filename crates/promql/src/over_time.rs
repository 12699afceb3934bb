//! Functions of range vectors.

use std::borrow::Cow;

use super::error::Error;
use super::evaluate::Evaluator;
use super::expr::{Expr, TimeShift};
use super::function::Function;
use super::labels::Labels;
use super::limits::SUBQUERY_STEP_MS;
use super::pause::Pause;
use super::quantile::quantile;
use super::query::Steps;
use super::row::{Row, merged};
use super::sample::{Sample, is_stale};
use super::sum::{Mean, Sum};

/// The samples of a range selector or subquery for all steps.
pub(crate) struct RangeVector<'a> {
    /// Samples without stale markers.
    pub(crate) series: Vec<(Labels, Cow<'a, [Sample]>)>,
    pub(crate) range_ms: i64,
    pub(crate) time: TimeShift,
}

/// The samples of a series in the range of a step.
struct Window<'a> {
    samples: &'a [Sample],
    /// The number of samples that are smaller than the sample before them.
    resets: &'a [usize],
    /// The position of the first sample in the series.
    first: usize,
    start_ms: i64,
    end_ms: i64,
    /// The time of the step.
    time_ms: i64,
    /// The scalar arguments of the function.
    params: [f64; 2],
}

impl<P: Pause> Evaluator<'_, P> {
    /// Returns the samples of a range selector or subquery.
    pub(crate) async fn range_vector<'e>(
        &'e self,
        expr: &'e Expr,
        steps: Steps,
        held: usize,
    ) -> Result<RangeVector<'e>, Error> {
        match expr {
            Expr::Paren(expr) => Box::pin(self.range_vector(expr, steps, held)).await,
            Expr::Matrix { selector, range_ms } => {
                let (mut series, mut values) = (vec![], held);
                for one in self.series(selector) {
                    self.work.add(one.samples.len()).await;
                    let mut samples = Cow::Borrowed(one.samples.as_slice());
                    if samples.iter().any(|sample| is_stale(sample.value)) {
                        samples.to_mut().retain(|sample| !is_stale(sample.value));
                        values += 2 * samples.len();
                        self.check_values(values)?;
                    }
                    series.push((one.labels.clone(), samples));
                }
                self.check_series(series.len())?;
                Ok(RangeVector { series, range_ms: *range_ms, time: selector.time })
            }
            Expr::Subquery(subquery) => {
                let first_ms = self.range.shifted(&subquery.time, steps.start_ms);
                let last_ms = self.range.shifted(&subquery.time, steps.end_ms());
                let step_ms = subquery.step_ms.unwrap_or(SUBQUERY_STEP_MS);
                // The first multiple of the step after the start of the first range.
                let before_ms = first_ms.saturating_sub(subquery.range_ms).div_euclid(step_ms);
                let start_ms = before_ms.saturating_add(1).saturating_mul(step_ms);
                let inner = Steps::new(start_ms, last_ms, step_ms)?;
                let rows = self.eval_vector(&subquery.expr, inner, held).await?;
                let (mut series, mut values) = (Vec::with_capacity(rows.len()), held);
                for row in rows {
                    let sample = |(step, value)| Sample { time_ms: inner.time_ms(step), value };
                    let samples: Vec<_> = row.iter().map(sample).collect();
                    values += 2 * samples.len();
                    self.check_values(values)?;
                    self.work.add(samples.len()).await;
                    series.push((row.labels, Cow::Owned(samples)));
                }
                let (range_ms, time) = (subquery.range_ms, subquery.time);
                Ok(RangeVector { series, range_ms, time })
            }
            _ => Err(Error::Execution("expected a range vector".to_owned())),
        }
    }

    /// Evaluates a function with a range vector among its arguments.
    pub(crate) async fn over_time(
        &self,
        function: Function,
        args: &[Expr],
        steps: Steps,
        mut held: usize,
    ) -> Result<Vec<Row>, Error> {
        let (mut params, mut range_arg) = (vec![], None);
        for arg in args {
            if arg.result_type() == super::expr::Type::Matrix {
                range_arg = Some(arg);
                continue;
            }
            params.push(self.eval_scalar(arg, steps, held).await?);
            held += steps.count;
        }
        let Some(arg) = range_arg else {
            return Err(Error::Execution("expected a range vector".to_owned()));
        };
        let vector = self.range_vector(arg, steps, held).await?;
        let owned = |samples: &Cow<'_, [Sample]>| match samples {
            Cow::Borrowed(_) => 0,
            Cow::Owned(samples) => 2 * samples.len(),
        };
        held += vector.series.iter().map(|(_, samples)| owned(samples)).sum::<usize>();
        let keeps_name = matches!(function, Function::LastOverTime | Function::FirstOverTime);
        let mut rows = vec![];
        for (labels, samples) in &vector.series {
            let labels = if keeps_name { labels.clone() } else { labels.without_name() };
            let row = self.windows(function, (labels, samples), &vector, &params, steps).await?;
            if row.is_empty() {
                continue;
            }
            held += row.len();
            self.check_values(held)?;
            rows.push(row);
        }
        merged(rows)
    }

    /// Computes a function for each window of a series. Both borders of the window only move
    /// forward.
    async fn windows(
        &self,
        function: Function,
        (labels, samples): (Labels, &[Sample]),
        vector: &RangeVector<'_>,
        params: &[Vec<f64>],
        steps: Steps,
    ) -> Result<Row, Error> {
        let mut row = Row::new(labels);
        let resets = resets(function, samples);
        let (mut first, mut end, mut first_reset, mut end_reset) = (0, 0, 0, 0);
        for step in 0..steps.count {
            let time_ms = steps.time_ms(step);
            let end_ms = self.range.shifted(&vector.time, time_ms);
            let start_ms = end_ms.saturating_sub(vector.range_ms);
            while samples.get(first).is_some_and(|sample| sample.time_ms <= start_ms) {
                first += 1;
            }
            while samples.get(end).is_some_and(|sample| sample.time_ms <= end_ms) {
                end += 1;
            }
            while resets.get(first_reset).is_some_and(|at| *at <= first) {
                first_reset += 1;
            }
            while resets.get(end_reset).is_some_and(|at| *at < end) {
                end_reset += 1;
            }
            let param = |i: usize| params.get(i).and_then(|param| param.get(step)).copied();
            let window = Window {
                samples: samples.get(first..end).unwrap_or_default(),
                resets: resets.get(first_reset..end_reset).unwrap_or_default(),
                first,
                start_ms,
                end_ms,
                time_ms,
                params: [param(0).unwrap_or(f64::NAN), param(1).unwrap_or(f64::NAN)],
            };
            self.work.add(1 + if function.reads_window() { window.samples.len() } else { 0 }).await;
            if let Some(value) = window.value(function)? {
                row.push(step, value);
            }
        }
        self.work.add(end).await;
        Ok(row)
    }
}

impl Function {
    /// Whether the function reads every sample of a window.
    fn reads_window(self) -> bool {
        use Function::{
            CountOverTime, Delta, FirstOverTime, Idelta, Increase, Irate, LastOverTime,
            PresentOverTime, Rate, Resets,
        };
        !matches!(
            self,
            CountOverTime
                | Delta
                | FirstOverTime
                | Idelta
                | Increase
                | Irate
                | LastOverTime
                | PresentOverTime
                | Rate
                | Resets
        )
    }
}

/// Returns the positions of the samples that are smaller than the sample before them, if the
/// function needs them.
fn resets(function: Function, samples: &[Sample]) -> Vec<usize> {
    if !matches!(function, Function::Rate | Function::Increase | Function::Resets) {
        return vec![];
    }
    let pairs = (1..).zip(samples.iter().zip(samples.iter().skip(1)));
    pairs.filter(|(_, (before, after))| after.value < before.value).map(|(at, _)| at).collect()
}

impl Window<'_> {
    /// Returns the value of the function, or `None` if the window has too few samples.
    fn value(&self, function: Function) -> Result<Option<f64>, Error> {
        use Function::*;
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return Ok(None);
        };
        let values = || self.samples.iter().map(|sample| sample.value);
        let rest = || values().skip(1);
        Ok(Some(match function {
            CountOverTime => self.samples.len() as f64,
            PresentOverTime => 1.0,
            FirstOverTime => first.value,
            LastOverTime => last.value,
            MinOverTime => rest().fold(first.value, |a, b| if b < a || a.is_nan() { b } else { a }),
            MaxOverTime => rest().fold(first.value, |a, b| if b > a || a.is_nan() { b } else { a }),
            SumOverTime => {
                let mut sum = Sum::default();
                values().for_each(|value| sum.add(value));
                sum.total()
            }
            AvgOverTime => {
                let mut mean = Mean::new(first.value);
                rest().for_each(|value| mean.add(value));
                mean.value()
            }
            StdvarOverTime => self.variance(),
            StddevOverTime => self.variance().sqrt(),
            QuantileOverTime => quantile(self.params[0], &mut values().collect::<Vec<_>>()),
            Resets => self.resets.len() as f64,
            Changes => {
                let differ = |(a, b): &(f64, f64)| a != b && !(a.is_nan() && b.is_nan());
                values().zip(rest()).filter(differ).count() as f64
            }
            Rate | Increase | Delta => return Ok(self.extrapolated(function)),
            Irate | Idelta => return Ok(self.instant_change(function)),
            Deriv => return Ok(self.regression(first.time_ms).map(|(slope, _)| slope)),
            PredictLinear => {
                let line = self.regression(self.time_ms);
                return Ok(line.map(|(slope, intercept)| slope * self.params[0] + intercept));
            }
            DoubleExponentialSmoothing => return self.smoothed(),
            _ => return Err(Error::Execution("expected a function of a range vector".to_owned())),
        }))
    }

    fn variance(&self) -> f64 {
        let (mut count, mut mean, mut squares) = (0.0, Sum::default(), Sum::default());
        for sample in self.samples {
            count += 1.0;
            let delta = sample.value - mean.plain();
            mean.add(delta / count);
            squares.add(delta * (sample.value - mean.plain()));
        }
        squares.plain() / count
    }

    /// Computes `rate`, `increase` and `delta`. The change between the first and the last sample is
    /// extrapolated to the borders of the window.
    fn extrapolated(&self, function: Function) -> Option<f64> {
        let [first, .., last] = self.samples else {
            return None;
        };
        let is_counter = function != Function::Delta;
        let mut change = last.value - first.value;
        for at in self.resets {
            let before = at.checked_sub(self.first + 1).and_then(|at| self.samples.get(at));
            change += before.map_or(0.0, |sample| sample.value);
        }
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let mut to_start = seconds(first.time_ms - self.start_ms);
        let mut to_end = seconds(self.end_ms - last.time_ms);
        let sampled = seconds(last.time_ms - first.time_ms);
        let average_distance = sampled / (self.samples.len() - 1) as f64;
        // A border that is farther away is no gap between two samples: the series starts or ends
        // inside of the window.
        let threshold = average_distance * 1.1;
        if to_start >= threshold {
            to_start = average_distance / 2.0;
        }
        if is_counter {
            // A counter is not extrapolated below zero.
            let to_zero = if change > 0.0 && first.value >= 0.0 {
                sampled * (first.value / change)
            } else {
                to_start
            };
            to_start = to_start.min(to_zero);
        }
        if to_end >= threshold {
            to_end = average_distance / 2.0;
        }
        let mut factor = (sampled + to_start + to_end) / sampled;
        if function == Function::Rate {
            factor /= seconds(self.end_ms - self.start_ms);
        }
        Some(change * factor)
    }

    /// Computes `irate` and `idelta` from the last two samples.
    fn instant_change(&self, function: Function) -> Option<f64> {
        let [.., before, last] = self.samples else {
            return None;
        };
        let is_rate = function == Function::Irate;
        let change = match is_rate && last.value < before.value {
            true => last.value,
            false => last.value - before.value,
        };
        let seconds = (last.time_ms - before.time_ms) as f64 / 1000.0;
        Some(if is_rate { change / seconds } else { change })
    }

    /// Returns slope and value at `origin_ms` of the line through the samples.
    fn regression(&self, origin_ms: i64) -> Option<(f64, f64)> {
        let [first, _, ..] = self.samples else {
            return None;
        };
        if self.samples.iter().all(|sample| sample.value == first.value) {
            let is_infinite = first.value.is_infinite();
            return Some(if is_infinite { (f64::NAN, f64::NAN) } else { (0.0, first.value) });
        }
        let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [Sum::default(); 4];
        for sample in self.samples {
            let x = (sample.time_ms - origin_ms) as f64 / 1000.0;
            x_sum.add(x);
            y_sum.add(sample.value);
            xy_sum.add(x * sample.value);
            xx_sum.add(x * x);
        }
        let count = self.samples.len() as f64;
        let (x, y) = (x_sum.plain(), y_sum.plain());
        let covariance = xy_sum.plain() - x * y / count;
        let variance = xx_sum.plain() - x * x / count;
        let slope = covariance / variance;
        Some((slope, y / count - slope * x / count))
    }

    /// Computes Holt's double exponential smoothing.
    fn smoothed(&self) -> Result<Option<f64>, Error> {
        let [smoothing, trend_factor] = self.params;
        for (name, symbol, factor) in
            [("smoothing", "sf", smoothing), ("trend", "tf", trend_factor)]
        {
            if factor <= 0.0 || factor >= 1.0 {
                let expected = format!("Expected: 0 < {symbol} < 1, got: {factor:.6}");
                return Err(Error::Execution(format!("invalid {name} factor. {expected}")));
            }
        }
        let [first, second, ..] = self.samples else {
            return Ok(None);
        };
        let (mut before, mut smoothed, mut trend) = (0.0, first.value, second.value - first.value);
        for (i, sample) in self.samples.iter().enumerate().skip(1) {
            if i > 1 {
                trend = trend_factor * (smoothed - before) + (1.0 - trend_factor) * trend;
            }
            let next = smoothing * sample.value + (1.0 - smoothing) * (smoothed + trend);
            (before, smoothed) = (smoothed, next);
        }
        Ok(Some(smoothed))
    }
}
