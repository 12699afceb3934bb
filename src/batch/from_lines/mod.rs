//! Builds a [`Batch`] from line protocol. No other file knows both.
//!
//! A raw series key is looked up whole, so tags are cut once per new series. Which series follows
//! which, and which field follows which, is remembered and expected again.

use super::Batch;
use super::column::Values;
use super::column_growth::Room;
use super::field_writer;
use super::interner::Interner;
use super::measurement_writer::{MeasurementWriter, Refusal};
use crate::line_protocol::{
    self, Cause, FieldKey, NotUtf8, Options, Rejected, SeriesKey, Sink, unescape_name,
    unescape_string,
};
use crate::model::configurable_limits::{Limit, Limits};
use crate::model::value::FieldType;

/// Series keys that are remembered, bytes. A body that has more seldom has one of them twice.
const KEYS_BYTES_MAX: usize = 4_000_000;
/// No key.
const NONE: u32 = u32::MAX;

/// The accepted lines of `body` as columns, and the others.
///
/// `seed` is random, so that a client cannot choose keys that collide; nothing in the result
/// depends on it.
///
/// # Errors
/// [`NotUtf8`]: no line is accepted.
pub fn from_lines(body: &[u8], options: Options, seed: u64) -> Result<(Batch, Rejected), NotUtf8> {
    let mut builder = BatchBuilder::new(seed, options.limits);
    let rejected = line_protocol::parse(body, options, &mut builder)?;
    Ok((builder.finish(), rejected))
}

/// The measurement and the series that a series key as written names.
#[derive(Clone, Copy, Debug)]
struct Target {
    measurement: u32,
    series: u32,
    /// The key that followed last time.
    next: u32,
}

/// Collects lines; feed it through [`line_protocol::Parser`] to read a body in pieces.
#[derive(Debug)]
pub struct BatchBuilder {
    seed: u64,
    limits: Limits,
    /// Series keys as written, and their canonical forms.
    keys: Interner,
    /// For each of `keys`.
    targets: Vec<Target>,
    names: Interner,
    measurements: Vec<MeasurementWriter>,
    /// The line at hand.
    measurement: u32,
    series: u32,
    /// Key of the line at hand, and the one expected after it.
    key: u32,
    expected_key: u32,
    cells: usize,
    any_rejected: bool,
    scratch: String,
}

impl BatchBuilder {
    /// No lines yet. About `seed` see [`from_lines`].
    pub fn new(seed: u64, limits: Limits) -> Self {
        Self {
            seed,
            limits,
            keys: Interner::new(seed),
            targets: Vec::new(),
            names: Interner::new(seed),
            measurements: Vec::new(),
            measurement: NONE,
            series: NONE,
            key: NONE,
            expected_key: NONE,
            cells: 0,
            any_rejected: false,
            scratch: String::new(),
        }
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        let measurements = self.measurements.iter().map(MeasurementWriter::bytes);
        self.keys.bytes()
            + self.targets.capacity() * size_of::<Target>()
            + measurements.sum::<usize>()
    }

    /// Sizes what grows with the lines for the whole body: `used_bytes` of it are read, it will
    /// have about `expected_bytes`, and `next_bytes` may come before the next call.
    pub fn make_room(&mut self, used_bytes: usize, expected_bytes: usize, next_bytes: usize) {
        let room = Room::new(used_bytes, expected_bytes, next_bytes);
        for measurement in &mut self.measurements {
            measurement.make_room(&room);
        }
    }

    /// The committed lines.
    pub fn finish(self) -> Batch {
        let any_rejected = self.any_rejected;
        let measurements = self.measurements.into_iter();
        Batch { measurements: measurements.flat_map(|one| one.finish(any_rejected)).collect() }
    }

    /// The line at hand has key number `key`.
    #[inline(always)]
    fn follow(&mut self, key: u32) {
        if let Some(previous) = self.targets.get_mut(self.key as usize) {
            previous.next = key;
        }
        self.key = key;
        if let Some(target) = self.targets.get(key as usize) {
            self.measurement = target.measurement;
            self.series = target.series;
            self.expected_key = target.next;
        }
    }

    /// A key that comes again is taken for a new series, of the same tags as the one before: its
    /// rows are later ones, and so is its number.
    #[cold]
    fn forget_keys(&mut self) {
        self.keys = Interner::new(self.seed);
        self.targets = Vec::new();
        (self.key, self.expected_key) = (NONE, NONE);
    }

    /// Adds the series of a key seen for the first time; returns the key's number.
    fn add_key(&mut self, raw: &str, hash: u32, key: &SeriesKey<'_>) -> Result<u32, Cause> {
        if line_protocol::is_canonical(raw, key) {
            return self.add_canonical(raw, hash, key);
        }
        let mut canonical = std::mem::take(&mut self.scratch);
        line_protocol::write_canonical(key, &mut canonical);
        let canonical_hash = self.keys.hash(&canonical);
        let number = match self.keys.find_hashed(&canonical, canonical_hash) {
            Some(number) => Ok(number),
            None => self.add_canonical(&canonical, canonical_hash, key),
        };
        let is_alias = canonical != raw;
        self.scratch = canonical;
        let number = number?;
        if !is_alias {
            return Ok(number);
        }
        let alias = self.keys.add(raw, hash);
        if let Some(target) = self.targets.get(number as usize) {
            self.targets.push(Target { next: alias, ..*target });
        }
        Ok(alias)
    }

