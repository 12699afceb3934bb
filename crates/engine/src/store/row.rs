//! Reads and writes metadata rows. `FORMAT.md` shows the format.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{KEY_MAX, Store, StoreError, StoreResult, Table};
use crate::codec::crc::{CrcError, append_crc, verify_crc};
use crate::codec::metadata;

const VERSION: u8 = 1;
const ROWS_PER_READ: u32 = 256;

/// Encodes a row's head.
///
/// # Errors
/// Returns [`StoreError::Failed`] if `row` has no encoding. Such a row must not be stored, because
/// it could not be read again.
pub fn encode<T: Serialize>(row: &T) -> StoreResult<Vec<u8>> {
    let mut bytes = metadata::encode(row)
        .map_err(|e| StoreError::Failed(format!("the row cannot be encoded: {e}")))?;
    bytes.insert(0, VERSION);
    append_crc(&mut bytes, 0);
    Ok(bytes)
}

/// Decodes a head that [`encode`] wrote.
///
/// # Errors
/// Returns a message if the row is damaged or has a newer version.
pub fn decode<T: DeserializeOwned>(head: &[u8]) -> Result<T, &'static str> {
    metadata::decode(content(head)?).map_err(|_| "unreadable content")
}

/// A callback that receives the number and head of a row.
type VisitRow<'a> = dyn FnMut(u64, &[u8]) -> StoreResult<()> + 'a;

/// Calls `take` with every row of `table`, in ascending order of the keys, until `take` returns an
/// error.
pub fn each<S: Store>(store: &S, table: Table, take: &mut VisitRow<'_>) -> StoreResult<()> {
    RowRange::<()>::all(table).each_head(store, take)
}

/// The metadata rows of one type: a range of keys in a table. A row's number is its key, counted
/// from the first key of the range. Ranges with rows of different types may share a table.
#[derive(Debug)]
pub struct RowRange<T> {
    table: Table,
    first_key: u64,
    last_key: u64,
    kind: PhantomData<fn() -> T>,
}

impl<T> RowRange<T> {
    /// Returns the rows of a table that contains only this type.
    pub const fn all(table: Table) -> Self {
        Self::within(table, 0, KEY_MAX)
    }

    /// Returns the rows with keys from `first_key` to `last_key`, including both.
    pub const fn within(table: Table, first_key: u64, last_key: u64) -> Self {
        Self { table, first_key, last_key, kind: PhantomData }
    }

    /// Returns the single row with this key, which has the number 0.
    pub const fn one(table: Table, key: u64) -> Self {
        Self::within(table, key, key)
    }

    /// Deletes the rows with numbers from `first` to `last`, including both.
    pub fn remove<S: Store>(&self, store: &S, first: u64, last: u64) -> StoreResult<()> {
        let last_key = self.first_key.saturating_add(last).min(self.last_key);
        store.delete(self.table, self.first_key + first..=last_key)
    }

    /// Returns the numbers and heads of at most `limit` rows, starting with number `first`.
    pub fn heads<S: Store>(
        &self,
        store: &S,
        first: u64,
        limit: u32,
    ) -> StoreResult<Vec<(u64, Vec<u8>)>> {
        let keys = self.first_key.saturating_add(first)..=self.last_key;
        let mut heads = store.heads(self.table, keys, limit)?;
        heads.iter_mut().for_each(|(key, _)| *key -= self.first_key);
        Ok(heads)
    }

    fn each_head<S: Store>(&self, store: &S, take: &mut VisitRow<'_>) -> StoreResult<()> {
        let mut from = 0;
        loop {
            let page = self.heads(store, from, ROWS_PER_READ)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            from = last + 1;
            for (number, head) in &page {
                take(*number, head)?;
            }
        }
    }
}

impl<T: Serialize + DeserializeOwned> RowRange<T> {
    /// Decodes the head of the row with this number.
    pub fn decode(&self, number: u64, head: &[u8]) -> StoreResult<T> {
        let (table, key) = (self.table.name(), self.first_key + number);
        decode(head).map_err(|reason| StoreError::Damaged { table, key, reason })
    }

