//! Generates random schemas, data and requests from a seed.

use super::vectors::{MEASUREMENT, Tags, VectorReader, Write};
use crate::merge::cursor::Direction;
use crate::scan::request::{
    AggregateCall, AggregateFunction, Arithmetic, AuxColumn, Comparison, Input, Operand, Output,
    Predicate, Resume, ScanRequest, Window,
};
use tidemark_model::ids::ColumnId;
use tidemark_model::limits::PAGE_BYTES_MAX;
use tidemark_model::time::TimeRange;
use tidemark_model::value::{FieldType, FieldValue};

const TYPES: [(ColumnId, FieldType); 5] = [
    (ColumnId(10), FieldType::Float),
    (ColumnId(11), FieldType::Integer),
    (ColumnId(12), FieldType::Unsigned),
    (ColumnId(13), FieldType::String),
    (ColumnId(14), FieldType::Boolean),
];
/// The tags of the requests. No series has tag 4.
const TAGS: [ColumnId; 4] = [ColumnId(1), ColumnId(2), ColumnId(3), ColumnId(4)];

pub(super) struct Case {
    pub(super) seed: u64,
    pub(super) points: Vec<Write>,
    pub(super) request: ScanRequest,
    cuts: Vec<usize>,
    page_rows: usize,
    pub(super) order: Vec<ColumnId>,
}

impl Case {
    pub(super) fn source(&self) -> VectorReader {
        self.build(|_| true)
    }

    pub(super) fn split(&self, shards: usize) -> Vec<VectorReader> {
        let shard = |write: &Write| {
            let bytes = write.tags.iter().flat_map(|(id, value)| [id.0 as usize, value.len() * 7]);
            let text = write.tags.iter().flat_map(|(_, value)| value.bytes().map(usize::from));
            bytes.chain(text).fold(5, |hash, byte| hash * 31 + byte) % shards
        };
        (0..shards).map(|number| self.build(|write| shard(write) == number)).collect()
    }

    /// Returns the tolerated difference of float results: 1e-12 of the sum of all magnitudes.
    pub(super) fn tolerance(&self) -> f64 {
        let magnitude = |value: &FieldValue| match value {
            FieldValue::Float(v) => v.abs(),
            FieldValue::Integer(v) => (*v as f64).abs(),
            FieldValue::Unsigned(v) => *v as f64,
            _ => 0.0,
        };
        let fields = self.points.iter().flat_map(|write| &write.fields);
        1e-12 * fields.map(|(_, value)| magnitude(value)).sum::<f64>()
    }

    fn build(&self, keep: impl Fn(&Write) -> bool) -> VectorReader {
        let mut source = VectorReader::new(self.order.clone(), self.page_rows);
        let mut start = 0;
        for &end in self.cuts.iter().chain([&self.points.len()]) {
            let part = self.points[start..end].iter().filter(|w| keep(w)).cloned();
            source.add(&part.collect::<Vec<_>>());
            start = end;
        }
        source
    }
}

pub(super) fn case(seed: u64) -> Case {
    let mut rng = fastrand::Rng::with_seed(seed);
    let span = *rng.choice(&[5, 40, 1_000]).unwrap();
    let rows_max = *rng.choice(&[4, 30, 120]).unwrap();
    let rows = rng.usize(0..rows_max);
    let drift = rng.bool();
    let points: Vec<Write> = (0..rows)
        .map(|row| {
            let base = if drift { row as i64 * span / 8 } else { 0 };
            let time_ns = base + rng.i64(-span..span);
            Write { tags: tags(&mut rng), time_ns, fields: fields(&mut rng) }
        })
        .collect();
    let mut cuts: Vec<usize> = (0..rng.usize(0..5)).map(|_| rng.usize(0..=rows)).collect();
    cuts.sort_unstable();
    let request = request(&mut rng, span, rows as i64);
    let mut order = TAGS.to_vec();
    rng.shuffle(&mut order);
    Case { seed, points, request, cuts, page_rows: rng.usize(1..8), order }
}

fn tags(rng: &mut fastrand::Rng) -> Tags {
    let mut tags = Vec::new();
    for id in TAGS.iter().take(3) {
        if rng.u8(0..3) > 0 {
            tags.push((*id, (*rng.choice(&["a", "b", "ab", "ü"]).unwrap()).to_owned()));
        }
    }
    tags
}

