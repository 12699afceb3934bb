//! Imports tokens and users, and executes the statements about users: CREATE and DROP USER, SET
//! PASSWORD, GRANT, REVOKE, SHOW USERS and SHOW GRANTS.
//!
//! A change reads the user from the Catalog, and replaces exactly the state that it read. If
//! another request changed the user in the meantime, the change starts again. The Worker derives a
//! key from a password and sends only the key.

use subtle::ConstantTimeEq;

use super::error::{Error, Result};
use super::grants::hex;
use super::load_schemas::Retries;
use super::{Io, Output};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::grants::{Grantee, GranteeKey};
use tidemark_engine::protocol::web_crypto::Derivation;
use tidemark_influxql::ast::{GrantStatement, Privilege, Statement};
use tidemark_model::grant::{Grants, Permission};
use tidemark_model::limits::{ACCESS_NAMES_MAX, GRANTEES_PER_PAGE, PASSWORD_ITERATIONS};
use tidemark_query::error::QueryError;
use tidemark_query::result::{SeriesChunk, Values};

pub(super) async fn show_users(io: Io, output: Output<SeriesChunk>) -> Result<()> {
    let (mut after, limit) = (0, GRANTEES_PER_PAGE as u64);
    loop {
        let message = ToCatalog::Grantees { user: true, after, limit };
        let FromCatalog::Grantees { rows, more, .. } = io.call_catalog(&message).await? else {
            return Err(Error::unexpected_reply());
        };
        let names = Values::String(rows.iter().map(|row| row.name.as_str()).collect());
        let admin = Values::Boolean(rows.iter().map(|row| row.grants.admin).collect());
        let chunk = SeriesChunk::of_columns(None, &["user", "admin"], [names, admin]);
        output.emit(chunk).await;
        match rows.last().filter(|_| more) {
            Some(last) => after = last.id,
            None => return Ok(()),
        }
    }
}

/// Executes a statement about a user. Starts again if another request changes the user at the same
/// time.
pub(super) async fn user_statement(io: Io, statement: Statement) -> Result<Option<SeriesChunk>> {
    let mut retries = Retries::default();
    loop {
        match run_once(&io, &statement).await {
            Err(Error::Unavailable(Unavailable::Changing)) => retries.count()?,
            result => return result,
        }
    }
}

async fn run_once(io: &Io, statement: &Statement) -> Result<Option<SeriesChunk>> {
    match statement {
        Statement::ShowGrants { user } => {
            let row = find(io, user).await?.ok_or_else(not_found)?;
            return Ok(Some(show_grants(&row.grants)));
        }
        Statement::CreateUser(create) if create.name.is_empty() => {
            return Err(invalid("username required"));
        }
        Statement::CreateUser(create) => match find(io, &create.name).await? {
            Some(row) => {
                let hash = derive(io, row.iterations, &row.salt, &create.password.0).await?;
                let is_same: bool = row.hash.as_bytes().ct_eq(hash.as_bytes()).into();
                if !is_same || row.grants.admin != create.admin {
                    return Err(invalid("user already exists"));
                }
            }
            None => {
                let salt = new_salt(io)?;
                let hash = derive(io, PASSWORD_ITERATIONS, &salt, &create.password.0).await?;
                let grants = Grants { admin: create.admin, permissions: Vec::new() };
                let now_ns = io.now_ns()?;
                let row = Grantee::token(&create.name, hash, grants, [now_ns, i64::MAX]);
                let row = Grantee { user: true, salt, iterations: PASSWORD_ITERATIONS, ..row };
                put(io, None, row).await?;
            }
        },
        Statement::SetPassword { name, password } => {
            let found = find(io, name).await?.ok_or_else(not_found)?;
            let salt = new_salt(io)?;
            let hash = derive(io, PASSWORD_ITERATIONS, &salt, &password.0).await?;
            let iterations = PASSWORD_ITERATIONS;
            let row = Grantee { hash, salt, iterations, ..found.clone() };
            put(io, Some(found), row).await?;
        }
        Statement::DropUser { name } => {
            // Databases may still know a user that was already removed from the Catalog.
            let message = ToCatalog::RemoveGrantee { user: true, name: name.clone() };
            change(io, &message, false).await?;
        }
        Statement::Grant(grant) => grant_or_revoke(io, grant, true).await?,
        Statement::Revoke(grant) => grant_or_revoke(io, grant, false).await?,
        _ => {}
    }
    Ok(None)
}

