//! Counts distinct names for SHOW … CARDINALITY, for each group of series.

use std::collections::BTreeMap;

use super::condition::ConditionUse;
use super::name_filter::KeyFilter;
use super::names::{ColumnNames, SortedNames, check_listed_bytes, series_key};
use crate::error::{Result, invalid};
use crate::result::{SeriesChunk, Values};
use crate::work::{PAGE_BYTES_PER_UNIT, Work};
use tidemark_engine::scan::page::MeasurementSummary;
use tidemark_engine::scan::request::SummaryWant;
use tidemark_influxql::ast::{CardinalityOf, CardinalityStatement, Expr};
use tidemark_model::ids::ColumnId;
use tidemark_model::regex::Patterns;
use tidemark_model::schema::{ColumnKind, MeasurementSchema};
use tidemark_model::series::series_hash;

#[derive(Clone, Debug)]
enum CountOf {
    Series,
    Measurement,
    TagKey,
    /// The values of the accepted keys.
    TagValues(KeyFilter),
    FieldKey,
}

#[derive(Clone, Debug)]
pub(super) struct CardinalityCount {
    of: CountOf,
    /// The keys in ascending order.
    groups: Vec<String>,
    /// Whether the statement has no clauses. The result is then one number over all policies, which
    /// 1.x estimates with sketches.
    pub(super) is_estimate: bool,
    /// Whether WHERE has a condition. The count then includes all fields of each measurement with a
    /// matching series.
    has_condition: bool,
}

impl CardinalityCount {
    pub(super) fn new(s: &CardinalityStatement, patterns: &Patterns) -> Result<Self> {
        let of = match &s.of {
            CardinalityOf::Series => CountOf::Series,
            CardinalityOf::Measurement => CountOf::Measurement,
            CardinalityOf::TagKey => CountOf::TagKey,
            CardinalityOf::TagValues(keys) => CountOf::TagValues(KeyFilter::new(keys, patterns)?),
            CardinalityOf::FieldKey => CountOf::FieldKey,
        };
        let bare = !s.exact
            && s.sources.is_empty()
            && s.condition.is_none()
            && s.dimensions.is_empty()
            && (s.limit, s.offset) == (0, 0);
        Ok(Self {
            is_estimate: bare && matches!(of, CountOf::Series | CountOf::Measurement),
            of,
            groups: Vec::new(),
            has_condition: s.condition.is_some(),
        })
    }

    pub(super) fn purpose(&self) -> ConditionUse {
        let of_values = matches!(self.of, CountOf::TagValues(_));
        if of_values { ConditionUse::CountOfValues } else { ConditionUse::Count }
    }

    /// Returns 1.x's error about time in WHERE, or `None` if 1.x returns an empty result instead.
    pub(super) fn refuses_time(&self) -> Option<String> {
        let what = match self.of {
            CountOf::Series => "SERIES EXACT",
            CountOf::Measurement => "MEASUREMENT EXACT",
            CountOf::TagKey => "TAG KEY EXACT",
            CountOf::FieldKey => "FIELD KEY",
            CountOf::TagValues(_) => return None,
        };
        Some(format!("SHOW {what} CARDINALITY doesn't support time in WHERE clause"))
    }

    pub(super) fn expand(
        &mut self,
        dimensions: &[Expr],
        measurements: &mut dyn Iterator<Item = &MeasurementSchema>,
    ) -> Result<()> {
        let (known, mut patterns) = (Patterns::limited(), BTreeMap::new());
        let mut all = false;
        for mut expr in dimensions {
            while let Expr::Paren(inner) = expr {
                expr = inner;
            }
            match expr {
                Expr::VarRef { name, .. } => self.groups.push(name.clone()),
                Expr::Wildcard(_) => all = true,
                Expr::Regex(regex) => {
                    patterns.insert(regex.as_str(), known.get(regex.as_str())?);
                }
                _ => return invalid("only tag dimensions allowed"),
            }
        }
        if all || !patterns.is_empty() {
            for tag in measurements.flat_map(MeasurementSchema::tags) {
                if all || patterns.values().any(|pattern| pattern.is_match(&tag.key)) {
                    self.groups.push(tag.key.clone());
                }
            }
        }
        known.work().check()?;
        self.groups.sort();
        self.groups.dedup();
        Ok(())
    }

    pub(super) fn wants(&self, key: &str) -> bool {
        match &self.of {
            CountOf::Series | CountOf::TagKey => true,
            CountOf::TagValues(keys) if keys.accepts(key) => true,
            _ => self.groups.binary_search_by(|group| group.as_str().cmp(key)).is_ok(),
        }
    }

