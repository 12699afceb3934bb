//! Reads, puts back and counts characters like 1.x (`scanner.go`, `reader`), so that the positions
//! in errors are equal.

use super::error::Position;

/// As in 1.x, a NUL character also ends the text.
pub(super) const EOF: char = '\0';

const RING: usize = 3;

#[derive(Clone, Copy, Default)]
struct ReadCharacter {
    char: char,
    position: Position,
    end: usize,
}

/// `\r\n` and `\r` count as `\n`.
pub(super) struct Reader<'a> {
    text: &'a str,
    /// The byte offset of the first unread character.
    offset: usize,
    ring: [ReadCharacter; RING],
    last: usize,
    put_back: usize,
    next: Position,
    at_end: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            offset: 0,
            ring: [ReadCharacter::default(); RING],
            last: 0,
            put_back: 0,
            next: Position::default(),
            at_end: false,
        }
    }

    pub(super) fn read(&mut self) -> (char, Position) {
        if self.put_back > 0 {
            self.put_back -= 1;
            return self.current();
        }
        let char = self.advance();
        self.last = (self.last + 1) % RING;
        let entry = ReadCharacter { char, position: self.next, end: self.offset };
        if let Some(slot) = self.ring.get_mut(self.last) {
            *slot = entry;
        }
        if char == '\n' {
            self.next = Position { line: self.next.line + 1, char: 0 };
        } else if !self.at_end {
            self.next.char += 1;
        }
        self.at_end |= char == EOF;
        (char, entry.position)
    }

    pub(super) fn unread(&mut self) {
        self.put_back += 1;
    }

    pub(super) fn current(&self) -> (char, Position) {
        let entry = self.entry();
        (entry.char, entry.position)
    }

    /// Does not consume the character, except [`EOF`], on which 1.x's error positions depend.
    pub(super) fn peek(&mut self) -> char {
        let (char, _) = self.read();
        if char != EOF {
            self.unread();
        }
        char
    }

    pub(super) fn offset(&self) -> usize {
        self.entry().end
    }

    pub(super) fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    fn entry(&self) -> ReadCharacter {
        let index = (self.last + RING - self.put_back % RING) % RING;
        self.ring.get(index).copied().unwrap_or_default()
    }

    fn advance(&mut self) -> char {
        let rest = self.text.get(self.offset..).unwrap_or_default();
        let Some(char) = rest.chars().next() else { return EOF };
        match char {
            EOF => self.offset = self.text.len(),
            '\r' => {
                self.offset += if rest.starts_with("\r\n") { 2 } else { 1 };
                return '\n';
            }
            _ => self.offset += char.len_utf8(),
        }
        char
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(line: u32, char: u32) -> Position {
        Position { line, char }
    }

    #[test]
    fn reader_counts_crlf_and_end_once() {
        let mut reader = Reader::new("a\r\nb\rc");
        let mut all = vec![];
        for _ in 0..8 {
            all.push(reader.read());
        }
        let expected = [
            ('a', position(0, 0)),
            ('\n', position(0, 1)),
            ('b', position(1, 0)),
            ('\n', position(1, 1)),
            ('c', position(2, 0)),
            (EOF, position(2, 1)),
            (EOF, position(2, 2)),
            (EOF, position(2, 2)),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn reader_unread_restores_character() {
        let mut reader = Reader::new("µbc");
        reader.read();
        assert_eq!(reader.offset(), 2);
        reader.read();
        reader.unread();
        assert_eq!(reader.current(), ('µ', position(0, 0)));
        assert_eq!(reader.offset(), 2);
        assert_eq!(reader.peek(), 'b');
        assert_eq!(reader.read(), ('b', position(0, 1)));
    }

    #[test]
    fn nul_character_ends_input() {
        let mut reader = Reader::new("a\0b");
        reader.read();
        assert_eq!(reader.read().0, EOF);
        assert_eq!(reader.read().0, EOF);
    }
}
