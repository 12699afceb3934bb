//! Expands the wildcards and regexes in fields and GROUP BY (1.x `RewriteFields`).

use std::collections::{BTreeMap, BTreeSet};

use super::plan_size::PlanSize;
use super::resolve::KnownNames;
use super::result_names::name_of;
use crate::influxql::ast::{Cast, Dimension, Expr, Field, WildcardKind};
use crate::model::regex::Pattern;
use crate::query::data_type::DataType;
use crate::query::error::QueryError;
use crate::query::functions::Function;

/// The columns of `*`, sorted by name: all fields, and all tags that are not dimensions.
struct Columns<'a> {
    list: Vec<(&'a str, DataType)>,
    size: &'a PlanSize,
    /// For each regex text, the positions of the matching columns.
    matches: BTreeMap<String, Vec<usize>>,
}

/// Expands `fields` and `dimensions`. The returned dimensions do not contain `time()`.
///
/// # Errors
/// [`QueryError::Invalid`] with 1.x's text.
pub(crate) fn expand(
    fields: Vec<Field>,
    dimensions: &[Dimension],
    (names, size): (&KnownNames, &PlanSize),
) -> Result<(Vec<Field>, Vec<String>), QueryError> {
    let wild = |expr: &Expr| matches!(expr, Expr::Wildcard(_) | Expr::Regex(_));
    let wild_dimensions = dimensions.iter().any(|dimension| wild(&dimension.expr));
    let shown = names.fields.iter().filter(|(name, _)| !names.hidden.contains_key(*name));
    let mut list: Vec<(&str, DataType)> =
        shown.map(|(name, data_type)| (&**name, *data_type)).collect();
    if !wild_dimensions && !list.is_empty() {
        let grouped = dimensions.iter().filter_map(|dimension| match &dimension.expr {
            Expr::VarRef { name, .. } => Some(name.as_str()),
            _ => None,
        });
        let grouped: BTreeSet<&str> = grouped.collect();
        let tags = names.tags.keys().filter(|tag| !grouped.contains(&***tag));
        list.extend(tags.map(|tag| (&**tag, DataType::Tag)));
        // The sort is stable and fields come first, so a field precedes a tag of the same name.
        list.sort_by(|left, right| left.0.cmp(right.0));
    }
    let mut columns = Columns { list, size, matches: BTreeMap::new() };
    let mut expanded = Vec::with_capacity(fields.len());
    for field in fields {
        columns.field(field, &mut expanded)?;
    }
    Ok((expanded, group_keys(dimensions, names, size)?))
}

fn group_keys(
    dimensions: &[Dimension],
    names: &KnownNames,
    size: &PlanSize,
) -> Result<Vec<String>, QueryError> {
    let mut keys: BTreeSet<String> = BTreeSet::new();
    let mut regexes: BTreeSet<&str> = BTreeSet::new();
    let mut has_all = false;
    for dimension in dimensions {
        match &dimension.expr {
            Expr::VarRef { name, .. } => {
                keys.insert(name.clone());
            }
            Expr::Wildcard(_) if !std::mem::replace(&mut has_all, true) => {
                keys.extend(names.tags.keys().map(|tag| tag.to_string()));
            }
            Expr::Regex(regex) if regexes.insert(regex.as_str()) => {
                let pattern = Pattern::new(regex.as_str())?;
                let matching = names.tags.keys().filter(|tag| pattern.is_match(tag));
                keys.extend(matching.map(|tag| tag.to_string()));
            }
            _ => {}
        }
    }
    size.add_entries(keys.len())?;
    Ok(keys.into_iter().collect())
}

fn reference(name: &str, data_type: DataType) -> Expr {
    let cast = if data_type == DataType::Tag { Cast::Tag } else { Cast::Field };
    Expr::VarRef { name: name.to_owned(), cast: Some(cast) }
}

impl Columns<'_> {
    fn field(&mut self, field: Field, out: &mut Vec<Field>) -> Result<(), QueryError> {
        let places = match &field.expr {
            Expr::Wildcard(kind) => self.places(None, |data_type| match kind {
                WildcardKind::All => true,
                WildcardKind::Field => data_type != DataType::Tag,
                WildcardKind::Tag => data_type == DataType::Tag,
            })?,
            Expr::Regex(regex) => self.places(Some(regex.as_str()), |_| true)?,
            Expr::Call { .. } => return self.call(field, out),
            other => {
                self.size.add_columns(other, 1)?;
                out.push(field);
                return Ok(());
            }
        };
        self.size.add_columns(&field.expr, places.len())?;
        let columns = places.iter().filter_map(|&place| self.list.get(place));
        out.extend(
            columns
                .map(|(name, data_type)| Field { expr: reference(name, *data_type), alias: None }),
        );
        Ok(())
    }

    fn call(&mut self, field: Field, out: &mut Vec<Field>) -> Result<(), QueryError> {
        let (name, argument) = innermost(&field.expr);
        let regex = match argument {
            Some(Expr::Wildcard(WildcardKind::Tag)) => {
                return Err(QueryError::Invalid(format!("unable to use tag wildcard in {name}()")));
            }
            Some(Expr::Wildcard(_)) => None,
            Some(Expr::Regex(regex)) => Some(regex.as_str()),
            _ => {
                self.size.add_columns(&field.expr, 1)?;
                out.push(field);
                return Ok(());
            }
        };
        let function = Function::find(name);
        let takes = |data_type: DataType| match data_type {
            DataType::Tag | DataType::Unknown => false,
            field => function.is_some_and(|function| function.takes.includes(field)),
        };
        let places = self.places(regex, takes)?;
        self.size.add_columns(&field.expr, places.len())?;
        let prefix = name_of(&field);
        for (column, data_type) in places.iter().filter_map(|&place| self.list.get(place)) {
            let mut expr = field.expr.clone();
            replace_innermost(&mut expr, reference(column, *data_type));
            out.push(Field { expr, alias: Some(format!("{prefix}_{column}")) });
        }
        Ok(())
    }

    /// Returns the positions of the columns whose types satisfy `takes` and whose names match
    /// `regex`, if given.
    fn places(
        &mut self,
        regex: Option<&str>,
        takes: impl Fn(DataType) -> bool,
    ) -> Result<Vec<usize>, QueryError> {
        let is_taken = |&place: &usize| self.list.get(place).is_some_and(|(_, of)| takes(*of));
        let Some(regex) = regex else {
            return Ok((0..self.list.len()).filter(is_taken).collect());
        };
        if let Some(places) = self.matches.get(regex) {
            return Ok(places.iter().copied().filter(is_taken).collect());
        }
        let pattern = Pattern::new(regex)?;
        let all = self.list.iter().enumerate();
        let places = all.filter(|(_, (name, _))| pattern.is_match(name)).map(|(place, _)| place);
        let places: Vec<usize> = places.collect();
        let taken = places.iter().copied().filter(is_taken).collect();
        self.matches.insert(regex.to_owned(), places);
        Ok(taken)
    }
}

/// Follows the first arguments to the innermost call. Returns its name and its first argument.
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
