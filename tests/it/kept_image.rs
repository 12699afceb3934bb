//! Tests that a page that is opened again continues with the database that the browser has stored.

use std::collections::BTreeMap;

use tidemark_browser::image::{Image, Restored};

use crate::product::Product;

#[derive(Default)]
struct Kept {
    rows: BTreeMap<String, Vec<u8>>,
    image: Image,
}

impl Kept {
    fn keep(&mut self, product: &Product) -> usize {
        let changes = self.image.changes(&product.stores(), product.object_count());
        let count = changes.len();
        for (key, value) in changes {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
        count
    }

    fn opened(&mut self, now_s: i64) -> Product {
        let mut restored = Restored::default();
        for (key, value) in &self.rows {
            restored.add(key, value).unwrap();
        }
        let (stores, image) = restored.finish().unwrap();
        let mut product = Product::going_on(now_s, image.objects);
        for (address, store) in stores {
            product.put_store(address, store);
        }
        self.image = image;
        product
    }
}

#[test]
fn restored_browser_image_continues_jobs() {
    let (mut product, mut kept) = (Product::with(&[]), Kept::default());
    product.query("", "CREATE DATABASE one");
    for i in 0..40 {
        product.write("one", &format!("m,host=h{} v={i}i {}", i % 3, 1_700_000_000 + i));
        let changed = kept.keep(&product);
        assert!(i == 0 || changed <= 3, "a write changed {changed} rows of what is kept");
    }
    let all = "SELECT count(v), sum(v) FROM m GROUP BY host";
    let expected = product.query("one", all);
    let log =
        |rows: &BTreeMap<String, Vec<u8>>| rows.keys().filter(|key| key.contains("/wal/")).count();
    assert!(log(&kept.rows) > 0, "{:?}", kept.rows.keys());

    let mut again = kept.opened(product.now_s());
    assert_eq!(kept.keep(&again), 0, "opening changes nothing");
    assert_eq!(again.query("one", all), expected);
    // The log is flushed even if no request arrives after the page was opened.
    let mut again = kept.opened(product.now_s() + 3_600);
    again.wake();
    again.rest();
    kept.keep(&again);
    assert_eq!(log(&kept.rows), 0, "{:?}", kept.rows.keys());

    // The ids of earlier objects are not reused for new objects.
    let mut third = kept.opened(again.now_s());
    third.query("", "CREATE DATABASE two");
    third.write("two", "m v=1 1700000000");
    assert_eq!(third.query("one", all), expected);
    assert_eq!(third.stores().len(), 5);
}
