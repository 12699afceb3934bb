use super::*;

fn fail(logins: &mut Logins, address: &str, name: &str, now_ns: i64) -> LoginDecision {
    let gate = logins.begin(address, name, now_ns);
    if gate == LoginDecision::Open {
        logins.derived(address);
    }
    gate
}

fn succeed(logins: &mut Logins, address: &str, name: &str, now_ns: i64) -> LoginDecision {
    let gate = fail(logins, address, name, now_ns);
    if gate == LoginDecision::Open {
        logins.undo_try(address, name);
        logins.verified(address, name, now_ns);
    }
    gate
}

fn refused(by: FullCounter, retry_after_s: u32) -> LoginDecision {
    LoginDecision::Refused(LoginRefused { by, retry_after_s })
}

#[test]
fn failed_logins_block_one_name() {
    let mut logins = Logins::default();
    for n in 0..FAILURES_MAX {
        assert_eq!(fail(&mut logins, "a", "ann", i64::from(n)), LoginDecision::Open, "{n}");
    }
    assert_eq!(fail(&mut logins, "a", "ann", 0), refused(FullCounter::Name, 30));
    assert_eq!(succeed(&mut logins, "a", "bob", 0), LoginDecision::Open);
    assert_eq!(succeed(&mut logins, "b", "ann", 0), LoginDecision::Open);
    let late_ns = FAILURE_WINDOW_NS - 5 * S_NS;
    assert_eq!(fail(&mut logins, "a", "ann", late_ns), refused(FullCounter::Name, 5));
    assert_eq!(fail(&mut logins, "a", "ann", FAILURE_WINDOW_NS - 1), refused(FullCounter::Name, 1));
    assert_eq!(fail(&mut logins, "a", "ann", FAILURE_WINDOW_NS), LoginDecision::Open);
}

#[test]
fn successful_logins_count_no_failures() {
    let mut logins = Logins::default();
    for n in 0..3 * ADDRESS_FAILURES_MAX {
        assert_eq!(succeed(&mut logins, "a", "ann", i64::from(n)), LoginDecision::Open, "{n}");
    }
}

#[test]
fn one_derivation_per_address_runs() {
    let mut logins = Logins::default();
    assert_eq!(logins.begin("a", "ann", 0), LoginDecision::Open);
    assert_eq!(logins.begin("a", "bob", 0), LoginDecision::Busy);
    assert_eq!(logins.begin("b", "bob", 0), LoginDecision::Open);
    logins.derived("a");
    assert_eq!(logins.begin("a", "bob", 0), LoginDecision::Open);
    // The request is gone, and its try stays counted.
    assert_eq!(logins.begin("a", "ann", DERIVATION_NS_MAX - 1), LoginDecision::Busy);
    assert_eq!(logins.begin("a", "ann", DERIVATION_NS_MAX), LoginDecision::Open);
    assert_eq!(logins.addresses["a"].failures.count, 3);
}

#[test]
fn full_login_table_rejects_new_names() {
    let mut logins = Logins::default();
    assert_eq!(succeed(&mut logins, "home", "ann", 0), LoginDecision::Open);
    for n in 1..LOGINS_MAX {
        let address = (n / 50).to_string();
        assert_eq!(fail(&mut logins, &address, &n.to_string(), 0), LoginDecision::Open, "{n}");
    }
    assert_eq!(fail(&mut logins, "new", "new", S_NS), refused(FullCounter::Table, 1));
    logins.verified("new", "new", S_NS);
    assert_eq!(logins.names, LOGINS_MAX);
    assert_eq!(succeed(&mut logins, "home", "ann", S_NS), LoginDecision::Open);
    assert_eq!(fail(&mut logins, "7", "355", S_NS), LoginDecision::Open);
    assert_eq!(fail(&mut logins, "new", "new", FAILURE_WINDOW_NS), LoginDecision::Open);
    assert_eq!(logins.names, 2);
    assert!(logins.addresses.contains_key("home"));
}

#[test]
fn ipv6_logins_group_by_prefix() {
    for (address, expected) in [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"),
        ("2001:db8:1:2::6", "2001:db8:1:2"),
        ("2001:db8:1:2:3::6", "2001:db8:1:2"),
        ("2001:db8::6", "2001:db8:0:0"),
        ("2001::1:2:3:4:5", "2001:0:0:1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
    ] {
        assert_eq!(network_of(address), expected);
    }
}
