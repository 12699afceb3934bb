//! The scans of a plan: of which shard which page comes next.

use std::collections::VecDeque;

use super::condition;
use crate::admission::QueryRoom;
use crate::coordinator::error::Error;
use crate::coordinator::load_schemas::Loaded;
use crate::coordinator::query::shards_of;
use crate::model::ids::ObjectId;
use crate::model::limits::{PIECE_BYTES_MAX, QUERY_SHARDS_NAMED_MAX, SHARDS_ASKED_AT_ONCE_MAX};
use crate::model::schema::MeasurementSchema;
use crate::model::time::TimeRange;
use crate::protocol::call::Address;
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::round::Request;
use crate::protocol::shard::{FromShard, Stamp, ToShard};
use crate::protocol::sql::{self, Answer, Page, TimeOrder};
use crate::scan::request::{Input, Output, Resume, ScanRequest};

/// Scans in the order in which their turn to be asked comes.
#[derive(Debug, Default)]
pub(super) struct Scans(VecDeque<Scan>);

/// A scan, and how far each of its shards is.
#[derive(Debug)]
struct Scan {
    number: u64,
    /// As each shard gets it first.
    request: ScanRequest,
    shards: Vec<ScannedShard>,
    /// A page is wanted.
    is_wanted: bool,
}

#[derive(Debug)]
struct ScannedShard {
    shard: ObjectId,
    stamp: Stamp,
    /// Which piece comes next; `None` behind the last one.
    next: Option<Resume>,
}

/// A page that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    scan: u64,
    /// Position among the scan's shards.
    shard: usize,
    piece_bytes: u32,
}

impl Scans {
    /// Begins a scan; its only page, if no shard has to be asked.
    ///
    /// # Errors
    /// What it reads is not as it was told.
    pub(super) fn begin(
        &mut self,
        scan: &sql::ScanRequest,
        loaded: &Loaded,
        now_ns: i64,
    ) -> Result<Option<Answer>, Error> {
        let (policy, schema) = loaded.policy().ok_or_else(Error::unexpected_reply)?;
        let table = schema.measurements.get(&scan.table);
        let request = table.and_then(|table| request(scan, table));
        let mut request = request.ok_or_else(Error::unexpected_reply)?;
        request.time =
            request.time.intersect(&TimeRange::new(policy.oldest_kept_ns(now_ns), i64::MAX));
        let shards: Vec<ScannedShard> = match request.time.is_empty() {
            true => Vec::new(),
            false => shards_of(loaded, policy, request.time)
                .into_iter()
                .map(|(shard, stamp)| ScannedShard { shard, stamp, next: Some(Resume::default()) })
                .collect(),
        };
        if shards.is_empty() {
            let page = Page { scan: scan.scan, bytes: Vec::new(), is_last: true };
            return Ok(Some(Answer::Page(page)));
        }
        self.0.push_back(Scan { number: scan.scan, request, shards, is_wanted: true });
        Ok(None)
    }

    /// A further page is wanted.
    ///
    /// # Errors
    /// There is no such scan.
    pub(super) fn want(&mut self, scan: u64) -> Result<(), Error> {
        let scan = self.0.iter_mut().find(|known| known.number == scan);
        scan.ok_or_else(Error::unexpected_reply)?.is_wanted = true;
        Ok(())
    }

    /// Forgets scans of which nothing more is needed.
    pub(super) fn cancel(&mut self, cancelled: &[u64]) {
        self.0.retain(|scan| !cancelled.contains(&scan.number));
    }

    /// Which pages to ask for now, and whether one of them is not a shard's first. Of those scans
    /// that want one as many shards as may be asked at once, who was not asked last first.
    pub(super) fn ask(&mut self, room: &QueryRoom) -> (Vec<Asked>, bool) {
        let (mut asked, mut further) = (Vec::new(), false);
        for _ in 0..self.0.len() {
            let Some(scan) = self.0.pop_front() else { break };
            let open = scan.shards.iter().enumerate().filter(|(_, shard)| shard.next.is_some());
            let room_left = SHARDS_ASKED_AT_ONCE_MAX - asked.len();
            let room_left = if scan.is_wanted { room_left } else { 0 };
            for (shard, state) in open.take(room_left) {
                further |= state.next.as_ref().is_some_and(Resume::goes_on);
                asked.push(Asked { scan: scan.number, shard, piece_bytes: 0 });
            }
            self.0.push_back(scan);
        }
        let piece_bytes = room.piece_bytes(asked.len(), further);
        asked.iter_mut().for_each(|asked| asked.piece_bytes = piece_bytes);
        (asked, further)
    }

