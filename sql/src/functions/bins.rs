//! Computes the start of a time bin and the start of the next bin.

use chrono::{DateTime, Datelike, Months, TimeDelta, TimeZone, Utc};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::error::Result;

use super::arguments::zone_of;
use crate::error::QueryError;

const DAY_NS: i64 = 86_400_000_000_000;
/// The step, in nanoseconds, of the search for the next bin if a clock change has made a bin
/// longer.
const STEP_NS: i64 = 900_000_000_000;
/// The maximum number of search steps. 200 steps of 15 minutes are longer than every known clock
/// change.
const STEPS_MAX: usize = 200;

/// A division of time into bins of equal width.
#[derive(Clone, Debug)]
pub(crate) struct Bins {
    width: Width,
    /// The start of an arbitrary bin, in nanoseconds. If `zone` is set, the origin is a local time.
    origin_ns: i64,
    /// The time zone whose local time determines the bins.
    zone: Option<Tz>,
}

#[derive(Clone, Copy, Debug)]
enum Width {
    Nanoseconds(i64),
    Months(i64),
}

impl Bins {
    /// Creates bins according to the rules of `date_bin`.
    ///
    /// # Errors
    /// Returns an error if the width is 0, negative or too large. Also returns an error if the
    /// width combines months with shorter units.
    fn new(interval: IntervalMonthDayNano, origin_ns: i64) -> Result<Self> {
        let days_ns = i64::from(interval.days).checked_mul(DAY_NS);
        let ns = days_ns.and_then(|days| days.checked_add(interval.nanoseconds));
        let Some(ns) = ns else {
            return Err(QueryError::invalid("DATE_BIN stride is too large").into());
        };
        let width = match (i64::from(interval.months), ns) {
            (0, 0) => return Err(QueryError::invalid("DATE_BIN stride must be non-zero").into()),
            (0, ns) => Width::Nanoseconds(ns),
            (months, 0) => Width::Months(months),
            _ => {
                let message = "DATE_BIN stride does not support combination of month, day and \
                               nanosecond intervals";
                return Err(QueryError::invalid(message).into());
            }
        };
        if let Width::Nanoseconds(ns) | Width::Months(ns) = width
            && ns < 0
        {
            return Err(QueryError::invalid("DATE_BIN stride must be positive").into());
        }
        Ok(Self { width, origin_ns, zone: None })
    }

    /// Creates bins for times of this type. If `on_wall_clock` is set, the bins are in the local
    /// time of the times' zone.
    ///
    /// # Errors
    /// Returns the errors of [`Self::new`] and [`Self::on_wall_clock`].
    pub(crate) fn for_times(
        times: &DataType,
        interval: IntervalMonthDayNano,
        origin_ns: i64,
        on_wall_clock: bool,
    ) -> Result<Self> {
        match on_wall_clock {
            true => Self::on_wall_clock(interval, origin_ns, zone_of(times)?),
            false => Self::new(interval, origin_ns),
        }
    }

    /// Creates bins in the local time of a time zone.
    ///
    /// # Errors
    /// Returns the errors of [`Self::new`]. Also returns an error if the width is in months.
    fn on_wall_clock(
        interval: IntervalMonthDayNano,
        origin_ns: i64,
        zone: Option<Tz>,
    ) -> Result<Self> {
        if interval.months != 0 {
            let message = "date_bin_wallclock does not support intervals with months or years";
            return Err(QueryError::invalid(message).into());
        }
        Ok(Self { zone, ..Self::new(interval, origin_ns)? })
    }

    /// Returns the start of the bin that contains a time, or `None` if the start is outside the
    /// range of timestamps.
    pub(crate) fn start_ns(&self, time_ns: i64) -> Option<i64> {
        let Some(zone) = &self.zone else { return self.plain_start_ns(time_ns) };
        let time = DateTime::<Utc>::from_timestamp_nanos(time_ns);
        let offset = offset(zone, time);
        let local_ns = time_ns.checked_add(offset.num_nanoseconds()?)?;
        let start = DateTime::<Utc>::from_timestamp_nanos(self.plain_start_ns(local_ns)?);
        let of = |offset: TimeDelta| start.checked_sub_signed(offset)?.timestamp_nanos_opt();
        match zone.from_local_datetime(&start.naive_utc()) {
            chrono::MappedLocalTime::Single(found) => found.timestamp_nanos_opt(),
            chrono::MappedLocalTime::Ambiguous(earlier, later) => {
                let (earlier, later) =
                    (earlier.timestamp_nanos_opt()?, later.timestamp_nanos_opt()?);
                let gap_ns = (later - earlier).abs();
                let is_wide = match self.width {
                    Width::Nanoseconds(ns) => ns > gap_ns,
                    Width::Months(_) => true,
                };
                let first = earlier.min(later);
                if is_wide { Some(first) } else { of(offset).filter(|at| *at <= time_ns) }
            }
            // The clock skipped this local time, so the offset before the change is used.
            chrono::MappedLocalTime::None => {
                let before = start.checked_sub_signed(TimeDelta::days(1))?;
                of(self::offset(zone, before))
            }
        }
    }

