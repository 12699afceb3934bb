//! Evaluates expressions at the steps of a query.

use std::pin::Pin;

use super::error::Error;
use super::expr::{Expr, Type, VectorSelector};
use super::labels::Labels;
use super::limits::{LOOKBACK_MS, Limits};
use super::pause::{Pause, Work};
use super::query::{Query, Range, Steps};
use super::row::{Row, merged, total_len};
use super::sample::{Sample, Series, Value, is_stale};

/// Evaluates a query.
///
/// `data` contains the series of each selector of [`Query::selectors()`], in the same order. The
/// samples of a series are sorted by time. Each set of labels occurs once per selector.
///
/// # Errors
/// [`Error::Execution`] if the query cannot be evaluated for these series, for example because
/// several series match. [`Error::TooMuch`] if the evaluation exceeds `limits`.
pub async fn evaluate<P: Pause>(
    query: &Query,
    range: &Range,
    data: Vec<Vec<Series>>,
    limits: &Limits,
    pause: &P,
) -> Result<Value, Error> {
    let steps = range.steps(&query.expr)?;
    let evaluator = Evaluator { range: *range, data, limits: *limits, work: Work::new(pause) };
    let time_ms = range.start_ms;
    if query.expr.result_type() == Type::Matrix {
        return Ok(Value::Matrix(evaluator.window_at_start(&query.expr, steps).await?));
    }
    match evaluator.eval(&query.expr, steps, 0).await? {
        Evaluated::String(text) => Ok(Value::String { time_ms, text }),
        Evaluated::Scalar(values) if range.is_instant() => {
            let value = values.first().copied().unwrap_or(f64::NAN);
            Ok(Value::Scalar { time_ms, value })
        }
        Evaluated::Scalar(values) => {
            let times = (0..).map(|step| steps.time_ms(step)).zip(values);
            let samples = times.map(|(time_ms, value)| Sample { time_ms, value }).collect();
            Ok(Value::Matrix(vec![Series { labels: Labels::default(), samples }]))
        }
        Evaluated::Vector(rows) if range.is_instant() => {
            let sample = |row: &Row| row.get(0).map(|value| Sample { time_ms, value });
            let samples = rows.iter().filter_map(|row| Some((row.labels.clone(), sample(row)?)));
            Ok(Value::Vector(samples.collect()))
        }
        Evaluated::Vector(rows) => Ok(Value::Matrix(series_of(rows, steps))),
    }
}

fn series_of(mut rows: Vec<Row>, steps: Steps) -> Vec<Series> {
    rows.sort_by(|a, b| a.labels.cmp(&b.labels));
    let sample = |(step, value)| Sample { time_ms: steps.time_ms(step), value };
    let series = rows.into_iter().map(|row| {
        let samples = row.iter().map(sample).collect();
        Series { labels: row.labels, samples }
    });
    series.filter(|series| !series.samples.is_empty()).collect()
}

/// The values of an expression at all steps.
pub(crate) enum Evaluated {
    Scalar(Vec<f64>),
    String(String),
    Vector(Vec<Row>),
}

impl Evaluated {
    /// Returns the number of values in memory.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Scalar(values) => values.len(),
            Self::String(_) => 0,
            Self::Vector(rows) => total_len(rows),
        }
    }
}

pub(crate) struct Evaluator<'a, P> {
    pub(crate) range: Range,
    data: Vec<Vec<Series>>,
    limits: Limits,
    pub(crate) work: Work<'a, P>,
}

type Evaluating<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

