//! Users by statement: CREATE and DROP USER, SET PASSWORD, GRANT, REVOKE, SHOW USERS and GRANTS.
//!
//! Whatever changes starts from what the Catalog says now and replaces only that: somebody else's
//! change in between starts it again. A password becomes a key at the edge and goes nowhere else.

use std::ops::ControlFlow;

use subtle::ConstantTimeEq;

use super::error::Error;
use super::grants::hex;
use super::identify::GrantsQuestion;
use super::{Context, Machine};
use crate::influxql::ast::{GrantStatement, Privilege, Statement};
use crate::model::grant::{Grants, Permission};
use crate::model::limits::{PASSWORD_ITERATIONS, STALE_RETRIES_MAX};
use crate::model::sorted;
use crate::protocol::call::{Address, CallFailure, Reply, Step};
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::derivation::Derivation;
use crate::protocol::envelope;
use crate::protocol::grants::Grantee;
use crate::protocol::host::Unavailable;
use crate::protocol::round::{Request, Round};
use crate::query::error::QueryError;
use crate::query::result::{Column, ResultColumn, SeriesChunk, Values};

/// A statement about users in progress. Answers as [`super::statement::Execution`] does.
#[derive(Debug)]
pub struct Users {
    statement: Statement,
    stage: Stage,
    round: Round,
    retries: u32,
}

#[derive(Debug)]
enum Stage {
    Start,
    Copy(GrantsQuestion),
    /// Whether the database of a GRANT exists.
    Database,
    /// The key of a new password, or of one that is compared with what there is.
    Key {
        salt: String,
        existing: Option<Box<Grantee>>,
    },
    Put,
    Finished,
}

type Answer = Result<Option<SeriesChunk>, Error>;
type Flow = ControlFlow<Answer, Request>;

impl Users {
    /// Prepares the statement; `None` for one that is not about users.
    ///
    /// # Errors
    /// The statement, for somebody else.
    pub fn new(statement: Statement) -> Result<Self, Statement> {
        match statement {
            Statement::CreateUser(_)
            | Statement::DropUser { .. }
            | Statement::SetPassword(_)
            | Statement::Grant(_)
            | Statement::Revoke(_)
            | Statement::ShowUsers
            | Statement::ShowGrants { .. } => {
                Ok(Self { statement, stage: Stage::Start, round: Round::default(), retries: 0 })
            }
            other => Err(other),
        }
    }

    fn start(&mut self, context: &mut Context<'_>) -> Flow {
        let (asked, request) = GrantsQuestion::ask(context);
        self.stage = Stage::Copy(asked);
        Flow::Continue(request)
    }

    /// The copy is new: what the statement makes of it.
    fn begin(&mut self, context: &mut Context<'_>) -> Flow {
        let copy = &context.cache.grants;
        let find = |name: &str| {
            let (row, principal) = copy.user(name)?;
            Some(Grantee { grants: (*principal.grants).clone(), ..row.clone() })
        };
        match &self.statement {
            Statement::ShowUsers => {
                let users = copy.all(true).map(|(row, grants)| (row.name.clone(), grants.admin));
                let (names, admin): (Vec<_>, Vec<_>) = users.unzip();
                let names = Values::String(names.iter().map(String::as_str).collect());
                let admin = Values::Boolean(admin.into_iter().collect());
                show(["user", "admin"], [names, admin])
            }
            Statement::ShowGrants { user } => match find(user) {
                Some(row) => show_grants(&row.grants),
                None => not_found(),
            },
            Statement::CreateUser(create) if create.name.is_empty() => fail("username required"),
            Statement::CreateUser(create) => {
                let existing = find(&create.name);
                let password = create.password.clone();
                self.derive(context, &password, existing, true)
            }
            Statement::SetPassword(set) => match find(&set.name) {
                Some(row) => {
                    let password = set.password.clone();
                    self.derive(context, &password, Some(row), false)
                }
                None => not_found(),
            },
            Statement::DropUser { name } => match find(name) {
                Some(row) => self.put(&ToCatalog::RemoveGrantee { user: true, name: row.name }),
                None => not_found(),
            },
            Statement::Grant(grant) | Statement::Revoke(grant) => {
                match (find(&grant.user), &grant.database) {
                    (None, _) => not_found(),
                    (Some(_), Some(name)) => {
                        self.stage = Stage::Database;
                        let message = envelope::encode(&ToCatalog::Resolve { name: name.clone() });
                        Flow::Continue(Request::new(Address::Catalog, message))
                    }
                    (Some(_), None) => self.change_rights(context),
                }
            }
            _ => Flow::Break(Ok(None)),
        }
    }

