//! Checks names of databases and retention policies, splits and joins the bucket names that stand
//! for them, and says which names inside a database line protocol can write.

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid name")]
pub struct InvalidName;

/// Checks a database or retention policy name by 1.x's rule: printable, not empty, no `/` or `\`,
/// neither `.` nor `..` (1.x `services/meta`, `ValidName`). Bytes that are not UTF-8 were all
/// decoded to one character, so names with it could be mistaken for each other.
///
/// # Errors
/// [`InvalidName`], whose text is 1.x's.
pub fn check(name: &str) -> Result<(), InvalidName> {
    let printable = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | '\u{fffd}');
    if name.is_empty() || name == "." || name == ".." || !name.chars().all(printable) {
        return Err(InvalidName);
    }
    Ok(())
}

/// Splits a v2 bucket into database and policy at its first `/`; no `/` means the default policy.
pub fn split_bucket(bucket: &str) -> (&str, Option<&str>) {
    match bucket.split_once('/') {
        Some((database, policy)) => (database, Some(policy)),
        None => (bucket, None),
    }
}

/// What a name is of, or a text in the place of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A measurement.
    Measurement,
    /// A tag's key.
    TagKey,
    /// A tag's value.
    TagValue,
    /// A field's key.
    FieldKey,
}

/// Why line protocol cannot name something: no client could write it, and an export could not be
/// read again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} cannot be written as line protocol, so no export would keep it: {why}")]
pub struct Unwritable {
    name: String,
    why: &'static str,
}

/// Checks that an escaped form of `name` reads back as `name`. Only what does not come by line
/// protocol needs that.
///
/// # Errors
/// [`Unwritable`]
pub fn check_writable(name: &str, place: Place) -> Result<(), Unwritable> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.bytes().any(|byte| byte < 0x20) {
        "there is a control character in it, a tab or the end of a line"
    } else if name.ends_with('\\') {
        "a backslash at its end would escape what follows"
    } else if place == Place::Measurement && name.starts_with('#') {
        "a line that begins with # is a comment"
    } else if matches!(place, Place::TagKey | Place::FieldKey) && name == "time" {
        "the name is reserved for timestamps"
    } else {
        return Ok(());
    };
    Err(Unwritable { name: name.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_names_follow_1x() {
        for good in ["telegraf", "a b.c", "ü", "_internal", "-", "a:b"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", "a\u{fffd}"] {
            assert_eq!(check(bad), Err(InvalidName), "{bad}");
        }
    }

    #[test]
    fn a_bucket_splits_at_its_first_slash() {
        assert_eq!(split_bucket("db"), ("db", None));
        assert_eq!(split_bucket("db/rp/x"), ("db", Some("rp/x")));
    }
}
