//! The fields of a UTC time.

use super::function::Function;

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// Returns the field of the time that `function` names. `seconds` counts from 1970.
pub(crate) fn field(function: Function, seconds: f64) -> f64 {
    // As in Go on x86, a number outside of the range of i64 becomes the smallest integer.
    let seconds = if seconds.abs() < i64::MAX as f64 { seconds as i64 } else { i64::MIN };
    let days = seconds.div_euclid(SECONDS_PER_DAY);
    let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let (year, month, day) = civil(days);
    let value = match function {
        Function::Minute => second_of_day / 60 % 60,
        Function::Hour => second_of_day / 3600,
        // The first day, 1970-01-01, was a Thursday.
        Function::DayOfWeek => (days + 4).rem_euclid(7),
        Function::DayOfMonth => day,
        Function::DayOfYear => days - days_since_1970(year, 1, 1) + 1,
        Function::DaysInMonth => {
            let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            days_since_1970(next_year, next, 1) - days_since_1970(year, month, 1)
        }
        Function::Month => month,
        _ => year,
    };
    value as f64
}

/// Returns year, month and day of the Gregorian calendar. The calculation uses years that start in
/// March, so that the leap day is the last day of a year.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
