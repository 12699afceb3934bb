//! Typed columns. For a null, the list of values contains a padding value.

use super::bitmap::Validity;
pub use super::string_column::StringColumn;
use tidemark_model::bug::OrBug;
use tidemark_model::value::{FieldType, FieldValue};

/// The values of a column, one per row.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Floats, padded with 0.0.
    Float(Vec<f64>),
    /// Signed integers, padded with 0.
    Integer(Vec<i64>),
    /// Unsigned integers, padded with 0.
    Unsigned(Vec<u64>),
    /// Strings, padded with the empty string.
    String(StringColumn),
    /// Booleans, padded with false.
    Boolean(Vec<bool>),
}

/// Evaluates one expression for the list of any type with a fixed size, and another for strings.
macro_rules! match_values {
    ($values:expr, $list:ident => $fixed:expr, $strings:ident => $text:expr) => {
        match $values {
            Values::Float($list) => $fixed,
            Values::Integer($list) => $fixed,
            Values::Unsigned($list) => $fixed,
            Values::Boolean($list) => $fixed,
            Values::String($strings) => $text,
        }
    };
}

pub(super) use match_values;

/// Creates values of the same type from another list of values.
macro_rules! map_values {
    ($values:expr, $list:ident => $fixed:expr, $strings:ident => $text:expr) => {
        match $values {
            Values::Float($list) => Values::Float($fixed),
            Values::Integer($list) => Values::Integer($fixed),
            Values::Unsigned($list) => Values::Unsigned($fixed),
            Values::Boolean($list) => Values::Boolean($fixed),
            Values::String($strings) => Values::String($text),
        }
    };
}

/// A value type with a fixed size.
pub trait Fixed: Copy + Default {
    /// Returns the values of this type. If the values have a different type, the result is empty.
    fn of(values: &Values) -> &[Self];
}

macro_rules! fixed {
    ($value:ty, $variant:ident) => {
        impl Fixed for $value {
            fn of(values: &Values) -> &[Self] {
                if let Values::$variant(values) = values { values } else { &[] }
            }
        }
    };
}
fixed!(f64, Float);
fixed!(i64, Integer);
fixed!(u64, Unsigned);
fixed!(bool, Boolean);

impl Values {
    /// Creates an empty list of the given type.
    pub fn new(field_type: FieldType) -> Self {
        Self::with_capacity(field_type, 0)
    }

    fn with_capacity(field_type: FieldType, rows: usize) -> Self {
        match field_type {
            FieldType::Float => Self::Float(Vec::with_capacity(rows)),
            FieldType::Integer => Self::Integer(Vec::with_capacity(rows)),
            FieldType::Unsigned => Self::Unsigned(Vec::with_capacity(rows)),
            FieldType::String => Self::String(StringColumn::default()),
            FieldType::Boolean => Self::Boolean(Vec::with_capacity(rows)),
        }
    }

    /// Returns the type of the values.
    pub fn field_type(&self) -> FieldType {
        match self {
            Self::Float(_) => FieldType::Float,
            Self::Integer(_) => FieldType::Integer,
            Self::Unsigned(_) => FieldType::Unsigned,
            Self::String(_) => FieldType::String,
            Self::Boolean(_) => FieldType::Boolean,
        }
    }

    /// Returns the total size of all rows' strings, in bytes; 0 for other types.
    pub fn text_bytes(&self) -> usize {
        if let Self::String(texts) = self { texts.text_bytes() } else { 0 }
    }

