//! Encodes and decodes the manifest.

use std::collections::{BTreeMap, BTreeSet};

use super::runs::Runs;
use super::{Hold, InvariantError, Job, Key, Manifest, Merge, Number, Part, PartId};
use crate::codec::crc::{append_crc, verify_crc};
use crate::codec::varint;
use crate::store::KEY_MAX;
use tidemark_model::series_sketch::{SKETCH_REGISTERS, SeriesSketch};

const VERSION: u8 = 4;
/// An earlier version, without sums of series.
const WITHOUT_SUMS: u8 = 3;
/// A sketch with at least this number of non-zero registers is written with all registers.
const REGISTERS_FEW: usize = SKETCH_REGISTERS / 2;
/// The maximum number of keys in a decoded run, so that a damaged manifest cannot contain a run of
/// 2^64 keys.
const KEYS_PER_RUN_MAX: u64 = 1 << 20;

/// The reason why bytes are not a valid manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The bytes are too short, or the checksum is wrong.
    #[error("the manifest has a wrong checksum")]
    Damaged,
    /// Another release wrote the manifest.
    #[error("the manifest has version {0}, which this release cannot read")]
    Version(u8),
    /// The checksum is correct, but the content cannot be decoded.
    #[error("the content is not a manifest")]
    Content,
    /// The content violates an invariant.
    #[error(transparent)]
    InvariantError(#[from] InvariantError),
}

impl Manifest {
    /// Encodes the manifest.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for counter in [u64::from(self.next_part), u64::from(self.next_number), self.next_key] {
            varint::write(counter, &mut out);
        }
        varint::write(self.width_ns.unsigned_abs(), &mut out);
        varint::write(self.parts.len() as u64, &mut out);
        self.parts.values().for_each(|part| write_part(part, &mut out));
        varint::write(self.keys.len() as u64, &mut out);
        let mut before = (0, 0);
        for (number, &key) in &self.keys {
            varint::write(number.0 - before.0, &mut out);
            // Both keys are below 2^53.
            varint::write_signed(key as i64 - before.1 as i64, &mut out);
            before = (number.0, key);
        }
        write_key_set(&self.unused, &mut out);
        varint::write(self.holds.len() as u64, &mut out);
        for hold in &self.holds {
            varint::write(hold.id, &mut out);
            write_runs(&hold.numbers, &mut out);
            varint::write_signed(hold.until_ns, &mut out);
        }
        out.push(u8::from(self.job.is_some()));
        self.job.iter().for_each(|job| write_job(job, &mut out));
        append_crc(&mut out, 0);
        out
    }

    /// Decodes a manifest and checks its invariants.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let covered = verify_crc(bytes).map_err(|_| ManifestError::Damaged)?;
        let (&version, mut rest) = covered.split_first().ok_or(ManifestError::Damaged)?;
        if !(WITHOUT_SUMS..=VERSION).contains(&version) {
            return Err(ManifestError::Version(version));
        }
        let manifest = Self::read(&mut rest, version).filter(|_| rest.is_empty());
        let manifest = manifest.ok_or(ManifestError::Content)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn read(bytes: &mut &[u8], version: u8) -> Option<Self> {
        let (next_part, next_number) = (read_u32(bytes)?, read_u32(bytes)?);
        let next_key = Some(read(bytes)?).filter(|&key| key <= KEY_MAX)?;
        let width_ns = read_width(bytes)?;
        let parts = read_list(bytes, |bytes| read_part(bytes, version))?;
        Some(Self {
            next_part,
            next_number,
            next_key,
            width_ns,
            parts: ascending(parts.into_iter().map(|part| (part.id, part)))?,
            keys: read_keys(bytes)?,
            unused: read_key_set(bytes)?,
            holds: read_list(bytes, read_hold)?,
            job: read_job(bytes)?,
        })
    }
}

fn write_part(part: &Part, out: &mut Vec<u8>) {
    // A valid part does not end before it begins, so the subtractions cannot overflow.
    let span = part.max_ns.wrapping_sub(part.min_ns) as u64;
    for value in [part.id.0, part.lo, part.hi.wrapping_sub(part.lo), part.applied] {
        varint::write(value, out);
    }
    varint::write_signed(part.min_ns, out);
    for value in [span, part.rows, part.series, part.bytes, part.cells] {
        varint::write(value, out);
    }
    write_runs(&part.values, out);
    write_sketch(&part.sketch, out);
    varint::write(part.series_sum, out);
}

fn read_part(bytes: &mut &[u8], version: u8) -> Option<Part> {
    let id = PartId(read(bytes)?);
    let lo = read(bytes)?;
    let hi = lo.checked_add(read(bytes)?)?;
    let applied = read(bytes)?;
    let min_ns = read_signed(bytes)?;
    let max_ns = min_ns.checked_add_unsigned(read(bytes)?)?;
    Some(Part {
        id,
        lo,
        hi,
        applied,
        min_ns,
        max_ns,
        rows: read(bytes)?,
        series: read(bytes)?,
        bytes: read(bytes)?,
        cells: read(bytes)?,
        values: read_runs(bytes)?,
        sketch: read_sketch(bytes)?,
        series_sum: if version > WITHOUT_SUMS { read(bytes)? } else { 0 },
    })
}

fn write_sketch(sketch: &SeriesSketch, out: &mut Vec<u8>) {
    let held = (0_u8..=u8::MAX).zip(sketch.registers()).filter(|(_, rank)| **rank > 0);
    let count = held.clone().count();
    varint::write(count as u64, out);
    match count < REGISTERS_FEW {
        true => held.for_each(|(register, &rank)| out.extend([register, rank])),
        false => out.extend(sketch.registers()),
    }
}

