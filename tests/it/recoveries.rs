//! Tests point-in-time recovery on a platform that keeps earlier states of every object. At the
//! same time, clients write, and messages are lost, repeated or interrupted.

use std::collections::BTreeMap;

use tidemark_coordinator::Task;
use tidemark_coordinator::create_drop::Change;
use tidemark_coordinator::error::Error;
use tidemark_coordinator::recover::{begin_recovery, show_recovery};
use tidemark_engine::protocol::catalog::CatalogRefusal;
use tidemark_engine::protocol::database::{QuotaChange, ToDatabase};
use tidemark_engine::protocol::recovery::RecoveryRefusal::BeingMade;
use tidemark_engine::protocol::recovery::{
    RecoveryRefusal, RecoveryRequest, RecoveryStage, RecoveryStatus,
};
use tidemark_engine::store::Store;
use tidemark_model::quota::Rates;
use tidemark_model::time::{D_NS, H_NS, MINUTE_NS, S_NS};
use tidemark_query::result::ResultColumn;

use crate::grants::{pass, put, revoke, token, writes};
use crate::product::Product;
use crate::protocol::{create, drop_database, write};
use crate::world::platform::START_NS;
use crate::world::{Answer, Edge, Faults, World, real_shard, seeds};

/// The size at which a shard group splits: a few points, and the rows that define a shard.
const SPLIT_BYTES: u64 = 600;
const POINTS: i64 = 40;
const SEEDS: u64 = 8;

pub(crate) type Column = BTreeMap<i64, String>;

pub(crate) struct Scene {
    pub(crate) world: World,
    /// An edge that has cached every state.
    pub(crate) old: Edge,
    pub(crate) written: BTreeMap<(&'static str, &'static str), Column>,
    next: i64,
    /// The recovery time, and the values that were written before this time.
    pub(crate) then_ns: i64,
    pub(crate) then: BTreeMap<(&'static str, &'static str), Column>,
}

/// Returns a task that begins a recovery.
pub(crate) fn recovery(request: RecoveryRequest) -> Task<Option<RecoveryStatus>> {
    Task::new(|io| async move { begin_recovery(&io, request).await })
}

fn shown_recovery() -> Task<Option<RecoveryStatus>> {
    Task::new(|io| async move { show_recovery(&io, "db").await })
}

pub(crate) fn run(world: &mut World, edge: &Edge, text: &str) -> Result<Column, Error> {
    let mut rows = Column::new();
    for chunk in world.run_statement(edge, "db", text)? {
        let [ResultColumn::Time(times_ns), ResultColumn::Values(values)] = &chunk.values[..] else {
            continue;
        };
        for (row, time_ns) in times_ns.iter().enumerate() {
            rows.extend(values.get(row).map(|value| (*time_ns, format!("{value:?}"))));
        }
    }
    Ok(rows)
}

