//! Turns pages of many shards into the rows of a statement, and asks for the pages that it needs.

use std::collections::VecDeque;
use std::rc::Rc;

use super::error::QueryError;
use super::group::{GroupProgress, GroupRun};
use super::plan::{Plan, PlannedScan, SelectNode};
use super::result::SeriesChunk;
use super::stream::{Front, Stream};
use super::subquery_rows::{BATCH_BYTES, Derived};
use super::work::Work;
use crate::admission::QueryRoom;
use crate::model::limits::STREAMS_AHEAD_MAX;
use crate::scan::page::ScanPage;

pub use super::stream::{StreamId, StreamNeed};

/// What the executor wants or has.
#[derive(Clone, Debug, PartialEq)]
pub enum ExecStep {
    /// Supply all of these (in any order), then call `next` again.
    Need(Vec<StreamNeed>),
    /// The next rows.
    Chunk(SeriesChunk),
    /// Much was merged: let others have a turn, then call `next` again.
    Pause,
    /// There are no more rows.
    Done,
}

/// The streams of one measurement, by feed.
#[derive(Debug)]
struct InputRun {
    /// Position in the node's inputs.
    input: usize,
    feeds: Vec<Vec<Stream>>,
}

/// Executes one plan. Memory: one slice per scan of the current measurement, the windows of the
/// current group, and the first slices of `STREAMS_AHEAD_MAX` scans after it.
#[derive(Debug)]
pub struct Executor {
    scans: Rc<[PlannedScan]>,
    node: SelectNode,
    room: QueryRoom,
    work: Work,
    /// Subqueries that are not through, by their position in the node; the first one runs.
    pending: VecDeque<(usize, Self)>,
    /// What the node's subqueries answered.
    derived: Vec<Derived>,
    /// The current measurement first.
    inputs: VecDeque<InputRun>,
    group: Option<GroupRun>,
    /// Series of the current measurement so far.
    series: u64,
    ready: VecDeque<SeriesChunk>,
}

/// Whether a need is met where the statement runs.
enum Local {
    Met,
    /// Pages of shards.
    Need(Vec<StreamNeed>),
    Pause,
}

impl Local {
    /// What the executor returns; `None`: it continues.
    fn step(self) -> Option<ExecStep> {
        match self {
            Self::Met => None,
            Self::Need(needs) => Some(ExecStep::Need(needs)),
            Self::Pause => Some(ExecStep::Pause),
        }
    }
}

impl Executor {
    /// Starts `plan`; `shards[i]` is how many shards scan `i` of the plan touches (0: none, it
    /// then has no rows). What it holds is counted in `room`, and its work in `work`.
    pub fn new(plan: Plan, shards: &[u32], (room, work): (&QueryRoom, &Work)) -> Self {
        Self::in_batches(plan, shards, (room, work), BATCH_BYTES)
    }

    /// The same with batches of `batch_bytes` between a subquery and the statement around it.
    pub fn in_batches(
        plan: Plan,
        shards: &[u32],
        (room, work): (&QueryRoom, &Work),
        batch_bytes: usize,
    ) -> Self {
        Self::for_node(plan.scans.into(), plan.root, shards, (room, work, batch_bytes))
    }

