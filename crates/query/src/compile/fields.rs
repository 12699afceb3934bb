//! Checks the fields of a SELECT, separately and together (1.x `compileFields`, `validateFields`).

use super::dimensions::Interval;
use super::fold::{self, FoldContext};
use super::{arguments, operands_mut};
use crate::error::{Result, invalid};
use tidemark_engine::scan::math::MathFunction;
use tidemark_influxql::ast::{Expr, Field, Fill, SelectStatement};

/// The properties of a SELECT that the rules of 1.x depend on (1.x `compiledStatement`).
#[derive(Debug, Default)]
pub(crate) struct StatementCheck {
    pub(crate) interval: Interval,
    pub(crate) inherited_interval: bool,
    /// The number of windows that transformations read before the range.
    pub(crate) extra_intervals: i64,
    /// Whether the statement is a subquery.
    pub(crate) nested: bool,
    pub(crate) only_selectors: bool,
    pub(crate) has_distinct: bool,
    pub(crate) top_bottom: Option<String>,
    pub(crate) has_auxiliary: bool,
    pub(crate) call_count: usize,
    /// The number of fields, excluding `time`.
    pub(crate) field_count: usize,
    /// The value of LIMIT; 0 means no limit.
    pub(crate) limit: u64,
    pub(crate) has_target: bool,
    pub(crate) time_alias: Option<String>,
    /// Whether the current expression may be a wildcard. An operand must not be a wildcard.
    pub(crate) allow_wildcard: bool,
}

/// Folds and checks the fields. Removes `time` and converts `DISTINCT x` to a call.
pub(crate) fn check(select: &SelectStatement, facts: &mut StatementCheck) -> Result<Vec<Field>> {
    let context = FoldContext { math: true, ..FoldContext::default() };
    let mut fields = Vec::with_capacity(select.fields.len());
    for field in &select.fields {
        if matches!(&field.expr, Expr::VarRef { name, .. } if name == "time") {
            if field.alias.is_some() {
                facts.time_alias.clone_from(&field.alias);
            }
            continue;
        }
        let mut expr = fold::fold(&field.expr, context);
        facts.field_count += 1;
        facts.allow_wildcard = true;
        facts.expr(&expr)?;
        distinct_to_call(&mut expr);
        fields.push(Field { expr, alias: field.alias.clone() });
    }
    together(select, facts)?;
    Ok(fields)
}

fn together(select: &SelectStatement, facts: &StatementCheck) -> Result<()> {
    if facts.field_count == 0 {
        return invalid("at least 1 non-time field must be queried");
    }
    if let Some(name) = facts.top_bottom.as_ref().filter(|_| facts.call_count > 1) {
        return invalid(format!(
            "selector function {name}() cannot be combined with other functions"
        ));
    }
    if facts.call_count == 0 {
        match select.fill {
            Fill::None => return invalid("fill(none) must be used with a function"),
            Fill::Linear => return invalid("fill(linear) must be used with a function"),
            _ => {}
        }
        if !facts.interval.is_zero() && !facts.inherited_interval {
            // A windowed subquery has no fill by default.
            if facts.nested && select.fill == Fill::Null {
                return invalid("fill(none) must be used with a function");
            }
            return invalid("GROUP BY requires at least one aggregate function");
        }
    }
    if facts.has_distinct && (facts.call_count != 1 || facts.has_auxiliary) {
        return invalid(
            "aggregate function distinct() cannot be combined with other functions or fields",
        );
    }
    if facts.has_auxiliary && !facts.only_selectors {
        return invalid("mixing aggregate and non-aggregate queries is not supported");
    }
    if facts.has_auxiliary && facts.call_count > 1 {
        return invalid("mixing multiple selector functions with tags or fields is not supported");
    }
    Ok(())
}

impl StatementCheck {
    /// Checks an expression (1.x `compileExpr`).
    pub(crate) fn expr(&mut self, expr: &Expr) -> Result<()> {
        match expr {
            Expr::Wildcard(_) if !self.allow_wildcard => {
                return invalid("unable to use wildcard in a binary expression");
            }
            Expr::Regex(_) if !self.allow_wildcard => {
                return invalid("unable to use regex in a binary expression");
            }
            Expr::VarRef { .. } | Expr::Wildcard(_) | Expr::Regex(_) => {
                self.has_auxiliary = true;
            }
            Expr::Call { name, args } if MathFunction::named(name).is_some() => {
                arguments::check_numbers(name, args)?;
                return args.iter().filter(|a| !is_literal(a)).try_for_each(|a| self.expr(a));
            }
            Expr::Call { name, args } => {
                self.call_count += 1;
                return arguments::check(self, name, args);
            }
            Expr::Distinct(name) => {
                self.call_count += 1;
                return arguments::distinct(self, &[Expr::var_ref(name)], false);
            }
            Expr::Binary { left, right, .. } => {
                self.allow_wildcard = false;
                return match (is_literal(left), is_literal(right)) {
                    (true, true) => invalid("cannot perform a binary expression on two literals"),
                    (true, false) => self.expr(right),
                    (false, true) => self.expr(left),
                    (false, false) => self.expr(left).and_then(|()| self.expr(right)),
                };
            }
            Expr::Paren(inner) => return self.expr(inner),
            _ => return invalid("field must contain at least one variable"),
        }
        Ok(())
    }

    pub(crate) fn nested(&mut self, expr: &Expr) -> Result<()> {
        match expr {
            Expr::Call { name, args } if name == "distinct" => {
                arguments::distinct(self, args, true)
            }
            Expr::Distinct(name) => arguments::distinct(self, &[Expr::var_ref(name)], true),
            other => self.expr(other),
        }
    }
}

pub(crate) fn is_literal(expr: &Expr) -> bool {
    !matches!(
        expr,
        Expr::Binary { .. }
            | Expr::Paren(_)
            | Expr::Call { .. }
            | Expr::VarRef { .. }
            | Expr::Wildcard(_)
            | Expr::Distinct(_)
    )
}

/// Converts `DISTINCT x` to `distinct(x)` in an expression, including arguments.
fn distinct_to_call(expr: &mut Expr) {
    match expr {
        Expr::Distinct(name) => {
            *expr = Expr::Call { name: "distinct".into(), args: vec![Expr::var_ref(name)] };
        }
        _ => operands_mut(expr).for_each(distinct_to_call),
    }
}
