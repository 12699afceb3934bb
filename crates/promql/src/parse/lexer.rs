//! Splits a query into tokens.

use std::fmt;

use super::SyntaxError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    /// A name or a keyword. Names of metrics may contain colons.
    Word,
    Number,
    Duration,
    /// A quoted text with its quotes.
    Text,
    /// One of the operators and delimiters in [`SYMBOLS`].
    Symbol,
}

/// Operators and delimiters. A symbol precedes each symbol that is a prefix of it.
const SYMBOLS: [&str; 23] = [
    "==", "=~", "!=", "!~", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "^", "@", "(", ")",
    "{", "}", "[", "]", ",",
];

#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// The position in the query, in bytes.
    pub(super) start: usize,
}

/// Keywords that are not names, in lower case.
const KEYWORDS: [&str; 14] = [
    "offset",
    "smoothed",
    "anchored",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "start",
    "end",
    "step",
    "range",
];
const OPERATOR_WORDS: [&str; 4] = ["and", "or", "unless", "atan2"];
pub(super) const AGGREGATORS: [&str; 14] = [
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "count_values",
    "quantile",
    "limitk",
    "limit_ratio",
];

impl Token<'_> {
    pub(super) fn is(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    /// Whether the token is the keyword, in upper or lower case.
    pub(super) fn is_keyword(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    fn is_one_of(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_keyword(word))
    }

    pub(super) fn is_aggregator(&self) -> bool {
        self.is_one_of(&AGGREGATORS)
    }

    /// Whether the token cannot be the name of a metric.
    pub(super) fn is_reserved(&self) -> bool {
        self.is_one_of(&["bool", "on", "ignoring", "group_left", "group_right", "atan2"])
    }
}

/// Prints the token as in the messages of Prometheus.
impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text;
        match self.kind {
            Kind::End => f.write_str("end of input"),
            Kind::Word if self.is_one_of(&KEYWORDS) => write!(f, "<{text}>"),
            Kind::Word if self.is_one_of(&OPERATOR_WORDS) => write!(f, "<op:{text}>"),
            Kind::Word if self.is_aggregator() => write!(f, "<aggr:{text}>"),
            Kind::Word if text.contains(':') => write!(f, "metric identifier \"{text}\""),
            Kind::Word => write!(f, "identifier {}", Shortened(text)),
            Kind::Number => write!(f, "number {}", Shortened(text)),
            Kind::Duration => write!(f, "duration {}", Shortened(text)),
            Kind::Text => write!(f, "string {}", Shortened(text)),
            Kind::Symbol if "(){}[],=".contains(text) => write!(f, "\"{text}\""),
            Kind::Symbol => write!(f, "<op:{text}>"),
        }
    }
}

struct Shortened<'a>(&'a str);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| super::super::format::quote(text);
        match self.0.char_indices().nth(10) {
            Some((end, _)) => write!(f, "{}...", quoted(self.0.get(..end).unwrap_or_default())),
            None => f.write_str(&quoted(self.0)),
        }
    }
}

