//! Defines the state of an event that executes a split, and selects the event's next request.

use super::job::{Copying, Split};
use super::rows::DatabaseRows;
use super::split_copy;
use crate::model::ids::{MeasurementId, ObjectId};
use crate::model::limits::PIECE_BYTES_MAX;
use crate::model::schema::MeasurementSchema;
use crate::protocol::call::Address;
use crate::protocol::envelope;
use crate::protocol::round::Request;
use crate::protocol::shard::{NO_GRANT, Stamp, ToShard};
use crate::scan::page::SummaryPage;
use crate::scan::request::{Resume, SummaryRequest, SummaryWant};

/// The replies that an event has received for its split.
///
/// Another event may execute the same split. This event therefore interprets a reply according to
/// its own request.
#[derive(Debug, Default)]
pub(super) struct SplitProgress {
    /// The id of the new group; `None` while the event determines the time of the split.
    target: Option<u64>,
    pub(super) answered: usize,
    pub(super) fullest: FullestShard,
    /// The position of the old shard whose measurements were requested.
    pub(super) source: u32,
    live: Option<LiveMeasurements>,
    pub(super) requested: Option<RequestedPage>,
    pub(super) page: Option<PageCopy>,
    pub(super) pages: u32,
}

/// A group's largest shard. The derived order compares the sizes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FullestShard {
    pub(super) bytes: u64,
    /// The time of the split, in nanoseconds; `None` if the shard cannot be divided by time.
    pub(super) split_at_ns: Option<i64>,
}

#[derive(Debug)]
pub(super) struct RequestedPage {
    pub(super) copying: Copying,
    pub(super) measurement: MeasurementSchema,
}

#[derive(Debug)]
pub(super) struct PageCopy {
    pub(super) copied: Copying,
    pub(super) requests: Vec<Request>,
}

#[derive(Debug)]
struct LiveMeasurements {
    shard: u32,
    measurements: Vec<MeasurementId>,
    rest: Option<(u32, Vec<String>)>,
}

impl SplitProgress {
    /// Adds a page of the old shard's measurements. Returns `false` if the page does not advance
    /// the resume key, so that the caller does not repeat the request forever.
    pub(super) fn on_live_measurements(&mut self, page: SummaryPage) -> bool {
        let shard = self.source;
        let known = self.live.take().filter(|live| live.shard == shard);
        let mut live =
            known.unwrap_or(LiveMeasurements { shard, measurements: Vec::new(), rest: None });
        let goes_on = page.resume.is_none() || page.resume > live.rest;
        live.measurements.extend(page.measurements.iter().map(|found| found.measurement));
        live.rest = page.resume;
        self.live = Some(live);
        goes_on
    }

    pub(super) fn is_about(&self, split: &Split) -> bool {
        self.target == split.target().map(|target| target.id)
    }

    /// Resets the state if the state belongs to another step of the split.
    pub(super) fn adopt(&mut self, split: &Split) {
        if !self.is_about(split) {
            *self = Self { target: split.target().map(|target| target.id), ..Self::default() };
        }
    }
}

pub(super) enum SplitRequest {
    Ask(Request),
    NextShard,
    Copied,
}

pub(super) fn next_request(
    rows: &DatabaseRows,
    progress: &mut SplitProgress,
    split: &Split,
    copy: &Copying,
) -> SplitRequest {
    let found = split.find(rows);
    let source =
        found.and_then(|(row, group)| Some((row, group.shards.get(copy.shard as usize)?.clone())));
    let Some((row, source)) = source else { return SplitRequest::Copied };
    let stamp = Stamp {
        policy: row.policy.id,
        generation: rows.state.generation,
        schema_version: row.schema.version(),
        fresh: true,
        access: NO_GRANT,
        meter: None,
    };
    let time = copy.target.range;
    let known = progress.live.as_ref().filter(|live| live.shard == copy.shard);
    let Some(LiveMeasurements { measurements: live, rest: None, .. }) = known else {
        let resume = known.and_then(|live| live.rest.clone());
        progress.source = copy.shard;
        let measurements: Vec<MeasurementId> = row.schema.ids().collect();
        let predicates = vec![None; measurements.len()];
        let ask = SummaryRequest {
            measurements,
            time,
            predicates,
            want: SummaryWant::Measurements,
            kept_from_ns: None,
            resume,
            items_max: None,
            piece_bytes: PIECE_BYTES_MAX,
        };
        return SplitRequest::Ask(request(
            rows,
            source,
            &ToShard::Summarise { query: 0, stamp, request: ask },
        ));
    };
    let next = live.iter().copied().filter(|id| id.0 >= copy.measurement).min();
    let Some((id, measurement)) = next.and_then(|id| Some((id, row.schema.by_id(id)?))) else {
        return SplitRequest::NextShard;
    };
    let is_begun = id.0 == copy.measurement;
    let resume = if is_begun { copy.resume.clone() } else { Resume::default() };
    let copying = Copying { resume: resume.clone(), ..copy.clone() };
    progress.requested = Some(RequestedPage { copying, measurement: measurement.clone() });
    let scan = split_copy::scan(measurement, time, resume);
    SplitRequest::Ask(request(rows, source, &ToShard::scan(stamp, scan)))
}

pub(super) fn request(rows: &DatabaseRows, shard: ObjectId, message: &ToShard) -> Request {
    Request {
        to: Address::Shard(shard),
        location: rows.state.create.location.clone(),
        message: envelope::encode(message),
    }
}
