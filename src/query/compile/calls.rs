//! Fields to output expressions over calls and slots (1.x `valueMapper`).

use std::rc::Rc;

use xxhash_rust::xxh64::xxh64;

use super::data_type::{DataType, Names};
use super::predicate::arithmetic;
use super::statement::Checked;
use crate::influxql::ast::{Expr, Fill, FillNumber};
use crate::model::value::{FieldType, FieldValue};
use crate::query::error::QueryError;
use crate::query::math::MathFunction;
use crate::query::operators::fill::FillPlan;
use crate::query::operators::whole::{self, WholePlan};
use crate::query::plan::{Base, CallPlan, FeedKind, Slot};
use crate::query::scalar::Scalar;
use crate::query::transforms::Transform;
use crate::scan::request::{AggregateFunction, Window};
use crate::scan::whole::WholeFunction;

/// Output expressions and what they stand on.
pub(crate) struct Built {
    pub(crate) outputs: Vec<Scalar>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) calls: Vec<CallPlan>,
    pub(crate) keeps_point_time: bool,
}

/// Collects calls and slots, each once, while fields are lowered.
pub(crate) struct CallBuilder<'a> {
    checked: &'a Checked<'a>,
    names: &'a Names,
    window: Option<&'a Window>,
    slots: Vec<Slot>,
    /// As bound, with the plan; equal expressions are one call.
    calls: Vec<(Expr, CallPlan)>,
    /// Slots that outputs refer to themselves.
    referenced: Vec<usize>,
}

impl Base {
    /// What kind of scan it needs.
    pub(crate) fn feed_kind(&self) -> FeedKind {
        match self {
            Self::Merge(_) => FeedKind::Partials,
            Self::Whole(_) | Self::Values => FeedKind::Rows,
        }
    }
}

impl<'a> CallBuilder<'a> {
    pub(crate) fn new(
        checked: &'a Checked<'a>,
        names: &'a Names,
        window: Option<&'a Window>,
    ) -> Self {
        Self {
            checked,
            names,
            window,
            slots: Vec::new(),
            calls: Vec::new(),
            referenced: Vec::new(),
        }
    }

    /// Lowers one field. Slots are marked as `Column(SLOT + n)` until [`Self::finish`].
    ///
    /// # Errors
    /// [`QueryError::Unsupported`] for functions not carried out yet.
    pub(crate) fn output(&mut self, expr: &Expr) -> Result<Scalar, QueryError> {
        Ok(match expr {
            Expr::Paren(inner) => self.output(inner)?,
            Expr::NumberLiteral(value) => Scalar::Literal(FieldValue::Float(*value)),
            Expr::IntegerLiteral(value) => Scalar::Literal(FieldValue::Integer(*value)),
            Expr::UnsignedLiteral(value) => Scalar::Literal(FieldValue::Unsigned(*value)),
            Expr::BooleanLiteral(value) => Scalar::Literal(FieldValue::Boolean(*value)),
            Expr::StringLiteral(text) => Scalar::Literal(FieldValue::String(text.as_str().into())),
            Expr::VarRef { .. } => {
                let slot = self.slot(expr);
                if !self.referenced.contains(&slot) {
                    self.referenced.push(slot);
                }
                Scalar::Column(SLOT + slot)
            }
            Expr::Binary { op, left, right } => {
                let (left, right) = (self.output(left)?, self.output(right)?);
                match arithmetic(*op) {
                    Some(op) => Scalar::Binary(op, Box::new(left), Box::new(right)),
                    None => Scalar::Null,
                }
            }
            Expr::Call { name, args } => match MathFunction::find(name) {
                Some(function) => {
                    let args = args.iter().map(|arg| self.output(arg));
                    Scalar::Math(function, args.collect::<Result<_, QueryError>>()?)
                }
                None => Scalar::Column(self.call(expr)?),
            },
            _ => Scalar::Null,
        })
    }

    fn slot(&mut self, expr: &Expr) -> usize {
        let Expr::VarRef { name, cast } = expr else { return 0 };
        self.slot_of(Slot { name: name.clone(), data_type: self.names.resolve(name, *cast) })
    }

    /// A slot for every tag, with a hash of its name.
    fn series_slots(&mut self) -> Vec<(usize, u64)> {
        let tags = self.names.tags.keys().map(|tag| {
            let slot = Slot { name: tag.to_string(), data_type: DataType::Tag };
            (self.slot_of(slot), xxh64(tag.as_bytes(), 0))
        });
        tags.collect()
    }

    fn slot_of(&mut self, slot: Slot) -> usize {
        match self.slots.iter().position(|known| *known == slot) {
            Some(index) => index,
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        }
    }

