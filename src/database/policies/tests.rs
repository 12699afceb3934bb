use super::*;
use crate::model::time::{D_NS, H_NS, MINUTE_NS, W_NS};

/// The policies of database `a` in InfluxDB 1.6.7 after these statements.
fn policies() -> Policies {
    let mut policies = Policies::default();
    for (number, (name, duration_ns, shard_ns, replica_n)) in
        (0..).zip([("autogen", 0, W_NS, 3), ("p1", 4 * D_NS, H_NS, 1), ("p2", 3 * D_NS, D_NS, 1)])
    {
        let policy = Policy {
            id: PolicyId(number),
            name: name.to_owned(),
            duration_ns,
            shard_group_duration_ns: shard_ns,
            replica_n,
            ..Policy::default()
        };
        policies.rows.push(PolicyRow { number, policy, schema: Schema::default() });
    }
    policies.default = Some(PolicyId(1));
    policies
}

fn spec(name: &str, duration_ns: i64, shard_ns: i64) -> PolicySpec {
    PolicySpec {
        name: Some(name.to_owned()),
        duration_ns: Some(duration_ns),
        replica_n: Some(1),
        shard_group_duration_ns: shard_ns,
    }
}

#[test]
fn create_policy_errors_match_influxdb_1() {
    for (name, duration_ns, shard_ns, make_default, text) in [
        ("p1", 2 * H_NS, 0, false, "retention policy already exists"),
        ("p2", 3 * D_NS, D_NS, true, "retention policy conflicts with an existing policy"),
        ("a/b", 3 * D_NS, 0, false, "invalid name"),
        ("a/b", MINUTE_NS, 0, false, "invalid name"),
        ("p3", 59 * MINUTE_NS, 0, false, "retention policy duration must be at least 1h0m0s"),
        (
            "p3",
            H_NS,
            2 * H_NS,
            false,
            "retention policy duration must be greater than the shard duration",
        ),
    ] {
        let refused = policies().check_create(&spec(name, duration_ns, shard_ns), make_default);
        assert_eq!(refused.unwrap_err().to_string(), text, "{name} {duration_ns}");
    }
}

#[test]
fn create_policy_uses_influxdb_1_defaults() {
    for (duration_ns, shard_ns, expected_ns) in [
        (0, 0, W_NS),
        (H_NS, 0, H_NS),
        (47 * H_NS, 0, H_NS),
        (2 * D_NS, 0, D_NS),
        (180 * D_NS - 1, 0, D_NS),
        (180 * D_NS, 0, W_NS),
        (3 * D_NS, MINUTE_NS, H_NS),
        (0, 52 * W_NS, 52 * W_NS),
    ] {
        let settings = Settings {
            name: "new".to_owned(),
            duration_ns,
            replica_n: 1,
            shard_group_duration_ns: expected_ns,
        };
        let verdict = policies().check_create(&spec("new", duration_ns, shard_ns), false);
        assert_eq!(verdict, Ok(Some(settings)), "{duration_ns} {shard_ns}");
    }
    let same = policies().check_create(&spec("p2", 3 * D_NS, D_NS), false);
    assert_eq!(same, Ok(None));
}

#[test]
fn alter_policy_follows_influxdb_1() {
    let alter = |name: &str, duration_ns, shard_group_duration_ns| {
        let name = name.to_owned();
        let change = PolicyChange { name, duration_ns, replica_n: None, shard_group_duration_ns };
        policies().check_alter(&change, false)
    };
    let incompatible = Err(PolicyRefusal::IncompatibleDurations);
    assert_eq!(alter("p1", Some(30 * MINUTE_NS), None), Err(PolicyRefusal::DurationTooLow));
    assert_eq!(alter("p2", Some(H_NS), Some(2 * H_NS)), incompatible);
    assert_eq!(alter("p2", None, Some(100 * D_NS)), incompatible);
    assert_eq!(alter("autogen", Some(H_NS), None), incompatible);
    assert_eq!(alter("nop", Some(D_NS), None), Err(PolicyRefusal::NotFound("nop".to_owned())));
    assert_eq!(alter("p1", Some(4 * D_NS), None), Ok(None));
    let changed = |name: &str, duration_ns, shard_group_duration_ns| {
        let name = name.to_owned();
        Ok(Some(Settings { name, duration_ns, replica_n: 1, shard_group_duration_ns }))
    };
    assert_eq!(alter("p1", Some(5 * D_NS), Some(10 * MINUTE_NS)), changed("p1", 5 * D_NS, H_NS));
    assert_eq!(alter("p1", None, Some(0)), changed("p1", 4 * D_NS, D_NS));
    assert_eq!(alter("p2", Some(D_NS), Some(2 * H_NS)), changed("p2", D_NS, 2 * H_NS));
}

#[test]
fn repeated_create_database_must_match_policy() {
    let check = |name: Option<&str>, duration_ns: Option<i64>| {
        let name = name.map(str::to_owned);
        policies().check_repeat(&PolicySpec { name, duration_ns, ..PolicySpec::default() })
    };
    assert_eq!(check(Some("p2"), None), Err(PolicyRefusal::Conflict), "not the default");
    assert_eq!(check(Some("x"), None), Err(PolicyRefusal::Conflict), "no such policy");
    assert_eq!(check(Some("p1"), Some(D_NS)), Err(PolicyRefusal::Conflict), "another duration");
    // The shard duration of p1 is not the default for its duration. The statement therefore matches
    // only if it names the shard duration.
    assert_eq!(check(Some("p1"), None), Err(PolicyRefusal::Conflict));
    let spec = PolicySpec { shard_group_duration_ns: H_NS, ..spec("p1", 4 * D_NS, 0) };
    assert_eq!(policies().check_repeat(&spec), Ok(()));
    assert_eq!(check(Some("p1"), Some(1)), Err(PolicyRefusal::DurationTooLow));
}
