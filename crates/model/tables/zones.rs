//! Packs the IANA time zone database into `zones.bin`, which is much smaller than `tzdb_data`.

use std::error::Error;

use tz::timezone::{RuleDay, TransitionRule};
use tz::{LocalTimeType, TimeZoneRef};

use crate::{directory, signed, unsigned};

pub(crate) fn pack() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut zones = Vec::new();
    for name in tzdb_data::TZ_NAMES {
        let rules = tzdb_data::find_tz(name.as_bytes()).ok_or("a name without its zone")?;
        zones.push((*name, encode(rules)?));
    }
    directory(&zones)
}

fn encode(rules: &TimeZoneRef<'_>) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut out = Vec::new();
    let types = rules.local_time_types();
    unsigned(&mut out, u64::try_from(types.len())?);
    for one in types {
        clock(&mut out, one);
    }
    unsigned(&mut out, u64::try_from(rules.transitions().len())?);
    let mut indexes = Vec::new();
    // Changes are in local time, because zones with the same law change at the same local time.
    let (mut before, mut offset) = (0, types.first().map_or(0, LocalTimeType::ut_offset));
    for transition in rules.transitions() {
        let local = transition.unix_leap_time() + i64::from(offset);
        signed(&mut out, local - before);
        before = local;
        let index = transition.local_time_type_index();
        offset = types.get(index).ok_or("a change to no type")?.ut_offset();
        unsigned(&mut indexes, u64::try_from(index)?);
    }
    out.extend_from_slice(&indexes);
    match rules.extra_rule() {
        None => out.push(0),
        Some(TransitionRule::Fixed(always)) => {
            out.push(1);
            clock(&mut out, always);
        }
        Some(TransitionRule::Alternate(rule)) => {
            out.push(2);
            clock(&mut out, rule.std());
            clock(&mut out, rule.dst());
            day(&mut out, rule.dst_start(), rule.dst_start_time())?;
            day(&mut out, rule.dst_end(), rule.dst_end_time())?;
        }
    }
    Ok(out)
}

fn clock(out: &mut Vec<u8>, kind: &LocalTimeType) {
    signed(out, i64::from(kind.ut_offset()));
    out.push(u8::from(kind.is_dst()));
}

fn day(out: &mut Vec<u8>, day: &RuleDay, seconds: i32) -> Result<(), Box<dyn Error>> {
    let RuleDay::MonthWeekDay(day) = day else { return Err("a rule by day of year".into()) };
    out.extend_from_slice(&[day.month(), day.week(), day.week_day()]);
    signed(out, i64::from(seconds));
    Ok(())
}
