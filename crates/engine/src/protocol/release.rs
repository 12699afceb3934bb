//! Names the release of this build. Objects report the release, so that an operator can see which
//! objects still run an older release.

/// Returns the version in `Cargo.toml`.
///
/// `black_box` keeps the string unchanged in the binary. A test of upgrades replaces these bytes in
/// a build to create another release.
pub fn current() -> String {
    std::hint::black_box(env!("CARGO_PKG_VERSION")).to_owned()
}
