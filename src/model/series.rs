//! Writes a series' canonical bytes and computes the hash that routes it to a shard.

use xxhash_rust::xxh64::Xxh64;

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
    fn parts_cannot_run_into_each_other() {
        assert_ne!(series_hash("cpu", [("ab", "c")]), series_hash("cpu", [("a", "bc")]));
    }
}
