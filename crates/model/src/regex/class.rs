//! Parses character classes (`[a-z]`, `\d`, `\p{Greek}`, `[[:alpha:]]`) and escaped characters
//! (`\n`, `\.`, `\x41`, `\x{1F600}`, `\101`).

use std::str::Chars;

use super::ranges::{self, Ranges};
use super::syntax_error::{InvalidSyntax, SyntaxErrorKind, invalid};

type Classed<'a> = (Ranges, &'a str);

/// Returns the class of one code point. A surrogate matches nothing, because text cannot contain
/// surrogates.
pub(super) fn single(code: u32) -> Ranges {
    Ranges::from([(code, code)])
}

pub(super) fn bracket(text: &str, fold_case: bool) -> Result<Classed<'_>, InvalidSyntax> {
    let mut rest = text.strip_prefix('[').unwrap_or(text);
    let negated = rest.starts_with('^');
    if negated {
        rest = rest.get(1..).unwrap_or_default();
    }
    let mut all = Ranges::default();
    let mut first = true;
    loop {
        if !first && let Some(after) = rest.strip_prefix(']') {
            if negated {
                all.negate();
            }
            return Ok((all, after));
        }
        first = false;
        let (member, after) = if let Some(found) = named(rest, fold_case)? {
            found
        } else if let Some(found) = escaped(rest, fold_case)? {
            found
        } else {
            let (range, after) = range(rest, text)?;
            (signed(range, fold_case, false), after)
        };
        all.add_all(&member);
        rest = after;
    }
}

/// Applies case folding and then negation to a class, in the same order as Go.
fn signed(mut class: Ranges, fold_case: bool, negated: bool) -> Ranges {
    if fold_case {
        class.fold_case();
    }
    if negated {
        class.negate();
    }
    class
}

fn range<'a>(text: &'a str, whole: &str) -> Result<Classed<'a>, InvalidSyntax> {
    let (low, mut rest) = member(text, whole)?;
    let mut high = low;
    if let Some(after) = rest.strip_prefix('-')
        && !after.is_empty()
        && !after.starts_with(']')
    {
        (high, rest) = member(after, whole)?;
        if high < low {
            let part = text.get(..text.len() - rest.len()).unwrap_or(text);
            return Err(invalid(SyntaxErrorKind::InvalidCharRange, part));
        }
    }
    Ok((Ranges::from([(low, high)]), rest))
}

fn member<'a>(text: &'a str, whole: &str) -> Result<(u32, &'a str), InvalidSyntax> {
    if text.starts_with('\\') {
        return escaped_char(text);
    }
    let mut rest = text.chars();
    match rest.next() {
        Some(c) => Ok((u32::from(c), rest.as_str())),
        None => Err(invalid(SyntaxErrorKind::MissingBracket, whole)),
    }
}

/// Parses `[:name:]` or `[:^name:]` inside brackets.
fn named(text: &str, fold_case: bool) -> Result<Option<Classed<'_>>, InvalidSyntax> {
    let Some((name, rest)) = text.strip_prefix("[:").and_then(|after| after.split_once(":]"))
    else {
        return Ok(None);
    };
    let (bare, negated) = name.strip_prefix('^').map_or((name, false), |bare| (bare, true));
    let members = match bare {
        "alnum" => "09AZaz",
        "alpha" => "AZaz",
        "ascii" => "\0\x7F",
        "blank" => "\t\t  ",
        "cntrl" => "\0\x1F\x7F\x7F",
        "digit" => "09",
        "graph" => "!~",
        "lower" => "az",
        "print" => " ~",
        "punct" => "!/:@[`{~",
        "space" => "\t\r  ",
        "upper" => "AZ",
        "word" => "09AZ__az",
        "xdigit" => "09AFaf",
        _ => {
            let part = format!("[:{name}:]");
            return Err(invalid(SyntaxErrorKind::InvalidCharRange, &part));
        }
    };
    Ok(Some((signed(pairs(members), fold_case, negated), rest)))
}

