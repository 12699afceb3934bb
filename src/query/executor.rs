//! Merges the pages of many shards into the rows of a statement, and requests missing pages.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::Poll;

use super::error::Result;
use super::group::GroupExecutor;
use super::plan::{Binding, Input, Plan, PlannedScan, SelectNode};
use super::result::SeriesChunk;
use super::stream::{Front, Stream};
use super::subquery_rows::Derived;
use super::work::Work;
use crate::admission::QueryReservation;
use crate::model::bug::OrBug;
use crate::model::limits::STREAMS_AHEAD_MAX;
use crate::scan::page::ScanPage;

pub use super::stream::{StreamId, StreamNeed};
pub use super::subquery_rows::SubquerySteps;

/// The result of an executor step.
#[derive(Clone, Debug, PartialEq)]
pub enum ExecStep {
    /// The executor needs these pages. Supply all of them in any order, then call `next` again.
    Need(Vec<StreamNeed>),
    /// The next rows.
    Chunk(SeriesChunk),
    /// The current turn's share of work is done. Let other requests run, then call `next` again.
    Pause,
    /// The statement has no more rows.
    Done,
}

/// Executes one plan.
///
/// The executor holds one slice of each scan of the current measurement, the windows of the current
/// group, and the first slices of `STREAMS_AHEAD_MAX` scans of the next measurements.
#[derive(Debug)]
pub struct Executor {
    scans: Rc<[PlannedScan]>,
    node: Rc<SelectNode>,
    reservation: QueryReservation,
    work: Work,
    /// The unfinished subqueries with their positions in the node. Only the first entry runs.
    pending: VecDeque<(usize, Self)>,
    derived: Vec<Derived>,
    /// The feeds of the node's last inputs. The first entry is the current measurement.
    inputs: VecDeque<Vec<Vec<Stream>>>,
    group: Option<GroupExecutor>,
    /// The number of the current measurement's series with rows, regardless of LIMIT and OFFSET.
    series: u64,
    is_counted: bool,
    ready: VecDeque<SeriesChunk>,
}

/// The position of a row in a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPosition {
    /// The tags of the row's series, without absent tags.
    pub tags: BTreeMap<String, String>,
    /// The row's time, in nanoseconds.
    pub time_ns: i64,
}

impl Executor {
    /// Starts `plan`. `shards[i]` is the number of shards that scan `i` of the plan reads; a scan
    /// without shards has no rows. `reservation` counts the executor's memory, and `work` counts its
    /// work.
    pub fn new(plan: Plan, shards: &[u32], reservation: &QueryReservation, work: &Work) -> Self {
        Self::in_steps(plan, shards, reservation, work, SubquerySteps::DEFAULT)
    }

    /// Starts `plan` like [`Self::new`], and reads subqueries in the given steps.
    pub fn in_steps(
        plan: Plan,
        shards: &[u32],
        reservation: &QueryReservation,
        work: &Work,
        steps: SubquerySteps,
    ) -> Self {
        Self::for_node(plan.scans.into(), plan.root, shards, reservation, work, steps)
    }

    fn for_node(
        scans: Rc<[PlannedScan]>,
        node: Rc<SelectNode>,
        shards: &[u32],
        reservation: &QueryReservation,
        work: &Work,
        steps: SubquerySteps,
    ) -> Self {
        let stream = |binding: &Binding| {
            let scan = scans.get(binding.scan)?;
            let is_derived = scan.subquery.is_some();
            let shards = if is_derived { 1 } else { shards.get(binding.scan).copied().or_bug() };
            let (number, request) = (binding.scan as u32, scan.request.clone());
            Some(Stream::new(number, shards, request, binding.key.clone(), is_derived, reservation))
        };
        let feeds = |input: &Input| {
            input.feeds.iter().map(|feed| feed.iter().filter_map(stream).collect()).collect()
        };
        let inputs = node.inputs.iter().map(feeds).collect();
        let subqueries = || node.subqueries.iter().enumerate();
        let pending = subqueries()
            .map(|(index, sub)| {
                let (scans, node) = (Rc::clone(&scans), Rc::clone(&sub.node));
                (index, Self::for_node(scans, node, shards, reservation, work, steps))
            })
            .collect();
        let derived = subqueries()
            .map(|(index, sub)| {
                let sub = Rc::clone(sub);
                Derived::new(&node, index, sub, &scans, reservation.buffer(), work, steps)
            })
            .collect();
        let (group, series, is_counted, ready) = (None, 0, false, VecDeque::new());
        let (reservation, work) = (reservation.clone(), work.clone());
        Self {
            scans,
            node,
            reservation,
            work,
            pending,
            derived,
            inputs,
            group,
            series,
            is_counted,
            ready,
        }
    }

