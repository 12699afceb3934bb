//! Evaluates predicates over whole series and over rows.
//!
//! Conditions that read only tags are evaluated once per series. The other conditions are evaluated
//! over column slices, with one loop per operator and type instead of a tree walk per row. The
//! semantics follow 1.x (`influxql` `ast.go`, `evalBinaryExpr`).

mod expr;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::FixedState;

use self::expr::{Context, TextPairs, reads_rows};
use super::error::ScanError;
use super::mask::Mask;
use super::page::CELLS_PER_PAGE_MAX;
use super::request::{Comparison, Operand, Predicate};
use super::series_rows::SeriesRows;
use super::series_tags::SeriesTags;
use tidemark_model::ids::ColumnId;
use tidemark_model::regex::{Pattern, Patterns, RegexWork};
use tidemark_model::value::{FieldType, FieldValue};

/// A predicate whose regexes are compiled.
pub(super) struct Filter<'a> {
    /// `None` selects all rows.
    pub(super) predicate: Option<&'a Predicate>,
    patterns: HashMap<&'a str, Rc<Pattern>, FixedState>,
    regex_work: RegexWork,
    text_pairs: RefCell<TextPairs>,
    /// Whether a condition reads fields, and must therefore be evaluated for rows.
    on_rows: bool,
    /// The cost of the conditions that read rows, for one row, in cells.
    row_cells: u64,
    /// The number of comparisons that read rows.
    row_terms: u64,
    /// The cost of the condition for the tags of a series, in cells.
    key_cells: u64,
}

/// The number of bytes of a text that are compared in the time of one cell.
const TEXT_BYTES_PER_CELL: usize = 64;
/// The estimated cost of a regex match, in cells.
const REGEX_CELLS: u64 = 16;
/// The number of cells that is subtracted from the cost for each row. Most predicates have one or
/// two comparisons, and therefore cost nothing.
const FREE_ROW_CELLS: u64 = 4;
/// The number of cells that is subtracted from the cost for each series: ten comparisons, or fifty
/// comparisons of a tag with `=` or `!=`.
const FREE_KEY_CELLS: u64 = 150;
/// The estimated cost, in cells, of preparing or evaluating a comparison for a series.
const TERM_CELLS: u64 = 15;
/// The estimated cost, in cells, of comparing a tag with a text by `=` or `!=`.
const TAG_EQUALITY_CELLS: u64 = 3;
/// The fixed cost of comparing the rows of a series, expressed as a number of rows. The fixed cost
/// is about 300 ns, which is the time for comparing this number of rows.
const ROWS_PER_COMPARISON: u64 = 64;
/// The maximum cost of the condition for the rows of a batch, in cells.
pub(super) const BATCH_CELLS_MAX: u64 = CELLS_PER_PAGE_MAX;

/// The part of a predicate that depends on the rows of a series.
enum Rest<'a> {
    /// The value is the same for all rows.
    Constant(bool),
    Leaf(&'a Predicate),
    /// OR if `decisive` is true, and AND if it is false.
    Joined {
        decisive: bool,
        operands: Box<(Rest<'a>, Rest<'a>)>,
    },
    Differ(Box<(Rest<'a>, Rest<'a>)>),
}

impl<'a> Filter<'a> {
    pub(super) fn compile(
        predicate: Option<&'a Predicate>,
        patterns: &Patterns,
    ) -> Result<Self, ScanError> {
        let mut filter = Self {
            predicate,
            patterns: HashMap::default(),
            regex_work: patterns.work().clone(),
            text_pairs: RefCell::default(),
            on_rows: false,
            row_cells: 0,
            row_terms: 0,
            key_cells: 0,
        };
        if let Some(predicate) = predicate {
            filter.prepare(predicate, patterns)?;
            filter.row_cells = filter.row_cells.saturating_sub(FREE_ROW_CELLS);
            filter.row_terms = filter.row_terms.saturating_sub(FREE_ROW_CELLS);
            filter.key_cells = filter.key_cells.saturating_sub(FREE_KEY_CELLS);
        }
        Ok(filter)
    }

    /// Compiles regexes, checks the names of functions, and adds the costs.
    fn prepare(&mut self, predicate: &'a Predicate, patterns: &Patterns) -> Result<(), ScanError> {
        match predicate {
            Predicate::And(a, b) | Predicate::Or(a, b) | Predicate::Differ(a, b) => {
                self.prepare(a, patterns)?;
                return self.prepare(b, patterns);
            }
            Predicate::Compare(comparison, a, b) if !is_order_of_text(*comparison, a, b) => {
                check_functions(a)?;
                check_functions(b)?;
            }
            Predicate::Matches { operand, regex, .. } => {
                check_functions(operand)?;
                if !self.patterns.contains_key(regex.as_str()) {
                    let pattern = patterns.get(regex).map_err(|reason| ScanError::Regex {
                        regex: regex.clone(),
                        reason: reason.to_string(),
                    })?;
                    self.patterns.insert(regex, pattern);
                }
            }
            Predicate::IsTrue(operand) => check_functions(operand)?,
            Predicate::Constant(_) | Predicate::Compare(..) => {}
        }
        self.add_cost(predicate);
        Ok(())
    }

