//! Computes sets of characters.

use super::unicode;

/// Text cannot contain these code points.
const SURROGATES: std::ops::RangeInclusive<u32> = 0xD800..=0xDFFF;

/// Inclusive ranges of code points, unordered and possibly overlapping until `join` runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u32, u32)>);

impl<const N: usize> From<[(u32, u32); N]> for Ranges {
    fn from(ranges: [(u32, u32); N]) -> Self {
        Self(ranges.to_vec())
    }
}

impl Ranges {
    pub(super) fn add(&mut self, low: u32, high: u32) {
        self.0.push((low, high));
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    pub(super) fn fold_case(&mut self) {
        let folds: Vec<(u32, u32)> = unicode::case_folds().collect();
        let next = |code: u32| {
            folds.binary_search_by_key(&code, |&(from, _)| from).ok().and_then(|at| folds.get(at))
        };
        self.join();
        let mut others = Vec::new();
        for &(low, high) in &self.0 {
            let from = folds.partition_point(|&(code, _)| code < low);
            let inside = folds.iter().skip(from).take_while(|&&(code, _)| code <= high);
            for &(code, mut other) in inside {
                while other != code
                    && let Some(&(_, after)) = next(other)
                {
                    others.push((other, other));
                    other = after;
                }
            }
        }
        self.0.append(&mut others);
    }

    pub(super) fn negate(&mut self) {
        self.join();
        let mut rest = Vec::new();
        let mut at = 0;
        for &(low, high) in &self.0 {
            if at < low {
                rest.push((at, low - 1));
            }
            at = high + 1;
        }
        if at <= u32::from(char::MAX) {
            rest.push((at, u32::from(char::MAX)));
        }
        self.0 = rest;
    }

    fn join(&mut self) {
        self.0.sort();
        self.0.dedup_by(|next, before| {
            let touch = next.0 <= before.1.saturating_add(1);
            if touch {
                before.1 = before.1.max(next.1);
            }
            touch
        });
    }

    pub(super) fn into_rust(mut self) -> String {
        use std::fmt::Write as _;
        self.join();
        let mut out = String::from("[");
        for (low, high) in self.0 {
            let low = if SURROGATES.contains(&low) { SURROGATES.end() + 1 } else { low };
            let high = if SURROGATES.contains(&high) { SURROGATES.start() - 1 } else { high };
            if low <= high {
                let _ = write!(out, "\\x{{{low:X}}}-\\x{{{high:X}}}");
            }
        }
        if out.len() == 1 {
            out.push_str("a&&b");
        }
        out.push(']');
        out
    }
}
