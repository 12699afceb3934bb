//! Runs a planned query: determines the next page of each shard and scan, and merges the pages into
//! the result.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::explain::Explain;
use crate::live_queries::named_shards;
use tidemark_engine::protocol::shard::{FromShard, Stamp, ToShard};
use tidemark_engine::scan::page::ScanPage;
use tidemark_engine::scan::read_stats::ReadStats;
use tidemark_engine::scan::request::{Position, ScanRequest};
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::{CALLS_PER_ROUND_MAX, FURTHER_SCANS_MAX};
use tidemark_query::admission::{BufferMemory, QueryReservation};
use tidemark_query::error::QueryError;
use tidemark_query::executor::{ExecStep, Executor, PageNeed, StreamId};
use tidemark_query::metadata::MetaExecutor;
use tidemark_query::result::ResultColumns;

/// The estimated memory for the progress of one shard in one scan, in bytes.
const PROGRESS_BYTES: usize = 128;
/// The estimated memory for the plan of one shard in one scan, in bytes.
const PLAN_BYTES: usize = 200;

/// The shards of each scan. A statement over many measurements has many scans with equal lists, so
/// successive scans share a list.
pub(super) struct ScanStreams {
    pub(super) lists: Vec<Rc<[(ObjectId, Stamp)]>>,
    /// The shards that have returned a page. The query's schema has every column that such a shard
    /// had at that time, so a newer column comes from a later write (PROTOCOL.md rule 2).
    confirmed: BTreeSet<ObjectId>,
    memory: BufferMemory,
    /// The bytes for each shard of a scan.
    shard_bytes: usize,
}

impl ScanStreams {
    /// `has_plan` states whether the query requests the shards' plans (EXPLAIN, or to count
    /// series).
    pub(super) fn new(reservation: &QueryReservation, has_plan: bool) -> Self {
        let shard_bytes = PROGRESS_BYTES + if has_plan { PLAN_BYTES } else { 0 };
        let (lists, confirmed) = (Vec::new(), BTreeSet::new());
        Self { lists, confirmed, memory: reservation.buffer(), shard_bytes }
    }

    pub(super) fn add_scan(&mut self, shards: Vec<(ObjectId, Stamp)>) -> Result<(), QueryError> {
        self.memory.set(self.memory.bytes() + shards.len() * self.shard_bytes)?;
        let list = match self.lists.last() {
            Some(last) if **last == *shards => Rc::clone(last),
            _ => shards.into(),
        };
        self.lists.push(list);
        Ok(())
    }

    /// Returns the number of shards of each scan.
    pub(super) fn counts(&self) -> Vec<u32> {
        // A policy has far fewer than 2^32 shards.
        self.lists.iter().map(|shards| shards.len() as u32).collect()
    }

    /// Changes the stamp of every shard. Successive scans still share a list.
    pub(super) fn update_stamps(
        &mut self,
        update: impl Fn(&mut Stamp) -> Result<()>,
    ) -> Result<()> {
        let mut last: Option<(Rc<[_]>, Rc<[_]>)> = None;
        for list in &mut self.lists {
            let updated = match &last {
                Some((before, updated)) if Rc::ptr_eq(before, list) => Rc::clone(updated),
                _ => {
                    let mut updated = list.to_vec();
                    updated.iter_mut().try_for_each(|(_, stamp)| update(stamp))?;
                    updated.into()
                }
            };
            last = Some((std::mem::replace(list, Rc::clone(&updated)), updated));
        }
        Ok(())
    }

    fn get(&self, id: StreamId) -> Option<&(ObjectId, Stamp)> {
        self.lists.get(id.scan as usize)?.get(id.shard as usize)
    }

    fn stamp(&self, id: StreamId) -> Option<Stamp> {
        let (shard, stamp) = self.get(id)?;
        Some(Stamp { fresh: stamp.fresh || self.confirmed.contains(shard), ..*stamp })
    }

    /// Records that the shard has returned a page.
    fn confirm(&mut self, id: StreamId) {
        let shard = self.get(id).map(|(shard, _)| shard);
        if let Some(shard) = shard.filter(|shard| !self.confirmed.contains(shard)).cloned() {
            self.confirmed.insert(shard);
        }
    }
}

