//! Checks retention policy statements in the order of 1.x. The sources are
//! `services/meta/client.go`, `data.go` and replies of 1.6.7.

use serde::{Deserialize, Serialize};

use super::schema::Schema;
use tidemark_engine::protocol::database::{PolicyChange, PolicyRefusal, PolicySpec};
use tidemark_model::ids::PolicyId;
use tidemark_model::limits::{POLICIES_PER_DATABASE_MAX, POLICY_DURATION_MIN_NS};
use tidemark_model::shard_map::{Policy, shard_group_duration_ns};

/// The name of a new database's policy if the request names no policy.
const DEFAULT_NAME: &str = "autogen";

#[derive(Clone, Debug, Default)]
pub(super) struct Policies {
    /// The policies, in order of creation.
    pub rows: Vec<PolicyRow>,
}

#[derive(Clone, Debug)]
pub(super) struct PolicyRow {
    /// The key in the `entry` table. The row keys of the policy's measurements start at `number <<
    /// 32`.
    pub number: u64,
    pub policy: Policy,
    pub schema: Schema,
}

/// The complete and checked settings of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub name: String,
    /// The duration in nanoseconds. 0 keeps points permanently.
    pub duration_ns: i64,
    /// The replication factor, which only SHOW uses.
    pub replica_n: u32,
    /// The shard group duration in nanoseconds, at least an hour.
    pub shard_group_duration_ns: i64,
    /// FUTURE LIMIT in nanoseconds, or 0 for no limit.
    #[serde(default)]
    pub future_limit_ns: i64,
    /// PAST LIMIT in nanoseconds, or 0 for no limit.
    #[serde(default)]
    pub past_limit_ns: i64,
}

impl Policies {
    pub(super) fn named(&self, name: &str) -> Option<&PolicyRow> {
        self.rows.iter().find(|row| row.policy.name == name)
    }

    pub(super) fn by_id(&self, id: PolicyId) -> Option<&PolicyRow> {
        self.rows.iter().find(|row| row.policy.id == id)
    }

    /// Returns the policy whose row has this key.
    pub(super) fn numbered(&self, number: u64) -> Option<&PolicyRow> {
        self.rows.iter().find(|row| row.number == number)
    }

    pub(super) fn numbered_mut(&mut self, number: u64) -> Option<&mut PolicyRow> {
        self.rows.iter_mut().find(|row| row.number == number)
    }

    /// Checks CREATE DATABASE … WITH for an existing database with this default policy.
    ///
    /// # Errors
    /// [`PolicyRefusal`] unless the default policy has the requested settings.
    pub(super) fn check_repeat(
        &self,
        spec: &PolicySpec,
        default: Option<PolicyId>,
    ) -> Result<(), PolicyRefusal> {
        // In 1.x, a contradiction to the existing policy is reported before most other faults.
        if let Err(refusal @ PolicyRefusal::DurationTooLow) = spec.check() {
            return Err(refusal);
        }
        let name = spec.name.as_deref().unwrap_or(DEFAULT_NAME);
        let existing = self.named(name).ok_or(PolicyRefusal::Conflict)?;
        let policy = &existing.policy;
        // 1.x always compares the shard duration, but compares the other settings only if the
        // statement contains them.
        let same = spec.duration_ns.is_none_or(|duration_ns| duration_ns == policy.duration_ns)
            && spec.replica_n.is_none_or(|replica_n| replica_n == policy.replica_n)
            && spec.future_limit_ns.is_none_or(|limit_ns| limit_ns == policy.future_limit_ns)
            && spec.past_limit_ns.is_none_or(|limit_ns| limit_ns == policy.past_limit_ns)
            && shard_group_duration_ns(spec.shard_group_duration_ns, policy.duration_ns)
                == policy.shard_group_duration_ns;
        if !same || default != Some(policy.id) {
            return Err(PolicyRefusal::Conflict);
        }
        Ok(())
    }

    /// Checks CREATE RETENTION POLICY. Returns `None` if the policy already has these settings.
    /// `default` is the current default policy.
    pub(super) fn check_create(
        &self,
        spec: &PolicySpec,
        make_default: bool,
        default: Option<PolicyId>,
    ) -> Result<Option<Settings>, PolicyRefusal> {
        let settings = settings(spec)?;
        if let Some(PolicyRow { policy, .. }) = self.named(&settings.name) {
            if settings != settings_of(policy) {
                return Err(PolicyRefusal::Exists);
            }
            if make_default && default != Some(policy.id) {
                return Err(PolicyRefusal::Conflict);
            }
            return Ok(None);
        }
        let (limit, current) = (POLICIES_PER_DATABASE_MAX as u64, self.rows.len() as u64);
        if current >= limit {
            return Err(PolicyRefusal::TooMany { limit, current, requested: current + 1 });
        }
        Ok(Some(settings))
    }

