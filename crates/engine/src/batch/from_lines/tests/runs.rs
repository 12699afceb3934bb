//! Tests the values and the padding of lines with different fields.

use std::collections::BTreeMap;

use super::*;
use crate::batch::column::Column;
use crate::batch::measurement_writer::CELLS_ENOUGH;
use tidemark_model::value::FieldValue;

type Row = (u32, String, BTreeMap<String, i64>);

fn rows(batch: &Batch) -> Vec<Row> {
    let mut rows = Vec::new();
    for of in &batch.measurements {
        let block = &of.block;
        assert_eq!((of.name.as_str(), of.tag_keys.as_slice()), ("m", &["host".to_owned()][..]));
        for row in 0..block.rows() {
            let host = block.series.tags[0].get(block.row_series[row] as usize).to_owned();
            let value = |(key, column): (&String, &Column)| match column.get(row)? {
                FieldValue::Integer(value) => Some((key.clone(), value)),
                other => panic!("{other:?}"),
            };
            let fields = of.field_keys.iter().zip(&block.fields).filter_map(value);
            rows.push((of.lines.get(row), host, fields.collect()));
        }
    }
    rows
}

fn cells(batch: &Batch) -> usize {
    batch.measurements.iter().map(|of| of.block.rows() * of.block.fields.len()).sum()
}

fn parse(body: &str) -> (Batch, u64) {
    let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), 7);
    let (batch, rejected) = from_lines(body.as_bytes(), options, 7).unwrap();
    (batch, rejected.count)
}

#[test]
fn wide_line_pads_few_cells() {
    const LINES: usize = 30_000;
    for wide in [0, 1, 15_000, LINES] {
        let line = |at: usize| {
            let fields = if at == wide { 0..1_000 } else { 0..1 };
            let fields: Vec<String> = fields.map(|f| format!("f{f}={}i", at + f)).collect();
            format!("m,host=h{} {} {at}\n", at % 3, fields.join(","))
        };
        let (batch, rejected) = parse(&(0..=LINES).map(line).collect::<String>());
        assert_eq!(rejected, 0);
        assert!(cells(&batch) < 3 * LINES + 2 * CELLS_ENOUGH, "{}", cells(&batch));
        assert!(batch.bytes() < 4_000_000, "{}", batch.bytes());
        for (at, (line, host, fields)) in rows(&batch).into_iter().enumerate() {
            let width = if at == wide { 1_000 } else { 1 };
            assert_eq!((line as usize, host), (at + 1, format!("h{}", at % 3)));
            let is_own = |(f, (key, value)): (usize, (&String, &i64))| {
                key == &format!("f{f}") && *value == (at + f) as i64
            };
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| key[1..].parse::<usize>().unwrap());
            assert!(fields.len() == width && sorted.into_iter().enumerate().all(is_own));
        }
    }
}

#[test]
fn runs_keep_only_their_tags() {
    let wide = |n: usize| {
        let tags: Vec<String> = (0..10).map(|tag| format!("t{n}_{tag}=x")).collect();
        format!("m,{} v=1i {n}\n", tags.join(","))
    };
    let mut body: String = (0..90).map(wide).collect();
    for line in 0..2_000 {
        body += &format!("m,host=h f{}=1i,v=1i {line}\n", line % 900);
    }
    let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), 7);
    let mut builder = BatchBuilder::new(7, Limits::default());
    Parser::new(options).feed(body.as_bytes(), true, &mut builder).unwrap();
    let bytes = builder.bytes();
    let batch = builder.finish();
    assert!(batch.bytes() <= bytes, "{} of {bytes}", batch.bytes());
    let keys: Vec<usize> = batch.measurements.iter().map(|of| of.tag_keys.len()).collect();
    assert!(keys.len() > 4 && keys[0] == 901 && keys[1..].iter().all(|&n| n == 1), "{keys:?}");
    let rows: usize = batch.measurements.iter().map(|of| of.block.rows()).sum();
    assert_eq!(rows, 2_090);
}

#[test]
fn columns_count_with_their_keys() {
    let fields: Vec<String> = (0..1_000).map(|field| format!("f{field}=t")).collect();
    let body: String = (0..20).map(|n| format!("m{n} {} 1\n", fields.join(","))).collect();
    let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), 7);
    let mut builder = BatchBuilder::new(7, Limits::default());
    Parser::new(options).feed(body.as_bytes(), true, &mut builder).unwrap();
    let bytes = builder.bytes();
    assert!(bytes > 20_000 * 150, "{bytes}");
    let batch = builder.finish();
    assert!(20_000 * 100 < batch.bytes() && batch.bytes() <= bytes, "{}", batch.bytes());
}

#[test]
fn field_runs_keep_line_values() {
    for seed in 0..8 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut body, mut expected, mut refused) = (String::new(), Vec::new(), 0);
        let (mut first, mut count) = (0, 1);
        for line in 1..3_000 {
            if rng.u8(..50) == 0 {
                (first, count) = (rng.usize(..400), 1 << rng.u32(..8));
            }
            let mut fields: Vec<(usize, i64)> = (0..1 + rng.usize(..4))
                .map(|_| (first + rng.usize(..count), rng.i64(..)))
                .collect();
            let host = format!("h{}", rng.u8(..4));
            let mut text: Vec<String> =
                fields.iter().map(|(field, value)| format!("f{field}={value}i")).collect();
            if rng.u8(..10) == 0 {
                text.push(format!("f{}=1", fields[0].0));
                (refused, fields) = (refused + 1, Vec::new());
            }
            body += &format!("m,host={host} {} {line}\n", text.join(","));
            if !fields.is_empty() {
                let fields = fields.into_iter().map(|(field, v)| (format!("f{field}"), v));
                expected.push((line, host, fields.collect()));
            }
        }
        let (batch, rejected) = parse(&body);
        assert_eq!(rejected, refused, "seed {seed}");
        assert!(batch.measurements.len() > 1, "seed {seed}");
        assert!(rows(&batch) == expected, "seed {seed}");
    }
}
