//! Defines the keys of series.
//!
//! Keys compare as bytes, by measurement and then by tag values.
//!
//! ```text
//! ┌───────────────────────────┬────────────────────────────────────────┐
//! │ measurement <u32, big-e.> │ per tag: value, 0x00 and 0x01 escaped, │
//! │                           │ and then 0x00                          │
//! └───────────────────────────┴────────────────────────────────────────┘
//! ```
//!
//! Values are in the measurement's *tag order*. New tags are only added at the end of this order. A
//! missing tag has the value ''. Empty values at the end of a key are omitted, so a series keeps
//! its key when the order grows. Sorted parts remain sorted, because '' sorts first.
//!
//! Within a value, the byte 0x00 is encoded as 0x01 0x01, and the byte 0x01 as 0x01 0x02. The byte
//! 0x00 therefore always ends a value, and it is lower than every byte that may continue a value.

use std::borrow::Cow;
use std::fmt;

use tidemark_model::ids::MeasurementId;

const MEASUREMENT_BYTES: usize = 4;
const END: u8 = 0;
/// The first byte of an escape. The second byte is 1 more than the escaped byte (0x00 or 0x01).
const ESCAPE: u8 = 1;
/// A byte that is greater than every byte of a tag value, because UTF-8 does not use 0xff.
const ABOVE: u8 = 0xff;

/// The key of a series of a policy on a shard. Keys are ordered like their bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey(Vec<u8>);

impl SeriesKey {
    /// Creates the key of a series with these tag values, in the tag order. A missing tag has the
    /// value ''. If only the first few values are given, the result is the lowest key of all series
    /// that start with these values.
    pub fn new<'a>(measurement: MeasurementId, values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut key = Self(Vec::new());
        key.set(measurement, values);
        key
    }

    /// Sets the key to [`SeriesKey::new`] of these values, and reuses its memory.
    pub fn set<'a>(
        &mut self,
        measurement: MeasurementId,
        values: impl IntoIterator<Item = &'a str>,
    ) {
        self.0.clear();
        self.0.extend(measurement.0.to_be_bytes());
        let mut used = self.0.len();
        for value in values {
            push_value(value, &mut self.0);
            if !value.is_empty() {
                used = self.0.len();
            }
        }
        self.0.truncate(used);
    }

    /// Returns a position after every series whose first tags have these values, and before the
    /// following series. Without values, the position is after the whole measurement. No series has
    /// the returned key.
    pub fn past<'a>(measurement: MeasurementId, values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut bytes = measurement.0.to_be_bytes().to_vec();
        values.into_iter().for_each(|value| push_value(value, &mut bytes));
        bytes.push(ABOVE);
        Self(bytes)
    }

    /// Parses a key. Returns `None` unless [`SeriesKey::new`] can create these bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let (_, mut rest) = bytes.split_at_checked(MEASUREMENT_BYTES)?;
        if rest == [END] || rest.ends_with(&[END, END]) {
            return None;
        }
        while !rest.is_empty() {
            let (value, behind) = split(rest)?;
            unescape(value)?;
            rest = behind;
        }
        Some(Self(bytes))
    }

    /// Returns the key's bytes, which have the same order as the keys.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the measurement.
    pub fn measurement(&self) -> MeasurementId {
        let bytes = self.0.first_chunk().copied().unwrap_or_default();
        MeasurementId(u32::from_be_bytes(bytes))
    }

    /// Returns the tag values in the tag order, up to the last value that is not ''.
    pub fn values(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let mut rest = self.0.get(MEASUREMENT_BYTES..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (value, behind) = split(rest)?;
            rest = behind;
            Some(unescape(value).unwrap_or_default())
        })
    }

    pub(crate) fn value_count(&self) -> usize {
        let values = self.0.get(MEASUREMENT_BYTES..).unwrap_or_default();
        values.iter().filter(|&&byte| byte == END).count()
    }

    /// Returns the value of the tag at `place` in the tag order, or '' if the series lacks the tag.
    pub fn value(&self, place: usize) -> Cow<'_, str> {
        self.values().nth(place).unwrap_or_default()
    }
}

impl fmt::Debug for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeriesKey({} ", self.measurement().0)?;
        f.debug_list().entries(self.values()).finish()?;
        let place = if self.0.ends_with(&[ABOVE]) { " and past)" } else { ")" };
        f.write_str(place)
    }
}

fn push_value(value: &str, out: &mut Vec<u8>) {
    if value.bytes().all(|byte| byte > ESCAPE) {
        out.extend_from_slice(value.as_bytes());
    } else {
        for byte in value.bytes() {
            match byte {
                END | ESCAPE => out.extend([ESCAPE, byte + 1]),
                _ => out.push(byte),
            }
        }
    }
    out.push(END);
}

