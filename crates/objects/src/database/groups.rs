//! Creates shard groups, builds the settings of their shards, and maintains groups: checks their
//! size, and drops expired groups.
//!
//! A new group has `create.shards` shards. This number is `DEFAULT_SHARDS`, or the number in the
//! request that created or reconfigured the database.

use super::job::{Job, JobKind, Messages, Split};
use super::object::{Database, Result};
use super::rows::{DatabaseState, RowsChange};
use tidemark_engine::protocol::call::{ObjectKind, PlacementError, Platform};
use tidemark_engine::protocol::database::{DatabaseRefusal, PolicyRefusal, ToDatabase};
use tidemark_engine::protocol::shard::{ShardSettings, ToShard};
use tidemark_engine::store::Store;
use tidemark_model::ids::ObjectId;
use tidemark_model::limits::{SHARDS_PER_GROUP_MAX, SIZE_CHECK_NS};
use tidemark_model::shard_map::{Policy, ShardGroup};
use tidemark_model::time::{MINUTE_NS, TimeRange};

impl DatabaseState {
    /// Creates a group of `shards` new objects for `range`.
    ///
    /// # Errors
    /// [`DatabaseRefusal`] if the number of shards or the jurisdiction is not supported.
    pub(super) fn new_group(
        &mut self,
        platform: &dyn Platform,
        range: TimeRange,
        shards: u32,
    ) -> Result<ShardGroup, DatabaseRefusal> {
        check_count(shards)?;
        let jurisdiction = self.create.jurisdiction.as_deref();
        let fresh = |_| platform.new_object_id(ObjectKind::Shard, jurisdiction);
        let shards: Result<Vec<ObjectId>, PlacementError> = (0..shards).map(fresh).collect();
        let (id, shards) = (self.next_group, shards.map_err(DatabaseRefusal::Placement)?);
        self.next_group += 1;
        Ok(ShardGroup { id, range, shards, split_bytes: 0 })
    }
}

/// Checks the number of shards of a group.
///
/// # Errors
/// [`PolicyRefusal::ShardCount`]
fn check_count(shards: u32) -> Result<(), DatabaseRefusal> {
    if (1..=SHARDS_PER_GROUP_MAX).contains(&shards) {
        return Ok(());
    }
    let refusal = PolicyRefusal::ShardCount { limit: SHARDS_PER_GROUP_MAX, requested: shards };
    Err(DatabaseRefusal::Policy(refusal))
}

/// Returns the settings that all shards of a policy share.
pub(super) fn policy_settings(
    database: &ObjectId,
    policy: &Policy,
    generation: u64,
    access: u64,
) -> ShardSettings {
    ShardSettings {
        database: database.clone(),
        policy: policy.id,
        group: 0,
        shard: 0,
        range: TimeRange::ALL,
        duration_ns: policy.duration_ns,
        retired: Vec::new(),
        window_ns: policy.shard_group_duration_ns,
        generation,
        access,
    }
}

/// Returns a message with settings for every shard of `groups`: the settings `common`, and the
/// settings of the group and shard.
pub(super) fn settings_messages<'a>(
    common: &ShardSettings,
    groups: impl IntoIterator<Item = &'a ShardGroup>,
    message: fn(ShardSettings) -> ToShard,
) -> Messages {
    let mut messages = Vec::new();
    for ShardGroup { id, range, shards, .. } in groups {
        for (shard, object) in (0..).zip(shards) {
            let settings = ShardSettings { group: *id, shard, range: *range, ..common.clone() };
            messages.push((object.clone(), message(settings)));
        }
    }
    messages
}

/// Returns every shard of a policy.
pub(super) fn shards(policy: &Policy) -> impl Iterator<Item = &ObjectId> {
    policy.groups.iter().flat_map(|group| &group.shards)
}

