//! The three numeric types as aggregates see them.

use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, Values};
use crate::model::value::FieldType;
use crate::scan::input::Slice;

/// A numeric field type.
pub(in crate::scan) trait Number: Copy + PartialOrd + Default + 'static {
    /// Its name in the schema.
    const TYPE: FieldType;

    /// The values, if they are of this type.
    fn of<'a>(slice: &'a Slice<'_>) -> Option<&'a [Self]>;

    /// Sum; integers wrap as in Go.
    fn plus(self, other: Self) -> Self;

    /// Difference; integers wrap.
    fn minus(self, other: Self) -> Self;

    /// As a float, rounded.
    fn real(self) -> f64;

    /// Appends it to a column of its type.
    fn push(self, column: &mut Column);

    /// A column of them.
    fn column(values: Vec<Self>) -> Column;

    /// The values of a column of its type without nulls.
    fn all(column: &Column) -> Option<&[Self]>;

    /// Row `row` of a column of its type.
    fn get(column: &Column, row: usize) -> Option<Self>;
}

macro_rules! number {
    ($type:ty, $variant:ident, $plus:expr, $minus:expr) => {
        impl Number for $type {
            const TYPE: FieldType = FieldType::$variant;

            fn of<'a>(slice: &'a Slice<'_>) -> Option<&'a [Self]> {
                match slice {
                    Slice::$variant(values) => Some(values),
                    _ => None,
                }
            }

            fn plus(self, other: Self) -> Self {
                $plus(self, other)
            }

            fn minus(self, other: Self) -> Self {
                $minus(self, other)
            }

            fn real(self) -> f64 {
                self as f64
            }

            fn push(self, column: &mut Column) {
                if let Values::$variant(values) = &mut column.values {
                    column.validity.push(values.len(), true);
                    values.push(self);
                }
            }

            fn column(values: Vec<Self>) -> Column {
                Column::full(Values::$variant(values))
            }

            fn all(column: &Column) -> Option<&[Self]> {
                match (&column.values, &column.validity) {
                    (Values::$variant(values), Validity::All) => Some(values),
                    _ => None,
                }
            }

            fn get(column: &Column, row: usize) -> Option<Self> {
                Self::all(column)?.get(row).copied()
            }
        }
    };
}

number!(f64, Float, |a, b| a + b, |a, b| a - b);
number!(i64, Integer, i64::wrapping_add, i64::wrapping_sub);
number!(u64, Unsigned, u64::wrapping_add, u64::wrapping_sub);
