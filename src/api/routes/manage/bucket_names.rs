//! Shows policies as v2 clients see them: as buckets that are called `db` or `db/rp` and have ids.

use crate::coordinator::cache::find_policy;
use crate::coordinator::describe_databases::DescribedDatabase;
use crate::model::ids::PolicyId;
use crate::model::name;
use crate::model::shard_map::Policy;

/// A policy under a v2 client's names.
pub(super) struct Bucket<'a> {
    pub(super) database: &'a str,
    pub(super) policy: &'a Policy,
    /// It is its database's default policy.
    pub(super) default: bool,
    /// No other policy is in its database.
    pub(super) alone: bool,
}

impl Bucket<'_> {
    /// `db` for the default policy, else `db/rp`.
    pub(super) fn name(&self) -> String {
        match self.default {
            true => self.database.to_owned(),
            false => format!("{}/{}", self.database, self.policy.name),
        }
    }
}

/// Every policy, by database and in order of creation.
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

/// A policy's id as clients write it.
pub fn policy_id(text: &str) -> Option<PolicyId> {
    let hex = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| hex).map(PolicyId)
}

/// Database and policy of this id, among what was found.
pub fn policy_of(found: &[DescribedDatabase], id: PolicyId) -> Option<(String, String)> {
    let buckets = buckets_of(found);
    let bucket = buckets.iter().find(|bucket| bucket.policy.id == id)?;
    Some((bucket.database.to_owned(), bucket.policy.name.clone()))
}

/// Whether `bucket` is what a client calls `name`.
pub(super) fn is_called(bucket: &Bucket<'_>, found: &[DescribedDatabase], name: &str) -> bool {
    let (database, policy) = name::split_bucket(name);
    let of_name = found.iter().find(|(found, _)| found == database);
    let policy = of_name.and_then(|(_, description)| find_policy(description, policy));
    bucket.database == database && policy.is_some_and(|policy| policy.id == bucket.policy.id)
}
