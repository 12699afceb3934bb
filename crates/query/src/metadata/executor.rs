//! Merges the summaries of many shards, one measurement at a time, in ascending order of name.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use super::cardinality::GroupCounts;
use super::names::SortedNames;
use super::plan::MetaPlan;
use super::render::{Listing, Render};
use crate::admission::{BufferMemory, QueryReservation};
use crate::error::Result;
use crate::executor::{ExecStep, PageNeed, StreamId};
use crate::operators::join_limit::Limiter;
use crate::result::SeriesChunk;
use crate::work::{Computation, Work};
use tidemark_engine::scan::page::{MeasurementSummary, SummaryPage};
use tidemark_engine::scan::request::SummaryRequest;
use tidemark_model::bug::OrBug;
use tidemark_model::ids::MeasurementId;
use tidemark_model::limits::SHARDS_REQUESTED_AT_ONCE_MAX;

/// A stream, and the position of its next page.
type MissingPage = (StreamId, Option<(u32, Vec<String>)>);

#[derive(Debug)]
struct MetaStream {
    id: StreamId,
    summaries: VecDeque<MeasurementSummary>,
    bytes: usize,
    /// The position of the next page. The inner `None` means the first page. The outer `None` means
    /// that the last page has arrived.
    rest: Option<Option<(u32, Vec<String>)>>,
}

const CHUNK_ROWS: usize = 10_000;
/// The maximum number of groups whose counts are in memory at the same time.
const GROUPS_AT_ONCE: usize = 1_000;

#[derive(Debug)]
struct Showing {
    title: Option<String>,
    names: SortedNames,
    rows: Range<usize>,
}

/// The result of a computation that may pause.
enum Computed {
    /// A list without duplicate names.
    Compacted(Listing),
    /// The sorted names of a measurement.
    Names(String, SortedNames),
    /// A number of series or values, and the result for a measurement or a statement.
    Count(u64, Option<SeriesChunk>),
    /// The sorted names, which are counted by group.
    Groups(GroupCounts),
}

/// Executes one [`MetaPlan`].
#[derive(Debug)]
pub struct MetaExecutor {
    plan: Rc<MetaPlan>,
    work: Work,
    measurements: VecDeque<(String, Vec<(usize, usize)>)>,
    streams: Vec<MetaStream>,
    /// The first page of each shard. A shard reports newer state with its first page, and a query
    /// can restart only before it returns a chunk. The executor requests the first six pages before
    /// any chunk. It requests the other pages with their measurements: if a plan over several
    /// policies has more shards, the caller has confirmed its state.
    first_pages: Vec<MissingPage>,
    reservation: QueryReservation,
    pages: BufferMemory,
    listed: BufferMemory,
    listing: Listing,
    computation: Option<Computation<Result<Computed>>>,
    limiter: Limiter,
    showing: Option<Showing>,
    counting: Option<GroupCounts>,
    last_chunk: Option<SeriesChunk>,
    ready: VecDeque<SeriesChunk>,
    total: u64,
    counted: bool,
}

