//! Splits a shard group in two: defines the state of a split, and executes the steps before
//! publication.
//!
//! ```text
//! Weigh ─▶ every shard: its size, and a time T for the split
//! Open ─▶ the new group's shards (with a generation that no edge receives)
//! Fence(T) ─▶ every old shard: writes and deletes at or after T wait
//! per old shard: Summarise, then Scan ─▶ Append page by page; the job's row stores the progress
//! PublishSplit (`push`): Configure ─▶ new and old shards, then the map with both groups
//! ```
//!
//! Until publication, edges know only the old group, which still has all rows. After an old shard
//! has received the new settings, it hides the copied rows until it reclaims their space, and
//! replies `Stale` to senders with the old map. A page of copied rows that arrives at a new shard
//! after publication has an old generation. The new shard rejects it, so that it cannot overwrite
//! newer rows.

use std::collections::BTreeMap;

use super::groups::{policy_settings, settings_messages};
use super::job::{Copying, Job, JobKind, Messages, Split, to_all};
use super::object::{Database, DatabaseTask, Driven, Event, Result};
use super::policies::PolicyRow;
use super::rows::{DatabaseRows, DatabaseState, RowsChange};
use tidemark_engine::batch::Block;
use tidemark_engine::batch::column::Column;
use tidemark_engine::batch::frame::{self, TableRef};
use tidemark_engine::batch::selection::Selection;
use tidemark_engine::batch::series_table::{SeriesTable, TagColumn};
use tidemark_engine::batch::shard_rows::{ShardRows, split_by_shard};
use tidemark_engine::protocol::call::{Address, Platform};
use tidemark_engine::protocol::database::FromDatabase;
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::round::{Replies, Request};
use tidemark_engine::protocol::shard::{FromShard, NO_GRANT, ShardSettings, Stamp, ToShard};
use tidemark_engine::protocol::{envelope, scan_page};
use tidemark_engine::scan::page::{Group, GroupData, SummaryPage};
use tidemark_engine::scan::request::{
    Input, Output, Resume, ScanRequest, SummaryRequest, SummaryWant,
};
use tidemark_engine::store::Store;
use tidemark_model::ids::{ColumnId, MeasurementId, ObjectId};
use tidemark_model::limits::{
    CALLS_PER_ROUND_MAX, JOB_FAILURES_MAX, SHARDS_PER_POLICY_MAX, SPLIT_AHEAD_NS,
    SPLIT_PAGES_PER_EVENT_MAX,
};
use tidemark_model::schema::MeasurementSchema;
use tidemark_model::shard_map::{Policy, ShardGroup};
use tidemark_model::time::TimeRange;

