//! Lists what a Shard can be asked, and what it answers.

use serde::{Deserialize, Serialize};

use super::backup::{FromShardBackup, ShardBackup};
use super::envelope::{Direction, Wire};
use super::host::Unavailable;
use super::quota::{Meter, OverRate, OverSeries, OverStored, Used};
use super::scan_page::{self, PageError};
use crate::model::ids::{ColumnId, MeasurementId, ObjectId, PolicyId};
use crate::model::time::TimeRange;
use crate::scan::page::{ScanPage, SummaryPage};
use crate::scan::reader::ReadStats;
use crate::scan::request::{Deletion, Place, Position, ScanRequest, SummaryRequest};

/// A request to a Shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToShard {
    /// Database only: makes this object a shard; on an open shard the same as `Configure`.
    Open(ShardSettings),
    /// Database only: newer settings. Older or equal generations change nothing.
    Configure(ShardSettings),
    /// Database only: the shard refuses everything but `Wipe` from now on.
    Close {
        /// The generation that closed it.
        generation: u64,
    },
    /// Database only: everything goes, tables included.
    Wipe,
    /// Database only: how full the shard is and where its group could split. Flushes first.
    Weigh,
    /// Database only, of a split's sources: writes and deletes at or after `from_ns` are refused as
    /// [`Unavailable::Changing`] until `None` lifts the fence for good, or the range ends there.
    Fence {
        /// Which split. Splits are numbered upwards: messages about earlier ones change nothing.
        split: u64,
        /// First time that is refused, nanoseconds.
        from_ns: Option<i64>,
    },
    /// Keeps the rows of one frame, all or none.
    Append {
        /// What the sender believes.
        stamp: Stamp,
        /// The encoded frame (`batch/frame/FRAME.md`); travels as the body.
        #[serde(skip)]
        frame: Vec<u8>,
    },
    /// The query's further pages are refused. Kept in memory: it is asked for within seconds.
    Kill {
        /// Which.
        query: u64,
    },
    /// One page of a scan.
    Scan {
        /// The query as pages name it ([`super::live_queries::Precedence`]); 0 while it is not
        /// listed.
        #[serde(default)]
        query: u64,
        /// What the sender believes.
        stamp: Stamp,
        /// What is asked.
        request: ScanRequest,
        /// First pieces of further scans of the query, such as of its other measurements: answered
        /// in this order as far as one event's work and one page go. The others are asked again.
        #[serde(default)]
        further: Vec<ScanRequest>,
    },
    /// What a scan would read: a page without groups.
    Explain {
        /// What the sender believes.
        stamp: Stamp,
        /// What is asked.
        request: ScanRequest,
    },
    /// One page of a summary.
    Summarise {
        /// As in `Scan`.
        #[serde(default)]
        query: u64,
        /// What the sender believes.
        stamp: Stamp,
        /// What is asked.
        request: SummaryRequest,
    },
    /// Hides rows for ever that were written below a write sequence. Sent twice it changes nothing.
    Delete {
        /// What the sender believes.
        stamp: Stamp,
        /// [`Stats::next_sequence`] as the sender was told after the statement came in: what is
        /// written later stays, however late this message arrives. A shard that has flushed or
        /// merged rows on both sides of it answers `Stale`.
        before: u64,
        /// Which rows.
        deletions: Vec<Deletion>,
    },
    /// One bounded step over every checksum.
    Verify {
        /// [`VerifyPage::resume`] of the page before; `None` starts.
        resume: Option<u64>,
    },
    /// Counters and sizes.
    Stats,
    /// Database only: senders whose rights are older than this number of its grants are stale from
    /// now on. A lower one than is known changes nothing.
    Access {
        /// The number.
        number: u64,
    },
    /// A step of a backup or of a restore.
    Backup(ShardBackup),
}

/// What the sender of data or of a question believes about the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The policy that it means.
    pub policy: PolicyId,
    /// The generation it has; below the shard's own it is stale.
    pub generation: u64,
    /// The schema version it has. The shard remembers the highest that an `Append` carried
    /// (durably, with the frame); a `Scan` or `Summarise` below it is stale. An `Append` is not.
    pub schema_version: u64,
    /// The schema came from its owner after the question was asked: what it lacks is of writes that
    /// the answer need not have, and no `Scan` or `Summarise` is stale for it.
    #[serde(default)]
    pub fresh: bool,
    /// The number of the Database's grants under which the caller was let in; below the shard's own
    /// it is stale. [`NO_GRANT`] where that rests on no grant.
    #[serde(default)]
    pub access: u64,
    /// What it counts as, where the database or the caller has limits.
    #[serde(default)]
    pub meter: Option<Meter>,
}

