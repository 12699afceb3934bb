//! Converts fields to output expressions over calls and variables (1.x `valueMapper`).

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use xxhash_rust::xxh64::xxh64;

use super::literal;
use super::plan_size::PlanSize;
use super::predicate::arithmetic;
use super::resolve::{self, KnownNames};
use super::statement::CheckedSelect;
use crate::data_type::DataType;
use crate::error::{QueryError, Result, invalid};
use crate::functions::{Arguments, DefaultFill, Execution, Function, Kind, Output};
use crate::operators::fill;
use crate::plan::{CallBase, CallPlan, FillPlan, Variable, WholeWindowPlan};
use crate::scalar::Scalar;
use crate::transforms::{self, Transform};
use crate::whole_window::WholeWindowFunction;
use tidemark_engine::scan::math::MathFunction;
use tidemark_engine::scan::request::{AggregateFunction, Window};
use tidemark_influxql::ast::{Expr, Fill, FillNumber};
use tidemark_model::value::{FieldType, FieldValue};

/// Collects the calls and variables of a SELECT while its fields are lowered.
pub(crate) struct CallBuilder<'a> {
    checked: &'a CheckedSelect<'a>,
    names: &'a KnownNames,
    size: &'a PlanSize,
    window: Option<&'a Window>,
    variables: Vec<Variable>,
    variable_positions: HashMap<Variable, usize>,
    calls: Vec<(Kind, CallPlan)>,
    /// Maps a call's text to its position. Literals of different types have different texts.
    call_positions: HashMap<String, usize>,
    /// The variables that the outputs read outside of calls.
    referenced: Vec<usize>,
    is_referenced: HashSet<usize>,
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
            variables: Vec::new(),
            variable_positions: HashMap::new(),
            calls: Vec::new(),
            call_positions: HashMap::new(),
            referenced: Vec::new(),
            is_referenced: HashSet::new(),
        }
    }

    /// Lowers a field. Until [`Self::finish`], the outputs refer to variable `n` as
    /// `Column(VARIABLES_START + n)`.
    pub(crate) fn output(&mut self, expr: &Expr) -> Result<Scalar> {
        Ok(match expr {
            Expr::Paren(inner) => self.output(inner)?,
            Expr::VarRef { .. } => {
                let variable = self.variable(expr);
                if self.is_referenced.insert(variable) {
                    self.referenced.push(variable);
                }
                Scalar::Column(VARIABLES_START + variable)
            }
            Expr::Binary { op, left, right } => {
                let (left, right) = (self.output(left)?, self.output(right)?);
                match arithmetic(*op) {
                    Some(op) => Scalar::Binary(op, Box::new(left), Box::new(right)),
                    None => Scalar::Null,
                }
            }
            Expr::Call { name, args } => match MathFunction::named(name) {
                Some(function) => {
                    let args = args.iter().map(|arg| self.output(arg));
                    Scalar::Math(function, args.collect::<Result<_>>()?)
                }
                None => Scalar::Column(self.call(expr)?),
            },
            _ => literal(expr).map_or(Scalar::Null, Scalar::Literal),
        })
    }

    fn variable(&mut self, expr: &Expr) -> usize {
        let Expr::VarRef { name, cast } = expr else { return 0 };
        self.position_of(Variable {
            name: name.clone(),
            data_type: self.names.resolve(name, *cast),
        })
    }

    fn tag_variable(&mut self, name: &str) -> usize {
        self.position_of(Variable { name: name.to_owned(), data_type: DataType::Tag })
    }

    /// Returns the position of a variable, which is appended if it is new.
    fn position_of(&mut self, variable: Variable) -> usize {
        let next = self.variables.len();
        match self.variable_positions.get(&variable) {
            Some(&index) => index,
            None => {
                self.variables.push(variable.clone());
                self.variable_positions.insert(variable, next);
                next
            }
        }
    }

    fn call(&mut self, expr: &Expr) -> Result<usize> {
        let text = format!("{expr:?}");
        if let Some(&index) = self.call_positions.get(&text) {
            return Ok(index);
        }
        let call = self.plan(expr)?;
        if let CallBase::WholeWindow(plan) = &call.1.base {
            self.size.add_entries(plan.series.len())?;
        }
        self.calls.push(call);
        self.call_positions.insert(text, self.calls.len() - 1);
        Ok(self.calls.len() - 1)
    }

    /// Returns the kind of the called function, and the plan of the call.
    fn plan(&mut self, expr: &Expr) -> Result<(Kind, CallPlan)> {
        let Expr::Call { name, args } = expr else {
            return Err(QueryError::Unsupported(expr.to_string()));
        };
        if MathFunction::named(name).is_some() {
            return invalid(format!("unsupported call: {name}"));
        }
        let unsupported = || QueryError::Unsupported(format!("{name}()"));
        let function = Function::find(name).ok_or_else(unsupported)?;
        let (base, argument) = match (function.execution, args.as_slice()) {
            (Execution::Streamed, _) => {
                return Ok((function.kind, self.transform(function, args)?));
            }
            (Execution::Merged(merged), [argument @ Expr::VarRef { .. }]) => {
                (CallBase::Merge(merged), argument)
            }
            _ => {
                let (plan, argument) = self.whole_window(function, args).ok_or_else(unsupported)?;
                (CallBase::WholeWindow(Rc::new(plan)), argument)
            }
        };
        let by_tags = function.arguments == Arguments::FieldTagsAndLimit && args.len() > 2;
        let stage = if by_tags { Stage::Grouped } else { Stage::Rows };
        let (variable, data_type) = self.argument(function, argument, stage)?;
        let output = match &base {
            // The values of count_hll() are integers, although its type is unsigned.
            CallBase::WholeWindow(plan) if plan.counted => Some(FieldType::Integer),
            _ => function.output.over(data_type).field_type(),
        };
        let plan = CallPlan {
            fill: self.fill(function.fill, output),
            missing: self.missing(output),
            ..CallPlan::new(base, variable)
        };
        Ok((function.kind, plan))
    }

    fn argument(
        &mut self,
        function: &Function,
        argument: &Expr,
        stage: Stage,
    ) -> Result<(usize, DataType)> {
        let Expr::VarRef { name, cast } = argument else { return Ok((0, DataType::Unknown)) };
        let data_type = self.names.resolve(name, *cast);
        let is_read = self.has_iterator(argument);
        if is_read {
            check_type(function, received(data_type), stage)?;
        }
        // `lower` changes the tags of a statement over only subqueries.
        if is_read && data_type == DataType::Tag && !self.checked.reads_only_subqueries() {
            let variable = Variable { name: name.clone(), data_type: DataType::String };
            return Ok((self.position_of(variable), data_type));
        }
        if is_read || data_type == DataType::Unknown {
            return Ok((self.variable(argument), data_type));
        }
        let absent = |absent: &DataType| !self.names.has_values(name, *absent);
        let data_type = match data_type {
            DataType::Tag => [DataType::String, DataType::Boolean].into_iter().find(absent),
            other => Some(other),
        };
        let data_type = data_type.unwrap_or(DataType::Unknown);
        let variable = self.position_of(Variable { name: name.clone(), data_type });
        Ok((variable, DataType::Float))
    }

    /// Whether 1.x creates an iterator for the argument. If so, the function checks the iterator's
    /// type. Otherwise, the function reads no values and returns floats.
    ///
    /// 1.x creates no iterator in these cases:
    /// - the argument is a tag of a measurement
    /// - no measurement has the field with the type of the cast
    /// - no subquery has the column
    fn has_iterator(&self, argument: &Expr) -> bool {
        match argument {
            Expr::VarRef { name, cast } => match self.names.resolve(name, *cast) {
                _ if self.names.is_derived(name) => true,
                _ if self.checked.reads_only_subqueries() => false,
                DataType::Tag => false,
                data_type => self.names.has_values(name, data_type),
            },
            Expr::Call { args, .. } => args.first().is_none_or(|first| self.has_iterator(first)),
            _ => true,
        }
    }

    fn whole_window<'e>(
        &mut self,
        function: &Function,
        args: &'e [Expr],
    ) -> Option<(WholeWindowPlan, &'e Expr)> {
        let plan =
            |function| WholeWindowPlan { function, counted: false, tags: None, series: Vec::new() };
        let counted = |args: &'e [Expr]| {
            let distinct = WholeWindowPlan { counted: true, ..plan(WholeWindowFunction::Distinct) };
            args.first().map(|argument| (distinct, argument))
        };
        let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        let plan = match (function.name, args) {
            ("count", [Expr::Call { name, args }]) if name == "distinct" => return counted(args),
            ("count_hll", [Expr::Call { name, args }]) if name == "sum_hll" => {
                return counted(args);
            }
            ("median", _) => plan(WholeWindowFunction::Median),
            ("mode", _) => plan(WholeWindowFunction::Mode),
            ("distinct", _) => plan(WholeWindowFunction::Distinct),
            ("sample", [_, Expr::IntegerLiteral(n)]) => {
                let tags = self.names.tags.iter();
                let series = tags.map(|tag| (self.tag_variable(tag), xxh64(tag.as_bytes(), 0)));
                let function = WholeWindowFunction::Sample(count(*n));
                WholeWindowPlan { series: series.collect(), ..plan(function) }
            }
            ("percentile", [_, Expr::IntegerLiteral(rank)]) => {
                plan(WholeWindowFunction::Percentile(*rank as f64))
            }
            ("percentile", [_, Expr::NumberLiteral(rank)]) => {
                plan(WholeWindowFunction::Percentile(*rank))
            }
            ("top", [_, tags @ .., Expr::IntegerLiteral(n)]) => {
                let function = WholeWindowFunction::Top(count(*n));
                WholeWindowPlan { tags: self.argument_tags(tags), ..plan(function) }
            }
            ("bottom", [_, tags @ .., Expr::IntegerLiteral(n)]) => {
                let function = WholeWindowFunction::Bottom(count(*n));
                WholeWindowPlan { tags: self.argument_tags(tags), ..plan(function) }
            }
            _ => return None,
        };
        Some((plan, args.first()?))
    }

    /// Returns the tag arguments of `top()` or `bottom()`. If an argument is the name of both a
    /// field and a tag, the result contains the field, and the tag distinguishes the rows. A
    /// subquery groups by the tag, so a column of the subquery never replaces the tag.
    fn argument_tags(&mut self, arguments: &[Expr]) -> Option<Vec<usize>> {
        let mut variables = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let Expr::VarRef { name, .. } = argument else { continue };
            if !self.checked.subqueries.is_empty() {
                variables.push(self.variables.len());
                self.variables.push(Variable { name: name.clone(), data_type: DataType::Tag });
            } else if self.names.is_tag(name) {
                variables.push(self.tag_variable(name));
            }
        }
        (!arguments.is_empty()).then_some(variables)
    }

    fn transform(&mut self, function: &Function, args: &[Expr]) -> Result<CallPlan> {
        let direction = self.checked.direction;
        let unsupported = || QueryError::Unsupported(format!("{}()", function.name));
        let range = self.checked.range;
        let transform = Transform::find(function.name, args, self.window, range, direction)
            .ok_or_else(unsupported)?;
        let mut plan = match args.first() {
            Some(call @ Expr::Call { name, .. }) => {
                let (_, plan) = self.plan(call)?;
                let stage = if name == "distinct" { Stage::Windows } else { Stage::Rows };
                let input = received(resolve::type_of(call, self.names)?);
                if self.has_iterator(call) {
                    check_type(function, input, stage)?;
                }
                plan
            }
            Some(argument) => {
                let (variable, _) = self.argument(function, argument, Stage::Rows)?;
                CallPlan::new(CallBase::Values, variable)
            }
            None => return Err(unsupported()),
        };
        // A subquery without windows inherits the windows of its outer statement.
        let reads_window_before =
            self.window.is_some() && transforms::reads_window_before(function.name);
        plan.windows_before += u32::from(reads_window_before);
        // In 1.x, the start of the previous window overflows if the range has no lower bound, and
        // 1.x then reads no points.
        plan.silent |=
            reads_window_before && !direction.is_descending() && !self.checked.has_lower_bound();
        let input = match &plan.missing {
            Some(missing) => Some(missing.field_type()),
            None => {
                self.variables.get(plan.variable).and_then(|known| known.data_type.field_type())
            }
        };
        plan.missing = self.missing(match function.output {
            Output::Input => input,
            Output::Always(data_type) => data_type.field_type(),
        });
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
            Fill::Number(_) => Some(FillPlan::Value(match output? {
                FieldType::String => FieldValue::String("".into()),
                FieldType::Boolean => FieldValue::Boolean(false),
                number => self.missing(Some(number))?,
            })),
        }
    }

    /// Returns the number in `fill(number)` with the type of the output; `None` for strings and
    /// booleans, whose nulls the result replaces with the unconverted number.
    fn missing(&self, output: Option<FieldType>) -> Option<FieldValue> {
        fill::cast(&fill_number(self.checked.fill)?, output?)
    }

    /// Returns all tags, or no tags if the statement groups by every tag.
    fn tags_unless_grouped(&mut self, group_keys: &[String]) -> Vec<usize> {
        let names = self.names;
        let grouped: HashSet<&str> = group_keys.iter().map(String::as_str).collect();
        if names.tags.iter().all(|tag| grouped.contains(&**tag)) {
            return Vec::new();
        }
        names.tags.iter().map(|tag| self.tag_variable(tag)).collect()
    }

    /// Replaces first() and last() over several series if the statement has no windows. In 1.x, the
    /// chosen point depends on the order in which 1.x reads the series.
    fn choose_like_v1(&self, call: &mut CallPlan, series: &[usize]) {
        let latest = match call.base {
            CallBase::Merge(AggregateFunction::First) => false,
            CallBase::Merge(AggregateFunction::Last) => true,
            _ => return,
        };
        let aux = call.aux.iter().filter_map(|&at| Some((self.variables.get(at)?, at)));
        let shown = aux.min_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let is_text = |data_type| matches!(data_type, DataType::Tag | DataType::String);
        let text = shown.filter(|(variable, _)| is_text(variable.data_type)).map(|(_, at)| at);
        call.base =
            CallBase::Merge(AggregateFunction::TiedPoints { latest, by_text: text.is_some() });
        let shown = std::mem::take(&mut call.aux);
        call.aux = text.into_iter().chain(series.iter().copied()).chain(shown).collect();
    }

    /// Replaces the temporary positions of variables. If the only call is a selector, the call also
    /// reads the referenced variables. Returns the variables, the calls, and whether the only call
    /// is a selector that keeps its point's time.
    pub(crate) fn finish(
        mut self,
        outputs: &mut [Scalar],
        group_keys: &[String],
    ) -> Result<(Vec<Variable>, Vec<CallPlan>, bool)> {
        let count = self.calls.len();
        // A transformation of a selector's values is not itself a selector.
        let selects = matches!(self.calls.as_slice(), [(Kind::Selector, _)]);
        let calls = std::mem::take(&mut self.calls);
        let mut calls: Vec<CallPlan> = calls.into_iter().map(|(_, plan)| plan).collect();
        let first_last = |call: &CallPlan| {
            matches!(call.base, CallBase::Merge(AggregateFunction::First | AggregateFunction::Last))
        };
        let is_plain = self.window.is_none() && self.checked.subqueries.is_empty();
        let has_ties = is_plain && calls.iter().any(first_last);
        let series = if has_ties { self.tags_unless_grouped(group_keys) } else { Vec::new() };
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
        outputs.iter_mut().for_each(|output| place_variables(output, count));
        Ok((self.variables, calls, keeps_point_time))
    }
}

