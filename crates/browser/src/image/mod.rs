//! Encodes the objects' data for the browser's storage, as rows with text keys and checksums.
//!
//! ```text
//! key   │ catalog/<table>/<key> │ database/<id>/<table>/<key> │ shard/<id>/<table>/<key>
//! value │ version <u8> │ head length <u32> │ head │ body │ crc <u32>
//! ```
//!
//! The row `image` is written together with every change of the other rows. The head of `image`
//! contains
//!
//! ```text
//! objects created <u64> │ rows <u64> │ sum of their crc <u64>
//! ```
//!
//! Integers are little-endian. `crc` is the CRC-32C of the row's key and of all preceding bytes of
//! the value. The checksum detects changed rows, and rows that are stored under a wrong key. The
//! count and the sum detect missing rows and mixtures of rows from different states.

use std::collections::BTreeMap;

use tidemark_engine::codec::crc::{crc32c, crc32c_append};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::store::memory::{Changes, MemoryStore, Row};
use tidemark_engine::store::{Store, StoreError, Table};
use tidemark_model::ids::ObjectId;

/// The first byte of every value.
const VERSION: u8 = 1;
/// The key of the row `image`, which describes all other rows.
const IMAGE_KEY: &str = "image";
/// The size of the fields around head and body: version, head length and checksum.
const FRAME_BYTES: usize = 1 + 4 + 4;

/// The reason why the page rejects the stored rows. The rows remain unchanged until the user
/// deletes them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Another release wrote the rows.
    #[error(
        "the stored database has version {0}, and this page reads version {VERSION}: open the \
         database with the page that wrote it, or delete the database"
    )]
    Version(u8),
    /// The checksum of a row does not match.
    #[error(
        "the stored database is damaged: the row \"{0}\" cannot be read; delete the database to \
         continue"
    )]
    Row(String),
    /// A row is missing, or belongs to another state.
    #[error(
        "the stored database is damaged: a row is missing or outdated ({found} rows found, \
         {expected} expected); delete the database to continue"
    )]
    Rows {
        /// The number of existing rows.
        found: u64,
        /// The number of rows in the image.
        expected: u64,
    },
    /// Rows exist, but the row `image` is missing.
    #[error(
        "the stored database is damaged: the first row is missing; delete the database to continue"
    )]
    NoImage,
}

/// A row's key and its new value. `None` deletes the row.
pub type Change = (String, Option<Vec<u8>>);

/// The state of the rows that are stored in the browser.
#[derive(Debug, Default)]
pub struct Image {
    /// The checksum of every stored row.
    rows: BTreeMap<(Address, Table, u64), u32>,
    /// The stored number of objects created so far.
    pub objects: u64,
}

impl Image {
    /// Returns the changes that make the stored rows equal to `stores`. The first call returns all
    /// rows. The caller must store all changes in a single transaction.
    pub fn changes(
        &mut self,
        stores: &BTreeMap<Address, MemoryStore>,
        objects: u64,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for (address, store) in stores {
            let changed = match store.take_changes() {
                Changes::Rows(rows) => rows,
                Changes::Everything => {
                    let kept = self.rows.keys().filter(|(of, ..)| of == address);
                    let kept = kept.map(|&(_, table, key)| (table, key));
                    kept.chain(store.keys()).collect()
                }
            };
            for (table, key) in changed {
                let place = (address.clone(), table, key);
                let name = name(&place);
                let value = store.row(table, key).map(|row| encode(&name, &row));
                let before = match &value {
                    Some(value) => self.rows.insert(place, checksum(value)),
                    None => self.rows.remove(&place),
                };
                if value.is_some() || before.is_some() {
                    changes.push((name, value));
                }
            }
        }
        if !changes.is_empty() || objects != self.objects {
            self.objects = objects;
            let head = self.head(objects);
            changes.push((IMAGE_KEY.to_owned(), Some(encode(IMAGE_KEY, &head))));
        }
        changes
    }

    fn head(&self, objects: u64) -> Row {
        let sum = self.rows.values().fold(0_u64, |sum, crc| sum.wrapping_add(u64::from(*crc)));
        let numbers = [objects, self.rows.len() as u64, sum];
        (numbers.map(u64::to_le_bytes).concat().into(), Vec::new().into())
    }
}

