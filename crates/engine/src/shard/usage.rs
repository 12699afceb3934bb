//! Counts the operations of callers per minute, and rejects operations above their limits.
//!
//! The counters are only in memory, because only an unused object is evicted. Requests contain the
//! caller's limits ([`Meter`]).

use std::collections::BTreeMap;

use super::Shard;
use super::refusal::Refusal;
use crate::protocol::quota::{Meter, RateExceeded, StorageExceeded, Used};
use crate::protocol::shard::{FromShard, Stamp};
use crate::store::Store;
use tidemark_model::limits::QUOTAS_PER_DATABASE_MAX;
use tidemark_model::quota::{QUOTA_WINDOW_NS, Rate, Rates};
use tidemark_model::time::S_NS;

const RETRY_AFTER_S_MAX: u64 = 3_600;

/// The usage in the current minute: in total, and by callers with separate limits.
#[derive(Debug, Default)]
pub(super) struct Usage {
    database: MinuteUsage,
    /// The usage of callers with separate limits, by the callers' ids.
    callers: BTreeMap<u64, MinuteUsage>,
}

/// The amounts of one minute.
#[derive(Clone, Copy, Debug, Default)]
struct MinuteUsage {
    /// The number of minutes since the epoch.
    minute: i64,
    counts: Counts,
}

/// The amounts of the whole group, extrapolated from this shard as if every shard had counted the
/// same amounts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    points: u64,
    request_milli: u64,
    cells: u64,
}

impl Counts {
    pub(super) fn of_write(stamp: &Stamp) -> Self {
        let meter = stamp.meter.unwrap_or_default();
        Self { points: meter.points, request_milli: meter.request_milli, cells: 0 }
    }

    /// Returns the amounts of a page before it is read. A page counts as at least one cell. The
    /// first page also counts as a request, because it is sent to all shards of the group.
    pub(super) fn of_page(is_first: bool) -> Self {
        Self { points: 0, request_milli: if is_first { 1_000 } else { 0 }, cells: 1 }
    }

    /// Returns the amount of `rate`. Requests are counted in thousandths.
    fn of(mut self, rate: Rate) -> u64 {
        *self.of_mut(rate)
    }

    fn of_mut(&mut self, rate: Rate) -> &mut u64 {
        match rate {
            Rate::Points => &mut self.points,
            Rate::Requests => &mut self.request_milli,
            Rate::Cells => &mut self.cells,
        }
    }
}

const fn unit(rate: Rate) -> u64 {
    match rate {
        Rate::Requests => 1_000,
        Rate::Points | Rate::Cells => 1,
    }
}

/// Returns a shard's limit for an amount that each of several shards counts separately. The limit
/// is a seventh higher than `allowed`, because shards have different numbers of series, and the
/// fullest shard is the first to reject. With equal shards, the group accepts a seventh more than
/// the limit. If one shard has 1.5 times its share, the group accepts about a quarter less.
pub(super) fn with_slack(allowed: u64, shards: u32) -> u64 {
    if shards > 1 { allowed.saturating_add(allowed / 7) } else { allowed }
}

/// Returns the limit in counted units, or `None` if the rate is unlimited.
fn limit(rates: &Rates, rate: Rate, shards: u32) -> Option<u64> {
    let allowed = rates.of(rate)?.saturating_mul(unit(rate)).max(1);
    Some(if rate == Rate::Cells { with_slack(allowed, shards) } else { allowed })
}

impl MinuteUsage {
    /// Starts counting for `minute`, unless it has already started. Amounts above the limits of the
    /// earlier minutes are carried over.
    fn start_minute(&mut self, rates: &Rates, shards: u32, minute: i64) {
        let passed = u64::try_from(minute.saturating_sub(self.minute)).unwrap_or(0);
        if passed == 0 {
            return;
        }
        self.minute = minute;
        for rate in Rate::ALL {
            let used = self.counts.of_mut(rate);
            let allowed = limit(rates, rate, shards).unwrap_or(u64::MAX);
            *used = used.saturating_sub(allowed.saturating_mul(passed));
        }
    }

