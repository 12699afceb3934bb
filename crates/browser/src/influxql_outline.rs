//! Creates an outline of an InfluxQL text for the page: the kind and position of each word, and the
//! effect of each statement. All values are numbers, so that JavaScript receives no copies of the
//! text.

use std::ops::Range;

use tidemark_influxql::ast::Effect;
use tidemark_influxql::outline::Outline;
use tidemark_influxql::token::TokenKind;

/// The outline of a text for the page. Positions count UTF-16 units, as in JavaScript.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageOutline {
    /// The effect of the whole text, as a number that [`number`] returns.
    pub does: u32,
    /// Three numbers for each word: kind, start and end. `www/influxql/tokenize.js` defines the
    /// kinds.
    pub words: Vec<u32>,
    /// Three numbers for each statement: effect, start and end.
    pub statements: Vec<u32>,
}

impl PageOutline {
    /// Parses `text`.
    pub fn new(text: &str) -> Self {
        let outline = Outline::new(text);
        let mut units = Units { text, bytes: 0, units: 0 };
        let words = outline.words.iter().flat_map(|(kind, place)| {
            let word = text.get(place.clone()).unwrap_or_default();
            [kind_of(*kind, word), units.units_before(place.start), units.units_before(place.end)]
        });
        let words = words.collect();
        let mut units = Units { text, bytes: 0, units: 0 };
        let statements = outline.statements.iter().flat_map(|(Range { start, end }, does)| {
            [number(*does), units.units_before(*start), units.units_before(*end)]
        });
        Self { does: number(outline.effect()), words, statements: statements.collect() }
    }
}

/// Returns the number of an effect: 0 unknown, 1 selects, 2 reads, 3 writes.
fn number(does: Option<Effect>) -> u32 {
    match does {
        None => 0,
        Some(Effect::Selects) => 1,
        Some(Effect::Reads) => 2,
        Some(Effect::Writes) => 3,
    }
}

/// Returns the position of the kind in `kinds` of `www/influxql/tokenize.js`.
fn kind_of(kind: TokenKind, word: &str) -> u32 {
    match kind {
        TokenKind::Whitespace => 0,
        TokenKind::Comment => 1,
        TokenKind::String => 2,
        TokenKind::BadString | TokenKind::BadEscape if word.starts_with('\'') => 2,
        TokenKind::Ident if !word.contains('"') => 7,
        TokenKind::Ident | TokenKind::BadString | TokenKind::BadEscape => 3,
        TokenKind::Number | TokenKind::Integer | TokenKind::Duration => 4,
        TokenKind::Regex | TokenKind::BadRegex => 5,
        TokenKind::BoundParam => 6,
        TokenKind::Keyword(_) => 7,
        TokenKind::LeftParen
        | TokenKind::RightParen
        | TokenKind::Comma
        | TokenKind::Semicolon
        | TokenKind::Dot => 8,
        TokenKind::Illegal | TokenKind::Eof => 9,
        _ => 10,
    }
}

/// A converter from ascending byte positions to UTF-16 units.
struct Units<'a> {
    text: &'a str,
    bytes: usize,
    units: usize,
}

impl Units<'_> {
    fn units_before(&mut self, byte: usize) -> u32 {
        let between = self.text.get(self.bytes..byte).unwrap_or_default();
        self.units += between.encode_utf16().count();
        self.bytes = byte;
        u32::try_from(self.units).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outline_positions_count_utf16_units() {
        let found = PageOutline::new("SELECT '\u{1F600}é', \"ü\" FROM m; x");
        assert_eq!(found.does, 0, "the second statement is invalid");
        let said: Vec<_> = found.words.chunks(3).filter(|word| word[0] != 0).collect();
        let expected: Vec<&[u32]> = vec![
            &[7, 0, 6],
            &[2, 7, 12],
            &[8, 12, 13],
            &[3, 14, 17],
            &[7, 18, 22],
            &[7, 23, 24],
            &[8, 24, 25],
            &[7, 26, 27],
        ];
        assert_eq!(said, expected);
        assert_eq!(found.statements, [0, 0, 24, 0, 26, 27]);
    }

    #[test]
    fn unterminated_tokens_keep_their_kind() {
        let kinds =
            |text: &str| PageOutline::new(text).words.chunks(3).map(|word| word[0]).collect();
        for (text, expected) in [("'a\"b", [2]), ("\"a'b", [3]), ("a\"b", [3]), ("/a", [10])] {
            let found: Vec<u32> = kinds(text);
            assert_eq!(found[..1], expected, "{text}");
        }
    }

    #[test]
    fn outline_effects_have_numbers() {
        let does = |text| PageOutline::new(text).does;
        let texts = ["", "SELECT a FROM m", "SHOW USERS", "DROP USER a"];
        assert_eq!(texts.map(does), [0, 1, 2, 3]);
    }
}
