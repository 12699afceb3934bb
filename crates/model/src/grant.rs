//! Permissions on databases and retention policies.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::bug::OrBug;

/// A kind of access to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PermissionKind {
    /// Queries points.
    Read,
    /// Writes and deletes points.
    Write,
    /// Reads the metrics of the database's objects, which [`PermissionKind::Read`] also permits.
    Metrics,
}

impl PermissionKind {
    /// Returns the name that 1.x prints.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Metrics => "METRICS",
        }
    }
}

/// The allowed kinds of access to one database or policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Permission {
    /// The database's name, or `None` for all present and future databases.
    pub database: Option<String>,
    /// The policy's name, or `None` for all policies.
    pub policy: Option<String>,
    /// Whether points may be read.
    pub read: bool,
    /// Whether points may be written.
    pub write: bool,
    /// Whether metrics may be read. Reading points is a separate permission.
    #[serde(default)]
    pub metrics: bool,
}

impl Permission {
    fn gives(&self, kind: PermissionKind) -> bool {
        match kind {
            PermissionKind::Read => self.read,
            PermissionKind::Write => self.write,
            PermissionKind::Metrics => self.read || self.metrics,
        }
    }

    /// Whether any kind of access is allowed.
    pub fn gives_any(&self) -> bool {
        self.read || self.write || self.metrics
    }

    fn names(&self, database: &str) -> bool {
        self.database.as_ref().is_none_or(|named| named == database)
    }
}

/// All permissions of a caller. The default allows no access.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Whether the caller may perform every operation, including management.
    pub admin: bool,
    /// The permissions on databases, in the order in which they were granted.
    pub permissions: Vec<Permission>,
}

/// The part of a database that a permission covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// No policy.
    None,
    /// The named policies.
    Policies(Vec<String>),
    /// The whole database.
    All,
}

impl Scope {
    /// Whether the policy with this name is covered.
    pub fn covers(&self, policy: &str) -> bool {
        match self {
            Self::None => false,
            Self::Policies(names) => names.iter().any(|name| name == policy),
            Self::All => true,
        }
    }

    /// Whether the permission may cover the policy that a client names. An absent name, an empty
    /// name and `default` refer to the default policy, whose name is not known here, so the result
    /// is true if the permission covers any policy.
    pub fn may_cover(&self, policy: Option<&str>) -> bool {
        match policy {
            None | Some("" | "default") => *self != Self::None,
            Some(policy) => self.covers(policy),
        }
    }
}

impl Grants {
    /// Returns the permissions of the admin token.
    pub fn admin() -> Self {
        Self { admin: true, permissions: Vec::new() }
    }

    /// Returns the part of `database` that the permissions of a kind cover.
    pub fn scope(&self, kind: PermissionKind, database: &str) -> Scope {
        if self.admin {
            return Scope::All;
        }
        let mut policies = Vec::new();
        for permission in &self.permissions {
            if permission.gives(kind) && permission.names(database) {
                match &permission.policy {
                    None => return Scope::All,
                    Some(policy) => policies.push(policy.clone()),
                }
            }
        }
        if policies.is_empty() { Scope::None } else { Scope::Policies(policies) }
    }

    /// Returns the name of the only database to which a permission of this kind applies.
    pub fn only_database(&self, kind: PermissionKind) -> Option<&str> {
        let mut given = self.permissions.iter().filter(|permission| permission.gives(kind));
        let first = given.next()?.database.as_deref()?;
        let is_only = !self.admin && given.all(|next| next.database.as_deref() == Some(first));
        is_only.then_some(first)
    }

    /// Returns the permissions that apply to `database`.
    #[must_use]
    pub fn on(&self, database: &str) -> Self {
        let held = self.permissions.iter().filter(|held| held.names(database));
        Self { admin: self.admin, permissions: held.cloned().collect() }
    }

    /// Whether any permission names `database`, even a permission that allows no access.
    pub fn concerns(&self, database: &str) -> bool {
        self.admin || self.permissions.iter().any(|held| held.names(database))
    }

