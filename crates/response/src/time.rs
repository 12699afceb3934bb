//! Writes times in RFC 3339 with up to nine decimals, or as integers in a unit (`epoch=`).

use tidemark_model::time::{D_NS, Precision, S_NS, civil_from_days};

fn offset_at(zone: &[(i64, i64)], time_ns: i64) -> i64 {
    let after = zone.partition_point(|(from_ns, _)| *from_ns <= time_ns);
    after.checked_sub(1).and_then(|i| zone.get(i)).map_or(0, |(_, offset_ns)| *offset_ns)
}

/// Writes a sequence of times as integers in a unit, or in RFC 3339 with quotes. If a time is on
/// the same day as the previous time, the text of the date is reused. If both times are equal, the
/// complete text is reused.
pub struct Clock<'a> {
    epoch: Option<Precision>,
    zone: &'a [(i64, i64)],
    day_ns: i64,
    last_ns: i64,
    /// The text of the last time, as `"2006-01-02T15:04:05Z"` with quotes; empty before the first
    /// time.
    text: Vec<u8>,
    /// The content of `text` with padding. Copying a fixed number of bytes is faster than copying a
    /// variable number.
    padded: [u8; TEXT_BYTES_MAX],
}

/// The length of `"2006-01-02T` with the opening quote. All representable years have four digits.
const DATE_BYTES: usize = 12;
/// The maximum length of `"2006-01-02T15:04:05.999999999Z"` with quotes.
const TEXT_BYTES_MAX: usize = 32;

impl<'a> Clock<'a> {
    /// Creates a clock that has not written a time yet. `epoch` is the unit of integers; `None`
    /// means RFC 3339. `zone` lists the shifts of the zone, as in
    /// [`SeriesChunk`](tidemark_query::result::SeriesChunk).
    pub fn new(epoch: Option<Precision>, zone: &'a [(i64, i64)]) -> Self {
        let padded = [0; TEXT_BYTES_MAX];
        Self { epoch, zone, day_ns: 0, last_ns: 0, text: Vec::new(), padded }
    }

    /// Appends a time.
    pub fn write(&mut self, time_ns: i64, out: &mut Vec<u8>) {
        if let Some(unit) = self.epoch {
            // Go truncates towards zero.
            return integer(time_ns / unit.unit_ns(), out);
        }
        if !self.zone.is_empty() {
            out.push(b'"');
            rfc3339(time_ns, offset_at(self.zone, time_ns), out);
            return out.push(b'"');
        }
        if self.text.is_empty() || time_ns != self.last_ns {
            self.set(time_ns);
            self.padded.iter_mut().zip(&self.text).for_each(|(to, byte)| *to = *byte);
        }
        let end = out.len() + self.text.len();
        out.extend_from_slice(&self.padded);
        out.truncate(end);
    }

    fn set(&mut self, time_ns: i64) {
        let mut of_day_ns = time_ns.checked_sub(self.day_ns).unwrap_or(-1);
        let text = &mut self.text;
        if text.is_empty() || !(0..D_NS).contains(&of_day_ns) {
            of_day_ns = time_ns.rem_euclid(D_NS);
            // If the day starts before `i64::MIN`, the stored start is `i64::MAX`, so that the next
            // call formats the date again.
            self.day_ns = time_ns.checked_sub(of_day_ns).unwrap_or(i64::MAX);
            text.clear();
            text.push(b'"');
            date(time_ns.div_euclid(D_NS), text);
        }
        text.truncate(DATE_BYTES);
        self.last_ns = time_ns;
        let seconds = of_day_ns / S_NS;
        let fraction_ns = of_day_ns - seconds * S_NS;
        let seconds = seconds as u32;
        let two = |part: u32| [b'0' + (part / 10) as u8, b'0' + (part % 10) as u8];
        let [a, b] = two(seconds / 3_600);
        let [c, d] = two(seconds / 60 % 60);
        let [e, f] = two(seconds % 60);
        text.extend_from_slice(&[a, b, b':', c, d, b':', e, f]);
        fraction(fraction_ns, text);
        text.extend_from_slice(b"Z\"");
    }
}

