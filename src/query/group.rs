//! Merges a group's rows or partial states into chunks of the result. A group belongs to one
//! measurement.

use std::collections::VecDeque;
use std::rc::Rc;

use super::call_executor::CallExecutor;
use super::error::QueryError;
use super::operators::fill::{self, SeriesFill, ShownWindows};
use super::operators::fill_rows::RowFill;
use super::operators::join;
use super::operators::limit::Limiter;
use super::operators::merge_rows::{Merged, RowBatch, RowMerge, Unread};
use super::operators::partials::PartialMerge;
use super::operators::series::CallSeries;
use super::plan::{Binding, CallBase, CallPlan, FeedKind, SelectNode, SlotSource};
use super::result::{Column, ResultColumn, SeriesChunk};
use super::scalar::{self, Scalar};
use super::stream::{Stream, StreamNeed};
use super::transforms::StreamBatch;
use super::work::Work;
use crate::admission::{HeldBytes, QueryReservation};
use crate::model::bug::OrBug;
use crate::model::limits::BUCKETS_PER_QUERY_MAX;
use crate::model::value::FieldValue;

/// The maximum number of windows that are filled before the statement may pause.
const FILLED_AT_ONCE_MAX: usize = 50_000;

#[derive(Debug)]
pub(crate) enum GroupProgress {
    Need(Vec<StreamNeed>),
    Chunk(SeriesChunk),
    /// The work of the current turn is done.
    Pause,
    End,
}

#[derive(Debug)]
enum FeedState {
    Partials(PartialMerge),
    /// Reads rows. The second value contains the rows that no call has read yet.
    Rows(RowMerge, Option<Unread>),
    /// All pages have arrived, but these calls are unfinished.
    Finishing(VecDeque<FinishingCall>),
    Done,
}

#[derive(Debug)]
struct FinishingCall {
    call: usize,
    /// The values of a call that merges partial states.
    merged: Option<CallSeries>,
    is_settled: bool,
    /// The values whose missing windows are being filled.
    fill: Option<SeriesFill>,
}

impl FinishingCall {
    fn new(call: usize, merged: Option<CallSeries>) -> Self {
        Self { call, merged, is_settled: false, fill: None }
    }
}

#[derive(Debug)]
pub(crate) struct GroupExecutor {
    input: usize,
    key: Vec<String>,
    tags: Rc<[(String, String)]>,
    feeds: Vec<FeedState>,
    calls: Vec<CallExecutor>,
    limiter: Limiter,
    /// Fills the rows of a raw query with the values of earlier rows.
    filled: RowFill,
    held: Option<SeriesChunk>,
    /// The rows to evaluate next: the calls' values, then the slots.
    unread: Option<Unread>,
    work: Work,
    windows: HeldBytes,
    /// For each call, its value in rows where only other calls have values.
    missing: Vec<Option<FieldValue>>,
}

impl GroupExecutor {
    pub(crate) fn new(
        node: &SelectNode,
        input: usize,
        key: Vec<String>,
        room: &QueryReservation,
        work: &Work,
    ) -> Self {
        work.add(node.calls.len() + node.outputs.len() + key.len());
        let tags = node.group_keys.iter().cloned().zip(key.iter().cloned()).collect();
        let feeds = node.feeds.iter().map(|feed| match feed.kind {
            FeedKind::Partials => FeedState::Partials(PartialMerge::new(feed.calls.len())),
            FeedKind::Rows => FeedState::Rows(RowMerge::default(), None),
        });
        let limiter = Limiter::new(node.limit, node.offset);
        let calls = node.calls.iter().map(|call| CallExecutor::new(call, limiter, room, work));
        Self {
            input,
            key,
            tags,
            feeds: feeds.collect(),
            calls: calls.collect(),
            limiter,
            filled: RowFill::default(),
            held: None,
            unread: None,
            work: work.clone(),
            windows: room.part(),
            missing: node.calls.iter().map(|call| call.missing.clone()).collect(),
        }
    }

    pub(crate) fn hold(&mut self, chunk: SeriesChunk) -> Option<SeriesChunk> {
        let mut before = self.held.replace(chunk);
        if let Some(before) = &mut before {
            before.partial = true;
        }
        before
    }

    pub(crate) fn has_rows(&self) -> bool {
        self.limiter.is_begun() || self.calls.iter().any(|call| call.limiter.is_begun())
    }

    pub(crate) fn take_held(&mut self) -> Option<SeriesChunk> {
        self.held.take()
    }

