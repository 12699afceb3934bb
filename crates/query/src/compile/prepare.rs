//! Resolves the names of a checked SELECT in the schemas, and expands its wildcards. Exposes a
//! subquery as a measurement: columns become fields, and dimensions become tags.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::rc::Rc;

use super::expand;
use super::mentions::{mentions, own_mentions};
use super::plan_size::{PATTERNS_BYTES_MAX, PlanSize};
use super::resolve::{self, KnownNames};
use super::result_names;
use super::statement::CheckedSelect;
use super::{COLUMN_WORK, Context, PolicyView, operands, operands_mut};
use crate::data_type::DataType;
use crate::error::{QueryError, Result};
use crate::functions::{self, Function};
use crate::plan::{DerivedField, DerivedFrom, SelectNode, Subquery};
use tidemark_engine::scan::math::MathFunction;
use tidemark_influxql::ast::{
    Cast, Expr, Field, Measurement, MeasurementName, SelectStatement, Source,
};
use tidemark_model::configurable_limits::Limit;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::limits::SOURCES_PER_MEASUREMENT_MAX;
use tidemark_model::regex::Patterns;
use tidemark_model::schema::{ColumnDefinition, ColumnKind, MeasurementSchema, PolicySchema};
use tidemark_model::value::FieldType;

/// The measurements in FROM by name. Policies and subqueries may share a measurement's name.
pub(super) type Measurements<'a> = BTreeMap<String, Vec<FromMeasurement<'a>>>;

/// A source of a SELECT: one measurement of a policy, or the result of a subquery.
#[derive(Clone, Debug)]
pub(crate) struct FromMeasurement<'a> {
    pub(crate) origin: Origin<'a>,
    pub(crate) schema: SourceSchema<'a>,
}

/// The columns of a source.
#[derive(Clone, Debug)]
pub(crate) enum SourceSchema<'a> {
    Stored(&'a MeasurementSchema),
    /// The columns of a subquery, which all its measurements share. The name is empty.
    Derived(Rc<MeasurementSchema>),
}

impl Deref for SourceSchema<'_> {
    type Target = MeasurementSchema;

    fn deref(&self) -> &MeasurementSchema {
        match self {
            Self::Stored(schema) => schema,
            Self::Derived(schema) => schema,
        }
    }
}

/// The policy or the subquery that a source reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    Policy(&'a PolicyView<'a>),
    /// The position in the statement's subqueries, and the number of windows before the range that
    /// the rows include.
    Subquery(usize, u32),
}

/// A checked SELECT whose names are resolved and whose wildcards are expanded.
pub(crate) struct Prepared<'a> {
    pub(super) checked: &'a CheckedSelect<'a>,
    pub(super) measurements: Measurements<'a>,
    pub(super) known: KnownNames,
    /// The expanded fields. The flag marks a tag column that top() or bottom() adds.
    pub(super) shown: Vec<(Field, bool)>,
    pub(super) group_keys: Vec<String>,
    /// The columns that the outer statement can read; empty for the outermost statement.
    pub(super) columns: Vec<SubqueryColumn>,
    pub(super) subqueries: Vec<Prepared<'a>>,
    pub(super) query_windows_max: u64,
    pub(super) size: &'a PlanSize,
}

/// The work of adding a measurement that a source names.
const FOUND_WORK: usize = 4;
/// The work of preparing a SELECT without its columns and sources.
const SELECT_WORK: usize = 400;

