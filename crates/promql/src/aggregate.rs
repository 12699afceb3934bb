//! Aggregations: `sum`, `topk`, `count_values` and so on.

use std::cmp::Ordering;

use super::error::Error;
use super::evaluate::Evaluator;
use super::expr::{Aggregate, AggregateOp};
use super::format::{format_float, quote};
use super::labels::{Labels, METRIC_NAME};
use super::pause::Pause;
use super::quantile::quantile;
use super::query::Steps;
use super::row::{ByLabels, Row, merged, position};
use super::sum::{Mean, Sum};

/// The rows of the groups, in the order of their first rows.
struct Groups {
    labels: Vec<Labels>,
    rows: Vec<Vec<usize>>,
}

impl Aggregate {
    /// Returns the labels of the group.
    fn group_of(&self, labels: &Labels) -> Labels {
        let is_listed = |name: &str| self.labels.iter().any(|label| label == name);
        match self.is_without {
            true => labels.filter(|name| name != METRIC_NAME && !is_listed(name)),
            false => labels.filter(is_listed),
        }
    }

    fn groups(&self, rows: &[Row]) -> Groups {
        let (mut known, mut groups) =
            (ByLabels::default(), Groups { labels: vec![], rows: vec![] });
        for (i, row) in rows.iter().enumerate() {
            let labels = self.group_of(&row.labels);
            let group = position(&mut known, labels.clone());
            match groups.rows.get_mut(group) {
                Some(members) => members.push(i),
                None => {
                    groups.labels.push(labels);
                    groups.rows.push(vec![i]);
                }
            }
        }
        groups
    }
}

impl<P: Pause> Evaluator<'_, P> {
    pub(crate) async fn aggregate(
        &self,
        aggregate: &Aggregate,
        steps: Steps,
        held: usize,
    ) -> Result<Vec<Row>, Error> {
        if let (AggregateOp::CountValues, Some(param)) = (aggregate.op, &aggregate.param) {
            let label = self.eval_string(param, steps).await?;
            let rows = self.eval_vector(&aggregate.expr, steps, held).await?;
            return self.count_values(aggregate, &label, &rows, steps, held).await;
        }
        let params = match &aggregate.param {
            Some(param) => self.eval_scalar(param, steps, held).await?,
            None => vec![],
        };
        let held = held + params.len();
        let rows = self.eval_vector(&aggregate.expr, steps, held).await?;
        let groups = aggregate.groups(&rows);
        match aggregate.op {
            AggregateOp::Topk | AggregateOp::Bottomk => {
                self.select(aggregate.op, &params, rows, &groups, steps).await
            }
            _ => self.reduce(aggregate.op, &params, &rows, groups, steps, held).await,
        }
    }

    /// Computes one value for each group and step.
    async fn reduce(
        &self,
        op: AggregateOp,
        params: &[f64],
        rows: &[Row],
        groups: Groups,
        steps: Steps,
        held: usize,
    ) -> Result<Vec<Row>, Error> {
        let mut values = held + super::row::total_len(rows);
        let mut result = vec![];
        for (labels, members) in groups.labels.into_iter().zip(groups.rows) {
            let mut row = Row::new(labels);
            let members: Vec<_> = members.iter().filter_map(|member| rows.get(*member)).collect();
            if op == AggregateOp::Quantile {
                let mut present = Vec::with_capacity(members.len());
                for step in 0..steps.count {
                    present.clear();
                    present.extend(members.iter().filter_map(|member| member.get(step)));
                    self.work.add(members.len()).await;
                    if !present.is_empty() {
                        let q = params.get(step).copied().unwrap_or(f64::NAN);
                        row.push(step, quantile(q, &mut present));
                    }
                }
            } else {
                // One pass for each row reads the memory in order.
                let mut states: Vec<Option<State>> = vec![None; steps.count];
                for member in members {
                    for (step, value) in member.iter() {
                        match states.get_mut(step) {
                            Some(Some(state)) => state.add(value),
                            Some(state) => *state = Some(State::new(op, value)),
                            None => {}
                        }
                    }
                    self.work.add(member.len()).await;
                }
                for (step, state) in states.iter().enumerate() {
                    if let Some(state) = state {
                        row.push(step, state.value());
                    }
                }
            }
            values += row.len();
            self.check_values(values)?;
            result.push(row);
        }
        Ok(result)
    }

    /// Selects the largest or smallest `k` values of each group and step.
    async fn select(
        &self,
        op: AggregateOp,
        params: &[f64],
        mut rows: Vec<Row>,
        groups: &Groups,
        steps: Steps,
    ) -> Result<Vec<Row>, Error> {
        check_counts(params)?;
        let mut order = Vec::with_capacity(rows.len());
        for members in &groups.rows {
            let mut kept: Vec<Row> = vec![];
            kept.extend(
                members.iter().filter_map(|m| rows.get(*m)).map(|row| Row::new(row.labels.clone())),
            );
            let mut present: Vec<(f64, usize)> = Vec::with_capacity(members.len());
            for step in 0..steps.count {
                let count = params.get(step).map_or(0, |count| count.max(0.0) as usize);
                present.clear();
                let values = members.iter().enumerate();
                present.extend(values.filter_map(|(i, m)| Some((rows.get(*m)?.get(step)?, i))));
                self.work.add(2 * members.len()).await;
                let by_rank = |a: &(f64, usize), b: &(f64, usize)| rank(op, *a, *b);
                if count > 0 && count < present.len() {
                    present.select_nth_unstable_by(count - 1, by_rank);
                }
                present.truncate(count);
                if steps.count == 1 {
                    present.sort_by(by_rank);
                    order.extend(present.iter().filter_map(|(_, i)| members.get(*i)).copied());
                }
                for (value, i) in &present {
                    if let Some(row) = kept.get_mut(*i) {
                        row.push(step, *value);
                    }
                }
            }
            for (member, row) in members.iter().zip(kept) {
                if let Some(slot) = rows.get_mut(*member) {
                    *slot = row;
                }
            }
        }
        if steps.count == 1 {
            // The result of an instant query is sorted by value.
            let row = |i: usize| rows.get(i).cloned();
            return Ok(order.into_iter().filter_map(row).collect());
        }
        rows.retain(|row| !row.is_empty());
        Ok(rows)
    }

    async fn count_values(
        &self,
        aggregate: &Aggregate,
        label: &str,
        rows: &[Row],
        steps: Steps,
        held: usize,
    ) -> Result<Vec<Row>, Error> {
        if label.is_empty() {
            return Err(Error::Execution(format!("invalid label name {}", quote(label))));
        }
        let (mut known, mut result) = (ByLabels::default(), Vec::<Row>::new());
        let values = held + super::row::total_len(rows);
        let mut added = 0;
        for row in rows {
            let is_grouped_by_label =
                aggregate.is_without && aggregate.labels.iter().any(|l| l == label);
            let group = aggregate.group_of(&row.labels);
            let mut last: Option<(u64, usize)> = None;
            for (step, value) in row.iter() {
                // Most values equal the value at the step before.
                let at = match last {
                    Some((bits, at)) if bits == value.to_bits() => at,
                    _ => {
                        let labels = match is_grouped_by_label {
                            true => group.clone(),
                            false => group.with(label, &format_float(value)),
                        };
                        let at = position(&mut known, labels.clone());
                        if at == result.len() {
                            result.push(Row::new(labels));
                            self.check_series(result.len())?;
                        }
                        last = Some((value.to_bits(), at));
                        at
                    }
                };
                if let Some(counts) = result.get_mut(at) {
                    let before = counts.len();
                    counts.set(step, counts.get(step).unwrap_or(0.0) + 1.0);
                    added += counts.len() - before;
                    self.check_values(values + added)?;
                }
            }
            self.work.add(5 * row.len() + steps.count).await;
        }
        merged(result)
    }
}

