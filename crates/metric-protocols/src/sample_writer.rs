//! Maps samples of labelled series to points, and appends the points to the batch of a write.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::DecodeError;
use tidemark_engine::batch::Batch;
use tidemark_engine::batch::from_lines::BatchBuilder;
use tidemark_line_protocol::{Cause, FieldKey, SeriesKey, Sink, escape_field_key};
use tidemark_model::configurable_limits::Limits;
use tidemark_model::limits::{PARSED_PIECE_BYTES, REJECTED_LINES_NAMED_MAX};
use tidemark_model::name::{NameKind, check_writable};
use tidemark_model::prometheus::{Special, companion};
use tidemark_model::time::{MAX_TIME_NS, MIN_TIME_NS};
use tidemark_query::admission::Permit;

/// The field of every measurement of [`Mapping::MeasurementPerMetric`].
const VALUE_FIELD: &str = "value";
/// The measurement of [`Mapping::FieldPerMetric`].
const SHARED_MEASUREMENT: &str = "prometheus";

/// A label of a series: its name and its value.
pub(crate) type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The place of a metric's samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mapping {
    /// Each metric has its own measurement with the field `value`, as in InfluxDB 1.x.
    #[default]
    MeasurementPerMetric,
    /// Each metric has its own field in the measurement `prometheus`, as with Telegraf's
    /// `prometheus_v2`.
    FieldPerMetric,
}

impl Mapping {
    /// Returns the mapping with this name in requests.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "measurement" => Some(Self::MeasurementPerMetric),
            "field" => Some(Self::FieldPerMetric),
            _ => None,
        }
    }
}

/// The samples that the decoder did not append to the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// The number of refused samples.
    pub samples: u64,
    /// The series and the causes of the first refused samples.
    pub named: Vec<(String, String)>,
    /// The number of exemplars, which the server does not store.
    pub exemplars: u64,
    /// The number of native histograms, which the server does not store.
    pub histograms: u64,
}

/// The result of a decoder.
#[derive(Debug)]
pub struct WrittenSamples {
    /// The accepted samples. The line number of a row is the 1-based number of its series.
    pub batch: Batch,
    /// The refused samples.
    pub refused: Refused,
    /// The memory reservation of the batch.
    pub permit: Permit,
    /// The texts of the series.
    pub series: SeriesTexts,
}

/// The text of each series, for errors.
#[derive(Debug, Default)]
pub struct SeriesTexts {
    text: String,
    ends: Vec<usize>,
    /// The position of the last series' labels.
    labels_start: usize,
}

impl SeriesTexts {
    fn push(&mut self, metric: &str, labels: &[Label<'_>]) {
        let text = &mut self.text;
        escape(metric, text);
        self.labels_start = text.len();
        for (position, (name, value)) in labels.iter().enumerate() {
            text.push(if position == 0 { '{' } else { ',' });
            escape(name, text);
            text.push_str("=\"");
            escape(value, text);
            text.push('"');
        }
        text.push_str(if labels.is_empty() { "" } else { "}" });
        self.ends.push(text.len());
    }

    /// Returns the series with this 1-based number, such as `up{job="node"}`.
    pub fn get(&self, number: u32) -> &str {
        let end = |number: u32| self.ends.get((number as usize).wrapping_sub(1)).copied();
        let start = end(number.saturating_sub(1)).unwrap_or(0);
        end(number).and_then(|end| self.text.get(start..end)).unwrap_or_default()
    }

    fn last(&self) -> &str {
        self.get(self.number())
    }

    fn last_labels(&self) -> &str {
        self.text.get(self.labels_start..).unwrap_or_default()
    }

    fn number(&self) -> u32 {
        self.ends.len() as u32
    }

    fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

/// Escapes quotes, backslashes and characters that do not belong in an error of one line.
fn escape(part: &str, text: &mut String) {
    let is_plain = |byte: u8| byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    if part.bytes().all(is_plain) {
        text.push_str(part);
    } else {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}", part.escape_debug());
    }
}

/// A field of the current series.
#[derive(Debug, Default)]
struct Field {
    /// The escaped key and `=`, as [`Sink::expected_field`] returns it.
    text: String,
}

impl Field {
    fn set(&mut self, key: &str) {
        self.text.clear();
        escape_field_key(key, |piece| self.text.push_str(piece));
        self.text.push('=');
    }

    fn key(&self, expected: &[u8]) -> FieldKey<'_> {
        match expected == self.text.as_bytes() {
            true => FieldKey::Expected,
            false => FieldKey::Raw(self.text.strip_suffix('=').unwrap_or_default()),
        }
    }
}

/// Appends samples to the batch of a write. The samples of a series follow
/// [`SampleWriter::begin_series`].
#[derive(Debug)]
pub struct SampleWriter {
    mapping: Mapping,
    limits: Limits,
    builder: BatchBuilder,
    series: SeriesTexts,
    field: Field,
    companion: Field,
    /// The cause for which the samples of the current series are refused.
    refusal: Option<String>,
    refused: Refused,
    permit: Permit,
    /// The memory of the body and of the decoder, in bytes.
    input_bytes: usize,
    /// The size of the series and samples since the last reservation of memory, in bytes.
    unreserved_bytes: usize,
}

