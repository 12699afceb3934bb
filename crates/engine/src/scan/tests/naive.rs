//! Implements the naive evaluator: rows in a map, processed one row and one value at a time.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::vectors::{Tags, Write, key};
use crate::merge::cursor::Direction;
use crate::scan::request::{
    AggregateCall, AggregateFunction, Arithmetic, AuxColumn, Comparison, Input, Operand, Output,
    Predicate, ScanRequest, Window,
};
use tidemark_model::ids::ColumnId;
use tidemark_model::regex::{Pattern, RegexWork};
use tidemark_model::value::{FieldType, FieldValue};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) time_ns: i64,
    pub(super) values: Vec<Option<FieldValue>>,
}

/// The rows of each group, or the windows of each group per call.
pub(super) type Answer = Vec<(Vec<String>, Vec<Vec<Point>>)>;

pub(super) struct Row {
    tags: Tags,
    time_ns: i64,
    fields: BTreeMap<ColumnId, FieldValue>,
}

impl Row {
    fn tag(&self, id: ColumnId) -> &str {
        self.tags.iter().find(|(tag, _)| *tag == id).map_or("", |(_, value)| value)
    }

    fn field(&self, input: &Input) -> Option<FieldValue> {
        let value = self.fields.get(&input.column)?;
        let Some(to) = input.cast else { return Some(value.clone()) };
        if to == value.field_type() {
            return Some(value.clone());
        }
        Some(match (value, to) {
            (FieldValue::Float(v), FieldType::Integer) => FieldValue::Integer(*v as i64),
            (FieldValue::Float(v), FieldType::Unsigned) => FieldValue::Unsigned(*v as u64),
            (FieldValue::Integer(v), FieldType::Float) => FieldValue::Float(*v as f64),
            (FieldValue::Integer(v), FieldType::Unsigned) => FieldValue::Unsigned(*v as u64),
            (FieldValue::Unsigned(v), FieldType::Float) => FieldValue::Float(*v as f64),
            (FieldValue::Unsigned(v), FieldType::Integer) => FieldValue::Integer(*v as i64),
            _ => return None,
        })
    }
}

fn rows(writes: &[Write]) -> Vec<Row> {
    let mut all: BTreeMap<(Tags, i64), BTreeMap<ColumnId, FieldValue>> = BTreeMap::new();
    for write in writes {
        let row = all.entry((write.tags.clone(), write.time_ns)).or_default();
        row.extend(write.fields.iter().cloned());
    }
    all.into_iter().map(|((tags, time_ns), fields)| Row { tags, time_ns, fields }).collect()
}

pub(super) fn answer(writes: &[Write], request: &ScanRequest, order: &[ColumnId]) -> Answer {
    let mut groups: BTreeMap<Vec<String>, Vec<Row>> = BTreeMap::new();
    for row in rows(writes) {
        let matches = request.predicate.as_ref().is_none_or(|predicate| is_true(predicate, &row));
        if request.time.contains(row.time_ns) && matches {
            let key = request.group_by.iter().map(|&tag| row.tag(tag).to_owned()).collect();
            groups.entry(key).or_default().push(row);
        }
    }
    let mut answer: Answer = groups
        .into_iter()
        .map(|(key, rows)| {
            let calls = match &request.output {
                Output::Rows { fields, tags, limit, every_row } => {
                    let wanted = (fields.as_slice(), tags.as_slice(), *every_row);
                    vec![raw(&rows, wanted, order, *limit, request.direction)]
                }
                Output::Aggregates { calls, window, limit } => calls
                    .iter()
                    .map(|call| {
                        let mut points = windows(&rows, call, window.as_ref(), request);
                        points.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
                        points
                    })
                    .collect(),
            };
            (key, calls)
        })
        .filter(|(_, calls)| calls.iter().any(|points| !points.is_empty()))
        .collect();
    if request.direction.is_descending() {
        answer.reverse();
    }
    answer
}

fn raw(
    rows: &[Row],
    (fields, tags, every_row): (&[Input], &[ColumnId], bool),
    order: &[ColumnId],
    limit: Option<u64>,
    direction: Direction,
) -> Vec<Point> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| (row.time_ns, key(&row.tags, order)));
    if direction.is_descending() {
        rows.reverse();
    }
    let points = rows.into_iter().filter_map(|row| {
        let values: Vec<_> = fields.iter().map(|input| row.field(input)).collect();
        if !every_row && values.iter().all(Option::is_none) {
            return None;
        }
        let tags = tags.iter().map(|&tag| Some(FieldValue::String(row.tag(tag).into())));
        Some(Point { time_ns: row.time_ns, values: values.into_iter().chain(tags).collect() })
    });
    points.take(limit.map_or(usize::MAX, |limit| limit as usize)).collect()
}

