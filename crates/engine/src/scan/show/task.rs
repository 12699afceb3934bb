//! Searches a measurement, or a single tag of a measurement, for a summary. [`SeriesWalk`] visits
//! the series of all measurements.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::smallest::{FirstSeries, SmallestKeys};
use crate::merge::cursor::Direction;
use crate::merge::key::SeriesKey;
use crate::scan::error::ScanError;
use crate::scan::keys::{FilterDecision, KeyFilter};
use crate::scan::page::SKIPPED_KEY_CELLS;
use crate::scan::predicate::Filter;
use crate::scan::reader::{MergedRows, Reader};
use crate::scan::request::Predicate;
use crate::scan::series_tags::SeriesTags;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::regex::Patterns;
use tidemark_model::time::TimeRange;

/// The number of series with one combination that are visited one by one before the scan seeks the
/// next combination.
const STEPS_BEFORE_SEEK: usize = 8;

/// The items that a task searches for, with the items found so far.
pub(super) enum Find {
    Existence,
    Columns(FindColumns),
    Items {
        smallest: SmallestKeys,
        /// Whether the items are the values of a single tag. If so, a series without the tag has no
        /// item.
        is_of_tag: bool,
        /// The number of combinations, in text order, that suffice. This field is set only if the
        /// first tag of the text [leads](Listing::is_led_by) the listing's order.
        first: Option<u64>,
    },
}

/// The columns found so far, and the columns that are still being searched for.
pub(super) struct FindColumns {
    pub(super) found: BTreeSet<ColumnId>,
    /// The tags that are still being searched for, with their positions in the key order.
    pub(super) tags: Vec<(usize, ColumnId)>,
    /// The fields that are still being searched for.
    pub(super) fields: Vec<ColumnId>,
    /// The number of decoded bytes after which the remaining fields count as found. After a merge
    /// of parts, the result is exact.
    pub(super) decoded_bytes: u64,
}

/// The order of the combinations of tag values that a task lists, and the position of its page.
pub(super) struct Listing {
    /// The *sort tags*: the tags whose values form a combination, in sort order.
    pub(super) sort: Vec<ColumnId>,
    /// The number of leading sort tags that equal the first tags of the measurement's key order.
    /// This field is set only if the series have no other sort tag. Combinations then arrive in key
    /// order.
    in_order: Option<usize>,
    /// The last combination sent.
    after: Option<SeriesKey>,
    /// The last series that earlier pages visited, if combinations are not in order.
    visited: Option<SeriesKey>,
}

/// The search of one measurement, or of one tag of a measurement.
pub(super) struct Task<'a> {
    pub(super) position: u32,
    /// The position of the tag in the request, if each tag is listed separately.
    pub(super) number: usize,
    pub(super) measurement: MeasurementId,
    pub(super) predicate: Option<&'a Predicate>,
    /// The measurement's tags, in key order.
    pub(super) order: Vec<ColumnId>,
    pub(super) listing: Listing,
    pub(super) find: Find,
    /// Whether a series that satisfies the predicate has a row.
    pub(super) is_alive: bool,
    pub(super) is_done: bool,
    /// Whether every series of every group is alive and requested. If so, the dictionaries contain
    /// exactly the tag's values.
    pub(super) by_dictionary: bool,
    /// The series after which the next page continues, if this page did not reach the end. If
    /// combinations are in order, the page continues after a combination instead.
    pub(super) rest: Option<SeriesKey>,
}

impl Listing {
    /// Chooses the sort order of the tags `listed`. If they are the first tags of the key order,
    /// this is the key order. If an earlier page exists, `resumed` contains its sort order and its
    /// last combination, and then the values of its last visited series if combinations are not in
    /// order.
    pub(super) fn new(
        measurement: MeasurementId,
        listed: &[ColumnId],
        order: &[ColumnId],
        resumed: Option<(Vec<ColumnId>, &[String])>,
    ) -> Self {
        let key =
            |values: &[String]| SeriesKey::new(measurement, values.iter().map(String::as_str));
        let (mut sort, mut after, visited) = match resumed {
            Some((sort, values)) => {
                let (after, visited) = values.split_at(sort.len().min(values.len()));
                (sort, Some(key(after)), (!visited.is_empty()).then(|| key(visited)))
            }
            None => {
                let known = listed.iter().filter(|tag| order.contains(tag)).count();
                let first = order.get(..known).or_bug();
                let is_prefix = first.iter().all(|tag| listed.contains(tag));
                (if is_prefix { first.to_vec() } else { Vec::new() }, None, None)
            }
        };
        for tag in listed {
            if !sort.contains(tag) {
                sort.push(*tag);
            }
        }
        let shared = order.iter().zip(&sort).take_while(|(a, b)| a == b).count();
        let known = sort.iter().filter(|tag| order.contains(tag)).count();
        let in_order = (shared == known).then_some(shared);
        if in_order.is_none() {
            after = after.filter(|after| after.value_count() > 0);
        }
        Self { sort, in_order, after, visited }
    }

