//! Carries out the statements about users: CREATE and DROP USER, SET PASSWORD, GRANT, REVOKE, SHOW
//! USERS and SHOW GRANTS.
//!
//! Whatever changes starts from what the Catalog says now and replaces only that: somebody else's
//! change in between starts it again. A password becomes a key at the edge and goes nowhere else.

use subtle::ConstantTimeEq;

use super::error::Error;
use super::grants::hex;
use super::retries::Retries;
use super::{Context, RoundMachine, Turn};
use crate::influxql::ast::{GrantStatement, Privilege, Statement};
use crate::model::grant::{Grants, Permission};
use crate::model::limits::{GRANTEES_PER_PAGE, PASSWORD_ITERATIONS};
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::grants::{Grantee, GranteeKey};
use crate::protocol::host::Unavailable;
use crate::protocol::password_derivation::Derivation;
use crate::protocol::round::{CallResult, Next, Replies, Round};
use crate::query::error::QueryError;
use crate::query::result::{Column, ResultColumn, SeriesChunk, Values};

/// A statement about users in progress. Answers as [`super::statement::Execution`] does.
#[derive(Debug)]
pub struct Users {
    statement: Statement,
    stage: UsersStage,
    /// The user that it names, once the Catalog was asked.
    found: Option<Box<Grantee>>,
    /// What is stored takes nothing from the user.
    widens: bool,
    /// The last user of a page that another one follows.
    after: Option<u64>,
    round: Round,
    retries: Retries,
}

