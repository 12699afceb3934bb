//! Limits regular expressions: the size of a compiled pattern, the number of patterns per batch,
//! and the time for matching. A rewrite rule replaces the operators `~`, LIKE and `||` with
//! functions that check these limits.

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
    BinaryExpr, ColumnarValue, Expr, Like, Operator, ScalarFunctionArgs, ScalarUDF, lit,
};
use regex::RegexBuilder;

use super::bounded::Integers;
use super::operators::{CONCAT, ILIKE, LIKE};
use crate::error::QueryError;
use crate::limits::{
    LIKE_BYTES_PER_PATTERN, LIKE_ROWS_PER_BYTE, PATTERN_BYTES_MAX, PATTERNS_MAX,
    UNCHECKED_PATTERN_BYTES_MAX,
};

/// The approximate size of one state of a compiled pattern, in bytes.
const STATE_BYTES: usize = 64;
/// The first size limit that `compiled_bytes` tries, in bytes. Each further limit is twice the
/// previous limit.
const SMALL_PATTERN_BYTES: usize = 2_048;

/// Checks a call whose first two arguments are the text and the pattern. Returns the maximum number
/// of steps for matching.
///
/// # Errors
/// Returns an error that contains the exceeded limit and a remedy.
pub(super) fn check(function: &str, args: &ScalarFunctionArgs) -> Result<i128> {
    let pattern = match args.args.get(1) {
        Some(ColumnarValue::Scalar(pattern)) => pattern.to_array()?,
        Some(ColumnarValue::Array(patterns)) => Arc::clone(patterns),
        None => return Ok(0),
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
    Ok(text * states as i128)
}

/// Whether matching needs no check of the steps, because the pattern is small.
///
/// # Errors
/// Returns an error if the compiled pattern is too large.
pub(super) fn is_small_constant(function: &str, pattern: &ScalarValue) -> Result<bool> {
    match pattern.try_as_str().flatten() {
        Some(pattern) => Ok(compiled_bytes(function, pattern)? <= UNCHECKED_PATTERN_BYTES_MAX),
        None => Ok(true),
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
    Err(QueryError::exhausted(message).into())
}

/// Returns the cost of compiling the patterns of LIKE, in rows. Arrow compiles a pattern again if
/// it differs from the pattern of the previous row.
pub(super) fn like_rows(function: &str, args: &ScalarFunctionArgs) -> Result<i128> {
    let Some(ColumnarValue::Array(patterns)) = args.args.get(1) else { return Ok(0) };
    let patterns = cast(patterns, &DataType::Utf8)?;
    let (mut rows, mut previous) = (0, "");
    for pattern in patterns.as_string::<i32>().iter().flatten() {
        // `%text%` needs compilation only if the match ignores case.
        let is_plain = function == LIKE && !pattern.trim_matches('%').contains(['%', '_', '\\']);
        if pattern != previous && !is_plain {
            rows += LIKE_ROWS_PER_BYTE * (LIKE_BYTES_PER_PATTERN + pattern.len() as i128);
        }
        previous = pattern;
    }
    Ok(rows)
}

fn call(function: &Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), args))
}

fn refuse<T>(message: String) -> Result<T> {
    Err(QueryError::exhausted(message).into())
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
            Expr::Like(like) if !matches!(*like.pattern, Expr::Literal(..)) => Ok(self.like(like)),
            Expr::SimilarTo(like) if like.escape_char.is_none() => {
                let op = match (like.negated, like.case_insensitive) {
                    (false, false) => Operator::RegexMatch,
                    (false, true) => Operator::RegexIMatch,
                    (true, false) => Operator::RegexNotMatch,
                    (true, true) => Operator::RegexNotIMatch,
                };
                let matched = self.operator(like.expr, op, like.pattern)?;
                Ok(Transformed::yes(matched.data))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.operator(left, op, right),
            other => Ok(Transformed::no(other)),
        }
    }
}

impl Checked {
    fn like(&self, like: Like) -> Transformed<Expr> {
        let name = if like.case_insensitive { ILIKE } else { LIKE };
        // The backslash is also the default.
        let (None | Some('\\'), Some(function)) = (like.escape_char, self.functions.get(name))
        else {
            return Transformed::no(Expr::Like(like));
        };
        let call = call(function, vec![*like.expr, *like.pattern]);
        Transformed::yes(if like.negated { !call } else { call })
    }

    /// Rewrites `a || b` as a function call, `a ~~ b` unless the pattern is constant, and `a ~ b`
    /// unless the pattern is constant and small.
    fn operator(&self, a: Box<Expr>, op: Operator, b: Box<Expr>) -> Result<Transformed<Expr>> {
        let (name, is_negated, ignores_case) = match op {
            Operator::StringConcat => (CONCAT, false, false),
            Operator::LikeMatch => (LIKE, false, false),
            Operator::ILikeMatch => (ILIKE, false, false),
            Operator::NotLikeMatch => (LIKE, true, false),
            Operator::NotILikeMatch => (ILIKE, true, false),
            Operator::RegexMatch => ("regexp_like", false, false),
            Operator::RegexIMatch => ("regexp_like", false, true),
            Operator::RegexNotMatch => ("regexp_like", true, false),
            Operator::RegexNotIMatch => ("regexp_like", true, true),
            _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr::new(a, op, b)))),
        };
        let is_unchecked = match (&*b, name) {
            (Expr::Literal(..), LIKE | ILIKE) => true,
            (Expr::Literal(pattern, _), "regexp_like") => {
                is_small_constant("a regular expression", pattern)?
            }
            _ => false,
        };
        let (false, Some(function)) = (is_unchecked, self.functions.get(name)) else {
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