/// The shards of each scan, and the merge of the shards' replies.
pub(super) struct QueryRun {
    pub(super) merge: Merge,
    pub(super) streams: ScanStreams,
    /// The plan and the costs of the pages, for EXPLAIN.
    pub(super) explain: Option<Box<Explain>>,
    /// The rows read so far, and their limits.
    pub(super) reads: ReadCounts,
    /// Whether the run calls at least one shard of each policy before it returns rows. Such a shard
    /// reports an outdated cache.
    pub(super) reads_all_shards: bool,
    /// The columns of a SELECT.
    pub(super) columns: Option<ResultColumns>,
}

/// The series of each scan and the points of a run, with the limits `SERIES_PER_QUERY_MAX` and
/// `POINTS_PER_QUERY_MAX`.
pub(super) struct ReadCounts {
    series: BTreeMap<u32, u64>,
    pub(super) points: u64,
    limits: [u64; 2],
}

impl ReadCounts {
    /// `limits` are the limits for series and points.
    pub(super) fn new(limits: [u64; 2]) -> Self {
        Self { series: BTreeMap::new(), points: 0, limits }
    }

    /// Adds the counts of a page, and checks the limits. Only the pages of a plan (`is_plan`) count
    /// series, before any row is read.
    fn add(&mut self, id: StreamId, stats: &ReadStats, is_plan: bool) -> Result<(), QueryError> {
        let series = self.series.entry(id.scan).or_insert(0);
        *series += if is_plan { stats.series } else { 0 };
        self.points += stats.rows_scanned;
        check_read_limits([*series, self.points], self.limits)
    }
}

/// Checks the numbers of series and points against their limits.
pub(crate) fn check_read_limits(counts: [u64; 2], limits: [u64; 2]) -> Result<(), QueryError> {
    for ((what, requested), limit) in ["series", "point"].into_iter().zip(counts).zip(limits) {
        if requested > limit {
            return Err(QueryError::Select { what, requested, limit });
        }
    }
    Ok(())
}

pub(super) enum Merge {
    Rows(Box<Executor>),
    Summaries(Box<MetaExecutor>),
    /// A plan without rows: for EXPLAIN, or to count series for a limit.
    Plan(PlanPages),
}

/// The pages of a plan that have not arrived yet.
pub(super) struct PlanPages {
    scans: Vec<ScanRequest>,
    /// The position of the next page of each shard and scan.
    open: BTreeMap<StreamId, Option<Position>>,
    /// The merge that starts after the series were counted; `None` for EXPLAIN.
    executor: Option<Box<Executor>>,
}

impl PlanPages {
    /// `shards[i]` is the number of shards that scan `i` reads.
    pub(super) fn new(
        scans: Vec<ScanRequest>,
        shards: &[u32],
        executor: Option<Box<Executor>>,
    ) -> Self {
        let of_scan = |(scan, &shards): (u32, &u32)| {
            (0..shards).map(move |shard| (StreamId { scan, shard }, None))
        };
        Self { scans, open: (0..).zip(shards).flat_map(of_scan).collect(), executor }
    }

    fn needs(&self) -> impl Iterator<Item = (StreamId, ScanRequest)> {
        self.open.iter().take(CALLS_PER_ROUND_MAX).filter_map(|(&id, position)| {
            let mut request = self.scans.get(id.scan as usize)?.clone();
            request.resume.position.clone_from(position);
            Some((id, request))
        })
    }

    fn supply(&mut self, id: StreamId, position: Option<Position>) {
        match position {
            Some(position) => self.open.insert(id, Some(position)),
            None => self.open.remove(&id),
        };
    }
}

/// Whether a requested page is not the first page of its shard.
pub(super) fn is_continuation(message: &ToShard) -> bool {
    match message {
        ToShard::Scan { request, .. } | ToShard::Explain { request, .. } => {
            request.resume.is_continuation()
        }
        ToShard::Summarise { request, .. } => request.resume.is_some(),
        _ => false,
    }
}

