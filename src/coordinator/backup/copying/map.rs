//! The points of all shards, and the map over them: which shards there are, for which times, and
//! what the Database knows of columns, which is read after all points.

use super::{BackUp, BackUpProgress, Stage};
use crate::coordinator::Turn;
use crate::coordinator::backup::error::BackupError;
use crate::coordinator::backup::place;
use crate::coordinator::error::Error;
use crate::model::ids::ObjectId;
use crate::model::shard_map::{Policy, ShardGroup};
use crate::model::time::TimeRange;
use crate::protocol::backup::{
    BackedUpMap, FromShardBackup, ObjectKind, ShardBackup, seal_metadata,
};
use crate::protocol::database::{Description, FromDatabase, ToDatabase};
use crate::protocol::envelope;
use crate::protocol::round::CallResult;
use crate::protocol::shard::FromShard;

impl BackUp {
    pub(super) fn learn_description(&mut self, reply: CallResult) -> Turn<BackUpProgress> {
        let description = match envelope::decode_reply::<FromDatabase>(reply)? {
            FromDatabase::Description(description) => description,
            other => return Err(self.refused(other)),
        };
        let shards = |policy: &Policy| {
            let of_group = |group: &ShardGroup| {
                let range = group.range;
                group.shards.iter().map(move |shard| (shard.clone(), range)).collect::<Vec<_>>()
            };
            policy.groups.iter().flat_map(of_group).collect::<Vec<_>>()
        };
        let all: Vec<(ObjectId, TimeRange)> =
            description.policies.iter().flat_map(shards).collect();
        self.progress.shards = all.len() as u64;
        self.progress.remaining = self.progress.shards;
        let point = |(shard, range): &(ObjectId, TimeRange)| {
            let prefix = place::point_prefix(shard, range);
            self.points.iter().find(|name| name.starts_with(&prefix)).cloned()
        };
        self.missing = all.iter().filter(|shard| point(shard).is_none()).cloned().collect();
        if !self.missing.is_empty() {
            return self.next_hold();
        }
        let points = all.iter().filter_map(|shard| Some((shard.0.clone(), point(shard)?)));
        let Description { policies, default_policy, dropped_default, quotas, .. } = description;
        let (points, schema, continuous) = (points.collect(), Vec::new(), Vec::new());
        self.map = BackedUpMap {
            policies,
            default_policy,
            dropped_default,
            continuous,
            quotas,
            schema,
            points,
            access: Vec::new(),
        };
        self.ask_database(Stage::Continuous, &ToDatabase::BackUp)
    }

    /// Takes the next point that is missing; when all are there the map may be another by now.
    pub(super) fn next_hold(&mut self) -> Turn<BackUpProgress> {
        let Some((shard, _)) = self.missing.last().cloned() else {
            return self.ask_database(Stage::Describe, &ToDatabase::Describe);
        };
        if !self.objects_left.take() {
            return self.pause();
        }
        let backup = self.hold();
        self.ask_shard(Stage::Hold, &shard, ShardBackup::Hold { backup })
    }

    pub(super) fn learn_point(&mut self, reply: CallResult) -> Turn<BackUpProgress> {
        let Some((shard, _)) = self.missing.pop() else { return Err(Error::unexpected_reply()) };
        match envelope::decode_reply::<FromShard>(reply)? {
            FromShard::Backup(FromShardBackup::Held { range, point }) => {
                let prefix = place::point_prefix(&shard, &range);
                let name = place::sealed_name(&prefix, &point);
                let key = self.id.point(&name);
                self.put(Stage::PutPoint(name), key, point)
            }
            // Its group was dropped, or has split since the map was read.
            FromShard::Stale => self.next_hold(),
            other => Err(self.shard_refused(&shard, other)),
        }
    }

    /// The next page of measurements: of those that are kept, and then of the Database, which says
    /// what came since.
    pub(super) fn next_page(&mut self) -> Turn<BackUpProgress> {
        loop {
            let (at, after_version) = self.schema;
            let Some(policy) = self.map.policies.get(at).map(|policy| policy.id) else {
                self.access.1 = 0;
                self.map.access.clear();
                return self.next_access();
            };
            let prefix = format!("{policy}.{after_version:016x}.");
            match self.pages.iter().find(|name| name.starts_with(&prefix)).cloned() {
                None => {
                    let message = ToDatabase::Schema { policy, after_version };
                    return self.ask_database(Stage::Schema, &message);
                }
                Some(name) => {
                    let last = name.get(prefix.len()..prefix.len() + 16);
                    let last = last.and_then(|last| u64::from_str_radix(last, 16).ok());
                    self.take_page(name, last.unwrap_or(u64::MAX));
                }
            }
        }
    }

    /// The map goes out: everything that it names is there.
    pub(super) fn put_map(&mut self) -> Turn<BackUpProgress> {
        let object = seal_metadata(ObjectKind::Map, &self.map);
        let object = object.map_err(|why| BackupError::damaged("map", why))?;
        self.put(Stage::PutMap, self.id.map(), object)
    }

    pub(super) fn take_page(&mut self, name: String, last: u64) {
        // Positions of policies fit: a database has some hundreds.
        self.map.schema.push((self.schema.0 as u32, name));
        self.schema.1 = last;
    }

    pub(super) fn learn_page(&mut self, reply: CallResult) -> Turn<BackUpProgress> {
        let measurements = match envelope::decode_reply::<FromDatabase>(reply)? {
            FromDatabase::Schema { measurements, .. } => measurements,
            // It was dropped since the map was read.
            FromDatabase::UnknownPolicy => {
                self.schema = (0, 0);
                return self.ask_database(Stage::Describe, &ToDatabase::Describe);
            }
            other => return Err(self.refused(other)),
        };
        let Some(last) = measurements.last().map(|measurement| measurement.version) else {
            self.schema = (self.schema.0 + 1, 0);
            return self.next_page();
        };
        if !self.objects_left.take() {
            return self.pause();
        }
        let Some(policy) = self.map.policies.get(self.schema.0) else { return self.next_page() };
        let object = seal_metadata(ObjectKind::Schema, &measurements);
        let object = object.map_err(|why| BackupError::damaged("schema", why))?;
        let prefix = format!("{}.{:016x}.{last:016x}-", policy.id, self.schema.1);
        let name = place::sealed_name(&prefix, &object);
        let key = self.id.page(&name);
        self.put(Stage::PutSchema { name, last }, key, object)
    }
}