    /// Adds the cost of a condition without AND or OR.
    fn add_cost(&mut self, leaf: &Predicate) {
        let (mut operands, mut on_rows, mut text_bytes) = (0_u64, false, 0);
        leaf.operands(&mut |operand| {
            operands += 1;
            on_rows |= matches!(operand, Operand::Field(_));
            if let Operand::Literal(FieldValue::String(text)) = operand {
                text_bytes += text.len();
            }
        });
        let terms = operands.div_ceil(2);
        let regex_cells = if let Predicate::Matches { .. } = leaf { REGEX_CELLS } else { 0 };
        if on_rows {
            self.on_rows = true;
            self.row_cells += terms + regex_cells + (text_bytes / TEXT_BYTES_PER_CELL) as u64;
            self.row_terms += terms;
        }
        self.key_cells += match as_tag_equality(leaf) {
            Some(_) => TAG_EQUALITY_CELLS,
            None => terms * TERM_CELLS + regex_cells,
        };
    }

    /// Returns an error if the regexes have used up their steps, because later results may then be
    /// wrong ([`RegexWork`]).
    pub(super) fn check(&self) -> Result<(), ScanError> {
        self.regex_work.check().map_err(|reason| ScanError::SlowRegex(reason.to_string()))
    }

    /// Returns the cost for rows of a series, in cells.
    pub(super) fn series_cells(&self, rows: usize) -> u64 {
        if !self.on_rows {
            return 0;
        }
        let of_rows = self.row_cells.saturating_mul(rows as u64);
        let fixed = self.row_terms.saturating_mul(ROWS_PER_COMPARISON);
        // The conditions on tags are evaluated again.
        of_rows.saturating_add(fixed).saturating_add(self.key_cells)
    }

    /// Returns the cost for the tags of a series, in cells.
    pub(super) fn key_cells(&self) -> u64 {
        self.key_cells
    }

    /// Returns the maximum number of rows of a batch whose condition may cost `cells_max`.
    pub(super) fn batch_rows_max(&self, cells_max: u64) -> usize {
        let rows = cells_max.checked_div(self.row_cells);
        rows.map_or(usize::MAX, |rows| usize::try_from(rows).unwrap_or(usize::MAX).max(1))
    }

    pub(super) fn excludes_series(&self, tags: &SeriesTags) -> bool {
        let excludes =
            |predicate| matches!(self.evaluate_tags(predicate, tags), Rest::Constant(false));
        self.predicate.is_some_and(excludes)
    }

    /// Forgets the texts of the previous batch. Call this before the first [`Self::select`] of a
    /// batch.
    pub(super) fn begin_batch(&self) {
        self.text_pairs.borrow_mut().clear();
    }

    /// Evaluates the predicate for the rows of a series. `tags` are the tags of the series.
    pub(super) fn select(
        &self,
        series_rows: &SeriesRows,
        tags: &SeriesTags,
    ) -> Result<Mask, ScanError> {
        let Some(predicate) = self.predicate.filter(|_| self.on_rows) else {
            // The key filter has already excluded series by their tags.
            return Ok(Mask::All);
        };
        let rest = self.evaluate_tags(predicate, tags);
        let mask = self.evaluate(&rest, &Context { series_rows: Some(series_rows), tags })?;
        self.check()?;
        match mask {
            Mask::Some(rows) if !rows.contains(&true) => Ok(Mask::None),
            mask => Ok(mask),
        }
    }