async fn grant_or_revoke(io: &Io, grant: &GrantStatement, gives: bool) -> Result<()> {
    let found = find(io, &grant.user).await?.ok_or_else(not_found)?;
    let mut row = found.clone();
    match &grant.database {
        None => row.grants.admin = gives,
        Some(database) => {
            match io.call_catalog(&ToCatalog::Resolve { name: database.clone() }).await? {
                FromCatalog::Resolved { object: Some(_) } => {}
                FromCatalog::Resolved { object: None } => {
                    return Err(Error::DatabaseNotFound(database.clone()));
                }
                _ => return Err(Error::unexpected_reply()),
            }
            change_permission(&mut row.grants, grant, database, gives);
        }
    }
    put(io, Some(found), row).await
}

async fn find(io: &Io, name: &str) -> Result<Option<Grantee>> {
    let keys = vec![GranteeKey { user: true, text: name.to_owned() }];
    one(io.call_catalog(&ToCatalog::Identify { keys }).await?)
}

fn new_salt(io: &Io) -> Result<String> {
    let words = io.with(|context| [(); 2].map(|()| context.platform.random_u64().to_be_bytes()))?;
    Ok(hex(words.as_flattened()))
}

/// Returns the key in hexadecimal.
async fn derive(io: &Io, iterations: u32, salt: &str, password: &str) -> Result<String> {
    let request = Derivation { iterations, salt, password }.request();
    Ok(hex(&io.request(request).await?))
}

async fn put(io: &Io, found: Option<Grantee>, row: Grantee) -> Result<()> {
    // An unchanged row does not count as widened: the request may repeat a change that some
    // databases have not received yet.
    let widens = found.is_none_or(|found| {
        let is_same = found.hash == row.hash && found.salt == row.salt;
        is_same && row.grants.include(&found.grants) && found != row
    });
    change(io, &ToCatalog::PutGrantee(Box::new(row)), widens).await
}

/// Sends a change to the Catalog. Returns [`Error::NotEverywhere`] if some databases have not
/// received the change yet. A change that only adds permissions (`widens`) is complete without
/// these databases: if a database does not know a caller, the caller is looked up in the Catalog.
async fn change(io: &Io, message: &ToCatalog, widens: bool) -> Result<()> {
    match io.call_catalog(message).await? {
        FromCatalog::Granted { .. } if widens => Ok(()),
        FromCatalog::Granted { remaining: 0, .. }
        | FromCatalog::Dropped { existed: true, remaining: 0 } => Ok(()),
        FromCatalog::Granted { remaining, .. }
        | FromCatalog::Dropped { existed: true, remaining } => {
            Err(Error::NotEverywhere { remaining })
        }
        FromCatalog::Dropped { existed: false, .. } => Err(not_found()),
        _ => Err(Error::unexpected_reply()),
    }
}

fn invalid(message: &str) -> Error {
    QueryError::Invalid(message.to_owned()).into()
}

fn not_found() -> Error {
    invalid("user not found")
}

/// Changes the permission on a database: GRANT replaces the permission and REVOKE reduces it, as in
/// 1.x.
fn change_permission(grants: &mut Grants, grant: &GrantStatement, database: &str, gives: bool) {
    let named = |of| grant.privilege == Privilege::All || grant.privilege == of;
    let (read, write) = (named(Privilege::Read), named(Privilege::Write));
    let of_database = |known: &&mut Permission| known.database.as_deref() == Some(database);
    match grants.permissions.iter_mut().find(of_database) {
        Some(known) if gives => (known.read, known.write) = (read, write),
        Some(known) => (known.read, known.write) = (known.read && !read, known.write && !write),
        None => {
            let (read, write) = (read && gives, write && gives);
            let database = Some(database.to_owned());
            let (policy, metrics) = (None, false);
            grants.permissions.push(Permission { database, policy, read, write, metrics });
        }
    }
    grants.permissions.sort_by(|a, b| a.database.cmp(&b.database));
}

