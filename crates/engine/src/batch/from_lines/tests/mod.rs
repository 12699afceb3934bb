//! Tests the points and errors of bodies, which are both written as text.

mod runs;

use super::*;
use crate::batch::Block;
use crate::batch::line_numbers::LineNumbers;
use tidemark_line_protocol::{LineError, Parser, TimestampUnit};
use tidemark_model::limits::*;
use tidemark_model::time::Precision;

const NOW_NS: i64 = 1_700_000_000_123_456_789;

fn options(precision: Precision) -> Options {
    Options::new(TimestampUnit::Fixed(precision), NOW_NS)
}

fn read(body: &[u8], options: Options) -> Vec<String> {
    let (batch, rejected) = from_lines(body, options, 7).unwrap();
    let mut shown = show(&batch);
    shown.extend(rejected.named.iter().map(|error| format!("{}! {error}", error.line)));
    assert_eq!(rejected.count + rejected.without_time, rejected.named.len() as u64);
    shown
}

fn show(batch: &Batch) -> Vec<String> {
    let mut points: Vec<(u32, String)> = Vec::new();
    for table in &batch.measurements {
        let block = &table.block;
        assert!((0..block.rows()).all(|row| table.lines.get(row) > 0));
        assert_eq!(table.lines.get(block.rows()), 0);
        assert_eq!(block.series.tags.len(), table.tag_keys.len());
        assert!(block.fields.iter().all(|column| column.len() == block.rows()));
        assert!(block.series.tags.iter().all(|tag| tag.codes.len() == block.series.len as usize));
        for row in 0..block.rows() {
            let series = block.row_series[row] as usize;
            let mut tags: Vec<String> = (table.tag_keys.iter().zip(&block.series.tags))
                .filter(|(_, tag)| !tag.get(series).is_empty())
                .map(|(key, tag)| format!("{key}={}", tag.get(series)))
                .collect();
            tags.sort();
            let fields: Vec<String> = (table.field_keys.iter().zip(&block.fields))
                .filter_map(|(key, column)| Some(format!("{key}={:?}", column.get(row)?)))
                .collect();
            let time = block.times_ns[row];
            let text = format!("{} {} {} {time}", table.name, tags.join(","), fields.join(","));
            points.push((table.lines.get(row), text));
        }
    }
    points.sort();
    points.into_iter().map(|(line, text)| format!("{line}: {text}")).collect()
}

#[track_caller]
fn check(body: &str, expected: &[&str]) {
    assert_eq!(read(body.as_bytes(), options(Precision::Nanosecond)), expected);
}

#[track_caller]
fn refused(line: &str, expected: &str) {
    check(
        &format!("ok v=1 1\n{line}\nok v=2 2\n"),
        &["1: ok  v=Float(1.0) 1", "3: ok  v=Float(2.0) 2", &format!("2! {expected}")],
    );
}

#[test]
fn lines_of_all_types_parse() {
    check(
        "cpu,host=a,region=eu f=1.5,i=-2i,u=3u,s=\"x \\\"y\\\\\",b=true 10\n\
         cpu,region=eu,host=a f=2 20\n\
         mem free=1i\n",
        &[
            "1: cpu host=a,region=eu f=Float(1.5),i=Integer(-2),u=Unsigned(3),\
             s=String(\"x \\\"y\\\\\"),b=Boolean(true) 10",
            "2: cpu host=a,region=eu f=Float(2.0) 20",
            "3: mem  free=Integer(1) 1700000000123456789",
        ],
    );
}

#[test]
fn equivalent_series_keys_share_one_series() {
    let body = b"m,b=2,a=1 v=1 1\nm,a=1,b=2 v=1 2\nm,a=1,b=\\2 v=1 3\nm,b=2,a=1 v=1 4\n\\m v=1 5\n";
    let (batch, _) = from_lines(body, options(Precision::Nanosecond), 7).unwrap();
    assert_eq!(batch.measurements[0].block.row_series, [0, 0, 1, 0]);
    assert_eq!(batch.measurements[0].block.series.len, 2);
    assert_eq!(batch.measurements[1].name, "\\m");
}

