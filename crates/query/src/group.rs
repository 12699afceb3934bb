//! Merges a group's rows or partial states into chunks of the result. A group belongs to one
//! measurement. A [`CallExecutor`] runs a call over the group, and applies the call's
//! transformations and the statement's LIMIT.

use std::cell::RefCell;
use std::rc::Rc;

use super::compile::local_time::Zone;
use super::error::{QueryError, Result};
use super::exec_step::ExecStep;
use super::operators::fill::{self, RowFill, SeriesFill, ShownWindows};
use super::operators::join_limit::{CallSeries, Join, Limiter};
use super::operators::merge_rows::{Merged, RowBatch, RowMerge, Unread, rows_per_turn};
use super::operators::partials::{self, CallStates, PartialMerge};
use super::operators::whole_window::WholeWindowExecutor;
use super::plan::{CallBase, CallPlan, FeedKind, SelectNode, VariableSource};
use super::result::{Column, ResultColumn, SeriesChunk};
use super::scalar::{self, Scalar};
use super::stream::Stream;
use super::transforms::{self, StreamBatch, Transform};
use super::work::{Computation, Work};
use crate::admission::{BufferMemory, QueryReservation};
use tidemark_model::bug::OrBug;
use tidemark_model::limits::BUCKETS_PER_QUERY_MAX;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldValue;

/// The maximum number of windows that are filled before the statement may pause.
const FILLED_AT_ONCE_MAX: usize = 50_000;
/// The work of a group without its calls and rows, in the units of [`Work`].
const GROUP_WORK: usize = 40;
/// The work of creating a column of a chunk, in addition to its rows. A chunk of a group with few
/// rows may have thousands of columns.
const COLUMN_WORK: usize = 8;

/// The calls of a group.
type Calls = Vec<CallExecutor>;

/// The progress of a feed in the current group.
#[derive(Debug)]
enum FeedState {
    Partials(PartialMerge),
    Rows {
        merge: RowMerge,
        /// The rows that no call has read yet.
        unread: Option<Unread>,
        /// The calls read these rows now.
        reading: Option<Computation<Result<(Calls, RowBatch)>>>,
    },
    /// All pages have arrived. The calls compute their last values.
    Finishing(Computation<Result<Calls>>),
    Done,
}

/// Merges the data of one group from all shards, and returns the rows as chunks.
#[derive(Debug)]
pub(crate) struct GroupExecutor {
    node: Rc<SelectNode>,
    input: usize,
    key: Vec<String>,
    tags: Rc<[(String, String)]>,
    feeds: Vec<FeedState>,
    /// Empty while a feed reads rows or finishes. No pages arrive during a pause, so no other feed
    /// needs the calls before they return.
    calls: Calls,
    limiter: Limiter,
    /// Fills the rows of a raw query with the values of earlier rows.
    filled: RowFill,
    /// The last chunk. A later chunk of the group determines whether more rows follow.
    pub(crate) last_chunk: Option<SeriesChunk>,
    /// The calls' values that are joined next.
    join: Option<Join>,
    /// The rows to evaluate next: the calls' values, then the variables.
    unread: Option<Unread>,
    work: Work,
    /// For each call, its value in rows where only other calls have values.
    missing: Vec<Option<FieldValue>>,
}

impl GroupExecutor {
    pub(crate) fn new(
        node: &Rc<SelectNode>,
        input: usize,
        key: Vec<String>,
        reservation: &QueryReservation,
        work: &Work,
    ) -> Self {
        work.add(GROUP_WORK + node.calls.len() + node.outputs.len() + key.len());
        let tags = node.group_keys.iter().cloned().zip(key.iter().cloned()).collect();
        let feeds = node.feeds.iter().map(|feed| match feed.kind {
            FeedKind::Partials => FeedState::Partials(PartialMerge::default()),
            FeedKind::Rows => {
                FeedState::Rows { merge: RowMerge::default(), unread: None, reading: None }
            }
        });
        let memory = Rc::new(RefCell::new(reservation.buffer()));
        let calls = node.calls.iter().map(|call| CallExecutor {
            node: Rc::clone(node),
            plan: Rc::clone(call),
            transforms: call.transforms.clone(),
            limiter: Limiter::new(node.limit, node.offset),
            whole_window: WholeWindowExecutor::new(node, call, reservation, work),
            series: None,
            memory: Rc::clone(&memory),
        });
        Self {
            node: Rc::clone(node),
            input,
            key,
            tags,
            feeds: feeds.collect(),
            calls: calls.collect(),
            limiter: Limiter::new(node.limit, node.offset),
            filled: RowFill::default(),
            last_chunk: None,
            join: None,
            unread: None,
            work: work.clone(),
            missing: node.calls.iter().map(|call| call.missing.clone()).collect(),
        }
    }