#[derive(Debug)]
enum UsersStage {
    Start,
    /// The user that the statement names, as the Catalog has it.
    User,
    /// A page of all users.
    Page,
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

type UsersTurn = Turn<Option<SeriesChunk>>;

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
                let (stage, round) = (UsersStage::Start, Round::default());
                Ok(Self {
                    statement,
                    stage,
                    found: None,
                    widens: false,
                    after: None,
                    round,
                    retries: Retries::default(),
                })
            }
            other => Err(other),
        }
    }

    /// Asks the Catalog for the user that is named, or for a page of all.
    fn start(&mut self) -> UsersTurn {
        let name = match &self.statement {
            Statement::ShowUsers => return Ok(self.ask_page(0)),
            Statement::CreateUser(create) => &create.name,
            Statement::SetPassword(set) => &set.name,
            Statement::DropUser { name } => name,
            Statement::Grant(grant) | Statement::Revoke(grant) => &grant.user,
            Statement::ShowGrants { user } => user,
            _ => return Ok(Next::Reply(None)),
        };
        self.stage = UsersStage::User;
        let keys = vec![GranteeKey { user: true, text: name.clone() }];
        Ok(Next::call(Address::Catalog, &ToCatalog::Identify { keys }))
    }

    fn ask_page(&mut self, after: u64) -> Next<Option<SeriesChunk>> {
        self.stage = UsersStage::Page;
        let message = ToCatalog::Grantees { user: true, after, limit: GRANTEES_PER_PAGE as u64 };
        Next::call(Address::Catalog, &message)
    }

    /// A page of SHOW USERS is a piece of its answer.
    fn learn_page(&mut self, reply: CallResult) -> UsersTurn {
        let (rows, more) = match envelope::decode_reply::<FromCatalog>(reply)? {
            FromCatalog::Grantees { rows, more, .. } => (rows, more),
            FromCatalog::Unavailable(why) => return Err(why.into()),
            _ => return Err(Error::unexpected_reply()),
        };
        self.after = rows.last().filter(|_| more).map(|row| row.id);
        let names = Values::String(rows.iter().map(|row| row.name.as_str()).collect());
        let admin = Values::Boolean(rows.iter().map(|row| row.grants.admin).collect());
        show(["user", "admin"], [names, admin])
    }

    /// The Catalog has said whether there is the user: what the statement makes of it.
    fn begin(&mut self, context: &mut Context<'_>) -> UsersTurn {
        let found = self.found.as_deref().cloned();
        match &self.statement {
            Statement::ShowGrants { .. } => match found {
                Some(row) => show_grants(&row.grants),
                None => not_found(),
            },
            Statement::CreateUser(create) if create.name.is_empty() => fail("username required"),
            Statement::CreateUser(create) => {
                let existing = found;
                let password = create.password.clone();
                self.derive(context, &password, existing, true)
            }
            Statement::SetPassword(set) => match found {
                Some(row) => {
                    let password = set.password.clone();
                    self.derive(context, &password, Some(row), false)
                }
                None => not_found(),
            },
            // One that is gone may be known to databases still.
            Statement::DropUser { name } => {
                let name = name.clone();
                self.put(&ToCatalog::RemoveGrantee { user: true, name })
            }
            Statement::Grant(grant) | Statement::Revoke(grant) => match (found, &grant.database) {
                (None, _) => not_found(),
                (Some(_), Some(name)) => {
                    self.stage = UsersStage::Database;
                    let message = ToCatalog::Resolve { name: name.clone() };
                    Ok(Next::call(Address::Catalog, &message))
                }
                (Some(_), None) => self.change_rights(),
            },
            _ => Ok(Next::Reply(None)),
        }
    }

    /// Asks for a password's key: by the salt of who has it already, to compare, else by a new one.
    fn derive(
        &mut self,
        context: &Context<'_>,
        password: &str,
        existing: Option<Grantee>,
        compare: bool,
    ) -> UsersTurn {
        let known = existing.as_ref().filter(|_| compare);
        let (salt, iterations) = match known {
            Some(row) => (row.salt.clone(), row.iterations),
            None => {
                let words = [(); 2].map(|()| context.platform.random_u64().to_be_bytes());
                (hex(words.as_flattened()), PASSWORD_ITERATIONS)
            }
        };
        let request = Derivation { iterations, salt: &salt, password }.request();
        self.stage = UsersStage::Key { salt, existing: existing.map(Box::new) };
        Ok(Next::Calls(vec![request]))
    }

    fn learn_key(
        &mut self,
        context: &Context<'_>,
        (salt, existing): (String, Option<Box<Grantee>>),
        key: &[u8],
    ) -> UsersTurn {
        let hash = hex(key);
        let row = match (&self.statement, existing) {
            (Statement::CreateUser(create), Some(row)) => {
                let same: bool = row.hash.as_bytes().ct_eq(hash.as_bytes()).into();
                if same && row.grants.admin == create.admin {
                    return Ok(Next::Reply(None));
                }
                return fail("user already exists");
            }
            (Statement::CreateUser(create), None) => {
                let grants = Grants { admin: create.admin, permissions: Vec::new() };
                let times_ns = [context.platform.now_ns(), i64::MAX];
                let row = Grantee::token(&create.name, hash, grants, times_ns);
                Grantee { user: true, salt, iterations: PASSWORD_ITERATIONS, ..row }
            }
            (_, Some(row)) => Grantee { hash, salt, iterations: PASSWORD_ITERATIONS, ..*row },
            (_, None) => return not_found(),
        };
        self.put_row(row)
    }

    /// Grants or revokes.
    fn change_rights(&mut self) -> UsersTurn {
        let (grant, gives) = match &self.statement {
            Statement::Grant(grant) => (grant, true),
            Statement::Revoke(grant) => (grant, false),
            _ => return Ok(Next::Reply(None)),
        };
        let Some(mut row) = self.found.as_deref().cloned() else { return not_found() };
        match &grant.database {
            None => row.grants.admin = gives,
            Some(database) => change_right(&mut row.grants, grant, database, gives),
        }
        self.put_row(row)
    }

    /// Stores the user as it is to be.
    fn put_row(&mut self, row: Grantee) -> UsersTurn {
        // One that is so already may be a repeat, of which some have not heard.
        self.widens = self.found.as_ref().is_none_or(|found| {
            let is_same = found.hash == row.hash && found.salt == row.salt;
            is_same && row.grants.include(&found.grants) && **found != row
        });
        self.put(&ToCatalog::PutGrantee(Box::new(row)))
    }

    fn put(&mut self, message: &ToCatalog) -> UsersTurn {
        self.stage = UsersStage::Put;
        Ok(Next::call(Address::Catalog, message))
    }

    fn learn_put(&mut self, context: &mut Context<'_>, reply: CallResult) -> UsersTurn {
        context.cache.callers.forget_refused();
        match envelope::decode_reply::<FromCatalog>(reply)? {
            // What only widens is true at once: nobody is refused before the Catalog was asked.
            FromCatalog::Granted { .. } if self.widens => Ok(Next::Reply(None)),
            FromCatalog::Granted { remaining: 0, .. }
            | FromCatalog::Dropped { existed: true, remaining: 0 } => Ok(Next::Reply(None)),
            FromCatalog::Granted { remaining, .. }
            | FromCatalog::Dropped { existed: true, remaining } => {
                Err(Error::NotEverywhere { remaining })
            }
            FromCatalog::Dropped { existed: false, .. } => not_found(),
            FromCatalog::Unavailable(Unavailable::Changing) => {
                self.retries.count()?;
                self.start()
            }
            FromCatalog::Unavailable(why) => Err(why.into()),
            FromCatalog::Refused(refusal) => Err(Error::Catalog(refusal)),
            _ => Err(Error::unexpected_reply()),
        }
    }

    fn learn_database(&mut self, reply: CallResult) -> UsersTurn {
        let (Statement::Grant(grant) | Statement::Revoke(grant)) = &self.statement else {
            return Ok(Next::Reply(None));
        };
        match envelope::decode_reply::<FromCatalog>(reply)? {
            FromCatalog::Resolved { object: Some(_) } => self.change_rights(),
            FromCatalog::Resolved { object: None } => {
                Err(Error::DatabaseNotFound(grant.database.clone().unwrap_or_default()))
            }
            FromCatalog::Unavailable(why) => Err(why.into()),
            _ => Err(Error::unexpected_reply()),
        }
    }

    fn learn(&mut self, context: &mut Context<'_>, reply: CallResult) -> UsersTurn {
        match std::mem::replace(&mut self.stage, UsersStage::Finished) {
            UsersStage::Page => self.learn_page(reply),
            UsersStage::User => match envelope::decode_reply::<FromCatalog>(reply)? {
                FromCatalog::Identified { found, .. } => {
                    self.found = found.into_iter().next().map(Box::new);
                    self.begin(context)
                }
                FromCatalog::Unavailable(why) => Err(why.into()),
                _ => Err(Error::unexpected_reply()),
            },
            UsersStage::Database => self.learn_database(reply),
            UsersStage::Key { salt, existing } => {
                let key = reply?;
                self.learn_key(context, (salt, existing), &key)
            }
            UsersStage::Put => self.learn_put(context, reply),
            UsersStage::Start | UsersStage::Finished => Ok(Next::Reply(None)),
        }
    }
}