#[test]
fn lenient_syntax_of_clients_parses() {
    check(
        "\u{feff}m v=1 1\r\n\r\n  m v=.5 2 \r\nm  v=1.   3\r",
        &["1: m  v=Float(1.0) 1", "3: m  v=Float(0.5) 2", "4: m  v=Float(1.0) 3"],
    );
    check(
        "m v=1 \nm v=\"a\" \n\tm v=t",
        &[
            "1: m  v=Float(1.0) 1700000000123456789",
            "2: m  v=String(\"a\") 1700000000123456789",
            "3: m  v=Boolean(true) 1700000000123456789",
        ],
    );
    check(
        "# C:\\\n# \"\nm v=1 1\n  # x\nm v=2 2",
        &["3: m  v=Float(1.0) 1", "5: m  v=Float(2.0) 2"],
    );
    check(
        "m v=1,v=2,time=3,w=4 1\nm v=5 2",
        &[
            "1: m  v=Float(2.0),w=Float(4.0) 1",
            "2: m  v=Float(5.0) 2",
            "1! input field \"time\" is invalid and is not stored: the name is reserved; rename the \
             field, or write the time at the end of the line (column 16)",
        ],
    );
    check("m v=\"a\r\n\" 1\nm v=2 2", &["1: m  v=String(\"a\\r\\n\") 1", "3: m  v=Float(2.0) 2"]);
    check("_m,v=v v=-0 1", &["1: _m v=v v=Float(-0.0) 1"]);
}

#[test]
fn bad_lines_do_not_stop_parsing() {
    refused(",t=a v=1", "missing measurement, expected a name before the first ',' (column 1)");
    let missing = "missing fields, expected a space and key=value after the measurement and tags";
    refused("m", &format!("{missing} (column 2)"));
    refused("m,t=a\r", &format!("{missing} (column 6)"));
    refused("  m ", &format!("{missing} (column 5)"));
    refused("m 123", "invalid field format: no '=' in '123', expected key=value (column 3)");
    refused("m v=", "missing field value of 'v', expected a value after '=' (column 5)");
    refused("m =1", "missing field key, expected key=value (column 3)");
    refused("m v=1,", "missing field key, expected key=value (column 7)");
    let value = "expected a float (1.5), an integer (1i), an unsigned integer (1u), a boolean \
                 (true) or a string in double quotes";
    for bad in ["1x", "+1", "NaN", "inf", "-inf", "tru", "1.0i", "-1u", "0x1", "1e", "-"] {
        refused(&format!("m v={bad}"), &format!("invalid field value '{bad}', {value} (column 5)"));
    }
    let quote = "(inside a string write a quote as \\\")";
    refused(
        "m v=\"a\"b",
        &format!(
            "invalid field value '\"a\"b', expected the string to end with a '\"' before ',' or ' ' \
             {quote} (column 5)"
        ),
    );
    refused("m v=1e400", "field value '1e400' is out of range for the type float (column 5)");
    refused(
        "m v=9223372036854775808i",
        "field value '9223372036854775808i' is out of range for the type integer (column 5)",
    );
    refused(
        "m time=1",
        "invalid field name: input field \"time\" is invalid, expected another field: the name is \
         reserved; rename the field, or write the time at the end of the line (column 8)",
    );
    refused(
        "m v=1,v=1i",
        "the field 'v' is specified more than once with conflicting types: float and integer: drop \
         the `i` (column 9)",
    );
    for (bad, found, name, column) in [
        ("m,t=New York v=1", "York", Some(r"New\ York"), 9),
        ("m,t=New York City,u=1 v=1", "York", Some(r"New\ York\ City"), 9),
        ("living room,t=a v=1", "room", Some(r"living\ room"), 8),
        ("m v=1,my field=2", "my", Some(r"my\ field"), 7),
        ("m 1 2", "1", None, 3),
        ("m v", "v", None, 3),
    ] {
        let hint = name.map_or_else(String::new, |name| {
            format!("; if the space is part of a name, escape it: `{name}`")
        });
        let no_equals = format!("invalid field format: no '=' in '{found}', expected key=value");
        refused(bad, &format!("{no_equals}{hint} (column {column})"));
    }
    refused(
        "m v=1 w=2",
        "bad timestamp 'w=2', expected an integer (write ',' and no space between fields) (column 7)",
    );
    refused("m v=1 1x", "bad timestamp '1x', expected an integer (column 7)");
    refused("m v=1 1.5", "bad timestamp '1.5', expected an integer (column 7)");
    refused(
        "m v=1 1 1",
        "trailing content '1' after the timestamp, expected the end of the line (column 9)",
    );
    refused(
        "m v=1 9223372036854775807",
        "timestamp '9223372036854775807' is outside the range of times at this precision \
         (±9223372036854775806 ns) (column 7)",
    );
    refused("m\tv=1", "control character 0x09 in a name, expected printable text (column 2)");
    refused("m ü\u{1}=1", "control character 0x01 in a name, expected printable text (column 4)");
}

