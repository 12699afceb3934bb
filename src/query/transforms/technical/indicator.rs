//! Defines the trait of technical indicators, and the methods that start their averages.

/// The start of an average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warmup {
    /// Starts as an exponential average.
    Exponential,
    /// Starts as the arithmetic mean of the first period.
    Simple,
    /// For `chande_momentum_oscillator`, which has no averages.
    None,
}

pub(super) trait Indicator {
    fn add(&mut self, value: f64) -> f64;

    /// The number of values before the first meaningful result.
    fn values_before_first(&self) -> usize;
}

// `Debug` is not a supertrait, because printing every state would enlarge the WebAssembly module.
impl std::fmt::Debug for dyn Indicator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Indicator")
    }
}
