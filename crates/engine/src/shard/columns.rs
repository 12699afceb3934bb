//! Stores the columns of each measurement: the types of fields, and the order of tags in series
//! keys.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::refusal::Refusal;
use crate::batch::frame::TableHeader;
use crate::store::row;
use crate::store::{Store, StoreResult, Table};
use tidemark_model::ids::{ColumnId, MeasurementId};
use tidemark_model::value::FieldType;

/// The maximum number of columns that a shard keeps in memory. A column uses 8 to 16 bytes, and a
/// measurement about 100 bytes.
const COLUMNS_REMEMBERED_MAX: usize = 300_000;

/// A cache of the stored columns of measurements, with the columns that are not stored yet.
///
/// Columns are removed only with their measurement, and ids are not reused. If a frame has another
/// type for a column than this cache, the frame's schema was therefore never valid for this shard.
/// Tags keep their order, so that series keys in parts remain sorted.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    known: BTreeMap<MeasurementId, Known>,
    columns: usize,
    unwritten: BTreeSet<MeasurementId>,
}

/// The columns of one measurement.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The types of fields, in ascending order of the ids. A list is used because building a map
    /// for each of 1,000 measurements takes milliseconds.
    types: Vec<(ColumnId, FieldType)>,
    /// The tags in the order of series keys. The first flush sets this order. Later tags are added
    /// at the end.
    tag_order: Vec<ColumnId>,
}

/// The types of fields, and the order of tags.
type Row = (Vec<(ColumnId, FieldType)>, Vec<ColumnId>);

impl Columns {
    /// Returns whether the frame has new columns.
    pub(super) fn check<S: Store>(
        &mut self,
        store: &S,
        tables: &[TableHeader],
    ) -> Result<bool, Refusal> {
        let mut any_new = false;
        for table in tables {
            let types = &self.of(store, table.measurement)?.types;
            for &(column, field_type) in &table.fields {
                match type_of(types, column) {
                    None => any_new = true,
                    Some(known) if known != field_type => return Err(conflict(table, column)),
                    Some(_) => {}
                }
            }
        }
        Ok(any_new)
    }

