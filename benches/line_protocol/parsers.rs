//! The two parsers that the benchmark compares.

use std::hint::black_box;

use tidemark_engine::batch::Batch;
use tidemark_engine::batch::from_lines::from_lines;
use tidemark_line_protocol::{Options, TimestampUnit};
use tidemark_model::time::Precision;

/// Validates UTF-8, converts every value and splits the tags.
pub(crate) fn parse(body: &[u8]) -> Batch {
    let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), 0);
    let (batch, rejected) = from_lines(body, options, 7).unwrap();
    assert_eq!(rejected.count, 0);
    batch
}

/// Runs InfluxDB 3's parser, which validates UTF-8 and converts every value, but builds no columns.
pub(crate) fn parse_v3(body: &[u8]) {
    for line in influxdb_line_protocol::parse_lines(std::str::from_utf8(body).unwrap()) {
        black_box(line.unwrap());
    }
}
