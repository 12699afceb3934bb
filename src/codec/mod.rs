//! Slices to bytes and back. Each codec is one file; none knows what its values mean.
