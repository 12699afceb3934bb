//! What is listed of one measurement, and how it is printed.

use super::cardinality::Count;
use super::measurement_filter::MeasurementFilter;
use super::names::Names;
use super::plan::KeyFilter;
use crate::model::ids::ColumnId;
use crate::model::schema::{ColumnKind, MeasurementSchema};
use crate::model::series::value_hash;
use crate::model::sorted;
use crate::model::sorted_map::SortedMap;
use crate::query::error::QueryError;
use crate::scan::page::MeasurementSummary;

/// Which statement it is.
#[derive(Clone, Debug)]
pub(super) enum Render {
    /// SHOW MEASUREMENTS
    Measurements(Option<MeasurementFilter>),
    /// SHOW MEASUREMENTS ON database.policy: of this database.
    Placed(Option<MeasurementFilter>, String),
    /// SHOW SERIES
    Series,
    /// SHOW TAG KEYS
    TagKeys(Option<KeyFilter>),
    /// SHOW TAG VALUES
    TagValues(KeyFilter),
    /// SHOW FIELD KEYS
    FieldKeys,
    /// SHOW … CARDINALITY
    Count(Count),
}

impl Render {
    /// Names of the columns.
    pub(super) fn columns(&self) -> &'static [&'static str] {
        match self {
            Self::Measurements(_) => &["name"],
            Self::Placed(..) => &["name", "database", "retention policy"],
            Self::Series => &["key"],
            Self::TagKeys(_) => &["tagKey"],
            Self::TagValues(_) => &["key", "value"],
            Self::FieldKeys => &["fieldKey", "fieldType"],
            Self::Count(_) => &["count"],
        }
    }

    /// Whether each measurement is a series of its own.
    pub(super) fn per_measurement(&self) -> bool {
        !matches!(self, Self::Measurements(_) | Self::Placed(..) | Self::Series)
    }
}

/// What the ids of one measurement mean.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The measurement's name.
    pub(super) name: String,
    /// Tags asked for, ascending by key.
    pub(super) tags: Vec<(ColumnId, String)>,
    /// Of which policy.
    policy: String,
    /// All columns.
    pub(super) columns: SortedMap<ColumnId, (String, ColumnKind)>,
}

impl Ask {
    pub(super) fn new(schema: &MeasurementSchema, policy: &str, render: &Render) -> Self {
        let wanted = |key: &str| match render {
            Render::Count(count) => count.wants(key),
            Render::Measurements(Some(filter)) | Render::Placed(Some(filter), _) => {
                filter.leaves.iter().any(|leaf| leaf.key == key)
            }
            Render::TagValues(filter) => filter.accepts(key),
            _ => true,
        };
        let tags = schema.tags().filter(|column| wanted(&column.key));
        let mut tags: Vec<_> = tags.map(|column| (column.id, column.key.clone())).collect();
        sorted::sort_by(&mut tags, |left, right| left.1.cmp(&right.1));
        let columns = schema.columns.iter();
        let columns = columns.map(|c| (c.id, (c.key.clone(), c.kind))).collect();
        Self { name: schema.name.clone(), tags, policy: policy.to_owned(), columns }
    }
}

/// What is known of one measurement so far, from any number of shards.
#[derive(Debug, Default)]
pub(super) struct Listing {
    alive: bool,
    /// Rows to print.
    rows: Names,
    /// For each leaf of the filter: the tag is there, a value hits.
    seen: Vec<(bool, bool)>,
    /// Hashes of what is only counted, any number of times each.
    hashes: Vec<u64>,
    /// Series that no other shard has.
    count: u64,
}

/// Series, or values of tags, of one measurement that one statement may count.
const COUNTED_MAX: usize = 4 << 20;

impl Listing {
    /// Nothing yet; only the first `keep` rows matter, if any number.
    pub(super) fn new(keep: Option<usize>) -> Self {
        Self { rows: Names::new(keep), ..Self::default() }
    }

