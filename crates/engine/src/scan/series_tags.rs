//! Stores the tag values of one series.

use crate::merge::key::SeriesKey;
use tidemark_model::ids::ColumnId;

/// The tag values of one series.
#[derive(Debug)]
pub(super) struct SeriesTags {
    /// The measurement's tags, in key order.
    order: Vec<ColumnId>,
    text: String,
    /// The end of each value in `text`.
    ends: Vec<usize>,
}

impl SeriesTags {
    pub(super) fn new(order: Vec<ColumnId>) -> Self {
        Self { order, text: String::new(), ends: Vec::new() }
    }

    pub(super) fn set(&mut self, key: &SeriesKey) {
        self.text.clear();
        self.ends.clear();
        for value in key.values() {
            self.text.push_str(&value);
            self.ends.push(self.text.len());
        }
    }

    pub(super) fn order(&self) -> &[ColumnId] {
        &self.order
    }

    /// Returns the value of a tag, or '' if the series lacks the tag.
    pub(super) fn get(&self, tag: ColumnId) -> &str {
        self.order.iter().position(|&known| known == tag).map_or("", |place| self.at(place))
    }

    /// Returns the value of the tag at `place` in the key order, or '' if the series lacks the tag.
    pub(super) fn at(&self, place: usize) -> &str {
        let start = place.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let range = start.zip(self.ends.get(place));
        range.and_then(|(start, &end)| self.text.get(start..end)).unwrap_or_default()
    }
}