    /// Accepts an operation if the used amount plus half of the operation stays within the limit.
    /// The total therefore differs from the limit by at most half an operation. The first operation
    /// of a minute is always accepted, even if it alone exceeds the limit.
    fn check(
        &self,
        rates: &Rates,
        shards: u32,
        more: &Counts,
        now_ns: i64,
    ) -> Result<(), RateExceeded> {
        for rate in Rate::ALL {
            let Some(limit) = limit(rates, rate, shards) else { continue };
            let used = self.counts.of(rate);
            let wanted = used.saturating_add((more.of(rate) / 2).max(1));
            if more.of(rate) == 0 || used == 0 || wanted <= limit {
                continue;
            }
            let until_ns = QUOTA_WINDOW_NS - now_ns.rem_euclid(QUOTA_WINDOW_NS);
            let until_s = u64::try_from((until_ns + S_NS - 1) / S_NS).unwrap_or(1);
            // Usage above the limit is carried over to the next minutes, so the client must wait
            // longer.
            let minutes = (wanted - limit).div_ceil(limit).saturating_sub(1);
            let window_s = (QUOTA_WINDOW_NS / S_NS).unsigned_abs();
            let retry_after_s = until_s.saturating_add(minutes.saturating_mul(window_s));
            return Err(RateExceeded {
                rate,
                of_caller: false,
                current: used.div_ceil(unit(rate)),
                allowed: rates.of(rate).unwrap_or_default(),
                retry_after_s: retry_after_s.min(RETRY_AFTER_S_MAX) as u32,
            });
        }
        Ok(())
    }

    fn add(&mut self, more: &Counts) {
        for rate in Rate::ALL {
            let used = self.counts.of_mut(rate);
            *used = used.saturating_add(more.of(rate));
        }
    }
}

impl Usage {
    fn check(&mut self, meter: &Meter, more: &Counts, now_ns: i64) -> Result<(), RateExceeded> {
        let minute = now_ns.div_euclid(QUOTA_WINDOW_NS);
        if let Some((id, rates)) = &meter.caller {
            if self.callers.len() >= 2 * QUOTAS_PER_DATABASE_MAX {
                self.callers.retain(|_, usage| usage.minute == minute);
            }
            let usage = self.callers.entry(*id).or_default();
            usage.start_minute(rates, meter.shards, minute);
            let own = |over| RateExceeded { of_caller: true, ..over };
            usage.check(rates, meter.shards, more, now_ns).map_err(own)?;
        }
        self.database.start_minute(&meter.database, meter.shards, minute);
        self.database.check(&meter.database, meter.shards, more, now_ns)
    }

    /// Adds the amounts of an operation. The caller must have called [`Usage::check`].
    fn add(&mut self, meter: &Meter, more: &Counts) {
        if let Some(usage) = meter.caller.and_then(|(id, _)| self.callers.get_mut(&id)) {
            usage.add(more);
        }
        self.database.add(more);
    }

    pub(super) fn used(&self, now_ns: i64) -> Vec<Used> {
        let minute = now_ns.div_euclid(QUOTA_WINDOW_NS);
        let all = std::iter::once((0, &self.database));
        let all = all.chain(self.callers.iter().map(|(id, usage)| (*id, usage)));
        let current = all.filter(|(_, usage)| usage.minute == minute);
        let used = current.map(|(caller, MinuteUsage { counts, .. })| Used {
            caller,
            points: counts.points,
            requests: counts.request_milli.div_ceil(unit(Rate::Requests)),
            cells: counts.cells,
        });
        used.collect()
    }
}

impl<S: Store> Shard<S> {
    /// Counts `more` and the cells of the result, unless the operation is rejected. `act` returns
    /// the reply and its cells.
    pub(super) fn metered(
        &mut self,
        stamp: &Stamp,
        now_ns: i64,
        more: Counts,
        act: impl FnOnce(&mut Self) -> Result<(FromShard, u64), Refusal>,
    ) -> Result<FromShard, Refusal> {
        let Some(meter) = &stamp.meter else { return act(self).map(|(reply, _)| reply) };
        // The limits of a stale sender may be outdated.
        self.check_stamp(stamp)?;
        self.usage.check(meter, &more, now_ns).map_err(Refusal::RateExceeded)?;
        let (reply, cells) = act(self)?;
        let cells = cells.saturating_mul(u64::from(meter.shards.max(1)));
        self.usage.add(meter, &Counts { cells: cells.max(more.cells), ..more });
        Ok(reply)
    }

