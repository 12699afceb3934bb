//! PromQL with the semantics of Prometheus 3: parsing, the samples that a query needs, and
//! evaluation. The caller reads the samples of each selector and passes them to [`evaluate()`].
//!
//! Out of scope: storage, HTTP, native histograms and the experimental parts of PromQL.
//!
//! The crate has its own parser. The crate `promql-parser` panics on queries like `up offset 1e30`,
//! overflows the stack on long chains of operators, and compiles regexes with another syntax than
//! RE2.

mod labels;
mod sample;
mod error;
mod limits;
mod matcher;
mod expr;
mod function;
mod parse;
mod format;
mod query;
mod selector;
mod pause;
mod row;
mod evaluate;
mod functions;
mod date;
mod label_functions;
mod over_time;
mod histogram;
mod quantile;
mod aggregate;
mod binary;
mod sum;

pub use error::Error;
pub use evaluate::evaluate;
pub use format::format_float;
pub use labels::Labels;
pub use limits::Limits;
pub use matcher::{MatchOp, Matcher};
pub use pause::Pause;
pub use query::{Query, Range};
pub use sample::{STALE_BITS, Sample, Series, Value, is_stale};
pub use selector::Selector;

#[cfg(test)]
mod tests;
