//! Computes `holt_winters(call, N, S)`: predicts N values by damped, seasonal exponential
//! smoothing. The fit finds the parameters that best predict the past values (1.x
//! `FloatHoltWintersReducer`).

mod nelder_mead;

use super::StreamBatch;
use crate::error::{QueryError, Result};
use crate::math;
use crate::result::Values;
use crate::work::Work;
use tidemark_model::bug::OrBug;
use tidemark_model::limits::{FORECAST_SEASON_MAX, FORECAST_VALUES_MAX};

/// The initial values of each weight. The fit starts a search from each combination.
const GUESSES: [f64; 2] = [0.3, 0.3 + 0.4];
/// A search ends if the standard deviation of its corners' values does not exceed this value.
const EPSILON: f64 = 1e-4;
/// The parameters without a season: alpha, beta, gamma, phi, level and trend. A season adds one
/// parameter for each of its steps.
const PLAIN: usize = 6;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HoltWinters {
    ahead: usize,
    /// The number of steps in a season; 0 means no season.
    season: usize,
    with_fit: bool,
    every_ns: i64,
    times_ns: Vec<i64>,
    values: Vec<f64>,
}

impl HoltWinters {
    pub(super) fn new(ahead: usize, season: usize, with_fit: bool, every_ns: i64) -> Self {
        let season = if season < 2 { 0 } else { season };
        let (times_ns, values) = (Vec::new(), Vec::new());
        Self { ahead, season, with_fit, every_ns, times_ns, values }
    }

    /// Returns one value for each window; `None` if the series has too few values.
    fn past(&self) -> Result<Option<Vec<f64>>> {
        if self.values.len() < self.season.max(2) {
            return Ok(None);
        }
        self.check(self.values.len())?;
        Ok(Some(self.evenly_spaced()?).filter(|past| past.len() >= 2))
    }

    /// Returns the number of the nearest window, counted from the epoch.
    fn window(&self, time_ns: i64) -> i64 {
        let every_ns = self.every_ns.max(1);
        let up = time_ns.wrapping_rem(every_ns) > every_ns / 2;
        time_ns.wrapping_div(every_ns) + i64::from(up)
    }

    /// Returns one value per window. An empty window has the value NaN.
    fn evenly_spaced(&self) -> Result<Vec<f64>> {
        let mut all: Vec<f64> = Vec::new();
        let first = self.times_ns.first().map_or(0, |&time_ns| self.window(time_ns));
        for (&time_ns, &value) in self.times_ns.iter().zip(&self.values) {
            let at = self.window(time_ns).wrapping_sub(first);
            // Only the first value of each window counts. If times descend, only the series' first
            // value counts.
            let Ok(at) = usize::try_from(at) else { continue };
            if at < all.len() {
                continue;
            }
            self.check(at)?;
            all.resize(at, f64::NAN);
            all.push(value);
        }
        Ok(all)
    }

    fn check(&self, values: usize) -> Result<()> {
        let values = values.saturating_add(self.ahead);
        if values < FORECAST_VALUES_MAX && self.season <= FORECAST_SEASON_MAX {
            return Ok(());
        }
        Err(QueryError::TooLarge {
            what: "a series or a season of holt_winters()",
            limit: FORECAST_VALUES_MAX as u64,
            unit: "windows (a season: 500)",
        })
    }

    pub(super) fn push(&mut self, piece: &StreamBatch) -> StreamBatch {
        if let Some(values) = math::floats(&piece.values) {
            // The fit fails if the number of values exceeds the limit, so one value above the limit
            // is enough.
            let room = (FORECAST_VALUES_MAX + 1).saturating_sub(self.values.len());
            self.times_ns.extend(piece.times_ns.iter().take(room));
            self.values.extend(values.iter().take(room));
        }
        StreamBatch::empty()
    }

