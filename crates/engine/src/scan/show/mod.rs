//! Lists live measurements, columns, tag values and series, page by page.
//!
//! A series is alive if at least one of its rows in the time range is neither deleted nor expired.
//! For most measurements, the directories of parts contain enough information about live rows and
//! fields ([`facts`]). Otherwise, a merge visits the series without reading rows ([`SeriesWalk`]),
//! and seeks from one measurement to the next. After the merge has found a live series with a
//! combination of tag values, it seeks past the other series with the same combination.

mod facts;
mod smallest;
mod task;

use std::rc::Rc;

use self::facts::{Facts, RequestedFacts};
use self::smallest::SmallestKeys;
use self::task::{Find, FindColumns, Listing, SeriesWalk, Task};
use super::cached::Cached;
use super::error::ScanError;
use super::page::{MeasurementSummary, SummaryLimits, SummaryPage};
use super::read_stats::ReadStats;
use super::reader::Reader;
use super::request::{SummaryRequest, SummaryWant};
use crate::codec::metadata;
use crate::merge::key::SeriesKey;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::regex::Patterns;
use tidemark_model::series::value_hash;
use tidemark_model::time::TimeRange;

/// The number of bytes that a measurement takes on a page in addition to its items.
const MEASUREMENT_BYTES: usize = 32;
/// The maximum number of lists that are built together, at about 400 bytes each.
const LISTED_TOGETHER_MAX: usize = 4_000;
/// The maximum size of a cached page, in bytes. A page of this size can contain the columns of
/// 10,000 measurements.
const CACHED_BYTES_MAX: usize = 1_500_000;
/// The estimated number of keys that are visited for each item of a list in key order.
const KEYS_PER_ITEM: u64 = 16;

/// Returns one page of a summary (for SHOW statements). A full page ends between two items. The
/// page is cached until the next write.
pub fn summarise(
    reader: &dyn Reader,
    request: &SummaryRequest,
    limits: SummaryLimits,
) -> Result<SummaryPage, ScanError> {
    let (Some(cache), Ok(name)) = (reader.result_cache(), name(request, limits)) else {
        return read(reader, request, limits);
    };
    let version = cache.version(&request.measurements, request.time)?;
    if let Some(Cached::Summary(page)) = cache.get(&name, &version) {
        return Ok(SummaryPage { stats: reader.stats(), ..SummaryPage::clone(&page) });
    }
    let page = read(reader, request, limits)?;
    if page.bytes() <= CACHED_BYTES_MAX {
        cache.put(name, version, Cached::Summary(Rc::new(page.clone())));
    }
    Ok(page)
}

fn name(request: &SummaryRequest, limits: SummaryLimits) -> Result<Vec<u8>, metadata::Error> {
    let SummaryLimits { bytes, decoded_bytes, keys } = limits;
    metadata::encode(&("summary", request, bytes, decoded_bytes, keys))
}

fn read(
    reader: &dyn Reader,
    request: &SummaryRequest,
    limits: SummaryLimits,
) -> Result<SummaryPage, ScanError> {
    let kept = TimeRange::new(request.kept_from_ns.unwrap_or(i64::MIN), i64::MAX);
    let time = request.time.intersect(&kept);
    // The fields of runs with equal series may differ.
    let fewer = match request.want {
        SummaryWant::Columns => None,
        _ => reader.without_equal_runs(time),
    };
    let reader = fewer.as_deref().unwrap_or(reader);
    let stretches = match time.is_empty() {
        true => Vec::new(),
        false => reader.stretches(time)?,
    };
    let (bytes, keys, found) = (0, 0, Vec::new());
    let patterns = Patterns::limited();
    let mut page =
        SummaryBuilder { reader, request, limits, time, stretches, patterns, bytes, keys, found };
    let mut next = request.resume.clone();
    let mut start = next.as_ref().map_or(0, |(position, _)| *position);
    let resume = loop {
        if start as usize >= request.measurements.len() {
            break None;
        }
        if page.bytes >= limits.bytes || page.keys >= limits.keys.max(1) {
            break Some((start, Vec::new()));
        }
        let resumed = next.take().map(|(_, last)| last).filter(|last| !last.is_empty());
        let (next_start, resume) = page.add(start, resumed.as_deref())?;
        start = next_start;
        if resume.is_some() {
            break resume;
        }
    };
    let stats = ReadStats { cells: page.keys, ..reader.stats() };
    Ok(SummaryPage { measurements: page.found, resume, stats })
}

