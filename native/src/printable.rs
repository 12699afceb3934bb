//! Escapes control characters in texts for a terminal. Names and values that clients have written
//! could otherwise contain sequences that move the cursor, hide text or change the terminal.

/// Replaces control characters with their JSON escapes, so that the text remains one line.
pub fn printable(text: &str) -> String {
    escaped(text, |_| false)
}

/// Replaces control characters with their JSON escapes, except line breaks and tabs.
pub fn printable_lines(text: &str) -> String {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

fn escaped(text: &str, is_kept: fn(char) -> bool) -> String {
    let is_unprintable = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let is_escaped = |c: char| is_unprintable(c) && !is_kept(c);
    if !text.contains(is_escaped) {
        return text.to_owned();
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
    out
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
        ] {
            assert_eq!(printable(text), line);
            assert_eq!(printable_lines(text), lines);
        }
    }
}
