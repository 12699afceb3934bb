//! What exists: live measurements, columns, tag values and series, page by page.

use std::cmp::Ordering;

use super::error::ScanError;
use super::page::{MeasurementSummary, PageLimits, SummaryPage};
use super::predicate::Filter;
use super::request::{Predicate, SummaryRequest, SummaryWant};
use super::series_index::{Place, Selection, SeriesIndex};
use super::source::{Part, Run, Source};
use super::summary_cursor::Cursor;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::series::value_hash;
use crate::model::sorted_set::SortedSet;
use crate::model::time::TimeRange;

/// Bytes of a measurement on a page beside its items.
const MEASUREMENT_BYTES: usize = 32;

/// One page of what exists. A full page ends between two items.
pub(super) fn page(
    source: &mut dyn Source,
    request: &SummaryRequest,
    limits: PageLimits,
) -> Result<SummaryPage, ScanError> {
    let mut page = SummaryPage {
        measurements: Vec::new(),
        resume: None,
        stats: super::source::ReadStats::default(),
    };
    let mut bytes = 0;
    let (start, mut after) = match &request.resume {
        Some((position, last)) => (*position, last.as_slice()),
        None => (0, &[][..]),
    };
    let kept = TimeRange::new(request.kept_from_ns.unwrap_or(i64::MIN), i64::MAX);
    for (position, &measurement) in (0..).zip(&request.measurements).skip(start as usize) {
        if bytes >= limits.bytes {
            page.resume = Some((position, Vec::new()));
            break;
        }
        let predicate = request.predicates.get(position as usize).and_then(Option::as_ref);
        let asked = MeasurementQuestion { measurement, time: request.time, kept, predicate };
        let room = limits.bytes - bytes;
        let found = match &request.want {
            SummaryWant::Measurements => asked.is_alive(source)?,
            SummaryWant::Columns => asked.columns(source, limits)?,
            SummaryWant::TagValues(tags) => {
                let items_max = request.items_max.map_or(usize::MAX, |max| max as usize);
                asked.tag_values(source, of(tags, position), after, (room, items_max))?
            }
            SummaryWant::Series(tags) => {
                let tags = of(tags, position);
                asked.list(source, tags, after, (room, usize::MAX), &mut |values, found| {
                    found.items.push(values);
                })?
            }
            SummaryWant::SeriesHashes { tags, count_only } => {
                asked.hashes(source, of(tags, position), after, (room, *count_only))?
            }
        };
        after = &[];
        bytes += MEASUREMENT_BYTES + found.bytes + 4 * found.columns.len();
        if found.is_alive {
            page.measurements.push(MeasurementSummary {
                measurement,
                columns: found.columns,
                items: found.items,
                hashes: found.hashes,
                count: found.count,
            });
        }
        if let Some(last) = found.resume {
            page.resume = Some((position, last));
            break;
        }
    }
    page.stats = source.stats();
    Ok(page)
}

/// The tags asked for of one measurement.
fn of<T>(tags: &[Vec<T>], position: u32) -> &[T] {
    tags.get(position as usize).map_or(&[], Vec::as_slice)
}

/// What is asked about one measurement.
struct MeasurementQuestion<'a> {
    measurement: MeasurementId,
    time: TimeRange,
    /// Rows outside are not alive.
    kept: TimeRange,
    predicate: Option<&'a Predicate>,
}

/// What a page says of one measurement.
#[derive(Default)]
struct MeasurementAnswer {
    is_alive: bool,
    columns: Vec<ColumnId>,
    items: Vec<Vec<String>>,
    hashes: Vec<u64>,
    count: u64,
    /// Of the items and hashes.
    bytes: usize,
    /// The last item that the page answers for, if there may be more.
    resume: Option<Vec<String>>,
}

