//! Binary operators.

use std::collections::BTreeMap;

use super::error::Error;
use super::evaluate::{Evaluated, Evaluator};
use super::expr::{Binary, BinaryOp, Matching};
use super::labels::{Labels, METRIC_NAME};
use super::pause::Pause;
use super::query::Steps;
use super::row::{ByLabels, Row, merged, position};

impl BinaryOp {
    /// Returns the value for two numbers, and whether a filter keeps it.
    fn apply(self, left: f64, right: f64) -> (f64, bool) {
        let value = match self {
            Self::Add => left + right,
            Self::Sub => left - right,
            Self::Mul => left * right,
            Self::Div => left / right,
            Self::Mod => left % right,
            Self::Pow => left.powf(right),
            Self::Atan2 => left.atan2(right),
            Self::Equal => return (left, left == right),
            Self::NotEqual => return (left, left != right),
            Self::Greater => return (left, left > right),
            Self::Less => return (left, left < right),
            Self::GreaterOrEqual => return (left, left >= right),
            Self::LessOrEqual => return (left, left <= right),
            Self::And | Self::Or | Self::Unless => return (left, true),
        };
        (value, true)
    }
}

impl Binary {
    /// Returns the value for two samples, or `None` if a comparison filters it out.
    fn apply(&self, left: f64, right: f64) -> Option<f64> {
        let (value, keeps) = self.op.apply(left, right);
        if self.returns_bool {
            return Some(if keeps { 1.0 } else { 0.0 });
        }
        keeps.then_some(value)
    }

    /// Whether the result has no metric name.
    fn drops_name(&self) -> bool {
        self.returns_bool || !(self.op.is_comparison() || self.op.is_set())
    }
}

impl Matching {
    fn has(&self, name: &str) -> bool {
        self.labels.iter().any(|label| label == name)
    }

    /// Returns the labels that must be equal in both operands.
    fn key(&self, labels: &Labels) -> Labels {
        match self.is_on {
            true => labels.filter(|name| self.has(name)),
            false => labels.filter(|name| name != METRIC_NAME && !self.has(name)),
        }
    }
}

/// The rows of both operands with the same key.
#[derive(Default)]
struct Match {
    /// The rows of the operand that may have several rows.
    many: Vec<usize>,
    /// The rows of the operand that has one row at each step.
    one: Vec<usize>,
}

