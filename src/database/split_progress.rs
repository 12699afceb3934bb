//! Remembers what one event has asked and heard while it drives a split, and says what it asks
//! next.

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

/// What a flight has heard for the split it drives.
///
/// Another flight may drive the same split: what a reply means is decided by what this one asked.
#[derive(Debug, Default)]
pub(super) struct SplitProgress {
    /// The new group whose making this is about; `None` while its time is asked for.
    target: Option<u64>,
    /// Messages of the first steps that were answered.
    pub(super) answered: usize,
    /// The fullest of the shards that were weighed.
    pub(super) fullest: FullestShard,
    /// Position of the old shard that was asked what it has.
    pub(super) source: u32,
    /// What it has said so far.
    live: Option<LiveMeasurements>,
    /// The page that was asked for.
    pub(super) asked: Option<AskedPage>,
    /// The page under way.
    pub(super) page: Option<PageCopy>,
    /// Pages that this flight has copied.
    pub(super) pages: u32,
}

/// How full the fullest shard of a group is. The greater of two has more bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FullestShard {
    /// What it stores.
    pub(super) bytes: u64,
    /// The time at which to split it, nanoseconds; `None` when no time divides it.
    pub(super) split_at_ns: Option<i64>,
}

/// A page that an old shard was asked for.
#[derive(Debug)]
pub(super) struct AskedPage {
    /// Where the copying was then.
    pub(super) copying: Copying,
    /// Whose rows are on the page, with the columns that were asked for: it may have more by then.
    pub(super) measurement: MeasurementSchema,
}

/// A page that is on its way to the new shards.
#[derive(Debug)]
pub(super) struct PageCopy {
    /// Where the copying is once the page is written.
    pub(super) copied: Copying,
    /// The page as messages.
    pub(super) requests: Vec<Request>,
}

/// The measurements of which an old shard has rows to copy.
#[derive(Debug)]
struct LiveMeasurements {
    /// Its position.
    shard: u32,
    /// Of the pages so far.
    measurements: Vec<MeasurementId>,
    /// Where the next page starts; `None` once all have come.
    rest: Option<(u32, Vec<String>)>,
}

impl SplitProgress {
    /// Takes a page of what the old shard has. `false` if it does not get any further: such a page
    /// would be asked for again and again.
    pub(super) fn learn_live(&mut self, page: SummaryPage) -> bool {
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

    /// Forgets what was heard for another stage of the split.
    pub(super) fn adopt(&mut self, split: &Split) {
        if !self.is_about(split) {
            *self = Self { target: split.target().map(|target| target.id), ..Self::default() };
        }
    }
}

/// What the copying needs next.
pub(super) enum SplitQuestion {
    Ask(Request),
    NextShard,
    Copied,
}

pub(super) fn next_question(
    rows: &DatabaseRows,
    progress: &mut SplitProgress,
    split: &Split,
    copy: &Copying,
) -> SplitQuestion {
    let found = split.find(rows);
    let source =
        found.and_then(|(row, group)| Some((row, group.shards.get(copy.shard as usize)?.clone())));
    let Some((row, source)) = source else { return SplitQuestion::Copied };
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
        return SplitQuestion::Ask(request(
            rows,
            source,
            &ToShard::Summarise { query: 0, stamp, request: ask },
        ));
    };
    let next = live.iter().copied().filter(|id| id.0 >= copy.measurement).min();
    let Some((id, measurement)) = next.and_then(|id| Some((id, row.schema.by_id(id)?))) else {
        return SplitQuestion::NextShard;
    };
    let is_begun = id.0 == copy.measurement;
    let resume = if is_begun { copy.resume.clone() } else { Resume::default() };
    let copying = Copying { resume: resume.clone(), ..copy.clone() };
    progress.asked = Some(AskedPage { copying, measurement: measurement.clone() });
    let scan = split_copy::scan(measurement, time, resume);
    SplitQuestion::Ask(request(rows, source, &ToShard::scan(stamp, scan)))
}

pub(super) fn request(rows: &DatabaseRows, shard: ObjectId, message: &ToShard) -> Request {
    Request {
        to: Address::Shard(shard),
        location: rows.state.create.location.clone(),
        message: envelope::encode(message),
    }
}
