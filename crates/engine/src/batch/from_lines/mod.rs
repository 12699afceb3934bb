//! Builds a [`Batch`] from the parser's lines. The tags of a series key are parsed only once.

use super::Batch;
use super::column::Values;
use super::interner::Interner;
use super::measurement_writer::MeasurementWriter;
use super::room::Room;
use tidemark_line_protocol::{
    self, Cause, FieldKey, NotUtf8, Options, Rejected, SeriesKey, Sink, unescape_name,
    unescape_string,
};
use tidemark_model::configurable_limits::{Limit, Limits};
use tidemark_model::value::FieldType;

/// The maximum size of the known series keys, in bytes. A body with more series keys seldom repeats
/// a key.
const KEYS_BYTES_MAX: usize = 4_000_000;
const NONE: u32 = u32::MAX;

/// Parses `body` into columns. Also returns the rejected lines. `seed` must be random, so that a
/// client cannot choose colliding keys. Invalid UTF-8 rejects all lines.
pub fn from_lines(body: &[u8], options: Options, seed: u64) -> Result<(Batch, Rejected), NotUtf8> {
    let mut builder = BatchBuilder::new(seed, options.limits);
    let rejected = tidemark_line_protocol::parse(body, options, &mut builder)?;
    Ok((builder.finish(), rejected))
}

#[derive(Clone, Copy, Debug)]
struct Target {
    measurement: u32,
    series: u32,
    /// The key that followed this key when the body last contained this key.
    next: u32,
}

/// A sink that collects lines into a [`Batch`], for bodies that are read in pieces.
#[derive(Debug)]
pub struct BatchBuilder {
    seed: u64,
    limits: Limits,
    keys: Interner,
    targets: Vec<Target>,
    names: Interner,
    measurements: Vec<MeasurementWriter>,
    measurement: u32,
    series: u32,
    key: u32,
    expected_key: u32,
    cells: usize,
    any_rejected: bool,
    scratch: String,
}

impl BatchBuilder {
    /// Creates an empty builder. [`from_lines`] describes `seed`.
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

    /// Returns the memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        let measurements = self.measurements.iter().map(MeasurementWriter::bytes);
        self.keys.bytes()
            + self.names.bytes()
            + self.targets.capacity() * size_of::<Target>()
            + measurements.sum::<usize>()
    }

    /// Reserves memory for the rest of the body. `used_bytes` were read so far, the body has about
    /// `expected_bytes`, and up to `next_bytes` may follow before the next call.
    pub fn make_room(&mut self, used_bytes: usize, expected_bytes: usize, next_bytes: usize) {
        let room = Room::new(used_bytes, expected_bytes, next_bytes);
        for measurement in &mut self.measurements {
            measurement.make_room(&room);
        }
    }

    /// Starts a point of a series that was not written as line protocol. `text` identifies the
    /// series: different series have different texts. A builder must receive either texts or lines.
    ///
    /// # Errors
    /// Returns the [`Cause`] if the series exceeds a limit.
    pub fn begin_series(&mut self, text: &str, key: &SeriesKey<'_>) -> Result<(), Cause> {
        self.measurement = NONE;
        let hash = self.keys.hash(text);
        let number = match self.keys.find_hashed(text, hash) {
            Some(number) => number,
            None => {
                if self.keys.bytes() > KEYS_BYTES_MAX {
                    self.forget_keys();
                }
                self.add_canonical(text, hash, key)?
            }
        };
        self.follow(number);
        Ok(())
    }

    /// Returns the committed lines.
    pub fn finish(self) -> Batch {
        let any_rejected = self.any_rejected;
        let measurements = self.measurements.into_iter();
        Batch { measurements: measurements.flat_map(|one| one.finish(any_rejected)).collect() }
    }

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

    /// Clears the table of known series keys. If a forgotten key occurs again, it gets a new,
    /// higher series number, so the order of rows does not change.
    #[cold]
    fn forget_keys(&mut self) {
        self.keys = Interner::new(self.seed);
        self.targets = Vec::new();
        (self.key, self.expected_key) = (NONE, NONE);
    }

    fn add_key(&mut self, raw: &str, hash: u32, key: &SeriesKey<'_>) -> Result<u32, Cause> {
        if tidemark_line_protocol::is_canonical(raw, key) {
            return self.add_canonical(raw, hash, key);
        }
        let mut canonical = std::mem::take(&mut self.scratch);
        tidemark_line_protocol::write_canonical(key, &mut canonical);
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
        let series = writer.add_series(tags, &mut self.cells)?;
        let number = self.keys.add(canonical, hash);
        self.targets.push(Target { measurement, series, next: number });
        Ok(number)
    }

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
    }
}

/// Defines a function that appends a value to the column of a field. The column of the expected
/// field needs no lookup.
macro_rules! set_or_push {
    ($name:ident, $push:ident, $variant:ident, $value:ty) => {
        #[inline(always)]
        fn $name(&mut self, key: FieldKey<'_>, value: $value) -> Result<(), Cause> {
            if let FieldKey::Expected = key
                && let Some(writer) = self.measurements.get_mut(self.measurement as usize)
                && writer.$push(value)
            {
                return Ok(());
            }
            if let Values::$variant(values) = self.column(key, FieldType::$variant)? {
                values.push(value);
            }
            Ok(())
        }
    };
}

impl BatchBuilder {
    set_or_push!(plain_string, push_string, String, &str);
}

impl Sink for BatchBuilder {
    #[inline(always)]
    fn expected_series(&self) -> &[u8] {
        self.keys.strings.bytes_of(self.expected_key as usize)
    }

    #[inline(always)]
    fn begin_expected(&mut self) {
        self.follow(self.expected_key);
    }

    fn begin(&mut self, raw_key: &str) -> Result<(), (usize, Cause)> {
        // If the key is invalid, a rollback must not affect the measurement of the previous line.
        self.measurement = NONE;
        let hash = self.keys.hash(raw_key);
        let number = match self.keys.find_hashed(raw_key, hash) {
            Some(number) => number,
            None => {
                let key = tidemark_line_protocol::cut(raw_key, &self.limits)?;
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

    set_or_push!(float, push_float, Float, f64);
    set_or_push!(integer, push_integer, Integer, i64);
    set_or_push!(boolean, push_boolean, Boolean, bool);

    fn unsigned(&mut self, key: FieldKey<'_>, value: u64) -> Result<(), Cause> {
        if let Values::Unsigned(values) = self.column(key, FieldType::Unsigned)? {
            values.push(value);
        }
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
            Some(writer) => writer.commit(series, time_ns, line, &mut self.cells),
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

#[cfg(test)]
mod tests;
