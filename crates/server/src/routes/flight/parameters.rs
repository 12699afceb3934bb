//! Reads the values that a client binds to a prepared statement: the first row of an Arrow batch.
//!
//! Arrow's own reader supports every type, but would take up a quarter of this Worker's module.
//! Parameters have only a few types.

use arrow_ipc::{DateUnit, MessageHeader, Precision, TimeUnit, Type, root_as_message_with_opts};
use flatbuffers::{InvalidFlatbuffer, VerifierOptions};

use super::messages::{FlightData, ParamKind};
use crate::error::{ApiError, ApiResult, invalid};
use tidemark_model::limits::{FLIGHT_HEADER_BYTES_MAX, FLIGHT_MESSAGES_MAX, FLIGHT_TABLES_MAX};
use tidemark_model::time::{D_NS, MS_NS, S_NS, US_NS};

const UNREAD: &str = "the parameters are not an Arrow record batch";

/// A column's name and type. The type is `None` if parameters do not support it.
type Column = (String, Option<Kind>);

/// The type of a parameter's values. Widths are in bytes.
#[derive(Clone, Copy)]
enum Kind {
    Null,
    Boolean,
    Integer(usize),
    Unsigned(usize),
    Float(usize),
    /// A text, with the width of an offset.
    Text(usize),
    /// A text in Arrow's view format, which Polars sends.
    TextView,
    /// A time or a date, with its width and the number of nanoseconds per unit.
    Time(usize, i64),
}

/// Returns the names of the columns and the values of the first row, or `None` if the batch is
/// empty.
pub(super) fn first_row(messages: &[FlightData]) -> ApiResult<Option<Vec<(String, ParamKind)>>> {
    let unread = || ApiError::Invalid(UNREAD.to_owned());
    if messages.len() > FLIGHT_MESSAGES_MAX {
        return invalid(format!(
            "the parameters have {} messages, and at most {FLIGHT_MESSAGES_MAX} \
             (FLIGHT_MESSAGES_MAX) are possible: send one batch",
            messages.len()
        ));
    }
    let options = VerifierOptions {
        max_tables: FLIGHT_TABLES_MAX,
        max_apparent_size: FLIGHT_HEADER_BYTES_MAX,
        ..VerifierOptions::default()
    };
    let mut columns = Vec::new();
    for FlightData { header, body, .. } in messages {
        // The first message may contain only the descriptor.
        if header.is_empty() {
            continue;
        }
        let message = root_as_message_with_opts(&options, header).map_err(unread_header)?;
        match message.header_type() {
            MessageHeader::Schema => {
                let schema = message.header_as_schema().ok_or_else(unread)?;
                columns = schema.fields().into_iter().flatten().map(column).collect();
            }
            MessageHeader::RecordBatch => {
                let batch = message.header_as_record_batch().ok_or_else(unread)?;
                if batch.length() > 0 {
                    return row(&columns, batch, body).map(Some);
                }
            }
            // The column of the dictionary returns the error.
            MessageHeader::DictionaryBatch => {}
            _ => return Err(unread()),
        }
    }
    Ok(None)
}

fn unread_header(error: InvalidFlatbuffer) -> ApiError {
    ApiError::Invalid(match error {
        InvalidFlatbuffer::TooManyTables | InvalidFlatbuffer::ApparentSizeTooLarge => format!(
            "a header of the parameters has more than {FLIGHT_TABLES_MAX} tables \
             (FLIGHT_TABLES_MAX) or {FLIGHT_HEADER_BYTES_MAX} bytes (FLIGHT_HEADER_BYTES_MAX): \
             bind fewer parameters, or omit their metadata"
        ),
        _ => UNREAD.to_owned(),
    })
}

fn column(field: arrow_ipc::Field<'_>) -> Column {
    let name = field.name().unwrap_or_default().to_owned();
    let width = |bits: i32| usize::try_from(bits / 8).unwrap_or_default();
    let kind = match field.type_type() {
        _ if field.dictionary().is_some() => None,
        Type::Null => Some(Kind::Null),
        Type::Bool => Some(Kind::Boolean),
        Type::Int => field.type_as_int().map(|of| match of.is_signed() {
            true => Kind::Integer(width(of.bitWidth())),
            false => Kind::Unsigned(width(of.bitWidth())),
        }),
        Type::FloatingPoint => field.type_as_floating_point().and_then(|of| match of.precision() {
            Precision::SINGLE => Some(Kind::Float(4)),
            Precision::DOUBLE => Some(Kind::Float(8)),
            _ => None,
        }),
        Type::Utf8 => Some(Kind::Text(4)),
        Type::LargeUtf8 => Some(Kind::Text(8)),
        Type::Utf8View => Some(Kind::TextView),
        Type::Timestamp => field.type_as_timestamp().and_then(|of| match of.unit() {
            TimeUnit::SECOND => Some(Kind::Time(8, S_NS)),
            TimeUnit::MILLISECOND => Some(Kind::Time(8, MS_NS)),
            TimeUnit::MICROSECOND => Some(Kind::Time(8, US_NS)),
            TimeUnit::NANOSECOND => Some(Kind::Time(8, 1)),
            _ => None,
        }),
        Type::Date => field.type_as_date().map(|of| match of.unit() {
            DateUnit::DAY => Kind::Time(4, D_NS),
            _ => Kind::Time(8, MS_NS),
        }),
        _ => None,
    };
    (name, kind)
}

