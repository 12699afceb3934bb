//! Tests all codecs with random values of several shapes and with damaged bytes.

use std::fmt::Debug;

use super::*;

fn integers(random: &mut fastrand::Rng) -> Vec<i64> {
    let n = random.usize(0..700);
    let shape = random.u8(0..6);
    let (mut walk, bits) = (random.i64(..), random.u32(0..64));
    (0..n)
        .map(|_| match shape {
            0 => walk,
            1 => random.i64(..) >> bits,
            2 => {
                walk = walk.wrapping_add(random.i64(-2..=2));
                walk
            }
            3 if random.u8(..) > 5 => random.i64(0..100),
            4 => *[i64::MIN, i64::MAX, 0].get(random.usize(0..3)).unwrap(),
            _ => random.i64(..),
        })
        .collect()
}

fn floats(random: &mut fastrand::Rng) -> Vec<f64> {
    let n = random.usize(0..700);
    let shape = random.u8(0..5);
    let power = 10_f64.powi(random.i32(0..18));
    (0..n)
        .map(|_| match shape {
            0 => random.i64(-10_000..10_000) as f64 / power,
            1 => f64::from_bits(random.u64(..)),
            2 => random.f64(),
            3 if random.u8(..) > 9 => random.i64(-10_000..10_000) as f64 / 100.0,
            3 => *[-0.0, f64::NAN, f64::INFINITY, 1e300, 5e-324].get(random.usize(0..5)).unwrap(),
            _ => 0.1 + f64::from(random.u8(..)) * 0.2,
        })
        .collect()
}

pub(super) fn damaged(bytes: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match random.u8(0..4) {
        0 => bytes.truncate(random.usize(0..=bytes.len())),
        1 => bytes.push(random.u8(..)),
        _ => {
            for _ in 0..random.usize(1..4) {
                let at = random.usize(0..bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.u8(..);
                }
            }
        }
    }
    bytes
}

fn encode_floats(values: &[f64], out: &mut Vec<u8>) {
    *out = float::draft(values, std::mem::take(out)).finish(None);
}

fn decode_floats(bytes: &[u8], count: usize, out: &mut Vec<f64>) -> Result<(), Error> {
    float::decode_with(bytes, count, None, out)
}

/// Compares the `bits` of the values, because NaN does not equal itself.
fn round_trip<T, B: PartialEq + Debug>(
    make: impl Fn(&mut fastrand::Rng) -> Vec<T>,
    encode: impl Fn(&[T], &mut Vec<u8>),
    decode: impl Fn(&[u8], usize, &mut Vec<T>) -> Result<(), Error>,
    bits: impl Fn(&T) -> B,
) {
    let bits = |values: &[T]| values.iter().map(&bits).collect::<Vec<B>>();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..1_500 {
        let values = make(&mut random);
        let (mut bytes, mut back) = (vec![9], Vec::new());
        encode(&values, &mut bytes);
        assert_eq!(bytes.remove(0), 9, "encode appends");
        decode(&bytes, values.len(), &mut back).unwrap();
        assert_eq!(bits(&back), bits(&values));
        let cut = bytes.len() - 1;
        assert!(decode(&bytes[..cut], values.len(), &mut back).is_err());
        bytes.push(0);
        assert_eq!(decode(&bytes, values.len(), &mut back), Err(Error::Trailing));
        bytes.pop();
        for _ in 0..4 {
            let hostile = damaged(&bytes, &mut random);
            if decode(&hostile, values.len(), &mut back).is_ok() {
                assert_eq!(back.len(), values.len());
            }
            let _ = decode(&hostile, random.usize(0..2_000), &mut back);
        }
        assert_eq!(decode(&bytes, VALUES_MAX + 1, &mut back), Err(Error::TooMany));
    }
}

#[test]
fn integers_round_trip() {
    for encode in [integer::encode, integer::encode_plain, integer::encode_soon] {
        round_trip(integers, encode, integer::decode, |&value| value);
    }
    round_trip(integers, timestamp::encode, timestamp::decode, |&value| value);
    round_trip(
        |random| integers(random).into_iter().map(|value| value as u64).collect(),
        |values, out| *out = unsigned::draft(values, std::mem::take(out)).finish(None),
        |bytes, count, out| unsigned::decode_with(bytes, count, None, out),
        |&value| value,
    );
}

