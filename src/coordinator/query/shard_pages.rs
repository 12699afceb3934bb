//! Runs a planned query: which shards of which scan are to be asked for which page next, and what
//! merges their pages into the result.

use crate::coordinator::error::Error;
use crate::coordinator::explain::Explain;
use crate::model::ids::ObjectId;
use crate::model::limits::QUERY_SHARDS_NAMED_MAX;
use crate::model::sorted_map::SortedMap;
use crate::protocol::scan_page;
use crate::protocol::shard::{FromShard, Stamp, ToShard};
use crate::query::error::QueryError;
use crate::query::executor::{ExecStep, Executor, StreamId};
use crate::query::metadata::{MetaExecutor, MetaStep};
use crate::query::result::SeriesChunk;
use crate::scan::page::ScanPage;
use crate::scan::reader::ReadStats;
use crate::scan::request::ScanRequest;

/// The shards of each scan and what merges their answers.
#[derive(Debug)]
pub(super) struct QueryRun {
    pub(super) merge: Merge,
    pub(super) streams: Vec<Vec<(ObjectId, Stamp)>>,
    /// EXPLAIN: what it is about and what its pages cost.
    pub(super) explain: Option<Box<Explain>>,
    /// What is read so far, and what may be.
    pub(super) reads: Reads,
}

/// A run that has not begun.
#[derive(Debug)]
pub(super) struct PlannedRun {
    pub(super) run: QueryRun,
    /// Each policy has a shard that is asked, which would say that the plan rests on an old cache.
    pub(super) asks_everyone: bool,
}

/// Series by scan and points of a run; `SERIES_PER_QUERY_MAX` and `POINTS_PER_QUERY_MAX`.
#[derive(Debug)]
pub(super) struct Reads {
    series: SortedMap<u32, u64>,
    points: u64,
    limits: [u64; 2],
    /// What is merged once the series are counted.
    afterwards: Option<Box<Executor>>,
}

impl Reads {
    /// With these limits of series and points; `afterwards` waits until the series are counted.
    pub(super) fn new(limits: [u64; 2], afterwards: Option<Box<Executor>>) -> Self {
        Self { series: SortedMap::new(), points: 0, limits, afterwards }
    }

    /// Counts a page.
    fn add(&mut self, stream: StreamId, stats: &ReadStats) -> Result<(), QueryError> {
        let series = self.series.entry(stream.scan).or_insert(0);
        *series += stats.series;
        self.points += stats.rows_scanned;
        let counts = [("series", *series), ("point", self.points)];
        for ((what, asked), limit) in counts.into_iter().zip(self.limits) {
            if asked > limit {
                return Err(QueryError::Select { what, asked, limit });
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(super) enum Merge {
    Rows(Box<Executor>),
    Summaries(Box<MetaExecutor>),
    /// EXPLAIN, or a limit of series: nothing is merged. The scans, until they were asked about.
    Plan(Vec<ScanRequest>),
}

/// What a run comes to next.
pub(super) enum RunStep {
    /// These pages are needed.
    Need(Vec<(StreamId, ToShard)>),
    /// A piece of the result.
    Chunk(SeriesChunk),
    /// There are no more pieces.
    Done,
}

/// Whether a page is not the first of its shard.
pub(super) fn resumes(message: &ToShard) -> bool {
    match message {
        ToShard::Scan { request, .. } => request.resume.goes_on(),
        ToShard::Summarise { request, .. } => request.resume.is_some(),
        _ => false,
    }
}

impl QueryRun {
    /// Every shard that is asked, once.
    pub(super) fn shards(&self) -> Vec<ObjectId> {
        let mut shards: Vec<ObjectId> = Vec::new();
        for (shard, _) in self.streams.iter().flatten() {
            if shards.len() < QUERY_SHARDS_NAMED_MAX && !shards.contains(shard) {
                shards.push(shard.clone());
            }
        }
        shards
    }

    pub(super) fn stream(&self, id: StreamId) -> Option<&(ObjectId, Stamp)> {
        self.streams.get(id.scan as usize)?.get(id.shard as usize)
    }

    pub(super) fn next(&mut self) -> Result<RunStep, QueryError> {
        match &mut self.merge {
            Merge::Plan(scans) => {
                let mut needs = Vec::new();
                for ((scan, shards), request) in (0..).zip(&self.streams).zip(scans.drain(..)) {
                    for ((_, stamp), shard) in shards.iter().zip(0..) {
                        let (stamp, request) = (*stamp, request.clone());
                        let id = StreamId { scan, shard };
                        needs.push((id, ToShard::Explain { stamp, request }));
                    }
                }
                if let (true, Some(executor)) = (needs.is_empty(), self.reads.afterwards.take()) {
                    self.merge = Merge::Rows(executor);
                    return self.next();
                }
                Ok(if needs.is_empty() { RunStep::Done } else { RunStep::Need(needs) })
            }
            Merge::Rows(executor) => Ok(match executor.next()? {
                ExecStep::Need(needs) => RunStep::Need(
                    needs
                        .into_iter()
                        .filter_map(|need| {
                            let stamp = stamp(&self.streams, need.stream)?;
                            Some((
                                need.stream,
                                ToShard::Scan { query: 0, stamp, request: need.request },
                            ))
                        })
                        .collect(),
                ),
                ExecStep::Chunk(chunk) => RunStep::Chunk(chunk),
                ExecStep::Done => RunStep::Done,
            }),
            Merge::Summaries(executor) => Ok(match executor.next()? {
                MetaStep::Need(needs) => RunStep::Need(
                    needs
                        .into_iter()
                        .filter_map(|need| {
                            let stamp = stamp(&self.streams, need.stream)?;
                            let request = need.request;
                            Some((need.stream, ToShard::Summarise { query: 0, stamp, request }))
                        })
                        .collect(),
                ),
                MetaStep::Chunk(chunk) => RunStep::Chunk(chunk),
                MetaStep::Done => RunStep::Done,
            }),
        }
    }

    pub(super) fn supply(&mut self, stream: StreamId, reply: FromShard) -> Result<(), Error> {
        if let (Some(explain), FromShard::Scanned { stats, .. }) = (&mut self.explain, &reply) {
            explain.add(stream, stats);
        }
        if let FromShard::Scanned { stats, .. } = &reply {
            self.reads.add(stream, stats)?;
        }
        match (&mut self.merge, reply) {
            (Merge::Plan(_), FromShard::Scanned { .. }) => Ok(()),
            (Merge::Rows(executor), FromShard::Scanned { until, position, stats, groups }) => {
                let groups =
                    scan_page::decode(&groups).map_err(|why| Error::Shard(why.to_string()))?;
                Ok(executor.supply(stream, ScanPage { groups, until, position, stats })?)
            }
            (Merge::Summaries(executor), FromShard::Summary(page)) => {
                executor.supply(stream, page);
                Ok(())
            }
            _ => Err(Error::unexpected_reply()),
        }
    }
}

fn stamp(streams: &[Vec<(ObjectId, Stamp)>], id: StreamId) -> Option<Stamp> {
    streams.get(id.scan as usize)?.get(id.shard as usize).map(|(_, stamp)| *stamp)
}
