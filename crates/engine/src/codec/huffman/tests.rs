//! Tests of classes and tables.

use super::*;
use crate::codec::Error;
use crate::codec::tests::damaged;

fn residuals(random: &mut fastrand::Rng) -> Vec<u64> {
    let (shape, bits) = (random.u8(0..4), random.u32(1..=64));
    (0..random.usize(0..700))
        .map(|_| match shape {
            0 => u64::from(bits),
            1 => random.u64(..) >> (64 - bits),
            2 => u64::from(random.u64(..).leading_zeros()),
            _ => random.u64(..) >> random.u32(0..64),
        })
        .collect()
}

#[test]
fn huffman_classes_round_trip() {
    let mut random = fastrand::Rng::with_seed(8);
    for _ in 0..3_000 {
        let blocks: Vec<Vec<u64>> = (0..3).map(|_| residuals(&mut random)).collect();
        let mut histogram = Histogram::count(&blocks[0]);
        blocks.iter().skip(1).for_each(|block| histogram.add(&Histogram::count(block)));
        let table = CodeTable::for_counts(&histogram);
        let mut stored = Vec::new();
        table.write(&mut stored);
        let decoder = Decoder::read(&mut stored.as_slice()).unwrap();
        let mut back = Vec::new();
        for block in &blocks {
            let mut bytes = Vec::new();
            table.encode(block, &mut bytes);
            let estimate = Histogram::count(block).bytes(&table);
            assert!(bytes.len().abs_diff(estimate) <= 4, "{} {estimate}", bytes.len());
            back.clear();
            decoder.decode(&bytes, block.len(), &mut back).unwrap();
            assert_eq!(&back, block);
            assert_eq!(
                decoder.decode(&[&bytes[..], &[0]].concat(), block.len(), &mut back),
                Err(Error::Trailing)
            );
            for _ in 0..4 {
                back.clear();
                let hostile = damaged(&bytes, &mut random);
                let is_sound = decoder.decode(&hostile, block.len(), &mut back).is_ok();
                if is_sound {
                    assert_eq!(back.len(), block.len());
                }
                let fresh = Decoder::read(&mut stored.as_slice()).unwrap();
                let mut few = Vec::new();
                assert_eq!(fresh.decode(&hostile, block.len(), &mut few).is_ok(), is_sound);
                assert!(!is_sound || few == back);
                let _ = decoder.decode(&hostile, random.usize(0..2_000), &mut back);
            }
        }
        for _ in 0..4 {
            let hostile = damaged(&stored, &mut random);
            if let Ok(decoder) = Decoder::read(&mut hostile.as_slice()) {
                let _ = decoder.decode(&damaged(&stored, &mut random), 50, &mut back);
            }
        }
    }
}

#[test]
fn huffman_size_approaches_entropy() {
    let mut random = fastrand::Rng::with_seed(9);
    // The distribution is geometric, with two bits of entropy per value.
    let values: Vec<u64> = (0..10_000).map(|_| u64::from(random.u64(..).leading_zeros())).collect();
    let table = CodeTable::for_counts(&Histogram::count(&values));
    let mut bytes = Vec::new();
    table.encode(&values, &mut bytes);
    assert!(bytes.len() < 10_000 * 2 / 8 * 102 / 100, "{}", bytes.len());
    let values = [7; 10_000];
    let table = CodeTable::for_counts(&Histogram::count(&values));
    bytes.clear();
    table.encode(&values, &mut bytes);
    assert_eq!(bytes, [0, 0]);
}
