//! Converts fields to output expressions over calls and slots (1.x `valueMapper`).

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use xxhash_rust::xxh64::xxh64;

use super::plan_size::PlanSize;
use super::predicate::arithmetic;
use super::resolve::KnownNames;
use super::statement::CheckedSelect;
use crate::influxql::ast::{Expr, Fill, FillNumber};
use crate::model::value::{FieldType, FieldValue};
use crate::query::data_type::DataType;
use crate::query::error::QueryError;
use crate::query::functions::{DefaultFill, Execution, Function, Gathered, Kind, Output};
use crate::query::operators::fill::FillPlan;
use crate::query::operators::gather;
use crate::query::plan::{CallBase, CallPlan, FeedKind, GatherPlan, Slot};
use crate::query::scalar::Scalar;
use crate::query::transforms::Transform;
use crate::scan::gathered::GatheredFunction;
use crate::scan::request::{AggregateFunction, Window};

pub(crate) struct BuiltCalls {
    pub(crate) outputs: Vec<Scalar>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) calls: Vec<CallPlan>,
    pub(crate) keeps_point_time: bool,
}

pub(crate) struct CallBuilder<'a> {
    checked: &'a CheckedSelect<'a>,
    names: &'a KnownNames,
    size: &'a PlanSize,
    window: Option<&'a Window>,
    slots: Vec<Slot>,
    slot_positions: HashMap<Slot, usize>,
    calls: Vec<(Expr, CallPlan)>,
    /// Maps a call's text to its position. Literals of different types have different texts.
    call_positions: HashMap<String, usize>,
    /// The slots that the outputs read outside of calls.
    referenced: Vec<usize>,
    is_referenced: HashSet<usize>,
}

impl CallBase {
    pub(crate) fn feed_kind(&self) -> FeedKind {
        match self {
            Self::Merge(_) => FeedKind::Partials,
            Self::Gather(_) | Self::Values => FeedKind::Rows,
        }
    }
}

impl<'a> CallBuilder<'a> {
    pub(crate) fn new(
        checked: &'a CheckedSelect<'a>,
        names: &'a KnownNames,
        size: &'a PlanSize,
        window: Option<&'a Window>,
    ) -> Self {
        Self {
            checked,
            names,
            size,
            window,
            slots: Vec::new(),
            slot_positions: HashMap::new(),
            calls: Vec::new(),
            call_positions: HashMap::new(),
            referenced: Vec::new(),
            is_referenced: HashSet::new(),
        }
    }