impl SampleWriter {
    /// Creates a writer. `permit` is the memory reservation of the body, which has `input_bytes`.
    /// `seed` must be random, so that a client cannot choose colliding series.
    pub fn new(
        mapping: Mapping,
        permit: Permit,
        input_bytes: usize,
        seed: u64,
        limits: Limits,
    ) -> Self {
        let (mut field, mut companion_field) = (Field::default(), Field::default());
        field.set(VALUE_FIELD);
        companion_field.set(&companion(VALUE_FIELD));
        Self {
            mapping,
            limits,
            builder: BatchBuilder::new(seed, limits),
            series: SeriesTexts::default(),
            field,
            companion: companion_field,
            refusal: None,
            refused: Refused::default(),
            permit,
            input_bytes,
            unreserved_bytes: 0,
        }
    }

    /// Returns the accepted and the refused samples.
    ///
    /// # Errors
    /// [`DecodeError::Overloaded`]
    pub fn finish(mut self) -> Result<WrittenSamples, DecodeError> {
        self.reserve()?;
        let batch = self.builder.finish();
        let bytes = batch.bytes() + self.series.bytes();
        self.permit.shrink_to(bytes);
        self.permit.grow_to(bytes)?;
        let Self { refused, permit, series, .. } = self;
        Ok(WrittenSamples { batch, refused, permit, series })
    }

    /// Returns the limits of the write. A decoder may stop collecting the labels of a series when
    /// their number exceeds the limit.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn refused(&mut self) -> &mut Refused {
        &mut self.refused
    }

    /// Reserves memory for `bytes` of the decoder, in addition to the body.
    pub(crate) fn reserve_input(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.input_bytes += bytes;
        self.reserve()
    }

    fn reserve(&mut self) -> Result<(), DecodeError> {
        let bytes = self.input_bytes + self.builder.bytes() + self.series.bytes();
        Ok(self.permit.grow_to(bytes)?)
    }

    /// Starts a series. `labels` omits the name of the metric. The samples of a series that cannot
    /// be stored are refused.
    pub(crate) fn begin_series<'a>(
        &mut self,
        metric: &'a str,
        labels: Vec<Label<'a>>,
    ) -> Result<(), DecodeError> {
        let start = self.series.text.len();
        self.series.push(metric, &labels);
        self.unreserved_bytes += self.series.text.len() - start + size_of::<usize>();
        if self.unreserved_bytes >= PARSED_PIECE_BYTES {
            self.unreserved_bytes = 0;
            self.reserve()?;
        }
        self.refusal = self.find_series(metric, labels).err().map(|cause| cause.to_string());
        Ok(())
    }

    fn find_series<'a>(&mut self, metric: &'a str, labels: Vec<Label<'a>>) -> Result<(), Cause> {
        let (measurement, text) = match self.mapping {
            Mapping::MeasurementPerMetric => (metric, self.series.last()),
            Mapping::FieldPerMetric => {
                check_writable(metric, NameKind::FieldKey)?;
                self.field.set(metric);
                self.companion.set(&companion(metric));
                (SHARED_MEASUREMENT, self.series.last_labels())
            }
        };
        let key = SeriesKey::new(measurement.into(), labels, &self.limits)?;
        self.builder.begin_series(text, &key)
    }

    /// Appends a sample of the current series.
    pub(crate) fn sample(&mut self, time_ns: Option<i64>, value: f64) {
        self.append(time_ns, |builder, field, companion| match Special::of(value) {
            None => {
                let key = field.key(builder.expected_field());
                builder.float(key, value)
            }
            Some(special) => {
                let key = companion.key(builder.expected_field());
                builder.integer(key, special.code())
            }
        });
    }

    /// Appends an integer to an integer field of the current series.
    pub(crate) fn integer(&mut self, time_ns: Option<i64>, value: i64) {
        self.append(time_ns, |builder, field, _| {
            let key = field.key(builder.expected_field());
            builder.integer(key, value)
        });
    }

    fn append(
        &mut self,
        time_ns: Option<i64>,
        append: impl FnOnce(&mut BatchBuilder, &Field, &Field) -> Result<(), Cause>,
    ) {
        if let Some(cause) = &self.refusal {
            let cause = cause.clone();
            return self.refuse(|| cause);
        }
        let in_range = |time_ns: &i64| (MIN_TIME_NS..=MAX_TIME_NS).contains(time_ns);
        let Some(time_ns) = time_ns.filter(in_range) else {
            return self.refuse(|| {
                format!("the timestamp is outside of the range of times (±{MAX_TIME_NS} ns)")
            });
        };
        self.unreserved_bytes += size_of::<f64>() + size_of::<i64>();
        let appended = append(&mut self.builder, &self.field, &self.companion);
        let number = self.series.number();
        if let Err(cause) = appended.and_then(|()| self.builder.commit(time_ns, number)) {
            self.builder.rollback();
            self.refuse(|| cause.to_string());
        }
    }

    /// Refuses a sample of the current series.
    pub(crate) fn refuse(&mut self, cause: impl FnOnce() -> String) {
        self.refused.samples += 1;
        if self.refused.named.len() < REJECTED_LINES_NAMED_MAX {
            self.refused.named.push((self.series.last().to_owned(), cause()));
        }
    }
}