    /// Continues until the group needs pages, has rows, or must pause.
    pub(crate) fn advance(
        &mut self,
        node: &SelectNode,
        streams: &mut [Vec<Stream>],
    ) -> Result<GroupProgress, QueryError> {
        if let Some(chunk) = self.next_chunk(node) {
            return Ok(GroupProgress::Chunk(chunk));
        }
        let mut needs = Vec::new();
        let mut feeds = std::mem::take(&mut self.feeds);
        let mut answer = None;
        for (index, feed) in feeds.iter_mut().enumerate() {
            let Some(streams) = streams.get_mut(index) else { continue };
            match self.advance_feed(node, index, feed, streams)? {
                Some(GroupProgress::Need(more)) => needs.extend(more),
                Some(GroupProgress::End) => *feed = FeedState::Done,
                Some(progress) => answer = Some(progress),
                None => {}
            }
            if answer.is_some() {
                break;
            }
        }
        self.feeds = feeds;
        if let Some(progress) = answer {
            return Ok(progress);
        }
        if !needs.is_empty() {
            return Ok(GroupProgress::Need(needs));
        }
        // Every feed is complete: return the rows that are still in memory.
        Ok(self.finish(node).map_or(GroupProgress::End, GroupProgress::Chunk))
    }

    fn advance_feed(
        &mut self,
        node: &SelectNode,
        index: usize,
        feed: &mut FeedState,
        streams: &mut [Stream],
    ) -> Result<Option<GroupProgress>, QueryError> {
        let bindings = node.inputs.get(self.input).and_then(|input| input.feeds.get(index));
        let bindings = bindings.map_or(&[][..], Vec::as_slice);
        loop {
            match feed {
                FeedState::Done => return Ok(None),
                FeedState::Partials(merge) => {
                    let missing = merge.collect(&self.key, streams, bindings)?;
                    if !missing.is_empty() {
                        return Ok(Some(needs(streams, &missing)));
                    }
                    let merged = merge.finish(node)?.into_iter();
                    let finishing =
                        merged.map(|(call, series)| FinishingCall::new(call, Some(series)));
                    *feed = FeedState::Finishing(finishing.collect());
                }
                FeedState::Finishing(calls) => return self.finish_calls(node, calls).map(Some),
                FeedState::Rows(_, unread) if unread.is_some() => {
                    let row_work = node.slots.len() + node.calls.len();
                    let Some(batch) = Unread::next(unread, row_work, &self.work) else { continue };
                    if let Some(chunk) = self.rows(node, index, batch)? {
                        return Ok(Some(GroupProgress::Chunk(chunk)));
                    }
                    if self.work.is_due() {
                        return Ok(Some(GroupProgress::Pause));
                    }
                }
                FeedState::Rows(merge, unread) => {
                    let sources = sources(streams, bindings);
                    let next =
                        merge.next(&self.key, streams, &sources, &node.slots, node.descending)?;
                    match next {
                        Merged::Missing(missing) => return Ok(Some(needs(streams, &missing))),
                        Merged::End => {
                            let feed_plan = node.feeds.get(index);
                            let calls = feed_plan.map_or(&[][..], |feed| feed.calls.as_slice());
                            let finishing =
                                calls.iter().map(|&call| FinishingCall::new(call, None));
                            *feed = FeedState::Finishing(finishing.collect());
                        }
                        Merged::Batch(batch) => {
                            self.work
                                .add((1 + batch.times_ns.len()) * streams.len() + node.slots.len());
                            *unread = Some(Unread::new(batch));
                        }
                    }
                }
            }
        }
    }

    fn finish_calls(
        &mut self,
        node: &SelectNode,
        calls: &mut VecDeque<FinishingCall>,
    ) -> Result<GroupProgress, QueryError> {
        while let Some(next) = calls.front_mut() {
            if self.work.is_due() {
                return Ok(GroupProgress::Pause);
            }
            let index = next.call;
            if !std::mem::replace(&mut next.is_settled, true) {
                let series = next.merged.take().or_else(|| self.finish_gathered(node, index));
                if let Some(series) = series {
                    next.fill = self.settle(node, index, series)?;
                }
            }
            if let Some(fill) = &mut next.fill {
                match self.next_filled(node, index, fill)? {
                    Some(part) => self.take_series(node, index, part)?,
                    None => next.fill = None,
                }
                continue;
            }
            if let Some(call) = self.calls.get_mut(index)
                && !call.finish_streams(&self.work)?
            {
                return Ok(GroupProgress::Pause);
            }
            calls.pop_front();
        }
        Ok(GroupProgress::End)
    }

