//! Functions whose answer is a new value: what one call makes of the values of a window.

pub(super) mod count;
pub(super) mod fold;
pub(super) mod mean;
pub(super) mod number;
pub(super) mod spread;
pub(super) mod stddev;
pub(super) mod sum;
