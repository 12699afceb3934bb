//! Decodes arbitrary bytes as the messages of the metric protocols. The fuzz targets and the test of
//! mutated messages share these checks.

use tidemark_metric_protocols::otlp::{self, Options, ResourceTags};
use tidemark_metric_protocols::remote_write::{self, Version};
use tidemark_metric_protocols::{DecodeError, Mapping, SampleWriter};
use tidemark_model::configurable_limits::Limits;
use tidemark_query::admission::Admission;
use tidemark_query::work::{Work, complete};

fn writer(mapping: Mapping, bytes: usize) -> SampleWriter {
    let permit = Admission::default().permit_for("db");
    SampleWriter::new(mapping, permit, bytes, 1, Limits::default())
}

/// Checks that each stored row belongs to a series, and that a message has at least one byte for
/// each sample.
fn check(
    decoded: Result<(), DecodeError>,
    writer: SampleWriter,
    bytes_per_sample: usize,
    bytes: usize,
) {
    if decoded.is_err() {
        return;
    }
    let Ok(samples) = writer.finish() else { return };
    let mut rows = 0;
    for measurement in &samples.batch.measurements {
        rows += measurement.block.rows();
        for row in 0..measurement.block.rows() {
            assert!(!samples.series.get(measurement.lines.get(row)).is_empty());
        }
    }
    assert!(bytes_per_sample * (rows + samples.refused.samples as usize) <= bytes);
    assert!(samples.refused.named.len() as u64 <= samples.refused.samples);
}

/// Decodes the bytes as both versions of remote write. The first byte selects the mapping.
#[allow(dead_code, reason = "each fuzz target calls one of the functions")]
pub(crate) fn check_remote_write(bytes: &[u8]) {
    let Some((&first, message)) = bytes.split_first() else { return };
    let mapping = [Mapping::MeasurementPerMetric, Mapping::FieldPerMetric][usize::from(first & 1)];
    for version in [Version::V1, Version::V2] {
        let (mut writer, work) = (writer(mapping, message.len()), Work::default());
        let decoded = complete(remote_write::read(version, message, &mut writer, &work), &work);
        // A sample has at least a key and a length.
        check(decoded, writer, 2, message.len());
    }
}

/// Decodes the bytes as OTLP: as JSON if they are JSON, and otherwise as protobuf. The first byte
/// selects the options.
#[allow(dead_code, reason = "each fuzz target calls one of the functions")]
pub(crate) fn check_otlp(bytes: &[u8]) {
    let Some((&first, body)) = bytes.split_first() else { return };
    let mapping = [Mapping::MeasurementPerMetric, Mapping::FieldPerMetric][usize::from(first & 1)];
    let options = Options {
        keeps_names: first & 2 > 0,
        resource_tags: match first & 4 {
            0 => ResourceTags::All,
            _ => ResourceTags::Named(vec!["host.name".to_owned()]),
        },
        has_scope_tags: first & 8 > 0,
        keeps_integers: first & 16 > 0,
    };
    let message = otlp::to_protobuf(body).unwrap_or_else(|_| body.to_vec());
    let (mut writer, work) = (writer(mapping, message.len()), Work::default());
    let decoded = complete(otlp::read(&message, &options, &mut writer, &work), &work);
    // An empty histogram has two bytes, and three series.
    check(decoded.map(drop), writer, 0, message.len());
}
