//! Tests the output formats by reading the output with other libraries.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use datafusion::arrow::ipc::reader::StreamReader;
use tidemark_sql::output::{Format, Writer};

use super::database::{Answered, Database, Layout, written};

const EVERY: [Format; 6] =
    [Format::Json, Format::JsonLines, Format::Csv, Format::Pretty, Format::Parquet, Format::Arrow];

fn database() -> Database {
    let mut database = Database::default();
    database.write("t,host=a,dc=x f=1.5,i=9007199254740993i,u=18446744073709551615u 1");
    database.write("t,host=b s=\"a\"b\",b=true 1641024000500000000");
    database
}

fn ask(text: &str) -> Answered {
    database().ask(text, Layout::PLAIN).unwrap()
}

fn text(answered: &Answered, format: Format) -> String {
    String::from_utf8(written(answered, format).unwrap()).unwrap()
}

#[test]
fn formats_have_names_and_content_types() {
    let names = ["json", "jsonl", "csv", "pretty", "parquet", "arrow"];
    assert_eq!(names.map(|name| Format::from_name(name).unwrap()), EVERY);
    assert_eq!(Format::from_name("json_lines"), Some(Format::JsonLines));
    assert_eq!(Format::from_name("xml"), None);
    let types = EVERY.map(Format::content_type);
    assert_eq!(types[0], "application/json");
    assert_eq!(types[5], "application/vnd.apache.arrow.stream");
}

#[test]
fn values_print_like_influxdb_3() {
    let answered = ask("SELECT * FROM t ORDER BY time");
    assert_eq!(
        text(&answered, Format::Json),
        "[{\"dc\":\"x\",\"f\":1.5,\"host\":\"a\",\"i\":9007199254740993,\
         \"time\":\"1970-01-01T00:00:00.000000001\",\"u\":18446744073709551615},\
         {\"b\":true,\"host\":\"b\",\"s\":\"a\\\"b\",\"time\":\"2022-01-01T08:00:00.500\"}]"
    );
    assert_eq!(
        text(&answered, Format::Csv),
        "b,dc,f,host,i,s,time,u\n\
         ,x,1.5,a,9007199254740993,,1970-01-01T00:00:00.000000001,18446744073709551615\n\
         true,,,b,,\"a\"\"b\",2022-01-01T08:00:00.500,\n"
    );
    let odd = ask("SELECT 'NaN'::double AS nan, 'inf'::double AS inf, '-inf'::double AS neg, \
         date '2022-01-02' AS d, interval '1 hour' AS i, X'00ff' AS x, [1, 2] AS l");
    assert_eq!(
        text(&odd, Format::JsonLines),
        "{\"nan\":null,\"inf\":null,\"neg\":null,\"d\":\"2022-01-02\",\"i\":\"1 hours\",\
         \"x\":\"00ff\",\"l\":[1,2]}\n"
    );
    let floats = ask("SELECT 'NaN'::double AS nan, 'inf'::double AS inf, '-inf'::double AS neg");
    assert_eq!(text(&floats, Format::Csv), "nan,inf,neg\nNaN,inf,-inf\n");
}

#[test]
fn ranges_of_dates_and_times_are_lists() {
    for (call, list) in [
        (
            "generate_series(date '2025-03-01', date '2025-05-01', interval '1 month')",
            r#"["2025-03-01","2025-04-01","2025-05-01"]"#,
        ),
        (
            "range('2025-01-01T00:00:00Z'::timestamp, '2025-01-01T06:00:00Z'::timestamp, \
             interval '2 hours')",
            r#"["2025-01-01T00:00:00","2025-01-01T02:00:00","2025-01-01T04:00:00"]"#,
        ),
        (
            "range(date '2025-01-03', date '2025-01-01', interval '-1 day')",
            r#"["2025-01-03","2025-01-02"]"#,
        ),
    ] {
        let answered = ask(&format!("SELECT {call} AS l"));
        assert_eq!(text(&answered, Format::JsonLines), format!("{{\"l\":{list}}}\n"), "{call}");
    }
}

#[test]
fn csv_rejects_struct_columns() {
    let answered = ask("SELECT selector_last(f, time) AS x FROM t");
    let error = written(&answered, Format::Csv).unwrap_err();
    assert_eq!(error.status(), 400);
    assert!(error.to_string().contains("Nested type"), "{error}");
}

/// Also checks a result without rows.
#[test]
fn parquet_and_arrow_round_trip() {
    let every = ask("SELECT * FROM t ORDER BY time");
    let none = ask("SELECT * FROM t WHERE host = 'z'");
    for (answered, rows) in [(&every, 2), (&none, 0)] {
        let bytes = written(answered, Format::Arrow).unwrap();
        let reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
        assert_eq!(reader.schema().field(3).data_type(), &DataType::Utf8, "a tag is text");
        let read: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), rows);
        let file = bytes::Bytes::from(written(answered, Format::Parquet).unwrap());
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 1024);
        let read: Vec<RecordBatch> = reader.unwrap().map(Result::unwrap).collect();
        assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), rows);
        let Some(first) = read.first() else { continue };
        assert_eq!(first.column(2).as_primitive::<Float64Type>().value(0), 1.5);
        assert_eq!(first.column(4).as_primitive::<Int64Type>().value(0), 9_007_199_254_740_993);
        assert_eq!(first.column(7).as_primitive::<UInt64Type>().value(0), u64::MAX);
        assert!(first.column(1).is_null(1));
    }
}

