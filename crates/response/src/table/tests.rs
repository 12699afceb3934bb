use std::rc::Rc;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;

use super::*;
use tidemark_model::limits::{ARROW_BATCH_ROWS_MAX, REPLY_PIECE_BYTES};
use tidemark_query::data_type::DataType;
use tidemark_query::result::{Column, ResultColumn, ResultColumns, StringColumn, Validity, Values};

fn columns(zone: Option<&str>) -> ResultColumns {
    let names = ["time", "f", "i", "u", "s", "b", "host", "none"];
    ResultColumns {
        names: names.map(str::to_owned).into(),
        types: Rc::new([
            DataType::Float,
            DataType::Integer,
            DataType::Unsigned,
            DataType::String,
            DataType::Boolean,
            DataType::Tag,
            DataType::Unknown,
        ]),
        group_keys: Rc::new(["host".to_owned(), "region".to_owned()]),
        zone: zone.map(Rc::from),
    }
}

fn chunk(measurement: &str, region: &str, text: &str, zone: &[(i64, i64)]) -> SeriesChunk {
    let first = |values| {
        let mut validity = Validity::All;
        validity.push(0, true);
        validity.push(1, false);
        ResultColumn::Values(Column { values, validity }.into())
    };
    let strings = |texts: [&str; 2]| Values::String(texts.into_iter().collect::<StringColumn>());
    let result = columns(None);
    SeriesChunk {
        name: Some(Rc::from(measurement)),
        tags: Rc::new([("host".into(), "h\"1".into()), ("region".into(), region.into())]),
        columns: Rc::clone(&result.names),
        values: vec![
            ResultColumn::Time(vec![0, 1_641_024_000_500_000_000]),
            first(Values::Float(vec![0.1, 0.0])),
            first(Values::Integer(vec![i64::MIN, 0])),
            first(Values::Unsigned(vec![u64::MAX, 0])),
            first(strings([text, ""])),
            first(Values::Boolean(vec![true, false])),
            ResultColumn::full(strings(["h\"1", ""])),
            ResultColumn::Null,
        ],
        rows: 2,
        partial: false,
        zone: zone.into(),
    }
}

fn written(format: TableFormat, layout: Layout, chunks: &[SeriesChunk]) -> Vec<u8> {
    let mut writer = TableWriter::new(format, layout).unwrap();
    let mut out = Vec::new();
    for chunk in chunks {
        let mut next = 0;
        while next < chunk.rows {
            let before = writer.held_bytes();
            next = writer.rows(chunk, next).unwrap();
            let growth = writer.held_bytes().saturating_sub(before);
            assert!(growth < 2 * REPLY_PIECE_BYTES, "{format:?}: {growth}");
            out.append(&mut writer.take_bytes());
        }
    }
    writer.finish().unwrap();
    while writer.ready_bytes() > 0 {
        out.append(&mut writer.take_bytes());
    }
    assert_eq!(writer.take_bytes(), b"");
    out
}

fn text(format: TableFormat, chunks: &[SeriesChunk]) -> String {
    let layout = Layout::of_select(&columns(None));
    String::from_utf8(written(format, layout, chunks)).unwrap()
}

#[test]
fn json_objects_omit_nulls() {
    let chunks = [chunk("m", "eu", "<é\n", &[]), chunk("n", "", "", &[])];
    let rows = [
        "{\"iox::measurement\":\"m\",\"time\":\"1970-01-01T00:00:00\",\"region\":\"eu\",\
         \"f\":0.1,\"i\":-9223372036854775808,\"u\":18446744073709551615,\"s\":\"<é\\n\",\
         \"b\":true,\"host\":\"h\\\"1\"}",
        "{\"iox::measurement\":\"m\",\"time\":\"2022-01-01T08:00:00.500\",\"region\":\"eu\"}",
        "{\"iox::measurement\":\"n\",\"time\":\"1970-01-01T00:00:00\",\
         \"f\":0.1,\"i\":-9223372036854775808,\"u\":18446744073709551615,\"s\":\"\",\
         \"b\":true,\"host\":\"h\\\"1\"}",
        "{\"iox::measurement\":\"n\",\"time\":\"2022-01-01T08:00:00.500\"}",
    ];
    assert_eq!(text(TableFormat::Json, &chunks), format!("[{}]", rows.join(",")));
    assert_eq!(text(TableFormat::JsonLines, &chunks), rows.join("\n") + "\n");
    assert_eq!(text(TableFormat::Json, &[]), "[]");
    assert_eq!(text(TableFormat::JsonLines, &[]), "");
}

#[test]
fn csv_table_has_header_and_quotes() {
    let names = "iox::measurement,time,region,f,i,u,s,b,host,none\n";
    let rows = "m,1970-01-01T00:00:00,\"e,u\",0.1,-9223372036854775808,18446744073709551615,\
                \" <é\n\",true,\"h\"\"1\",\n\
                m,2022-01-01T08:00:00.500,\"e,u\",,,,,,,\n";
    let chunks = [chunk("m", "e,u", " <é\n", &[])];
    assert_eq!(text(TableFormat::Csv, &chunks), format!("{names}{rows}"));
    assert_eq!(text(TableFormat::Csv, &[]), names);
    let alone = SeriesChunk::of_strings(None, &["a"], &[vec![String::new()], vec!["x".into()]]);
    let layout = Layout::of_chunk(&alone);
    assert_eq!(written(TableFormat::Csv, layout, &[alone]), b"a\n\"\"\nx\n");
}

