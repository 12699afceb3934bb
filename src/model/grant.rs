//! Says who may do what: rights on databases and policies, whoever holds them.

use serde::{Deserialize, Serialize};

/// What may be done with a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Query its points.
    Read,
    /// Write and delete its points.
    Write,
    /// Read how much its objects did and hold. Whoever may read its points may do this too.
    Metrics,
}

impl Right {
    /// As 1.x prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Metrics => "METRICS",
        }
    }
}

/// Rights on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// Which database; `None` is every one, present and future.
    pub database: Option<String>,
    /// Which of its policies; `None` is all of them.
    pub policy: Option<String>,
    /// Whether it may be read.
    pub read: bool,
    /// Whether it may be written.
    pub write: bool,
    /// Whether its metrics may be read, also where its points may not.
    #[serde(default)]
    pub metrics: bool,
}

impl Permission {
    fn gives(&self, right: Right) -> bool {
        match right {
            Right::Read => self.read,
            Right::Write => self.write,
            Right::Metrics => self.read || self.metrics,
        }
    }

    /// Whether anything is allowed.
    pub fn gives_any(&self) -> bool {
        self.read || self.write || self.metrics
    }

    fn names(&self, database: &str) -> bool {
        self.database.as_ref().is_none_or(|named| named == database)
    }
}

/// Everything that one caller may do. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Everything, and what is beyond rights on databases.
    pub admin: bool,
    /// In the order in which they were given.
    pub permissions: Vec<Permission>,
}

/// How much of one database a right covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing.
    None,
    /// These policies, by name.
    Policies(Vec<String>),
    /// All of it.
    All,
}

impl Scope {
    /// Whether the policy of this name lies inside.
    pub fn covers(&self, policy: &str) -> bool {
        match self {
            Self::None => false,
            Self::Policies(names) => names.iter().any(|name| name == policy),
            Self::All => true,
        }
    }

    /// The same for a policy as a client names it. Which one no name and `default` mean is known
    /// only once the database is: true where one of the policies may be it.
    pub fn may_cover(&self, policy: Option<&str>) -> bool {
        match policy {
            None | Some("" | "default") => *self != Self::None,
            Some(policy) => self.covers(policy),
        }
    }
}

impl Grants {
    /// The rights of the admin token.
    pub fn admin() -> Self {
        Self { admin: true, permissions: Vec::new() }
    }

    /// How much of `database` the right covers.
    pub fn scope(&self, right: Right, database: &str) -> Scope {
        if self.admin {
            return Scope::All;
        }
        let mut policies = Vec::new();
        for permission in &self.permissions {
            if permission.gives(right) && permission.names(database) {
                match &permission.policy {
                    None => return Scope::All,
                    Some(policy) => policies.push(policy.clone()),
                }
            }
        }
        if policies.is_empty() { Scope::None } else { Scope::Policies(policies) }
    }

    /// Whether the right covers every database, those that do not exist yet included.
    pub fn covers_all(&self, right: Right) -> bool {
        let all = |p: &Permission| p.gives(right) && p.database.is_none() && p.policy.is_none();
        self.admin || self.permissions.iter().any(all)
    }

    /// What of it concerns `database`.
    #[must_use]
    pub fn on(&self, database: &str) -> Self {
        let held = self.permissions.iter().filter(|held| held.names(database));
        Self { admin: self.admin, permissions: held.cloned().collect() }
    }

    /// Whether any of it concerns `database`, be it that nothing is allowed there.
    pub fn concerns(&self, database: &str) -> bool {
        self.admin || self.permissions.iter().any(|held| held.names(database))
    }

    /// Whether it concerns every database.
    pub fn concerns_all(&self) -> bool {
        self.admin || self.permissions.iter().any(|held| held.database.is_none())
    }

    /// Whether whoever has `other` may do nothing that is not allowed here.
    pub fn include(&self, other: &Self) -> bool {
        let gives = |held: &Permission, own: &Permission| {
            let is_same = (&own.database, &own.policy) == (&held.database, &held.policy);
            let rights = [Right::Read, Right::Write, Right::Metrics];
            is_same && rights.iter().all(|&right| own.gives(right) >= held.gives(right))
        };
        let mut given = other.permissions.iter().filter(|held| held.gives_any());
        let given = given.all(|held| self.permissions.iter().any(|own| gives(held, own)));
        self.admin || given && !other.admin
    }

    /// Whether a list of databases may show this one: any right on it will do.
    pub fn sees(&self, database: &str) -> bool {
        let any = |p: &Permission| p.names(database) && p.gives_any();
        self.admin || self.permissions.iter().any(any)
    }

    /// Whether the policy is shown in lists: to whoever may read or write it.
    pub fn sees_policy(&self, database: &str, policy: &str) -> bool {
        let covers = |right| self.scope(right, database).covers(policy);
        [Right::Read, Right::Write].into_iter().any(covers)
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
    fn a_right_covers_what_it_names() {
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
        for (right, database, expected) in [
            (Right::Read, "a", Scope::All),
            (Right::Write, "a", Scope::None),
            (Right::Read, "b", only("p")),
            (Right::Write, "b", only("p")),
            (Right::Read, "c", Scope::None),
            (Right::Read, "A", Scope::None),
            (Right::Read, "", Scope::None),
            (Right::Metrics, "a", Scope::All),
            (Right::Metrics, "b", only("p")),
            (Right::Metrics, "c", Scope::None),
            (Right::Metrics, "e", Scope::All),
            (Right::Read, "e", Scope::None),
            (Right::Write, "e", Scope::None),
        ] {
            assert_eq!(grants.scope(right, database), expected, "{right:?} {database}");
        }
        let seen = ["a", "b", "c", "d", "e"].map(|db| grants.sees(db));
        assert_eq!(seen, [true, true, false, false, true]);
        assert!(!grants.covers_all(Right::Read));
    }

    #[test]
    fn what_includes_another_allows_all_that_it_does() {
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
    fn everything_is_more_than_every_name() {
        let grants = Grants { admin: false, permissions: vec![permission(None, None, "w")] };
        assert_eq!(grants.scope(Right::Write, "any"), Scope::All);
        assert_eq!(grants.scope(Right::Read, "any"), Scope::None);
        assert!(grants.covers_all(Right::Write) && !grants.covers_all(Right::Read));
        assert!(grants.sees("any"));
        let admin = Grants::admin();
        assert!(admin.covers_all(Right::Read) && admin.sees("any"));
        assert_eq!(admin.scope(Right::Read, "any"), Scope::All);
        assert!(!Grants::default().sees("any") && !Grants::default().covers_all(Right::Read));
    }

    #[test]
    fn a_policy_is_judged_by_its_name() {
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