    /// Asks for a password's key: by the salt of who has it already, to compare, else by a new one.
    fn derive(
        &mut self,
        context: &Context<'_>,
        password: &str,
        existing: Option<Grantee>,
        compare: bool,
    ) -> Flow {
        let known = existing.as_ref().filter(|_| compare);
        let (salt, iterations) = match known {
            Some(row) => (row.salt.clone(), row.iterations),
            None => {
                let words = [(); 2].map(|()| context.platform.random_u64().to_be_bytes());
                (hex(words.as_flattened()), PASSWORD_ITERATIONS)
            }
        };
        let request = Derivation { iterations, salt: &salt, password }.request();
        self.stage = Stage::Key { salt, existing: existing.map(Box::new) };
        Flow::Continue(request)
    }

    fn learn_key(
        &mut self,
        context: &Context<'_>,
        (salt, existing): (String, Option<Box<Grantee>>),
        key: &[u8],
    ) -> Flow {
        let hash = hex(key);
        let row = match (&self.statement, existing) {
            (Statement::CreateUser(create), Some(row)) => {
                let same: bool = row.hash.as_bytes().ct_eq(hash.as_bytes()).into();
                if same && row.grants.admin == create.admin {
                    return Flow::Break(Ok(None));
                }
                return fail("user already exists");
            }
            (Statement::CreateUser(create), None) => Grantee {
                id: 0,
                version: 0,
                user: true,
                name: create.name.clone(),
                hash,
                salt,
                iterations: PASSWORD_ITERATIONS,
                grants: Grants { admin: create.admin, permissions: Vec::new() },
                created_ns: context.platform.now_ns(),
                expires_ns: i64::MAX,
            },
            (_, Some(row)) => Grantee { hash, salt, iterations: PASSWORD_ITERATIONS, ..*row },
            (_, None) => return not_found(),
        };
        self.put(&ToCatalog::PutGrantee(Box::new(row)))
    }

    /// Grants or revokes.
    fn change_rights(&mut self, context: &Context<'_>) -> Flow {
        let (grant, gives) = match &self.statement {
            Statement::Grant(grant) => (grant, true),
            Statement::Revoke(grant) => (grant, false),
            _ => return Flow::Break(Ok(None)),
        };
        let Some((row, principal)) = context.cache.grants.user(&grant.user) else {
            return not_found();
        };
        let mut row = Grantee { grants: (*principal.grants).clone(), ..row.clone() };
        match &grant.database {
            None => row.grants.admin = gives,
            Some(database) => change_right(&mut row.grants, grant, database, gives),
        }
        self.put(&ToCatalog::PutGrantee(Box::new(row)))
    }

    fn put(&mut self, message: &ToCatalog) -> Flow {
        self.stage = Stage::Put;
        Flow::Continue(Request::new(Address::Catalog, envelope::encode(message)))
    }

    fn learn_put(
        &mut self,
        context: &mut Context<'_>,
        reply: Result<Vec<u8>, CallFailure>,
    ) -> Flow {
        context.cache.grants.forget();
        Flow::Break(match envelope::decode_reply::<FromCatalog>(reply) {
            Ok(FromCatalog::Granted { .. } | FromCatalog::Dropped { existed: true }) => Ok(None),
            Ok(FromCatalog::Dropped { existed: false }) => return not_found(),
            Ok(FromCatalog::Unavailable(Unavailable::Changing))
                if self.retries < STALE_RETRIES_MAX =>
            {
                self.retries += 1;
                return self.start(context);
            }
            Ok(FromCatalog::Unavailable(why)) => Err(why.into()),
            Ok(FromCatalog::Refused(refusal)) => Err(Error::Catalog(refusal)),
            Ok(_) => Err(Error::unexpected_reply()),
            Err(failure) => Err(failure.into()),
        })
    }

