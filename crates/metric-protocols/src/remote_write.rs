//! Decodes the messages of Prometheus remote write.
//!
//! The numbers of the fields are from the specifications of
//! [version 1.0](https://prometheus.io/docs/specs/prw/remote_write_spec/) and
//! [version 2.0](https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/). The decoder ignores
//! metadata, and counts exemplars and native histograms as refused.

use crate::protobuf::{Fields, Malformed, Result as ReadResult, varint};
use crate::sample_writer::{Label, SampleWriter};
use crate::{DecodeError, protobuf::Value};
use tidemark_model::configurable_limits::Limit;
use tidemark_model::time::MS_NS;
use tidemark_query::work::Work;

/// The label that contains the name of the metric.
const METRIC_NAME: &str = "__name__";
/// The work of a series without its samples: its labels are compared and copied.
const SERIES_WORK: usize = 30;
const SAMPLE_WORK: usize = 3;

/// The version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

/// The numbers of the fields of a version's messages.
struct Numbers {
    series: u32,
    samples: u32,
    exemplars: u32,
    histograms: u32,
}

impl Version {
    const fn numbers(self) -> Numbers {
        match self {
            Self::V1 => Numbers { series: 1, samples: 2, exemplars: 3, histograms: 4 },
            Self::V2 => Numbers { series: 5, samples: 2, exemplars: 4, histograms: 3 },
        }
    }
}

/// Returns the size of the decompressed body.
///
/// # Errors
/// [`Malformed`] if the body does not begin with a size.
pub fn decompressed_bytes(body: &[u8]) -> Result<usize, Malformed> {
    snap::raw::decompress_len(body).map_err(|error| not_snappy(&error))
}

/// Decompresses a body in snappy's block format. The caller must check
/// [`decompressed_bytes`] against its limit first, because the function allocates this size.
///
/// # Errors
/// [`Malformed`]
pub fn decompress(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    snap::raw::Decoder::new().decompress_vec(body).map_err(|error| not_snappy(&error))
}

fn not_snappy(error: &snap::Error) -> Malformed {
    Malformed(format!("it must be compressed with snappy's block format ({error})"))
}

/// Appends the samples of a decompressed message to `writer`.
///
/// # Errors
/// [`DecodeError`] if the whole body is refused.
pub async fn read(
    version: Version,
    message: &[u8],
    writer: &mut SampleWriter,
    work: &Work,
) -> Result<(), DecodeError> {
    let symbols = match version {
        Version::V1 => Vec::new(),
        Version::V2 => symbols(message, writer)?,
    };
    let (numbers, tags_max) = (version.numbers(), writer.limits().get(Limit::Tags));
    for field in Fields::of(message) {
        let (number, value) = field?;
        if number != numbers.series {
            continue;
        }
        let series = value.bytes()?;
        let mut labels = Labels { metric: "", others: Vec::new(), limit: tags_max };
        match version {
            Version::V1 => labels.read_v1(series)?,
            Version::V2 => labels.read_v2(series, &symbols)?,
        }
        writer.begin_series(labels.metric, labels.others)?;
        work.spend(SERIES_WORK + series.len() / 16).await;
        for field in Fields::of(series) {
            let (number, value) = field?;
            if number == numbers.samples {
                read_sample(value.bytes()?, writer)?;
                work.spend(SAMPLE_WORK).await;
            } else if number == numbers.exemplars {
                writer.refused().exemplars += 1;
            } else if number == numbers.histograms {
                writer.refused().histograms += 1;
            }
        }
    }
    Ok(())
}

fn read_sample(sample: &[u8], writer: &mut SampleWriter) -> ReadResult<()> {
    let (mut number, mut time_ms) = (0.0, 0);
    for field in Fields::of(sample) {
        match field? {
            (1, value) => number = value.double()?,
            (2, value) => time_ms = value.varint()?.cast_signed(),
            _ => {}
        }
    }
    writer.sample(time_ms.checked_mul(MS_NS), number);
    Ok(())
}

/// The labels of a series.
struct Labels<'a> {
    metric: &'a str,
    others: Vec<Label<'a>>,
    limit: usize,
}

impl<'a> Labels<'a> {
    /// Adds a label. An empty value is an absent label.
    fn add(&mut self, name: &'a str, value: &'a str) {
        if name == METRIC_NAME && self.metric.is_empty() {
            self.metric = value;
        // The writer refuses a list that exceeds the limit by one label.
        } else if !value.is_empty() && self.others.len() <= self.limit {
            self.others.push((name.into(), value.into()));
        }
    }

