//! The labels of a series.

use std::fmt;
use std::rc::Rc;

use super::format::{quote, write_label_name};

/// The label with the name of the metric.
pub(crate) const METRIC_NAME: &str = "__name__";

/// The labels of a series, sorted by name. The metric's name is the label `__name__`. A label with
/// an empty value does not exist. Clones share the same memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Rc<[(String, String)]>);

impl Labels {
    /// Sorts the labels, and removes labels with an empty value. If a name occurs twice, the last
    /// value counts.
    pub fn new(mut labels: Vec<(String, String)>) -> Self {
        if !labels.is_sorted_by(|a, b| a.0 < b.0) {
            labels.reverse();
            labels.sort_by(|a, b| a.0.cmp(&b.0));
            labels.dedup_by(|a, b| a.0 == b.0);
        }
        labels.retain(|(_, value)| !value.is_empty());
        Self(labels.into())
    }

    /// Returns the value of the label, or an empty text if the label does not exist.
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.binary_search_by(|(other, _)| other.as_str().cmp(name));
        found.ok().and_then(|i| self.0.get(i)).map_or("", |(_, value)| value)
    }

    /// Returns the name of the metric, or an empty text.
    pub fn name(&self) -> &str {
        self.get(METRIC_NAME)
    }

    /// Returns names and values in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the labels that `keep` accepts by name.
    pub(crate) fn filter(&self, keep: impl Fn(&str) -> bool) -> Self {
        if self.0.iter().all(|(name, _)| keep(name)) {
            return self.clone();
        }
        Self(self.0.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }

    /// Returns the labels without the metric's name, type and unit, which do not apply to computed
    /// values.
    pub(crate) fn without_name(&self) -> Self {
        self.filter(|name| !matches!(name, METRIC_NAME | "__type__" | "__unit__"))
    }

    /// Returns the labels with a new value for `name`. An empty value removes the label.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        if self.get(name) == value {
            return self.clone();
        }
        let mut labels: Vec<_> =
            self.0.iter().filter(|(other, _)| other != name).cloned().collect();
        if !value.is_empty() {
            labels.push((name.to_owned(), value.to_owned()));
        }
        Self::new(labels)
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self(Rc::new([]))
    }
}

/// Prints the labels as in Prometheus' messages: `{__name__="up", job="a"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            write_label_name(f, name)?;
            write!(f, "={}", quote(value))?;
        }
        f.write_str("}")
    }
}
