use super::*;

const NOW_NS: i64 = 1_000_000_000_000;

fn queue() -> (PageQueue, Rc<Pages>) {
    let pages = Rc::<Pages>::default();
    (PageQueue::new(Rc::clone(&pages)), pages)
}

/// Returns the priority of a query that has read little data. A higher id means a later start.
fn page_of(id: u64) -> Option<Precedence> {
    Some(Precedence { id, class: 0 })
}

fn ids(queue: &PageQueue) -> Vec<u64> {
    queue.readers.iter().map(|reader| reader.id).collect()
}

fn busy_queue() -> (PageQueue, Rc<Pages>) {
    let (queue, pages) = queue();
    pages.work.set(WORK_MAX);
    pages.last_ns.set(NOW_NS);
    (queue, pages)
}

#[test]
fn first_page_waits_for_recent_page() {
    let (mut queue, _) = queue();
    assert_eq!(queue.enqueue(EventId(1), None, NOW_NS), Ok(None));
    queue.on_page(None, true, WORK_MAX, NOW_NS);
    assert_eq!(queue.enqueue(EventId(2), None, NOW_NS + 1_000_000), Ok(Some(0)));
    assert_eq!(queue.enqueue(EventId(3), None, NOW_NS + 9_000_000), Ok(Some(3)), "one waits");
    assert_eq!(queue.check_again(EventId(3), NOW_NS), Some(3), "the other came first");
    assert_eq!(queue.check_again(EventId(2), NOW_NS), None);
    queue.on_page(None, true, WORK_MAX, NOW_NS + 9_000_000);
    assert_eq!(queue.check_again(EventId(3), NOW_NS), Some(0), "a page was read during its pause");
    assert_eq!(queue.check_again(EventId(3), NOW_NS), None);
    queue.on_page(None, true, WORK_MAX, NOW_NS + 10_000_000);
    assert_eq!(
        queue.enqueue(EventId(4), page_of(7), NOW_NS + 10_000_000),
        Ok(Some(OTHERS_PRESENT_PAUSE_MS)),
        "nor a later page"
    );
}

#[test]
fn summed_small_pages_cause_pause() {
    let (mut queue, _) = queue();
    for work in [WORK_MAX / 2, WORK_MAX / 2 - 1, 1] {
        assert_eq!(queue.enqueue(EventId(1), None, NOW_NS), Ok(None));
        queue.on_page(None, true, work, NOW_NS);
    }
    assert_eq!(queue.enqueue(EventId(2), None, NOW_NS), Ok(Some(0)));
    assert_eq!(queue.check_again(EventId(2), NOW_NS), None);
    queue.on_page(None, true, WORK_MAX - 1, NOW_NS);
    assert_eq!(queue.enqueue(EventId(3), None, NOW_NS), Ok(None), "counted from the pause on");
    queue.on_page(None, true, WORK_MAX, NOW_NS);
    // The clock does not advance during the work, so the duration of the work is not idle time.
    let busy_ns = NOW_NS + ((2 * WORK_MAX - 1) * WORK_NS + QUIET_NS).cast_signed();
    assert_eq!(queue.enqueue(EventId(4), None, busy_ns), Ok(Some(0)));
    queue.leave(EventId(4));
    assert_eq!(queue.enqueue(EventId(5), page_of(7), busy_ns + 1), Ok(None), "or from quiet on");
    assert_eq!(ids(&queue), [7], "and a page of a query that goes on may read");
}

#[test]
fn pages_of_other_shards_prolong_pause() {
    let (mut queue, pages) = busy_queue();
    let mut other = PageQueue::new(pages);
    assert_eq!(queue.enqueue(EventId(1), page_of(7), NOW_NS), Ok(Some(0)));
    other.on_page(None, true, WORK_MAX, NOW_NS);
    assert_eq!(queue.check_again(EventId(1), NOW_NS), Some(0));
    assert_eq!(queue.check_again(EventId(1), NOW_NS), None);
}

