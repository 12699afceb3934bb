//! Defines the schema of a policy: its measurements and their columns. Registers the columns that
//! writes need, and assigns ids to measurements and columns. A *set* is the new columns of one or
//! more rows; it is registered or rejected as a whole.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_engine::protocol::database::{ColumnSet, RegisterRefusal};
use tidemark_model::configurable_limits::{Limit, Limits};
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::limits::{
    DATABASE_SCHEMA_BYTES_MAX, MEASUREMENT_SCHEMA_BYTES_MAX, SCHEMA_PAGE_BYTES_MAX,
    TAG_KEYS_PER_MEASUREMENT_MAX,
};
use tidemark_model::schema::{ColumnDefinition, ColumnKind, MeasurementSchema};
use tidemark_model::value::FieldType;

/// The maximum size of a stored column without its key, in bytes: total length, id, length of the
/// key, kind.
const COLUMN_BYTES: usize = 4 + 5 + 5 + 2;
/// The maximum size of a stored measurement without its name and columns, in bytes: version and
/// checksum, total length, id, length of the name, version, number of columns, dropped flag.
const MEASUREMENT_BYTES: usize = 1 + 4 + 4 + 5 + 5 + 10 + 5 + 1;

/// The maximum number of measurements in a page.
const MEASUREMENTS_PER_PAGE_MAX: usize = SCHEMA_PAGE_BYTES_MAX / MEASUREMENT_BYTES;

/// A policy's measurements: a copy of the stored rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Schema {
    by_name: BTreeMap<String, MeasurementSchema>,
    /// The size of `by_name` as stored, in bytes.
    bytes: usize,
    /// The dropped measurements, without their columns. These entries stay, so that ids are never
    /// reused and every edge receives the drop.
    dropped: Vec<MeasurementSchema>,
    version: u64,
    next_measurement: u32,
    /// The lowest id of new columns.
    min_column_id: u32,
}

/// The changes of a registration. The caller stores the changes, and then calls [`Schema::apply`].
#[derive(Debug, Default)]
pub(super) struct Registration {
    /// The changed measurements by name.
    pub changed: BTreeMap<String, MeasurementSchema>,
    /// The refusal of each set, in the order of the sets.
    pub refusals: Vec<Option<RegisterRefusal>>,
    /// The schema's version after the changes.
    pub version: u64,
    next_measurement: u32,
    /// The size of the schemas of all policies after the changes, as stored, in bytes.
    database_bytes: usize,
}

/// A measurement during a registration, with an index of the columns that the sets name.
struct Draft<'a> {
    /// `None` for a new measurement.
    known: Option<&'a MeasurementSchema>,
    /// `None` until a set of a new measurement is registered.
    id: Option<MeasurementId>,
    tags: BTreeSet<&'a str>,
    fields: BTreeMap<&'a str, FieldType>,
    tag_count: u64,
    field_count: u64,
    /// The new columns.
    added: Vec<(&'a str, ColumnKind)>,
    /// The size as stored, in bytes.
    bytes: usize,
}

impl Schema {
    pub(super) fn load(&mut self, measurement: MeasurementSchema) {
        self.version = self.version.max(measurement.version);
        self.next_measurement = self.next_measurement.max(measurement.id.0.saturating_add(1));
        match measurement.dropped {
            true => self.dropped.push(measurement),
            false => self.insert(measurement),
        }
    }

    fn insert(&mut self, measurement: MeasurementSchema) {
        self.bytes += stored_bytes(&measurement);
        let replaced = self.by_name.insert(measurement.name.clone(), measurement);
        self.bytes -= replaced.as_ref().map_or(0, stored_bytes);
    }