    /// The call for a page of the query that is listed as `query`.
    pub(super) fn request(&self, asked: Asked, query: u64) -> Option<Request> {
        let scan = self.0.iter().find(|scan| scan.number == asked.scan)?;
        let ScannedShard { shard, stamp, next } = scan.shards.get(asked.shard)?;
        let resume = next.clone()?;
        let piece_bytes = asked.piece_bytes;
        let request = ScanRequest { resume, piece_bytes, ..scan.request.clone() };
        let message = ToShard::Scan { query, stamp: *stamp, request, further: Vec::new() };
        Some(Request::new(Address::Shard(shard.clone()), envelope::encode(&message)))
    }

    /// Takes in a page as the shard made it: what SQL is told, and how many rows were read for it.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn learn(&mut self, asked: Asked, reply: FromShard) -> Result<(Answer, u64), Error> {
        let FromShard::Scanned { until, position, stats, further, groups } = reply else {
            return Err(Error::unexpected_reply());
        };
        let scan = self.0.iter_mut().find(|scan| scan.number == asked.scan);
        let scan = scan.filter(|_| further.is_empty()).ok_or_else(Error::unexpected_reply)?;
        let shard = scan.shards.get_mut(asked.shard).ok_or_else(Error::unexpected_reply)?;
        let resume = shard.next.take().ok_or_else(Error::unexpected_reply)?;
        shard.next = resume.after(until, position);
        scan.is_wanted = false;
        let is_last = scan.shards.iter().all(|shard| shard.next.is_none());
        let page = Page { scan: asked.scan, bytes: groups, is_last };
        if is_last {
            self.0.retain(|scan| scan.number != asked.scan);
        }
        Ok((Answer::Page(page), stats.rows_scanned))
    }

    /// Goes on with scans that are half read. What was added since does not concern them; of what
    /// was moved or dropped they may have read one half here and one there.
    ///
    /// # Errors
    /// [`Unavailable::Changing`]
    pub(super) fn renew(&mut self, loaded: &Loaded) -> Result<(), Error> {
        let mut shards = self.0.iter_mut().flat_map(|scan| &mut scan.shards);
        match shards.all(|shard| loaded.renew(&mut shard.stamp)) {
            true => Ok(()),
            false => Err(Unavailable::Changing.into()),
        }
    }

    /// Every shard that is asked, once.
    pub(super) fn shards(&self) -> Vec<ObjectId> {
        let mut shards: Vec<ObjectId> = Vec::new();
        for ScannedShard { shard, .. } in self.0.iter().flat_map(|scan| &scan.shards) {
            if shards.len() < QUERY_SHARDS_NAMED_MAX && !shards.contains(shard) {
                shards.push(shard.clone());
            }
        }
        shards
    }
}

/// The same scan for a shard; `None` when a column of it does not exist.
fn request(scan: &sql::ScanRequest, table: &MeasurementSchema) -> Option<ScanRequest> {
    let predicate = match &scan.condition {
        None => None,
        Some(condition) => Some(condition::lower(condition, table)?),
    };
    let field = |name: &String| {
        let (column, field_type) = table.field(name)?;
        Some(Input { column: column.id, field_type, cast: None })
    };
    let fields: Option<_> = scan.fields.iter().map(field).collect();
    let tags: Option<_> = scan.tags.iter().map(|name| Some(table.tag(name)?.id)).collect();
    Some(ScanRequest {
        measurement: table.id,
        time: scan.time,
        predicate,
        group_by: Vec::new(),
        descending: scan.first == Some(TimeOrder::Descending),
        output: Output::Rows {
            fields: fields?,
            tags: tags?,
            limit: scan.rows_max,
            every_row: true,
        },
        resume: Resume::default(),
        piece_bytes: PIECE_BYTES_MAX,
    })
}
