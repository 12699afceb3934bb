//! What `arrow-ipc` names of the crate `zstd`, without the C library behind it: whatever is asked
//! for is an error. DataFusion switches it on for files that it spills to; here nothing spills.

use std::ops::RangeInclusive;

/// The one type that is named through this crate.
pub mod zstd_safe {
    /// As in the library.
    pub type CompressionLevel = i32;
}

/// No level is taken.
#[must_use]
pub fn compression_level_range() -> RangeInclusive<zstd_safe::CompressionLevel> {
    1..=0
}

/// Whole buffers.
pub mod bulk {
    use std::io;
    use std::marker::PhantomData;

    /// Compresses nothing.
    pub struct Compressor<'a>(PhantomData<&'a ()>);

    /// Decompresses nothing.
    pub struct Decompressor<'a>(PhantomData<&'a ()>);

    impl Compressor<'static> {
        /// There is one, since its maker expects it.
        ///
        /// # Errors
        /// None.
        pub fn new(_level: i32) -> io::Result<Self> {
            Ok(Self(PhantomData))
        }
    }

    impl Compressor<'_> {
        /// # Errors
        /// Always.
        pub fn compress(&mut self, _bytes: &[u8]) -> io::Result<Vec<u8>> {
            Err(absent())
        }
    }

    impl Decompressor<'static> {
        /// There is one, since its maker expects it.
        ///
        /// # Errors
        /// None.
        pub fn new() -> io::Result<Self> {
            Ok(Self(PhantomData))
        }
    }

    impl Decompressor<'_> {
        /// # Errors
        /// Always.
        pub fn decompress(&mut self, _bytes: &[u8], _bytes_max: usize) -> io::Result<Vec<u8>> {
            Err(absent())
        }
    }

    fn absent() -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, "this build has no zstd")
    }
}
