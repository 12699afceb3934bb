//! Writes JSON tokens, and the commas and indentation between them. Escapes strings in the same way
//! as Go.

use tidemark_model::bug::OrBug;

/// Writes compact JSON, or JSON with an indentation of four spaces, like 1.x for `pretty=true`.
pub struct Emitter {
    out: Vec<u8>,
    /// Whether the text has line breaks and indentation.
    pub(super) pretty: bool,
    depth: usize,
    /// Whether the innermost object or array is still empty.
    empty: bool,
}

/// A position in the text of an [`Emitter`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    bytes: usize,
    depth: usize,
    empty: bool,
}

impl Emitter {
    /// Creates an emitter without text.
    pub fn new(pretty: bool) -> Self {
        Self { out: Vec::new(), pretty, depth: 0, empty: true }
    }

    /// Takes the bytes that were written since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Returns the number of bytes written since the last [`Emitter::take`].
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// Returns the buffer. After [`Emitter::next`], callers can append a value to it.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Begins the next member or element. Writes a comma before every element except the first.
    pub fn next(&mut self) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.line();
    }

    /// Opens an object or array.
    pub fn open(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.depth += 1;
        self.empty = true;
    }

    /// Closes an object or array.
    pub fn close(&mut self, bracket: u8) {
        self.depth = self.depth.saturating_sub(1);
        if !self.empty {
            self.line();
        }
        self.empty = false;
        self.out.push(bracket);
    }

    /// Begins the next member and writes its key.
    pub fn key(&mut self, key: &str) {
        self.next();
        string(key, &mut self.out);
        self.out.push(b':');
        if self.pretty {
            self.out.push(b' ');
        }
    }

    /// Returns the current position, for [`Emitter::rewind`].
    pub(super) fn position(&self) -> Position {
        Position { bytes: self.out.len(), depth: self.depth, empty: self.empty }
    }

    /// Removes the text after `to`. Its bytes must not have been taken.
    pub(super) fn rewind(&mut self, to: Position) {
        self.out.truncate(to.bytes);
        (self.depth, self.empty) = (to.depth, to.empty);
    }

    /// Writes a string value after a key or [`Emitter::next`].
    pub fn string(&mut self, text: &str) {
        string(text, &mut self.out);
    }

    /// Ends a document.
    pub fn end_document(&mut self) {
        self.out.push(b'\n');
        self.empty = true;
    }

    fn line(&mut self) {
        if self.pretty {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + 4 * self.depth, b' ');
        }
    }
}

/// Appends a string in the format of Go's `encoding/json`. In addition to the escapes that JSON
/// requires, Go escapes `<`, `>`, `&`, U+2028 and U+2029.
pub fn string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let separator =
            byte == 0xe2 && matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9]));
        let plain = byte >= b' ' && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&');
        if plain && !separator {
            continue;
        }
        out.extend_from_slice(bytes.get(plain_from..at).or_bug());
        plain_from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0xe2 => {
                let last = bytes.get(at + 2).copied().or_bug();
                out.extend_from_slice(if last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                plain_from = at + 3;
            }
            _ => {
                out.extend_from_slice(b"\\u00");
                let digit = |nibble: u8| HEX[usize::from(nibble & 15)];
                out.extend_from_slice(&[digit(byte >> 4), digit(byte)]);
            }
        }
    }
    out.extend_from_slice(bytes.get(plain_from..).or_bug());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_escape_as_in_go() {
        let mut out = Vec::new();
        string("a\"\\\n\r\t<>&\u{1}\u{7f}é\u{2028}x\u{2029}€", &mut out);
        let expected = "\"a\\\"\\\\\\n\\r\\t\\u003c\\u003e\\u0026\\u0001\u{7f}é\\u2028x\\u2029€\"";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn pretty_indents_by_four() {
        let mut emitter = Emitter::new(true);
        emitter.open(b'{');
        emitter.key("a");
        emitter.open(b'[');
        emitter.next();
        emitter.out().push(b'1');
        emitter.next();
        emitter.out().push(b'2');
        emitter.close(b']');
        emitter.key("b");
        emitter.open(b'[');
        emitter.close(b']');
        emitter.close(b'}');
        let expected = "{\n    \"a\": [\n        1,\n        2\n    ],\n    \"b\": []\n}";
        assert_eq!(String::from_utf8(emitter.take()).unwrap(), expected);
    }
}
