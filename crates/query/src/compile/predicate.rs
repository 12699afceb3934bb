//! Lowers the condition in WHERE to a predicate on the columns of a measurement, and finds these
//! columns by their keys.

use std::collections::HashMap;

use super::literal;
use super::resolve::cast_type;
use crate::data_type::DataType;
use crate::plan::{DerivedField, DerivedFrom};
use tidemark_engine::scan::math::MathFunction;
use tidemark_engine::scan::request::{Arithmetic, Comparison, Input, Operand, Predicate};
use tidemark_influxql::ast::{BinaryOp, Cast, Expr};
use tidemark_model::ids::ColumnId;
use tidemark_model::schema::{ColumnDefinition, ColumnKind, MeasurementSchema};
use tidemark_model::value::{FieldType, FieldValue};

/// The minimum number of lookups for which building an index takes less time than searching all
/// columns for each lookup.
const INDEXED_FROM: usize = 8;

/// The columns of a measurement, with an index for lookups by key.
pub(crate) struct Columns<'a> {
    schema: &'a MeasurementSchema,
    index: Option<Index<'a>>,
}

/// Maps a key, and whether the column is a tag, to the column.
type Index<'a> = HashMap<(&'a str, bool), &'a ColumnDefinition>;

impl<'a> Columns<'a> {
    /// Creates an index of the schema's columns. `lookups` is the approximate number of lookups,
    /// which determines the kind of index.
    pub(crate) fn new(schema: &'a MeasurementSchema, lookups: usize) -> Self {
        let index = || {
            let mut index = Index::new();
            for column in &schema.columns {
                index.entry((&column.key, column.kind == ColumnKind::Tag)).or_insert(column);
            }
            index
        };
        Self { schema, index: (lookups >= INDEXED_FROM).then(index) }
    }

    pub(super) fn name(&self) -> &str {
        &self.schema.name
    }

    pub(super) fn tag(&self, key: &str) -> Option<&'a ColumnDefinition> {
        match &self.index {
            Some(index) => index.get(&(key, true)).copied(),
            None => self.schema.tag(key),
        }
    }

    pub(crate) fn field(&self, key: &str) -> Option<(&'a ColumnDefinition, FieldType)> {
        let Some(index) = &self.index else { return self.schema.field(key) };
        let column = *index.get(&(key, false))?;
        match column.kind {
            ColumnKind::Field(field_type) => Some((column, field_type)),
            ColumnKind::Tag => None,
        }
    }
}

/// The context in which a condition is lowered.
#[derive(Clone, Copy)]
struct Scope<'a> {
    schema: &'a Columns<'a>,
    /// The fields of the subquery that supplies the rows; `None` if shards supply the rows. In the
    /// rows of a subquery, a missing tag is an empty string, and a missing boolean field is
    /// `false`.
    derived: Option<&'a [DerivedField]>,
    /// Whether the condition is an operand of a comparison. 1.x then evaluates the condition
    /// without its index, so a comparison with a missing tag is false.
    compared: bool,
}

impl Scope<'_> {
    fn is_derived(self) -> bool {
        self.derived.is_some()
    }

    /// Returns the operand of a comparison by order. A subquery's group tag is both a field and a
    /// tag, but only the tag can be compared by order. A cast to a type that no tag has selects the
    /// field.
    fn ordered(self, expr: &Expr, operand: Operand) -> Operand {
        use Cast::{Boolean, Float, Integer, Unsigned};
        if matches!(expr, Expr::VarRef { cast: Some(Float | Integer | Unsigned | Boolean), .. }) {
            return operand;
        }
        let Operand::Field(input @ Input { cast: None, .. }) = &operand else { return operand };
        let fields = self.derived.unwrap_or_default();
        match fields.iter().find(|field| field.id == input.column).map(|field| field.from) {
            // The tag columns of a subquery's result have the same numbers as the group keys.
            Some(DerivedFrom::Key(index)) => Operand::Tag(ColumnId(index as u32)),
            _ => operand,
        }
    }
}

/// Lowers a condition without time comparisons. An unknown name counts as a tag that every series
/// lacks. `derived` contains the fields of the subquery that supplies the rows.
pub(crate) fn lower(
    expr: &Expr,
    schema: &Columns<'_>,
    derived: Option<&[DerivedField]>,
) -> Predicate {
    condition(expr, Scope { schema, derived, compared: false })
}