    /// Lowers a field. Until [`Self::finish`], the outputs refer to slot `n` as `Column(SLOT + n)`.
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
                if self.is_referenced.insert(slot) {
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
            Expr::Call { name, args } => match Function::mathematics(name) {
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

    fn series_slots(&mut self) -> Vec<(usize, u64)> {
        let tags = self.names.tags.keys().map(|tag| {
            let slot = Slot { name: tag.to_string(), data_type: DataType::Tag };
            (self.slot_of(slot), xxh64(tag.as_bytes(), 0))
        });
        tags.collect()
    }

    fn slot_of(&mut self, slot: Slot) -> usize {
        let next = self.slots.len();
        match self.slot_positions.get(&slot) {
            Some(&index) => index,
            None => {
                self.slots.push(slot.clone());
                self.slot_positions.insert(slot, next);
                next
            }
        }
    }

    /// If all sources are subqueries, functions treat tags as strings.
    fn check_type(&self, function: &Function, data_type: DataType) -> Result<(), QueryError> {
        match data_type {
            DataType::Tag if self.checked.reads_only_subqueries() => {
                check_type(function, DataType::String)
            }
            known => check_type(function, known),
        }
    }

    fn call(&mut self, expr: &Expr) -> Result<usize, QueryError> {
        let text = format!("{expr:?}");
        if let Some(&index) = self.call_positions.get(&text) {
            return Ok(index);
        }
        let plan = self.plan(expr)?;
        if let CallBase::Gather(gather) = &plan.base {
            self.size.add_entries(gather.series.len())?;
        }
        self.calls.push((expr.clone(), plan));
        self.call_positions.insert(text, self.calls.len() - 1);
        Ok(self.calls.len() - 1)
    }

    fn plan(&mut self, expr: &Expr) -> Result<CallPlan, QueryError> {
        let Expr::Call { name, args } = expr else {
            return Err(QueryError::Unsupported(expr.to_string()));
        };
        let unsupported = || QueryError::Unsupported(format!("{name}()"));
        let function = Function::find(name).ok_or_else(unsupported)?;
        match (function.execution, args.as_slice()) {
            (Execution::Merged(merged), [argument @ Expr::VarRef { .. }]) => {
                self.merged_call(function, merged, argument)
            }
            (Execution::Streamed, _) => self.transform(function, args),
            _ => {
                let (plan, argument) = self.gathered(function, args).ok_or_else(unsupported)?;
                self.gathered_call(function, plan, argument)
            }
        }
    }

    fn argument(
        &mut self,
        function: &Function,
        argument: &Expr,
    ) -> Result<(usize, DataType), QueryError> {
        let slot = self.slot(argument);
        let data_type = self.slots.get(slot).map_or(DataType::Unknown, |slot| slot.data_type);
        self.check_type(function, data_type)?;
        Ok((slot, data_type))
    }

    fn merged_call(
        &mut self,
        function: &Function,
        merged: AggregateFunction,
        argument: &Expr,
    ) -> Result<CallPlan, QueryError> {
        let (slot, data_type) = self.argument(function, argument)?;
        let output = function.output.over(data_type).field_type();
        Ok(CallPlan {
            fill: self.fill(function.fill, output),
            missing: self.missing(output),
            ..CallPlan::new(CallBase::Merge(merged), slot)
        })
    }

    fn gathered<'e>(
        &mut self,
        function: &Function,
        args: &'e [Expr],
    ) -> Option<(GatherPlan, &'e Expr)> {
        let plain =
            |function| GatherPlan { function, counted: false, tags: None, series: Vec::new() };
        let counted = || GatherPlan { counted: true, ..plain(GatheredFunction::Distinct) };
        let first = args.first()?;
        let gathered = match (function.execution, first) {
            (Execution::Gathered(gathered), _) => gathered,
            (Execution::Merged(AggregateFunction::Count), Expr::Call { name, args })
                if name == "distinct" =>
            {
                return Some((counted(), args.first()?));
            }
            _ => return None,
        };
        let plan = match (gathered, args) {
            (Gathered::Median, _) => plain(GatheredFunction::Median),
            (Gathered::Mode, _) => plain(GatheredFunction::Mode),
            (Gathered::Distinct, _) => plain(GatheredFunction::Distinct),
            (Gathered::CountOfSketch, [Expr::Call { name, args }]) if name == "sum_hll" => {
                return Some((counted(), args.first()?));
            }
            (Gathered::Sample, [_, Expr::IntegerLiteral(count)]) => {
                let count = u32::try_from(*count).unwrap_or(u32::MAX);
                let series = self.series_slots();
                GatherPlan { series, ..plain(GatheredFunction::Sample { count, seed: 0 }) }
            }
            (Gathered::Percentile, [_, Expr::IntegerLiteral(rank)]) => {
                plain(GatheredFunction::Percentile(*rank as f64))
            }
            (Gathered::Percentile, [_, Expr::NumberLiteral(rank)]) => {
                plain(GatheredFunction::Percentile(*rank))
            }
            (Gathered::Top, [_, tags @ .., Expr::IntegerLiteral(count)]) => {
                let count = u32::try_from(*count).unwrap_or(u32::MAX);
                GatherPlan { tags: self.tag_slots(tags), ..plain(GatheredFunction::Top(count)) }
            }
            (Gathered::Bottom, [_, tags @ .., Expr::IntegerLiteral(count)]) => {
                let count = u32::try_from(*count).unwrap_or(u32::MAX);
                GatherPlan { tags: self.tag_slots(tags), ..plain(GatheredFunction::Bottom(count)) }
            }
            _ => return None,
        };
        Some((plan, first))
    }

    /// Returns the slots of the tag arguments of `top()` or `bottom()`. If an argument is the name
    /// of both a field and a tag, the result contains the field, and the tag distinguishes the
    /// rows. A subquery groups by the tag, so a column of the subquery never replaces the tag.
    fn tag_slots(&mut self, arguments: &[Expr]) -> Option<Vec<usize>> {
        let mut slots = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let Expr::VarRef { name, .. } = argument else { continue };
            let slot = Slot { name: name.clone(), data_type: DataType::Tag };
            if !self.checked.subqueries.is_empty() {
                slots.push(self.slots.len());
                self.slots.push(slot);
            } else if self.names.is_tag(name) {
                slots.push(self.slot_of(slot));
            }
        }
        (!arguments.is_empty()).then_some(slots)
    }

