use std::rc::Rc;

use super::*;
use crate::batch::column::{Column, StringColumn, Values};
use crate::merge::key::SeriesKey;
use crate::scan::request::{Arithmetic, Input};
use crate::scan::series_rows::DecodedRows;
use tidemark_model::ids::MeasurementId;

const V: ColumnId = ColumnId(1);
const W: ColumnId = ColumnId(2);
const S: ColumnId = ColumnId(3);
const B: ColumnId = ColumnId(4);
const HOST: ColumnId = ColumnId(5);

/// Returns three rows: v=1 w=45 · v=4.5 s=x b=false · w=-1 s=y b=true
fn series_rows() -> SeriesRows {
    let nulls = |values: Values, valid: [bool; 3]| {
        let mut column = Column::new(values.field_type());
        for (row, valid) in valid.into_iter().enumerate() {
            if valid {
                column.push_from(&Column::full(values.clone()), row);
            } else {
                column.push_null();
            }
        }
        column
    };
    let texts = ["", "x", "y"].into_iter().collect();
    let columns = vec![
        (V, nulls(Values::Float(vec![1.0, 4.5, 0.0]), [true, true, false])),
        (W, nulls(Values::Integer(vec![45, 0, -1]), [true, false, true])),
        (S, nulls(Values::String(texts), [false, true, true])),
        (B, nulls(Values::Boolean(vec![false, false, true]), [false, true, true])),
    ];
    let columns = columns.into_iter().map(|(id, column)| (id, Rc::new(column))).collect();
    SeriesRows { block: Rc::new(DecodedRows { times_ns: vec![1, 2, 3], columns }), rows: 0..3 }
}

fn field(column: ColumnId) -> Operand {
    let field_type = match column {
        V => FieldType::Float,
        W => FieldType::Integer,
        S => FieldType::String,
        _ => FieldType::Boolean,
    };
    Operand::Field(Input { column, field_type, cast: None })
}

fn text(text: &str) -> Operand {
    Operand::Literal(FieldValue::String(text.into()))
}

fn integer(value: i64) -> Operand {
    Operand::Literal(FieldValue::Integer(value))
}

fn compare(a: Operand, comparison: Comparison, b: Operand) -> Predicate {
    Predicate::Compare(comparison, Box::new(a), Box::new(b))
}

/// Returns the matching rows (1 to 3) of a series with host=a.
fn rows(predicate: &Predicate) -> Vec<usize> {
    let filter = Filter::compile(Some(predicate), &Patterns::limited()).unwrap();
    let mut tags = SeriesTags::new(vec![HOST]);
    tags.set(&SeriesKey::new(MeasurementId(1), ["a"]));
    if filter.excludes_series(&tags) {
        return Vec::new();
    }
    let (series_rows, rest) = (series_rows(), filter.evaluate_tags(predicate, &tags));
    match filter.evaluate(&rest, &Context { series_rows: Some(&series_rows), tags: &tags }).unwrap()
    {
        Mask::All => vec![1, 2, 3],
        Mask::None => vec![],
        Mask::Some(rows) => (1..).zip(rows).filter(|(_, r)| *r).map(|(n, _)| n).collect(),
    }
}

#[test]
fn incomparable_types_compare_false() {
    use Comparison::{Equal, Greater, Less, NotEqual};
    let real = |value| Operand::Literal(FieldValue::Float(value));
    let boolean = |value| Operand::Literal(FieldValue::Boolean(value));
    for (predicate, expected) in [
        (compare(field(V), Greater, text("4")), vec![]),
        (compare(field(S), Equal, integer(5)), vec![]),
        (compare(field(S), Greater, text("a")), vec![]),
        (compare(field(B), Equal, text("true")), vec![]),
        (compare(field(S), NotEqual, text("x")), vec![3]),
        (compare(field(B), Equal, boolean(true)), vec![3]),
        (compare(field(B), NotEqual, boolean(true)), vec![2]),
        (compare(field(V), NotEqual, integer(1)), vec![2]),
        (compare(real(4.0), Less, field(V)), vec![2]),
        (compare(field(ColumnId(9)), Equal, boolean(false)), vec![]),
        (Predicate::IsTrue(Box::new(field(B))), vec![3]),
        (Predicate::IsTrue(Box::new(field(V))), vec![]),
    ] {
        assert_eq!(rows(&predicate), expected, "{predicate:?}");
    }
}

#[test]
fn conditions_divide_integers_as_integers() {
    use Comparison::{Equal, NotEqual};
    let arithmetic = |op, a, b| Operand::Arithmetic(op, Box::new(a), Box::new(b));
    let quotient = arithmetic(Arithmetic::Divide, field(W), integer(20));
    assert_eq!(rows(&compare(quotient, Equal, integer(2))), [1]);
    let by_zero = arithmetic(Arithmetic::Divide, field(V), integer(0));
    assert_eq!(rows(&compare(by_zero, Equal, integer(0))), [1, 2]);
    let bits = arithmetic(Arithmetic::BitAnd, field(V), integer(1));
    assert_eq!(rows(&compare(bits, NotEqual, integer(7))), [] as [usize; 0]);
    let odd = arithmetic(Arithmetic::BitAnd, field(W), integer(1));
    assert_eq!(rows(&compare(odd, Equal, integer(1))), [1, 3]);
    let absolute = Operand::Call("abs".into(), vec![field(W)]);
    assert_eq!(rows(&compare(absolute, Equal, integer(1))), [3]);
    let unknown = compare(Operand::Call("sum".into(), vec![field(W)]), Equal, integer(1));
    assert!(matches!(
        Filter::compile(Some(&unknown), &Patterns::limited()),
        Err(ScanError::Function(_))
    ));
}

