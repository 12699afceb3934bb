use std::rc::Rc;

use super::*;
use tidemark_model::bug;
use tidemark_model::limits::{
    MSGPACK_BYTES_MAX, MSGPACK_CHUNK_BYTES_MAX, REPLY_PIECE_BYTES, WHOLE_REPLY_BYTES_MAX,
};
use tidemark_query::result::{ResultColumn, StringColumn, Values};

fn chunk(host: &str, values: &[f64], partial: bool) -> SeriesChunk {
    SeriesChunk {
        name: Some(Rc::from("cpu")),
        tags: Rc::from([("host".to_owned(), host.to_owned())]),
        columns: Rc::from(["time".to_owned(), "v".to_owned()]),
        values: vec![
            ResultColumn::Time((0..values.len() as i64).map(|i| i * 1_500_000_000).collect()),
            ResultColumn::full(Values::Float(values.to_vec())),
        ],
        rows: values.len(),
        partial,
        zone: Rc::from([]),
    }
}

fn written(options: Options, chunks: &[SeriesChunk]) -> String {
    let mut writer = writer(options);
    writer.statement_begin(0);
    for chunk in chunks {
        assert_eq!(writer.series(chunk, 0..chunk.rows), Some(chunk.rows));
    }
    writer.statement_end(Ending::Done);
    writer.statement_begin(1);
    writer.statement_end(Ending::Failed("database not found: <x>"));
    writer.finish();
    String::from_utf8(writer.take_bytes()).unwrap()
}

const FAILED: &str = "{\"statement_id\":1,\"error\":\"database not found: \\u003cx\\u003e\"}";

#[test]
fn chunks_of_one_series_join() {
    let chunks =
        [chunk("a", &[1.0, f64::NAN], true), chunk("a", &[2.5], false), chunk("b", &[3.0], false)];
    let expected = format!(
        "{{\"results\":[{{\"statement_id\":0,\"series\":[\
         {{\"name\":\"cpu\",\"tags\":{{\"host\":\"a\"}},\"columns\":[\"time\",\"v\"],\"values\":[\
         [\"1970-01-01T00:00:00Z\",1],[\"1970-01-01T00:00:01.5Z\",null],\
         [\"1970-01-01T00:00:00Z\",2.5]]}},\
         {{\"name\":\"cpu\",\"tags\":{{\"host\":\"b\"}},\"columns\":[\"time\",\"v\"],\"values\":[\
         [\"1970-01-01T00:00:00Z\",3]]}}]}},{FAILED}]}}\n"
    );
    assert_eq!(written(Options::default(), &chunks), expected);
}

#[test]
fn short_column_fails_response() {
    for format in [Format::Json, Format::Csv] {
        let mut short = chunk("a", &[1.0, 2.0], false);
        short.values[1] = ResultColumn::full(Values::Float(vec![1.0]));
        let options = Options { format, ..Options::default() };
        let text = bug::tolerate(|| bug::catch(|| written(options, &[short])));
        assert!(text.is_err(), "{text:?}");
    }
}

#[test]
fn equal_looking_series_stay_separate() {
    let text = written(Options::default(), &[chunk("a", &[1.0], false), chunk("a", &[2.0], false)]);
    assert_eq!(text.matches("\"columns\"").count(), 2);
}

#[test]
fn response_allows_empty_series_and_statements() {
    let text = written(Options::default(), &[chunk("a", &[], false)]);
    assert!(text.contains("\"columns\":[\"time\",\"v\"]}]},"), "{text}");
    let text = written(Options::default(), &[]);
    assert_eq!(text, format!("{{\"results\":[{{\"statement_id\":0}},{FAILED}]}}\n"));
}

#[test]
fn infinite_value_fails_json_response() {
    let text = written(Options::default(), &[chunk("a", &[1.0, f64::INFINITY], false)]);
    assert_eq!(text, "{\"error\":\"json: unsupported value: +Inf\"}\n");
}

#[test]
fn error_replaces_rows_of_statement() {
    let answer = |is_streamed: bool, pretty: bool| {
        let mut writer = writer(Options { pretty, ..Options::default() });
        let rows = chunk("a", &[1.0, f64::INFINITY], false);
        writer.statement_begin(0);
        writer.series(&rows, 0..1);
        let mut bytes = if is_streamed { writer.take_bytes() } else { Vec::new() };
        writer.series(&rows, 1..2);
        writer.statement_end(Ending::Failed("killed"));
        writer.statement_begin(1);
        writer.statement_end(Ending::Done);
        writer.finish();
        bytes.extend(writer.take_bytes());
        String::from_utf8(bytes).unwrap()
    };
    let only_error =
        "{\"results\":[{\"statement_id\":0,\"error\":\"killed\"},{\"statement_id\":1}]}\n";
    assert_eq!(answer(false, false), only_error);
    assert!(
        answer(false, true).contains("\"statement_id\": 0,\n            \"error\": \"killed\"\n")
    );
    assert!(answer(true, false).contains("\"series\":"));
}

#[test]
fn chunks_end_at_size_or_series() {
    let options =
        Options { epoch: Some(Precision::Millisecond), chunk_rows: Some(2), ..Options::default() };
    let chunks =
        [chunk("a", &[1.0], true), chunk("a", &[2.0, 3.0], false), chunk("b", &[4.0], false)];
    let series = |host: &str| {
        format!(
            "{{\"results\":[{{\"statement_id\":0,\"series\":[{{\"name\":\"cpu\",\
             \"tags\":{{\"host\":\"{host}\"}},\"columns\":[\"time\",\"v\"],\"values\":["
        )
    };
    let expected = [
        format!("{}[0,1],[0,2]],\"partial\":true}}],\"partial\":true}}]}}\n", series("a")),
        format!("{}[1500,3]]}}],\"partial\":true}}]}}\n", series("a")),
        format!("{}[0,4]]}}]}}]}}\n", series("b")),
        format!("{{\"results\":[{FAILED}]}}\n"),
    ];
    assert_eq!(written(options, &chunks), expected.concat());
}