/// Appends an integer.
pub fn integer(value: i64, out: &mut Vec<u8>) {
    // Appending two single bytes is faster than copying a slice of two bytes.
    if let (0..100, small) = (value, value as u8) {
        if small >= 10 {
            out.push(b'0' + small / 10);
        }
        return out.push(b'0' + small % 10);
    }
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(value).as_bytes());
}

/// Appends a separator and an integer. For integers from 0 to 999, the function copies four bytes
/// and then removes the unused bytes, because copying a fixed number of bytes is faster.
#[inline(always)]
pub fn integer_behind(separator: u8, value: i64, out: &mut Vec<u8>) {
    let (0..1_000, small) = (value, value as u32) else {
        out.push(separator);
        return integer(value, out);
    };
    let [ones, tens, hundreds] = [small % 10, small / 10 % 10, small / 100].map(|d| b'0' + d as u8);
    let (bytes, length) = match small {
        0..10 => ([separator, ones, 0, 0], 2),
        10..100 => ([separator, tens, ones, 0], 3),
        _ => ([separator, hundreds, tens, ones], 4),
    };
    let end = out.len() + length;
    out.extend_from_slice(&bytes);
    out.truncate(end);
}

/// Appends a time in Go's format `time.RFC3339Nano`, without trailing zeros and with `Z` or an
/// offset.
pub fn rfc3339(time_ns: i64, offset_ns: i64, out: &mut Vec<u8>) {
    fraction(to_second(time_ns, offset_ns, out), out);
    offset(offset_ns, out);
}

/// Appends a time in Arrow's format, with 0, 3, 6 or 9 decimals. The time has `Z` or an offset only
/// if `zone` is not empty.
pub fn arrow(time_ns: i64, zone: &[(i64, i64)], out: &mut Vec<u8>) {
    let offset_ns = offset_at(zone, time_ns);
    let fraction_ns = to_second(time_ns, offset_ns, out);
    if fraction_ns != 0 {
        out.push(b'.');
        let width =
            [(1_000_000, 3), (1_000, 6)].into_iter().find(|(unit, _)| fraction_ns % unit == 0);
        let (unit_ns, width) = width.unwrap_or((1, 9));
        digits(fraction_ns / unit_ns, width, out);
    }
    if !zone.is_empty() {
        offset(offset_ns, out);
    }
}

fn to_second(time_ns: i64, offset_ns: i64, out: &mut Vec<u8>) -> i64 {
    // The sum can exceed the range of `i64`.
    let local_ns = i128::from(time_ns) + i128::from(offset_ns);
    let days = local_ns.div_euclid(i128::from(D_NS)) as i64;
    let of_day_ns = local_ns.rem_euclid(i128::from(D_NS)) as i64;
    date(days, out);
    let seconds = of_day_ns / S_NS;
    digits(seconds / 3_600, 2, out);
    for part in [seconds / 60 % 60, seconds % 60] {
        out.push(b':');
        digits(part, 2, out);
    }
    of_day_ns % S_NS
}

/// Appends `2006-01-02T`.
fn date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(days);
    digits(year, 4, out);
    for part in [month, day] {
        out.push(b'-');
        digits(part, 2, out);
    }
    out.push(b'T');
}

fn offset(offset_ns: i64, out: &mut Vec<u8>) {
    let offset_minutes = offset_ns / (60 * S_NS);
    if offset_minutes == 0 {
        out.push(b'Z');
        return;
    }
    out.push(if offset_minutes < 0 { b'-' } else { b'+' });
    digits(offset_minutes.abs() / 60, 2, out);
    out.push(b':');
    digits(offset_minutes.abs() % 60, 2, out);
}

