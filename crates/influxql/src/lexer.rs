//! Splits a text into the tokens of 1.x's `scanner.go`. A `/` can be a division or the start of a
//! regex, so the parser calls [`Lexer::scan_regex`] for a regex.
//!
//! The lexer reads, puts back and counts characters like 1.x, so that the positions in errors are
//! equal.

use std::borrow::Cow;

use super::error::Position;
use super::operator::BinaryOp;
use super::token::{Keyword, Token, TokenKind, is_ident_char, is_letter};

/// The character that stands for the end of the text. As in 1.x, a NUL character also ends the
/// text. The parser rejects texts with this character.
const EOF: char = '\0';

const RING: usize = 3;

#[derive(Clone, Copy, Default)]
struct ReadCharacter {
    char: char,
    position: Position,
    end: usize,
}

/// A lexer, which splits a text into tokens. `\r\n` and `\r` count as `\n`.
pub struct Lexer<'a> {
    text: &'a str,
    /// The byte offset of the first unread character.
    offset: usize,
    ring: [ReadCharacter; RING],
    last: usize,
    put_back: usize,
    next: Position,
    at_end: bool,
}

fn is_whitespace(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n')
}

fn is_unit_char(c: char) -> bool {
    is_letter(c) || c == 'µ'
}

impl<'a> Lexer<'a> {
    /// Creates a lexer at the start of `text`.
    pub fn new(text: &'a str) -> Self {
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

    /// Returns the next token. Whitespace and comments are also tokens.
    pub fn scan(&mut self) -> Token<'a> {
        let (first, position) = self.read();
        if is_whitespace(first) {
            return self.whitespace();
        } else if is_letter(first) || first == '_' || first == '"' {
            self.unread();
            return self.ident(true);
        } else if first.is_ascii_digit() {
            return self.number();
        }
        match first {
            '\'' => self.string(),
            '.' => {
                let (next, _) = self.read();
                self.unread();
                if next.is_ascii_digit() { self.number() } else { plain(TokenKind::Dot, position) }
            }
            '$' => self.bound_param(position),
            '-' if self.follows('-') => {
                while !matches!(self.read().0, '\n' | EOF) {}
                plain(TokenKind::Comment, position)
            }
            '/' if self.follows('*') => {
                let closed = self.skip_block_comment();
                let kind = if closed { TokenKind::Comment } else { TokenKind::Illegal };
                plain(kind, position)
            }
            _ => match self.operator(first) {
                Some(kind) => plain(kind, position),
                None => {
                    let text = Cow::Owned(first.to_string());
                    Token { kind: TokenKind::Illegal, position, text }
                }
            },
        }
    }

