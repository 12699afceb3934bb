//! The limits of a query.

/// The maximum length of a query, in bytes.
pub(crate) const QUERY_BYTES_MAX: usize = 64 * 1024;
/// The maximum depth of an expression's tree. Chains of operators nest to the left, and each level
/// of the evaluation takes about 1 KB of stack.
pub(crate) const EXPR_DEPTH_MAX: usize = 128;
/// The maximum number of selectors in a query. Each selector reads its own samples.
pub(crate) const SELECTORS_MAX: usize = 200;
/// The maximum number of labels in a list such as `by (…)`, and of matchers in a selector.
pub(crate) const LABELS_MAX: usize = 200;
/// The time in which the last sample of a series is valid: five minutes, as in Prometheus.
pub(crate) const LOOKBACK_MS: i64 = 5 * 60 * 1000;
/// The step of a subquery without a step: the default interval of Prometheus' rules.
pub(crate) const SUBQUERY_STEP_MS: i64 = 60 * 1000;
/// The maximum number of steps of a query or subquery.
pub(crate) const STEPS_MAX: usize = 1_000_000;

/// The limits of an evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The maximum number of values that the evaluation keeps in memory at the same time, without
    /// the samples that the caller passes. A value takes 8 bytes, or 16 bytes in a subquery.
    pub samples_max: usize,
    /// The maximum number of series in the result of an expression.
    pub series_max: usize,
}
