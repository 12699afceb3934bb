//! Resolves the names in a statement's sources, and determines the types of expressions.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{fields, literal, operands, operands_mut};
use crate::data_type::DataType;
use crate::error::{QueryError, Result, invalid};
use crate::functions::{Function, Kind};
use tidemark_influxql::ast::{BinaryOp, Cast, Expr};
use tidemark_model::schema::MeasurementSchema;
use tidemark_model::value::FieldType;

/// The names of the fields and tags in a statement's sources, with their types.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownNames {
    /// Includes the columns of subqueries.
    pub(crate) fields: BTreeMap<Rc<str>, DataType>,
    /// The names in `fields` that a wildcard skips: a subquery's tag arguments of `top` and
    /// `bottom`.
    pub(crate) hidden: BTreeSet<Rc<str>>,
    /// The names in `fields` that are columns with a type error in at least one subquery.
    pub(crate) invalid: BTreeSet<Rc<str>>,
    /// The names in `fields` that are strings in at least one source.
    strings: BTreeSet<Rc<str>>,
    /// The names in `fields` that are booleans in at least one source.
    booleans: BTreeSet<Rc<str>>,
    /// Includes the dimensions of subqueries.
    pub(crate) tags: BTreeSet<Rc<str>>,
    /// The columns and dimensions of subqueries.
    derived: BTreeSet<Rc<str>>,
}

impl KnownNames {
    /// Adds the tags, and the fields that the statement mentions; with `None`, all fields.
    pub(crate) fn add_measurement(
        &mut self,
        schema: &MeasurementSchema,
        mentioned: Option<&BTreeSet<&str>>,
    ) {
        for (column, field_type) in schema.fields() {
            let key = column.key.as_str();
            if mentioned.is_none_or(|names| names.contains(key)) {
                self.add_field(key, field_type.into());
            }
        }
        for column in schema.tags() {
            self.add_tag(&column.key);
        }
    }

    pub(crate) fn add_hidden(&mut self, name: &str, data_type: DataType) {
        if !self.fields.contains_key(name) {
            self.add_field(name, data_type);
            self.hidden.insert(Rc::from(name));
        }
    }

    pub(crate) fn add_field(&mut self, name: &str, data_type: DataType) {
        self.hidden.remove(name);
        let same = match data_type {
            DataType::String => Some(&mut self.strings),
            DataType::Boolean => Some(&mut self.booleans),
            _ => None,
        };
        if let Some(same) = same.filter(|same| !same.contains(name)) {
            same.insert(Rc::from(name));
        }
        match self.fields.get_mut(name) {
            Some(known) => *known = data_type.max(*known),
            None => drop(self.fields.insert(Rc::from(name), data_type)),
        }
    }

    /// Adds a subquery's column whose expression has a type error.
    pub(crate) fn add_invalid(&mut self, name: &str) {
        self.add_field(name, DataType::Unknown);
        self.invalid.insert(Rc::from(name));
    }

    pub(crate) fn add_derived(&mut self, name: &str) {
        if !self.derived.contains(name) {
            self.derived.insert(Rc::from(name));
        }
    }

    pub(crate) fn add_tag(&mut self, name: &str) {
        if !self.tags.contains(name) {
            self.tags.insert(Rc::from(name));
        }
    }

    /// Whether a source has the tag, or a subquery has a column of tag values with this name.
    pub(crate) fn is_tag(&self, name: &str) -> bool {
        self.tags.contains(name) || self.fields.get(name) == Some(&DataType::Tag)
    }

    /// Whether a subquery has a column or a dimension with this name.
    pub(crate) fn is_derived(&self, name: &str) -> bool {
        self.derived.contains(name)
    }

    /// Whether at least one source can have values of this type. Every number can be converted to
    /// another type of number.
    pub(crate) fn has_values(&self, name: &str, data_type: DataType) -> bool {
        match data_type {
            DataType::String => self.strings.contains(name),
            DataType::Boolean => self.booleans.contains(name),
            _ => true,
        }
    }

