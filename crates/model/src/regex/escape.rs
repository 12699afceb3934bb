//! Parses escaped single characters: `\n`, `\.`, `\x41`, `\x{1F600}`, `\101`.

use super::syntax::{InvalidSyntax, SyntaxErrorKind, invalid};

pub(super) struct Rest<'a>(pub(super) &'a str);

impl Rest<'_> {
    pub(super) fn char(&mut self) -> Option<char> {
        let c = self.0.chars().next()?;
        self.0 = self.0.get(c.len_utf8()..).unwrap_or_default();
        Some(c)
    }

    fn octal(&mut self) -> Option<u32> {
        let digit = self.0.chars().next()?.to_digit(8)?;
        self.char();
        Some(digit)
    }
}

/// The code point may be a surrogate.
pub(super) fn char(text: &str) -> Result<(u32, &str), InvalidSyntax> {
    let mut rest = Rest(text);
    rest.char();
    let Some(c) = rest.char() else {
        return Err(invalid(SyntaxErrorKind::TrailingBackslash, ""));
    };
    match value(c, &mut rest) {
        Some(value) => Ok((value, rest.0)),
        None => {
            let part = text.get(..text.len() - rest.0.len()).unwrap_or(text);
            Err(invalid(SyntaxErrorKind::InvalidEscape, part))
        }
    }
}

fn value(c: char, rest: &mut Rest<'_>) -> Option<u32> {
    Some(match c {
        'a' => 0x07,
        'f' => 0x0C,
        'n' => 0x0A,
        'r' => 0x0D,
        't' => 0x09,
        'v' => 0x0B,
        'x' => return hexadecimal(rest),
        '0'..='7' => {
            // A single digit other than 0 would be a backreference, which Go does not support.
            let first = c.to_digit(8)?;
            let second = rest.octal();
            if c != '0' && second.is_none() {
                return None;
            }
            let two = second.map_or(first, |digit| first * 8 + digit);
            match second.and_then(|_| rest.octal()) {
                Some(third) => two * 8 + third,
                None => two,
            }
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => u32::from(c),
        _ => return None,
    })
}

fn hexadecimal(rest: &mut Rest<'_>) -> Option<u32> {
    let first = rest.char()?;
    if first != '{' {
        // Go's error contains both digits, so this code reads both before it checks them.
        let second = rest.char();
        return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
    }
    let (mut value, mut digits) = (0, 0);
    loop {
        match rest.char()? {
            '}' if digits > 0 => return Some(value),
            c => value = value * 16 + c.to_digit(16)?,
        }
        digits += 1;
        if value > u32::from(char::MAX) {
            return None;
        }
    }
}