    /// Starts the result after `row`. The statement must select rows of a measurement in ascending
    /// order of time, grouped by all tags.
    pub fn begin_after(&mut self, row: &RowPosition) {
        let keys = &self.node.group_keys;
        let value = |position: usize| {
            keys.get(position).and_then(|key| row.tags.get(key)).map_or("", String::as_str)
        };
        for stream in self.inputs.iter_mut().flatten().flatten() {
            stream.begin_after(value, row.time_ns);
        }
    }

    /// Returns the next step. After an [`ExecStep::Need`], supply its pages before the next call.
    ///
    /// # Errors
    /// `QueryError`; the executor cannot be used after an error.
    #[expect(clippy::should_implement_trait, reason = "a step is not an item of an iterator")]
    pub fn next(&mut self) -> Result<ExecStep> {
        while !self.pending.is_empty() && !self.is_streamed() {
            if let Some(step) = self.advance_subquery()? {
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
            let step = match (&mut self.group, self.inputs.front_mut()) {
                (_, None) => return Ok(ExecStep::Done),
                (Some(group), Some(feeds)) => group.advance(feeds)?,
                (None, Some(_)) => ExecStep::Need(self.begin_group()),
            };
            match step {
                ExecStep::Need(needs) => {
                    if let Some(step) = self.read_subqueries(needs)? {
                        return Ok(step);
                    }
                }
                ExecStep::Chunk(chunk) => self.add_chunk(chunk),
                // The current turn's share of work is done, so the next iteration pauses.
                ExecStep::Pause => {}
                ExecStep::Done => {
                    if let Some(group) = self.group.take() {
                        self.series += u64::from(group.has_rows() && !self.is_counted);
                        self.ready.extend(group.last_chunk);
                    }
                }
            }
        }
    }

    /// Returns `None` if the executor must first continue its own work.
    fn advance_subquery(&mut self) -> Result<Option<ExecStep>> {
        let Some((index, subquery)) = self.pending.front_mut() else { return Ok(None) };
        let mut derived = self.derived.get_mut(*index);
        if let Some(derived) = &mut derived
            && !derived.fold()?
        {
            self.work.pauses()?;
            return Ok(Some(ExecStep::Pause));
        }
        match (subquery.next()?, derived) {
            (step @ (ExecStep::Need(_) | ExecStep::Pause), _) => return Ok(Some(step)),
            (ExecStep::Chunk(chunk), Some(derived)) => {
                self.work.add(chunk.rows * chunk.values.len());
                derived.push(&chunk)?;
            }
            (ExecStep::Done, Some(derived)) => {
                derived.is_done = true;
                self.pending.pop_front();
            }
            (ExecStep::Chunk(_) | ExecStep::Done, None) => {}
        }
        Ok(None)
    }

    /// Whether the node reads its only subquery while the subquery runs.
    fn is_streamed(&self) -> bool {
        self.derived.first().is_some_and(Derived::is_streamed)
    }

    /// Supplies a page that a [`StreamNeed`] requested.
    ///
    /// # Errors
    /// `QueryError::Page` if the page does not match the request.
    pub fn supply(&mut self, stream: StreamId, page: ScanPage) -> Result<()> {
        match self.pending.front_mut() {
            Some((_, subquery)) => subquery.supply(stream, page),
            None => self.supply_stream(stream, page),
        }
    }

    fn supply_stream(&mut self, stream: StreamId, page: ScanPage) -> Result<()> {
        let mut streams = self.inputs.iter_mut().flatten().flatten();
        match streams.find(|found| found.scan() == stream.scan as usize) {
            Some(found) => found.supply(stream.shard, page),
            None => Ok(()),
        }
    }

    /// Reads the pages of subqueries, and returns the needs that only shards can supply. Returns
    /// `None` if the executor must first continue its own work.
    fn read_subqueries(&mut self, needs: Vec<StreamNeed>) -> Result<Option<ExecStep>> {
        let mut remote = Vec::new();
        for need in needs {
            let scan = need.stream.scan as usize;
            let subquery = self.scans.get(scan).and_then(|scan| scan.subquery);
            loop {
                let derived = subquery.and_then(|subquery| self.derived.get_mut(subquery));
                let Some(derived) = derived else {
                    remote.push(need);
                    break;
                };
                match derived.page(scan, &need.request)? {
                    Poll::Ready(Some(page)) => {
                        self.supply_stream(need.stream, page)?;
                        if self.work.pauses()? {
                            return Ok(Some(ExecStep::Pause));
                        }
                        break;
                    }
                    Poll::Pending => {
                        self.work.pauses()?;
                        return Ok(Some(ExecStep::Pause));
                    }
                    Poll::Ready(None) => {
                        if let Some(step) = self.advance_subquery()? {
                            return Ok(Some(step));
                        }
                    }
                }
            }
        }
        Ok((!remote.is_empty()).then_some(ExecStep::Need(remote)))
    }

    fn begin_group(&mut self) -> Vec<StreamNeed> {
        if self.is_past_slimit() {
            self.end_measurement();
            return Vec::new();
        }
        let Some(feeds) = self.inputs.front() else { return Vec::new() };
        let streams = || feeds.iter().flatten();
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
                let input = self.node.inputs.len() - self.inputs.len();
                self.group =
                    Some(GroupExecutor::new(&self.node, input, key, &self.reservation, &self.work));
                self.is_counted = false;
            }
            None => self.end_measurement(),
        }
        Vec::new()
    }

    fn end_measurement(&mut self) {
        let input = self.node.inputs.len() - self.inputs.len();
        if let Some(derived) = self.derived.first_mut()
            && derived.is_streamed()
            && let Some(input) = self.node.inputs.get(input)
        {
            derived.finish(&input.name);
        }
        self.inputs.pop_front();
        self.series = 0;
    }

    /// Returns the current measurement's missing pages, and some first pages of the following
    /// measurements.
    fn first_needs(&self) -> Vec<StreamNeed> {
        let mut needs = Vec::new();
        // A streamed subquery returns one measurement after another, so the executor cannot read
        // ahead.
        let ahead_max = if self.is_streamed() { 0 } else { STREAMS_AHEAD_MAX };
        let mut ahead = 0;
        for (index, feeds) in self.inputs.iter().enumerate() {
            for stream in feeds.iter().flatten() {
                let is_wanted = index == 0 || (ahead < ahead_max && !stream.has_begun());
                if stream.front() == Front::Missing && is_wanted {
                    ahead += usize::from(index > 0);
                    needs.extend(stream.needs());
                }
            }
            if ahead >= ahead_max {
                break;
            }
        }
        needs
    }

    /// Whether SLIMIT hides all remaining series. As in 1.x, SOFFSET without SLIMIT hides every
    /// series (`LimitTagSets`).
    fn is_past_slimit(&self) -> bool {
        let node = &self.node;
        let limited = node.slimit > 0 || node.soffset > 0;
        limited && self.series >= node.soffset.saturating_add(node.slimit)
    }

    fn add_chunk(&mut self, chunk: SeriesChunk) {
        self.series += u64::from(!self.is_counted);
        self.is_counted = true;
        if self.series > self.node.soffset
            && let Some(group) = &mut self.group
        {
            self.ready.extend(chunk.swap_into(&mut group.last_chunk));
        }
    }
}