impl Scene {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = World::new(seed, real_shard::make);
        world.keep_past();
        world.split_bytes = SPLIT_BYTES;
        let old = Edge::default();
        world.run(&old, create("db", 2, None)).unwrap();
        let (written, then) = (BTreeMap::new(), BTreeMap::new());
        Self { world, old, written, next: 1, then_ns: 0, then }
    }

    /// Returns a line whose value and time differ from those of all other lines.
    pub(crate) fn line(&mut self, measurement: &'static str, column: &'static str) -> String {
        let number = self.next;
        self.next += 1;
        let time_ns = START_NS + (number - 60) * H_NS;
        let (value, shown) = match column {
            "f" | "h" => (format!("{number}"), format!("Float({number}.0)")),
            _ => (format!("{number}i"), format!("Integer({number})")),
        };
        self.written.entry((measurement, column)).or_default().insert(time_ns, shown);
        format!("{measurement},host=h{} {column}={value} {time_ns}", number % 3)
    }

    pub(crate) fn write(
        &mut self,
        edge: &Edge,
        measurement: &'static str,
        column: &'static str,
        count: i64,
    ) {
        for _ in 0..count {
            let line = self.line(measurement, column);
            let wrote = loop {
                match self.world.run(edge, write("db", &line)) {
                    // A split has delayed the write.
                    Err(Error::Unavailable(_)) => self.world.settle(),
                    wrote => break wrote.unwrap(),
                }
            };
            assert_eq!(wrote.points_written, 1, "{line}");
        }
    }

    pub(crate) fn column(&mut self, edge: &Edge, (measurement, column): (&str, &str)) -> Column {
        run(&mut self.world, edge, &format!("SELECT {column} FROM {measurement}")).unwrap()
    }

    /// Writes the points that the recovery must restore, and sets the recovery time to an hour
    /// after these writes.
    pub(crate) fn load(&mut self) {
        let old = self.old.clone();
        pass(&mut self.world, H_NS);
        for name in ["kept", "gone"] {
            put(&mut self.world, token(name, &["db"]));
        }
        self.write(&old, "m", "f", POINTS);
        self.write(&old, "k", "i", POINTS);
        self.world.settle();
        // After this pause, the shards that a split created have earlier states.
        pass(&mut self.world, H_NS);
        self.then_ns = self.world.platform.time_ns();
        self.then = self.written.clone();
        self.written.entry(("m", "f")).or_default().insert(1, "Float(1.0)".to_owned());
        pass(&mut self.world, 2 * H_NS);
    }

    /// Adds columns and measurements, changes points, splits groups, revokes a token, and sets a
    /// limit.
    pub(crate) fn change(&mut self) {
        let old = self.old.clone();
        let shards = self.world.shard_ids().len();
        self.write(&old, "m", "g", POINTS);
        self.write(&old, "n", "v", POINTS);
        self.write(&old, "m", "f", POINTS);
        let first_ns = *self.then[&("m", "f")].keys().next().unwrap();
        let line = format!("m,host=h1 f=-1 {first_ns}");
        self.world.run(&old, write("db", &line)).unwrap();
        for text in [
            "DROP MEASUREMENT k".to_owned(),
            format!("DELETE FROM m WHERE time > {first_ns} AND time < {}", START_NS - 40 * H_NS),
        ] {
            run(&mut self.world, &old, &text).unwrap();
        }
        self.write(&old, "k", "v", POINTS);
        assert_eq!(revoke(&mut self.world, "gone"), Some(0));
        let rates = Rates { points: Some(1 << 40), ..Rates::default() };
        let change = QuotaChange::Database { rates, stored_bytes: None, series: None };
        let change = Change::within("db", ToDatabase::SetQuota(change));
        self.world.run(&old, crate::protocol::change(change)).unwrap();
        self.world.settle();
        for _ in 0..9 {
            if self.world.shard_ids().len() > shards {
                break;
            }
            self.write(&old, "n", "v", POINTS);
            self.world.settle();
        }
        assert!(self.world.shard_ids().len() > shards, "no group has split");
        pass(&mut self.world, H_NS);
    }

    fn ask(&self) -> Task<Option<RecoveryStatus>> {
        let (name, time_ns) = ("db".to_owned(), self.then_ns);
        recovery(RecoveryRequest { name, time_ns, dry_run: false })
    }

    /// Runs the recovery until `stage` is the next stage.
    pub(crate) fn reach(&mut self, stage: RecoveryStage) -> RecoveryStatus {
        let (edge, mut last) = (Edge::default(), Ok(None));
        for _ in 0..200 {
            last = self.world.run(&edge, self.ask());
            if let Ok(Some(status)) = &last
                && status.stage == stage
            {
                return status.clone();
            }
            self.world.alarm();
            while self.world.deliver() {}
        }
        panic!("it never comes to {stage:?}: {last:?}");
    }

    pub(crate) fn recover(&mut self) -> RecoveryStatus {
        self.reach(RecoveryStage::Done)
    }

    /// Checks that all points of the recovery time exist, and that no column contains values of
    /// another column.
    pub(crate) fn check(&mut self, what: &str) {
        for edge in [self.old.clone(), Edge::default()] {
            for (name, written) in self.written.clone() {
                let found = self.column(&edge, name);
                for (time_ns, value) in &found {
                    assert_eq!(written.get(time_ns), Some(value), "{what}: {name:?} {time_ns}");
                }
                for (time_ns, value) in self.then.get(&name).into_iter().flatten() {
                    assert_eq!(found.get(time_ns), Some(value), "{what}: {name:?} is lost");
                }
            }
        }
    }

    /// Writes to new columns and measurements, and checks that they contain only the points that
    /// were written to them.
    pub(crate) fn go_on(&mut self, what: &str) {
        let (old, new) = (self.old.clone(), Edge::default());
        let made = [("m", "h"), ("m", "w"), ("k", "h"), ("o", "v"), ("n", "v"), ("m", "g")];
        let mut known = BTreeMap::new();
        for name in made {
            known.insert(name, self.column(&new, name));
        }
        let edges = [&new, &old, &old, &new, &old, &old];
        for (name, edge) in made.into_iter().zip(edges) {
            let before = self.written.get(&name).cloned().unwrap_or_default();
            self.write(edge, name.0, name.1, 5);
            let mut expected = self.written[&name].clone();
            expected.retain(|time_ns, _| !before.contains_key(time_ns));
            expected.extend(known.remove(&name).unwrap_or_default());
            for edge in [&old, &new, &Edge::default()] {
                assert_eq!(self.column(edge, name), expected, "{what}: {name:?}");
            }
        }
        self.check(what);
    }
}

