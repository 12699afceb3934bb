//! Finds zones in the IANA time zone database by name.
//!
//! `tables/zones.rs` packs the database as a directory of [`packed`]. A zone contains:
//! - the clocks: for each clock, the offset in seconds, and whether the clock shows daylight saving
//!   time;
//! - the number of transitions;
//! - the times of the transitions, as differences, in the local time before each transition;
//! - the clock after each transition;
//! - the rule after the last transition: none (0), one clock (1), or two clocks (2) with the month,
//!   week, weekday and second of both transitions.

use tz::timezone::{AlternateTime, MonthWeekDay, RuleDay, Transition, TransitionRule};
use tz::{LocalTimeType, TimeZone};

use super::packed::{self, byte, signed, unsigned};

static ZONES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/zones.bin"));

/// Whether the database contains a zone with this exact name.
pub fn exists(name: &str) -> bool {
    packed::find(ZONES, name).is_some()
}

/// Returns the zone with this exact name. The zone's clocks have no abbreviations.
pub fn find(name: &str) -> Option<TimeZone> {
    zone(&mut packed::find(ZONES, name)?)
}

fn zone(rest: &mut &[u8]) -> Option<TimeZone> {
    let clocks = (0..unsigned(rest)?).map(|_| clock(rest)).collect::<Option<Vec<_>>>()?;
    let mut times = Vec::new();
    let mut local = 0;
    for _ in 0..unsigned(rest)? {
        local += signed(rest)?;
        times.push(local);
    }
    let mut changes = Vec::with_capacity(times.len());
    let mut offset_seconds = clocks.first()?.ut_offset();
    for local in times {
        let index = unsigned(rest)?;
        changes.push(Transition::new(local - i64::from(offset_seconds), index));
        offset_seconds = clocks.get(index)?.ut_offset();
    }
    let rule = match byte(rest)? {
        0 => None,
        1 => Some(TransitionRule::Fixed(clock(rest)?)),
        _ => Some(TransitionRule::Alternate(alternate(rest)?)),
    };
    TimeZone::new(changes, clocks, Vec::new(), rule).ok()
}

fn alternate(rest: &mut &[u8]) -> Option<AlternateTime> {
    let (standard, saving) = (clock(rest)?, clock(rest)?);
    let (start, start_seconds) = day(rest)?;
    let (end, end_seconds) = day(rest)?;
    AlternateTime::new(standard, saving, start, start_seconds, end, end_seconds).ok()
}

fn day(rest: &mut &[u8]) -> Option<(RuleDay, i32)> {
    let day = MonthWeekDay::new(byte(rest)?, byte(rest)?, byte(rest)?).ok()?;
    Some((RuleDay::MonthWeekDay(day), i32::try_from(signed(rest)?).ok()?))
}

fn clock(rest: &mut &[u8]) -> Option<LocalTimeType> {
    let offset_seconds = i32::try_from(signed(rest)?).ok()?;
    LocalTimeType::new(offset_seconds, byte(rest)? == 1, None).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transitions(zone: &tz::TimeZoneRef<'_>) -> (Vec<Transition>, Vec<(i64, i32)>) {
        let late = (0..600).map(|step| 2_000_000_000 + step * 1_234_567);
        let offsets =
            late.map(|at| (at, zone.find_local_time_type(at).expect("known").ut_offset()));
        (zone.transitions().to_vec(), offsets.collect())
    }

    #[test]
    fn time_zones_match_crate_data() {
        assert!(tzdb_data::TZ_NAMES.len() > 500);
        for name in tzdb_data::TZ_NAMES {
            let zone = find(name).expect(name);
            let original = tzdb_data::find_tz(name.as_bytes()).expect(name);
            assert_eq!(transitions(&zone.as_ref()), transitions(original), "{name}");
            let offsets = |types: &[LocalTimeType]| {
                types.iter().map(LocalTimeType::ut_offset).collect::<Vec<_>>()
            };
            assert_eq!(
                offsets(zone.as_ref().local_time_types()),
                offsets(original.local_time_types()),
                "{name}"
            );
        }
    }

    #[test]
    fn zone_names_are_case_sensitive() {
        assert!(exists("Europe/Oslo"));
        assert_eq!(
            ["europe/oslo", "Europe/Osl", "", "../UTC"].map(exists),
            [false, false, false, false]
        );
    }
}
