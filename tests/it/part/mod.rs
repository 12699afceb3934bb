//! Tests the values of parts that earlier releases have written, and malformed values.

mod oracle;

use std::path::PathBuf;

fn bytes(text: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn recorded() -> Vec<(Vec<u8>, Vec<u8>)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/format/part_v2.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let value = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
        ["value", head, body] => Some((bytes(head), bytes(body))),
        _ => None,
    };
    text.lines().filter_map(value).collect()
}

#[test]
fn random_part_bytes_never_panic() {
    let values = recorded();
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut refused, mut read) = (0, 0);
    for _ in 0..20_000 {
        let (head, body) = &values[rng.usize(..values.len())];
        let head = &head[..head.len() - 4];
        let mut bytes = [head, body].concat();
        let end = if rng.bool() { head.len() } else { bytes.len() };
        for _ in 0..rng.usize(0..4) {
            bytes[rng.usize(..end)] = rng.u8(..);
        }
        match oracle::check(head.len(), &bytes) {
            Some(rows) => read += usize::from(rows > 0),
            None => refused += 1,
        }
    }
    assert!(refused > 5_000 && read > 5_000, "{refused} refused, {read} read");
}