/// Rows that are short in memory may be long in the response.
#[test]
fn chunk_with_long_rows_is_written_in_parts() {
    let (rows, text) = (100, "x".repeat(60_000));
    let dictionary = [text.as_str()].into_iter().collect();
    let long = StringColumn::coded(dictionary, vec![0; rows]).unwrap();
    let mut whole = chunk(&text, &vec![1.0; rows], false);
    whole.values[1] = ResultColumn::full(Values::String(long));
    let written = |options: &Options, held_bytes_max: usize, rows_max: usize| {
        let mut writer = writer(options.clone());
        let (mut next, mut bytes) = (0, Vec::new());
        writer.statement_begin(0);
        while next < rows {
            let before = writer.held_bytes();
            next = writer.series(&whole, next..rows.min(next + rows_max)).unwrap();
            let growth = writer.held_bytes() - before;
            assert!(growth < REPLY_PIECE_BYTES + 5 * text.len(), "{options:?}: {growth}");
            while writer.bytes() > 0 {
                bytes.append(&mut writer.take_bytes());
            }
            assert!(writer.held_bytes() <= held_bytes_max, "{options:?}");
        }
        writer.statement_end(Ending::Done);
        writer.finish();
        while writer.bytes() > 0 {
            bytes.append(&mut writer.take_bytes());
        }
        bytes
    };
    let packed = MSGPACK_CHUNK_BYTES_MAX + text.len() + 100;
    for (format, pretty, chunk_rows, held_bytes_max) in [
        (Format::Json, false, None, 0),
        (Format::Json, true, None, 0),
        (Format::Csv, false, None, 0),
        (Format::MessagePack, false, None, MSGPACK_BYTES_MAX),
        (Format::Json, false, Some(1), WHOLE_REPLY_BYTES_MAX),
        (Format::Json, false, Some(90), WHOLE_REPLY_BYTES_MAX),
        (Format::MessagePack, false, Some(1), packed),
        (Format::MessagePack, false, Some(90), packed),
    ] {
        let options = Options { format, pretty, chunk_rows, ..Options::default() };
        let parts = written(&options, held_bytes_max, rows);
        assert!(parts == written(&options, held_bytes_max, 1), "{options:?}");
    }
}

#[test]
fn csv_repeats_header_for_new_columns() {
    let options = Options { format: Format::Csv, ..Options::default() };
    let mut other = chunk("a,b c", &[1e21], false);
    other.columns = Rc::from(["time".to_owned(), "w,\"x\"".to_owned()]);
    let text = written(options, &[chunk("", &[1.5], false), other]);
    let expected = "name,tags,time,v\ncpu,,0,1.5\n\nname,tags,time,\"w,\"\"x\"\"\"\n\
                    cpu,\"host=a\\,b\\ c\",0,1000000000000000000000\n";
    assert_eq!(text, expected);
}

#[test]
fn response_format_follows_accept_list() {
    for (accept, format) in [
        (None, Format::Json),
        (Some("application/csv"), Format::Csv),
        (Some("application/x-msgpack, text/csv;q=0.5"), Format::MessagePack),
        (Some("application/json, text/plain, */*"), Format::Json),
        (Some("application/x-msgpack"), Format::MessagePack),
        (Some("application/csv;q=0.5, application/json;q=0.9"), Format::Json),
        (Some("application/json;q=0.5, application/csv;q=0.9"), Format::Csv),
        (Some("text/csv;q=0, application/x-msgpack;q=0.1"), Format::MessagePack),
    ] {
        assert_eq!(Format::negotiate(accept), format, "{accept:?}");
    }
}

#[test]
fn warned_statement_still_runs() {
    let warned = |options: Options| {
        let mut writer = writer(options);
        writer.statement_begin(0);
        writer.statement_end(Ending::Warned("<w>"));
        writer.statement_begin(1);
        writer.statement_end(Ending::Done);
        writer.finish();
        let mut bytes = Vec::new();
        while writer.bytes() > 0 {
            bytes.extend(writer.take_bytes());
        }
        bytes
    };
    let result = "{\"statement_id\":0,\"messages\":[{\"level\":\"warning\",\
                  \"text\":\"\\u003cw\\u003e\"}]}";
    let whole = format!("{{\"results\":[{result},{{\"statement_id\":1}}]}}\n");
    assert_eq!(warned(Options::default()), whole.into_bytes());
    let chunked = warned(Options { chunk_rows: Some(10), ..Options::default() });
    let documents =
        format!("{{\"results\":[{result}]}}\n{{\"results\":[{{\"statement_id\":1}}]}}\n");
    assert_eq!(chunked, documents.into_bytes());
    let packed = warned(Options { format: Format::MessagePack, ..Options::default() });
    let first = b"\x81\xa7results\x92\x83\xacstatement_id\x00\xa8messages\x91\x82\xa5level\
                  \xa7warning\xa4text\xa3<w>\xa6series\x90\x82\xacstatement_id\x01";
    assert!(packed.starts_with(first), "{}", String::from_utf8_lossy(&packed));
    assert_eq!(warned(Options { format: Format::Csv, ..Options::default() }), b"");
}
