//! Reads several databases: lists the names of databases and describes databases, and executes SHOW
//! CONTINUOUS QUERIES and SHOW MEASUREMENTS ON *.

use std::ops::Range;

use super::error::{Error, Result};
use super::grants::Principal;
use super::load_schemas::{Load, SchemaSelection, call_database};
use super::query::Query;
use super::session::Session;
use super::{Io, Pieces};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::database::{Description, FromDatabase, ToDatabase};
use tidemark_influxql::ast::{NamePattern, ShowMeasurementsStatement, Statement};
use tidemark_model::grant::{Grants, PermissionKind, SortedGrants};
use tidemark_model::ids::PolicyId;
use tidemark_model::limits::DESCRIBED_BYTES_MAX;
use tidemark_model::shard_map::Policy;
use tidemark_query::admission::BufferMemory;
use tidemark_query::metadata::SortedNames;
use tidemark_query::result::SeriesChunk;

/// Returns the names of all databases in order of creation. With `holding`, returns only the few
/// databases that may have that policy.
pub async fn list_databases(io: &Io, holding: Option<PolicyId>) -> Result<Vec<String>> {
    Ok(list_catalog(io, holding).await?.names)
}

/// The Catalog's list of databases, its problems and its release.
pub(super) struct CatalogList {
    pub(super) names: Vec<String>,
    pub(super) troubles: Vec<String>,
    pub(super) release: String,
}

pub(super) async fn list_catalog(io: &Io, holding: Option<PolicyId>) -> Result<CatalogList> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let list = ToCatalog::List { after, holding };
        let FromCatalog::Listed { names, resume, troubles, release } =
            io.call_catalog(&list).await?
        else {
            return Err(Error::unexpected_reply());
        };
        all.extend(names);
        after = resume;
        if after.is_none() {
            return Ok(CatalogList { names: all, troubles, release });
        }
    }
}

/// Returns the sorted names of the databases on which `grants` has a permission.
pub fn seen_by_name(grants: &Grants, mut names: Vec<String>) -> Vec<String> {
    let grants = grants.sorted();
    names.retain(|name| grants.sees(name));
    names.sort();
    names
}

struct Page {
    /// The policy after which the page begins, and the databases that may contain that policy.
    after: Option<(PolicyId, Vec<String>)>,
    policies: usize,
}

impl Page {
    /// Counts those policies of a database that the caller may see. Returns true if the page is
    /// complete or if no further policy can be found.
    fn is_full(&mut self, grants: &SortedGrants<'_>, name: &str, policies: &[Policy]) -> bool {
        let seen = policies.iter().filter(|policy| grants.sees_policy(name, &policy.name));
        let mut seen = seen.map(|policy| policy.id);
        if let Some((after, holders)) = &mut self.after {
            if !seen.any(|id| id == *after) {
                holders.retain(|holder| holder != name);
                return holders.is_empty();
            }
            self.after = None;
        }
        self.policies = self.policies.saturating_sub(seen.count());
        self.policies == 0
    }
}

/// A database's name and description.
pub type DescribedDatabase = (String, Description);

/// The databases to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhichDatabases {
    /// No database.
    None,
    /// All databases.
    All,
    /// The database of the policy `after` and the databases after it, until `policies` policies are
    /// found. If `after` is absent, the list starts with the first database.
    Page {
        /// The policy after which the page begins.
        after: Option<PolicyId>,
        /// The number of policies.
        policies: usize,
    },
    /// The database with this name.
    Named(String),
    /// The database with this policy. The result may include other databases, because a policy's id
    /// contains only some bits of the database's id.
    Policy(PolicyId),
}

