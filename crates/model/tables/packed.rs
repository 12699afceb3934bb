//! Writes the common form of all tables, which `model::packed` reads and documents.

use std::collections::BTreeMap;
use std::error::Error;

pub(crate) fn directory(entries: &[(&str, Vec<u8>)]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut names = Vec::new();
    let mut all = Vec::new();
    let mut known: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (name, bytes) in entries {
        let at = *known.entry(bytes).or_insert_with(|| {
            let at = all.len();
            all.extend_from_slice(bytes);
            at
        });
        unsigned(&mut names, u64::try_from(name.len())?);
        names.extend_from_slice(name.as_bytes());
        unsigned(&mut names, u64::try_from(at)?);
    }
    unsigned(&mut names, 0);
    names.extend_from_slice(&all);
    Ok(names)
}

pub(crate) fn signed(out: &mut Vec<u8>, value: i64) {
    unsigned(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

pub(crate) fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        out.extend((value | 0x80).to_le_bytes().first());
        value >>= 7;
    }
    out.extend(value.to_le_bytes().first());
}
