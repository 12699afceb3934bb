//! Packs data tables when the crate is built, because the source crates are much larger. All tables
//! have the form that `model::packed` reads and documents.

mod unicode;
mod zones;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=tables");
    let folder = std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(Path::new(&folder).join(name), bytes);
    write("zones.bin", zones::pack()?)?;
    write("unicode.bin", unicode::properties()?)?;
    write("case_folds.bin", unicode::case_folds()?)?;
    Ok(())
}

fn directory(entries: &[(&str, Vec<u8>)]) -> Result<Vec<u8>, Box<dyn Error>> {
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

fn signed(out: &mut Vec<u8>, value: i64) {
    unsigned(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        out.extend((value | 0x80).to_le_bytes().first());
        value >>= 7;
    }
    out.extend(value.to_le_bytes().first());
}
