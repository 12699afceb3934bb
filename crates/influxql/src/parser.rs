//! Supplies the parsers of statements with tokens.
//!
//! When 1.x looks for a regex, it reads the character after the last token that its scanner read,
//! even if that token was put back. This parser keeps a ring of tokens like 1.x (`scanner.go`,
//! `bufScanner`), so that error positions are equal.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use tidemark_model::configurable_limits::{Exceeded, Limit, Limits};
use tidemark_model::limits::{
    QUERY_DEPTH_MAX, REGEXES_COMPILED_BYTES_MAX, REGEXES_PER_QUERY_MAX, SOURCES_WRITTEN_MAX,
};

use super::bound_params::Params;
use super::error::{ParseError, Position};
use super::lexer::Lexer;
use super::token::{Keyword, Token, TokenKind};
use super::{duration, quote};
use tidemark_model::regex::Regex;

const RING: usize = 3;

const BLANK: Token<'static> = Token {
    kind: TokenKind::Illegal,
    position: Position { line: 0, char: 0 },
    text: Cow::Borrowed(""),
};

pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    params: &'a Params,
    pub(super) limits: Limits,
    ring: [Token<'a>; RING],
    last: usize,
    put_back: usize,
    depth: usize,
    regexes: BTreeMap<String, Regex>,
    /// The compiled size of all regexes, in bytes.
    regex_bytes: usize,
    /// The length of the text with the values of bound parameters, in bytes.
    text_bytes: usize,
    /// The error for a text that is too long with these values.
    pub(super) too_long: Option<Exceeded>,
    /// The number of sources of the current statement so far.
    pub(super) sources: usize,
    /// All tokens so far, including tokens that were put back, if the caller needs the tokens.
    pub(super) words: Option<Vec<(TokenKind, Range<usize>)>>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, params: &'a Params, limits: Limits) -> Self {
        Self {
            lexer: Lexer::new(text),
            params,
            limits,
            ring: [BLANK; RING],
            last: 0,
            put_back: 0,
            depth: 0,
            regexes: BTreeMap::new(),
            regex_bytes: 0,
            text_bytes: text.len(),
            too_long: None,
            sources: 0,
            words: None,
        }
    }

    /// Returns the next token, which may be a blank or a comment.
    pub(super) fn scan(&mut self) -> Token<'a> {
        self.scan_with(Lexer::scan)
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        loop {
            let token = self.scan();
            if !matches!(token.kind, TokenKind::Whitespace | TokenKind::Comment) {
                return token;
            }
        }
    }

    pub(super) fn unscan(&mut self) {
        self.put_back += 1;
    }

    /// Consumes the next token if it is of this kind. This function does not skip blanks.
    pub(super) fn scan_if(&mut self, kind: TokenKind) -> bool {
        let found = self.scan().kind == kind;
        if !found {
            self.unscan();
        }
        found
    }

    /// Consumes the next token if it is of this kind. This function skips blanks and comments.
    pub(super) fn next_if(&mut self, kind: TokenKind) -> bool {
        let found = self.next().kind == kind;
        if !found {
            self.unscan();
        }
        found
    }

    pub(super) fn keyword_if(&mut self, keyword: Keyword) -> bool {
        self.next_if(TokenKind::Keyword(keyword))
    }

    pub(super) fn peek_word(&mut self, word: &str) -> bool {
        let token = self.next();
        self.unscan();
        token.kind == TokenKind::Ident && token.text.eq_ignore_ascii_case(word)
    }

    /// Consumes the next token if it is the name `word`. `FUTURE` and `PAST` are names, because
    /// they are keywords only in 1.12.
    pub(super) fn word_if(&mut self, word: &str) -> bool {
        let found = self.peek_word(word);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn skip_blank(&mut self) {
        self.scan_if(TokenKind::Whitespace);
    }

    /// Returns the character after the last token that the lexer read, even if that token was put
    /// back.
    pub(super) fn peek_char(&mut self) -> char {
        self.lexer.peek()
    }

    pub(super) fn expect_keyword(&mut self, keyword: Keyword) -> Result<(), ParseError> {
        self.expect(TokenKind::Keyword(keyword), keyword.as_str()).map(|_| ())
    }

    pub(super) fn expect(&mut self, kind: TokenKind, name: &str) -> Result<Token<'a>, ParseError> {
        let token = self.next();
        if token.kind == kind { Ok(token) } else { Err(unexpected(&token, name)) }
    }

    /// Parses an item that follows `keyword`, or returns `None` if the keyword does not follow.
    pub(super) fn after<T>(
        &mut self,
        keyword: Keyword,
        item: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Option<T>, ParseError> {
        if self.keyword_if(keyword) { item(self).map(Some) } else { Ok(None) }
    }

    /// Parses one or more items that are separated by commas.
    pub(super) fn list<T>(
        &mut self,
        item: impl Fn(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let mut items = vec![item(self)?];
        while self.next_if(TokenKind::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub(super) fn ident(&mut self) -> Result<String, ParseError> {
        Ok(self.expect(TokenKind::Ident, "identifier")?.text.into_owned())
    }

    /// Parses at most three names joined by dots. Stops after a dot that precedes `/` or `:`.
    pub(super) fn segments(&mut self) -> Result<Vec<String>, ParseError> {
        let mut segments = vec![self.ident()?];
        while self.scan_if(TokenKind::Dot) {
            match self.peek_char() {
                '/' | ':' => break,
                '.' => segments.push(String::new()),
                _ => segments.push(self.ident()?),
            }
        }
        if segments.len() > 3 {
            return Err(ParseError::TooManySegments { path: quote::path(&segments) });
        }
        Ok(segments)
    }

    pub(super) fn string(&mut self) -> Result<String, ParseError> {
        Ok(self.expect(TokenKind::String, "string")?.text.into_owned())
    }

    pub(super) fn u64(&mut self) -> Result<u64, ParseError> {
        let token = self.expect(TokenKind::Integer, "integer")?;
        token.text.parse().map_err(|_| ParseError::IntegerRange {
            function: "ParseUint",
            text: token.text.into_owned(),
            position: token.position,
        })
    }

    pub(super) fn replication(&mut self) -> Result<u32, ParseError> {
        const MIN: i64 = 1;
        const MAX: i64 = i32::MAX as i64;
        let token = self.expect(TokenKind::Integer, "integer")?;
        let position = token.position;
        let value: i64 = token.text.parse().map_err(|_| ParseError::IntegerRange {
            function: "Atoi",
            text: token.text.into_owned(),
            position,
        })?;
        if !(MIN..=MAX).contains(&value) {
            return Err(ParseError::OutOfRange { value, min: MIN, max: MAX, position });
        }
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    }

    /// Parses a duration and returns nanoseconds, or 0 for `INF`.
    pub(super) fn duration_ns(&mut self) -> Result<i64, ParseError> {
        let token = self.next();
        match token.kind {
            TokenKind::Keyword(Keyword::Inf) => Ok(0),
            TokenKind::Duration => duration::parse(&token.text)
                .map_err(|error| ParseError::ClauseDuration { error, position: token.position }),
            _ => Err(unexpected(&token, "duration")),
        }
    }

    /// Parses a regex if one follows. As in 1.x, this function checks the next character, not the
    /// next token.
    pub(super) fn regex_if(&mut self) -> Result<Option<Regex>, ParseError> {
        if matches!(self.peek_char(), ' ' | '\t' | '\n') {
            self.skip_blank();
        }
        match self.peek_char() {
            '/' => {}
            '$' => {
                let kind = self.scan().kind;
                self.unscan();
                if kind != TokenKind::Regex {
                    return Ok(None);
                }
            }
            _ => return Ok(None),
        }
        let token = self.scan_with(Lexer::scan_regex);
        match token.kind {
            TokenKind::Regex => self.compile(&token).map(Some),
            TokenKind::BadRegex => Err(ParseError::BadRegex { position: token.position }),
            _ => Err(unexpected(&token, "regex")),
        }
    }

    pub(super) fn regex(&mut self) -> Result<Regex, ParseError> {
        match self.regex_if()? {
            Some(regex) => Ok(regex),
            None => Err(unexpected(&self.next(), "regex")),
        }
    }

    pub(super) fn compile(&mut self, token: &Token<'_>) -> Result<Regex, ParseError> {
        let position = token.position;
        if let Some(known) = self.regexes.get(token.text.as_ref()) {
            return Ok(known.clone());
        }
        if self.regexes.len() == REGEXES_PER_QUERY_MAX {
            return Err(ParseError::TooManyRegexes { position });
        }
        let (regex, compiled_bytes) =
            Regex::compiled(&token.text).map_err(|error| ParseError::Regex { error, position })?;
        self.regex_bytes += compiled_bytes;
        if self.regex_bytes > REGEXES_COMPILED_BYTES_MAX {
            return Err(ParseError::RegexesTooLarge { position });
        }
        self.regexes.insert(regex.as_str().to_owned(), regex.clone());
        Ok(regex)
    }

    pub(super) fn count_source(&mut self) -> Result<(), ParseError> {
        self.sources += 1;
        if self.sources <= SOURCES_WRITTEN_MAX {
            return Ok(());
        }
        let position = self.next().position;
        Err(ParseError::TooManySources { position })
    }

    /// Enters a level of nesting, or returns an error above the limit. A call of [`Self::leave`]
    /// must follow.
    pub(super) fn enter(&mut self, position: Position) -> Result<(), ParseError> {
        self.depth += 1;
        if self.depth > QUERY_DEPTH_MAX {
            return Err(ParseError::TooDeep { position });
        }
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    fn scan_with(&mut self, scan: impl Fn(&mut Lexer<'a>) -> Token<'a>) -> Token<'a> {
        if self.put_back > 0 {
            self.put_back -= 1;
        } else {
            self.last = (self.last + 1) % RING;
            let start = self.lexer.offset();
            let token = scan(&mut self.lexer);
            if let Some(words) = self.words.as_mut().filter(|_| token.kind != TokenKind::Eof) {
                words.push((token.kind, start..self.lexer.offset()));
            }
            self.count_bound(&token);
            self.ring[self.last] = token;
        }
        let index = (self.last + RING - self.put_back % RING) % RING;
        self.bind(self.ring[index].clone())
    }

    /// Adds the parameter's value to the length of the text. Each use of the parameter copies the
    /// value.
    fn count_bound(&mut self, token: &Token<'_>) {
        let Some((_, value)) = self.value(token) else { return };
        let before = self.text_bytes;
        self.text_bytes += value.len();
        let checked = self.limits.check(Limit::QueryTextBytes, before, self.text_bytes);
        self.too_long = self.too_long.take().or(checked.err());
    }

    fn value(&self, token: &Token<'_>) -> Option<&'a (TokenKind, String)> {
        let is_param = token.kind == TokenKind::BoundParam && self.too_long.is_none();
        self.params.token(token.text.strip_prefix('$').filter(|_| is_param)?)
    }

    /// Replaces `$name` with the parameter's value. The ring keeps the name.
    fn bind(&self, token: Token<'a>) -> Token<'a> {
        match self.value(&token) {
            Some((kind, text)) => {
                Token { kind: *kind, position: token.position, text: text.clone().into() }
            }
            None => token,
        }
    }
}

/// Creates the error for an unexpected token. `expected` lists the tokens that the grammar allows.
pub(super) fn unexpected(token: &Token<'_>, expected: &str) -> ParseError {
    let (found, expected) = (token.found(), expected.to_owned());
    ParseError::Unexpected { found, expected, position: token.position }
}