/// Builds a [`SummaryPage`].
struct SummaryBuilder<'a> {
    reader: &'a dyn Reader,
    request: &'a SummaryRequest,
    limits: SummaryLimits,
    time: TimeRange,
    stretches: Vec<TimeRange>,
    patterns: Patterns,
    bytes: usize,
    keys: u64,
    found: Vec<MeasurementSummary>,
}

type Resume = (u32, Vec<String>);

impl<'a> SummaryBuilder<'a> {
    /// Adds one or several measurements to the page, beginning with `start`. `resumed` is the
    /// position inside the first measurement at which an earlier page ended. Returns the position
    /// after the added measurements and, if the page ends at this position, the start of the next
    /// page.
    fn add(
        &mut self,
        start: u32,
        resumed: Option<&[String]>,
    ) -> Result<(u32, Option<Resume>), ScanError> {
        let wanted = match self.request.want {
            SummaryWant::Columns => RequestedFacts::Columns,
            SummaryWant::Measurements if self.request.predicates.iter().all(Option::is_none) => {
                RequestedFacts::Existence
            }
            _ => RequestedFacts::Series,
        };
        let room = (self.limits.bytes - self.bytes) / MEASUREMENT_BYTES + 1;
        let most = if wanted == RequestedFacts::Series { LISTED_TOGETHER_MAX } else { usize::MAX };
        let left = self.request.measurements.get(start as usize..).or_bug();
        let measurements = left.get(..room.min(most)).unwrap_or(left);
        let facts = facts::list(self.reader, measurements, self.time, wanted)?;
        let (mut tasks, mut keys, mut next_start) = (Vec::new(), 0, start);
        for (facts, &measurement) in facts.iter().zip(measurements) {
            let resumed = resumed.filter(|_| next_start == start);
            let planned = tasks.len();
            self.plan(&mut tasks, next_start, measurement, facts, resumed);
            keys += tasks.iter().skip(planned).map(|task| self.keys(task, facts)).sum::<u64>();
            let is_long = wanted == RequestedFacts::Series && tasks.len() > LISTED_TOGETHER_MAX;
            if (is_long || keys > self.limits.keys) && next_start > start {
                tasks.truncate(planned);
                break;
            }
            next_start += 1;
        }
        let end = self.run(&mut tasks, next_start == start + 1)?;
        Ok((next_start, self.take(tasks, end)))
    }