impl MetaExecutor {
    /// Starts `plan`. `shards[i]` is the number of shards of scan `i`. `reservation` counts the
    /// memory, and `work` counts the work.
    pub fn new(
        plan: MetaPlan,
        shards: &[u32],
        reservation: &QueryReservation,
        work: &Work,
    ) -> Self {
        // A filter may accept a measurement in only one policy, so each policy then has its own
        // entry.
        let is_by_policy = matches!(plan.render, Render::Measurements(_, Some(_)));
        let mut by_name: BTreeMap<_, Vec<(usize, usize)>> = BTreeMap::new();
        let (mut streams, mut first_pages) = (Vec::new(), Vec::new());
        let mut policy_before = None;
        for (index, scan) in plan.scans.iter().enumerate() {
            let is_first_of_policy = policy_before.replace(&scan.policy) != Some(&scan.policy);
            for (position, known) in scan.column_names.iter().enumerate() {
                let key = (known.name().to_owned(), is_by_policy.then_some(&scan.policy));
                by_name.entry(key).or_default().push((index, position));
            }
            for shard in 0..shards.get(index).copied().or_bug() {
                let id = StreamId { scan: index as u32, shard };
                let (summaries, bytes, rest) = (VecDeque::new(), 0, Some(None));
                streams.push(MetaStream { id, summaries, bytes, rest });
                if is_first_of_policy {
                    first_pages.push((id, None));
                }
            }
        }
        let measurements = by_name.into_iter().map(|((name, _), scans)| (name, scans)).collect();
        let limiter = Limiter::new(plan.limit, plan.offset);
        Self {
            listing: Listing::new(plan.keep()),
            computation: None,
            plan: Rc::new(plan),
            work: work.clone(),
            measurements,
            streams,
            first_pages,
            pages: reservation.buffer(),
            listed: reservation.buffer(),
            reservation: reservation.clone(),
            limiter,
            showing: None,
            counting: None,
            last_chunk: None,
            ready: VecDeque::new(),
            total: 0,
            counted: false,
        }
    }

