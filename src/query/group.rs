//! Turns the rows or partial states of one group of one measurement into chunks of the result.

use std::rc::Rc;

use super::error::QueryError;
use super::operators::fill::{self, ShownWindows};
use super::operators::fill_rows::RowFill;
use super::operators::gather::GatherRun;
use super::operators::join;
use super::operators::limit::Limiter;
use super::operators::merge_rows::{Merged, RowBatch, RowMerge};
use super::operators::partials::PartialMerge;
use super::operators::series::CallSeries;
use super::plan::{Binding, CallBase, CallPlan, FeedKind, SelectNode, SlotSource};
use super::result::{Column, ResultColumn, SeriesChunk};
use super::scalar::{self, Scalar};
use super::stream::{Stream, StreamNeed};
use super::transforms::{self, Piece};
use crate::admission::{Held, QueryRoom};
use crate::model::limits::{BUCKETS_PER_QUERY_MAX, MERGED_ROWS_MAX};
use crate::model::value::FieldValue;

/// What a step of a group comes to.
#[derive(Debug)]
pub(crate) enum GroupProgress {
    /// Pages are needed.
    Need(Vec<StreamNeed>),
    /// Rows.
    Chunk(SeriesChunk),
    /// Much was merged: others have a turn before it goes on.
    Pause,
    /// The group is through.
    End,
}

/// What a feed of the group is doing.
#[derive(Debug)]
enum FeedRun {
    /// Collecting partial states.
    Partials(PartialMerge),
    /// Reading rows.
    Rows(RowMerge),
    /// Through.
    Done,
}

/// A call whose values come from rows, in progress.
#[derive(Debug)]
struct CallRun {
    streams: Vec<Box<dyn transforms::Transformation>>,
    limiter: Limiter,
    /// The window at hand of a function that needs all its values.
    gathered: GatherRun,
    /// What it has come to so far.
    series: Option<CallSeries>,
}

/// A group in progress.
#[derive(Debug)]
pub(crate) struct GroupRun {
    input: usize,
    key: Vec<String>,
    tags: Rc<[(String, String)]>,
    feeds: Vec<FeedRun>,
    calls: Vec<CallRun>,
    /// LIMIT of a raw query.
    limiter: Limiter,
    /// Rows of a raw query before.
    filled: RowFill,
    held: Option<SeriesChunk>,
    /// What the windows of its calls take.
    windows: Held,
    /// For each call what stands where only others have a value.
    missing: Vec<Option<FieldValue>>,
}

impl GroupRun {
    pub(crate) fn new(node: &SelectNode, input: usize, key: Vec<String>, room: &QueryRoom) -> Self {
        let tags = node.group_keys.iter().cloned().zip(key.iter().cloned()).collect();
        let feeds = node.feeds.iter().map(|feed| match feed.kind {
            FeedKind::Partials => FeedRun::Partials(PartialMerge::new(feed.calls.len())),
            FeedKind::Rows => FeedRun::Rows(RowMerge::default()),
        });
        let limiter = Limiter::new(node.limit, node.offset);
        let calls = node.calls.iter().map(|call| CallRun {
            streams: call.transforms.iter().map(transforms::Transform::start).collect(),
            limiter,
            gathered: GatherRun::new(room),
            series: None,
        });
        Self {
            input,
            key,
            tags,
            feeds: feeds.collect(),
            calls: calls.collect(),
            limiter,
            filled: RowFill::default(),
            held: None,
            windows: room.part(),
            missing: node.calls.iter().map(|call| call.missing.clone()).collect(),
        }
    }

    /// Keeps `chunk` until it is known whether more rows follow; returns the one kept before.
    pub(crate) fn hold(&mut self, chunk: SeriesChunk) -> Option<SeriesChunk> {
        let mut before = self.held.replace(chunk);
        if let Some(before) = &mut before {
            before.partial = true;
        }
        before
    }

    /// The last chunk.
    pub(crate) fn take_held(&mut self) -> Option<SeriesChunk> {
        self.held.take()
    }

