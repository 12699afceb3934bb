//! Character classes: `[a-z]`, `\d`, `\p{Greek}`, `[[:alpha:]]`.

use super::escape::{self, Rest};
use super::syntax::{InvalidSyntax, SyntaxErrorKind, invalid};

/// A class that matches nothing.
const NOTHING: &str = "[a&&b]";

/// A class and the source after it.
type Classed<'a> = (String, &'a str);

/// The code point alone. One that no text can hold, a surrogate, matches nothing.
pub(super) fn single(code: u32) -> String {
    match char::from_u32(code) {
        Some(_) => format!("\\x{{{code:X}}}"),
        None => NOTHING.to_owned(),
    }
}

/// The bracketed class that `text` begins with.
///
/// # Errors
/// What Go refuses.
pub(super) fn bracket(text: &str) -> Result<Classed<'_>, InvalidSyntax> {
    let mut rest = text.strip_prefix('[').unwrap_or(text);
    let mut out = String::from("[");
    if let Some(after) = rest.strip_prefix('^') {
        rest = after;
        out.push('^');
    }
    let mut first = true;
    loop {
        // A closing bracket right at the start is a member.
        if !first && let Some(after) = rest.strip_prefix(']') {
            out.push(']');
            return Ok((out, after));
        }
        first = false;
        let (member, after) = match named(rest)? {
            Some(found) => found,
            None => match escaped(rest)? {
                Some(found) => found,
                None => range(rest, text)?,
            },
        };
        out.push_str(&member);
        rest = after;
    }
}

/// `x` or `x-y`.
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
    Ok((code_range(low, high), rest))
}

/// One character of a bracketed class.
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

/// Rust's spelling of a range, without the surrogates at its ends.
fn code_range(low: u32, high: u32) -> String {
    const SURROGATES: std::ops::RangeInclusive<u32> = 0xD800..=0xDFFF;
    let low = if SURROGATES.contains(&low) { SURROGATES.end() + 1 } else { low };
    let high = if SURROGATES.contains(&high) { SURROGATES.start() - 1 } else { high };
    if low > high { NOTHING.to_owned() } else { format!("\\x{{{low:X}}}-\\x{{{high:X}}}") }
}

/// `[:name:]` or `[:^name:]` inside of brackets.
fn named(text: &str) -> Result<Option<Classed<'_>>, InvalidSyntax> {
    let Some((name, rest)) = text.strip_prefix("[:").and_then(|after| after.split_once(":]"))
    else {
        return Ok(None);
    };
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        let part = format!("[:{name}:]");
        return Err(invalid(SyntaxErrorKind::InvalidCharRange, &part));
    }
    // Rust has the same names for the same characters, inside brackets of their own.
    Ok(Some((format!("[[:{name}:]]"), rest)))
}

/// The class escape that `text` begins with, if it does; fit for inside and outside of brackets.
///
/// # Errors
/// An unknown name after `\p`.
pub(super) fn escaped(text: &str) -> Result<Option<Classed<'_>>, InvalidSyntax> {
    let mut rest = Rest(text);
    if rest.char() != Some('\\') {
        return Ok(None);
    }
    let class = match rest.char() {
        Some('d') => "[0-9]",
        Some('D') => "[^0-9]",
        Some('s') => r"[\t\n\f\r\x20]",
        Some('S') => r"[^\t\n\f\r\x20]",
        Some('w') => "[0-9A-Za-z_]",
        Some('W') => "[^0-9A-Za-z_]",
        Some('p') => return property(text, false).map(Some),
        Some('P') => return property(text, true).map(Some),
        _ => return Ok(None),
    };
    Ok(Some((class.to_owned(), rest.0)))
}

/// `\pL`, `\p{Greek}`, `\P{^Greek}`.
fn property(text: &str, negated: bool) -> Result<Classed<'_>, InvalidSyntax> {
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
    let letter = if negated { 'P' } else { 'p' };
    let class = format!("\\{letter}{{{name}}}");
    if !is_property(name) || regex::Regex::new(&class).is_err() {
        return Err(invalid(SyntaxErrorKind::InvalidCharRange, part));
    }
    Ok((class, rest))
}

/// Whether Go could know this name: it tells upper from lower case and knows no long names of
/// categories, no `=`, and no blanks.
fn is_property(name: &str) -> bool {
    const CATEGORIES: [&str; 37] = [
        "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N",
        "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm",
        "So", "Z", "Zl", "Zp", "Zs", "Any",
    ];
    // Scripts have at least three letters and begin with a capital: Han, Greek, Old_Italic.
    let script = name.len() > 2
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    CATEGORIES.contains(&name) || (script && !is_long_category(name))
}

/// Rust's long names of categories that would pass for a script.
fn is_long_category(name: &str) -> bool {
    const LONG: [&str; 38] = [
        "Other",
        "Control",
        "Format",
        "Private_Use",
        "Surrogate",
        "Unassigned",
        "Letter",
        "Cased_Letter",
        "Lowercase_Letter",
        "Modifier_Letter",
        "Other_Letter",
        "Titlecase_Letter",
        "Uppercase_Letter",
        "Mark",
        "Spacing_Mark",
        "Enclosing_Mark",
        "Nonspacing_Mark",
        "Number",
        "Decimal_Number",
        "Letter_Number",
        "Other_Number",
        "Punctuation",
        "Connector_Punctuation",
        "Dash_Punctuation",
        "Close_Punctuation",
        "Final_Punctuation",
        "Initial_Punctuation",
        "Other_Punctuation",
        "Open_Punctuation",
        "Symbol",
        "Currency_Symbol",
        "Modifier_Symbol",
        "Math_Symbol",
        "Other_Symbol",
        "Separator",
        "Line_Separator",
        "Paragraph_Separator",
        "Space_Separator",
    ];
    LONG.contains(&name) || ["ASCII", "Assigned"].contains(&name)
}