fn windows(
    rows: &[Row],
    call: &AggregateCall,
    window: Option<&Window>,
    request: &ScanRequest,
) -> Vec<Point> {
    use AggregateFunction::{FirstRow, LastRow};
    let mut windows: BTreeMap<i64, Vec<Candidate>> = BTreeMap::new();
    for row in rows {
        let value = match call.function {
            AggregateFunction::Rows => Some(FieldValue::Boolean(true)),
            FirstRow | LastRow => Some(FieldValue::Integer(row.time_ns)),
            _ => row.field(&call.input),
        };
        let Some(value) = value else { continue };
        let aux = call.aux.iter().map(|aux| match aux {
            AuxColumn::Field(input) => row.field(input),
            AuxColumn::Tag(tag) => Some(FieldValue::String(row.tag(*tag).into())),
        });
        let start_ns = window.map_or(request.time.start_ns, |window| window.start(row.time_ns));
        windows.entry(start_ns).or_default().push((row.time_ns, value, aux.collect()));
    }
    let mut points: Vec<Point> = windows
        .into_iter()
        .map(|(time_ns, points)| Point { time_ns, values: aggregate(call.function, points) })
        .collect();
    if request.direction.is_descending() {
        points.reverse();
    }
    points
}

fn order(a: &FieldValue, b: &FieldValue) -> Ordering {
    match (a, b) {
        (FieldValue::Float(a), FieldValue::Float(b)) => a.partial_cmp(b).unwrap(),
        (FieldValue::Integer(a), FieldValue::Integer(b)) => a.cmp(b),
        (FieldValue::Unsigned(a), FieldValue::Unsigned(b)) => a.cmp(b),
        (FieldValue::Boolean(a), FieldValue::Boolean(b)) => a.cmp(b),
        (FieldValue::String(a), FieldValue::String(b)) => a.cmp(b),
        _ => panic!("values of two types"),
    }
}