    /// Goes on as far as the pages at hand allow, and until [`MERGED_ROWS_MAX`] rows are merged;
    /// `merged_rows` of them were since the last pause.
    ///
    /// # Errors
    /// [`QueryError`]
    pub(crate) fn advance(
        &mut self,
        node: &SelectNode,
        streams: &mut [Vec<Stream>],
        merged_rows: &mut usize,
    ) -> Result<GroupProgress, QueryError> {
        let mut needs = Vec::new();
        let mut feeds = std::mem::take(&mut self.feeds);
        let mut answer = None;
        for (index, feed) in feeds.iter_mut().enumerate() {
            let Some(streams) = streams.get_mut(index) else { continue };
            match self.advance_feed(node, index, feed, streams, merged_rows)? {
                Some(GroupProgress::Need(more)) => needs.extend(more),
                Some(GroupProgress::End) => *feed = FeedRun::Done,
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
        // Every feed is through: what has not been shown as it came is shown now, once.
        Ok(self.finish(node).map_or(GroupProgress::End, GroupProgress::Chunk))
    }

    /// Runs one feed until it needs pages, has rows to show or is through.
    fn advance_feed(
        &mut self,
        node: &SelectNode,
        index: usize,
        feed: &mut FeedRun,
        streams: &mut [Stream],
        merged_rows: &mut usize,
    ) -> Result<Option<GroupProgress>, QueryError> {
        let bindings = node.inputs.get(self.input).and_then(|input| input.feeds.get(index));
        let bindings = bindings.map_or(&[][..], Vec::as_slice);
        match feed {
            FeedRun::Done => Ok(None),
            FeedRun::Partials(merge) => {
                let missing = merge.collect(&self.key, streams, bindings)?;
                if !missing.is_empty() {
                    return Ok(Some(needs(streams, &missing)));
                }
                for (call, series) in merge.finish(node)? {
                    self.settle(node, call, series)?;
                    self.finish_streams(call)?;
                }
                Ok(Some(GroupProgress::End))
            }
            FeedRun::Rows(merge) => loop {
                let sources = sources(streams, bindings);
                let next =
                    merge.next(&self.key, streams, &sources, &node.slots, node.descending)?;
                match next {
                    Merged::Missing(missing) => return Ok(Some(needs(streams, &missing))),
                    Merged::End => {
                        self.finish_gathered(node, index)?;
                        return Ok(Some(GroupProgress::End));
                    }
                    Merged::Batch(batch) => {
                        *merged_rows += batch.times_ns.len();
                        if let Some(chunk) = self.rows(node, index, batch)? {
                            return Ok(Some(GroupProgress::Chunk(chunk)));
                        }
                        if *merged_rows >= MERGED_ROWS_MAX {
                            *merged_rows = 0;
                            return Ok(Some(GroupProgress::Pause));
                        }
                    }
                }
            },
        }
    }

    /// Rows of a feed: shown at once if nothing else has to be waited for, else kept.
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
            let piece = Piece::new(&batch.times_ns, column);
            self.push(index, piece, Vec::new());
        }
        let streaming = (node.calls.iter()).all(|call| {
            call.base == CallBase::Values && !call.transforms.iter().any(|t| t.answers_late())
        });
        if node.feeds.len() == 1 && streaming {
            return Ok(match node.calls.len() {
                1 => self.joined(node),
                _ => self.joined_but(node, batch.times_ns.last().copied()),
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

    /// Settles the calls of a feed of rows that waited for the last one.
    fn finish_gathered(&mut self, node: &SelectNode, feed: usize) -> Result<(), QueryError> {
        let calls = node.feeds.get(feed).map_or(&[][..], |feed| feed.calls.as_slice());
        for &index in calls {
            let (Some(plan), Some(call)) = (node.calls.get(index), self.calls.get_mut(index))
            else {
                continue;
            };
            if let CallBase::Gather(gather) = &plan.base
                && let Some(series) = call.gathered.finish(node, plan, gather)
            {
                self.settle(node, index, series)?;
            }
            self.finish_streams(index)?;
        }
        Ok(())
    }

    /// Takes what the transformations of a call have left, and what the next ones make of it.
    fn finish_streams(&mut self, index: usize) -> Result<(), QueryError> {
        let Some(call) = self.calls.get_mut(index) else { return Ok(()) };
        let mut left = None;
        for stream in &mut call.streams {
            let through = left.as_ref().map(|piece| stream.push(piece));
            let Some(last) = stream.finish()? else {
                left = through;
                continue;
            };
            // Only functions that answer nothing before the end have something left then.
            left = Some(last);
        }
        if let Some(piece) = left {
            self.keep(index, piece, Vec::new());
        }
        Ok(())
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
        let times_ns = batch.times_ns.get(from..to).unwrap_or_default().to_vec();
        Some(self.chunk(node, times_ns, &slots))
    }

    /// The windows or points of a merged call: filled, transformed and limited.
    fn settle(
        &mut self,
        node: &SelectNode,
        index: usize,
        mut series: CallSeries,
    ) -> Result<(), QueryError> {
        let Some(plan) = node.calls.get(index).filter(|plan| !plan.silent) else { return Ok(()) };
        if let (Some(fill), Some(window)) = (&plan.fill, &node.window)
            && !series.times_ns.is_empty()
        {
            let windows = ShownWindows {
                window,
                range: extended(node, plan),
                descending: node.descending,
                limit: node.buckets_max,
            };
            series = fill::fill(&series, fill, windows)?;
        }
        self.windows.set(self.windows.bytes() + series.bytes())?;
        if plan.transforms.is_empty() {
            let Some(call) = self.calls.get_mut(index) else { return Ok(()) };
            let (from, to) = call.limiter.take(series.times_ns.len());
            let is_all = (from, to) == (0, series.times_ns.len());
            let shown = if is_all { series } else { series.slice(from, to) };
            call.series = Some(shown).filter(|s| !s.times_ns.is_empty());
        } else {
            let piece = Piece::new(&series.times_ns, &series.values);
            self.push(index, piece, Vec::new());
        }
        Ok(())
    }

    /// Runs the next values of a call through its transformations.
    fn push(&mut self, index: usize, mut piece: Piece, beside: Vec<Option<Column>>) {
        let Some(call) = self.calls.get_mut(index) else { return };
        for stream in &mut call.streams {
            piece = stream.push(&piece);
        }
        self.keep(index, piece, beside);
    }

    /// Adds to what a call has come to.
    fn keep(&mut self, index: usize, piece: Piece, beside: Vec<Option<Column>>) {
        let Some(call) = self.calls.get_mut(index) else { return };
        let (from, to) = call.limiter.take(piece.times_ns.len());
        let values = Column::full(piece.values);
        let next = CallSeries { times_ns: piece.times_ns, values, beside }.slice(from, to);
        if next.times_ns.is_empty() {
            return;
        }
        match &mut call.series {
            Some(series) => {
                series.times_ns.extend(next.times_ns);
                series.values.extend_from(&next.values);
            }
            none => *none = Some(next),
        }
    }

    /// What is left to show when every feed is through.
    fn finish(&mut self, node: &SelectNode) -> Option<SeriesChunk> {
        if node.calls.is_empty() { None } else { self.joined(node) }
    }

    /// Joins what the calls have come to, but for the points of a time of which the next rows may
    /// bring more: equal times are paired in order.
    fn joined_but(&mut self, node: &SelectNode, last_ns: Option<i64>) -> Option<SeriesChunk> {
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

    /// Joins what the calls have come to, and forgets it.
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
            for (&slot, beside) in plan.beside.iter().zip(&series.beside) {
                if let Some(column) = columns.get_mut(1 + slot) {
                    column.clone_from(beside);
                }
            }
            for (column, slot) in columns.iter_mut().skip(1).zip(&node.slots) {
                fill::fill_beside(column, slot, node, times_ns.len());
            }
        }
        Some(self.chunk(node, times_ns, &columns))
    }

    fn chunk(
        &self,
        node: &SelectNode,
        times_ns: Vec<i64>,
        columns: &[Option<Column>],
    ) -> SeriesChunk {
        let rows = times_ns.len();
        let number = node.fill_number.as_ref();
        let outputs = node.outputs.iter().map(|output| {
            match (scalar::evaluate(output, columns).into_column(rows), number, output) {
                (Some(column), ..) => fill::shown(column, number),
                (None, Some(number), Scalar::Column(index)) if node.has_type(*index) => {
                    ResultColumn::Values(Column::full(scalar::repeat(number, rows)))
                }
                // 1.x fills nothing of a name that it does not know.
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

/// The range of a call: the node's, with the window before it where the call wants that.
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