    /// Awaits only [`Work::spend`].
    pub(super) async fn finish(&self, work: &Work) -> Result<Option<StreamBatch>> {
        let Some(past) = self.past()? else { return Ok(None) };
        let forecast = forecast(&past, self.season, self.ahead, work).await;
        let ends = (self.times_ns.first(), self.times_ns.last());
        let (Some(&first_ns), Some(&last_ns)) = ends else { return Ok(None) };
        let (from_ns, shown) = if self.with_fit {
            (first_ns, forecast.as_slice())
        } else {
            let next_ns = last_ns.wrapping_add(self.every_ns);
            (next_ns, forecast.get(past.len()..).or_bug())
        };
        let (mut times_ns, mut values) = (Vec::new(), Vec::new());
        for (step, value) in (0_i64..).zip(shown).filter(|(_, value)| !value.is_nan()) {
            times_ns.push(from_ns.wrapping_add(step.wrapping_mul(self.every_ns)));
            values.push(*value);
        }
        Ok(Some(StreamBatch { times_ns, values: Values::Float(values) }))
    }
}

/// The work of fitting one value, which consists of a power and several divisions, in the units of
/// [`Work`].
const VALUE_WORK: usize = 4;
/// The additional work for a value with a subnormal state. A processor needs more than a hundred
/// cycles for an operation with a subnormal number.
const SUBNORMAL_WORK: usize = 20;

/// The number of combinations of initial weights: two values for each of four weights.
const CHOICES: usize = 16;

/// Fits the parameters to the past values. Returns the fitted values, followed by `ahead` predicted
/// values.
async fn forecast(past: &[f64], season: usize, ahead: usize, work: &Work) -> Vec<f64> {
    let mut start = initial_estimate(past, season);
    let mut best: Option<(f64, Vec<f64>)> = None;
    for choice in 0..CHOICES {
        for (at, weight) in start.iter_mut().take(4).enumerate() {
            *weight = GUESSES.get(choice >> (3 - at) & 1).copied().or_bug();
        }
        let error = |parameters: &mut [f64]| {
            work.add(VALUE_WORK * past.len());
            squared_error(past, parameters, season, work)
        };
        let found = nelder_mead::minimize(&start, error, EPSILON, work).await;
        if best.as_ref().is_none_or(|(least, _)| found.0 < *least) {
            best = Some(found);
        }
    }
    let mut parameters = best.map_or(start, |(_, parameters)| parameters);
    smooth(past, &mut parameters, season, ahead).0
}

/// Estimates the level, the trend and the seasonal values with simple means, and sets the weights
/// to 0.
fn initial_estimate(past: &[f64], season: usize) -> Vec<f64> {
    let value = |at: usize| past.get(at).copied().filter(|value| !value.is_nan());
    let (mut level, mut trend) = (0.0, 0.0);
    if season > 0 {
        let steps = season as f64;
        for at in 0..season {
            level += value(at).map_or(0.0, |here| 1.0 / steps * here);
            if let (Some(here), Some(next)) = (value(at), value(season + at)) {
                trend += 1.0 / (steps * steps) * (next - here);
            }
        }
    } else {
        level = 0.5 * value(0).unwrap_or(0.0);
        trend = value(1).map_or(0.0, |next| 0.5 * (next - value(0).unwrap_or(0.0)));
    }
    let mut guess = vec![0.0, 0.0, 0.0, 0.0, level, trend];
    guess.extend((0..season).map(|at| value(at).map_or(0.0, |here| here / level)));
    guess
}

fn squared_error(past: &[f64], parameters: &mut [f64], season: usize, work: &Work) -> f64 {
    let (forecast, subnormal) = smooth(past, parameters, season, 0);
    work.add(SUBNORMAL_WORK * subnormal);
    let mut sum = 0.0;
    for (expected, value) in forecast.iter().zip(past).filter(|(_, value)| !value.is_nan()) {
        if expected.is_nan() {
            return f64::INFINITY;
        }
        sum += (expected - value) * (expected - value);
    }
    sum
}