    /// Whether the caller is an administrator or has a permission that names all databases.
    pub fn concerns_all(&self) -> bool {
        self.admin || self.permissions.iter().any(|held| held.database.is_none())
    }

    /// Whether these permissions include everything that `other` allows.
    pub fn include(&self, other: &Self) -> bool {
        let own: BTreeSet<_> = self.kinds().collect();
        self.admin || !other.admin && other.kinds().all(|kind| own.contains(&kind))
    }

    /// Returns each allowed kind of access, with the database and the policy.
    fn kinds(&self) -> impl Iterator<Item = (&Option<String>, &Option<String>, PermissionKind)> {
        let kinds = [PermissionKind::Read, PermissionKind::Write, PermissionKind::Metrics];
        self.permissions.iter().flat_map(move |held| {
            let given = kinds.into_iter().filter(move |&kind| held.gives(kind));
            given.map(move |kind| (&held.database, &held.policy, kind))
        })
    }

    /// Returns the permissions in a form for checks of many databases or policies.
    pub fn sorted(&self) -> SortedGrants<'_> {
        self.sorted_if(|_| true)
    }

    /// Returns the permissions that apply to `databases`, in a form for many checks. If there are
    /// few databases, this function takes less time than [`Self::sorted`].
    pub fn sorted_on(&self, databases: &BTreeSet<&str>) -> SortedGrants<'_> {
        self.sorted_if(|held| held.database.as_deref().is_none_or(|name| databases.contains(name)))
    }

    fn sorted_if(&self, is_used: impl Fn(&Permission) -> bool) -> SortedGrants<'_> {
        let held = self.permissions.iter().filter(|held| is_used(held));
        let mut permissions: Vec<&Permission> = held.collect();
        permissions.sort();
        SortedGrants { admin: self.admin, permissions }
    }
}

/// The permissions of a caller, for checks of many databases or policies. A check finds the
/// permissions on a database or a policy by binary search. [`Self::covers_any`] and [`Self::sees`]
/// then visit the permissions on the database and on all databases.
#[derive(Debug)]
pub struct SortedGrants<'a> {
    /// Whether the caller may perform every operation, including management.
    pub admin: bool,
    /// The permissions by database and policy. `None` is first.
    permissions: Vec<&'a Permission>,
}