    pub(crate) fn has_rows(&self) -> bool {
        self.limiter.is_begun || self.calls.iter().any(|call| call.limiter.is_begun)
    }

    /// Continues until the group needs pages, has rows, or must pause.
    pub(crate) fn advance(&mut self, streams: &mut [Vec<Stream>]) -> Result<ExecStep> {
        if let Some(chunk) = self.next_chunk() {
            return Ok(ExecStep::Chunk(chunk));
        }
        let mut needs = Vec::new();
        let mut feeds = std::mem::take(&mut self.feeds);
        let mut progress = None;
        for (index, (feed, streams)) in feeds.iter_mut().zip(streams).enumerate() {
            match self.advance_feed(index, feed, streams)? {
                None => {}
                Some(ExecStep::Need(more)) => needs.extend(more),
                other => {
                    progress = other;
                    break;
                }
            }
        }
        self.feeds = feeds;
        if let Some(progress) = progress {
            return Ok(progress);
        }
        if !needs.is_empty() {
            return Ok(ExecStep::Need(needs));
        }
        // Every feed is complete: return the rows that are still in memory.
        Ok(self.joined().map_or(ExecStep::Done, ExecStep::Chunk))
    }

    /// Returns `None` if the feed is complete.
    fn advance_feed(
        &mut self,
        index: usize,
        feed: &mut FeedState,
        streams: &mut [Stream],
    ) -> Result<Option<ExecStep>> {
        let node = Rc::clone(&self.node);
        let bindings = node.inputs.get(self.input).and_then(|input| input.feeds.get(index));
        let bindings = bindings.map_or(&[][..], Vec::as_slice);
        loop {
            match feed {
                FeedState::Done => return Ok(None),
                FeedState::Partials(merge) => {
                    let taken = merge.collect(&self.key, streams, bindings, &self.work)?;
                    let Some(missing) = taken else { return Ok(Some(ExecStep::Pause)) };
                    if !missing.is_empty() {
                        return Ok(Some(needs(streams, &missing)));
                    }
                    let states = std::mem::take(&mut merge.calls);
                    *feed = self.finish_calls(states.into_iter().collect());
                }
                FeedState::Finishing(finishing) => {
                    let Some(calls) = finishing.proceed() else {
                        return Ok(Some(ExecStep::Pause));
                    };
                    self.calls = calls?;
                    *feed = FeedState::Done;
                }
                FeedState::Rows { reading: reading @ Some(_), .. } => {
                    let Some(read) = reading.as_mut().and_then(Computation::proceed) else {
                        return Ok(Some(ExecStep::Pause));
                    };
                    *reading = None;
                    let (calls, rows) = read?;
                    self.calls = calls;
                    if let Some(chunk) = self.on_rows_read(rows)? {
                        return Ok(Some(ExecStep::Chunk(chunk)));
                    }
                    if self.work.is_due() {
                        return Ok(Some(ExecStep::Pause));
                    }
                }
                FeedState::Rows { unread: unread @ Some(_), reading, .. } => {
                    let row_work = node.variables.len() + node.calls.len();
                    let next = Unread::next(unread, row_work, &self.work);
                    *reading = next.map(|rows| self.read(index, rows));
                }
                FeedState::Rows { merge, unread, .. } => {
                    let sources: Vec<&[VariableSource]> =
                        bindings.iter().map(|b| &b.variables[..]).collect();
                    let (n_columns, direction) = (node.variables.len(), node.direction);
                    let work = &self.work;
                    match merge.next(&self.key, streams, &sources, n_columns, direction, work)? {
                        Merged::Missing(missing) => return Ok(Some(needs(streams, &missing))),
                        Merged::Pause => return Ok(Some(ExecStep::Pause)),
                        Merged::End => {
                            let calls = node.feeds.get(index).into_iter().flat_map(|f| &f.calls);
                            *feed = self.finish_calls(calls.map(|&c| (c, Vec::new())).collect());
                        }
                        Merged::Batch(batch) => {
                            self.work.add(
                                (1 + batch.times_ns.len()) * streams.len() + node.variables.len(),
                            );
                            *unread = Some(Unread::new(batch));
                        }
                    }
                }
            }
        }
    }