impl Split {
    /// Returns the policy and the published old group.
    pub(super) fn find<'a>(
        &self,
        rows: &'a DatabaseRows,
    ) -> Option<(&'a PolicyRow, &'a ShardGroup)> {
        let row = rows.policies.numbered(self.number)?;
        let group = row.policy.groups.iter().find(|group| group.id == self.group)?;
        Some((row, group))
    }

    /// Returns the policy after the split, and its row key.
    pub(super) fn published(&self, rows: &DatabaseRows) -> Option<(u64, Policy)> {
        let copy = self.copy.as_ref()?;
        let mut policy = self.find(rows)?.0.policy.clone();
        let at = policy.groups.iter().position(|group| group.id == self.group)?;
        let old = policy.groups.get_mut(at)?;
        old.range.end_ns = copy.target.range.start_ns;
        // If the split has copied only a small part of the rows, the old group is split again only
        // after it has grown by a quarter.
        let is_smaller = copy.bytes.saturating_mul(4) > self.bytes;
        old.split_bytes = if is_smaller { 0 } else { self.bytes + self.bytes / 4 };
        policy.groups.insert(at + 1, copy.target.clone());
        Some((self.number, policy))
    }

    /// Returns the policy with `bytes` as the old group's size limit for its next split, and the
    /// policy's row key.
    pub(super) fn marked(&self, rows: &DatabaseRows, bytes: u64) -> Option<(u64, Policy)> {
        let mut policy = self.find(rows)?.0.policy.clone();
        let old = policy.groups.iter_mut().find(|group| group.id == self.group)?;
        old.split_bytes = bytes;
        Some((self.number, policy))
    }

    /// Returns the messages with the new settings to the shards of both groups. The new group comes
    /// first.
    pub(super) fn publication(
        &self,
        rows: &DatabaseRows,
        database: &ObjectId,
        generation: u64,
    ) -> Messages {
        let published = (self.published(rows), self.find(rows), self.target());
        let (Some((_, policy)), Some((row, _)), Some(target)) = published else {
            return Vec::new();
        };
        let common = policy_settings(database, &policy, generation, rows.state.access);
        // The new shards do not know which measurements were dropped during the copying.
        let new = ShardSettings { retired: row.schema.retired(), ..common.clone() };
        let mut messages = settings_messages(&new, [target], ToShard::Configure);
        let old = policy.groups.iter().filter(|group| group.id == self.group);
        messages.extend(settings_messages(&common, old, ToShard::Configure));
        messages
    }

    fn preparations(&self, rows: &DatabaseRows, database: &ObjectId) -> Messages {
        let (Some((row, group)), Some(copy)) = (self.find(rows), &self.copy) else {
            return Vec::new();
        };
        let target = &copy.target;
        let common = policy_settings(database, &row.policy, copy.generation, rows.state.access);
        let mut messages = settings_messages(&common, [target], ToShard::Open);
        let from_ns = Some(target.range.start_ns);
        messages.extend(to_all(&group.shards, &ToShard::Fence { split: target.id, from_ns }));
        messages
    }
}

impl<S: Store> Database<S> {
    /// Adds a job that splits the policy's current group, if new groups get a different number of
    /// shards. The split time is [`SPLIT_AHEAD_NS`] after the current time.
    pub(super) fn split_for_shard_count(
        &self,
        platform: &dyn Platform,
        row: &PolicyRow,
        state: &mut DatabaseState,
        change: &mut RowsChange,
    ) -> Result<()> {
        let at_ns = platform.now_ns().saturating_add(SPLIT_AHEAD_NS);
        let Some(group) = row.policy.group_at(at_ns) else { return Ok(()) };
        let fits = group.shards.len() as u64 == u64::from(state.create.shards);
        if fits || self.job_of(group.id).is_some() || at_ns <= group.range.start_ns {
            return Ok(());
        }
        let range = TimeRange::new(at_ns, group.range.end_ns);
        let target = state.new_group(platform, range, state.create.shards)?;
        let copy = Some(Copying::begin(target, state.generation));
        let split = Split { number: row.number, group: group.id, bytes: 0, copy };
        change.add_job(state, Job::due(JobKind::Split(split), platform.now_ns()));
        Ok(())
    }

    pub(super) fn job_of(&self, group: u64) -> Option<(u64, &Job)> {
        let mut jobs = self.rows.iter().flat_map(|rows| &rows.jobs);
        let found = jobs.find(|(_, job)| match &job.kind {
            JobKind::Split(split)
            | JobKind::PublishSplit { split, .. }
            | JobKind::AbandonSplit { split } => split.group == group,
            _ => false,
        });
        found.map(|(&key, job)| (key, job))
    }

