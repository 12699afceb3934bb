//! Bound parameters: the JSON object of `params=` to tokens.

/// The values of `$name` in a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {}
