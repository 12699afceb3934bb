//! Samples, series and the values of queries.

use super::labels::Labels;

/// The bits of the NaN that marks the end of a series.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Whether `value` is the stale marker.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// A value at a time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// The value. A value with [`STALE_BITS`] ends the series.
    pub value: f64,
}

/// Samples with the same labels.
#[derive(Clone, Debug)]
pub struct Series {
    /// The labels, which include the name of the metric.
    pub labels: Labels,
    /// The samples in ascending order of time. Each time occurs once.
    pub samples: Vec<Sample>,
}

/// The value of a query.
#[derive(Clone, Debug)]
pub enum Value {
    /// The value of an instant query of type scalar.
    Scalar {
        /// The time of the query.
        time_ms: i64,
        /// The number.
        value: f64,
    },
    /// The value of an instant query of type string.
    String {
        /// The time of the query.
        time_ms: i64,
        /// The text.
        text: String,
    },
    /// The value of an instant query of type instant vector, in the order of the result.
    Vector(Vec<(Labels, Sample)>),
    /// The value of a range query, sorted by labels, or of an instant query that is a range
    /// selector.
    Matrix(Vec<Series>),
}
