use super::*;

const NOW_NS: i64 = 1_000_000_000_000;

fn turns() -> (Turns, Rc<Pages>) {
    let pages = Rc::<Pages>::default();
    (Turns::new(Rc::clone(&pages)), pages)
}

/// As after much work just now.
fn busy_turns() -> (Turns, Rc<Pages>) {
    let (turns, pages) = turns();
    pages.work.set(WORK_MAX);
    pages.last_ns.set(NOW_NS);
    (turns, pages)
}

#[test]
fn a_first_page_waits_only_for_one_that_was_made_just_now() {
    let (mut turns, _) = turns();
    assert_eq!(turns.arrive(Ticket(1), 0, NOW_NS), Ok(None));
    turns.made(0, true, WORK_MAX, NOW_NS);
    assert_eq!(turns.arrive(Ticket(2), 0, NOW_NS + 1_000_000), Ok(Some(1)));
    assert_eq!(turns.arrive(Ticket(3), 0, NOW_NS + 9_000_000), Ok(Some(3)), "one waits");
    assert_eq!(turns.look(Ticket(3)), Some(3), "the other came first");
    assert_eq!(turns.look(Ticket(2)), None);
    turns.made(0, true, WORK_MAX, NOW_NS + 9_000_000);
    assert_eq!(turns.look(Ticket(3)), Some(1), "a page was made during its pause");
    assert_eq!(turns.look(Ticket(3)), None);
    turns.made(0, true, WORK_MAX, NOW_NS + 10_000_000);
    assert_eq!(turns.arrive(Ticket(4), 7, NOW_NS + 10_000_000), Ok(Some(1)), "nor a later page");
}

#[test]
fn small_pages_in_a_row_pause_when_together_they_are_much() {
    let (mut turns, _) = turns();
    for work in [WORK_MAX / 2, WORK_MAX / 2 - 1, 1] {
        assert_eq!(turns.arrive(Ticket(1), 0, NOW_NS), Ok(None));
        turns.made(0, true, work, NOW_NS);
    }
    assert_eq!(turns.arrive(Ticket(2), 0, NOW_NS), Ok(Some(1)));
    assert_eq!(turns.look(Ticket(2)), None);
    turns.made(0, true, WORK_MAX - 1, NOW_NS);
    assert_eq!(turns.arrive(Ticket(3), 0, NOW_NS), Ok(None), "counted from the pause on");
    turns.made(0, true, u64::MAX, NOW_NS);
    assert_eq!(turns.arrive(Ticket(4), 7, NOW_NS + 1_000_001), Ok(None), "or from quiet on");
    assert_eq!(turns.readers, [7], "and a page of a query that goes on has its turn");
}

#[test]
fn pages_of_the_isolates_other_shards_count_as_made_during_the_pause() {
    let (mut turns, pages) = busy_turns();
    let mut other = Turns::new(pages);
    assert_eq!(turns.arrive(Ticket(1), 7, NOW_NS), Ok(Some(1)));
    other.made(0, true, WORK_MAX, NOW_NS);
    assert_eq!(turns.look(Ticket(1)), Some(1));
    assert_eq!(turns.look(Ticket(1)), None);
}

#[test]
fn two_queries_go_on_and_the_third_when_one_of_them_ends() {
    let (mut turns, _) = busy_turns();
    for query in 1..=3 {
        assert!(turns.arrive(Ticket(query), query, NOW_NS).unwrap().is_some());
    }
    for query in 1..=2 {
        turns.look(Ticket(query));
        assert_eq!(turns.look(Ticket(query)), None);
        turns.made(query, false, WORK_MAX, NOW_NS);
    }
    assert!(turns.look(Ticket(3)).is_some());
    assert!(turns.look(Ticket(3)).is_some(), "both turns are taken");
    assert_eq!(turns.arrive(Ticket(4), 0, NOW_NS), Ok(Some(1)));
    assert_eq!(turns.look(Ticket(4)), None, "a first page passes by");
    assert!(turns.arrive(Ticket(5), 2, NOW_NS).unwrap().is_some());
    assert_eq!(turns.look(Ticket(5)), None, "so does the page of one that has its turn");
    turns.made(2, true, WORK_MAX, NOW_NS);
    turns.look(Ticket(3));
    assert_eq!(turns.look(Ticket(3)), None);
}

#[test]
fn a_turn_that_is_not_used_is_lost() {
    let (mut turns, _) = busy_turns();
    turns.readers = vec![1, 2];
    turns.arrive(Ticket(3), 3, NOW_NS).unwrap();
    let mut paused_ms = 0;
    while paused_ms < TURN_IDLE_MS / 2 {
        paused_ms += turns.look(Ticket(3)).unwrap();
    }
    turns.made(2, false, WORK_MAX, NOW_NS);
    turns.look(Ticket(3)).unwrap();
    paused_ms = 0;
    while let Some(ms) = turns.look(Ticket(3)) {
        paused_ms += ms;
        assert!(paused_ms <= TURN_IDLE_MS, "{turns:?}");
    }
    assert!(paused_ms >= TURN_IDLE_MS, "{paused_ms}");
    assert_eq!(turns.readers, [2, 3]);
}

#[test]
fn past_the_limit_nobody_is_taken_in_until_one_leaves() {
    let (mut turns, _) = busy_turns();
    let limit = PAGES_WAITING_MAX as u64;
    for ticket in 0..limit {
        assert!(turns.arrive(Ticket(ticket), 1, NOW_NS).is_ok());
    }
    let busy = Err(Unavailable::Busy { waiting: limit });
    assert_eq!(turns.arrive(Ticket(limit), 1, NOW_NS), busy);
    assert_eq!(turns.arrive(Ticket(limit), 0, NOW_NS), busy);
    turns.leave(Ticket(5));
    assert_eq!(turns.arrive(Ticket(limit), 1, NOW_NS), Ok(Some(PAUSE_MS_MAX)));
}

/// A query asks every one of its shards for a page at once, as often as it has pages.
#[derive(Debug)]
struct Reader {
    pages_left: u32,
    missing: Vec<usize>,
}

/// Queries over any shards of one isolate, their pauses ending in any order: each has all its
/// pages in the end, and what was read for at the same time is bounded.
#[test]
fn queries_over_several_shards_never_keep_each_other_waiting() {
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let pages = Rc::<Pages>::default();
        let mut shards: Vec<Turns> = (0..4).map(|_| Turns::new(Rc::clone(&pages))).collect();
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
                        match shards[shard].arrive(Ticket(query), query, NOW_NS).unwrap() {
                            Some(ms) => {
                                asleep.push((now_ms + u64::from(ms), shard, query));
                                reader.missing.push(shard);
                            }
                            None => {
                                let is_last = reader.pages_left == 0;
                                shards[shard].made(query, is_last, WORK_MAX / 3, NOW_NS);
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
            match shards[shard].look(Ticket(query)) {
                Some(ms) => asleep.push((now_ms + u64::from(ms), shard, query)),
                None => {
                    let (_, reader) = &mut readers[query as usize - 1];
                    reader.missing.retain(|&missing| missing != shard);
                    shards[shard].made(query, reader.pages_left == 0, 1, NOW_NS);
                    assert!(shards[shard].readers.len() <= QUERIES_READING_MAX);
                    now_ms += 20;
                }
            }
        }
        assert!(readers.iter().all(|(_, r)| r.pages_left == 0 && r.missing.is_empty()));
    }
}
