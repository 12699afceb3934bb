//! Verifies all checksums in bounded steps.

use super::Shard;
use super::columns::Columns;
use super::loaded::Loaded;
use super::manifest::Number;
use super::refusal::Refusal;
use super::values::ValueRow;
use crate::protocol::shard::VerifyPage;
use crate::store::{Store, Table, row};

/// The number of encoded bytes after which a step ends. A step completes its last value.
const BYTES_PER_STEP: u64 = 8_000_000;

impl<S: Store> Shard<S> {
    /// Checks stored blocks, starting with the value number `resume`, or with the first block if
    /// `resume` is `None`. Small rows and the WAL are checked first, then values by number. The
    /// check may skip values that a merge writes during the check, because the numbers of these
    /// values can be lower. Every block is read from the store again, because data in memory may be
    /// from before the damage.
    ///
    /// # Errors
    /// Returns [`Refusal::Stale`] if the shard is not open, [`Refusal::Damaged`] if the state row
    /// is unreadable, and [`Refusal::Store`].
    pub fn verify(&mut self, resume: Option<u64>) -> Result<VerifyPage, Refusal> {
        match self.load().map(drop) {
            // The shard is closed, because its group is being dropped.
            Err(Refusal::Stale) if self.loaded.is_some() => return Ok(VerifyPage::default()),
            Err(refusal) => return Err(refusal),
            Ok(()) => {}
        }
        let loaded = Loaded::read(&self.store, &self.budget, self.full_bytes, self.event_ns)?;
        let mut loaded = loaded.ok_or(Refusal::Stale)?;
        let mut page = VerifyPage::default();
        if resume.is_none() {
            verify_rows(&mut loaded, &mut page)?;
        }
        let from = Number(resume.unwrap_or_default());
        let manifest = loaded.manifest();
        let later: Vec<Number> = manifest.numbers().filter(|number| *number >= from).collect();
        for number in later {
            if page.bytes >= BYTES_PER_STEP {
                page.resume = Some(number.0);
                break;
            }
            let row = ValueRow::of(manifest, number);
            match verify_value(&*loaded.store, row, &mut page) {
                Err(Refusal::Damaged { block }) => page.damaged.push(block),
                other => other?,
            }
        }
        Ok(page)
    }
}

fn verify_value<S: Store>(store: &S, row: ValueRow, page: &mut VerifyPage) -> Result<(), Refusal> {
    let directory = row.directory(store)?;
    let body = row.body(store)?;
    page.blocks += 1 + directory.blocks().count() as u64;
    page.bytes += body.len() as u64;
    directory.check(&body).map_err(|reason| row.damaged(reason).into())
}

/// Checks the WAL and the rows of the table `Schema`, which describe the columns. Also reports
/// damage that was found when heads were read.
fn verify_rows<S: Store>(loaded: &mut Loaded<S>, page: &mut VerifyPage) -> Result<(), Refusal> {
    page.blocks += loaded.log.wal.frames().len() as u64;
    loaded.log.each_frame(&*loaded.store, |_, _, bytes| {
        page.bytes += bytes.len() as u64;
        Ok(())
    })?;
    page.damaged = loaded.damaged_blocks();
    row::each(&*loaded.store, Table::Schema, &mut |key, head| {
        page.blocks += 1;
        page.bytes += head.len() as u64;
        if let Err(reason) = Columns::check_row(head) {
            page.damaged.push(format!("columns of measurement {key}: {reason}"));
        }
        Ok(())
    })?;
    Ok(())
}
