//! Finds a zone of the IANA database, lists the zone's clock changes for shards, and parses time
//! literals in the zone.

use std::rc::Rc;

use tz::TimeZone;
use tz::timezone::{AlternateTime, RuleDay, TransitionRule};

use crate::error::{QueryError, Result};
use tidemark_influxql::time_literal;
use tidemark_model::time::{D_NS, S_NS, TimeRange, civil_from_days, days_from_civil};
use tidemark_model::zone;

/// Parses a time literal, in nanoseconds. A literal without an offset is local time in `zone`.
pub(crate) fn parse_time(text: &str, zone: Option<&Zone>) -> Result<i64> {
    let offset = |local| zone.map_or(0, |zone| local - zone.to_utc_seconds(local));
    time_literal::parse(text, offset).map_err(|error| QueryError::Invalid(error.to_string()))
}

#[derive(Clone, Debug)]
pub(crate) struct Zone {
    rules: Rc<TimeZone>,
}

const DAY_SECONDS: i64 = D_NS / S_NS;

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
    /// clocks skip `local` or show it twice, the result depends on a first estimate: the function
    /// reads `local` as UTC, and subtracts the offset at that time. The result then uses the offset
    /// at the estimate.
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
        if let Some(TransitionRule::Alternate(rule)) = rules.extra_rule() {
            let after = table.last().map_or(start, |last| last.unix_leap_time().max(start));
            // A change on the first or last day of a year may belong to another year in UTC.
            for year in year_of(after) - 1..=year_of(end) + 1 {
                let changes = changes_in(rule, year).into_iter().flatten();
                for (from, next) in changes.filter(|(from, _)| after < *from && *from <= end) {
                    push(from, next);
                }
            }
        }
        shifts
    }
}

fn year_of(unix_seconds: i64) -> i32 {
    civil_from_days(unix_seconds.div_euclid(DAY_SECONDS)).0 as i32
}

/// Returns the two clock changes of a year in ascending order. A change contains its UTC time and
/// the offset after the change, in seconds.
fn changes_in(rule: &AlternateTime, year: i32) -> Option<[(i64, i64); 2]> {
    let offsets = [rule.std(), rule.dst()].map(|clock| i64::from(clock.ut_offset()));
    let [standard, saving] = offsets;
    let at = |day, local: i32| Some(day_of(day, year)? * DAY_SECONDS + i64::from(local));
    let start = at(rule.dst_start(), rule.dst_start_time())? - standard;
    let end = at(rule.dst_end(), rule.dst_end_time())? - saving;
    let mut changes = [(start, saving), (end, standard)];
    changes.sort();
    Some(changes)
}

/// Returns the day of a rule in a year, in days since 1970-01-01. [`zone`] creates only rules with
/// a month, a week and a weekday; week 5 is the last week of the month.
fn day_of(day: &RuleDay, year: i32) -> Option<i64> {
    let RuleDay::MonthWeekDay(day) = day else { return None };
    let first = days_from_civil(year, day.month(), 1)?;
    // 1970-01-01 was a Thursday, and Sunday is weekday 0.
    let weekday = (4 + first).rem_euclid(7);
    let until = (i64::from(day.week_day()) - weekday).rem_euclid(7);
    let found = first + until + 7 * (i64::from(day.week()) - 1);
    let (_, month, _) = civil_from_days(found);
    Some(if month == i64::from(day.month()) { found } else { found - 7 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::time::MAX_TIME_NS;

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
    fn rules_have_two_changes_per_year() {
        let all = TimeRange::new(0, MAX_TIME_NS);
        for name in [
            "Europe/Oslo",
            "America/New_York",
            "America/Santiago",
            "America/Nuuk",
            "Asia/Jerusalem",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
            "Antarctica/Troll",
            "Asia/Tokyo",
        ] {
            let zone = Zone::find(name).expect(name);
            let shifts = zone.shifts(all);
            let mut changes = shifts.iter().skip(1).peekable();
            let mut offset_ns = shifts[0].1;
            for time in (0..MAX_TIME_NS / S_NS).step_by(29 * 3_600) {
                while let Some((from, next)) = changes.next_if(|(from, _)| *from <= time * S_NS) {
                    assert_eq!(zone.shift_ns(from - 1), offset_ns, "{name} before {from}");
                    assert_eq!(zone.shift_ns(*from), *next, "{name} at {from}");
                    offset_ns = *next;
                }
                assert_eq!(zone.shift_ns(time * S_NS), offset_ns, "{name} at {time}");
            }
            assert_eq!(changes.next(), None, "{name}");
        }
    }
}