    pub(crate) fn resolve(&self, name: &str, cast: Option<Cast>) -> DataType {
        // A column of a subquery has no type if its name is unknown in the subquery.
        let field = || self.fields.get(name).copied().filter(|known| *known != DataType::Unknown);
        let tag = || self.tags.contains(name).then_some(DataType::Tag);
        match cast {
            // In 1.x, a type error in one source hides the name's types in all sources.
            None if self.invalid.contains(name) => DataType::Unknown,
            None => field().or_else(tag).unwrap_or(DataType::Unknown),
            // In 1.x, a tag with a cast to a field has no type, even if the tag is a column.
            Some(Cast::Field) => {
                field().filter(|known| *known != DataType::Tag).unwrap_or(DataType::Unknown)
            }
            Some(cast) => cast_type(cast).map_or(DataType::Tag, DataType::from),
        }
    }
}

/// Replaces every reference's cast with its resolved type, so that the expression prints as in 1.x.
pub(crate) fn bind(expr: &mut Expr, names: &KnownNames) {
    match expr {
        Expr::VarRef { name, cast } => {
            *cast = match *cast {
                None | Some(Cast::Field) if names.invalid.contains(name.as_str()) => None,
                own => bound_cast(names.resolve(name, own)).or(own),
            };
        }
        _ => operands_mut(expr).for_each(|operand| bind(operand, names)),
    }
}

/// Marks the fields in a condition. A name that is a field in one source is not a tag in another.
/// With `typed`, each field has its highest-precedence type among the sources, as in 1.x. In a
/// source with another type, the value is missing or is a converted number. Without `typed`, all
/// sources are subqueries, whose values keep their types.
pub(crate) fn bind_fields(expr: &mut Expr, names: &KnownNames, typed: bool) {
    match expr {
        Expr::VarRef { name, cast: cast @ (None | Some(Cast::Field)) } => {
            let is_tag_column = names.fields.get(name.as_str()) == Some(&DataType::Tag);
            *cast = match names.resolve(name, Some(Cast::Field)) {
                // In the rows of a subquery, a name without a column is a missing tag, even if the
                // condition casts the name to a field. The same applies to a name that no source
                // has.
                DataType::Unknown if !typed || names.resolve(name, None) == DataType::Unknown => {
                    None
                }
                // In another source, the name is a tag.
                DataType::Unknown if is_tag_column => cast.or(Some(Cast::Tag)),
                DataType::Unknown => *cast,
                known if typed => bound_cast(known),
                _ => Some(Cast::Field),
            };
        }
        _ => operands_mut(expr).for_each(|operand| bind_fields(operand, names, typed)),
    }
}

/// Returns `None` for a cast to any field or to a tag.
pub(super) fn cast_type(cast: Cast) -> Option<FieldType> {
    Some(match cast {
        Cast::Float => FieldType::Float,
        Cast::Integer => FieldType::Integer,
        Cast::Unsigned => FieldType::Unsigned,
        Cast::String => FieldType::String,
        Cast::Boolean => FieldType::Boolean,
        Cast::Field | Cast::Tag => return None,
    })
}

/// Returns `None` if the type is unknown.
pub(super) fn bound_cast(data_type: DataType) -> Option<Cast> {
    Some(match data_type {
        DataType::Unknown => return None,
        DataType::Tag => Cast::Tag,
        DataType::Boolean => Cast::Boolean,
        DataType::String => Cast::String,
        DataType::Unsigned => Cast::Unsigned,
        DataType::Integer => Cast::Integer,
        DataType::Float => Cast::Float,
    })
}

pub(crate) fn type_of(expr: &Expr, names: &KnownNames) -> Result<DataType> {
    Ok(match expr {
        Expr::VarRef { name, cast } => names.resolve(name, *cast),
        Expr::Paren(inner) => type_of(inner, names)?,
        Expr::Call { name, args } => call(name, args, names)?,
        Expr::Binary { op, left, right } => {
            let literals = (fields::is_literal(left), fields::is_literal(right));
            let (left, right) = (type_of(left, names)?, type_of(right, names)?);
            if let Some(reason) = signs_clash(left, right, literals) {
                return invalid(format!("type error: {expr}: cannot use {op} {reason}"));
            }
            match (left, right) {
                (DataType::Unknown, known) | (known, DataType::Unknown) => known,
                _ => operator(*op, left, right).ok_or_else(|| {
                    let (left, right) = (left.name(), right.name());
                    QueryError::Invalid(format!(
                        "type error: {expr}: incompatible types: {left} and {right}"
                    ))
                })?,
            }
        }
        _ => literal(expr).map_or(DataType::Unknown, |value| value.field_type().into()),
    })
}

