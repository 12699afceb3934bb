//! Tests line protocol with the corpus of InfluxData's implementations.

pub(crate) mod oracle;
mod strings;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use tidemark_engine::batch::from_lines::from_lines;
use tidemark_line_protocol::{Options, TimestampUnit};
use tidemark_model::time::Precision;
use tidemark_model::value::FieldValue;

use self::oracle::{NOW_NS, Point, points, shown};
use crate::repository::influxdata_cases;
use crate::world::is_long;

#[test]
fn line_corpus_agrees_with_influxdb_3() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    for case in influxdata_cases("line_protocol") {
        let base64 = || BASE64.decode(case["base64"].as_str().unwrap()).unwrap();
        let body = case["text"].as_str().map_or_else(base64, |text| text.as_bytes().to_vec());
        let ours = read(&body, precision(&case["precision"]), case["now_ns"].as_i64().unwrap());
        let points = case["points"].as_array();
        let theirs = points.map(|points| points.iter().map(expected).collect::<Vec<_>>());
        let verdict = match (&ours, &theirs) {
            (None, None) => "rejected by both",
            (Some(ours), Some(theirs)) if ours == theirs => "same points",
            _ => leniency(&body, ours.as_deref(), theirs.as_deref()).unwrap_or("disagree"),
        };
        *counts.entry(verdict).or_default() += 1;
        if verdict == "disagree" {
            faults.push(format!("{:?}\n  {ours:?}\n  {theirs:?}", body.escape_ascii().to_string()));
        }
    }
    println!("{counts:#?}");
    assert!(faults.is_empty(), "{}\n{}", faults.len(), faults.join("\n"));
}

/// Returns why an intentional difference is permitted for this body, or `None`.
fn leniency(body: &[u8], ours: Option<&[Point]>, theirs: Option<&[Point]>) -> Option<&'static str> {
    let has = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    match (ours, theirs) {
        (Some(_), None) if body.starts_with(b"\t") => Some("lenient: tab before a line"),
        // InfluxDB 1.x skips NUL bytes, too.
        (Some(_), None) if body.ends_with(b"\0") => Some("lenient: NUL byte as a blank"),
        // The parser ignores the contents of comments.
        (Some([]), None) if body.starts_with(b"#") => Some("lenient: any byte in a comment"),
        // `time` is the name of the timestamp. InfluxDB rejects such a tag later.
        (None, Some(_)) if has(b",time=") => Some("strict: a tag called time"),
        // A reader cannot distinguish control characters in a shell or in a log.
        (None, Some(_)) if body.iter().any(|byte| *byte < 0x20) => {
            Some("strict: control character in a name")
        }
        _ => None,
    }
}

/// Parses the points of a body. Returns `None` if any line is rejected.
fn read(body: &[u8], precision: Precision, now_ns: i64) -> Option<Vec<Point>> {
    let options = Options::new(TimestampUnit::Fixed(precision), now_ns);
    let (batch, rejected) = from_lines(body, options, 1).ok()?;
    (rejected.count == 0).then(|| points(&batch))
}

/// Parses precisions such as `1ns` and `1µs`.
fn precision(value: &Value) -> Precision {
    match value.as_str().unwrap() {
        "1ns" => Precision::Nanosecond,
        "1µs" => Precision::Microsecond,
        "1ms" => Precision::Millisecond,
        "1s" => Precision::Second,
        other => panic!("precision {other}"),
    }
}

/// Parses a point: its measurement, tags, fields and time.
fn expected(point: &Value) -> Point {
    let map = |at: usize, shown: fn(&Value) -> String| {
        let pairs = point[at].as_object().unwrap().iter();
        pairs.map(|(key, value)| (key.clone(), shown(value))).collect()
    };
    let time_ns = point[3].as_i64().unwrap();
    (text(&point[0]), map(1, text), map(2, expected_value), time_ns)
}