#[test]
fn newline_in_string_continues_bad_line() {
    check(
        "m v=\"a\nb v=1 1\",x=y\nok v=1 1",
        &[
            "3: ok  v=Float(1.0) 1",
            "1! invalid field value 'y', expected a float (1.5), an integer (1i), an unsigned \
             integer (1u), a boolean (true) or a string in double quotes (column 19)",
        ],
    );
    check(
        "ok v=1 1\nm v=\"a\nok v=1 2\n",
        &[
            "1: ok  v=Float(1.0) 1",
            "2! unbalanced quotes: the string has no closing '\"' (inside a string write a quote as \
             \\\") (column 5)",
        ],
    );
    check(
        "m,t=a\\\nb v=1 1\nok v=1 1",
        &[
            "3: ok  v=Float(1.0) 1",
            "1! control character 0x0a in a name, expected printable text (column 7)",
        ],
    );
}

#[test]
fn rejected_lines_leave_no_trace() {
    let clean = "a v=1 1\nb,t=x v=2,s=\"y\" 2\na v=3,w=4i 3\na v=5 4\n";
    let mut dirty = String::new();
    for line in clean.lines() {
        dirty += "a,new=1 v=1,n=2,s=\"z\",x=bad\na v=1i,u=2u,v=oops\nc v=bad\na v=9,w=9,w=\"q\"\n";
        dirty += line;
        dirty += "\nb,t=z,u=1 v=2,v2=1,s=3 1 1\n,\n";
    }
    let strip = |(mut batch, _): (Batch, Rejected)| {
        batch.measurements.iter_mut().for_each(|table| table.lines = LineNumbers::default());
        batch
    };
    let options = options(Precision::Nanosecond);
    let clean = strip(from_lines(clean.as_bytes(), options, 1).unwrap());
    let (dirty, rejected) = from_lines(dirty.as_bytes(), options, 2).unwrap();
    assert_eq!(rejected.count, 24);
    for table in &dirty.measurements {
        assert!(
            (0..table.block.rows()).all(|row| table.lines.get(row) % 7 == 5),
            "{:?}",
            table.lines
        );
    }
    let mut dirty = strip((dirty, Rejected::default()));
    // No code refers to values of rejected lines.
    for table in dirty.measurements.iter_mut() {
        for tag in &mut table.block.series.tags {
            let values: Vec<String> = (0..tag.codes.len()).map(|s| tag.get(s).to_owned()).collect();
            tag.dictionary = values.iter().map(String::as_str).collect();
            tag.codes = (1..=values.len() as u32).collect();
        }
    }
    assert_eq!(dirty, clean);
}

#[test]
fn evicted_series_key_becomes_new_series() {
    let key = |n: usize| format!("m,t={n}{}", "x".repeat(60_000));
    let n_keys = KEYS_BYTES_MAX / 60_000 + 10;
    let mut body: String = (0..n_keys).map(|n| key(n) + " v=1 1\n").collect();
    for n in [n_keys - 1, 0, 0] {
        body += &(key(n) + " v=2 1\n");
    }
    let (batch, _) = from_lines(body.as_bytes(), options(Precision::Nanosecond), 7).unwrap();
    let Block { series, row_series, .. } = &batch.measurements[0].block;
    let last = n_keys as u32 - 1;
    assert_eq!(row_series[n_keys - 1..], [last, last, last + 1, last + 1]);
    assert_eq!(series.tags[0].get(n_keys), series.tags[0].get(0));
    assert_eq!(series.tags[0].dictionary.len(), n_keys);
}

#[test]
fn overlong_line_is_rejected_without_buffering() {
    let long = "x".repeat(LINE_BYTES_MAX + 200_000);
    let body = |line: &str| format!("m v=1 1\n{line} s=\"\n\" 2\nm v=3 3\n#{long}\nm v=4 4\n");
    for line in [format!("m,t={long} v=2"), format!("m a=\"\n\",v=2{long}")] {
        let body = body(&line);
        let options = options(Precision::Nanosecond);
        let (whole, rejected) = from_lines(body.as_bytes(), options, 7).unwrap();
        let mut parser = Parser::new(options);
        let mut builder = BatchBuilder::new(7, options.limits);
        let (mut held, mut most) = (Vec::new(), 0);
        for piece in body.as_bytes().chunks(100_000) {
            held.extend_from_slice(piece);
            most = most.max(held.len());
            let used = parser.feed(&held, false, &mut builder).unwrap();
            held.drain(..used);
        }
        parser.feed(&held, true, &mut builder).unwrap();
        let again = parser.into_rejected();
        assert_eq!(builder.finish(), whole);
        assert_eq!((again.count, again.named[0].line), (1, rejected.named[0].line));
        assert!(again.named[0].to_string().contains("LINE_BYTES_MAX"), "{}", again.named[0]);
        assert!(most <= LINE_BYTES_MAX + 100_001, "{most}");
    }
}