/// gRPC clients accept messages of at most 4 MB.
#[test]
fn arrow_message_size_is_limited() {
    let made = "SELECT value, repeat('x', 2000) AS text FROM generate_series(1, 8192)";
    let answered = ask(&format!("{made} ORDER BY value"));
    let widest = answered.batches.iter().map(RecordBatch::get_array_memory_size).max().unwrap();
    assert!(widest > 4 << 20, "{widest}");
    let mut writer = Writer::new(Format::Arrow, &answered.schema).unwrap();
    answered.batches.iter().for_each(|batch| writer.write(batch).unwrap());
    let bytes = writer.finish().unwrap();
    let reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let read: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let text_bytes = |batch: &RecordBatch| batch.column(1).as_string::<i32>().value_data().len();
    assert!(read.iter().all(|batch| text_bytes(batch) < 4_000_000));
    assert_eq!(read.iter().map(text_bytes).sum::<usize>(), 8_192 * 2_000);
    let first = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().value(0);
    assert!(read.is_sorted_by_key(first));
}

#[test]
fn columns_carry_influxdb_type_metadata() {
    let schema = ask("SELECT host, f, time, tz(time, 'Europe/Paris') AS z FROM t").schema;
    let kind = |at: usize| schema.field(at).metadata()["iox::column::type"].clone();
    assert_eq!(kind(0), "iox::column_type::tag");
    assert_eq!(kind(1), "iox::column_type::field::float");
    assert_eq!(kind(2), "iox::column_type::timestamp");
    assert_eq!(kind(3), "iox::column_type::timestamp");
    assert!(!schema.field(2).is_nullable());
}

/// Some clients request the columns before the rows, and then compare both schemas.
#[test]
fn schema_is_equal_without_rows() {
    let read = |text: &str| {
        let bytes = written(&ask(text), Format::Arrow).unwrap();
        StreamReader::try_new(bytes.as_slice(), None).unwrap().schema()
    };
    for text in [
        "SELECT version(), abs(-1), length('abc'), repeat('x', 3) AS r, nullif(1, 2)",
        "SELECT CASE WHEN 1 = 1 THEN 'a' END AS x, [1, 2] AS l, to_timestamp('2020-01-01T00:00:00Z')",
        "SELECT arrow_cast(s, 'Utf8View'), arrow_cast(s, 'LargeUtf8'), upper(host) FROM t",
        "SELECT host, count(*), max(f), array_agg(host) FROM t GROUP BY host",
        "SELECT *, map(['a'], [host]) FROM t WHERE i = 1",
        "SELECT a.host, b.f FROM t a LEFT JOIN t b ON a.time = b.time AND b.i = 7",
        "SELECT date_bin_gapfill(interval '1 hour', time) AS t, host, locf(avg(f)) FROM t \
         WHERE time >= '2022-01-01T00:00:00Z' AND time < '2022-01-02T00:00:00Z' GROUP BY 1, host",
        "VALUES (1, 'a'), (2, NULL)",
    ] {
        assert_eq!(read(text), read(&format!("SELECT * FROM ({text}) LIMIT 0")), "{text}");
    }
}

/// Few clients support dictionaries, and no client supports nested dictionaries.
#[test]
fn nested_tags_are_strings() {
    let answered = ask("SELECT host AS tag, [host] AS list, named_struct('h', host) AS struct, \
         map(['a'], [host]) AS map, [map([host], [[host]])] AS deep FROM t");
    assert!(format!("{:?}", answered.schema).contains("Dictionary"), "{:?}", answered.schema);
    let bytes = written(&answered, Format::Arrow).unwrap();
    let reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let said = format!("{:?}", reader.schema());
    assert!(!said.contains("Dictionary") && !said.contains("View"), "{said}");
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
}

/// A client may read the available bytes at any time. The concatenated bytes must equal the whole
/// result.
#[test]
fn written_chunks_equal_whole_result() {
    let answered = ask("SELECT value, value * 2 AS double FROM generate_series(1, 20000)");
    assert!(answered.batches.len() > 1);
    for format in EVERY {
        let mut writer = Writer::new(format, &answered.schema).unwrap();
        let mut pieces = vec![writer.take()];
        for batch in &answered.batches {
            writer.write(batch).unwrap();
            pieces.push(writer.take());
        }
        pieces.push(writer.finish().unwrap());
        let is_whole = matches!(format, Format::Pretty | Format::Parquet);
        let filled = pieces.iter().filter(|piece| !piece.is_empty()).count();
        assert_eq!(filled >= 3, !is_whole, "{format:?}: {filled} pieces");
        assert_eq!(pieces.concat(), written(&answered, format).unwrap(), "{format:?}");
    }
}

#[test]
fn pretty_table_size_is_limited() {
    let answered = ask("SELECT value, repeat('x', 1000) AS text FROM generate_series(1, 100)");
    let mut writer = Writer::new(Format::Pretty, &answered.schema).unwrap();
    let batch = Arc::new(answered.batches[0].clone());
    let error = (0..1_000).find_map(|_| writer.write(&batch).err()).unwrap();
    assert_eq!(error.status(), 507);
    assert!(error.to_string().contains("use csv, jsonl or arrow"), "{error}");
}