pub(crate) async fn prepare<'a>(
    checked: &'a CheckedSelect<'a>,
    context: &'a Context<'a>,
    size: &'a PlanSize,
) -> Result<Prepared<'a>> {
    let mut subqueries = Vec::with_capacity(checked.subqueries.len());
    for inner in &checked.subqueries {
        subqueries.push(Box::pin(prepare(inner, context, size)).await?);
    }
    let measurements = measurements(checked, context, size).await?;
    let mut known = KnownNames::default();
    let mentioned = mentioned(checked.select);
    for sources in measurements.values() {
        let mut policies = BTreeSet::new();
        for found in sources {
            // If FROM names a measurement again, the repetition adds no names.
            if let Origin::Policy(policy) = found.origin
                && policies.insert(&policy.name)
            {
                size.add_entries(found.schema.columns.len())?;
                known.add_measurement(&found.schema, mentioned.as_ref());
                size.spend(COLUMN_WORK * found.schema.columns.len()).await;
            }
        }
    }
    for inner in &subqueries {
        add_names(inner, &mut known);
        size.spend_columns(inner.columns.len()).await;
    }
    let mut fields = checked.fields.clone();
    for field in &mut fields {
        resolve::bind(&mut field.expr, &known);
        size.spend(1).await;
    }
    let (fields, group_keys) =
        expand::expand(fields, &checked.select.dimensions, &known, size).await?;
    let mut shown = Vec::with_capacity(fields.len());
    for mut field in fields {
        // As in 1.x, a statement with a type error in a subquery is valid.
        if !checked.facts.nested {
            resolve::type_of(&field.expr, &known)?;
        }
        read_cast_tags(&mut field.expr, &known, false);
        let tags = tag_arguments(&field.expr);
        shown.push((field, false));
        shown.extend(tags);
        size.spend_columns(1).await;
    }
    if checked.select.into.is_some() {
        // The statement writes its last columns as tags.
        shown.sort_by_key(|(_, is_argument)| *is_argument);
    }
    let mut columns = Vec::new();
    if checked.facts.nested {
        columns = visible_columns(&shown, &known, size).await;
    }
    let has_names = shown.iter().any(|(field, _)| reads_known(&field.expr, &known));
    if checked.reads_only_subqueries() && has_names {
        for (Field { expr, .. }, _) in &mut shown {
            remove_casts(expr, &known, false);
            resolve::bind(expr, &known);
            size.spend_columns(1).await;
        }
        for column in &mut columns {
            let field = shown.get(column.position.saturating_sub(1));
            column.value_type =
                field.and_then(|(field, _)| resolve::column_type(&field.expr, &known));
            size.spend_columns(1).await;
        }
    }
    size.spend(SELECT_WORK).await;
    let query_windows_max = context.limits.get(Limit::Buckets) as u64;
    Ok(Prepared {
        checked,
        measurements,
        known,
        shown,
        group_keys,
        columns,
        subqueries,
        query_windows_max,
        size,
    })
}

/// Returns the names that the statement mentions outside of its subqueries; `None` if it has a
/// wildcard or a regex for names.
fn mentioned(select: &SelectStatement) -> Option<BTreeSet<&str>> {
    let mut names = Some(BTreeSet::new());
    own_mentions(select, &mut names);
    select.dimensions.iter().for_each(|dimension| mentions(dimension, &mut names));
    names
}

/// Whether the expression has a call, or a name with a type. As in 1.x, a statement without calls
/// and types returns no rows, for example if the statement selects only `tag::field`.
fn reads_known(expr: &Expr, known: &KnownNames) -> bool {
    match expr {
        Expr::VarRef { name, cast } => known.resolve(name, *cast) != DataType::Unknown,
        Expr::Call { name, .. } if MathFunction::named(name).is_none() => true,
        _ => operands(expr).any(|operand| reads_known(operand, known)),
    }
}

/// Replaces the cast of a subquery's tag to a field with a cast to a tag, inside calls whose type
/// does not depend on the argument (`has_type`). 1.x passes the tag's values to such a call as
/// strings. Other calls keep the cast: they have no type, so 1.x skips them.
fn read_cast_tags(expr: &mut Expr, known: &KnownNames, has_type: bool) {
    match expr {
        Expr::VarRef { name, cast: cast @ Some(Cast::Field) } => {
            let is_dimension = known.is_derived(name) && !known.fields.contains_key(name.as_str());
            if has_type && is_dimension {
                *cast = Some(Cast::Tag);
            }
        }
        _ => {
            let called = match expr {
                Expr::Call { name, .. } => Function::find(name),
                _ => None,
            };
            let has_type = has_type || called.is_some_and(Function::has_fixed_type);
            operands_mut(expr).for_each(|operand| read_cast_tags(operand, known, has_type));
        }
    }
}