    /// Evaluates the conditions that read only tags.
    fn evaluate_tags<'p>(&self, predicate: &'p Predicate, tags: &SeriesTags) -> Rest<'p> {
        match predicate {
            Predicate::Constant(value) => Rest::Constant(*value),
            Predicate::And(a, b) => {
                join(false, self.evaluate_tags(a, tags), || self.evaluate_tags(b, tags))
            }
            Predicate::Or(a, b) => {
                join(true, self.evaluate_tags(a, tags), || self.evaluate_tags(b, tags))
            }
            Predicate::Differ(a, b) => {
                match (self.evaluate_tags(a, tags), self.evaluate_tags(b, tags)) {
                    (Rest::Constant(a), Rest::Constant(b)) => Rest::Constant(a != b),
                    operands => Rest::Differ(Box::new(operands)),
                }
            }
            Predicate::Compare(comparison, a, b) => match as_tag_equality(predicate) {
                // A fast path for the most common conditions.
                Some((tag, text, is_equal)) => Rest::Constant((tags.get(tag) == text) == is_equal),
                _ if is_order_of_text(*comparison, a, b) => Rest::Constant(false),
                _ if reads_rows(a) || reads_rows(b) => Rest::Leaf(predicate),
                _ => Rest::Constant(self.is_true(predicate, tags)),
            },
            Predicate::Matches { operand, .. } | Predicate::IsTrue(operand) => {
                match reads_rows(operand) {
                    true => Rest::Leaf(predicate),
                    false => Rest::Constant(self.is_true(predicate, tags)),
                }
            }
        }
    }

    fn is_true(&self, leaf: &Predicate, tags: &SeriesTags) -> bool {
        matches!(self.evaluate_leaf(leaf, &Context { series_rows: None, tags }), Ok(Mask::All))
    }

    fn evaluate(&self, rest: &Rest<'_>, context: &Context<'_>) -> Result<Mask, ScanError> {
        match rest {
            Rest::Constant(true) => Ok(Mask::All),
            Rest::Constant(false) => Ok(Mask::None),
            Rest::Leaf(leaf) => self.evaluate_leaf(leaf, context),
            Rest::Joined { decisive, operands } => {
                let (a, b) = &**operands;
                match (self.evaluate(a, context)?, decisive) {
                    (Mask::All, true) => Ok(Mask::All),
                    (Mask::None, false) => Ok(Mask::None),
                    (Mask::Some(a), _) => Ok(combine(a, self.evaluate(b, context)?, !decisive)),
                    (Mask::All, false) | (Mask::None, true) => self.evaluate(b, context),
                }
            }
            Rest::Differ(operands) => {
                let (a, b) = &**operands;
                Ok(differ(self.evaluate(a, context)?, self.evaluate(b, context)?))
            }
        }
    }

    fn evaluate_leaf(&self, leaf: &Predicate, context: &Context<'_>) -> Result<Mask, ScanError> {
        let evaluate = |operand| expr::evaluate(operand, context);
        Ok(match leaf {
            Predicate::Compare(comparison, a, b) => {
                let known = &mut self.text_pairs.borrow_mut();
                expr::compare(*comparison, evaluate(a)?, evaluate(b)?, known)
            }
            Predicate::Matches { operand, regex, negated } => {
                let Some(pattern) = self.patterns.get(regex.as_str()) else {
                    return Ok(Mask::None);
                };
                expr::matches(evaluate(operand)?, pattern, *negated)
            }
            Predicate::IsTrue(operand) => expr::is_true(evaluate(operand)?),
            _ => Mask::None,
        })
    }
}

/// Whether the comparison is `<`, `<=`, `>` or `>=` with a string field. In 1.x, these comparisons
/// support tags, but not string fields (`evalBinaryExpr`).
fn is_order_of_text(comparison: Comparison, a: &Operand, b: &Operand) -> bool {
    let is_text_field = |operand: &Operand| match operand {
        Operand::Field(input) => input.output_type() == Some(FieldType::String),
        _ => false,
    };
    !matches!(comparison, Comparison::Equal | Comparison::NotEqual)
        && (is_text_field(a) || is_text_field(b))
}

/// Returns the tag, the text, and whether the condition is `=` instead of `!=`.
fn as_tag_equality(predicate: &Predicate) -> Option<(ColumnId, &str, bool)> {
    let Predicate::Compare(comparison, a, b) = predicate else { return None };
    let (Operand::Tag(tag), Operand::Literal(FieldValue::String(text))) = (&**a, &**b) else {
        return None;
    };
    match comparison {
        Comparison::Equal => Some((*tag, text, true)),
        Comparison::NotEqual => Some((*tag, text, false)),
        _ => None,
    }
}

fn check_functions(operand: &Operand) -> Result<(), ScanError> {
    let mut unknown = None;
    operand.visit(&mut |operand| {
        if let Operand::Call(name, arguments) = operand
            && expr::function(name, arguments.len()).is_none()
        {
            unknown.get_or_insert_with(|| name.clone());
        }
    });
    unknown.map_or(Ok(()), |name| Err(ScanError::Function(name)))
}

/// Returns an OR if `decisive` is true, and an AND if it is false.
fn join<'p>(decisive: bool, a: Rest<'p>, b: impl FnOnce() -> Rest<'p>) -> Rest<'p> {
    match a {
        Rest::Constant(a) if a == decisive => Rest::Constant(decisive),
        Rest::Constant(_) => b(),
        a => match b() {
            Rest::Constant(b) if b == decisive => Rest::Constant(decisive),
            Rest::Constant(_) => a,
            b => Rest::Joined { decisive, operands: Box::new((a, b)) },
        },
    }
}

pub(super) fn field_columns(predicate: Option<&Predicate>) -> Vec<ColumnId> {
    let mut columns = Vec::new();
    if let Some(predicate) = predicate {
        predicate.operands(&mut |operand| {
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
        predicate.operands(&mut |operand| found |= matches!(operand, Operand::Tag(_)));
    }
    found
}

/// Returns the values of `tag` that can satisfy the predicate, or `None` if every value may satisfy
/// it.
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

#[cfg(test)]
mod tests;
