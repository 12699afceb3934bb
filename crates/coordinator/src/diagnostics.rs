//! Executes SHOW STATS, SHOW DIAGNOSTICS, SHOW SHARDS and SHOW SHARD GROUPS.
//!
//! The counters do not include objects that cannot be reached. SHOW DIAGNOSTICS lists these
//! objects. SHOW STATS and SHOW DIAGNOSTICS end before they reach the platform's limit of calls.
//! The results then list the databases whose objects were not called.

use super::database_lists::{CatalogList, list_catalog};
use super::error::{Error, Result};
use super::load_schemas::{Load, Loaded, SchemaSelection};
use super::{Io, Pieces};
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::daily_usage::{DailyUsage, DayUsage};
use tidemark_engine::protocol::database::{FromDatabase, ObjectStats, ToDatabase};
use tidemark_engine::protocol::round::{CallResult, Request};
use tidemark_engine::protocol::shard::{FromShard, Stats, ToShard};
use tidemark_engine::protocol::{envelope, release};
use tidemark_influxql::ast::Statement;
use tidemark_influxql::time_literal;
use tidemark_model::limits::{CALLS_PER_ROUND_MAX, SHARDS_PER_GROUP_MAX, USAGE_DAYS_MAX};
use tidemark_model::quota::{Rate, Rates};
use tidemark_model::shard_map::{Policy, ShardGroup};
use tidemark_model::time::{D_NS, MAX_TIME_NS, MIN_TIME_NS, S_NS, TimeRange};
use tidemark_query::result::{SeriesChunk, Values};
use tidemark_query::work::Work;

struct Diagnostics {
    statement: Statement,
    found: Vec<DatabaseFigures>,
    /// The problems that the operator must solve: the database, the object and the problem.
    troubles: Vec<[String; 3]>,
    /// Empty if no request to the Catalog was made.
    catalog_release: String,
    /// The databases with objects that were not called, because the request has reached its limit
    /// of calls, and the number of these objects.
    skipped: Vec<[String; 2]>,
}

struct DatabaseFigures {
    name: String,
    loaded: Loaded,
    stats: Option<ObjectStats>,
    /// In the order of [`shards`]; `None` for an unreachable or skipped shard.
    shards: Vec<Option<Stats>>,
    skipped: usize,
}

/// The position of a database, and the position of one of its shards. The second position is `None`
/// for the Database itself.
type QueriedObject = (usize, Option<usize>);

pub(super) struct ShardOf<'a> {
    policy: &'a Policy,
    pub(super) group: &'a ShardGroup,
    pub(super) position: usize,
}

/// The maximum number of calls to load a database: one to the Catalog and one to the Database.
const CALLS_PER_LOAD: usize = 2;

/// The work of listing a shard or a shard group, in the units of [`Work`].
const SHARD_WORK: usize = 100;
/// The work of creating a series of SHOW STATS without sums over shards, in the units of [`Work`].
const SERIES_WORK: usize = 200;

/// Executes one of these statements.
pub fn diagnostics(statement: Statement) -> Pieces<SeriesChunk> {
    let named = match &statement {
        Statement::ShowStats { database, .. } => database.clone(),
        _ => None,
    };
    Pieces::new(|io, output| async move {
        let mut all = Diagnostics {
            statement,
            found: Vec::new(),
            troubles: Vec::new(),
            catalog_release: String::new(),
            skipped: Vec::new(),
        };
        match named {
            Some(name) => all.load(&io, name).await?,
            None => {
                for name in all.list(&io).await? {
                    if all.may_skip() && all.room(&io)? < all.objects() + CALLS_PER_LOAD {
                        all.skipped.push([name, "all".to_owned()]);
                        continue;
                    }
                    match all.load(&io, name.clone()).await {
                        // The database was dropped after the list was read.
                        Ok(()) | Err(Error::DatabaseNotFound(_)) => {}
                        Err(error) => all.problem(name, "database", error.to_string()),
                    }
                }
            }
        }
        all.count(&io).await?;
        let (now_ns, work) = (io.now_ns()?, Work::default());
        for chunk in io.in_turns(&work, all.chunks(now_ns, &work)).await? {
            output.emit(chunk).await;
        }
        Ok(())
    })
}

