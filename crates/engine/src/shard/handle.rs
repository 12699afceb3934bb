//! Maps messages to calls of the shard, and results to replies.

use super::Shard;
use super::request::{AppendReply, Refusal};
use super::usage::Counts;
use crate::protocol::envelope::Wire;
use crate::protocol::host::Unavailable;
use crate::protocol::shard::{FromShard, ShardRefusal, Stamp, Stats, ToShard};
use crate::scan::request::ScanRequest;
use crate::store::Store;
use tidemark_model::bug;

/// The number of rows read and values decoded after which an event starts no further scan.
const FURTHER_WORK_MAX: u64 = 1_000_000;
/// The fixed work of a scan, in addition to its rows.
const PAGE_WORK: u64 = 2_000;

impl<S: Store> Shard<S> {
    /// Executes the operation that a message requests. If a bug was reported, the shard drops its
    /// state in memory.
    pub fn handle(&mut self, message: &ToShard, now_ns: i64) -> FromShard {
        bug::catch(|| self.execute(message, now_ns))
            .unwrap_or_else(|bug| refused(self.lost(bug.into())))
    }

    fn execute(&mut self, message: &ToShard, now_ns: i64) -> FromShard {
        let answer = match message {
            ToShard::Open(settings) => self.open(settings).map(|()| FromShard::Done),
            ToShard::Configure(settings) => self.configure(settings).map(|()| FromShard::Done),
            ToShard::Close { generation } => self.close(*generation).map(|()| FromShard::Done),
            ToShard::Access { number } => self.revoke_below(*number).map(|()| FromShard::Done),
            ToShard::Wipe => self.wipe().map(|()| FromShard::Done),
            ToShard::Weigh => self
                .measure_for_split(now_ns)
                .map(|(bytes, at_ns)| FromShard::Weighed { bytes, at_ns }),
            ToShard::Fence { split, from_ns } => {
                self.fence(*split, *from_ns).map(|()| FromShard::Done)
            }
            ToShard::Append { stamp, frame } => self
                .metered(
                    stamp,
                    now_ns,
                    Counts::of_write(stamp),
                    |shard| shard.append(frame, stamp, now_ns),
                    |_| 0,
                )
                .map(|reply| self.appended(reply)),
            ToShard::Kill { query } => {
                self.kill(*query);
                Ok(FromShard::Done)
            }
            ToShard::Scan { query, .. } | ToShard::Summarise { query, .. }
                if self.is_killed(*query) =>
            {
                return FromShard::Refused(ShardRefusal::Interrupted);
            }
            ToShard::Scan { stamp, request, further, .. } => self
                .metered(
                    stamp,
                    now_ns,
                    Counts::of_page(!request.resume.is_continuation()),
                    |shard| shard.scans(stamp, request, further),
                    |(_, cells)| *cells,
                )
                .map(|(reply, _)| reply),
            ToShard::Explain { stamp, request } => self
                .metered(
                    stamp,
                    now_ns,
                    Counts::of_page(false),
                    |shard| shard.explain(request, stamp),
                    |page| page.stats.cells,
                )
                .map(|page| FromShard::scanned(&page)),
            ToShard::Summarise { stamp, request, .. } => self
                .metered(
                    stamp,
                    now_ns,
                    Counts::of_page(request.resume.is_none()),
                    |shard| shard.summary(request, stamp),
                    |page| page.stats.cells,
                )
                .map(FromShard::Summary),
            ToShard::Delete { stamp, before, deletions } => {
                self.delete_before(*before, deletions, stamp, now_ns).map(|()| FromShard::Done)
            }
            ToShard::Backup(step) => self.back_up(step, now_ns).map(FromShard::Backup),
            ToShard::Verify { resume } => self.verify(*resume).map(FromShard::Verified),
            ToShard::Stats => self
                .stats()
                .map(|stats| FromShard::Stats(Stats { used: self.usage.used(now_ns), ..stats })),
        };
        answer.unwrap_or_else(refused)
    }
}

impl<S: Store> Shard<S> {
    fn appended(&self, reply: AppendReply) -> FromShard {
        let bytes = self.weight(reply.bytes_stored);
        let (over, rejected) = reply.rejected.unzip();
        let rejected = rejected.into_iter().flatten().flat_map(u64::to_le_bytes).collect();
        FromShard::Appended { bytes, over, rejected }
    }

    /// Executes `request`, and then the `further` scans within the limits of the event and of the
    /// reply. Returns a reply with a page for each executed scan, and the number of decoded values.
    fn scans(
        &mut self,
        stamp: &Stamp,
        request: &ScanRequest,
        further: &[ScanRequest],
    ) -> Result<(FromShard, u64), Refusal> {
        let page = self.scan(request, stamp)?;
        let (mut work, mut cells) = (page.stats.work(), page.stats.cells);
        let mut reply = FromShard::scanned(&page);
        for request in further {
            if work > FURTHER_WORK_MAX || reply.body().len() > request.piece_bytes as usize / 2 {
                break;
            }
            // The caller repeats a failed further scan separately, and then receives the error.
            let Ok(page) = self.scan(request, stamp) else { break };
            work += page.stats.work() + PAGE_WORK;
            cells = cells.saturating_add(page.stats.cells);
            reply.add_page(&page);
        }
        Ok((reply, cells))
    }
}

fn refused(refusal: Refusal) -> FromShard {
    FromShard::Refused(match refusal {
        Refusal::Stale => return FromShard::Stale,
        Refusal::OutOfRange => return FromShard::OutOfRange,
        Refusal::Changing => return FromShard::Unavailable(Unavailable::Changing),
        Refusal::Behind { parts } => {
            return FromShard::Unavailable(Unavailable::Behind { parts });
        }
        Refusal::Full { bytes, limit } => {
            return FromShard::Unavailable(Unavailable::Full { bytes, limit });
        }
        Refusal::Store(error) => {
            return FromShard::Unavailable(Unavailable::Storage(error.to_string()));
        }
        Refusal::TypeConflict { measurement, column } => {
            ShardRefusal::TypeConflict { measurement, column }
        }
        Refusal::RetiredMeasurement { measurement } => ShardRefusal::Retired { measurement },
        Refusal::Malformed(reason) => ShardRefusal::Malformed(reason),
        Refusal::Invalid(reason) => ShardRefusal::Query(reason),
        Refusal::Internal(bug) => ShardRefusal::Query(bug.to_string()),
        Refusal::RateExceeded(over) => ShardRefusal::RateExceeded(over),
        Refusal::StorageExceeded(over) => ShardRefusal::StorageExceeded(over),
        Refusal::Damaged { block } => ShardRefusal::Damaged { block },
    })
}
