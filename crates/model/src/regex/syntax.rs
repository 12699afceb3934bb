//! Translates Go's regular expressions (`regexp/syntax`, Perl flags) into Rust's. The result
//! contains no construct that Go and Rust interpret differently.

use super::InvalidRegex;
use super::class;
use super::ranges::{self, Ranges};
use super::syntax_error::{InvalidSyntax, SyntaxErrorKind, invalid};
use crate::limits::{REGEX_PROPERTIES_MAX, REGEX_UNICODE_RANGES_MAX};

/// The maximum repeat count, and the maximum product of nested repeat counts.
const REPEAT_MAX: u64 = 1000;

#[derive(Clone, Copy, Default)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
}

/// A complete item, to which a repetition applies as a whole.
struct Atom {
    rust: String,
    repeats: u64,
    /// The number of ranges of non-ASCII characters. A range in a repetition counts once for each
    /// repeat.
    ranges: u64,
}

struct Group {
    /// Whether the group captures its text.
    captures: bool,
    /// The complete alternatives, each followed by its `|`.
    before: String,
    atoms: Vec<Atom>,
    repeats: u64,
    ranges: u64,
    flags: Flags,
}

impl Group {
    fn new(flags: Flags, captures: bool) -> Self {
        Self { captures, before: String::new(), atoms: vec![], repeats: 0, ranges: 0, flags }
    }

    fn end_alternative(&mut self) {
        for atom in self.atoms.drain(..) {
            self.before.push_str(&atom.rust);
            self.repeats = self.repeats.max(atom.repeats);
            self.ranges = self.ranges.saturating_add(atom.ranges);
        }
    }
}

struct Translator<'a> {
    source: &'a str,
    rest: &'a str,
    flags: Flags,
    outer: Vec<Group>,
    group: Group,
    repetition: Option<&'a str>,
    /// The names of the capturing groups. A group without a name has an empty name.
    captures: Vec<String>,
}

/// A regex in Rust's syntax.
pub(super) struct Translated {
    pub(super) rust: String,
    /// The names of the capturing groups. A group without a name has an empty name.
    pub(super) captures: Vec<String>,
}

/// Translates `source`. The limits on Unicode classes and ranges keep the result small and fast to
/// compile. Repetitions of ASCII characters have no limit here.
pub(super) fn translate(source: &str, limits_ranges: bool) -> Result<Translated, InvalidRegex> {
    if limits_ranges && properties(source) > REGEX_PROPERTIES_MAX {
        return Err(InvalidRegex::TooManyRanges);
    }
    let mut t = Translator {
        source,
        rest: source,
        flags: Flags::default(),
        outer: vec![],
        group: Group::new(Flags::default(), false),
        repetition: None,
        captures: vec![],
    };
    while let Some(c) = t.rest.chars().next() {
        t.step(c)?;
    }
    if !t.outer.is_empty() {
        return Err(invalid(SyntaxErrorKind::MissingParen, source).into());
    }
    t.group.end_alternative();
    if limits_ranges && t.group.ranges > REGEX_UNICODE_RANGES_MAX {
        return Err(InvalidRegex::TooManyRanges);
    }
    Ok(Translated { rust: t.group.before, captures: t.captures })
}

/// Returns the number of Unicode classes such as `\pL`.
fn properties(source: &str) -> usize {
    let (mut count, mut chars) = (0, source.chars());
    while let Some(c) = chars.next() {
        count += usize::from(c == '\\' && matches!(chars.next(), Some('p' | 'P')));
    }
    count
}

