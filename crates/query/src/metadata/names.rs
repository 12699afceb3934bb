//! Stores and sorts names, and maps the ids of a measurement to names. A million sorted names need
//! little more memory than their text.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::{QueryError, Result};
use crate::sort::{self, VALUES_AT_ONCE};
use crate::work::Work;
use tidemark_engine::batch::column::StringColumn;
use tidemark_line_protocol::escape_tag;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::ColumnId;
use tidemark_model::limits::LISTED_NAMES_BYTES_MAX;
use tidemark_model::schema::{ColumnDefinition, MeasurementSchema};

/// The memory of a name in addition to its text, in bytes: the end of the text and the position in
/// the order.
const NAME_BYTES: usize = 8;
/// The number of names in a page. Pages are never reallocated; a single text would be copied
/// whenever it grows.
const PAGE_NAMES: usize = 4_096;
/// The minimum number of names above `keep` at which the list is sorted and truncated.
const SPARE: usize = 10_000;
/// Separates the cells of a row, and sorts before every character of a name.
const SEPARATOR: &str = "\0";

/// Rows with equal numbers of cells. Before sorting, rows may be unordered and repeated.
#[derive(Debug, Default)]
pub struct SortedNames {
    pages: Vec<StringColumn>,
    bytes: usize,
    /// The size of the longest row, in bytes.
    longest: usize,
    /// The number of rows to keep from the start of the order; `None` keeps all.
    keep: Option<usize>,
    /// The rows in ascending order, after sorting.
    order: Vec<u32>,
}

impl SortedNames {
    /// Creates an empty list that keeps the first `keep` names, or all names.
    pub fn new(keep: Option<usize>) -> Self {
        Self { keep, ..Self::default() }
    }

    /// Adds the names of a row.
    pub fn push(&mut self, row: &[&str]) {
        self.push_text(&row.join(SEPARATOR));
    }

    fn push_text(&mut self, text: &str) {
        if self.pages.last().is_none_or(|page| page.len() >= PAGE_NAMES) {
            self.pages.push(StringColumn::default());
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(text);
            self.bytes += text.len() + NAME_BYTES;
            self.longest = self.longest.max(text.len());
        }
    }

    /// Whether the list has no names.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Returns the memory of the list, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the list must be compacted before rows are added.
    pub fn is_large(&self) -> bool {
        let spare = self.keep.map(|keep| keep.saturating_add(keep.max(SPARE)));
        self.bytes > LISTED_NAMES_BYTES_MAX || spare.is_some_and(|spare| self.stored() > spare)
    }

    /// Drops duplicate and unneeded rows.
    ///
    /// # Errors
    /// [`QueryError::TooManyNames`] if the list remains too large.
    pub async fn compact(&mut self, work: &Work) -> Result<()> {
        self.sort(work).await;
        if self.order.len() < self.stored() {
            let mut left = Self::new(self.keep);
            for run in self.order.chunks(VALUES_AT_ONCE) {
                run.iter().for_each(|&at| left.push_text(self.text(at)));
                work.spend(run.len()).await;
            }
            *self = left;
        }
        check_listed_bytes(self.bytes)
    }

    /// Sorts the rows, removes duplicates and keeps the first `keep` rows.
    pub async fn sort(&mut self, work: &Work) {
        let mut order: Vec<u32> = (0..self.stored() as u32).collect();
        let by_text = |a: &u32, b: &u32| self.text(*a).cmp(self.text(*b)).then(a.cmp(b));
        sort::sort_texts(&mut order, by_text, self.bytes, self.longest, work).await;
        let mut distinct = 0;
        for from in (0..order.len()).step_by(VALUES_AT_ONCE) {
            let to = order.len().min(from + VALUES_AT_ONCE);
            for at in from..to {
                let last = order.get(..distinct).and_then(<[u32]>::last);
                let next = order.get(at).map(|next| self.text(*next));
                if last.map(|last| self.text(*last)) != next {
                    order.swap(distinct, at);
                    distinct += 1;
                }
            }
            work.spend(to - from).await;
        }
        order.truncate(distinct.min(self.keep.unwrap_or(usize::MAX)));
        self.order = order;
    }

    /// The list must be sorted.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns rows of `width` cells. The list must be sorted.
    pub fn rows(&self, range: Range<usize>, width: usize) -> Vec<Vec<String>> {
        let row = |at: &u32| self.text(*at).splitn(width, SEPARATOR).map(str::to_owned).collect();
        self.order.get(range).or_bug().iter().map(row).collect()
    }