impl<P: Pause> Evaluator<'_, P> {
    pub(crate) async fn binary(
        &self,
        binary: &Binary,
        steps: Steps,
        held: usize,
    ) -> Result<Evaluated, Error> {
        let left = self.eval(&binary.left, steps, held).await?;
        let right = self.eval(&binary.right, steps, held + left.len()).await?;
        let held = held + left.len() + right.len();
        Ok(match (left, right) {
            (Evaluated::Scalar(mut left), Evaluated::Scalar(right)) => {
                self.work.add(left.len()).await;
                for (left, right) in left.iter_mut().zip(right) {
                    let (value, keeps) = binary.op.apply(*left, right);
                    let as_bool = if keeps { 1.0 } else { 0.0 };
                    *left = if binary.op.is_comparison() { as_bool } else { value };
                }
                Evaluated::Scalar(left)
            }
            (Evaluated::Vector(rows), Evaluated::Scalar(scalars)) => {
                Evaluated::Vector(self.with_scalar(binary, rows, &scalars, false).await?)
            }
            (Evaluated::Scalar(scalars), Evaluated::Vector(rows)) => {
                Evaluated::Vector(self.with_scalar(binary, rows, &scalars, true).await?)
            }
            (Evaluated::Vector(left), Evaluated::Vector(right)) if binary.op.is_set() => {
                Evaluated::Vector(self.set(binary, left, right, steps).await?)
            }
            (Evaluated::Vector(left), Evaluated::Vector(right)) => {
                Evaluated::Vector(self.vectors(binary, &left, &right, steps, held).await?)
            }
            _ => return Err(Error::Execution("unexpected operand".to_owned())),
        })
    }

    /// Computes an operator with a scalar. `swaps` means that the scalar is the left operand.
    async fn with_scalar(
        &self,
        binary: &Binary,
        mut rows: Vec<Row>,
        scalars: &[f64],
        swaps: bool,
    ) -> Result<Vec<Row>, Error> {
        let drops_name = binary.drops_name();
        for row in &mut rows {
            if drops_name {
                row.labels = row.labels.without_name();
            }
            row.map(|step, value| {
                let scalar = scalars.get(step).copied().unwrap_or(f64::NAN);
                let (left, right) = if swaps { (scalar, value) } else { (value, scalar) };
                let result = binary.apply(left, right)?;
                // A filter keeps the value of the vector.
                let is_filter = binary.op.is_comparison() && !binary.returns_bool;
                Some(if is_filter { value } else { result })
            });
            self.work.add(row.len()).await;
        }
        merged(rows)
    }

    /// Computes `and`, `or` and `unless`.
    async fn set(
        &self,
        binary: &Binary,
        mut left: Vec<Row>,
        mut right: Vec<Row>,
        steps: Steps,
    ) -> Result<Vec<Row>, Error> {
        let is_or = binary.op == BinaryOp::Or;
        let (filtered, others) = if is_or { (&mut right, &left) } else { (&mut left, &right) };
        // Whether an operand has a value for each key and step.
        let (mut keys, mut presence) = (ByLabels::default(), Vec::<Vec<bool>>::new());
        for row in others {
            let key = position(&mut keys, binary.matching.key(&row.labels));
            if key == presence.len() {
                presence.push(vec![false; steps.count]);
            }
            let Some(present) = presence.get_mut(key) else {
                continue;
            };
            for (step, _) in row.iter() {
                present.get_mut(step).into_iter().for_each(|present| *present = true);
            }
            self.work.add(row.len()).await;
        }
        let keeps_present = binary.op == BinaryOp::And;
        for row in filtered.iter_mut() {
            let key = keys.get(&binary.matching.key(&row.labels));
            let present = key.and_then(|key| presence.get(*key));
            let is_present =
                |step: usize| present.and_then(|p| p.get(step)).copied().unwrap_or(false);
            row.map(|step, value| (is_present(step) == keeps_present).then_some(value));
            self.work.add(row.len()).await;
        }
        if is_or {
            left.append(&mut right);
            self.check_series(left.len())?;
        }
        merged(left)
    }

    /// Computes an operator for matching rows.
    async fn vectors(
        &self,
        binary: &Binary,
        left: &[Row],
        right: &[Row],
        steps: Steps,
        held: usize,
    ) -> Result<Vec<Row>, Error> {
        let swaps = binary.matching.group.as_ref().is_some_and(|group| !group.is_left);
        let (many, one) = if swaps { (right, left) } else { (left, right) };
        let (mut keys, mut matches) = (ByLabels::default(), Vec::<Match>::new());
        for (rows, is_one) in [(one, true), (many, false)] {
            for (i, row) in rows.iter().enumerate() {
                let key = binary.matching.key(&row.labels);
                let at = match is_one {
                    true => position(&mut keys, key),
                    false => match keys.get(&key) {
                        Some(at) => *at,
                        None => continue,
                    },
                };
                if at == matches.len() {
                    matches.push(Match::default());
                }
                if let Some(found) = matches.get_mut(at) {
                    if is_one { found.one.push(i) } else { found.many.push(i) }
                }
            }
        }
        let (mut result, mut values) = (vec![], held);
        for found in &matches {
            let operands = Operands { binary, many, one, swaps, steps };
            let one_at = operands.one_at(found)?;
            let mut seen = Seen::default();
            for many_row in found.many.iter().filter_map(|i| many.get(*i)) {
                for row in operands.combine(many_row, found, one_at.as_deref(), &mut seen)? {
                    values += row.len();
                    result.push(row);
                }
                self.work.add(2 * many_row.len()).await;
                self.check_values(values)?;
                self.check_series(result.len())?;
            }
        }
        merged(result)
    }
}

struct Operands<'a> {
    binary: &'a Binary,
    many: &'a [Row],
    one: &'a [Row],
    /// Whether `one` is the left operand.
    swaps: bool,
    steps: Steps,
}

