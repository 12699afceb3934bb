//! Moves through the bytes of a line, and records the position and cause of an error.

use super::Cause;
use super::error::quoted;

const WORDS_OF_NAME_MAX: usize = 8;

pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) cause: Cause,
}

pub(super) struct Cursor<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline(always)]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The cursor only stops at ASCII bytes, so it is always at a character boundary.
    #[inline(always)]
    pub(super) fn rest_text(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn fault(&self, cause: Cause) -> Fault {
        Fault { at: self.at, cause }
    }

    pub(super) fn fault_at(&self, at: usize, cause: Cause) -> Fault {
        Fault { at, cause }
    }

    /// The word is shortened for an error message.
    pub(super) fn word(&self, at: usize) -> String {
        let rest = self.text.get(at..).unwrap_or_default();
        // A carriage return in the middle of a line is not quoted.
        let rest = rest.trim_start_matches('\r');
        quoted(rest.split([' ', '\n', '\r']).next().unwrap_or_default())
    }

    /// Suggests a name for a word without `=` at the position of a field. The word may belong to a
    /// name with unescaped spaces. Returns `None` if no `=` follows in the line.
    #[cold]
    pub(super) fn name_with_space(&self) -> Option<String> {
        let line = self.rest_text().split('\n').next()?;
        let end = line.find([',', '='])?;
        let (words, behind) = line.split_at(end);
        behind.contains('=').then_some(())?;
        let words = words.split(' ').filter(|word| !word.is_empty());
        let mut words: Vec<&str> = words.take(WORDS_OF_NAME_MAX + 1).collect();
        if words.len() > WORDS_OF_NAME_MAX {
            return None;
        }
        let before = self.text.get(..self.at).unwrap_or_default();
        if let Some(before) = before.strip_suffix(' ') {
            if behind.starts_with('=') {
                words.pop();
            }
            words.insert(0, before.trim_end_matches(' ').rsplit([',', '=', '\n']).next()?);
        }
        (words.len() > 1).then(|| quoted(&words.join("\\ ")))
    }

    #[inline(always)]
    pub(super) fn skip_spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// A `\r` belongs to the end. If the line ends here, the cursor moves to the newline or text
    /// end.
    #[inline(always)]
    pub(super) fn at_end(&mut self) -> bool {
        match self.rest() {
            [] | [b'\n', ..] => true,
            [b'\r'] | [b'\r', b'\n', ..] => {
                self.at += 1;
                true
            }
            _ => false,
        }
    }
}

/// Compares words. In WASM, a call of `starts_with` would compare byte by byte.
#[inline(always)]
pub(super) fn starts_with(rest: &[u8], key: &[u8]) -> bool {
    let Some(head) = rest.get(..key.len()) else { return false };
    match key.len() {
        0..4 => head == key,
        4..8 => {
            head.first_chunk::<4>() == key.first_chunk::<4>()
                && head.last_chunk::<4>() == key.last_chunk::<4>()
        }
        8..=16 => {
            head.first_chunk::<8>() == key.first_chunk::<8>()
                && head.last_chunk::<8>() == key.last_chunk::<8>()
        }
        _ => {
            let words = head.as_chunks::<8>().0.iter().zip(key.as_chunks::<8>().0);
            head.last_chunk::<8>() == key.last_chunk::<8>()
                && words.into_iter().all(|(a, b)| u64::from_le_bytes(*a) == u64::from_le_bytes(*b))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::starts_with;

    #[test]
    fn starts_with_compares_every_byte() {
        let text: Vec<u8> = (0..40).collect();
        for length in 0..=30 {
            let key = &text[..length];
            assert!(starts_with(&text, key));
            assert!(length == 0 || !starts_with(&text[..length - 1], key));
            for at in 0..length {
                let mut other = key.to_vec();
                other[at] ^= 1;
                assert!(!starts_with(&text, &other), "{length} {at}");
            }
        }
    }
}
