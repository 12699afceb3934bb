//! Quotes names and strings if InfluxQL requires quotes.

use super::token::{Keyword, is_ident_char, is_letter};

/// Returns `'text'` with escapes.
pub fn string(text: &str) -> String {
    quoted(text, '\'')
}

/// Returns the name, quoted if it is a keyword or does not match `[A-Za-z_][A-Za-z0-9_]*`.
pub fn ident(name: &str) -> String {
    if name.is_empty() || needs_quotes(name) { quoted(name, '"') } else { name.to_owned() }
}

/// Joins names with dots as in 1.x's error texts: the last name is not quoted.
pub fn path<T: AsRef<str>>(segments: &[T]) -> String {
    let mut out = String::new();
    for (i, segment) in segments.iter().enumerate() {
        let segment = segment.as_ref();
        let (first, last) = (i == 0, i + 1 == segments.len());
        let needed = match segment.is_empty() {
            true => first || last,
            false => !last || needs_quotes(segment),
        };
        out.push_str(&if needed { quoted(segment, '"') } else { segment.to_owned() });
        if !last {
            out.push('.');
        }
    }
    out
}

fn needs_quotes(name: &str) -> bool {
    let starts_well = name.starts_with(|c| is_letter(c) || c == '_');
    !starts_well || !name.chars().all(is_ident_char) || Keyword::lookup(name).is_some()
}

fn quoted(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_only_where_needed() {
        for (name, quoted) in [
            ("", "\"\""),
            ("select", "\"select\""),
            ("SeLeCt", "\"SeLeCt\""),
            ("in-bytes", "\"in-bytes\""),
            ("1st", "\"1st\""),
            ("a.b", "\"a.b\""),
            ("a\"b\\c\nd", "\"a\\\"b\\\\c\\nd\""),
            ("größe", "\"größe\""),
            ("_x9", "_x9"),
            ("future", "future"),
        ] {
            assert_eq!(ident(name), quoted);
        }
    }

    #[test]
    fn quoted_strings_escape_special_characters() {
        assert_eq!(string("it's \\ a\n\"b\""), "'it\\'s \\\\ a\\n\"b\"'");
    }

    #[test]
    fn paths_quote_every_leading_name() {
        assert_eq!(path(&["foo", "bar"]), "\"foo\".bar");
        assert_eq!(path(&["foo", "", "bar"]), "\"foo\"..bar");
        assert_eq!(path(&["foo.bar", "rp", "1baz"]), "\"foo.bar\".\"rp\".\"1baz\"");
        assert_eq!(path(&["", "a", "", ""]), "\"\".\"a\"..\"\"");
    }
}