#[test]
fn recovered_database_matches_past_and_continues() {
    let mut scene = Scene::new(3);
    scene.load();
    let edges = [scene.old.clone(), Edge::default()];
    for edge in &edges {
        assert_eq!(writes(&mut scene.world, edge, "gone", "db"), Some(true));
    }
    pass(&mut scene.world, H_NS);
    scene.then_ns = scene.world.platform.time_ns();
    pass(&mut scene.world, H_NS);
    scene.change();
    let before_ns = scene.world.platform.time_ns();
    let now = scene.written.clone();
    let status = scene.recover();
    assert_eq!((status.time_ns, status.back > 0), (scene.then_ns, true), "{status:?}");
    assert!(scene.world.went_back() >= status.back, "{status:?}");
    scene.check("after it");
    for name in [("m", "g"), ("n", "v"), ("k", "v")] {
        assert_eq!(scene.column(&edges[0], name), Column::new(), "{name:?}");
    }
    let mut expected = scene.then[&("m", "f")].clone();
    expected.insert(1, "Float(1.0)".to_owned());
    assert_eq!(scene.column(&edges[0], ("m", "f")), expected);
    // Revocations and limits that were made after the recovery time still apply.
    for edge in [&edges[0], &edges[1], &Edge::default()] {
        assert_eq!(writes(&mut scene.world, edge, "gone", "db"), Some(false));
        assert_eq!(writes(&mut scene.world, edge, "kept", "db"), Some(true));
    }
    scene.world.settle();
    let fresh = Edge::default();
    scene.column(&fresh, ("m", "f"));
    let known = fresh.cache.borrow_mut().database("db").unwrap();
    assert_eq!(known.description.quotas.rates.points, Some(1 << 40));
    let groups = known.description.policies.iter().flat_map(|policy| &policy.groups);
    let of_map: Vec<_> = groups.flat_map(|group| &group.shards).collect();
    let made_since = scene.world.shard_ids().into_iter().filter(|id| !of_map.contains(&id));
    let made_since: Vec<_> = made_since.collect();
    assert!(!made_since.is_empty());
    for id in made_since {
        assert_eq!(scene.world.shard(&id).stored().unwrap().is_open(), Ok(false), "{id} is left");
    }
    scene.go_on("after it");
    assert_eq!(scene.recover(), status);
    scene.check("after a repeat");

    pass(&mut scene.world, 24 * H_NS);
    let again = scene.recover();
    assert!(again.begun_ns > status.begun_ns, "{again:?}");
    scene.check("after a second recovery");

    pass(&mut scene.world, H_NS);
    assert!((before_ns..=scene.world.platform.time_ns()).contains(&status.begun_ns));
    scene.then_ns = status.begun_ns;
    scene.written = now;
    let undone = scene.recover();
    assert_eq!(undone.stage, RecoveryStage::Done);
    for name in [("m", "g"), ("n", "v"), ("k", "v")] {
        assert_eq!(scene.column(&edges[0], name), scene.written[&name], "{name:?}");
    }
    assert_eq!(writes(&mut scene.world, &edges[1], "gone", "db"), Some(false));
}

