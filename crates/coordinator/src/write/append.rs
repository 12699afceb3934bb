//! Groups the rows of a write by shard, sends frames to the shards that have rows, and processes
//! the shards' replies. The replies also show which groups the Database must split.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::rejections::LineRefusal;
use super::schema_check::Columns;
use super::{Attempt, Write, WriteRequest};
use crate::Io;
use crate::error::{Error, Result};
use crate::load_schemas::Loaded;
use tidemark_engine::batch::MeasurementBatch;
use tidemark_engine::batch::frame::{Encoder, FrameRoom, TableRef};
use tidemark_engine::batch::selection::Selection;
use tidemark_engine::batch::shard_rows::{ShardRows, Splitter};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::database::ToDatabase;
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::quota::{Meter, SeriesExceeded, StorageExceeded};
use tidemark_engine::protocol::round::{CallResult, Request};
use tidemark_engine::protocol::shard::{FromShard, ShardRefusal, Stamp, ToShard};
use tidemark_model::bug::OrBug;
use tidemark_model::ids::ObjectId;
use tidemark_model::shard_map::{Policy, ShardGroup};

/// The number of split rows and encoded values after which a write pauses, so that other requests
/// run.
const VALUES_PER_TURN: usize = 100_000;

/// The initial capacity of a frame: enough for a point with ten tags and ten fields.
const FRAME_BYTES: usize = 1 << 10;

/// Pauses after [`VALUES_PER_TURN`] values.
pub(super) struct Pacer<'a> {
    io: &'a Io,
    values: usize,
}

impl<'a> Pacer<'a> {
    pub(super) fn new(io: &'a Io) -> Self {
        Self { io, values: 0 }
    }

    pub(super) async fn count(&mut self, values: usize) {
        self.values += values;
        if self.values >= VALUES_PER_TURN {
            self.values = 0;
            self.io.pause(0).await;
        }
    }
}

