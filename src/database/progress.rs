//! What one flight asks and has heard while it drives a split.

use super::copy;
use super::rows::Rows;
use super::split::{Copying, Split};
use crate::model::ids::{MeasurementId, ObjectId};
use crate::protocol::call::Address;
use crate::protocol::envelope;
use crate::protocol::round::Request;
use crate::protocol::shard::{Stamp, ToShard};
use crate::scan::request::{SummaryRequest, SummaryWant};

/// What a flight has heard for the split it drives.
///
/// Another flight may drive the same split: what a reply means is decided by what this one asked.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The new group whose making this is about; `None` while its time is asked for.
    target: Option<u64>,
    /// Messages of the first steps that were answered.
    pub(super) answered: usize,
    /// The fullest shard and where to split it.
    pub(super) heaviest: (u64, Option<i64>),
    /// Position of the old shard that was asked what it has.
    pub(super) source: u32,
    /// That position, and the measurements of which it has rows to copy.
    pub(super) live: Option<(u32, Vec<MeasurementId>)>,
    /// Where the copying was when a page was asked for, and of which measurement.
    pub(super) asked: Option<(Copying, MeasurementId)>,
    /// The copying once the page under way is written, and that page as messages.
    pub(super) page: Option<(Copying, Vec<Request>)>,
    pub(super) pages: u32,
}

impl Progress {
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
pub(super) enum Question {
    Ask(Request),
    NextShard,
    Copied,
}

pub(super) fn next_question(
    rows: &Rows,
    progress: &mut Progress,
    split: &Split,
    copy: &Copying,
) -> Question {
    let found = split.find(rows);
    let source =
        found.and_then(|(row, group)| Some((row, group.shards.get(copy.shard as usize)?.clone())));
    let Some((row, source)) = source else { return Question::Copied };
    let stamp = Stamp {
        policy: row.policy.id,
        generation: rows.state.generation,
        schema_version: row.schema.version(),
    };
    let time = copy.target.range;
    let Some((_, live)) = progress.live.as_ref().filter(|(shard, _)| *shard == copy.shard) else {
        progress.source = copy.shard;
        let measurements: Vec<MeasurementId> = row.schema.ids().collect();
        let predicates = vec![None; measurements.len()];
        let ask = SummaryRequest {
            measurements,
            time,
            predicates,
            want: SummaryWant::Measurements,
            kept_from_ns: None,
            resume: None,
            items_max: None,
        };
        return Question::Ask(request(
            rows,
            source,
            &ToShard::Summarise { query: 0, stamp, request: ask },
        ));
    };
    let next = live.iter().copied().filter(|id| id.0 >= copy.measurement).min();
    let Some((id, measurement)) = next.and_then(|id| Some((id, row.schema.by_id(id)?))) else {
        return Question::NextShard;
    };
    let resume = copy.resume.clone().filter(|_| id.0 == copy.measurement);
    progress.asked = Some((copy.clone(), id));
    let scan = copy::scan(measurement, time, resume);
    Question::Ask(request(rows, source, &ToShard::Scan { query: 0, stamp, request: scan }))
}

pub(super) fn request(rows: &Rows, shard: ObjectId, message: &ToShard) -> Request {
    Request {
        to: Address::Shard(shard),
        location: rows.state.create.location.clone(),
        message: envelope::encode(message),
    }
}