impl<S: Store> Database<S> {
    /// Stores jobs that drop expired groups and that check the size of the other groups. The next
    /// maintenance is due after a day, or when the next group expires.
    pub(super) fn schedule_maintenance(&mut self, platform: &dyn Platform, key: u64) -> Result<()> {
        let now_ns = platform.now_ns();
        let Some(rows) = &self.rows else { return Ok(()) };
        let (mut state, mut change) = (rows.state.clone(), RowsChange::default());
        let mut due_ns = now_ns.saturating_add(SIZE_CHECK_NS);
        for row in &rows.policies.rows {
            let policy = &row.policy;
            let expired = expired(policy, now_ns);
            if expired > 0 && change.jobs.is_empty() && self.may_drop(policy, expired) {
                let generation = rows.state.generation + 1;
                let (number, groups) = (row.number, expired);
                let kind = JobKind::DropGroups { number, groups, generation };
                change.add_job(&mut state, Job::due(kind, now_ns));
            }
            if let [first, _, ..] = policy.groups.as_slice()
                && policy.duration_ns > 0
            {
                let gone_ns = first.range.end_ns.saturating_add(policy.duration_ns);
                due_ns = due_ns.min(gone_ns.max(now_ns.saturating_add(MINUTE_NS)));
            }
        }
        for row in &rows.policies.rows {
            self.split_for_shard_count(platform, row, &mut state, &mut change)?;
            let groups = row.policy.groups.iter().filter(|group| self.job_of(group.id).is_none());
            for group in groups.skip(expired(&row.policy, now_ns)) {
                let is_it = |split: &Split| split.group == group.id;
                let mut jobs = change.jobs.iter().map(|(_, job)| &job.kind);
                if jobs.any(|kind| matches!(kind, JobKind::Split(split) if is_it(split))) {
                    continue;
                }
                let (number, group) = (row.number, group.id);
                let kind = JobKind::Split(Split { number, group, bytes: 0, copy: None });
                change.add_job(&mut state, Job::due(kind, now_ns));
            }
        }
        change.jobs.push((key, Job::due(JobKind::Maintain, due_ns)));
        change.state = Some(state);
        Ok(self.apply(change)?)
    }

    /// Returns whether the groups may be dropped now. The groups must not be dropped while a
    /// statement or a split of these groups is unfinished.
    fn may_drop(&self, policy: &Policy, groups: usize) -> bool {
        let mut first = policy.groups.iter().take(groups + 1);
        self.statement_job().is_none() && first.all(|group| self.job_of(group.id).is_none())
    }

    /// Processes the report of a write: a group has grown, or the fence of an unfinished split has
    /// rejected the write.
    pub(super) fn grown(&mut self, platform: &dyn Platform, message: &ToDatabase) -> Result<()> {
        let &ToDatabase::Grown { policy, group, bytes } = message else { return Ok(()) };
        let mark = self.split_bytes;
        let now_ns = platform.now_ns();
        let Some(rows) = &self.rows else { return Ok(()) };
        let Some(row) = rows.policies.by_id(policy) else { return Ok(()) };
        let Some(known) = row.policy.groups.iter().find(|known| known.id == group) else {
            return Ok(());
        };
        let mut change = RowsChange::default();
        if let Some((key, job)) = self.job_of(group) {
            let mut current = self.pending_events.works().filter_map(|work| work.current_job);
            let is_executed = current.any(|current| current.job == key);
            if is_executed || job.due_ns <= now_ns {
                return Ok(());
            }
            change.jobs.push((key, Job { due_ns: now_ns, ..job.clone() }));
        } else {
            // If the last check did not start a split, the group is checked again only after it has
            // grown by an eighth of the limit.
            let seen =
                self.checked_bytes.get(&group).map_or(0, |seen| seen.saturating_add(mark / 8));
            if mark == 0 || bytes < mark.max(known.split_bytes).max(seen) {
                return Ok(());
            }
            let mut state = rows.state.clone();
            let kind = JobKind::Split(Split { number: row.number, group, bytes, copy: None });
            change.add_job(&mut state, Job::due(kind, now_ns));
            change.state = Some(state);
        }
        Ok(self.apply(change)?)
    }

    /// Sets the number of shards for new groups. Each policy's current group is split soon after
    /// the current time, so that later points use the new number.
    pub(super) fn reshard(&mut self, platform: &dyn Platform, shards: u32) -> Result<()> {
        check_count(shards)?;
        let Some(rows) = &self.rows else { return Ok(()) };
        let (mut state, mut change) = (rows.state.clone(), RowsChange::default());
        state.create.shards = shards;
        for row in &rows.policies.rows {
            self.split_for_shard_count(platform, row, &mut state, &mut change)?;
        }
        change.state = Some(state);
        Ok(self.apply(change)?)
    }
}

/// Returns the number of a policy's first groups whose points have all expired. The policy always
/// keeps at least one group.
fn expired(policy: &Policy, now_ns: i64) -> usize {
    let oldest_ns = policy.oldest_kept_ns(now_ns);
    let ends = policy.groups.iter().map(|group| group.range.end_ns);
    let expired = ends.take_while(|end_ns| *end_ns <= oldest_ns).count();
    expired.min(policy.groups.len().saturating_sub(1))
}
