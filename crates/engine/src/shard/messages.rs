//! Maps each message to the shard's function, and the function's result to a reply.

use super::Shard;
use super::append::AppendReply;
use super::refusal::Refusal;
use super::usage::Counts;
use crate::protocol::envelope::Wire;
use crate::protocol::event::Unavailable;
use crate::protocol::shard::{FromShard, ShardRefusal, Stamp, Stats, ToShard};
use crate::scan::page::ScanPage;
use crate::scan::request::ScanRequest;
use crate::store::Store;
use tidemark_model::bug;
use tidemark_model::regex::Patterns;

/// The work after which an event starts no further scan.
const FURTHER_WORK_MAX: u64 = 1_000_000;
/// The fixed work of a scan, in addition to its series, groups and rows.
const PAGE_WORK: u64 = 2_000;
/// The work of a series or of a group, in addition to its rows. A series takes 1 to 2 µs, and so
/// does a group.
const SERIES_WORK: u64 = 150;

impl<S: Store> Shard<S> {
    /// Executes the operation that a message requests. If a bug was reported, the shard drops its
    /// state in memory.
    pub fn handle(&mut self, message: &ToShard, now_ns: i64) -> FromShard {
        let result = bug::catch(|| self.execute(message, now_ns));
        let result = result.unwrap_or_else(|bug| Err(self.discard_state(bug.into())));
        if let (Err(Refusal::Damaged { block }), Some(loaded)) = (&result, &mut self.loaded) {
            loaded.add_damage(block);
        }
        result.unwrap_or_else(refusal_reply)
    }

    fn execute(&mut self, message: &ToShard, now_ns: i64) -> Result<FromShard, Refusal> {
        match message {
            ToShard::Open(settings) => self.open(settings)?,
            ToShard::Configure(settings) => self.configure(settings)?,
            ToShard::Close { generation } => self.close(*generation)?,
            ToShard::Access { number } => self.revoke_below(*number)?,
            ToShard::Wipe => self.wipe()?,
            ToShard::Fence { split, from_ns } => self.fence(*split, *from_ns)?,
            ToShard::Kill { query } => self.kill(*query),
            ToShard::Delete { stamp, before, deletions } => {
                self.delete(*before, deletions, stamp, now_ns)?;
            }
            ToShard::Weigh => {
                let (bytes, at_ns) = self.measure_for_split(now_ns)?;
                return Ok(FromShard::Weighed { bytes, at_ns });
            }
            ToShard::Append { stamp, frame } => {
                return self.metered(stamp, now_ns, Counts::of_write(stamp), |shard| {
                    let reply = shard.append(frame, stamp, now_ns)?;
                    Ok((shard.append_reply(reply), 0))
                });
            }
            ToShard::Scan { query, .. } | ToShard::Summarise { query, .. }
                if self.is_killed(*query) =>
            {
                return Ok(FromShard::Refused(ShardRefusal::Interrupted));
            }
            ToShard::Scan { stamp, request, further, .. } => {
                let counts = Counts::of_page(!request.resume.is_continuation());
                return self
                    .metered(stamp, now_ns, counts, |shard| shard.scans(stamp, request, further));
            }
            ToShard::Explain { stamp, request } => {
                return self.metered(stamp, now_ns, Counts::of_page(false), |shard| {
                    let page = shard.explain(request, stamp)?;
                    Ok((FromShard::scanned(&page), page.stats.cells))
                });
            }
            ToShard::Summarise { stamp, request, .. } => {
                let counts = Counts::of_page(request.resume.is_none());
                return self.metered(stamp, now_ns, counts, |shard| {
                    let page = shard.summary(request, stamp)?;
                    let cells = page.stats.cells;
                    Ok((FromShard::Summary(page), cells))
                });
            }
            ToShard::Backup(step) => return self.back_up(step, now_ns).map(FromShard::Backup),
            ToShard::Verify { resume } => return self.verify(*resume).map(FromShard::Verified),
            ToShard::Stats => {
                let stats = self.stats()?;
                return Ok(FromShard::Stats(Stats { used: self.usage.used(now_ns), ..stats }));
            }
        }
        Ok(FromShard::Done)
    }

    fn append_reply(&self, reply: AppendReply) -> FromShard {
        let bytes = self.used_bytes(reply.bytes_stored);
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
        let patterns = Patterns::limited();
        let page = self.scan_with(request, stamp, &patterns)?;
        let (mut work, mut cells) = (work_of(&page), page.stats.cells);
        let mut reply = FromShard::scanned(&page);
        for request in further {
            if work > FURTHER_WORK_MAX || reply.body().len() > request.page_bytes / 2 {
                break;
            }
            // The caller repeats this scan in a separate request, and then receives the error. In
            // this event, the earlier scans may have used up the steps of the regexes.
            let Ok(page) = self.scan_with(request, stamp, &patterns) else { break };
            work += work_of(&page);
            cells = cells.saturating_add(page.stats.cells);
            reply.add_page(&page);
        }
        Ok((reply, cells))
    }
}

fn work_of(page: &ScanPage) -> u64 {
    let series_and_groups = page.stats.series.saturating_add(page.groups.len() as u64);
    SERIES_WORK.saturating_mul(series_and_groups).saturating_add(PAGE_WORK + page.stats.work())
}

fn refusal_reply(refusal: Refusal) -> FromShard {
    let unavailable = FromShard::Unavailable;
    FromShard::Refused(match refusal {
        Refusal::Stale => return FromShard::Stale,
        Refusal::OutOfRange => return FromShard::OutOfRange,
        Refusal::Changing => return unavailable(Unavailable::Changing),
        Refusal::Behind { parts } => return unavailable(Unavailable::Behind { parts }),
        Refusal::Full { bytes, limit } => return unavailable(Unavailable::Full { bytes, limit }),
        Refusal::Store(error) => return unavailable(Unavailable::Storage(error.to_string())),
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
