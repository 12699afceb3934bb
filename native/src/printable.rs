//! Escapes control characters in texts for a terminal. Names and values that clients have written
//! could otherwise contain characters that move the cursor, change the order of the text or change
//! the terminal.

use std::borrow::Cow;

/// Replaces control characters with their JSON escapes, so that the text remains one line.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// Replaces control characters with their JSON escapes, except line breaks and tabs.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

fn escaped(text: &str, is_kept: fn(char) -> bool) -> Cow<'_, str> {
    // Line separators, and controls of the writing direction.
    let is_format = |c| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_unprintable = |c: char| c.is_control() || is_format(c);
    let is_escaped = |c: char| is_unprintable(c) && !is_kept(c);
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for character in text.chars() {
        match character {
            c if !is_escaped(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        for (text, line, lines) in [
            ("é 温", "é 温", "é 温"),
            ("a\tb\r\n", "a\\tb\\r\\n", "a\tb\\r\n"),
            ("\u{1b}]0;x\u{7}\u{7f}", "\\u001b]0;x\\u0007\\u007f", "\\u001b]0;x\\u0007\\u007f"),
            // U+009B starts a sequence in terminals with C1 control characters.
            ("\u{9b}2J\u{2028}", "\\u009b2J\\u2028", "\\u009b2J\\u2028"),
            ("a\u{202e}b\u{2066}", "a\\u202eb\\u2066", "a\\u202eb\\u2066"),
        ] {
            assert_eq!(printable(text), line);
            assert_eq!(printable_lines(text), lines);
        }
    }
}