    /// Returns the number of rows, including padding.
    pub fn len(&self) -> usize {
        match_values!(self, values => values.len(), strings => strings.len())
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn extend_padding(&mut self, count: usize) {
        let rows = self.len() + count;
        match_values!(
            self,
            values => values.resize(rows, Default::default()),
            strings => strings.extend_empty(count)
        );
    }

    /// Appends all rows of `other`. Returns `false` without appending if the types differ.
    pub fn extend_from(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(to), Self::Float(from)) => extend(to, from),
            (Self::Integer(to), Self::Integer(from)) => extend(to, from),
            (Self::Unsigned(to), Self::Unsigned(from)) => extend(to, from),
            (Self::String(to), Self::String(from)) => to.extend_from(from),
            (Self::Boolean(to), Self::Boolean(from)) => extend(to, from),
            _ => return false,
        }
        true
    }

    /// Copies the values at `rows` in the given order.
    pub fn gather(&self, rows: &[u32]) -> Self {
        map_values!(self, values => gather(values, rows), strings => strings.gather(rows))
    }

    /// Copies the values at `rows` in the given order. A row `None` becomes padding.
    pub fn gather_or_pad(&self, rows: &[Option<u32>]) -> Self {
        fn gather_or_default<T: Copy + Default>(values: &[T], rows: &[Option<u32>]) -> Vec<T> {
            let value = |row: u32| values.get(row as usize).copied().or_bug();
            rows.iter().map(|row| row.map_or_else(T::default, value)).collect()
        }
        map_values!(
            self,
            values => gather_or_default(values, rows),
            strings => strings.gather_or_empty(rows)
        )
    }

    /// Appends row `index` of `other`. Returns `false` without appending if the types differ.
    pub fn push_from(&mut self, other: &Self, index: usize) -> bool {
        fn push<T: Copy + Default>(to: &mut Vec<T>, from: &[T], index: usize) {
            to.push(from.get(index).copied().or_bug());
        }
        match (self, other) {
            (Self::Float(to), Self::Float(from)) => push(to, from, index),
            (Self::Integer(to), Self::Integer(from)) => push(to, from, index),
            (Self::Unsigned(to), Self::Unsigned(from)) => push(to, from, index),
            (Self::String(to), Self::String(from)) => to.push(from.get(index)),
            (Self::Boolean(to), Self::Boolean(from)) => push(to, from, index),
            _ => return false,
        }
        true
    }

    /// Drops all rows from index `len` onwards.
    pub fn truncate(&mut self, len: usize) {
        match_values!(self, values => values.truncate(len), strings => strings.truncate(len));
    }

    /// Returns the value at `index`, even if it is padding.
    pub fn get(&self, index: usize) -> Option<FieldValue> {
        Some(match self {
            Self::Float(values) => FieldValue::Float(*values.get(index)?),
            Self::Integer(values) => FieldValue::Integer(*values.get(index)?),
            Self::Unsigned(values) => FieldValue::Unsigned(*values.get(index)?),
            Self::String(values) => {
                (index < values.len()).then(|| FieldValue::String(values.get(index).into()))?
            }
            Self::Boolean(values) => FieldValue::Boolean(*values.get(index)?),
        })
    }

    /// Returns the memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        fn bytes<T>(values: &Vec<T>) -> usize {
            values.capacity() * size_of::<T>()
        }
        match_values!(self, values => bytes(values), strings => strings.bytes())
    }
}

/// The number of rows above which the capacity of a column grows by an eighth instead of doubling,
/// because a reallocation keeps both copies in memory for a moment.
const LONG: usize = 1 << 19;

fn extend<T: Copy>(column: &mut Vec<T>, from: &[T]) {
    let len = column.len();
    if len >= LONG && column.capacity() - len < from.len() {
        column.reserve_exact(from.len().max(len / 8));
    }
    column.extend_from_slice(from);
}

/// A column with its values and their validity.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The values, one per row.
    pub values: Values,
    /// The validity of each row. Nulls have padding values.
    pub validity: Validity,
}

impl Column {
    /// Creates an empty column.
    pub fn new(field_type: FieldType) -> Self {
        Self { values: Values::new(field_type), validity: Validity::All }
    }

    /// Creates an empty column with capacity for `rows` rows.
    pub fn with_capacity(field_type: FieldType, rows: usize) -> Self {
        Self { values: Values::with_capacity(field_type, rows), validity: Validity::All }
    }