/// A restore in progress.
#[derive(Default)]
pub struct Restored {
    stores: BTreeMap<Address, MemoryStore>,
    image: Image,
    head: Option<Row>,
}

impl Restored {
    /// Adds a row. Rows may be added in any order.
    ///
    /// # Errors
    /// [`ImageError::Version`], [`ImageError::Row`]
    pub fn add(&mut self, name: &str, value: &[u8]) -> Result<(), ImageError> {
        let damaged = || ImageError::Row(name.to_owned());
        let row = decode(name, value)?;
        if name == IMAGE_KEY {
            self.head = Some(row);
            return Ok(());
        }
        let (address, table, key) = place(name).ok_or_else(damaged)?;
        let store = self.stores.entry(address.clone()).or_default();
        let put = store.open().and_then(|()| store.put(table, key, &row.0, &row.1));
        put.map_err(|_: StoreError| damaged())?;
        self.image.rows.insert((address, table, key), checksum(value));
        Ok(())
    }

    /// Returns the stores and their image. The image includes the number of objects created so far.
    ///
    /// # Errors
    /// [`ImageError::NoImage`], [`ImageError::Rows`]
    pub fn finish(mut self) -> Result<(BTreeMap<Address, MemoryStore>, Image), ImageError> {
        let Some(head) = self.head else {
            let nothing = self.image.rows.is_empty();
            return if nothing { Ok(Default::default()) } else { Err(ImageError::NoImage) };
        };
        let number = |at: usize| {
            let bytes = head.0.get(at..)?.first_chunk()?;
            Some(u64::from_le_bytes(*bytes))
        };
        self.image.objects = number(0).unwrap_or_default();
        if self.image.head(self.image.objects) != head {
            let found = self.image.rows.len() as u64;
            return Err(ImageError::Rows { found, expected: number(8).unwrap_or_default() });
        }
        for store in self.stores.values_mut() {
            // The row counts of a snapshot start at 0, so that the restored rows are not counted.
            *store = store.snapshot();
            store.take_changes();
        }
        Ok((self.stores, self.image))
    }
}

fn encode(name: &str, (head, body): &Row) -> Vec<u8> {
    let mut value = Vec::with_capacity(FRAME_BYTES + head.len() + body.len());
    value.push(VERSION);
    // A row is far smaller than 4 GB, because the store rejects rows of 2 MB.
    value.extend((head.len() as u32).to_le_bytes());
    value.extend_from_slice(head);
    value.extend_from_slice(body);
    let crc = crc32c_append(crc32c(name.as_bytes()), &value);
    value.extend(crc.to_le_bytes());
    value
}

fn decode(name: &str, value: &[u8]) -> Result<Row, ImageError> {
    let damaged = || ImageError::Row(name.to_owned());
    let (checked, crc) = value.split_last_chunk().ok_or_else(damaged)?;
    if crc32c_append(crc32c(name.as_bytes()), checked) != u32::from_le_bytes(*crc) {
        return Err(damaged());
    }
    let (version, rest) = checked.split_first().ok_or_else(damaged)?;
    if *version != VERSION {
        return Err(ImageError::Version(*version));
    }
    let (length, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (head, body) = rest.split_at_checked(length).ok_or_else(damaged)?;
    Ok((head.into(), body.into()))
}

/// Returns the checksum at the end of a value.
fn checksum(value: &[u8]) -> u32 {
    value.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc))
}

fn name((address, table, key): &(Address, Table, u64)) -> String {
    let table = table.name();
    match address {
        Address::Database(id) => format!("database/{id}/{table}/{key}"),
        Address::Shard(id) => format!("shard/{id}/{table}/{key}"),
        // Runtime services do not store rows.
        _ => format!("catalog/{table}/{key}"),
    }
}

fn place(name: &str) -> Option<(Address, Table, u64)> {
    let (rest, key) = name.rsplit_once('/')?;
    let (address, table) = rest.rsplit_once('/')?;
    let address = match address.split_once('/') {
        None if address == "catalog" => Address::Catalog,
        Some(("database", id)) => Address::Database(ObjectId(id.to_owned())),
        Some(("shard", id)) => Address::Shard(ObjectId(id.to_owned())),
        _ => return None,
    };
    let table = Table::ALL.into_iter().find(|known| known.name() == table)?;
    Some((address, table, key.parse().ok()?))
}

#[cfg(test)]
mod tests;