/// Splits `query`. The last token has the kind [`Kind::End`].
pub(super) fn tokens(query: &str) -> Result<Vec<Token<'_>>, SyntaxError> {
    let mut lexer = Lexer { query, at: 0, parens: 0, in_braces: false, in_brackets: false };
    let mut tokens = vec![];
    loop {
        let token = lexer.next()?;
        tokens.push(token);
        if token.kind == Kind::End {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    query: &'a str,
    at: usize,
    parens: usize,
    in_braces: bool,
    in_brackets: bool,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.query.get(self.at..).unwrap_or_default()
    }

    fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError { start: self.at, message: message.into() }
    }

    fn skip_blanks(&mut self) {
        loop {
            self.at =
                self.query.len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
            if !self.rest().starts_with('#') {
                return;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    /// Returns a token of the next `len` bytes.
    fn take(&mut self, kind: Kind, len: usize) -> Token<'a> {
        let text = self.rest().get(..len).unwrap_or_default();
        let token = Token { kind, text, start: self.at };
        self.at += len;
        token
    }

    fn next(&mut self) -> Result<Token<'a>, SyntaxError> {
        self.skip_blanks();
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return self.end();
        };
        let is_word =
            |c: char| c.is_ascii_alphanumeric() || c == '_' || (c == ':' && !self.in_braces);
        match first {
            '"' | '\'' | '`' => {
                let len = self.text_len(first)?;
                return Ok(self.take(Kind::Text, len));
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let word = rest.get(..len).unwrap_or_default();
                let is_number = ["inf", "nan"].iter().any(|name| word.eq_ignore_ascii_case(name));
                let kind = if is_number && !self.in_braces { Kind::Number } else { Kind::Word };
                return Ok(self.take(kind, len));
            }
            ':' if !self.in_braces && !self.in_brackets => {
                let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                return Ok(self.take(Kind::Word, len));
            }
            ':' if self.in_brackets => return Ok(self.take(Kind::Symbol, 1)),
            _ if starts_number(rest) => {
                let (kind, len) = self.number_or_duration()?;
                return Ok(self.take(kind, len));
            }
            _ => {}
        }
        let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) else {
            let place = if self.in_braces { " inside braces" } else { "" };
            let (message, after) = match (first, rest.chars().nth(1)) {
                ('!', Some(next)) if !self.in_braces => ("unexpected character after '!'", next),
                _ => ("unexpected character", first),
            };
            return Err(self.error(format!("{message}{place}: '{after}'")));
        };
        self.nest(symbol)?;
        Ok(self.take(Kind::Symbol, symbol.len()))
    }

    fn end(&mut self) -> Result<Token<'a>, SyntaxError> {
        if self.in_braces {
            return Err(self.error("unexpected end of input inside braces"));
        }
        if self.parens > 0 {
            return Err(self.error("unclosed left parenthesis"));
        }
        if self.in_brackets {
            return Err(self.error("unclosed left bracket"));
        }
        Ok(self.take(Kind::End, 0))
    }

    /// Checks that brackets match.
    fn nest(&mut self, symbol: &str) -> Result<(), SyntaxError> {
        let state = match symbol {
            "(" => {
                self.parens += 1;
                return Ok(());
            }
            ")" => {
                let left = self.parens.checked_sub(1);
                self.parens = left.ok_or_else(|| self.error("unexpected right parenthesis ')'"))?;
                return Ok(());
            }
            "{" | "}" => &mut self.in_braces,
            "[" | "]" => &mut self.in_brackets,
            _ => return Ok(()),
        };
        let opens = matches!(symbol, "{" | "[");
        if *state == opens {
            let side = if opens { "left" } else { "right" };
            let name = if matches!(symbol, "{" | "}") { "brace" } else { "bracket" };
            return Err(self.error(format!("unexpected {side} {name} '{symbol}'")));
        }
        *state = opens;
        Ok(())
    }

    /// Returns the length of a quoted text, which includes the quotes.
    fn text_len(&self, mark: char) -> Result<usize, SyntaxError> {
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' if mark != '`' => {
                    chars.next();
                }
                '\n' if mark != '`' => break,
                _ if c == mark => return Ok(at + 1),
                _ => {}
            }
        }
        let name =
            if mark == '`' { "unterminated raw string" } else { "unterminated quoted string" };
        Err(self.error(name))
    }

    fn number_or_duration(&self) -> Result<(Kind, usize), SyntaxError> {
        let rest = self.rest();
        let number = number_len(rest);
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
        let word = word.unwrap_or(rest.len()).max(number);
        if word == number {
            return Ok((Kind::Number, number));
        }
        let is_alphanumeric = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let word = rest.find(|c| !is_alphanumeric(c)).unwrap_or(rest.len()).max(number);
        let text = rest.get(..word).unwrap_or_default();
        if text.contains(['y', 'w', 'd', 'h', 'm', 's']) && !text.starts_with("0x") {
            return Ok((Kind::Duration, word));
        }
        let shown = super::super::format::quote(text);
        Err(self.error(format!("bad number or duration syntax: {shown}")))
    }
}

fn starts_number(text: &str) -> bool {
    let mut bytes = text.bytes();
    match bytes.next() {
        Some(b'.') => bytes.next().is_some_and(|next| next.is_ascii_digit()),
        first => first.is_some_and(|first| first.is_ascii_digit()),
    }
}

/// Returns the length of the decimal or hexadecimal number at the start of `text`.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |mut at: usize, is_hex: bool| {
        let is_digit =
            |c: &u8| *c == b'_' || if is_hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        while bytes.get(at).is_some_and(is_digit) {
            at += 1;
        }
        at
    };
    let is_hex = text.starts_with("0x") || text.starts_with("0X");
    let mut at = digits(if is_hex { 2 } else { 0 }, is_hex);
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1, is_hex);
    }
    let exponent = if is_hex { [b'p', b'P'] } else { [b'e', b'E'] };
    if bytes.get(at).is_some_and(|c| exponent.contains(c)) {
        let signed = at + 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let end = digits(signed, false);
        if end > signed {
            at = end;
        }
    }
    at
}