    fn read_v1(&mut self, series: &'a [u8]) -> ReadResult<()> {
        for field in Fields::of(series) {
            let (1, label) = field? else { continue };
            let (mut name, mut text) = ("", "");
            for field in Fields::of(label.bytes()?) {
                match field? {
                    (1, value) => name = value.text()?,
                    (2, value) => text = value.text()?,
                    _ => {}
                }
            }
            self.add(name, text);
        }
        Ok(())
    }

    fn read_v2(&mut self, series: &'a [u8], symbols: &[&'a str]) -> ReadResult<()> {
        let mut name = None;
        for field in Fields::of(series) {
            let (1, references) = field? else { continue };
            let mut add = |reference: u64| {
                let symbol = usize::try_from(reference).ok().and_then(|at| symbols.get(at));
                let missing = || Malformed(format!("symbol {reference} does not exist"));
                let symbol = *symbol.ok_or_else(missing)?;
                match name.take() {
                    None => name = Some(symbol),
                    Some(name) => self.add(name, symbol),
                }
                Ok(())
            };
            match references {
                Value::Bytes(mut packed) => {
                    while !packed.is_empty() {
                        add(varint(&mut packed)?)?;
                    }
                }
                single => add(single.varint()?)?,
            }
        }
        match name {
            None => Ok(()),
            Some(_) => Err(Malformed("the last label of a series has no value".to_owned())),
        }
    }
}

/// Returns the table of strings, whose memory it reserves first.
fn symbols<'a>(message: &'a [u8], writer: &mut SampleWriter) -> Result<Vec<&'a str>, DecodeError> {
    const SYMBOLS: u32 = 4;
    let mut count = 0;
    for field in Fields::of(message) {
        count += usize::from(field?.0 == SYMBOLS);
    }
    writer.reserve_input(count * size_of::<&str>())?;
    let mut symbols = Vec::with_capacity(count);
    for field in Fields::of(message) {
        if let (SYMBOLS, symbol) = field? {
            symbols.push(symbol.text()?);
        }
    }
    Ok(symbols)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mapping;
    use tidemark_engine::batch::column::Values;
    use tidemark_model::configurable_limits::Limits;
    use tidemark_model::prometheus::{NORMAL_NAN_BITS, STALE_NAN_BITS, companion};
    use tidemark_query::admission::Admission;
    use tidemark_query::work::complete;

    fn length_delimited(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    /// Returns the codes of a series with these values.
    fn codes(mapping: Mapping, values: &[f64]) -> (String, Vec<i64>) {
        let label = [length_delimited(1, b"__name__"), length_delimited(2, b"up")].concat();
        let mut series = length_delimited(1, &label);
        for value in values {
            let sample = [&[0x09][..], &value.to_le_bytes(), &[0x10, 1]].concat();
            series.extend(length_delimited(2, &sample));
        }
        let permit = Admission::default().permit_for("db");
        let mut writer = SampleWriter::new(mapping, permit, 0, 1, Limits::default());
        let (message, work) = (length_delimited(1, &series), Work::default());
        complete(read(Version::V1, &message, &mut writer, &work), &work).unwrap();
        let batch = writer.finish().unwrap().batch;
        let [measurement] = batch.measurements.as_slice() else { panic!("{batch:?}") };
        let [column] = measurement.block.fields.as_slice() else { panic!("{measurement:?}") };
        let Values::Integer(codes) = &column.values else { panic!("{column:?}") };
        (measurement.field_keys.concat(), codes.clone())
    }

    #[test]
    fn special_values_become_codes_in_companions() {
        let stale = f64::from_bits(STALE_NAN_BITS);
        let nan = f64::from_bits(NORMAL_NAN_BITS);
        let negative_nan = f64::from_bits(0xfff8_1234_0000_0000);
        let values = [stale, nan, f64::INFINITY, f64::NEG_INFINITY, negative_nan];
        for (mapping, field) in
            [(Mapping::MeasurementPerMetric, "value"), (Mapping::FieldPerMetric, "up")]
        {
            assert_eq!(codes(mapping, &values), (companion(field), vec![0, 1, 2, 3, 1]));
        }
    }
}