    /// Refuses types that a function does not take. The tags of subqueries are texts to it.
    fn check_type(&self, name: &str, data_type: DataType) -> Result<(), QueryError> {
        let derived = self.checked.subqueries.len() == self.checked.select.sources.len();
        match data_type {
            DataType::Tag if derived => check_type(name, DataType::String),
            known => check_type(name, known),
        }
    }

    /// The position of a call.
    fn call(&mut self, expr: &Expr) -> Result<usize, QueryError> {
        if let Some(index) = self.calls.iter().position(|(known, _)| known == expr) {
            return Ok(index);
        }
        let plan = self.plan(expr)?;
        self.calls.push((expr.clone(), plan));
        Ok(self.calls.len() - 1)
    }

    fn plan(&mut self, expr: &Expr) -> Result<CallPlan, QueryError> {
        let Expr::Call { name, args } = expr else {
            return Err(QueryError::Unsupported(expr.to_string()));
        };
        let (function, argument) = match (merged(name), args.as_slice()) {
            (Some(function), [argument @ Expr::VarRef { .. }]) => (function, argument),
            _ => {
                return match self.whole(name, args) {
                    Some((plan, argument)) => self.whole_call(name, plan, argument),
                    None => self.transform(name, args),
                };
            }
        };
        let slot = self.slot(argument);
        let data_type = self.slots.get(slot).map_or(DataType::Unknown, |slot| slot.data_type);
        self.check_type(name, data_type)?;
        let output = output_type(function, data_type);
        Ok(CallPlan {
            base: Base::Merge(function),
            slot,
            fill: self.fill(name == "count", output),
            missing: self.missing(output),
            transforms: Vec::new(),
            beside: Vec::new(),
            extended: false,
            silent: false,
        })
    }