/// Applies the recursion to the past values and predicts `ahead` further values. Also returns the
/// number of steps with a subnormal state.
///
/// As in 1.x, the recursion starts with the first value and continues with its own predictions. The
/// recursion limits the weights to `0..=1`, and sets the seasonal parameters to their values after
/// the last step. The search continues from these changed parameters.
fn smooth(past: &[f64], parameters: &mut [f64], season: usize, ahead: usize) -> (Vec<f64>, usize) {
    let (plain, seasons) = parameters.split_at_mut(PLAIN.min(parameters.len()));
    for weight in plain.iter_mut().take(4) {
        *weight = weight.clamp(0.0, 1.0);
    }
    let &mut [alpha, beta, gamma, phi, mut level, mut trend] = plain else {
        return (Vec::new(), 0);
    };
    let mut subnormal = 0;
    let mut value = past.first().copied().or_bug();
    let mut damping = phi;
    let mut forecast = Vec::with_capacity(past.len() + ahead);
    forecast.push(value);
    for step in 1..past.len() + ahead {
        let (mut here, mut there) = (1.0, 1.0);
        if season > 0 {
            // The ring of seasonal values rotates by one position per step.
            let ring = |shift: usize| seasons.get((2 * step + shift - 2) % season).copied();
            here = ring(0).unwrap_or(1.0);
            there = ring(step % season).unwrap_or(1.0);
        }
        let before = level;
        level = alpha * (value / here) + (1.0 - alpha) * (before + phi * trend);
        let trend_before = trend;
        trend = beta * (level - before) + (1.0 - beta) * phi * trend_before;
        let factor = gamma * (value / (before + phi * trend_before)) + (1.0 - gamma) * here;
        value = (level + damping * trend) * there;
        damping += power(phi, step);
        subnormal += usize::from([level, trend, factor, value].iter().any(|x| x.is_subnormal()));
        if season > 0
            && let Some(place) = seasons.get_mut((2 * step + season - 2) % season)
        {
            *place = factor;
        }
        forecast.push(value);
    }
    (forecast, subnormal)
}

/// Raises `base` to a power and rounds like Go's `math.Pow`. Any rounding difference would change
/// the fit.
fn power(base: f64, mut exponent: usize) -> f64 {
    let (mut power, mut square) = (1.0, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            power *= square;
        }
        square *= square;
        exponent >>= 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::complete;
    use crate::work::run_measured;

    #[test]
    fn forecast_limits_series_length() {
        let forecast = HoltWinters::new(2, 4, false, 10);
        let piece = |len: usize| StreamBatch {
            times_ns: (0..len as i64).map(|at| 10 * at).collect(),
            values: Values::Float(vec![1.0; len]),
        };
        let mut short = forecast.clone();
        short.push(&piece(3));
        let work = Work::default();
        assert_eq!(complete(short.finish(&work), &work), Ok(None));
        let mut long = forecast;
        long.push(&piece(FORECAST_VALUES_MAX + 5));
        let refusal = complete(long.finish(&work), &work);
        assert!(matches!(refusal, Err(QueryError::TooLarge { limit: 5_000, .. })));
    }

    #[test]
    fn subnormal_states_count_as_more_work() {
        let is_due = |level: f64| {
            let work = Work::default();
            let mut parameters = [0.0, 0.0, 0.0, 0.0, level, 0.0];
            squared_error(&[0.0; 12_000], &mut parameters, 0, &work);
            work.is_due()
        };
        assert!(is_due(1e-310) && !is_due(1.0));
    }

    #[test]
    fn long_forecast_fit_pauses_and_continues() {
        let values: Vec<f64> = (0..1_000).map(|at| f64::from(at * at % 97)).collect();
        let mut stream = HoltWinters::new(10, 60, false, 10);
        let times_ns = (0..1_000).map(|at| 10 * at).collect();
        stream.push(&StreamBatch { times_ns, values: Values::Float(values) });
        let work = Work::default();
        // A step computes the error of up to four points.
        let (piece, pauses) = run_measured(&work, 100_000, stream.finish(&work));
        assert!(pauses > 20, "{pauses} pauses");
        assert_eq!(piece.unwrap().map(|piece| piece.times_ns.len()), Some(10));
    }
}
