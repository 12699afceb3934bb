//! The points with the smallest values, in order of time; equal values: the earlier point.

use super::top::extremes;
use crate::scan::whole::{Outcome, Points, Whole, compare};

/// How many.
pub(in crate::scan) struct Bottom(pub(in crate::scan) u32);

impl Whole for Bottom {
    fn answer(&self, points: &Points<'_>) -> Outcome {
        extremes(points, self.0, |a, b| compare(points.values, a, b))
    }
}
