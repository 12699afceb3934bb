use super::*;
use crate::admission::Overloaded;
use tidemark_model::limits::{FIRST_BYTES, SLOW_READER_NS};

const MB: usize = 1_000_000;
const NOW_NS: i64 = 2 * SLOW_READER_NS;
/// The number of queries that can start at the same time in one database.
const AT_ONCE: usize = (QUERIES_BYTES_MAX + QUERY_STARTS_BYTES_MAX) / QUERY_START_BYTES;

fn started(memory: &QueryMemory, database: &str) -> QueryReservation {
    let reservation = memory.reservation_for(database);
    assert!(reservation.start(NOW_NS), "{database}");
    reservation
}

#[test]
fn waiting_queries_start_in_order() {
    let memory = QueryMemory::default();
    let mut running: Vec<QueryReservation> = (0..AT_ONCE).map(|_| started(&memory, "a")).collect();
    let waiting: Vec<QueryReservation> = (0..5).map(|_| memory.reservation_for("a")).collect();
    let begin =
        || waiting.iter().map(|reservation| reservation.start(NOW_NS)).collect::<Vec<bool>>();
    assert_eq!(begin(), [false; 5]);
    running.truncate(AT_ONCE - 2);
    // A later query does not overtake the waiting queries.
    assert!(!waiting[4].start(NOW_NS) && !waiting[2].start(NOW_NS));
    assert_eq!(begin(), [true, true, false, false, false]);
    // A query that gives up no longer blocks other queries.
    drop(running);
    assert_eq!(begin(), [true; 5]);
    drop(waiting);
    assert_eq!(memory.free_bytes(), QUERIES_BYTES_MAX);
}

#[test]
fn database_with_less_memory_starts_first() {
    let memory = QueryMemory::default();
    let mut running: Vec<QueryReservation> = (0..AT_ONCE).map(|_| started(&memory, "a")).collect();
    let of_a = memory.reservation_for("a");
    // A query of a database that uses no bytes does not wait.
    let first = started(&memory, "b");
    let second = memory.reservation_for("b");
    assert!(!of_a.start(NOW_NS) && !second.start(NOW_NS));
    // The first freed bytes repay the bytes beyond the budget. The next freed bytes go to the
    // second database.
    running.truncate(AT_ONCE - 2);
    assert!(!of_a.start(NOW_NS));
    assert!(second.start(NOW_NS) && !of_a.start(NOW_NS));
    drop(first);
    assert!(of_a.start(NOW_NS));
}

#[test]
fn query_reserves_and_releases_memory() {
    let memory = QueryMemory::default();
    let reservation = started(&memory, "a");
    assert_eq!(memory.free_bytes(), QUERIES_BYTES_MAX - MB);
    let (mut slice, mut windows) = (reservation.buffer(), reservation.buffer());
    assert_eq!((slice.set(3 * MB), windows.set(MB)), (Ok(()), Ok(())));
    assert_eq!(memory.free_bytes(), QUERIES_BYTES_MAX - 4 * MB - HALF_BYTES);
    assert_eq!(slice.affordable(100 * MB), QUERIES_BYTES_MAX - MB - HALF_BYTES);
    drop(windows);
    assert_eq!(memory.free_bytes(), QUERIES_BYTES_MAX - 3 * MB - HALF_BYTES);
    slice.set(0).unwrap();
    assert_eq!(memory.free_bytes(), QUERIES_BYTES_MAX - MB);
    // While a query waits to start, running queries take no optional bytes.
    let others: Vec<QueryReservation> = (1..AT_ONCE).map(|_| started(&memory, "a")).collect();
    let waiting = memory.reservation_for("a");
    assert!(!waiting.start(NOW_NS));
    drop(others);
    assert_eq!(slice.affordable(8 * MB), HALF_BYTES);
    drop(waiting);
    assert_eq!(slice.affordable(8 * MB), 8 * MB);
}

#[test]
fn queries_borrow_memory_from_bodies() {
    let bodies = Admission::default();
    let memory = QueryMemory::new(&bodies);
    let (one, other) = (started(&memory, "a"), started(&memory, "a"));
    let (mut values, mut others) = (one.buffer(), other.buffer());
    assert_eq!(values.set(20 * MB), Ok(()));
    assert!(bodies.free_bytes() < 26 * MB, "{}", bodies.free_bytes());
    assert_eq!((others.set(12 * MB), others.set(14 * MB)), (Ok(()), Err(OutOfMemory::Now)));
    assert!(matches!(values.set(40 * MB), Err(OutOfMemory::Ever { wanted: 40_000_000, .. })));
    drop(values);
    assert_eq!(others.set(14 * MB), Ok(()));
    // Bytes held by bodies are not available to queries. Bytes that queries took from the bodies'
    // budget are not available to bodies.
    let mut body = bodies.permit_for("b");
    body.grow_to(24 * MB).unwrap();
    assert_eq!(others.set(22 * MB), Err(OutOfMemory::Now));
    body.shrink_to(10 * MB);
    assert_eq!(others.set(22 * MB), Ok(()));
    let refused = body.grow_to(30 * MB);
    assert!(matches!(refused, Err(Overloaded { never: false, .. })), "{refused:?}");
    drop((others, one, other));
    assert_eq!((bodies.free_bytes(), memory.0.spare_bytes.get()), (26 * MB, 0));
}

