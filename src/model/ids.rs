//! Defines the identifiers. None is ever reused, so a message that names a dropped thing can always
//! be refused.

use serde::{Deserialize, Serialize};

/// A measurement inside one retention policy.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct MeasurementId(pub u32);

/// A tag key or field key inside one measurement. Tags and fields share the numbering.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct ColumnId(pub u32);

/// A retention policy; printed as 16 hex digits it is the v2 bucket id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyId(pub u64);

/// Low bits of a policy's id, which are drawn; those above are its database's.
const DRAWN_BITS: u32 = 40;

impl PolicyId {
    /// A fresh id in the database that is `object`; `random` makes it another than all before.
    ///
    /// Its upper 24 bits are those of the CRC-32C of the object's id, so that whoever knows the
    /// objects finds the database of a policy. Part of the format.
    pub fn draw(object: &ObjectId, random: u64) -> Self {
        let own = u64::from(crc32c::crc32c(object.0.as_bytes()) >> 8);
        Self((own << DRAWN_BITS) | (random & ((1 << DRAWN_BITS) - 1)))
    }

    /// Whether it may be of the database that is `object`. One in 16 million others may be too.
    pub fn may_be_of(self, object: &ObjectId) -> bool {
        self.0 >> DRAWN_BITS == Self::draw(object, 0).0 >> DRAWN_BITS
    }
}

impl std::fmt::Display for PolicyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A Durable Object's id as text, stored by its parent. Never derived from user input.
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
    fn the_id_of_a_policy_tells_its_database() {
        let object = ObjectId("00f1".repeat(16));
        let (low, high) = (PolicyId::draw(&object, 0), PolicyId::draw(&object, u64::MAX));
        // The numbers are kept for ever: they are in every client's configuration.
        assert_eq!([low, high].map(|id| id.to_string()), ["93df9b0000000000", "93df9bffffffffff"]);
        assert!(low.may_be_of(&object) && high.may_be_of(&object));
        let other = ObjectId("00f2".repeat(16));
        assert!(!low.may_be_of(&other) && !high.may_be_of(&other));
    }
}
