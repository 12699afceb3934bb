//! Expands wildcards and regexes of fields and GROUP BY (1.x `RewriteFields`).

use super::resolve::KnownNames;
use super::result_names::name_of;
use crate::influxql::ast::{Cast, Dimension, Expr, Field, WildcardKind};
use crate::model::regex::Pattern;
use crate::query::data_type::DataType;
use crate::query::error::QueryError;
use crate::query::functions::Function;

/// What `*` stands for: fields and, unless they are dimensions, tags, sorted by name.
struct Columns<'a> {
    list: Vec<(&'a str, DataType)>,
}

/// Expands `fields` and `dimensions`, which loses its `time()`.
///
/// # Errors
/// [`QueryError::Invalid`] with 1.x's text.
pub(crate) fn expand(
    fields: Vec<Field>,
    dimensions: &[Dimension],
    names: &KnownNames,
) -> Result<(Vec<Field>, Vec<String>), QueryError> {
    let wild = |expr: &Expr| matches!(expr, Expr::Wildcard(_) | Expr::Regex(_));
    let wild_dimensions = dimensions.iter().any(|dimension| wild(&dimension.expr));
    let shown = names.fields.iter().filter(|(name, _)| !names.hidden.contains_key(*name));
    let mut list: Vec<(&str, DataType)> =
        shown.map(|(name, data_type)| (&**name, *data_type)).collect();
    if !wild_dimensions && !list.is_empty() {
        let grouped = |tag: &str| {
            dimensions.iter().any(
                |dimension| matches!(&dimension.expr, Expr::VarRef { name, .. } if name == tag),
            )
        };
        list.extend(
            names.tags.keys().filter(|tag| !grouped(tag)).map(|tag| (&**tag, DataType::Tag)),
        );
        // Stable, and fields come first: of equal names the field stands before the tag.
        list.sort_by(|left, right| left.0.cmp(right.0));
    }
    let columns = Columns { list };
    let mut expanded = Vec::with_capacity(fields.len());
    for field in fields {
        columns.field(field, &mut expanded)?;
    }
    Ok((expanded, group_keys(dimensions, names)?))
}

fn group_keys(dimensions: &[Dimension], names: &KnownNames) -> Result<Vec<String>, QueryError> {
    let mut keys: Vec<String> = Vec::new();
    for dimension in dimensions {
        match &dimension.expr {
            Expr::VarRef { name, .. } => keys.push(name.clone()),
            Expr::Wildcard(_) => keys.extend(names.tags.keys().map(|tag| tag.to_string())),
            Expr::Regex(regex) => {
                let pattern = Pattern::new(regex.as_str())?;
                let matching = names.tags.keys().filter(|tag| pattern.is_match(tag));
                keys.extend(matching.map(|tag| tag.to_string()));
            }
            _ => {}
        }
    }
    keys.sort();
    keys.dedup();
    Ok(keys)
}

fn reference(name: &str, data_type: DataType) -> Expr {
    let cast = if data_type == DataType::Tag { Cast::Tag } else { Cast::Field };
    Expr::VarRef { name: name.to_owned(), cast: Some(cast) }
}

impl Columns<'_> {
    fn field(&self, field: Field, out: &mut Vec<Field>) -> Result<(), QueryError> {
        match &field.expr {
            Expr::Wildcard(kind) => {
                let kept = self.list.iter().filter(|(_, data_type)| match kind {
                    WildcardKind::All => true,
                    WildcardKind::Field => *data_type != DataType::Tag,
                    WildcardKind::Tag => *data_type == DataType::Tag,
                });
                out.extend(kept.map(|(name, data_type)| Field {
                    expr: reference(name, *data_type),
                    alias: None,
                }));
            }
            Expr::Regex(regex) => {
                let pattern = Pattern::new(regex.as_str())?;
                let kept = self.list.iter().filter(|(name, _)| pattern.is_match(name));
                out.extend(kept.map(|(name, data_type)| Field {
                    expr: reference(name, *data_type),
                    alias: None,
                }));
            }
            Expr::Call { .. } => self.call(field, out)?,
            _ => out.push(field),
        }
        Ok(())
    }

    fn call(&self, field: Field, out: &mut Vec<Field>) -> Result<(), QueryError> {
        let (name, argument) = innermost(&field.expr);
        let pattern = match argument {
            Some(Expr::Wildcard(WildcardKind::Tag)) => {
                return Err(QueryError::Invalid(format!("unable to use tag wildcard in {name}()")));
            }
            Some(Expr::Wildcard(_)) => None,
            Some(Expr::Regex(regex)) => Some(Pattern::new(regex.as_str())?),
            _ => {
                out.push(field);
                return Ok(());
            }
        };
        let takes = |data_type: DataType| match data_type {
            DataType::Tag | DataType::Unknown => false,
            field => Function::find(name).is_some_and(|function| function.takes.includes(field)),
        };
        let prefix = name_of(&field);
        for (column, data_type) in &self.list {
            if takes(*data_type) && pattern.as_ref().is_none_or(|p| p.is_match(column)) {
                let mut expr = field.expr.clone();
                replace_innermost(&mut expr, reference(column, *data_type));
                out.push(Field { expr, alias: Some(format!("{prefix}_{column}")) });
            }
        }
        Ok(())
    }
}

/// The innermost call reached by first arguments: its name and its first argument.
fn innermost(expr: &Expr) -> (&str, Option<&Expr>) {
    match expr {
        Expr::Call { name, args } => match args.first() {
            Some(inner @ Expr::Call { .. }) => innermost(inner),
            argument => (name, argument),
        },
        _ => ("", None),
    }
}

fn replace_innermost(expr: &mut Expr, with: Expr) {
    if let Expr::Call { args, .. } = expr
        && let Some(first) = args.first_mut()
    {
        match first {
            Expr::Call { .. } => replace_innermost(first, with),
            _ => *first = with,
        }
    }
}