/// [`Stamp::access`] of the administrator and of objects themselves: nothing of it is revoked.
pub const NO_GRANT: u64 = u64::MAX;

/// What a shard is and which points it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardSettings {
    /// The Database that opened it.
    pub database: ObjectId,
    /// The policy that it belongs to.
    pub policy: PolicyId,
    /// The shard group that it belongs to.
    pub group: u64,
    /// Its position in the group.
    pub shard: u32,
    /// Points outside are refused.
    pub range: TimeRange,
    /// How long points are kept, nanoseconds; 0 is for ever.
    pub duration_ns: i64,
    /// Measurements whose frames are refused from now on, beside those that the shard has heard of
    /// before. (DROP MEASUREMENT; ids are never reused.) Taken also from settings that change
    /// nothing else.
    #[serde(default)]
    pub retired: Vec<MeasurementId>,
    /// The policy's shard group duration, nanoseconds: parts are cut by slots of time of at least
    /// this width. It decides how much a merge rewrites, never what an answer is.
    pub window_ns: i64,
    /// The generation of these settings.
    pub generation: u64,
    /// The number of the Database's grants. Taken also from settings that change nothing else.
    #[serde(default)]
    pub access: u64,
}

/// A reply of a Shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromShard {
    /// Open, Configure, Close, Access, Wipe, Delete, Fence: it is so.
    Done,
    /// The frame's rows are kept, but for those of series that are too many.
    Appended {
        /// Bytes of storage that the object uses, without what is about to be reclaimed.
        bytes: u64,
        /// Why some are not.
        #[serde(default)]
        over: Option<OverSeries>,
        /// The hashes of their series, each once, 8 bytes little-endian; travel as the body.
        #[serde(skip)]
        rejected: Vec<u8>,
    },
    /// What `Weigh` asked for.
    Weighed {
        /// Bytes of storage in use, without what is about to be reclaimed.
        bytes: u64,
        /// Where to split, nanoseconds: at most half of what is stored lies at or after it, and for
        /// live data nothing does. `None` when no time divides the shard.
        at_ns: Option<i64>,
    },
    /// A page of a scan.
    Scanned {
        /// Where the slice ends from now on, if that is before where the request says.
        until: Option<Place>,
        /// Where its next piece starts; `None` when this was the last.
        position: Option<Position>,
        /// What this page cost.
        stats: ReadStats,
        /// The pages of the first so many further scans.
        #[serde(default)]
        further: Vec<FurtherPage>,
        /// The encoded groups ([`super::scan_page`]) of the page, then of each further one; travel
        /// as the body.
        #[serde(skip)]
        groups: Vec<u8>,
    },
    /// A page of a summary.
    Summary(SummaryPage),
    /// A step of verification.
    Verified(VerifyPage),
    /// Counters and sizes.
    Stats(Stats),
    /// The object is no open shard (never opened, closed or wiped), or the sender's stamp is older
    /// than what it knows or names another policy: refresh, from the Catalog on. Nothing was kept.
    Stale,
    /// Rows of the frame lie outside the shard's range; nothing was kept.
    OutOfRange,
    /// The request cannot be granted as it is.
    Refused(ShardRefusal),
    /// The request may be repeated.
    Unavailable(Unavailable),
    /// A step of a backup or of a restore.
    Backup(FromShardBackup),
}

/// Counters and sizes of a shard. All but the sizes survive eviction up to the last flush.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// What bills and what happened, since the shard was opened.
    pub counters: Counters,
    /// Bytes of storage.
    pub bytes_stored: u64,
    /// Encoded bytes in the WAL above the head.
    pub wal_bytes: u64,
    /// Frames in the WAL above the head.
    pub wal_frames: u64,
    /// Memory held by memtable and caches, bytes.
    pub memory_bytes: u64,
    /// Sorted parts at rest.
    pub parts: u64,
    /// Deletes whose rows are still stored.
    #[serde(default)]
    pub tombstones: u64,
    /// The write sequence that the next frame gets.
    #[serde(default)]
    pub next_sequence: u64,
    /// Jobs that failed three times, and frames and blocks found damaged, in words.
    pub troubles: Vec<String>,
    /// What was counted in this minute, for all shards of the group, where somebody has a limit.
    #[serde(default)]
    pub used: Vec<Used>,
    /// About how many series there are.
    #[serde(default)]
    pub series: u64,
    /// What the object runs, as [`super::release`] names it.
    #[serde(default)]
    pub release: String,
}