impl<P: Pause> Evaluator<'_, P> {
    /// Evaluates an expression that is no range vector. `held` is the number of values that the
    /// callers keep in memory.
    pub(crate) fn eval<'e>(
        &'e self,
        expr: &'e Expr,
        steps: Steps,
        held: usize,
    ) -> Evaluating<'e, Evaluated> {
        Box::pin(async move {
            if steps.count > 1 && expr.is_step_invariant() {
                let value = self.eval_step(expr, steps.first(), held).await?;
                return self.repeat(value, steps, held);
            }
            self.eval_step(expr, steps, held).await
        })
    }

    async fn eval_step(&self, expr: &Expr, steps: Steps, held: usize) -> Result<Evaluated, Error> {
        match expr {
            Expr::Number { value, .. } => {
                self.check_values(held + steps.count)?;
                Ok(Evaluated::Scalar(vec![*value; steps.count]))
            }
            Expr::String(text) => Ok(Evaluated::String(text.clone())),
            Expr::Paren(expr) => self.eval(expr, steps, held).await,
            Expr::Unary { is_minus, expr } => {
                let value = self.eval(expr, steps, held).await?;
                if !is_minus {
                    return Ok(value);
                }
                self.negate(value).await
            }
            Expr::Binary(binary) => self.binary(binary, steps, held).await,
            Expr::Aggregate(aggregate) => {
                Ok(Evaluated::Vector(self.aggregate(aggregate, steps, held).await?))
            }
            Expr::Call { function, args } => self.call(*function, args, steps, held).await,
            Expr::Vector(selector) => {
                Ok(Evaluated::Vector(self.vector(selector, steps, held, |s| s.value).await?))
            }
            Expr::Matrix { .. } | Expr::Subquery(_) => {
                Err(Error::Execution("unexpected range vector".to_owned()))
            }
        }
    }

    /// Evaluates an expression whose type is an instant vector.
    pub(crate) async fn eval_vector(
        &self,
        expr: &Expr,
        steps: Steps,
        held: usize,
    ) -> Result<Vec<Row>, Error> {
        match self.eval(expr, steps, held).await? {
            Evaluated::Vector(rows) => Ok(rows),
            _ => Err(Error::Execution("expected an instant vector".to_owned())),
        }
    }

    /// Evaluates an expression whose type is a scalar.
    pub(crate) async fn eval_scalar(
        &self,
        expr: &Expr,
        steps: Steps,
        held: usize,
    ) -> Result<Vec<f64>, Error> {
        match self.eval(expr, steps, held).await? {
            Evaluated::Scalar(values) => Ok(values),
            _ => Err(Error::Execution("expected a scalar".to_owned())),
        }
    }

    /// Evaluates an expression whose type is a string.
    pub(crate) async fn eval_string(&self, expr: &Expr, steps: Steps) -> Result<String, Error> {
        match self.eval(expr, steps.first(), 0).await? {
            Evaluated::String(text) => Ok(text),
            _ => Err(Error::Execution("expected a string".to_owned())),
        }
    }

    /// Repeats the value of one step at all steps.
    fn repeat(&self, value: Evaluated, steps: Steps, held: usize) -> Result<Evaluated, Error> {
        self.check_values(held.saturating_add(value.len().saturating_mul(steps.count)))?;
        Ok(match value {
            Evaluated::String(text) => Evaluated::String(text),
            Evaluated::Scalar(values) => {
                Evaluated::Scalar(vec![values.first().copied().unwrap_or(f64::NAN); steps.count])
            }
            Evaluated::Vector(rows) => {
                let constant =
                    |row: Row| Some(Row::constant(row.labels.clone(), row.get(0)?, steps.count));
                Evaluated::Vector(rows.into_iter().filter_map(constant).collect())
            }
        })
    }

    async fn negate(&self, value: Evaluated) -> Result<Evaluated, Error> {
        Ok(match value {
            Evaluated::String(text) => Evaluated::String(text),
            Evaluated::Scalar(values) => Evaluated::Scalar(values.iter().map(|v| -v).collect()),
            Evaluated::Vector(mut rows) => {
                for row in &mut rows {
                    row.labels = row.labels.without_name();
                    row.map(|_, value| Some(-value));
                    self.work.add(row.len()).await;
                }
                Evaluated::Vector(merged(rows)?)
            }
        })
    }

    /// Returns the series of the selector.
    pub(crate) fn series(&self, selector: &VectorSelector) -> &[Series] {
        self.data.get(selector.index).map_or(&[], Vec::as_slice)
    }

    /// Returns a value of the last sample of each series at each step.
    pub(crate) async fn vector(
        &self,
        selector: &VectorSelector,
        steps: Steps,
        held: usize,
        value: impl Fn(&Sample) -> f64,
    ) -> Result<Vec<Row>, Error> {
        let (mut rows, mut values) = (vec![], held);
        for series in self.series(selector) {
            let mut row = Row::new(series.labels.clone());
            let mut next = 0;
            for step in 0..steps.count {
                let time_ms = self.range.shifted(&selector.time, steps.time_ms(step));
                while series.samples.get(next).is_some_and(|sample| sample.time_ms <= time_ms) {
                    next += 1;
                }
                let last = next.checked_sub(1).and_then(|last| series.samples.get(last));
                let is_valid = |sample: &&Sample| {
                    sample.time_ms > time_ms.saturating_sub(LOOKBACK_MS) && !is_stale(sample.value)
                };
                if let Some(sample) = last.filter(is_valid) {
                    row.push(step, value(sample));
                }
            }
            self.work.add(steps.count + next).await;
            if row.is_empty() {
                continue;
            }
            values += row.len();
            rows.push(row);
            self.check_series(rows.len())?;
            self.check_values(values)?;
        }
        Ok(rows)
    }

    /// Returns the samples of an instant query that is a range vector.
    async fn window_at_start(&self, expr: &Expr, steps: Steps) -> Result<Vec<Series>, Error> {
        let vector = self.range_vector(expr, steps, 0).await?;
        let end_ms = self.range.shifted(&vector.time, steps.start_ms);
        let start_ms = end_ms.saturating_sub(vector.range_ms);
        let mut result = vec![];
        for (labels, samples) in &vector.series {
            let is_inside = |s: &&Sample| start_ms < s.time_ms && s.time_ms <= end_ms;
            let samples: Vec<_> = samples.iter().filter(is_inside).copied().collect();
            self.work.add(samples.len()).await;
            if !samples.is_empty() {
                result.push(Series { labels: labels.clone(), samples });
            }
        }
        result.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(result)
    }

    /// Checks the number of values in memory.
    pub(crate) fn check_values(&self, values: usize) -> Result<(), Error> {
        let limit = self.limits.samples_max;
        if values <= limit {
            return Ok(());
        }
        Err(Error::TooMuch(format!(
            "query processing would load too many samples into memory in query execution: limit \
             {limit}: narrow the time range, use a longer step, or select fewer series"
        )))
    }

    /// Checks the number of series in a result.
    pub(crate) fn check_series(&self, series: usize) -> Result<(), Error> {
        let limit = self.limits.series_max;
        if series <= limit {
            return Ok(());
        }
        Err(Error::TooMuch(format!(
            "an expression has too many series: limit {limit}: add matchers, or aggregate"
        )))
    }
}
