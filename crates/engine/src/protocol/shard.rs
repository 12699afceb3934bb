//! The requests to a Shard, and its replies.

use serde::{Deserialize, Serialize};

use super::backup::{FromShardBackup, ShardBackup};
use super::daily_usage::DailyUsage;
use super::envelope::wire;
use super::event::Unavailable;
use super::quota::{Meter, RateExceeded, SeriesExceeded, StorageExceeded, Used};
use super::scan_page::{self, PageError};
use crate::scan::page::{ScanPage, SummaryPage};
use crate::scan::read_stats::ReadStats;
use crate::scan::request::{Deletion, Position, ResultPosition, ScanRequest, SummaryRequest};
use tidemark_model::ids::{ColumnId, MeasurementId, ObjectId, PolicyId};
use tidemark_model::time::TimeRange;

/// A request to a Shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum ToShard {
    /// Opens this object as a shard. An open shard handles this message like `Configure`.
    Open(ShardSettings),
    /// Sends settings. An older or equal generation has no effect.
    Configure(ShardSettings),
    /// Closes the shard, which then rejects every message except `Wipe`.
    Close {
        generation: u64,
    },
    /// Deletes all data and tables. Only the Database sends this message.
    Wipe,
    /// Flushes, and returns the shard's size and a time at which its group could be split.
    Weigh,
    /// Sets a fence on the source shards of a split.
    ///
    /// The shard rejects writes and deletes at or after `from_ns` with [`Unavailable::Changing`].
    /// The fence ends when a message has no `from_ns`, or when the shard's range ends at the fence.
    Fence {
        /// The number of the split. Numbers ascend. Messages about earlier splits have no effect.
        split: u64,
        /// The first rejected time, in nanoseconds.
        from_ns: Option<i64>,
    },
    /// Stores a frame's rows atomically.
    Append {
        stamp: Stamp,
        /// The encoded frame (`batch/frame/FRAME.md`), which is sent as the message body.
        #[serde(skip)]
        frame: Vec<u8>,
    },
    /// Makes the shard reject the query's further pages.
    Kill {
        query: u64,
    },
    /// Requests one page of a scan.
    Scan {
        /// The query's [`Precedence`](super::live_queries::Precedence), or 0 before the query is
        /// listed.
        #[serde(default)]
        query: u64,
        stamp: Stamp,
        request: ScanRequest,
        /// Further scans of the query. The shard also returns the first pages of these scans, in
        /// order, until the event or the page reaches its limit. The caller sends the remaining
        /// scans again.
        #[serde(default)]
        further: Vec<ScanRequest>,
    },
    /// Returns the expected cost of a scan: a page without groups.
    Explain {
        stamp: Stamp,
        request: ScanRequest,
    },
    /// Requests one page of a summary.
    Summarise {
        /// The query's priority, as in `Scan`.
        #[serde(default)]
        query: u64,
        stamp: Stamp,
        request: SummaryRequest,
    },
    /// Permanently hides the matching rows whose write sequence is lower than `before`.
    Delete {
        stamp: Stamp,
        /// The value of [`Stats::next_sequence`] that the sender read after the statement arrived,
        /// so that a delayed message hides no later rows. If a flush or merge has combined rows
        /// below and above this sequence, the shard responds with `Stale`.
        before: u64,
        deletions: Vec<Deletion>,
    },
    /// Verifies checksums in one bounded step.
    Verify {
        /// The field [`VerifyPage::resume`] of the previous page.
        resume: Option<u64>,
    },
    Stats,
    /// Announces a new access number. The shard treats senders with a lower access number as stale.
    Access {
        number: u64,
    },
    /// A step of a backup or of a restore.
    Backup(ShardBackup),
}

/// The sender's view of the database, in a write or query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The policy of the request.
    pub policy: PolicyId,
    /// The sender's generation. A sender with a lower generation than the shard's is stale.
    pub generation: u64,
    /// The sender's schema version. The shard stores the highest version of all `Append` messages
    /// with the frames. A `Scan` or `Summarise` with a lower version is stale.
    pub schema_version: u64,
    /// Whether the sender read the schema after the query arrived, or the shard has already
    /// accepted this schema for a page of the query. A missing column then comes from a later
    /// write, so the query is never stale because of its schema version.
    #[serde(default)]
    pub fresh: bool,
    /// The version of the database's permissions with which the caller was authorised, or
    /// [`NO_GRANT`]. A sender with a lower number than the shard's is stale.
    #[serde(default)]
    pub access: u64,
    /// The cost of the request, if the database or the caller has quotas.
    #[serde(default)]
    pub meter: Option<Meter>,
}

