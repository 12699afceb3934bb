//! The data model: ids, names, schemas, series, policies, permissions and limits, without I/O.

pub mod bug;
pub mod grant;
pub mod ids;
pub mod configurable_limits;
pub mod limits;
pub mod name;
pub mod packed;
pub mod prometheus;
pub mod quota;
pub mod regex;
pub mod schema;
pub mod series;
pub mod series_sketch;
pub mod shard_map;
pub mod time;
pub mod value;
pub mod zone;
