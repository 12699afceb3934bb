//! Decodes OTLP metrics.
//!
//! A histogram and a summary become the series of Prometheus' classic histograms and summaries. An
//! exponential histogram becomes a classic histogram whose bounds are the bounds of its buckets. The
//! numbers of the fields are from `opentelemetry/proto/metrics/v1/metrics.proto`.

mod attributes;
mod json;
mod names;
mod response;

use std::borrow::Cow;

pub use json::to_protobuf;
pub use response::Encoding;

use crate::DecodeError;
use crate::protobuf::{Fields, Malformed, Result as ReadResult, Value};
use crate::sample_writer::{Label, SampleWriter};
use attributes::{Attribute, sort_and_join};
use names::{Kind, metric_name};
use tidemark_model::configurable_limits::Limit;
use tidemark_model::limits::HISTOGRAM_BUCKETS_MAX;
use tidemark_model::prometheus::STALE_NAN_BITS;
use tidemark_query::work::Work;

/// The work of a data point with one value, and of each further series of the point.
const POINT_WORK: usize = 50;
/// The flag of a data point that has no value.
const NO_RECORDED_VALUE: u64 = 1;
const DELTA: u64 = 1;
/// The series with the resource's attributes that are not tags.
const TARGET_INFO: &str = "target_info";

/// The attributes of a resource that become tags of every series, in addition to `job` and
/// `instance`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceTags {
    /// All attributes. No series `target_info` is stored.
    All,
    /// The attributes with these keys. The others become tags of the series `target_info`.
    Named(Vec<String>),
}

/// The rules of the conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether names stay as sent. Otherwise they become Prometheus' names.
    pub keeps_names: bool,
    /// The resource's attributes that become tags.
    pub resource_tags: ResourceTags,
    /// Whether the name, the version and the attributes of the scope become tags.
    pub has_scope_tags: bool,
    /// Whether integers are stored in integer fields. Otherwise all values are floats.
    pub keeps_integers: bool,
}

/// Appends the data points of a request to `writer`. Returns the number of data points.
///
/// # Errors
/// [`DecodeError`] if the whole body is refused.
pub async fn read(
    request: &[u8],
    options: &Options,
    writer: &mut SampleWriter,
    work: &Work,
) -> Result<u64, DecodeError> {
    let mut points = 0;
    for field in Fields::of(request) {
        let (1, resource_metrics) = field? else { continue };
        let resource_metrics = resource_metrics.bytes()?;
        let resource = Resource::read(resource_metrics, options, writer)?;
        let mut newest_ns = None;
        for field in Fields::of(resource_metrics) {
            let (2, scope_metrics) = field? else { continue };
            let scope_metrics = scope_metrics.bytes()?;
            let scope = scope_tags(scope_metrics, options, writer)?;
            let common: Vec<&Label<'_>> = resource.tags.iter().chain(&scope).collect();
            for field in Fields::of(scope_metrics) {
                let (2, metric) = field? else { continue };
                for field in Fields::of(metric.bytes()?) {
                    let (number, data) = field?;
                    let Some(shape) = Shape::of_field(number) else { continue };
                    let metric = Metric::read(metric.bytes()?, shape, data.bytes()?, options)?;
                    for field in Fields::of(data.bytes()?) {
                        let (1, point) = field? else { continue };
                        let point = Point::read(point.bytes()?, &metric, &common, options, writer)?;
                        points += 1;
                        newest_ns = newest_ns.max(point.time_ns);
                        let n_series = metric.write(point, options, writer)?;
                        work.spend(POINT_WORK * (1 + n_series)).await;
                    }
                }
            }
        }
        if let Some(time_ns) = newest_ns {
            resource.write_info(time_ns, writer)?;
        }
    }
    Ok(points)
}

/// Adds a label unless the list already exceeds the limit of tags, so that the list stays small.
fn add_label<'a>(labels: &mut Vec<Label<'a>>, label: Label<'a>, writer: &SampleWriter) {
    if labels.len() <= writer.limits().get(Limit::Tags) {
        labels.push(label);
    }
}

/// The attributes of a resource.
struct Resource<'a> {
    /// The tags of every series.
    tags: Vec<Label<'a>>,
    /// The other attributes.
    info: Vec<Label<'a>>,
}

