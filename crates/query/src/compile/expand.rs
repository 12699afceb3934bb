//! Expands the wildcards and regexes in fields and GROUP BY (1.x `RewriteFields`).

use std::collections::{BTreeMap, BTreeSet};

use super::fold::{self, FoldContext};
use super::plan_size::{PATTERNS_BYTES_MAX, PlanSize};
use super::resolve::KnownNames;
use crate::data_type::DataType;
use crate::error::{QueryError, Result};
use crate::functions::Function;
use tidemark_influxql::ast::{Cast, Expr, Field, WildcardKind};
use tidemark_model::regex::Patterns;

/// The columns to which `*` expands: all fields, and the tags that are not dimensions.
struct Columns<'a> {
    list: Vec<(&'a str, DataType)>,
    /// Maps a regex to the positions of the matching columns.
    matches: BTreeMap<String, Vec<usize>>,
    patterns: &'a Patterns,
}

/// The number of columns that are compared with a wildcard or a known regex in one unit of work.
const COMPARED_PER_UNIT: usize = 8;

/// Expands wildcards and regexes. The returned dimensions do not contain `time()`. Awaits only
/// [`PlanSize::spend`].
pub(crate) async fn expand(
    fields: Vec<Field>,
    dimensions: &[Expr],
    names: &KnownNames,
    size: &PlanSize,
) -> Result<(Vec<Field>, Vec<String>)> {
    // Folding removes parentheses.
    let folded = dimensions.iter().map(|expr| fold::fold(expr, FoldContext::default()));
    let dimensions: Vec<Expr> = folded.collect();
    let wild = |expr: &Expr| matches!(expr, Expr::Wildcard(_) | Expr::Regex(_));
    let wild_dimensions = dimensions.iter().any(wild);
    let shown = names.fields.iter().filter(|(name, _)| !names.hidden.contains(*name));
    let mut list: Vec<(&str, DataType)> =
        shown.map(|(name, data_type)| (&**name, *data_type)).collect();
    if !wild_dimensions && !list.is_empty() {
        let grouped = dimensions.iter().filter_map(|dimension| match dimension {
            Expr::VarRef { name, .. } => Some(name.as_str()),
            _ => None,
        });
        let grouped: BTreeSet<&str> = grouped.collect();
        let tags = names.tags.iter().filter(|tag| !grouped.contains(&***tag));
        list.extend(tags.map(|tag| (&**tag, DataType::Tag)));
        // The sort is stable, and the list starts with the fields, so a field precedes the tag with
        // the same name.
        list.sort_by(|left, right| left.0.cmp(right.0));
    }
    let mut columns = Columns { list, matches: BTreeMap::new(), patterns: &size.patterns };
    // Check the number of columns first, before columns use memory.
    let mut places = Vec::with_capacity(fields.len());
    for field in &fields {
        let found = columns.places_of(&field.expr)?;
        size.add_columns(&field.expr, found.as_ref().map_or(1, Vec::len))?;
        let compared = found.as_ref().map_or(0, |_| columns.list.len());
        places.push(found);
        size.spend(1 + compared / COMPARED_PER_UNIT).await;
    }
    let mut expanded = Vec::new();
    for (field, places) in fields.into_iter().zip(places) {
        let before = expanded.len();
        match places {
            Some(places) => columns.expand(&field, &places, &mut expanded),
            None => expanded.push(field),
        }
        size.spend_columns(expanded.len() - before).await;
    }
    Ok((expanded, group_keys(&dimensions, names, size).await?))
}

async fn group_keys(
    dimensions: &[Expr],
    names: &KnownNames,
    size: &PlanSize,
) -> Result<Vec<String>> {
    let mut keys: BTreeSet<String> = BTreeSet::new();
    let mut regexes: BTreeSet<&str> = BTreeSet::new();
    let mut has_all = false;
    for dimension in dimensions {
        match dimension {
            Expr::VarRef { name, .. } => {
                keys.insert(name.clone());
            }
            Expr::Wildcard(_) if !std::mem::replace(&mut has_all, true) => {
                keys.extend(names.tags.iter().map(|tag| tag.to_string()));
            }
            Expr::Regex(regex) if regexes.insert(regex.as_str()) => {
                let pattern = size.patterns.get(regex.as_str())?;
                let matching = names.tags.iter().filter(|tag| pattern.is_match(tag));
                keys.extend(matching.map(|tag| tag.to_string()));
                size.patterns.clear_above(PATTERNS_BYTES_MAX);
                pattern.check()?;
                size.spend(1 + names.tags.len() / COMPARED_PER_UNIT).await;
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
    /// Returns the positions of the columns that replace `expr`; `None` if `expr` has no wildcard
    /// or regex.
    fn places_of(&mut self, expr: &Expr) -> Result<Option<Vec<usize>>> {
        let places = match expr {
            Expr::Wildcard(kind) => self.places(None, |data_type| match kind {
                WildcardKind::All => true,
                WildcardKind::Field => data_type != DataType::Tag,
                WildcardKind::Tag => data_type == DataType::Tag,
            }),
            Expr::Regex(regex) => self.places(Some(regex.as_str()), |_| true),
            Expr::Call { .. } => {
                let (name, argument) = innermost(expr);
                let regex = match argument {
                    Some(Expr::Wildcard(WildcardKind::Tag)) => {
                        let reason = format!("unable to use tag wildcard in {name}()");
                        return Err(QueryError::Invalid(reason));
                    }
                    Some(Expr::Wildcard(_)) => None,
                    Some(Expr::Regex(regex)) => Some(regex.as_str()),
                    _ => return Ok(None),
                };
                let function = Function::find(name);
                self.places(regex, |data_type: DataType| match data_type {
                    DataType::Tag | DataType::Unknown => false,
                    field => function.is_some_and(|function| function.takes.includes(field)),
                })
            }
            _ => return Ok(None),
        };
        places.map(Some)
    }

    fn expand(&self, field: &Field, places: &[usize], out: &mut Vec<Field>) {
        let columns = places.iter().filter_map(|&place| self.list.get(place));
        let prefix = matches!(field.expr, Expr::Call { .. }).then(|| field.name());
        out.extend(columns.map(|(column, data_type)| match &prefix {
            None => Field { expr: reference(column, *data_type), alias: None },
            Some(prefix) => {
                let mut expr = field.expr.clone();
                replace_innermost(&mut expr, reference(column, *data_type));
                Field { expr, alias: Some(format!("{prefix}_{column}")) }
            }
        }));
    }

    /// Returns the positions of the columns with accepted types and names.
    fn places(
        &mut self,
        regex: Option<&str>,
        takes: impl Fn(DataType) -> bool,
    ) -> Result<Vec<usize>> {
        let is_taken = |&place: &usize| self.list.get(place).is_some_and(|(_, of)| takes(*of));
        let Some(regex) = regex else {
            return Ok((0..self.list.len()).filter(is_taken).collect());
        };
        if let Some(places) = self.matches.get(regex) {
            return Ok(places.iter().copied().filter(is_taken).collect());
        }
        let pattern = self.patterns.get(regex)?;
        let all = self.list.iter().enumerate();
        let places = all.filter(|(_, (name, _))| pattern.is_match(name)).map(|(place, _)| place);
        let places: Vec<usize> = places.collect();
        self.patterns.clear_above(PATTERNS_BYTES_MAX);
        pattern.check()?;
        let taken = places.iter().copied().filter(is_taken).collect();
        self.matches.insert(regex.to_owned(), places);
        Ok(taken)
    }
}

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