#[test]
fn scan_page_size_follows_free_memory() {
    let memory = QueryMemory::default();
    let reservation = started(&memory, "a");
    let half = HALF_BYTES;
    assert_eq!(reservation.page_bytes(1, false), half);
    assert_eq!(reservation.page_bytes(4, false), half / 4);
    assert_eq!(reservation.page_bytes(64, false), half / 6);
    assert_eq!(reservation.page_bytes(1, true), PAGE_BYTES_MAX);
    assert_eq!(reservation.page_bytes(4, true), PAGE_BYTES_MAX);
    assert_eq!(memory.free_bytes(), QUERIES_BYTES_MAX - 4 * MB);
    let _others: Vec<QueryReservation> = (0..6).map(|_| started(&memory, "b")).collect();
    let last = started(&memory, "c");
    assert_eq!(last.page_bytes(6, true), half / 6);
}

#[test]
fn slow_readers_are_evicted_first() {
    let memory = QueryMemory::default();
    let reservations: Vec<QueryReservation> = (0..AT_ONCE).map(|_| started(&memory, "a")).collect();
    let since = |at: usize| reservations[at].wait_for_client(at as i64);
    let slow: Vec<SlowReader> = [3, 1, 2].map(since).into();
    let mut others = Vec::new();
    for gone in [[false, true, false], [false, true, true], [true; 3]] {
        others.push(started(&memory, "a"));
        assert_eq!([0, 1, 2].map(|at| slow[at].is_gone()), gone);
    }
    // A client that has just read data is not slow.
    let _quick = reservations[4].wait_for_client(NOW_NS - 1);
    assert!(!memory.reservation_for("a").start(NOW_NS));
    drop((slow, others, reservations, _quick));
    assert_eq!(memory.free_bytes(), QUERIES_BYTES_MAX);
}

#[test]
fn ended_readers_leave_no_entries() {
    let memory = QueryMemory::default();
    let entries = || memory.0.reservations.0.uploads.borrow().len();
    let reservation = started(&memory, "a");
    let readers = (0..1_000).map(|_| reservation.wait_for_client(NOW_NS));
    let readers: Vec<SlowReader> = readers.collect();
    assert_eq!(entries(), 1_000);
    drop(readers);
    assert_eq!(entries(), 0);
}

/// Large queries run one after another, and small queries of the same database can start at any
/// time.
#[test]
fn large_query_restarts_when_memory_frees() {
    let memory = QueryMemory::default();
    let mut reservations: Vec<QueryReservation> = (0..4).map(|_| started(&memory, "a")).collect();
    let mut parts: Vec<BufferMemory> = reservations.iter().map(QueryReservation::buffer).collect();
    assert_eq!(parts[0].set(30 * MB), Ok(()));
    assert_eq!(parts[1].set(5 * MB), Err(OutOfMemory::Now));
    assert!(!reservations[0].restart(), "nothing was refused to it");
    assert!(reservations[1].restart() && !reservations[1].start(NOW_NS));
    // A large query is waiting. A query that has already grown can continue to grow, but a query
    // that has not grown yet must wait for the large query.
    assert_eq!(parts[0].set(31 * MB), Ok(()));
    assert_eq!((parts[2].set(HALF_BYTES), parts[2].set(MB)), (Ok(()), Err(OutOfMemory::Now)));
    parts[2].set(0).unwrap();
    assert!(reservations[2].restart() && !reservations[2].start(NOW_NS));
    let small = started(&memory, "a");
    parts[0].set(0).unwrap();
    assert!(!reservations[2].start(NOW_NS), "it came later");
    assert!(reservations[1].start(NOW_NS) && !reservations[2].start(NOW_NS));
    assert_eq!(parts[1].set(8 * MB), Ok(()));
    assert!(!reservations[2].start(NOW_NS), "one after the other");
    assert_eq!(parts[3].set(3 * MB), Err(OutOfMemory::Now), "behind it");
    // A query that waits for its client does not block other queries.
    let reader = reservations[1].wait_for_client(NOW_NS);
    assert!(reservations[2].start(NOW_NS));
    drop(reader);
    assert!(reservations[3].restart() && !reservations[3].start(NOW_NS), "behind the second one");
    drop((parts.drain(1..3), reservations.drain(1..3)));
    assert!(reservations[1].start(NOW_NS));
    // The number of restarts is limited.
    for _ in 1..RESTARTS_MAX {
        assert_eq!(parts[1].set(33 * MB), Err(OutOfMemory::Now), "others have begun");
        assert!(reservations[1].restart());
        reservations[1].0.started_ns.set(Some(NOW_NS));
    }
    assert_eq!((parts[1].set(33 * MB), reservations[1].restart()), (Err(OutOfMemory::Now), false));
    parts.clear();
    drop((reservations, small));
    assert_eq!((memory.free_bytes(), memory.0.spare_bytes.get()), (QUERIES_BYTES_MAX, 0));
}

