//! Implements JSON encoders for tags and times, because most values of a result are tags or times.
//! Each text of a dictionary is escaped only once, and times are written without a formatter. Arrow
//! encodes all other types.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, TimestampNanosecondArray};
use datafusion::arrow::buffer::ScalarBuffer;
use datafusion::arrow::datatypes::{
    DataType, FieldRef, Int32Type, TimeUnit, TimestampNanosecondType,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::NullableEncoder;
use datafusion::arrow::json::{Encoder, EncoderFactory, EncoderOptions};
use tidemark_response::time;

#[derive(Debug)]
pub(super) struct Encoders;

impl EncoderFactory for Encoders {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, None) => {
                Box::new(Times(array.as_primitive::<TimestampNanosecondType>()))
            }
            DataType::Dictionary(key, value) if is_tag(key, value) => {
                let tags = array.as_dictionary::<Int32Type>();
                Box::new(Tags { keys: tags.keys().values(), escaped: escaped(tags.values())? })
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.logical_nulls())))
    }
}

pub(super) fn is_tag(key: &DataType, value: &DataType) -> bool {
    *key == DataType::Int32 && *value == DataType::Utf8
}

fn escaped(texts: &ArrayRef) -> Result<Vec<Vec<u8>>, ArrowError> {
    let quoted = |text: Option<&str>| {
        serde_json::to_vec(text.unwrap_or_default())
            .map_err(|error| ArrowError::JsonError(error.to_string()))
    };
    texts.as_string::<i32>().iter().map(quoted).collect()
}

struct Times<'a>(&'a TimestampNanosecondArray);

impl Encoder for Times<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        time::arrow(self.0.values().get(row).copied().unwrap_or_default(), &[], out);
        out.push(b'"');
    }
}

struct Tags<'a> {
    keys: &'a ScalarBuffer<i32>,
    escaped: Vec<Vec<u8>>,
}

impl Encoder for Tags<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let key = self.keys.get(row).and_then(|key| usize::try_from(*key).ok());
        if let Some(text) = key.and_then(|key| self.escaped.get(key)) {
            out.extend_from_slice(text);
        }
    }
}