#[test]
fn later_pages_yield_to_first_pages() {
    let (mut queue, pages) = busy_queue();
    let mut other = PageQueue::new(Rc::clone(&pages));
    assert_eq!(other.enqueue(EventId(9), None, NOW_NS), Ok(Some(0)));
    for query in 1..=2 {
        queue.enqueue(EventId(query), page_of(query), NOW_NS).unwrap();
    }
    // Each page yields only a limited number of times, and the pauses may end in any order.
    let mut looks = 0;
    while queue.check_again(EventId(1), NOW_NS).is_some() {
        looks += 1;
    }
    assert_eq!(looks, YIELDS_MAX);
    queue.on_page(page_of(1), false, WORK_MAX, NOW_NS);
    assert_eq!(
        (other.check_again(EventId(9), NOW_NS), queue.check_again(EventId(2), NOW_NS)),
        (Some(0), Some(0))
    );
    assert!(queue.check_again(EventId(2), NOW_NS).is_some());
    assert_eq!(other.check_again(EventId(9), NOW_NS), None);
    other.on_page(None, true, WORK_MAX, NOW_NS);
    assert!(queue.check_again(EventId(2), NOW_NS).is_some(), "a page was read during its pause");
    assert_eq!(queue.check_again(EventId(2), NOW_NS), None);
    // A page no longer counts as a first page after it was removed or its shard was evicted.
    pages.work.set(WORK_MAX);
    other.enqueue(EventId(10), None, NOW_NS).unwrap();
    other.enqueue(EventId(11), None, NOW_NS).unwrap();
    other.leave(EventId(10));
    assert_eq!(pages.first_pages.get(), 1);
    drop(other);
    assert_eq!(pages.first_pages.get(), 0);
}

#[test]
fn long_query_yields_to_other_requests() {
    const MS_NS: i64 = 1_000_000;
    let (mut queue, pages) = busy_queue();
    assert_eq!(queue.enqueue(EventId(1), page_of(1), NOW_NS), Ok(Some(FIRST_PAUSE_MS)));
    let mut pause = |now_ns| {
        // Another page was read during the pause.
        queue.pages.read.update(|read| read + 1);
        queue.check_again(EventId(1), now_ns)
    };
    // One other request may be a page of the same query, so it does not count.
    pages.note(NOW_NS);
    pages.note(NOW_NS + MS_NS);
    assert_eq!(pause(NOW_NS + 2 * MS_NS), Some(FIRST_PAUSE_MS));
    pages.note(NOW_NS + 10 * MS_NS);
    for ms in [20, 25, 30] {
        assert_eq!(pause(NOW_NS + ms * MS_NS), Some(OTHERS_PRESENT_PAUSE_MS));
    }
    assert_eq!(pause(NOW_NS + 35 * MS_NS), Some(FIRST_PAUSE_MS), "they keep nobody out");
    let has_others = [39, 40].map(|ms| pages.has_others(NOW_NS + ms * MS_NS));
    assert_eq!(has_others, [true, false]);
}

#[test]
fn two_queries_read_at_once() {
    let (mut queue, _) = busy_queue();
    for query in 1..=3 {
        assert!(queue.enqueue(EventId(query), page_of(query), NOW_NS).unwrap().is_some());
    }
    for query in 1..=2 {
        queue.check_again(EventId(query), NOW_NS);
        assert_eq!(queue.check_again(EventId(query), NOW_NS), None);
        queue.on_page(page_of(query), false, WORK_MAX, NOW_NS);
    }
    assert!(queue.check_again(EventId(3), NOW_NS).is_some());
    assert!(queue.check_again(EventId(3), NOW_NS).is_some(), "both places are taken");
    assert_eq!(queue.enqueue(EventId(4), None, NOW_NS), Ok(Some(0)));
    assert_eq!(queue.check_again(EventId(4), NOW_NS), None, "a first page passes by");
    assert!(queue.enqueue(EventId(5), page_of(2), NOW_NS).unwrap().is_some());
    assert_eq!(
        queue.check_again(EventId(5), NOW_NS),
        None,
        "so does the page of one that may read"
    );
    queue.on_page(page_of(2), true, WORK_MAX, NOW_NS);
    queue.check_again(EventId(3), NOW_NS);
    assert_eq!(queue.check_again(EventId(3), NOW_NS), None);
}