impl Diagnostics {
    async fn list(&mut self, io: &Io) -> Result<Vec<String>> {
        let CatalogList { names, troubles, release } = list_catalog(io, None).await?;
        self.catalog_release = release;
        for what in troubles {
            self.problem(String::new(), "catalog", what);
        }
        Ok(names)
    }

    async fn load(&mut self, io: &Io, name: String) -> Result<()> {
        let loaded = Load::from_owner(&name, SchemaSelection::Nothing).run(io).await?;
        let shards = shards(&loaded).map(|_| None).collect();
        self.found.push(DatabaseFigures { name, loaded, stats: None, shards, skipped: 0 });
        Ok(())
    }

    async fn count(&mut self, io: &Io) -> Result<()> {
        let objects = |(database, found): (usize, &DatabaseFigures)| {
            let shards = (0..found.shards.len()).map(Some);
            std::iter::once(None).chain(shards).map(move |shard| (database, shard))
        };
        let requested: Vec<QueriedObject> = (0..).zip(&self.found).flat_map(objects).collect();
        let mut requested = &requested[..];
        while !requested.is_empty() {
            let room = if self.may_skip() { self.room(io)? } else { usize::MAX };
            let round = requested.len().min(CALLS_PER_ROUND_MAX).min(room);
            let Some((now, later)) = requested.split_at_checked(round).filter(|_| round > 0) else {
                break;
            };
            let requests = now.iter().filter_map(|requested| self.request(*requested)).collect();
            for (requested, reply) in now.iter().zip(io.calls(requests).await) {
                self.on_reply(*requested, reply);
            }
            requested = later;
        }
        for (database, _) in requested {
            if let Some(found) = self.found.get_mut(*database) {
                found.skipped += 1;
            }
        }
        for found in self.found.iter().filter(|found| found.skipped > 0) {
            self.skipped.push([found.name.clone(), found.skipped.to_string()]);
        }
        Ok(())
    }

    /// Whether the statement may skip objects and list the skipped objects.
    fn may_skip(&self) -> bool {
        matches!(self.statement, Statement::ShowStats { .. } | Statement::ShowDiagnostics { .. })
    }

    fn room(&self, io: &Io) -> Result<usize> {
        let limits = io.with(|context| context.platform.limits())?;
        Ok(limits.calls_before_end().saturating_sub(io.calls_made()))
    }

    fn objects(&self) -> usize {
        self.found.iter().map(|found| found.shards.len() + 1).sum()
    }

    fn request(&self, (database, shard): QueriedObject) -> Option<Request> {
        let found = self.found.get(database)?;
        Some(match shard {
            None => {
                let to = Address::Database(found.loaded.object.clone());
                Request::new(to, envelope::encode(&ToDatabase::Stats))
            }
            Some(shard) => {
                let of = shards(&found.loaded).nth(shard)?;
                let to = Address::Shard(of.group.shards.get(of.position)?.clone());
                Request::new(to, envelope::encode(&ToShard::Stats))
            }
        })
    }

    fn on_reply(&mut self, (database, shard): QueriedObject, reply: CallResult) {
        let Some(found) = self.found.get_mut(database) else { return };
        let (object, trouble) = match shard {
            None => match envelope::decode_reply::<FromDatabase>(reply) {
                Ok(FromDatabase::Stats(stats)) => {
                    found.stats = Some(stats);
                    return;
                }
                Ok(FromDatabase::NotOpen) => return,
                Ok(_) => ("database".to_owned(), "unexpected reply".to_owned()),
                Err(failure) => ("database".to_owned(), failure.to_string()),
            },
            Some(shard) => {
                let object = format!("shard {}", shard_id(&found.loaded, shard));
                match envelope::decode_reply::<FromShard>(reply) {
                    Ok(FromShard::Stats(stats)) => {
                        if let Some(slot) = found.shards.get_mut(shard) {
                            *slot = Some(stats);
                        }
                        return;
                    }
                    Ok(FromShard::Unavailable(reason)) => (object, reason.to_string()),
                    Ok(FromShard::Refused(reason)) => (object, reason.to_string()),
                    Ok(_) => return,
                    Err(failure) => (object, failure.to_string()),
                }
            }
        };
        let database = found.name.clone();
        self.problem(database, &object, trouble);
    }