    /// Returns the next step.
    ///
    /// # Errors
    /// `QueryError`; the executor cannot be used after an error.
    #[expect(clippy::should_implement_trait, reason = "a step is not an item of an iterator")]
    pub fn next(&mut self) -> Result<ExecStep<SummaryRequest>> {
        loop {
            self.plan.regex_work.check()?;
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(ExecStep::Chunk(chunk));
            }
            if self.work.pauses()? {
                return Ok(ExecStep::Pause);
            }
            if let Some(computation) = &mut self.computation {
                if let Some(computed) = computation.proceed() {
                    self.computation = None;
                    self.receive(computed?)?;
                }
                continue;
            }
            if self.show_next() || self.count_next() {
                continue;
            }
            if !self.first_pages.is_empty() {
                let missing = std::mem::take(&mut self.first_pages);
                return Ok(ExecStep::Need(self.needs(missing)));
            }
            let next = self.measurements.front().filter(|_| !self.is_full());
            let Some((name, scans)) = next else {
                if self.count_whole() {
                    continue;
                }
                break;
            };
            let (streams, listing) = (&mut self.streams, &mut self.listing);
            let needs = collect(streams, &self.plan, scans, listing, &self.work)?;
            let has_memory = self.listed.set(self.listing.bytes()).is_ok();
            if self.listing.is_large() || !has_memory {
                let (listing, work) = (std::mem::take(&mut self.listing), self.work.clone());
                let compacted =
                    async move { listing.compact(&work).await.map(Computed::Compacted) };
                self.computation = Some(Computation::new(compacted));
                continue;
            }
            let Some(missing) = needs else { continue };
            if !missing.is_empty() {
                return Ok(ExecStep::Need(self.needs(missing)));
            }
            let name = name.clone();
            self.measurements.pop_front();
            if let Render::Count(count) = &self.plan.render {
                if count.is_hashed() || !count.is_whole() {
                    self.count(Some(name));
                }
                continue;
            }
            let next = Listing::new(self.plan.keep());
            let listing = std::mem::replace(&mut self.listing, next);
            let (plan, work) = (Rc::clone(&self.plan), self.work.clone());
            self.computation = Some(Computation::new(async move {
                let names = listing.finish(&plan.render, &name, &work).await;
                Ok(Computed::Names(name, names))
            }));
        }
        Ok(self.last_chunk.take().map_or(ExecStep::Done, ExecStep::Chunk))
    }

    /// Returns the requests for some of the missing pages.
    fn needs(&self, missing: Vec<MissingPage>) -> Vec<PageNeed<SummaryRequest>> {
        let continues = missing.iter().any(|(_, resume)| resume.is_some());
        let page_bytes = self.reservation.page_bytes(missing.len(), continues);
        let need = |(stream, resume): MissingPage| {
            let scan = self.plan.scans.get(stream.scan as usize)?;
            self.work.add(scan.entries);
            let request = SummaryRequest { resume, page_bytes, ..scan.request.clone() };
            Some(PageNeed { stream, request })
        };
        missing.into_iter().take(SHARDS_REQUESTED_AT_ONCE_MAX).filter_map(need).collect()
    }

    fn receive(&mut self, computed: Computed) -> Result<()> {
        match computed {
            Computed::Compacted(listing) => {
                self.listing = listing;
                self.listed.set(self.listing.bytes())?;
            }
            Computed::Names(name, names) => self.show(&name, names),
            Computed::Count(series, chunk) => {
                self.total += series;
                let is_shown = self.shows_counts();
                self.ready.extend(chunk.filter(|_| is_shown));
            }
            Computed::Groups(groups) => {
                self.counting = self.shows_counts().then_some(groups);
            }
        }
        Ok(())
    }

    /// Supplies the page that a [`PageNeed`] requested.
    ///
    /// # Errors
    /// `QueryError::OutOfMemory` if the pages of all shards exceed the query memory.
    pub fn supply(&mut self, stream: StreamId, page: SummaryPage) -> Result<()> {
        if let Some(found) = self.streams.iter_mut().find(|found| found.id == stream) {
            let before = std::mem::replace(&mut found.bytes, page.bytes());
            self.pages.set((self.pages.bytes() + found.bytes).saturating_sub(before))?;
            found.summaries.extend(page.measurements);
            found.rest = page.resume.map(Some);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let is_list = !matches!(self.plan.render, Render::Count(_));
        is_list && !self.plan.render.per_measurement() && self.limiter.is_exhausted()
    }

    /// Counts the listed names. `name` is the measurement; `None` counts the whole statement.
    fn count(&mut self, name: Option<String>) {
        let (plan, work) = (Rc::clone(&self.plan), self.work.clone());
        let (listing, total) = (std::mem::take(&mut self.listing), self.total);
        self.computation = Some(Computation::new(async move {
            let Render::Count(count) = &plan.render else { return Ok(Computed::Count(0, None)) };
            if name.is_some() && count.is_hashed() {
                let series = listing.counted(&work).await;
                let is_shown = series > 0 && !count.is_whole();
                let chunk = is_shown.then(|| count.chunk(name.as_deref(), None, series));
                return Ok(Computed::Count(series, chunk));
            }
            let names = listing.finish(&plan.render, "", &work).await;
            Ok(match count.is_estimate {
                true => {
                    let chunk = count.chunk(None, None, total + names.len() as u64);
                    Computed::Count(0, Some(chunk))
                }
                false => Computed::Groups(GroupCounts::new(name, names)),
            })
        }));
    }

    /// Whether the result contains counts. As in 1.x, any OFFSET skips all counts.
    fn shows_counts(&self) -> bool {
        self.plan.offset == 0
    }

    /// Continues with the counts of the next groups. Returns `false` if no group remains.
    fn count_next(&mut self) -> bool {
        let Render::Count(count) = &self.plan.render else { return false };
        let Some(groups) = &mut self.counting else { return false };
        while self.ready.len() < GROUPS_AT_ONCE {
            match groups.next(count, &self.work) {
                Some(chunk) => self.ready.push_back(chunk),
                None if self.work.is_due() => break,
                None => {
                    self.counting = None;
                    break;
                }
            }
        }
        true
    }

    /// Counts the names of all measurements. Returns `false` if nothing remains to be counted.
    fn count_whole(&mut self) -> bool {
        let Render::Count(count) = &self.plan.render else { return false };
        if !count.is_whole() || std::mem::replace(&mut self.counted, true) {
            return false;
        }
        self.count(None);
        true
    }

    fn show(&mut self, name: &str, names: SortedNames) {
        let title = if self.plan.render.per_measurement() {
            self.limiter = Limiter::new(self.plan.limit, self.plan.offset);
            Some(name.to_owned())
        } else {
            let is_named = self.plan.render.columns().first().is_some_and(|first| *first == "name");
            is_named.then(|| "measurements".to_owned())
        };
        let (from, to) = self.limiter.take(names.len());
        self.showing = (from < to).then_some(Showing { title, names, rows: from..to });
    }

    /// Continues with the next rows of the measurement. Returns `false` if no rows remain.
    fn show_next(&mut self) -> bool {
        let columns = self.plan.render.columns();
        let Some(Showing { title, names, rows }) = &mut self.showing else { return false };
        let end = rows.end.min(rows.start.saturating_add(CHUNK_ROWS));
        let texts = names.rows(rows.start..end, columns.len());
        self.work.add(texts.len() * columns.len());
        let mut chunk = SeriesChunk::of_strings(title.as_deref(), columns, &texts);
        rows.start = end;
        let is_last = end >= rows.end;
        if is_last {
            self.showing = None;
        }
        if self.plan.render.per_measurement() {
            chunk.partial = !is_last;
            self.ready.push_back(chunk);
        } else {
            // The next measurement may add rows to this series.
            self.ready.extend(chunk.swap_into(&mut self.last_chunk));
        }
        true
    }
}

