//! Resolves the names of a checked SELECT in the schemas, and expands its wildcards.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::context::{Context, PolicyView};
use super::expand;
use super::plan_size::PlanSize;
use super::resolve::{self, KnownNames};
use super::result_names;
use super::statement::CheckedSelect;
use super::subquery::{self, SubqueryColumn};
use crate::influxql::ast::{Cast, Expr, Field, Measurement, MeasurementName, Source};
use crate::model::configurable_limits::Limit;
use crate::model::limits::SOURCES_PER_MEASUREMENT_MAX;
use crate::model::regex::Pattern;
use crate::model::schema::{MeasurementSchema, PolicySchema};
use crate::query::error::QueryError;
use crate::query::functions::{self, Function};

/// The measurements in FROM by name. Policies and subqueries may share a measurement's name.
pub(super) type Measurements<'a> = BTreeMap<String, Vec<FromMeasurement<'a>>>;

#[derive(Clone, Debug)]
pub(crate) struct FromMeasurement<'a> {
    pub(crate) origin: Origin<'a>,
    /// For a subquery, whether its rows are the input of functions that read the previous window;
    /// `None` for a measurement.
    pub(crate) before: Option<bool>,
    pub(crate) schema: Cow<'a, MeasurementSchema>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    Policy(&'a PolicyView<'a>),
    /// The position in the statement's subqueries.
    Subquery(usize),
}

pub(crate) struct Prepared<'a> {
    pub(super) checked: &'a CheckedSelect<'a>,
    pub(super) measurements: Measurements<'a>,
    pub(super) known: KnownNames,
    /// The expanded fields. The flag marks a tag column that top() or bottom() adds.
    pub(super) shown: Vec<(Field, bool)>,
    pub(super) group_keys: Vec<String>,
    pub(super) subqueries: Vec<Prepared<'a>>,
    pub(super) buckets_max: u64,
    pub(super) size: &'a PlanSize,
}

pub(crate) fn prepare<'a>(
    checked: &'a CheckedSelect<'a>,
    context: &'a Context<'a>,
    size: &'a PlanSize,
) -> Result<Prepared<'a>, QueryError> {
    let subqueries = checked.subqueries.iter().map(|inner| prepare(inner, context, size));
    let subqueries = subqueries.collect::<Result<Vec<_>, QueryError>>()?;
    let measurements = measurements(checked, context, size)?;
    let mut known = KnownNames::default();
    for sources in measurements.values() {
        let mut policies = BTreeSet::new();
        for found in sources {
            // If FROM names a measurement again, the repetition adds no names.
            if let Origin::Policy(policy) = found.origin
                && policies.insert(&policy.name)
            {
                size.add_entries(found.schema.columns.len())?;
                known.add_measurement(&found.schema);
            }
        }
    }
    for inner in &subqueries {
        subquery::add_names(inner, &mut known)?;
    }
    let mut fields = checked.fields.clone();
    if checked.reads_only_subqueries() {
        fields.iter_mut().for_each(|field| remove_casts(&mut field.expr, &known, false));
    }
    fields.iter_mut().for_each(|field| resolve::bind(&mut field.expr, &known));
    let (fields, group_keys) = expand::expand(fields, &checked.select.dimensions, &known, size)?;
    for field in &fields {
        resolve::type_of(&field.expr, &known)?;
    }
    let shown = with_tag_arguments(&fields);
    let buckets_max = context.limits.get(Limit::Buckets) as u64;
    Ok(Prepared { checked, measurements, known, shown, group_keys, subqueries, buckets_max, size })
}

/// Removes casts that have no effect on a subquery's columns: 1.x converts only numbers to numbers
/// (`castToType`). A function (`called`) reads only values of its argument's type.
fn remove_casts(expr: &mut Expr, known: &KnownNames, called: bool) {
    match expr {
        Expr::VarRef { name, cast } => {
            let own = known.fields.get(name.as_str()).copied();
            let is_kept = match cast {
                Some(Cast::Float | Cast::Integer | Cast::Unsigned) => {
                    own.is_some_and(|own| own.is_number() || called)
                }
                Some(Cast::String | Cast::Boolean) => own.is_some() && called,
                Some(Cast::Field | Cast::Tag) | None => false,
            };
            if !is_kept {
                *cast = None;
            }
        }
        Expr::Binary { left, right, .. } => {
            remove_casts(left, known, called);
            remove_casts(right, known, called);
        }
        Expr::Paren(inner) => remove_casts(inner, known, called),
        Expr::Call { name, args } => {
            let called = called || Function::mathematics(name).is_none();
            args.iter_mut().for_each(|arg| remove_casts(arg, known, called));
        }
        _ => {}
    }
}