    pub(super) fn drive_split(&mut self, event: &mut Event<'_>, key: u64, split: Split) -> Driven {
        let Some(rows) = &self.rows else { return Ok(None) };
        let Some((_, group)) = split.find(rows) else { return self.end_job(key) };
        if rows.jobs.get(&key).is_some_and(|job| job.failures >= JOB_FAILURES_MAX) {
            // Give up after too many failures: a group that is too large still accepts writes,
            // whereas the fence of an unfinished split rejects them.
            return match split.copy.is_some() {
                true => self.replace_with(event, key, JobKind::AbandonSplit { split }),
                false => self.end_job(key),
            };
        }
        event.work.split.adopt(&split);
        let progress = &mut event.work.split;
        let first = match &split.copy {
            None => group.shards.iter().map(|shard| (shard.clone(), ToShard::Weigh)).collect(),
            Some(_) => split.preparations(rows, &self.object),
        };
        if progress.replied < first.len() {
            let next = first.into_iter().skip(progress.replied).take(CALLS_PER_ROUND_MAX);
            return Ok(Some(next.map(|(shard, message)| rows.request(shard, &message)).collect()));
        }
        if let Some(page) = &mut progress.page {
            return Ok(Some(std::mem::take(&mut page.requests)));
        }
        let Some(copy) = split.copy.clone() else {
            return self.decide(event, key, split);
        };
        self.copy_next(event, key, split, copy)
    }

    /// Returns the next request of the copy: for the measurements of the old shard, or for a page
    /// of rows. Publishes the split after the last shard.
    fn copy_next(
        &mut self,
        event: &mut Event<'_>,
        key: u64,
        split: Split,
        copy: Copying,
    ) -> Driven {
        let Some(rows) = &self.rows else { return Ok(None) };
        let progress = &mut event.work.split;
        let source = split
            .find(rows)
            .and_then(|(row, group)| Some((row, group.shards.get(copy.shard as usize)?.clone())));
        let Some((row, source)) = source else { return self.copied(event, key, split) };
        let stamp = stamp(row, rows.state.generation);
        let time = copy.target.range;
        let known = progress.live.as_ref().filter(|live| live.shard == copy.shard);
        let Some(LiveMeasurements { measurements: live, rest: None, .. }) = known else {
            let resume = known.and_then(|live| live.rest.clone());
            progress.source = copy.shard;
            let measurements: Vec<MeasurementId> = row.schema.ids().collect();
            let all = SummaryRequest::new(measurements, SummaryWant::Measurements);
            let request = SummaryRequest { time, resume, ..all };
            let message = ToShard::Summarise { query: 0, stamp, request };
            return Ok(Some(vec![rows.request(source, &message)]));
        };
        let next = live.iter().copied().filter(|id| id.0 >= copy.measurement).min();
        let Some((id, measurement)) = next.and_then(|id| Some((id, row.schema.by_id(id)?))) else {
            let (shard, measurement, resume) = (copy.shard + 1, 0, Resume::default());
            let copy = Copying { shard, measurement, resume, ..copy };
            self.remember(event.platform.now_ns(), key, split, copy)?;
            return Ok(None);
        };
        let is_begun = id.0 == copy.measurement;
        let resume = if is_begun { copy.resume.clone() } else { Resume::default() };
        let scan = scan(measurement, time, resume.clone());
        let copying = Copying { resume, ..copy };
        progress.requested = Some(RequestedPage { copying, measurement: measurement.clone() });
        Ok(Some(vec![rows.request(source, &ToShard::scan(stamp, scan))]))
    }