    /// Adds what one shard says.
    ///
    /// # Errors
    /// [`QueryError::TooLarge`] when a measurement lists too much to be sorted.
    pub(super) fn add(
        &mut self,
        render: &Render,
        ask: &Ask,
        summary: &MeasurementSummary,
    ) -> Result<(), QueryError> {
        self.alive = true;
        let rows = &mut self.rows;
        match render {
            Render::Measurements(filter) => self.test(filter.as_ref(), ask, summary),
            Render::Placed(filter, database) => {
                rows.push(&[&ask.name, database, &ask.policy]);
                self.test(filter.as_ref(), ask, summary);
            }
            Render::Count(count) if count.is_hashed() => {
                self.count += summary.count;
                self.hashes.extend(&summary.hashes);
                let values = summary.items.iter().filter_map(|item| item.get(1));
                self.hashes.extend(values.map(|value| value_hash(0, value)));
            }
            Render::Count(count) => count.names(ask, summary, &mut |row| rows.push(row)),
            Render::Series => {
                for tags in &summary.items {
                    rows.push(&[&series_key(ask, tags)]);
                }
            }
            Render::TagValues(_) => {
                for (key, value) in summary.items.iter().filter_map(|item| tag_value(ask, item)) {
                    rows.push(&[key, value]);
                }
            }
            Render::TagKeys(filter) => {
                for id in &summary.columns {
                    if let Some((key, ColumnKind::Tag)) = ask.columns.get(id)
                        && filter.as_ref().is_none_or(|filter| filter.accepts(key))
                    {
                        rows.push(&[key]);
                    }
                }
            }
            Render::FieldKeys => {
                for id in &summary.columns {
                    if let Some((key, ColumnKind::Field(field_type))) = ask.columns.get(id) {
                        rows.push(&[key, field_type.name()]);
                    }
                }
            }
        }
        if self.hashes.len() > COUNTED_MAX {
            let (what, limit) = ("a measurement of this statement", COUNTED_MAX as u64);
            let unit = "series or values over several shard groups";
            return Err(QueryError::TooManyNames { what, limit, unit });
        }
        self.rows.check()
    }

    /// How many were counted.
    pub(super) fn counted(&mut self) -> u64 {
        if self.hashes.is_empty() {
            return self.count;
        }
        sorted::sort(&mut self.hashes);
        self.hashes.dedup();
        self.hashes.len() as u64
    }

    fn test(
        &mut self,
        filter: Option<&MeasurementFilter>,
        ask: &Ask,
        summary: &MeasurementSummary,
    ) {
        let Some(filter) = filter else { return };
        self.seen.resize(filter.leaves.len(), (false, false));
        for item in &summary.items {
            let Some((key, value)) = tag_value(ask, item) else { continue };
            for (leaf, seen) in filter.leaves.iter().zip(&mut self.seen) {
                if leaf.key == key {
                    *seen = (true, seen.1 || leaf.hits(value));
                }
            }
        }
    }

    /// The rows of measurement `name`, ascending.
    pub(super) fn finish(mut self, render: &Render, name: &str) -> Names {
        if let Render::Measurements(filter) | Render::Placed(filter, _) = render {
            self.seen.resize(filter.as_ref().map_or(0, |f| f.leaves.len()), (false, false));
            let listed = filter.as_ref().is_none_or(|filter| filter.accepts(name, &self.seen));
            if !(self.alive && listed) {
                return Names::default();
            }
            if self.rows.is_empty() {
                self.rows.push(&[name]);
            }
        }
        self.rows.sort();
        self.rows
    }
}

/// An item of `SummaryWant::TagValues`: the key's position and a value.
fn tag_value<'a>(ask: &'a Ask, item: &'a [String]) -> Option<(&'a str, &'a str)> {
    let [position, value] = item else { return None };
    let (_, key) = ask.tags.get(position.parse::<usize>().ok()?)?;
    (!value.is_empty()).then_some((key, value))
}

/// A series key as 1.x prints it.
pub(super) fn series_key(ask: &Ask, values: &[String]) -> String {
    let mut key = String::new();
    escape(&mut key, &ask.name, &[',', ' ']);
    for ((_, tag), value) in ask.tags.iter().zip(values) {
        if !value.is_empty() {
            key.push(',');
            escape(&mut key, tag, &[',', '=', ' ']);
            key.push('=');
            escape(&mut key, value, &[',', '=', ' ']);
        }
    }
    key
}

fn escape(out: &mut String, text: &str, special: &[char]) {
    for character in text.chars() {
        if special.contains(&character) {
            out.push('\\');
        }
        out.push(character);
    }
}