#[test]
fn floats_round_trip_bit_for_bit() {
    for encode in [encode_floats, float::encode_plain, float::encode_soon] {
        round_trip(floats, encode, decode_floats, |value| value.to_bits());
    }
}

#[test]
fn booleans_round_trip() {
    let booleans = |random: &mut fastrand::Rng| {
        let flips = random.u8(..);
        let mut value = random.bool();
        (0..random.usize(0..700))
            .map(|_| {
                value ^= random.u8(..) < flips;
                value
            })
            .collect()
    };
    round_trip(booleans, boolean::encode, boolean::decode, |&value| value);
}

#[test]
fn huffman_drafts_need_their_code_table() {
    let mut random = fastrand::Rng::with_seed(10);
    for _ in 0..500 {
        let values = integers(&mut random);
        let times = timestamp::draft(&values, vec![9]);
        let draft = integer::draft(&values, vec![9]);
        let (Some(mut histogram), Some(more)) = (draft.histogram(), times.histogram()) else {
            continue;
        };
        histogram.add(&more);
        let table = huffman::CodeTable::for_counts(&histogram);
        let mut stored = Vec::new();
        table.write(&mut stored);
        let stored = huffman::Stored::new(stored);
        let decoder = stored.decoder().unwrap();
        let decoder = decoder.as_ref();
        let mut back = Vec::new();
        let (bytes, times) = (draft.finish(Some(&table)), times.finish(Some(&table)));
        integer::decode_with(&bytes[1..], values.len(), decoder, &mut back).unwrap();
        assert_eq!(back, values);
        timestamp::decode_with(&times[1..], values.len(), decoder, &mut back).unwrap();
        assert_eq!(back, values);
        let without = integer::decode(&bytes[1..], values.len(), &mut back);
        assert_eq!(without, Err(Error::UnknownMethod(bytes[1])));
    }
}

#[test]
fn flushed_integers_use_byte_aligned_codecs() {
    let mut random = fastrand::Rng::with_seed(7);
    let method_and_bytes = |values: &[i64]| {
        let (mut soon, mut packed) = (Vec::new(), Vec::new());
        integer::encode_soon(values, &mut soon);
        integer::encode(values, &mut packed);
        (soon[0], soon.len() / values.len(), packed.len() / values.len())
    };
    let percent: Vec<i64> = (0..5_000).map(|_| random.i64(0..=100)).collect();
    assert_eq!(method_and_bytes(&percent), (3, 1, 0));
    let full: Vec<i64> = (0..5_000).map(|_| random.i64(0..1 << 52)).collect();
    assert_eq!(method_and_bytes(&full), (3, 8, 6));
    // A counter's differences take one byte each, and its values take eight bytes each.
    let counter: Vec<i64> = (0..5_000).map(|at| (at << 30) + random.i64(0..100)).collect();
    assert_eq!(method_and_bytes(&counter), (2, 4, 4));
    let counter: Vec<i64> = (0..5_000).map(|at| 1_000_000 * at + random.i64(0..100)).collect();
    assert_eq!(method_and_bytes(&counter), (2, 2, 2));
}

#[test]
fn regular_and_jittered_timestamps_compress() {
    let mut random = fastrand::Rng::with_seed(3);
    let regular: Vec<i64> =
        (0..1_000).map(|i| 1_700_000_000_000_000_000 + i * 10_000_000_000).collect();
    let by_series: Vec<i64> =
        (0..5_000).map(|i| 1_700_000_000_000_000_000 + i % 50 * 10_000_000_000).collect();
    let jittered: Vec<i64> =
        regular.iter().map(|time| time + random.i64(-5..=5) * 1_000_000).collect();
    let size = |times: &[i64]| {
        let (mut bytes, mut back) = (Vec::new(), Vec::new());
        timestamp::encode(times, &mut bytes);
        timestamp::decode(&bytes, times.len(), &mut back).unwrap();
        assert_eq!(back, times);
        bytes.len()
    };
    assert!(size(&regular) < 40, "{}", size(&regular));
    assert!(size(&by_series) < 500, "{}", size(&by_series));
    assert!(size(&jittered) < 700, "{}", size(&jittered));
}