fn next(queue: &mut PageQueue, event_ids: &[u64]) -> u64 {
    for _ in 0..2 {
        for &event_id in event_ids {
            if queue.check_again(EventId(event_id), NOW_NS).is_none() {
                return event_id;
            }
        }
    }
    panic!("nobody: {queue:?}");
}

#[test]
fn lighter_query_reads_first() {
    // The four pages arrive at each shard in a different order.
    for order in [[1, 2, 3, 4], [4, 3, 2, 1], [2, 4, 1, 3]] {
        let (mut queue, _) = busy_queue();
        let query = |id| Some(Precedence { id, class: [9, 2, 2, 1][id as usize - 1] });
        for id in order {
            assert!(queue.enqueue(EventId(id), query(id), NOW_NS).unwrap().is_some());
        }
        let selected: Vec<u64> = queue.selected_queries().iter().map(|query| query.id).collect();
        assert_eq!(selected, [4, 2], "two are read for, wherever they came");
        let mut made = Vec::new();
        let mut waiting = order.to_vec();
        while !waiting.is_empty() {
            let id = next(&mut queue, &waiting);
            waiting.retain(|&event_id| event_id != id);
            queue.on_page(query(id), true, WORK_MAX, NOW_NS);
            made.push(id);
        }
        assert_eq!(made, [4, 2, 3, 1]);
    }
}

#[test]
fn earlier_query_reads_later_page() {
    let (mut queue, _) = busy_queue();
    queue.readers = [5, 6].into_iter().filter_map(page_of).collect();
    queue.enqueue(EventId(1), page_of(6), NOW_NS).unwrap();
    queue.enqueue(EventId(2), page_of(4), NOW_NS).unwrap();
    queue.check_again(EventId(1), NOW_NS);
    assert!(queue.check_again(EventId(1), NOW_NS).is_some(), "4 and 5 go before it");
    assert_eq!(next(&mut queue, &[1, 2]), 2);
    queue.on_page(page_of(4), true, WORK_MAX, NOW_NS);
    assert_eq!(next(&mut queue, &[1]), 1);
}

#[test]
fn waiting_query_gains_precedence() {
    let (mut queue, _) = busy_queue();
    let heavy = Some(Precedence { id: 1, class: 3 });
    queue.enqueue(EventId(1), heavy, NOW_NS).unwrap();
    // Three other queries continue without interruption and have not read data yet.
    for id in 2..=4 {
        queue.enqueue(EventId(id), page_of(id), NOW_NS).unwrap();
    }
    for pages in 0.. {
        let id = next(&mut queue, &[1, 2, 3, 4]);
        if id == 1 {
            assert!((100..10_000).contains(&pages), "{pages} pages");
            return;
        }
        queue.on_page(page_of(id), false, WORK_MAX, NOW_NS);
        queue.enqueue(EventId(id), page_of(id), NOW_NS).unwrap();
    }
}

#[test]
fn idle_reader_makes_room() {
    let (mut queue, _) = busy_queue();
    queue.readers = [1, 2].into_iter().filter_map(page_of).collect();
    queue.enqueue(EventId(3), page_of(3), NOW_NS).unwrap();
    let mut paused_ms = 0;
    while paused_ms < READER_IDLE_MS / 2 {
        paused_ms += queue.check_again(EventId(3), NOW_NS).unwrap();
    }
    queue.on_page(page_of(2), false, WORK_MAX, NOW_NS);
    queue.check_again(EventId(3), NOW_NS).unwrap();
    paused_ms = 0;
    while let Some(ms) = queue.check_again(EventId(3), NOW_NS) {
        paused_ms += ms;
        assert!(paused_ms <= READER_IDLE_MS, "{queue:?}");
    }
    assert!(paused_ms >= READER_IDLE_MS, "{paused_ms}");
    assert_eq!(ids(&queue), [2, 3]);
}