    /// Passes the rows of a feed to the calls.
    fn read(&mut self, feed: usize, rows: RowBatch) -> Computation<Result<(Calls, RowBatch)>> {
        let (mut calls, work) = (std::mem::take(&mut self.calls), self.work.clone());
        let node = Rc::clone(&self.node);
        Computation::new(async move {
            for &index in node.feeds.get(feed).map_or(&[][..], |feed| &feed.calls) {
                if let Some(call) = calls.get_mut(index) {
                    call.read(&rows, &work).await?;
                }
            }
            Ok((calls, rows))
        })
    }

    /// Computes the last values of these calls. The partial states of a call are empty if it reads
    /// rows.
    fn finish_calls(&mut self, ended: Vec<(usize, CallStates)>) -> FeedState {
        let (mut calls, work) = (std::mem::take(&mut self.calls), self.work.clone());
        FeedState::Finishing(Computation::new(async move {
            for (index, states) in ended {
                if let Some(call) = calls.get_mut(index) {
                    call.finish(states, &work).await?;
                }
            }
            Ok(calls)
        }))
    }

    /// Processes rows that the calls have read. Returns the rows unless they depend on another
    /// feed.
    fn on_rows_read(&mut self, batch: RowBatch) -> Result<Option<SeriesChunk>> {
        let node = Rc::clone(&self.node);
        if node.calls.is_empty() {
            let exhausted = self.limiter.is_exhausted();
            return Ok(if exhausted { None } else { self.raw(batch) });
        }
        let streaming = (node.calls.iter()).all(|call| {
            call.base == CallBase::Values && !call.transforms.iter().any(|t| t.emits_at_end())
        });
        if node.feeds.len() == 1 && streaming {
            return Ok(match node.calls.len() {
                1 => self.joined(),
                _ => self.join_except(batch.times_ns.last().copied()),
            });
        }
        let buffered = self.calls.iter().filter_map(|call| call.series.as_ref());
        if buffered.map(|series| series.times_ns.len() as u64).sum::<u64>() > BUCKETS_PER_QUERY_MAX
        {
            return Err(QueryError::TooLarge {
                what: "a series whose functions read different times",
                limit: BUCKETS_PER_QUERY_MAX,
                unit: "values",
            });
        }
        Ok(None)
    }

    fn raw(&mut self, batch: RowBatch) -> Option<SeriesChunk> {
        let rows = batch.times_ns.len();
        let (from, to) = self.limiter.take(rows);
        if from == to {
            return None;
        }
        let mut batch = if (from, to) == (0, rows) { batch } else { batch.slice(from, to) };
        self.filled.fill(&self.node, to - from, &mut batch.columns);
        self.unread = Some(Unread::new(batch));
        self.next_chunk()
    }

    /// Joins the calls' values, except points with time `last_ns`. The next rows may contain more
    /// points with that time, and points of equal time are matched in order.
    fn join_except(&mut self, last_ns: Option<i64>) -> Option<SeriesChunk> {
        let some = |series: CallSeries| Some(series).filter(|series| !series.times_ns.is_empty());
        let mut open = Vec::with_capacity(self.calls.len());
        for call in &mut self.calls {
            let Some(series) = call.series.take() else {
                open.push(None);
                continue;
            };
            let count = series.times_ns.len();
            let is_over = |&time_ns: &i64| Some(time_ns) != last_ns;
            let over = series.times_ns.iter().rposition(is_over).map_or(0, |at| at + 1);
            open.push(some(series.slice(over, count)));
            call.series = some(series.slice(0, over));
        }
        let chunk = self.joined();
        for (call, open) in self.calls.iter_mut().zip(open) {
            call.series = open;
        }
        chunk
    }

