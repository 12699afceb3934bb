//! Functions of instant vectors and scalars.

use super::date;
use super::error::Error;
use super::evaluate::{Evaluated, Evaluator};
use super::expr::{Expr, Type};
use super::function::Function;
use super::histogram::histograms;
use super::labels::{Labels, METRIC_NAME};
use super::matcher::{MatchOp, Matcher};
use super::pause::Pause;
use super::query::Steps;
use super::row::{Row, merged, total_len};

impl<P: Pause> Evaluator<'_, P> {
    pub(crate) async fn call(
        &self,
        function: Function,
        args: &[Expr],
        steps: Steps,
        held: usize,
    ) -> Result<Evaluated, Error> {
        use Function::*;
        let times = || (0..steps.count).map(|step| steps.time_ms(step) as f64 / 1000.0);
        let rows = match (function, args) {
            (Time, _) => {
                self.check_values(held + steps.count)?;
                return Ok(Evaluated::Scalar(times().collect()));
            }
            (Pi, _) => {
                self.check_values(held + steps.count)?;
                return Ok(Evaluated::Scalar(vec![std::f64::consts::PI; steps.count]));
            }
            (Scalar, [arg]) => {
                let rows = self.eval_vector(arg, steps, held).await?;
                return Ok(Evaluated::Scalar(self.only_values(&rows, steps).await));
            }
            (Vector, [arg]) => {
                let values = self.eval_scalar(arg, steps, held).await?;
                vec![row_of(values)]
            }
            (Absent, [arg]) => {
                let rows = self.eval_vector(arg, steps, held).await?;
                self.absent(&rows, labels_of_absent(arg), steps).await
            }
            (AbsentOverTime, [arg]) => {
                // `last_over_time` keeps the names, so that two metrics are no duplicates.
                let rows = self.over_time(LastOverTime, args, steps, held).await?;
                self.absent(&rows, labels_of_absent(arg), steps).await
            }
            (Timestamp, [arg]) => match arg.without_parens() {
                Expr::Vector(selector) => {
                    let seconds = |sample: &super::Sample| sample.time_ms as f64 / 1000.0;
                    let rows = self.vector(selector, steps, held, seconds).await?;
                    self.map(rows, |_, seconds| seconds).await?
                }
                _ => {
                    let rows = self.eval_vector(arg, steps, held).await?;
                    self.map(rows, |step, _| steps.time_ms(step) as f64 / 1000.0).await?
                }
            },
            (
                Minute | Hour | DayOfWeek | DayOfMonth | DayOfYear | DaysInMonth | Month | Year,
                args,
            ) => match args.first() {
                None => {
                    let seconds = times().map(|seconds| seconds.floor());
                    vec![row_of(seconds.map(|seconds| date::field(function, seconds)).collect())]
                }
                Some(arg) => {
                    let rows = self.eval_vector(arg, steps, held).await?;
                    self.map(rows, |_, seconds| date::field(function, seconds)).await?
                }
            },
            (LabelReplace, _) => self.label_replace(args, steps, held).await?,
            (LabelJoin, _) => self.label_join(args, steps, held).await?,
            (HistogramQuantile, [q, buckets]) => {
                let q = self.eval_scalar(q, steps, held).await?;
                let rows = self.eval_vector(buckets, steps, held + q.len()).await?;
                let q = |step: usize| q.get(step).copied().unwrap_or(f64::NAN);
                self.histogram(rows, steps, |histogram, step| histogram.quantile(q(step), step))
                    .await?
            }
            (HistogramFraction, [lower, upper, buckets]) => {
                let lower = self.eval_scalar(lower, steps, held).await?;
                let upper = self.eval_scalar(upper, steps, held + lower.len()).await?;
                let held = held + lower.len() + upper.len();
                let rows = self.eval_vector(buckets, steps, held).await?;
                let at =
                    |values: &[f64], step: usize| values.get(step).copied().unwrap_or(f64::NAN);
                self.histogram(rows, steps, |histogram, step| {
                    histogram.fraction(at(&lower, step), at(&upper, step), step)
                })
                .await?
            }
            // These functions read native histograms, and other samples have no value.
            (
                HistogramAvg | HistogramCount | HistogramSum | HistogramStddev | HistogramStdvar,
                [arg],
            ) => {
                self.eval_vector(arg, steps, held).await?;
                vec![]
            }
            (Sort | SortDesc, [arg]) => {
                let mut rows = self.eval_vector(arg, steps, held).await?;
                // A range query is sorted by labels.
                if steps.count == 1 {
                    self.work.add(rows.len()).await;
                    sort(&mut rows, function == SortDesc);
                }
                rows
            }
            (Clamp | ClampMin | ClampMax | Round, [arg, bounds @ ..]) => {
                let mut params = vec![];
                for bound in bounds {
                    let held = held + params.len() * steps.count;
                    params.push(self.eval_scalar(bound, steps, held).await?);
                }
                let held = held + params.len() * steps.count;
                let rows = self.eval_vector(arg, steps, held).await?;
                let param = |i: usize, step: usize| {
                    params.get(i).and_then(|values| values.get(step)).copied()
                };
                self.filter_map(rows, |step, value| match function {
                    Clamp => clamp(value, param(0, step)?, param(1, step)?),
                    ClampMin => clamp(value, param(0, step)?, f64::INFINITY),
                    ClampMax => clamp(value, f64::NEG_INFINITY, param(0, step)?),
                    _ => Some(round(value, param(0, step).unwrap_or(1.0))),
                })
                .await?
            }
            (_, [arg]) if arg.result_type() == Type::Vector => {
                let rows = self.eval_vector(arg, steps, held).await?;
                self.map(rows, |_, value| math(function, value)).await?
            }
            _ => self.over_time(function, args, steps, held).await?,
        };
        self.check_values(held.saturating_add(total_len(&rows)))?;
        self.check_series(rows.len())?;
        Ok(Evaluated::Vector(rows))
    }

    /// Replaces the values and removes the name of the metric.
    async fn map(
        &self,
        rows: Vec<Row>,
        new: impl Fn(usize, f64) -> f64,
    ) -> Result<Vec<Row>, Error> {
        self.filter_map(rows, |step, value| Some(new(step, value))).await
    }

    async fn filter_map(
        &self,
        mut rows: Vec<Row>,
        new: impl Fn(usize, f64) -> Option<f64>,
    ) -> Result<Vec<Row>, Error> {
        for row in &mut rows {
            row.labels = row.labels.without_name();
            row.map(&new);
            self.work.add(row.len()).await;
        }
        merged(rows)
    }

    /// Returns the value of each step that has exactly one, and otherwise NaN.
    async fn only_values(&self, rows: &[Row], steps: Steps) -> Vec<f64> {
        let mut counts = vec![0u8; steps.count];
        let mut values = vec![f64::NAN; steps.count];
        for row in rows {
            for (step, value) in row.iter() {
                if let (Some(count), Some(slot)) = (counts.get_mut(step), values.get_mut(step)) {
                    *slot = if *count == 0 { value } else { f64::NAN };
                    *count = 1;
                }
            }
            self.work.add(row.len()).await;
        }
        values
    }

    /// Returns a row with 1 at the steps at which no row has a value.
    async fn absent(&self, rows: &[Row], labels: Labels, steps: Steps) -> Vec<Row> {
        let mut is_present = vec![false; steps.count];
        for row in rows {
            for (step, _) in row.iter() {
                is_present.get_mut(step).into_iter().for_each(|present| *present = true);
            }
            self.work.add(row.len()).await;
        }
        let mut row = Row::new(labels);
        for (step, _) in is_present.iter().enumerate().filter(|(_, present)| !**present) {
            row.push(step, 1.0);
        }
        if row.is_empty() { vec![] } else { vec![row] }
    }

    async fn histogram(
        &self,
        rows: Vec<Row>,
        steps: Steps,
        value: impl Fn(&super::histogram::Histogram, usize) -> Option<f64>,
    ) -> Result<Vec<Row>, Error> {
        let mut result = vec![];
        for histogram in histograms(rows) {
            let mut row = Row::new(histogram.labels.clone());
            for step in 0..steps.count {
                self.work.add(histogram.len()).await;
                if let Some(value) = value(&histogram, step) {
                    row.push(step, value);
                }
            }
            result.push(row);
        }
        merged(result)
    }
}

