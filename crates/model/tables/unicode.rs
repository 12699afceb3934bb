//! Packs the Unicode data of Go's regular expressions. `unicode.bin` contains the categories and
//! scripts, and `case_folds.bin` the characters that differ only in case.

use std::collections::BTreeMap;
use std::error::Error;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};
use unicode_script::UnicodeScript;

use crate::{directory, signed, unsigned};

/// The categories of Go. Go has no category for unassigned characters. No text contains `Cs`, the
/// surrogates.
const CATEGORIES: [&str; 37] = [
    "Any", "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn",
    "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm",
    "So", "Z", "Zl", "Zp", "Zs",
];

pub(crate) fn properties() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut all = Vec::new();
    for name in CATEGORIES {
        let members = match name {
            "Cs" => ClassUnicode::empty(),
            "C" => class(r"[\p{Cc}\p{Cf}\p{Co}]")?,
            name => class(&format!(r"\p{{{name}}}"))?,
        };
        all.push((name, ranges(&members)));
    }
    let mut scripts: BTreeMap<&str, Vec<ClassUnicodeRange>> = BTreeMap::new();
    for c in '\0'..=char::MAX {
        let of_script = scripts.entry(c.script().full_name()).or_default();
        of_script.push(ClassUnicodeRange::new(c, c));
    }
    scripts.remove("Unknown");
    for (name, of_script) in scripts {
        all.push((name, ranges(&ClassUnicode::new(of_script))));
    }
    directory(&all)
}

pub(crate) fn case_folds() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut out = Vec::new();
    let mut before = 0;
    // These categories contain every character that has a case.
    for range in class(r"[\p{L}\p{M}\p{N}\p{S}]")?.ranges() {
        for c in range.start()..=range.end() {
            let mut alike = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
            alike.try_case_fold_simple()?;
            let alike: Vec<char> =
                alike.iter().flat_map(|range| range.start()..=range.end()).collect();
            if alike.len() > 1 {
                let next = alike.iter().find(|&&other| other > c).or(alike.first());
                let next = u32::from(*next.ok_or("a character that is not like itself")?);
                unsigned(&mut out, u64::from(u32::from(c) - before));
                signed(&mut out, i64::from(next) - i64::from(u32::from(c)));
                before = u32::from(c);
            }
        }
    }
    Ok(out)
}

fn class(pattern: &str) -> Result<ClassUnicode, Box<dyn Error>> {
    match regex_syntax::parse(pattern)?.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Ok(class),
        HirKind::Literal(one) => {
            let one = str::from_utf8(&one.0)?.chars();
            Ok(ClassUnicode::new(one.map(|c| ClassUnicodeRange::new(c, c))))
        }
        other => Err(format!("{pattern} is {other:?}").into()),
    }
}

fn ranges(class: &ClassUnicode) -> Vec<u8> {
    let mut out = Vec::new();
    unsigned(&mut out, class.ranges().len() as u64);
    let mut before = 0;
    for range in class.ranges() {
        let (start, end) = (u32::from(range.start()), u32::from(range.end()));
        unsigned(&mut out, u64::from(start - before));
        unsigned(&mut out, u64::from(end - start));
        before = end;
    }
    out
}