/// Waiting long queries do not block small queries of their database, nor queries of other
/// databases.
#[test]
fn long_queries_leave_room_for_small() {
    let memory = QueryMemory::default();
    let mut reservations: Vec<QueryReservation> =
        (0..AT_ONCE).map(|_| started(&memory, "a")).collect();
    let becomes_long = |reservation: &QueryReservation| reservation.become_long().is_ok();
    let long: Vec<bool> = reservations.iter().map(becomes_long).collect();
    assert_eq!(long.iter().filter(|&&is_long| is_long).count(), LONG_QUERIES_MAX);
    assert!(long.is_sorted_by(|a, b| a >= b) && becomes_long(&reservations[0]), "once is enough");
    let waiting: Vec<QueryReservation> = reservations.drain(LONG_QUERIES_MAX..).collect();
    for reservation in &waiting {
        assert!(reservation.restart() && !reservation.start(NOW_NS));
    }
    let small: Vec<QueryReservation> = (0..4).map(|_| started(&memory, "a")).collect();
    let other = started(&memory, "b");
    assert!(becomes_long(&other) && !becomes_long(&small[0]));
    // A long query may collect these bytes while other queries wait. A small query may not.
    let mut gathered = reservations[0].buffer();
    assert_eq!(gathered.affordable(8 * MB), LONG_QUERY_BYTES_MAX - HALF_BYTES);
    assert_eq!(gathered.set(LONG_QUERY_BYTES_MAX - HALF_BYTES), Ok(()));
    assert_eq!(gathered.affordable(8 * MB), LONG_QUERY_BYTES_MAX - HALF_BYTES);
    assert_eq!(small[0].buffer().affordable(8 * MB), HALF_BYTES);
    drop(gathered);
    drop(reservations.remove(0));
    assert!(!waiting[1].start(NOW_NS) && waiting[0].start(NOW_NS) && !waiting[1].start(NOW_NS));
    assert!(becomes_long(&waiting[0]), "it was its turn");
    // A long query whose client reads no data does not count towards the limit.
    let _reader = reservations[0].wait_for_client(NOW_NS);
    assert!(waiting[1].start(NOW_NS) && !waiting[2].start(NOW_NS));
    // A query that has run for a long time does not block other queries, unless the number of such
    // queries has reached a maximum.
    let later_ns = NOW_NS + LONG_QUERY_NS;
    let began: Vec<bool> =
        waiting[2..].iter().map(|reservation| reservation.start(later_ns)).collect();
    assert_eq!(began.iter().filter(|&&starts| starts).count(), LONG_QUERIES_MAX);
    drop((small, other));
    let much_later_ns = later_ns + 10 * LONG_QUERY_NS;
    for step in 0..10 {
        let now_ns = much_later_ns + step * 2 * LONG_QUERY_NS;
        for reservation in &waiting {
            reservation.start(now_ns);
        }
    }
    let began = waiting.iter().filter(|reservation| reservation.start(much_later_ns)).count();
    assert_eq!(began, LONG_QUERIES_TOTAL_MAX);
}

/// Simulates queries of ten databases that start, grow, wait for clients and end in any order.
#[test]
fn random_queries_never_exceed_memory() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let bodies = Admission::default();
        let memory = QueryMemory::new(&bodies);
        let mut reservations: Vec<(QueryReservation, Vec<BufferMemory>)> = Vec::new();
        let (mut started, mut refused) = (0, 0);
        for _ in 0..2_000 {
            match random.u8(..10) {
                0..4 if reservations.len() < 40 => reservations
                    .push((memory.reservation_for(&random.u8(..10).to_string()), Vec::new())),
                4..6 if !reservations.is_empty() => {
                    drop(reservations.swap_remove(random.usize(..reservations.len())))
                }
                _ => {}
            }
            for (reservation, parts) in &mut reservations {
                started += usize::from(reservation.start(NOW_NS));
                if !reservation.start(NOW_NS) {
                    continue;
                }
                let mut part = reservation.buffer();
                let wish = random.usize(..12 * MB);
                let bytes = if random.bool() { part.affordable(wish) } else { wish };
                refused += usize::from(part.set(bytes).is_err());
                parts.push(part);
                parts.truncate(2);
            }
            let held = QUERIES_BYTES_MAX + FIRST_QUERIES_BYTES_MAX;
            let counted = memory.0.reservations.0.held_bytes.get();
            let spare = bodies.0.held_bytes.get();
            assert!(counted <= held, "{seed}: {counted}");
            assert!(spare <= QUERY_SPARE_BYTES_MAX + FIRST_BYTES, "{seed}: {spare}");
        }
        assert!(started > 500 && refused > 100, "{seed}: {started} {refused}");
        drop(reservations);
        assert_eq!((memory.free_bytes(), bodies.free_bytes()), (QUERIES_BYTES_MAX, 36 * MB));
    }
}
