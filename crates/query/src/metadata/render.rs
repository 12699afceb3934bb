//! Collects a measurement's listed names, and defines the output format.

use super::cardinality::CardinalityCount;
use super::name_filter::{KeyFilter, MeasurementFilter};
use super::names::{ColumnNames, SortedNames, series_key, tag_value};
use crate::error::{QueryError, Result};
use crate::sort;
use crate::work::{PAGE_BYTES_PER_UNIT, Work};
use tidemark_engine::scan::page::MeasurementSummary;
use tidemark_model::limits::COUNTED_NAMES_MAX;
use tidemark_model::schema::ColumnKind;
use tidemark_model::series::value_hash;

/// The number of comparisons that count as one unit of work.
const COMPARED_PER_UNIT: usize = 8;

#[derive(Clone, Debug)]
pub(super) enum Render {
    /// SHOW MEASUREMENTS. The database's name is present in SHOW MEASUREMENTS ON database.policy.
    Measurements(Option<MeasurementFilter>, Option<String>),
    Series,
    TagKeys(Option<KeyFilter>),
    TagValues(KeyFilter),
    FieldKeys,
    Count(CardinalityCount),
}

impl Render {
    pub(super) fn columns(&self) -> &'static [&'static str] {
        match self {
            Self::Measurements(_, None) => &["name"],
            Self::Measurements(_, Some(_)) => &["name", "database", "retention policy"],
            Self::Series => &["key"],
            Self::TagKeys(_) => &["tagKey"],
            Self::TagValues(_) => &["key", "value"],
            Self::FieldKeys => &["fieldKey", "fieldType"],
            Self::Count(_) => &["count"],
        }
    }

    /// Whether the shards must return the tag.
    pub(super) fn wants(&self, key: &str) -> bool {
        match self {
            Self::Count(count) => count.wants(key),
            Self::Measurements(Some(filter), _) => filter.leaves.iter().any(|leaf| leaf.key == key),
            Self::TagValues(filter) => filter.accepts(key),
            Self::Series => true,
            _ => false,
        }
    }

    /// Returns the number of values that listing an item reads, compares or copies.
    pub(super) fn item_work(&self, known: &ColumnNames, item: &[String]) -> usize {
        let text_bytes = item.iter().map(String::len).sum::<usize>();
        let listed = match self {
            Self::Measurements(Some(filter), _) => filter.leaves.len() / COMPARED_PER_UNIT,
            Self::Count(count) => count.copied(known, text_bytes),
            _ => 0,
        };
        item.len() + text_bytes / PAGE_BYTES_PER_UNIT + listed
    }

    pub(super) fn per_measurement(&self) -> bool {
        !matches!(self, Self::Measurements(..) | Self::Series)
    }
}

#[derive(Debug, Default)]
pub(super) struct Listing {
    alive: bool,
    rows: SortedNames,
    /// For each comparison of the filter, whether the tag exists and whether a value matches.
    seen: Vec<(bool, bool)>,
    /// The hashes of counted names, with repetitions.
    hashes: Vec<u64>,
    /// The number of series that were counted without hashes.
    count: u64,
}

impl Listing {
    pub(super) fn new(keep: Option<usize>) -> Self {
        Self { rows: SortedNames::new(keep), ..Self::default() }
    }

    /// Returns [`QueryError::TooManyNames`] if a measurement has too many names to count.
    pub(super) fn add(
        &mut self,
        render: &Render,
        known: &ColumnNames,
        summary: &MeasurementSummary,
    ) -> Result<()> {
        self.alive = true;
        let rows = &mut self.rows;
        match render {
            Render::Measurements(filter, database) => {
                if let Some(database) = database {
                    rows.push(&[known.name(), database, &known.policy]);
                }
                if let Some(filter) = filter {
                    self.test(filter, known, summary);
                }
            }
            Render::Count(count) if count.is_hashed() => {
                if summary.hashes.is_empty() {
                    self.count += summary.count;
                }
                self.hashes.extend(&summary.hashes);
                let values = summary.items.iter().filter_map(|item| item.get(1));
                self.hashes.extend(values.map(|value| value_hash(0, value)));
            }
            Render::Count(count) => count.names(known, summary, &mut |row| rows.push(row))?,
            Render::Series => {
                for tags in &summary.items {
                    rows.push(&[&series_key(known, tags)]);
                }
            }
            Render::TagValues(_) => {
                for (key, value) in summary.items.iter().filter_map(|item| tag_value(known, item)) {
                    rows.push(&[key, value]);
                }
            }
            Render::TagKeys(filter) => {
                for id in &summary.columns {
                    if let Some(column) = known.column(*id)
                        && column.kind == ColumnKind::Tag
                        && filter.as_ref().is_none_or(|filter| filter.accepts(&column.key))
                    {
                        rows.push(&[&column.key]);
                    }
                }
            }
            Render::FieldKeys => {
                for id in &summary.columns {
                    if let Some(column) = known.column(*id)
                        && let ColumnKind::Field(field_type) = column.kind
                    {
                        rows.push(&[&column.key, field_type.name()]);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the list must be compacted before names are added.
    pub(super) fn is_large(&self) -> bool {
        self.rows.is_large() || self.hashes.len() > COUNTED_NAMES_MAX
    }

    /// Drops duplicate names. Returns [`QueryError::TooManyNames`] if the list remains too large.
    pub(super) async fn compact(mut self, work: &Work) -> Result<Self> {
        self.rows.compact(work).await?;
        self.sort_hashes(work).await;
        if self.hashes.len() > COUNTED_NAMES_MAX {
            let (what, limit) = ("a measurement in this statement", COUNTED_NAMES_MAX as u64);
            let unit = "series or values over several shard groups";
            return Err(QueryError::TooManyNames { what, limit, unit });
        }
        Ok(self)
    }

    async fn sort_hashes(&mut self, work: &Work) {
        sort::sort(&mut self.hashes, Ord::cmp, work).await;
        self.hashes.dedup();
    }

    /// Includes the positions of the names, which exist only while the names are sorted.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes() + 8 * self.hashes.len()
    }

    pub(super) async fn counted(mut self, work: &Work) -> u64 {
        self.sort_hashes(work).await;
        self.count + self.hashes.len() as u64
    }

    fn test(
        &mut self,
        filter: &MeasurementFilter,
        known: &ColumnNames,
        summary: &MeasurementSummary,
    ) {
        self.seen.resize(filter.leaves.len(), (false, false));
        for item in &summary.items {
            let Some((key, value)) = tag_value(known, item) else { continue };
            for (leaf, seen) in filter.leaves.iter().zip(&mut self.seen) {
                if leaf.key == key {
                    *seen = (true, seen.1 || leaf.test.accepts(value));
                }
            }
        }
    }

    /// Returns the rows of a measurement in ascending order.
    pub(super) async fn finish(mut self, render: &Render, name: &str, work: &Work) -> SortedNames {
        if let Render::Measurements(filter, _) = render {
            self.seen.resize(filter.as_ref().map_or(0, |f| f.leaves.len()), (false, false));
            work.spend(self.seen.len()).await;
            let listed = filter.as_ref().is_none_or(|filter| filter.accepts(name, &self.seen));
            if !(self.alive && listed) {
                return SortedNames::default();
            }
            if self.rows.is_empty() {
                self.rows.push(&[name]);
            }
        }
        self.rows.sort(work).await;
        self.rows
    }
}