#[test]
fn predicates_compare_tags_as_strings() {
    use Comparison::{Equal, Less, NotEqual};
    let tag = || Operand::Tag(HOST);
    let none = || Operand::Tag(ColumnId(6));
    let either = |a, b| Predicate::Or(Box::new(a), Box::new(b));
    for (predicate, expected) in [
        (compare(tag(), Equal, text("a")), vec![1, 2, 3]),
        (compare(none(), Equal, text("")), vec![1, 2, 3]),
        (compare(none(), NotEqual, text("x")), vec![1, 2, 3]),
        (compare(text("b"), Less, tag()), vec![]),
        (compare(tag(), Less, text("b")), vec![1, 2, 3]),
        (compare(tag(), Less, text("a")), vec![]),
        (compare(none(), Less, tag()), vec![1, 2, 3]),
        (compare(tag(), Less, none()), vec![]),
        (compare(tag(), NotEqual, none()), vec![1, 2, 3]),
        (either(compare(tag(), Equal, text("b")), compare(field(S), Equal, text("y"))), vec![3]),
        (compare(field(S), NotEqual, tag()), vec![2, 3]),
    ] {
        assert_eq!(rows(&predicate), expected, "{predicate:?}");
    }
}

#[test]
fn repeated_long_texts_are_compared_once() {
    const T: ColumnId = ColumnId(6);
    let text = |end: &str| format!("{}{end}", "x".repeat(60_000));
    let column = |ends: [&str; 2], codes: [u32; 6]| {
        let texts = ends.map(text);
        let texts = texts.iter().map(String::as_str).collect();
        let coded = StringColumn::coded(texts, codes.to_vec()).unwrap();
        Rc::new(Column::full(Values::String(coded)))
    };
    let columns =
        [(S, column(["a", "b"], [0, 1, 0, 1, 0, 1])), (T, column(["a", "c"], [0, 0, 1, 1, 0, 0]))];
    let block = DecodedRows { times_ns: (0..6).collect(), columns: columns.into() };
    let block = Rc::new(block);
    let input = |column| Input { column, field_type: FieldType::String, cast: None };
    let [s, t] = [S, T].map(|column| Operand::Field(input(column)));
    let equal = compare(s, Comparison::Equal, t);
    let filter = Filter::compile(Some(&equal), &Patterns::limited()).unwrap();
    let tags = SeriesTags::new(vec![HOST]);
    // Two series share the columns.
    for (rows, expected) in
        [(0..4, [true, false, false, false]), (2..6, [false, false, true, false])]
    {
        let series_rows = SeriesRows { block: Rc::clone(&block), rows };
        let mask = filter.select(&series_rows, &tags).unwrap();
        assert_eq!(mask, Mask::Some(expected.to_vec()));
        assert_eq!(filter.text_pairs.borrow().len(), 4);
    }
    filter.begin_batch();
    assert!(filter.text_pairs.borrow().is_empty());
}

#[test]
fn long_constants_make_batches_smaller() {
    let equal = |text_bytes: usize| {
        let long = text(&"x".repeat(text_bytes));
        let equal = compare(field(S), Comparison::Equal, long);
        Filter::compile(Some(&equal), &Patterns::limited()).unwrap().batch_rows_max(100_000)
    };
    assert_eq!(equal(100), usize::MAX);
    assert!(equal(64_000) <= 100, "{} rows", equal(64_000));
}

#[test]
fn differ_is_exclusive_or() {
    use Comparison::{Equal, Greater};
    let differ = |a, b| Predicate::Differ(Box::new(a), Box::new(b));
    let is_a = |name| compare(Operand::Tag(HOST), Equal, text(name));
    let large = || compare(field(V), Greater, integer(2));
    let whole = || compare(field(W), Greater, integer(0));
    let all = || Predicate::Constant(true);
    for (predicate, expected) in [
        (differ(large(), whole()), vec![1, 2]),
        (differ(differ(large(), whole()), all()), vec![3]),
        (differ(large(), all()), vec![1, 3]),
        (differ(is_a("a"), large()), vec![1, 3]),
        (differ(is_a("b"), large()), vec![2]),
        (differ(is_a("a"), all()), vec![]),
        (differ(is_a("b"), is_a("a")), vec![1, 2, 3]),
    ] {
        assert_eq!(rows(&predicate), expected, "{predicate:?}");
    }
}

#[test]
fn signed_and_unsigned_compare_numerically() {
    use Comparison::{Equal, Greater};
    let unsigned = |value| Operand::Literal(FieldValue::Unsigned(value));
    assert_eq!(rows(&compare(field(W), Equal, unsigned(u64::MAX))), [3]);
    assert_eq!(rows(&compare(unsigned(1), Greater, field(W))), [3]);
}