#[test]
fn random_walks_and_decimals_compress() {
    let mut random = fastrand::Rng::with_seed(4);
    let mut value = 50_f64;
    let walk: Vec<f64> = (0..4_096)
        .map(|_| {
            value = (value + (random.f64() + random.f64() + random.f64() - 1.5) * 2.0)
                .clamp(0.0, 100.0);
            value
        })
        .collect();
    let whole: Vec<i64> = walk.iter().map(|value| *value as i64).collect();
    let cents: Vec<f64> = walk.iter().map(|value| (value * 100.0).round() / 100.0).collect();
    let mut bytes = Vec::new();
    integer::encode(&whole, &mut bytes);
    assert!(bytes.len() < 4_096 * 40 / 100, "{}", bytes.len());
    bytes.clear();
    encode_floats(&cents, &mut bytes);
    assert!(bytes.len() < 4_096 * 130 / 100, "{}", bytes.len());
    bytes.clear();
    encode_floats(&walk, &mut bytes);
    assert!(bytes.len() < 4_096 * 7, "{}", bytes.len());
}

#[test]
fn strings_round_trip() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..1_500 {
        let distinct = random.usize(1..300);
        let strings: Vec<String> = (0..random.usize(0..400))
            .map(|_| format!("ü{}", "x".repeat(random.usize(0..distinct) % 40)))
            .collect();
        let text: String = strings.concat();
        let mut end = 0;
        let ends: Vec<u32> = strings
            .iter()
            .map(|string| {
                end += string.len() as u32;
                end
            })
            .collect();
        let (mut bytes, mut text_back, mut ends_back) = (Vec::new(), String::new(), Vec::new());
        string::encode(&text, &ends, &mut bytes);
        let codes = string::decode(&bytes, ends.len(), &mut text_back, &mut ends_back).unwrap();
        let (back, lengths) = spelt_out(&text_back, &ends_back, codes);
        assert_eq!(back, text);
        assert!(lengths.eq(strings.iter().map(String::len)));
        for _ in 0..4 {
            let hostile = damaged(&bytes, &mut random);
            let read = string::decode(&hostile, ends.len(), &mut text_back, &mut ends_back);
            if let Ok(codes) = read {
                assert_eq!(spelt_out(&text_back, &ends_back, codes).1.count(), ends.len());
            }
        }
    }
}

fn spelt_out(
    text: &str,
    ends: &[u32],
    codes: Option<Vec<u32>>,
) -> (String, impl Iterator<Item = usize>) {
    let entry = |code: u32| {
        let start = code.checked_sub(1).map_or(0, |before| ends[before as usize]);
        text[start as usize..ends[code as usize] as usize].to_owned()
    };
    let codes = codes.unwrap_or_else(|| (0..ends.len() as u32).collect());
    let strings: Vec<String> = codes.into_iter().map(entry).collect();
    (strings.concat(), strings.into_iter().map(|string| string.len()))
}

#[test]
fn dictionaries_and_codes_round_trip() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..1_500 {
        let (step, few) = (random.usize(1..9), random.u64(1..300));
        let strings: Vec<String> = (0..random.usize(0..300))
            .map(|n| match step {
                1 => "é".repeat(random.usize(0..40)),
                _ => format!("device-ü{:05}{}", n * step, "/x".repeat(n % step)),
            })
            .collect();
        let mut bytes = Vec::new();
        front_coding::encode(strings.iter().map(String::as_str), &mut bytes);
        let mut back = Vec::new();
        front_coding::decode(&bytes, strings.len(), |string| back.push(string.to_owned())).unwrap();
        assert_eq!(back, strings);
        let codes: Vec<u64> = (0..random.u64(0..300))
            .map(|n| if step % 2 == 0 { n } else { random.u64(0..few) })
            .collect();
        let mut code_bytes = Vec::new();
        front_coding::encode_codes(&codes, &mut code_bytes);
        assert_eq!(front_coding::decode_codes(&code_bytes, codes.len()).unwrap(), codes);
        for _ in 0..4 {
            let hostile = damaged(&bytes, &mut random);
            let mut strings_back = 0;
            if front_coding::decode(&hostile, strings.len(), |_| strings_back += 1).is_ok() {
                assert_eq!(strings_back, strings.len());
            }
            let hostile = damaged(&code_bytes, &mut random);
            if let Ok(back) = front_coding::decode_codes(&hostile, codes.len()) {
                assert_eq!(back.len(), codes.len());
            }
        }
    }
}