    fn problem(&mut self, database: String, object: &str, what: String) {
        self.troubles.push([database, object.to_owned(), what]);
    }
}

/// Returns every shard of a database: policy by policy, group by group.
pub(super) fn shards(loaded: &Loaded) -> impl Iterator<Item = ShardOf<'_>> {
    let groups = loaded.description.policies.iter().flat_map(|policy| {
        let of_policy = move |group| (policy, group);
        policy.groups.iter().map(of_policy)
    });
    groups.flat_map(|(policy, group)| {
        let of_group = move |position| ShardOf { policy, group, position };
        (0..group.shards.len()).map(of_group)
    })
}

fn shard_id(loaded: &Loaded, shard: usize) -> i64 {
    shards(loaded).nth(shard).map_or(0, |shard| shard.id())
}

/// All values of a column have the same kind.
enum Cell {
    Text(String),
    Number(i64),
}

impl Cell {
    fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Number(_) => "",
        }
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl ShardOf<'_> {
    /// Returns the shard's number, which is unique within the database. A restart does not change
    /// the number.
    pub(crate) fn id(&self) -> i64 {
        let first = self.group.id.saturating_sub(1).saturating_mul(SHARDS_PER_GROUP_MAX.into());
        i64::try_from(first.saturating_add(self.position as u64 + 1)).unwrap_or(i64::MAX)
    }
}

impl Diagnostics {
    /// Awaits only [`Work::spend`].
    async fn chunks(&self, now_ns: i64, work: &Work) -> Vec<SeriesChunk> {
        let found = &self.found[..];
        let (mut all, module) = match &self.statement {
            Statement::ShowShards => {
                let mut all = Vec::with_capacity(found.len());
                for found in found {
                    all.push(shards_of(found, work).await);
                }
                return all;
            }
            Statement::ShowShardGroups => return vec![groups_of(found, work).await],
            Statement::ShowStats { module, .. } => (stats(found, now_ns, work).await, module),
            Statement::ShowDiagnostics { module } => (self.diagnostic_series(now_ns), module),
            _ => return Vec::new(),
        };
        if !self.skipped.is_empty() {
            let rows = self.skipped.iter().cloned().map(|row| row.map(Cell::from).into());
            all.push(series("skipped", &[], &["database", "objects"], rows.collect()));
        }
        // The result of `FOR 'module'` is empty for an unknown module.
        if let Some(module) = module {
            all.retain(|chunk| chunk.name.as_deref() == Some(module));
        }
        all
    }