    /// Returns the size of the measurements and their columns as stored, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn id(&self, name: &str) -> Option<MeasurementId> {
        self.by_name.get(name).map(|measurement| measurement.id)
    }

    pub(super) fn count(&self) -> usize {
        self.by_name.len()
    }

    /// Returns the ids of dropped measurements, oldest first.
    pub(super) fn retired(&self) -> Vec<MeasurementId> {
        self.dropped.iter().map(|measurement| measurement.id).collect()
    }

    /// Returns the marker that replaces measurement `id` when the measurement is dropped. The
    /// caller stores the marker, and then calls [`Schema::mark`]. Returns `None` if the measurement
    /// does not exist.
    pub(super) fn marker(&self, id: MeasurementId) -> Option<MeasurementSchema> {
        let gone = self.by_name.values().find(|measurement| measurement.id == id)?;
        let version = self.version + 1;
        let name = gone.name.clone();
        Some(MeasurementSchema { id, name, version, dropped: true, ..Default::default() })
    }

    pub(super) fn mark(&mut self, marker: MeasurementSchema) {
        let dropped = self.by_name.remove(&marker.name);
        self.bytes -= dropped.as_ref().map_or(0, stored_bytes);
        self.version = self.version.max(marker.version);
        self.dropped.push(marker);
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = MeasurementId> {
        self.by_name.values().map(|measurement| measurement.id)
    }

    pub(super) fn by_id(&self, id: MeasurementId) -> Option<&MeasurementSchema> {
        self.by_name.values().find(|measurement| measurement.id == id)
    }

    /// Returns the schema's version, which is 0 for an empty schema. Every change increases the
    /// version.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Computes the changes that register `sets` one after another. Does not change the schema.
    /// `database_bytes` is the size of the schemas of all policies.
    pub(super) fn register(
        &self,
        sets: &[ColumnSet],
        limits: &Limits,
        database_bytes: usize,
    ) -> Registration {
        let mut registration = Registration {
            version: self.version,
            next_measurement: self.next_measurement,
            database_bytes,
            ..Registration::default()
        };
        // An index of all columns would take much longer than the registration of a few columns.
        let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for set in sets {
            let named = set.tags.iter().chain(set.fields.iter().map(|(key, _)| key));
            keys.entry(&set.measurement).or_default().extend(named.map(String::as_str));
        }
        let mut drafts = BTreeMap::new();
        for set in sets {
            let name = set.measurement.as_str();
            let draft = drafts.entry(name).or_insert_with(|| {
                Draft::new(name, self.by_name.get(name), &keys.remove(name).unwrap_or_default())
            });
            let refusal = self.register_set(set, draft, &mut registration, limits).err();
            registration.refusals.push(refusal);
        }
        // Each change has a separate version, so that a page can resume after any change.
        for (name, draft) in drafts {
            if let Some(measurement) =
                draft.finish(name, registration.version + 1, self.min_column_id)
            {
                registration.version = measurement.version;
                registration.changed.insert(name.to_owned(), measurement);
            }
        }
        registration
    }

    pub(super) fn apply(&mut self, registration: Registration) {
        registration.changed.into_values().for_each(|measurement| self.insert(measurement));
        self.version = registration.version;
        self.next_measurement = registration.next_measurement;
    }

    /// Sets the lowest id of new columns.
    pub(super) fn set_min_column_id(&mut self, min: u32) {
        self.min_column_id = self.min_column_id.max(min);
    }

    /// Returns the id of the next measurement, and a column id that is higher than the ids of all
    /// existing columns.
    pub(super) fn next_ids(&self) -> (u32, u32) {
        let columns = self.by_name.values().flat_map(|measurement| &measurement.columns);
        let next = columns.map(|column| column.id.0.saturating_add(1)).max().unwrap_or(0);
        (self.next_measurement, next.max(self.min_column_id))
    }

    /// Returns all rows after a recovery, with new versions above `version`. Edges therefore
    /// receive every row, even if their copy of this schema has a higher version than the recovered
    /// schema. The ids from this schema's next id up to `next_measurement` were assigned after the
    /// target time of the recovery. For each of these ids, the result contains the marker of a
    /// dropped measurement, without a name.
    pub(super) fn resend_rows(
        &self,
        version: u64,
        next_measurement: u32,
    ) -> Vec<MeasurementSchema> {
        let mut rows: Vec<MeasurementSchema> =
            self.by_name.values().chain(&self.dropped).cloned().collect();
        rows.sort_unstable_by_key(|row| row.version);
        let gone = (self.next_measurement..next_measurement).map(|id| MeasurementSchema {
            id: MeasurementId(id),
            version,
            dropped: true,
            ..MeasurementSchema::default()
        });
        rows.extend(gone);
        (version + 1..).zip(&mut rows).for_each(|(version, row)| row.version = version);
        rows
    }

    /// Returns the measurements that changed after `after_version`, in the order of their changes,
    /// and whether further changes follow.
    pub(super) fn page(&self, after_version: u64) -> (Vec<MeasurementSchema>, bool) {
        let all = self.by_name.values().chain(&self.dropped);
        let mut changed: Vec<_> = all.filter(|m| m.version > after_version).collect();
        // Each page reads the versions of all measurements, but sorts only the next measurements.
        let more = changed.len() > MEASUREMENTS_PER_PAGE_MAX;
        if more {
            changed.select_nth_unstable_by_key(MEASUREMENTS_PER_PAGE_MAX, |m| m.version);
            changed.truncate(MEASUREMENTS_PER_PAGE_MAX);
        }
        changed.sort_unstable_by_key(|m| m.version);
        let mut page = Vec::new();
        let mut bytes = 0;
        for measurement in changed {
            bytes += stored_bytes(measurement);
            if bytes > SCHEMA_PAGE_BYTES_MAX && !page.is_empty() {
                return (page, true);
            }
            page.push(measurement.clone());
        }
        (page, more)
    }

    fn register_set<'a>(
        &self,
        set: &'a ColumnSet,
        draft: &mut Draft<'a>,
        registration: &mut Registration,
        limits: &Limits,
    ) -> Result<(), RegisterRefusal> {
        let is_new = draft.id.is_none();
        if is_new {
            let limit = limits.get(Limit::Measurements) as u64;
            let created = registration.next_measurement - self.next_measurement;
            let current = self.by_name.len() as u64 + u64::from(created);
            if current >= limit {
                let (measurement, requested) = (set.measurement.clone(), current + 1);
                return Err(RegisterRefusal::TooManyMeasurements {
                    measurement,
                    limit,
                    current,
                    requested,
                });
            }
        }
        let columns = draft.new_columns(set, limits)?;
        if columns.is_empty() && !is_new {
            return Ok(());
        }
        let added: usize = columns.iter().map(|(key, _)| COLUMN_BYTES + key.len()).sum();
        if draft.bytes + added > MEASUREMENT_SCHEMA_BYTES_MAX {
            return Err(RegisterRefusal::TooLarge { measurement: set.measurement.clone() });
        }
        let current = registration.database_bytes;
        let requested = current + added + if is_new { draft.bytes } else { 0 };
        if requested > DATABASE_SCHEMA_BYTES_MAX {
            return Err(RegisterRefusal::TooManyColumns {
                measurement: set.measurement.clone(),
                limit: DATABASE_SCHEMA_BYTES_MAX as u64,
                current: current as u64,
                requested: requested as u64,
            });
        }
        registration.database_bytes = requested;
        if is_new {
            draft.id = Some(MeasurementId(registration.next_measurement));
            registration.next_measurement += 1;
        }
        draft.bytes += added;
        for &(key, kind) in &columns {
            match kind {
                ColumnKind::Tag => {
                    draft.tags.insert(key);
                    draft.tag_count += 1;
                }
                ColumnKind::Field(field) => {
                    draft.fields.insert(key, field);
                    draft.field_count += 1;
                }
            }
        }
        draft.added.extend(columns);
        Ok(())
    }
}