    /// A function that needs all values of a window, and over which field.
    fn whole<'e>(&mut self, name: &str, args: &'e [Expr]) -> Option<(WholePlan, &'e Expr)> {
        let plain =
            |function| WholePlan { function, counted: false, tags: None, series: Vec::new() };
        let first = args.first()?;
        Some(match (name, args) {
            ("median", _) => (plain(WholeFunction::Median), first),
            ("mode", _) => (plain(WholeFunction::Mode), first),
            ("distinct", _) => (plain(WholeFunction::Distinct), first),
            ("count", [Expr::Call { name, args }]) if name == "distinct" => {
                let mut plan = plain(WholeFunction::Distinct);
                plan.counted = true;
                (plan, args.first()?)
            }
            // Counted exactly, where 1.x estimates by a sketch.
            ("count_hll", [Expr::Call { name, args }]) if name == "sum_hll" => {
                let mut plan = plain(WholeFunction::Distinct);
                plan.counted = true;
                (plan, args.first()?)
            }
            ("sample", [_, Expr::IntegerLiteral(count)]) => {
                let count = u32::try_from(*count).unwrap_or(u32::MAX);
                let mut plan = plain(WholeFunction::Sample { count, seed: 0 });
                plan.series = self.series_slots();
                (plan, first)
            }
            ("percentile", [_, Expr::IntegerLiteral(rank)]) => {
                (plain(WholeFunction::Percentile(*rank as f64)), first)
            }
            ("percentile", [_, Expr::NumberLiteral(rank)]) => {
                (plain(WholeFunction::Percentile(*rank)), first)
            }
            ("top" | "bottom", [_, tags @ .., Expr::IntegerLiteral(count)]) => {
                let count = u32::try_from(*count).unwrap_or(u32::MAX);
                let function = if name == "top" {
                    WholeFunction::Top(count)
                } else {
                    WholeFunction::Bottom(count)
                };
                let has_arguments = !tags.is_empty();
                let mut tags: Vec<usize> = tags.iter().map(|tag| self.slot(tag)).collect();
                let known = &self.slots;
                tags.retain(|&slot| known.get(slot).is_some_and(|s| s.data_type == DataType::Tag));
                let tags = has_arguments.then_some(tags);
                (WholePlan { tags, ..plain(function) }, first)
            }
            _ => return None,
        })
    }

    fn whole_call(
        &mut self,
        name: &str,
        plan: WholePlan,
        argument: &Expr,
    ) -> Result<CallPlan, QueryError> {
        let slot = self.slot(argument);
        let data_type = self.slots.get(slot).map_or(DataType::Unknown, |slot| slot.data_type);
        self.check_type(name, data_type)?;
        // A median or a count has its type whatever it is of.
        let own = plan.counted || plan.function == WholeFunction::Median;
        let input = data_type.field_type().or(own.then_some(FieldType::Float));
        let output = input.map(|input| whole::output_type(&plan, input));
        let fills = plan.counted
            || matches!(
                plan.function,
                WholeFunction::Median | WholeFunction::Mode | WholeFunction::Percentile(_)
            );
        Ok(CallPlan {
            fill: if fills { self.fill(plan.counted, output) } else { None },
            base: Base::Whole(plan),
            slot,
            missing: self.missing(output),
            transforms: Vec::new(),
            beside: Vec::new(),
            extended: false,
            silent: false,
        })
    }

    fn transform(&mut self, name: &str, args: &[Expr]) -> Result<CallPlan, QueryError> {
        let descending = self.checked.descending;
        let Some(transform) =
            Transform::find(name, args, self.window, self.checked.range, descending)
        else {
            return Err(QueryError::Unsupported(format!("{name}()")));
        };
        let mut plan = match args.first() {
            Some(call @ Expr::Call { .. }) => self.plan(call)?,
            Some(argument) => {
                let slot = self.slot(argument);
                let data_type = self.slots.get(slot).map_or(DataType::Unknown, |s| s.data_type);
                self.check_type(name, data_type)?;
                CallPlan {
                    base: Base::Values,
                    slot,
                    fill: None,
                    missing: None,
                    transforms: Vec::new(),
                    beside: Vec::new(),
                    extended: false,
                    silent: false,
                }
            }
            None => return Err(QueryError::Unsupported(format!("{name}()"))),
        };
        // A subquery without windows of its own has those of the statement around it.
        plan.extended |= self.window.is_some() && transform.wants_window_before();
        // Without a lower bound the window before it overflows in 1.x, which then reads nothing.
        plan.silent |= self.window.is_some()
            && !descending
            && !self.checked.has_lower_bound()
            && if self.checked.nested {
                transform.wants_window_before()
            } else {
                transform.reads_nothing_unbounded()
            };
        let input = match &plan.missing {
            Some(missing) => Some(missing.field_type()),
            None => self.slots.get(plan.slot).and_then(|slot| slot.data_type.field_type()),
        };
        plan.missing = self.missing(transform.output_type(input));
        plan.transforms.push(transform);
        Ok(plan)
    }

    fn fill(&self, is_count: bool, output: Option<FieldType>) -> Option<FillPlan> {
        self.window?;
        match self.checked.fill {
            Fill::None => None,
            Fill::Null if is_count => Some(FillPlan::Value(FieldValue::Integer(0))),
            Fill::Null => Some(FillPlan::Null),
            Fill::Previous => Some(FillPlan::Previous),
            Fill::Linear => Some(FillPlan::Linear),
            Fill::Number(number) => {
                output.map(|output| FillPlan::Value(cast_number(number, output)))
            }
        }
    }

    fn missing(&self, output: Option<FieldType>) -> Option<FieldValue> {
        match self.checked.fill {
            // Strings and booleans get the bare number when they are shown.
            Fill::Number(number) => output
                .filter(|output| DataType::from(*output).is_number())
                .map(|output| cast_number(number, output)),
            _ => None,
        }
    }

    /// Slots for the tags by which series of one group differ.
    fn other_tags(&mut self, group_keys: &[String]) -> Vec<usize> {
        let names = self.names;
        let tags = names.tags.keys().filter(|tag| !group_keys.iter().any(|key| **key == ***tag));
        let slot = |tag: &Rc<str>| Slot { name: tag.to_string(), data_type: DataType::Tag };
        tags.map(|tag| self.slot_of(slot(tag))).collect()
    }

    /// first() or last() of several series without windows, as 1.x meets their points.
    fn meet(&self, call: &mut CallPlan, series: &[usize]) {
        let latest = match call.base {
            Base::Merge(AggregateFunction::First) => false,
            Base::Merge(AggregateFunction::Last) => true,
            _ => return,
        };
        let slots = call.beside.iter().filter_map(|&slot| Some((self.slots.get(slot)?, slot)));
        let shown = slots.min_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let is_text = |data_type| matches!(data_type, DataType::Tag | DataType::String);
        let text = shown.filter(|(slot, _)| is_text(slot.data_type)).map(|(_, slot)| slot);
        call.base = Base::Merge(AggregateFunction::Met { latest, by_text: text.is_some() });
        let shown = std::mem::take(&mut call.beside);
        call.beside = text.into_iter().chain(series.iter().copied()).chain(shown).collect();
    }

    /// Resolves the marks and hangs the referenced slots on the sole selector.
    pub(crate) fn finish(mut self, outputs: Vec<Scalar>, group_keys: &[String]) -> Built {
        let count = self.calls.len();
        let calls = std::mem::take(&mut self.calls);
        let mut calls: Vec<CallPlan> = calls.into_iter().map(|(_, plan)| plan).collect();
        let first_last = |call: &CallPlan| {
            matches!(call.base, Base::Merge(AggregateFunction::First | AggregateFunction::Last))
        };
        let plain = self.window.is_none() && self.checked.subqueries.is_empty();
        let met = plain && calls.iter().any(first_last);
        let series = if met { self.other_tags(group_keys) } else { Vec::new() };
        let keeps_point_time = match calls.as_mut_slice() {
            [call] if call.transforms.is_empty() && is_selector(&call.base) => {
                call.beside = std::mem::take(&mut self.referenced);
                self.window.is_none()
            }
            _ => false,
        };
        if !series.is_empty() {
            calls.iter_mut().for_each(|call| self.meet(call, &series));
        }
        let outputs = outputs.into_iter().map(|output| settle(output, count)).collect();
        Built { outputs, slots: self.slots, calls, keeps_point_time }
    }
}

