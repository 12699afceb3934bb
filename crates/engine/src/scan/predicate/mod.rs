//! Evaluates predicates over whole series and over rows.
//!
//! Conditions that read only tags are evaluated once per series. The other conditions are evaluated
//! over column slices, with one loop per operator and type instead of a tree walk per row. The
//! semantics follow 1.x (`influxql` `ast.go`, `evalBinaryExpr`).

mod compare;
mod expr;
mod math;

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::error::ScanError;
use super::request::{Comparison, Operand, Predicate};
use super::run::Run;
use expr::{Context, Expr};
use tidemark_model::bug::OrBug;
use tidemark_model::ids::ColumnId;
use tidemark_model::regex::Pattern;
use tidemark_model::value::{FieldType, FieldValue};

pub(super) struct Filter {
    root: Node,
    on_rows: bool,
    /// The cost for one row, in cells.
    cells: u64,
}

const REGEX_CELLS: u64 = 4;
/// The number of cells that is subtracted from the cost of each predicate, so that a predicate of
/// one or two comparisons costs nothing. Most predicates are of this size.
const FREE_CELLS: u64 = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mask {
    All,
    None,
    Some(Vec<bool>),
}

impl Mask {
    /// `rows` must be the range to which the mask belongs.
    pub(super) fn rows(&self, rows: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let is_selected = move |at: usize| match self {
            Self::All => true,
            Self::None => false,
            Self::Some(selected) => selected.get(at).copied().or_bug(),
        };
        let start = rows.start;
        rows.filter(move |row| is_selected(row - start))
    }
}

enum Node {
    Constant(bool),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Differ(Box<Node>, Box<Node>),
    Compare(Comparison, Expr, Expr),
    Matches { operand: Expr, regex: Rc<Pattern>, negated: bool },
    IsTrue(Expr),
}

impl Filter {
    /// `None` selects all rows.
    pub(super) fn compile(predicate: Option<&Predicate>) -> Result<Self, ScanError> {
        let Some(predicate) = predicate else {
            return Ok(Self { root: Node::Constant(true), on_rows: false, cells: 0 });
        };
        let (mut on_rows, mut operands) = (false, 0);
        walk(predicate, &mut |operand| {
            on_rows |= matches!(operand, Operand::Field(_));
            operands += 1;
        });
        let mut patterns = Patterns::default();
        let root = compile(predicate, &mut patterns)?;
        let cells = (operands / 2 + patterns.uses * REGEX_CELLS).saturating_sub(FREE_CELLS);
        Ok(Self { root, on_rows, cells })
    }

    pub(super) fn cells(&self, rows: usize) -> u64 {
        // The conditions on tags are evaluated once per series.
        self.cells.saturating_mul(1 + rows as u64)
    }

    pub(super) fn excludes_series<'a>(&'a self, tag: &'a dyn Fn(ColumnId) -> &'a str) -> bool {
        settle(&self.root, tag) == Some(false)
    }

    /// `tag` returns the tags of the run's series.
    pub(super) fn select<'a>(
        &'a self,
        run: &'a Run,
        tag: &'a dyn Fn(ColumnId) -> &'a str,
    ) -> Result<Mask, ScanError> {
        if !self.on_rows {
            // The key filter has already excluded series by their tags.
            return Ok(Mask::All);
        }
        match evaluate(&self.root, &Context { run: Some(run), tag })? {
            Mask::Some(rows) if !rows.contains(&true) => Ok(Mask::None),
            mask => Ok(mask),
        }
    }
}

pub(super) fn field_columns(predicate: Option<&Predicate>) -> Vec<ColumnId> {
    let mut columns = Vec::new();
    if let Some(predicate) = predicate {
        walk(predicate, &mut |operand| {
            if let Operand::Field(input) = operand {
                columns.push(input.column);
            }
        });
    }
    columns
}

pub(super) fn reads_tags(predicate: Option<&Predicate>) -> bool {
    let mut found = false;
    if let Some(predicate) = predicate {
        walk(predicate, &mut |operand| found |= matches!(operand, Operand::Tag(_)));
    }
    found
}