impl SortedGrants<'_> {
    /// Whether the permissions of a kind cover the whole database.
    pub fn covers_all(&self, kind: PermissionKind, database: &str) -> bool {
        self.gives_on(kind, database, &[None])
    }

    /// Whether the permissions of a kind cover the policy.
    pub fn covers(&self, kind: PermissionKind, database: &str, policy: &str) -> bool {
        self.gives_on(kind, database, &[None, Some(policy)])
    }

    /// Whether the permissions of a kind cover any part of the database.
    pub fn covers_any(&self, kind: PermissionKind, database: &str) -> bool {
        self.admin || self.on(database).any(|held| held.gives(kind))
    }

    /// Whether the policy that a client names may be covered (see [`Scope::may_cover`]).
    pub fn may_cover(&self, kind: PermissionKind, database: &str, policy: Option<&str>) -> bool {
        match policy {
            None | Some("" | "default") => self.covers_any(kind, database),
            Some(policy) => self.covers(kind, database, policy),
        }
    }

    /// Whether a list of databases may show this database. Any permission on the database suffices.
    pub fn sees(&self, database: &str) -> bool {
        self.admin || self.on(database).any(Permission::gives_any)
    }

    /// Whether lists may show the policy. The caller must be able to read or write the policy.
    pub fn sees_policy(&self, database: &str, policy: &str) -> bool {
        let covers = |kind| self.covers(kind, database, policy);
        [PermissionKind::Read, PermissionKind::Write].into_iter().any(covers)
    }

    /// Whether a permission of a kind names the database or all databases, and one of
    /// `policies`.
    fn gives_on(&self, kind: PermissionKind, database: &str, policies: &[Option<&str>]) -> bool {
        let gives = |database, policy| {
            let names = |held: &Permission| {
                (held.database.as_deref(), held.policy.as_deref()).cmp(&(database, policy))
            };
            self.range(names).iter().any(|held| held.gives(kind))
        };
        self.admin
            || policies.iter().any(|&policy| gives(None, policy) || gives(Some(database), policy))
    }

    /// Returns the permissions on the database, and then the permissions on all databases.
    fn on(&self, database: &str) -> impl Iterator<Item = &Permission> {
        let named = self.range(|held| held.database.as_deref().cmp(&Some(database)));
        let general = self.range(|held| held.database.as_deref().cmp(&None));
        named.iter().chain(general).copied()
    }

    fn range(&self, compare: impl Fn(&Permission) -> Ordering) -> &[&Permission] {
        let start = self.permissions.partition_point(|held| compare(held).is_lt());
        let end = self.permissions.partition_point(|held| compare(held).is_le());
        self.permissions.get(start..end).or_bug()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(database: Option<&str>, policy: Option<&str>, rights: &str) -> Permission {
        Permission {
            database: database.map(str::to_owned),
            policy: policy.map(str::to_owned),
            read: rights.contains('r'),
            write: rights.contains('w'),
            metrics: rights.contains('m'),
        }
    }

    #[test]
    fn permission_covers_its_names() {
        let grants = Grants {
            admin: false,
            permissions: vec![
                permission(Some("a"), None, "r"),
                permission(Some("b"), Some("p"), "rw"),
                permission(Some("c"), None, ""),
                permission(Some("e"), None, "m"),
            ],
        };
        let only = |policy: &str| Scope::Policies(vec![policy.to_owned()]);
        for (kind, database, expected) in [
            (PermissionKind::Read, "a", Scope::All),
            (PermissionKind::Write, "a", Scope::None),
            (PermissionKind::Read, "b", only("p")),
            (PermissionKind::Write, "b", only("p")),
            (PermissionKind::Read, "c", Scope::None),
            (PermissionKind::Read, "A", Scope::None),
            (PermissionKind::Read, "", Scope::None),
            (PermissionKind::Metrics, "a", Scope::All),
            (PermissionKind::Metrics, "b", only("p")),
            (PermissionKind::Metrics, "c", Scope::None),
            (PermissionKind::Metrics, "e", Scope::All),
            (PermissionKind::Read, "e", Scope::None),
            (PermissionKind::Write, "e", Scope::None),
        ] {
            assert_eq!(grants.scope(kind, database), expected, "{kind:?} {database}");
        }
        let seen = ["a", "b", "c", "d", "e"].map(|db| grants.sorted().sees(db));
        assert_eq!(seen, [true, true, false, false, true]);
    }

    #[test]
    fn grants_include_weaker_grants() {
        let held = |permissions: &[(Option<&str>, &str)]| {
            let permissions = permissions.iter().map(|(db, rights)| permission(*db, None, rights));
            Grants { admin: false, permissions: permissions.collect() }
        };
        let (nothing, admin) = (held(&[(Some("a"), "")]), Grants::admin());
        let [read, both, metrics] = ["r", "rw", "m"].map(|rights| held(&[(Some("a"), rights)]));
        let more = held(&[(Some("b"), "r"), (Some("a"), "rw")]);
        for (own, other) in [
            (&read, &read),
            (&both, &read),
            (&more, &both),
            (&read, &nothing),
            (&admin, &more),
            (&read, &metrics),
        ] {
            assert!(own.include(other), "{own:?} {other:?}");
        }
        let all = held(&[(None, "rw")]);
        for (own, other) in [
            (&read, &both),
            (&both, &more),
            (&nothing, &read),
            (&all, &admin),
            (&read, &all),
            (&metrics, &read),
        ] {
            assert!(!own.include(other), "{own:?} {other:?}");
        }
    }

    #[test]
    fn unnamed_permission_covers_every_name() {
        let grants = Grants { admin: false, permissions: vec![permission(None, None, "w")] };
        assert_eq!(grants.scope(PermissionKind::Write, "any"), Scope::All);
        assert_eq!(grants.scope(PermissionKind::Read, "any"), Scope::None);
        assert!(grants.sorted().sees("any"));
        let admin = Grants::admin();
        assert!(admin.sorted().sees("any"));
        assert_eq!(admin.scope(PermissionKind::Read, "any"), Scope::All);
        assert!(!Grants::default().sorted().sees("any"));
    }

    #[test]
    fn sorted_grants_cover_the_same_names() {
        let permissions = vec![
            permission(Some("b"), Some("p"), "rw"),
            permission(Some("b"), Some("q"), "w"),
            permission(Some("d"), None, "m"),
            permission(Some("a"), None, "r"),
            permission(Some("b"), Some("p"), "m"),
            permission(Some("c"), None, ""),
        ];
        let general = [permission(None, Some("p"), "r"), permission(None, None, "w")];
        let all = [permissions.clone(), [&general[..], &permissions].concat()];
        let all = all.into_iter().map(|permissions| Grants { admin: false, permissions });
        for grants in all.chain([Grants::admin(), Grants::default()]) {
            let sorted = grants.sorted();
            let kinds = [PermissionKind::Read, PermissionKind::Write, PermissionKind::Metrics];
            for (right, database) in
                kinds.iter().flat_map(|&kind| ["", "a", "b", "c", "d", "e"].map(|db| (kind, db)))
            {
                let scope = grants.scope(right, database);
                for sorted in [&sorted, &grants.sorted_on(&BTreeSet::from(["0", database]))] {
                    let covers = sorted.covers_all(right, database);
                    assert_eq!(covers, scope == Scope::All, "{right:?} {database}");
                    for policy in [None, Some(""), Some("default"), Some("p"), Some("q"), Some("x")]
                    {
                        let covers = sorted.may_cover(right, database, policy);
                        let expected = scope.may_cover(policy);
                        assert_eq!(covers, expected, "{right:?} {database} {policy:?}");
                    }
                }
            }
            let seen = ["p", "q", "x"].map(|policy| sorted.sees_policy("b", policy));
            let expected = ["p", "q", "x"].map(|policy| {
                let scopes = [PermissionKind::Read, PermissionKind::Write]
                    .map(|kind| grants.scope(kind, "b"));
                scopes.iter().any(|scope| scope.covers(policy))
            });
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn thousands_of_permissions_are_found() {
        use PermissionKind::Read;
        let names: Vec<String> = (0..20_000).rev().map(|n| format!("d{n}")).collect();
        let permissions = names.iter().map(|name| permission(Some(name), None, "r")).collect();
        let grants = Grants { admin: false, permissions };
        let sorted = grants.sorted();
        for (name, is_granted) in
            names.iter().map(|name| (name.as_str(), true)).chain([("e", false)])
        {
            let checks = [
                sorted.covers_all(Read, name),
                sorted.covers(Read, name, "p"),
                sorted.covers_any(Read, name),
                sorted.may_cover(Read, name, Some("p")),
                sorted.sees(name),
                sorted.sees_policy(name, "p"),
            ];
            assert_eq!(checks, [is_granted; 6], "{name}");
        }
        // A check of a few databases does not sort the other permissions.
        assert_eq!(grants.sorted_on(&BTreeSet::from(["d7", "d77", "e"])).permissions.len(), 2);
    }

    #[test]
    fn scope_covers_policies_by_name() {
        let scope = Scope::Policies(vec!["p".to_owned()]);
        assert!(scope.covers("p") && !scope.covers("q") && !scope.covers("P"));
        for (policy, expected) in
            [(None, true), (Some(""), true), (Some("default"), true), (Some("q"), false)]
        {
            assert_eq!(scope.may_cover(policy), expected, "{policy:?}");
        }
        assert!(!Scope::None.may_cover(None) && Scope::All.may_cover(Some("q")));
    }
}