    fn learn_database(
        &mut self,
        context: &mut Context<'_>,
        reply: Result<Vec<u8>, CallFailure>,
    ) -> Flow {
        let (Statement::Grant(grant) | Statement::Revoke(grant)) = &self.statement else {
            return Flow::Break(Ok(None));
        };
        Flow::Break(match envelope::decode_reply::<FromCatalog>(reply) {
            Ok(FromCatalog::Resolved { object: Some(_) }) => return self.change_rights(context),
            Ok(FromCatalog::Resolved { object: None }) => {
                Err(Error::DatabaseNotFound(grant.database.clone().unwrap_or_default()))
            }
            Ok(FromCatalog::Unavailable(why)) => Err(why.into()),
            Ok(_) => Err(Error::unexpected_reply()),
            Err(failure) => Err(failure.into()),
        })
    }

    fn learn(&mut self, context: &mut Context<'_>, reply: Result<Vec<u8>, CallFailure>) -> Flow {
        match std::mem::replace(&mut self.stage, Stage::Finished) {
            Stage::Copy(asked) => match asked.learn(&mut context.cache.grants, reply) {
                Ok(()) => self.begin(context),
                Err(why) => Flow::Break(Err(why.into())),
            },
            Stage::Database => self.learn_database(context, reply),
            Stage::Key { salt, existing } => match reply {
                Ok(key) => self.learn_key(context, (salt, existing), &key),
                Err(failure) => Flow::Break(Err(failure.into())),
            },
            Stage::Put => self.learn_put(context, reply),
            Stage::Start | Stage::Finished => Flow::Break(Ok(None)),
        }
    }
}

impl Machine for Users {
    type Answer = Answer;

    fn step(&mut self, context: &mut Context<'_>, reply: Option<Reply>) -> Step<Answer> {
        let flow = match (reply, &self.stage) {
            (None, Stage::Start) => self.start(context),
            (None, _) => Flow::Break(Ok(None)),
            (Some(reply), _) => match self.round.take(reply).and_then(|mut r| r.pop()) {
                Some(reply) => self.learn(context, reply),
                None => return Step::Calls(Vec::new()),
            },
        };
        match flow {
            Flow::Continue(request) => Step::Calls(self.round.start(vec![request])),
            Flow::Break(answer) => {
                self.stage = Stage::Finished;
                Step::Done(answer)
            }
        }
    }
}

fn fail(message: &str) -> Flow {
    Flow::Break(Err(QueryError::Invalid(message.to_owned()).into()))
}

fn not_found() -> Flow {
    fail("user not found")
}

/// A GRANT replaces what the user had on the database, a REVOKE takes from it (1.x).
fn change_right(grants: &mut Grants, grant: &GrantStatement, database: &str, gives: bool) {
    let named = |right| grant.privilege == Privilege::All || grant.privilege == right;
    let (read, write) = (named(Privilege::Read), named(Privilege::Write));
    let of_database = |held: &&mut Permission| held.database.as_deref() == Some(database);
    match grants.permissions.iter_mut().find(of_database) {
        Some(held) if gives => (held.read, held.write) = (read, write),
        Some(held) => (held.read, held.write) = (held.read && !read, held.write && !write),
        None => {
            let (read, write) = (read && gives, write && gives);
            let database = Some(database.to_owned());
            grants.permissions.push(Permission { database, policy: None, read, write });
        }
    }
    sorted::sort_by(&mut grants.permissions, |a, b| a.database.cmp(&b.database));
}

fn show_grants(grants: &Grants) -> Flow {
    let held = grants.permissions.iter();
    let databases = held.clone().map(|held| held.database.as_deref().unwrap_or_default());
    let privileges = held.map(|held| match (held.read, held.write) {
        (true, true) => Privilege::All.as_str(),
        (true, false) => Privilege::Read.as_str(),
        (false, true) => Privilege::Write.as_str(),
        (false, false) => "NO PRIVILEGES",
    });
    let values = [Values::String(databases.collect()), Values::String(privileges.collect())];
    show(["database", "privilege"], values)
}

fn show(columns: [&str; 2], values: [Values; 2]) -> Flow {
    let rows = values.first().map_or(0, Values::len);
    Flow::Break(Ok(Some(SeriesChunk {
        name: None,
        tags: [].into(),
        columns: columns.map(str::to_owned).into(),
        values: values.map(|values| ResultColumn::Values(Column::full(values))).into(),
        rows,
        partial: false,
        zone: [].into(),
    })))
}