/// Returns the first value, without unescaping it, and the bytes after the value's end byte.
/// Returns `None` if there is no end byte.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(END, bytes)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// Removes the escapes of a value. Returns `None` if the bytes are not a valid encoding.
fn unescape(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if !bytes.contains(&ESCAPE) {
        return std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
    }
    let mut value = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        value.push(match byte {
            ESCAPE => match rest.next() {
                Some(&next @ (1 | 2)) => next - 1,
                _ => return None,
            },
            _ => byte,
        });
    }
    String::from_utf8(value).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: MeasurementId = MeasurementId(7);

    fn key(values: &[&str]) -> SeriesKey {
        SeriesKey::new(M, values.iter().copied())
    }

    #[test]
    fn series_key_bytes_never_change() {
        assert_eq!(key(&[]).as_bytes(), [0, 0, 0, 7]);
        assert_eq!(
            key(&["a", "", "\0\u{1}b", ""]).as_bytes(),
            b"\0\0\0\x07a\0\0\x01\x01\x01\x02b\0"
        );
        assert_eq!(SeriesKey::past(M, ["a", ""]).as_bytes(), b"\0\0\0\x07a\0\0\xff");
    }

    /// Returns random tag values. Most of their characters must be escaped or have an unusual sort
    /// order.
    fn random(rng: &mut fastrand::Rng) -> Vec<String> {
        let letters = ['\0', '\u{1}', '\u{2}', 'a', 'ü', '\u{10ffff}'];
        let value = |rng: &mut fastrand::Rng| {
            (0..rng.usize(..3)).map(|_| letters[rng.usize(..letters.len())]).collect()
        };
        (0..rng.usize(..4)).map(|_| value(rng)).collect()
    }

    fn of(values: &[String]) -> SeriesKey {
        SeriesKey::new(M, values.iter().map(String::as_str))
    }

    /// Pads the values with '' to four tags, so that they have the same order as keys.
    fn padded(values: &[String]) -> Vec<&str> {
        (0..4).map(|at| values.get(at).map_or("", String::as_str)).collect()
    }

    #[test]
    fn series_keys_sort_by_tag_values() {
        for seed in 0..20_000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (a, b) = (random(&mut rng), random(&mut rng));
            let (key_a, key_b) = (of(&a), of(&b));
            assert_eq!(key_a.cmp(&key_b), padded(&a).cmp(&padded(&b)), "{a:?} {b:?}");
            let read: Vec<Cow<'_, str>> = (0..4).map(|at| key_a.value(at)).collect();
            assert_eq!(read, padded(&a), "{a:?}");
            assert_eq!(key_a.value_count(), key_a.values().count(), "{a:?}");
            assert_eq!(SeriesKey::from_bytes(key_a.as_bytes().to_vec()), Some(key_a), "{a:?}");
        }
    }

    #[test]
    fn series_key_prefix_bounds_its_range() {
        for seed in 0..20_000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (first, all) = (random(&mut rng), random(&mut rng));
            let has = padded(&all).starts_with(&padded(&first)[..first.len()]);
            let (least, past) = (of(&first), SeriesKey::past(M, first.iter().map(String::as_str)));
            let key = of(&all);
            assert_eq!((least..past).contains(&key), has, "{first:?} {all:?}");
        }
        assert!(SeriesKey::past(M, []) < SeriesKey::new(MeasurementId(8), []));
        assert!(
            SeriesKey::past(MeasurementId(u32::MAX), [])
                > SeriesKey::new(MeasurementId(u32::MAX), ["\u{10ffff}"])
        );
    }

    #[test]
    fn invalid_series_key_bytes_are_rejected() {
        let with = |rest: &[u8]| SeriesKey::from_bytes([&[0, 0, 0, 7], rest].concat());
        assert!(with(b"").is_some() && with(b"a\0").is_some() && with(b"\0a\0").is_some());
        for rest in [&b"a"[..], b"\0", b"a\0\0", b"\x01\0", b"\x01\x03\0", b"\xff", b"\xff\0"] {
            assert_eq!(with(rest), None, "{rest:?}");
        }
        assert_eq!(SeriesKey::from_bytes(vec![0; 3]), None);
    }

    #[test]
    fn series_key_debug_is_readable() {
        assert_eq!(format!("{:?}", key(&["a", "\0"])), r#"SeriesKey(7 ["a", "\0"])"#);
        assert_eq!(format!("{:?}", SeriesKey::past(M, ["a"])), r#"SeriesKey(7 ["a"] and past)"#);
    }
}
