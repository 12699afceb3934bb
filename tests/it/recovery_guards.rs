//! Tests the checks that prevent an id from having two meanings during a recovery. In each test, an
//! edge with an outdated cache sends a message at the critical time.

use tidemark_coordinator::error::Error;
use tidemark_engine::protocol::catalog::CatalogRefusal;
use tidemark_engine::protocol::recovery::{RecoveryRefusal, RecoveryRequest, RecoveryStage};
use tidemark_model::time::H_NS;

use crate::grants::{pass, revoke, writes};
use crate::protocol::write;
use crate::recoveries::{Scene, recovery, run};
use crate::world::Edge;
use crate::world::platform::START_NS;

const POINTS: i64 = 12;

/// Creates a scene, and an edge whose cache contains the column `g` of `m` and the measurement `n`.
/// Both are newer than the recovery time.
fn scene(seed: u64) -> (Scene, Edge) {
    let mut scene = Scene::new(seed);
    scene.load();
    let late = scene.old.clone();
    scene.write(&late, "m", "g", POINTS);
    scene.write(&late, "n", "v", POINTS);
    scene.world.settle();
    pass(&mut scene.world, H_NS);
    (scene, late)
}

impl Scene {
    /// Writes a line through the edge. Returns whether the line was accepted.
    fn slip(&mut self, edge: &Edge, measurement: &'static str, column: &'static str) -> bool {
        let line = self.line(measurement, column);
        self.world.run(edge, write("db", &line)).is_ok_and(|wrote| wrote.points_written == 1)
    }
}

/// A restarted shard accepts messages with a newer map until a message opens the shard. Writes that
/// arrive in this time must not appear in new columns.
#[test]
fn late_writes_never_enter_new_columns() {
    let (mut scene, late) = scene(11);
    scene.reach(RecoveryStage::Access);
    for name in [("m", "g"), ("n", "v")] {
        assert!(scene.slip(&late, name.0, name.1), "{name:?}: nothing has slipped in");
    }
    scene.recover();
    let new = Edge::default();
    // The columns of these lines get the next ids, which the lost columns had before. Their types
    // equal those of the lost columns, so only the ids can prevent a mix-up.
    for (measurement, column) in [("m", "w"), ("p", "v")] {
        scene.write(&new, measurement, column, POINTS);
        let expected = scene.written[&(measurement, column)].clone();
        for edge in [&new, &late] {
            assert_eq!(scene.column(edge, (measurement, column)), expected, "{measurement}");
        }
    }
    scene.check("after it");
}

/// An edge that cannot reach the Catalog queries a Database that is recovered but not yet frozen
/// again.
#[test]
fn ids_assigned_during_recovery_are_skipped() {
    let mut scene = Scene::new(12);
    scene.load();
    let (late, idle) = (scene.old.clone(), Edge::default());
    scene.column(&idle, ("m", "f"));
    scene.write(&late, "m", "g", POINTS);
    scene.world.settle();
    pass(&mut scene.world, H_NS);

    scene.reach(RecoveryStage::Reading);
    scene.world.catalog_is_lost = true;
    assert!(!scene.slip(&idle, "m", "w"), "its shards are closed");
    scene.world.catalog_is_lost = false;
    // The Database has assigned the id of `g` to `w`, and the edge has cached the id.
    scene.reach(RecoveryStage::Access);
    assert!(scene.slip(&idle, "m", "w"), "nothing has slipped in");
    assert!(scene.slip(&late, "m", "g"), "nothing has slipped in");
    scene.recover();
    scene.check("after it");
    scene.write(&idle, "m", "w", POINTS);
    scene.write(&late, "m", "g", POINTS);
    scene.check("written again");
}