    /// Processes the replies to a split's messages. Returns the event's reply when the event has
    /// copied the maximum number of pages.
    pub(super) fn on_split_reply(
        &mut self,
        event: &mut Event<'_>,
        key: u64,
        split: Split,
        replies: Replies,
    ) -> Result<Option<FromDatabase>> {
        if !event.work.split.is_about(&split) {
            return Ok(None);
        }
        let is_page = event.work.split.page.is_some();
        let unexpected = || Unavailable::Unreachable("unexpected reply".to_owned());
        for reply in replies {
            let reply = envelope::decode_reply::<FromShard>(reply).map_err(Unavailable::from)?;
            match reply {
                FromShard::Done => event.work.split.replied += 1,
                FromShard::Weighed { bytes, at_ns } => {
                    event.work.split.replied += 1;
                    let reported = FullestShard { bytes, split_at_ns: at_ns };
                    event.work.split.fullest = event.work.split.fullest.max(reported);
                }
                FromShard::Appended { .. } if is_page => {}
                FromShard::Summary(page) => {
                    if !event.work.split.on_live_measurements(page) {
                        return Err(unexpected().into());
                    }
                }
                FromShard::Scanned { until, position, groups, .. } => {
                    let groups = scan_page::decode(&groups)
                        .map_err(|reason| Unavailable::Unreachable(reason.to_string()))?;
                    let requested = event.work.split.requested.take().ok_or_else(unexpected)?;
                    let next = requested.copying.resume.clone().after(until, position);
                    let page = self.page(&split, requested, next, groups);
                    event.work.split.page = Some(page.ok_or_else(unexpected)?);
                }
                FromShard::Unavailable(reason) => return Err(reason.into()),
                FromShard::Refused(reason) => {
                    return Err(Unavailable::Storage(reason.to_string()).into());
                }
                _ => return Err(unexpected().into()),
            }
        }
        let done = match &event.work.split.page {
            Some(page) => is_page || page.requests.is_empty(),
            None => false,
        };
        if done && let Some(page) = event.work.split.page.take() {
            let page_calls = 1 + split.target().map_or(1, |target| target.shards.len());
            self.remember(event.platform.now_ns(), key, split, page.copied)?;
            event.work.split.pages += 1;
            // Each page needs one scan, and a write to every new shard. The other half of the
            // event's calls is reserved for the steps before and after the copying.
            let most = event.platform.limits().calls_before_end() / 2 / page_calls;
            if event.work.split.pages as usize >= most.min(SPLIT_PAGES_PER_EVENT_MAX as usize) {
                let due = self.rows.as_ref().and_then(|rows| rows.jobs.get(&key)).cloned();
                let due = due.map(|job| (key, Job { due_ns: event.platform.now_ns(), ..job }));
                self.apply(RowsChange {
                    jobs: due.into_iter().collect(),
                    ..RowsChange::default()
                })?;
                return Ok(Some(FromDatabase::Done));
            }
        }
        Ok(None)
    }

    fn page(
        &self,
        split: &Split,
        requested: RequestedPage,
        next: Option<Resume>,
        groups: Vec<tidemark_engine::scan::page::Group>,
    ) -> Option<PageCopy> {
        let RequestedPage { copying: copy, measurement } = requested;
        let id = measurement.id;
        let (row, _) = split.find(self.rows.as_ref()?)?;
        let stamp = stamp(row, copy.generation);
        // The rows of a measurement that was dropped in the meantime are not copied.
        let is_there = row.schema.by_id(id).is_some();
        let frames = is_there.then(|| frames(&measurement, groups, &copy.target));
        let frames = frames.unwrap_or_default();
        let bytes: u64 = frames.iter().map(|(_, frame)| frame.len() as u64).sum();
        let requests = frames.into_iter().map(|(shard, frame)| {
            let message = ToShard::Append { stamp, frame };
            Request::new(Address::Shard(shard), envelope::encode(&message))
        });
        let copied = Copying {
            measurement: if next.is_some() { id.0 } else { id.0 + 1 },
            resume: next.unwrap_or_default(),
            bytes: copy.bytes + bytes,
            ..copy
        };
        Some(PageCopy { copied, requests: requests.collect() })
    }

    fn remember(&mut self, now_ns: i64, key: u64, split: Split, copy: Copying) -> Result<()> {
        let kind = JobKind::Split(Split { copy: Some(copy), ..split });
        let jobs = vec![(key, Job::started(kind, now_ns))];
        Ok(self.apply(RowsChange { jobs, ..RowsChange::default() })?)
    }