impl MeasurementQuestion<'_> {
    fn is_alive(&self, source: &mut dyn Source) -> Result<MeasurementAnswer, ScanError> {
        // All series as one.
        self.list(source, &[], &[], (usize::MAX, usize::MAX), &mut |_, _| {})
    }

    /// Fields and tags that a live series has, ascending.
    fn columns(
        &self,
        source: &mut dyn Source,
        limits: PageLimits,
    ) -> Result<MeasurementAnswer, ScanError> {
        let mut filter = Filter::compile(self.predicate)?;
        let mut wanted = Selection { filter: &mut filter, predicate: self.predicate };
        let time = self.time.intersect(&self.kept);
        let parts = source.parts_with(self.measurement, time, &mut wanted)?;
        let index = SeriesIndex::build(parts, &[], &mut filter);
        let mut live = Vec::new();
        for series in 0..index.series() {
            if self.is_live(source, &index, series)? {
                live.push(series);
            }
        }
        let has = |tag: &ColumnId| live.iter().any(|&series| !index.tag(series, *tag).is_empty());
        let tags = index.tag_ids().iter().copied();
        let mut columns: SortedSet<ColumnId> = tags.filter(has).collect();
        let places = || live.iter().flat_map(|&series| index.places(series));
        let parts = index.parts();
        let mut seen = vec![false; parts.len()];
        for place in places() {
            let number = place.part as usize;
            if let (Some(part), Some(false)) = (parts.get(number), seen.get(number))
                && is_whole(part, self.kept)
            {
                columns.extend(part.field_ids.iter().copied());
                seen[number] = true;
            }
        }
        for place in places() {
            let part = parts.get(place.part as usize).filter(|p| !is_whole(p, self.kept));
            for &field in part.iter().flat_map(|part| part.field_ids.iter()) {
                if columns.contains(&field) {
                    continue;
                }
                // Past a page's budget a field counts as alive until compaction settles it.
                if source.stats().bytes_decoded > limits.decoded_bytes
                    || has_value(source, place, field, self.kept)?
                {
                    columns.insert(field);
                }
            }
        }
        let columns: Vec<ColumnId> = columns.into_iter().collect();
        Ok(MeasurementAnswer {
            is_alive: !live.is_empty(),
            columns,
            ..MeasurementAnswer::default()
        })
    }

    /// `[position of the tag, value]`, ascending by position as a number, then by value.
    fn tag_values(
        &self,
        source: &mut dyn Source,
        tags: &[ColumnId],
        after: &[String],
        (room, items_max): (usize, usize),
    ) -> Result<MeasurementAnswer, ScanError> {
        let from = after.first().and_then(|position| position.parse().ok()).unwrap_or(0_usize);
        let mut all = MeasurementAnswer::default();
        let mut after = after.get(1..).unwrap_or_default();
        for (position, tag) in tags.iter().enumerate().skip(from) {
            if all.items.len() >= items_max {
                return Ok(all);
            }
            // Fixed width, so that the order as text is the order of the numbers.
            let name = format!("{position:05}");
            if all.bytes >= room {
                all.resume = Some(vec![name, String::new()]);
                return Ok(all);
            }
            let of_tag = std::slice::from_ref(tag);
            let left = items_max - all.items.len();
            let room = (room - all.bytes, left);
            let found = self.list(source, of_tag, after, room, &mut |mut item, found| {
                if item.iter().all(|value| !value.is_empty()) {
                    item.insert(0, name.clone());
                    found.items.push(item);
                }
            })?;
            after = &[];
            all.is_alive |= found.is_alive;
            all.bytes += found.bytes + name.len() * found.items.len();
            all.items.extend(found.items);
            if all.items.len() < items_max
                && let Some(mut last) = found.resume
            {
                last.insert(0, name);
                all.resume = Some(last);
                return Ok(all);
            }
        }
        if tags.is_empty() {
            return self.is_alive(source);
        }
        Ok(all)
    }

    /// A hash of each combination of values of these tags, or how many there are.
    fn hashes(
        &self,
        source: &mut dyn Source,
        tags: &[(ColumnId, u64)],
        after: &[String],
        (room, count_only): (usize, bool),
    ) -> Result<MeasurementAnswer, ScanError> {
        let ids: Vec<ColumnId> = tags.iter().map(|(id, _)| *id).collect();
        let room = if count_only { usize::MAX } else { room };
        self.list(source, &ids, after, (room, usize::MAX), &mut |values, found| {
            found.count += 1;
            if !count_only {
                let present = tags.iter().zip(&values).filter(|(_, value)| !value.is_empty());
                let hashes = present.map(|((_, seed), value)| value_hash(*seed, value));
                found.hashes.push(hashes.fold(0, u64::wrapping_add));
            }
        })
    }

    /// Calls `add` with the values of these tags, once per combination that a live series has,
    /// ascending, behind `after` (nothing: from the first), until `room` is taken.
    fn list(
        &self,
        source: &mut dyn Source,
        tags: &[ColumnId],
        after: &[String],
        (room, items_max): (usize, usize),
        add: &mut dyn FnMut(Vec<String>, &mut MeasurementAnswer),
    ) -> Result<MeasurementAnswer, ScanError> {
        let mut filter = Filter::compile(self.predicate)?;
        let selection = Selection { filter: &mut filter, predicate: self.predicate };
        let mut cursor = Cursor::new(selection, tags, after, room);
        let time = self.time.intersect(&self.kept);
        let parts = source.parts_with(self.measurement, time, &mut cursor)?;
        let bound = cursor.bound.take();
        let index = SeriesIndex::of_groups(parts, tags, &mut filter);
        let mut found = MeasurementAnswer::default();
        let sent = |group: &usize| {
            !after.is_empty() && index.compare_group(*group, after) != Ordering::Greater
        };
        for group in first(index.groups(), &sent)..index.groups() {
            let beyond = |bound: &Vec<String>| index.compare_group(group, bound).is_gt();
            if bound.as_ref().is_some_and(beyond) {
                break;
            }
            if found.bytes >= room || found.items.len() >= items_max {
                found.resume = Some(index.group_key(group - 1));
                return Ok(found);
            }
            if self.is_live(source, &index, group)? {
                found.is_alive = true;
                let values = index.group_key(group);
                found.bytes += item_bytes(&values);
                add(values, &mut found);
            }
        }
        found.resume = bound;
        Ok(found)
    }

    /// Whether a series has a row that tombstones and retention leave. Inside the time asked about
    /// as exactly as headers tell, inside what is kept exactly.
    fn is_live(
        &self,
        source: &mut dyn Source,
        index: &SeriesIndex,
        series: usize,
    ) -> Result<bool, ScanError> {
        let part = |number: u32| index.parts().get(number as usize);
        let whole = |place: &Place| part(place.part).is_some_and(|p| is_whole(p, self.kept));
        if index.places(series).iter().any(whole) {
            return Ok(true);
        }
        let inside = self.time.intersect(&self.kept);
        for place in index.places(series) {
            let (part, series) = (place.part as usize, place.series);
            let is_live = match source.is_live(part, series, inside) {
                Some(known) => known,
                None => {
                    let runs = source.runs(part, series, inside, &[])?;
                    runs.into_iter().any(|run| run.trim(inside).is_some())
                }
            };
            if is_live {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// About what an item takes on a page.
fn item_bytes(item: &[String]) -> usize {
    item.iter().map(|value| value.len() + 4).sum::<usize>() + 4
}

/// The first of `count` positions that `is_before` does not say yes of; it does of none behind.
fn first(count: usize, is_before: &dyn Fn(&usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(&middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// Whether every row of the part is alive.
fn is_whole(part: &Part, kept: TimeRange) -> bool {
    !part.tombstones && kept.start_ns <= part.time.start_ns
}

/// Whether a series has a value of `field` inside `time`.
fn has_value(
    source: &mut dyn Source,
    place: &Place,
    field: ColumnId,
    time: TimeRange,
) -> Result<bool, ScanError> {
    let runs = source.runs(place.part as usize, place.series, time, &[field])?;
    let is_valid = |run: Run| {
        let mut columns = run.block.columns.iter().filter(|(id, _)| *id == field);
        columns.any(|(_, column)| run.rows.clone().any(|row| column.validity.is_valid(row)))
    };
    Ok(runs.into_iter().filter_map(|run| run.trim(time)).any(is_valid))
}