    /// Checks ALTER RETENTION POLICY. Returns `None` if the policy already has these settings.
    /// `default` is the current default policy.
    pub(super) fn check_alter(
        &self,
        change: &PolicyChange,
        make_default: bool,
        default: Option<PolicyId>,
    ) -> Result<Option<Settings>, PolicyRefusal> {
        let not_found = || PolicyRefusal::NotFound(change.name.clone());
        let policy = &self.named(&change.name).ok_or_else(not_found)?.policy;
        if change.duration_ns.is_some_and(|ns| ns != 0 && ns < POLICY_DURATION_MIN_NS) {
            return Err(PolicyRefusal::DurationTooLow);
        }
        // 1.x compares the new settings with the unchanged settings before it rounds the shard
        // duration.
        let duration_ns = change.duration_ns.unwrap_or(policy.duration_ns);
        let shard_ns = change.shard_group_duration_ns.unwrap_or(policy.shard_group_duration_ns);
        let changes = change.duration_ns.is_some() || change.shard_group_duration_ns.is_some();
        if changes && duration_ns > 0 && duration_ns < shard_ns {
            return Err(PolicyRefusal::IncompatibleDurations);
        }
        let settings = Settings {
            name: policy.name.clone(),
            duration_ns,
            replica_n: change.replica_n.unwrap_or(policy.replica_n),
            shard_group_duration_ns: match change.shard_group_duration_ns {
                Some(shard_ns) => shard_group_duration_ns(shard_ns, duration_ns),
                None => policy.shard_group_duration_ns,
            },
            future_limit_ns: change.future_limit_ns.unwrap_or(policy.future_limit_ns),
            past_limit_ns: change.past_limit_ns.unwrap_or(policy.past_limit_ns),
        };
        let moves_default = make_default && default != Some(policy.id);
        if settings == settings_of(policy) && !moves_default {
            return Ok(None);
        }
        Ok(Some(settings))
    }
}

/// Returns complete settings. 1.x's defaults replace absent settings.
///
/// # Errors
/// [`PolicyRefusal`] for invalid settings.
pub(super) fn settings(spec: &PolicySpec) -> Result<Settings, PolicyRefusal> {
    spec.check()?;
    let duration_ns = spec.duration_ns.unwrap_or(0);
    Ok(Settings {
        name: spec.name.as_deref().unwrap_or(DEFAULT_NAME).to_owned(),
        duration_ns,
        replica_n: spec.replica_n.unwrap_or(1),
        shard_group_duration_ns: shard_group_duration_ns(spec.shard_group_duration_ns, duration_ns),
        future_limit_ns: spec.future_limit_ns.unwrap_or(0),
        past_limit_ns: spec.past_limit_ns.unwrap_or(0),
    })
}

fn settings_of(policy: &Policy) -> Settings {
    Settings {
        name: policy.name.clone(),
        duration_ns: policy.duration_ns,
        replica_n: policy.replica_n,
        shard_group_duration_ns: policy.shard_group_duration_ns,
        future_limit_ns: policy.future_limit_ns,
        past_limit_ns: policy.past_limit_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::time::{D_NS, H_NS, MINUTE_NS, W_NS};

    #[test]
    fn shard_group_duration_has_defaults_of_influxdb_1() {
        for (duration_ns, shard_group_duration_ns, expected_ns) in [
            (0, 0, W_NS),
            (H_NS, 0, H_NS),
            (47 * H_NS, 0, H_NS),
            (2 * D_NS, 0, D_NS),
            (180 * D_NS - 1, 0, D_NS),
            (180 * D_NS, 0, W_NS),
            (3 * D_NS, MINUTE_NS, H_NS),
            (0, 52 * W_NS, 52 * W_NS),
        ] {
            let duration_ns = Some(duration_ns);
            let spec = PolicySpec { duration_ns, shard_group_duration_ns, ..PolicySpec::default() };
            let found = settings(&spec).map(|settings| settings.shard_group_duration_ns);
            assert_eq!(found, Ok(expected_ns), "{spec:?}");
        }
    }

    /// The default policy has a shard duration that is not the default for its duration.
    fn one_policy() -> Policies {
        let policy = Policy {
            name: "p".to_owned(),
            duration_ns: 4 * D_NS,
            shard_group_duration_ns: H_NS,
            ..Policy::default()
        };
        Policies { rows: vec![PolicyRow { number: 0, policy, schema: Schema::default() }] }
    }

    /// 1.x compares the default shard duration if the statement names none.
    #[test]
    fn repeated_create_database_must_name_other_shard_duration() {
        let check = |shard_group_duration_ns| {
            let name = Some("p".to_owned());
            let spec = PolicySpec { name, shard_group_duration_ns, ..PolicySpec::default() };
            one_policy().check_repeat(&spec, Some(PolicyId::default()))
        };
        assert_eq!(check(0), Err(PolicyRefusal::Conflict));
        assert_eq!(check(H_NS), Ok(()));
    }

    #[test]
    fn alter_policy_detects_equal_settings() {
        let (name, duration_ns) = ("p".to_owned(), Some(4 * D_NS));
        let change = PolicyChange { name, duration_ns, ..PolicyChange::default() };
        let default = Some(PolicyId::default());
        assert_eq!(one_policy().check_alter(&change, true, default), Ok(None));
    }
}
