//! Names the types that names and expressions of a statement have.

use crate::model::value::FieldType;

/// What a name is. Ordered as 1.x orders types of one name in several sources: the greater wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DataType {
    /// Nothing of that name.
    Unknown,
    /// A tag.
    Tag,
    /// A field.
    Boolean,
    /// A field.
    String,
    /// A field.
    Unsigned,
    /// A field.
    Integer,
    /// A field.
    Float,
}

impl From<FieldType> for DataType {
    fn from(field_type: FieldType) -> Self {
        match field_type {
            FieldType::Float => Self::Float,
            FieldType::Integer => Self::Integer,
            FieldType::Unsigned => Self::Unsigned,
            FieldType::String => Self::String,
            FieldType::Boolean => Self::Boolean,
        }
    }
}

impl DataType {
    /// The type of the values, if it is a field.
    pub(crate) fn field_type(self) -> Option<FieldType> {
        Some(match self {
            Self::Float => FieldType::Float,
            Self::Integer => FieldType::Integer,
            Self::Unsigned => FieldType::Unsigned,
            Self::String => FieldType::String,
            Self::Boolean => FieldType::Boolean,
            Self::Tag | Self::Unknown => return None,
        })
    }

    /// 1.x's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Tag => "tag",
            other => other.field_type().map_or("unknown", FieldType::name),
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Float | Self::Integer | Self::Unsigned)
    }
}
