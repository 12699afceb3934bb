use super::*;
use tidemark_model::time::S_NS;

struct Sender {
    upload: Upload<Permit>,
    bytes: usize,
}

impl Sender {
    fn new(admission: &Admission, database: &str, now_ns: i64) -> Self {
        let permit = admission.permit_for(database);
        Self { upload: admission.upload(permit.counters(), permit, now_ns), bytes: 0 }
    }

    /// Receives bytes at `now_ns`. Returns `None` if the upload has already been evicted.
    fn receive(&mut self, bytes: usize, now_ns: i64) -> Option<Result<(), Overloaded>> {
        self.upload.record_activity(now_ns);
        let result = self.upload.with(|permit| permit.grow_to(self.bytes + bytes))?;
        self.bytes += if result.is_ok() { bytes } else { 0 };
        Some(result)
    }
}

const MB: usize = 1_000_000;

#[test]
fn dropped_permit_returns_its_bytes() {
    let admission = Admission::new(10 * MB, 4 * MB);
    let mut first = admission.permit_for("a");
    first.grow_to(8 * MB).unwrap();
    let mut second = admission.permit_for("a");
    let refused = Overloaded { wanted: 3 * MB, free: 2 * MB, total: 10 * MB, never: false };
    assert_eq!(second.grow_to(3 * MB), Err(refused));
    let never = Overloaded { wanted: 3 * MB, free: 2 * MB, total: 10 * MB, never: true };
    assert_eq!(first.grow_to(11 * MB), Err(never));
    first.shrink_to(6 * MB);
    first.shrink_to(7 * MB);
    assert_eq!((second.grow_to(4 * MB), admission.free_bytes()), (Ok(()), 0));
    drop(first);
    assert_eq!(admission.free_bytes(), 6 * MB);
    drop(second);
    assert_eq!(admission.free_bytes(), 10 * MB);
}

#[test]
fn reserve_grants_each_database_first_megabyte() {
    let admission = Admission::new(10 * MB, 2 * MB);
    let mut large = admission.permit_for("a");
    assert_eq!(
        (large.grow_to(10 * MB), admission.permit_for("a").grow_to(1).is_err()),
        (Ok(()), true)
    );
    let mut firsts: Vec<Permit> = ["b", "c"].map(|name| admission.permit_for(name)).into();
    assert!(firsts.iter_mut().all(|first| first.grow_to(MB).is_ok()));
    assert!(firsts[0].grow_to(MB + 1).is_err());
    // The reserve is exhausted.
    assert!(admission.permit_for("d").grow_to(MB).is_err());
    large.shrink_to(7 * MB);
    assert_eq!((firsts[0].grow_to(2 * MB), admission.free_bytes()), (Ok(()), 0));
}

#[test]
fn largest_database_loses_stalest_upload() {
    let admission = Admission::new(10 * MB, 4 * MB);
    let mut senders: Vec<Sender> = [("a", 0), ("a", 1), ("a", 2), ("b", 3)]
        .map(|(database, second)| Sender::new(&admission, database, second * S_NS))
        .into();
    for (sender, bytes) in senders.iter_mut().zip([2 * MB, 3 * MB, 0, 4 * MB]) {
        let since_ns = sender.upload.entry.last_active_ns.get();
        assert_eq!(sender.receive(bytes, since_ns), Some(Ok(())));
    }
    // The first upload continues, so the second upload is evicted. The third upload holds no bytes.
    assert_eq!(senders[0].receive(MB, 5 * S_NS), Some(Ok(())));
    let mut new = Sender::new(&admission, "c", 6 * S_NS);
    assert_eq!(new.receive(2 * MB, 6 * S_NS), Some(Ok(())));
    let gone: Vec<bool> = senders.iter().map(|sender| sender.upload.is_gone()).collect();
    assert_eq!(gone, [false, true, false, false]);
    assert_eq!((senders[1].receive(1, 7 * S_NS), admission.free_bytes()), (None, MB));
    // Now `b` holds the most bytes. Its requests cannot evict uploads of databases that hold fewer
    // bytes.
    let refused = senders[3].receive(2 * MB, 8 * S_NS);
    assert!(matches!(refused, Some(Err(Overloaded { never: false, .. }))), "{refused:?}");
    assert!(!new.upload.is_gone() && !senders[0].upload.is_gone());
    // A complete upload cannot be evicted.
    assert!(new.upload.finish().is_some());
}

#[test]
fn new_uploads_evict_stalled_uploads() {
    let admission = Admission::new(10 * MB, 4 * MB);
    let mut stalled: Vec<Sender> = (0..2).map(|_| Sender::new(&admission, "a", 0)).collect();
    for sender in &mut stalled {
        assert_eq!(sender.receive(5 * MB, S_NS), Some(Ok(())));
    }
    for second in 2..9 {
        let mut next = Sender::new(&admission, "a", second * S_NS);
        assert_eq!(next.receive(4 * MB, second * S_NS), Some(Ok(())), "{second}");
    }
    assert_eq!(stalled.iter().filter(|sender| sender.upload.is_gone()).count(), 1);
}

/// Simulates 1,000 seconds with eight databases. Some uploads stall permanently, and all uploads
/// take as much memory as possible.
#[test]
fn stalled_uploads_never_block_others() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (total, firsts) = (40 * MB, 4 * MB);
        let admission = Admission::new(total, firsts);
        let mut stalled = Vec::new();
        let mut active: Vec<(usize, Sender)> = Vec::new();
        let (mut finished, mut displaced) = (0, 0);
        for second in 0..1_000 {
            let now_ns = second * S_NS;
            let database = random.usize(0..8);
            let name = database.to_string();
            active.push((random.usize(1..5) * MB, Sender::new(&admission, &name, now_ns)));
            active.retain_mut(|(wanted, sender)| {
                match sender.receive(random.usize(0..MB), now_ns) {
                    Some(Ok(())) if sender.bytes < *wanted => true,
                    Some(Ok(())) => {
                        finished += 1;
                        false
                    }
                    Some(Err(_)) | None => {
                        displaced += 1;
                        false
                    }
                }
            });
            if random.u8(..10) < 3 && !active.is_empty() {
                stalled.push(active.swap_remove(random.usize(..active.len())));
            }
            let held = admission.0.held_bytes.get();
            assert!(held <= total + firsts, "{seed}: {held}");
            // A database with small writes is never rejected.
            let mut small = Sender::new(&admission, "small", now_ns);
            assert_eq!(small.receive(MB, now_ns), Some(Ok(())), "{seed}, {second}");
        }
        assert!(finished > 3 * displaced, "{seed}: {finished} finished, {displaced} displaced");
        assert!(stalled.iter().any(|(_, sender)| sender.upload.is_gone()));
        drop((stalled, active));
        assert_eq!((admission.free_bytes(), admission.0.held_bytes.get()), (total, 0));
        // Ended uploads leave no entries in the lists.
        let _last = Sender::new(&admission, "last", 0);
        let (shares, uploads) = (&admission.0.shares, &admission.0.uploads);
        assert_eq!((shares.borrow().len(), uploads.borrow().len()), (1, 1));
    }
}
