//! Sends one frame to each shard that has rows, and processes the shards' replies.

use std::collections::BTreeSet;

use super::group_size::{Growth, Target};
use super::rejections::LineRefusal;
use super::schema_check::Columns;
use super::{Attempt, Write, WriteRequest, rows_by_shard};
use crate::batch::frame::{self, TableRef};
use crate::batch::selection::Selection;
use crate::coordinator::error::{Error, Result};
use crate::coordinator::load_schemas::Loaded;
use crate::model::bug::OrBug;
use crate::model::ids::ObjectId;
use crate::model::shard_map::ShardGroup;
use crate::protocol::call::Address;
use crate::protocol::envelope;
use crate::protocol::quota::{Meter, SeriesExceeded, StorageExceeded};
use crate::protocol::round::Request;
use crate::protocol::shard::{FromShard, ShardRefusal, Stamp, ToShard};

impl Write {
    /// Sends the pending rows to their shards.
    pub(super) async fn append(&mut self, loaded: &Loaded, columns: &[Columns]) -> Result<Attempt> {
        let Some((requests, targets)) = self.frames(loaded, columns) else {
            return Ok(Attempt::Stale);
        };
        if requests.is_empty() {
            // If no shard is called, no reply can report that the permission was revoked.
            let is_uncertain = self.request.principal.caller.is_some() && !loaded.fresh;
            return Ok(if is_uncertain { Attempt::Uncertain } else { Attempt::Complete });
        }
        let replies = self.io.calls(requests).await;
        let mut refused: Vec<Vec<u32>> = vec![Vec::new(); self.request.batch.measurements.len()];
        let mut failure = None;
        for (Target { shard, group, mark_bytes, rows }, reply) in targets.into_iter().zip(replies) {
            let reply = envelope::decode_reply::<FromShard>(reply);
            if let Some(growth) = Growth::seen(loaded, group, mark_bytes, reply.as_ref().ok())
                && self.io.with(|context| {
                    context.cache.should_notify(&shard, context.platform.now_ns())
                })?
            {
                self.growth = Some(growth);
            }
            match reply {
                Ok(FromShard::Appended { over: Some(over), rejected, .. }) => {
                    self.on_partly_appended(&rows, columns, over, &rejected);
                }
                Ok(FromShard::Appended { .. }) => {
                    let batch = &self.request.batch.measurements;
                    let counts = batch.iter().zip(&rows).map(|(m, rows)| rows.len(m.block.rows()));
                    self.outcome.points_written += counts.sum::<usize>() as u64;
                }
                Ok(
                    FromShard::Stale
                    | FromShard::OutOfRange
                    | FromShard::Refused(
                        ShardRefusal::Retired { .. } | ShardRefusal::TypeConflict { .. },
                    ),
                ) => {
                    let batch = &self.request.batch.measurements;
                    for ((batch, rows), refused) in batch.iter().zip(&rows).zip(&mut refused) {
                        refused.extend(rows.to_rows(batch.block.rows()));
                    }
                }
                Ok(FromShard::Refused(ShardRefusal::StorageExceeded(over))) => {
                    self.reject_all(&rows, over);
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
        if refused.iter().all(Vec::is_empty) {
            return Ok(Attempt::Complete);
        }
        self.pending = refused
            .into_iter()
            .zip(&self.request.batch.measurements)
            .map(|(mut rows, batch)| {
                rows.sort();
                rows_by_shard::selection(rows, batch.block.rows())
            })
            .collect();
        Ok(Attempt::Stale)
    }

    /// Returns the requests with the pending rows, and the target of each request. Returns `None`
    /// if a row belongs to no group, because the shard map is stale.
    fn frames(&self, loaded: &Loaded, columns: &[Columns]) -> Option<(Vec<Request>, Vec<Target>)> {
        let (policy, schema) = loaded.policy()?;
        let stamp = Stamp {
            policy: policy.id,
            generation: loaded.description.generation,
            schema_version: schema.version,
            fresh: loaded.fresh,
            access: loaded.standing.access,
            meter: None,
        };
        let batch = &self.request.batch.measurements;
        let split = rows_by_shard::targets(policy, batch, &self.pending)?;
        let points = batch.iter().zip(&self.pending).map(|(m, rows)| rows.len(m.block.rows()));
        let points = points.sum::<usize>() as u64;
        let of_group = |(shard, _): &(ObjectId, _)| {
            let group = policy.groups.iter().find(|group| group.shards.contains(shard))?;
            let requested = split.iter().filter(|(shard, _)| group.shards.contains(shard)).count();
            Some(((group.id, group.split_bytes), meter(loaded, group, requested, points)))
        };
        let groups: Vec<_> = split.iter().map(of_group).collect();
        let (mut requests, mut targets) = (Vec::new(), Vec::new());
        for ((shard, rows), group) in split.into_iter().zip(groups) {
            let ((group, mark_bytes), meter) = group.unwrap_or_default();
            let stamp = Stamp { meter, ..stamp };
            let tables = batch.iter().zip(columns).zip(&rows);
            let tables: Vec<TableRef<'_>> = tables
                .filter(|((batch, _), rows)| !rows.is_empty(batch.block.rows()))
                .filter_map(|((batch, columns), rows)| {
                    let measurement = columns.measurement?;
                    let (tag_ids, field_ids) = (&columns.tag_ids, &columns.field_ids);
                    Some(TableRef { measurement, tag_ids, field_ids, block: &batch.block, rows })
                })
                .collect();
            if tables.is_empty() {
                continue;
            }
            let mut frame = Vec::new();
            frame::encode(&tables, &mut frame);
            let append = ToShard::Append { stamp, frame: Vec::new() };
            let message = envelope::encode_around(&append, frame);
            requests.push(Request::new(Address::Shard(shard.clone()), message));
            targets.push(Target { shard, group, mark_bytes, rows });
        }
        Some((requests, targets))
    }

    fn reject_all(&mut self, rows: &[Selection], over: StorageExceeded) {
        for (batch, rows) in self.request.batch.measurements.iter().zip(rows) {
            for row in rows.to_rows(batch.block.rows()) {
                let line = batch.lines.get(row as usize);
                self.outcome.rejected.add(line, false, || LineRefusal::Stored(over));
            }
        }
    }

    /// Counts `rows` as written, except for the rows of series with these hashes, whose lines are
    /// rejected.
    fn on_partly_appended(
        &mut self,
        rows: &[Selection],
        columns: &[Columns],
        over: SeriesExceeded,
        rejected: &[u8],
    ) {
        let hashes = rejected.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let rejected: BTreeSet<u64> = hashes.collect();
        let batch = self.request.batch.measurements.iter();
        for ((batch, rows), columns) in batch.zip(rows).zip(columns) {
            // The ids of an unknown measurement match no stored series.
            let measurement = columns.measurement.unwrap_or_default();
            let hashes = batch.block.series.hashes(over.seed, measurement, &columns.tag_ids);
            for row in rows.to_rows(batch.block.rows()) {
                let series = batch.block.row_series.get(row as usize).copied().or_bug();
                if hashes.get(series as usize).is_some_and(|hash| rejected.contains(hash)) {
                    let line = batch.lines.get(row as usize);
                    self.outcome.rejected.add(line, false, || LineRefusal::Series(over));
                } else {
                    self.outcome.points_written += 1;
                }
            }
        }
    }
}

/// Each of the `requested` shards counts a share of `points`, so that all requested shards together
/// count the write once.
fn meter(loaded: &Loaded, group: &ShardGroup, requested: usize, points: u64) -> Option<Meter> {
    let meter = loaded.meter(group.shards.len())?;
    let share =
        |count: u64| count.saturating_mul(u64::from(meter.shards)) / requested.max(1) as u64;
    Some(Meter { points: share(points), request_milli: share(1_000), ..meter })
}