    /// Starts the copying after the sizes of all shards are known, or ends the split if a split is
    /// not necessary.
    fn decide(&mut self, event: &Event<'_>, key: u64, split: Split) -> Driven {
        let FullestShard { bytes, split_at_ns } = event.work.split.fullest;
        let mark = self.split_bytes;
        let Some(rows) = &self.rows else { return Ok(None) };
        let Some((row, group)) = split.find(rows) else { return Ok(None) };
        let mut change = RowsChange::default();
        let range = |at_ns| TimeRange::new(at_ns, group.range.end_ns);
        let shards: usize = row.policy.groups.iter().map(|group| group.shards.len()).sum();
        let has_room = shards < SHARDS_PER_POLICY_MAX;
        let is_full = mark > 0 && bytes >= mark.max(group.split_bytes);
        match split_at_ns.map(range).filter(|range| has_room && !range.is_empty()) {
            Some(range) if is_full && group.range.start_ns < range.start_ns => {
                let mut state = rows.state.clone();
                let target = state.new_group(event.platform, range, state.create.shards)?;
                let copy = Some(Copying::begin(target, state.generation));
                let kind = JobKind::Split(Split { bytes, copy, ..split });
                change.jobs.push((key, Job::due(kind, event.platform.now_ns())));
                change.state = Some(state);
            }
            _ => {
                self.checked_bytes.insert(split.group, split.bytes);
                change.removed_jobs.push(key);
                if is_full {
                    change.policy = split.marked(rows, bytes.saturating_mul(2));
                }
            }
        }
        self.apply(change)?;
        Ok(None)
    }

    /// Publishes the split after all rows were copied. An unfinished statement is executed first.
    fn copied(&mut self, event: &mut Event<'_>, key: u64, split: Split) -> Driven {
        if let Some(statement) = self.statement_job() {
            return self.drive(event, statement);
        }
        let Some(rows) = &self.rows else { return Ok(None) };
        self.checked_bytes.remove(&split.group);
        let kind = JobKind::PublishSplit { split, generation: rows.state.generation + 1 };
        self.replace_with(event, key, kind)
    }

    /// Replaces a split with another job. The new job has a new key, so that replies to the split's
    /// messages in another event do not count as replies to the new job's messages.
    fn replace_with(&mut self, event: &mut Event<'_>, key: u64, kind: JobKind) -> Driven {
        let Some(rows) = &self.rows else { return Ok(None) };
        let state = rows.state.clone();
        let next = self.store_job(event.platform.now_ns(), state, kind, vec![key])?;
        event.work.task = DatabaseTask::Job(next);
        Ok(None)
    }

    pub(super) fn end_job(&mut self, key: u64) -> Driven {
        self.apply(RowsChange { removed_jobs: vec![key], ..RowsChange::default() })?;
        Ok(None)
    }
}

/// The replies that an event has received for its split.
///
/// Two events may execute the same split at the same time. Each event interprets a reply according
/// to the request that it sent itself.
#[derive(Default)]
pub(super) struct SplitProgress {
    /// The id of the new group; `None` while the event determines the time of the split.
    target: Option<u64>,
    replied: usize,
    fullest: FullestShard,
    /// The old shard whose measurements were requested: its position in the old group's list of
    /// shards.
    source: u32,
    live: Option<LiveMeasurements>,
    requested: Option<RequestedPage>,
    page: Option<PageCopy>,
    pub(super) pages: u32,
}

/// A group's largest shard. The derived order compares the sizes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct FullestShard {
    bytes: u64,
    /// The time of the split, in nanoseconds; `None` if the shard cannot be divided by time.
    split_at_ns: Option<i64>,
}

struct RequestedPage {
    copying: Copying,
    measurement: MeasurementSchema,
}

struct PageCopy {
    copied: Copying,
    requests: Vec<Request>,
}

struct LiveMeasurements {
    shard: u32,
    measurements: Vec<MeasurementId>,
    rest: Option<(u32, Vec<String>)>,
}

impl SplitProgress {
    /// Adds a page of the old shard's measurements. Returns `false` if the page does not advance
    /// the resume key, so that the caller does not repeat the request forever.
    fn on_live_measurements(&mut self, page: SummaryPage) -> bool {
        let shard = self.source;
        let known = self.live.take().filter(|live| live.shard == shard);
        let mut live =
            known.unwrap_or(LiveMeasurements { shard, measurements: Vec::new(), rest: None });
        let has_advanced = page.resume.is_none() || page.resume > live.rest;
        live.measurements.extend(page.measurements.iter().map(|found| found.measurement));
        live.rest = page.resume;
        self.live = Some(live);
        has_advanced
    }

