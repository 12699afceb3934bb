//! Reads the policies of all databases, a page of policies, or the policies of one database from
//! the objects that own the policies.

use super::Io;
use super::database_names;
use super::error::{Error, Result};
use super::grants::Principal;
use super::load_schemas::{Load, Want};
use crate::model::grant::Grants;
use crate::model::ids::PolicyId;
use crate::model::limits::DESCRIBED_BYTES_MAX;
use crate::model::shard_map::Policy;
use crate::protocol::database::Description;

#[derive(Debug)]
struct Page {
    /// The policy after which the page begins, and the databases that may contain that policy.
    after: Option<(PolicyId, Vec<String>)>,
    policies: usize,
}

impl Page {
    /// Counts those policies of a database that the caller may see. Returns true if the page is
    /// complete or if no further policy can be found.
    fn is_full(&mut self, grants: &Grants, name: &str, policies: &[Policy]) -> bool {
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
        WhichDatabases::Policy(policy) => database_names::list(io, Some(policy)).await?,
        WhichDatabases::All => database_names::list(io, None).await?,
        WhichDatabases::Page { after: None, policies } => {
            page = Some(Page { after: None, policies });
            database_names::list(io, None).await?
        }
        WhichDatabases::Page { after: Some(id), policies } => {
            let holders = database_names::list(io, Some(id)).await?;
            let mut names = match holders.is_empty() {
                true => Vec::new(),
                false => database_names::list(io, None).await?,
            };
            let first = names.iter().position(|name| holders.contains(name));
            names.drain(..first.unwrap_or(names.len()));
            page = Some(Page { after: Some((id, holders)), policies });
            names
        }
    };
    let mut described =
        Described { principal: principal.clone(), page, found: Vec::new(), bytes: 0 };
    for name in names {
        if !described.principal.grants.sees(&name) {
            continue;
        }
        match Load::from_owner(&name, Want::Nothing).run(io).await {
            Ok(loaded) if described.add(name, &loaded.description)? => break,
            // The database was dropped after the list was read.
            Ok(_) | Err(Error::DatabaseNotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(described.found)
}

struct Described {
    principal: Principal,
    page: Option<Page>,
    found: Vec<DescribedDatabase>,
    bytes: usize,
}

impl Described {
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
        let grants = &self.principal.grants;
        let is_last = page.is_some_and(|page| page.is_full(grants, &name, policies));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shard_map::ShardGroup;
    use crate::model::time::TimeRange;

    #[test]
    fn database_list_size_is_limited() {
        let (range, shards) = (TimeRange::ALL, Vec::new());
        let group = ShardGroup { id: 1, range, shards, split_bytes: 0 };
        let policy = Policy {
            id: PolicyId(1),
            name: "autogen".to_owned(),
            duration_ns: 0,
            shard_group_duration_ns: 1,
            replica_n: 1,
            groups: vec![group; 100],
        };
        let description = Description { policies: vec![policy], ..Description::default() };
        let mut survey =
            Described { principal: Principal::default(), page: None, found: Vec::new(), bytes: 0 };
        let names = (0..).map(|number| format!("database number {number:06}"));
        let refused = names.take(100_000).find_map(|name| survey.add(name, &description).err());
        assert_eq!(refused, Some(Error::ListTooLong));
        assert!(survey.found.len() > 20_000, "{}", survey.found.len());
        let groups = survey.found.iter().flat_map(|(_, found)| &found.policies);
        assert!(groups.flat_map(|policy| &policy.groups).next().is_none());
    }
}