#[test]
fn pretty_table_aligns_columns() {
    let rows = [vec!["é".to_owned(), "two\nlines".to_owned()], vec!["long".into(), String::new()]];
    let chunk = SeriesChunk::of_strings(Some("m"), &["a", "b"], &rows);
    let table = written(TableFormat::Pretty, Layout::of_chunk(&chunk), &[chunk]);
    let expected = "\
+------------------+------+-------+
| iox::measurement | a    | b     |
+------------------+------+-------+
| m                | é    | two   |
|                  |      | lines |
| m                | long |       |
+------------------+------+-------+";
    assert_eq!(String::from_utf8(table).unwrap(), expected);
    let empty = written(TableFormat::Pretty, Layout::of_names(false, &["a"]), &[]);
    assert_eq!(empty, b"+---+\n| a |\n+---+\n+---+");
}

#[test]
fn long_pretty_tables_are_chunked() {
    let width = REPLY_PIECE_BYTES + 1;
    for (rows, excess_bytes_max, expected) in [
        (vec![vec!["x".repeat(1_000)]; 1_000], 2_000, (4..=4, 1_004)),
        // One row with many lines.
        (vec![vec!["\n".repeat(2_000), "x".repeat(2_000)]], 10_000, (11..=usize::MAX, 2_005)),
        // A line longer than a piece is sent once.
        (vec![vec!["x".repeat(width)]], 3 * width, (2..=2, 5)),
    ] {
        let names = &["a", "b"][..rows[0].len()];
        let chunk = SeriesChunk::of_strings(None, names, &rows);
        let mut writer = TableWriter::new(TableFormat::Pretty, Layout::of_chunk(&chunk)).unwrap();
        let mut next = 0;
        while next < chunk.rows {
            next = writer.rows(&chunk, next).unwrap();
        }
        let text_bytes: usize = rows.iter().flatten().map(String::len).sum();
        assert!(writer.held_bytes() > text_bytes && writer.ready_bytes() == 0);
        writer.finish().unwrap();
        let (mut pieces, mut lines) = (0, 1);
        while writer.ready_bytes() > 0 {
            let piece = writer.take_bytes();
            assert!(piece.len() < REPLY_PIECE_BYTES + excess_bytes_max);
            lines += piece.iter().filter(|byte| **byte == b'\n').count();
            pieces += 1;
        }
        assert!(expected.0.contains(&pieces), "{pieces}");
        assert_eq!(lines, expected.1);
    }
}

#[test]
fn chunk_with_long_rows_is_written_in_parts() {
    let name = "x".repeat(60_000);
    let rows = |count| SeriesChunk::of_columns(Some(&name), &["n"], [Values::Integer(count)]);
    let (whole, single) = (rows(vec![7; 50]), rows(vec![7]));
    for format in [
        TableFormat::Json,
        TableFormat::JsonLines,
        TableFormat::Csv,
        TableFormat::Pretty,
        TableFormat::Arrow,
    ] {
        let layout = Layout::of_chunk(&whole);
        let singles = vec![single.clone(); 50];
        let expected = written(format, layout.clone(), &singles);
        let parts = written(format, layout, std::slice::from_ref(&whole));
        assert!(parts == expected, "{format:?}");
    }
}

#[test]
fn zoned_times_print_their_offset() {
    let zone = [(i64::MIN, 3_600_000_000_000)];
    let chunks = [chunk("m", "eu", "", &zone)];
    let layout = || Layout::of_select(&columns(Some("Europe/Paris")));
    let lines = written(TableFormat::JsonLines, layout(), &chunks);
    let lines = String::from_utf8(lines).unwrap();
    assert!(lines.contains("\"time\":\"2022-01-01T09:00:00.500+01:00\""), "{lines}");
    let batches = read(&written(TableFormat::Arrow, layout(), &chunks));
    let field = batches[0].schema_ref().field(1).clone();
    assert_eq!(field.data_type().to_string(), "Timestamp(ns, \"Europe/Paris\")");
}

fn read(stream: &[u8]) -> Vec<RecordBatch> {
    StreamReader::try_new(stream, None).unwrap().map(Result::unwrap).collect()
}

