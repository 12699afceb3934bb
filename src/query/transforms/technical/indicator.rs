//! Defines the trait of technical indicators, and the methods that start their averages.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warmup {
    /// The average starts as an exponential average.
    Exponential,
    /// The average starts as the arithmetic mean of the first period.
    Simple,
    /// The function has no averages (`chande_momentum_oscillator` only).
    None,
}

pub(super) trait Indicator {
    fn add(&mut self, value: f64) -> f64;

    fn values_before_first(&self) -> usize;
}

// `Debug` is not a supertrait, because printing every state would enlarge the WebAssembly module.
impl std::fmt::Debug for dyn Indicator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Indicator")
    }
}