    fn is_about(&self, split: &Split) -> bool {
        self.target == split.target().map(|target| target.id)
    }

    /// Resets the state if the state belongs to another step of the split.
    fn adopt(&mut self, split: &Split) {
        if !self.is_about(split) {
            *self = Self { target: split.target().map(|target| target.id), ..Self::default() };
        }
    }
}

/// Returns the stamp of a message that the split sends, without a caller.
fn stamp(row: &PolicyRow, generation: u64) -> Stamp {
    Stamp {
        policy: row.policy.id,
        generation,
        schema_version: row.schema.version(),
        fresh: true,
        access: NO_GRANT,
        meter: None,
    }
}

/// Returns the scan of a measurement's rows within `time`. Each series is a group.
fn scan(measurement: &MeasurementSchema, time: TimeRange, resume: Resume) -> ScanRequest {
    let fields = measurement.stored_fields();
    let fields =
        fields.map(|(column, field_type)| Input { column: column.id, field_type, cast: None });
    let fields = fields.collect();
    let output = Output::Rows { fields, tags: Vec::new(), limit: None, every_row: false };
    let group_by = measurement.tags().map(|column| column.id).collect();
    ScanRequest { time, group_by, resume, ..ScanRequest::new(measurement.id, output) }
}

/// Converts the rows of a page of [`scan`] into frames. Each shard of `target` that receives rows
/// has one frame.
fn frames(
    measurement: &MeasurementSchema,
    groups: Vec<Group>,
    target: &ShardGroup,
) -> Vec<(ObjectId, Vec<u8>)> {
    let tag_keys: Vec<&str> = measurement.tags().map(|column| column.key.as_str()).collect();
    let tag_ids: Vec<ColumnId> = measurement.tags().map(|column| column.id).collect();
    let field_ids: Vec<ColumnId> =
        measurement.stored_fields().map(|(column, _)| column.id).collect();
    let block = block(measurement, tag_ids.len(), groups);
    let groups = std::slice::from_ref(target);
    let split = split_by_shard(&measurement.name, &tag_keys, &block, &Selection::All, groups);
    let frame = |ShardRows { shard, rows, .. }: ShardRows| {
        let (tag_ids, field_ids, rows) = (&tag_ids, &field_ids, &rows);
        let table =
            TableRef { measurement: measurement.id, tag_ids, field_ids, block: &block, rows };
        let mut frame = Vec::new();
        frame::encode(&[table], &mut frame);
        Some((target.shards.get(shard)?.clone(), frame))
    };
    split.shards.into_iter().filter_map(frame).collect()
}

/// Returns the rows as one block. In this block, each group is a series.
fn block(measurement: &MeasurementSchema, tags: usize, groups: Vec<Group>) -> Block {
    let mut codes: Vec<BTreeMap<String, u32>> = vec![BTreeMap::new(); tags];
    let mut block = Block {
        series: SeriesTable { tags: vec![TagColumn::default(); tags], len: 0 },
        fields: measurement
            .stored_fields()
            .map(|(_, field_type)| Column::new(field_type))
            .collect(),
        ..Block::default()
    };
    for group in groups {
        let GroupData::Rows { times_ns, fields, .. } = group.data else { continue };
        for ((tag, codes), value) in block.series.tags.iter_mut().zip(&mut codes).zip(group.key) {
            let next = codes.len() as u32 + 1;
            let known = if value.is_empty() { Some(0) } else { codes.get(&value).copied() };
            tag.codes.push(known.unwrap_or(next));
            if known.is_none() {
                tag.dictionary.push(&value);
                codes.insert(value, next);
            }
        }
        block.row_series.extend(times_ns.iter().map(|_| block.series.len));
        block.series.len += 1;
        block.times_ns.extend(times_ns);
        for (column, values) in block.fields.iter_mut().zip(&fields) {
            column.extend_from(values);
        }
    }
    block
}