    /// Returns the start of the bin after the bin that starts at `start_ns`.
    pub(crate) fn next_ns(&self, start_ns: i64) -> Option<i64> {
        let next = match self.width {
            Width::Nanoseconds(ns) => start_ns.checked_add(ns)?,
            Width::Months(months) => {
                let index = self.months_index(start_ns, months)?;
                return self.month_start_ns(index.checked_add(1)?.checked_mul(months)?);
            }
        };
        if self.zone.is_none() {
            return Some(next);
        }
        let candidates = (0..STEPS_MAX as i64).map(|steps| next.checked_add(steps * STEP_NS));
        candidates.flatten().filter_map(|time| self.start_ns(time)).find(|at| *at > start_ns)
    }

    fn plain_start_ns(&self, time_ns: i64) -> Option<i64> {
        match self.width {
            Width::Nanoseconds(ns) => {
                let distance = time_ns.checked_sub(self.origin_ns)?;
                time_ns.checked_sub(distance.rem_euclid(ns))
            }
            Width::Months(months) => {
                self.month_start_ns(self.months_index(time_ns, months)?.checked_mul(months)?)
            }
        }
    }

    /// Returns the number of the bin that contains a time. Bins are counted from the origin.
    fn months_index(&self, time_ns: i64, width: i64) -> Option<i64> {
        let month = |ns: i64| {
            let time = DateTime::<Utc>::from_timestamp_nanos(ns);
            i64::from(time.year()) * 12 + i64::from(time.month0())
        };
        let index = (month(time_ns) - month(self.origin_ns)).div_euclid(width);
        let is_later = self.month_start_ns(index.checked_mul(width)?)? > time_ns;
        Some(if is_later { index - 1 } else { index })
    }

    /// Returns the time that is `months` months after the origin.
    fn month_start_ns(&self, months: i64) -> Option<i64> {
        let origin = DateTime::<Utc>::from_timestamp_nanos(self.origin_ns);
        let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
        let moved = match months >= 0 {
            true => origin.checked_add_months(count),
            false => origin.checked_sub_months(count),
        };
        moved?.timestamp_nanos_opt()
    }
}

fn offset(zone: &Tz, time: DateTime<Utc>) -> TimeDelta {
    time.with_timezone(zone).naive_local() - time.naive_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: i64 = 3_600_000_000_000;

    fn ns(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_nanos_opt().unwrap()
    }

    fn paris(hours: i64) -> Bins {
        let width = IntervalMonthDayNano::new(0, 0, hours * HOUR_NS);
        Bins::on_wall_clock(width, 0, Some("Europe/Paris".parse().unwrap())).unwrap()
    }

    #[test]
    fn bins_handle_skipped_hour() {
        // The local time 02:00 does not exist, so the offset before the change is used.
        let start = paris(2).start_ns(ns("2022-03-27T01:30:00Z"));
        assert_eq!(start, Some(ns("2022-03-27T01:00:00Z")));
        let day = paris(24);
        assert_eq!(day.start_ns(ns("2022-03-27T10:00:00Z")), Some(ns("2022-03-26T23:00:00Z")));
        assert_eq!(day.next_ns(ns("2022-03-26T23:00:00Z")), Some(ns("2022-03-27T22:00:00Z")));
        assert_eq!(day.next_ns(ns("2022-10-29T22:00:00Z")), Some(ns("2022-10-30T23:00:00Z")));
    }

    #[test]
    fn bins_handle_repeated_hour() {
        let (first, second) = (ns("2022-10-30T00:00:00Z"), ns("2022-10-30T01:00:00Z"));
        assert_eq!(paris(1).start_ns(first + 1), Some(first));
        assert_eq!(paris(1).start_ns(second + 1), Some(second));
        assert_eq!(paris(2).start_ns(second + 1), Some(first));
        assert_eq!(paris(1).next_ns(first), Some(second));
    }

    #[test]
    fn month_bins_have_calendar_lengths() {
        let quarter = Bins::new(IntervalMonthDayNano::new(3, 0, 0), 0).unwrap();
        assert_eq!(quarter.start_ns(ns("2022-02-15T00:00:00Z")), Some(ns("2022-01-01T00:00:00Z")));
        assert_eq!(quarter.start_ns(ns("1969-12-31T00:00:00Z")), Some(ns("1969-10-01T00:00:00Z")));
        assert_eq!(quarter.next_ns(ns("2022-01-01T00:00:00Z")), Some(ns("2022-04-01T00:00:00Z")));
        let odd =
            Bins::new(IntervalMonthDayNano::new(1, 0, 0), ns("2022-01-31T00:00:00Z")).unwrap();
        assert_eq!(odd.start_ns(ns("2022-03-01T00:00:00Z")), Some(ns("2022-02-28T00:00:00Z")));
    }
}