/// Returns the type of a subquery's column in the outer statement. Returns `None` if the column's
/// expression has a type error, or reads a column with a type error (1.x `evalVarRefExprType`). A
/// tag with a cast to a field has the type of the tag, although only a field has values.
pub(crate) fn column_type(expr: &Expr, names: &KnownNames) -> Option<DataType> {
    if reads_invalid(expr, names) {
        return None;
    }
    let mut expr = expr.clone();
    uncast_tags(&mut expr, names);
    type_of(&expr, names).ok()
}

/// Removes the casts of tags to fields.
fn uncast_tags(expr: &mut Expr, names: &KnownNames) {
    match expr {
        Expr::VarRef { name, cast: cast @ Some(Cast::Field) } => {
            let column = names.fields.get(name.as_str());
            *cast = cast.filter(|_| column.is_some_and(|known| *known != DataType::Tag));
        }
        _ => operands_mut(expr).for_each(|operand| uncast_tags(operand, names)),
    }
}

fn reads_invalid(expr: &Expr, names: &KnownNames) -> bool {
    match expr {
        // A wildcard expands to casts to any field. If another source has the field, 1.x uses its
        // type.
        Expr::VarRef { name, cast: cast @ (None | Some(Cast::Field)) } => {
            let is_unknown = names.resolve(name, *cast) == DataType::Unknown;
            is_unknown && names.invalid.contains(name.as_str())
        }
        _ => operands(expr).any(|operand| reads_invalid(operand, names)),
    }
}

/// Returns the reason why an integer and an unsigned integer cannot be combined; `None` if the
/// combination is valid. Only an integer literal is converted automatically. `literals` specifies
/// for each side whether the side is a literal.
fn signs_clash(left: DataType, right: DataType, literals: (bool, bool)) -> Option<&'static str> {
    let (unsigned_literal, integer_literal) = match (left, right) {
        (DataType::Unsigned, DataType::Integer) => literals,
        (DataType::Integer, DataType::Unsigned) => (literals.1, literals.0),
        _ => return None,
    };
    if unsigned_literal {
        Some("with an integer and unsigned literal")
    } else if integer_literal {
        None
    } else {
        Some("between an integer and unsigned, an explicit cast is required")
    }
}

/// Returns a call's type (1.x `FunctionTypeMapper.CallType`, `MathTypeMapper.CallType`). A
/// mathematical function of a string or boolean is always null but has its argument's type.
fn call(name: &str, args: &[Expr], names: &KnownNames) -> Result<DataType> {
    let types = args.iter().map(|arg| type_of(arg, names)).collect::<Result<Vec<_>, _>>()?;
    let first = types.first().copied().unwrap_or(DataType::Unknown);
    // An earlier check rejects unknown functions.
    let Some(function) = Function::find(name) else { return Ok(first) };
    let takes_first = first == DataType::Unknown || function.takes.includes(first);
    let is_mathematics = function.kind == Kind::Mathematics;
    Ok(if is_mathematics && !takes_first { first } else { function.output.over(first) })
}

/// Returns the type that 1.x's `Eval` returns for zero values; `None` for incompatible types.
fn operator(op: BinaryOp, left: DataType, right: DataType) -> Option<DataType> {
    use DataType::{Boolean, Float, Integer, Unsigned};
    let bitwise = matches!(op, BinaryOp::BitwiseAnd | BinaryOp::BitwiseOr | BinaryOp::BitwiseXor);
    match (left, right) {
        (Boolean, _) => bitwise.then_some(Boolean),
        (Float, other) | (other, Float) if other.is_number() => (!bitwise).then_some(Float),
        (Integer, Integer) => Some(Integer),
        (Integer | Unsigned, Integer | Unsigned) => Some(Unsigned),
        _ => None,
    }
}