/// Returns `None` if every value may satisfy the predicate.
pub(super) fn only_values(predicate: Option<&Predicate>, tag: ColumnId) -> Option<Vec<&str>> {
    let only = |predicate| only_values(Some(predicate), tag);
    match predicate? {
        Predicate::And(a, b) => only(a).or_else(|| only(b)),
        Predicate::Or(a, b) => {
            let (mut values, more) = (only(a)?, only(b)?);
            values.extend(more);
            Some(values)
        }
        Predicate::Compare(Comparison::Equal, a, b) => match (&**a, &**b) {
            (Operand::Tag(id), Operand::Literal(FieldValue::String(value)))
            | (Operand::Literal(FieldValue::String(value)), Operand::Tag(id))
                if *id == tag =>
            {
                Some(vec![value.as_ref()])
            }
            _ => None,
        },
        _ => None,
    }
}

fn walk(predicate: &Predicate, visit: &mut dyn FnMut(&Operand)) {
    match predicate {
        Predicate::Constant(_) => {}
        Predicate::And(a, b) | Predicate::Or(a, b) | Predicate::Differ(a, b) => {
            walk(a, visit);
            walk(b, visit);
        }
        Predicate::Compare(_, a, b) => {
            walk_operand(a, visit);
            walk_operand(b, visit);
        }
        Predicate::Matches { operand, .. } | Predicate::IsTrue(operand) => {
            walk_operand(operand, visit);
        }
    }
}

fn walk_operand(operand: &Operand, visit: &mut dyn FnMut(&Operand)) {
    visit(operand);
    match operand {
        Operand::Field(_) | Operand::Tag(_) | Operand::Literal(_) => {}
        Operand::Arithmetic(_, a, b) => {
            walk_operand(a, visit);
            walk_operand(b, visit);
        }
        Operand::Call(_, arguments) => arguments.iter().for_each(|a| walk_operand(a, visit)),
    }
}

/// Equal regexes are compiled once.
#[derive(Default)]
struct Patterns<'a> {
    compiled: BTreeMap<&'a str, Rc<Pattern>>,
    uses: u64,
}

impl<'a> Patterns<'a> {
    fn get(&mut self, regex: &'a str) -> Result<Rc<Pattern>, ScanError> {
        self.uses += 1;
        if let Some(known) = self.compiled.get(regex) {
            return Ok(Rc::clone(known));
        }
        let pattern = Pattern::new(regex).map_err(|reason| ScanError::Regex {
            regex: regex.to_owned(),
            reason: reason.to_string(),
        })?;
        let pattern = Rc::new(pattern);
        self.compiled.insert(regex, Rc::clone(&pattern));
        Ok(pattern)
    }
}

fn compile<'a>(predicate: &'a Predicate, patterns: &mut Patterns<'a>) -> Result<Node, ScanError> {
    let mut boxed = |p: &'a Predicate| compile(p, patterns).map(Box::new);
    Ok(match predicate {
        Predicate::Constant(value) => Node::Constant(*value),
        Predicate::And(a, b) => Node::And(boxed(a)?, boxed(b)?),
        Predicate::Or(a, b) => Node::Or(boxed(a)?, boxed(b)?),
        Predicate::Differ(a, b) => Node::Differ(boxed(a)?, boxed(b)?),
        // In 1.x, order comparisons support tags, but not string fields (`evalBinaryExpr`).
        Predicate::Compare(comparison, a, b)
            if is_order(*comparison) && (is_text_field(a) || is_text_field(b)) =>
        {
            Node::Constant(false)
        }
        Predicate::Compare(comparison, a, b) => {
            Node::Compare(*comparison, Expr::new(a)?, Expr::new(b)?)
        }
        Predicate::Matches { operand, regex, negated } => Node::Matches {
            operand: Expr::new(operand)?,
            regex: patterns.get(regex)?,
            negated: *negated,
        },
        Predicate::IsTrue(operand) => Node::IsTrue(Expr::new(operand)?),
    })
}

fn is_order(comparison: Comparison) -> bool {
    !matches!(comparison, Comparison::Equal | Comparison::NotEqual)
}

fn is_text_field(operand: &Operand) -> bool {
    let Operand::Field(input) = operand else { return false };
    input.output_type() == Some(FieldType::String)
}