/// The steps at which results exist, for the labels of each result. Without `group_left` and
/// `group_right`, the labels are empty, because each key may have one result.
type Seen = BTreeMap<Labels, Vec<bool>>;

impl Operands<'_> {
    /// If the key has several rows in `one`, returns the row of each step.
    fn one_at(&self, found: &Match) -> Result<Option<Vec<Option<usize>>>, Error> {
        if found.one.len() < 2 {
            return Ok(None);
        }
        let mut one_at = vec![None; self.steps.count];
        for i in &found.one {
            let Some(row) = self.one.get(*i) else {
                continue;
            };
            for (step, _) in row.iter() {
                let Some(slot) = one_at.get_mut(step) else {
                    continue;
                };
                let earlier: Option<usize> = slot.replace(*i);
                // Without any series on the other side, nothing can match.
                let has_other = || self.many.iter().any(|row| row.get(step).is_some());
                if let Some(other) = earlier.and_then(|i| self.one.get(i)).filter(|_| has_other()) {
                    return Err(self.duplicate(&row.labels, &other.labels));
                }
            }
        }
        Ok(Some(one_at))
    }

    fn duplicate(&self, a: &Labels, b: &Labels) -> Error {
        let side = if self.swaps { "left" } else { "right" };
        let matching = &self.binary.matching;
        let key = match matching.is_on {
            true => a.filter(|name| matching.has(name)),
            false => a.filter(|name| name != METRIC_NAME && !matching.has(name)),
        };
        let (a, b) = (a.to_string(), b.to_string());
        let (first, second) = if a > b { (b, a) } else { (a, b) };
        Error::Execution(format!(
            "found duplicate series for the match group {key} on the {side} hand-side of the \
             operation: [{first}, {second}];many-to-many matching not allowed: matching labels \
             must be unique on one side"
        ))
    }

    /// Combines a row of `many` with the rows of `one` that have the same key.
    fn combine(
        &self,
        many: &Row,
        found: &Match,
        one_at: Option<&[Option<usize>]>,
        seen: &mut Seen,
    ) -> Result<Vec<Row>, Error> {
        // The results for each row of `one`.
        let mut results: BTreeMap<usize, Row> = BTreeMap::new();
        let single = found.one.first().copied();
        for (step, many_value) in many.iter() {
            let one = one_at.map_or(single, |one_at| one_at.get(step).copied().flatten());
            let Some((i, one)) = one.and_then(|i| Some((i, self.one.get(i)?))) else {
                continue;
            };
            let Some(one_value) = one.get(step) else {
                continue;
            };
            let row = results
                .entry(i)
                .or_insert_with(|| Row::new(self.result_labels(&many.labels, &one.labels)));
            if found.many.len() > 1 {
                self.check_unique(&row.labels, step, seen)?;
            }
            let (left, right) = match self.swaps {
                true => (one_value, many_value),
                false => (many_value, one_value),
            };
            if let Some(value) = self.binary.apply(left, right) {
                row.push(step, value);
            }
        }
        Ok(results.into_values().filter(|row| !row.is_empty()).collect())
    }

    fn check_unique(&self, labels: &Labels, step: usize, seen: &mut Seen) -> Result<(), Error> {
        let is_grouped = self.binary.matching.group.is_some();
        let key = if is_grouped { labels.clone() } else { Labels::default() };
        let seen = seen.entry(key).or_insert_with(|| vec![false; self.steps.count]);
        let Some(seen) = seen.get_mut(step) else {
            return Ok(());
        };
        if std::mem::replace(seen, true) {
            let advice = match is_grouped {
                true => "grouping labels must ensure unique matches",
                false => "many-to-one matching must be explicit (group_left/group_right)",
            };
            return Err(Error::Execution(format!("multiple matches for labels: {advice}")));
        }
        Ok(())
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let matching = &self.binary.matching;
        let mut labels = if self.binary.drops_name() { many.without_name() } else { many.clone() };
        let Some(group) = &matching.group else {
            return labels.filter(|name| matching.has(name) == matching.is_on);
        };
        for name in &group.include {
            labels = labels.with(name, one.get(name));
        }
        labels
    }
}