    fn diagnostic_series(&self, now_ns: i64) -> Vec<SeriesChunk> {
        let [unknown, own] = [String::new(), release::current()];
        let build = [&unknown, &unknown, &unknown, &own].map(|text| text.as_str().into()).into();
        let columns = ["database", "diskBytes", "generation", "groups", "policies", "shards"];
        let databases = self.found.iter().map(|found| {
            let policies = &found.loaded.description.policies;
            let groups = policies.iter().map(|policy| policy.groups.len() as u64).sum();
            let bytes = found.shards.iter().flatten().map(|stats| stats.bytes_stored);
            let bytes = bytes.chain(found.stats.as_ref().map(|stats| stats.bytes_stored)).sum();
            let generation = found.loaded.description.generation;
            let shards = found.shards.len() as u64;
            let numbers = [bytes, generation, groups, policies.len() as u64, shards];
            std::iter::once(found.name.as_str().into()).chain(numbers.map(Cell::from)).collect()
        });
        let row = |database: &str, object: &str, what: &str| {
            [database, object, what].map(Cell::from).into_iter().collect::<Vec<_>>()
        };
        let troubles = self.troubles.iter().cloned().map(|row| row.map(Cell::from).into());
        let mut jobs: Vec<Vec<Cell>> = troubles.collect();
        for found in &self.found {
            let of_database = found.stats.iter().flat_map(|stats| &stats.troubles);
            jobs.extend(of_database.map(|what| row(&found.name, "database", what)));
            for (shard, stats) in shards(&found.loaded).zip(&found.shards) {
                let object = format!("shard {}", shard.id());
                let of_shard = stats.iter().flat_map(|stats| &stats.troubles);
                jobs.extend(of_shard.map(|what| row(&found.name, &object, what)));
            }
        }
        // Clients of 1.x read these columns without a check. The values are empty, because the
        // server has no process of its own on Cloudflare.
        let runtime = vec!["".into(), Cell::Number(0), "".into(), "".into()];
        let system = vec![Cell::Number(0), rfc3339(now_ns).into(), rfc3339(0).into(), "".into()];
        vec![
            series("build", &[], &["Branch", "Build Time", "Commit", "Version"], vec![build]),
            series("databases", &[], &columns, databases.collect()),
            series("jobs", &[], &["database", "object", "trouble"], jobs),
            series("network", &[], &["hostname"], vec![vec!["".into()]]),
            series("protocol", &[], &["version"], vec![vec![u64::from(envelope::VERSION).into()]]),
            self.other_releases(),
            series("runtime", &[], &["GOARCH", "GOMAXPROCS", "GOOS", "version"], vec![runtime]),
            series("system", &[], &["PID", "currentTime", "started", "uptime"], vec![system]),
        ]
    }

    fn other_releases(&self) -> SeriesChunk {
        let own = release::current();
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        let mut see = |database: &str, object: &str, release: &str| {
            if !release.is_empty() && release != own {
                rows.push([database, object, release].map(Cell::from).into());
            }
        };
        see("", "catalog", &self.catalog_release);
        for found in &self.found {
            if let Some(stats) = &found.stats {
                see(&found.name, "database", &stats.release);
            }
            for (shard, stats) in shards(&found.loaded).zip(&found.shards) {
                if let Some(stats) = stats {
                    see(&found.name, &format!("shard {}", shard.id()), &stats.release);
                }
            }
        }
        series("releases", &[], &["database", "object", "version"], rows)
    }
}

async fn shards_of(found: &DatabaseFigures, work: &Work) -> SeriesChunk {
    let columns = [
        "id",
        "database",
        "retention_policy",
        "shard_group",
        "start_time",
        "end_time",
        "expiry_time",
        "owners",
    ];
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for shard in written(found) {
        let [start, end, expiry] = times(shard.policy, shard.group);
        let head = [Cell::Number(shard.id()), found.name.as_str().into()];
        let policy = [shard.policy.name.as_str().into(), shard.group.id.into()];
        rows.push(head.into_iter().chain(policy).chain([start, end, expiry, "".into()]).collect());
        work.spend(SHARD_WORK).await;
    }
    series(&found.name, &[], &columns, rows)
}

async fn groups_of(found: &[DatabaseFigures], work: &Work) -> SeriesChunk {
    let columns = ["id", "database", "retention_policy", "start_time", "end_time", "expiry_time"];
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for found in found {
        for shard in written(found).filter(|shard| shard.position == 0) {
            let [start, end, expiry] = times(shard.policy, shard.group);
            let (database, policy) = (found.name.as_str(), shard.policy.name.as_str());
            let row = [shard.group.id.into(), database.into(), policy.into(), start, end, expiry];
            rows.push(row.into());
            work.spend(SHARD_WORK).await;
        }
    }
    series("shard groups", &[], &columns, rows)
}