/// Checks the number of values that `topk` and `bottomk` select.
fn check_counts(counts: &[f64]) -> Result<(), Error> {
    if counts.iter().all(|count| *count < 1.0) {
        return Ok(());
    }
    for count in counts {
        let message = if count.is_nan() {
            "Parameter value is NaN".to_owned()
        } else if *count <= i64::MIN as f64 {
            format!("Scalar value {count} underflows int64")
        } else if *count >= i64::MAX as f64 {
            format!("Scalar value {count} overflows int64")
        } else {
            continue;
        };
        return Err(Error::Execution(message));
    }
    Ok(())
}

/// Compares two values with their positions. The value that is selected first is less. NaN is
/// selected last.
fn rank(op: AggregateOp, a: (f64, usize), b: (f64, usize)) -> Ordering {
    let by_value = match op {
        AggregateOp::Topk => b.0.partial_cmp(&a.0),
        _ => a.0.partial_cmp(&b.0),
    };
    let by_value = by_value.unwrap_or_else(|| a.0.is_nan().cmp(&b.0.is_nan()));
    by_value.then(a.1.cmp(&b.1))
}

/// The state of an aggregation at a step.
#[derive(Clone, Copy, Debug)]
enum State {
    Sum(Sum),
    Avg(Mean),
    Count(f64),
    Min(f64),
    Max(f64),
    Group,
    Variance { count: f64, mean: f64, squares: f64, is_stddev: bool },
}

impl State {
    fn new(op: AggregateOp, first: f64) -> Self {
        match op {
            AggregateOp::Sum => Self::Sum(Sum::new(first)),
            AggregateOp::Avg => Self::Avg(Mean::new(first)),
            AggregateOp::Min => Self::Min(first),
            AggregateOp::Max => Self::Max(first),
            AggregateOp::Stddev | AggregateOp::Stdvar => Self::Variance {
                count: 1.0,
                mean: first,
                squares: if first.is_finite() { 0.0 } else { f64::NAN },
                is_stddev: op == AggregateOp::Stddev,
            },
            AggregateOp::Count => Self::Count(1.0),
            _ => Self::Group,
        }
    }

    fn add(&mut self, value: f64) {
        match self {
            Self::Sum(sum) => sum.add(value),
            Self::Avg(mean) => mean.add(value),
            Self::Count(count) => *count += 1.0,
            Self::Min(min) if value < *min || min.is_nan() => *min = value,
            Self::Max(max) if value > *max || max.is_nan() => *max = value,
            Self::Min(_) | Self::Max(_) | Self::Group => {}
            Self::Variance { count, mean, squares, .. } => {
                *count += 1.0;
                let delta = value - *mean;
                *mean += delta / *count;
                *squares += delta * (value - *mean);
            }
        }
    }

    fn value(&self) -> f64 {
        match self {
            Self::Sum(sum) => sum.plain(),
            Self::Avg(mean) => mean.value(),
            Self::Count(value) | Self::Min(value) | Self::Max(value) => *value,
            Self::Group => 1.0,
            Self::Variance { count, squares, is_stddev: false, .. } => squares / count,
            Self::Variance { count, squares, is_stddev: true, .. } => (squares / count).sqrt(),
        }
    }
}