    /// Reads the next token, which must start with `/`, as a regex.
    pub fn scan_regex(&mut self) -> Token<'a> {
        let (_, position) = self.current();
        let bad = plain(TokenKind::BadRegex, position);
        if self.read().0 != '/' {
            return bad;
        }
        let mut text = String::new();
        loop {
            match self.read().0 {
                '/' => return Token { kind: TokenKind::Regex, position, text: Cow::Owned(text) },
                EOF | '\n' => return bad,
                '\\' => match self.read().0 {
                    '/' => text.push('/'),
                    EOF => return bad,
                    _ => {
                        self.unread();
                        text.push('\\');
                    }
                },
                other => text.push(other),
            }
        }
    }

    fn read(&mut self) -> (char, Position) {
        if self.put_back > 0 {
            self.put_back -= 1;
            return self.current();
        }
        let char = self.advance();
        self.last = (self.last + 1) % RING;
        let entry = ReadCharacter { char, position: self.next, end: self.offset };
        self.ring[self.last] = entry;
        if char == '\n' {
            self.next = Position { line: self.next.line + 1, char: 0 };
        } else if !self.at_end {
            self.next.char += 1;
        }
        self.at_end |= char == EOF;
        (char, entry.position)
    }

    fn unread(&mut self) {
        self.put_back += 1;
    }

    fn current(&self) -> (char, Position) {
        let entry = self.entry();
        (entry.char, entry.position)
    }

    /// Returns the next character without consuming it. [`EOF`] is the exception, because 1.x's
    /// error positions depend on it.
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

    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    fn entry(&self) -> ReadCharacter {
        self.ring[(self.last + RING - self.put_back % RING) % RING]
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

    fn follows(&mut self, wanted: char) -> bool {
        let found = self.read().0 == wanted;
        if !found {
            self.unread();
        }
        found
    }

    fn operator(&mut self, first: char) -> Option<TokenKind> {
        Some(match first {
            EOF => TokenKind::Eof,
            '+' => TokenKind::Operator(BinaryOp::Add),
            '-' => TokenKind::Operator(BinaryOp::Sub),
            '*' => TokenKind::Operator(BinaryOp::Mul),
            '/' => TokenKind::Operator(BinaryOp::Div),
            '%' => TokenKind::Operator(BinaryOp::Mod),
            '&' => TokenKind::Operator(BinaryOp::BitwiseAnd),
            '|' => TokenKind::Operator(BinaryOp::BitwiseOr),
            '^' => TokenKind::Operator(BinaryOp::BitwiseXor),
            '=' if self.follows('~') => TokenKind::Operator(BinaryOp::EqRegex),
            '=' => TokenKind::Operator(BinaryOp::Eq),
            '!' if self.follows('=') => TokenKind::Operator(BinaryOp::Ne),
            '!' if self.follows('~') => TokenKind::Operator(BinaryOp::NeRegex),
            '>' if self.follows('=') => TokenKind::Operator(BinaryOp::Ge),
            '>' => TokenKind::Operator(BinaryOp::Gt),
            '<' if self.follows('=') => TokenKind::Operator(BinaryOp::Le),
            '<' if self.follows('>') => TokenKind::Operator(BinaryOp::Ne),
            '<' => TokenKind::Operator(BinaryOp::Lt),
            '(' => TokenKind::LeftParen,
            ')' => TokenKind::RightParen,
            ',' => TokenKind::Comma,
            ';' => TokenKind::Semicolon,
            ':' if self.follows(':') => TokenKind::DoubleColon,
            ':' => TokenKind::Colon,
            _ => return None,
        })
    }

    fn whitespace(&mut self) -> Token<'a> {
        let (_, position) = self.current();
        self.unread();
        let start = self.offset();
        let end = loop {
            match self.read().0 {
                EOF => break self.offset(),
                c if is_whitespace(c) => {}
                _ => {
                    self.unread();
                    break self.offset();
                }
            }
        };
        let text = self.slice(start, end);
        let text = match text.contains('\r') {
            true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
            false => Cow::Borrowed(text),
        };
        Token { kind: TokenKind::Whitespace, position, text }
    }

    fn skip_block_comment(&mut self) -> bool {
        let mut star = false;
        loop {
            match self.read().0 {
                EOF => return false,
                '/' if star => return true,
                c => star = c == '*',
            }
        }
    }

    fn ident(&mut self, keywords: bool) -> Token<'a> {
        let (_, position) = self.read();
        self.unread();
        let start = self.offset();
        let mut end = start;
        loop {
            match self.read().0 {
                EOF => break,
                '"' => {
                    let token = self.string();
                    // As in 1.x, the bare characters before the quote are lost.
                    return match token.kind {
                        TokenKind::String => Token { kind: TokenKind::Ident, position, ..token },
                        _ => token,
                    };
                }
                c if is_ident_char(c) => end = self.offset(),
                _ => {
                    self.unread();
                    break;
                }
            }
        }
        let text = self.slice(start, end);
        match Keyword::lookup(text) {
            Some(keyword) if keywords => plain(TokenKind::Keyword(keyword), position),
            _ => Token { kind: TokenKind::Ident, position, text: Cow::Borrowed(text) },
        }
    }

    fn bound_param(&mut self, position: Position) -> Token<'a> {
        let name = self.ident(false);
        let kind = match name.kind {
            TokenKind::Ident => TokenKind::BoundParam,
            bad => bad,
        };
        Token { kind, position, text: Cow::Owned(format!("${}", name.text)) }
    }

    fn string(&mut self) -> Token<'a> {
        self.unread();
        let (_, mut position) = self.current();
        let (quote, _) = self.read();
        let mut text = String::new();
        let kind = loop {
            match self.read().0 {
                c if c == quote => break TokenKind::String,
                EOF | '\n' => break TokenKind::BadString,
                '\\' => match self.read().0 {
                    'n' => text.push('\n'),
                    c @ ('\\' | '"' | '\'') => text.push(c),
                    c => {
                        (_, position) = self.current();
                        text = format!("\\{c}");
                        break TokenKind::BadEscape;
                    }
                },
                c => text.push(c),
            }
        };
        Token { kind, position, text: Cow::Owned(text) }
    }

    fn number(&mut self) -> Token<'a> {
        let (_, position) = self.current();
        self.unread();
        let start = self.offset();
        self.skip_while(|c| c.is_ascii_digit());
        let mut end = self.offset();
        let kind = if self.follows('.') {
            // The point of `100.` belongs to the number, but the token's text omits it.
            if self.read().0.is_ascii_digit() {
                self.skip_while(|c| c.is_ascii_digit());
                end = self.offset();
            } else {
                self.unread();
            }
            TokenKind::Number
        } else if is_unit_char(self.read().0) {
            self.skip_while(|c| is_unit_char(c) || c.is_ascii_digit());
            end = self.offset();
            TokenKind::Duration
        } else {
            self.unread();
            TokenKind::Integer
        };
        let text = self.slice(start, end);
        Token { kind, position, text: Cow::Borrowed(text) }
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while wanted(self.read().0) {}
        self.unread();
    }
}