impl Write<'_> {
    /// Sends the pending rows to their shards.
    pub(super) async fn append(&mut self, loaded: &Loaded, columns: &[Columns]) -> Result<Attempt> {
        let Some(mut unsent) = self.rows_by_shard(loaded).await else {
            return Ok(Attempt::Stale);
        };
        if unsent.is_empty() {
            // If no shard is called, no reply can report that the permission was revoked.
            let is_uncertain = self.request.principal.identity.is_some() && !loaded.fresh;
            return Ok(if is_uncertain { Attempt::Uncertain } else { Attempt::Complete });
        }
        while !unsent.is_empty() {
            // A shard receives its frames one after another, so that the last of several points with
            // the same series and time wins.
            let (requests, frames) = self.next_frames(columns, &mut unsent).await;
            unsent.retain(|left| !left.rows.is_empty());
            if requests.is_empty() {
                continue;
            }
            let replies = self.io.calls(requests).await;
            let mut stale = self.take_replies(loaded, columns, frames, replies).await?;
            if !stale.is_empty() {
                let batch = &self.request.batch.measurements;
                stale.extend(unsent.into_iter().flat_map(|left| left.into_rows(batch)));
                self.pending = joined(batch, &stale);
                return Ok(Attempt::Stale);
            }
        }
        Ok(Attempt::Complete)
    }

    /// Processes the shards' replies. Returns the rows of the frames that the shards refused because
    /// of stale state.
    async fn take_replies(
        &mut self,
        loaded: &Loaded,
        columns: &[Columns],
        frames: Vec<ShardFrame>,
        replies: Vec<CallResult>,
    ) -> Result<Vec<MeasurementRows>> {
        let (mut stale, mut failure) = (Vec::new(), None);
        for (frame, reply) in frames.into_iter().zip(replies) {
            let reply = envelope::decode_reply::<FromShard>(reply);
            // One report per write is enough: later writes report the other groups.
            self.note_growth(loaded, &frame, reply.as_ref().ok())?;
            if matches!(reply, Ok(FromShard::Appended { .. })) {
                self.metered.insert(frame.shard.clone());
            }
            match reply {
                Ok(FromShard::Appended { over: Some(over), rejected, .. }) => {
                    self.on_partly_appended(&frame.rows, columns, over, &rejected).await;
                }
                Ok(FromShard::Appended { .. }) => {
                    let rows = measurements_of(&self.request.batch.measurements, &frame.rows);
                    let counts = rows.map(|(_, batch, rows)| rows.len(batch.block.rows()));
                    self.outcome.points_written += counts.sum::<usize>() as u64;
                }
                Ok(
                    FromShard::Stale
                    | FromShard::OutOfRange
                    | FromShard::Refused(
                        ShardRefusal::Retired { .. } | ShardRefusal::TypeConflict { .. },
                    ),
                ) => stale.extend(frame.rows),
                Ok(FromShard::Refused(ShardRefusal::StorageExceeded(over))) => {
                    self.reject_all(&frame.rows, over).await;
                }
                Ok(FromShard::Refused(ShardRefusal::RateExceeded(over))) => {
                    let WriteRequest { principal, database, .. } = &self.request;
                    let over = Error::over_rate(over, &principal.name, database);
                    failure = failure.or(Some(over));
                }
                Ok(reply) => failure = failure.or(Some(reply.into())),
                Err(reason) => failure = failure.or(Some(reason.into())),
            }
        }
        // PROTOCOL.md rule 8: if a shard fails, the response has status 503 and lists no line.
        if let Some(error) = failure {
            return Err(error);
        }
        Ok(stale)
    }

    /// Prepares the report about a group that must be split. A later write reports the growth of
    /// the other groups.
    fn note_growth(
        &mut self,
        loaded: &Loaded,
        frame: &ShardFrame,
        reply: Option<&FromShard>,
    ) -> Result<()> {
        if self.growth.is_none()
            && let Some(growth) = growth(loaded, frame, reply)
            && self.io.with(|context| {
                context.cache.should_notify(&frame.shard, context.platform.now_ns())
            })?
        {
            self.growth = Some(growth);
        }
        Ok(())
    }

    /// Distributes the pending rows among the shards. Returns `None` if a row belongs to no group,
    /// because the shard map is stale.
    async fn rows_by_shard(&self, loaded: &Loaded) -> Option<Vec<ShardRowsLeft>> {
        let (policy, _) = loaded.policy()?;
        let batch = &self.request.batch.measurements;
        // Parsing the points has already used up a part of the turn.
        let mut pacer = Pacer { io: self.io, values: self.pending_points() };
        let split = rows_by_shard(policy, batch, &self.pending, &mut pacer).await?;
        let mut requested: BTreeMap<usize, usize> = BTreeMap::new();
        for (group, _) in split.keys() {
            *requested.entry(*group).or_default() += 1;
        }
        let points = self.pending_points() as u64;
        let mut unsent = Vec::new();
        for ((group_at, shard_at), rows) in split {
            let group = policy.groups.get(group_at)?;
            let shard = group.shards.get(shard_at)?.clone();
            let requested = requested.get(&group_at).copied().unwrap_or_default();
            let meter = meter(loaded, group, requested, points);
            let stamp = Stamp { meter, ..loaded.stamp(policy.id) };
            let (group, split_bytes) = (group.id, group.split_bytes);
            unsent.push(ShardRowsLeft {
                shard,
                group,
                split_bytes,
                stamp,
                rows: rows.into(),
                done: 0,
            });
        }
        Some(unsent)
    }

    fn pending_points(&self) -> usize {
        let batch = &self.request.batch.measurements;
        let points = batch.iter().zip(&self.pending).map(|(m, rows)| rows.len(m.block.rows()));
        points.sum()
    }

    /// Removes the rows of the next frame of each shard from `unsent`. Returns the requests with the
    /// frames, and the description of each request's frame.
    async fn next_frames(
        &self,
        columns: &[Columns],
        unsent: &mut [ShardRowsLeft],
    ) -> (Vec<Request>, Vec<ShardFrame>) {
        let batch = &self.request.batch.measurements;
        let mut pacer = Pacer::new(self.io);
        let (mut requests, mut frames) = (Vec::new(), Vec::new());
        for left in unsent {
            let rows = left.next_frame(batch);
            let tables: Vec<TableRef<'_>> = rows
                .iter()
                .filter_map(|(position, rows)| {
                    let (batch, columns) = (batch.get(*position)?, columns.get(*position)?);
                    let measurement = columns.measurement?;
                    let (tag_ids, field_ids) = (&columns.tag_ids, &columns.field_ids);
                    Some(TableRef { measurement, tag_ids, field_ids, block: &batch.block, rows })
                })
                .collect();
            if tables.is_empty() {
                continue;
            }
            let mut frame = Vec::with_capacity(FRAME_BYTES);
            let mut encoder = Encoder::new(&tables, &mut frame);
            while let Some(encoded) = encoder.encode_next() {
                pacer.count(encoded).await;
            }
            encoder.finish();
            let mut stamp = left.stamp;
            // The first stored frame counts all points of the write for the quotas.
            if let Some(meter) = &mut stamp.meter
                && self.metered.contains(&left.shard)
            {
                (meter.points, meter.request_milli) = (0, 0);
            }
            let append = ToShard::Append { stamp, frame: Vec::new() };
            let message = envelope::encode_around(&append, frame);
            requests.push(Request::new(Address::Shard(left.shard.clone()), message));
            let ShardRowsLeft { shard, group, split_bytes, .. } = &*left;
            let (group, split_bytes) = (*group, *split_bytes);
            frames.push(ShardFrame { shard: shard.clone(), group, split_bytes, rows });
        }
        (requests, frames)
    }

    async fn reject_all(&mut self, rows: &[MeasurementRows], over: StorageExceeded) {
        let mut pacer = Pacer::new(self.io);
        for (_, batch, rows) in measurements_of(&self.request.batch.measurements, rows) {
            for at in 0..rows.len(batch.block.rows()) {
                let line = batch.lines.get(rows.get(at) as usize);
                self.outcome.rejected.add(line, || LineRefusal::Stored(over));
                pacer.count(1).await;
            }
        }
    }

    /// Counts `rows` as written, except for rows of the series that the shard rejected because of
    /// the quota of series. Rejects the lines of these rows.
    async fn on_partly_appended(
        &mut self,
        rows: &[MeasurementRows],
        columns: &[Columns],
        over: SeriesExceeded,
        rejected: &[u8],
    ) {
        let hashes = rejected.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let rejected: BTreeSet<u64> = hashes.collect();
        let mut pacer = Pacer::new(self.io);
        for (position, batch, rows) in measurements_of(&self.request.batch.measurements, rows) {
            let Some(columns) = columns.get(position) else { continue };
            // The ids of an unknown measurement match no stored series.
            let measurement = columns.measurement.unwrap_or_default();
            let hashes = batch.block.series.hashes(over.seed, measurement, &columns.tag_ids);
            for at in 0..rows.len(batch.block.rows()) {
                pacer.count(1).await;
                let row = rows.get(at);
                let series = batch.block.row_series.get(row as usize).copied().or_bug();
                if hashes.get(series as usize).is_some_and(|hash| rejected.contains(hash)) {
                    let line = batch.lines.get(row as usize);
                    self.outcome.rejected.add(line, || LineRefusal::Series(over));
                } else {
                    self.outcome.points_written += 1;
                }
            }
        }
    }
}