/// Appends the fraction of a second without trailing zeros. Appends nothing if the fraction is 0.
fn fraction(fraction_ns: i64, out: &mut Vec<u8>) {
    if fraction_ns != 0 {
        out.push(b'.');
        digits(fraction_ns, 9, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

fn digits(value: i64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value);
    out.resize(out.len() + width.saturating_sub(text.len()), b'0');
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::time::{MAX_TIME_NS, MIN_TIME_NS};

    fn printed(time_ns: i64, offset_ns: i64) -> String {
        let mut out = Vec::new();
        rfc3339(time_ns, offset_ns, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_print_as_in_go() {
        for (time_ns, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (1_700_000_000_120_000_000, "2023-11-14T22:13:20.12Z"),
            (951_782_400 * S_NS, "2000-02-29T00:00:00Z"),
            (MIN_TIME_NS, "1677-09-21T00:12:43.145224194Z"),
            (MAX_TIME_NS, "2262-04-11T23:47:16.854775806Z"),
        ] {
            assert_eq!(printed(time_ns, 0), text);
        }
        let mut clock = Clock::new(None, &[]);
        let hour_ns = 3_600 * S_NS;
        for time_ns in [0, -1, 1, D_NS - 1, D_NS, 951_782_400 * S_NS + 7 * hour_ns, MIN_TIME_NS] {
            for time_ns in [time_ns, MAX_TIME_NS, time_ns + 86_399 * S_NS] {
                let mut out = Vec::new();
                clock.write(time_ns, &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), format!("\"{}\"", printed(time_ns, 0)));
            }
        }
        assert_eq!(printed(0, -5 * 3_600 * S_NS), "1969-12-31T19:00:00-05:00");
        assert_eq!(printed(0, 19_800 * S_NS), "1970-01-01T05:30:00+05:30");
    }

    #[test]
    fn times_print_as_in_arrow() {
        let printed = |time_ns, zone: &[(i64, i64)]| {
            let mut out = Vec::new();
            arrow(time_ns, zone, &mut out);
            String::from_utf8(out).unwrap()
        };
        for (time_ns, text) in [
            (0, "1970-01-01T00:00:00"),
            (1_641_024_000_500_000_000, "2022-01-01T08:00:00.500"),
            (1_641_024_000_000_020_000, "2022-01-01T08:00:00.000020"),
            (1, "1970-01-01T00:00:00.000000001"),
            (-1, "1969-12-31T23:59:59.999999999"),
            (MIN_TIME_NS, "1677-09-21T00:12:43.145224194"),
        ] {
            assert_eq!(printed(time_ns, &[]), text);
        }
        let zone = [(i64::MIN, 0), (10, 3_600 * S_NS)];
        assert_eq!(printed(9, &zone), "1970-01-01T00:00:00.000000009Z");
        assert_eq!(printed(10, &zone), "1970-01-01T01:00:00.000000010+01:00");
    }

    #[test]
    fn separated_integers_print_correctly() {
        let mut out = Vec::new();
        let values = (-1..1_100).chain([i64::MIN, i64::MAX]);
        values.clone().for_each(|value| integer_behind(b',', value, &mut out));
        let expected: String = values.map(|value| format!(",{value}")).collect();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn epoch_times_truncate_towards_zero() {
        let written = |clock: &mut Clock<'_>, time_ns| {
            let mut out = Vec::new();
            clock.write(time_ns, &mut out);
            String::from_utf8(out).unwrap()
        };
        let mut seconds = Clock::new(Some(Precision::Second), &[]);
        assert_eq!(written(&mut seconds, 1_999_999_999), "1");
        assert_eq!(written(&mut seconds, -1_999_999_999), "-1");
        let zone = [(0, 0), (10, 3_600 * S_NS)];
        let mut local = Clock::new(None, &zone);
        assert_eq!(written(&mut local, 9), "\"1970-01-01T00:00:00.000000009Z\"");
        assert_eq!(written(&mut local, 10), "\"1970-01-01T01:00:00.00000001+01:00\"");
    }
}
