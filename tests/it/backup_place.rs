//! An in-memory backup store whose calls can fail on request.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tidemark_engine::protocol::backup::{FromBackups, ToBackups};
use tidemark_engine::protocol::envelope;

#[derive(Clone, Default)]
pub(crate) struct MemoryPlace {
    inner: Rc<RefCell<Inner>>,
}

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Vec<u8>>,
    /// The number of the first call that fails, and whether this call takes effect.
    dies: Option<(u32, bool)>,
    has_failed: bool,
    /// Whether all lists have an empty first page.
    lists_nothing: bool,
    put: Vec<String>,
}

/// The maximum number of names in a page of a list, so small that lists have several pages.
const NAMES_MAX: usize = 3;

impl MemoryPlace {
    /// Makes call `at`, counted from 0, and all later calls fail. With `takes_effect`, call `at`
    /// takes effect although it fails.
    pub(crate) fn die_at(&self, at: u32, takes_effect: bool) {
        self.inner.borrow_mut().dies = Some((at, takes_effect));
    }

    pub(crate) fn heal(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        inner.dies = None;
        std::mem::take(&mut inner.has_failed)
    }

    /// Sets whether every list begins with an empty page that refers to a next page.
    pub(crate) fn list_nothing(&self, lists_nothing: bool) {
        self.inner.borrow_mut().lists_nothing = lists_nothing;
    }

    pub(crate) fn keys(&self, with: &str) -> Vec<String> {
        let inner = self.inner.borrow();
        inner.objects.keys().filter(|key| key.contains(with)).cloned().collect()
    }

    pub(crate) fn change(&self, key: &str, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
        let mut inner = self.inner.borrow_mut();
        if let Some(object) = inner.objects.remove(key).and_then(change) {
            inner.objects.insert(key.to_owned(), object);
        }
    }

    pub(crate) fn put_back(&self, key: &str, object: Vec<u8>) {
        self.inner.borrow_mut().objects.insert(key.to_owned(), object);
    }

    pub(crate) fn take_put(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.borrow_mut().put)
    }

    pub(crate) fn answer(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let mut inner = self.inner.borrow_mut();
        let fails = matches!(inner.dies, Some((0, _)));
        inner.has_failed |= fails;
        if let Some((left, takes_effect)) = &mut inner.dies {
            if fails && !std::mem::take(takes_effect) {
                return Err("the place is gone".to_owned());
            }
            *left = left.saturating_sub(1);
        }
        let (_, message) = envelope::decode::<ToBackups>(message).unwrap();
        let reply = match message {
            ToBackups::Put { key, object } => {
                let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=/".contains(&byte);
                assert!(key.bytes().all(is_sound) && !key.contains("/."), "{key}");
                if !inner.objects.contains_key(&key) {
                    inner.put.push(key.clone());
                    inner.objects.insert(key, object);
                }
                FromBackups::Done
            }
            ToBackups::Get { key } => match inner.objects.get(&key) {
                Some(object) => FromBackups::Object { object: object.clone() },
                None => FromBackups::Missing,
            },
            ToBackups::List { .. } if inner.lists_nothing => {
                FromBackups::Names { names: Vec::new(), more: true }
            }
            ToBackups::List { folder, after } => {
                let of = |key: &String| {
                    let name = key.strip_prefix(&folder)?.strip_prefix('/')?;
                    (!name.contains('/')).then(|| name.to_owned())
                };
                let names = inner.objects.keys().filter_map(of);
                let names = names.filter(|name| after.as_ref().is_none_or(|after| name > after));
                let mut names: Vec<String> = names.collect();
                let more = names.len() > NAMES_MAX;
                names.truncate(NAMES_MAX);
                FromBackups::Names { names, more }
            }
            ToBackups::Delete { keys } => {
                for key in keys {
                    inner.objects.remove(&key);
                }
                FromBackups::Done
            }
        };
        match fails {
            true => Err("the place is gone".to_owned()),
            false => Ok(envelope::encode(&reply)),
        }
    }
}