fn expected_value(value: &Value) -> String {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), value) {
        ("float", value) => format!("float {}", value.as_f64().unwrap()),
        ("string", value) => format!("string {}", text(value)),
        (kind, value) => format!("{kind} {value}"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn written_points_are_read_back() {
    let mut random = fastrand::Rng::with_seed(21);
    for _ in 0..300 {
        let (mut body, mut points) = (String::new(), Vec::new());
        for _ in 0..random.usize(1..60) {
            points.push(write_point(&mut random, &mut body));
        }
        let ours = read(body.as_bytes(), Precision::Nanosecond, NOW_NS);
        assert_eq!(ours.as_deref(), Some(points.as_slice()), "{body}");
    }
}

/// 1.x skips tabs and NUL bytes together with spaces (`skipWhitespace`).
#[test]
fn tabs_and_nul_bytes_are_blanks() {
    let plain = read(b"m v=1 1", Precision::Nanosecond, NOW_NS);
    assert!(plain.is_some());
    for body in ["m v=1 \t1", "m \tv=1 1", "m v=1 1 \t", "m v=1 1\n\0", "\0m v=1 1", "m v=1 \0 1"] {
        assert_eq!(read(body.as_bytes(), Precision::Nanosecond, NOW_NS), plain, "{body:?}");
    }
}

fn write_point(random: &mut fastrand::Rng, body: &mut String) -> Point {
    let escape = |name: &str, special: &[char]| {
        name.chars().fold(String::new(), |text, c| match special.contains(&c) {
            true => text + "\\" + &c.to_string(),
            false => text + &c.to_string(),
        })
    };
    let name = random_name(random);
    let mut tags = BTreeMap::new();
    for _ in 0..random.usize(0..4) {
        tags.insert(random_name(random), random_name(random));
    }
    let mut written: Vec<_> = tags.iter().collect();
    random.shuffle(&mut written);
    *body += &escape(&name, &[',', '=', ' ', '"']);
    for (key, value) in written {
        *body += &format!(",{}={}", escape(key, &[',', '=', ' ']), escape(value, &[',', '=', ' ']));
    }
    let mut fields = BTreeMap::new();
    for at in 0..random.usize(1..5) {
        let key = format!("{}{at}", random_name(random));
        let (text, value) = random_value(random);
        *body += if at == 0 { " " } else { "," };
        *body += &format!("{}={text}", escape(&key, &[',', '=', ' ', '"']));
        fields.insert(key, shown(&value));
    }
    let time = random.bool().then(|| random.i64(-1_000_000..=i64::MAX - 1));
    *body += &time.map_or(String::new(), |time| format!(" {time}"));
    *body += if random.bool() { "\n" } else { "\r\n" };
    (name, tags, fields, time.unwrap_or(NOW_NS))
}

/// Returns a random name that is not `time` and does not end with a backslash.
fn random_name(random: &mut fastrand::Rng) -> String {
    let alphabet = ['a', 'b', ',', '=', ' ', '\\', '"', 'ü', '.', '1'];
    let mut name: String =
        (0..random.usize(0..6)).map(|_| alphabet[random.usize(0..alphabet.len())]).collect();
    name.push(if random.bool() { 'x' } else { ' ' });
    // A name at the start of a line cannot begin with a space or `#`.
    format!("n{name}")
}

fn random_value(random: &mut fastrand::Rng) -> (String, FieldValue) {
    match random.u8(0..5) {
        0 => {
            let value = random.i64(-99_999..99_999) as f64 / 10_f64.powi(random.i32(0..9));
            (format!("{value}"), FieldValue::Float(value))
        }
        1 => {
            let value = random.i64(..);
            (format!("{value}i"), FieldValue::Integer(value))
        }
        2 => {
            let value = random.u64(..);
            (format!("{value}u"), FieldValue::Unsigned(value))
        }
        3 => {
            let text = random_name(random) + "\n\\";
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            (format!("\"{escaped}\""), FieldValue::String(text.into()))
        }
        _ => {
            let value = random.bool();
            (if value { "T" } else { "false" }.into(), FieldValue::Boolean(value))
        }
    }
}

/// Both parsers must return the same points or reject the line.
#[test]
fn mutated_lines_agree_with_influxdb_3() {
    let mut random = fastrand::Rng::with_seed(22);
    let alphabet = b"m,t=v \"\\#19.-eiuTf+";
    let seeds: [&[u8]; 5] = [
        b"m,t=a,u=b v=1,w=2i 1",
        b"m v=1.5e3,s=\"a b\",b=true",
        b"cpu\\ x,h\\,=a\\=b v\\ 1=3u -5",
        b"m v=\"a\\\"b\\\\\",w=-2.5 7",
        b"m,t=x f=FALSE,g=0.25",
    ];
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    // LONG_TESTS=1 tests ten million lines. Use the release profile for them.
    let inputs = if is_long() { 10_000_000 } else { 50_000 };
    for _ in 0..inputs {
        let mut line = seeds[random.usize(0..seeds.len())].to_vec();
        for _ in 0..random.usize(0..4) {
            let at = random.usize(0..line.len());
            match random.u8(0..3) {
                0 => line[at] = alphabet[random.usize(0..alphabet.len())],
                1 => line.insert(at, alphabet[random.usize(0..alphabet.len())]),
                _ => drop(line.remove(at)),
            }
        }
        let line = String::from_utf8(line).unwrap();
        let ours = read(line.as_bytes(), Precision::Nanosecond, NOW_NS);
        let theirs = read_v3(&line);
        let verdict = match (&ours, &theirs) {
            (None, None) => "refused by both",
            (Some(ours), Some(theirs)) if ours == theirs => "same points",
            _ => known_difference(&line, ours.as_deref(), theirs.as_deref()).unwrap_or("disagree"),
        };
        *counts.entry(verdict).or_default() += 1;
        if verdict == "disagree" {
            faults.push(format!("{line}\n  {ours:?}\n  {theirs:?}"));
        }
    }
    println!("{counts:#?}");
    let kept = counts.get("same points").copied().unwrap_or_default();
    assert!(kept * 10 >= inputs * 3, "only {kept} of {inputs} were accepted by both");
    faults.truncate(40);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn parsed_mutated_lines_round_trip() {
    let mut random = fastrand::Rng::with_seed(23);
    let alphabet = "m,t=v \"\\#19.-eiuTf\r\nü\u{1}";
    let alphabet: Vec<char> = alphabet.chars().collect();
    let seed: Vec<char> =
        "m,t=a,u=b v=1,w=2i,x=3u 1\ncpu\\ x,h\\,=a\\=b v\\ 1=\"a\\\"b\\\\ \"\r\n# c\nm v=T 9"
            .chars()
            .collect();
    let inputs = if is_long() { 1_000_000 } else { 20_000 };
    let mut points_read = 0;
    for _ in 0..inputs {
        let mut body = seed.clone();
        for _ in 0..random.usize(0..6) {
            let (at, new) = (random.usize(0..body.len()), random.usize(0..alphabet.len()));
            match random.u8(0..3) {
                0 => body[at] = alphabet[new],
                1 => body.insert(at, alphabet[new]),
                _ => drop(body.remove(at)),
            }
        }
        let body: String = body.into_iter().collect();
        points_read += oracle::check(body.as_bytes());
    }
    assert!(points_read > inputs, "{points_read}");
}

fn read_v3(text: &str) -> Option<Vec<Point>> {
    use influxdb_line_protocol::FieldValue as Theirs;
    influxdb_line_protocol::parse_lines(text)
        .map(|line| {
            let line = line.ok()?;
            let tags = line.series.tag_set.iter().flatten();
            let fields = line.field_set.iter().map(|(key, value)| {
                let value = match value {
                    Theirs::F64(value) => FieldValue::Float(*value),
                    Theirs::I64(value) => FieldValue::Integer(*value),
                    Theirs::U64(value) => FieldValue::Unsigned(*value),
                    Theirs::Boolean(value) => FieldValue::Boolean(*value),
                    Theirs::String(value) => FieldValue::String(value.as_str().into()),
                };
                (key.to_string(), shown(&value))
            });
            Some((
                line.series.measurement.to_string(),
                tags.map(|(key, value)| (key.to_string(), value.to_string())).collect(),
                fields.collect(),
                line.timestamp.unwrap_or(NOW_NS),
            ))
        })
        .collect()
}

/// Removes the escapes that InfluxDB 3 does not remove from measurements and field keys.
fn unescaped_like_1(points: &[Point]) -> Vec<Point> {
    let name = |name: &String| name.replace("\\\"", "\"").replace("\\=", "=");
    let point = |(measurement, tags, fields, time_ns): &Point| {
        let fields = fields.iter().map(|(key, value)| (name(key), value.clone()));
        (name(measurement), tags.clone(), fields.collect(), *time_ns)
    };
    points.iter().map(point).collect()
}

/// Returns why a difference between the parsers is permitted for a line, or `None`.
fn known_difference(
    line: &str,
    ours: Option<&[Point]>,
    theirs: Option<&[Point]>,
) -> Option<&'static str> {
    match (ours, theirs) {
        // Clients do not double the backslashes of UNC paths and regexes. 1.x keeps them.
        _ if line.contains("\\\\") => Some("two backslashes stay two in names"),
        (Some(_), None) if escaped(line).is_some_and(|line| read_v3(&line).as_deref() == ours) => {
            Some("lenient: quotes inside a string, as 1.x takes them")
        }
        (Some(ours), Some(theirs)) if unescaped_like_1(theirs) == ours => {
            Some("1.x also removes the backslash before '=' and quotes in names")
        }
        (Some(_), None) if line.ends_with(' ') => Some("lenient: trailing space"),
        (Some(_), None) if line.contains('.') => Some("lenient: .5 and 1."),
        (None, Some(_)) if line.ends_with(',') || line.contains(", ") => {
            Some("strict: trailing comma")
        }
        (None, Some([(_, _, fields, _)]))
            if fields.values().any(|value| value.ends_with("inf")) =>
        {
            // JSON cannot represent this value.
            Some("strict: a float beyond 64 bits")
        }
        (None, Some([(_, tags, fields, _)])) => {
            // 1.x and the corpus also reject these lines.
            let names = tags.keys().chain(tags.values()).chain(fields.keys());
            let bare = names.into_iter().any(|name| name.contains([',', '=']));
            // InfluxDB 3's parser permits names that occur twice.
            let (key, rest) = cut_at_bare_space(line);
            let repeated =
                key.matches('=').count() > tags.len() || rest.matches('=').count() > fields.len();
            match (bare, repeated) {
                (true, _) => Some("strict: bare ',' or '=' in a name"),
                (_, true) => Some("strict: repeated tag, or field of two types"),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Adds a missing backslash before each quote inside a string, and after a backslash at the end of
/// a string. Returns `None` if no backslash is missing.
fn escaped(line: &str) -> Option<String> {
    let (key, mut rest) = cut_at_bare_space(line);
    let (mut text, mut lacks_any) = (key.to_owned(), false);
    while let Some(equals) = rest.find("=\"") {
        let (before, value) = rest.split_at(equals + 1);
        let (mut inside, mut after_backslash, mut end) = (false, false, value.len());
        for (at, c) in value.char_indices() {
            match c {
                _ if after_backslash => after_backslash = false,
                '\\' => after_backslash = true,
                '"' => inside = !inside,
                ',' | ' ' if !inside => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        let inner = value[..end].strip_prefix('"')?.strip_suffix('"')?;
        text = text + before + "\"";
        let mut after_backslash = false;
        for c in inner.chars() {
            let lacks = c == '"' && !after_backslash;
            text += if lacks { "\\" } else { "" };
            text.push(c);
            lacks_any |= lacks;
            after_backslash = c == '\\' && !after_backslash;
        }
        text += if after_backslash { "\\\"" } else { "\"" };
        lacks_any |= after_backslash;
        rest = &value[end..];
    }
    lacks_any.then(|| text + rest)
}

fn cut_at_bare_space(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    let mut at = line.match_indices(' ').map(|(at, _)| at);
    let end = at.find(|&at| !line[..at].ends_with('\\')).unwrap_or(line.len());
    line.split_at(end)
}
