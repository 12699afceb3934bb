//! InfluxQL's regexes are Go's (RE2 syntax): the same language but for what this translates.
//!
//! `\d \w \s \b` and their opposites are ASCII in Go, and `\Q…\E` quotes; the crate's regexes are
//! Unicode-aware and know no quoting.

use regex::{Regex, RegexBuilder};

use crate::model::limits::{REGEX_COMPILED_BYTES_MAX, REGEX_SOURCE_BYTES_MAX};
use crate::scan::error::ScanError;

/// Compiles Go's regex `source`, unanchored, within the limits on text and memory.
///
/// # Errors
/// [`ScanError::Regex`].
pub(super) fn compile(source: &str) -> Result<Regex, ScanError> {
    let refuse = |reason: String| ScanError::Regex { regex: source.to_owned(), reason };
    if source.len() > REGEX_SOURCE_BYTES_MAX {
        return Err(refuse(format!("longer than {REGEX_SOURCE_BYTES_MAX} bytes")));
    }
    RegexBuilder::new(&translate(source))
        .size_limit(REGEX_COMPILED_BYTES_MAX)
        .dfa_size_limit(REGEX_COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| refuse(error.to_string().lines().last().unwrap_or_default().to_owned()))
}

fn translate(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut chars = source.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('Q') => quote(&mut chars, &mut out),
                Some(c) => escape(c, in_class, &mut out),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                for leading in ['^', ']'] {
                    if chars.next_if_eq(&leading).is_some() {
                        // A `]` that stands first is a member in Go.
                        out.push_str(if leading == ']' { "\\]" } else { "^" });
                    }
                }
            }
            // Inside a class only `[:name:]` opens another bracket in Go.
            '[' if chars.peek() != Some(&':') => out.push_str("\\["),
            '[' => {
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ']' => {
                in_class = false;
                out.push(']');
            }
            // Set operations of the crate; plain members in Go.
            '&' | '~' if in_class => out.extend(['\\', c]),
            '-' if in_class && chars.peek() == Some(&'-') => out.push_str("\\-"),
            c => out.push(c),
        }
    }
    out
}

/// Copies what `\Q` quotes up to `\E` or the end.
fn quote(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            return;
        }
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

fn escape(c: char, in_class: bool, out: &mut String) {
    let plain = match c {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        's' => "[\\t\\n\\f\\r ]",
        'S' => "[^\\t\\n\\f\\r ]",
        'b' if !in_class => "(?-u:\\b)",
        // The crate allows only the ASCII form that cannot split a character: \b negated is safe.
        'B' if !in_class => "\\B",
        other => {
            out.push('\\');
            out.push(other);
            return;
        }
    };
    out.push_str(plain);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regexes_mean_what_go_means() {
        for (regex, text, matches) in [
            ("", "", true),
            ("^$", "a", false),
            ("erver0[12]", "server02", true),
            (r"^\d+$", "12", true),
            (r"^\d+$", "١٢", false),
            (r"^[\d.]+$", "1.2", true),
            (r"^\w+$", "ü", false),
            (r"^[^\w]+$", "ü", true),
            (r"\bb\b", "a b c", true),
            (r"^\Qa.b[\E+$", "a.b[[", true),
            ("^[]a]+$", "]a", true),
            ("^[^]a]$", "]", false),
            ("^[a&&b]+$", "a&b", true),
            ("^[[a]+$", "[a", true),
            ("^[[:alpha:]]+$", "ab", true),
            ("(?i)^ÄB$", "äb", true),
            ("(?P<x>a)", "a", true),
        ] {
            assert_eq!(compile(regex).unwrap().is_match(text), matches, "/{regex}/ on {text}");
        }
    }

    #[test]
    fn regexes_have_limits() {
        assert!(matches!(compile("("), Err(ScanError::Regex { .. })));
        assert!(matches!(compile(r"\pL{1000}{1000}"), Err(ScanError::Regex { .. })));
        assert!(matches!(
            compile(&"a".repeat(REGEX_SOURCE_BYTES_MAX + 1)),
            Err(ScanError::Regex { .. })
        ));
    }
}
