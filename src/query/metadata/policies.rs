//! Executes SHOW RETENTION POLICIES.

use std::rc::Rc;

use crate::influxql::duration;
use crate::model::shard_map::Policy;
use crate::query::result::{Column, ResultColumn, SeriesChunk, Values};

/// Returns the result of SHOW RETENTION POLICIES, with `policies` in the given order. `default` is
/// the default policy's name.
pub fn show_retention_policies(policies: &[Policy], default: &str) -> SeriesChunk {
    let columns = ["name", "duration", "shardGroupDuration", "replicaN", "default"];
    let texts = |text: &dyn Fn(&Policy) -> String| {
        let texts: Vec<String> = policies.iter().map(text).collect();
        Values::String(texts.iter().map(String::as_str).collect())
    };
    let values = [
        texts(&|policy| policy.name.clone()),
        texts(&|policy| duration::format_go(policy.duration_ns)),
        texts(&|policy| duration::format_go(policy.shard_group_duration_ns)),
        Values::Integer(policies.iter().map(|policy| policy.replica_n.into()).collect()),
        Values::Boolean(policies.iter().map(|policy| policy.name == default).collect()),
    ];
    SeriesChunk {
        name: None,
        tags: Rc::from([]),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        values: values.map(|v| ResultColumn::Values(Column::full(v))).into(),
        rows: policies.len(),
        partial: false,
        zone: Rc::from([]),
    }
}