impl<'a> Resource<'a> {
    fn read(
        resource_metrics: &'a [u8],
        options: &Options,
        writer: &SampleWriter,
    ) -> ReadResult<Self> {
        let (mut tags, mut info) = (Vec::new(), Vec::new());
        let (mut namespace, mut name, mut instance) =
            (Cow::default(), Cow::default(), Cow::default());
        for attribute in attributes(resource_metrics, 1, 1) {
            let attribute = attribute?;
            let identity = match attribute.key {
                "service.namespace" => Some(&mut namespace),
                "service.name" => Some(&mut name),
                "service.instance.id" => Some(&mut instance),
                _ => None,
            };
            let is_identity = identity.is_some();
            if let Some(part) = identity {
                *part = attribute.text()?;
            }
            let is_tag = match &options.resource_tags {
                ResourceTags::All => true,
                ResourceTags::Named(keys) => keys.iter().any(|key| key == attribute.key),
            };
            let label = attribute.label(options.keeps_names)?;
            if is_tag {
                add_label(&mut tags, label, writer);
            } else if !is_identity {
                add_label(&mut info, label, writer);
            }
        }
        let job = match (namespace.is_empty(), name.is_empty()) {
            (false, false) => format!("{namespace}/{name}").into(),
            _ => name,
        };
        tags.push(("job".into(), job));
        tags.push(("instance".into(), instance));
        Ok(Self { tags, info })
    }

    /// Appends the series `target_info`, if the resource has attributes for it.
    fn write_info(&self, time_ns: i64, writer: &mut SampleWriter) -> Result<(), DecodeError> {
        if self.info.is_empty() {
            return Ok(());
        }
        let mut labels: Vec<_> = self.tags.iter().chain(&self.info).map(borrowed).collect();
        sort_and_join(&mut labels);
        writer.begin_series(TARGET_INFO, labels)?;
        writer.sample(Some(time_ns), 1.0);
        Ok(())
    }
}

/// Returns the attributes in field `list` of the message in field `owner`.
fn attributes(
    message: &[u8],
    owner: u32,
    list: u32,
) -> impl Iterator<Item = ReadResult<Attribute<'_>>> {
    let messages = move |message, number: u32| {
        let fields = Fields::of(message);
        fields.filter(move |field| field.as_ref().map_or(true, |(found, _)| *found == number))
    };
    let owners = messages(message, owner).map(|field| field?.1.bytes());
    owners.flat_map(move |owner| {
        // The end of a failed message is the error itself.
        let (bytes, error) = match owner {
            Ok(bytes) => (bytes, None),
            Err(error) => (&[][..], Some(Err(error))),
        };
        let read = messages(bytes, list).map(|field| Attribute::read(field?.1.bytes()?));
        read.chain(error)
    })
}

/// Returns the tags of a scope. Prometheus' names for them begin with `otel_scope_`.
fn scope_tags<'a>(
    scope_metrics: &'a [u8],
    options: &Options,
    writer: &SampleWriter,
) -> ReadResult<Vec<Label<'a>>> {
    let mut tags = Vec::new();
    if !options.has_scope_tags {
        return Ok(tags);
    }
    for field in Fields::of(scope_metrics) {
        let (1, scope) = field? else { continue };
        for field in Fields::of(scope.bytes()?) {
            match field? {
                (1, name) => tags.push(("otel_scope_name".into(), name.text()?.into())),
                (2, version) => tags.push(("otel_scope_version".into(), version.text()?.into())),
                _ => {}
            }
        }
    }
    for attribute in attributes(scope_metrics, 1, 3) {
        let (name, value) = attribute?.label(options.keeps_names)?;
        add_label(&mut tags, (format!("otel_scope_{name}").into(), value), writer);
    }
    Ok(tags)
}

fn borrowed<'b>((name, value): &'b Label<'_>) -> Label<'b> {
    (Cow::Borrowed(name), Cow::Borrowed(value))
}

/// The kind of a metric's data, with the numbers of the fields that differ between the kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
}

impl Shape {
    fn of_field(number: u32) -> Option<Self> {
        Some(match number {
            5 => Self::Gauge,
            7 => Self::Sum,
            9 => Self::Histogram,
            10 => Self::Exponential,
            11 => Self::Summary,
            _ => return None,
        })
    }

    /// Returns the numbers of a point's attributes, flags and exemplars.
    fn numbers(self) -> (u32, u32, u32) {
        match self {
            Self::Gauge | Self::Sum => (7, 8, 5),
            Self::Histogram => (9, 10, 8),
            Self::Exponential => (1, 10, 11),
            Self::Summary => (7, 8, u32::MAX),
        }
    }
}

/// A metric without its data points.
struct Metric {
    name: String,
    shape: Shape,
    is_delta: bool,
}