impl RoundMachine for Users {
    type Reply = Option<SeriesChunk>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, mut replies: Replies) -> UsersTurn {
        let turn = match (replies.pop(), &self.stage) {
            (None, UsersStage::Start) => self.start(),
            (None, _) if self.after.is_some() => {
                let after = self.after.take().unwrap_or_default();
                return Ok(self.ask_page(after));
            }
            (None, _) => Ok(Next::Reply(None)),
            (Some(reply), _) => self.learn(context, reply),
        };
        if matches!(turn, Ok(Next::Reply(_)) | Err(_)) {
            self.stage = UsersStage::Finished;
        }
        turn
    }
}

fn fail(message: &str) -> UsersTurn {
    Err(QueryError::Invalid(message.to_owned()).into())
}

fn not_found() -> UsersTurn {
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
            let (policy, metrics) = (None, false);
            grants.permissions.push(Permission { database, policy, read, write, metrics });
        }
    }
    grants.permissions.sort_by(|a, b| a.database.cmp(&b.database));
}

fn show_grants(grants: &Grants) -> UsersTurn {
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

fn show(columns: [&str; 2], values: [Values; 2]) -> UsersTurn {
    let rows = values.first().map_or(0, Values::len);
    Ok(Next::Reply(Some(SeriesChunk {
        name: None,
        tags: [].into(),
        columns: columns.map(str::to_owned).into(),
        values: values.map(|values| ResultColumn::Values(Column::full(values))).into(),
        rows,
        partial: false,
        zone: [].into(),
    })))
}