    fn joined(&mut self) -> Option<SeriesChunk> {
        let series = self.calls.iter_mut().map(|call| call.series.take()).collect();
        self.join = Some(Join::new(series, self.node.direction));
        self.next_chunk()
    }

    /// Joins the rows of one turn.
    fn next_joined(&mut self) -> Option<Unread> {
        let node = &self.node;
        let join = self.join.as_mut()?;
        let rows_max = rows_per_turn(node.row_work.max(node.calls.len()));
        let next = join.next(&mut self.missing, node.carries, rows_max, &self.work);
        let Some((times_ns, mut columns)) = next else {
            self.join = None;
            return None;
        };
        columns.resize(node.calls.len() + node.variables.len(), None);
        if let ([plan], [Some(series)]) = (node.calls.as_slice(), join.series.as_slice()) {
            for (&variable, aux) in plan.aux.iter().zip(&series.aux) {
                if let Some(column) = columns.get_mut(1 + variable) {
                    column.clone_from(aux);
                }
            }
            let aux = columns.get_mut(1..).or_bug();
            RowFill::default().fill(node, times_ns.len(), aux);
        }
        Some(Unread::new(RowBatch { times_ns, columns }))
    }

    fn next_chunk(&mut self) -> Option<SeriesChunk> {
        if self.unread.is_none() {
            self.unread = self.next_joined();
        }
        let part = Unread::next(&mut self.unread, self.node.row_work, &self.work)?;
        Some(self.chunk(part.times_ns, &part.columns))
    }

    fn chunk(&self, times_ns: Vec<i64>, columns: &[Option<Column>]) -> SeriesChunk {
        let node = &self.node;
        let rows = times_ns.len();
        let number = node.fill_number.as_ref();
        let filled = number.is_some();
        let is_math = |output: &Scalar| matches!(output, Scalar::Math(..));
        let arguments = number
            .filter(|_| node.outputs.iter().any(is_math))
            .map(|number| fill::arguments(columns, number, node, rows));
        let evaluate = |output: &Scalar| {
            self.work.add(COLUMN_WORK);
            let columns = match &arguments {
                Some(arguments) if is_math(output) => arguments,
                _ => columns,
            };
            match (scalar::evaluate(output, columns, filled).into_column(rows), number, output) {
                (Some(column), Some(number), Scalar::Binary(..)) => {
                    // If both operands lack a value in a row, the number replaces both.
                    let operand = Some(Column::full(scalar::repeat(number, 1)));
                    let alone = vec![operand; columns.len()];
                    let otherwise = scalar::evaluate(output, &alone, false).into_column(1);
                    fill::shown(column, otherwise)
                }
                (Some(column), ..) => fill::shown(
                    column,
                    number.map(|number| Column::full(scalar::repeat(number, 1))),
                ),
                (None, Some(number), Scalar::Column(index)) if node.has_type(*index) => {
                    ResultColumn::full(scalar::repeat(number, rows))
                }
                // 1.x does not fill a column whose name is unknown.
                (None, ..) => ResultColumn::Null,
            }
        };
        // A statement may select the same call or variable thousands of times.
        let mut known: Vec<Option<ResultColumn>> = vec![None; columns.len()];
        let outputs = node.outputs.iter().map(|output| match output {
            Scalar::Column(index) if let Some(known) = known.get_mut(*index) => {
                known.get_or_insert_with(|| evaluate(output)).clone()
            }
            _ => evaluate(output),
        });
        let zone = shifts(node.zone.as_ref(), &times_ns);
        let values = std::iter::once(ResultColumn::Time(times_ns)).chain(outputs).collect();
        let name = node.inputs.get(self.input).map(|input| Rc::clone(&input.name));
        SeriesChunk {
            name,
            tags: Rc::clone(&self.tags),
            columns: Rc::clone(&node.columns),
            values,
            rows,
            partial: false,
            zone,
        }
    }
}

/// Returns the zone's shifts during these times.
fn shifts(zone: Option<&Zone>, times_ns: &[i64]) -> Rc<[(i64, i64)]> {
    let range = times_ns.iter().min().zip(times_ns.iter().max());
    let (Some(zone), Some((&first_ns, &last_ns))) = (zone, range) else { return Rc::from([]) };
    if first_ns == last_ns {
        return Rc::from([(i64::MIN, zone.shift_ns(first_ns))]);
    }
    zone.shifts(TimeRange::new(first_ns, last_ns)).into()
}