/// Combines the requests for the first pages of several scans into one call for each shard. A
/// statement over a thousand measurements therefore needs only a few calls.
pub(super) fn combine_first_pages(
    needs: Vec<PageNeed<ToShard>>,
    run: &QueryRun,
) -> Vec<(Vec<StreamId>, ToShard)> {
    let mut calls: Vec<(Vec<StreamId>, ToShard)> = Vec::new();
    // The index of each shard's call that has space for a further scan.
    let mut open: BTreeMap<&ObjectId, usize> = BTreeMap::new();
    for PageNeed { stream, request: message } in needs {
        let shard = run.shard_of(stream).map(|(shard, _)| shard);
        let call = shard.and_then(|shard| open.get(&shard)).and_then(|&at| calls.get_mut(at));
        let message = match (message, call) {
            (
                ToShard::Scan { stamp, request, .. },
                Some((streams, ToShard::Scan { stamp: known, further, .. })),
            ) if stamp == *known
                && !request.resume.is_continuation()
                && further.len() < FURTHER_SCANS_MAX =>
            {
                further.push(request);
                streams.push(stream);
                continue;
            }
            (message, _) => message,
        };
        if let Some(shard) = shard {
            open.insert(shard, calls.len());
        }
        calls.push((vec![stream], message));
    }
    calls
}

impl QueryRun {
    /// Returns at most `QUERY_SHARDS_NAMED_MAX` of the query's shards, without duplicates.
    pub(super) fn shards(&self) -> Vec<ObjectId> {
        let mut lists: Vec<_> = self.streams.lists.iter().collect();
        lists.dedup_by(|a, b| Rc::ptr_eq(a, b));
        named_shards(lists.into_iter().flat_map(|list| list.iter()).map(|(shard, _)| shard))
    }

    pub(super) fn shard_of(&self, id: StreamId) -> Option<&(ObjectId, Stamp)> {
        self.streams.get(id)
    }

    pub(super) fn next(&mut self) -> Result<ExecStep<ToShard>, QueryError> {
        match &mut self.merge {
            Merge::Plan(pages) => {
                let explain = |(stream, request)| {
                    let request = ToShard::Explain { stamp: self.streams.stamp(stream)?, request };
                    Some(PageNeed { stream, request })
                };
                let needs: Vec<_> = pages.needs().filter_map(explain).collect();
                if !needs.is_empty() {
                    return Ok(ExecStep::Need(needs));
                }
                let Some(executor) = pages.executor.take() else { return Ok(ExecStep::Done) };
                self.merge = Merge::Rows(executor);
                self.next()
            }
            Merge::Rows(executor) => Ok(executor
                .next()?
                .map(|stream, request| Some(ToShard::scan(self.streams.stamp(stream)?, request)))),
            Merge::Summaries(executor) => Ok(executor.next()?.map(|stream, request| {
                let stamp = self.streams.stamp(stream)?;
                Some(ToShard::Summarise { query: 0, stamp, request })
            })),
        }
    }

    /// Processes a shard's reply to the scans of these streams. The reply may contain fewer pages
    /// than `streams`; the pages belong to the first streams.
    pub(super) fn supply(&mut self, streams: &[StreamId], reply: FromShard) -> Result<()> {
        streams.first().into_iter().for_each(|&stream| self.streams.confirm(stream));
        if let FromShard::Summary(page) = reply {
            let (Merge::Summaries(executor), [stream]) = (&mut self.merge, streams) else {
                return Err(Error::unexpected_reply());
            };
            return Ok(executor.supply(*stream, page)?);
        }
        let pages = reply.pages().map_err(|reason| Error::Shard(reason.to_string()))?;
        let pages = pages.filter(|pages| pages.len() <= streams.len());
        for (&stream, page) in streams.iter().zip(pages.ok_or_else(Error::unexpected_reply)?) {
            self.supply_page(stream, page)?;
        }
        Ok(())
    }

    fn supply_page(&mut self, stream: StreamId, page: ScanPage) -> Result<()> {
        if let Some(explain) = &mut self.explain {
            explain.add(stream, &page.stats);
        }
        self.reads.add(stream, &page.stats, matches!(self.merge, Merge::Plan(_)))?;
        match &mut self.merge {
            Merge::Plan(pages) => {
                pages.supply(stream, page.position);
                Ok(())
            }
            Merge::Rows(executor) => Ok(executor.supply(stream, page)?),
            Merge::Summaries(_) => Err(Error::unexpected_reply()),
        }
    }
}
