//! Writes a series' canonical bytes and computes the hash that routes it to a shard.

use xxhash_rust::xxh64::Xxh64;

use super::ids::{ColumnId, MeasurementId};

/// Hashes a series key for routing: unseeded xxh64 over, for the measurement and then each tag key
/// and tag value in key order, the part's length (u32, little-endian) and its bytes.
///
/// Part of the stored format: a series stays on the shard that this names. Golden-tested.
/// `tags` must be sorted by key and hold no empty value.
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

/// Hashes one tag value to be counted; the seed stands for measurement and key. Not stored.
pub fn value_hash(seed: u64, value: &str) -> u64 {
    let mut hasher = Xxh64::new(seed);
    update(&mut hasher, value);
    hasher.digest()
}

/// What a tag with this value adds to a series' [`id_hash`]; '' adds nothing.
pub fn tag_hash(seed: u64, tag: ColumnId, value: &str) -> u64 {
    if value.is_empty() { 0 } else { value_hash(seed ^ (u64::from(tag.0) << 32), value) }
}

/// Hashes a series by the ids of its measurement and tags: `tags` is the sum of their
/// [`tag_hash`]es, in any order. Who does not know the seed cannot choose the hash. Part of the
/// stored format: what was counted under a seed is compared with what is counted later.
pub fn id_hash(seed: u64, measurement: MeasurementId, tags: u64) -> u64 {
    let mut hasher = Xxh64::new(seed);
    hasher.update(&measurement.0.to_le_bytes());
    hasher.update(&tags.to_le_bytes());
    hasher.digest()
}

fn update(hasher: &mut Xxh64, part: &str) {
    // Names are at most 65,535 bytes (model::limits), so the length always fits.
    hasher.update(&(part.len() as u32).to_le_bytes());
    hasher.update(part.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routing_hash_never_changes() {
        assert_eq!(series_hash("cpu", []), 14_101_580_467_338_032_407);
        assert_eq!(
            series_hash("cpu", [("host", "a"), ("region", "eu")]),
            7_926_629_250_477_632_278
        );
    }

    #[test]
    fn the_hash_of_what_is_counted_never_changes() {
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
    fn parts_cannot_run_into_each_other() {
        assert_ne!(series_hash("cpu", [("ab", "c")]), series_hash("cpu", [("a", "bc")]));
    }
}