/// The value of [`Stamp::access`] for callers whose permissions cannot be revoked: the
/// administrator and objects.
pub const NO_GRANT: u64 = u64::MAX;

/// The identity of a shard, and the points that it accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardSettings {
    /// The Database that opened the shard.
    pub database: ObjectId,
    /// The policy of the shard.
    pub policy: PolicyId,
    /// The shard group of the shard.
    pub group: u64,
    /// The shard's position in the group.
    pub shard: u32,
    /// The time range. The shard rejects points outside this range.
    pub range: TimeRange,
    /// The retention duration in nanoseconds. 0 keeps points permanently.
    pub duration_ns: i64,
    /// Dropped measurements, whose frames the shard rejects, even from an old generation.
    #[serde(default)]
    pub retired: Vec<MeasurementId>,
    /// The policy's shard group duration, in nanoseconds, which is the minimum time slot of a part.
    pub window_ns: i64,
    /// The generation of these settings.
    pub generation: u64,
    /// The Database's access number, which the shard adopts even from an old generation.
    #[serde(default)]
    pub access: u64,
}

/// A reply of a Shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum FromShard {
    /// Open, Configure, Close, Access, Wipe, Delete, Fence: the request succeeded.
    Done,
    /// The shard stored the frame's rows, except rows of series above the series limit.
    Appended {
        /// The used size of the object's storage, in bytes.
        bytes: u64,
        /// The series limit, if the shard rejected rows.
        #[serde(default)]
        over: Option<SeriesExceeded>,
        /// The distinct hashes of the rejected series, 8 little-endian bytes each (message body).
        #[serde(skip)]
        rejected: Vec<u8>,
    },
    Weighed {
        /// The used size of the object's storage, in bytes.
        bytes: u64,
        /// A time, in nanoseconds, that splits the group: at least half of the bytes are earlier.
        at_ns: Option<i64>,
    },
    Scanned {
        /// The new end of the slice ([`ScanPage::until`]), if it is before the requested end.
        until: Option<ResultPosition>,
        /// The start of the next page, or `None` after the last page.
        position: Option<Position>,
        stats: ReadStats,
        /// The pages of the first further scans.
        #[serde(default)]
        further: Vec<FurtherPage>,
        /// The encoded groups ([`super::scan_page`]) of all pages, as the message body.
        #[serde(skip)]
        groups: Vec<u8>,
    },
    Summary(SummaryPage),
    Verified(VerifyPage),
    Stats(Stats),
    /// The object is not an open shard, or the sender's stamp is outdated or names another policy.
    /// The shard stored no rows. The sender must refresh its view, starting with the Catalog.
    Stale,
    /// Some rows of the frame are outside the shard's time range. The shard stored no rows.
    OutOfRange,
    /// The request is rejected permanently.
    Refused(ShardRefusal),
    /// The request failed temporarily and may be repeated.
    Unavailable(Unavailable),
    Backup(FromShardBackup),
}

/// The counters and sizes of a shard. An eviction resets the counters to the last flush.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The counters since the shard was opened.
    pub counters: Counters,
    /// The size of the object's storage, in bytes.
    pub bytes_stored: u64,
    /// The size of the encoded frames in the log after its head, in bytes.
    pub wal_bytes: u64,
    /// The number of frames in the log after its head.
    pub wal_frames: u64,
    /// The memory used by the memtable and caches, in bytes.
    pub memory_bytes: u64,
    /// The number of stored parts.
    pub parts: u64,
    /// The number of deletes whose rows are still stored.
    #[serde(default)]
    pub tombstones: u64,
    /// The write sequence of the next frame.
    #[serde(default)]
    pub next_sequence: u64,
    /// Descriptions of jobs that failed three times, and of damaged frames and blocks.
    pub troubles: Vec<String>,
    /// The usage of the current minute in all shards of the group, if there is a limit.
    #[serde(default)]
    pub used: Vec<Used>,
    /// The approximate number of series.
    #[serde(default)]
    pub series: u64,
    /// The object's software release ([`super::release`]).
    #[serde(default)]
    pub release: String,
    /// The usage of the last days.
    #[serde(default)]
    pub usage: DailyUsage,
}

