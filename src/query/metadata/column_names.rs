//! Knows the names behind the ids of one measurement that the shards of a policy are asked about.

use std::rc::Rc;
use std::sync::Arc;

use crate::model::ids::ColumnId;
use crate::model::schema::{ColumnDefinition, MeasurementSchema};

/// What the ids of one measurement mean.
#[derive(Clone, Debug)]
pub(super) struct ColumnNames {
    /// Its name and all of its columns.
    pub(super) schema: Arc<MeasurementSchema>,
    /// Tags asked for, ascending by key.
    pub(super) tags: Vec<(ColumnId, String)>,
    /// Of which policy.
    pub(super) policy: Rc<str>,
}

impl ColumnNames {
    /// The names of a measurement's columns; of its tags only those that are `wanted`.
    pub(super) fn new(
        schema: &Arc<MeasurementSchema>,
        policy: &Rc<str>,
        wanted: impl Fn(&str) -> bool,
    ) -> Self {
        let tags = schema.tags().filter(|column| wanted(&column.key));
        let mut tags: Vec<_> = tags.map(|column| (column.id, column.key.clone())).collect();
        tags.sort_by(|left, right| left.1.cmp(&right.1));
        Self { schema: Arc::clone(schema), tags, policy: Rc::clone(policy) }
    }

    /// The measurement's name.
    pub(super) fn name(&self) -> &str {
        &self.schema.name
    }

    /// The column with this id: they were registered in the order of their ids.
    pub(super) fn column(&self, id: ColumnId) -> Option<&ColumnDefinition> {
        let at = self.schema.columns.binary_search_by_key(&id, |column| column.id).ok()?;
        self.schema.columns.get(at)
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
    escape(&mut key, known.name(), &[',', ' ']);
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
