//! What a shard's reply says of its group's size, for the Database that splits it.

use crate::batch::selection::Selection;
use crate::model::ids::{ObjectId, PolicyId};
use crate::protocol::call::Address;
use crate::protocol::database::ToDatabase;
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::round::Request;
use crate::protocol::shard::FromShard;

/// A frame under way.
#[derive(Debug)]
pub(super) struct Target {
    pub shard: ObjectId,
    /// Its group's id and own mark, bytes.
    pub group: (u64, u64),
    /// Per measurement of the batch, the rows that are in it.
    pub rows: Vec<Selection>,
}

/// A group that has grown past its mark, or is behind a split's fence.
#[derive(Clone, Debug)]
pub(super) struct Growth {
    pub database: ObjectId,
    pub policy: PolicyId,
    /// The mark of every group, bytes; 0 is none.
    pub mark_bytes: u64,
    pub group: u64,
    pub bytes: u64,
}

impl Growth {
    /// What the reply of one of the group's shards says; `None` when nobody need be told.
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
            // Somebody has to go on with that split: perhaps nobody does.
            FromShard::Unavailable(Unavailable::Changing) => 0,
            // A full shard has passed every mark.
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