/// Returns the shards of policies with at least one write. In 1.x, a group exists only after its
/// first point.
fn written(found: &DatabaseFigures) -> impl Iterator<Item = ShardOf<'_>> {
    let is_untouched = |policy: &Policy| {
        let mut of_policy = shards(&found.loaded)
            .zip(&found.shards)
            .filter(|(shard, _)| shard.policy.id == policy.id);
        policy.groups.len() == 1
            && of_policy.all(|(_, stats)| stats.as_ref().is_some_and(|s| s.counters.points == 0))
    };
    let policies = &found.loaded.description.policies;
    let untouched: Vec<_> = policies.iter().filter(|p| is_untouched(p)).map(|p| p.id).collect();
    shards(&found.loaded).filter(move |shard| !untouched.contains(&shard.policy.id))
}

fn times(policy: &Policy, group: &ShardGroup) -> [Cell; 3] {
    let TimeRange { start_ns, end_ns } = group.range;
    let expiry_ns = end_ns.saturating_add(policy.duration_ns);
    [start_ns, end_ns, expiry_ns].map(|time_ns| rfc3339(time_ns).into())
}

/// Formats a time in whole seconds, as 1.x does in these tables.
fn rfc3339(time_ns: i64) -> String {
    let time_ns = time_ns.clamp(MIN_TIME_NS, MAX_TIME_NS);
    let seconds_ns = time_ns.saturating_sub(time_ns.rem_euclid(S_NS));
    time_literal::format_utc(seconds_ns.max(MIN_TIME_NS))
}

async fn stats(found: &[DatabaseFigures], now_ns: i64, work: &Work) -> Vec<SeriesChunk> {
    let mut all = Vec::new();
    for found in found {
        all.extend(database_counters(found));
        work.spend(SERIES_WORK + found.shards.len()).await;
    }
    for found in found {
        let used = found.shards.iter().flatten().map(|stats| stats.used.len());
        let rates_work = found.shards.len() + used.sum::<usize>();
        for series in quota_series(found) {
            all.push(series);
            work.spend(SERIES_WORK + rates_work).await;
        }
    }
    for series in found.iter().flat_map(shard_counters) {
        all.push(series);
        work.spend(SERIES_WORK).await;
    }
    for found in found {
        all.push(usage(found, now_ns));
        work.spend(SERIES_WORK + found.shards.len() * USAGE_DAYS_MAX).await;
    }
    all
}

/// The estimated object time of a request in milliseconds: `assumed.active_ms.most` of
/// `docs/costs.json`.
const REQUEST_MS_ESTIMATE: u64 = 50;

fn usage(found: &DatabaseFigures, now_ns: i64) -> SeriesChunk {
    let today = now_ns.div_euclid(D_NS);
    let of_shards = found.shards.iter().flatten().map(|stats| &stats.usage);
    let of_objects = of_shards.chain(found.stats.as_ref().map(|stats| &stats.usage));
    let mut sums = DailyUsage::default();
    // The clocks of two objects may differ around midnight.
    let known = of_objects.flat_map(|usage| &usage.days).filter(|known| known.day <= today);
    known.for_each(|known| sums.add(*known));
    let first = sums.days.first().map_or(today, |first| first.day);
    let last_days = i64::try_from(USAGE_DAYS_MAX).unwrap_or(i64::MAX);
    let rows = (first.max(today.saturating_sub(last_days - 1))..=today).map(|day| {
        let none = DayUsage { day, ..DayUsage::default() };
        let of_day = sums.days.iter().find(|known| known.day == day).unwrap_or(&none);
        let time_s = of_day.requests.saturating_mul(REQUEST_MS_ESTIMATE).div_ceil(1_000);
        let date: String = rfc3339(day.saturating_mul(D_NS)).chars().take(10).collect();
        let numbers = [of_day.requests, of_day.rows_read, of_day.rows_written, time_s];
        std::iter::once(date.into()).chain(numbers.map(Cell::from)).collect()
    });
    let columns = ["day", "requests", "rowsRead", "rowsWritten", "objectSecondsEstimate"];
    series("usage", &[("database", found.name.clone())], &columns, rows.collect())
}

