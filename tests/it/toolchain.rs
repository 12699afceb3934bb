//! Compares the declared version of the compiler with the version that the tests use.

use crate::repository::text;

#[test]
fn declared_compiler_matches_toolchain() {
    let value = |file: &str, key: &str| {
        let text = text(file);
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("{file}: {key}")).trim_matches([' ', '=', '"']).to_owned()
    };
    let declared = value("Cargo.toml", "rust-version =");
    let tried = value("rust-toolchain.toml", "channel");
    assert!(tried.starts_with(&format!("{declared}.")), "{declared} and {tried}");
}
