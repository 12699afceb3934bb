//! Computes sets of characters. The categories, the scripts and the letter case are the data of
//! Go's package `unicode`.
//!
//! `tables/unicode.rs` packs two tables, which [`packed`] reads. The property table maps a name to
//! its number of ranges and the ranges: for each range, the gap after the previous range and the
//! range's length minus one. The case table contains, for each character with case variants, the
//! gap after the previous entry and the distance to its next variant. The last variant is followed
//! by the first.

use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::packed::{self, signed, unsigned};

static PROPERTIES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/unicode.bin"));
static CASE_FOLDS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/case_folds.bin"));
/// Pairs of a character and one of its case variants, in ascending order of characters.
static CASE_VARIANTS: LazyLock<Vec<(u32, u32)>> = LazyLock::new(case_variants);

/// The surrogates: code points that text cannot contain.
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
        self.join();
        let mut others = Vec::new();
        for &(low, high) in &self.0 {
            let from = CASE_VARIANTS.partition_point(|&(code, _)| code < low);
            let inside = CASE_VARIANTS.iter().skip(from).take_while(|&&(code, _)| code <= high);
            let outside = inside.map(|&(_, other)| other).filter(|&c| c < low || high < c);
            others.extend(outside.map(|other| (other, other)));
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

    /// Sorts the ranges, and joins ranges that overlap or touch.
    pub(super) fn join(&mut self) {
        self.0.sort();
        self.0.dedup_by(|next, before| {
            let touch = next.0 <= before.1.saturating_add(1);
            if touch {
                before.1 = before.1.max(next.1);
            }
            touch
        });
    }

    /// Returns the number of ranges with non-ASCII characters.
    pub(super) fn unicode_ranges(&self) -> u64 {
        self.0.iter().filter(|&&(_, high)| high > 0x7F).count() as u64
    }

    pub(super) fn into_rust(mut self) -> String {
        self.join();
        let mut out = String::from("[");
        for (low, high) in self.0 {
            let low = if SURROGATES.contains(&low) { SURROGATES.end() + 1 } else { low };
            let high = if SURROGATES.contains(&high) { SURROGATES.start() - 1 } else { high };
            if low <= high
                && let (Some(low), Some(high)) = (char::from_u32(low), char::from_u32(high))
            {
                push_char(low, &mut out);
                out.push('-');
                push_char(high, &mut out);
            }
        }
        if out.len() == 1 {
            out.push_str("a&&b");
        }
        out.push(']');
        out
    }
}

/// Appends a character that has no special meaning in Rust's syntax, inside and outside brackets.
pub(super) fn push_char(c: char, rust: &mut String) {
    if c.is_ascii() && !c.is_ascii_alphanumeric() {
        let _ = write!(rust, "\\x{{{:X}}}", u32::from(c));
    } else {
        rust.push(c);
    }
}

pub(super) fn property(name: &str) -> Option<Ranges> {
    let rest = &mut packed::find(PROPERTIES, name)?;
    let mut all = Ranges::default();
    let mut at = 0;
    for _ in 0..unsigned(rest)? {
        let low = at + unsigned(rest)? as u32;
        at = low + unsigned(rest)? as u32;
        all.add(low, at);
    }
    Some(all)
}

/// Returns the characters that have case variants, in ascending order, each with its next variant.
fn case_folds() -> impl Iterator<Item = (u32, u32)> {
    let mut rest = CASE_FOLDS;
    let mut code = 0;
    std::iter::from_fn(move || {
        code += unsigned(&mut rest)? as u32;
        Some((code, code.wrapping_add_signed(signed(&mut rest)? as i32)))
    })
}

fn case_variants() -> Vec<(u32, u32)> {
    let folds: Vec<(u32, u32)> = case_folds().collect();
    let next = |code: u32| {
        let at = folds.binary_search_by_key(&code, |&(from, _)| from).ok()?;
        folds.get(at).map(|&(_, next)| next)
    };
    let mut variants = Vec::with_capacity(folds.len());
    for &(code, first) in &folds {
        let cycle = std::iter::successors(Some(first), |&other| next(other));
        variants.extend(cycle.take_while(|&other| other != code).map(|other| (code, other)));
    }
    variants
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unicode_properties_match_crate() {
        use unicode_script::UnicodeScript;
        for c in ['a', 'Ω', 'д', '中', '٣', '€', '\u{1F600}', '\u{378}', '\0'] {
            let script = c.script().full_name();
            let (mut with, Some(without)) =
                (Ranges::from([(u32::from(c), u32::from(c))]), property(script))
            else {
                assert_eq!(script, "Unknown");
                continue;
            };
            with.add_all(&without);
            assert_eq!(with.into_rust(), without.into_rust(), "{c:?} of {script}");
        }
        assert_eq!(property("Any"), Some(Ranges::from([(0, 0x10_FFFF)])));
        assert_eq!(property("Zp"), Some(Ranges::from([(0x2029, 0x2029)])));
        assert_eq!(property("Cs"), Some(Ranges::default()));
        for unknown in ["greek", "Grek", "Letter", "Unknown", "LC", "Cn", ""] {
            assert_eq!(property(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn case_folds_form_cycles() {
        let next = |code: char| {
            case_folds()
                .find(|&(from, _)| from == u32::from(code))
                .and_then(|(_, to)| char::from_u32(to))
        };
        assert_eq!(next('K'), Some('k'));
        assert_eq!(next('k'), Some('\u{212A}'));
        assert_eq!(next('\u{212A}'), Some('K'));
        assert_eq!(next('ß'), Some('ẞ'));
        assert_eq!(next('1'), None);
        assert!(case_folds().count() > 2800);
        assert!(case_folds().is_sorted_by_key(|(code, _)| code));
    }
}