    fn gathered_call(
        &mut self,
        function: &Function,
        plan: GatherPlan,
        argument: &Expr,
    ) -> Result<CallPlan, QueryError> {
        let (slot, data_type) = self.argument(function, argument)?;
        // The result types of a median and of a count do not depend on the field's type.
        let own = plan.counted || plan.function == GatheredFunction::Median;
        let input = data_type.field_type().or(own.then_some(FieldType::Float));
        let output = input.map(|input| gather::output_type(&plan, input));
        Ok(CallPlan {
            fill: self.fill(function.fill, output),
            missing: self.missing(output),
            ..CallPlan::new(CallBase::Gather(plan), slot)
        })
    }

    fn transform(&mut self, function: &Function, args: &[Expr]) -> Result<CallPlan, QueryError> {
        let descending = self.checked.descending;
        let unsupported = || QueryError::Unsupported(format!("{}()", function.name));
        let range = self.checked.range;
        let transform = Transform::find(function.name, args, self.window, range, descending)
            .ok_or_else(unsupported)?;
        let mut plan = match args.first() {
            Some(call @ Expr::Call { .. }) => self.plan(call)?,
            Some(argument) => CallPlan::new(CallBase::Values, self.argument(function, argument)?.0),
            None => return Err(unsupported()),
        };
        // A subquery without windows inherits the windows of its outer statement.
        plan.extended |= self.window.is_some() && transform.reads_window_before();
        // In 1.x, the start of the previous window overflows if the range has no lower bound, and
        // 1.x then reads no points.
        plan.silent |= self.window.is_some()
            && !descending
            && !self.checked.has_lower_bound()
            && if self.checked.nested {
                transform.reads_window_before()
            } else {
                transform.reads_nothing_unbounded()
            };
        let input = match &plan.missing {
            Some(missing) => Some(missing.field_type()),
            None => self.slots.get(plan.slot).and_then(|slot| slot.data_type.field_type()),
        };
        let output = match function.output {
            Output::Input => input,
            Output::Always(data_type) => data_type.field_type(),
        };
        plan.missing = self.missing(output);
        plan.transforms.push(transform);
        Ok(plan)
    }

    fn fill(&self, default: DefaultFill, output: Option<FieldType>) -> Option<FillPlan> {
        self.window?;
        if default == DefaultFill::LeftOut {
            return None;
        }
        match self.checked.fill {
            Fill::None => None,
            Fill::Null if default == DefaultFill::Zero => {
                Some(FillPlan::Value(FieldValue::Integer(0)))
            }
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
            // The result replaces nulls in strings and booleans with the unconverted number.
            Fill::Number(number) => output
                .filter(|output| DataType::from(*output).is_number())
                .map(|output| cast_number(number, output)),
            _ => None,
        }
    }

