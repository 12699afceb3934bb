//! The release of this build, which objects report to operators.

/// Returns the version in `Cargo.toml`. `black_box` keeps the string unchanged in the binary, so
/// that a test of upgrades can replace its bytes.
pub fn current() -> String {
    std::hint::black_box(env!("CARGO_PKG_VERSION")).to_owned()
}
