//! Names of databases and retention policies, and the bucket ↔ `db/rp` mapping.

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