/// Returns the amounts that each shard counts for the quotas. Each of the `requested` shards counts
/// a share of the write, so that together they count the write once.
fn meter(loaded: &Loaded, group: &ShardGroup, requested: usize, points: u64) -> Option<Meter> {
    let meter = loaded.meter(group.shards.len())?;
    let share =
        |count: u64| count.saturating_mul(u64::from(meter.shards)) / requested.max(1) as u64;
    Some(Meter { points: share(points), request_milli: share(1_000), ..meter })
}

/// The position of a measurement in the batch, and at least one of its rows.
type MeasurementRows = (usize, Selection);

/// Returns the measurements and rows of a frame, with the positions of the measurements.
fn measurements_of<'a>(
    batch: &'a [MeasurementBatch],
    rows: &'a [MeasurementRows],
) -> impl Iterator<Item = (usize, &'a MeasurementBatch, &'a Selection)> {
    rows.iter().filter_map(|(position, rows)| Some((*position, batch.get(*position)?, rows)))
}

/// Returns the rows of several frames: a selection for each measurement of the batch.
fn joined(batch: &[MeasurementBatch], frames: &[MeasurementRows]) -> Vec<Selection> {
    let mut joined: Vec<Vec<u32>> = vec![Vec::new(); batch.len()];
    for (position, measurement, rows) in measurements_of(batch, frames) {
        if let Some(joined) = joined.get_mut(position) {
            joined.extend(rows.to_rows(measurement.block.rows()));
        }
    }
    let selection = |(mut rows, measurement): (Vec<u32>, &MeasurementBatch)| {
        rows.sort();
        Selection::of(rows, measurement.block.rows())
    };
    joined.into_iter().zip(batch).map(selection).collect()
}