    /// Creates a column without nulls.
    pub fn full(values: Values) -> Self {
        Self { values, validity: Validity::All }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether the column has no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether both the values and the validity have `rows` rows.
    pub fn has_rows(&self, rows: usize) -> bool {
        let validity_rows = match &self.validity {
            Validity::All => rows,
            Validity::Some(bits) => bits.len(),
        };
        self.len() == rows && validity_rows == rows
    }

    /// Appends a null.
    pub fn push_null(&mut self) {
        self.extend_nulls(1);
    }

    /// Appends `count` nulls.
    pub fn extend_nulls(&mut self, count: usize) {
        self.validity.extend_nulls(self.values.len(), count);
        self.values.extend_padding(count);
    }

    /// Appends all rows of `other`. Returns `false` without appending if the types differ.
    pub fn extend_from(&mut self, other: &Self) -> bool {
        let rows = self.values.len();
        let same_type = self.values.extend_from(&other.values);
        if same_type {
            self.validity.extend_from(rows, &other.validity, other.len());
        }
        same_type
    }

    /// Copies the rows at `rows` in the given order.
    pub fn gather(&self, rows: &[u32]) -> Self {
        let validity = match &self.validity {
            Validity::All => Validity::All,
            Validity::Some(bits) => {
                let mut validity = Validity::All;
                for (to, &row) in rows.iter().enumerate() {
                    validity.push(to, bits.get(row as usize));
                }
                validity
            }
        };
        Self { values: self.values.gather(rows), validity }
    }

    /// Returns the memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        let bits = match &self.validity {
            Validity::All => 0,
            Validity::Some(bits) => bits.words().len() * 8,
        };
        self.values.bytes() + bits
    }

    /// Appends row `index` of `other`, including a null, and returns whether the types are equal.
    pub fn push_from(&mut self, other: &Self, index: usize) -> bool {
        let row = self.values.len();
        let same_type = self.values.push_from(&other.values, index);
        if same_type {
            self.validity.push(row, other.validity.is_valid(index));
        }
        same_type
    }

    /// Returns the value at `index`. Returns `None` for a null and after the end.
    pub fn get(&self, index: usize) -> Option<FieldValue> {
        self.values.get(index).filter(|_| self.validity.is_valid(index))
    }
}

/// Copies the values at `rows` in the given order.
pub fn gather<T: Copy + Default>(values: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|&row| values.get(row as usize).copied().or_bug()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_columns_grow_by_an_eighth() {
        let mut column = vec![1_u8; LONG];
        extend(&mut column, &[2]);
        assert_eq!((column.len(), column.last()), (LONG + 1, Some(&2)));
        assert!(column.capacity() <= LONG / 8 * 9, "{}", column.capacity());
    }

    #[test]
    fn column_pushes_mark_nulls() {
        let mut column = Column::new(FieldType::Integer);
        column.push_null();
        assert!(column.push_from(&Column::full(Values::Integer(vec![7])), 0));
        assert!(!column.push_from(&Column::full(Values::Float(vec![7.0])), 0));
        assert_eq!((column.get(0), column.get(1)), (None, Some(FieldValue::Integer(7))));
        assert_eq!(column.len(), 2);
    }

    #[test]
    fn append_and_gather_keep_nulls() {
        let strings =
            |texts: &[&str]| Column::full(Values::String(texts.iter().copied().collect()));
        let mut column = strings(&["a", "b"]);
        column.extend_nulls(2);
        assert!(column.extend_from(&strings(&["c"])));
        assert!(!column.extend_from(&Column::full(Values::Boolean(vec![true]))));
        assert_eq!(column.len(), 5);
        let text = |column: &Column, row| match column.get(row) {
            Some(FieldValue::String(text)) => text.to_string(),
            _ => "null".into(),
        };
        let gathered = column.gather(&[4, 2, 0]);
        let texts: Vec<_> = (0..3).map(|row| text(&gathered, row)).collect();
        assert_eq!(texts, ["c", "null", "a"]);
        assert_eq!(column.gather(&[0, 4]).validity, Validity::All);
    }
}