    /// Adds the columns of a checked frame. The caller must store the columns together with the
    /// frame.
    ///
    /// # Errors
    /// Returns [`Refusal::TypeConflict`] if the frame has two types for a column. The caller must
    /// then discard `self`.
    pub(super) fn add_columns<S: Store>(
        &mut self,
        store: &S,
        tables: &[TableHeader],
    ) -> Result<(), Refusal> {
        for table in tables {
            let types = &mut self.of(store, table.measurement)?.types;
            let before = types.len();
            for &(column, field_type) in &table.fields {
                match type_of(&types[..before], column) {
                    None => types.push((column, field_type)),
                    Some(known) if known != field_type => return Err(conflict(table, column)),
                    Some(_) => {}
                }
            }
            types.sort_by_key(|&(column, _)| column);
            types.dedup();
            if let Some(twice) = types.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(conflict(table, twice[0].0));
            }
            let new = types.len() - before;
            if new > 0 {
                self.columns += new;
                self.unwritten.insert(table.measurement);
            }
        }
        Ok(())
    }

    /// Returns the number of rows that [`Columns::write_new`] writes.
    pub(super) fn new_rows(&self) -> u64 {
        self.unwritten.len() as u64
    }

    pub(super) fn tag_order<S: Store>(
        &mut self,
        store: &S,
        measurement: MeasurementId,
    ) -> Result<&[ColumnId], Refusal> {
        self.forget_if_many();
        Ok(&self.of(store, measurement)?.tag_order)
    }

    /// Returns the numbers of fields and tags of a measurement, or `None` if its columns are not in
    /// memory.
    pub(super) fn counts(&self, measurement: MeasurementId) -> Option<(usize, usize)> {
        let known = self.known.get(&measurement)?;
        Some((known.types.len(), known.tag_order.len()))
    }

    /// Adds new tags to the tag order of a measurement. The caller must store the tag order
    /// together with the parts that use it.
    pub(super) fn order_tags<S: Store>(
        &mut self,
        store: &S,
        measurement: MeasurementId,
        tag_order: &[ColumnId],
    ) -> Result<(), Refusal> {
        let known = self.of(store, measurement)?;
        let new = tag_order.len().saturating_sub(known.tag_order.len());
        if new > 0 {
            known.tag_order = tag_order.to_vec();
            self.columns += new;
            self.unwritten.insert(measurement);
        }
        Ok(())
    }

    /// Writes the columns that are not stored yet. The caller must call this function in the
    /// transaction that stores the frame or parts.
    pub(super) fn write_new<S: Store>(&self, store: &S) -> StoreResult<()> {
        for measurement in self.unwritten.iter() {
            let Some(known) = self.known.get(measurement) else { continue };
            let row: Row = (known.types.clone(), known.tag_order.clone());
            store.put(Table::Schema, u64::from(measurement.0), &row::encode(&row)?, b"")?;
        }
        Ok(())
    }

    /// Deletes the rows of dropped measurements. No part and no output of a merge may contain rows
    /// of these measurements. After the transaction, the caller must call [`Columns::forget`].
    pub(super) fn delete_rows<S: Store>(
        store: &S,
        dropped: &BTreeSet<MeasurementId>,
    ) -> StoreResult<()> {
        // A new shard may receive the ids of 100,000 dropped measurements, most without a row.
        store.delete_keys(Table::Schema, dropped.iter().map(|measurement| measurement.0.into()))
    }

    pub(super) fn forget(&mut self, dropped: &BTreeSet<MeasurementId>) {
        for known in dropped.iter().filter_map(|measurement| self.known.remove(measurement)) {
            let columns = known.types.len() + known.tag_order.len();
            self.columns = self.columns.saturating_sub(columns);
        }
    }

    pub(super) fn check_row(head: &[u8]) -> Result<(), &'static str> {
        decode(head).map(|_| ())
    }

    pub(super) fn on_write(&mut self) {
        self.unwritten = BTreeSet::new();
        self.forget_if_many();
    }

    fn forget_if_many(&mut self) {
        if self.columns > COLUMNS_REMEMBERED_MAX && self.unwritten.is_empty() {
            self.known = BTreeMap::new();
            self.columns = 0;
        }
    }

    fn of<S: Store>(
        &mut self,
        store: &S,
        measurement: MeasurementId,
    ) -> Result<&mut Known, Refusal> {
        match self.known.entry(measurement) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let (types, tag_order) = read(store, measurement)?;
                self.columns += types.len() + tag_order.len();
                Ok(place.insert(Known { types, tag_order }))
            }
        }
    }
}

fn type_of(types: &[(ColumnId, FieldType)], column: ColumnId) -> Option<FieldType> {
    let at = types.binary_search_by_key(&column, |&(known, _)| known).ok()?;
    Some(types[at].1)
}

pub(super) fn read_tag_order<S: Store>(
    store: &S,
    measurement: MeasurementId,
) -> Result<Vec<ColumnId>, Refusal> {
    read(store, measurement).map(|(_, tag_order)| tag_order)
}

fn read<S: Store>(store: &S, measurement: MeasurementId) -> Result<Row, Refusal> {
    let Some(bytes) = store.head(Table::Schema, u64::from(measurement.0))? else {
        return Ok(Row::default());
    };
    decode(&bytes).map_err(|reason| Refusal::Damaged {
        block: format!("columns of measurement {}: {reason}", measurement.0),
    })
}

fn decode(head: &[u8]) -> Result<Row, &'static str> {
    let row: Row = row::decode(head)?;
    if !row.0.is_sorted_by(|(before, _), (id, _)| before < id) {
        return Err("the columns are not in ascending order");
    }
    Ok(row)
}

fn conflict(table: &TableHeader, column: ColumnId) -> Refusal {
    Refusal::TypeConflict { measurement: table.measurement, column }
}
