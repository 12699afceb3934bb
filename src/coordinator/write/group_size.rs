//! Derives a group's size from its shards' replies, for the Database that splits the group.

use crate::batch::selection::Selection;
use crate::coordinator::load_schemas::Loaded;
use crate::model::ids::{ObjectId, PolicyId};
use crate::protocol::call::Address;
use crate::protocol::database::ToDatabase;
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::round::Request;
use crate::protocol::shard::FromShard;

pub(super) struct Target {
    pub shard: ObjectId,
    /// The id of the group.
    pub group: u64,
    /// The size in bytes above which the group must be reported.
    pub mark_bytes: u64,
    /// The frame's rows, for each measurement of the batch.
    pub rows: Vec<Selection>,
}

/// A group whose size exceeds its mark, or a group that an unfinished split blocks.
pub(super) struct Growth {
    database: ObjectId,
    policy: PolicyId,
    group: u64,
    bytes: u64,
}

impl Growth {
    /// Returns the growth that a shard's reply indicates; `None` if the Database needs no report.
    pub(super) fn seen(
        loaded: &Loaded,
        group: u64,
        mark_bytes: u64,
        reply: Option<&FromShard>,
    ) -> Option<Self> {
        // The mark of all groups, in bytes; 0 disables splits.
        let split_bytes = loaded.description.split_bytes;
        let bytes = match reply? {
            FromShard::Appended { bytes, .. } => {
                let is_past = split_bytes > 0 && *bytes >= split_bytes.max(mark_bytes);
                is_past.then_some(*bytes)?
            }
            // The shard waits for a split that may have stopped. The report makes the Database
            // continue the split.
            FromShard::Unavailable(Unavailable::Changing) => 0,
            // The size of a full shard exceeds every mark.
            FromShard::Unavailable(Unavailable::Full { bytes, .. }) => *bytes,
            _ => return None,
        };
        let (policy, _) = loaded.policy()?;
        Some(Self { database: loaded.object.clone(), policy: policy.id, group, bytes })
    }

    pub(super) fn request(self) -> Request {
        let Self { database, policy, group, bytes } = self;
        let message = ToDatabase::Grown { policy, group, bytes };
        Request::new(Address::Database(database), envelope::encode(&message))
    }
}