fn row(
    columns: &[Column],
    batch: arrow_ipc::RecordBatch<'_>,
    body: &[u8],
) -> ApiResult<Vec<(String, ParamKind)>> {
    let unread = || ApiError::Invalid(UNREAD.to_owned());
    if batch.compression().is_some() {
        return invalid(
            "compressed parameters are not supported: send the parameters without compression",
        );
    }
    let mut nodes = batch.nodes().into_iter().flatten();
    let mut buffers = batch.buffers().into_iter().flatten().map(|buffer| {
        let from = usize::try_from(buffer.offset()).ok()?;
        body.get(from..from.checked_add(usize::try_from(buffer.length()).ok()?)?)
    });
    let mut buffer = || buffers.next().flatten().ok_or_else(unread);
    let mut view_buffers = batch.variadicBufferCounts().into_iter().flatten();
    let mut values = Vec::with_capacity(columns.len());
    let mut text_bytes = 0;
    for (name, kind) in columns {
        let node = nodes.next().ok_or_else(unread)?;
        let value = match kind {
            None => {
                return invalid(format!(
                    "the parameter \"{name}\" has an unsupported type: use an integer, a float of \
                     32 or 64 bits, a string without a dictionary, a boolean, a date or a timestamp"
                ));
            }
            Some(Kind::Null) => ParamKind::Null(0),
            Some(kind) => {
                let validity = buffer()?;
                let is_null = node.null_count() > 0 && validity.first().is_none_or(|b| b & 1 == 0);
                let first = buffer()?;
                let texts = match kind {
                    Kind::Text(_) => 1,
                    Kind::TextView => view_buffers.next().ok_or_else(unread)?,
                    _ => 0,
                };
                let texts = (0..texts).map(|_| buffer()).collect::<ApiResult<Vec<_>>>()?;
                match is_null {
                    true => ParamKind::Null(0),
                    false => value(*kind, first, &texts).ok_or_else(unread)??,
                }
            }
        };
        if let ParamKind::String(text) = &value {
            text_bytes += text.len();
            // Without this check, many columns could refer to the same long text.
            if text_bytes > body.len() {
                return Err(unread());
            }
        }
        values.push((name.clone(), value));
    }
    Ok(values)
}

/// Returns the first value of a buffer. The bytes of a text are in other buffers.
fn value(kind: Kind, buffer: &[u8], texts: &[&[u8]]) -> Option<ApiResult<ParamKind>> {
    Some(Ok(match kind {
        Kind::Null => ParamKind::Null(0),
        Kind::Boolean => ParamKind::Boolean(buffer.first()? & 1 == 1),
        Kind::Integer(width) => ParamKind::Integer(integer(buffer.get(..width)?)?),
        Kind::Unsigned(width) => ParamKind::Unsigned(unsigned(buffer.get(..width)?)?),
        Kind::Float(4) => ParamKind::Float(f32::from_le_bytes(*buffer.first_chunk()?).into()),
        Kind::Float(_) => ParamKind::Float(f64::from_le_bytes(*buffer.first_chunk()?)),
        Kind::Text(width) => {
            let offset = |at: usize| {
                let offset = unsigned(buffer.get(at * width..(at + 1) * width)?)?;
                usize::try_from(offset).ok()
            };
            let text = texts.first()?.get(offset(0)?..offset(1)?)?;
            ParamKind::String(String::from_utf8(text.to_vec()).ok()?)
        }
        Kind::TextView => {
            // The length, and either up to 12 bytes, or 4 bytes of the text, the number of its
            // buffer, and the offset.
            let number = |at: usize| usize::try_from(unsigned(buffer.get(at..at + 4)?)?).ok();
            let length = number(0)?;
            let text = match length {
                0..=12 => buffer.get(4..4 + length)?,
                _ => {
                    let from = number(12)?;
                    texts.get(number(8)?)?.get(from..from.checked_add(length)?)?
                }
            };
            ParamKind::String(String::from_utf8(text.to_vec()).ok()?)
        }
        Kind::Time(width, unit_ns) => {
            let Some(time_ns) = integer(buffer.get(..width)?)?.checked_mul(unit_ns) else {
                return Some(invalid(
                    "a time parameter is out of range: send a time between the years 1678 and 2261",
                ));
            };
            ParamKind::Time(time_ns)
        }
    }))
}