#[test]
fn recovery_blocks_queries_and_drops() {
    let mut scene = Scene::new(4);
    scene.load();
    scene.change();
    let old = scene.old.clone();
    scene.world.run(&old, scene.ask()).unwrap();
    let mut seen = Vec::new();
    for _ in 0..60 {
        let status = scene.world.run(&Edge::default(), scene.ask()).unwrap().unwrap();
        if status.stage == RecoveryStage::Done {
            break;
        }
        seen.push(status.stage);
        let changed = scene.world.run(&Edge::default(), drop_database("db"));
        assert!(matches!(changed, Err(Error::Unavailable(_))), "{status:?}: {changed:?}");
        let asked = run(&mut scene.world, &Edge::default(), "SELECT f FROM m");
        assert!(matches!(asked, Err(Error::Unavailable(_))), "{status:?}: {asked:?}");
        if matches!(status.stage, RecoveryStage::Database | RecoveryStage::Reading) {
            let wrote = scene.world.run(&old, write("db", "m,host=h1 f=5 5"));
            assert!(matches!(wrote, Err(Error::Unavailable(_))), "{status:?}: {wrote:?}");
        }
        scene.world.alarm();
        while scene.world.deliver() {}
    }
    seen.dedup();
    assert_eq!(
        seen,
        [
            RecoveryStage::Freezing,
            RecoveryStage::Closing,
            RecoveryStage::Database,
            RecoveryStage::Reading,
            RecoveryStage::Shards,
            RecoveryStage::Access,
            RecoveryStage::Opening,
        ]
    );
    let other = RecoveryRequest { name: "db".to_owned(), time_ns: 5, dry_run: false };
    let refused = scene.world.run(&old, recovery(other));
    let expected = Error::Catalog(CatalogRefusal::Recovery(RecoveryRefusal::Time));
    assert_eq!(refused, Err(expected));
    scene.world.run(&old, drop_database("db")).unwrap();
    scene.world.run(&old, create("db", 2, None)).unwrap();
    assert_eq!(scene.world.run(&old, shown_recovery()), Ok(None), "it is of the one before");
}

#[test]
fn invalid_recovery_changes_nothing() {
    let mut scene = Scene::new(5);
    scene.load();
    let edge = Edge::default();
    let now_ns = scene.world.platform.time_ns();
    let ask = |scene: &mut Scene, name: &str, time_ns: i64, dry_run: bool| {
        let name = name.to_owned();
        scene.world.run(&edge, recovery(RecoveryRequest { name, time_ns, dry_run }))
    };
    let refused = |refusal| Err(Error::Catalog(CatalogRefusal::Recovery(refusal)));
    let times = [now_ns + S_NS, now_ns - S_NS, now_ns - 31 * D_NS];
    for time_ns in times {
        assert_eq!(ask(&mut scene, "db", time_ns, false), refused(RecoveryRefusal::Time));
    }
    let name = RecoveryRefusal::NoDatabase("nobody".to_owned());
    assert_eq!(ask(&mut scene, "nobody", now_ns - H_NS, true), refused(name));
    let checked = ask(&mut scene, "db", now_ns - H_NS, true).unwrap().unwrap();
    assert_eq!((checked.stage, checked.shards > 1), (RecoveryStage::Checked, true));
    assert_eq!(scene.world.run(&edge, shown_recovery()), Ok(None));
    scene.check("unchanged");

    let before = ask(&mut scene, "db", START_NS - H_NS, true);
    let why = "Requested time is before this database existed.".to_owned();
    assert_eq!(before, refused(RecoveryRefusal::Failed(why)));
    scene.check("unchanged");
}

/// After a reset, the Database may reuse ids before it receives the higher counters. The Catalog
/// then resets the Database again.
#[test]
fn recovery_never_mixes_up_columns() {
    let seeds = seeds(SEEDS);
    let count = seeds.end - seeds.start;
    let (mut back, mut taken) = (0, 0);
    for seed in seeds {
        let mut scene = Scene::new(seed);
        scene.load();
        scene.change();
        taken += disturb(&mut scene, seed);
        back += scene.world.went_back();
        scene.go_on(&format!("seed {seed}"));
        assert_eq!(writes(&mut scene.world, &scene.old.clone(), "gone", "db"), Some(false));
    }
    println!("{back} instances began with what was, {taken} writes were taken meanwhile");
    assert!(count == 1 || (back > 4 * count && taken > count), "{back} {taken}");
}