fn plain(kind: TokenKind, position: Position) -> Token<'static> {
    Token { kind, position, text: Cow::Borrowed("") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<String> {
        let mut lexer = Lexer::new(text);
        let mut all = vec![];
        loop {
            let token = lexer.scan();
            if token.kind == TokenKind::Eof {
                return all;
            }
            let kind = match token.kind {
                TokenKind::Operator(operator) => format!("{operator:?}"),
                kind => format!("{kind:?}"),
            };
            all.push(format!("{kind}@{} {}", token.position.char, token.text));
        }
    }

    #[test]
    fn lexer_reads_numbers_and_durations() {
        assert_eq!(tokens("10.3s"), ["Number@0 10.3", "Ident@4 s"]);
        assert_eq!(tokens("1.a"), ["Number@0 1", "Ident@2 a"]);
        assert_eq!(tokens("..5"), ["Dot@0 ", "Number@1 .5"]);
        assert_eq!(tokens("1h30µs2"), ["Duration@0 1h30µs2"]);
        assert_eq!(tokens("1_"), ["Integer@0 1", "Ident@1 _"]);
        assert_eq!(tokens("a.1"), ["Ident@0 a", "Number@1 .1"]);
    }

    #[test]
    fn lexer_reads_two_character_operators() {
        let kinds = ["Ge@0 ", "Le@2 ", "Ne@4 ", "Ne@6 ", "EqRegex@8 ", "NeRegex@10 "];
        assert_eq!(tokens(">=<=<>!==~!~"), kinds);
        assert_eq!(tokens("! ="), ["Illegal@0 !", "Whitespace@1  ", "Eq@2 "]);
        assert_eq!(tokens(":::"), ["DoubleColon@0 ", "Colon@2 "]);
    }

    #[test]
    fn lexer_finds_ends_of_comments() {
        assert_eq!(tokens("--a\nb"), ["Comment@0 ", "Ident@0 b"]);
        assert_eq!(tokens("/*a***/b"), ["Comment@0 ", "Ident@7 b"]);
        assert_eq!(tokens("/*/b"), ["Illegal@0 "]);
        assert_eq!(tokens("- -"), ["Sub@0 ", "Whitespace@1  ", "Sub@2 "]);
    }

    #[test]
    fn lexer_unescapes_quoted_text() {
        assert_eq!(tokens("a 'b\\'\\n'"), ["Ident@0 a", "Whitespace@1  ", "String@1 b'\n"]);
        assert_eq!(tokens("a \"b\\\"\""), ["Ident@0 a", "Whitespace@1  ", "Ident@2 b\""]);
        assert_eq!(tokens("'a\nb"), ["BadString@0 a", "Ident@0 b"]);
        assert_eq!(tokens("'a\\qb"), ["BadEscape@3 \\q", "Ident@4 b"]);
        assert_eq!(tokens("ab\"cd\""), ["Ident@0 cd"]);
        assert_eq!(
            tokens("$\"a b\"$c$"),
            ["BoundParam@0 $a b", "BoundParam@6 $c", "BoundParam@8 $"]
        );
    }

    #[test]
    fn unknown_characters_are_illegal_tokens() {
        assert_eq!(tokens("é#\u{1F600}"), ["Illegal@0 é", "Illegal@1 #", "Illegal@2 \u{1F600}"]);
        assert_eq!(tokens("a\0b"), ["Ident@0 a"]);
    }

    #[test]
    fn regexes_unescape_only_slashes() {
        let regex = |text| {
            let token = Lexer::new(text).scan_regex();
            (token.kind, token.text.into_owned())
        };
        assert_eq!(regex("/a\\/b\\.c\\\\d/"), (TokenKind::Regex, "a/b\\.c\\\\d".to_owned()));
        assert_eq!(regex("//"), (TokenKind::Regex, String::new()));
        for bad in ["/a", "/a\n/", "/a\\", "a/"] {
            assert_eq!(regex(bad), (TokenKind::BadRegex, String::new()), "{bad}");
        }
    }

    fn position(line: u32, char: u32) -> Position {
        Position { line, char }
    }

    #[test]
    fn reader_counts_crlf_and_end_once() {
        let mut reader = Lexer::new("a\r\nb\rc");
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
}
