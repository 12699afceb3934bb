//! Finds a zone of the IANA database, lists the zone's clock changes for shards, and parses time
//! literals in the zone.

use std::rc::Rc;

use tz::TimeZone;

use crate::influxql::time_literal;
use crate::model::time::{S_NS, TimeRange};
use crate::model::zone;
use crate::query::error::{QueryError, Result};

/// Parses a time literal, in nanoseconds. A literal without an offset is local time in `zone`.
pub(crate) fn parse_time(text: &str, zone: Option<&Zone>) -> Result<i64> {
    let offset = |local| zone.map_or(0, |zone| local - zone.to_utc_seconds(local));
    time_literal::parse(text, offset).map_err(|error| QueryError::Invalid(error.to_string()))
}

#[derive(Clone, Debug)]
pub(crate) struct Zone {
    rules: Rc<TimeZone>,
}

/// The interval between searches for clock changes after the end of a zone's table, in seconds. In
/// every zone, clock changes are further apart.
const PROBE_SECONDS: i64 = 20 * 86_400;

impl Zone {
    pub(crate) fn find(name: &str) -> Result<Self> {
        let name = if name.is_empty() || name == "Local" { "UTC" } else { name };
        let unknown = || QueryError::Invalid(format!("unable to find time zone {name}"));
        let rules = zone::find(name).ok_or_else(unknown)?;
        Ok(Self { rules: Rc::new(rules) })
    }

    /// Local time minus UTC.
    fn offset_seconds(&self, unix_seconds: i64) -> i64 {
        let found = self.rules.find_local_time_type(unix_seconds);
        found.map_or(0, |local| i64::from(local.ut_offset()))
    }

    /// Local time minus UTC.
    pub(crate) fn shift_ns(&self, time_ns: i64) -> i64 {
        self.offset_seconds(time_ns.div_euclid(S_NS)) * S_NS
    }

    /// Returns the UTC time at which local clocks show `local`, like Go's `time.Date`. If local
    /// clocks skip `local` or show it twice, the offset is that of the first estimate in UTC.
    pub(crate) fn to_utc_seconds(&self, local: i64) -> i64 {
        let estimate = local - self.offset_seconds(local);
        local - self.offset_seconds(estimate)
    }

    /// Returns the shifts (local time minus UTC) in `range`. An entry contains the time from which
    /// a shift applies, and the shift, in nanoseconds. The times ascend from the minimum time.
    pub(crate) fn shifts(&self, range: TimeRange) -> Vec<(i64, i64)> {
        let (start, end) = (range.start_ns.div_euclid(S_NS), range.end_ns.div_euclid(S_NS));
        let mut offset = self.offset_seconds(start);
        let mut shifts = vec![(i64::MIN, offset * S_NS)];
        let mut push = |from: i64, next: i64| {
            if next != offset {
                offset = next;
                shifts.push((from.saturating_mul(S_NS), next * S_NS));
            }
        };
        let rules = self.rules.as_ref().as_ref();
        let table = rules.transitions();
        for transition in table {
            let from = transition.unix_leap_time();
            if start < from && from <= end {
                push(from, self.offset_seconds(from));
            }
        }
        let mut from = table.last().map_or(start, |last| last.unix_leap_time().max(start));
        while rules.extra_rule().is_some() && from < end {
            let to = from.saturating_add(PROBE_SECONDS).min(end);
            if self.offset_seconds(from) != self.offset_seconds(to) {
                let change = self.change_between(from, to);
                push(change, self.offset_seconds(change));
            }
            from = to;
        }
        shifts
    }

    /// Returns the first second with the same offset as `to`. The offset at `from` must be
    /// different.
    fn change_between(&self, mut from: i64, mut to: i64) -> i64 {
        let before = self.offset_seconds(from);
        while from + 1 < to {
            let middle = from + (to - from) / 2;
            if self.offset_seconds(middle) == before {
                from = middle;
            } else {
                to = middle;
            }
        }
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_shifts_list_changes_in_range() {
        let zone = Zone::find("America/Los_Angeles").expect("in the database");
        let year = TimeRange::new(946_684_800 * S_NS, 978_307_200 * S_NS);
        let hour = 3_600 * S_NS;
        assert_eq!(
            zone.shifts(year),
            [
                (i64::MIN, -8 * hour),
                (954_669_600 * S_NS, -7 * hour),
                (972_810_000 * S_NS, -8 * hour)
            ]
        );
        // The zone's table ends before 2100, so a rule determines these changes.
        let later = TimeRange::new(4_102_444_800 * S_NS, 4_133_980_800 * S_NS);
        assert_eq!(zone.shifts(later).len(), 3);
    }

    #[test]
    fn local_times_convert_to_utc() {
        let zone = Zone::find("America/Los_Angeles").expect("in the database");
        assert_eq!(zone.to_utc_seconds(946_684_800), 946_684_800 + 8 * 3_600);
        assert!(Zone::find("Mars/Olympus").is_err());
    }
}
