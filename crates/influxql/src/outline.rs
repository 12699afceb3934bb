//! Describes the tokens of a text and the effects of its statements for an editor. After a syntax
//! error, the lexer alone supplies the tokens.

use std::ops::Range;

use super::ast::Effect;
use super::bound_params::Params;
use super::lexer::Lexer;
use super::token::TokenKind;
use super::{parser, statements};
use tidemark_model::configurable_limits::Limits;

/// The tokens and statements of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// All tokens with their byte ranges, ascending, including blanks and comments.
    pub words: Vec<(TokenKind, Range<usize>)>,
    /// The byte range and effect of each statement, without effects if the text does not parse.
    pub statements: Vec<(Range<usize>, Option<Effect>)>,
}

impl Outline {
    /// Parses `text` with the default limits.
    pub fn new(text: &str) -> Self {
        let params = Params::default();
        let Ok(mut parser) = parser(text, &params, Limits::default()) else {
            return Self::default();
        };
        parser.words = Some(Vec::new());
        let parsed = statements(&mut parser);
        let mut words = parser.words.unwrap_or_default();
        let read = words.last().map_or(0, |(_, place)| place.end);
        words.extend(rest(text, read));
        let effects =
            parsed.map_or_else(|_| Vec::new(), |all| all.iter().map(Effect::new).collect());
        let statements = places(&words).into_iter().enumerate();
        let statements = statements.map(|(at, place)| (place, effects.get(at).copied())).collect();
        Self { words, statements }
    }

    /// Returns the strongest effect of all statements, or `None` if the text has no statement or
    /// does not parse.
    pub fn effect(&self) -> Option<Effect> {
        let effects: Option<Vec<Effect>> = self.statements.iter().map(|(_, does)| *does).collect();
        effects?.into_iter().max()
    }
}

/// Returns the tokens of the text after the byte offset `from`, where the parser stopped.
fn rest(text: &str, from: usize) -> Vec<(TokenKind, Range<usize>)> {
    let mut lexer = Lexer::new(text.get(from..).unwrap_or_default());
    let mut words = Vec::new();
    loop {
        let start = from + lexer.offset();
        let token = lexer.scan();
        if token.kind == TokenKind::Eof {
            return words;
        }
        words.push((token.kind, start..from + lexer.offset()));
    }
}

fn places(words: &[(TokenKind, Range<usize>)]) -> Vec<Range<usize>> {
    let parts = words.split(|(kind, _)| *kind == TokenKind::Semicolon);
    let blank = |kind: &TokenKind| matches!(kind, TokenKind::Whitespace | TokenKind::Comment);
    let trimmed = parts.filter_map(|part| {
        let mut words = part.iter().filter(|(kind, _)| !blank(kind)).map(|(_, place)| place);
        let first = words.next()?;
        let last = words.next_back().unwrap_or(first);
        Some(first.start..last.end)
    });
    trimmed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let outline = Outline::new(text);
        let mut end = 0;
        for (_, place) in &outline.words {
            assert_eq!(place.start, end, "a gap in {text}");
            end = place.end;
        }
        let words = outline.words.iter().filter(|(kind, _)| *kind != TokenKind::Whitespace);
        words
            .map(|(kind, place)| match kind {
                TokenKind::Keyword(_) => format!("Keyword {}", &text[place.clone()]),
                TokenKind::Operator(operator) => format!("{operator:?} {}", &text[place.clone()]),
                kind => format!("{kind:?} {}", &text[place.clone()]),
            })
            .collect()
    }

    fn does(text: &str) -> Option<Effect> {
        Outline::new(text).effect()
    }

    #[test]
    fn outline_distinguishes_division_regex_and_comment() {
        assert_eq!(
            words("SELECT a/2 FROM /b;c/ -- d"),
            [
                "Keyword SELECT",
                "Ident a",
                "Div /",
                "Integer 2",
                "Keyword FROM",
                "Regex /b;c/",
                "Comment -- d"
            ]
        );
        assert_eq!(
            words("x /b/ 'ü'"),
            ["Ident x", "Div /", "Ident b", "Div /", "String 'ü'"],
            "behind an error"
        );
        assert_eq!(words("SELECT a FROM m WHERE b =~ /c").last().unwrap(), "BadRegex /c");
        assert_eq!(
            words("SELECT $a, 1.5, 1h"),
            ["Keyword SELECT", "BoundParam $a", "Comma ,", "Number 1.5", "Comma ,", "Duration 1h"]
        );
    }

    #[test]
    fn outline_locates_statements_and_effects() {
        let text = " SELECT ';' FROM m ; -- ; \r\n ;SHOW TAG KEYS /* x */ ";
        let outline = Outline::new(text);
        let found: Vec<_> =
            outline.statements.iter().map(|(place, does)| (&text[place.clone()], *does)).collect();
        assert_eq!(
            found,
            [("SELECT ';' FROM m", Some(Effect::Selects)), ("SHOW TAG KEYS", Some(Effect::Reads))]
        );
        assert_eq!(outline.effect(), Some(Effect::Reads));
    }

    #[test]
    fn outline_reports_strongest_effect() {
        assert_eq!(does("SELECT a FROM m; SELECT b FROM m"), Some(Effect::Selects));
        assert_eq!(does("SELECT a FROM m; DELETE FROM m"), Some(Effect::Writes));
        for nothing in ["", " ; ", "SELECT", "SELECT a FROM m; x", &" ".repeat(100_000)] {
            assert_eq!(does(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn outline_agrees_with_parser_on_boundaries() {
        assert_eq!(does("SHOW DATABASES --\r;CREATE DATABASE evil1"), Some(Effect::Writes));
        assert_eq!(does("SELECT v*1./2 FROM m;CREATE DATABASE evil2 --/"), Some(Effect::Writes));
    }
}
