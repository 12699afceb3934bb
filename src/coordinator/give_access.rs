//! Takes in tokens and users as somebody else has kept them: those that are not known are made,
//! those that are get the rights that they lack. Nobody ever loses one by it.
//!
//! A token is the same one where it has the same hash, whatever it is called. A user is the same
//! one where name and password are: one of that name with another password is somebody else, and
//! gets nothing.

use super::error::Error;
use super::{Context, RoundMachine, Turn};
use crate::model::grant::{Grants, Permission};
use crate::model::limits::ACCESS_NAMES_MAX;
use crate::protocol::call::Address;
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::grants::Grantee;
use crate::protocol::round::{CallResult, Next, Replies, Round};

/// What became of tokens and users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenAccess {
    /// Were made.
    pub made: u64,
    /// Were there, and got rights.
    pub widened: u64,
    /// Had all of it, or have expired.
    pub unchanged: u64,
    /// Why others got nothing, in words.
    pub refused: Vec<String>,
}

/// Tokens and users on their way in.
#[derive(Debug)]
pub struct GiveAccess {
    /// Those that are still to be taken in, the next one last.
    rows: Vec<Grantee>,
    /// Names that were tried for the next one, which another token has.
    names_tried: u32,
    stage: Stage,
    given: GivenAccess,
    round: Round,
}

/// Whose reply is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Start,
    Identify,
    /// A token that is there, with all that the Catalog has of it.
    Known,
    /// Whether a name is free.
    Name,
    /// It is stored; whether it was made.
    Put(bool),
}

impl GiveAccess {
    /// Takes `rows` in, in their order. Numbers and versions in them mean nothing here.
    pub fn new(mut rows: Vec<Grantee>) -> Self {
        rows.reverse();
        let (names_tried, stage) = (0, Stage::Start);
        Self { rows, names_tried, stage, given: GivenAccess::default(), round: Round::default() }
    }

    fn ask(&mut self, stage: Stage, message: &ToCatalog) -> Turn<GivenAccess> {
        self.stage = stage;
        Ok(Next::call(Address::Catalog, message))
    }

    fn row(&self) -> Result<&Grantee, Error> {
        self.rows.last().ok_or_else(Error::unexpected_reply)
    }

    /// Goes to the next one that has not expired.
    fn next(&mut self, context: &Context<'_>) -> Turn<GivenAccess> {
        self.names_tried = 0;
        let now_ns = context.platform.now_ns();
        while self.rows.last().is_some_and(|row| row.expires_ns <= now_ns) {
            self.rows.pop();
            self.given.unchanged += 1;
        }
        let Some(row) = self.rows.last() else {
            return Ok(Next::Reply(std::mem::take(&mut self.given)));
        };
        let keys = vec![row.key()];
        self.ask(Stage::Identify, &ToCatalog::Identify { keys })
    }

    /// The one at hand is done with.
    fn done(&mut self, context: &Context<'_>) -> Turn<GivenAccess> {
        self.rows.pop();
        self.next(context)
    }

    fn refuse(&mut self, context: &Context<'_>, why: String) -> Turn<GivenAccess> {
        self.given.refused.push(why);
        self.done(context)
    }

    fn learn_identity(
        &mut self,
        context: &Context<'_>,
        found: Option<Grantee>,
    ) -> Turn<GivenAccess> {
        let row = self.row()?.clone();
        match found {
            Some(known) if row.user && !is_same_user(&known, &row) => {
                let name = &row.name;
                self.refuse(context, format!("there is a user \"{name}\" with another password"))
            }
            Some(known) if known.grants.include(&row.grants) => {
                self.given.unchanged += 1;
                self.done(context)
            }
            Some(known) => {
                let message = ToCatalog::Grantee { user: known.user, name: known.name };
                self.ask(Stage::Known, &message)
            }
            None if row.user => self.put(true, Grantee { id: 0, version: 0, ..row }),
            None => self.ask_name(),
        }
    }

