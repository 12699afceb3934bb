//! Defines the types of names and expressions in a statement.

use tidemark_model::value::FieldType;

/// The type of a name. If sources define the name with different types, the greatest type applies,
/// as in 1.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum DataType {
    /// No source has the name, or a subquery's column with this name has a type error.
    Unknown,
    Tag,
    Boolean,
    String,
    Unsigned,
    Integer,
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
    /// Returns `None` for tags and unknown names.
    pub fn field_type(self) -> Option<FieldType> {
        Some(match self {
            Self::Float => FieldType::Float,
            Self::Integer => FieldType::Integer,
            Self::Unsigned => FieldType::Unsigned,
            Self::String => FieldType::String,
            Self::Boolean => FieldType::Boolean,
            Self::Tag | Self::Unknown => return None,
        })
    }

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