    /// Plans the tasks for which the directories of a measurement do not suffice.
    fn plan(
        &self,
        tasks: &mut Vec<Task<'a>>,
        position: u32,
        measurement: MeasurementId,
        facts: &Facts,
        resumed: Option<&[String]>,
    ) {
        if facts.keys == 0 {
            return;
        }
        let predicate = self.request.predicates.get(position as usize).and_then(Option::as_ref);
        let listing =
            |listed: &[ColumnId], resumed| Listing::new(measurement, listed, &facts.order, resumed);
        let mut task = |number, listing: Listing, find: Find| {
            let is_plain = predicate.is_none();
            let is_done = is_plain && is_known_from(&find, facts);
            let is_of_tag = matches!(find, Find::Items { is_of_tag: true, .. });
            tasks.push(Task {
                position,
                number,
                measurement,
                predicate,
                is_alive: is_done && facts.has_rows,
                is_done,
                by_dictionary: is_of_tag
                    && is_plain
                    && facts.is_whole
                    && !listing.is_in_order()
                    && !listing.continues_walk(),
                order: facts.order.clone(),
                listing,
                find,
                rest: None,
            });
        };
        let of_series = resumed.and_then(series_resumed);
        match &self.request.want {
            SummaryWant::Measurements => {
                task(0, listing(&facts.order, of_series), Find::Existence);
            }
            SummaryWant::Columns => {
                let columns = self.find_columns(predicate.is_some(), facts);
                task(0, listing(&facts.order, of_series), columns);
            }
            SummaryWant::TagValues(tags) if of(tags, position).is_empty() => {
                task(0, listing(&facts.order, of_series), Find::Existence);
            }
            SummaryWant::TagValues(tags) => {
                let first = resumed.and_then(|last| last.first()?.parse().ok()).unwrap_or(0);
                let mut resumed = resumed.and_then(|last| last.get(1..));
                for (number, tag) in of(tags, position).iter().enumerate().skip(first) {
                    let resumed = resumed.take().map(|values| (vec![*tag], values));
                    let smallest = self.smallest_keys(self.request.items_max, false);
                    let values = Find::Items { smallest, is_of_tag: true, first: None };
                    task(number, listing(std::slice::from_ref(tag), resumed), values);
                }
            }
            SummaryWant::Series(tags) => {
                let tags = of(tags, position);
                let listing = listing(tags, of_series);
                let first = self.request.items_max.filter(|_| listing.is_led_by(tags.first()));
                let smallest = self.smallest_keys(None, false);
                task(0, listing, Find::Items { smallest, is_of_tag: false, first });
            }
            SummaryWant::SeriesHashes { tags, count_only } => {
                let ids: Vec<ColumnId> = of(tags, position).iter().map(|(id, _)| *id).collect();
                let listing = listing(&ids, of_series);
                let only_counts = *count_only && self.stretches.len() == 1 && listing.is_in_order();
                let smallest = self.smallest_keys(None, only_counts);
                task(0, listing, Find::Items { smallest, is_of_tag: false, first: None });
            }
        }
    }

    fn smallest_keys(&self, items_max: Option<u64>, only_counts: bool) -> SmallestKeys {
        let items_max = items_max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
        let room = self.limits.bytes.saturating_sub(self.bytes);
        SmallestKeys::new(room, items_max, only_counts)
    }

    /// Returns the search for the columns that the facts leave open. With a predicate, every
    /// possible field counts as found if a series matches, because a predicate selects series and
    /// not fields.
    fn find_columns(&self, has_predicate: bool, facts: &Facts) -> Find {
        let mut columns = FindColumns {
            found: facts.fields.clone(),
            tags: (0..).zip(facts.order.iter().copied()).collect(),
            fields: Vec::new(),
            decoded_bytes: self.limits.decoded_bytes,
        };
        let possible_fields = facts.possible_fields.iter().filter(|id| !facts.fields.contains(*id));
        if has_predicate {
            columns.found.extend(possible_fields.copied());
        } else {
            columns.fields.extend(possible_fields);
            columns.found.extend(facts.tags.iter().copied());
            columns.tags.retain(|(_, id)| !facts.tags.contains(id));
        }
        Find::Columns(columns)
    }

    fn keys(&self, task: &Task<'_>, facts: &Facts) -> u64 {
        match self.request.items_max {
            _ if task.is_done => 0,
            // Without a condition, every visited series is an item. With a condition, the walk may
            // visit all series, because the condition may exclude most of them.
            Some(items) if task.listing.is_in_order() && task.predicate.is_none() => {
                facts.keys.min(items.saturating_mul(KEYS_PER_ITEM))
            }
            _ => facts.keys,
        }
    }

