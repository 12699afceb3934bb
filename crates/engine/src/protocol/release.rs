//! The release of this build, by which an operator can see the objects that still run an older
//! release.

/// Returns the version in `Cargo.toml`. `black_box` keeps the string unchanged in the binary, so
/// that a test of upgrades can replace its bytes.
pub fn current() -> String {
    std::hint::black_box(env!("CARGO_PKG_VERSION")).to_owned()
}