    fn for_node(
        scans: Rc<[PlannedScan]>,
        node: SelectNode,
        shards: &[u32],
        (room, work, batch_bytes): (&QueryRoom, &Work, usize),
    ) -> Self {
        let mut inputs = VecDeque::with_capacity(node.inputs.len());
        for (index, input) in node.inputs.iter().enumerate() {
            let feeds = (input.feeds.iter())
                .map(|bindings| {
                    let mut streams = Vec::new();
                    for binding in bindings {
                        let Some(scan) = scans.get(binding.scan) else { continue };
                        let shards = match scan.subquery {
                            Some(_) => 1,
                            None => shards.get(binding.scan).copied().unwrap_or(0),
                        };
                        let (number, request) = (binding.scan as u32, scan.request.clone());
                        let is_derived = scan.subquery.is_some();
                        let key = binding.key.clone();
                        streams.push(Stream::new(number, shards, request, key, is_derived, room));
                    }
                    streams
                })
                .collect();
            inputs.push_back(InputRun { input: index, feeds });
        }
        let subqueries = || node.subqueries.iter().enumerate();
        let pending = subqueries()
            .map(|(index, sub)| {
                let (scans, node) = (Rc::clone(&scans), sub.node.clone());
                (index, Self::for_node(scans, node, shards, (room, work, batch_bytes)))
            })
            .collect();
        let derived = subqueries()
            .map(|(index, sub)| {
                Derived::new((&node, index), Rc::clone(sub), &scans, (room.part(), batch_bytes))
            })
            .collect();
        let (group, series, ready) = (None, 0, VecDeque::new());
        let (room, work) = (room.clone(), work.clone());
        Self { scans, node, room, work, pending, derived, inputs, group, series, ready }
    }

