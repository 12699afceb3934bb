//! The outcomes of cases, and the comparison of values.

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

impl Outcome {
    pub(crate) fn index(&self) -> usize {
        match self {
            Self::Passed => 0,
            Self::Skipped(_) => 1,
            Self::Failed(_) => 2,
        }
    }
}

/// Whether the values differ by at most a millionth, as in Prometheus' interpreter.
pub(crate) fn is_almost_equal(a: f64, b: f64) -> bool {
    const EPSILON: f64 = 1e-6;
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}