    /// Runs the tasks, which are in page order. Returns the number of tasks that fit on the page.
    /// The last of these tasks may be incomplete. `is_lone` means that all tasks belong to one
    /// measurement.
    fn run(&mut self, tasks: &mut [Task<'a>], is_lone: bool) -> Result<usize, ScanError> {
        let mut by_id: Vec<(MeasurementId, usize)> = Vec::with_capacity(tasks.len());
        let open = tasks.iter().enumerate().filter(|(_, task)| !task.is_done);
        by_id.extend(open.map(|(at, task)| (task.measurement, at)));
        by_id.sort();
        let mut ids: Vec<MeasurementId> = by_id.iter().map(|(id, _)| *id).collect();
        ids.dedup();
        let room = self.limits.bytes.saturating_sub(self.bytes);
        let mut budget = PageBudget::new(tasks, room);
        let mut listed = 0;
        for &(_, at) in &by_id {
            let Some(task) = tasks.get_mut(at).filter(|task| task.by_dictionary) else { continue };
            if at < budget.end {
                listed += task.list_dictionaries(self.reader, self.time, self.limits.keys)?;
                if is_lone && (!task.is_done || listed > self.limits.keys) {
                    budget.end = at + 1;
                }
                budget.grown(tasks, at);
            }
        }
        self.keys += listed;
        let stretches = self.stretches.len().max(1);
        // Each page of an incomplete list also reads the dictionaries of the following tags. These
        // values must not reduce the number of series that the page visits.
        let share = self.limits.keys / stretches as u64;
        let keys_max = if is_lone { share.max(1) } else { u64::MAX };
        for &stretch in &self.stretches {
            let (mut walk, mut keys) =
                (SeriesWalk::new(self.reader, &ids, stretch, &self.patterns), 0);
            for &(_, at) in &by_id {
                let Some(task) = tasks.get_mut(at).filter(|task| !task.is_done) else { continue };
                if at >= budget.end {
                    continue;
                }
                keys += task.walk(&mut walk, keys_max, room / stretches)?;
                if is_lone && keys > keys_max {
                    // The next page lists the other tags.
                    budget.end = at + 1;
                }
                budget.grown(tasks, at);
            }
            self.keys += keys;
        }
        Ok(budget.end)
    }

    /// Adds the results of the first `end` tasks to the page. Returns the start of the next page,
    /// if these measurements have further items.
    fn take(&mut self, tasks: Vec<Task<'a>>, end: usize) -> Option<Resume> {
        let next = tasks.get(end).map(|task| (task.position, task.number));
        let (mut resume, mut full) = (None, None);
        for task in tasks.into_iter().take(end) {
            let position = task.position;
            if full == Some(position) {
                continue;
            }
            resume = task.resume().map(|last| (position, self.resume_of(&task, last)));
            if task.is_alive {
                let (bytes, continues) = (task.bytes(), task.rest.is_some());
                self.bytes += bytes;
                if self.put(task) && !continues {
                    (full, resume) = (Some(position), None);
                }
            }
        }
        let behind = |(position, number): (u32, usize)| match number {
            _ if full == Some(position) => (position + 1, Vec::new()),
            0 => (position, Vec::new()),
            _ => (position, vec![tag_name(number), String::new()]),
        };
        resume.or(next.map(behind))
    }

    fn resume_of(&self, task: &Task<'_>, last: Vec<String>) -> Vec<String> {
        let sort = &task.listing.sort;
        let head = match self.request.want {
            SummaryWant::TagValues(_) if matches!(task.find, Find::Items { .. }) => {
                tag_name(task.number)
            }
            _ => sort.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(","),
        };
        std::iter::once(head).chain(last).collect()
    }

    /// Adds the result of a task to the page. Returns whether the measurement needs no further tag
    /// values.
    fn put(&mut self, task: Task<'_>) -> bool {
        let Task { position, measurement, number, listing, find, .. } = task;
        if self.found.last().is_none_or(|last| last.measurement != measurement) {
            self.bytes += MEASUREMENT_BYTES;
            self.found.push(MeasurementSummary { measurement, ..MeasurementSummary::default() });
        }
        let Some(summary) = self.found.last_mut() else { return false };
        let smallest = match find {
            Find::Existence => return false,
            Find::Columns(columns) => {
                summary.columns = columns.found.into_iter().collect();
                return false;
            }
            Find::Items { smallest, .. } => smallest,
        };
        let place = |tag: &ColumnId| listing.sort.iter().position(|known| known == tag);
        let value = |item: &SeriesKey, place: Option<usize>| {
            place.map_or(String::new(), |place| item.value(place).into_owned())
        };
        match &self.request.want {
            SummaryWant::TagValues(_) => {
                let items = smallest.into_items();
                let values = items.iter().map(|item| item.value(0).into_owned());
                summary.items.extend(values.map(|value| vec![tag_name(number), value]));
                let items = summary.items.len() as u64;
                return self.request.items_max.is_some_and(|max| items >= max);
            }
            SummaryWant::SeriesHashes { tags, count_only } => {
                summary.count += smallest.count();
                if !count_only || !listing.is_in_order() {
                    let tags = of(tags, position).iter().map(|(id, seed)| (place(id), *seed));
                    let tags: Vec<(Option<usize>, u64)> = tags.collect();
                    let hash = |item: &SeriesKey| {
                        let values = tags.iter().map(|(place, seed)| (value(item, *place), seed));
                        let present = values.filter(|(value, _)| !value.is_empty());
                        present
                            .map(|(value, seed)| value_hash(*seed, &value))
                            .fold(0, u64::wrapping_add)
                    };
                    summary.hashes.extend(smallest.into_items().iter().map(hash));
                }
            }
            SummaryWant::Series(tags) => {
                let places: Vec<Option<usize>> = of(tags, position).iter().map(place).collect();
                let values = |item: &SeriesKey| places.iter().map(|at| value(item, *at)).collect();
                summary.items.extend(smallest.into_items().iter().map(values));
            }
            SummaryWant::Measurements | SummaryWant::Columns => {}
        }
        false
    }
}

/// The space on a page for the results of several tasks.
struct PageBudget {
    end: usize,
    /// The size of each task's result, in bytes.
    taken: Vec<usize>,
    sum: usize,
    room: usize,
}

impl PageBudget {
    fn new(tasks: &[Task<'_>], room: usize) -> Self {
        let taken: Vec<usize> = tasks.iter().map(|task| task.bytes() + MEASUREMENT_BYTES).collect();
        let (end, sum) = (taken.len(), taken.iter().sum());
        let mut budget = Self { end, taken, sum, room };
        budget.cut();
        budget
    }

    fn grown(&mut self, tasks: &mut [Task<'_>], at: usize) {
        if let (Some(task), Some(taken)) = (tasks.get(at), self.taken.get_mut(at)) {
            let bytes = task.bytes() + MEASUREMENT_BYTES;
            self.sum = self.sum + bytes - std::mem::replace(taken, bytes);
            if task.resume().is_some() {
                self.end = self.end.min(at + 1);
            }
        }
        self.cut();
    }

    fn cut(&mut self) {
        let is_past = |budget: &Self| {
            budget.taken.len() > budget.end || budget.sum > budget.room && budget.taken.len() > 1
        };
        while is_past(self) {
            self.sum -= self.taken.pop().unwrap_or_default();
        }
        self.end = self.taken.len();
    }
}

fn of<T>(tags: &[Vec<T>], position: u32) -> &[T] {
    tags.get(position as usize).map_or(&[], Vec::as_slice)
}

/// Returns the number of a tag as text. The fixed width makes the text order equal to the numeric
/// order.
fn tag_name(number: usize) -> String {
    format!("{number:05}")
}

/// Parses the series order of earlier pages and the last combination sent.
fn series_resumed(last: &[String]) -> Option<(Vec<ColumnId>, &[String])> {
    let (ids, values) = last.split_first()?;
    Some((ids.split(',').filter_map(|id| id.parse().ok()).map(ColumnId).collect(), values))
}

/// Whether the facts suffice. The facts never suffice for a request with a predicate.
fn is_known_from(find: &Find, facts: &Facts) -> bool {
    match find {
        Find::Existence => facts.has_rows || facts.is_whole,
        Find::Columns(columns) => {
            let is_found = columns.tags.is_empty() && columns.fields.is_empty();
            facts.is_whole || facts.has_rows && is_found
        }
        Find::Items { .. } => false,
    }
}