/// Lets clients write and messages fail during the recovery. Returns the number of accepted writes.
fn disturb(scene: &mut Scene, seed: u64) -> u64 {
    let mut edges = vec![scene.old.clone()];
    // Each edge has its own cache. These queries fill the cache before the recovery starts.
    for _ in 0..12 {
        let edge = Edge::default();
        for name in [("m", "g"), ("n", "v")] {
            scene.column(&edge, name);
        }
        edges.push(edge);
    }
    if !seed.is_multiple_of(5) {
        scene.world.faults = Faults { lost: 4, repeated: 4, crashed: 3, storage: 2, alarms: 5 };
    }
    let until_ns = scene.world.platform.time_ns() + 20 * D_NS;
    let mut answers: Vec<Answer<_>> = Vec::new();
    let mut asked: Option<Answer<Option<RecoveryStatus>>> = None;
    for step in 0..40_000 {
        if scene.world.platform.time_ns() > until_ns {
            break;
        }
        match scene.world.platform.below(30) {
            0 => {
                let edge = &edges[scene.world.platform.below(edges.len())];
                let columns = [("m", "g"), ("n", "v"), ("m", "w"), ("m", "x"), ("p", "v")];
                let (measurement, column) = columns[scene.world.platform.below(5)];
                let line = scene.line(measurement, column);
                answers.push(scene.world.start_task(edge, write("db", &line)));
            }
            // If an edge cannot reach the Catalog, it sends requests to the Database in its cache.
            1 => scene.world.catalog_is_lost = scene.world.platform.below(2) == 0,
            2 | 3 => {
                scene.world.alarm();
            }
            4 if asked.is_none() => {
                asked = Some(scene.world.start_task(&edges[2], scene.ask()));
            }
            _ => {
                scene.world.deliver();
            }
        }
        match asked.as_ref().and_then(Answer::take) {
            Some(Ok(Some(status))) if status.stage == RecoveryStage::Done => break,
            Some(refused) => {
                asked = None;
                if refused == Err(Error::Catalog(CatalogRefusal::Recovery(BeingMade))) {
                    let now_ns = scene.world.platform.time_ns();
                    scene.world.platform.advance_to(now_ns + 3 * MINUTE_NS);
                }
            }
            None => assert!(step < 39_999, "seed {seed}: it comes to no end"),
        }
    }
    scene.world.faults = Faults::default();
    scene.world.catalog_is_lost = false;
    scene.world.settle();
    let status = scene.recover();
    assert_eq!(status.time_ns, scene.then_ns, "seed {seed}: {status:?}");
    scene.world.settle();
    scene.world.platform.advance_to(scene.world.platform.time_ns() + MINUTE_NS);
    let answers = answers.iter().filter_map(Answer::take);
    answers.filter(|answer| answer.as_ref().is_ok_and(|wrote| wrote.points_written == 1)).count()
        as u64
}

#[test]
fn recovery_without_history_returns_501() {
    let mut product = Product::with(&[]);
    product.query("", "CREATE DATABASE d");
    product.write("d", "m f=1 1");
    let target = "/api/v3/recover?db=d&time=";
    let response = product.post(&format!("{target}nonsense"), "");
    assert_eq!(response.status, 400);
    let now_s = product.now_s();
    let ago = |seconds: i64| {
        let mut text = Vec::new();
        tidemark_response::time::rfc3339((now_s - seconds) * S_NS, 0, &mut text);
        String::from_utf8(text).unwrap()
    };
    for (seconds, status, says) in [(3_600, 501, "use backups"), (-60, 400, "between two minutes")]
    {
        let response = product.post(&format!("{target}{}", ago(seconds)), "");
        let said = String::from_utf8(response.body).unwrap();
        assert_eq!((response.status, said.contains(says)), (status, true), "{said}");
    }
    let (status, body) = product.ask("GET", "/api/v3/recover", "db=d", &[], "");
    assert_eq!((status, body.as_str()), (200, "{\"db\":\"d\",\"recovery\":null}\n"));
    product.write("d", "m f=2 2");
    let count = product.query("d", "SELECT count(f) FROM m");
    assert_eq!(count.pointer("/results/0/series/0/values/0/1"), Some(&2.into()));
}