fn read_sketch(bytes: &mut &[u8]) -> Option<SeriesSketch> {
    let count = usize::try_from(read(bytes)?).ok()?;
    if count == 0 {
        return Some(SeriesSketch::default());
    }
    let length = if count < REGISTERS_FEW { 2 * count } else { SKETCH_REGISTERS };
    let held = bytes.split_off(..length)?;
    let mut registers = held.to_vec();
    if count < REGISTERS_FEW {
        registers = vec![0; SKETCH_REGISTERS];
        for pair in held.as_chunks::<2>().0 {
            if let Some(register) = registers.get_mut(usize::from(pair[0])) {
                *register = pair[1];
            }
        }
    }
    let is_counted = registers.iter().filter(|&&rank| rank > 0).count() == count;
    SeriesSketch::from_registers(registers).filter(|_| is_counted)
}

fn write_runs(runs: &Runs, out: &mut Vec<u8>) {
    varint::write(runs.runs().len() as u64, out);
    for &(first, count) in runs.runs() {
        varint::write(first, out);
        varint::write(count, out);
    }
}

fn read_runs(bytes: &mut &[u8]) -> Option<Runs> {
    let runs = read_list(bytes, |bytes| Some((read(bytes)?, read_count(bytes)?)))?;
    Runs::from_runs(runs)
}

/// Writes a set of keys as runs. The start of a run is written as the distance from the end of the
/// previous run.
fn write_key_set(keys: &BTreeSet<Key>, out: &mut Vec<u8>) {
    let runs: Runs = keys.iter().copied().collect();
    varint::write(runs.runs().len() as u64, out);
    let mut before = 0;
    for &(first, count) in runs.runs() {
        varint::write(first - before, out);
        varint::write(count, out);
        before = first + count;
    }
}

fn read_key_set(bytes: &mut &[u8]) -> Option<BTreeSet<Key>> {
    let mut before = 0_u64;
    let runs = read_list(bytes, |bytes| {
        let (first, count) = (before.checked_add(read(bytes)?)?, read_count(bytes)?);
        before = first.checked_add(count)?;
        Some((first, count))
    })?;
    Some(Runs::from_runs(runs)?.iter().collect())
}

fn read_keys(bytes: &mut &[u8]) -> Option<BTreeMap<Number, Key>> {
    let (mut number, mut key) = (0_u64, 0_i64);
    let entries = read_list(bytes, |bytes| {
        number = number.checked_add(read(bytes)?)?;
        key = key.checked_add(read_signed(bytes)?)?;
        let key = u64::try_from(key).ok()?;
        Some((Number(number), key))
    })?;
    ascending(entries.into_iter())
}

fn read_hold(bytes: &mut &[u8]) -> Option<Hold> {
    Some(Hold { id: read(bytes)?, numbers: read_runs(bytes)?, until_ns: read_signed(bytes)? })
}

fn write_job(job: &Job, out: &mut Vec<u8>) {
    varint::write(job.width_ns.unsigned_abs(), out);
    varint::write(job.merges.len() as u64, out);
    for merge in &job.merges {
        varint::write(merge.inputs.len() as u64, out);
        let mut before = 0;
        for id in &merge.inputs {
            varint::write(id.0 - before, out);
            before = id.0;
        }
        for value in [merge.first_output.0, u64::from(merge.outputs), merge.applied] {
            varint::write(value, out);
        }
    }
    write_key_set(&job.keys, out);
}

fn read_job(bytes: &mut &[u8]) -> Option<Option<Job>> {
    match bytes.split_off_first()? {
        0 => Some(None),
        1 => Some(Some(Job {
            width_ns: read_width(bytes)?,
            merges: read_list(bytes, read_merge)?,
            keys: read_key_set(bytes)?,
        })),
        _ => None,
    }
}

fn read_merge(bytes: &mut &[u8]) -> Option<Merge> {
    let mut before = 0_u64;
    let inputs = read_list(bytes, |bytes| {
        before = before.checked_add(read(bytes)?)?;
        Some(PartId(before))
    })?;
    let first_output = PartId(read(bytes)?);
    Some(Merge { inputs, first_output, outputs: read_u32(bytes)?, applied: read(bytes)? })
}

/// Reads a list. Each element takes at least one byte, so a length above the number of remaining
/// bytes is an error.
fn read_list<T>(
    bytes: &mut &[u8],
    mut each: impl FnMut(&mut &[u8]) -> Option<T>,
) -> Option<Vec<T>> {
    let count = varint::read_length(bytes, bytes.len()).ok()?;
    (0..count).map(|_| each(bytes)).collect()
}

fn ascending<K: Ord, V>(entries: impl Iterator<Item = (K, V)>) -> Option<BTreeMap<K, V>> {
    let mut map = BTreeMap::new();
    for (key, value) in entries {
        if map.keys().next_back().is_some_and(|last| *last >= key) {
            return None;
        }
        map.insert(key, value);
    }
    Some(map)
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    varint::read(bytes).ok()
}

fn read_u32(bytes: &mut &[u8]) -> Option<u32> {
    u32::try_from(read(bytes)?).ok()
}

fn read_signed(bytes: &mut &[u8]) -> Option<i64> {
    varint::read_signed(bytes).ok()
}

fn read_width(bytes: &mut &[u8]) -> Option<i64> {
    let width_ns = i64::try_from(read(bytes)?).ok()?;
    Some(width_ns).filter(|&width_ns| width_ns > 0)
}

fn read_count(bytes: &mut &[u8]) -> Option<u64> {
    Some(read(bytes)?).filter(|&count| count <= KEYS_PER_RUN_MAX)
}