/// Removes casts that have no effect on the values of a subquery's columns. 1.x converts only
/// numbers, to other numeric types (`castToType`). Inside a function's argument (`called`), a cast
/// to another type remains, because the function then reads no values. A cast of a column without a
/// type also remains, because 1.x then returns rows of nulls.
fn remove_casts(expr: &mut Expr, known: &KnownNames, called: bool) {
    match expr {
        Expr::VarRef { name, cast } => {
            let own = known.fields.get(name.as_str()).copied();
            let has_type = own.is_some_and(|own| own != DataType::Unknown);
            let is_absent = !has_type && !known.tags.contains(name.as_str());
            let is_kept = match *cast {
                Some(Cast::Field) if known.invalid.contains(name.as_str()) => {
                    // Only a column of a wildcard has this cast here, because this cast was removed
                    // from the names in the statement. The column is read from the sources without
                    // a type error.
                    *cast = resolve::bound_cast(known.resolve(name, *cast));
                    true
                }
                // 1.x skips a call without a type.
                Some(Cast::Field) => called && known.is_tag(name),
                None => false,
                Some(_) if is_absent => true,
                Some(Cast::Tag) if called && has_type && own != Some(DataType::Tag) => {
                    // A function reads tags as strings.
                    *cast = Some(Cast::String);
                    true
                }
                Some(Cast::Tag) => false,
                Some(Cast::Float | Cast::Integer | Cast::Unsigned) => {
                    own.is_some_and(|own| own.is_number() || called)
                }
                Some(Cast::String | Cast::Boolean) => own.is_some() && called,
            };
            if !is_kept {
                *cast = None;
            }
        }
        _ => {
            let called = called
                || matches!(expr, Expr::Call { name, .. } if MathFunction::named(name).is_none());
            operands_mut(expr).for_each(|operand| remove_casts(operand, known, called));
        }
    }
}

/// Returns the columns of a subquery except the time. The tag arguments of `top` and `bottom` are
/// hidden. The outer statement can read a hidden column unless a visible column has its name.
async fn visible_columns(
    shown: &[(Field, bool)],
    known: &KnownNames,
    size: &PlanSize,
) -> Vec<SubqueryColumn> {
    let written = shown.iter().filter(|(_, brought)| !brought).map(|(field, _)| field);
    let mut names = result_names::column_names(written, size).await.into_iter();
    let mut columns: Vec<SubqueryColumn> = Vec::with_capacity(shown.len());
    for ((field, hidden), position) in shown.iter().zip(1..) {
        let data_type = resolve::column_type(&field.expr, known);
        let written = if *hidden { None } else { names.next() };
        let name = written.unwrap_or_else(|| field.name());
        let value_type = data_type;
        columns.push(SubqueryColumn { name, data_type, value_type, position, hidden: *hidden });
        size.spend_columns(1).await;
    }
    if columns.iter().any(|column| column.hidden) {
        let shown = columns.iter().filter(|column| !column.hidden);
        let shown: BTreeSet<String> = shown.map(|column| column.name.clone()).collect();
        columns.retain(|column| !column.hidden || !shown.contains(&column.name));
    }
    columns
}

/// Returns the columns that the tag arguments of `top` or `bottom` add.
fn tag_arguments(expr: &Expr) -> Vec<(Field, bool)> {
    match expr {
        Expr::Call { name, args } if functions::takes_tags(name) => {
            let tags = args.iter().skip(1).filter(|arg| matches!(arg, Expr::VarRef { .. }));
            tags.map(|tag| (Field { expr: tag.clone(), alias: None }, true)).collect()
        }
        _ => Vec::new(),
    }
}

pub(crate) fn named<'a>(
    source: &Measurement,
    schema: &'a PolicySchema,
    patterns: &Patterns,
) -> Result<Vec<(&'a str, &'a MeasurementSchema)>> {
    let all = &schema.measurements;
    let found: Vec<_> = match &source.name {
        MeasurementName::Name(name) => all.get_key_value(name).into_iter().collect(),
        MeasurementName::Regex(regex) => {
            let pattern = patterns.get(regex.as_str())?;
            let found = all.iter().filter(|(name, _)| pattern.is_match(name)).collect();
            patterns.clear_above(PATTERNS_BYTES_MAX);
            pattern.check()?;
            found
        }
    };
    Ok(found.into_iter().map(|(name, schema)| (name.as_str(), schema.as_ref())).collect())
}

