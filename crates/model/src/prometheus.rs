//! Stores samples of Prometheus whose value no float field may contain: stale markers, NaN and
//! infinities.
//!
//! Such a sample is a point without a value in the metric's field. The point has a value in the
//! field's *companion* instead: an integer field of the same measurement that contains the code of
//! the [`Special`] value. The key of a companion contains control characters, which line protocol
//! rejects, so that clients cannot write a companion.
//!
//! Only PromQL reads companions. [`MeasurementSchema::fields`](crate::schema::MeasurementSchema::fields)
//! omits them, so InfluxQL, SQL, Flight, exports and the console neither list them nor return them.
//! Backups, splits and replicas of shards copy them like every other field.

/// The first character of a companion's key, and the character before [`SUFFIX`].
const MARK: char = '\u{1}';
const SUFFIX: &str = "\u{1}special";

/// The bits of Prometheus' stale marker. Other NaN bits are an ordinary NaN.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The bits of an ordinary NaN in Prometheus.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Returns the key of the companion of the field `field`.
pub fn companion(field: &str) -> String {
    [MARK.encode_utf8(&mut [0; 4]), field, SUFFIX].concat()
}

/// Whether the field with this key is a companion.
pub fn is_companion(key: &str) -> bool {
    key.starts_with(MARK)
}

/// A value that a float field does not store. The discriminants are the codes in companions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// The stale marker: the series has ended.
    Stale = 0,
    /// Any other NaN.
    Nan = 1,
    /// Positive infinity.
    PositiveInfinity = 2,
    /// Negative infinity.
    NegativeInfinity = 3,
}

impl Special {
    /// Returns the special value, or `None` for a finite value.
    pub fn of(value: f64) -> Option<Self> {
        match value {
            _ if value.is_finite() => None,
            f64::INFINITY => Some(Self::PositiveInfinity),
            f64::NEG_INFINITY => Some(Self::NegativeInfinity),
            _ if value.to_bits() == STALE_NAN_BITS => Some(Self::Stale),
            _ => Some(Self::Nan),
        }
    }

    /// Returns the code in a companion.
    pub fn code(self) -> i64 {
        self as i64
    }

    /// Returns the special value with this code.
    pub fn of_code(code: i64) -> Option<Self> {
        let all = [Self::Stale, Self::Nan, Self::PositiveInfinity, Self::NegativeInfinity];
        all.into_iter().find(|special| special.code() == code)
    }

    /// Returns the value as Prometheus represents it.
    pub fn value(self) -> f64 {
        match self {
            Self::Stale => f64::from_bits(STALE_NAN_BITS),
            Self::Nan => f64::from_bits(NORMAL_NAN_BITS),
            Self::PositiveInfinity => f64::INFINITY,
            Self::NegativeInfinity => f64::NEG_INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_values_have_codes() {
        for code in 0..4 {
            let special = Special::of_code(code).unwrap();
            assert_eq!(Special::of(special.value()), Some(special));
            assert_eq!(special.code(), code);
        }
        assert_eq!(Special::of_code(4), None);
        assert_eq!(Special::of(f64::from_bits(0xfff8_0000_0000_0000)), Some(Special::Nan));
        assert_eq!(Special::of(f64::MAX), None);
    }

    #[test]
    fn companions_are_recognised() {
        assert_eq!(companion("value"), "\u{1}value\u{1}special");
        assert!(is_companion(&companion("")) && !is_companion("value"));
    }
}
