//! The shapes of the written points, and the order of the points.

use tidemark::batch::Block;
use tidemark::batch::column::{Column, Values};
use tidemark::batch::frame::{self, TableRef};
use tidemark::batch::selection::Selection;
use tidemark::batch::series_table::{SeriesTable, TagColumn};
use tidemark::model::ids::{ColumnId, MeasurementId};

use crate::{BATCH_ROWS, S_NS};

pub(crate) const START_NS: i64 = 1_600_000_000 * S_NS;
pub(crate) const STEP_NS: i64 = 10 * S_NS;
pub(crate) const DAY_NS: i64 = 86_400 * S_NS;

/// A set of hosts with a point every 10 s: a million for `Series`, a hundred for all other shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Ten integer fields on a random walk.
    Integers,
    /// Ten fields with two decimals on a random walk.
    Decimals,
    /// Ten float fields with full precision.
    Floats,
    /// A million hosts with one field.
    Series,
    /// A hundred hosts with one field.
    Integer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Ordered,
    /// A tenth of each batch is at random times in the past.
    Late,
    Random,
}

impl Order {
    pub(crate) const ALL: [Self; 3] = [Self::Ordered, Self::Late, Self::Random];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Late => "late",
            Self::Random => "random",
        }
    }
}

impl Shape {
    pub(crate) const ALL: [Self; 5] =
        [Self::Integers, Self::Decimals, Self::Floats, Self::Series, Self::Integer];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Integers => "integers",
            Self::Decimals => "decimals",
            Self::Floats => "floats",
            Self::Series => "series",
            Self::Integer => "integer",
        }
    }

    /// The narrow shape runs only with the largest size.
    pub(crate) fn is_run(self, order: Order, points: u64) -> bool {
        match self {
            Self::Integer => order == Order::Ordered && points == 100_000_000,
            _ => points < 100_000_000,
        }
    }

    pub(crate) fn fields(self) -> u64 {
        if matches!(self, Self::Series | Self::Integer) { 1 } else { 10 }
    }

    fn series(self) -> u64 {
        if self == Self::Series { 1_000_000 } else { 100 }
    }

    /// The environment variable `WINDOW_S` overrides the shard duration, in seconds.
    pub(crate) fn window_ns(self) -> i64 {
        let given = std::env::var("WINDOW_S").ok().and_then(|text| text.parse::<i64>().ok());
        if let Some(window_s) = given {
            return window_s * S_NS;
        }
        if self == Self::Series { 7 * DAY_NS } else { DAY_NS }
    }

    pub(crate) fn frames(self, order: Order, points: u64) -> Frames {
        let random = fastrand::Rng::with_seed(7);
        let walks = vec![50; (self.series() * self.fields()) as usize];
        Frames { shape: self, order, points, next: 0, random, walks }
    }
}

pub(crate) struct Frames {
    shape: Shape,
    order: Order,
    points: u64,
    next: u64,
    random: fastrand::Rng,
    walks: Vec<i64>,
}

impl Frames {
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut points: Vec<(u64, i64)> = Vec::new();
        for index in self.next..self.next + BATCH_ROWS {
            points.push(self.point(index));
        }
        self.next += BATCH_ROWS;
        let fields = self.shape.fields() as usize;
        let mut columns = vec![Vec::with_capacity(points.len()); fields];
        for &(series, _) in &points {
            for (field, column) in columns.iter_mut().enumerate() {
                let walk = &mut self.walks[series as usize * fields + field];
                let step = if self.shape == Shape::Decimals { 50 } else { 1 };
                *walk = (*walk + self.random.i64(-step..=step)).clamp(0, 100 * step);
                column.push(*walk);
            }
        }
        let columns = columns.into_iter().map(|column| self.column(column)).collect();
        encode(&points, columns)
    }

    /// Returns the series and the time. `index` is in time order.
    fn point(&mut self, index: u64) -> (u64, i64) {
        let (index, late_ns) = match self.order {
            Order::Ordered => (index, 0),
            // A late point is between two existing times, so it overwrites no point.
            Order::Late if self.random.u32(0..10) == 0 => {
                (self.random.u64(0..=index), STEP_NS / 10 * self.random.i64(1..10))
            }
            Order::Late => (index, 0),
            Order::Random => (permuted(index, self.points), 0),
        };
        let series = self.shape.series();
        (index % series, START_NS + (index / series) as i64 * STEP_NS + late_ns)
    }

    fn column(&mut self, column: Vec<i64>) -> Column {
        Column::full(match self.shape {
            Shape::Integers | Shape::Integer | Shape::Series => Values::Integer(column),
            Shape::Decimals => Values::Float(column.iter().map(|v| *v as f64 / 100.0).collect()),
            Shape::Floats => Values::Float(column.iter().map(|_| self.random.f64()).collect()),
        })
    }
}

/// The result is a permutation of `0..count`.
fn permuted(mut index: u64, count: u64) -> u64 {
    let bits = count.next_power_of_two().ilog2();
    let mask = (1 << bits) - 1;
    loop {
        for odd in [0x9E37_79B9_7F4A_7C15_u64, 0xC2B2_AE3D_27D4_EB4F] {
            index = index.wrapping_mul(odd) & mask;
            index ^= index >> (bits / 2);
        }
        if index < count {
            return index;
        }
    }
}

/// The points are given as series and time. The column ids of the fields start at 10.
pub(crate) fn encode(points: &[(u64, i64)], fields: Vec<Column>) -> Vec<u8> {
    let mut series: Vec<u64> = points.iter().map(|(series, _)| *series).collect();
    series.sort_unstable();
    series.dedup();
    let names: Vec<String> = series.iter().map(|series| format!("host_{series}")).collect();
    let tag = TagColumn {
        dictionary: names.iter().map(String::as_str).collect(),
        codes: (1..=names.len() as u32).collect(),
    };
    let row = |(of, _): &(u64, i64)| series.binary_search(of).unwrap() as u32;
    let field_ids: Vec<ColumnId> = (10..).take(fields.len()).map(ColumnId).collect();
    let block = Block {
        series: SeriesTable { tags: vec![tag], len: names.len() as u32 },
        row_series: points.iter().map(row).collect(),
        times_ns: points.iter().map(|(_, time_ns)| *time_ns).collect(),
        fields,
    };
    let mut out = Vec::new();
    let table = TableRef {
        measurement: MeasurementId(1),
        tag_ids: &[ColumnId(1)],
        field_ids: &field_ids,
        block: &block,
        rows: &Selection::All,
    };
    frame::encode(&[table], &mut out);
    out
}