fn order_optional(a: &Option<FieldValue>, b: &Option<FieldValue>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => order(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

type Candidate = (i64, FieldValue, Vec<Option<FieldValue>>);

fn aggregate(function: AggregateFunction, points: Vec<Candidate>) -> Vec<Option<FieldValue>> {
    use AggregateFunction::{Count, First, FirstRow, Last, LastRow, Max, Mean, Min};
    use AggregateFunction::{Rows, Spread, Stddev, Sum};
    let values: Vec<FieldValue> = points.iter().map(|(_, value, _)| value.clone()).collect();
    let reals: Vec<f64> = values.iter().map(real).collect();
    let count = values.len() as f64;
    let wide = || -> i128 {
        let wide = values.iter().map(|value| match value {
            FieldValue::Integer(value) => i128::from(*value),
            FieldValue::Unsigned(value) => i128::from(*value),
            _ => 0,
        });
        wide.sum()
    };
    let mean = || match total(&values) {
        FieldValue::Float(sum) => sum / count,
        _ => wide() as f64 / count,
    };
    let value = match function {
        Count | Rows => FieldValue::Integer(values.len() as i64),
        Sum => total(&values),
        Mean => FieldValue::Float(mean()),
        Spread => difference(
            values.iter().max_by(|a, b| order(a, b)).unwrap(),
            values.iter().min_by(|a, b| order(a, b)).unwrap(),
        ),
        // `ties.rs` tests tied points.
        AggregateFunction::TiedPoints { .. } => return vec![None],
        Stddev if values.len() < 2 => FieldValue::Float(f64::NAN),
        Stddev => {
            let mean = reals.iter().sum::<f64>() / count;
            let squares: f64 = reals.iter().map(|v| (v - mean) * (v - mean)).sum();
            FieldValue::Float((squares / (count - 1.0)).sqrt())
        }
        Min | Max | First | Last | FirstRow | LastRow => {
            let best = points.into_iter().reduce(|a, b| choose(function, a, b)).unwrap();
            let mut row = vec![Some(best.1), Some(FieldValue::Integer(best.0))];
            row.extend(best.2);
            return row;
        }
    };
    vec![Some(value)]
}

fn choose(function: AggregateFunction, a: Candidate, b: Candidate) -> Candidate {
    use AggregateFunction::{First, FirstRow, Last, LastRow, Max, Min};
    let is_bool = matches!(a.1, FieldValue::Boolean(_));
    let earlier = b.0.cmp(&a.0);
    let larger = order(&a.1, &b.1);
    let order = match function {
        Min => larger.reverse().then(earlier),
        Max => larger.then(earlier),
        First if is_bool => earlier.then(larger.reverse()),
        First | FirstRow => earlier.then(larger),
        Last | LastRow => earlier.reverse().then(larger),
        _ => panic!("not a selector"),
    };
    let aux = a.2.iter().zip(&b.2).map(|(a, b)| order_optional(a, b));
    let aux = aux.fold(Ordering::Equal, Ordering::then);
    match order {
        // `Greater` means that a is preferred, and `Less` means that b is preferred.
        Ordering::Less => b,
        Ordering::Greater => a,
        Ordering::Equal if aux == Ordering::Greater => b,
        Ordering::Equal => a,
    }
}

fn real(value: &FieldValue) -> f64 {
    match value {
        FieldValue::Float(v) => *v,
        FieldValue::Integer(v) => *v as f64,
        FieldValue::Unsigned(v) => *v as f64,
        _ => 0.0,
    }
}

fn total(values: &[FieldValue]) -> FieldValue {
    match values[0] {
        FieldValue::Integer(_) => FieldValue::Integer(values.iter().fold(0_i64, |sum, v| {
            if let FieldValue::Integer(v) = v { sum.wrapping_add(*v) } else { sum }
        })),
        FieldValue::Unsigned(_) => FieldValue::Unsigned(values.iter().fold(0_u64, |sum, v| {
            if let FieldValue::Unsigned(v) = v { sum.wrapping_add(*v) } else { sum }
        })),
        _ => FieldValue::Float(values.iter().map(real).sum()),
    }
}

fn difference(a: &FieldValue, b: &FieldValue) -> FieldValue {
    match (a, b) {
        (FieldValue::Float(a), FieldValue::Float(b)) => FieldValue::Float(a - b),
        (FieldValue::Integer(a), FieldValue::Integer(b)) => FieldValue::Integer(a.wrapping_sub(*b)),
        (FieldValue::Unsigned(a), FieldValue::Unsigned(b)) => {
            FieldValue::Unsigned(a.wrapping_sub(*b))
        }
        _ => panic!("not numbers"),
    }
}

fn is_true(predicate: &Predicate, row: &Row) -> bool {
    match predicate {
        Predicate::Constant(value) => *value,
        Predicate::And(a, b) => is_true(a, row) && is_true(b, row),
        Predicate::Or(a, b) => is_true(a, row) || is_true(b, row),
        Predicate::Differ(a, b) => is_true(a, row) != is_true(b, row),
        Predicate::IsTrue(operand) => evaluate(operand, row) == Some(FieldValue::Boolean(true)),
        Predicate::Matches { operand, regex, negated } => match evaluate(operand, row) {
            Some(FieldValue::String(text)) => {
                Pattern::new(regex, &RegexWork::limited()).unwrap().is_match(&text) != *negated
            }
            _ => false,
        },
        Predicate::Compare(comparison, a, b) => compare(*comparison, a, b, row),
    }
}

fn compare(comparison: Comparison, a: &Operand, b: &Operand, row: &Row) -> bool {
    use FieldValue::{Boolean, Float, Integer, String, Unsigned};
    let (Some(left), Some(right)) = (evaluate(a, row), evaluate(b, row)) else { return false };
    let is_field = |operand: &Operand| matches!(operand, Operand::Field(_));
    let order = match (&left, &right) {
        (String(left), String(right)) if !is_field(a) && !is_field(b) => {
            return ordered(comparison, left.cmp(right));
        }
        (String(a), String(b)) => a == b,
        (Boolean(a), Boolean(b)) => a == b,
        (Integer(a), Integer(b)) => return ordered(comparison, a.cmp(b)),
        (Unsigned(a), Unsigned(b)) => return ordered(comparison, a.cmp(b)),
        (Integer(_), Unsigned(_)) | (Unsigned(_), Integer(_)) => match comparison {
            Comparison::Equal => return bits(&left) == bits(&right),
            Comparison::NotEqual => return bits(&left) != bits(&right),
            _ => return ordered(comparison, whole(&left).cmp(&whole(&right))),
        },
        (Float(_) | Integer(_) | Unsigned(_), Float(_) | Integer(_) | Unsigned(_)) => {
            let order = real(&left).partial_cmp(&real(&right));
            return match order {
                Some(order) => ordered(comparison, order),
                None => comparison == Comparison::NotEqual,
            };
        }
        _ => return false,
    };
    match comparison {
        Comparison::Equal => order,
        Comparison::NotEqual => !order,
        _ => false,
    }
}

fn ordered(comparison: Comparison, order: Ordering) -> bool {
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

fn evaluate(operand: &Operand, row: &Row) -> Option<FieldValue> {
    match operand {
        Operand::Field(input) => row.field(input),
        Operand::Tag(tag) => Some(FieldValue::String(row.tag(*tag).into())),
        Operand::Literal(value) => Some(value.clone()),
        Operand::Arithmetic(operator, a, b) => {
            arithmetic(*operator, evaluate(a, row)?, evaluate(b, row)?)
        }
        Operand::Call(name, arguments) => match (name.as_str(), evaluate(&arguments[0], row)?) {
            ("abs", FieldValue::Integer(v)) => Some(FieldValue::Integer(v.wrapping_abs())),
            ("abs", FieldValue::Float(v)) => Some(FieldValue::Float(v.abs())),
            ("floor", FieldValue::Float(v)) => Some(FieldValue::Float(v.floor())),
            ("floor", FieldValue::Integer(v)) => Some(FieldValue::Integer(v)),
            (_, FieldValue::Unsigned(v)) => Some(FieldValue::Unsigned(v)),
            _ => None,
        },
    }
}

fn arithmetic(operator: Arithmetic, a: FieldValue, b: FieldValue) -> Option<FieldValue> {
    use FieldValue::{Boolean, Float, Integer, Unsigned};
    Some(match (a, b) {
        (Integer(a), Integer(b)) => Integer(match operator {
            Arithmetic::Add => a.wrapping_add(b),
            Arithmetic::Subtract => a.wrapping_sub(b),
            Arithmetic::Multiply => a.wrapping_mul(b),
            Arithmetic::Divide => a.checked_div(b).unwrap_or(0),
            Arithmetic::Modulo => a.checked_rem(b).unwrap_or(0),
            Arithmetic::BitAnd => a & b,
            Arithmetic::BitOr => a | b,
            Arithmetic::BitXor => a ^ b,
        }),
        (Boolean(a), Boolean(b)) => Boolean(match operator {
            Arithmetic::BitAnd => a && b,
            Arithmetic::BitOr => a || b,
            Arithmetic::BitXor => a != b,
            _ => return None,
        }),
        (Unsigned(a), b @ (Unsigned(_) | Integer(_))) => unsigned(operator, a, bits(&b)),
        (Integer(a), Unsigned(b)) => unsigned(operator, a as u64, b),
        (a @ (Float(_) | Integer(_) | Unsigned(_)), b @ (Float(_) | Integer(_) | Unsigned(_))) => {
            let (a, b) = (real(&a), real(&b));
            Float(match operator {
                Arithmetic::Add => a + b,
                Arithmetic::Subtract => a - b,
                Arithmetic::Multiply => a * b,
                Arithmetic::Divide => {
                    if b == 0.0 {
                        0.0
                    } else {
                        a / b
                    }
                }
                Arithmetic::Modulo => a % b,
                _ => return None,
            })
        }
        _ => return None,
    })
}

fn whole(value: &FieldValue) -> i128 {
    match value {
        FieldValue::Integer(v) => (*v).into(),
        FieldValue::Unsigned(v) => (*v).into(),
        _ => 0,
    }
}

fn bits(value: &FieldValue) -> u64 {
    match value {
        FieldValue::Integer(v) => *v as u64,
        FieldValue::Unsigned(v) => *v,
        _ => 0,
    }
}

fn unsigned(operator: Arithmetic, a: u64, b: u64) -> FieldValue {
    FieldValue::Unsigned(match operator {
        Arithmetic::Add => a.wrapping_add(b),
        Arithmetic::Subtract => a.wrapping_sub(b),
        Arithmetic::Multiply => a.wrapping_mul(b),
        Arithmetic::Divide => a.checked_div(b).unwrap_or(0),
        Arithmetic::Modulo => a.checked_rem(b).unwrap_or(0),
        Arithmetic::BitAnd => a & b,
        Arithmetic::BitOr => a | b,
        Arithmetic::BitXor => a ^ b,
    })
}
