//! Limits regular expressions: the size of a compiled pattern, the number of patterns per batch,
//! and the time for matching. A rewrite rule replaces pattern operators with functions that check
//! these limits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, lit,
};
use regex::RegexBuilder;

use super::bounded::Integers;
use crate::error::{Fault, QueryError};
use crate::limits::{PATTERN_BYTES_MAX, PATTERN_STEPS_MAX, PATTERNS_MAX};

/// The approximate size of one state of a compiled pattern, in bytes.
const STATE_BYTES: usize = 64;
/// The first size limit that `compiled_bytes` tries, in bytes. Each further limit is twice the
/// previous one.
const SMALL_PATTERN_BYTES: usize = 2_048;

/// Checks a call whose first two arguments are the text and the pattern.
///
/// # Errors
/// Returns an error that contains the exceeded limit and a remedy.
pub(super) fn check(function: &str, args: &ScalarFunctionArgs) -> Result<()> {
    let pattern = match args.args.get(1) {
        Some(ColumnarValue::Scalar(pattern)) => pattern.to_array()?,
        Some(ColumnarValue::Array(patterns)) => Arc::clone(patterns),
        None => return Ok(()),
    };
    let pattern = cast(&pattern, &DataType::Utf8)?;
    let distinct: HashSet<&str> = pattern.as_string::<i32>().iter().flatten().collect();
    if distinct.len() > PATTERNS_MAX {
        return refuse(format!(
            "{function} would compile more than {PATTERNS_MAX} patterns for one batch of rows; use \
             a constant pattern"
        ));
    }
    let (mut states, mut bytes) = (0, 0);
    for pattern in distinct {
        let own = compiled_bytes(function, pattern)?;
        (states, bytes) = (states.max(own / STATE_BYTES), bytes + own);
        if bytes > PATTERN_BYTES_MAX {
            return refuse(format!(
                "{function}: the compiled patterns of one batch of rows need more than \
                 {PATTERN_BYTES_MAX} bytes together; use a constant pattern, or shorter patterns"
            ));
        }
    }
    let text = Integers::sizes(args.args.first())?.sum(args.number_rows.max(1));
    if text * states as i128 > PATTERN_STEPS_MAX {
        return refuse(format!(
            "{function} would match a pattern of {states} states against {text} bytes, which \
             takes more than {PATTERN_STEPS_MAX} steps in one batch of rows; use a simpler \
             pattern, shorter strings or fewer rows"
        ));
    }
    Ok(())
}

pub(super) fn check_constant(function: &str, pattern: &ScalarValue) -> Result<()> {
    match pattern.try_as_str().flatten() {
        Some(pattern) => compiled_bytes(function, pattern).map(drop),
        None => Ok(()),
    }
}

/// Returns an upper bound for the size of a compiled pattern, in bytes. The regex function reports
/// syntax errors.
fn compiled_bytes(function: &str, pattern: &str) -> Result<usize> {
    let mut bytes = SMALL_PATTERN_BYTES;
    while bytes <= PATTERN_BYTES_MAX {
        match RegexBuilder::new(pattern).size_limit(bytes).build() {
            Err(regex::Error::CompiledTooBig(_)) => bytes *= 2,
            _ => return Ok(bytes),
        }
    }
    let message = format!(
        "{function}: a compiled pattern needs more than {PATTERN_BYTES_MAX} bytes; use a shorter \
         pattern, or fewer repetitions"
    );
    Err(QueryError { fault: Fault::Memory, message }.into())
}

fn call(function: &Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), args))
}

fn refuse(message: String) -> Result<()> {
    Err(QueryError { fault: Fault::Memory, message }.into())
}

#[derive(Debug)]
pub(super) struct Checked {
    pub(super) functions: HashMap<String, Arc<ScalarUDF>>,
}

impl FunctionRewrite for Checked {
    fn name(&self) -> &str {
        "checked"
    }

    fn rewrite(&self, expr: Expr, _: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            // For `position(a IN b)`, the planner creates a call of an unchecked function.
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                match self.functions.get(func.name()).filter(|own| !Arc::ptr_eq(own, &func)) {
                    Some(own) => Ok(Transformed::yes(call(own, args))),
                    None => {
                        Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })))
                    }
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.operator(left, op, right),
            other => Ok(Transformed::no(other)),
        }
    }
}

impl Checked {
    /// Rewrites `a ~ b` as a function call, unless the pattern is constant.
    fn operator(&self, a: Box<Expr>, op: Operator, b: Box<Expr>) -> Result<Transformed<Expr>> {
        let (is_negated, ignores_case) = match op {
            Operator::RegexMatch => (false, false),
            Operator::RegexIMatch => (false, true),
            Operator::RegexNotMatch => (true, false),
            Operator::RegexNotIMatch => (true, true),
            _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr::new(a, op, b)))),
        };
        if let Expr::Literal(pattern, _) = &*b {
            check_constant("a regular expression", pattern)?;
        }
        let (true, Some(function)) =
            (!matches!(*b, Expr::Literal(..)), self.functions.get("regexp_like"))
        else {
            return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr::new(a, op, b))));
        };
        let mut args = vec![*a, *b];
        if ignores_case {
            args.push(lit("i"));
        }
        let call = call(function, args);
        Ok(Transformed::yes(if is_negated { !call } else { call }))
    }
}
