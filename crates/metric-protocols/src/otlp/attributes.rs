//! Reads attributes, and turns them into labels.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value as Json};

use super::names::label_name;
use crate::protobuf::{Fields, Malformed, Result};
use crate::sample_writer::Label;
use tidemark_model::limits::ATTRIBUTE_DEPTH_MAX;

/// The message `KeyValue`: the key, and the encoded value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    pub(super) key: &'a str,
    value: &'a [u8],
}

impl<'a> Attribute<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self> {
        let mut attribute = Self { key: "", value: &[] };
        for field in Fields::of(message) {
            match field? {
                (1, value) => attribute.key = value.text()?,
                (2, value) => attribute.value = value.bytes()?,
                _ => {}
            }
        }
        Ok(attribute)
    }

    /// Returns the value as text. Lists and maps are JSON.
    pub(super) fn text(self) -> Result<Cow<'a, str>> {
        for field in Fields::of(self.value) {
            if let (1, value) = field? {
                return Ok(Cow::Borrowed(value.text()?));
            }
        }
        Ok(Cow::Owned(match any_value(self.value, 0)? {
            Json::Null => String::new(),
            Json::String(text) => text,
            other => other.to_string(),
        }))
    }

    /// Returns the label of this attribute.
    pub(super) fn label(self, keeps_names: bool) -> Result<Label<'a>> {
        let name = if keeps_names { Cow::Borrowed(self.key) } else { label_name(self.key) };
        Ok((name, self.text()?))
    }
}

/// Converts the message `AnyValue` to JSON.
fn any_value(message: &[u8], depth: usize) -> Result<Json> {
    if depth > ATTRIBUTE_DEPTH_MAX {
        return Err(Malformed(format!(
            "an attribute is nested more than {ATTRIBUTE_DEPTH_MAX} levels deep \
             (ATTRIBUTE_DEPTH_MAX)"
        )));
    }
    let mut result = Json::Null;
    for field in Fields::of(message) {
        result = match field? {
            (1, value) => Json::String(value.text()?.to_owned()),
            (2, value) => Json::Bool(value.varint()? != 0),
            (3, value) => Json::Number(value.varint()?.cast_signed().into()),
            (4, value) => {
                let number = value.double()?;
                let finite = Number::from_f64(number).map(Json::Number);
                finite.unwrap_or_else(|| Json::String(number.to_string()))
            }
            (5, value) => {
                let mut items = Vec::new();
                for item in Fields::of(value.bytes()?) {
                    if let (1, item) = item? {
                        items.push(any_value(item.bytes()?, depth + 1)?);
                    }
                }
                Json::Array(items)
            }
            (6, value) => {
                let mut entries = Map::new();
                for entry in Fields::of(value.bytes()?) {
                    if let (1, entry) = entry? {
                        let Attribute { key, value } = Attribute::read(entry.bytes()?)?;
                        entries.insert(key.to_owned(), any_value(value, depth + 1)?);
                    }
                }
                Json::Object(entries)
            }
            (7, value) => Json::String(STANDARD.encode(value.bytes()?)),
            _ => continue,
        };
    }
    Ok(result)
}

/// Sorts labels, and omits empty values. If several labels have the same name, their values are
/// joined with semicolons, as in Prometheus.
pub(super) fn sort_and_join(labels: &mut Vec<Label<'_>>) {
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    labels.dedup_by(|next, kept| {
        let is_same_name = next.0 == kept.0;
        if is_same_name && next.1 != kept.1 {
            kept.1 = format!("{};{}", kept.1, next.1).into();
        }
        is_same_name
    });
}