    fn key_slots(&mut self, group_keys: &[String]) -> Vec<usize> {
        let names = self.names;
        let grouped: HashSet<&str> = group_keys.iter().map(String::as_str).collect();
        if names.tags.keys().all(|tag| grouped.contains(&**tag)) {
            return Vec::new();
        }
        let slot = |tag: &Rc<str>| Slot { name: tag.to_string(), data_type: DataType::Tag };
        names.tags.keys().map(|tag| self.slot_of(slot(tag))).collect()
    }

    /// Replaces first() and last() over several series if the statement has no windows. In 1.x, the
    /// chosen point depends on the order in which 1.x reads the series.
    fn choose_like_v1(&self, call: &mut CallPlan, series: &[usize]) {
        let latest = match call.base {
            CallBase::Merge(AggregateFunction::First) => false,
            CallBase::Merge(AggregateFunction::Last) => true,
            _ => return,
        };
        let slots = call.aux.iter().filter_map(|&slot| Some((self.slots.get(slot)?, slot)));
        let shown = slots.min_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let is_text = |data_type| matches!(data_type, DataType::Tag | DataType::String);
        let text = shown.filter(|(slot, _)| is_text(slot.data_type)).map(|(_, slot)| slot);
        call.base =
            CallBase::Merge(AggregateFunction::TiedPoints { latest, by_text: text.is_some() });
        let shown = std::mem::take(&mut call.aux);
        call.aux = text.into_iter().chain(series.iter().copied()).chain(shown).collect();
    }

    /// Replaces the temporary positions of slots. If the only call is a selector, the call also
    /// reads the referenced slots.
    pub(crate) fn finish(
        mut self,
        outputs: Vec<Scalar>,
        group_keys: &[String],
    ) -> Result<BuiltCalls, QueryError> {
        let count = self.calls.len();
        let calls = std::mem::take(&mut self.calls);
        // A transformation of a selector's values is not itself a selector.
        let selects = match calls.as_slice() {
            [(Expr::Call { name, .. }, _)] => {
                Function::find(name).is_some_and(|function| function.kind == Kind::Selector)
            }
            _ => false,
        };
        let mut calls: Vec<CallPlan> = calls.into_iter().map(|(_, plan)| plan).collect();
        let first_last = |call: &CallPlan| {
            matches!(call.base, CallBase::Merge(AggregateFunction::First | AggregateFunction::Last))
        };
        let plain = self.window.is_none() && self.checked.subqueries.is_empty();
        let met = plain && calls.iter().any(first_last);
        let series = if met { self.key_slots(group_keys) } else { Vec::new() };
        self.size.add_entries(calls.len().saturating_mul(series.len()))?;
        let keeps_point_time = match calls.as_mut_slice() {
            [call] if selects => {
                call.aux = std::mem::take(&mut self.referenced);
                self.window.is_none()
            }
            _ => false,
        };
        if !series.is_empty() {
            calls.iter_mut().for_each(|call| self.choose_like_v1(call, &series));
        }
        let outputs = outputs.into_iter().map(|output| settle(output, count)).collect();
        Ok(BuiltCalls { outputs, slots: self.slots, calls, keeps_point_time })
    }
}

/// The offset that marks the position of a slot while the number of calls is unknown.
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

/// Rejects the types that 1.x rejects when it creates its iterators.
fn check_type(function: &Function, data_type: DataType) -> Result<(), QueryError> {
    let is_field = !matches!(data_type, DataType::Unknown | DataType::Tag);
    if !is_field || function.takes.includes(data_type) {
        return Ok(());
    }
    let kind = data_type.name();
    let name = match function.name {
        "non_negative_derivative" => "derivative",
        "non_negative_difference" => "difference",
        "moving_average" => "moving average",
        "cumulative_sum" => "cumulative sum",
        name => name,
    };
    Err(QueryError::Invalid(format!(
        "unsupported {name} iterator type: *query.{kind}InterruptIterator"
    )))
}

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

/// Converts the number in `fill(number)` like 1.x's `castToFloat` and similar functions.
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