/// Distributes the `pending` rows of each measurement among the policy's shards. The keys are the
/// positions of the group and of the shard. Returns `None` if a row belongs to no group, because
/// the shard map is stale.
async fn rows_by_shard(
    policy: &Policy,
    batch: &[MeasurementBatch],
    pending: &[Selection],
    pacer: &mut Pacer<'_>,
) -> Option<BTreeMap<(usize, usize), Vec<MeasurementRows>>> {
    let mut by_shard: BTreeMap<(usize, usize), Vec<MeasurementRows>> = BTreeMap::new();
    for (position, (measurement, rows)) in batch.iter().zip(pending).enumerate() {
        let (keys, block) = (&measurement.tag_keys, &measurement.block);
        let mut splitter = Splitter::new(&measurement.name, keys, block, rows, &policy.groups);
        while let Some(done) = splitter.split_next() {
            pacer.count(done).await;
        }
        let split = splitter.finish();
        if !split.outside.is_empty() {
            return None;
        }
        for ShardRows { group, shard, rows } in split.shards {
            by_shard.entry((group, shard)).or_default().push((position, rows));
        }
    }
    Some(by_shard)
}

/// The rows that a write has not sent to a shard.
struct ShardRowsLeft {
    shard: ObjectId,
    /// The id of the group.
    group: u64,
    /// The size, in bytes, above which the group must be reported.
    split_bytes: u64,
    /// The stamp of the first frame.
    stamp: Stamp,
    rows: VecDeque<MeasurementRows>,
    /// The number of sent rows of the first measurement in `rows`.
    done: usize,
}

impl ShardRowsLeft {
    /// Removes and returns the rows of the next frame.
    fn next_frame(&mut self, batch: &[MeasurementBatch]) -> Vec<MeasurementRows> {
        let (mut room, mut taken) = (FrameRoom::default(), Vec::new());
        while let Some((position, rows)) = self.rows.front_mut() {
            let Some(block) = batch.get(*position).map(|measurement| &measurement.block) else {
                self.rows.pop_front();
                continue;
            };
            let selected = rows.len(block.rows());
            let count = room.take(block, rows, self.done);
            if self.done + count < selected {
                if count > 0 {
                    let part = rows.part(block.rows(), self.done, count);
                    taken.push((*position, Selection::Rows(part)));
                }
                self.done += count;
                break;
            }
            let rest = match self.done {
                0 => std::mem::take(rows),
                done => Selection::Rows(rows.part(block.rows(), done, count)),
            };
            taken.push((*position, rest));
            self.rows.pop_front();
            self.done = 0;
        }
        taken
    }