fn fields(rng: &mut fastrand::Rng) -> Vec<(ColumnId, FieldValue)> {
    let sparse = rng.bool();
    let mut fields = Vec::new();
    for (id, field_type) in TYPES {
        if !sparse || rng.bool() {
            fields.push((id, value(rng, field_type)));
        }
    }
    if fields.is_empty() {
        fields.push((TYPES[0].0, value(rng, FieldType::Float)));
    }
    fields
}

fn value(rng: &mut fastrand::Rng, field_type: FieldType) -> FieldValue {
    match field_type {
        FieldType::Float => FieldValue::Float(f64::from(rng.i32(-6..6)) / 2.0),
        FieldType::Integer if rng.u8(0..20) == 0 => FieldValue::Integer(i64::MAX - 1),
        FieldType::Integer => FieldValue::Integer(rng.i64(-4..4)),
        FieldType::Unsigned if rng.u8(0..20) == 0 => FieldValue::Unsigned(u64::MAX - 1),
        FieldType::Unsigned => FieldValue::Unsigned(rng.u64(0..5)),
        FieldType::String => {
            FieldValue::String((*rng.choice(&["", "a", "b", "ab"]).unwrap()).into())
        }
        FieldType::Boolean => FieldValue::Boolean(rng.bool()),
    }
}

fn request(rng: &mut fastrand::Rng, span: i64, rows: i64) -> ScanRequest {
    let time = match rng.bool() {
        true => TimeRange::ALL,
        false => {
            let start = rng.i64(-span..span);
            TimeRange::new(start, start + rng.i64(0..span * 2 + rows * span / 4))
        }
    };
    let group_by = match rng.u8(0..4) {
        0 => vec![],
        1 => vec![*rng.choice(&TAGS).unwrap()],
        2 => vec![TAGS[1], TAGS[0]],
        _ => TAGS.to_vec(),
    };
    let output = if rng.u8(0..3) == 0 {
        let fields = (0..rng.usize(0..4)).map(|_| input(rng)).collect();
        let tags = if rng.bool() { vec![TAGS[2], TAGS[0]] } else { vec![] };
        let limit = rng.bool().then(|| rng.u64(1..10));
        let every_row = rng.bool();
        Output::Rows { fields, tags, limit, every_row }
    } else {
        let calls: Vec<_> = (0..rng.usize(1..4)).map(|_| call(rng)).collect();
        let limit = (calls.len() == 1 && rng.bool()).then(|| rng.u64(1..6));
        Output::Aggregates { calls, window: window(rng, span), limit }
    };
    ScanRequest {
        measurement: MEASUREMENT,
        time,
        predicate: rng.bool().then(|| predicate(rng, 3)),
        group_by,
        direction: Direction::descending_if(rng.bool()),
        output,
        resume: Resume::default(),
        page_bytes: PAGE_BYTES_MAX,
        groups_max: (rng.u8(0..4) == 0).then(|| rng.u64(1..4)),
    }
}

fn window(rng: &mut fastrand::Rng, span: i64) -> Option<Window> {
    let every_ns = rng.i64(1..span);
    let zone = match rng.u8(0..3) {
        0 => vec![(i64::MIN, 3), (span / 2, -2), (span, 3)],
        _ => vec![],
    };
    (rng.u8(0..4) > 0).then(|| Window { every_ns, offset_ns: rng.i64(-3..3), zone })
}

fn input(rng: &mut fastrand::Rng) -> Input {
    let (column, field_type) = *rng.choice(&TYPES).unwrap();
    let cast = (rng.u8(0..6) == 0)
        .then(|| *rng.choice(&[FieldType::Float, FieldType::Integer, FieldType::String]).unwrap());
    Input { column, field_type, cast }
}