fn database_counters(found: &DatabaseFigures) -> Option<SeriesChunk> {
    let stats = found.stats.as_ref()?;
    let unknown = found.shards.iter().filter(|stats| stats.is_none()).count();
    let silent = unknown.saturating_sub(found.skipped);
    let tags = [("database", found.name.clone())];
    // The counter exists only for databases with scheduled backups.
    let backup_s = stats.last_backup_ns.map(|at_ns| u64::try_from(at_ns / S_NS).unwrap_or(0));
    let mut counters = vec![
        ("diskBytes", stats.bytes_stored),
        ("numMeasurements", stats.measurements),
        ("rowsRead", stats.rows_read),
        ("rowsWritten", stats.rows_written),
        ("shardsSilent", silent as u64),
        ("troubles", stats.troubles.len() as u64),
    ];
    if let Some(backup_s) = backup_s {
        counters.insert(1, ("lastBackup", backup_s));
    }
    Some(counted("database", &tags, &counters))
}

fn shard_counters(found: &DatabaseFigures) -> impl Iterator<Item = SeriesChunk> {
    let answered = shards(&found.loaded)
        .zip(&found.shards)
        .filter_map(|(shard, stats)| Some((shard, stats.as_ref()?)));
    answered.map(|(shard, stats)| {
        let object = shard.group.shards.get(shard.position);
        let tags = [
            ("database", found.name.clone()),
            ("engine", "tidemark".to_owned()),
            ("id", shard.id().to_string()),
            ("path", object.map_or_else(String::new, |object| object.0.clone())),
            ("retentionPolicy", shard.policy.name.clone()),
        ];
        let counters = &stats.counters;
        counted(
            "shard",
            &tags,
            &[
                ("compactions", counters.compactions),
                ("diskBytes", stats.bytes_stored),
                ("flushes", counters.flushes),
                ("memoryBytes", stats.memory_bytes),
                ("rowsRead", counters.rows_read),
                ("rowsWritten", counters.rows_written),
                ("parts", stats.parts),
                ("tombstones", stats.tombstones),
                ("troubles", stats.troubles.len() as u64),
                ("walBytes", stats.wal_bytes),
                ("walFrames", stats.wal_frames),
                ("writePointsOk", counters.points),
                ("writeReqOk", counters.frames),
            ],
        )
    })
}

fn counted(name: &str, tags: &[(&str, String)], counters: &[(&str, u64)]) -> SeriesChunk {
    let columns: Vec<&str> = counters.iter().map(|(column, _)| *column).collect();
    series(name, tags, &columns, vec![counters.iter().map(|(_, n)| Cell::from(*n)).collect()])
}

fn series(
    name: &str,
    tags: &[(&str, String)],
    columns: &[&str],
    rows: Vec<Vec<Cell>>,
) -> SeriesChunk {
    let values = (0..columns.len()).map(|column| {
        let cells = || rows.iter().filter_map(|row| row.get(column));
        match cells().next() {
            Some(Cell::Number(_)) => Values::Integer(cells().filter_map(Cell::number).collect()),
            _ => Values::String(cells().map(Cell::text).collect()),
        }
    });
    let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    SeriesChunk { tags, ..SeriesChunk::of_columns(Some(name), columns, values) }
}

fn quota_series(found: &DatabaseFigures) -> impl Iterator<Item = SeriesChunk> {
    let quotas = &found.loaded.description.quotas;
    let database = || ("database", found.name.clone());
    let columns = ["limit", "allowed", "used"];
    let mut rows = rates(found, &quotas.rates, 0);
    if let Some(allowed) = quotas.stored_bytes {
        let used = fullest_group(found, |stats| stats.bytes_stored);
        rows.push(vec!["stored_bytes".into(), allowed.into(), used.into()]);
    }
    if let Some(allowed) = quotas.series {
        let used = fullest_group(found, |stats| stats.series);
        rows.push(vec!["series".into(), allowed.into(), used.into()]);
    }
    let of_all = (!rows.is_empty()).then(|| series("quota", &[database()], &columns, rows));
    let of_callers = quotas.callers.iter().map(move |quota| {
        let caller = (if quota.user { "user" } else { "token" }, quota.name.clone());
        series("quota", &[database(), caller], &columns, rates(found, &quota.rates, quota.id))
    });
    of_all.into_iter().chain(of_callers)
}