#[test]
fn waiting_pages_are_limited() {
    let (mut queue, _) = busy_queue();
    let limit = PAGES_WAITING_MAX as u64;
    for event_id in 0..limit {
        assert!(queue.enqueue(EventId(event_id), page_of(1), NOW_NS).is_ok());
    }
    let busy = Err(Unavailable::Busy { waiting: limit });
    assert_eq!(queue.enqueue(EventId(limit), page_of(1), NOW_NS), busy);
    assert_eq!(queue.enqueue(EventId(limit), None, NOW_NS), busy);
    queue.leave(EventId(5));
    assert_eq!(queue.enqueue(EventId(limit), page_of(1), NOW_NS), Ok(Some(PAUSE_MS_MAX)));
}

#[derive(Debug)]
struct Reader {
    pages_left: u32,
    missing: Vec<usize>,
}

/// Shards of one isolate end their pauses in random order. Every query must receive all pages, and
/// the number of queries that read at the same time must be limited.
#[test]
fn multi_shard_queries_never_deadlock() {
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let pages = Rc::<Pages>::default();
        let mut shards: Vec<PageQueue> =
            (0..4).map(|_| PageQueue::new(Rc::clone(&pages))).collect();
        let mut asleep: Vec<(u64, usize, u64)> = Vec::new();
        let mut readers: Vec<(Vec<usize>, Reader)> = Vec::new();
        let mut now_ms = 0;
        for query in 0..20_u64 {
            let mut of: Vec<usize> = (0..4).filter(|_| rng.bool()).collect();
            of.push(query as usize % 4);
            of.sort_unstable();
            of.dedup();
            rng.shuffle(&mut of);
            readers.push((of, Reader { pages_left: rng.u32(1..12), missing: Vec::new() }));
        }
        for looks in 0.. {
            assert!(looks < 200_000, "seed {seed}: {readers:?}");
            for (query, (of, reader)) in (1..).zip(&mut readers) {
                if reader.missing.is_empty() && reader.pages_left > 0 {
                    reader.pages_left -= 1;
                    for &shard in of.iter() {
                        match shards[shard].enqueue(EventId(query), page_of(query), NOW_NS).unwrap()
                        {
                            Some(ms) => {
                                asleep.push((now_ms + u64::from(ms), shard, query));
                                reader.missing.push(shard);
                            }
                            None => {
                                let is_last = reader.pages_left == 0;
                                shards[shard].on_page(
                                    page_of(query),
                                    is_last,
                                    WORK_MAX / 3,
                                    NOW_NS,
                                );
                            }
                        }
                    }
                }
            }
            let Some(at) = (0..asleep.len()).min_by_key(|&at| (asleep[at].0, rng.u8(..))) else {
                if readers.iter().all(|(_, reader)| reader.pages_left == 0) {
                    break;
                }
                continue;
            };
            let (due_ms, shard, query) = asleep.swap_remove(at);
            now_ms = now_ms.max(due_ms);
            match shards[shard].check_again(EventId(query), NOW_NS) {
                Some(ms) => asleep.push((now_ms + u64::from(ms), shard, query)),
                None => {
                    let (_, reader) = &mut readers[query as usize - 1];
                    reader.missing.retain(|&missing| missing != shard);
                    shards[shard].on_page(page_of(query), reader.pages_left == 0, 1, NOW_NS);
                    assert!(shards[shard].readers.len() <= QUERIES_READING_MAX);
                    now_ms += 20;
                }
            }
        }
        assert!(readers.iter().all(|(_, r)| r.pages_left == 0 && r.missing.is_empty()));
    }
}
