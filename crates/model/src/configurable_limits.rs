//! Lists the limits that an operator may set, with the name, default and maximum of each setting.
//! The defaults are in [`super::limits`].

use super::limits::{
    BODIES_IN_FLIGHT_BYTES_MAX, BODY_BYTES_MAX, BODY_COMPRESSED_BYTES_MAX, BUCKETS_PER_QUERY_MAX,
    CALLS_PER_REQUEST_CEILING, CALLS_PER_REQUEST_MAX, CALLS_RESERVED, COLUMNS_PER_QUERY_MAX,
    DATABASES_MAX, FIELDS_PER_MEASUREMENT_MAX, LINE_BYTES_MAX, MEASUREMENTS_PER_POLICY_MAX,
    QUERY_CPU_MS_CEILING, QUERY_CPU_MS_MAX, QUERY_TEXT_BYTES_MAX, SOURCES_PER_QUERY_MAX,
    STATEMENTS_MAX, TAGS_PER_POINT_MAX, UNLIMITED,
};

/// Declares [`Limit`] and [`SETTABLE`] from rows: the variant, the name of the setting, the error
/// text for a client, the default, and the maximum.
macro_rules! limits {
    ($($variant:ident: $name:literal, $fault:literal, $default:expr, $max:expr;)*) => {
        /// A limit that an operator may set. The setting has the name of the limit's constant.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the table below describes the limits")]
        pub enum Limit { $($variant,)* }

        const LIMITS: usize = [$($name),*].len();

        /// The settings, in the order of [`Limit`]. The maximum values follow from an isolate's
        /// memory.
        pub const SETTABLE: [Settable; LIMITS] = [$(row($name, $fault, $default, $max),)*];
    };
}

limits! {
    BodyCompressedBytes: "BODY_COMPRESSED_BYTES_MAX", "the compressed body is too large",
        BODY_COMPRESSED_BYTES_MAX, BODIES_IN_FLIGHT_BYTES_MAX;
    BodyBytes: "BODY_BYTES_MAX", "the body is too large",
        BODY_BYTES_MAX, BODIES_IN_FLIGHT_BYTES_MAX;
    LineBytes: "LINE_BYTES_MAX", "the line is too long",
        LINE_BYTES_MAX, BODIES_IN_FLIGHT_BYTES_MAX;
    Tags: "TAGS_PER_POINT_MAX", "too many tags", TAGS_PER_POINT_MAX, 1_000;
    Fields: "FIELDS_PER_MEASUREMENT_MAX", "too many fields", FIELDS_PER_MEASUREMENT_MAX, 10_000;
    Measurements: "MEASUREMENTS_PER_POLICY_MAX", "too many measurements",
        MEASUREMENTS_PER_POLICY_MAX, 100_000;
    Databases: "DATABASES_MAX", "too many databases", DATABASES_MAX, 10_000;
    QueryTextBytes: "QUERY_TEXT_BYTES_MAX", "the query is too long",
        QUERY_TEXT_BYTES_MAX, 1_000_000;
    Statements: "STATEMENTS_MAX", "too many statements", STATEMENTS_MAX, 1_000;
    Buckets: "BUCKETS_PER_QUERY_MAX", "too many buckets",
        BUCKETS_PER_QUERY_MAX as usize, BUCKETS_PER_QUERY_MAX as usize;
    Series: "SERIES_PER_QUERY_MAX", "too many series", UNLIMITED as usize, UNLIMITED as usize;
    Points: "POINTS_PER_QUERY_MAX", "too many points", UNLIMITED as usize, UNLIMITED as usize;
    Columns: "COLUMNS_PER_QUERY_MAX", "too many columns", COLUMNS_PER_QUERY_MAX, 20_000;
    Sources: "SOURCES_PER_QUERY_MAX", "too many sources", SOURCES_PER_QUERY_MAX, 100_000;
    QueryCpuMs: "QUERY_CPU_MS_MAX", "the statement needs too much computing time",
        QUERY_CPU_MS_MAX, QUERY_CPU_MS_CEILING;
    Calls: "CALLS_PER_REQUEST_MAX", "the request needs too many calls to objects",
        CALLS_PER_REQUEST_MAX, CALLS_PER_REQUEST_CEILING;
}

