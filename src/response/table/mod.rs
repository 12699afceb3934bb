//! Writes rows as one flat table, as the v3 routes answer.

mod format;

pub use format::{FormatError, TableFormat};