#[test]
fn field_types_may_differ_between_lines() {
    let body = b"m v=1 1\nm v=1i 2\nm v=\"x\" 3\nm v=2 4";
    let (batch, rejected) = from_lines(body, options(Precision::Nanosecond), 7).unwrap();
    assert_eq!(rejected.count, 0);
    assert_eq!(batch.measurements[0].field_keys, ["v", "v", "v"]);
    assert_eq!(
        show(&batch),
        [
            "1: m  v=Float(1.0) 1",
            "2: m  v=Integer(1) 2",
            "3: m  v=String(\"x\") 3",
            "4: m  v=Float(2.0) 4",
        ]
    );
}

#[test]
fn precision_scales_times_and_truncates_now() {
    let with = |unit| read(b"m v=1 1700000000\nm v=1", Options::new(unit, NOW_NS));
    assert_eq!(
        with(TimestampUnit::Fixed(Precision::Second)),
        ["1: m  v=Float(1.0) 1700000000000000000", "2: m  v=Float(1.0) 1700000000000000000",]
    );
    assert_eq!(
        with(TimestampUnit::Fixed(Precision::Hour))[1..],
        [
            "1! timestamp '1700000000' is outside the range of times at this precision (±9223372036854775806 ns); \
         it looks like seconds: write with precision=s (column 7)"
        ]
    );
    let auto = Options::new(TimestampUnit::Auto, NOW_NS);
    let body = b"m v=1 1700000000\nm v=1 1700000000000\nm v=1 1700000000000000\n\
                 m v=1 1700000000000000000\nm v=1 -1";
    let times: Vec<String> =
        read(body, auto).iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(times[..4], ["1700000000000000000"; 4]);
    assert_eq!(times[4], "-1000000000");
}

#[test]
fn body_with_invalid_utf8_is_rejected() {
    let error = from_lines(b"m v=1\nm,t=\xff v=1", options(Precision::Nanosecond), 7).unwrap_err();
    assert_eq!(error, NotUtf8 { line: 2, byte: 11 });
}

#[test]
fn limit_errors_name_their_value() {
    let refused = |line: String| {
        let (_, rejected) = from_lines(line.as_bytes(), options(Precision::Nanosecond), 7).unwrap();
        rejected.named.into_iter().map(|error| error.cause).next()
    };
    let limit = |limit: Limit, current: usize, requested: usize| {
        Some(Limits::default().check(limit, current, requested).unwrap_err().into())
    };
    let tags =
        |n: usize| (0..n).fold("m".to_owned(), |line, tag| format!("{line},t{tag}=x")) + " v=1";
    assert_eq!(refused(tags(TAGS_PER_POINT_MAX)), None);
    let many = TAGS_PER_POINT_MAX + 1;
    assert_eq!(refused(tags(many)), limit(Limit::Tags, 0, many));
    let fields = |n: usize| (1..n).fold("m f0=1".to_owned(), |line, f| format!("{line},f{f}=1"));
    assert_eq!(refused(fields(FIELDS_PER_MEASUREMENT_MAX)), None);
    let many = FIELDS_PER_MEASUREMENT_MAX + 1;
    assert_eq!(refused(fields(many)), limit(Limit::Fields, many - 1, many));
    let line = |spaces: usize| format!("m{}v=1", " ".repeat(spaces));
    assert_eq!(refused(line(LINE_BYTES_MAX - 4)), None);
    let long = LINE_BYTES_MAX + 1;
    assert_eq!(refused(line(LINE_BYTES_MAX - 3)), limit(Limit::LineBytes, 0, long));
    let names = |n: usize| (0..n).fold(String::new(), |body, m| body + &format!("m{m} v=1\n"));
    assert_eq!(refused(names(MEASUREMENTS_PER_POLICY_MAX)), None);
    let many = MEASUREMENTS_PER_POLICY_MAX + 1;
    assert_eq!(refused(names(many)), limit(Limit::Measurements, many - 1, many));
}

