//! Reads files of the repository by their path.

use std::path::Path;

use serde_json::Value;

pub(crate) fn text(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(whole).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the cases of a file in `tests/data/influxdata`.
pub(crate) fn influxdata_cases(file: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/influxdata");
    let gzip = std::fs::read(folder.join(format!("{file}.jsonl.gz"))).unwrap();
    // The files have a header of 10 bytes and a trailer of 8 bytes.
    let lines = miniz_oxide::inflate::decompress_to_vec(&gzip[10..gzip.len() - 8]).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
