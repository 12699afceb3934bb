//! Compares values and returns masks. Comparisons of incompatible values are false, including `!=`.

use super::Mask;
use super::expr::{Data, Evaluated, RowValues, Text, both, floats, map, zip};
use crate::scan::request::Comparison;
use tidemark_model::bug::OrBug;
use tidemark_model::regex::Pattern;

pub(super) fn compare(comparison: Comparison, a: Evaluated<'_>, b: Evaluated<'_>) -> Mask {
    let lane = match (&a.data, &b.data) {
        (Data::Integer(a), Data::Integer(b)) => Some(ordered(comparison, a, b)),
        (Data::Unsigned(a), Data::Unsigned(b)) => Some(ordered(comparison, a, b)),
        (Data::Integer(a), Data::Unsigned(b)) => Some(match comparison {
            // 1.x compares the bits for equality and the numbers for order.
            Comparison::Equal | Comparison::NotEqual => {
                ordered(comparison, &map(a, |v| v as u64), b)
            }
            _ => ordered(comparison, &map(a, i128::from), &map(b, i128::from)),
        }),
        (Data::Unsigned(a), Data::Integer(b)) => Some(match comparison {
            Comparison::Equal | Comparison::NotEqual => {
                ordered(comparison, a, &map(b, |v| v as u64))
            }
            _ => ordered(comparison, &map(a, i128::from), &map(b, i128::from)),
        }),
        (Data::Boolean(a), Data::Boolean(b)) => match comparison {
            Comparison::Equal => Some(zip(a, b, |a, b| a == b)),
            Comparison::NotEqual => Some(zip(a, b, |a, b| a != b)),
            _ => None,
        },
        (Data::Text(a), Data::Text(b)) => Some(texts(comparison, a, b)),
        (a, b) => floats(a).zip(floats(b)).map(|(a, b)| ordered(comparison, &a, &b)),
    };
    lane.map_or(Mask::None, |lane| mask(lane, both(a.valid, b.valid)))
}

pub(super) fn matches(operand: Evaluated<'_>, regex: &Pattern, negated: bool) -> Mask {
    let Data::Text(text) = &operand.data else { return Mask::None };
    mask(each(text, |text| regex.is_match(text) != negated), operand.valid)
}

pub(super) fn is_true(operand: Evaluated<'_>) -> Mask {
    let Data::Boolean(lane) = operand.data else { return Mask::None };
    mask(lane, operand.valid)
}

fn ordered<'a, T: Copy + PartialOrd>(
    comparison: Comparison,
    a: &RowValues<'_, T>,
    b: &RowValues<'_, T>,
) -> RowValues<'a, bool> {
    match comparison {
        Comparison::Equal => zip(a, b, |a, b| a == b),
        Comparison::NotEqual => zip(a, b, |a, b| a != b),
        Comparison::Less => zip(a, b, |a, b| a < b),
        Comparison::LessOrEqual => zip(a, b, |a, b| a <= b),
        Comparison::Greater => zip(a, b, |a, b| a > b),
        Comparison::GreaterOrEqual => zip(a, b, |a, b| a >= b),
    }
}

fn texts<'a>(comparison: Comparison, a: &Text<'_>, b: &Text<'_>) -> RowValues<'a, bool> {
    let holds = |a: &str, b: &str| match comparison {
        Comparison::Equal => a == b,
        Comparison::NotEqual => a != b,
        Comparison::Less => a < b,
        Comparison::LessOrEqual => a <= b,
        Comparison::Greater => a > b,
        Comparison::GreaterOrEqual => a >= b,
    };
    match (a, b) {
        (Text::One(a), b) => each(b, |b| holds(a, b)),
        (a, Text::One(b)) => each(a, |a| holds(a, b)),
        (Text::Many(a, a_rows), Text::Many(b, b_rows)) => {
            let rows = a_rows.clone().zip(b_rows.clone());
            RowValues::Many(rows.map(|(i, j)| holds(a.get(i), b.get(j))).collect())
        }
    }
}

fn each<'a>(text: &Text<'_>, f: impl Fn(&str) -> bool) -> RowValues<'a, bool> {
    match text {
        Text::One(text) => RowValues::One(f(text)),
        Text::Many(column, rows)
            if let Some(codes) = column.codes().and_then(|c| c.get(rows.clone())) =>
        {
            let answers: Vec<bool> = column.entries().map(f).collect();
            let answer = |&code: &u32| answers.get(code as usize).copied().or_bug();
            RowValues::Many(codes.iter().map(answer).collect())
        }
        Text::Many(column, rows) => {
            RowValues::Many(rows.clone().map(|i| f(column.get(i))).collect())
        }
    }
}

fn mask(lane: RowValues<'_, bool>, valid: Option<Vec<bool>>) -> Mask {
    match (lane, valid) {
        (RowValues::One(false), _) => Mask::None,
        (RowValues::One(true), None) => Mask::All,
        (RowValues::One(true), Some(valid)) => Mask::Some(valid),
        (RowValues::Many(rows), valid) => {
            let rows = rows.into_owned();
            Mask::Some(both(Some(rows), valid).unwrap_or_default())
        }
    }
}