    /// Processes the rows of a feed. Returns the rows unless they depend on another feed.
    fn rows(
        &mut self,
        node: &SelectNode,
        feed: usize,
        batch: RowBatch,
    ) -> Result<Option<SeriesChunk>, QueryError> {
        if node.calls.is_empty() {
            let exhausted = self.limiter.is_exhausted();
            return Ok(if exhausted { None } else { self.raw(node, batch) });
        }
        let Some(feed) = node.feeds.get(feed) else { return Ok(None) };
        for &index in &feed.calls {
            let Some(plan) = node.calls.get(index).filter(|plan| !plan.silent) else { continue };
            if let (CallBase::Gather(gather), Some(call)) = (&plan.base, self.calls.get_mut(index))
            {
                call.gathered.push(node, plan, gather, &batch)?;
                continue;
            }
            let Some(Some(column)) = batch.slots.get(plan.slot) else { continue };
            if let Some(call) = self.calls.get_mut(index) {
                call.push(StreamBatch::new(&batch.times_ns, column));
            }
        }
        let streaming = (node.calls.iter()).all(|call| {
            call.base == CallBase::Values && !call.transforms.iter().any(|t| t.emits_at_end())
        });
        if node.feeds.len() == 1 && streaming {
            return Ok(match node.calls.len() {
                1 => self.joined(node),
                _ => self.join_except(node, batch.times_ns.last().copied()),
            });
        }
        let held = self.calls.iter().filter_map(|call| call.series.as_ref());
        if held.map(|series| series.times_ns.len() as u64).sum::<u64>() > BUCKETS_PER_QUERY_MAX {
            return Err(QueryError::TooLarge {
                what: "a series whose functions read different times",
                limit: BUCKETS_PER_QUERY_MAX,
                unit: "values",
            });
        }
        Ok(None)
    }

    fn finish_gathered(&mut self, node: &SelectNode, index: usize) -> Option<CallSeries> {
        let (plan, call) = (node.calls.get(index)?, self.calls.get_mut(index)?);
        match &plan.base {
            CallBase::Gather(gather) => call.gathered.finish(node, plan, gather),
            CallBase::Merge(_) | CallBase::Values => None,
        }
    }

    fn raw(&mut self, node: &SelectNode, batch: RowBatch) -> Option<SeriesChunk> {
        let (from, to) = self.limiter.take(batch.times_ns.len());
        if from == to {
            return None;
        }
        let is_all = from == 0 && to == batch.times_ns.len();
        let rows: Vec<u32> = (from as u32..to as u32).collect();
        let mut slots: Vec<Option<Column>> = if is_all {
            batch.slots
        } else {
            batch.slots.iter().map(|slot| slot.as_ref().map(|c| c.gather(&rows))).collect()
        };
        self.filled.fill(node, to - from, &mut slots);
        let times_ns = batch.times_ns.get(from..to).or_bug().to_vec();
        self.unread = Some(Unread::new(RowBatch { times_ns, slots }));
        self.next_chunk(node)
    }

    /// Takes the values of a call. Returns the values again if their missing windows must be filled.
    fn settle(
        &mut self,
        node: &SelectNode,
        index: usize,
        series: CallSeries,
    ) -> Result<Option<SeriesFill>, QueryError> {
        let Some(plan) = node.calls.get(index).filter(|plan| !plan.silent) else {
            return Ok(None);
        };
        let windows = shown_windows(node, plan).filter(|_| plan.fill.is_some());
        if let Some(windows) = windows.filter(|_| !series.times_ns.is_empty()) {
            return SeriesFill::new(series, windows).map(Some);
        }
        self.take_series(node, index, series)?;
        Ok(None)
    }

    fn next_filled(
        &self,
        node: &SelectNode,
        index: usize,
        fill: &mut SeriesFill,
    ) -> Result<Option<CallSeries>, QueryError> {
        let Some(plan) = node.calls.get(index) else { return Ok(None) };
        match (&plan.fill, shown_windows(node, plan)) {
            (Some(fill_plan), Some(windows)) => fill.next(fill_plan, windows, FILLED_AT_ONCE_MAX),
            _ => Ok(None),
        }
    }

    fn take_series(
        &mut self,
        node: &SelectNode,
        index: usize,
        series: CallSeries,
    ) -> Result<(), QueryError> {
        let Some(plan) = node.calls.get(index) else { return Ok(()) };
        self.work.add(series.times_ns.len() * (2 + plan.transforms.len()));
        self.windows.set(self.windows.bytes() + series.bytes())?;
        let Some(call) = self.calls.get_mut(index) else { return Ok(()) };
        if plan.transforms.is_empty() {
            call.keep_series(series);
        } else {
            call.push(StreamBatch::new(&series.times_ns, &series.values));
        }
        Ok(())
    }

    fn finish(&mut self, node: &SelectNode) -> Option<SeriesChunk> {
        if node.calls.is_empty() { None } else { self.joined(node) }
    }

    /// Joins the calls' values, except points with time `last_ns`. The next rows may contain more
    /// points with that time, and points of equal time are matched in order.
    fn join_except(&mut self, node: &SelectNode, last_ns: Option<i64>) -> Option<SeriesChunk> {
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
        let chunk = self.joined(node);
        for (call, open) in self.calls.iter_mut().zip(open) {
            call.series = open;
        }
        chunk
    }

