//! Columns of hot pages, decoded once and kept as offsets of one or two bytes: what decoding costs
//! is paid by the first of many queries over the same days.

use std::borrow::Cow;

use super::cache::GroupKey;
use crate::batch::bitmap::Validity;
use crate::batch::column::{Column, Values};
use crate::model::sorted_map::SortedMap;

/// What a column takes beside its offsets, bytes.
const COLUMN_BYTES: usize = 64;
/// Floats that are whole multiples of 1 / one of these are kept as such.
const SCALES: [f64; 4] = [1.0, 10.0, 100.0, 1000.0];
/// Multiples beyond are no exact floats.
const WHOLE_MAX: f64 = 9e15;

/// The columns by group, and there by page and field.
#[derive(Default)]
pub(super) struct NarrowColumns {
    groups: SortedMap<GroupKey, Vec<Option<Box<Narrow>>>>,
    bytes: usize,
}

/// Which column of a group: its place among so many.
#[derive(Clone, Copy)]
pub(super) struct ColumnPlace {
    pub(super) of: GroupKey,
    pub(super) at: usize,
    pub(super) count: usize,
}

/// A column without nulls whose values lie close together.
struct Narrow {
    smallest: i64,
    offsets: Offsets,
    /// Of a column of floats: value times this is the whole number that is kept.
    scale: Option<f64>,
}

enum Offsets {
    One(Box<[u8]>),
    Two(Box<[u16]>),
}

impl NarrowColumns {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The column, if it is kept.
    pub(super) fn get(&self, slot: ColumnPlace) -> Option<Column> {
        self.groups.get(&slot.of)?.get(slot.at)?.as_deref().map(Narrow::column)
    }

    /// Keeps the column if that takes little; past `bytes_max` all others go.
    pub(super) fn put(&mut self, slot: ColumnPlace, column: &Column, bytes_max: usize) {
        let Some((narrow, bytes)) = Narrow::of(column) else { return };
        // A wide group of many pages has many places, of which a query fills few.
        let places = slot.count.saturating_mul(size_of::<Option<Box<Narrow>>>());
        let bytes = bytes + COLUMN_BYTES;
        if places.saturating_add(bytes) > bytes_max {
            return;
        }
        let missing =
            |columns: &Self| if columns.groups.contains_key(&slot.of) { 0 } else { places };
        if self.bytes + missing(self) + bytes > bytes_max {
            *self = Self::default();
        }
        self.bytes += missing(self);
        let columns = self.groups.entry(slot.of).or_default();
        columns.resize_with(slot.count.max(columns.len()), || None);
        if let Some(place) = columns.get_mut(slot.at) {
            *place = Some(Box::new(narrow));
            self.bytes += bytes;
        }
    }
}

impl Narrow {
    /// The column's whole numbers as offsets, and the bytes that those take.
    fn of(column: &Column) -> Option<(Self, usize)> {
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
        let (offsets, bytes) = match largest.checked_sub(smallest)? {
            0..=0xff => (Offsets::One(values.iter().map(|v| offset(v) as u8).collect()), 1),
            0x100..=0xffff => (Offsets::Two(values.iter().map(|v| offset(v) as u16).collect()), 2),
            _ => return None,
        };
        Some((Self { smallest, offsets, scale }, bytes * values.len()))
    }

    fn column(&self) -> Column {
        let whole = |offset: i64| self.smallest.wrapping_add(offset);
        let values: Vec<i64> = match &self.offsets {
            Offsets::One(offsets) => offsets.iter().map(|&o| whole(i64::from(o))).collect(),
            Offsets::Two(offsets) => offsets.iter().map(|&o| whole(i64::from(o))).collect(),
        };
        Column::full(match self.scale {
            None => Values::Integer(values),
            Some(scale) => Values::Float(values.iter().map(|&v| v as f64 / scale).collect()),
        })
    }
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
    use crate::shard::manifest::Number;

    fn kept(column: &Column) -> Option<Column> {
        let mut columns = NarrowColumns::default();
        let slot = ColumnPlace { of: (Number(1), 2), at: 3, count: 5 };
        columns.put(slot, column, 1_000_000);
        assert!(columns.get(ColumnPlace { at: 2, ..slot }).is_none());
        columns.get(slot)
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

    #[test]
    fn what_does_not_fit_makes_all_others_go() {
        let column = Column::full(Values::Integer(vec![1; 1_000]));
        let mut columns = NarrowColumns::default();
        let slot = |at| ColumnPlace { of: (Number(1), 0), at, count: 4 };
        (0..3).for_each(|at| columns.put(slot(at), &column, 2_500));
        let held: Vec<_> = (0..4).map(|at| columns.get(slot(at)).is_some()).collect();
        assert_eq!(held, [false, false, true, false]);
        assert_eq!(columns.bytes(), 4 * size_of::<usize>() + 1_000 + COLUMN_BYTES);
    }

    #[test]
    fn the_places_of_a_wide_group_count() {
        let column = Column::full(Values::Integer(vec![1]));
        let mut columns = NarrowColumns::default();
        columns.put(
            ColumnPlace { of: (Number(1), 0), at: 0, count: 100_000_000 },
            &column,
            1_000_000,
        );
        assert_eq!((columns.bytes(), columns.groups.len()), (0, 0));
        columns.put(ColumnPlace { of: (Number(1), 0), at: 0, count: 1_000 }, &column, 1_000_000);
        assert_eq!(columns.bytes(), 1_000 * size_of::<usize>() + 1 + COLUMN_BYTES);
    }
}
