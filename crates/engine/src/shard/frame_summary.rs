//! The summary of a frame of the log.

use std::collections::BTreeMap;

use crate::batch::frame::FrameHeader;
use crate::codec::varint;
use tidemark_model::ids::MeasurementId;
use tidemark_model::time::TimeRange;

/// The maximum size of a summary with measurements, in bytes. A larger summary is replaced with the
/// row counts, because an object keeps the summaries of all frames of the log in memory.
const SUMMARY_BYTES_MAX: usize = 64 << 10;
/// The kind of a summary that lists measurements, rows and times.
const NAMED: u8 = 1;
/// The kind of a summary that contains only row counts. The frame may then have rows of any
/// measurement with any timestamp.
const EVERYTHING: u8 = 2;

/// The measurements and times of a frame. The head of the frame's first log row contains this
/// summary, so an object reads the frame only when a query needs its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrameSummary {
    pub rows: u64,
    /// The number of rows of other tables that were written with the frame.
    pub(crate) other_rows: u64,
    /// The measurements, without duplicates, with the time range of their rows. `None` means that
    /// the measurements are unknown.
    pub tables: Option<Vec<(MeasurementId, TimeRange)>>,
}

impl FrameSummary {
    pub(super) fn of(header: &FrameHeader) -> Self {
        let mut times: BTreeMap<MeasurementId, TimeRange> = BTreeMap::new();
        for table in &header.tables {
            let of = TimeRange::new(table.min_time_ns, table.max_time_ns.saturating_add(1));
            let time = times.entry(table.measurement).or_insert(of);
            *time = time.hull(of);
        }
        let tables = times.iter().map(|(&measurement, &time)| (measurement, time)).collect();
        Self { rows: header.rows(), other_rows: 0, tables: Some(tables) }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = self.head(NAMED);
        if let Some(tables) = &self.tables {
            varint::write(tables.len() as u64, &mut out);
            for (measurement, time) in tables {
                varint::write(u64::from(measurement.0), &mut out);
                out.extend(time.start_ns.to_le_bytes());
                varint::write(time.end_ns.abs_diff(time.start_ns), &mut out);
            }
        }
        if self.tables.is_none() || out.len() > SUMMARY_BYTES_MAX {
            out = self.head(EVERYTHING);
        }
        out
    }

    fn head(&self, kind: u8) -> Vec<u8> {
        let mut out = vec![kind];
        varint::write(self.rows, &mut out);
        varint::write(self.other_rows, &mut out);
        out
    }

    /// Decodes a summary. Returns `None` for bytes that [`FrameSummary::encode`] did not create.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, mut rest) = bytes.split_first()?;
        let rows = varint::read(&mut rest).ok()?;
        let other_rows = varint::read(&mut rest).ok()?;
        let tables = match kind {
            EVERYTHING => None,
            NAMED => {
                let most = rest.len();
                let count = varint::read_length(&mut rest, most).ok()?;
                Some((0..count).map(|_| read_table(&mut rest)).collect::<Option<Vec<_>>>()?)
            }
            _ => return None,
        };
        rest.is_empty().then_some(Self { rows, other_rows, tables })
    }
}

fn read_table(bytes: &mut &[u8]) -> Option<(MeasurementId, TimeRange)> {
    let measurement = u32::try_from(varint::read(bytes).ok()?).ok()?;
    let start_ns = i64::from_le_bytes(*bytes.split_off(..8)?.as_array()?);
    let end_ns = start_ns.saturating_add_unsigned(varint::read(bytes).ok()?);
    Some((MeasurementId(measurement), TimeRange::new(start_ns, end_ns)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::frame::TableHeader;

    fn header(tables: impl Iterator<Item = (u32, i64, i64)>) -> FrameHeader {
        let table = |(measurement, min_time_ns, max_time_ns)| TableHeader {
            measurement: MeasurementId(measurement),
            rows: 2,
            series: 1,
            min_time_ns,
            max_time_ns,
            tag_ids: Vec::new(),
            fields: Vec::new(),
            payload_bytes: 0,
        };
        FrameHeader { tables: tables.map(table).collect(), payload_start: 0 }
    }

    #[test]
    fn summary_lists_each_measurement_once() {
        let ends = (i64::MIN + 2, i64::MAX - 1);
        let summary =
            FrameSummary::of(&header([(7, 5, 9), (3, ends.0, ends.1), (7, -4, 6)].into_iter()));
        let tables = vec![
            (MeasurementId(3), TimeRange::new(ends.0, ends.1 + 1)),
            (MeasurementId(7), TimeRange::new(-4, 10)),
        ];
        assert_eq!(summary, FrameSummary { rows: 6, other_rows: 0, tables: Some(tables) });
        let summary = FrameSummary { other_rows: 300, ..summary };
        let bytes = summary.encode();
        assert_eq!(FrameSummary::decode(&bytes), Some(summary));
        for length in 0..bytes.len() {
            assert_eq!(FrameSummary::decode(&bytes[..length]), None);
        }
    }

    #[test]
    fn summary_of_many_measurements_covers_all() {
        let of = |count: u32| FrameSummary::of(&header((0..count).map(|n| (n, 0, i64::from(n)))));
        assert!(of(1_000).encode().len() <= SUMMARY_BYTES_MAX);
        assert_eq!(FrameSummary::decode(&of(1_000).encode()), Some(of(1_000)));
        let bytes = of(10_000).encode();
        assert!(bytes.len() < 10);
        assert_eq!(
            FrameSummary::decode(&bytes),
            Some(FrameSummary { rows: 20_000, other_rows: 0, tables: None })
        );
    }
}
