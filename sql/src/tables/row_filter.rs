//! Moves conditions from a statement to its scan before the statement is planned. Statements that
//! differ only in these conditions, such as the time ranges of a dashboard, then have equal plans.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::parser::Statement;
use datafusion::sql::planner::IdentNormalizer;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr as SqlExpr, ExprWithAlias, Query, SetExpr, Statement as SqlStatement,
    TableFactor, Value, visit_relations,
};
use tidemark_model::time::TimeRange;

use super::measurement::{Kind, TIME};
use super::pushdown::{self, Pushed};
use crate::messages::{Condition, Parameter, ScanRequest, TableSchema};
use crate::plan;

/// The zone of `now()`.
const UTC: &str = "+00:00";

/// Conditions that a scan evaluates. A row must satisfy all of them.
#[derive(Debug)]
pub(crate) struct RowFilter {
    time: TimeRange,
    conditions: Vec<Condition>,
}

impl Default for RowFilter {
    fn default() -> Self {
        Self { time: TimeRange::ALL, conditions: Vec::new() }
    }
}

/// The sources of the constants with which a statement compares columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constants<'a> {
    /// The session of the statement, which contains the functions and the value of `now()`.
    pub(crate) state: &'a SessionState,
    pub(crate) parameters: &'a [(String, Parameter)],
}

impl RowFilter {
    /// Removes conditions from the WHERE clause of a statement that reads `table`. Takes nothing
    /// from a statement that reads the table twice or contains a join, an alias or a CTE.
    pub(crate) fn take_from(
        statement: &mut Statement,
        table: &TableSchema,
        constants: Constants<'_>,
    ) -> Self {
        let mut filter = Self::default();
        if let Some(condition) = where_clause(statement) {
            let rest = condition.take().and_then(|all| filter.take(all, table, constants));
            *condition = rest;
        }
        filter
    }

    /// Takes those parts of a condition that a scan evaluates. Returns the remaining condition.
    fn take(
        &mut self,
        condition: SqlExpr,
        table: &TableSchema,
        constants: Constants<'_>,
    ) -> Option<SqlExpr> {
        match condition {
            SqlExpr::Nested(inner) => {
                self.take(*inner, table, constants).map(|rest| SqlExpr::Nested(Box::new(rest)))
            }
            SqlExpr::BinaryOp { left, op: BinaryOperator::And, right } => {
                let left = self.take(*left, table, constants);
                match (left, self.take(*right, table, constants)) {
                    (Some(left), Some(right)) => {
                        let (left, right) = (Box::new(left), Box::new(right));
                        Some(SqlExpr::BinaryOp { left, op: BinaryOperator::And, right })
                    }
                    (left, right) => left.or(right),
                }
            }
            other => {
                let kind = |name: &str| Kind::of(table, name);
                match constants.planned(&other).and_then(|expr| pushdown::push(&expr, &kind)) {
                    Some(pushed) => {
                        self.add(pushed);
                        None
                    }
                    None => Some(other),
                }
            }
        }
    }

    pub(super) fn add(&mut self, pushed: Pushed) {
        match pushed {
            Pushed::Time(range) => self.time = self.time.intersect(&range),
            Pushed::Condition(condition) => self.conditions.push(condition),
        }
    }

    /// Adds the conditions to a scan's request.
    pub(super) fn apply(&self, request: &mut ScanRequest) {
        request.time = request.time.intersect(&self.time);
        let mut all: Vec<Condition> = request.condition.take().into_iter().collect();
        all.extend(self.conditions.iter().cloned());
        request.condition = match all.len() {
            0 | 1 => all.pop(),
            _ => Some(Condition::All(all)),
        };
    }
}

/// Returns the condition of a statement that consists of one SELECT from one table.
fn where_clause(statement: &mut Statement) -> Option<&mut Option<SqlExpr>> {
    let Statement::Statement(statement) = statement else { return None };
    let mut tables = 0;
    // The visitor never returns `Break`.
    let _ = visit_relations(&**statement, |_| {
        tables += 1;
        ControlFlow::<()>::Continue(())
    });
    let SqlStatement::Query(query) = &mut **statement else { return None };
    let Query { with: None, body, .. } = &mut **query else { return None };
    let SetExpr::Select(select) = &mut **body else { return None };
    let [from] = select.from.as_slice() else { return None };
    let is_plain = matches!(
        from.relation,
        // A table with arguments is a function.
        TableFactor::Table { alias: None, args: None, sample: None, .. }
    );
    (tables == 1 && is_plain && from.joins.is_empty()).then_some(&mut select.selection)
}