/// Returns one row for each quota per minute. `caller` 0 means all callers together.
fn rates(found: &DatabaseFigures, rates: &Rates, caller: u64) -> Vec<Vec<Cell>> {
    let row = |rate: Rate| {
        let allowed = rates.of(rate)?;
        let of_shard = |stats: &Stats| {
            let used = stats.used.iter().find(|used| used.caller == caller);
            used.map_or(0, |used| used.of(rate))
        };
        // Each shard counts the requests of its whole group.
        let used = average_of_group(found, of_shard);
        Some(vec![rate.name().into(), allowed.into(), used.into()])
    };
    Rate::ALL.into_iter().filter_map(row).collect()
}

/// Returns the highest sum over the shards of one group, because quotas apply to each group.
fn fullest_group(found: &DatabaseFigures, of_shard: impl Fn(&Stats) -> u64) -> u64 {
    groups(found, of_shard).map(|(sum, _)| sum).max().unwrap_or(0)
}

fn average_of_group(found: &DatabaseFigures, of_shard: impl Fn(&Stats) -> u64) -> u64 {
    groups(found, of_shard).map(|(sum, shards)| sum.div_ceil(shards)).max().unwrap_or(0)
}

/// Returns the sum over each group's shards, and the number of these shards.
fn groups(
    found: &DatabaseFigures,
    of_shard: impl Fn(&Stats) -> u64,
) -> impl Iterator<Item = (u64, u64)> {
    let mut sums: Vec<(u64, u64, u64)> = Vec::new();
    for (shard, stats) in shards(&found.loaded).zip(&found.shards) {
        let value = stats.as_ref().map_or(0, &of_shard);
        match sums.last_mut().filter(|(group, ..)| *group == shard.group.id) {
            Some((_, sum, shards)) => (*sum, *shards) = (sum.saturating_add(value), *shards + 1),
            None => sums.push((shard.group.id, value, 1)),
        }
    }
    sums.into_iter().map(|(_, sum, shards)| (sum, shards))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::grants::CallerPermissions;
    use tidemark_engine::protocol::database::Description;
    use tidemark_model::ids::ObjectId;
    use tidemark_query::work::run_measured;

    #[test]
    fn many_shards_take_several_turns() {
        /// More work than a step needs.
        const EXCESS: usize = 1_000_000;
        let group = |id: u64| ShardGroup {
            id,
            range: TimeRange::ALL,
            shards: vec![ObjectId(format!("shard{id}"))],
            split_bytes: 0,
        };
        let policy = Policy { groups: (1..=5_000).map(group).collect(), ..Policy::default() };
        let description = Description { policies: vec![policy], ..Description::default() };
        let loaded = Loaded {
            object: ObjectId("database".to_owned()),
            description: Rc::new(description),
            schemas: Vec::new(),
            permissions: CallerPermissions::new(&"reader".into(), Rc::default(), 0),
            caller: None,
            fresh: true,
        };
        let shards = vec![Some(Stats::default()); 5_000];
        let found =
            DatabaseFigures { name: "d".to_owned(), loaded, stats: None, shards, skipped: 0 };
        let (found, work) = ([found], Work::default());
        let (series, pauses) = run_measured(&work, EXCESS, stats(&found, 0, &work));
        // One series for each shard, and the usage.
        assert_eq!(series.len(), 5_001);
        assert!(pauses >= 4, "{pauses} pauses");
        for listing in [
            run_measured(&work, EXCESS, shards_of(&found[0], &work)),
            run_measured(&work, EXCESS, groups_of(&found, &work)),
        ] {
            let (series, pauses) = listing;
            assert_eq!(series.rows, 5_000);
            assert!(pauses >= 2, "{pauses} pauses");
        }
    }
}