fn condition(expr: &Expr, scope: Scope<'_>) -> Predicate {
    match expr {
        Expr::Paren(inner) => condition(inner, scope),
        Expr::BooleanLiteral(value) => Predicate::Constant(*value),
        Expr::Binary { op, left, right } => {
            let both = |join: fn(Predicate, Predicate) -> Predicate| {
                join(condition(left, scope), condition(right, scope))
            };
            match op {
                BinaryOp::And => both(and),
                BinaryOp::Or if scope.compared => with_values(both(or), left, right, scope),
                BinaryOp::Or => both(or),
                BinaryOp::EqRegex | BinaryOp::NeRegex => {
                    matches(left, right, *op == BinaryOp::NeRegex, scope)
                }
                BinaryOp::BitwiseAnd | BinaryOp::BitwiseOr | BinaryOp::BitwiseXor
                    if is_boolean(left, scope) && is_boolean(right, scope) =>
                {
                    let joined = match op {
                        BinaryOp::BitwiseAnd => both(and),
                        BinaryOp::BitwiseOr => both(or),
                        _ => both(differ),
                    };
                    with_values(joined, left, right, scope)
                }
                other => match comparison(*other) {
                    Some(comparison) => compare(comparison, left, right, scope),
                    // 1.x treats a number that is used as a condition as false.
                    None => Predicate::Constant(false),
                },
            }
        }
        _ => match boolean_field(expr, scope) {
            Some(field) => Predicate::IsTrue(Box::new(field)),
            None => Predicate::Constant(false),
        },
    }
}

fn and(left: Predicate, right: Predicate) -> Predicate {
    Predicate::And(Box::new(left), Box::new(right))
}

fn or(left: Predicate, right: Predicate) -> Predicate {
    Predicate::Or(Box::new(left), Box::new(right))
}

fn differ(left: Predicate, right: Predicate) -> Predicate {
    Predicate::Differ(Box::new(left), Box::new(right))
}

fn not(predicate: Predicate) -> Predicate {
    differ(predicate, Predicate::Constant(true))
}

fn has_value(operand: Operand) -> Predicate {
    Predicate::Compare(Comparison::Equal, Box::new(operand.clone()), Box::new(operand))
}

/// Restricts `joined` to rows in which each operand that is a stored boolean field has a value,
/// like 1.x. Returns `joined` unchanged for a subquery's rows.
fn with_values(joined: Predicate, left: &Expr, right: &Expr, scope: Scope<'_>) -> Predicate {
    if scope.is_derived() {
        return joined;
    }
    let fields = [left, right].into_iter().filter_map(|side| boolean_field(side, scope));
    fields.fold(joined, |joined, field| and(has_value(field), joined))
}

fn is_boolean(expr: &Expr, scope: Scope<'_>) -> bool {
    match expr {
        Expr::Paren(inner) => is_boolean(inner, scope),
        Expr::BooleanLiteral(_) => true,
        Expr::VarRef { .. } => boolean_field(expr, scope).is_some(),
        Expr::Binary { op, left, right } => match arithmetic(*op) {
            None => true,
            Some(Arithmetic::BitAnd | Arithmetic::BitOr | Arithmetic::BitXor) => {
                is_boolean(left, scope) && is_boolean(right, scope)
            }
            Some(_) => false,
        },
        _ => false,
    }
}

fn boolean_field(expr: &Expr, scope: Scope<'_>) -> Option<Operand> {
    match expr {
        Expr::Paren(inner) => boolean_field(inner, scope),
        Expr::VarRef { .. } => operand(expr, scope).filter(|operand| {
            matches!(
                operand,
                Operand::Field(Input { field_type: FieldType::Boolean, cast: None, .. })
            )
        }),
        _ => None,
    }
}