/// Creates a row without labels that has a value at each step.
fn row_of(values: Vec<f64>) -> Row {
    let mut row = Row::new(Labels::default());
    for (step, value) in values.into_iter().enumerate() {
        row.push(step, value);
    }
    row
}

/// Returns the labels that the selector requires, for the result of `absent`. A label with several
/// matchers does not count.
fn labels_of_absent(arg: &Expr) -> Labels {
    let matchers: &[Matcher] = match arg.without_parens() {
        Expr::Vector(selector) | Expr::Matrix { selector, .. } => &selector.matchers,
        _ => &[],
    };
    let mut labels: Vec<(String, String)> = vec![];
    for matcher in matchers.iter().filter(|matcher| matcher.label != METRIC_NAME) {
        let is_single = matchers.iter().filter(|other| other.label == matcher.label).count() == 1;
        if is_single && matcher.op == MatchOp::Equal {
            labels.push((matcher.label.clone(), matcher.value.clone()));
        }
    }
    Labels::new(labels)
}

/// Sorts the rows by their only value. NaN is last.
fn sort(rows: &mut [Row], is_descending: bool) {
    let value = |row: &Row| row.get(0).unwrap_or(f64::NAN);
    rows.sort_by(|a, b| {
        let (a, b) = (value(a), value(b));
        let order = if is_descending { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
        order.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    });
}

/// Returns the value between the bounds, or `None` if the bounds exclude each other.
fn clamp(value: f64, min: f64, max: f64) -> Option<f64> {
    if max < min {
        return None;
    }
    if value.is_nan() || min.is_nan() || max.is_nan() {
        return Some(f64::NAN);
    }
    Some(value.min(max).max(min))
}

/// Rounds to a multiple of `to_nearest`, and up if the value is in the middle.
fn round(value: f64, to_nearest: f64) -> f64 {
    // Division by the inverse is more precise for 0.1 and the like.
    let inverse = 1.0 / to_nearest;
    (value * inverse + 0.5).floor() / inverse
}

fn math(function: Function, value: f64) -> f64 {
    use Function::*;
    match function {
        Abs => value.abs(),
        Acos => value.acos(),
        Acosh => value.acosh(),
        Asin => value.asin(),
        Asinh => value.asinh(),
        Atan => value.atan(),
        Atanh => value.atanh(),
        Ceil => value.ceil(),
        Cos => value.cos(),
        Cosh => value.cosh(),
        Deg => value * 180.0 / std::f64::consts::PI,
        Exp => value.exp(),
        Floor => value.floor(),
        Ln => value.ln(),
        Log10 => value.log10(),
        Log2 => value.log2(),
        Rad => value * std::f64::consts::PI / 180.0,
        Sgn if value > 0.0 => 1.0,
        Sgn if value < 0.0 => -1.0,
        Sin => value.sin(),
        Sinh => value.sinh(),
        Sqrt => value.sqrt(),
        Tan => value.tan(),
        Tanh => value.tanh(),
        _ => value,
    }
}
