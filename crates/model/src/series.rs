//! The hashes of series: for routing to shards, and for counting.

use xxhash_rust::xxh64::{Xxh64, xxh64};

use super::ids::{ColumnId, MeasurementId};

/// Hashes a series key for routing, with unseeded xxh64. The input is the measurement, followed by
/// each tag key and tag value in key order, each as its length (u32, little-endian) and its bytes.
///
/// The hash is part of the stored format. `tags` must be sorted by key and contain no empty value.
pub fn series_hash<'a>(
    measurement: &str,
    tags: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> u64 {
    let mut hasher = Xxh64::new(0);
    update(&mut hasher, measurement);
    for (key, value) in tags {
        update(&mut hasher, key);
        update(&mut hasher, value);
    }
    hasher.digest()
}

/// The maximum length, in bytes, of a value that is hashed with a single, faster call.
const SHORT_VALUE_BYTES: usize = 60;

/// Hashes one tag value for counting, after its length (u32, little-endian). The hash is not
/// stored.
pub fn value_hash(seed: u64, value: &str) -> u64 {
    let mut bytes = [0; size_of::<u32>() + SHORT_VALUE_BYTES];
    let (length, room) = bytes.split_at_mut(size_of::<u32>());
    let Some(short) = room.get_mut(..value.len()) else {
        let mut hasher = Xxh64::new(seed);
        update(&mut hasher, value);
        return hasher.digest();
    };
    length.copy_from_slice(&(value.len() as u32).to_le_bytes());
    short.copy_from_slice(value.as_bytes());
    let used = size_of::<u32>() + value.len();
    xxh64(bytes.get(..used).unwrap_or_default(), seed)
}

/// Returns the term that a tag with this value adds to the sum in [`id_hash`]. The term of an empty
/// value is 0.
pub fn tag_hash(seed: u64, tag: ColumnId, value: &str) -> u64 {
    if value.is_empty() { 0 } else { value_hash(seed ^ (u64::from(tag.0) << 32), value) }
}

/// Hashes a series by the ids of its measurement and tags. Stored sketches contain the hash. `tags`
/// is the sum of the [`tag_hash`]es. The seed prevents clients from choosing hashes.
pub fn id_hash(seed: u64, measurement: MeasurementId, tags: u64) -> u64 {
    let [a, b, c, d] = measurement.0.to_le_bytes();
    let [e, f, g, h, i, j, k, l] = tags.to_le_bytes();
    xxh64(&[a, b, c, d, e, f, g, h, i, j, k, l], seed)
}

fn update(hasher: &mut Xxh64, part: &str) {
    // Names are at most 65,535 bytes (model::limits), so the length always fits into a u32.
    hasher.update(&(part.len() as u32).to_le_bytes());
    hasher.update(part.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_hash_never_changes() {
        assert_eq!(series_hash("cpu", []), 14_101_580_467_338_032_407);
        assert_eq!(
            series_hash("cpu", [("host", "a"), ("region", "eu")]),
            7_926_629_250_477_632_278
        );
    }

    #[test]
    fn series_count_hash_never_changes() {
        let tags = [(ColumnId(2), "a"), (ColumnId(7), ""), (ColumnId(3), "eu")];
        let of = |seed| {
            let tags = tags.iter().map(|&(tag, value)| tag_hash(seed, tag, value));
            id_hash(seed, MeasurementId(9), tags.fold(0, u64::wrapping_add))
        };
        assert_eq!(of(1), 9_062_159_949_745_549_246);
        assert_ne!(of(1), of(2));
        assert_ne!(tag_hash(1, ColumnId(2), "a"), tag_hash(1, ColumnId(3), "a"));
    }

    #[test]
    fn value_hash_matches_xxh64() {
        for length in 0..=2 * SHORT_VALUE_BYTES {
            let value = "v".repeat(length);
            let mut hasher = Xxh64::new(7);
            update(&mut hasher, &value);
            assert_eq!(value_hash(7, &value), hasher.digest(), "{length} bytes");
        }
    }

    #[test]
    fn series_hash_separates_key_and_value() {
        assert_ne!(series_hash("cpu", [("ab", "c")]), series_hash("cpu", [("a", "bc")]));
    }
}
