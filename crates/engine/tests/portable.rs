//! Tests that results in WASM are the same as on the host, despite 32-bit `usize`, simd128 and
//! another libm. `scripts/wasm-runner.mjs` runs each test in WASM.

use tidemark_engine::codec::{crc, float, integer, timestamp};
use tidemark_model::series::series_hash;

const VALUES: usize = 5_000;

fn numbers() -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..VALUES).map(|_| next()).collect()
}

#[cfg(target_arch = "wasm32")]
#[test]
fn build_uses_simd128() {
    assert!(cfg!(target_feature = "simd128"));
    assert_eq!(usize::BITS, 32);
}

#[test]
fn routing_hash_and_crc_are_fixed() {
    let tags = [("host", "a"), ("region", "eu")];
    assert_eq!(series_hash("cpu", tags), 7_926_629_250_477_632_278);
    // The length of the second text is no multiple of a register size.
    assert_eq!(crc::crc32c(b"123456789"), 0xe306_9283);
    let bytes: Vec<u8> = numbers().into_iter().flat_map(u64::to_le_bytes).skip(3).collect();
    let halves = bytes.split_at(bytes.len() / 2 + 1);
    assert_eq!(crc::crc32c_append(crc::crc32c(halves.0), halves.1), crc::crc32c(&bytes));
}

#[test]
fn integers_round_trip() {
    let wide = numbers().into_iter().map(u64::cast_signed);
    let narrow = numbers().into_iter().map(|n| i64::from((n % 100) as u8) - 50);
    for values in [wide.collect::<Vec<i64>>(), narrow.collect(), vec![i64::MIN, i64::MAX, 0]] {
        let (mut bytes, mut back) = (Vec::new(), Vec::new());
        integer::encode(&values, &mut bytes);
        integer::decode(&bytes, values.len(), &mut back).unwrap();
        assert_eq!(back, values);
    }
}

#[test]
fn timestamps_round_trip() {
    let start = 1_700_000_000_123_456_789_i64;
    let grid = (0..VALUES as i64).map(|i| start + i * 10_000_000_000);
    let jitter = grid.clone().zip(numbers()).map(|(t, n)| t + (n % 1_000) as i64);
    for values in [grid.collect::<Vec<i64>>(), jitter.collect(), vec![i64::MIN, i64::MAX]] {
        let (mut bytes, mut back) = (Vec::new(), Vec::new());
        timestamp::encode(&values, &mut bytes);
        timestamp::decode(&bytes, values.len(), &mut back).unwrap();
        assert_eq!(back, values);
    }
}

#[test]
fn floats_round_trip_exactly() {
    let decimals = numbers().into_iter().map(|n| (n % 10_000) as f64 / 100.0);
    let any = numbers().into_iter().map(f64::from_bits).filter(|v| v.is_finite());
    for values in [decimals.collect::<Vec<f64>>(), any.collect(), vec![-0.0, f64::MIN_POSITIVE]] {
        let mut back = Vec::new();
        let bytes = float::draft(&values, Vec::new()).finish(None);
        float::decode_with(&bytes, values.len(), None, &mut back).unwrap();
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<u64>>();
        assert_eq!(bits(&back), bits(&values));
    }
}