/// Describes, in order of creation, the existing databases on which `principal` has a permission.
/// The result omits the policies' shard groups, because a database can have thousands of groups.
pub async fn describe_databases(
    io: &Io,
    principal: &Principal,
    of: WhichDatabases,
) -> Result<Vec<DescribedDatabase>> {
    let mut page = None;
    let names = match of {
        WhichDatabases::None => Vec::new(),
        WhichDatabases::Named(name) => vec![name],
        WhichDatabases::Policy(policy) => list_databases(io, Some(policy)).await?,
        WhichDatabases::All => list_databases(io, None).await?,
        WhichDatabases::Page { after: None, policies } => {
            page = Some(Page { after: None, policies });
            list_databases(io, None).await?
        }
        WhichDatabases::Page { after: Some(id), policies } => {
            let holders = list_databases(io, Some(id)).await?;
            let mut names = match holders.is_empty() {
                true => Vec::new(),
                false => list_databases(io, None).await?,
            };
            let first = names.iter().position(|name| holders.contains(name));
            names.drain(..first.unwrap_or(names.len()));
            page = Some(Page { after: Some((id, holders)), policies });
            names
        }
    };
    let grants = principal.grants.sorted();
    let mut described = Described { grants, page, found: Vec::new(), bytes: 0 };
    for name in names {
        if !described.grants.sees(&name) {
            continue;
        }
        match Load::from_owner(&name, SchemaSelection::Nothing).run(io).await {
            Ok(loaded) if described.add(name, &loaded.description)? => break,
            // The database was dropped after the list was read.
            Ok(_) | Err(Error::DatabaseNotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(described.found)
}

struct Described<'a> {
    grants: SortedGrants<'a>,
    page: Option<Page>,
    found: Vec<DescribedDatabase>,
    bytes: usize,
}

impl Described<'_> {
    /// Returns whether this database is the last database of the page.
    fn add(&mut self, name: String, description: &Description) -> Result<bool> {
        let description = outline(description);
        let policies = &description.policies;
        let names = policies.iter().map(|policy| size_of::<Policy>() + policy.name.len());
        self.bytes += size_of::<DescribedDatabase>() + name.len() + names.sum::<usize>();
        if self.bytes > DESCRIBED_BYTES_MAX {
            return Err(Error::ListTooLong);
        }
        let page = self.page.as_mut();
        let is_last = page.is_some_and(|page| page.is_full(&self.grants, &name, policies));
        self.found.push((name, description));
        Ok(is_last)
    }
}

fn outline(description: &Description) -> Description {
    let policies = description.policies.iter().map(|policy| Policy {
        name: policy.name.clone(),
        groups: Vec::new(),
        ..*policy
    });
    Description {
        policies: policies.collect(),
        default_policy: description.default_policy,
        ..Description::default()
    }
}

const CHUNK_ROWS: usize = 10_000;

/// Executes SHOW CONTINUOUS QUERIES. Lists only queries of databases that the caller may read as a
/// whole, because the text of a continuous query reveals all its sources.
pub(super) fn show_continuous_queries(principal: Principal) -> Pieces<SeriesChunk> {
    Pieces::new(|io, output| async move {
        let grants = principal.grants.sorted();
        for name in list_databases(&io, None).await? {
            if !grants.covers_all(PermissionKind::Read, &name) {
                continue;
            }
            match call_database(&io, &name, &ToDatabase::ContinuousQueries).await {
                Ok(FromDatabase::ContinuousQueries(all)) => {
                    let row = |(query, text)| vec![query, text];
                    let rows: Vec<Vec<String>> = all.into_iter().map(row).collect();
                    let columns = ["name", "query"];
                    output.emit(SeriesChunk::of_strings(Some(&name), &columns, &rows)).await;
                }
                // The database was dropped after the list was read.
                Err(Error::DatabaseNotFound(_)) => {}
                Ok(_) => return Err(Error::unexpected_reply()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
}

pub(super) fn show_measurements(
    show: Box<ShowMeasurementsStatement>,
    session: Session,
) -> Pieces<SeriesChunk> {
    let work = session.work.clone();
    let mut listing = Listing::new(show, session);
    Pieces::new(|io, output| async move {
        let names = list_databases(&io, None).await?;
        let principal = listing.session.principal.clone();
        let grants = principal.grants.sorted();
        for name in names {
            if !grants.covers_any(PermissionKind::Read, &name) {
                continue;
            }
            let mut query = listing.query(&name);
            loop {
                match io.next(&mut query).await {
                    Ok(Some(chunk)) => io.in_turns(&work, listing.add(&chunk)).await??,
                    // The database was dropped after the list was read.
                    Ok(None) | Err(Error::DatabaseNotFound(_)) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        io.in_turns(&work, listing.sort()).await?;
        while let Some(chunk) = listing.next() {
            output.emit(chunk).await;
        }
        Ok(())
    })
}

/// The measurements of all databases, sorted after the last database was read.
pub(super) struct Listing {
    show: Box<ShowMeasurementsStatement>,
    session: Session,
    /// The names, sorted by database, policy and name.
    names: SortedNames,
    memory: Option<BufferMemory>,
    /// The sorted rows that `next` has not returned yet.
    shown: Range<usize>,
}

impl Listing {
    fn new(show: Box<ShowMeasurementsStatement>, session: Session) -> Self {
        let end = rows(show.offset).saturating_add(rows(show.limit));
        let names = SortedNames::new((show.limit > 0).then_some(end));
        Self { show, session, names, memory: None, shown: 0..0 }
    }

    fn query(&self, database: &str) -> Pieces<SeriesChunk> {
        let mut show = self.show.clone();
        show.database = NamePattern::Name(database.to_owned());
        if show.policy == NamePattern::Absent {
            show.policy = NamePattern::All;
        }
        (show.limit, show.offset) = (0, 0);
        let statement = Statement::ShowMeasurements(show);
        Query::show(statement, database.to_owned(), self.session.clone()).execute()
    }

    async fn add(&mut self, chunk: &SeriesChunk) -> Result<()> {
        for row in chunk.strings() {
            if let [name, database, policy] = &row[..] {
                self.names.push(&[database, policy, name]);
            }
        }
        if self.names.is_large() {
            self.names.compact(&self.session.work).await?;
        }
        Ok(self.session.reservation.set_bytes(&mut self.memory, self.names.bytes())?)
    }

    async fn sort(&mut self) {
        self.names.sort(&self.session.work).await;
        self.shown = rows(self.show.offset)..self.names.len();
    }

    fn next(&mut self) -> Option<SeriesChunk> {
        let rest = &mut self.shown;
        let end = rest.end.min(rest.start.saturating_add(CHUNK_ROWS));
        if rest.start >= end {
            return None;
        }
        let mut rows = self.names.rows(rest.start..end, 3);
        rows.iter_mut().for_each(|row| row.rotate_right(1));
        let columns = ["name", "database", "retention policy"];
        let mut chunk = SeriesChunk::of_strings(Some("measurements"), &columns, &rows);
        chunk.partial = end < rest.end;
        rest.start = end;
        Some(chunk)
    }
}

fn rows(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_influxql::bound_params::Params;
    use tidemark_model::shard_map::ShardGroup;
    use tidemark_model::time::TimeRange;
    use tidemark_query::admission::{Admission, QueryMemory};
    use tidemark_query::work::run_measured;

    #[test]
    fn database_list_size_is_limited() {
        let (range, shards) = (TimeRange::ALL, Vec::new());
        let group = ShardGroup { id: 1, range, shards, split_bytes: 0 };
        let (name, groups) = ("autogen".to_owned(), vec![group; 100]);
        let policy = Policy { name, groups, ..Policy::default() };
        let description = Description { policies: vec![policy], ..Description::default() };
        let grants = Grants::default();
        let mut survey =
            Described { grants: grants.sorted(), page: None, found: Vec::new(), bytes: 0 };
        let names = (0..).map(|number| format!("database number {number:06}"));
        let refused = names.take(100_000).find_map(|name| survey.add(name, &description).err());
        assert_eq!(refused, Some(Error::ListTooLong));
        assert!(survey.found.len() > 20_000, "{}", survey.found.len());
        let groups = survey.found.iter().flat_map(|(_, found)| &found.policies);
        assert!(groups.flat_map(|policy| &policy.groups).next().is_none());
    }

    fn listing(text: &str, session: Session) -> Listing {
        match tidemark_influxql::parse(text, &Params::default()).unwrap().pop() {
            Some(Statement::ShowMeasurements(show)) => Listing::new(show, session),
            other => panic!("{other:?}"),
        }
    }

    /// The work of sorting the names that are processed before a pause.
    const EXCESS: usize = 20_000;

    fn add(listing: &mut Listing, chunk: &SeriesChunk) -> Result<()> {
        let work = listing.session.work.clone();
        run_measured(&work, EXCESS, listing.add(chunk)).0
    }

    fn sort(listing: &mut Listing) {
        let work = listing.session.work.clone();
        run_measured(&work, EXCESS, listing.sort()).0
    }

    fn of_database(database: &str, count: usize) -> SeriesChunk {
        let row = |number| [format!("m{number:06}"), database.to_owned(), "autogen".to_owned()];
        let rows: Vec<Vec<String>> = (0..count).map(|number| row(number).to_vec()).collect();
        SeriesChunk::of_strings(None, &["name", "database", "retention policy"], &rows)
    }

    #[test]
    fn multi_database_listing_is_sorted() {
        let mut listing = listing("SHOW MEASUREMENTS ON *", Session::default());
        for database in ["b", "a"] {
            add(&mut listing, &of_database(database, 15_000)).unwrap();
        }
        sort(&mut listing);
        let chunks: Vec<SeriesChunk> = std::iter::from_fn(|| listing.next()).collect();
        assert_eq!(chunks.iter().map(|c| c.rows).collect::<Vec<_>>(), [CHUNK_ROWS; 3]);
        assert_eq!(chunks.iter().map(|c| c.partial).collect::<Vec<_>>(), [true, true, false]);
        let rows: Vec<Vec<String>> = chunks.iter().flat_map(SeriesChunk::strings).collect();
        let expected = ["a", "b"].map(|database| of_database(database, 15_000).strings());
        assert_eq!(rows, expected.concat());
    }

    #[test]
    fn listing_memory_is_limited_and_counted() {
        let memory = QueryMemory::new(&Admission::default());
        let session = Session::default();
        let _ = session.reservation.get_or_create(&memory, "a");
        let free = memory.free_bytes();
        let mut limited = listing("SHOW MEASUREMENTS ON * LIMIT 2 OFFSET 1", session.clone());
        let mut whole = listing("SHOW MEASUREMENTS ON *", session);
        for number in 0..60 {
            add(&mut limited, &of_database(&format!("d{number:02}"), 1_000)).unwrap();
        }
        assert!(limited.names.bytes() < 400_000, "{}", limited.names.bytes());
        let refused = (0..200).find_map(|number| {
            add(&mut whole, &of_database(&format!("d{number:03}"), 10_000)).err()
        });
        assert!(refused.is_some() && memory.free_bytes() < free);
        sort(&mut limited);
        let shown = limited.next().map(|chunk| chunk.strings());
        assert_eq!(shown, Some(of_database("d00", 3).strings()[1..].to_vec()));
        assert!(limited.next().is_none());
    }
}