    /// Returns the summaries to request from the shards. `column_names` contains the tags.
    pub(super) fn want(
        &self,
        tags: Vec<Vec<ColumnId>>,
        column_names: &[ColumnNames],
    ) -> SummaryWant {
        match (&self.of, self.groups.is_empty()) {
            (CountOf::Series, true) => {
                let seeded = |known: &ColumnNames| {
                    let seed = |key: &str| series_hash(known.name(), [(key, "")]);
                    known.tags.iter().map(|(id, key)| (*id, seed(key))).collect()
                };
                let tags = column_names.iter().map(seeded).collect();
                SummaryWant::SeriesHashes { tags, count_only: false }
            }
            (CountOf::Measurement, true) => SummaryWant::Measurements,
            (CountOf::TagKey | CountOf::FieldKey, true) => SummaryWant::Columns,
            (CountOf::TagValues(_), true) => SummaryWant::TagValues(tags),
            _ => SummaryWant::Series(tags),
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.is_estimate || matches!(self.of, CountOf::Measurement)
    }

    /// Adds the names of a summary. For counts by group, each name follows the values of its group.
    ///
    /// # Errors
    /// `QueryError::TooManyNames` if the names of one series are too long.
    pub(super) fn names(
        &self,
        known: &ColumnNames,
        summary: &MeasurementSummary,
        add: &mut dyn FnMut(&[&str]),
    ) -> Result<()> {
        let of_kind = |id: &ColumnId, is_tag: bool| {
            let column = known.column(*id)?;
            ((column.kind == ColumnKind::Tag) == is_tag).then_some(column.key.as_str())
        };
        let listed = |is_tag| summary.columns.iter().filter_map(move |id| of_kind(id, is_tag));
        let fields = || known.schema.fields().map(|(column, _)| column.key.as_str());
        if self.groups.is_empty() {
            let mut single = |name| add(&[name]);
            match self.of {
                // The executor counts these names by their hashes.
                CountOf::Series | CountOf::TagValues(_) => {}
                CountOf::Measurement => single(known.name()),
                CountOf::TagKey => listed(true).for_each(single),
                CountOf::FieldKey if self.has_condition => fields().for_each(single),
                CountOf::FieldKey => listed(false).for_each(single),
            }
            return Ok(());
        }
        let keys = || known.tags.iter().map(|(_, key)| key.as_str());
        let positions: BTreeMap<&str, usize> = keys().zip(0..).collect();
        let places: Vec<Option<&usize>> =
            self.groups.iter().map(|group| positions.get(group.as_str())).collect();
        for values in &summary.items {
            let present = || keys().zip(values).filter(|(_, value)| !value.is_empty());
            let value = |place: &Option<&usize>| place.and_then(|&place| values.get(place));
            let group: Vec<&str> =
                places.iter().map(|place| value(place).map_or("", String::as_str)).collect();
            let mut grouped = |name: &str| add(&[&group[..], &[name]].concat());
            match &self.of {
                CountOf::Series => grouped(&series_key(known, values)),
                CountOf::Measurement => grouped(known.name()),
                CountOf::TagKey => present().for_each(|(key, _)| grouped(key)),
                CountOf::FieldKey => {
                    let group_bytes = group.iter().map(|value| value.len()).sum::<usize>();
                    check_listed_bytes(fields().count().saturating_mul(group_bytes))?;
                    fields().for_each(grouped);
                }
                CountOf::TagValues(keys) => {
                    let counted = present().filter(|(key, _)| keys.accepts(key));
                    counted.for_each(|(_, value)| grouped(value));
                }
            }
        }
        Ok(())
    }

    /// Returns the number of values that listing the names of a series copies. `text_bytes` is the
    /// size of the series' tag values.
    pub(super) fn copied(&self, known: &ColumnNames, text_bytes: usize) -> usize {
        let names = match &self.of {
            _ if self.groups.is_empty() => return 0,
            CountOf::Series | CountOf::Measurement => 1,
            CountOf::TagKey | CountOf::TagValues(_) => known.tags.len(),
            CountOf::FieldKey => known.schema.fields().count(),
        };
        names * (1 + self.groups.len() + text_bytes / PAGE_BYTES_PER_UNIT)
    }

    /// Whether the executor can count hashes, without storing up to a million names.
    pub(super) fn is_hashed(&self) -> bool {
        matches!(self.of, CountOf::Series | CountOf::TagValues(_)) && self.groups.is_empty()
    }

    pub(super) fn chunk(
        &self,
        name: Option<&str>,
        group: Option<&Vec<String>>,
        count: u64,
    ) -> SeriesChunk {
        let column = if self.is_estimate { "cardinality estimation" } else { "count" };
        let count = Values::Integer(vec![count.cast_signed()]);
        let values = group.into_iter().flatten().cloned();
        let tags = self.groups.iter().cloned().zip(values).collect();
        SeriesChunk { tags, ..SeriesChunk::of_columns(name, &[column], [count]) }
    }
}

/// The sorted names of a measurement or of the whole statement, which are counted by group.
#[derive(Debug)]
pub(super) struct GroupCounts {
    /// The measurement, or `None` for the whole statement.
    name: Option<String>,
    names: SortedNames,
    /// The first name that is not counted yet.
    next: usize,
    /// The current group, with the number of its names so far.
    current: Option<(Vec<String>, u64)>,
}

impl GroupCounts {
    pub(super) fn new(name: Option<String>, names: SortedNames) -> Self {
        Self { name, names, next: 0, current: None }
    }

    /// Returns the next group's count, or `None` after the last group. Also returns `None` if the
    /// statement must pause first ([`Work::is_due`]).
    pub(super) fn next(&mut self, count: &CardinalityCount, work: &Work) -> Option<SeriesChunk> {
        let width = count.groups.len();
        while self.next < self.names.len() {
            if work.is_due() {
                return None;
            }
            let row = self.names.rows(self.next..self.next + 1, width + 1).pop();
            let mut group = row.unwrap_or_default();
            group.truncate(width);
            work.add(width + 1);
            self.next += 1;
            match &mut self.current {
                Some((current, names)) if *current == group => *names += 1,
                current => {
                    if let Some((ended, names)) = current.replace((group, 1)) {
                        return Some(count.chunk(self.name.as_deref(), Some(&ended), names));
                    }
                }
            }
        }
        let (last, names) = self.current.take()?;
        Some(count.chunk(self.name.as_deref(), Some(&last), names))
    }
}