impl Metric {
    fn read(metric: &[u8], shape: Shape, data: &[u8], options: &Options) -> ReadResult<Self> {
        let (mut name, mut unit) = ("", "");
        for field in Fields::of(metric) {
            match field? {
                (1, value) => name = value.text()?,
                (3, value) => unit = value.text()?,
                _ => {}
            }
        }
        let (mut temporality, mut is_monotonic) = (0, false);
        for field in Fields::of(data) {
            match field? {
                (2, value) => temporality = value.varint()?,
                (3, value) => is_monotonic = value.varint()? != 0,
                _ => {}
            }
        }
        let is_delta = temporality == DELTA;
        let kind = match shape {
            Shape::Gauge => Kind::Gauge,
            Shape::Sum if is_monotonic && !is_delta => Kind::Counter,
            Shape::Sum | Shape::Histogram | Shape::Exponential | Shape::Summary => Kind::Other,
        };
        let name = match options.keeps_names {
            true => name.to_owned(),
            false => metric_name(name, unit, kind),
        };
        Ok(Self { name, shape, is_delta })
    }

    /// Appends the series of a data point. Returns their number.
    fn write(
        &self,
        point: Point<'_>,
        options: &Options,
        writer: &mut SampleWriter,
    ) -> Result<usize, DecodeError> {
        let (is_stale, time_ns) = (point.is_stale, point.time_ns);
        let sample = |writer: &mut SampleWriter, value: f64| {
            let value = if is_stale { f64::from_bits(STALE_NAN_BITS) } else { value };
            writer.sample(time_ns, value);
        };
        let mut n_series = 0;
        let mut series = |writer: &mut SampleWriter, suffix: &str, label: Option<(&str, f64)>| {
            n_series += 1;
            let mut labels: Vec<_> = point.labels.iter().map(borrowed).collect();
            if let Some((name, value)) = label {
                labels.push((name.into(), format_number(value).into()));
                sort_and_join(&mut labels);
            }
            writer.begin_series(&[&self.name, suffix].concat(), labels)
        };
        match self.shape {
            Shape::Gauge | Shape::Sum => {
                series(writer, "", None)?;
                match point.number {
                    Some(Number::Integer(value)) if options.keeps_integers && !is_stale => {
                        writer.integer(time_ns, value);
                    }
                    Some(Number::Integer(value)) => sample(writer, value as f64),
                    Some(Number::Double(value)) => sample(writer, value),
                    None if is_stale => sample(writer, 0.0),
                    None => writer.refuse(|| "the data point has no value".to_owned()),
                }
                return Ok(n_series);
            }
            Shape::Summary => {
                for &(quantile, value) in &point.quantiles {
                    series(writer, "", Some(("quantile", quantile)))?;
                    sample(writer, value);
                }
            }
            Shape::Histogram | Shape::Exponential => {
                for (bound, count) in point.cumulative_buckets(self.shape) {
                    series(writer, "_bucket", Some(("le", bound)))?;
                    sample(writer, count as f64);
                }
            }
        }
        if point.sum.is_some() || is_stale {
            series(writer, "_sum", None)?;
            sample(writer, point.sum.unwrap_or_default());
        }
        series(writer, "_count", None)?;
        sample(writer, point.count as f64);
        Ok(n_series)
    }
}

/// Formats the bound of a bucket or a quantile as Prometheus does.
fn format_number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

enum Number {
    Double(f64),
    Integer(i64),
}

/// The buckets of one sign of an exponential histogram.
#[derive(Default)]
struct ExponentialBuckets {
    offset: i64,
    counts: Vec<u64>,
}

impl ExponentialBuckets {
    fn read(message: &[u8]) -> ReadResult<Self> {
        let mut buckets = Self::default();
        for field in Fields::of(message) {
            match field? {
                (1, value) => buckets.offset = zig_zag(value)?,
                (2, value) => value.append_varints(&mut buckets.counts)?,
                _ => {}
            }
        }
        Ok(buckets)
    }
}

/// Returns a `sint32`.
fn zig_zag(value: Value<'_>) -> ReadResult<i64> {
    let encoded = value.varint()?;
    let value = (encoded >> 1).cast_signed() ^ -(encoded & 1).cast_signed();
    let out_of_range = |_| Malformed("a scale or an offset is out of range".to_owned());
    i32::try_from(value).map(i64::from).map_err(out_of_range)
}

/// A data point of any kind.
#[derive(Default)]
struct Point<'a> {
    time_ns: Option<i64>,
    is_stale: bool,
    labels: Vec<Label<'a>>,
    number: Option<Number>,
    count: u64,
    sum: Option<f64>,
    bucket_counts: Vec<u64>,
    /// The bits of the upper bounds.
    bounds: Vec<u64>,
    scale: i64,
    zero_count: u64,
    zero_threshold: f64,
    positive: ExponentialBuckets,
    negative: ExponentialBuckets,
    quantiles: Vec<(f64, f64)>,
}

