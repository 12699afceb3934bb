//! Reads `tests/data/format/part_v2.txt`, which must not be rewritten. `RECORD_FORMAT=1 cargo test
//! --lib part` writes the file of a new version if it does not exist.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn bytes(text: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn lines(read: &Read) -> String {
    read.iter().fold(String::new(), |mut text, ((key, time_ns), fields)| {
        writeln!(text, "row {} {time_ns} {fields:?}", hex(key.as_bytes())).unwrap();
        text
    })
}

fn record() -> String {
    let mut rng = Rng::with_seed(3);
    let mut story = Story::new();
    while story.len() < 300 {
        story.extend(self::story(&mut rng, TIMES));
    }
    let limits = Limits { value_bytes: 2_500, ..small(&mut rng) };
    let fields =
        (0..20).map(|at| (at * 5 + 3, FieldValue::String("wide ".repeat(60 + at as usize).into())));
    story.insert((SeriesKey::new(MeasurementId(9), ["wide"]), 5), fields.collect());
    let (values, parts) = write(&story, 50, TIMES, limits, &mut rng);
    let mut text = String::new();
    for (number, value) in (1 << 40..).zip(&values) {
        writeln!(text, "value {} {}", hex(&value.head(number)), hex(&value.body)).unwrap();
    }
    for part in &parts {
        writeln!(text, "part {} {} {}", part.id, part.values.start, part.values.end).unwrap();
        let slot = part.id as i64 - 5;
        let own = TimeRange::new(slot * 50, (slot + 1) * 50);
        text += &lines(&visible_rows(&story, own, Direction::Ascending));
    }
    text
}

#[test]
fn recorded_parts_stay_readable() {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/format/part_v2.txt");
    if std::env::var_os("RECORD_FORMAT").is_some() && !path.exists() {
        std::fs::write(&path, record()).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let mut values = Vec::new();
    let (mut parts, mut expected) = (Vec::new(), Vec::<String>::new());
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["value", head, body] => values.push((bytes(head), bytes(body))),
            ["part", id, start, end] => {
                let number = |text: &str| text.parse::<u64>().unwrap();
                parts.push((number(id), number(start) as usize..number(end) as usize));
                expected.push(String::new());
            }
            _ => {
                *expected.last_mut().unwrap() += line;
                *expected.last_mut().unwrap() += "\n";
            }
        }
    }
    let values = Rc::new(values);
    let mut is_wide = false;
    for ((head, body), number) in values.iter().zip(1 << 40..) {
        let (found, directory) = Directory::decode(head).unwrap();
        assert_eq!((found, directory.check(body)), (number, Ok(())));
        is_wide |= directory.groups.iter().any(|group| group.is_wide());
    }
    assert!(is_wide && parts.len() == 3 && values.len() > 5);
    for ((id, of), expected) in parts.into_iter().zip(expected) {
        let bytes = Bytes { values: Rc::clone(&values), of };
        let mut cursor = PartCursor::new(bytes, id, Direction::Ascending, None).unwrap();
        let mut read = Read::new();
        while cursor.key().is_some() {
            read.extend(rows(&mut cursor, TimeRange::ALL, Direction::Ascending));
            cursor.step().unwrap();
        }
        assert_eq!(lines(&read), expected);
    }
}