    /// Includes duplicates.
    fn stored(&self) -> usize {
        let last = self.pages.last().map_or(0, StringColumn::len);
        self.pages.len().saturating_sub(1) * PAGE_NAMES + last
    }

    fn text(&self, at: u32) -> &str {
        let at = at as usize;
        self.pages.get(at / PAGE_NAMES).map(|page| page.get(at % PAGE_NAMES)).or_bug()
    }
}

/// Checks the size of the distinct names of a measurement.
///
/// # Errors
/// [`QueryError::TooManyNames`]
pub(super) fn check_listed_bytes(bytes: usize) -> Result<()> {
    if bytes <= LISTED_NAMES_BYTES_MAX {
        return Ok(());
    }
    Err(QueryError::TooManyNames {
        what: "the list of a measurement's names",
        limit: LISTED_NAMES_BYTES_MAX as u64,
        unit: "bytes",
    })
}

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

    /// Returns the column, or `None` for the companion of a field. The columns are sorted by id.
    pub(super) fn column(&self, id: ColumnId) -> Option<&ColumnDefinition> {
        let at = self.schema.columns.binary_search_by_key(&id, |column| column.id).ok()?;
        self.schema.columns.get(at).filter(|column| !column.is_companion())
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
    // `escape_measurement` also escapes characters that 1.x does not escape.
    let mut key = known.name().replace(',', "\\,").replace(' ', "\\ ");
    for ((_, tag), value) in known.tags.iter().zip(values) {
        if !value.is_empty() {
            key.push(',');
            escape_tag(tag, |piece| key.push_str(piece));
            key.push('=');
            escape_tag(value, |piece| key.push_str(piece));
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::run_measured;

    /// The work of sorting the names that are processed before a pause.
    const EXCESS: usize = 2 * VALUES_AT_ONCE;

    fn check(names: &mut SortedNames, excess: usize) -> Result<()> {
        let work = Work::default();
        if names.is_large() { run_measured(&work, excess, names.compact(&work)).0 } else { Ok(()) }
    }

    #[test]
    fn long_lists_of_names_are_sorted_with_pauses() {
        let (mut names, work) = (SortedNames::new(None), Work::default());
        for number in 0..600_000_u64 {
            names.push(&[&format!("{:06}", number * 7_919 % 300_000)]);
        }
        let (compacted, pauses) = run_measured(&work, EXCESS, names.compact(&work));
        compacted.unwrap();
        assert!(pauses > 10, "{pauses} pauses");
        assert_eq!(names.stored(), 300_000);
        run_measured(&work, EXCESS, names.sort(&work));
        assert_eq!(names.rows(299_999..300_000, 1), [["299999"]]);
    }

    #[test]
    fn sorted_names_deduplicate_and_limit() {
        let mut names = SortedNames::new(Some(3));
        for number in (0..3 * SPARE).rev() {
            names.push(&["key", &format!("{:05}", number / 2)]);
            check(&mut names, EXCESS).unwrap();
            assert!(names.stored() <= SPARE + 3);
        }
        let work = Work::default();
        run_measured(&work, EXCESS, names.sort(&work));
        let row = |value: &str| vec!["key".to_owned(), value.to_owned()];
        assert_eq!(names.rows(0..names.len(), 2), ["00000", "00001", "00002"].map(row));
    }

    #[test]
    fn oversized_name_list_is_an_error() {
        let mut names = SortedNames::new(None);
        // One comparison of these names exceeds the work of a turn.
        let long = "x".repeat(LISTED_NAMES_BYTES_MAX / 4);
        for _ in 0..9 {
            names.push(&[&long]);
            check(&mut names, LISTED_NAMES_BYTES_MAX).unwrap();
        }
        for number in 0..9 {
            names.push(&[&format!("{number}{long}")]);
            if let Err(error) = check(&mut names, LISTED_NAMES_BYTES_MAX) {
                assert_eq!((number, error.to_string()), (2, TEXT.to_owned()));
                return;
            }
        }
        panic!("never refused");
    }

    const TEXT: &str = "the list of a measurement's names has more than 32000000 bytes: reduce \
        the list with WHERE, FROM or LIMIT, or count its entries with CARDINALITY";
}