    /// Whether combinations are visited in sort order. Each combination then occurs once per
    /// stretch.
    pub(super) fn is_in_order(&self) -> bool {
        self.in_order.is_some()
    }

    pub(super) fn is_led_by(&self, tag: Option<&ColumnId>) -> bool {
        self.in_order.is_some_and(|tags| tags > 0) && self.sort.first() == tag
    }

    /// Whether earlier pages have visited series, although combinations are not in order.
    pub(super) fn continues_walk(&self) -> bool {
        self.visited.is_some()
    }

    /// Returns the position at which the page starts, for a measurement with `tags` tags.
    fn from(&self, measurement: MeasurementId, first: SeriesKey, tags: usize) -> SeriesKey {
        let (last, tags) = match self.in_order {
            Some(shared) => (&self.after, shared),
            None => (&self.visited, tags),
        };
        let Some(last) = last else { return first };
        let values = padded(last, tags);
        first.max(SeriesKey::past(measurement, values.iter().map(String::as_str)))
    }
}

/// Returns the first `count` values of a key, of which the last may be ''.
fn padded(key: &SeriesKey, count: usize) -> Vec<String> {
    let values = key.values().map(Cow::into_owned);
    values.chain(std::iter::repeat_with(String::new)).take(count).collect()
}

impl Task<'_> {
    pub(super) fn bytes(&self) -> usize {
        match &self.find {
            Find::Existence => 0,
            Find::Columns(columns) => columns.found.len() * size_of::<ColumnId>(),
            Find::Items { smallest, .. } => smallest.bytes(),
        }
    }

    /// Returns the values with which the next page resumes, or `None` if the search is complete.
    /// The first values are a combination of the sort tags.
    pub(super) fn resume(&self) -> Option<Vec<String>> {
        let Self { listing, rest, .. } = self;
        let sorted = listing.sort.len();
        match (&self.find, rest) {
            (Find::Items { smallest, .. }, None) => {
                smallest.resume().map(|last| padded(last, sorted))
            }
            (Find::Items { .. }, Some(rest)) => {
                let none = || SeriesKey::new(self.measurement, []);
                let mut values = padded(&listing.after.clone().unwrap_or_else(none), sorted);
                values.extend(padded(rest, self.order.len()));
                Some(values)
            }
            (_, Some(rest)) if !self.is_done => Some(padded(rest, sorted)),
            _ => None,
        }
    }

    /// Lists the values in the dictionaries. If the dictionaries have more than `values_max`
    /// values, the function lists nothing, and the caller must visit the series. Returns the number
    /// of read values, at most `values_max`.
    pub(super) fn list_dictionaries(
        &mut self,
        reader: &dyn Reader,
        time: TimeRange,
        values_max: u64,
    ) -> Result<u64, ScanError> {
        let Find::Items { smallest, .. } = &mut self.find else { return Ok(0) };
        let (mut read, mut fits) = (0, true);
        let (measurement, after) = (self.measurement, self.listing.after.as_ref());
        let mut item = SeriesKey::new(measurement, []);
        reader.groups(&[measurement], time, &mut |group| {
            (group.tables)(&mut |ids, table| {
                let of_tag = ids.iter().zip(&table.tags);
                for (_, tag) in of_tag.filter(|(id, _)| self.listing.sort.contains(id)) {
                    let values = tag.dictionary.len() as u64;
                    fits = read + values <= values_max;
                    if !fits {
                        return false;
                    }
                    read += values;
                    for value in tag.dictionary.iter() {
                        item.set(measurement, [value]);
                        if after.is_none_or(|after| item > *after)
                            && !smallest.is_past(&item)
                            && !smallest.has(&item)
                        {
                            smallest.insert(&item);
                        }
                    }
                }
                true
            })?;
            Ok(fits)
        })?;
        if fits {
            (self.is_alive, self.is_done) = (true, true);
        } else {
            smallest.clear();
        }
        Ok(read)
    }

    /// Visits the series of the measurement, and collects the result of the task. The function
    /// stops after about `keys_max` series. If combinations are visited in order, it never stops
    /// inside a combination that is not yet known to be alive. Otherwise, it also stops after
    /// `bytes_max` bytes of combinations, and a later page may repeat combinations. Returns the
    /// number of visited series, plus the cost of excluded series and of the condition.
    pub(super) fn walk(
        &mut self,
        walk: &mut SeriesWalk<'_>,
        keys_max: u64,
        bytes_max: usize,
    ) -> Result<u64, ScanError> {
        let filter = Filter::compile(self.predicate, walk.patterns)?;
        let (measurement, order) = (self.measurement, self.order.clone());
        let mut filter = KeyFilter::new(measurement, Direction::Ascending, &filter, order);
        let from = self.listing.from(measurement, filter.first(), self.order.len());
        walk.start(measurement, &from)?;
        let (reader, time) = (walk.reader, walk.time);
        let is_in_order = self.listing.is_in_order();
        if let Find::Items { smallest, .. } = &mut self.find
            && !is_in_order
        {
            smallest.accept_all_bytes();
        }
        let bytes_max = self.bytes().saturating_add(bytes_max);
        let mut items = Items::new(self);
        let mut matching = 0;
        let visited = loop {
            let found = walk.next(&mut filter, keys_max.saturating_sub(matching))?;
            matching += u64::from(matches!(found, Found::Matching(_)));
            let visited = matching + filter.cells / SKIPPED_KEY_CELLS;
            let rows = match found {
                Found::Matching(rows) => rows,
                Found::Excluded(key) => match self.end_at_excluded(&mut items, key, &filter.tags) {
                    true => break visited,
                    false => continue,
                },
                Found::End => break visited,
            };
            let next = if self.rest.as_ref().is_some_and(|rest| rows.key() > Some(rest)) {
                Next::Complete
            } else if let Find::Items { .. } = self.find {
                let is_too_many = visited > keys_max;
                let next = self.visit_item(&mut items, rows, &filter.tags, time, is_too_many)?;
                if !is_in_order && (visited >= keys_max || self.bytes() >= bytes_max) {
                    self.rest = rows.key().cloned();
                    Next::Complete
                } else {
                    next
                }
            } else if self.settles(rows, &filter.tags, reader, time)? {
                self.is_done = true;
                Next::Complete
            } else if visited >= keys_max {
                self.rest = rows.key().cloned();
                Next::Complete
            } else {
                Next::Step
            };
            match next {
                Next::Step => {}
                Next::SeekTo(to) => rows.seek(&to)?,
                Next::Complete => break visited,
            }
        };
        Ok(visited)
    }

    /// Ends the page at an excluded series with this key and these tags, if possible. Returns
    /// whether the page ends.
    fn end_at_excluded(&mut self, items: &mut Items, key: SeriesKey, tags: &SeriesTags) -> bool {
        let Self { measurement, listing, find, rest, .. } = self;
        let Some(smallest) = (match find {
            Find::Items { smallest, .. } if listing.is_in_order() => Some(smallest),
            _ => None,
        }) else {
            if rest.as_ref().is_none_or(|rest| key < *rest) {
                *rest = Some(key);
            }
            return true;
        };
        items.set_item(*measurement, tags);
        let item = &items.item;
        if smallest.is_past(item) {
            return true;
        }
        // All series of a combination before `item` were visited.
        let covered = match &items.last {
            Some(last) => (last != item || items.is_known).then(|| last.clone()),
            None if items.excluded.as_ref() == Some(item) => None,
            None => items.excluded.replace(item.clone()),
        };
        let ends = covered.is_some();
        covered.into_iter().for_each(|covered| smallest.end_at(covered));
        ends
    }

    fn visit_item(
        &mut self,
        items: &mut Items,
        rows: &mut MergedRows<'_>,
        tags: &SeriesTags,
        time: TimeRange,
        is_too_many: bool,
    ) -> Result<Next, ScanError> {
        let Self { measurement, listing, find, is_alive, .. } = self;
        let Find::Items { smallest, is_of_tag, .. } = find else { return Ok(Next::Complete) };
        items.set_item(*measurement, tags);
        let item = &items.item;
        let is_next = items.last.as_ref() != Some(item);
        if is_next && listing.in_order.is_some() {
            let is_behind = items.first.as_mut().is_some_and(|first| first.are_before(tags.at(0)));
            if is_behind || smallest.is_past(item) {
                return Ok(Next::Complete);
            }
            // The page ends after a complete combination. If combinations are not in order, the
            // caller ends the page after a series instead.
            if let Some(last) = items.last.take_if(|_| is_too_many) {
                smallest.end_at(last);
                return Ok(Next::Complete);
            }
        }
        if is_next {
            let is_none = *is_of_tag && item.values().next().is_none();
            let is_sent = listing.after.as_ref().is_some_and(|after| item <= after);
            items.is_known = if is_none { *is_alive } else { smallest.has(item) };
            if let Some(first) = items.first.as_mut().filter(|_| items.is_known && !is_sent) {
                first.add(tags.at(0));
            }
            items.is_known |= is_sent || smallest.is_past(item);
            items.passed = 0;
            items.last.get_or_insert_with(|| item.clone()).clone_from(item);
        }
        if !items.is_known && rows.has_rows(time)? {
            (items.is_known, *is_alive) = (true, true);
            if !*is_of_tag || item.values().next().is_some() {
                smallest.insert(item);
                if let Some(first) = &mut items.first {
                    first.add(tags.at(0));
                }
            }
        }
        items.passed += 1;
        match listing.in_order {
            Some(prefix) if prefix < tags.order().len() && items.is_known => {
                if items.passed < STEPS_BEFORE_SEEK {
                    return Ok(Next::Step);
                }
                let values = (0..prefix).map(|place| tags.at(place));
                Ok(Next::SeekTo(SeriesKey::past(*measurement, values)))
            }
            _ => Ok(Next::Step),
        }
    }

    /// Searches the rows of the current series. Returns whether the search is complete.
    fn settles(
        &mut self,
        rows: &mut MergedRows<'_>,
        tags: &SeriesTags,
        reader: &dyn Reader,
        time: TimeRange,
    ) -> Result<bool, ScanError> {
        let Self { find, is_alive, .. } = self;
        let columns = match find {
            Find::Columns(columns) => columns,
            Find::Existence | Find::Items { .. } => {
                *is_alive = *is_alive || rows.has_rows(time)?;
                return Ok(*is_alive);
            }
        };
        let has = |&(place, _): &(usize, ColumnId)| !tags.at(place).is_empty();
        let may_tell = !columns.fields.is_empty() || columns.tags.iter().any(has) || !*is_alive;
        if may_tell && rows.has_rows(time)? {
            *is_alive = true;
            columns.found.extend(columns.tags.iter().filter(|tag| has(tag)).map(|(_, id)| *id));
            columns.tags.retain(|tag| !has(tag));
            columns.find_fields(rows, reader, time)?;
        }
        Ok(*is_alive && columns.tags.is_empty() && columns.fields.is_empty())
    }
}

