//! Tests the split of a shard that has more measurements than one page of names can contain.

use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::shard::{FromShard, ToShard};
use tidemark_engine::scan::request::SummaryWant;
use tidemark_model::ids::ObjectId;

use crate::protocol::{create, write};
use crate::whole::ask;
use crate::world::platform::START_NS;
use crate::world::{Edge, ShardObject, World, real_shard};

const NAMED: usize = 2;

/// The product's shard with a small page size.
struct Paging(Box<dyn ShardObject>);

fn make(id: &ObjectId) -> Box<dyn ShardObject> {
    Box::new(Paging(real_shard::make(id)))
}

impl ShardObject for Paging {
    fn handle(&mut self, message: &[u8], now_ns: i64) -> Vec<u8> {
        let reply = self.0.handle(message, now_ns);
        let asked = envelope::decode::<ToShard>(message);
        let answered = envelope::decode::<FromShard>(&reply);
        let (Ok((_, ToShard::Summarise { request, .. })), Ok((_, FromShard::Summary(mut page)))) =
            (asked, answered)
        else {
            return reply;
        };
        if request.want != SummaryWant::Measurements || page.measurements.len() <= NAMED {
            return reply;
        }
        page.measurements.truncate(NAMED);
        let last = page.measurements[NAMED - 1].measurement;
        let at = request.measurements.iter().position(|id| *id == last).unwrap();
        page.resume = Some((at as u32 + 1, Vec::new()));
        envelope::encode(&FromShard::Summary(page))
    }

    fn crash(&mut self) {
        self.0.crash();
    }

    fn alarm(&mut self, now_ns: i64) -> Option<i64> {
        self.0.alarm(now_ns)
    }

    fn next_alarm_ns(&mut self, now_ns: i64) -> Option<i64> {
        self.0.next_alarm_ns(now_ns)
    }
}

#[test]
fn split_copies_every_measurement_page() {
    let mut world = World::new(5, make);
    world.split_bytes = 1_500;
    let edge = Edge::default();
    world.run(&edge, create("db", 2, None)).unwrap();
    for batch in 0..6 {
        let line = |n: usize| {
            let time_ns = START_NS - (n as i64) * 3_600_000_000_000;
            format!("m{},host=h{} v={n}i,s=\"text of {n}\" {time_ns}", n % 7, n % 3)
        };
        let lines: Vec<String> = (batch * 35..(batch + 1) * 35).map(line).collect();
        world.run(&edge, write("db", &lines.join("\n"))).unwrap();
    }
    world.settle();
    let groups = ask(&mut world, &Edge::default(), "SHOW SHARD GROUPS").unwrap();
    assert!(groups.len() > 1, "{groups:?}");
    for number in 0..7 {
        let counted = format!("SELECT count(v), sum(v) FROM m{number}");
        let counted = ask(&mut world, &Edge::default(), &counted).unwrap();
        let sum: usize = (0..210).filter(|n| n % 7 == number).sum();
        assert_eq!(counted, [format!("m{number} 0 Integer(30) Integer({sum})")]);
    }
}
