//! The messages of both protocols, written by hand from their `.proto` files. The server reads the
//! messages without these types, so the tests compare two implementations.

use prost::Message;

/// Compresses a message with snappy's block format.
pub(super) fn snappy(message: &impl Message) -> Vec<u8> {
    compress(&message.encode_to_vec())
}

pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    pub(super) metadata: Vec<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub(super) exemplars: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub(super) histograms: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Label {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Sample {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
    #[prost(int64, tag = "2")]
    pub(super) timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metadata {
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    #[prost(string, tag = "2")]
    pub(super) metric_family_name: String,
    #[prost(string, tag = "4")]
    pub(super) help: String,
}

/// Creates a series. The metric is the first argument.
pub(super) fn series(metric: &str, labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    let label = |&(name, value): &(&str, &str)| Label { name: name.into(), value: value.into() };
    let name = ("__name__", metric);
    TimeSeries {
        labels: [name].iter().chain(labels).map(label).collect(),
        samples: samples.iter().map(|&(timestamp, value)| Sample { value, timestamp }).collect(),
        ..TimeSeries::default()
    }
}

pub(super) fn v1(timeseries: Vec<TimeSeries>) -> WriteRequest {
    WriteRequest { timeseries, metadata: Vec::new() }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RequestV2 {
    #[prost(string, repeated, tag = "4")]
    pub(super) symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    pub(super) timeseries: Vec<TimeSeriesV2>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TimeSeriesV2 {
    #[prost(uint32, repeated, tag = "1")]
    pub(super) labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub(super) histograms: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub(super) exemplars: Vec<Sample>,
    #[prost(message, optional, tag = "5")]
    pub(super) metadata: Option<Metadata>,
}

/// Converts series to a message of version 2.
pub(super) fn v2(all: Vec<TimeSeries>) -> RequestV2 {
    let mut symbols = vec![String::new()];
    let mut reference = |text: String| {
        let found = symbols.iter().position(|known| *known == text);
        let at = found.unwrap_or_else(|| {
            symbols.push(text);
            symbols.len() - 1
        });
        u32::try_from(at).unwrap()
    };
    let mut timeseries = Vec::new();
    for series in all {
        let texts = series.labels.into_iter().flat_map(|label| [label.name, label.value]);
        timeseries.push(TimeSeriesV2 {
            labels_refs: texts.map(&mut reference).collect(),
            samples: series.samples,
            histograms: series.histograms,
            exemplars: series.exemplars,
            metadata: Some(Metadata { kind: 1, ..Metadata::default() }),
        });
    }
    RequestV2 { symbols, timeseries }
}

/// Declares messages of OTLP. All members are public.
macro_rules! messages {
    ($($(#[$attribute:meta])* $name:ident { $($(#[$tag:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            #[derive(Clone, PartialEq, Message)]
            pub(super) struct $name { $($(#[$tag])* pub(super) $field: $type,)* }
        )*
    };
}

messages! {
    Export {
        #[prost(message, repeated, tag = "1")]
        resource_metrics: Vec<ResourceMetrics>,
    }
    ResourceMetrics {
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        scope_metrics: Vec<ScopeMetrics>,
    }
    Resource {
        #[prost(message, repeated, tag = "1")]
        attributes: Vec<KeyValue>,
    }
    ScopeMetrics {
        #[prost(message, optional, tag = "1")]
        scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        metrics: Vec<Metric>,
    }
    Scope {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        version: String,
        #[prost(message, repeated, tag = "3")]
        attributes: Vec<KeyValue>,
    }
    KeyValue {
        #[prost(string, tag = "1")]
        key: String,
        #[prost(message, optional, tag = "2")]
        value: Option<AnyValue>,
    }
    AnyValue {
        #[prost(string, optional, tag = "1")]
        string_value: Option<String>,
        #[prost(bool, optional, tag = "2")]
        bool_value: Option<bool>,
        #[prost(int64, optional, tag = "3")]
        int_value: Option<i64>,
        #[prost(double, optional, tag = "4")]
        double_value: Option<f64>,
        #[prost(message, optional, tag = "5")]
        array_value: Option<ArrayValue>,
        #[prost(bytes = "vec", optional, tag = "7")]
        bytes_value: Option<Vec<u8>>,
    }
    ArrayValue {
        #[prost(message, repeated, tag = "1")]
        values: Vec<AnyValue>,
    }
    Metric {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "3")]
        unit: String,
        #[prost(message, optional, tag = "5")]
        gauge: Option<Numbers>,
        #[prost(message, optional, tag = "7")]
        sum: Option<Numbers>,
        #[prost(message, optional, tag = "9")]
        histogram: Option<Histograms>,
        #[prost(message, optional, tag = "10")]
        exponential_histogram: Option<ExponentialHistograms>,
        #[prost(message, optional, tag = "11")]
        summary: Option<Summaries>,
    }
    Numbers {
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<NumberPoint>,
        #[prost(int32, tag = "2")]
        aggregation_temporality: i32,
        #[prost(bool, tag = "3")]
        is_monotonic: bool,
    }
    NumberPoint {
        #[prost(fixed64, tag = "3")]
        time_unix_nano: u64,
        #[prost(double, optional, tag = "4")]
        as_double: Option<f64>,
        #[prost(message, repeated, tag = "5")]
        exemplars: Vec<Sample>,
        #[prost(sfixed64, optional, tag = "6")]
        as_int: Option<i64>,
        #[prost(message, repeated, tag = "7")]
        attributes: Vec<KeyValue>,
        #[prost(uint32, tag = "8")]
        flags: u32,
    }
    Histograms {
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<HistogramPoint>,
        #[prost(int32, tag = "2")]
        aggregation_temporality: i32,
    }
    HistogramPoint {
        #[prost(fixed64, tag = "3")]
        time_unix_nano: u64,
        #[prost(fixed64, tag = "4")]
        count: u64,
        #[prost(double, optional, tag = "5")]
        sum: Option<f64>,
        #[prost(fixed64, repeated, tag = "6")]
        bucket_counts: Vec<u64>,
        #[prost(double, repeated, tag = "7")]
        explicit_bounds: Vec<f64>,
        #[prost(uint32, tag = "10")]
        flags: u32,
    }
    ExponentialHistograms {
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<ExponentialPoint>,
    }
    ExponentialPoint {
        #[prost(fixed64, tag = "3")]
        time_unix_nano: u64,
        #[prost(fixed64, tag = "4")]
        count: u64,
        #[prost(double, optional, tag = "5")]
        sum: Option<f64>,
        #[prost(sint32, tag = "6")]
        scale: i32,
        #[prost(fixed64, tag = "7")]
        zero_count: u64,
        #[prost(message, optional, tag = "8")]
        positive: Option<Buckets>,
        #[prost(message, optional, tag = "9")]
        negative: Option<Buckets>,
    }
    Buckets {
        #[prost(sint32, tag = "1")]
        offset: i32,
        #[prost(uint64, repeated, tag = "2")]
        bucket_counts: Vec<u64>,
    }
    Summaries {
        #[prost(message, repeated, tag = "1")]
        data_points: Vec<SummaryPoint>,
    }
    SummaryPoint {
        #[prost(fixed64, tag = "3")]
        time_unix_nano: u64,
        #[prost(fixed64, tag = "4")]
        count: u64,
        #[prost(double, optional, tag = "5")]
        sum: Option<f64>,
        #[prost(message, repeated, tag = "6")]
        quantile_values: Vec<Quantile>,
    }
    Quantile {
        #[prost(double, tag = "1")]
        quantile: f64,
        #[prost(double, tag = "2")]
        value: f64,
    }
    /// `ExportMetricsServiceResponse`
    ExportResponse {
        #[prost(message, optional, tag = "1")]
        partial_success: Option<PartialSuccess>,
    }
    PartialSuccess {
        #[prost(int64, tag = "1")]
        rejected_data_points: i64,
        #[prost(string, tag = "2")]
        error_message: String,
    }
    Status {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
    }
}

/// Creates an attribute with a text.
pub(super) fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { string_value: Some(value.into()), ..AnyValue::default() };
    KeyValue { key: key.into(), value: Some(value) }
}

/// Creates a request with one scope.
pub(super) fn export(resource: &[(&str, &str)], metrics: Vec<Metric>) -> Export {
    let attributes = resource.iter().map(|(key, value)| attribute(key, value)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: None, metrics }];
    let resource = Some(Resource { attributes });
    Export { resource_metrics: vec![ResourceMetrics { resource, scope_metrics }] }
}

/// Creates a gauge with one point.
pub(super) fn gauge(name: &str, unit: &str, point: NumberPoint) -> Metric {
    let gauge = Numbers { data_points: vec![point], ..Numbers::default() };
    Metric { name: name.into(), unit: unit.into(), gauge: Some(gauge), ..Metric::default() }
}