    /// The next step. Call again after supplying what a [`ExecStep::Need`] asked for.
    ///
    /// # Errors
    /// [`QueryError`]; the executor is then of no further use.
    #[expect(clippy::should_implement_trait, reason = "a step is not an item of an iterator")]
    pub fn next(&mut self) -> Result<ExecStep, QueryError> {
        while !self.pending.is_empty() && !self.is_streamed() {
            if let Some(step) = self.advance_subquery()?.step() {
                return Ok(step);
            }
        }
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(ExecStep::Chunk(chunk));
            }
            if self.work.pauses()? {
                return Ok(ExecStep::Pause);
            }
            let Some(run) = self.inputs.front_mut() else { return Ok(ExecStep::Done) };
            let Some(group) = &mut self.group else {
                let needs = self.begin_group();
                if let Some(step) = self.answer_locally(needs)?.step() {
                    return Ok(step);
                }
                continue;
            };
            match group.advance(&self.node, &mut run.feeds)? {
                GroupProgress::Need(needs) => {
                    if let Some(step) = self.answer_locally(needs)?.step() {
                        return Ok(step);
                    }
                }
                GroupProgress::Chunk(chunk) => self.show(chunk),
                // The work of the turn is done: the next round pauses.
                GroupProgress::Pause => {}
                GroupProgress::End => {
                    self.ready.extend(group.take_held());
                    self.group = None;
                }
            }
        }
    }

    /// Lets the first subquery take a step.
    fn advance_subquery(&mut self) -> Result<Local, QueryError> {
        let Some((index, subquery)) = self.pending.front_mut() else { return Ok(Local::Met) };
        let derived = self.derived.get_mut(*index);
        match (subquery.next()?, derived) {
            (ExecStep::Need(needs), _) => return Ok(Local::Need(needs)),
            (ExecStep::Pause, _) => return Ok(Local::Pause),
            (ExecStep::Chunk(chunk), Some(derived)) => {
                self.work.add(chunk.rows * chunk.values.len());
                derived.push(&chunk, &self.scans)?;
            }
            (ExecStep::Done, Some(derived)) => {
                derived.finish();
                self.pending.pop_front();
            }
            (ExecStep::Chunk(_) | ExecStep::Done, None) => {}
        }
        Ok(Local::Met)
    }

    /// Whether the only subquery's rows are handed on as they come.
    fn is_streamed(&self) -> bool {
        self.derived.first().is_some_and(Derived::is_streamed)
    }

    /// Hands in the page that a [`StreamNeed`] asked for.
    ///
    /// # Errors
    /// [`QueryError::Page`] when it holds something else than was asked for.
    pub fn supply(&mut self, stream: StreamId, page: ScanPage) -> Result<(), QueryError> {
        match self.pending.front_mut() {
            Some((_, subquery)) => subquery.supply(stream, page),
            None => self.give(stream, page),
        }
    }

    fn give(&mut self, stream: StreamId, page: ScanPage) -> Result<(), QueryError> {
        let streams = self.inputs.iter_mut().flat_map(|run| run.feeds.iter_mut().flatten());
        match streams.into_iter().find(|found| found.scan() == stream.scan as usize) {
            Some(found) => found.supply(stream.shard, page),
            None => Ok(()),
        }
    }

    /// Supplies what subqueries can answer; returns the rest.
    fn answer_locally(&mut self, needs: Vec<StreamNeed>) -> Result<Local, QueryError> {
        let mut remote = Vec::new();
        let scans = Rc::clone(&self.scans);
        for need in needs {
            let scan = need.stream.scan as usize;
            let subquery = scans.get(scan).and_then(|scan| scan.subquery);
            loop {
                let derived = subquery.and_then(|subquery| self.derived.get_mut(subquery));
                let Some(derived) = derived else {
                    remote.push(need);
                    break;
                };
                if let Some(page) = derived.page(scan, &scans, &need.request)? {
                    let rows = usize::try_from(page.stats.rows_scanned).unwrap_or(usize::MAX);
                    self.work.add(rows.saturating_mul(1 + self.node.slots.len()));
                    self.give(need.stream, page)?;
                    if self.work.pauses()? {
                        return Ok(Local::Pause);
                    }
                    break;
                }
                match self.advance_subquery()? {
                    Local::Met => {}
                    other => return Ok(other),
                }
            }
        }
        Ok(if remote.is_empty() { Local::Met } else { Local::Need(remote) })
    }

    /// Starts the next group of the current measurement, or the next measurement. Returns
    /// the pages that are needed first.
    fn begin_group(&mut self) -> Vec<StreamNeed> {
        if self.is_beyond() {
            self.end_measurement();
            return Vec::new();
        }
        let Some(run) = self.inputs.front() else { return Vec::new() };
        let streams = || run.feeds.iter().flatten();
        if streams().any(|stream| stream.front() == Front::Missing) {
            return self.first_needs();
        }
        let keys = streams().filter_map(|stream| match stream.front() {
            Front::Group(key) => Some(key),
            Front::Missing | Front::End => None,
        });
        let key = if self.node.descending { keys.max() } else { keys.min() };
        match key.map(<[String]>::to_vec) {
            Some(key) => {
                let input = run.input;
                self.group = Some(GroupRun::new(&self.node, input, key, (&self.room, &self.work)));
                self.series += 1;
            }
            None => self.end_measurement(),
        }
        Vec::new()
    }

    /// Goes on to the next measurement, whatever the current one still has.
    fn end_measurement(&mut self) {
        self.inputs.pop_front();
        self.series = 0;
    }

    /// What the current measurement misses, and the first pages of some streams after it.
    fn first_needs(&self) -> Vec<StreamNeed> {
        let mut needs = Vec::new();
        // What is handed on as it comes, comes one measurement after the other.
        let mut ahead = if self.is_streamed() { STREAMS_AHEAD_MAX } else { 0 };
        for (index, run) in self.inputs.iter().enumerate() {
            for stream in run.feeds.iter().flatten() {
                let is_wanted = index == 0 || (ahead < STREAMS_AHEAD_MAX && !stream.has_begun());
                if stream.front() == Front::Missing && is_wanted {
                    ahead += usize::from(index > 0);
                    needs.extend(stream.needs());
                }
            }
            if ahead >= STREAMS_AHEAD_MAX {
                break;
            }
        }
        needs
    }

    /// Whether SLIMIT hides every further series of the measurement. As in 1.x, SOFFSET alone
    /// hides them all (`LimitTagSets`).
    fn is_beyond(&self) -> bool {
        let node = &self.node;
        let limited = node.slimit > 0 || node.soffset > 0;
        limited && self.series >= node.soffset.saturating_add(node.slimit)
    }

    /// Shows a chunk unless SOFFSET hides its series.
    fn show(&mut self, chunk: SeriesChunk) {
        if self.series > self.node.soffset
            && let Some(group) = &mut self.group
        {
            self.ready.extend(group.hold(chunk));
        }
    }
}