fn call(rng: &mut fastrand::Rng) -> AggregateCall {
    use AggregateFunction::{Count, First, FirstRow, Last, LastRow, Max, Mean, Min};
    use AggregateFunction::{Rows, Spread, Stddev, Sum};
    let input = input(rng);
    let any = [Count, First, Last, Rows, FirstRow, LastRow];
    let comparable = [Count, First, Last, Min, Max];
    let numeric =
        [Count, Rows, First, Last, FirstRow, LastRow, Min, Max, Sum, Mean, Spread, Stddev];
    let function = *match input.output_type() {
        Some(FieldType::String) => rng.choice(&any),
        Some(FieldType::Boolean) => rng.choice(&comparable),
        _ => rng.choice(&numeric),
    }
    .unwrap();
    let aux = match function {
        Min | Max | First | Last | FirstRow | LastRow if rng.bool() => {
            vec![
                AuxColumn::Tag(TAGS[0]),
                AuxColumn::Field(Input { cast: None, ..self::input(rng) }),
            ]
        }
        _ => vec![],
    };
    AggregateCall { function, input, aux }
}

fn predicate(rng: &mut fastrand::Rng, depth: u8) -> Predicate {
    match rng.u8(0..if depth > 0 { 9 } else { 5 }) {
        0 => tag_term(rng),
        1 => {
            let field = Operand::Field(input(rng));
            Predicate::Compare(comparison(rng), Box::new(field), Box::new(literal(rng)))
        }
        2 => Predicate::Compare(
            comparison(rng),
            Box::new(operand(rng, 2)),
            Box::new(operand(rng, 2)),
        ),
        3 => Predicate::Matches {
            operand: Box::new(operand(rng, 0)),
            regex: (*rng.choice(&["a", "^$", "b$", "^a"]).unwrap()).to_owned(),
            negated: rng.bool(),
        },
        4 => match rng.u8(0..3) {
            0 => Predicate::Constant(rng.bool()),
            _ => Predicate::IsTrue(Box::new(operand(rng, 1))),
        },
        5 | 6 => {
            Predicate::And(Box::new(predicate(rng, depth - 1)), Box::new(predicate(rng, depth - 1)))
        }
        7 => Predicate::Differ(
            Box::new(predicate(rng, depth - 1)),
            Box::new(predicate(rng, depth - 1)),
        ),
        _ => {
            Predicate::Or(Box::new(predicate(rng, depth - 1)), Box::new(predicate(rng, depth - 1)))
        }
    }
}

fn tag_term(rng: &mut fastrand::Rng) -> Predicate {
    let tag = Operand::Tag(*rng.choice(&TAGS).unwrap());
    let text = (*rng.choice(&["", "a", "b", "zz"]).unwrap()).into();
    let other = match rng.u8(0..4) {
        0 => Operand::Tag(*rng.choice(&TAGS).unwrap()),
        _ => Operand::Literal(FieldValue::String(text)),
    };
    let (a, b) = if rng.bool() { (tag, other) } else { (other, tag) };
    Predicate::Compare(comparison(rng), Box::new(a), Box::new(b))
}

fn comparison(rng: &mut fastrand::Rng) -> Comparison {
    *rng.choice(&[
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ])
    .unwrap()
}

fn literal(rng: &mut fastrand::Rng) -> Operand {
    let (_, field_type) = *rng.choice(&TYPES).unwrap();
    Operand::Literal(match value(rng, field_type) {
        // Comparisons of mixed signs above 2^53 follow special rules and have separate tests.
        FieldValue::Integer(v) => FieldValue::Integer(v.clamp(0, 9)),
        FieldValue::Unsigned(v) => FieldValue::Unsigned(v.min(9)),
        other => other,
    })
}

fn operand(rng: &mut fastrand::Rng, depth: u8) -> Operand {
    match rng.u8(0..if depth > 0 { 6 } else { 4 }) {
        0 => Operand::Tag(*rng.choice(&TAGS).unwrap()),
        1 => literal(rng),
        2 | 3 => Operand::Field(input(rng)),
        4 => Operand::Arithmetic(
            *rng.choice(&[
                Arithmetic::Add,
                Arithmetic::Subtract,
                Arithmetic::Multiply,
                Arithmetic::Divide,
                Arithmetic::Modulo,
                Arithmetic::BitAnd,
                Arithmetic::BitOr,
                Arithmetic::BitXor,
            ])
            .unwrap(),
            Box::new(operand(rng, depth - 1)),
            Box::new(operand(rng, depth - 1)),
        ),
        _ => Operand::Call(
            (*rng.choice(&["abs", "floor"]).unwrap()).to_owned(),
            vec![operand(rng, depth - 1)],
        ),
    }
}