/// Monotone counters, saved by every flush.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Rows of points accepted.
    pub points: u64,
    /// Frames accepted.
    pub frames: u64,
    /// Storage rows billed as written.
    pub rows_written: u64,
    /// Storage rows billed as read.
    pub rows_read: u64,
    /// Flushes.
    pub flushes: u64,
    /// Compactions.
    pub compactions: u64,
    /// The write sequence up to which frames are counted here.
    #[serde(default)]
    pub counted: u64,
}

/// One bounded step of verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyPage {
    /// Blocks whose checksum was computed.
    pub blocks: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is damaged, in the words that queries use.
    pub damaged: Vec<String>,
    /// Where to go on; `None` at the end.
    pub resume: Option<u64>,
}

/// Why a shard refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ShardRefusal {
    /// The frame or the request cannot be decoded.
    #[error("malformed request: {0}")]
    Malformed(String),
    /// The frame names a measurement that was dropped.
    #[error("measurement {} was dropped", measurement.0)]
    Retired {
        /// Which.
        measurement: MeasurementId,
    },
    /// A column's type differs from the shard's own record.
    #[error("column {} of measurement {} has another type on this shard", column.0, measurement.0)]
    TypeConflict {
        /// Of which measurement.
        measurement: MeasurementId,
        /// Which column.
        column: ColumnId,
    },
    /// A block that the query needs is damaged. It is named and never skipped.
    #[error("damaged block: {block}")]
    Damaged {
        /// Which.
        block: String,
    },
    /// KILL QUERY.
    #[error("query interrupted")]
    Interrupted,
    /// The query itself cannot be evaluated.
    #[error("{0}")]
    Query(String),
    /// The database or the caller has done in this minute what it may.
    #[error("{0}")]
    OverRate(OverRate),
    /// The database has stored what it may.
    #[error("{0}")]
    OverStored(OverStored),
}

/// The head of a further page of [`FromShard::Scanned`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FurtherPage {
    /// As in the reply.
    pub until: Option<Place>,
    /// As in the reply.
    pub position: Option<Position>,
    /// What it cost.
    pub stats: ReadStats,
    /// Length of its encoded groups.
    pub bytes: usize,
}

impl ToShard {
    /// One page of one scan, of a query that is not listed yet.
    pub fn scan(stamp: Stamp, request: ScanRequest) -> Self {
        Self::Scan { query: 0, stamp, request, further: Vec::new() }
    }
}

impl FromShard {
    /// All of a frame is kept.
    pub fn appended(bytes: u64) -> Self {
        Self::Appended { bytes, over: None, rejected: Vec::new() }
    }

    /// A page as its message.
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

    /// The pages, that of the scan itself first; `None` if it has none.
    ///
    /// # Errors
    /// [`PageError`]
    pub fn pages(self) -> Result<Option<Vec<ScanPage>>, PageError> {
        let Self::Scanned { until, position, stats, further, groups } = self else {
            return Ok(None);
        };
        let behind = further.iter().fold(0_usize, |sum, page| sum.saturating_add(page.bytes));
        let first = groups.len().checked_sub(behind).ok_or(PageError::Malformed)?;
        let heads = std::iter::once(FurtherPage { until, position, stats, bytes: first });
        let mut rest = groups.as_slice();
        let page = |FurtherPage { until, position, stats, bytes }| {
            let (own, behind) = rest.split_at_checked(bytes).ok_or(PageError::Malformed)?;
            rest = behind;
            Ok(ScanPage { groups: scan_page::decode(own)?, until, position, stats })
        };
        heads.chain(further).map(page).collect::<Result<_, _>>().map(Some)
    }
}

impl Wire for ToShard {
    const DIRECTION: Direction = Direction::ToShard;

    fn body(&self) -> &[u8] {
        match self {
            Self::Append { frame, .. } => frame,
            Self::Backup(step) => step.body(),
            _ => &[],
        }
    }

    fn set_body(&mut self, body: &[u8]) {
        match self {
            Self::Append { frame, .. } => *frame = body.to_vec(),
            Self::Backup(step) => step.set_body(body),
            _ => {}
        }
    }
}

impl Wire for FromShard {
    const DIRECTION: Direction = Direction::FromShard;

    fn body(&self) -> &[u8] {
        match self {
            Self::Scanned { groups, .. } => groups,
            Self::Appended { rejected, .. } => rejected,
            Self::Backup(reply) => reply.body(),
            _ => &[],
        }
    }

    fn set_body(&mut self, body: &[u8]) {
        match self {
            Self::Scanned { groups: own, .. } | Self::Appended { rejected: own, .. } => {
                *own = body.to_vec();
            }
            Self::Backup(reply) => reply.set_body(body),
            _ => {}
        }
    }
}