/// A request that was authorized with the previous token continues with the current map.
#[test]
fn recovery_keeps_later_revocations() {
    let mut scene = Scene::new(13);
    scene.load();
    let edge = Edge::default();
    assert_eq!(writes(&mut scene.world, &edge, "gone", "db"), Some(true));
    pass(&mut scene.world, H_NS);
    scene.then_ns = scene.world.platform.time_ns() - H_NS / 2;
    assert_eq!(revoke(&mut scene.world, "gone"), Some(0));
    pass(&mut scene.world, H_NS);
    scene.recover();
    // The administrator needs no permission.
    scene.write(&edge, "m", "f", 1);
    assert_eq!(writes(&mut scene.world, &edge, "gone", "db"), Some(false));
    assert_eq!(writes(&mut scene.world, &edge, "kept", "db"), Some(true));
}

/// Shards created after the recovery time are deleted a minute after the database opens.
#[test]
fn discarded_shard_rejects_requests_until_wiped() {
    let mut scene = Scene::new(14);
    scene.load();
    scene.change();
    let name = ("m", "f");
    let then = scene.then[&name].clone();
    // An edge refreshes its cached map only after a message is rejected.
    let edges: Vec<_> = then.keys().map(|_| Edge::default()).collect();
    let reader = Edge::default();
    for edge in edges.iter().chain([&reader]) {
        scene.column(edge, ("n", "v"));
    }
    scene.recover();
    assert_eq!(scene.column(&reader, name), then, "what is gone is seen");
    for (&time_ns, edge) in then.keys().zip(&edges) {
        let line = format!("m,host=late f=7 {time_ns}");
        assert_eq!(scene.world.run(edge, write("db", &line)).unwrap().points_written, 1);
    }
    scene.world.settle();
    let text = "SELECT f FROM m WHERE host = 'late'";
    let found = run(&mut scene.world, &Edge::default(), text).unwrap();
    assert!(found.keys().eq(then.keys()), "what was taken is lost: {found:?}");
}

/// The platform should reject a recovery time at which an object did not exist, but the database
/// must not rely on this.
#[test]
fn recovery_before_creation_changes_nothing() {
    let mut scene = Scene::new(15);
    scene.world.keep_endless_past();
    scene.load();
    scene.then_ns = START_NS - H_NS;
    let status = scene.recover();
    assert!(status.trouble.contains("did not exist"), "{status:?}");
    scene.check("what it was before");
    scene.go_on("what it was before");
}

/// The platform may confirm that an object can be recovered, and reject the recovery later.
#[test]
fn stuck_recovery_can_be_abandoned() {
    let mut scene = Scene::new(16);
    scene.load();
    scene.change();
    let names = [("m", "g"), ("n", "v"), ("k", "v")];
    let before = names.map(|name| scene.column(&Edge::default(), name));
    let begun = scene.reach(RecoveryStage::Shards);
    scene.world.lose_past(scene.then_ns);
    let ask = |scene: &mut Scene, time_ns: i64| {
        let request = RecoveryRequest { name: "db".to_owned(), time_ns, dry_run: false };
        scene.world.run(&Edge::default(), recovery(request))
    };
    for _ in 0..5 {
        scene.world.alarm();
        while scene.world.deliver() {}
    }
    let stuck = ask(&mut scene, begun.time_ns).unwrap().unwrap();
    assert_eq!((stuck.stage, stuck.trouble.contains("too long ago")), (begun.stage, true));
    let other = ask(&mut scene, begun.time_ns + 1);
    let expected = Error::Catalog(CatalogRefusal::Recovery(RecoveryRefusal::UnderWay));
    assert_eq!(other, Err(expected));

    scene.then_ns = begun.begun_ns;
    let given_up = ask(&mut scene, begun.begun_ns).unwrap().unwrap();
    assert_eq!(given_up.stage, RecoveryStage::Database);
    let status = scene.recover();
    assert_eq!((status.time_ns, status.trouble.as_str()), (begun.begun_ns, ""));
    for (name, was) in names.into_iter().zip(before) {
        assert_eq!(scene.column(&Edge::default(), name), was, "{name:?}");
    }
    let new = Edge::default();
    scene.write(&new, "o", "v", POINTS);
    assert_eq!(scene.column(&new, ("o", "v")), scene.written[&("o", "v")]);
}