struct Items {
    /// The positions of the sort tags in the key order.
    places: Vec<Option<usize>>,
    item: SeriesKey,
    first: Option<FirstSeries>,
    /// The combination of the last matching series.
    last: Option<SeriesKey>,
    /// The combination of the last excluded series, if the page can end but no series matched.
    excluded: Option<SeriesKey>,
    /// Whether the last combination is already known to be alive.
    is_known: bool,
    /// The number of series with this combination visited so far.
    passed: usize,
}

impl Items {
    fn new(task: &Task<'_>) -> Self {
        let place = |tag: &ColumnId| task.order.iter().position(|known| known == tag);
        let places = task.listing.sort.iter().map(place).collect();
        let item = SeriesKey::new(task.measurement, []);
        let first = match task.find {
            Find::Items { first, .. } => first.map(FirstSeries::new),
            Find::Existence | Find::Columns(_) => None,
        };
        Self { places, item, first, last: None, excluded: None, is_known: false, passed: 0 }
    }

    fn set_item(&mut self, measurement: MeasurementId, tags: &SeriesTags) {
        let value = |place: &Option<usize>| place.map_or("", |place| tags.at(place));
        self.item.set(measurement, self.places.iter().map(value));
    }
}

impl FindColumns {
    fn find_fields(
        &mut self,
        rows: &mut MergedRows<'_>,
        reader: &dyn Reader,
        time: TimeRange,
    ) -> Result<(), ScanError> {
        while !self.fields.is_empty()
            && let Some(picks) = rows.next_rows(time)?
        {
            for &(id, _) in picks.columns().iter() {
                let Some(at) = self.fields.iter().position(|field| *field == id) else { continue };
                if reader.stats().bytes_decoded > self.decoded_bytes {
                    // The remaining fields count as found.
                    self.found.extend(self.fields.drain(..));
                } else if rows.column(&picks, id)?.is_some() {
                    self.found.insert(self.fields.swap_remove(at));
                }
            }
        }
        Ok(())
    }
}

