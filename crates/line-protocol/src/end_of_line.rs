//! Finds the end of a rejected line in a body that arrives in pieces.

/// The scanner's state within a rejected line. The line ends at the first newline that is neither
/// escaped nor inside a string. Only quotes at the positions of field values start a string (1.x
/// `models.scanLine`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EndOfLine {
    is_comment: bool,
    escaped: bool,
    in_fields: bool,
    in_string: bool,
    equals: usize,
    commas: usize,
}

impl EndOfLine {
    /// A comment ends at the first newline.
    pub(super) const OF_COMMENT: Self = Self {
        is_comment: true,
        escaped: false,
        in_fields: false,
        in_string: false,
        equals: 0,
        commas: 0,
    };

    /// Returns the position of the line's newline in the next piece, or `None` if the line
    /// continues after the piece.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.is_comment {
            return memchr::memchr(b'\n', bytes);
        }
        for (at, &byte) in bytes.iter().enumerate() {
            if std::mem::take(&mut self.escaped) {
                continue;
            }
            match byte {
                b'\\' => self.escaped = true,
                b'\n' if !self.in_string => return Some(at),
                b' ' if !self.in_string => self.in_fields = true,
                b'=' if self.in_fields && !self.in_string => self.equals += 1,
                b',' if self.in_fields && !self.in_string => self.commas += 1,
                b'"' if self.in_fields && self.equals > self.commas => {
                    self.in_string = !self.in_string;
                }
                _ => {}
            }
        }
        None
    }
}
