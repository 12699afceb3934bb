//! Merges the summaries of many shards, one measurement at a time, in ascending order of name.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::names::SortedNames;
use super::plan::MetaPlan;
use super::render::{Listing, Render};
use crate::admission::{HeldBytes, QueryReservation};
use crate::model::bug::OrBug;
use crate::model::ids::MeasurementId;
use crate::model::limits::SHARDS_REQUESTED_AT_ONCE_MAX;
use crate::query::error::Result;
use crate::query::executor::StreamId;
use crate::query::operators::join_limit::Limiter;
use crate::query::result::SeriesChunk;
use crate::scan::page::{MeasurementSummary, SummaryPage};
use crate::scan::request::SummaryRequest;

/// A page that the executor needs.
#[derive(Clone, Debug, PartialEq)]
pub struct MetaNeed {
    /// The shard that receives the request.
    pub stream: StreamId,
    /// The request, including the resume key.
    pub request: SummaryRequest,
}

/// The result of an executor step.
#[derive(Clone, Debug, PartialEq)]
pub enum MetaStep {
    /// The executor needs these pages. Supply all of them, then call `next` again.
    Need(Vec<MetaNeed>),
    /// The next series.
    Chunk(SeriesChunk),
    /// The statement has no more series.
    Done,
}

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

#[derive(Debug)]
struct Showing {
    title: Option<String>,
    names: SortedNames,
    rows: Range<usize>,
}

/// Executes one [`MetaPlan`].
#[derive(Debug)]
pub struct MetaExecutor {
    plan: MetaPlan,
    measurements: VecDeque<(String, Vec<(usize, usize)>)>,
    streams: Vec<MetaStream>,
    room: QueryReservation,
    pages: HeldBytes,
    listed: HeldBytes,
    listing: Listing,
    limiter: Limiter,
    showing: Option<Showing>,
    held: Option<SeriesChunk>,
    ready: VecDeque<SeriesChunk>,
    total: u64,
    counted: bool,
}