#[test]
fn front_coding_shrinks_numbered_names() {
    let strings: Vec<String> = (0..50_000).map(|n| format!("device-{n:07}")).collect();
    let mut bytes = Vec::new();
    front_coding::encode(strings.iter().map(String::as_str), &mut bytes);
    assert!(bytes.len() < 50_000, "{}", bytes.len());
    bytes.clear();
    front_coding::encode_codes(&(1..=50_000).collect::<Vec<u64>>(), &mut bytes);
    assert!(bytes.len() < 50, "{}", bytes.len());
}

#[test]
fn front_coding_expansion_is_bounded() {
    // A string of 1 MB, and forty strings that share all of its bytes.
    let long = "x".repeat(1 << 20);
    let mut bytes = Vec::new();
    front_coding::encode(std::iter::repeat_n(long.as_str(), 40), &mut bytes);
    assert!(bytes.len() < 1_000, "{}", bytes.len());
    assert_eq!(front_coding::decode(&bytes, 40, |_| {}), Err(Error::TooMany));
}

#[test]
fn repeated_strings_are_stored_once() {
    let text = "runningstopped".repeat(500);
    let ends: Vec<u32> = (0..1_000).map(|i| i / 2 * 14 + if i % 2 == 0 { 7 } else { 14 }).collect();
    let mut bytes = Vec::new();
    string::encode(&text, &ends, &mut bytes);
    assert!(bytes.len() < 200, "{}", bytes.len());
}

#[test]
fn dictionary_expansion_is_bounded() {
    // 100 copies of a 1 MB string expand to 100 MB.
    let mut bytes = vec![1, 1];
    for integer in [1 << 20, 0] {
        let mut counted = vec![0];
        varint::write_signed(integer, &mut counted);
        varint::write(counted.len() as u64, &mut bytes);
        bytes.append(&mut counted);
    }
    bytes.resize(bytes.len() + (1 << 20), b'x');
    let (mut text, mut ends) = (String::new(), Vec::new());
    assert_eq!(string::decode(&bytes, 3, &mut text, &mut ends), Ok(Some(vec![0; 3])));
    assert_eq!(string::decode(&bytes, 100, &mut text, &mut ends), Err(Error::TooMany));
}

#[test]
fn validity_round_trips() {
    let mut random = fastrand::Rng::with_seed(6);
    for _ in 0..3_000 {
        let count = random.usize(0..400);
        let (nulls, sticky) = (random.u8(..), random.bool());
        let mut words = vec![0_u64; count.div_ceil(64)];
        let mut valid = true;
        for row in 0..count {
            if !sticky || random.u8(0..20) == 0 {
                valid = random.u8(..) >= nulls;
            }
            words[row / 64] |= u64::from(valid) << (row % 64);
        }
        let (mut bytes, mut back) = (Vec::new(), Vec::new());
        validity::encode(&words, count, &mut bytes);
        assert!(bytes.len() <= 1 + count.div_ceil(8));
        validity::decode(&bytes, count, &mut back).unwrap();
        assert_eq!(back, words);
        for _ in 0..4 {
            let hostile = damaged(&bytes, &mut random);
            if validity::decode(&hostile, count, &mut back).is_ok() {
                assert_eq!(back.len(), count.div_ceil(64));
                assert!(count.is_multiple_of(64) || back.last().unwrap() >> (count % 64) == 0);
            }
        }
    }
}

#[test]
fn varints_round_trip_and_detect_truncation() {
    for value in [0, 1, 127, 128, 16_383, 16_384, u64::MAX >> 1, u64::MAX] {
        let mut bytes = Vec::new();
        varint::write(value, &mut bytes);
        assert_eq!(varint::read(&mut bytes.as_slice()), Ok(value));
        assert_eq!(varint::read(&mut &bytes[..bytes.len() - 1]), Err(Error::Truncated));
        let signed = value as i64;
        assert_eq!(varint::unzigzag(varint::zigzag(signed)), signed);
    }
    assert_eq!(varint::read(&mut [0xff; 10].as_slice()), Err(Error::Corrupt));
}
