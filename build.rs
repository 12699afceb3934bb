//! The IANA time zone database, from the tables of `tzdb_data` to a seventh of their size:
//! `zones.bin`, which `model::zone` reads and describes.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use tz::timezone::{RuleDay, TransitionRule};
use tz::{LocalTimeType, TimeZoneRef};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let mut names = Vec::new();
    let mut zones = Vec::new();
    let mut known: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for name in tzdb_data::TZ_NAMES {
        let rules = tzdb_data::find_tz(name.as_bytes()).ok_or("a name without its zone")?;
        let bytes = encode(rules)?;
        let at = *known.entry(bytes).or_insert_with_key(|bytes| {
            let at = zones.len();
            zones.extend_from_slice(bytes);
            at
        });
        unsigned(&mut names, u64::try_from(name.len())?);
        names.extend_from_slice(name.as_bytes());
        unsigned(&mut names, u64::try_from(at)?);
    }
    unsigned(&mut names, 0);
    names.extend_from_slice(&zones);
    let folder = std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    std::fs::write(Path::new(&folder).join("zones.bin"), names)?;
    Ok(())
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
    // Zones with the same law change at the same time of their own clocks.
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

fn signed(out: &mut Vec<u8>, value: i64) {
    unsigned(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        out.extend((value | 0x80).to_le_bytes().first());
        value >>= 7;
    }
    out.extend(value.to_le_bytes().first());
}