/// The offset that marks the position of a variable while the number of calls is unknown.
const VARIABLES_START: usize = 1 << 20;

/// Replaces the temporary positions of variables with positions after the calls.
fn place_variables(scalar: &mut Scalar, calls: usize) {
    match scalar {
        Scalar::Column(index) if *index >= VARIABLES_START => {
            *index = calls + (*index - VARIABLES_START);
        }
        Scalar::Binary(_, left, right) => {
            place_variables(left, calls);
            place_variables(right, calls);
        }
        Scalar::Math(_, args) => args.iter_mut().for_each(|arg| place_variables(arg, calls)),
        Scalar::Column(_) | Scalar::Literal(_) | Scalar::Null => {}
    }
}

/// Returns the type that a function receives from an iterator. Functions treat the tags of a
/// subquery as strings, and a measurement has no iterator for its tags.
fn received(data_type: DataType) -> DataType {
    match data_type {
        DataType::Tag => DataType::String,
        known => known,
    }
}

/// The iterator of 1.x from which a function reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Rows,
    /// The windows of `distinct`.
    Windows,
    /// The largest or smallest points of each combination of tags, for `top` and `bottom`.
    Grouped,
}

/// Rejects the types that 1.x rejects when it creates its iterators.
fn check_type(function: &Function, data_type: DataType, stage: Stage) -> Result<()> {
    let is_field = !matches!(data_type, DataType::Unknown | DataType::Tag);
    if !is_field || function.takes.includes(data_type) {
        return Ok(());
    }
    // `min` and `max` accept booleans, so only a string is an error in the inner iterator.
    let is_inner = stage == Stage::Grouped && data_type == DataType::String;
    let name = match function.name {
        // 1.x names the wrong function.
        "holt_winters" | "holt_winters_with_fit" => "elapsed".to_owned(),
        "top" if is_inner => "max".to_owned(),
        "bottom" if is_inner => "min".to_owned(),
        name => name.trim_start_matches("non_negative_").replace('_', " "),
    };
    let kind = data_type.name();
    let iterator = match stage {
        Stage::Windows => "Interval",
        Stage::Grouped if !is_inner => "ReduceBoolean",
        Stage::Rows | Stage::Grouped => "Interrupt",
    };
    invalid(format!("unsupported {name} iterator type: *query.{kind}{iterator}Iterator"))
}

/// Returns the number in `fill(number)`, as written.
pub(crate) fn fill_number(fill: Fill) -> Option<FieldValue> {
    match fill {
        Fill::Number(FillNumber::Float(value)) => Some(FieldValue::Float(value)),
        Fill::Number(FillNumber::Integer(value)) => Some(FieldValue::Integer(value)),
        _ => None,
    }
}
