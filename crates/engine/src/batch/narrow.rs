//! Stores numeric columns as offsets from their smallest value. An offset takes one or two bytes,
//! so caches can contain more rows.

use std::borrow::Cow;
use std::ops::Range;

use super::bitmap::Validity;
use super::column::{Column, Fixed, Values};
use tidemark_model::bug::{self, OrBug};
use tidemark_model::value::FieldType;

/// The factors for storing floats as integers. If all values are multiples of 1 / factor, the
/// stored integers are the values times the factor.
const SCALES: [f64; 4] = [1.0, 10.0, 100.0, 1000.0];
/// The limit for the absolute value of a stored integer. It is slightly below 2^53, up to which
/// floats represent all integers exactly.
const WHOLE_MAX: f64 = 9e15;

/// A numeric column without nulls whose values are close together.
#[derive(Debug, PartialEq)]
pub struct Narrow {
    smallest: i64,
    offsets: Offsets,
    /// The factor of a float column, or `None` for an integer column. A value times the factor is
    /// the stored integer.
    scale: Option<f64>,
}

#[derive(Debug, PartialEq)]
enum Offsets {
    One(Box<[u8]>),
    Two(Box<[u16]>),
}

impl Narrow {
    /// Converts the column to offsets. Returns `None` if the values are not close enough together.
    pub fn of(column: &Column) -> Option<Self> {
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

    /// Returns the type of the values.
    pub fn field_type(&self) -> FieldType {
        self.scale.map_or(FieldType::Integer, |_| FieldType::Float)
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        match &self.offsets {
            Offsets::One(offsets) => offsets.len(),
            Offsets::Two(offsets) => offsets.len(),
        }
    }

    /// Returns the size of the offsets, in bytes.
    pub fn bytes(&self) -> usize {
        match &self.offsets {
            Offsets::One(offsets) => offsets.len(),
            Offsets::Two(offsets) => offsets.len() * 2,
        }
    }

    /// Converts the offsets back to a column.
    pub fn column(&self) -> Column {
        fn all<T: Widen>(narrow: &Narrow) -> Vec<T> {
            let mut values = Vec::with_capacity(narrow.len());
            T::widen(narrow, 0..narrow.len(), &mut values);
            values
        }
        Column::full(match self.scale {
            Some(_) => Values::Float(all(self)),
            None => Values::Integer(all(self)),
        })
    }

    /// Appends the values of `rows`, which must exist. The values must be integers.
    fn integers(&self, rows: Range<usize>, to: &mut Vec<i64>) {
        let whole = |offset: i64| self.smallest.wrapping_add(offset);
        match &self.offsets {
            _ if self.scale.is_some() => bug::report(),
            Offsets::One(offsets) => widen(offsets, rows, to, |o| whole(i64::from(o))),
            Offsets::Two(offsets) => widen(offsets, rows, to, |o| whole(i64::from(o))),
        }
    }

    /// Appends the values of `rows`, which must exist. The values must be floats.
    fn floats(&self, rows: Range<usize>, to: &mut Vec<f64>) {
        let Some(scale) = self.scale else { return bug::report() };
        // Floats represent all integers up to `WHOLE_MAX` exactly, even after an offset was added.
        let smallest = self.smallest as f64;
        let value = |offset: f64| (smallest + offset) / scale;
        match &self.offsets {
            Offsets::One(offsets) => widen(offsets, rows, to, |o| value(f64::from(o))),
            Offsets::Two(offsets) => widen(offsets, rows, to, |o| value(f64::from(o))),
        }
    }
}

/// A value type with a fixed size, whose pages a cache may keep narrow.
pub trait Widen: Fixed {
    /// Appends rows of a narrow column, which must have this type.
    fn widen(_narrow: &Narrow, _rows: Range<usize>, _to: &mut Vec<Self>) {
        bug::report();
    }
}

impl Widen for f64 {
    fn widen(narrow: &Narrow, rows: Range<usize>, to: &mut Vec<Self>) {
        narrow.floats(rows, to);
    }
}

impl Widen for i64 {
    fn widen(narrow: &Narrow, rows: Range<usize>, to: &mut Vec<Self>) {
        narrow.integers(rows, to);
    }
}

// These types are never narrow.
impl Widen for u64 {}
impl Widen for bool {}

fn widen<O: Copy, T>(offsets: &[O], rows: Range<usize>, to: &mut Vec<T>, of: impl Fn(O) -> T) {
    to.extend(offsets.get(rows).or_bug().iter().map(|&offset| of(offset)));
}

/// Returns the values times a factor of `SCALES` as integers, and the factor. Returns `None` if no
/// factor reproduces every value bit for bit.
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
        assert_eq!(narrow.field_type(), column.values.field_type());
        let rows = column.len();
        for start in 0..=rows {
            let (mut integers, mut floats) = (Vec::new(), Vec::new());
            let part = match narrow.field_type() {
                FieldType::Float => {
                    narrow.floats(start..rows, &mut floats);
                    Column::full(Values::Float(floats))
                }
                _ => {
                    narrow.integers(start..rows, &mut integers);
                    Column::full(Values::Integer(integers))
                }
            };
            assert!((0..rows).all(|row| part.get(row) == column.get(start + row)));
            assert_eq!(part.len(), rows - start);
        }
        Some(narrow.column())
    }

    #[test]
    fn narrowed_columns_restore_exact_values() {
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