/// A walk over the series of one measurement after another, in a shared merge if possible.
pub(super) struct SeriesWalk<'a> {
    reader: &'a dyn Reader,
    measurements: &'a [MeasurementId],
    /// The time range. Rows outside this range do not count.
    time: TimeRange,
    patterns: &'a Patterns,
    rows: Option<MergedRows<'a>>,
    last: Option<MeasurementId>,
    /// Whether the merge is already positioned at a series of a later measurement.
    is_ahead: bool,
}

enum Found<'w, 'a> {
    /// The merge is at a series that may satisfy the condition.
    Matching(&'w mut MergedRows<'a>),
    /// The cost of excluded series has reached the limit. The last excluded series has this key.
    Excluded(SeriesKey),
    /// The condition excludes all remaining series of the measurement.
    End,
}

enum Next {
    Step,
    /// Seek the first series that does not precede this key.
    SeekTo(SeriesKey),
    /// No further series of the measurement is useful.
    Complete,
}

impl<'a> SeriesWalk<'a> {
    pub(super) fn new(
        reader: &'a dyn Reader,
        measurements: &'a [MeasurementId],
        time: TimeRange,
        patterns: &'a Patterns,
    ) -> Self {
        Self { reader, measurements, time, patterns, rows: None, last: None, is_ahead: false }
    }

