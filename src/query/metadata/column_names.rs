//! Knows the names behind the ids of one measurement that the shards of a policy are asked about.

use crate::model::ids::ColumnId;
use crate::model::schema::{ColumnKind, MeasurementSchema};
use crate::model::sorted;
use crate::model::sorted_map::SortedMap;

/// What the ids of one measurement mean.
#[derive(Clone, Debug)]
pub(super) struct ColumnNames {
    /// The measurement's name.
    pub(super) name: String,
    /// Tags asked for, ascending by key.
    pub(super) tags: Vec<(ColumnId, String)>,
    /// Of which policy.
    pub(super) policy: String,
    /// All columns.
    pub(super) columns: SortedMap<ColumnId, (String, ColumnKind)>,
}

impl ColumnNames {
    /// The names of a measurement's columns; of its tags only those that are `wanted`.
    pub(super) fn new(
        schema: &MeasurementSchema,
        policy: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Self {
        let tags = schema.tags().filter(|column| wanted(&column.key));
        let mut tags: Vec<_> = tags.map(|column| (column.id, column.key.clone())).collect();
        sorted::sort_by(&mut tags, |left, right| left.1.cmp(&right.1));
        let columns = schema.columns.iter();
        let columns = columns.map(|c| (c.id, (c.key.clone(), c.kind))).collect();
        Self { name: schema.name.clone(), tags, policy: policy.to_owned(), columns }
    }
}

/// An item of `SummaryWant::TagValues`: the key's position and a value.
pub(super) fn tag_value<'a>(
    known: &'a ColumnNames,
    item: &'a [String],
) -> Option<(&'a str, &'a str)> {
    let [position, value] = item else { return None };
    let (_, key) = known.tags.get(position.parse::<usize>().ok()?)?;
    (!value.is_empty()).then_some((key, value))
}

/// A series key as 1.x prints it.
pub(super) fn series_key(known: &ColumnNames, values: &[String]) -> String {
    let mut key = String::new();
    escape(&mut key, &known.name, &[',', ' ']);
    for ((_, tag), value) in known.tags.iter().zip(values) {
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