    /// What the token at hand is to be called: as it was, unless another one is.
    fn name(&self) -> Result<String, Error> {
        let name = &self.row()?.name;
        Ok(match self.names_tried {
            0 => name.clone(),
            tried => format!("{name} ({})", tried + 1),
        })
    }

    fn ask_name(&mut self) -> Turn<GivenAccess> {
        let name = self.name()?;
        self.ask(Stage::Name, &ToCatalog::Grantee { user: false, name })
    }

    fn learn_name(&mut self, context: &Context<'_>, found: Option<Grantee>) -> Turn<GivenAccess> {
        if found.is_none() {
            let (name, row) = (self.name()?, self.row()?.clone());
            return self.put(true, Grantee { id: 0, version: 0, name, ..row });
        }
        self.names_tried += 1;
        if self.names_tried < ACCESS_NAMES_MAX {
            return self.ask_name();
        }
        let why = format!("there are too many tokens called \"{}\"", self.row()?.name);
        self.refuse(context, why)
    }

    /// Gives one that is there what it lacks.
    fn widen(&mut self, found: Option<Grantee>) -> Turn<GivenAccess> {
        // Gone meanwhile: who asks again finds that out.
        let mut known = found.ok_or(crate::protocol::host::Unavailable::Changing)?;
        let wanted = &self.row()?.grants;
        known.grants.admin |= wanted.admin;
        for permission in wanted.permissions.iter().filter(|held| held.read || held.write) {
            give(&mut known.grants, permission);
        }
        self.put(false, known)
    }

    fn put(&mut self, is_new: bool, row: Grantee) -> Turn<GivenAccess> {
        self.ask(Stage::Put(is_new), &ToCatalog::PutGrantee(Box::new(row)))
    }

    fn learn_put(&mut self, context: &mut Context<'_>, reply: CallResult) -> Turn<GivenAccess> {
        // Whatever became of it, who was unknown may be known now.
        context.cache.callers.forget_refused();
        match envelope::decode_reply::<FromCatalog>(reply)? {
            FromCatalog::Granted { .. } => {}
            FromCatalog::Refused(refusal) => return Err(Error::Catalog(refusal)),
            FromCatalog::Unavailable(why) => return Err(why.into()),
            _ => return Err(Error::unexpected_reply()),
        }
        match self.stage == Stage::Put(true) {
            true => self.given.made += 1,
            false => self.given.widened += 1,
        }
        self.done(context)
    }
}

/// Whether name and password are those of one user.
fn is_same_user(known: &Grantee, row: &Grantee) -> bool {
    (&known.name, &known.hash, &known.salt) == (&row.name, &row.hash, &row.salt)
}

/// Adds a right to those that there are.
fn give(grants: &mut Grants, right: &Permission) {
    let place = (&right.database, &right.policy);
    match grants.permissions.iter_mut().find(|held| (&held.database, &held.policy) == place) {
        Some(held) => {
            held.read |= right.read;
            held.write |= right.write;
        }
        None => grants.permissions.push(right.clone()),
    }
}

/// The one row of a page of tokens or users, if there is one.
fn one(reply: CallResult) -> Result<Option<Grantee>, Error> {
    match envelope::decode_reply::<FromCatalog>(reply)? {
        FromCatalog::Grantees { rows, .. } | FromCatalog::Identified { found: rows, .. } => {
            Ok(rows.into_iter().next())
        }
        FromCatalog::Unavailable(why) => Err(why.into()),
        _ => Err(Error::unexpected_reply()),
    }
}

impl RoundMachine for GiveAccess {
    type Reply = GivenAccess;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, context: &mut Context<'_>, mut replies: Replies) -> Turn<GivenAccess> {
        let Some(reply) = replies.pop() else { return self.next(context) };
        match self.stage {
            Stage::Start => Err(Error::unexpected_reply()),
            Stage::Identify => self.learn_identity(context, one(reply)?),
            Stage::Known => self.widen(one(reply)?),
            Stage::Name => self.learn_name(context, one(reply)?),
            Stage::Put(_) => self.learn_put(context, reply),
        }
    }
}
