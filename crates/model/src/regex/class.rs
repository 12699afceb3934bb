//! Parses character classes: `[a-z]`, `\d`, `\p{Greek}`, `[[:alpha:]]`.

use super::escape::{self, Rest};
use super::ranges::Ranges;
use super::syntax::{InvalidSyntax, SyntaxErrorKind, invalid};
use super::unicode;

type Classed<'a> = (Ranges, &'a str);

/// A surrogate matches nothing, because text cannot contain it.
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
        let (member, after) = match named(rest, fold_case)? {
            Some(found) => found,
            None => match escaped(rest, fold_case)? {
                Some(found) => found,
                None => {
                    let (range, after) = range(rest, text)?;
                    (signed(range, fold_case, false), after)
                }
            },
        };
        all.add_all(&member);
        rest = after;
    }
}

/// Go also applies case folding before negation.
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
        return escape::char(text);
    }
    let mut rest = Rest(text);
    match rest.char() {
        Some(c) => Ok((u32::from(c), rest.0)),
        None => Err(invalid(SyntaxErrorKind::MissingBracket, whole)),
    }
}

/// Parses `[:name:]` or `[:^name:]` inside brackets.
fn named(text: &str, fold_case: bool) -> Result<Option<Classed<'_>>, InvalidSyntax> {
    let Some((name, rest)) = text.strip_prefix("[:").and_then(|after| after.split_once(":]"))
    else {
        return Ok(None);
    };
    let (bare, negated) = match name.strip_prefix('^') {
        Some(bare) => (bare, true),
        None => (name, false),
    };
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
    let mut rest = Rest(text);
    if rest.char() != Some('\\') {
        return Ok(None);
    }
    let Some(letter) = rest.char() else { return Ok(None) };
    let members = match letter.to_ascii_lowercase() {
        'd' => "09",
        's' => "\t\n\x0C\r  ",
        'w' => "09AZ__az",
        'p' => return property(text, fold_case, letter == 'P').map(Some),
        _ => return Ok(None),
    };
    Ok(Some((signed(pairs(members), fold_case, letter.is_ascii_uppercase()), rest.0)))
}

/// Parses `\pL`, `\p{Greek}` or `\P{^Greek}`.
fn property(text: &str, fold_case: bool, negated: bool) -> Result<Classed<'_>, InvalidSyntax> {
    let after = text.get(2..).unwrap_or_default();
    let (name, part, rest) = if after.starts_with('{') {
        let Some(end) = after.find('}') else {
            return Err(invalid(SyntaxErrorKind::InvalidCharRange, text));
        };
        let (inside, rest) = after.split_at(end);
        let part = text.get(..2 + end + 1).unwrap_or(text);
        (inside.strip_prefix('{').unwrap_or(inside), part, rest.strip_prefix('}').unwrap_or(rest))
    } else {
        let mut rest = Rest(after);
        rest.char();
        let name = after.get(..after.len() - rest.0.len()).unwrap_or_default();
        (name, text.get(..2 + name.len()).unwrap_or(text), rest.0)
    };
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, !negated),
        None => (name, negated),
    };
    let Some(class) = unicode::property(name) else {
        return Err(invalid(SyntaxErrorKind::InvalidCharRange, part));
    };
    Ok((signed(class, fold_case, negated), rest))
}