    /// Reads the row with this number.
    pub fn get<S: Store>(&self, store: &S, number: u64) -> StoreResult<Option<T>> {
        let head = store.head(self.table, self.first_key + number)?;
        head.map(|head| self.decode(number, &head)).transpose()
    }

    /// Stores the row with this number.
    pub fn put<S: Store>(&self, store: &S, number: u64, row: &T) -> StoreResult<()> {
        store.put(self.table, self.first_key + number, &encode(row)?, &[])
    }

    /// Calls `take` with every row, in ascending order of the numbers.
    pub fn each<S: Store>(&self, store: &S, mut take: impl FnMut(u64, T)) -> StoreResult<()> {
        self.each_head(store, &mut |number, head| {
            take(number, self.decode(number, head)?);
            Ok(())
        })
    }
}

/// The result of [`verify`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The number of rows whose checksum was computed.
    pub rows: u64,
    /// The total size of the rows' heads, in bytes.
    pub bytes: u64,
    /// The damaged rows, as messages of [`StoreError::Damaged`].
    pub damaged: Vec<String>,
}

/// Verifies every row of an object that stores only metadata. The verification reads as many rows
/// as the object reads when it starts. Returns `None` if the object is not open.
pub fn verify<S: Store>(store: &S) -> StoreResult<Option<Verified>> {
    if !store.is_open()? {
        return Ok(None);
    }
    let mut found = Verified::default();
    for table in Table::ALL {
        each(store, table, &mut |key, head| {
            found.rows += 1;
            found.bytes += head.len() as u64;
            if let Err(reason) = content(head) {
                let damaged = StoreError::Damaged { table: table.name(), key, reason };
                found.damaged.push(damaged.to_string());
            }
            Ok(())
        })?;
    }
    Ok(Some(found))
}

fn content(head: &[u8]) -> Result<&[u8], &'static str> {
    let covered = verify_crc(head).map_err(|reason| match reason {
        CrcError::TooShort => "too short",
        CrcError::Mismatch => "checksum mismatch",
    })?;
    match covered.split_first() {
        Some((&VERSION, content)) => Ok(content),
        _ => Err("its version is newer than this release"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    #[test]
    fn row_checksum_detects_flipped_bits() {
        let bytes = encode(&(1_u8, "a")).unwrap();
        assert_eq!(decode::<(u8, String)>(&bytes), Ok((1, "a".to_owned())));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode::<(u8, String)>(&bad), Err("checksum mismatch"));
        }
        assert_eq!(decode::<u8>(b""), Err("too short"));
    }

    /// An unencodable row that is stored as an empty row would be damaged permanently.
    #[test]
    fn unencodable_row_is_an_error() {
        for nothing in [encode(&'c'), encode(&(1_u8, ())).map(|_| Vec::new())] {
            let reason = "the row cannot be encoded: the metadata has a type that the format does not support";
            assert_eq!(nothing, Err(StoreError::Failed(reason.to_owned())));
        }
    }

    #[test]
    fn verification_lists_damaged_rows() {
        let store = MemoryStore::new();
        assert_eq!(verify(&store), Ok(None));
        store.open().unwrap();
        for key in 0..600 {
            store.put(Table::Schema, key, &encode(&key).unwrap(), &[]).unwrap();
        }
        store.put(Table::Job, 7, &encode(&7_u8).unwrap(), &[]).unwrap();
        let sound = verify(&store).unwrap().unwrap();
        assert_eq!((sound.rows, &sound.damaged[..]), (601, &[][..]));
        store.put(Table::Schema, 555, &encode(&1_u8).unwrap()[1..], &[]).unwrap();
        store.put(Table::Job, 7, b"", &[]).unwrap();
        let found = verify(&store).unwrap().unwrap();
        let expected =
            ["damaged row 7 of job: too short", "damaged row 555 of schema: checksum mismatch"];
        assert_eq!(found.damaged, expected);
    }
}
