//! Tests backups and restores while messages are lost, repeated and reordered, and while objects
//! crash. At the same time, clients write, shard groups split, and several edges drive the same
//! backup.

use std::collections::BTreeSet;

use tidemark_coordinator::Task;
use tidemark_coordinator::backup::{BackupId, back_up, restore, verify_backup};
use tidemark_coordinator::error::Error;
use tidemark_engine::protocol::database::CreateDatabase;
use tidemark_model::time::MS_NS;
use tidemark_query::result::ResultColumn;

use crate::protocol::{create, write};
use crate::world::platform::START_NS;
use crate::world::{Edge, Faults, World, real_shard, seeds};

const SEEDS: u64 = 8;
/// The size at which a shard group splits: a few dozen points.
const SPLIT_BYTES: u64 = 1_200;
const REQUESTS_MAX: usize = 2_000;

fn lines(world: &World, number: i64) -> (String, Vec<i64>) {
    let times: Vec<i64> = (0..1 + world.platform.below(12) as i64)
        .map(|n| {
            START_NS - world.platform.below(900) as i64 * 86_400_000_000_000 + number * 100 + n
        })
        .collect();
    let line = |time: &i64| format!("m,host=h{} i={number}i,s=\"text {number}\" {time}", time % 5);
    (times.iter().map(line).collect::<Vec<_>>().join("\n"), times)
}

fn shown(world: &mut World, edge: &Edge, database: &str) -> BTreeSet<i64> {
    let mut times = BTreeSet::new();
    for chunk in world.run_statement(edge, database, "SELECT i FROM m").unwrap() {
        let [ResultColumn::Time(of_chunk), ..] = chunk.values.as_slice() else { panic!() };
        for time in of_chunk {
            assert!(times.insert(*time), "{time} is there twice");
        }
    }
    times
}

fn copy(name: &str) -> CreateDatabase {
    let (policy, shards, location, jurisdiction) = (None, 1, None, None);
    CreateDatabase { name: name.to_owned(), policy, shards, location, jurisdiction }
}

fn quiet(world: &mut World) {
    for _ in 0..6 {
        while world.deliver() {}
        let now_ns = world.platform.time_ns();
        world.platform.advance_to(now_ns + 400 * MS_NS);
        world.alarm_if_due();
    }
    while world.deliver() {}
}

/// Makes a backup while clients write. Returns the backup, and the times of the points that the
/// backup must contain.
fn make_backup(world: &mut World, edges: &[Edge; 2]) -> (BackupId, BTreeSet<i64>, BTreeSet<i64>) {
    let (mut before, mut all) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..20 {
        let (lines, times) = lines(world, number);
        all.extend(times.iter().copied());
        let taken = world.run(&edges[0], write("db", &lines));
        before.extend(times.into_iter().filter(|_| taken.is_ok()));
    }
    for turn in 0..REQUESTS_MAX {
        let task = || Task::new(|io| async move { back_up(&io, "db").await });
        let mut made = vec![world.start_task(&edges[0], task())];
        if world.platform.below(3) == 0 {
            made.push(world.start_task(&edges[1], task()));
        }
        let (lines, times) = lines(world, 100 + turn as i64);
        all.extend(times);
        let _writing = world.start_task(&edges[1], write("db", &lines));
        quiet(world);
        for made in made {
            match made.take() {
                Some(Ok(made)) if made.remaining == 0 => return (made.id, before, all),
                Some(Ok(_) | Err(Error::Unavailable(_))) | None => {}
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }
    panic!("no backup in {REQUESTS_MAX} requests");
}

#[test]
fn backups_stay_exact_under_random_faults() {
    let seeds = seeds(SEEDS);
    let count = seeds.end - seeds.start;
    let (mut due, mut shards) = (0, 0);
    for seed in seeds {
        let mut world = World::new(seed, real_shard::make);
        world.split_bytes = SPLIT_BYTES;
        let edges = [Edge::default(), Edge::default()];
        world.run(&edges[0], create("db", 1 + (seed % 3) as u32, None)).unwrap();
        let faults = Faults { lost: 2, repeated: 6, crashed: 3, alarms: 5, storage: 1 };
        world.faults = if seed % 4 == 0 { Faults::default() } else { faults };
        let (id, before, all) = make_backup(&mut world, &edges);
        let faults = std::mem::take(&mut world.faults);
        let mut resume = None;
        loop {
            let id = id.clone();
            let check = Task::new(|io| async move { verify_backup(&io, &id, resume).await });
            let page = world.run(&edges[0], check).unwrap();
            assert_eq!(page.damaged, Vec::<String>::new(), "seed {seed}");
            resume = page.resume;
            if resume.is_none() {
                break;
            }
        }
        world.faults = faults;
        for request in 0.. {
            assert!(request < REQUESTS_MAX, "seed {seed}: no end of the restore");
            let edge = edges[world.platform.below(2)].clone();
            let id = id.clone();
            let task = Task::new(|io| async move { restore(&io, id, copy("copy")).await });
            let done = world.start_task(&edge, task);
            quiet(&mut world);
            match done.take() {
                Some(Ok(done)) if done.remaining == 0 => {
                    shards += done.shards;
                    break;
                }
                Some(Ok(_) | Err(Error::Unavailable(_))) | None => {}
                Some(Err(error)) => panic!("seed {seed}: {error}"),
            }
        }
        world.faults = Faults::default();
        world.settle();
        let copied = shown(&mut world, &Edge::default(), "copy");
        let missing: Vec<_> = before.difference(&copied).collect();
        assert!(
            missing.is_empty(),
            "seed {seed}: {} of {} are missing",
            missing.len(),
            before.len()
        );
        assert!(copied.is_subset(&all), "seed {seed}: points that nobody wrote");
        due += before.len();
    }
    println!("{due} points due, {shards} shards restored");
    assert!(count == 1 || shards > 2 * count, "{shards} shards");
}
