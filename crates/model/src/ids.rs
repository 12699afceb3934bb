//! The identifiers of measurements, columns, policies and objects. Ids are never reused, so an
//! object can reject a message about a dropped item.

use serde::{Deserialize, Serialize};

/// The id of a measurement within one retention policy.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct MeasurementId(pub u32);

/// The id of a tag key or field key in a measurement. Tags and fields have a common numbering.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct ColumnId(pub u32);

/// The id of a retention policy. The v2 bucket id is this id in 16 hex digits.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct PolicyId(pub u64);

/// The number of random low bits in a policy's id. The higher bits identify the database.
const DRAWN_BITS: u32 = 40;

impl PolicyId {
    /// Draws a new id in the database `object`. `random` makes the id unique.
    ///
    /// The upper 24 bits are the upper bits of the CRC-32C of the object's id, so that a caller can
    /// find the policy's database. The layout is part of the stored format.
    pub fn draw(object: &ObjectId, random: u64) -> Self {
        let own = u64::from(crc32c::crc32c(object.0.as_bytes()) >> 8);
        Self((own << DRAWN_BITS) | (random & ((1 << DRAWN_BITS) - 1)))
    }

    /// Whether the policy may belong to the database `object`. The result is also true for one in
    /// 16 million other databases.
    pub fn may_be_of(self, object: &ObjectId) -> bool {
        self.0 >> DRAWN_BITS == Self::draw(object, 0).0 >> DRAWN_BITS
    }
}

impl std::fmt::Display for PolicyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The id of a Durable Object as text, never derived from user input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId(pub String);

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_id_identifies_its_database() {
        let object = ObjectId("00f1".repeat(16));
        let (low, high) = (PolicyId::draw(&object, 0), PolicyId::draw(&object, u64::MAX));
        // The ids are permanent: the configurations of clients contain them.
        assert_eq!([low, high].map(|id| id.to_string()), ["93df9b0000000000", "93df9bffffffffff"]);
        assert!(low.may_be_of(&object) && high.may_be_of(&object));
        let other = ObjectId("00f2".repeat(16));
        assert!(!low.may_be_of(&other) && !high.may_be_of(&other));
    }
}