#[test]
fn tag_keys_of_measurement_are_limited() {
    let line = |tags: std::ops::Range<usize>| {
        tags.fold("m".to_owned(), |line, n| format!("{line},t{n:04}=x")) + " v=1\n"
    };
    let mut body: String = (0..5).map(|part| line(200 * part..200 * (part + 1))).collect();
    body += &line(900..1_102);
    body += &line(0..3);
    let (batch, rejected) = from_lines(body.as_bytes(), options(Precision::Nanosecond), 7).unwrap();
    let (current, requested) = (TAG_KEYS_PER_MEASUREMENT_MAX, 1_102);
    let cause = Cause::TooManyTagKeys { measurement: "m".into(), current, requested };
    assert_eq!(rejected.named, [LineError { line: 6, column: 1, cause }]);
    assert_eq!(batch.measurements[0].tag_keys.len(), TAG_KEYS_PER_MEASUREMENT_MAX);
    assert_eq!(batch.measurements[0].block.row_series, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn cell_limit_bounds_parser_memory() {
    let mut body = String::new();
    for line in 0..40_000 {
        body += &format!("m f{}=1\n", line % 1_000);
    }
    let (batch, rejected) = from_lines(body.as_bytes(), options(Precision::Second), 7).unwrap();
    let blocks = || batch.measurements.iter().map(|of| &of.block);
    let cells: usize = blocks().map(|block| block.rows() * block.fields.len()).sum();
    assert!(cells <= CELLS_PER_REQUEST_MAX && batch.bytes() < 90_000_000, "{}", batch.bytes());
    assert_eq!(rejected.named.len(), REJECTED_LINES_NAMED_MAX);
    let text = rejected.named[0].cause.to_string();
    let Cause::TooManyCells { current, requested } = rejected.named[0].cause else {
        panic!("{text}")
    };
    assert!(current <= CELLS_PER_REQUEST_MAX && CELLS_PER_REQUEST_MAX < requested, "{text}");
    let end = "limit 8000000 (CELLS_PER_REQUEST_MAX): send fewer lines per request";
    assert!(text.contains(&format!("current {current} cells, requested {requested}, {end}")));
    let rows: usize = blocks().map(Block::rows).sum();
    assert!(rows > 30_000, "{rows}");
    assert_eq!(rejected.count + rows as u64, 40_000);
}

#[test]
fn chunked_body_parses_like_whole_body() {
    in_pieces(
        "\u{feff}cpu,host=ä v=1,s=\"a\nb\" 10\r\nbad\n# c\ncpu v=2\ncpu,x v=\"\n\" 1\n\nm v=1 7",
    );
    in_pieces(
        "m s=\"a \"b\nc\" d\",t=\"x\"\\\n\"y\" 1\nm s=\"5\" pipe\" 2\nm s=\"\"q\"\"\r\nm v=1 3\n",
    );
    in_pieces(&"cpu,host=a\\ 0 v=1 1\ncpu,host=a\\ 1 v=2 2\ncpu,host=b v=3 3\n".repeat(3));
}

fn in_pieces(body: &str) {
    let whole = from_lines(body.as_bytes(), options(Precision::Second), 7).unwrap();
    for size in 1..body.len() {
        let mut builder = BatchBuilder::new(7, Limits::default());
        let mut parser = Parser::new(options(Precision::Second));
        let mut held = Vec::new();
        let mut pieces = body.as_bytes().chunks(size).peekable();
        while let Some(piece) = pieces.next() {
            held.extend_from_slice(piece);
            let used = parser.feed(&held, pieces.peek().is_none(), &mut builder).unwrap();
            held.drain(..used);
        }
        assert!(held.is_empty());
        let named = |rejected: &Rejected| -> Vec<LineError> { rejected.named.clone() };
        let rejected = parser.into_rejected();
        assert_eq!(named(&rejected), named(&whole.1), "{size}");
        let batch = builder.finish();
        assert_eq!(show(&batch), show(&whole.0));
    }
}

#[test]
fn mutated_bodies_never_panic() {
    let mut random = fastrand::Rng::with_seed(9);
    let alphabet = b"m,t=v \"\\\n\r#19.-eiuTf\x00\xc3";
    for _ in 0..20_000 {
        let mut body = b"m,t=a v=1,w=2i 1\nm,t=a v=2,w=3i 2\n".to_vec();
        for _ in 0..random.usize(0..8) {
            let at = random.usize(0..body.len());
            match random.u8(0..3) {
                0 => body[at] = alphabet[random.usize(0..alphabet.len())],
                1 => body.insert(at, alphabet[random.usize(0..alphabet.len())]),
                _ => drop(body.remove(at)),
            }
        }
        if let Ok((batch, _)) = from_lines(&body, options(Precision::Second), 3) {
            show(&batch);
        }
    }
}
