//! The values come from the corpus `select_cases.jsonl` (group host=B unless a comment says
//! otherwise).

use super::*;
use crate::batch::column::Values;
use tidemark_model::value::FieldValue;

fn points<'a>(times_ns: &'a [i64], values: &'a Values) -> Points<'a> {
    Points { times_ns, values, series: &[], combinations: &[] }
}

fn rows(outcome: Outcome) -> Vec<u32> {
    match outcome {
        Outcome::Rows(rows) => rows,
        Outcome::Value(value) => panic!("{value:?} instead of rows"),
    }
}

#[test]
fn median_averages_two_middle_values() {
    let median = |values: Values| {
        let times_ns = vec![0; values.len()];
        GatheredFunction::Median.evaluate(&points(&times_ns, &values))
    };
    let float = |value| Outcome::Value(Some(FieldValue::Float(value)));
    assert_eq!(median(Values::Float(vec![20.0, 19.0])), float(19.5));
    assert_eq!(median(Values::Integer(vec![2, 3])), float(2.5));
    assert_eq!(median(Values::Unsigned(vec![1, 2, 3, 4, 5])), float(3.0));
    assert_eq!(median(Values::Integer(vec![100])), float(100.0));
    assert_eq!(median(Values::Boolean(vec![true])), Outcome::Value(None));
    // The two zeros are equal: the later one is in the middle.
    for (values, is_negative) in [([0.0, 1.0, -0.0], true), ([-0.0, 1.0, 0.0], false)] {
        let Outcome::Value(Some(FieldValue::Float(middle))) =
            median(Values::Float(values.to_vec()))
        else {
            panic!("a median of floats is a float")
        };
        assert_eq!(middle.is_sign_negative(), is_negative, "{values:?}");
    }
}

#[test]
fn mode_matches_influxdb_1() {
    let mode = |values: &Values| {
        let times_ns: Vec<i64> = (0..values.len() as i64).collect();
        rows(GatheredFunction::Mode.evaluate(&points(&times_ns, values)))
    };
    assert_eq!(mode(&Values::Integer(vec![10, 19])), [0]);
    // The later run begins before the earlier run ends.
    assert_eq!(mode(&Values::Integer(vec![4, 1, 2, 1, 2])), [2]);
    assert_eq!(mode(&Values::Float(vec![5.0, 4.0, 3.0, 2.0, 1.0])), [4]);
    assert_eq!(mode(&Values::Boolean(vec![true, false])), [0]);
    assert_eq!(mode(&Values::String(["b", "a", "a"].into_iter().collect())), [1]);
}

#[test]
fn distinct_keeps_order_of_appearance() {
    let values = Values::Integer(vec![20, 19, 10, 19, 5]);
    let found = GatheredFunction::Distinct.evaluate(&points(&[0, 1, 5, 9, 9], &values));
    assert_eq!(rows(found), [0, 1, 2, 4]);
    let values = Values::Boolean(vec![true, false]);
    let found = GatheredFunction::Distinct.evaluate(&points(&[3, 3], &values));
    assert_eq!(rows(found), [1, 0], "at one time by value");
}

#[test]
fn percentiles_take_the_nearest_rank() {
    let times_ns: Vec<i64> = (50..60).collect();
    let values = Values::Float((1..=10).rev().map(f64::from).collect());
    let at = |rank| rows(GatheredFunction::Percentile(rank).evaluate(&points(&times_ns, &values)));
    assert_eq!((at(90.0), at(100.0), at(5.0)), (vec![1], vec![0], vec![9]));
    assert_eq!((at(0.0), at(4.9)), (vec![], vec![]));
}

#[test]
fn top_and_bottom_sort_by_time() {
    let times_ns = [50, 51, 52, 53, 53];
    let values = Values::Integer(vec![1, 2, 3, 4, 5]);
    let points = points(&times_ns, &values);
    assert_eq!(rows(GatheredFunction::Top(2).evaluate(&points)), [4, 3], "one time: by value");
    assert_eq!(rows(GatheredFunction::Bottom(2).evaluate(&points)), [0, 1]);
    assert_eq!(rows(GatheredFunction::Bottom(9).evaluate(&points)), [0, 1, 2, 3, 4]);
    let combined = Points { combinations: &[0, 0, 1, 1, 0], ..points };
    assert_eq!(rows(GatheredFunction::Top(2).evaluate(&combined)), [4, 3]);
    assert_eq!(rows(GatheredFunction::Bottom(2).evaluate(&combined)), [0, 2]);
    let equal = Values::Integer(vec![7, 7, 7]);
    let points = Points { values: &equal, times_ns: &[1, 2, 3], ..points };
    assert_eq!(rows(GatheredFunction::Top(2).evaluate(&points)), [0, 1], "ties: the earlier");
}

#[test]
fn sample_is_independent_of_sharding() {
    let times_ns: Vec<i64> = (0..100).collect();
    let series: Vec<u64> = (0..100).map(|row| row % 7).collect();
    let values = Values::Integer((0..100).collect());
    let all = Points { times_ns: &times_ns, values: &values, series: &series, combinations: &[] };
    let sample = |seed, points: &Points<'_>| {
        rows(GatheredFunction::Sample { count: 5, seed }.evaluate(points))
    };
    let drawn = sample(1, &all);
    assert_eq!(drawn.len(), 5);
    assert!(drawn.is_sorted());
    assert_ne!(drawn, sample(2, &all));
    // A row that is drawn from all rows is also drawn from any subset that contains it.
    let half = Values::Integer((0..50).collect());
    let first = Points { times_ns: &times_ns[..50], values: &half, series: &series[..50], ..all };
    let part = sample(1, &first);
    assert!(drawn.iter().filter(|&&row| row < 50).all(|row| part.contains(row)));
    assert_eq!(rows(GatheredFunction::Sample { count: 200, seed: 1 }.evaluate(&all)).len(), 100);
}