/// Reads a little-endian integer of up to eight bytes.
fn unsigned(bytes: &[u8]) -> Option<u64> {
    let mut whole = [0; 8];
    whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(u64::from_le_bytes(whole))
}

fn integer(bytes: &[u8]) -> Option<i64> {
    let unused_bits = 64_usize.checked_sub(8 * bytes.len())?;
    let shifted = unsigned(bytes)?.checked_shl(u32::try_from(unused_bits).ok()?)?;
    // The arithmetic shift extends the sign.
    Some(shifted.cast_signed() >> unused_bits)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int8Type;
    use arrow_array::{
        Array, ArrayRef, BooleanArray, Date32Array, Date64Array, DictionaryArray, Float32Array,
        Float64Array, Int8Array, Int64Array, LargeStringArray, NullArray, RecordBatch, StringArray,
        StringViewArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt16Array,
        UInt64Array, new_empty_array,
    };
    use arrow_ipc::writer::StreamWriter;
    use arrow_schema::DataType;

    use super::*;
    use crate::routes::flight::reading::IpcStream;
    use tidemark_model::limits::PLACEHOLDERS_MAX;

    fn messages(columns: Vec<(&str, ArrayRef)>) -> Vec<FlightData> {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, values)| (name, values, true)),
        );
        let batch = batch.unwrap();
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        let mut stream = IpcStream::default();
        stream.push(writer.into_inner().unwrap());
        let messages = stream.messages().unwrap().into_iter();
        let data = messages.map(|one| FlightData {
            header: one.header,
            body: one.body,
            ..FlightData::default()
        });
        std::iter::once(FlightData::default()).chain(data).collect()
    }

    #[test]
    fn flight_parameters_read_every_type() {
        let time_ns = 1_700_000_000_500_000_000;
        let cases: Vec<(ArrayRef, ParamKind)> = vec![
            (Arc::new(Int8Array::from(vec![-7])), ParamKind::Integer(-7)),
            (Arc::new(Int64Array::from(vec![i64::MIN, 1])), ParamKind::Integer(i64::MIN)),
            (Arc::new(UInt16Array::from(vec![65_535])), ParamKind::Unsigned(65_535)),
            (Arc::new(UInt64Array::from(vec![u64::MAX])), ParamKind::Unsigned(u64::MAX)),
            (Arc::new(Float32Array::from(vec![1.5])), ParamKind::Float(1.5)),
            (Arc::new(Float64Array::from(vec![-0.25])), ParamKind::Float(-0.25)),
            (Arc::new(BooleanArray::from(vec![true, false])), ParamKind::Boolean(true)),
            (Arc::new(StringArray::from(vec!["é", "x"])), ParamKind::String("é".into())),
            (Arc::new(LargeStringArray::from(vec!["long"])), ParamKind::String("long".into())),
            (Arc::new(StringViewArray::from(vec!["a view"])), ParamKind::String("a view".into())),
            (
                Arc::new(StringViewArray::from(vec!["more than twelve bytes", "x"])),
                ParamKind::String("more than twelve bytes".into()),
            ),
            (Arc::new(TimestampNanosecondArray::from(vec![time_ns])), ParamKind::Time(time_ns)),
            (
                Arc::new(TimestampMillisecondArray::from(vec![time_ns / 1_000_000])),
                ParamKind::Time(time_ns),
            ),
            (Arc::new(Date32Array::from(vec![19_675])), ParamKind::Time(19_675 * D_NS)),
            (Arc::new(Date64Array::from(vec![-86_400_000])), ParamKind::Time(-D_NS)),
            (Arc::new(Int64Array::from(vec![None, Some(1)])), ParamKind::Null(0)),
            (Arc::new(StringArray::from(vec![None::<&str>])), ParamKind::Null(0)),
            (Arc::new(NullArray::new(1)), ParamKind::Null(0)),
        ];
        for (values, expected) in cases {
            let name = format!("{}", values.data_type());
            // A second column shows that the reader consumes the right number of buffers.
            let first = values.slice(0, 1);
            let last: ArrayRef = Arc::new(Int64Array::from(vec![42]));
            let read = first_row(&messages(vec![(&name, first), ("last", last)])).unwrap();
            let last = ("last".to_owned(), ParamKind::Integer(42));
            assert_eq!(read, Some(vec![(name, expected), last]));
        }
    }

    /// Returns a schema whose fields are one table at several places.
    fn schema_of_repeated_field(count: usize, name: &str) -> FlightData {
        let mut builder = flatbuffers::FlatBufferBuilder::new();
        let name = Some(builder.create_string(name));
        let null = arrow_ipc::NullArgs::default();
        let null = arrow_ipc::Null::create(&mut builder, &null).as_union_value();
        let field = arrow_ipc::FieldArgs {
            name,
            type_type: Type::Null,
            type_: Some(null),
            ..arrow_ipc::FieldArgs::default()
        };
        let field = arrow_ipc::Field::create(&mut builder, &field);
        let fields = Some(builder.create_vector(&vec![field; count]));
        let schema = arrow_ipc::SchemaArgs { fields, ..arrow_ipc::SchemaArgs::default() };
        let schema = arrow_ipc::Schema::create(&mut builder, &schema).as_union_value();
        let message = arrow_ipc::MessageArgs {
            header_type: MessageHeader::Schema,
            header: Some(schema),
            ..arrow_ipc::MessageArgs::default()
        };
        let message = arrow_ipc::Message::create(&mut builder, &message);
        builder.finish(message, None);
        let header = builder.finished_data().to_vec();
        FlightData { header, ..FlightData::default() }
    }

    #[test]
    fn flight_parameter_headers_are_limited() {
        assert_eq!(first_row(&[schema_of_repeated_field(PLACEHOLDERS_MAX, "a")]), Ok(None));
        let limited = Err(unread_header(InvalidFlatbuffer::TooManyTables));
        assert_eq!(first_row(&[schema_of_repeated_field(FLIGHT_TABLES_MAX, "a")]), limited);
        let long = "a".repeat(FLIGHT_HEADER_BYTES_MAX / 100);
        assert_eq!(first_row(&[schema_of_repeated_field(200, &long)]), limited);
        let many = vec![FlightData::default(); FLIGHT_MESSAGES_MAX + 1];
        assert_eq!(first_row(&many[1..]), Ok(None));
        let error = first_row(&many).unwrap_err().to_string();
        assert!(error.contains("FLIGHT_MESSAGES_MAX"), "{error}");
    }

    #[test]
    fn flight_parameters_share_no_text() {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a".repeat(1_000)]));
        let [_, schema, batch] = &*messages(vec![("a", Arc::clone(&text)), ("b", text)]) else {
            panic!("three messages");
        };
        let read = first_row(&[schema.clone(), batch.clone()]).unwrap().unwrap();
        assert_eq!(read.len(), 2);
        // The second column's buffers become the first column's.
        let mut shared = batch.clone();
        let parsed = arrow_ipc::root_as_message(&batch.header).unwrap();
        let buffers = parsed.header_as_record_batch().unwrap().buffers().unwrap();
        let bytes = buffers.bytes();
        let at = batch.header.windows(bytes.len()).position(|window| window == bytes).unwrap();
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let second_at = at + second.len();
        shared.header[second_at..second_at + first.len()].copy_from_slice(first);
        let used_bytes = shared.body.len() / 2;
        shared.body.truncate(used_bytes);
        assert_eq!(first_row(&[schema.clone(), shared]), Err(ApiError::Invalid(UNREAD.into())));
    }

    #[test]
    fn flight_parameters_reject_invalid_batches() {
        let distant: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![i64::MAX / 1_000]));
        let error = first_row(&messages(vec![("t", distant)])).unwrap_err();
        assert!(matches!(&error, ApiError::Invalid(text) if text.contains("1678")), "{error:?}");
        assert_eq!(first_row(&[]), Ok(None));
        assert_eq!(first_row(&messages(vec![("a", new_empty_array(&DataType::Int64))])), Ok(None));
        let binary = new_empty_array(&DataType::Binary);
        assert_eq!(first_row(&messages(vec![("a", binary)])), Ok(None));
        let list = arrow_array::BinaryArray::from(vec![&b"x"[..]]);
        assert!(first_row(&messages(vec![("a", Arc::new(list))])).is_err());
        let dictionary: DictionaryArray<Int8Type> = ["a"].into_iter().collect();
        let error = first_row(&messages(vec![("a", Arc::new(dictionary))])).unwrap_err();
        assert!(error.to_string().contains("without a dictionary"), "{error}");
        let mut cut = messages(vec![("a", Arc::new(StringArray::from(vec!["abc"])))]);
        cut.last_mut().unwrap().body.truncate(8);
        assert!(first_row(&cut).is_err());
        let nonsense = FlightData { header: vec![7; 64], ..FlightData::default() };
        assert!(first_row(&[nonsense]).is_err());
        let whole = messages(vec![("a", Arc::new(StringArray::from(vec!["abc"])) as _)]);
        for message in 1..whole.len() {
            for at in 0..whole[message].header.len() {
                for bits in [1, 0x80, 0xff] {
                    let mut changed = whole.clone();
                    changed[message].header[at] ^= bits;
                    drop(first_row(&changed));
                }
            }
        }
    }
}
