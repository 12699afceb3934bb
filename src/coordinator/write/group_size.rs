//! Derives a group's size from its shards' replies, for the Database that splits the group.

use crate::batch::selection::Selection;
use crate::model::ids::{ObjectId, PolicyId};
use crate::protocol::call::Address;
use crate::protocol::database::ToDatabase;
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::round::Request;
use crate::protocol::shard::FromShard;

#[derive(Debug)]
pub(super) struct Target {
    pub shard: ObjectId,
    /// The id of the group, and the size in bytes above which the group must be reported.
    pub group: (u64, u64),
    /// The frame's rows, for each measurement of the batch.
    pub rows: Vec<Selection>,
}

/// A group whose size exceeds `mark_bytes`, or a group that an unfinished split blocks.
#[derive(Clone, Debug)]
pub(super) struct Growth {
    pub database: ObjectId,
    pub policy: PolicyId,
    /// The mark of all groups, in bytes; 0 disables splits.
    pub mark_bytes: u64,
    pub group: u64,
    pub bytes: u64,
}

impl Growth {
    /// Returns the growth that a shard's reply indicates; `None` if the Database needs no report.
    pub(super) fn seen(
        &self,
        (group, mark_bytes): (u64, u64),
        reply: Option<&FromShard>,
    ) -> Option<Self> {
        let bytes = match reply? {
            FromShard::Appended { bytes, .. } => {
                let is_past = self.mark_bytes > 0 && *bytes >= self.mark_bytes.max(mark_bytes);
                is_past.then_some(*bytes)?
            }
            // The shard waits for a split that may have stopped. The report makes the Database
            // continue the split.
            FromShard::Unavailable(Unavailable::Changing) => 0,
            // The size of a full shard exceeds every mark.
            FromShard::Unavailable(Unavailable::Full { bytes, .. }) => *bytes,
            _ => return None,
        };
        Some(Self { group, bytes, ..self.clone() })
    }

    pub(super) fn request(self) -> Request {
        let Self { policy, group, bytes, .. } = self;
        let message = ToDatabase::Grown { policy, group, bytes };
        Request::new(Address::Database(self.database), envelope::encode(&message))
    }
}