impl<'a> Draft<'a> {
    fn new(name: &str, known: Option<&'a MeasurementSchema>, keys: &BTreeSet<&str>) -> Self {
        let mut draft = Self {
            known,
            id: known.map(|known| known.id),
            tags: BTreeSet::new(),
            fields: BTreeMap::new(),
            tag_count: 0,
            field_count: 0,
            added: Vec::new(),
            bytes: known.map_or(MEASUREMENT_BYTES + name.len(), stored_bytes),
        };
        for ColumnDefinition { key, kind, .. } in known.iter().flat_map(|known| &known.columns) {
            let is_named = keys.contains(key.as_str());
            match *kind {
                ColumnKind::Tag => {
                    draft.tag_count += 1;
                    draft.tags.extend(is_named.then_some(key.as_str()));
                }
                ColumnKind::Field(field) => {
                    draft.field_count += 1;
                    draft.fields.extend(is_named.then_some((key.as_str(), field)));
                }
            }
        }
        draft
    }

    fn new_columns(
        &self,
        set: &'a ColumnSet,
        limits: &Limits,
    ) -> Result<Vec<(&'a str, ColumnKind)>, RegisterRefusal> {
        let mut new_tags: BTreeSet<&str> = set.tags.iter().map(String::as_str).collect();
        new_tags.retain(|key| !self.tags.contains(key));
        let mut new_fields: BTreeMap<&str, FieldType> = BTreeMap::new();
        for (key, requested) in &set.fields {
            let key = key.as_str();
            match self.fields.get(key).or_else(|| new_fields.get(key)) {
                Some(existing) if existing == requested => {}
                Some(&existing) => {
                    return Err(RegisterRefusal::TypeConflict {
                        measurement: set.measurement.clone(),
                        field: key.to_owned(),
                        existing,
                        requested: *requested,
                    });
                }
                None => {
                    new_fields.insert(key, *requested);
                }
            }
        }
        let (limit, current) = (limits.get(Limit::Fields) as u64, self.field_count);
        let requested = current + new_fields.len() as u64;
        if !new_fields.is_empty() && requested > limit {
            let measurement = set.measurement.clone();
            return Err(RegisterRefusal::TooManyFields { measurement, limit, current, requested });
        }
        let (limit, current) = (TAG_KEYS_PER_MEASUREMENT_MAX as u64, self.tag_count);
        let requested = current + new_tags.len() as u64;
        if !new_tags.is_empty() && requested > limit {
            let measurement = set.measurement.clone();
            return Err(RegisterRefusal::TooManyTagKeys { measurement, limit, current, requested });
        }
        let tags = new_tags.into_iter().map(|key| (key, ColumnKind::Tag));
        let fields = new_fields.into_iter().map(|(key, field)| (key, ColumnKind::Field(field)));
        Ok(tags.chain(fields).collect())
    }

    /// Returns the changed measurement, or `None` if no set has changed the measurement.
    fn finish(self, name: &str, version: u64, min_column_id: u32) -> Option<MeasurementSchema> {
        let id = self.id?;
        if self.known.is_some() && self.added.is_empty() {
            return None;
        }
        let mut columns = self.known.map_or_else(Vec::new, |known| known.columns.clone());
        let next = columns.iter().map(|column| column.id.0 + 1).max().unwrap_or(0);
        let added = (next.max(min_column_id)..).zip(self.added);
        columns.extend(added.map(|(id, (key, kind))| ColumnDefinition {
            id: ColumnId(id),
            key: key.to_owned(),
            kind,
        }));
        Some(MeasurementSchema { id, name: name.to_owned(), version, columns, dropped: false })
    }
}

fn stored_bytes(measurement: &MeasurementSchema) -> usize {
    let columns = measurement.columns.iter();
    let columns: usize = columns.map(|column| COLUMN_BYTES + column.key.len()).sum();
    MEASUREMENT_BYTES + measurement.name.len() + columns
}

#[cfg(test)]
mod tests;