    pub(super) fn check_storage_quota(&self, stamp: &Stamp, bytes: u64) -> Result<(), Refusal> {
        let Some(meter) = &stamp.meter else { return Ok(()) };
        let Some(allowed) = meter.stored_bytes else { return Ok(()) };
        let current = self.used_bytes(bytes).saturating_mul(u64::from(meter.shards.max(1)));
        if current < with_slack(allowed, meter.shards) {
            return Ok(());
        }
        Err(Refusal::StorageExceeded(StorageExceeded { current, allowed }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_NS: i64 = QUOTA_WINDOW_NS;

    fn meter(points: u64) -> Meter {
        let database = Rates { points: Some(points), ..Rates::default() };
        Meter { database, shards: 1, ..Meter::default() }
    }

    fn points(points: u64) -> Counts {
        Counts { points, ..Counts::default() }
    }

    /// Returns the exceeded limit instead of counting the write.
    fn takes(
        usage: &mut Usage,
        meter: &Meter,
        count: u64,
        now_ns: i64,
    ) -> Result<(), RateExceeded> {
        usage.check(meter, &points(count), now_ns)?;
        usage.add(meter, &points(count));
        Ok(())
    }

    #[test]
    fn rate_limit_resets_each_minute() {
        let (mut usage, meter) = (Usage::default(), meter(100));
        for _ in 0..100 {
            takes(&mut usage, &meter, 1, 15 * S_NS).unwrap();
        }
        let over = takes(&mut usage, &meter, 1, 15 * S_NS).unwrap_err();
        assert_eq!((over.current, over.allowed, over.retry_after_s), (100, 100, 45));
        assert!(!over.of_caller);
        assert_eq!(takes(&mut usage, &meter, 1, MINUTE_NS - 1).unwrap_err().retry_after_s, 1);
        assert_eq!(usage.used(15 * S_NS), [Used { points: 100, ..Used::default() }]);
        takes(&mut usage, &meter, 1, MINUTE_NS).unwrap();
        assert_eq!(usage.used(MINUTE_NS), [Used { points: 1, ..Used::default() }]);
    }

    #[test]
    fn rejected_requests_use_no_quota() {
        let (mut usage, meter) = (Usage::default(), meter(100));
        takes(&mut usage, &meter, 90, 0).unwrap();
        for _ in 0..1_000 {
            takes(&mut usage, &meter, 30, 0).unwrap_err();
        }
        takes(&mut usage, &meter, 10, 0).unwrap();
    }

    #[test]
    fn average_rate_approaches_limit() {
        for batch in [1, 7, 30, 99, 100, 101, 250, 1_000, 12_345] {
            let (mut usage, meter, mut taken) = (Usage::default(), meter(100), 0);
            let minutes = 1_000;
            for second in 0..minutes * 60 {
                while takes(&mut usage, &meter, batch, second * S_NS).is_ok() {
                    taken += batch;
                }
            }
            let allowed = 100 * minutes.unsigned_abs();
            let apart = allowed.abs_diff(taken);
            assert!(apart <= allowed / 4 + batch, "batches of {batch}: {taken} of {allowed}");
        }
    }

    #[test]
    fn retry_after_suggested_delay_succeeds() {
        let (mut usage, meter) = (Usage::default(), meter(100));
        takes(&mut usage, &meter, 1_030, 20 * S_NS).unwrap();
        let over = takes(&mut usage, &meter, 10, 20 * S_NS).unwrap_err();
        let back_ns = (20 + i64::from(over.retry_after_s)) * S_NS;
        takes(&mut usage, &meter, 10, back_ns - S_NS).unwrap_err();
        takes(&mut usage, &meter, 10, back_ns).unwrap();
    }

    #[test]
    fn caller_and_database_limits_both_apply() {
        let rates = |points| Rates { points: Some(points), ..Rates::default() };
        let mut usage = Usage::default();
        let meter = |caller| Meter { database: rates(100), caller, shards: 1, ..Meter::default() };
        let (small, other) = (meter(Some((7, rates(10)))), meter(None));
        takes(&mut usage, &small, 10, 0).unwrap();
        let over = takes(&mut usage, &small, 10, 0).unwrap_err();
        assert!(over.of_caller);
        assert_eq!((over.current, over.allowed), (10, 10));
        takes(&mut usage, &other, 90, 0).unwrap();
        let over = takes(&mut usage, &other, 10, 0).unwrap_err();
        assert!(!over.of_caller);
        assert_eq!((over.current, over.allowed), (100, 100));
        let used = usage.used(0);
        assert_eq!(
            used.iter().map(|used| (used.caller, used.points)).collect::<Vec<_>>(),
            [(0, 100), (7, 10)]
        );
    }

    #[test]
    fn points_and_cells_limits_are_separate() {
        let [points, cells] = [Rate::Points, Rate::Cells].map(|rate| Rates {
            points: (rate == Rate::Points).then_some(1),
            requests: None,
            cells: (rate == Rate::Cells).then_some(1),
        });
        let stamp =
            |database| Meter { database, points: 5, request_milli: 1_000, ..Meter::default() };
        let write = |meter: &Meter| Counts { points: meter.points, request_milli: 1_000, cells: 0 };
        let mut usage = Usage::default();
        let meter = stamp(points);
        usage.add(&meter, &write(&meter));
        usage.check(&meter, &write(&meter), 0).unwrap_err();
        usage.check(&meter, &Counts::of_page(true), 0).unwrap();
        let (mut usage, meter) = (Usage::default(), stamp(cells));
        usage.add(&meter, &Counts { cells: 9, ..Counts::of_page(true) });
        usage.check(&meter, &Counts::of_page(true), 0).unwrap_err();
        usage.check(&meter, &Counts::of_page(false), 0).unwrap_err();
        usage.check(&meter, &write(&meter), 0).unwrap();
    }

    #[test]
    fn uneven_shards_approach_cell_limit() {
        let database = Rates { cells: Some(8_000), ..Rates::default() };
        let meter = Meter { database, shards: 8, ..Meter::default() };
        // The cells that a query decodes on each shard. The sum is 100.
        for of_shard in [[12, 13, 12, 13, 12, 13, 12, 13], [18, 7, 12, 15, 9, 13, 14, 12]] {
            let mut shards = of_shard.map(|cells| (Usage::default(), cells));
            let mut queries = 0;
            let page = Counts::of_page(true);
            while shards.iter_mut().all(|(usage, _)| usage.check(&meter, &page, 0).is_ok()) {
                for (usage, cells) in &mut shards {
                    usage.add(&meter, &Counts { cells: *cells * 8, ..page });
                }
                queries += 1;
            }
            assert!((60..=100).contains(&queries), "{queries} of 80");
        }
    }

    #[test]
    fn shards_count_fractions_of_requests() {
        let database = Rates { requests: Some(10), ..Rates::default() };
        let (mut usage, meter) = (Usage::default(), Meter { database, ..Meter::default() });
        // The limit is ten requests. Each request counts half on this shard, so 20 requests are
        // possible.
        let half = Counts { request_milli: 500, ..Counts::default() };
        let mut taken = 0;
        while usage.check(&meter, &half, 0).is_ok() {
            usage.add(&meter, &half);
            taken += 1;
        }
        assert_eq!(taken, 20);
        assert_eq!(usage.used(0), [Used { requests: 10, ..Used::default() }]);
    }

    #[test]
    fn inactive_callers_use_no_memory() {
        let (mut usage, rates) = (Usage::default(), Rates { points: Some(1), ..Rates::default() });
        for id in 0..10 * QUOTAS_PER_DATABASE_MAX as u64 {
            let meter = Meter { caller: Some((id, rates)), ..Meter::default() };
            let _ = takes(&mut usage, &meter, 1, id as i64 * S_NS);
            assert!(usage.callers.len() <= 2 * QUOTAS_PER_DATABASE_MAX);
        }
    }
}