/// A configurable limit's setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settable {
    /// The name of the setting.
    pub name: &'static str,
    /// The error text for a client that exceeds the limit.
    pub fault: &'static str,
    /// The value that applies if the operator sets no value.
    pub default: u32,
    /// The maximum value of the setting.
    pub max: u32,
}

const fn row(name: &'static str, fault: &'static str, default: usize, max: usize) -> Settable {
    // Both values are numbers of items or bytes in one isolate, so they are far below 4 GiB.
    Settable { name, fault, default: default as u32, max: max as u32 }
}

impl Limit {
    /// Returns the limit's row of [`SETTABLE`].
    pub fn settable(self) -> Settable {
        SETTABLE[self as usize]
    }
}

/// The values of all limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits([u32; LIMITS]);

impl Default for Limits {
    fn default() -> Self {
        Self(SETTABLE.map(|row| row.default))
    }
}

impl Limits {
    /// Reads the value of each limit with `read`. `None` selects the default.
    pub fn read<E>(mut read: impl FnMut(&Settable) -> Result<Option<u32>, E>) -> Result<Self, E> {
        let mut limits = Self::default();
        for (value, row) in limits.0.iter_mut().zip(&SETTABLE) {
            *value = read(row)?.unwrap_or(*value);
        }
        Ok(limits)
    }

    /// Returns the value of `limit`.
    #[inline]
    pub fn get(&self, limit: Limit) -> usize {
        self.0[limit as usize] as usize
    }

    /// Returns the number of calls to objects that a request may make, without the
    /// [`CALLS_RESERVED`] calls for the end of the request.
    pub fn calls_before_end(&self) -> usize {
        let calls = self.get(Limit::Calls);
        calls - CALLS_RESERVED.min(calls / 2)
    }

    /// Checks that the total `requested`, which includes `current`, does not exceed `limit`.
    #[inline]
    pub fn check(&self, limit: Limit, current: usize, requested: usize) -> Result<(), Exceeded> {
        if requested <= self.get(limit) {
            Ok(())
        } else {
            Err(self.exceeded(limit, current, requested))
        }
    }

    /// Builds the error for `requested` items with `current` items already counted.
    #[cold]
    pub fn exceeded(&self, limit: Limit, current: usize, requested: usize) -> Exceeded {
        let Settable { name, fault, .. } = limit.settable();
        let [max, current, requested] =
            [self.get(limit), current, requested].map(|number| number as u64);
        Exceeded { fault, name, max, current, requested }
    }
}

/// The error for a request that exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}: current {current}, requested {requested}, limit {max} ({name})")]
pub struct Exceeded {
    /// The error text for a client.
    pub fault: &'static str,
    /// The name of the limit.
    pub name: &'static str,
    /// The limit's value.
    pub max: u64,
    /// The number before the request, or 0 if the limit applies to each item separately.
    pub current: u64,
    /// The number after the request.
    pub requested: u64,
}

impl Exceeded {
    /// Builds the error for one item that exceeds the fixed limit `max` with its size `requested`.
    #[cold]
    pub fn fixed(fault: &'static str, name: &'static str, max: usize, requested: usize) -> Self {
        Self { fault, name, max: max as u64, current: 0, requested: requested as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_do_not_exceed_maximums() {
        assert!(SETTABLE.iter().all(|row| row.default <= row.max));
    }

    #[test]
    fn limit_error_states_all_numbers() {
        let limits = Limits::read(|row| Ok::<_, ()>((row.default == 255).then_some(3))).unwrap();
        assert_eq!(limits.check(Limit::Tags, 0, 3), Ok(()));
        let error = limits.check(Limit::Tags, 0, 4).unwrap_err();
        assert_eq!(
            error.to_string(),
            "too many tags: current 0, requested 4, limit 3 (TAGS_PER_POINT_MAX)"
        );
    }
}
