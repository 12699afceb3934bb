//! Executes the recovery of a database: resets its Database object and all of its shards
//! (`docs/design/recovery.md`).
//!
//! The recovery's row stores the next stage before the requests of this stage are sent. Each alarm
//! executes one step. Every step may be repeated, because no object is reset after the Database has
//! opened.

use super::history_check::HistoryCheck;
use super::point_in_time_reset::PointInTimeReset;
use super::recoveries::Recovery;
use super::{Catalog, CatalogTask, CatalogWork, Failure, Result, Started, Turn};
use crate::model::configurable_limits::Limit;
use crate::model::ids::ObjectId;
use crate::model::limits::{
    CALLS_PER_ROUND_MAX, RECOVERY_AGO_NS_MAX, RECOVERY_AGO_NS_MIN, RECOVERY_SHARDS_MAX,
};
use crate::protocol::call::{Address, Platform};
use crate::protocol::catalog::{CatalogRefusal, FromCatalog};
use crate::protocol::database::{FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::recovery::{RecoveryRefusal, RecoveryRequest, RecoveryStage, RecoveryStatus};
use crate::protocol::round::{Next, Replies, Request};
use crate::protocol::shard::{FromShard, ToShard};
use crate::store::Store;

#[derive(Debug, Default)]
pub(super) struct RecoveryProgress {
    looking: Option<HistoryCheck>,
    going: Option<PointInTimeReset>,
    is_over: bool,
}

impl<S: Store> Catalog<S> {
    /// Rejects a request if a recovery of the database is running. During a recovery, the database
    /// cannot be used or dropped.
    pub(super) fn refuse_recovering(&mut self, name: &str) -> Result<()> {
        let number = self.entries()?.by_name(name).map(|(number, _)| number);
        match number.is_some_and(|number| self.recoveries.is_running(number)) {
            true => Err(Unavailable::Changing.into()),
            false => Ok(()),
        }
    }

    pub(super) fn recovery_of(&mut self, name: &str) -> Result<FromCatalog> {
        let number = self.ready(name)?.0;
        Ok(FromCatalog::Recovery(self.recoveries.get(number).map(Recovery::status)))
    }

    pub(super) fn begin_recovery(
        &mut self,
        platform: &dyn Platform,
        request: RecoveryRequest,
    ) -> Result<Started> {
        let (number, _) = self.ready(&request.name)?;
        if let Some(row) = self.recoveries.get(number).filter(|_| !request.dry_run) {
            if row.asked_ns == request.time_ns {
                return Ok(Started::Reply(FromCatalog::Recovery(Some(row.status()))));
            }
            if row.stage != RecoveryStage::Done {
                return self.abandon(number, row.clone(), request.time_ns, platform.now_ns());
            }
        }
        let ago_ns = platform.now_ns().saturating_sub(request.time_ns);
        if !(RECOVERY_AGO_NS_MIN..=RECOVERY_AGO_NS_MAX).contains(&ago_ns) {
            return Err(refused(RecoveryRefusal::Time));
        }
        Ok(Started::Task(CatalogTask::LookBack(request)))
    }

    /// Handles a request for a different time during a recovery. If that time is the start time of
    /// the recovery, the request undoes the recovery.
    fn abandon(
        &mut self,
        number: u64,
        mut row: Recovery,
        time_ns: i64,
        now_ns: i64,
    ) -> Result<Started> {
        if time_ns != row.begun_ns || !row.abandon(now_ns) {
            return Err(refused(RecoveryRefusal::UnderWay));
        }
        // An event that is executing the recovery would overwrite the row with its state for the
        // other target time.
        if self.is_driven(number) {
            return Err(Unavailable::Changing.into());
        }
        let status = row.status();
        self.recoveries.put(&self.store, number, row)?;
        Ok(Started::Reply(FromCatalog::Recovery(Some(status))))
    }

    fn is_driven(&self, number: u64) -> bool {
        let is_it =
            |work: &CatalogWork| matches!(work.task, CatalogTask::Recover(n) if n == number);
        self.pending_events.works().any(is_it)
    }

    fn ready(&mut self, name: &str) -> Result<(u64, ObjectId)> {
        let entries = self.entries()?;
        let found = entries.by_name(name).map(|(number, _)| number);
        let found = found.filter(|number| entries.may_be_in_use(*number));
        let object = found.and_then(|number| Some((number, entries.get(number)?.object.clone())));
        object.ok_or_else(|| refused(RecoveryRefusal::NoDatabase(name.to_owned())))
    }

    /// Returns the requests that check the next objects. After the last check the function stores
    /// the recovery, and the alarm continues the recovery.
    pub(super) fn look_back(
        &mut self,
        platform: &dyn Platform,
        work: &mut CatalogWork,
        request: &RecoveryRequest,
    ) -> Turn {
        let (number, object) = self.ready(&request.name)?;
        let progress = &work.recovery;
        let Some(looking) = &progress.looking else {
            return Ok(Next::call(Address::Database(object), &ToDatabase::Describe));
        };
        // The event also made one call to load the database.
        let limits = platform.limits();
        if looking.calls() + 1 > limits.calls_before_end() {
            let (shards, limit) = (looking.shards, limits.get(Limit::Calls) as u64);
            return Err(refused(RecoveryRefusal::TooManyCalls { shards, limit }));
        }
        let requests = looking.requests();
        if !requests.is_empty() {
            return Ok(Next::Calls(requests));
        }
        let now_ns = platform.now_ns();
        if request.dry_run {
            let status = RecoveryStatus {
                stage: RecoveryStage::Looked,
                shards: looking.shards,
                ..Recovery::new(0, request.time_ns, now_ns).status()
            };
            return Ok(Next::Reply(FromCatalog::Recovery(Some(status))));
        }
        // Another request may have started a recovery in the meantime.
        let known = self.recoveries.get(number);
        if let Some(known) = known.filter(|known| known.stage != RecoveryStage::Done) {
            return match known.asked_ns == request.time_ns {
                true => Ok(Next::Reply(FromCatalog::Recovery(Some(known.status())))),
                false => Err(refused(RecoveryRefusal::UnderWay)),
            };
        }
        let last = known.map_or(0, |known| known.recovery);
        let recovery = u64::try_from(now_ns).unwrap_or(0).max(last + 1);
        let mut row = Recovery::new(recovery, request.time_ns, now_ns);
        row.shards = looking.shards;
        let status = row.status();
        self.recoveries.put(&self.store, number, row)?;
        Ok(Next::Reply(FromCatalog::Recovery(Some(status))))
    }

    pub(super) fn on_history_reply(
        &mut self,
        work: &mut CatalogWork,
        request: &RecoveryRequest,
        now_ns: i64,
        replies: Replies,
    ) -> Result<()> {
        let (_, object) = self.ready(&request.name)?;
        if let Some(looking) = &mut work.recovery.looking {
            return looking.on_replies(replies)?.map_or(Ok(()), |reason| Err(refused(reason)));
        }
        for reply in replies {
            let description = match envelope::decode_reply(reply).map_err(Unavailable::from)? {
                FromDatabase::Description(description) => description,
                FromDatabase::Unavailable(reason) => return Err(reason.into()),
                _ => return Err(Unavailable::Changing.into()),
            };
            let groups = description.policies.iter().flat_map(|policy| &policy.groups);
            let shards = groups.flat_map(|group| group.shards.iter().cloned());
            let shards: Vec<Address> = shards.map(Address::Shard).collect();
            if shards.len() > RECOVERY_SHARDS_MAX {
                return Err(refused(RecoveryRefusal::TooManyShards(shards.len() as u64)));
            }
            let database = Address::Database(object.clone());
            let check = HistoryCheck::new(database, shards, request.time_ns, now_ns);
            work.recovery.looking = Some(check);
        }
        Ok(())
    }

    /// Continues a recovery in the alarm, unless another event is executing this recovery. If two
    /// events executed a recovery at the same time, one of them could reset an object that the
    /// other event has already opened.
    pub(super) fn retry_recovery(
        &mut self,
        platform: &dyn Platform,
        work: &mut CatalogWork,
        number: u64,
    ) -> Turn {
        let is_driven = self.is_driven(number);
        let Some(mut row) = self.recoveries.get(number).cloned() else {
            return Err(Unavailable::Changing.into());
        };
        row.count_attempt(platform.now_ns());
        let status = row.status();
        self.recoveries.put(&self.store, number, row)?;
        if is_driven {
            return Ok(Next::Reply(FromCatalog::Recovery(Some(status))));
        }
        work.task = CatalogTask::Recover(number);
        self.next_calls(platform, work)
    }

    pub(super) fn recover(&mut self, work: &mut CatalogWork, number: u64, now_ns: i64) -> Turn {
        let entry = self.entries()?.get(number).cloned();
        let (Some(entry), Some(row)) = (entry, self.recoveries.get(number).cloned()) else {
            return Err(Unavailable::Changing.into());
        };
        let database = Address::Database(entry.object);
        if work.recovery.is_over {
            return Ok(Next::Reply(FromCatalog::Recovery(Some(row.status()))));
        }
        Ok(match row.stage {
            RecoveryStage::Looked | RecoveryStage::Done => {
                Next::Reply(FromCatalog::Recovery(Some(row.status())))
            }
            RecoveryStage::Freezing | RecoveryStage::Asking => {
                Next::call(database, &ToDatabase::Freeze { recovery: row.recovery })
            }
            RecoveryStage::Closing => {
                // The new generation is higher than all generations that the shards know.
                let generation = row.counters.generation + 2;
                let close = envelope::encode(&ToShard::Close { generation });
                let shards = row.next(CALLS_PER_ROUND_MAX).into_iter();
                Next::Calls(
                    shards.map(|id| Request::new(Address::Shard(id), close.clone())).collect(),
                )
            }
            RecoveryStage::Database => {
                let new = || PointInTimeReset::new(vec![database]);
                Next::Calls(work.recovery.going.get_or_insert_with(new).requests(row.time_ns))
            }
            RecoveryStage::Shards => {
                let shards = || row.next(CALLS_PER_ROUND_MAX).into_iter().map(Address::Shard);
                let new = || PointInTimeReset::new(shards().collect());
                Next::Calls(work.recovery.going.get_or_insert_with(new).requests(row.time_ns))
            }
            RecoveryStage::Access => match self.creation_page(work, &entry.create.name)? {
                Some(page) => Next::call(database, &page),
                None => {
                    work.recovery.is_over = true;
                    let mut row = row;
                    row.enter(RecoveryStage::Opening, now_ns);
                    let status = row.status();
                    self.recoveries.put(&self.store, number, row)?;
                    Next::Reply(FromCatalog::Recovery(Some(status)))
                }
            },
            RecoveryStage::Opening => {
                Next::call(database, &ToDatabase::Recover(Box::new(row.recovered())))
            }
        })
    }

    /// Processes the replies to the current step. The row stores a failure, so that progress
    /// requests can return it.
    pub(super) fn on_recovery_reply(
        &mut self,
        work: &mut CatalogWork,
        number: u64,
        now_ns: i64,
        replies: Replies,
    ) -> Result<()> {
        self.entries()?;
        let Some(mut row) = self.recoveries.get(number).cloned() else {
            return Err(Unavailable::Changing.into());
        };
        let learnt = on_stage_replies(work, &mut row, now_ns, replies);
        if let Err(reason) = &learnt {
            row.trouble = reason.to_string();
        }
        if learnt.is_err() || work.recovery.is_over {
            self.recoveries.put(&self.store, number, row)?;
        }
        learnt
    }
}

fn on_stage_replies(
    work: &mut CatalogWork,
    row: &mut Recovery,
    now_ns: i64,
    replies: Replies,
) -> Result<()> {
    if let Some(going) = &mut work.recovery.going {
        if !going.on_replies(replies)? {
            return Ok(());
        }
        work.recovery.is_over = true;
        match row.stage {
            RecoveryStage::Database => row.enter(RecoveryStage::Asking, now_ns),
            _ => row.count_finished(going.count(), now_ns),
        }
        return Ok(());
    }
    if row.stage == RecoveryStage::Closing {
        let count = replies.len() as u64;
        for reply in replies {
            match envelope::decode_reply(reply).map_err(Unavailable::from)? {
                FromShard::Done | FromShard::Stale => {}
                FromShard::Unavailable(reason) => return Err(reason.into()),
                _ => return Err(Unavailable::Changing.into()),
            }
        }
        work.recovery.is_over = true;
        row.count_finished(count, now_ns);
        return Ok(());
    }
    for reply in replies {
        match (row.stage, envelope::decode_reply(reply).map_err(Unavailable::from)?) {
            (RecoveryStage::Freezing, FromDatabase::Frozen(frozen)) => {
                row.on_frozen(*frozen, now_ns)
            }
            (RecoveryStage::Asking, FromDatabase::Frozen(frozen)) => {
                row.on_frozen_again(*frozen, now_ns)
            }
            (RecoveryStage::Asking, FromDatabase::NotOpen) if row.time_ns != row.begun_ns => {
                row.on_missing_database(now_ns);
            }
            (RecoveryStage::Access, FromDatabase::Done) => {
                work.creation.answered();
                return Ok(());
            }
            (RecoveryStage::Opening, FromDatabase::Done) => {
                row.enter(RecoveryStage::Done, now_ns);
            }
            (_, FromDatabase::Unavailable(reason)) => return Err(reason.into()),
            _ => return Err(Unavailable::Changing.into()),
        }
        work.recovery.is_over = true;
    }
    Ok(())
}

fn refused(refusal: RecoveryRefusal) -> Failure {
    CatalogRefusal::Recovery(refusal).into()
}