fn pairs(members: &str) -> Ranges {
    let mut class = Ranges::default();
    for pair in members.as_bytes().chunks(2) {
        if let &[low, high] = pair {
            class.add(u32::from(low), u32::from(high));
        }
    }
    class
}

/// Parses a class escape at the start of `text`, inside or outside brackets.
pub(super) fn escaped(text: &str, fold_case: bool) -> Result<Option<Classed<'_>>, InvalidSyntax> {
    let mut rest = text.chars();
    if rest.next() != Some('\\') {
        return Ok(None);
    }
    let Some(letter) = rest.next() else { return Ok(None) };
    let members = match letter.to_ascii_lowercase() {
        'd' => "09",
        's' => "\t\n\x0C\r  ",
        'w' => "09AZ__az",
        'p' => return property(text, fold_case, letter == 'P').map(Some),
        _ => return Ok(None),
    };
    Ok(Some((signed(pairs(members), fold_case, letter.is_ascii_uppercase()), rest.as_str())))
}

/// Parses `\pL`, `\p{Greek}` or `\P{^Greek}`.
fn property(text: &str, fold_case: bool, negated: bool) -> Result<Classed<'_>, InvalidSyntax> {
    let after = text.get(2..).unwrap_or_default();
    let (name, rest) = match after.strip_prefix('{') {
        Some(inside) => inside
            .split_once('}')
            .ok_or_else(|| invalid(SyntaxErrorKind::InvalidCharRange, text))?,
        None => {
            let mut rest = after.chars();
            rest.next();
            after.split_at(after.len() - rest.as_str().len())
        }
    };
    let (name, negated) = name.strip_prefix('^').map_or((name, negated), |name| (name, !negated));
    let Some(class) = ranges::property(name) else {
        let part = text.get(..text.len() - rest.len()).unwrap_or(text);
        return Err(invalid(SyntaxErrorKind::InvalidCharRange, part));
    };
    Ok((signed(class, fold_case, negated), rest))
}

/// Takes the next character if it is an octal digit.
fn octal(rest: &mut Chars<'_>) -> Option<u32> {
    let digit = rest.clone().next()?.to_digit(8)?;
    rest.next();
    Some(digit)
}

/// Parses an escaped character, and returns its code point and the rest of the text. The code point
/// may be a surrogate.
pub(super) fn escaped_char(text: &str) -> Result<(u32, &str), InvalidSyntax> {
    let mut rest = text.chars();
    rest.next();
    let Some(c) = rest.next() else {
        return Err(invalid(SyntaxErrorKind::TrailingBackslash, ""));
    };
    match value(c, &mut rest) {
        Some(value) => Ok((value, rest.as_str())),
        None => {
            let part = text.get(..text.len() - rest.as_str().len()).unwrap_or(text);
            Err(invalid(SyntaxErrorKind::InvalidEscape, part))
        }
    }
}

fn value(c: char, rest: &mut Chars<'_>) -> Option<u32> {
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
            let second = octal(rest);
            if c != '0' && second.is_none() {
                return None;
            }
            let two = second.map_or(first, |digit| first * 8 + digit);
            match second.and_then(|_| octal(rest)) {
                Some(third) => two * 8 + third,
                None => two,
            }
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => u32::from(c),
        _ => return None,
    })
}

fn hexadecimal(rest: &mut Chars<'_>) -> Option<u32> {
    let first = rest.next()?;
    if first != '{' {
        // Go's error contains both digits, so this code reads both before it checks them.
        let second = rest.next();
        return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
    }
    let (mut value, mut digits) = (0, 0);
    loop {
        match rest.next()? {
            '}' if digits > 0 => return Some(value),
            c => value = value * 16 + c.to_digit(16)?,
        }
        digits += 1;
        if value > u32::from(char::MAX) {
            return None;
        }
    }
}