fn comparison(op: BinaryOp) -> Option<Comparison> {
    Some(match op {
        BinaryOp::Eq => Comparison::Equal,
        BinaryOp::Ne => Comparison::NotEqual,
        BinaryOp::Lt => Comparison::Less,
        BinaryOp::Le => Comparison::LessOrEqual,
        BinaryOp::Gt => Comparison::Greater,
        BinaryOp::Ge => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn compare(op: Comparison, left: &Expr, right: &Expr, scope: Scope<'_>) -> Predicate {
    let equality = matches!(op, Comparison::Equal | Comparison::NotEqual);
    match (is_boolean(left, scope), is_boolean(right, scope)) {
        (false, false) => compare_values(op, left, right, scope),
        _ if !equality => Predicate::Constant(false),
        (true, true) => compare_conditions(op, left, right, scope),
        (true, false) => compare_mixed(op, left, right, scope),
        (false, true) => compare_mixed(op, right, left, scope),
    }
}

fn compare_values(op: Comparison, left: &Expr, right: &Expr, scope: Scope<'_>) -> Predicate {
    let (Some(a), Some(b)) = (operand(left, scope), operand(right, scope)) else {
        return Predicate::Constant(false);
    };
    if is_reference(left) && is_reference(right) && !scope.is_derived() && !scope.compared {
        return compare_names(op, a, b);
    }
    let is_order = !matches!(op, Comparison::Equal | Comparison::NotEqual);
    let is_text = |expr: &Expr, operand: &Operand| {
        !is_reference(expr) && matches!(operand, Operand::Literal(FieldValue::String(_)))
    };
    let is_cast_tag = |expr: &Expr, operand: &Operand| {
        has_field_cast(expr) && !matches!(operand, Operand::Field(_))
    };
    let is_unordered = (is_text(left, &a) && is_text(right, &b))
        || is_cast_tag(left, &a)
        || is_cast_tag(right, &b);
    if is_order && is_unordered {
        // 1.x does not order string literals, and a tag with a cast to a field has no order.
        return Predicate::Constant(false);
    }
    let (a, b) = if is_order { (scope.ordered(left, a), scope.ordered(right, b)) } else { (a, b) };
    let tags = tags_of([(left, &a), (right, &b)], scope);
    present(Predicate::Compare(op, Box::new(a), Box::new(b)), tags)
}

/// Returns the tags that must exist if the comparison is an operand of another comparison.
fn tags_of<const N: usize>(sides: [(&Expr, &Operand); N], scope: Scope<'_>) -> Vec<Operand> {
    let is_tag = |(expr, operand): &(&Expr, &Operand)| {
        let reads_field = matches!(operand, Operand::Field(_));
        scope.compared && !scope.is_derived() && is_reference(expr) && !reads_field
    };
    sides.into_iter().filter(is_tag).map(|(_, operand)| operand.clone()).collect()
}

fn present(predicate: Predicate, tags: Vec<Operand>) -> Predicate {
    tags.into_iter().fold(predicate, |all, tag| and(is_missing(tag, false), all))
}

/// Compares conditions, for example `(v > 0) = (f > 1)` or `b != true`.
fn compare_conditions(op: Comparison, left: &Expr, right: &Expr, scope: Scope<'_>) -> Predicate {
    let fields = (boolean_field(left, scope), boolean_field(right, scope));
    let plain = |expr| {
        operand(expr, scope).filter(|of| matches!(of, Operand::Field(_) | Operand::Literal(_)))
    };
    if !scope.is_derived()
        && let (Some(a), Some(b)) = (plain(left), plain(right))
    {
        return Predicate::Compare(op, Box::new(a), Box::new(b));
    }
    let inner = Scope { compared: true, ..scope };
    let differ = differ(condition(left, inner), condition(right, inner));
    let compared = if op == Comparison::Equal { not(differ) } else { differ };
    match fields {
        // If both values are missing, the comparison is false.
        (Some(a), Some(b)) if scope.is_derived() => and(or(has_value(a), has_value(b)), compared),
        _ => {
            let compared = with_values(compared, left, right, scope);
            match (has_result(left, scope), has_result(right, scope)) {
                (Some(a), Some(b)) => and(or(a, b), compared),
                _ => compared,
            }
        }
    }
}

/// Returns the condition under which a boolean expression has a result; `None` if the expression
/// always has a result. In 1.x, an operator has no result if its left side is a missing field of a
/// stored row. If any other left side has no result but the right side has one, 1.x treats the left
/// side as `false`.
fn has_result(expr: &Expr, scope: Scope<'_>) -> Option<Predicate> {
    if let Some(field) = boolean_field(expr, scope) {
        return Some(has_value(field));
    }
    match expr {
        Expr::Binary { op: BinaryOp::EqRegex | BinaryOp::NeRegex, left, .. } => {
            has_text(left, scope)
        }
        Expr::Paren(inner) => has_result(inner, scope),
        _ if scope.is_derived() => None,
        Expr::Binary { op, left, right } if comparison(*op).is_none() => {
            let of_left = has_result(left, scope)?;
            match boolean_field(left, scope) {
                Some(_) => Some(of_left),
                None => Some(or(of_left, has_result(right, scope)?)),
            }
        }
        _ => None,
    }
}

/// Returns the condition under which a regex match has a result; `None` if the match always has a
/// result. In 1.x, a match has no result if its left side is missing or is not a text.
fn has_text(expr: &Expr, scope: Scope<'_>) -> Option<Predicate> {
    let is_stored = !scope.is_derived();
    match operand(expr, scope) {
        Some(tag @ Operand::Tag(_)) if is_stored => Some(is_missing(tag, false)),
        Some(Operand::Literal(FieldValue::String(_))) => {
            (is_stored && is_reference(expr)).then_some(Predicate::Constant(false))
        }
        Some(field @ Operand::Field(Input { field_type: FieldType::String, cast: None, .. })) => {
            Some(has_value(field))
        }
        Some(Operand::Tag(_)) => None,
        _ => Some(Predicate::Constant(false)),
    }
}

/// Compares a boolean with an incomparable type. In 1.x, a missing value is `false`, except for a
/// missing field of a stored row.
fn compare_mixed(op: Comparison, boolean: &Expr, value: &Expr, scope: Scope<'_>) -> Predicate {
    let is_missing = match operand(value, scope) {
        Some(value @ Operand::Arithmetic(..)) => not(has_value(value)),
        Some(value @ Operand::Field(_)) if scope.is_derived() => not(has_value(value)),
        None if has_no_value(value, scope) => Predicate::Constant(true),
        _ => return Predicate::Constant(false),
    };
    let holds = condition(boolean, Scope { compared: true, ..scope });
    let holds = if op == Comparison::Equal { not(holds) } else { holds };
    let compared = and(is_missing, holds);
    match has_result(boolean, scope) {
        Some(has_result) => and(has_result, compared),
        None => compared,
    }
}

/// Whether 1.x evaluates the expression to nil in every row. Durations are nil, and so is
/// arithmetic with a missing value.
fn has_no_value(expr: &Expr, scope: Scope<'_>) -> bool {
    match expr {
        Expr::Paren(inner) => has_no_value(inner, scope),
        Expr::Binary { op, left, right } => {
            use Arithmetic::{BitAnd, BitOr, BitXor};
            let is_missing = |side: &Expr| {
                let is_name = matches!(side, Expr::VarRef { .. });
                has_no_value(side, scope) || (is_name && operand(side, scope).is_none())
            };
            // If one operand of a bitwise operator is a boolean, a missing other operand counts as
            // false.
            let is_value = match arithmetic(*op) {
                Some(BitAnd | BitOr | BitXor) => {
                    is_boolean(left, scope) || is_boolean(right, scope)
                }
                of => of.is_none(),
            };
            !is_value && (is_missing(left) || is_missing(right))
        }
        other => matches!(other, Expr::DurationLiteral(_)),
    }
}

/// Compares two names. A missing tag differs from every existing tag and has no order. A field is
/// neither equal nor unequal to a missing tag.
pub(crate) fn compare_names(op: Comparison, left: Operand, right: Operand) -> Predicate {
    let is_field = |operand: &Operand| matches!(operand, Operand::Field(_));
    let tag = match (is_field(&left), is_field(&right)) {
        (true, true) => None,
        (true, false) => Some(right.clone()),
        _ => Some(left.clone()),
    };
    let on_tags = !is_field(&left) && !is_field(&right);
    let is_order = !matches!(op, Comparison::Equal | Comparison::NotEqual);
    let other = (on_tags && is_order).then(|| right.clone());
    let compare = Predicate::Compare(op, Box::new(left), Box::new(right));
    match (tag, op) {
        (None, _) => compare,
        (Some(tag), Comparison::NotEqual) if on_tags => or(is_missing(tag, true), compare),
        (Some(tag), _) => present(compare, [Some(tag), other].into_iter().flatten().collect()),
    }
}

/// Returns the condition that a series lacks `tag`, or if `missing` is false, has `tag`.
pub(crate) fn is_missing(tag: Operand, missing: bool) -> Predicate {
    let comparison = if missing { Comparison::Equal } else { Comparison::NotEqual };
    let nothing = Operand::Literal(FieldValue::String("".into()));
    Predicate::Compare(comparison, Box::new(tag), Box::new(nothing))
}

fn is_reference(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(inner) => is_reference(inner),
        other => matches!(other, Expr::VarRef { .. }),
    }
}

/// Whether the expression is a name with a cast to a type of fields.
fn has_field_cast(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(inner) => has_field_cast(inner),
        Expr::VarRef { cast, .. } => !matches!(cast, None | Some(Cast::Tag)),
        _ => false,
    }
}

fn matches(left: &Expr, right: &Expr, negated: bool, scope: Scope<'_>) -> Predicate {
    match (operand(left, scope), right) {
        (Some(text), Expr::Regex(regex)) => {
            let tags = tags_of([(left, &text)], scope);
            let regex = regex.as_str().to_owned();
            present(Predicate::Matches { operand: Box::new(text), regex, negated }, tags)
        }
        _ => Predicate::Constant(false),
    }
}

pub(super) fn arithmetic(op: BinaryOp) -> Option<Arithmetic> {
    Some(match op {
        BinaryOp::Add => Arithmetic::Add,
        BinaryOp::Sub => Arithmetic::Subtract,
        BinaryOp::Mul => Arithmetic::Multiply,
        BinaryOp::Div => Arithmetic::Divide,
        BinaryOp::Mod => Arithmetic::Modulo,
        BinaryOp::BitwiseAnd => Arithmetic::BitAnd,
        BinaryOp::BitwiseOr => Arithmetic::BitOr,
        BinaryOp::BitwiseXor => Arithmetic::BitXor,
        _ => return None,
    })
}

/// Returns `None` for an expression that never has a value in a condition.
fn operand(expr: &Expr, scope: Scope<'_>) -> Option<Operand> {
    Some(match expr {
        Expr::Paren(inner) => operand(inner, scope)?,
        Expr::VarRef { name, cast } => reference(name, *cast, scope)?,
        Expr::Binary { op, left, right } => Operand::Arithmetic(
            arithmetic(*op)?,
            Box::new(operand(left, scope)?),
            Box::new(operand(right, scope)?),
        ),
        Expr::Call { name, args } if MathFunction::named(name).is_some() => {
            let args: Option<Vec<Operand>> = args.iter().map(|arg| operand(arg, scope)).collect();
            Operand::Call(name.clone(), args?)
        }
        _ => Operand::Literal(literal(expr)?),
    })
}

fn reference(name: &str, cast: Option<Cast>, scope: Scope<'_>) -> Option<Operand> {
    let Scope { schema, compared, .. } = scope;
    let text = |text: &str| Operand::Literal(FieldValue::String(text.into()));
    let tag = || match schema.tag(name) {
        Some(column) => Operand::Tag(column.id),
        // 1.x's index treats the measurement's name as a tag of each series.
        None if name == "_name" && !scope.is_derived() && !compared => text(schema.name()),
        None => text(""),
    };
    let field = |cast: Option<FieldType>| {
        let (column, field_type) = schema.field(name)?;
        // In the rows of a subquery, 1.x converts only numbers, and ignores every other cast.
        let converts = |cast: FieldType| {
            !scope.is_derived()
                || DataType::from(cast).is_number() && DataType::from(field_type).is_number()
        };
        let cast = cast.filter(|&cast| cast != field_type && converts(cast));
        Some(Operand::Field(Input { column: column.id, field_type, cast }))
    };
    if name.eq_ignore_ascii_case("time") {
        return None;
    }
    let field = field(cast.and_then(cast_type));
    match cast {
        Some(Cast::Tag) if !scope.is_derived() => Some(tag()),
        Some(_) if !scope.is_derived() => field,
        // In the rows of a subquery, a name without a column is a tag, whatever its cast.
        _ => Some(field.unwrap_or_else(tag)),
    }
}
