//! The two parsers that take turns, on one body.

use std::hint::black_box;

use tidemark::batch::Batch;
use tidemark::batch::from_lines::from_lines;
use tidemark::line_protocol::{Options, TimestampUnit};
use tidemark::model::time::Precision;

/// Bytes to columns: UTF-8 checked, every value converted, tags cut, a fresh batch.
pub(crate) fn parse(body: &[u8]) -> Batch {
    let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), 0);
    let (batch, rejected) = from_lines(body, options, 7).unwrap();
    assert_eq!(rejected.count, 0);
    batch
}

/// InfluxDB 3's parser: UTF-8 checked and every value converted, but no columns built.
pub(crate) fn parse_v3(body: &[u8]) {
    for line in influxdb_line_protocol::parse_lines(std::str::from_utf8(body).unwrap()) {
        black_box(line.unwrap());
    }
}