/// Returns `None` if the value depends on the row.
fn settle<'a>(node: &'a Node, tag: &'a dyn Fn(ColumnId) -> &'a str) -> Option<bool> {
    match node {
        Node::Constant(value) => Some(*value),
        Node::And(a, b) => and(settle(a, tag), || settle(b, tag)),
        Node::Or(a, b) => or(settle(a, tag), || settle(b, tag)),
        Node::Differ(a, b) => Some(settle(a, tag)? != settle(b, tag)?),
        Node::Compare(_, a, b) if a.reads_rows() || b.reads_rows() => None,
        Node::Matches { operand, .. } | Node::IsTrue(operand) if operand.reads_rows() => None,
        // A fast path for the most common condition.
        Node::Compare(
            Comparison::Equal,
            Expr::Tag(id),
            Expr::Literal(FieldValue::String(text)),
        ) => Some(tag(*id) == &**text),
        leaf => match evaluate_leaf(leaf, &Context { run: None, tag }) {
            Ok(Mask::All) => Some(true),
            _ => Some(false),
        },
    }
}

fn and(a: Option<bool>, b: impl FnOnce() -> Option<bool>) -> Option<bool> {
    match a {
        Some(false) => Some(false),
        Some(true) => b(),
        None => (b() == Some(false)).then_some(false),
    }
}

fn or(a: Option<bool>, b: impl FnOnce() -> Option<bool>) -> Option<bool> {
    match a {
        Some(true) => Some(true),
        Some(false) => b(),
        None => (b() == Some(true)).then_some(true),
    }
}

fn evaluate<'a>(node: &'a Node, context: &Context<'a>) -> Result<Mask, ScanError> {
    if let Some(settled) = settle(node, context.tag) {
        return Ok(if settled { Mask::All } else { Mask::None });
    }
    match node {
        Node::And(a, b) => match evaluate(a, context)? {
            Mask::None => Ok(Mask::None),
            Mask::All => evaluate(b, context),
            Mask::Some(a) => Ok(combine(a, evaluate(b, context)?, true)),
        },
        Node::Or(a, b) => match evaluate(a, context)? {
            Mask::All => Ok(Mask::All),
            Mask::None => evaluate(b, context),
            Mask::Some(a) => Ok(combine(a, evaluate(b, context)?, false)),
        },
        Node::Differ(a, b) => Ok(differ(evaluate(a, context)?, evaluate(b, context)?)),
        leaf => evaluate_leaf(leaf, context),
    }
}

fn combine(mut a: Vec<bool>, b: Mask, conjunction: bool) -> Mask {
    match (b, conjunction) {
        (Mask::All, true) | (Mask::None, false) => {}
        (Mask::None, true) => return Mask::None,
        (Mask::All, false) => return Mask::All,
        (Mask::Some(b), true) => a.iter_mut().zip(b).for_each(|(a, b)| *a &= b),
        (Mask::Some(b), false) => a.iter_mut().zip(b).for_each(|(a, b)| *a |= b),
    }
    Mask::Some(a)
}

fn differ(a: Mask, b: Mask) -> Mask {
    match (a, b) {
        (Mask::None, other) | (other, Mask::None) => other,
        (Mask::All, Mask::All) => Mask::None,
        (Mask::All, Mask::Some(rows)) | (Mask::Some(rows), Mask::All) => {
            Mask::Some(rows.into_iter().map(|row| !row).collect())
        }
        (Mask::Some(mut a), Mask::Some(b)) => {
            a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
            Mask::Some(a)
        }
    }
}

fn evaluate_leaf<'a>(node: &'a Node, context: &Context<'a>) -> Result<Mask, ScanError> {
    match node {
        Node::Compare(comparison, a, b) => {
            Ok(compare::compare(*comparison, a.evaluate(context)?, b.evaluate(context)?))
        }
        Node::Matches { operand, regex, negated } => {
            Ok(compare::matches(operand.evaluate(context)?, regex, *negated))
        }
        Node::IsTrue(operand) => Ok(compare::is_true(operand.evaluate(context)?)),
        Node::Constant(true) => Ok(Mask::All),
        _ => Ok(Mask::None),
    }
}

#[cfg(test)]
mod tests;
