//! Formats tokens in the JSON of the management API, without their secrets.

use serde_json::{Value, json};

use crate::influxql::time_literal::format_utc;
use crate::model::time::D_NS;
use crate::protocol::catalog::LastUse;
use crate::protocol::grants::{Grantee, GranteeKey};

pub(super) fn described(row: &Grantee, used: &[LastUse]) -> Value {
    let permissions = row.grants.permissions.iter().map(|permission| {
        let database = permission.database.as_deref().unwrap_or("*");
        let policy = permission.policy.as_ref().map(|policy| format!("/{policy}"));
        let rights = [
            ("read", permission.read),
            ("write", permission.write),
            ("metrics", permission.metrics),
        ];
        let actions = rights.iter().filter(|(_, held)| *held).map(|(name, _)| Value::from(*name));
        json!({
            "resource_type": "db",
            "resource_identifier": [format!("{database}{}", policy.unwrap_or_default())],
            "actions": actions.collect::<Vec<_>>(),
        })
    });
    json!({
        "id": row.id,
        "name": row.name,
        "permissions": permissions.collect::<Vec<_>>(),
        "created_at": format_utc(row.created_ns),
        "expiry": expiry(row.expires_ns),
        "last_used": day(used.iter().map(|last| last.day).max()),
        "secrets": row.keys().filter_map(|key| secret(row, &key, used)).collect::<Vec<_>>(),
    })
}

fn secret(row: &Grantee, key: &GranteeKey, used: &[LastUse]) -> Option<Value> {
    let found = row.found_by(key)?;
    let earlier = row.earlier.as_ref().filter(|old| old.hash == key.text);
    let since_ns = earlier.map_or(row.secret_since_ns(), |old| old.since_ns);
    Some(json!({
        "hash": key.text,
        "created_at": format_utc(since_ns),
        "expiry": expiry(found.expires_ns),
        "last_used": day(used.iter().find(|last| last.hash == key.text).map(|last| last.day)),
    }))
}

/// Formats a day, such as `2026-11-22`.
fn day(day: Option<u32>) -> Value {
    let text = day.map(|day| format_utc(i64::from(day).saturating_mul(D_NS)));
    text.and_then(|text| Some(Value::from(text.get(..10)?))).unwrap_or_default()
}

/// Formats an expiry time; null means never.
pub(super) fn expiry(expires_ns: i64) -> Value {
    if expires_ns == i64::MAX { Value::Null } else { format_utc(expires_ns).into() }
}
