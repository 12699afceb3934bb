//! Reads and writes metadata rows. `FORMAT.md` shows the format.

use std::ops::RangeInclusive;

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

/// Decodes the head of row `key` of `table`. The error contains the table and the key.
pub fn read<T: DeserializeOwned>(table: Table, key: u64, head: &[u8]) -> StoreResult<T> {
    decode(head).map_err(|reason| StoreError::Damaged { table: table.name(), key, reason })
}

/// A callback that receives the key and head of a row.
type VisitRow<'a> = dyn FnMut(u64, &[u8]) -> StoreResult<()> + 'a;

/// Calls `take` with every row of `table`, in ascending order of the keys, until `take` returns an
/// error.
pub fn each<S: Store>(store: &S, table: Table, take: &mut VisitRow<'_>) -> StoreResult<()> {
    each_in(store, table, 0..=KEY_MAX, take)
}

/// Calls `take` with each row of `table` whose key is in `keys`, in ascending order of the keys,
/// until `take` returns an error.
pub fn each_in<S: Store>(
    store: &S,
    table: Table,
    keys: RangeInclusive<u64>,
    take: &mut VisitRow<'_>,
) -> StoreResult<()> {
    let mut from = *keys.start();
    loop {
        let page = store.heads(table, from..=*keys.end(), ROWS_PER_READ)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = last + 1;
        for (key, head) in &page {
            take(*key, head)?;
        }
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
