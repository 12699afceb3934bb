//! The part of the crate `zstd` that `arrow-ipc` uses, without the C library: every operation
//! returns an error. DataFusion enables `zstd` for spill files, and this crate never spills.

use std::ops::RangeInclusive;

/// The only type that `arrow-ipc` uses from this crate.
pub mod zstd_safe {
    /// The compression level, as in the library.
    pub type CompressionLevel = i32;
}

/// Returns the range of supported levels, which is empty.
#[must_use]
pub fn compression_level_range() -> RangeInclusive<zstd_safe::CompressionLevel> {
    RangeInclusive::new(1, 0)
}

/// Compression and decompression of whole buffers.
pub mod bulk {
    use std::io;
    use std::marker::PhantomData;

    /// A compressor that always returns an error.
    pub struct Compressor<'a>(PhantomData<&'a ()>);

    /// A decompressor that always returns an error.
    pub struct Decompressor<'a>(PhantomData<&'a ()>);

    impl Compressor<'static> {
        /// Creates the value, because the callers expect success.
        ///
        /// # Errors
        /// Returns no error.
        pub fn new(_level: i32) -> io::Result<Self> {
            Ok(Self(PhantomData))
        }
    }

    impl Compressor<'_> {
        /// Returns an error.
        ///
        /// # Errors
        /// Always [`io::ErrorKind::Unsupported`].
        pub fn compress(&mut self, _bytes: &[u8]) -> io::Result<Vec<u8>> {
            Err(absent())
        }
    }

    impl Decompressor<'static> {
        /// Creates the value, because the callers expect success.
        ///
        /// # Errors
        /// Returns no error.
        pub fn new() -> io::Result<Self> {
            Ok(Self(PhantomData))
        }
    }

    impl Decompressor<'_> {
        /// Returns an error.
        ///
        /// # Errors
        /// Always [`io::ErrorKind::Unsupported`].
        pub fn decompress(&mut self, _bytes: &[u8], _bytes_max: usize) -> io::Result<Vec<u8>> {
            Err(absent())
        }
    }

    fn absent() -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, "this build has no zstd")
    }
}
