//! Finds fields that have different types in different measurements, for example a string and a
//! number.
//!
//! In a statement, a field name has the highest-precedence type among all sources, and fields of
//! other types return no values. Numeric types do not clash, because numbers are converted.
//!
//! After a delete has removed all rows of a measurement, 1.x ignores the measurement, but this
//! server's schema still contains the measurement's types. The caller therefore queries the shards
//! for rows of the returned measurements, and omits the measurements without rows.

use std::collections::{BTreeMap, BTreeSet};

use super::mentions::own_mentions;
use super::{COLUMN_WORK, PolicyView, prepare};
use crate::source::Defaults;
use crate::work::Work;
use tidemark_influxql::ast::{MeasurementName, SelectStatement, Source};
use tidemark_model::regex::Patterns;
use tidemark_model::schema::MeasurementSchema;
use tidemark_model::value::FieldType;

/// The position of a policy, and the name of a measurement in the policy.
pub type ClashPosition = (usize, String);

/// Returns the measurements of `select` and its subqueries in which the types of a mentioned name
/// clash. The list is empty if the statement cannot be compiled. Spends units of `work` for each
/// column, and for each measurement that is compared with a regex. Awaits only [`Work::spend`].
pub async fn clashing(
    select: &SelectStatement,
    defaults: Defaults<'_>,
    policies: &[PolicyView<'_>],
    work: &Work,
) -> Vec<ClashPosition> {
    let (patterns, read, seen) = (Patterns::limited(), BTreeMap::new(), BTreeSet::new());
    let mut measurements = Measurements { defaults, policies, patterns, work, read, seen };
    measurements.collect(select).await;
    let read = measurements.read;
    if read.len() < 2 {
        return Vec::new();
    }
    let mut mentioned = Some(BTreeSet::new());
    mentions_of(select, &mut mentioned);
    let mut kinds: BTreeMap<&str, FieldType> = BTreeMap::new();
    let mut clashing: BTreeSet<&str> = BTreeSet::new();
    for schema in read.values() {
        work.spend(COLUMN_WORK * schema.columns.len()).await;
        for (column, field_type) in schema.fields() {
            let name = column.key.as_str();
            if mentioned.as_ref().is_some_and(|mentioned| !mentioned.contains(name)) {
                continue;
            }
            if *kinds.entry(name).or_insert(kind(field_type)) != kind(field_type) {
                clashing.insert(name);
            }
        }
    }
    let mut found = Vec::new();
    if clashing.is_empty() {
        return found;
    }
    for (place, schema) in read {
        work.spend(COLUMN_WORK * schema.columns.len()).await;
        if schema.fields().any(|(column, _)| clashing.contains(column.key.as_str())) {
            found.push(place);
        }
    }
    found
}

/// Returns the kind of a type. All numeric types have the same kind.
fn kind(field_type: FieldType) -> FieldType {
    match field_type {
        FieldType::Integer | FieldType::Unsigned => FieldType::Float,
        other => other,
    }
}

/// The database, the policy, and the measurement or regex, as written.
type Seen<'s> = (Option<&'s str>, Option<&'s str>, (bool, &'s str));

/// The measurements of a statement and its subqueries.
struct Measurements<'a, 's> {
    defaults: Defaults<'a>,
    policies: &'a [PolicyView<'a>],
    patterns: Patterns,
    work: &'a Work,
    read: BTreeMap<ClashPosition, &'a MeasurementSchema>,
    /// The sources that were collected.
    seen: BTreeSet<Seen<'s>>,
}

impl<'s> Measurements<'_, 's> {
    async fn collect(&mut self, select: &'s SelectStatement) {
        for source in &select.sources {
            let measurement = match source {
                Source::Measurement(measurement) => measurement,
                Source::Subquery(inner) => {
                    Box::pin(self.collect(inner)).await;
                    continue;
                }
            };
            let database = measurement.database.as_deref();
            let policy = measurement.policy.as_deref();
            if !self.seen.insert((database, policy, prepare::source_text(&measurement.name))) {
                continue;
            }
            let Ok(name) = self.defaults.resolve(database, policy) else { continue };
            let position = self.policies.iter().position(|view| view.name == name);
            let Some(position) = position else { continue };
            let schema = self.policies.get(position).map(|view| view.schema);
            if let MeasurementName::Regex(_) = measurement.name {
                let compared = schema.map_or(0, |schema| schema.measurements.len());
                // The call of `named` below compiles this source's regex. Its work counts at the
                // next source.
                self.work.spend(compared + self.patterns.take_work()).await;
            }
            let patterns = &self.patterns;
            let named = |schema| prepare::named(measurement, schema, patterns).unwrap_or_default();
            for (name, schema) in schema.into_iter().flat_map(named) {
                self.read.insert((position, name.to_owned()), schema);
            }
        }
    }
}

/// Collects the names that `select` and its subqueries mention. `None` means all names.
fn mentions_of<'a>(select: &'a SelectStatement, mentioned: &mut Option<BTreeSet<&'a str>>) {
    own_mentions(select, mentioned);
    for source in &select.sources {
        if let Source::Subquery(inner) = source {
            mentions_of(inner, mentioned);
        }
    }
}
