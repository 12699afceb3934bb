//! Defines the position at which an export continues.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::limits::SHARDS_REQUESTED_AT_ONCE_MAX;
use crate::model::shard_map::ShardGroup;
use crate::query::executor::RowPosition;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// `None` means the earliest possible time.
    pub(super) start_ns: Option<i64>,
    /// The exclusive end; `None` means that the range has no end.
    pub(super) end_ns: Option<i64>,
}

impl Window {
    /// Divides `times` into windows. The shard groups of a window have about as many shards as a
    /// query calls at the same time, because a query calls each of its shards several times.
    pub(super) fn all(groups: &[ShardGroup], times: Self) -> Vec<Self> {
        let mut groups: Vec<&ShardGroup> = groups.iter().collect();
        groups.sort_by_key(|group| group.range.start_ns);
        let (mut windows, mut last, mut shards) = (Vec::new(), times, 0);
        for group in groups {
            let at_ns = group.range.start_ns;
            let is_inside = last.start_ns.is_none_or(|start_ns| start_ns < at_ns)
                && last.end_ns.is_none_or(|end_ns| at_ns < end_ns);
            if is_inside && shards >= SHARDS_REQUESTED_AT_ONCE_MAX {
                windows.push(Self { end_ns: Some(at_ns), ..last });
                last.start_ns = Some(at_ns);
                shards = 0;
            }
            if times.start_ns.is_none_or(|start_ns| start_ns < group.range.end_ns) {
                shards += group.shards.len();
            }
        }
        windows.push(last);
        windows
    }

    pub(super) fn after(self, earlier: Self) -> Option<Self> {
        let from_ns = earlier.end_ns?;
        let start_ns = self.start_ns.map_or(from_ns, |start_ns| start_ns.max(from_ns));
        let is_empty = self.end_ns.is_some_and(|end_ns| end_ns <= start_ns);
        (!is_empty).then_some(Self { start_ns: Some(start_ns), ..self })
    }

    pub(super) fn condition(self) -> String {
        let start = self.start_ns.map(|start_ns| format!("time >= {start_ns}"));
        let end = self.end_ns.map(|end_ns| format!("time < {end_ns}"));
        match [start, end].into_iter().flatten().collect::<Vec<_>>().join(" AND ").as_str() {
            "" => String::new(),
            both => format!(" WHERE {both}"),
        }
    }
}

/// A position in an export. The text form contains neither spaces nor quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// An export whose requests name no policy continues with this policy.
    pub(super) policy: String,
    /// An export reads the measurements in order of their names.
    pub(super) measurement: String,
    pub(super) window: Window,
    pub(super) row: Option<RowPosition>,
}

/// Separates the policy, the window, the measurement and the row with commas. Names are
/// percent-encoded.
impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<i64>| number.map_or(String::new(), |n| n.to_string());
        let Window { start_ns, end_ns } = self.window;
        write!(out, "{},{},{}", encoded(&self.policy), number(start_ns), number(end_ns))?;
        write!(out, ",{}", encoded(&self.measurement))?;
        let Some(row) = &self.row else { return Ok(()) };
        write!(out, ",{}", row.time_ns)?;
        for (key, value) in &row.tags {
            write!(out, ",{},{}", encoded(key), encoded(value))?;
        }
        Ok(())
    }
}

impl Position {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let policy = decoded(parts.next()?);
        let window = Window { start_ns: number(parts.next()?)?, end_ns: number(parts.next()?)? };
        let measurement = decoded(parts.next()?);
        let row = None;
        let Some(time) = parts.next() else {
            return Some(Self { policy, measurement, window, row });
        };
        let (time_ns, mut tags) = (time.parse().ok()?, BTreeMap::new());
        while let Some(key) = parts.next() {
            tags.insert(decoded(key), decoded(parts.next()?));
        }
        let row = Some(RowPosition { tags, time_ns });
        Some(Self { policy, measurement, window, row })
    }
}

fn number(text: &str) -> Option<Option<i64>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

fn encoded(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

fn decoded(text: &str) -> String {
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    pairs.next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::ObjectId;
    use crate::model::time::TimeRange;

    #[test]
    fn export_position_round_trips_as_text() {
        let row = |tags: &[(&str, &str)]| RowPosition {
            tags: tags.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
            time_ns: -7,
        };
        let window = Window { start_ns: Some(-9), end_ns: None };
        for (measurement, row) in [
            ("m", None),
            ("a, b=c\u{e9}%", Some(row(&[]))),
            ("+&;\"", Some(row(&[("k,=", "a b\t+"), ("x.y", "%2C&")]))),
        ] {
            let (policy, measurement) = ("a, p".to_owned(), measurement.to_owned());
            let position = Position { policy, measurement, window, row };
            let text = position.to_string();
            assert!(!text.contains([' ', '"', '\t']), "{text}");
            assert_eq!(Position::parse(&text), Some(position), "{text}");
        }
        for wrong in ["", "p", "p,1", "p,1,2", "p,x,,m", "p,,,m,x", "p,,,m,1,k", ",,m"] {
            assert_eq!(Position::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn export_windows_cover_time_once() {
        let group = |n: i64| ShardGroup {
            id: n as u64,
            range: TimeRange::new(n * 10, n * 10 + 10),
            shards: vec![ObjectId(String::new()); 4],
            split_bytes: 0,
        };
        let groups: Vec<ShardGroup> = [3, 0, 1, 2, 4].map(group).to_vec();
        let window = |start_ns, end_ns| Window { start_ns, end_ns };
        let all = Window::all(&groups, Window::default());
        let pairs = [window(None, Some(20)), window(Some(20), Some(40)), window(Some(40), None)];
        assert_eq!(all, pairs);
        let some = Window::all(&groups, window(Some(15), Some(25)));
        assert_eq!(some, [window(Some(15), Some(25))]);
        assert_eq!(Window::all(&[], Window::default()), [Window::default()]);
        let behind = |earlier: Window| all.iter().filter_map(|one| one.after(earlier)).count();
        assert_eq!((behind(pairs[0]), behind(pairs[1]), behind(pairs[2])), (2, 1, 0));
        assert_eq!(all[1].after(window(None, Some(30))), Some(window(Some(30), Some(40))));
    }
}
