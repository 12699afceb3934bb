//! Rewrites OTLP's JSON as protobuf while it is parsed, so that one decoder reads both.
//!
//! The schema below lists only the fields that the decoder reads. As OTLP requires, unknown fields
//! are ignored, names are in lower camel case, and 64-bit integers are strings or numbers.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::protobuf::Malformed;
use tidemark_model::limits::ATTRIBUTE_DEPTH_MAX;

/// The depth of the messages without nested attributes: from the request to the values of a
/// summary's quantiles, or to the value of a data point's attribute.
const MESSAGE_DEPTH: usize = 8;

/// A field of a message: the name in JSON, the number and the type.
struct Field(&'static str, u32, Type);

/// The fields of a message.
struct Schema(&'static [Field]);

#[derive(Clone, Copy)]
enum Type {
    Message(&'static Schema),
    Text,
    /// Bytes, which JSON represents as base64.
    Bytes,
    Double,
    Fixed64,
    /// `sfixed64`
    SignedFixed64,
    /// `int64`, `uint64`, `uint32`, `bool` or an enum.
    Varint,
    /// `sint32`
    ZigZag,
}

use Type::{Bytes, Double, Fixed64, Message, SignedFixed64, Text, Varint, ZigZag};

static REQUEST: Schema = Schema(&[Field("resourceMetrics", 1, Message(&RESOURCE_METRICS))]);
static RESOURCE_METRICS: Schema = Schema(&[
    Field("resource", 1, Message(&Schema(&[Field("attributes", 1, Message(&KEY_VALUE))]))),
    Field("scopeMetrics", 2, Message(&SCOPE_METRICS)),
]);
static SCOPE_METRICS: Schema =
    Schema(&[Field("scope", 1, Message(&SCOPE)), Field("metrics", 2, Message(&METRIC))]);
static SCOPE: Schema = Schema(&[
    Field("name", 1, Text),
    Field("version", 2, Text),
    Field("attributes", 3, Message(&KEY_VALUE)),
]);
static METRIC: Schema = Schema(&[
    Field("name", 1, Text),
    Field("unit", 3, Text),
    Field("gauge", 5, Message(&Schema(&[Field("dataPoints", 1, Message(&NUMBER_POINT))]))),
    Field(
        "sum",
        7,
        Message(&Schema(&[
            Field("dataPoints", 1, Message(&NUMBER_POINT)),
            Field("aggregationTemporality", 2, Varint),
            Field("isMonotonic", 3, Varint),
        ])),
    ),
    Field(
        "histogram",
        9,
        Message(&Schema(&[
            Field("dataPoints", 1, Message(&HISTOGRAM_POINT)),
            Field("aggregationTemporality", 2, Varint),
        ])),
    ),
    Field(
        "exponentialHistogram",
        10,
        Message(&Schema(&[
            Field("dataPoints", 1, Message(&EXPONENTIAL_POINT)),
            Field("aggregationTemporality", 2, Varint),
        ])),
    ),
    Field("summary", 11, Message(&Schema(&[Field("dataPoints", 1, Message(&SUMMARY_POINT))]))),
]);
static NUMBER_POINT: Schema = Schema(&[
    Field("timeUnixNano", 3, Fixed64),
    Field("asDouble", 4, Double),
    Field("exemplars", 5, Message(&Schema(&[]))),
    Field("asInt", 6, SignedFixed64),
    Field("attributes", 7, Message(&KEY_VALUE)),
    Field("flags", 8, Varint),
]);
static HISTOGRAM_POINT: Schema = Schema(&[
    Field("timeUnixNano", 3, Fixed64),
    Field("count", 4, Fixed64),
    Field("sum", 5, Double),
    Field("bucketCounts", 6, Fixed64),
    Field("explicitBounds", 7, Double),
    Field("exemplars", 8, Message(&Schema(&[]))),
    Field("attributes", 9, Message(&KEY_VALUE)),
    Field("flags", 10, Varint),
]);
static EXPONENTIAL_POINT: Schema = Schema(&[
    Field("attributes", 1, Message(&KEY_VALUE)),
    Field("timeUnixNano", 3, Fixed64),
    Field("count", 4, Fixed64),
    Field("sum", 5, Double),
    Field("scale", 6, ZigZag),
    Field("zeroCount", 7, Fixed64),
    Field("positive", 8, Message(&BUCKETS)),
    Field("negative", 9, Message(&BUCKETS)),
    Field("flags", 10, Varint),
    Field("exemplars", 11, Message(&Schema(&[]))),
    Field("zeroThreshold", 14, Double),
]);
static BUCKETS: Schema = Schema(&[Field("offset", 1, ZigZag), Field("bucketCounts", 2, Varint)]);
static SUMMARY_POINT: Schema = Schema(&[
    Field("timeUnixNano", 3, Fixed64),
    Field("count", 4, Fixed64),
    Field("sum", 5, Double),
    Field(
        "quantileValues",
        6,
        Message(&Schema(&[Field("quantile", 1, Double), Field("value", 2, Double)])),
    ),
    Field("attributes", 7, Message(&KEY_VALUE)),
    Field("flags", 8, Varint),
]);
static KEY_VALUE: Schema = Schema(&[Field("key", 1, Text), Field("value", 2, Message(&ANY_VALUE))]);
static ANY_VALUE: Schema = Schema(&[
    Field("stringValue", 1, Text),
    Field("boolValue", 2, Varint),
    Field("intValue", 3, Varint),
    Field("doubleValue", 4, Double),
    Field("arrayValue", 5, Message(&Schema(&[Field("values", 1, Message(&ANY_VALUE))]))),
    Field("kvlistValue", 6, Message(&Schema(&[Field("values", 1, Message(&KEY_VALUE))]))),
    Field("bytesValue", 7, Bytes),
]);

/// Rewrites a request as protobuf.
///
/// # Errors
/// [`Malformed`]
pub fn to_protobuf(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = MessageSeed { fields: &REQUEST, depth: 0, out: &mut out }.deserialize(&mut json);
    read.and_then(|()| json.end())
        .map_err(|error| Malformed(format!("it is not OTLP's JSON ({error})")))?;
    Ok(out)
}

/// Writes the fields of a message.
struct MessageSeed<'o> {
    fields: &'static Schema,
    depth: usize,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        if self.depth > MESSAGE_DEPTH + 3 * ATTRIBUTE_DEPTH_MAX {
            return Err(A::Error::custom("the messages are nested too deeply"));
        }
        while let Some(name) = entries.next_key::<Cow<'de, str>>()? {
            match self.fields.0.iter().find(|field| field.0 == name) {
                Some(field) => {
                    let depth = self.depth + 1;
                    entries.next_value_seed(FieldSeed { field, depth, out: &mut *self.out })?;
                }
                None => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Writes a field: its key and its value, and each value of a list.
struct FieldSeed<'o> {
    field: &'static Field,
    depth: usize,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl FieldSeed<'_> {
    fn key(&mut self, wire_type: WireType) {
        encode_key(self.field.1, wire_type, self.out);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.key(WireType::LengthDelimited);
        encode_varint(bytes.len() as u64, self.out);
        self.out.extend_from_slice(bytes);
    }

    fn fixed(&mut self, value: u64) {
        self.key(WireType::SixtyFourBit);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn varint(&mut self, value: u64) {
        self.key(WireType::Varint);
        encode_varint(value, self.out);
    }

    /// Writes an integer. `value` is between the minimum of `i64` and the maximum of `u64`.
    fn integer<E: Error>(&mut self, value: i128) -> Result<(), E> {
        let range = || E::custom(format!("{value} is out of range for {}", self.field.0));
        let signed = i64::try_from(value);
        match self.field.2 {
            Double => self.fixed((value as f64).to_bits()),
            Fixed64 => {
                let value = u64::try_from(value).map_err(|_| range())?;
                self.fixed(value);
            }
            SignedFixed64 => {
                let value = signed.map_err(|_| range())?;
                self.fixed(value.cast_unsigned());
            }
            Varint => {
                let unsigned = u64::try_from(value);
                let value = unsigned.or(signed.map(i64::cast_unsigned)).map_err(|_| range())?;
                self.varint(value);
            }
            ZigZag => {
                let value = i32::try_from(value).map_err(|_| range())?;
                self.varint(u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()));
            }
            Message(_) | Text | Bytes => return Err(self.wrong("a number")),
        }
        Ok(())
    }

    fn wrong<E: Error>(&self, found: &str) -> E {
        E::custom(format!("{} may not be {found}", self.field.0))
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the field's type")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        match self.field.2 {
            Varint => self.varint(u64::from(value)),
            _ => return Err(self.wrong("a boolean")),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.integer(value.into())
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        self.integer(value.into())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        match self.field.2 {
            Double => self.fixed(value.to_bits()),
            _ => return Err(self.wrong("a fraction")),
        }
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        match self.field.2 {
            Text => self.bytes(text.as_bytes()),
            Bytes => {
                let bytes = STANDARD.decode(text).map_err(|_| self.wrong("other than base64"))?;
                self.bytes(&bytes);
            }
            Double => {
                let number = match text {
                    "NaN" => Ok(f64::NAN),
                    "Infinity" => Ok(f64::INFINITY),
                    "-Infinity" => Ok(f64::NEG_INFINITY),
                    text => text.parse(),
                };
                let number = number.map_err(|_| self.wrong("other than a number"))?;
                self.fixed(number.to_bits());
            }
            Fixed64 | SignedFixed64 | Varint | ZigZag => {
                let value: i128 = text.parse().map_err(|_| self.wrong("other than an integer"))?;
                self.integer(value)?;
            }
            Message(_) => return Err(self.wrong("a string")),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let Self { field, depth, out } = self;
        while values.next_element_seed(FieldSeed { field, depth, out: &mut *out })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, entries: A) -> Result<(), A::Error> {
        let Message(fields) = self.field.2 else { return Err(self.wrong("an object")) };
        let mut message = Vec::new();
        MessageSeed { fields, depth: self.depth, out: &mut message }.visit_map(entries)?;
        self.bytes(&message);
        Ok(())
    }
}
