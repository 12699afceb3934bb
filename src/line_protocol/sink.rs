//! Says what takes the parsed lines has to be able to do.

use super::Cause;

/// The key of the field whose value is being handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKey<'a> {
    /// The one that [`Sink::expected_field`] just named.
    Expected,
    /// Any other, as written: not empty, escapes still in it.
    Raw(&'a str),
}

/// Takes lines piece by piece: the series, its fields, then [`Sink::commit`] or [`Sink::rollback`].
///
/// The two `expected_` methods are guesses that save the parser from looking for the end of a key
/// and the sink from looking it up. An empty guess is none; a wrong one costs a comparison.
pub trait Sink {
    /// The series key, as written, with which the next line may start.
    fn expected_series(&self) -> &[u8];

    /// The line belongs to the expected series.
    fn begin_expected(&mut self);

    /// The line belongs to the series of this key as written.
    ///
    /// # Errors
    /// The [`Cause`], and how many bytes into the key it lies.
    fn begin(&mut self, raw_key: &str) -> Result<(), (usize, Cause)>;

    /// The field key, as written and with its `=`, that may come next.
    fn expected_field(&self) -> &[u8];

    /// A float value.
    ///
    /// # Errors
    /// The [`Cause`] why the line cannot have it (so for all types).
    fn float(&mut self, key: FieldKey<'_>, value: f64) -> Result<(), Cause>;

    /// A signed integer value.
    fn integer(&mut self, key: FieldKey<'_>, value: i64) -> Result<(), Cause>;

    /// An unsigned integer value.
    fn unsigned(&mut self, key: FieldKey<'_>, value: u64) -> Result<(), Cause>;

    /// A boolean value.
    fn boolean(&mut self, key: FieldKey<'_>, value: bool) -> Result<(), Cause>;

    /// A string value without its quotes; escapes are in it iff `escaped`.
    fn string(&mut self, key: FieldKey<'_>, raw: &str, escaped: bool) -> Result<(), Cause>;

    /// The line is whole: one point at `time_ns`, from the physical line `line`.
    ///
    /// # Errors
    /// The [`Cause`] why it is refused after all; the parser then rolls back.
    fn commit(&mut self, time_ns: i64, line: u32) -> Result<(), Cause>;

    /// Forget what was handed over since the last commit or rollback.
    fn rollback(&mut self);
}
