//! Defines what the functions of technical analysis share.

/// How an average starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warmup {
    /// As it goes on.
    Exponential,
    /// As a plain mean of the first period.
    Simple,
    /// `chande_momentum_oscillator` only: no averages at all.
    None,
}

/// A function of the values so far.
pub(super) trait Indicator {
    /// Its answer after one more value.
    fn add(&mut self, value: f64) -> f64;

    /// Values after which the answers make sense.
    fn warm_count(&self) -> usize;
}

// Not a supertrait: it would carry the printing of every one's state into the module.
impl std::fmt::Debug for dyn Indicator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Indicator")
    }
}