    fn add_canonical(
        &mut self,
        canonical: &str,
        hash: u32,
        key: &SeriesKey<'_>,
    ) -> Result<u32, Cause> {
        let measurement = match self.names.find(&key.measurement) {
            Some(measurement) => measurement,
            None => {
                let there = self.measurements.len();
                self.limits.check(Limit::Measurements, there, there + 1)?;
                let writer = MeasurementWriter::new(&key.measurement, self.seed, self.limits);
                self.measurements.push(writer);
                self.names.intern(&key.measurement).0
            }
        };
        let Some(writer) = self.measurements.get_mut(measurement as usize) else {
            return Err(Cause::MissingMeasurement);
        };
        let tags = key.tags.iter().map(|(tag, value)| (tag.as_ref(), value.as_ref()));
        let series = writer.add_series(tags, &mut self.cells).map_err(cause)?;
        let number = self.keys.add(canonical, hash);
        // Until another key has followed: most likely the same again.
        self.targets.push(Target { measurement, series, next: number });
        Ok(number)
    }

    /// The column for a value of the line at hand.
    #[inline(never)]
    fn column(&mut self, key: FieldKey<'_>, field_type: FieldType) -> Result<&mut Values, Cause> {
        let Some(writer) = self.measurements.get_mut(self.measurement as usize) else {
            return Err(Cause::MissingMeasurement);
        };
        match key {
            FieldKey::Expected => writer.expected_column(field_type, &mut self.cells),
            FieldKey::Raw(raw) => {
                writer.named_column(raw, &unescape_name(raw), field_type, &mut self.cells)
            }
        }
        .map_err(cause)
    }
}

/// Takes a value: by the short way if it is what was expected, else by the long one.
macro_rules! set_or_push {
    ($name:ident, $push:ident, $set:ident, $field_type:ident, $value:ty) => {
        #[inline(always)]
        fn $name(&mut self, key: FieldKey<'_>, value: $value) -> Result<(), Cause> {
            if let FieldKey::Expected = key
                && let Some(writer) = self.measurements.get_mut(self.measurement as usize)
                && writer.$push(value)
            {
                return Ok(());
            }
            field_writer::$set(self.column(key, FieldType::$field_type)?, value);
            Ok(())
        }
    };
}

impl BatchBuilder {
    set_or_push!(plain_string, push_string, set_string, String, &str);
}

impl Sink for BatchBuilder {
    #[inline(always)]
    fn expected_series(&self) -> &[u8] {
        self.keys.strings().bytes_of(self.expected_key as usize)
    }

    #[inline(always)]
    fn begin_expected(&mut self) {
        self.follow(self.expected_key);
    }

    fn begin(&mut self, raw_key: &str) -> Result<(), (usize, Cause)> {
        // Should the key be bad: a rollback must not reach the measurement of the line before.
        self.measurement = NONE;
        let hash = self.keys.hash(raw_key);
        let number = match self.keys.find_hashed(raw_key, hash) {
            Some(number) => number,
            None => {
                let key = line_protocol::cut(raw_key, &self.limits)?;
                if self.keys.bytes() > KEYS_BYTES_MAX {
                    self.forget_keys();
                }
                self.add_key(raw_key, hash, &key).map_err(|cause| (0, cause))?
            }
        };
        self.follow(number);
        Ok(())
    }

    #[inline(always)]
    fn expected_field(&self) -> &[u8] {
        let writer = self.measurements.get(self.measurement as usize);
        writer.map_or(&[], MeasurementWriter::expected_field)
    }

    set_or_push!(float, push_float, set_float, Float, f64);
    set_or_push!(integer, push_integer, set_integer, Integer, i64);
    set_or_push!(boolean, push_boolean, set_boolean, Boolean, bool);

    fn unsigned(&mut self, key: FieldKey<'_>, value: u64) -> Result<(), Cause> {
        field_writer::set_unsigned(self.column(key, FieldType::Unsigned)?, value);
        Ok(())
    }

    #[inline(always)]
    fn string(&mut self, key: FieldKey<'_>, raw: &str, escaped: bool) -> Result<(), Cause> {
        if !escaped {
            return self.plain_string(key, raw);
        }
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        unescape_string(raw, |piece| text.push_str(piece));
        let result = self.plain_string(key, &text);
        self.scratch = text;
        result
    }

    #[inline(always)]
    fn commit(&mut self, time_ns: i64, line: u32) -> Result<(), Cause> {
        let series = self.series;
        match self.measurements.get_mut(self.measurement as usize) {
            Some(writer) => writer.commit(series, time_ns, line, &mut self.cells).map_err(cause),
            None => Err(Cause::MissingMeasurement),
        }
    }

    fn rollback(&mut self) {
        self.any_rejected = true;
        if let Some(writer) = self.measurements.get_mut(self.measurement as usize) {
            writer.rollback(&mut self.cells);
        }
    }
}

fn cause(refusal: Refusal) -> Cause {
    match refusal {
        Refusal::TypeConflict { key, first, second } => {
            Cause::FieldTypeConflict { key, first, second }
        }
        Refusal::TooManyFields(exceeded) => exceeded.into(),
        Refusal::TooManyCells { current, requested } => Cause::TooManyCells { current, requested },
    }
}

#[cfg(test)]
mod tests;
