use super::*;

fn store_of(rows: &[(Table, u64, &[u8])]) -> MemoryStore {
    let store = MemoryStore::new();
    store.open().unwrap();
    for &(table, key, body) in rows {
        store.put(table, key, b"head", body).unwrap();
    }
    store
}

fn addresses() -> [Address; 3] {
    let id = |text: &str| ObjectId(text.to_owned());
    [Address::Catalog, Address::Database(id("database-1")), Address::Shard(id("shard-2"))]
}

/// The storage of a browser.
#[derive(Clone, Default)]
struct Kept(BTreeMap<String, Vec<u8>>);

impl Kept {
    fn keep(&mut self, changes: Vec<Change>) {
        for (key, value) in changes {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }

    fn restored(&self) -> Result<(BTreeMap<Address, MemoryStore>, Image), ImageError> {
        let mut restored = Restored::default();
        for (key, value) in &self.0 {
            restored.add(key, value)?;
        }
        restored.finish()
    }
}

fn rows_of(stores: &BTreeMap<Address, MemoryStore>) -> Vec<(Address, Table, u64, Row)> {
    let rows = stores.iter().flat_map(|(address, store)| {
        let keys = store.keys().into_iter();
        keys.map(|(table, key)| (address.clone(), table, key, store.row(table, key).unwrap()))
    });
    rows.collect()
}

fn three() -> BTreeMap<Address, MemoryStore> {
    let rows: &[(Table, u64, &[u8])] =
        &[(Table::State, 0, b""), (Table::Wal, 7, b"frame"), (Table::Value, 1 << 52, &[9; 99])];
    addresses().into_iter().map(|address| (address, store_of(rows))).collect()
}

#[test]
fn browser_image_restores_and_tracks_changes() {
    let (stores, mut image, mut kept) = (three(), Image::default(), Kept::default());
    kept.keep(image.changes(&stores, 2));
    assert_eq!(kept.0.len(), 10);
    let (restored, mut again) = kept.restored().unwrap();
    assert_eq!(rows_of(&restored), rows_of(&stores));
    assert_eq!((again.objects, again.changes(&restored, 2)), (2, vec![]));

    let shard = &restored[&addresses()[2]];
    assert_eq!(shard.row_counts(), tidemark_engine::store::RowCounts::default());
    shard.put(Table::Wal, 8, b"", b"more").unwrap();
    shard.delete(Table::Wal, 7..=7).unwrap();
    let changes = again.changes(&restored, 3);
    let keys: Vec<_> = changes.iter().map(|(key, value)| (key.as_str(), value.is_some())).collect();
    let expected = [("shard/shard-2/wal/7", false), ("shard/shard-2/wal/8", true), ("image", true)];
    assert_eq!(keys, expected);
    kept.keep(changes);
    let (third, image) = kept.restored().unwrap();
    assert_eq!((rows_of(&third), image.objects), (rows_of(&restored), 3));
}

#[test]
fn wiped_object_leaves_no_rows() {
    let (stores, mut image, mut kept) = (three(), Image::default(), Kept::default());
    kept.keep(image.changes(&stores, 2));
    stores[&addresses()[1]].wipe().unwrap();
    kept.keep(image.changes(&stores, 2));
    assert_eq!(kept.0.keys().filter(|key| key.starts_with("database")).count(), 0);
    assert_eq!(rows_of(&kept.restored().unwrap().0), rows_of(&stores));
}

#[test]
fn damaged_image_rows_are_rejected() {
    let (stores, mut image, mut whole) = (three(), Image::default(), Kept::default());
    whole.keep(image.changes(&stores, 2));
    for (key, value) in &whole.0 {
        for at in 0..value.len() {
            let mut damaged = whole.clone();
            damaged.0.get_mut(key).unwrap()[at] ^= 0x10;
            assert_eq!(damaged.restored().err(), Some(ImageError::Row(key.clone())), "{at}");
        }
        let mut missing = whole.clone();
        missing.0.remove(key);
        let expected = match key.as_str() {
            IMAGE_KEY => ImageError::NoImage,
            _ => ImageError::Rows { found: 8, expected: 9 },
        };
        assert_eq!(missing.restored().err(), Some(expected), "{key}");
    }
    let mut moved = whole.clone();
    let value = moved.0.remove("shard/shard-2/wal/7").unwrap();
    moved.0.insert("shard/shard-2/wal/6".to_owned(), value);
    let row = ImageError::Row("shard/shard-2/wal/6".to_owned());
    assert_eq!(moved.restored().err(), Some(row));
}

#[test]
fn stale_image_row_is_detected() {
    let (stores, mut image, mut kept) = (three(), Image::default(), Kept::default());
    kept.keep(image.changes(&stores, 2));
    let older = kept.0["catalog/wal/7"].clone();
    stores[&addresses()[0]].put(Table::Wal, 7, b"", b"newer").unwrap();
    kept.keep(image.changes(&stores, 2));
    kept.0.insert("catalog/wal/7".to_owned(), older);
    assert_eq!(kept.restored().err(), Some(ImageError::Rows { found: 9, expected: 9 }));
}

#[test]
fn other_image_version_is_rejected() {
    let mut value = encode(IMAGE_KEY, &Image::default().head(0));
    value[0] = 2;
    let end = value.len() - 4;
    let crc = crc32c_append(crc32c(IMAGE_KEY.as_bytes()), &value[..end]);
    value[end..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Restored::default().add(IMAGE_KEY, &value), Err(ImageError::Version(2)));
}