#[test]
fn arrow_table_round_trips() {
    let chunks = [chunk("m", "eu", "<é\n", &[]), chunk("n", "", "", &[])];
    let stream = written(TableFormat::Arrow, Layout::of_select(&columns(None)), &chunks);
    let batches = read(&stream);
    let [batch] = batches.as_slice() else { panic!("{} batches", batches.len()) };
    let schema = batch.schema();
    let described: Vec<(String, String, bool, Option<String>)> = (schema.fields().iter())
        .map(|field| {
            let of = field.metadata().get("iox::column::type").cloned();
            (field.name().clone(), field.data_type().to_string(), field.is_nullable(), of)
        })
        .collect();
    let expected = [
        ("iox::measurement", "Utf8", false, None),
        ("time", "Timestamp(ns)", false, Some("iox::column_type::timestamp")),
        ("region", "Utf8", true, Some("iox::column_type::tag")),
        ("f", "Float64", true, Some("iox::column_type::field::float")),
        ("i", "Int64", true, Some("iox::column_type::field::integer")),
        ("u", "UInt64", true, Some("iox::column_type::field::uinteger")),
        ("s", "Utf8", true, Some("iox::column_type::field::string")),
        ("b", "Boolean", true, Some("iox::column_type::field::boolean")),
        ("host", "Utf8", true, Some("iox::column_type::tag")),
        ("none", "Utf8", true, None),
    ];
    let owned = |(name, data_type, nullable, of): (&str, &str, bool, Option<&str>)| {
        (name.to_owned(), data_type.to_owned(), nullable, of.map(str::to_owned))
    };
    assert_eq!(described, expected.map(owned));
    assert_eq!(
        schema.metadata()["iox::influxql::group_key::metadata"],
        "{\"tagKeyColumns\":[{\"columnIndex\":8,\"isProjected\":true,\"tagKey\":\"host\"},\
         {\"columnIndex\":2,\"tagKey\":\"region\"}]}"
    );
    let strings =
        |at: usize| -> Vec<Option<&str>> { batch.column(at).as_string::<i32>().iter().collect() };
    assert_eq!(strings(0), [Some("m"), Some("m"), Some("n"), Some("n")]);
    assert_eq!(strings(2), [Some("eu"), Some("eu"), None, None]);
    assert_eq!(strings(6), [Some("<é\n"), None, Some(""), None]);
    assert_eq!(strings(8), [Some("h\"1"), None, Some("h\"1"), None]);
    let times = batch.column(1).as_primitive::<TimestampNanosecondType>();
    assert_eq!(times.values()[..2], [0, 1_641_024_000_500_000_000]);
    assert_eq!(batch.column(3).as_primitive::<Float64Type>().value(0), 0.1);
    assert_eq!(batch.column(4).as_primitive::<Int64Type>().value(0), i64::MIN);
    assert_eq!(batch.column(5).as_primitive::<UInt64Type>().value(0), u64::MAX);
    assert_eq!((3..8).map(|at| batch.column(at).null_count()).collect::<Vec<_>>(), [2; 5]);
    assert!(batch.column(7).as_boolean().value(0));
    assert_eq!(batch.column(9).null_count(), 4);
}

#[test]
fn empty_arrow_stream_has_schema() {
    let layout = Layout::of_select(&columns(None));
    let stream = written(TableFormat::Arrow, layout, &[]);
    let reader = StreamReader::try_new(stream.as_slice(), None).unwrap();
    assert_eq!(reader.schema().fields().len(), 10);
    assert_eq!(reader.count(), 0);
    let stream = written(TableFormat::Arrow, Layout::of_names(true, &["name"]), &[]);
    let schema = StreamReader::try_new(stream.as_slice(), None).unwrap().schema();
    assert_eq!(schema.metadata()["iox::influxql::group_key::metadata"], "{}");
}

#[test]
fn arrow_batches_limit_rows_and_bytes() {
    let rows = ARROW_BATCH_ROWS_MAX + 1;
    let numbers = SeriesChunk::of_columns(None, &["n"], [Values::Integer(vec![7; rows])]);
    let batches = read(&written(TableFormat::Arrow, Layout::of_chunk(&numbers), &[numbers]));
    let lengths: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(lengths, [ARROW_BATCH_ROWS_MAX, 1]);
    let long = vec![vec!["x".repeat(REPLY_PIECE_BYTES / 2)]; 3];
    let long = SeriesChunk::of_strings(None, &["s"], &long);
    let batches = read(&written(TableFormat::Arrow, Layout::of_chunk(&long), &[long]));
    assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn mixed_and_non_finite_values_print() {
    let strings = Values::String(["a", ""].into_iter().collect::<StringColumn>());
    let mut validity = Validity::All;
    validity.push(0, true);
    validity.push(1, false);
    let column = Column { values: strings, validity };
    let otherwise = Column::full(Values::Float(vec![5.0]));
    let floats = Values::Float(vec![f64::NAN, f64::NEG_INFINITY]);
    let mut chunk = SeriesChunk::of_columns(None, &["s", "f"], [floats]);
    let (column, otherwise) = (column.into(), otherwise.into());
    chunk.values.insert(0, ResultColumn::Filled { column, otherwise });
    let all = |format| written(format, Layout::of_chunk(&chunk), std::slice::from_ref(&chunk));
    assert_eq!(all(TableFormat::Csv), b"s,f\na,NaN\n5.0,-inf\n");
    assert_eq!(all(TableFormat::JsonLines), b"{\"s\":\"a\",\"f\":null}\n{\"s\":5.0,\"f\":null}\n");
    let batches = read(&all(TableFormat::Arrow));
    let strings: &dyn Array = &Arc::clone(batches[0].column(0));
    assert_eq!(strings.as_string::<i32>().value(1), "5.0");
}
