//! Decoded columns kept as offsets of one or two bytes, so that the hot days of some thousand
//! series fit the cache.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, Values};
use crate::merge::cursor::PageColumn;

/// Floats that are whole multiples of 1 / one of these are kept as such.
const SCALES: [f64; 4] = [1.0, 10.0, 100.0, 1000.0];
/// Multiples beyond are no exact floats.
const WHOLE_MAX: f64 = 9e15;

/// A column without nulls whose values lie close together.
pub(super) struct Narrow {
    smallest: i64,
    offsets: Offsets,
    /// Of a column of floats: value times this is the whole number that is kept.
    scale: Option<f64>,
}

enum Offsets {
    One(Box<[u8]>),
    Two(Box<[u16]>),
}

impl Narrow {
    /// The column's whole numbers as offsets, if they lie close enough together.
    pub(super) fn of(column: &Column) -> Option<Self> {
        if column.validity != Validity::All {
            return None;
        }
        let (values, scale) = match &column.values {
            Values::Integer(values) => (Cow::Borrowed(values.as_slice()), None),
            Values::Float(values) => {
                let (values, scale) = multiples(values)?;
                (Cow::Owned(values), Some(scale))
            }
            _ => return None,
        };
        let smallest = values.iter().copied().fold(i64::MAX, i64::min);
        let largest = values.iter().copied().fold(i64::MIN, i64::max);
        let offset = |value: &i64| value.wrapping_sub(smallest);
        let offsets = match largest.checked_sub(smallest)? {
            0..=0xff => Offsets::One(values.iter().map(|v| offset(v) as u8).collect()),
            0x100..=0xffff => Offsets::Two(values.iter().map(|v| offset(v) as u16).collect()),
            _ => return None,
        };
        Some(Self { smallest, offsets, scale })
    }

    /// Number of rows.
    fn len(&self) -> usize {
        match &self.offsets {
            Offsets::One(offsets) => offsets.len(),
            Offsets::Two(offsets) => offsets.len(),
        }
    }

    /// Bytes of the offsets.
    pub(super) fn bytes(&self) -> usize {
        match &self.offsets {
            Offsets::One(offsets) => offsets.len(),
            Offsets::Two(offsets) => offsets.len() * 2,
        }
    }

    /// Rows `rows` of the column again.
    pub(super) fn column(&self, rows: Range<u32>) -> PageColumn {
        // Rows of a page.
        let (first, end) = (rows.start, rows.end.min(self.len() as u32));
        let rows = first as usize..end as usize;
        let values = match self.scale {
            None => Values::Integer(match &self.offsets {
                Offsets::One(offsets) => widened(offsets, rows, |o| self.whole(i64::from(o))),
                Offsets::Two(offsets) => widened(offsets, rows, |o| self.whole(i64::from(o))),
            }),
            Some(scale) => {
                // Whole numbers up to `WHOLE_MAX`, and their sums with offsets that lead to one,
                // are exact.
                let smallest = self.smallest as f64;
                Values::Float(match &self.offsets {
                    Offsets::One(offsets) => {
                        widened(offsets, rows, |o| (smallest + f64::from(o)) / scale)
                    }
                    Offsets::Two(offsets) => {
                        widened(offsets, rows, |o| (smallest + f64::from(o)) / scale)
                    }
                })
            }
        };
        PageColumn { first, column: Rc::new(Column::full(values)) }
    }

    fn whole(&self, offset: i64) -> i64 {
        self.smallest.wrapping_add(offset)
    }
}

/// What `of` makes of the offsets of `rows`.
fn widened<O: Copy, T>(offsets: &[O], rows: Range<usize>, of: impl Fn(O) -> T) -> Vec<T> {
    offsets.get(rows).unwrap_or_default().iter().map(|&offset| of(offset)).collect()
}

/// The values as whole multiples of 1 / a scale, if every one comes back from it bit for bit.
fn multiples(values: &[f64]) -> Option<(Vec<i64>, f64)> {
    SCALES.into_iter().find_map(|scale| {
        let whole = |&value: &f64| {
            let whole = (value * scale).round();
            let back = whole as i64 as f64 / scale;
            (whole.abs() < WHOLE_MAX && back.to_bits() == value.to_bits()).then_some(whole as i64)
        };
        let whole: Option<Vec<i64>> = values.iter().map(whole).collect();
        Some((whole?, scale))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(column: &Column) -> Option<Column> {
        let narrow = Narrow::of(column)?;
        assert!(narrow.bytes() <= 2 * column.len());
        let rows = column.len() as u32;
        for start in 0..rows {
            let part = narrow.column(start..rows + 1);
            assert_eq!(part.rows(), start..rows);
            let again = part.rows().map(|row| part.column.get((row - start) as usize));
            assert!(again.eq(part.rows().map(|row| column.get(row as usize))));
        }
        assert!(narrow.column(rows + 1..rows + 2).column.is_empty());
        Some(Column::clone(&narrow.column(0..rows + 1).column))
    }

    #[test]
    fn what_is_kept_comes_back_bit_for_bit_and_the_rest_is_not_kept() {
        let integers = |values: &[i64]| Column::full(Values::Integer(values.to_vec()));
        let floats = |values: &[f64]| Column::full(Values::Float(values.to_vec()));
        for column in [
            integers(&[-3, 252, 7]),
            integers(&[i64::MAX, i64::MAX - 65_535]),
            integers(&[i64::MIN]),
            floats(&[0.1, 25.5, -0.01, 99.99]),
            floats(&[1e15, 1e15 + 3.0]),
        ] {
            assert_eq!(kept(&column), Some(column));
        }
        let mut sparse = integers(&[1]);
        sparse.push_null();
        let text = Column::full(Values::String(["a"].into_iter().collect()));
        for column in [
            integers(&[0, 65_536]),
            integers(&[i64::MIN, i64::MAX]),
            floats(&[-0.0]),
            floats(&[f64::NAN]),
            floats(&[1e300]),
            floats(&[1.0 / 3.0]),
            sparse,
            text,
        ] {
            assert_eq!(kept(&column), None);
        }
    }
}
