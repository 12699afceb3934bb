//! The five types of fields and their values.

use serde::{Deserialize, Serialize};

/// The type of a field. The first written value determines the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum FieldType {
    /// A finite IEEE 754 double.
    Float = 0,
    /// A signed 64-bit integer.
    Integer = 1,
    /// An unsigned 64-bit integer.
    Unsigned = 2,
    /// UTF-8 text.
    String = 3,
    /// `true` or `false`.
    Boolean = 4,
}

impl FieldType {
    /// All types, in the order of [`Self::code`].
    pub const ALL: [Self; 5] =
        [Self::Float, Self::Integer, Self::Unsigned, Self::String, Self::Boolean];

    /// Returns the byte that represents the type in every format.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Returns the type that `code` represents.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Returns the type's name in InfluxQL, as in SHOW FIELD KEYS.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned",
            Self::String => "string",
            Self::Boolean => "boolean",
        }
    }

    /// Returns advice on how to write a value of this type as a value of the type `wanted`.
    pub const fn hint(self, wanted: Self) -> &'static str {
        match (wanted, self) {
            (Self::Float, Self::Integer) => "drop the `i`",
            (Self::Float, Self::Unsigned) => "drop the `u`",
            (Self::Integer, Self::Float) => "append `i` to a whole number",
            (Self::Unsigned, Self::Float) => "append `u` to a whole number",
            (Self::Integer, Self::Unsigned) => "write `i` for the `u`",
            (Self::Unsigned, Self::Integer) => "write `u` for the `i`",
            (Self::Float, _) => "write a number, without quotes",
            (Self::Integer, _) => "write a whole number followed by `i`, without quotes",
            (Self::Unsigned, _) => "write a whole number followed by `u`, without quotes",
            (Self::String, _) => "put the value in double quotes",
            (Self::Boolean, _) => "write true or false, without quotes",
        }
    }
}

/// A field value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FieldValue {
    /// See [`FieldType::Float`].
    Float(f64),
    /// See [`FieldType::Integer`].
    Integer(i64),
    /// See [`FieldType::Unsigned`].
    Unsigned(u64),
    /// See [`FieldType::String`].
    String(Box<str>),
    /// See [`FieldType::Boolean`].
    Boolean(bool),
}

impl FieldValue {
    /// Returns the type of the value.
    pub const fn field_type(&self) -> FieldType {
        match self {
            Self::Float(_) => FieldType::Float,
            Self::Integer(_) => FieldType::Integer,
            Self::Unsigned(_) => FieldType::Unsigned,
            Self::String(_) => FieldType::String,
            Self::Boolean(_) => FieldType::Boolean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_type_codes_match_their_order() {
        let by_code: Vec<_> = (0..=u8::MAX).map_while(FieldType::from_code).collect();
        assert_eq!(by_code, FieldType::ALL);
        assert!((0_u8..).zip(FieldType::ALL).all(|(code, field_type)| field_type.code() == code));
    }
}