/// Counters that only increase. Every flush stores the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The number of accepted points.
    pub points: u64,
    /// The number of accepted frames.
    pub frames: u64,
    /// The number of storage rows billed as written.
    pub rows_written: u64,
    /// The number of storage rows billed as read.
    pub rows_read: u64,
    /// The number of flushes.
    pub flushes: u64,
    /// The number of compactions.
    pub compactions: u64,
    /// The highest write sequence of the frames that these counters include.
    #[serde(default)]
    pub counted: u64,
}

/// The result of one bounded verification step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyPage {
    /// The number of verified blocks.
    pub blocks: u64,
    /// The number of bytes read.
    pub bytes: u64,
    /// Descriptions of damaged blocks, with the same texts as query errors.
    pub damaged: Vec<String>,
    /// The start of the next step, or `None` at the end.
    pub resume: Option<u64>,
}

/// The reason why a shard rejected a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the error texts describe the fields")]
pub enum ShardRefusal {
    /// The frame or the request cannot be decoded.
    #[error("malformed request: {0}")]
    Malformed(String),
    /// The frame contains a dropped measurement.
    #[error("measurement {} was dropped", measurement.0)]
    Retired { measurement: MeasurementId },
    #[error("column {} of measurement {} has another type on this shard", column.0, measurement.0)]
    TypeConflict { measurement: MeasurementId, column: ColumnId },
    /// A block that the query needs is damaged. The shard returns this error and never skips a
    /// damaged block.
    #[error("damaged block: {block}")]
    Damaged { block: String },
    #[error("query interrupted")]
    Interrupted,
    #[error("{0}")]
    Query(String),
    #[error("{0}")]
    RateExceeded(RateExceeded),
    #[error("{0}")]
    StorageExceeded(StorageExceeded),
}

/// The header of a further page in [`FromShard::Scanned`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FurtherPage {
    /// The new end of the slice, as in the reply.
    pub until: Option<ResultPosition>,
    /// The start of the next page, as in the reply.
    pub position: Option<Position>,
    /// The cost of the page.
    pub stats: ReadStats,
    /// The length of the page's encoded groups, in bytes.
    pub bytes: usize,
}

impl ToShard {
    /// Creates the request for one page of a query that is not listed yet.
    pub fn scan(stamp: Stamp, request: ScanRequest) -> Self {
        Self::Scan { query: 0, stamp, request, further: Vec::new() }
    }
}

impl FromShard {
    /// Creates the reply to a frame whose rows were all stored.
    pub fn appended(bytes: u64) -> Self {
        Self::Appended { bytes, over: None, rejected: Vec::new() }
    }

    /// Creates the reply with a page.
    pub fn scanned(page: &ScanPage) -> Self {
        let groups = scan_page::encode(&page.groups);
        let (until, position) = (page.until.clone(), page.position.clone());
        Self::Scanned { until, position, stats: page.stats, further: Vec::new(), groups }
    }

    /// Adds the page of a further scan.
    pub fn add_page(&mut self, page: &ScanPage) {
        if let Self::Scanned { further, groups, .. } = self {
            let encoded = scan_page::encode(&page.groups);
            let (until, position) = (page.until.clone(), page.position.clone());
            further.push(FurtherPage { until, position, stats: page.stats, bytes: encoded.len() });
            groups.extend(encoded);
        }
    }

    /// Returns the page of the scan and the further pages, or `None` if this is another reply.
    pub fn pages(self) -> Result<Option<Vec<ScanPage>>, PageError> {
        let Self::Scanned { until, position, stats, further, groups } = self else {
            return Ok(None);
        };
        let behind = further.iter().fold(0_usize, |sum, page| sum.saturating_add(page.bytes));
        let first = groups.len().checked_sub(behind).ok_or(PageError::Malformed)?;
        let heads = std::iter::once(FurtherPage { until, position, stats, bytes: first });
        let mut rest = groups.as_slice();
        let page = |FurtherPage { until, position, stats, bytes }| {
            let own = rest.split_off(..bytes).ok_or(PageError::Malformed)?;
            Ok(ScanPage { groups: scan_page::decode(own)?, until, position, stats })
        };
        heads.chain(further).map(page).collect::<Result<_, _>>().map(Some)
    }
}

wire!(
    ToShard,
    body in Self::Append { frame: body, .. }
        | Self::Backup(
            ShardBackup::Put { value: body, .. } | ShardBackup::Install { snapshot: body }
        )
);
wire!(
    FromShard,
    body in Self::Scanned { groups: body, .. }
        | Self::Appended { rejected: body, .. }
        | Self::Backup(
            FromShardBackup::Held { snapshot: body, .. } | FromShardBackup::Value { value: body }
        )
);