async fn measurements<'a>(
    checked: &CheckedSelect<'_>,
    context: &'a Context<'a>,
    size: &PlanSize,
) -> Result<Measurements<'a>> {
    let mut found = Measurements::new();
    // Maps each source to its measurements. A regex that FROM repeats is matched only once.
    let mut meanings = BTreeMap::new();
    for source in &checked.select.sources {
        let Source::Measurement(measurement) = source else {
            size.add_sources(1)?;
            continue;
        };
        let (database, policy) = (measurement.database.as_deref(), measurement.policy.as_deref());
        let key = (database, policy, source_text(&measurement.name));
        let mut compared = 0;
        let (policy, named) = match meanings.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let name = context.defaults.resolve(database, policy)?;
                let policy = context.policies.iter().find(|view| view.name == name);
                let policy = policy.ok_or_else(|| match &name.policy {
                    Some(policy) => QueryError::PolicyNotFound(policy.clone()),
                    None => QueryError::DatabaseNotFound(name.database.clone()),
                })?;
                if let MeasurementName::Regex(_) = measurement.name {
                    compared = policy.schema.measurements.len();
                }
                place.insert((policy, named(measurement, policy.schema, &size.patterns)?))
            }
        };
        size.add_sources(named.len())?;
        for (name, schema) in named.iter() {
            if !found.contains_key(*name) {
                found.insert((*name).to_owned(), Vec::new());
            }
            let Some(sources) = found.get_mut(*name) else { continue };
            if sources.len() == SOURCES_PER_MEASUREMENT_MAX {
                return Err(QueryError::SourceRepeated { name: (*name).to_owned() });
            }
            let (origin, schema) = (Origin::Policy(policy), SourceSchema::Stored(schema));
            sources.push(FromMeasurement { origin, schema });
        }
        size.spend(compared + FOUND_WORK * named.len()).await;
    }
    Ok(found)
}

/// Returns whether the source is a regex, and its text.
pub(super) fn source_text(name: &MeasurementName) -> (bool, &str) {
    match name {
        MeasurementName::Name(name) => (false, name),
        MeasurementName::Regex(regex) => (true, regex.as_str()),
    }
}

/// A column of a subquery, as the outer statement reads it.
pub(crate) struct SubqueryColumn {
    pub(crate) name: String,
    /// `None` if the column has a type error.
    pub(crate) data_type: Option<DataType>,
    /// The type of the column's values. A cast can change `data_type`, but converts only numbers.
    pub(crate) value_type: Option<DataType>,
    /// The position in the subquery's columns. Position 0 is the time.
    pub(crate) position: usize,
    pub(crate) hidden: bool,
}

fn add_names(inner: &Prepared<'_>, known: &mut KnownNames) {
    for SubqueryColumn { name, data_type, hidden, .. } in &inner.columns {
        known.add_derived(name);
        match data_type {
            None => known.add_invalid(name),
            Some(data_type) if *hidden => known.add_hidden(name, *data_type),
            Some(data_type) => known.add_field(name, *data_type),
        }
    }
    for key in &inner.group_keys {
        known.add_derived(key);
        known.add_tag(key);
    }
}

/// The tags of the returned schema are numbered like the node's group keys.
pub(crate) fn derive_subquery(
    node: SelectNode,
    columns: &[SubqueryColumn],
    own_keys: &[String],
) -> (Subquery, MeasurementSchema) {
    let mut schema = MeasurementSchema {
        dropped: false,
        id: MeasurementId(0),
        name: String::new(),
        version: 0,
        columns: Vec::new(),
    };
    let mut id = 0;
    let mut add = |key: &str, kind: ColumnKind| {
        let column = ColumnId(id);
        schema.columns.push(ColumnDefinition { id: column, key: key.to_owned(), kind });
        id += 1;
        column
    };
    for key in node.group_keys.iter() {
        add(key, ColumnKind::Tag);
    }
    let mut fields = Vec::new();
    for SubqueryColumn { name, value_type, position, .. } in columns {
        let field_type = match *value_type {
            Some(DataType::Tag) => Some(FieldType::String),
            other => other.and_then(DataType::field_type),
        };
        // A column of unknown type has no values. A condition treats the column as a missing
        // boolean, like 1.x.
        let id = add(name, ColumnKind::Field(field_type.unwrap_or(FieldType::Boolean)));
        if let Some(field_type) = field_type {
            fields.push(DerivedField { id, field_type, from: DerivedFrom::Column(*position) });
        }
    }
    let names: BTreeSet<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let own_keys: BTreeSet<&str> = own_keys.iter().map(String::as_str).collect();
    for (index, key) in node.group_keys.iter().enumerate() {
        // A key is not a field if the subquery groups by it only because of the outer statement.
        if names.contains(key.as_str()) || !own_keys.contains(key.as_str()) {
            continue;
        }
        let field_type = FieldType::String;
        let id = add(key, ColumnKind::Field(field_type));
        fields.push(DerivedField { id, field_type, from: DerivedFrom::Key(index) });
    }
    (Subquery { node: Rc::new(node), fields }, schema)
}
