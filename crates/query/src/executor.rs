//! Merges the pages of many shards into the rows of a statement, and requests missing pages.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::Poll;

use super::error::Result;
use super::group::GroupExecutor;
use super::plan::{Binding, Plan, PlannedScan, SelectNode};
use super::result::SeriesChunk;
use super::stream::{Front, Stream};
use super::subquery_rows::{SubqueryResult, scans_of_subqueries};
use super::work::{PAGE_BYTES_PER_UNIT, Work};
use crate::admission::QueryReservation;
use tidemark_engine::scan::page::{Group, ScanPage};
use tidemark_model::bug::OrBug;
use tidemark_model::limits::{STREAMS_AHEAD_MAX, WORK_PER_NAME};

pub use super::exec_step::ExecStep;
pub use super::stream::{PageNeed, StreamId};
pub use super::subquery_rows::SubquerySteps;

/// The number of columns, calls and conditions of a scan above which the executor requests pages of
/// fewer scans together.
const ENTRIES_PER_STREAM: usize = 200;

/// Executes one plan.
///
/// The executor keeps in memory one slice of each scan of the current measurement, the windows of
/// the current group, and the first slices of `STREAMS_AHEAD_MAX` scans of the next measurements.
#[derive(Debug)]
pub struct Executor {
    scans: Rc<[PlannedScan]>,
    node: Rc<SelectNode>,
    shards: Rc<[u32]>,
    reservation: QueryReservation,
    work: Work,
    steps: SubquerySteps,
    /// The running subquery.
    subquery: Option<Box<Self>>,
    /// The position of the running or next subquery in the node.
    subquery_index: usize,
    derived: Vec<SubqueryResult>,
    /// The streams of successive inputs of the node, one list for each feed. The first input is the
    /// current measurement.
    inputs: VecDeque<Vec<Vec<Stream>>>,
    /// The position of the input after `inputs`.
    next_input: usize,
    group: Option<GroupExecutor>,
    /// The number of the current measurement's series with rows, regardless of LIMIT and OFFSET.
    series: u64,
    /// Whether `series` includes the current group.
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
    /// without shards has no rows. `reservation` counts the executor's memory, and `work` counts
    /// its work.
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
        Self::for_node(plan.scans.into(), plan.root, shards.into(), reservation, work, steps)
    }

    fn for_node(
        scans: Rc<[PlannedScan]>,
        node: Rc<SelectNode>,
        shards: Rc<[u32]>,
        reservation: &QueryReservation,
        work: &Work,
        steps: SubquerySteps,
    ) -> Self {
        work.add(WORK_PER_NAME * (1 + node.subqueries.len()));
        let mut own = scans_of_subqueries(&node, &scans).into_iter();
        let derived = node.subqueries.iter().map(|sub| {
            let (sub, own) = (Rc::clone(sub), own.next().unwrap_or_default());
            SubqueryResult::new(&node, own, sub, &scans, reservation.buffer(), work, steps)
        });
        let derived = derived.collect();
        let (reservation, work) = (reservation.clone(), work.clone());
        Self {
            scans,
            node,
            shards,
            reservation,
            work,
            steps,
            subquery: None,
            subquery_index: 0,
            derived,
            inputs: VecDeque::new(),
            next_input: 0,
            group: None,
            series: 0,
            is_counted: false,
            ready: VecDeque::new(),
        }
    }

    /// Adds the streams of the next measurement to `inputs`. Returns `false` after the last
    /// measurement.
    fn open_input(&mut self) -> bool {
        let Some(input) = self.node.inputs.get(self.next_input) else { return false };
        let stream = |binding: &Binding| {
            let scan = self.scans.get(binding.scan)?;
            let derived = scan.subquery.and_then(|subquery| self.derived.get(subquery));
            let shards = match derived {
                Some(_) => 1,
                None => self.shards.get(binding.scan).copied().or_bug(),
            };
            let number = binding.scan as u32;
            let (request, key) = (Rc::clone(&scan.request), Rc::clone(&binding.key));
            let is_derived = derived.is_some();
            let mut stream =
                Stream::new(number, shards, request, key, is_derived, &self.reservation);
            if derived.is_some_and(|derived| !derived.is_stored()) {
                stream.keep_all();
            }
            Some(stream)
        };
        let feeds = input.feeds.iter().map(|feed| feed.iter().filter_map(stream).collect());
        let feeds: Vec<Vec<Stream>> = feeds.collect();
        let streams = feeds.iter().map(Vec::len).sum::<usize>();
        self.work.add(streams * (WORK_PER_NAME + self.node.scan_entries));
        self.inputs.push_back(feeds);
        self.next_input += 1;
        true
    }

    /// Returns the position of the current measurement in the node's inputs.
    fn input(&self) -> usize {
        self.next_input - self.inputs.len()
    }

    /// Starts the result after `row`. The statement must select rows of a measurement in ascending
    /// order of time, grouped by all tags.
    pub fn begin_after(&mut self, row: &RowPosition) {
        while self.open_input() {}
        let Self { node, inputs, .. } = self;
        let keys = &node.group_keys;
        let value = |position: usize| {
            keys.get(position).and_then(|key| row.tags.get(key)).map_or("", String::as_str)
        };
        for stream in inputs.iter_mut().flatten().flatten() {
            stream.begin_after(value, row.time_ns);
        }
    }

    /// Returns the next step. After an [`ExecStep::Need`], supply its pages before the next call.
    ///
    /// # Errors
    /// `QueryError`; the executor cannot be used after an error.
    #[expect(clippy::should_implement_trait, reason = "a step is not an item of an iterator")]
    pub fn next(&mut self) -> Result<ExecStep> {
        while self.has_subquery() && !self.is_streamed() {
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
            if self.inputs.is_empty() {
                self.open_input();
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

    fn has_subquery(&self) -> bool {
        self.subquery_index < self.node.subqueries.len()
    }

    /// Continues the next subquery. Returns `None` if the executor must first continue its own
    /// work.
    fn advance_subquery(&mut self) -> Result<Option<ExecStep>> {
        let next = self.node.subqueries.get(self.subquery_index);
        let derived = self.derived.get_mut(self.subquery_index);
        let (Some(next), Some(derived)) = (next, derived) else { return Ok(None) };
        let subquery = self.subquery.get_or_insert_with(|| {
            let (scans, node) = (Rc::clone(&self.scans), Rc::clone(&next.node));
            let (shards, reservation) = (Rc::clone(&self.shards), &self.reservation);
            Box::new(Self::for_node(scans, node, shards, reservation, &self.work, self.steps))
        });
        if !derived.fold()? {
            self.work.pauses()?;
            return Ok(Some(ExecStep::Pause));
        }
        match subquery.next()? {
            step @ (ExecStep::Need(_) | ExecStep::Pause) => return Ok(Some(step)),
            ExecStep::Chunk(chunk) => {
                self.work.add(chunk.rows * chunk.values.len());
                derived.push(&chunk)?;
            }
            ExecStep::Done => {
                derived.is_done = true;
                self.subquery = None;
                self.subquery_index += 1;
            }
        }
        Ok(None)
    }

    /// Whether the node reads its only subquery while the subquery runs.
    fn is_streamed(&self) -> bool {
        self.derived.first().is_some_and(SubqueryResult::is_streamed)
    }

    /// Supplies a page that a [`PageNeed`] requested.
    ///
    /// # Errors
    /// `QueryError::Page` if the page does not match the request.
    pub fn supply(&mut self, stream: StreamId, page: ScanPage) -> Result<()> {
        match &mut self.subquery {
            Some(subquery) => subquery.supply(stream, page),
            None => self.supply_stream(stream, page),
        }
    }

    fn supply_stream(&mut self, stream: StreamId, page: ScanPage) -> Result<()> {
        let bytes: usize = page.groups.iter().map(Group::bytes).sum();
        self.work.add(bytes / PAGE_BYTES_PER_UNIT);
        let mut streams = self.inputs.iter_mut().flatten().flatten();
        match streams.find(|found| found.scan() == stream.scan as usize) {
            Some(found) => found.supply(stream.shard, page),
            None => Ok(()),
        }
    }

    /// Reads the pages of subqueries, and returns the needs that only shards can supply. Returns
    /// `None` if the executor must first continue its own work.
    fn read_subqueries(&mut self, needs: Vec<PageNeed>) -> Result<Option<ExecStep>> {
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

    fn begin_group(&mut self) -> Vec<PageNeed> {
        if self.is_past_slimit() {
            self.end_measurement();
            return Vec::new();
        }
        let Some(feeds) = self.inputs.front() else { return Vec::new() };
        let streams = || feeds.iter().flatten();
        self.work.add(streams().count());
        if streams().any(|stream| stream.front() == Front::Missing) {
            return self.first_needs();
        }
        let keys = streams().filter_map(|stream| match stream.front() {
            Front::Group(key) => Some(key),
            Front::Missing | Front::End => None,
        });
        let key = if self.node.direction.is_descending() { keys.max() } else { keys.min() };
        match key.map(<[String]>::to_vec) {
            Some(key) => {
                let input = self.input();
                self.group =
                    Some(GroupExecutor::new(&self.node, input, key, &self.reservation, &self.work));
                self.is_counted = false;
            }
            None => self.end_measurement(),
        }
        Vec::new()
    }

    fn end_measurement(&mut self) {
        let input = self.input();
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
    fn first_needs(&mut self) -> Vec<PageNeed> {
        let mut needs = Vec::new();
        // A request takes time in proportion to its columns, calls and conditions.
        let at_once = STREAMS_AHEAD_MAX / (1 + self.node.scan_entries / ENTRIES_PER_STREAM);
        let at_once = at_once.max(1);
        // A streamed subquery returns one measurement after another, so the executor cannot read
        // ahead.
        let ahead_max = if self.is_streamed() { 0 } else { at_once };
        let (mut index, mut own, mut ahead) = (0, 0, 0);
        // A measurement without shards adds no requests, but also takes time.
        while index == 0 || (ahead < ahead_max && own < at_once && !self.work.is_due()) {
            if index == self.inputs.len() && !self.open_input() {
                break;
            }
            for stream in self.inputs.get(index).into_iter().flatten().flatten() {
                let is_wanted = match index {
                    0 => own < at_once,
                    _ => ahead < ahead_max && !stream.has_begun(),
                };
                if stream.front() == Front::Missing && is_wanted {
                    if index == 0 {
                        own += 1;
                    } else {
                        ahead += 1;
                    }
                    needs.extend(stream.needs());
                }
            }
            index += 1;
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