impl<'a> Translator<'a> {
    fn step(&mut self, c: char) -> Result<(), InvalidSyntax> {
        let repetition = self.repetition.take();
        match c {
            '(' if self.rest.starts_with("(?") => self.perl_group()?,
            '(' => {
                self.skip(1);
                self.open_capturing("");
            }
            ')' => self.close()?,
            '|' => {
                self.skip(1);
                self.group.end_alternative();
                self.group.before.push('|');
            }
            '^' => self.anchor(1, if self.flags.multi_line { "(?m:^)" } else { "^" }),
            '$' => self.anchor(1, if self.flags.multi_line { "(?m:$)" } else { "$" }),
            '.' => self.anchor(1, if self.flags.dot_newline { "(?s:.)" } else { "." }),
            '[' => {
                let (class, rest) = class::bracket(self.rest, self.flags.fold_case)?;
                self.rest = rest;
                self.push_class(class);
            }
            '*' | '+' | '?' => {
                let after = self.rest.get(1..).unwrap_or_default();
                self.repeat(c.to_string(), None, after, repetition)?;
            }
            '{' => match count(self.rest) {
                Some(count) => self.repeat_count(&count, repetition)?,
                None => self.literal(1, '{'),
            },
            '\\' => self.escape()?,
            c => self.literal(c.len_utf8(), c),
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn push(&mut self, rust: String) {
        self.group.atoms.push(Atom { rust, repeats: 0, ranges: 0 });
    }

    fn push_class(&mut self, mut class: Ranges) {
        class.join();
        let ranges = class.unicode_ranges();
        self.group.atoms.push(Atom { rust: class.into_rust(), repeats: 0, ranges });
    }

    fn push_single(&mut self, code: u32) {
        let mut class = class::single(code);
        match char::from_u32(code) {
            Some(c) if !self.flags.fold_case => {
                let mut rust = String::new();
                ranges::push_char(c, &mut rust);
                self.push(rust);
            }
            _ => {
                class.fold_case();
                self.push_class(class);
            }
        }
    }

    fn anchor(&mut self, bytes: usize, rust: &str) {
        self.skip(bytes);
        self.push(rust.to_owned());
    }

    fn literal(&mut self, bytes: usize, c: char) {
        self.skip(bytes);
        self.push_single(u32::from(c));
    }

    /// Opens a group whose text is captured. Rust's group has no name, because Go permits names
    /// that occur twice.
    fn open_capturing(&mut self, name: &str) {
        self.captures.push(name.to_owned());
        self.open(true);
    }

    fn open(&mut self, captures: bool) {
        let group = Group::new(self.flags, captures);
        self.outer.push(std::mem::replace(&mut self.group, group));
    }

    fn close(&mut self) -> Result<(), InvalidSyntax> {
        let Some(outer) = self.outer.pop() else {
            return Err(invalid(SyntaxErrorKind::UnexpectedParen, self.source));
        };
        self.skip(1);
        let mut inner = std::mem::replace(&mut self.group, outer);
        inner.end_alternative();
        self.flags = inner.flags;
        let rust = format!("({}{})", if inner.captures { "" } else { "?:" }, inner.before);
        self.group.atoms.push(Atom { rust, repeats: inner.repeats, ranges: inner.ranges });
        Ok(())
    }

    /// Parses `(?flags)`, `(?flags:` or `(?P<name>`.
    fn perl_group(&mut self) -> Result<(), InvalidSyntax> {
        let start = self.rest;
        // Later versions of Go also accept `(?<name>`.
        for prefix in ["(?P<", "(?<"] {
            let Some(after) = start.strip_prefix(prefix) else { continue };
            let Some((name, rest)) = after.split_once('>') else {
                return Err(invalid(SyntaxErrorKind::InvalidNamedCapture, start));
            };
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                let part = format!("{prefix}{name}>");
                return Err(invalid(SyntaxErrorKind::InvalidNamedCapture, &part));
            }
            self.rest = rest;
            self.open_capturing(name);
            return Ok(());
        }
        let mut rest = start.get(2..).unwrap_or_default().chars();
        let mut flags = self.flags;
        let (mut on, mut saw_flag) = (true, false);
        while let Some(c) = rest.next() {
            match c {
                'i' => flags.fold_case = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_newline = on,
                'U' => {}
                '-' if on => {
                    (on, saw_flag) = (false, false);
                    continue;
                }
                ':' | ')' if on || saw_flag => {
                    self.rest = rest.as_str();
                    if c == ':' {
                        self.open(false);
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
            saw_flag = true;
        }
        let part = start.get(..start.len() - rest.as_str().len()).unwrap_or(start);
        Err(invalid(SyntaxErrorKind::InvalidPerlOp, part))
    }

    /// Parses `{n}`, `{n,}` or `{n,m}`.
    fn repeat_count(
        &mut self,
        count: &Count<'a>,
        repetition: Option<&'a str>,
    ) -> Result<(), InvalidSyntax> {
        let in_order = count.max.is_none_or(|max| count.min <= max && max <= REPEAT_MAX);
        if count.min > REPEAT_MAX || !in_order {
            return Err(self.invalid_until(SyntaxErrorKind::InvalidRepeatSize, count.rest));
        }
        let rust = match count.max {
            Some(max) => format!("{{{},{max}}}", count.min),
            None => format!("{{{},}}", count.min),
        };
        self.repeat(rust, Some(count), count.rest, repetition)
    }

    fn repeat(
        &mut self,
        rust: String,
        count: Option<&Count<'a>>,
        after: &'a str,
        repetition: Option<&'a str>,
    ) -> Result<(), InvalidSyntax> {
        let start = self.rest;
        let after = after.strip_prefix('?').unwrap_or(after);
        if let Some(previous) = repetition {
            let part = previous.get(..previous.len() - after.len()).unwrap_or(previous);
            return Err(invalid(SyntaxErrorKind::InvalidRepeatOp, part));
        }
        let Some(atom) = self.group.atoms.last_mut() else {
            return Err(self.invalid_until(SyntaxErrorKind::MissingRepeatArgument, after));
        };
        if let Some(count) = count {
            // If there is no upper bound, the lower bound is used. `{0}` resets the product.
            let times = count.max.unwrap_or(count.min);
            atom.ranges = atom.ranges.saturating_mul(times.max(1));
            atom.repeats = match (times, count.max) {
                (0, Some(_)) => 0,
                (0, None) => atom.repeats,
                (times, _) => times.saturating_mul(atom.repeats.max(1)),
            };
            if times >= 2 && atom.repeats > REPEAT_MAX {
                return Err(self.invalid_until(SyntaxErrorKind::InvalidRepeatSize, after));
            }
        }
        // The group prevents Rust from combining repetitions, or a flag group with a repetition.
        atom.rust = format!("(?:{}){rust}", atom.rust);
        self.rest = after;
        self.repetition = Some(start);
        Ok(())
    }

    fn invalid_until(&self, kind: SyntaxErrorKind, after: &str) -> InvalidSyntax {
        let part = self.rest.get(..self.rest.len() - after.len()).unwrap_or(self.rest);
        invalid(kind, part)
    }

    fn escape(&mut self) -> Result<(), InvalidSyntax> {
        let mut after = self.rest.chars();
        after.next();
        match after.next() {
            Some('A') => self.anchor(2, r"\A"),
            Some('z') => self.anchor(2, r"\z"),
            Some('b') => self.anchor(2, r"(?-u:\b)"),
            Some('B') => self.anchor(2, r"(?-u:\B)"),
            Some('C') => return Err(invalid(SyntaxErrorKind::InvalidEscape, r"\C")),
            Some('Q') => {
                let quoted = after.as_str();
                let (quoted, rest) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
                for c in quoted.chars() {
                    self.literal(0, c);
                }
                self.rest = rest;
            }
            _ => {
                if let Some((class, rest)) = class::escaped(self.rest, self.flags.fold_case)? {
                    self.rest = rest;
                    self.push_class(class);
                    return Ok(());
                }
                let (c, rest) = class::escaped_char(self.rest)?;
                self.rest = rest;
                self.push_single(c);
            }
        }
        Ok(())
    }
}

struct Count<'a> {
    min: u64,
    max: Option<u64>,
    rest: &'a str,
}

/// Parses `{n}`, `{n,}` or `{n,m}`. Returns `None` if the brace is a literal character.
fn count(text: &str) -> Option<Count<'_>> {
    let (min, rest) = number(text.strip_prefix('{')?)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => number(rest).map(|(max, rest)| (Some(max), rest))?,
    };
    Some(Count { min, max, rest: rest.strip_prefix('}')? })
}

/// Parses digits without leading zeros. A number that exceeds u64 becomes `u64::MAX`.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    if number.is_empty() || (number.len() > 1 && number.starts_with('0')) {
        return None;
    }
    Some((number.parse().unwrap_or(u64::MAX), rest))
}