fn show_grants(grants: &Grants) -> SeriesChunk {
    let permissions = grants.permissions.iter();
    let databases = permissions.clone().map(|of| of.database.as_deref().unwrap_or_default());
    let privileges = permissions.map(|of| match (of.read, of.write) {
        (true, true) => Privilege::All.as_str(),
        (true, false) => Privilege::Read.as_str(),
        (false, true) => Privilege::Write.as_str(),
        (false, false) => "NO PRIVILEGES",
    });
    let values = [Values::String(databases.collect()), Values::String(privileges.collect())];
    SeriesChunk::of_columns(None, &["database", "privilege"], values)
}

/// The outcome of an import of tokens and users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantedAccess {
    /// The number of created tokens and users.
    pub made: u64,
    /// The number of existing tokens and users that got further permissions.
    pub widened: u64,
    /// The number of tokens and users that needed no change or have expired.
    pub unchanged: u64,
    /// The refused tokens and users, with the reasons.
    pub refused: Vec<String>,
}

/// Imports the tokens and users of another deployment in the order of `rows`. The import removes no
/// permission, and ignores ids and versions.
///
/// Two tokens are the same if their hashes are equal, even if their names differ. Two users are the
/// same if name and password are equal. If an existing user has the same name but another password,
/// the imported user gets no permissions.
pub async fn grant_access(io: &Io, rows: Vec<Grantee>) -> Result<GrantedAccess> {
    let mut given = GrantedAccess::default();
    for row in rows {
        let now_ns = io.now_ns()?;
        if row.expires_ns <= now_ns {
            given.unchanged += 1;
            continue;
        }
        let reply = io.call_catalog(&ToCatalog::Identify { keys: vec![row.key()] }).await?;
        match one(reply)? {
            Some(known) if row.user && !is_same_user(&known, &row) => {
                let reason = format!("user \"{}\" exists with another password", row.name);
                given.refused.push(reason);
            }
            Some(known) if known.grants.include(&row.grants) => given.unchanged += 1,
            Some(known) => {
                widen(io, known, &row).await?;
                given.widened += 1;
            }
            None => match free_name(io, &row).await? {
                Some(name) => {
                    import(io, Grantee { id: 0, version: 0, name, ..row }).await?;
                    given.made += 1;
                }
                None => {
                    let reason = format!("too many tokens have the name \"{}\"", row.name);
                    given.refused.push(reason);
                }
            },
        }
    }
    Ok(given)
}

async fn widen(io: &Io, known: Grantee, row: &Grantee) -> Result<()> {
    let message = ToCatalog::Grantee { user: known.user, name: known.name };
    // Another request has removed the token or user, so the client must repeat the request.
    let mut known = one(io.call_catalog(&message).await?)?.ok_or(Unavailable::Changing)?;
    known.grants.admin |= row.grants.admin;
    for permission in row.grants.permissions.iter().filter(|of| of.gives_any()) {
        add_permission(&mut known.grants, permission);
    }
    import(io, known).await
}

/// Returns the name in `row`, or that name with a number if another token has it. Returns `None` if
/// all these names are taken.
async fn free_name(io: &Io, row: &Grantee) -> Result<Option<String>> {
    if row.user {
        return Ok(Some(row.name.clone()));
    }
    for tried in 0..ACCESS_NAMES_MAX {
        let name = match tried {
            0 => row.name.clone(),
            tried => format!("{} ({})", row.name, tried + 1),
        };
        let message = ToCatalog::Grantee { user: false, name: name.clone() };
        if one(io.call_catalog(&message).await?)?.is_none() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn is_same_user(known: &Grantee, row: &Grantee) -> bool {
    (&known.name, &known.hash, &known.salt) == (&row.name, &row.hash, &row.salt)
}

fn add_permission(grants: &mut Grants, permission: &Permission) {
    let target = (&permission.database, &permission.policy);
    match grants.permissions.iter_mut().find(|of| (&of.database, &of.policy) == target) {
        Some(known) => {
            known.read |= permission.read;
            known.write |= permission.write;
            known.metrics |= permission.metrics;
        }
        None => grants.permissions.push(permission.clone()),
    }
}

async fn import(io: &Io, row: Grantee) -> Result<()> {
    change(io, &ToCatalog::PutGrantee(Box::new(row)), true).await
}

fn one(reply: FromCatalog) -> Result<Option<Grantee>> {
    match reply {
        FromCatalog::Grantees { rows, .. } | FromCatalog::Identified { found: rows, .. } => {
            Ok(rows.into_iter().next())
        }
        _ => Err(Error::unexpected_reply()),
    }
}