/// Marks positions of slots until the number of calls is known.
const SLOT: usize = 1 << 20;

fn settle(scalar: Scalar, calls: usize) -> Scalar {
    match scalar {
        Scalar::Column(index) if index >= SLOT => Scalar::Column(calls + (index - SLOT)),
        Scalar::Binary(op, left, right) => {
            Scalar::Binary(op, Box::new(settle(*left, calls)), Box::new(settle(*right, calls)))
        }
        Scalar::Math(function, args) => {
            Scalar::Math(function, args.into_iter().map(|arg| settle(arg, calls)).collect())
        }
        other => other,
    }
}

fn merged(name: &str) -> Option<AggregateFunction> {
    Some(match name {
        "count" => AggregateFunction::Count,
        "sum" => AggregateFunction::Sum,
        "mean" => AggregateFunction::Mean,
        "min" => AggregateFunction::Min,
        "max" => AggregateFunction::Max,
        "first" => AggregateFunction::First,
        "last" => AggregateFunction::Last,
        "spread" => AggregateFunction::Spread,
        "stddev" => AggregateFunction::Stddev,
        _ => return None,
    })
}

fn is_selector(base: &Base) -> bool {
    if let Base::Whole(plan) = base {
        return !matches!(
            plan.function,
            WholeFunction::Median | WholeFunction::Mode | WholeFunction::Distinct
        );
    }
    matches!(
        base,
        Base::Merge(
            AggregateFunction::Min
                | AggregateFunction::Max
                | AggregateFunction::First
                | AggregateFunction::Last
        )
    )
}

fn output_type(function: AggregateFunction, data_type: DataType) -> Option<FieldType> {
    match function {
        AggregateFunction::Count => Some(FieldType::Integer),
        AggregateFunction::Mean | AggregateFunction::Stddev => Some(FieldType::Float),
        _ => data_type.field_type(),
    }
}

/// Refuses types that a function does not take, as 1.x does when it builds its iterators.
fn check_type(name: &str, data_type: DataType) -> Result<(), QueryError> {
    let takes = match (name, data_type) {
        (_, DataType::Unknown | DataType::Tag) => true,
        (
            "count" | "first" | "last" | "mode" | "distinct" | "elapsed" | "sample" | "count_hll",
            _,
        ) => true,
        ("min" | "max", DataType::Boolean) => true,
        (_, other) => other.is_number(),
    };
    if takes {
        return Ok(());
    }
    let kind = data_type.name();
    let name = match name {
        "non_negative_difference" => "difference",
        "non_negative_derivative" => "derivative",
        "moving_average" => "moving average",
        "cumulative_sum" => "cumulative sum",
        other => other,
    };
    Err(QueryError::Invalid(format!(
        "unsupported {name} iterator type: *query.{kind}InterruptIterator"
    )))
}

/// The number of `fill(number)`.
pub(crate) fn fill_number(fill: Fill) -> Option<FieldValue> {
    match fill {
        Fill::Number(number) => Some(as_written(number)),
        _ => None,
    }
}

fn as_written(number: FillNumber) -> FieldValue {
    match number {
        FillNumber::Float(value) => FieldValue::Float(value),
        FillNumber::Integer(value) => FieldValue::Integer(value),
    }
}

/// `fill(number)` in the type of the values (1.x `castToFloat` and its kin).
fn cast_number(number: FillNumber, to: FieldType) -> FieldValue {
    match (to, number) {
        (FieldType::Float, FillNumber::Float(value)) => FieldValue::Float(value),
        (FieldType::Float, FillNumber::Integer(value)) => FieldValue::Float(value as f64),
        (FieldType::Integer, FillNumber::Float(value)) => FieldValue::Integer(value as i64),
        (FieldType::Integer, FillNumber::Integer(value)) => FieldValue::Integer(value),
        (FieldType::Unsigned, FillNumber::Float(value)) => FieldValue::Unsigned(value as u64),
        (FieldType::Unsigned, FillNumber::Integer(value)) => FieldValue::Unsigned(value as u64),
        (FieldType::String, _) => FieldValue::String("".into()),
        (FieldType::Boolean, _) => FieldValue::Boolean(false),
    }
}
