//! Checks names of databases, retention policies and line protocol, and splits v2 bucket names.

use serde::{Deserialize, Serialize};

use crate::limits::NAME_BYTES_MAX;

/// The error for an invalid name, with the text of 1.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum InvalidName {
    /// The name is empty, `.` or `..`, or contains `/`, `\` or a control character.
    #[error("invalid name")]
    Characters,
    /// The name exceeds [`NAME_BYTES_MAX`].
    #[error("name too long")]
    TooLong,
}

/// Checks a database or policy name with the rules of 1.x (`services/meta`, `ValidName` and
/// `MaxNameLen`). U+FFFD is invalid, because decoding substitutes it for invalid UTF-8.
pub fn check(name: &str) -> Result<(), InvalidName> {
    let printable = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | '\u{fffd}');
    if name.is_empty() || name == "." || name == ".." || !name.chars().all(printable) {
        return Err(InvalidName::Characters);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(InvalidName::TooLong);
    }
    Ok(())
}

/// Splits a v2 bucket into database and policy at its first `/`. Without a `/`, there is no policy.
pub fn split_bucket(bucket: &str) -> (&str, Option<&str>) {
    match bucket.split_once('/') {
        Some((database, policy)) => (database, Some(policy)),
        None => (bucket, None),
    }
}

/// The kind of a name in line protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum NameKind {
    Measurement,
    TagKey,
    TagValue,
    FieldKey,
}

/// The error for a name that line protocol cannot express.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} cannot be written as line protocol, so an export would lose the name: {reason}")]
pub struct Unwritable {
    name: String,
    reason: &'static str,
}

/// Checks that the escaped form of `name` parses to `name`.
pub fn check_writable(name: &str, kind: NameKind) -> Result<(), Unwritable> {
    let reason = if name.is_empty() {
        "the name is empty"
    } else if name.bytes().any(|byte| byte < 0x20) {
        "the name contains a control character, a tab or a line break"
    } else if name.ends_with('\\') {
        "the backslash at its end would escape the next character"
    } else if kind == NameKind::Measurement && name.starts_with('#') {
        "a line that begins with # is a comment"
    } else if matches!(kind, NameKind::TagKey | NameKind::FieldKey) && name == "time" {
        "the name is reserved for timestamps"
    } else {
        return Ok(());
    };
    Err(Unwritable { name: name.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_names_follow_influxdb_1() {
        for good in ["telegraf", "a b.c", "ü", "_internal", "-", "a:b"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", "a\u{fffd}"] {
            assert_eq!(check(bad), Err(InvalidName::Characters), "{bad}");
        }
        assert_eq!(check(&"é".repeat(127)), Ok(()));
        assert_eq!(check(&"é".repeat(128)), Err(InvalidName::TooLong));
    }

    #[test]
    fn bucket_splits_at_first_slash() {
        assert_eq!(split_bucket("db"), ("db", None));
        assert_eq!(split_bucket("db/rp/x"), ("db", Some("rp/x")));
    }
}
