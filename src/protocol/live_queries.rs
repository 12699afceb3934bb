//! Queries that run for longer than a page: what the Catalog knows of each.
//!
//! The Catalog keeps them because SHOW QUERIES and KILL QUERY name no database and a query may read
//! several. It keeps them in memory only: a report costs a call and no row. A report comes with the
//! second page, then with a page every `QUERY_REPORT_EVERY_NS`, and one at the end.

use serde::{Deserialize, Serialize};

use crate::model::ids::ObjectId;
use crate::model::time::S_NS;

/// Bits of an id: nobody wants to type more than thirteen digits.
const ID_BITS: u32 = 40;
/// Of these, lower ones that are drawn: the others say when the query began.
const DRAWN_BITS: u32 = 28;
/// Rows of the first class; each further one has read twice as many.
const CLASS_ROWS: u64 = 1 << 16;

/// Which query a page is of and how much was read for it so far, so that all shards let the same
/// queries go first. As a number: bits 0 … 39 are the id, of which the upper twelve are the
/// second at which the query began, modulo 4,096; bits 40 … 47 are the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precedence {
    /// Of the query; 0 while it is not listed.
    pub id: u64,
    /// How many times what was read for it has doubled.
    pub class: u8,
}

impl Precedence {
    /// The id of a query that begins now.
    pub const fn draw_id(started_ns: i64, random: u64) -> u64 {
        let began_s = started_ns.div_euclid(S_NS).cast_unsigned();
        let id = (began_s << DRAWN_BITS | random >> (u64::BITS - DRAWN_BITS)) % (1 << ID_BITS);
        if id == 0 { 1 } else { id }
    }

    /// That of a query for which so many rows were read.
    pub fn of(id: u64, rows: u64) -> Self {
        let class = (rows / CLASS_ROWS).checked_ilog2().map_or(0, |doubled| doubled + 1);
        Self { id, class: class as u8 }
    }

    /// As pages carry it.
    pub const fn number(self) -> u64 {
        self.id | (self.class as u64) << ID_BITS
    }

    /// What a page carries.
    pub const fn from_number(number: u64) -> Self {
        Self { id: number % (1 << ID_BITS), class: (number >> ID_BITS) as u8 }
    }

    /// Whether it goes before another one: less was read for it, or it began earlier.
    pub fn is_before(self, other: Self) -> bool {
        let rest_bits = u64::BITS - ID_BITS;
        let earlier = (self.id << rest_bits).wrapping_sub(other.id << rest_bits).cast_signed() < 0;
        self.class < other.class || (self.class == other.class && earlier)
    }
}

/// A query as it is reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveQuery {
    /// Drawn by the edge, never 0.
    pub id: u64,
    /// The statement.
    pub text: String,
    /// The request's database; "" without one.
    pub database: String,
    /// Who asks; "" for a token.
    pub user: String,
    /// When it began, nanoseconds.
    pub started_ns: i64,
    /// Whom it reads.
    pub shards: Vec<ObjectId>,
    /// The Catalog's own: it was told to stop.
    #[serde(default)]
    pub killed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_read_less_or_began_earlier_goes_first() {
        let began = |s: i64| Precedence::draw_id(s * S_NS, 0x9876_5432_1098_7654);
        let of = |s, rows| Precedence::of(began(s), rows);
        let order = [of(7, 0), of(8, 65_535), of(1, 65_536), of(9, 131_071), of(2, 131_072)];
        for (at, one) in order.iter().enumerate() {
            assert_eq!(Precedence::from_number(one.number()), *one);
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
