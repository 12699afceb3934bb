//! Failed authentications by address, so that guessing is slow.
//!
//! Only failures are slowed: whoever has a valid token never meets this, whatever its neighbours
//! behind the same address do.

use crate::model::limits::{FAILING_ADDRESSES_MAX, FAILURE_WINDOW_NS, FAILURES_MAX};
use crate::model::time::S_NS;

/// Most seconds that a client is told to wait at once.
const RETRY_AFTER_S_MAX: i64 = 30;

/// One isolate's counts.
#[derive(Debug, Default)]
pub struct Throttle {
    /// In the order of their first failure.
    windows: Vec<Window>,
}

#[derive(Debug)]
struct Window {
    key: String,
    since_ns: i64,
    failures: u32,
}

impl Throttle {
    fn forget_old(&mut self, now_ns: i64) {
        let recent = |window: &Window| now_ns.saturating_sub(window.since_ns) < FAILURE_WINDOW_NS;
        self.windows.retain(recent);
    }

    /// Seconds to wait if `key` has failed too often lately.
    pub fn wait_s(&mut self, key: &str, now_ns: i64) -> Option<u32> {
        self.forget_old(now_ns);
        let window = self.windows.iter().find(|window| window.key == key)?;
        let left_ns = window.since_ns.saturating_add(FAILURE_WINDOW_NS).saturating_sub(now_ns);
        let left_s = (left_ns / S_NS).clamp(1, RETRY_AFTER_S_MAX);
        (window.failures >= FAILURES_MAX).then(|| u32::try_from(left_s).unwrap_or(1))
    }

    /// Counts a failure of `key`.
    pub fn failed(&mut self, key: &str, now_ns: i64) {
        self.forget_old(now_ns);
        if let Some(window) = self.windows.iter_mut().find(|window| window.key == key) {
            window.failures = window.failures.saturating_add(1);
            return;
        }
        if self.windows.len() >= FAILING_ADDRESSES_MAX {
            self.windows.remove(0);
        }
        self.windows.push(Window { key: key.to_owned(), since_ns: now_ns, failures: 1 });
    }
}

/// What is counted together: an IPv4 address, or the /64 that one IPv6 customer has. Not by user:
/// who is counted apart would tell which users there are.
pub fn key(address: &str) -> &str {
    let third_or_gap = match address.find("::") {
        Some(gap) => gap,
        None => address.match_indices(':').nth(3).map_or(address.len(), |(at, _)| at),
    };
    address.get(..third_or_gap).unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_waits_after_its_last_failure_that_counts() {
        let mut throttle = Throttle::default();
        for n in 0..FAILURES_MAX {
            assert_eq!(throttle.wait_s("a", 0), None, "{n}");
            throttle.failed("a", i64::from(n));
        }
        assert_eq!(throttle.wait_s("a", 0), Some(30));
        assert_eq!(throttle.wait_s("b", 0), None);
        assert_eq!(throttle.wait_s("a", FAILURE_WINDOW_NS - 5 * S_NS), Some(5));
        assert_eq!(throttle.wait_s("a", FAILURE_WINDOW_NS - 1), Some(1));
        assert_eq!(throttle.wait_s("a", FAILURE_WINDOW_NS), None);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut throttle = Throttle::default();
        for n in 0..=FAILING_ADDRESSES_MAX {
            throttle.failed(&n.to_string(), 0);
        }
        assert_eq!(throttle.windows.len(), FAILING_ADDRESSES_MAX);
        assert_eq!(throttle.windows.first().map(|window| window.key.as_str()), Some("1"));
    }

    #[test]
    fn a_customer_of_ipv6_is_one_address() {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"),
            ("2001:db8:1:2::6", "2001:db8:1:2"),
            ("2001:db8::6", "2001:db8"),
            ("", ""),
        ] {
            assert_eq!(key(address), expected);
        }
    }
}