impl Constants<'_> {
    /// Converts a condition in the same way as the planner. Returns `None` if an operand is not a
    /// column, a text, a parameter or a time.
    fn planned(self, condition: &SqlExpr) -> Option<Expr> {
        Some(match condition {
            SqlExpr::Nested(inner) => self.planned(inner)?,
            // `@name` is a variable.
            SqlExpr::Identifier(name)
                if name.quote_style.is_none() && name.value.starts_with('@') =>
            {
                return None;
            }
            SqlExpr::Identifier(name) => {
                let name = IdentNormalizer::default().normalize(name.clone());
                Expr::Column(Column::new_unqualified(name))
            }
            SqlExpr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => lit(text.as_str()),
                Value::Placeholder(name) => self.parameter(name)?,
                _ => return None,
            },
            SqlExpr::BinaryOp { left, op, right } => {
                let op = match op {
                    BinaryOperator::And => Operator::And,
                    BinaryOperator::Or => Operator::Or,
                    BinaryOperator::Eq => Operator::Eq,
                    BinaryOperator::NotEq => Operator::NotEq,
                    BinaryOperator::Lt => Operator::Lt,
                    BinaryOperator::LtEq => Operator::LtEq,
                    BinaryOperator::Gt => Operator::Gt,
                    BinaryOperator::GtEq => Operator::GtEq,
                    _ => return None,
                };
                let (left, right) = match (self.planned(left), self.planned(right)) {
                    (Some(left), Some(right)) => (left, right),
                    (Some(left), None) if is_time(&left) => (left, self.time(right)?),
                    (None, Some(right)) if is_time(&right) => (self.time(left)?, right),
                    _ => return None,
                };
                let (left, right) = (compared(&left, &right)?, compared(&right, &left)?);
                Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
            }
            SqlExpr::InList { expr, list, negated } => {
                let values: Option<Vec<Expr>> =
                    list.iter().map(|value| self.planned(value)).collect();
                Expr::InList(InList::new(Box::new(self.planned(expr)?), values?, *negated))
            }
            _ => return None,
        })
    }

    /// Returns the value of the parameter `$name`.
    fn parameter(self, placeholder: &str) -> Option<Expr> {
        let name = placeholder.strip_prefix('$')?;
        let (_, value) = self.parameters.iter().rev().find(|(known, _)| known == name)?;
        Some(Expr::Literal(plan::value(value.clone()), None))
    }

    /// Evaluates an expression without columns, such as `now() - interval '1 hour'`, in the same
    /// way as the optimizer. Returns `None` if its value is not a time in UTC.
    fn time(self, expression: &SqlExpr) -> Option<Expr> {
        let (state, schema) = (self.state, DFSchema::empty());
        let expression = ExprWithAlias { expr: expression.clone(), alias: None };
        let planned = state.create_logical_expr_from_sql_expr(expression, &schema).ok()?;
        let context = SimplifyContext::builder()
            .with_config_options(Arc::clone(state.config_options()))
            .with_query_execution_start_time(state.execution_props().query_execution_start_time)
            .build();
        let simplifier = ExprSimplifier::new(context);
        let coerced = simplifier.coerce(planned, &schema).ok()?;
        match simplifier.simplify(coerced).ok()? {
            Expr::Literal(ScalarValue::TimestampNanosecond(Some(time_ns), zone), _)
                if zone.as_deref().is_none_or(|zone| zone == UTC) =>
            {
                Some(Expr::Literal(ScalarValue::TimestampNanosecond(Some(time_ns), None), None))
            }
            _ => None,
        }
    }
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == TIME)
}

/// Converts a text that is compared with the column `time` to a time. Returns `None` if `time` is
/// compared with a constant that is not a time.
fn compared(operand: &Expr, other: &Expr) -> Option<Expr> {
    match operand {
        Expr::Literal(literal, _) if is_time(other) => match literal {
            ScalarValue::TimestampNanosecond(..) => Some(operand.clone()),
            ScalarValue::Utf8(_) => {
                Some(Expr::Literal(literal.cast_to(&Kind::Time.data_type()).ok()?, None))
            }
            _ => None,
        },
        _ => Some(operand.clone()),
    }
}