impl MetaExecutor {
    /// Starts `plan`. `shards[i]` is the number of shards of scan `i`. `room` counts the memory.
    pub fn new(plan: MetaPlan, shards: &[u32], room: &QueryReservation) -> Self {
        let mut by_name: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
        let mut streams = Vec::new();
        for (index, scan) in plan.scans.iter().enumerate() {
            for (position, known) in scan.column_names.iter().enumerate() {
                let mut name = known.name().to_owned();
                if matches!(plan.render, Render::Measurements(_, Some(_))) {
                    // A filter may accept the measurement in only one policy, so each policy has
                    // its own entry.
                    name = name + "\0" + &scan.policy;
                }
                by_name.entry(name).or_default().push((index, position));
            }
            for shard in 0..shards.get(index).copied().or_bug() {
                let id = StreamId { scan: index as u32, shard };
                let (summaries, bytes, rest) = (VecDeque::new(), 0, Some(None));
                streams.push(MetaStream { id, summaries, bytes, rest });
            }
        }
        let [limit, offset] = plan.limits;
        Self {
            listing: Listing::new(plan.keep()),
            plan,
            measurements: by_name.into_iter().collect(),
            streams,
            pages: room.part(),
            listed: room.part(),
            room: room.clone(),
            limiter: Limiter::new(limit, offset),
            showing: None,
            held: None,
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
    pub fn next(&mut self) -> Result<MetaStep> {
        loop {
            self.plan.render.check()?;
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(MetaStep::Chunk(chunk));
            }
            if self.show_next() {
                continue;
            }
            let next = self.measurements.front().filter(|_| !self.is_full());
            let Some((name, scans)) = next else { break };
            let mut needs = collect(&mut self.streams, &self.plan, scans, &mut self.listing)?;
            self.listed.set(self.listing.bytes())?;
            if !needs.is_empty() {
                let goes_on = needs.iter().any(|need| need.request.resume.is_some());
                let piece_bytes = self.room.piece_bytes(needs.len(), goes_on);
                needs.truncate(SHARDS_REQUESTED_AT_ONCE_MAX);
                needs.iter_mut().for_each(|need| need.request.piece_bytes = piece_bytes);
                return Ok(MetaStep::Need(needs));
            }
            let name = name.clone();
            self.measurements.pop_front();
            if matches!(self.plan.render, Render::Count(_)) {
                self.count(&name);
                continue;
            }
            let plain = match self.plan.render {
                Render::Measurements(_, Some(_)) => {
                    name.rsplit_once('\0').map_or("", |(name, _)| name)
                }
                _ => &name,
            };
            let next = Listing::new(self.plan.keep());
            let listing = std::mem::replace(&mut self.listing, next);
            let names = listing.finish(&self.plan.render, plain);
            self.show(&name, names);
        }
        self.count_whole();
        let last = self.ready.pop_front().or(self.held.take());
        Ok(last.map_or(MetaStep::Done, MetaStep::Chunk))
    }

    /// Supplies the page that a [`MetaNeed`] requested.
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

    fn count(&mut self, name: &str) {
        let Render::Count(count) = &self.plan.render else { return };
        if count.is_hashed() {
            let series = std::mem::take(&mut self.listing).counted();
            self.total += series;
            if series > 0 && !count.is_whole() {
                self.ready.push_back(count.chunk(Some(name), None, series));
            }
        } else if !count.is_whole() {
            let rows = std::mem::take(&mut self.listing).finish(&self.plan.render, name);
            self.ready.extend(count.chunks(Some(name), &rows));
        }
        if self.plan.limits[1] > 0 {
            self.ready.clear();
        }
    }

    fn count_whole(&mut self) {
        let Render::Count(count) = &self.plan.render else { return };
        if !count.is_whole() || std::mem::replace(&mut self.counted, true) {
            return;
        }
        let rows = std::mem::take(&mut self.listing).finish(&self.plan.render, "");
        if count.is_estimate {
            let chunk = count.chunk(None, None, self.total + rows.len() as u64);
            self.ready.push_back(chunk);
        } else if self.plan.limits[1] == 0 {
            self.ready.extend(count.chunks(None, &rows));
        }
    }

    fn show(&mut self, name: &str, names: SortedNames) {
        let title = if self.plan.render.per_measurement() {
            let [limit, offset] = self.plan.limits;
            self.limiter = Limiter::new(limit, offset);
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
            self.ready.extend(chunk.hold(&mut self.held));
        }
        true
    }
}

/// Collects a measurement's summaries. `scans` contains each scan of the measurement, and the
/// measurement's position in the scan. Returns the pages that the executor needs first.
fn collect(
    streams: &mut [MetaStream],
    plan: &MetaPlan,
    scans: &[(usize, usize)],
    listing: &mut Listing,
) -> Result<Vec<MetaNeed>> {
    let mut needs = Vec::new();
    for stream in streams {
        let index = stream.id.scan as usize;
        let Some(&(_, position)) = scans.iter().find(|(scan, _)| *scan == index) else { continue };
        let Some(scan) = plan.scans.get(index) else { continue };
        let Some(known) = scan.column_names.get(position) else { continue };
        let wanted = scan.request.measurements.get(position).copied();
        while stream.front() == wanted && wanted.is_some() {
            if let Some(summary) = stream.summaries.pop_front() {
                listing.add(&plan.render, known, &summary)?;
            }
        }
        if let (None, Some(resume)) = (stream.front(), &stream.rest) {
            let request = SummaryRequest { resume: resume.clone(), ..scan.request.clone() };
            needs.push(MetaNeed { stream: stream.id, request });
        }
    }
    Ok(needs)
}

impl MetaStream {
    fn front(&self) -> Option<MeasurementId> {
        self.summaries.front().map(|summary| summary.measurement)
    }
}