impl Prepared<'_> {
    /// Returns the columns except the time. The tag arguments of `top` and `bottom` are hidden. The
    /// outer statement can read a hidden column unless a visible column has its name.
    pub(crate) fn visible_columns(&self) -> Result<Vec<SubqueryColumn>, QueryError> {
        let written: Vec<Field> = (self.shown.iter())
            .filter(|(_, brought)| !brought)
            .map(|(field, _)| field.clone())
            .collect();
        let mut names = result_names::column_names(&written).into_iter();
        let mut columns = Vec::with_capacity(self.shown.len());
        for ((field, hidden), position) in self.shown.iter().zip(1..) {
            let data_type = resolve::type_of(&field.expr, &self.known)?;
            let written = if *hidden { None } else { names.next() };
            let name = written.unwrap_or_else(|| result_names::field_name(&field.expr));
            columns.push(SubqueryColumn { name, data_type, position, hidden: *hidden });
        }
        let shown = columns.iter().filter(|column: &&SubqueryColumn| !column.hidden);
        let shown: BTreeSet<&str> = shown.map(|column| column.name.as_str()).collect();
        let is_taken = |c: &SubqueryColumn| c.hidden && shown.contains(c.name.as_str());
        let taken: Vec<bool> = columns.iter().map(is_taken).collect();
        let free = columns.into_iter().zip(taken).filter(|(_, taken)| !taken);
        Ok(free.map(|(column, _)| column).collect())
    }

    pub(crate) fn group_keys(&self) -> &[String] {
        &self.group_keys
    }
}

fn with_tag_arguments(fields: &[Field]) -> Vec<(Field, bool)> {
    let mut all = Vec::with_capacity(fields.len());
    for field in fields {
        all.push((field.clone(), false));
        if let Expr::Call { name, args } = &field.expr
            && functions::takes_tags(name)
        {
            let tags = args.iter().skip(1).filter(|arg| matches!(arg, Expr::VarRef { .. }));
            all.extend(tags.map(|tag| (Field { expr: tag.clone(), alias: None }, true)));
        }
    }
    all
}

pub(crate) fn named<'a>(
    source: &Measurement,
    schema: &'a PolicySchema,
) -> Result<Vec<(&'a str, &'a MeasurementSchema)>, QueryError> {
    let all = schema.measurements.iter().map(|(name, schema)| (name.as_str(), schema.as_ref()));
    Ok(match &source.name {
        MeasurementName::Name(name) => {
            let one = schema.measurements.get_key_value(name);
            one.map(|(name, schema)| (name.as_str(), schema.as_ref())).into_iter().collect()
        }
        MeasurementName::Regex(regex) => {
            let pattern = Pattern::new(regex.as_str())?;
            all.filter(|(name, _)| pattern.is_match(name)).collect()
        }
    })
}

fn measurements<'a>(
    checked: &CheckedSelect<'_>,
    context: &'a Context<'a>,
    size: &PlanSize,
) -> Result<Measurements<'a>, QueryError> {
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
        let (policy, named) = match meanings.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let name = context.defaults.resolve(database, policy)?;
                let policy = context.policies.iter().find(|view| view.name == name);
                let policy = policy.ok_or_else(|| match &name.policy {
                    Some(policy) => QueryError::PolicyNotFound(policy.clone()),
                    None => QueryError::DatabaseNotFound(name.database.clone()),
                })?;
                place.insert((policy, named(measurement, policy.schema)?))
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
            let (origin, schema) = (Origin::Policy(policy), Cow::Borrowed(*schema));
            sources.push(FromMeasurement { origin, before: None, schema });
        }
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
