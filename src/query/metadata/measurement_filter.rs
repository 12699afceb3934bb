//! Evaluates the condition of SHOW MEASUREMENTS, which selects measurements, not series, as in 1.x
//! (`MeasurementNamesByExpr`).
//!
//! `host = 'a'` selects each measurement that has a series with `host` equal to `a`. `host != 'a'`
//! selects each measurement that has the tag `host` but no such series. AND and OR combine sets of
//! measurements.

use crate::influxql::ast::{BinaryOp, Expr};
use crate::model::regex::Pattern;
use crate::query::error::QueryError;

#[derive(Clone, Debug)]
pub(super) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    /// The position in [`MeasurementFilter::leaves`].
    Leaf(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) key: String,
    test: Test,
    negated: bool,
}

#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    Matches(Pattern),
}

#[derive(Clone, Debug)]
pub(super) struct MeasurementFilter {
    root: Filter,
    pub(super) leaves: Vec<Leaf>,
}

impl Leaf {
    /// Whether a tag value matches, ignoring the negation of the operator.
    pub(super) fn hits(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal(text) => text == value,
            Test::Matches(pattern) => pattern.is_match(value),
        }
    }
}

impl MeasurementFilter {
    pub(super) fn new(expr: &Expr) -> Result<Self, QueryError> {
        let mut leaves = Vec::new();
        let root = build(expr, &mut leaves)?;
        Ok(Self { root, leaves })
    }

    /// For each comparison, `seen` contains whether the measurement has the tag, and whether a
    /// value of the tag matches.
    pub(super) fn accepts(&self, name: &str, seen: &[(bool, bool)]) -> bool {
        self.evaluate(&self.root, name, seen)
    }

    fn evaluate(&self, filter: &Filter, name: &str, seen: &[(bool, bool)]) -> bool {
        let is = |filter| self.evaluate(filter, name, seen);
        match filter {
            Filter::And(left, right) => is(left) && is(right),
            Filter::Or(left, right) => is(left) || is(right),
            Filter::Leaf(index) => match (self.leaves.get(*index), seen.get(*index)) {
                (Some(leaf), _) if leaf.key == "_name" => leaf.hits(name) != leaf.negated,
                (Some(leaf), Some(&(present, hit))) => present && hit != leaf.negated,
                _ => false,
            },
        }
    }
}

fn build(expr: &Expr, leaves: &mut Vec<Leaf>) -> Result<Filter, QueryError> {
    let fail = |text: String| Err(QueryError::Invalid(text));
    match expr {
        Expr::Paren(inner) => build(inner, leaves),
        Expr::Binary { op: op @ (BinaryOp::And | BinaryOp::Or), left, right } => {
            let (left, right) = (build(left, leaves)?, build(right, leaves)?);
            let (left, right) = (Box::new(left), Box::new(right));
            Ok(if *op == BinaryOp::And {
                Filter::And(left, right)
            } else {
                Filter::Or(left, right)
            })
        }
        Expr::Binary { op, left, right } => {
            let negated = matches!(op, BinaryOp::Ne | BinaryOp::NeRegex);
            let test = match (op, &**right) {
                (BinaryOp::Eq | BinaryOp::Ne, Expr::StringLiteral(text)) => {
                    Test::Equal(text.clone())
                }
                (BinaryOp::Eq | BinaryOp::Ne, _) => {
                    return fail(format!("right side of '{op}' must be a tag value string"));
                }
                (BinaryOp::EqRegex | BinaryOp::NeRegex, Expr::Regex(regex)) => {
                    Test::Matches(Pattern::new(regex.as_str())?)
                }
                (BinaryOp::EqRegex | BinaryOp::NeRegex, _) => {
                    return fail(format!("right side of '{op}' must be a regular expression"));
                }
                _ => return fail("invalid tag comparison operator".into()),
            };
            let Expr::VarRef { name, .. } = &**left else {
                return fail(format!("left side of '{op}' must be a tag key"));
            };
            leaves.push(Leaf { key: name.clone(), test, negated });
            Ok(Filter::Leaf(leaves.len() - 1))
        }
        // 1.x prints the value in Go's syntax.
        Expr::BooleanLiteral(value) => fail(format!("&influxql.BooleanLiteral{{Val:{value}}}")),
        other => fail(other.to_string()),
    }
}