/// Collects a measurement's summaries. `scans` contains each scan of the measurement, and the
/// measurement's position in the scan. Returns the pages that must arrive first; `None` if the
/// executor must pause or compact the list before it continues.
fn collect(
    streams: &mut [MetaStream],
    plan: &MetaPlan,
    scans: &[(usize, usize)],
    listing: &mut Listing,
    work: &Work,
) -> Result<Option<Vec<MissingPage>>> {
    let mut missing = Vec::new();
    work.add(streams.len());
    for stream in streams {
        let index = stream.id.scan as usize;
        let Some(&(_, position)) = scans.iter().find(|(scan, _)| *scan == index) else { continue };
        let Some(scan) = plan.scans.get(index) else { continue };
        let Some(known) = scan.column_names.get(position) else { continue };
        let wanted = scan.request.measurements.get(position).copied();
        while stream.front() == wanted && wanted.is_some() {
            let item_work = |item: &[String]| plan.render.item_work(known, item);
            if let Some((summary, items_work)) = stream.take(item_work, work.left()) {
                listing.add(&plan.render, known, &summary)?;
                work.add(items_work + summary.columns.len() + summary.hashes.len());
            }
            if listing.is_large() || work.is_due() {
                return Ok(None);
            }
        }
        if let (None, Some(resume)) = (stream.front(), &stream.rest) {
            missing.push((stream.id, resume.clone()));
        }
    }
    Ok(Some(missing))
}

impl MetaStream {
    /// Takes the next summary, or its first items whose work is at most `work_max`, but at least
    /// one item. Returns the summary and the work of its items.
    fn take(
        &mut self,
        item_work: impl Fn(&[String]) -> usize,
        work_max: usize,
    ) -> Option<(MeasurementSummary, usize)> {
        let summary = self.summaries.front_mut()?;
        let (mut taken, mut items_work) = (0, 0);
        for item in &summary.items {
            let next_work = item_work(item);
            if taken > 0 && items_work + next_work > work_max {
                break;
            }
            (taken, items_work) = (taken + 1, items_work + next_work);
        }
        if taken == summary.items.len() {
            return Some((self.summaries.pop_front()?, items_work));
        }
        let rest = summary.items.split_off(taken);
        let items = std::mem::replace(&mut summary.items, rest);
        let measurement = summary.measurement;
        Some((MeasurementSummary { measurement, items, ..Default::default() }, items_work))
    }

    fn front(&self) -> Option<MeasurementId> {
        self.summaries.front().map(|summary| summary.measurement)
    }
}