    fn into_rows(mut self, batch: &[MeasurementBatch]) -> VecDeque<MeasurementRows> {
        if let Some((position, rows)) = self.rows.front_mut().filter(|_| self.done > 0)
            && let Some(measurement) = batch.get(*position)
        {
            let all = measurement.block.rows();
            *rows = Selection::Rows(rows.part(all, self.done, all));
        }
        self.rows
    }
}

/// The frame that a write sends to a shard.
struct ShardFrame {
    shard: ObjectId,
    /// The id of the group.
    group: u64,
    /// The size, in bytes, above which the group must be reported.
    split_bytes: u64,
    rows: Vec<MeasurementRows>,
}

/// Returns the report to the Database about a group that is large enough for a split, or that an
/// unfinished split blocks. Returns `None` if a shard's reply indicates neither.
fn growth(loaded: &Loaded, frame: &ShardFrame, reply: Option<&FromShard>) -> Option<Request> {
    let &ShardFrame { group, split_bytes, .. } = frame;
    // The minimum for all groups; 0 disables splits.
    let min_bytes = loaded.description.split_bytes;
    let bytes = match reply? {
        FromShard::Appended { bytes, .. } => {
            let is_past = min_bytes > 0 && *bytes >= min_bytes.max(split_bytes);
            is_past.then_some(*bytes)?
        }
        // The shard waits for a split that may have stopped. The report makes the Database continue
        // the split.
        FromShard::Unavailable(Unavailable::Changing) => 0,
        // A full shard is always large enough for a split.
        FromShard::Unavailable(Unavailable::Full { bytes, .. }) => *bytes,
        _ => return None,
    };
    let (policy, _) = loaded.policy()?;
    let message = ToDatabase::Grown { policy: policy.id, group, bytes };
    Some(Request::new(Address::Database(loaded.object.clone()), envelope::encode(&message)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_engine::batch::from_lines::from_lines;
    use tidemark_line_protocol::{Options, TimestampUnit};
    use tidemark_model::ids::PolicyId;
    use tidemark_model::time::Precision;

    fn left(rows: &[MeasurementRows]) -> ShardRowsLeft {
        let policy = PolicyId(1);
        let (generation, schema_version, access) = (1, 1, 0);
        let stamp = Stamp { policy, generation, schema_version, fresh: false, access, meter: None };
        let shard = ObjectId("1".repeat(64));
        let rows = rows.to_vec().into();
        ShardRowsLeft { shard, group: 1, split_bytes: 0, stamp, rows, done: 0 }
    }

    #[test]
    fn frames_divide_the_rows_in_order() {
        let line = |row: usize| format!("{} v=1 {row}\n", if row < 300_000 { "a" } else { "b" });
        let body: String = (0..700_000).map(line).collect();
        let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), 0);
        let (batch, _) = from_lines(body.as_bytes(), options, 7).unwrap();
        let batch = batch.measurements;
        let odd: Vec<u32> = (1..300_000).step_by(2).collect();
        let rows = [(0, Selection::Rows(odd)), (1, Selection::All)];
        let list = |frames: &[MeasurementRows]| -> Vec<(usize, u32)> {
            let of = |(at, rows): &MeasurementRows| {
                let rows = rows.to_rows(batch[*at].block.rows());
                rows.into_iter().map(|row| (*at, row)).collect::<Vec<_>>()
            };
            frames.iter().flat_map(of).collect()
        };
        for frames_sent in 0..4 {
            let mut left = left(&rows);
            let mut sent = Vec::new();
            for _ in 0..frames_sent {
                let frame = left.next_frame(&batch);
                assert!(!frame.is_empty() && list(&frame).len() < 200_000);
                sent.extend(frame);
            }
            let rest: Vec<_> = left.into_rows(&batch).into();
            assert!(list(&[sent, rest].concat()) == list(&rows), "{frames_sent} frames");
        }
    }
}