    /// Moves to a position before the first series of `measurement` that does not precede `from`.
    /// Ascending measurements share one merge.
    fn start(&mut self, measurement: MeasurementId, from: &SeriesKey) -> Result<(), ScanError> {
        match self.rows.as_mut().filter(|_| self.last < Some(measurement)) {
            Some(rows) => {
                let is_behind = rows.key().is_none_or(|key| key < from);
                if !self.is_ahead || is_behind {
                    rows.seek(from)?;
                    self.is_ahead = false;
                }
            }
            None => {
                let direction = Direction::Ascending;
                self.rows =
                    Some(self.reader.merge(self.measurements, self.time, direction, from)?);
                self.is_ahead = false;
            }
        }
        self.last = Some(measurement);
        Ok(())
    }

    /// Moves to the next series of the measurement that `filter` accepts. Returns earlier if the
    /// cost of the series that `filter` has excluded is at least `excluded_max` keys.
    fn next(
        &mut self,
        filter: &mut KeyFilter<'_>,
        excluded_max: u64,
    ) -> Result<Found<'_, 'a>, ScanError> {
        let Some(rows) = &mut self.rows else { return Ok(Found::End) };
        loop {
            let is_ahead = std::mem::take(&mut self.is_ahead);
            let key = if is_ahead { rows.key() } else { rows.next_series()? };
            let Some(key) = key else { return Ok(Found::End) };
            let decision = filter.decide(key)?;
            let is_limit = filter.cells / SKIPPED_KEY_CELLS >= excluded_max;
            let excluded = match decision {
                FilterDecision::Matching => return Ok(Found::Matching(rows)),
                FilterDecision::Complete => {
                    self.is_ahead = Some(key.measurement()) != self.last;
                    return Ok(Found::End);
                }
                FilterDecision::Skip => is_limit.then(|| key.clone()),
                FilterDecision::SeekTo(to) => {
                    let excluded = is_limit.then(|| key.clone());
                    rows.seek(&to)?;
                    excluded
                }
            };
            if let Some(key) = excluded {
                return Ok(Found::Excluded(key));
            }
        }
    }
}
