//! The seeds of random tests.

use std::ops::Range;

/// Returns the seeds from 0 to `count`. The variable `SEEDS_FACTOR` multiplies their number: `npm
/// test -- --all` sets it.
pub(crate) fn seeds(count: u64) -> Range<u64> {
    let factor = std::env::var("SEEDS_FACTOR").ok();
    0..count * factor.map_or(1, |factor| factor.parse::<u64>().unwrap_or(1))
}