/// Returns the windows of a call's result; `None` without windows.
fn shown_windows<'a>(node: &'a SelectNode, plan: &CallPlan) -> Option<ShownWindows<'a>> {
    let (window, range) = (node.window.as_ref()?, node.range_with(plan.windows_before));
    let (direction, limit) = (node.direction, node.query_windows_max);
    Some(ShownWindows { window, range, direction, limit })
}

fn needs(streams: &[Stream], missing: &[usize]) -> ExecStep {
    ExecStep::Need(missing.iter().filter_map(|&i| streams.get(i)).flat_map(Stream::needs).collect())
}

/// Applies a call to the rows or partial states of one group.
#[derive(Debug)]
struct CallExecutor {
    node: Rc<SelectNode>,
    plan: Rc<CallPlan>,
    transforms: Vec<Transform>,
    limiter: Limiter,
    /// Present if the call needs all values of a window together.
    whole_window: Option<WholeWindowExecutor>,
    series: Option<CallSeries>,
    /// The memory of the values of all calls of the group. Small buffers need no reservation, so
    /// thousands of calls must share one buffer.
    memory: Rc<RefCell<BufferMemory>>,
}

impl CallExecutor {
    /// Reads rows of the group. Awaits only [`Work::spend`].
    async fn read(&mut self, rows: &RowBatch, work: &Work) -> Result<()> {
        work.spend(0).await;
        let column = rows.columns.get(self.plan.variable).and_then(Option::as_ref);
        let Some(column) = column.filter(|_| !self.plan.silent) else { return Ok(()) };
        match &mut self.whole_window {
            Some(whole_window) => whole_window.push(rows, column).await?,
            None => self.push(StreamBatch::new(&rows.times_ns, column)),
        }
        Ok(())
    }

    /// Computes the last values of the group. Awaits only [`Work::spend`].
    async fn finish(&mut self, states: CallStates, work: &Work) -> Result<()> {
        let (node, plan) = (Rc::clone(&self.node), Rc::clone(&self.plan));
        let series = match &mut self.whole_window {
            Some(whole_window) => whole_window.finish().await,
            None => partials::merge(&plan, &node, states, work).await?,
        };
        if let Some(series) = series.filter(|series| !plan.silent && !series.times_ns.is_empty()) {
            match plan.fill.as_ref().zip(shown_windows(&node, &plan)) {
                None => self.add(series, work).await?,
                Some((method, windows)) => {
                    let mut fill = SeriesFill::new(series, windows)?;
                    while let Some(part) = fill.next(method, windows, FILLED_AT_ONCE_MAX)? {
                        self.add(part, work).await?;
                    }
                }
            }
        }
        if let Some(last) = transforms::finish(std::mem::take(&mut self.transforms), work).await? {
            self.keep(last);
        }
        Ok(())
    }

    async fn add(&mut self, part: CallSeries, work: &Work) -> Result<()> {
        let bytes = self.memory.borrow().bytes() + part.bytes();
        self.memory.borrow_mut().set(bytes)?;
        let units = part.times_ns.len() * (2 + self.plan.transforms.len());
        if self.plan.transforms.is_empty() {
            self.keep_series(part);
        } else {
            self.push(StreamBatch::new(&part.times_ns, &part.values));
        }
        work.spend(units).await;
        Ok(())
    }

    fn push(&mut self, mut piece: StreamBatch) {
        for transform in &mut self.transforms {
            piece = transform.push(&piece);
        }
        self.keep(piece);
    }

    fn keep(&mut self, piece: StreamBatch) {
        let (times_ns, values) = (piece.times_ns, Column::full(piece.values));
        self.keep_series(CallSeries { times_ns, values, aux: Vec::new() });
    }

    /// Adds rows to which the transformations were applied. Drops the rows that LIMIT and OFFSET
    /// hide.
    fn keep_series(&mut self, next: CallSeries) {
        let count = next.times_ns.len();
        let (from, to) = self.limiter.take(count);
        let next = if (from, to) == (0, count) { next } else { next.slice(from, to) };
        if !next.times_ns.is_empty() {
            next.append_to(&mut self.series);
        }
    }
}
