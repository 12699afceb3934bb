//! Packs data tables when the crate is built, because the source crates are much larger.

mod packed;
mod unicode;
mod zones;

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
