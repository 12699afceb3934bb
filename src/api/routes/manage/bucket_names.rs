//! Presents policies to v2 clients as buckets, which are named `db` or `db/rp` and have ids.

use crate::coordinator::cache::find_policy;
use crate::coordinator::database_lists::DescribedDatabase;
use crate::model::ids::PolicyId;
use crate::model::name;
use crate::model::shard_map::Policy;

pub(super) struct Bucket<'a> {
    pub(super) database: &'a str,
    pub(super) policy: &'a Policy,
    pub(super) default: bool,
    /// Whether the policy is the only policy of its database.
    pub(super) alone: bool,
}

impl Bucket<'_> {
    /// Returns `db` for the default policy, and `db/rp` for any other policy.
    pub(super) fn name(&self) -> String {
        match self.default {
            true => self.database.to_owned(),
            false => format!("{}/{}", self.database, self.policy.name),
        }
    }
}

/// Returns every policy by database, in order of creation.
pub(super) fn buckets_of(found: &[DescribedDatabase]) -> Vec<Bucket<'_>> {
    let mut buckets = Vec::new();
    for (database, description) in found {
        for policy in &description.policies {
            buckets.push(Bucket {
                database,
                policy,
                default: description.default_policy == Some(policy.id),
                alone: description.policies.len() == 1,
            });
        }
    }
    buckets
}

/// Parses a policy id of 16 lower-case hex digits.
pub fn policy_id(text: &str) -> Option<PolicyId> {
    let hex = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| hex).map(PolicyId)
}

/// Returns the database and policy with this id.
pub fn policy_of(found: &[DescribedDatabase], id: PolicyId) -> Option<(String, String)> {
    let buckets = buckets_of(found);
    let bucket = buckets.iter().find(|bucket| bucket.policy.id == id)?;
    Some((bucket.database.to_owned(), bucket.policy.name.clone()))
}

pub(super) fn has_name(bucket: &Bucket<'_>, found: &[DescribedDatabase], name: &str) -> bool {
    let (database, policy) = name::split_bucket(name);
    let of_name = found.iter().find(|(found, _)| found == database);
    let policy = of_name.and_then(|(_, description)| find_policy(description, policy));
    bucket.database == database && policy.is_some_and(|policy| policy.id == bucket.policy.id)
}
