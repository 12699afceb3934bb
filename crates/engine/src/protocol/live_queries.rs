//! The Catalog's record, in memory, of each query that needs more than one page.
//!
//! SHOW QUERIES and KILL QUERY name no database, so the Catalog keeps the records. The edge sends a
//! report with the second page, then every `QUERY_REPORT_EVERY_NS`, and at the end.

use serde::{Deserialize, Serialize};

use tidemark_model::ids::ObjectId;
use tidemark_model::time::S_NS;

/// The number of bits of an id. With 40 bits, an id has at most 13 decimal digits, so that a user
/// can type it.
const ID_BITS: u32 = 40;
/// The number of random low bits in an id. The upper bits contain the start time.
const DRAWN_BITS: u32 = 28;
/// The number of rows at which class 0 ends. Each further class ends at twice as many rows.
const CLASS_ROWS: u64 = 1 << 16;

/// The priority of a query's pages. The priority depends only on the query's id and the number of
/// rows read, so all shards prefer the same queries.
///
/// [`Precedence::number`] encodes the priority as one number: bits 0 to 39 are the id, and bits 40
/// to 47 are the class. The upper twelve bits of the id are the start time in seconds, modulo
/// 4,096.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precedence {
    /// The id of the query, or 0 before the query is listed.
    pub id: u64,
    /// The class: 0 below `CLASS_ROWS` rows read, and one more for each doubling of this number.
    pub class: u8,
}

impl Precedence {
    /// Creates the id of a query that starts now.
    pub const fn draw_id(started_ns: i64, random: u64) -> u64 {
        let began_s = started_ns.div_euclid(S_NS).cast_unsigned();
        let id = (began_s << DRAWN_BITS | random >> (u64::BITS - DRAWN_BITS)) % (1 << ID_BITS);
        if id == 0 { 1 } else { id }
    }

    /// Returns the priority of a query that has read `rows` rows.
    pub fn of(id: u64, rows: u64) -> Self {
        let class = (rows / CLASS_ROWS).checked_ilog2().map_or(0, |doubled| doubled + 1);
        Self { id, class: class as u8 }
    }

    /// Encodes the priority as a number for a page request.
    pub const fn number(self) -> u64 {
        self.id | (self.class as u64) << ID_BITS
    }

    /// Decodes the number of a page request. Returns `None` for 0, the number of a first page.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        let query = Self { id: number % (1 << ID_BITS), class: (number >> ID_BITS) as u8 };
        (number != 0).then_some(query)
    }

    /// Whether this query has a lower class than `other`, or started earlier in the same class.
    pub fn is_before(self, other: Self) -> bool {
        let rest_bits = u64::BITS - ID_BITS;
        let earlier = (self.id << rest_bits).wrapping_sub(other.id << rest_bits).cast_signed() < 0;
        self.class < other.class || (self.class == other.class && earlier)
    }
}

/// The report of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveQuery {
    /// The id, which the edge draws and which is never 0.
    pub id: u64,
    /// The statement.
    pub text: String,
    /// The database of the request, or "" if the request names none.
    pub database: String,
    /// The name of the user, or "" for a token.
    pub user: String,
    /// The start time, in nanoseconds.
    pub started_ns: i64,
    /// The shards that the query reads.
    pub shards: Vec<ObjectId>,
    /// Whether KILL QUERY stopped the query. Only the Catalog sets this field.
    #[serde(default)]
    pub killed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_prefers_light_and_early_queries() {
        let began = |s: i64| Precedence::draw_id(s * S_NS, 0x9876_5432_1098_7654);
        let of = |s, rows| Precedence::of(began(s), rows);
        let order = [of(7, 0), of(8, 65_535), of(1, 65_536), of(9, 131_071), of(2, 131_072)];
        for (at, one) in order.iter().enumerate() {
            assert_eq!(Precedence::from_number(one.number()), Some(*one));
            for (other_at, other) in order.iter().enumerate() {
                assert_eq!(one.is_before(*other), at < other_at, "{one:?} {other:?}");
            }
        }
        assert!(of(4_095, 0).is_before(of(4_096, 0)), "the seconds begin anew");
        assert_eq!(of(0, u64::MAX).class, 48);
        assert!(began(4_095) < 1 << 40 && began(4_096) > 0);
        assert_eq!(Precedence::draw_id(0, 0), 1);
    }
}