    fn joined(&mut self, node: &SelectNode) -> Option<SeriesChunk> {
        let mut series: Vec<Option<CallSeries>> =
            self.calls.iter_mut().map(|call| call.series.take()).collect();
        let missing = &mut self.missing;
        let (times_ns, mut columns) =
            join::join(&mut series, missing, node.carries, node.descending);
        if times_ns.is_empty() {
            return None;
        }
        columns.resize(node.calls.len() + node.slots.len(), None);
        if let ([plan], [Some(series)]) = (node.calls.as_slice(), series.as_slice()) {
            for (&slot, aux) in plan.aux.iter().zip(&series.aux) {
                if let Some(column) = columns.get_mut(1 + slot) {
                    column.clone_from(aux);
                }
            }
            for (column, slot) in columns.iter_mut().skip(1).zip(&node.slots) {
                fill::fill_aux(column, slot, node, times_ns.len());
            }
        }
        self.unread = Some(Unread::new(RowBatch { times_ns, slots: columns }));
        self.next_chunk(node)
    }

    fn next_chunk(&mut self, node: &SelectNode) -> Option<SeriesChunk> {
        let part = Unread::next(&mut self.unread, node.row_work, &self.work)?;
        Some(self.chunk(node, part.times_ns, &part.slots))
    }

    fn chunk(
        &self,
        node: &SelectNode,
        times_ns: Vec<i64>,
        columns: &[Option<Column>],
    ) -> SeriesChunk {
        let rows = times_ns.len();
        let number = node.fill_number.as_ref();
        let filled = number.is_some();
        let is_math = |output: &Scalar| matches!(output, Scalar::Math(..));
        let arguments = number
            .filter(|_| node.outputs.iter().any(is_math))
            .map(|number| fill::arguments(columns, number, node, rows));
        let outputs = node.outputs.iter().map(|output| {
            let columns = match &arguments {
                Some(arguments) if is_math(output) => arguments,
                _ => columns,
            };
            match (scalar::evaluate(output, columns, filled).into_column(rows), number, output) {
                (Some(column), Some(number), Scalar::Binary(..)) => {
                    // If both operands lack a value in a row, the number replaces both.
                    let operand = Some(Column::full(scalar::repeat(number, 1)));
                    let alone = vec![operand; columns.len()];
                    match scalar::evaluate(output, &alone, false).into_column(1) {
                        Some(otherwise) => fill::shown(column, Some(otherwise)),
                        None => ResultColumn::Values(column),
                    }
                }
                (Some(column), ..) => fill::shown(
                    column,
                    number.map(|number| Column::full(scalar::repeat(number, 1))),
                ),
                (None, Some(number), Scalar::Column(index)) if node.has_type(*index) => {
                    ResultColumn::Values(Column::full(scalar::repeat(number, rows)))
                }
                // 1.x does not fill a column whose name is unknown.
                (None, ..) => ResultColumn::Null,
            }
        });
        let values = std::iter::once(ResultColumn::Time(times_ns)).chain(outputs).collect();
        let name = node.inputs.get(self.input).map(|input| Rc::clone(&input.name));
        SeriesChunk {
            name,
            tags: Rc::clone(&self.tags),
            columns: Rc::clone(&node.columns),
            values,
            rows,
            partial: false,
            zone: Rc::clone(&node.zone),
        }
    }
}

/// Returns `None` if the statement has no windows.
fn shown_windows<'a>(node: &'a SelectNode, plan: &CallPlan) -> Option<ShownWindows<'a>> {
    Some(ShownWindows {
        window: node.window.as_ref()?,
        range: extended(node, plan),
        descending: node.descending,
        limit: node.buckets_max,
    })
}

/// Returns the time range of a call, including the previous window if the call reads that window.
fn extended(node: &SelectNode, plan: &CallPlan) -> crate::model::time::TimeRange {
    let mut range = node.range;
    if let (true, Some(window)) = (plan.extended, &node.window) {
        if node.descending {
            range.end_ns = range.end_ns.saturating_add(window.every_ns);
        } else if range.start_ns > crate::model::time::MIN_TIME_NS {
            range.start_ns = range.start_ns.saturating_sub(window.every_ns);
        }
    }
    range
}

fn needs(streams: &[Stream], missing: &[usize]) -> GroupProgress {
    GroupProgress::Need(
        missing.iter().filter_map(|&i| streams.get(i)).flat_map(Stream::needs).collect(),
    )
}

fn sources<'a>(streams: &[Stream], bindings: &'a [Binding]) -> Vec<&'a [SlotSource]> {
    let find = |stream: &Stream| bindings.iter().find(|binding| binding.scan == stream.scan());
    streams.iter().map(|stream| find(stream).map_or(&[][..], |b| b.slots.as_slice())).collect()
}
