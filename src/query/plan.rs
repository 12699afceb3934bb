//! What a SELECT comes to: scans for the shards, and what to make of their answers.

use super::source::SourceName;
use crate::scan::request::ScanRequest;

/// A statement ready to be executed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to ask. Every shard that the policy has inside `request.time` is to be asked.
    pub scans: Vec<PlannedScan>,
}

/// One measurement of one policy, to be scanned on each of its shards.
#[derive(Clone, Debug)]
pub struct PlannedScan {
    /// Whose shards to ask.
    pub source: SourceName,
    /// The measurement's name.
    pub measurement: String,
    /// What to ask, without a resume key.
    pub request: ScanRequest,
}
