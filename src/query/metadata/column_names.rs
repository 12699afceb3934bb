//! Maps the ids of a measurement to names.

use std::rc::Rc;
use std::sync::Arc;

use crate::model::ids::ColumnId;
use crate::model::schema::{ColumnDefinition, MeasurementSchema};

#[derive(Clone, Debug)]
pub(super) struct ColumnNames {
    /// Contains all columns of the measurement.
    pub(super) schema: Arc<MeasurementSchema>,
    pub(super) tags: Vec<(ColumnId, String)>,
    pub(super) policy: Rc<str>,
}

impl ColumnNames {
    /// Includes only the tags that `wanted` accepts.
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

    pub(super) fn name(&self) -> &str {
        &self.schema.name
    }

    /// The columns are sorted by id.
    pub(super) fn column(&self, id: ColumnId) -> Option<&ColumnDefinition> {
        let at = self.schema.columns.binary_search_by_key(&id, |column| column.id).ok()?;
        self.schema.columns.get(at)
    }
}

/// An item of `SummaryWant::TagValues` contains the key's position and the value.
pub(super) fn tag_value<'a>(
    known: &'a ColumnNames,
    item: &'a [String],
) -> Option<(&'a str, &'a str)> {
    let [position, value] = item else { return None };
    let (_, key) = known.tags.get(position.parse::<usize>().ok()?)?;
    (!value.is_empty()).then_some((key, value))
}

/// Formats a series key like 1.x.
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