impl<'a> Point<'a> {
    fn read(
        message: &'a [u8],
        metric: &Metric,
        common: &[&'a Label<'a>],
        options: &Options,
        writer: &mut SampleWriter,
    ) -> ReadResult<Self> {
        let mut point = Self::default();
        let (attributes, flags, exemplars) = metric.shape.numbers();
        for field in Fields::of(message) {
            match field? {
                (number, value) if number == attributes => {
                    let label = Attribute::read(value.bytes()?)?.label(options.keeps_names)?;
                    add_label(&mut point.labels, label, writer);
                }
                (number, value) if number == flags => {
                    point.is_stale = value.varint()? & NO_RECORDED_VALUE != 0;
                }
                (number, _) if number == exemplars => writer.refused().exemplars += 1,
                // A time beyond the range of i64 is refused.
                (3, value) => point.time_ns = i64::try_from(value.fixed64()?).ok(),
                (number, value) => point.read_value(metric.shape, number, value)?,
            }
        }
        if metric.is_delta {
            point.labels.push(("temporality".into(), "delta".into()));
        }
        point.labels.extend(common.iter().map(|label| borrowed(label)));
        sort_and_join(&mut point.labels);
        Ok(point)
    }

    fn read_value(&mut self, shape: Shape, number: u32, value: Value<'a>) -> ReadResult<()> {
        use Shape::{Exponential, Gauge, Histogram, Sum, Summary};
        match (shape, number) {
            (Gauge | Sum, 4) => self.number = Some(Number::Double(value.double()?)),
            (Gauge | Sum, 6) => {
                self.number = Some(Number::Integer(value.fixed64()?.cast_signed()));
            }
            (Histogram | Exponential | Summary, 4) => self.count = value.fixed64()?,
            (Histogram | Exponential | Summary, 5) => self.sum = Some(value.double()?),
            (Histogram, 6) => {
                value.append_fixed64s(&mut self.bucket_counts)?;
            }
            (Histogram, 7) => value.append_fixed64s(&mut self.bounds)?,
            (Exponential, 6) => self.scale = zig_zag(value)?,
            (Exponential, 7) => self.zero_count = value.fixed64()?,
            (Exponential, 8) => self.positive = ExponentialBuckets::read(value.bytes()?)?,
            (Exponential, 9) => self.negative = ExponentialBuckets::read(value.bytes()?)?,
            (Exponential, 14) => self.zero_threshold = value.double()?,
            (Summary, 6) => {
                let (mut quantile, mut number) = (0.0, 0.0);
                for field in Fields::of(value.bytes()?) {
                    match field? {
                        (1, value) => quantile = value.double()?,
                        (2, value) => number = value.double()?,
                        _ => {}
                    }
                }
                if self.quantiles.len() >= HISTOGRAM_BUCKETS_MAX {
                    return Err(Malformed::too_many_buckets());
                }
                self.quantiles.push((quantile, number));
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the upper bounds of a histogram's buckets, and the number of values up to each bound.
    fn cumulative_buckets(&self, shape: Shape) -> Vec<(f64, u64)> {
        let mut buckets: Vec<(f64, u64)> = match shape {
            Shape::Exponential => self.exponential_buckets(),
            _ => {
                let bounds = self.bounds.iter().map(|bits| f64::from_bits(*bits));
                bounds.zip(self.bucket_counts.iter().copied()).collect()
            }
        };
        let mut total = 0_u64;
        for (_, count) in &mut buckets {
            total = total.saturating_add(*count);
            *count = total;
        }
        buckets.retain(|(bound, _)| *bound != f64::INFINITY);
        buckets.push((f64::INFINITY, self.count));
        buckets
    }

    /// Returns the upper bound and the number of values of each bucket, in ascending order. Bucket
    /// `i` has the values above `base^i` up to `base^(i + 1)`, where `base` is `2^(2^-scale)`.
    fn exponential_buckets(&self) -> Vec<(f64, u64)> {
        // A scale is an i32, so the exponent is finite or the bound is infinite.
        let exponent = (-self.scale as f64).exp2();
        let power = |index: i64| (index as f64 * exponent).exp2();
        let indexed = |buckets: &ExponentialBuckets| {
            let counts = buckets.counts.iter().copied();
            (buckets.offset..).zip(counts).collect::<Vec<_>>()
        };
        let negative = indexed(&self.negative).into_iter().rev();
        let negative = negative.map(|(index, count)| (-power(index), count));
        let positive = indexed(&self.positive).into_iter();
        let positive = positive.map(|(index, count)| (power(index + 1), count));
        negative.chain([(self.zero_threshold, self.zero_count)]).chain(positive).collect()
    }
}
