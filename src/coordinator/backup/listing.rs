//! Lists the backups of a database, which need not be there any more.

use super::place::{self, BackupId, Listing, Mark};
use crate::coordinator::{Context, RoundMachine, Turn};
use crate::protocol::round::{Next, Replies, Round};

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedBackup {
    /// Which.
    pub id: BackupId,
    /// Everything that belongs to it was kept.
    pub is_whole: bool,
    /// Whoever makes it has not taken its mark back: nothing is deleted before that.
    pub is_begun: bool,
    /// It is being deleted.
    pub is_going: bool,
}

/// A list in progress.
#[derive(Debug)]
pub struct ListBackups {
    database: String,
    /// The mark that is asked for; `None` before the first.
    mark: Option<Mark>,
    listing: Listing,
    found: Vec<ListedBackup>,
    round: Round,
}

impl ListBackups {
    /// Lists the backups of a name.
    pub fn new(database: &str) -> Self {
        Self {
            database: database.to_owned(),
            mark: None,
            listing: Listing::default(),
            found: Vec::new(),
            round: Round::default(),
        }
    }

    fn ask(&mut self, mark: Mark) -> Turn<Vec<ListedBackup>> {
        self.mark = Some(mark);
        self.listing = Listing::of(place::marks(&self.database, mark));
        Ok(self.listing.ask())
    }

    fn add(&mut self, mark: Mark, names: &[String]) {
        for id in names.iter().filter_map(|name| BackupId::named(&self.database, name)) {
            let [is_whole, is_begun, is_going] =
                [Mark::Done, Mark::Begun, Mark::Going].map(|known| known == mark);
            match self.found.iter_mut().find(|known| known.id == id) {
                Some(known) => {
                    known.is_begun |= is_begun;
                    known.is_going |= is_going;
                }
                None => self.found.push(ListedBackup { id, is_whole, is_begun, is_going }),
            }
        }
    }
}

impl RoundMachine for ListBackups {
    type Reply = Vec<ListedBackup>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn go_on(&mut self, _: &mut Context<'_>, mut replies: Replies) -> Turn<Vec<ListedBackup>> {
        let (Some(mark), Some(reply)) = (self.mark, replies.pop()) else {
            return self.ask(Mark::Done);
        };
        let Some(names) = self.listing.learn(reply)? else { return Ok(self.listing.ask()) };
        self.add(mark, &names);
        match mark {
            Mark::Done => self.ask(Mark::Begun),
            Mark::Begun => self.ask(Mark::Going),
            Mark::Going => {
                let mut found = std::mem::take(&mut self.found);
                found.sort_by_key(|backup| backup.id.begun_s);
                Ok(Next::Reply(found))
            }
        }
    }
}
