//! Overlays pages that have times in common, so that the last write wins. A row that is in several
//! sources is picked from the newest source, and older sources fill its nulls (see
//! [`super::join`]).

use super::cursor::{Direction, PageKeys};
use super::picks::Picks;
use tidemark_model::bug::OrBug;

/// The approximate maximum number of rows in an overlay. The text of all rows of 64 pages would
/// take too much memory.
pub(super) const ROWS_MAX: usize = 16_384;
/// The time of a page without remaining rows, after every other time in both directions.
const THROUGH: i64 = i64::MAX;

/// Overlays pages of a series, ordered from the newest source to the oldest, and removes the
/// overlaid rows from the pages. The overlay stops after about [`ROWS_MAX`] rows, or when the first
/// page ends, because later rows may be incomplete.
pub(super) fn overlay(pages: &mut [(u16, PageKeys)], direction: Direction) -> Picks {
    let mut picks = Picks::new(direction);
    let mut heads: Vec<Head<'_>> =
        pages.iter().map(|(source, page)| Head::new(*source, page, direction)).collect();
    let complete = heads.iter().map(Head::last).min().unwrap_or(THROUGH);
    while picks.len() < ROWS_MAX {
        let least = Least::of(&heads);
        if least.time > complete || least.time == THROUGH {
            break;
        }
        let Some((newest, older)) = heads.get_mut(least.at..).and_then(<[_]>::split_first_mut)
        else {
            break;
        };
        newest.take(least.until(complete), &mut picks);
        if least.shared {
            let same = older.iter_mut().filter(|head| head.time == least.time);
            same.for_each(|head| head.take_older(&mut picks));
        }
    }
    let taken: Vec<usize> = heads.iter().map(|head| head.taken).collect();
    for ((_, page), taken) in pages.iter_mut().zip(taken) {
        page.advance(taken, direction);
    }
    picks
}

struct Head<'a> {
    source: u16,
    page: &'a PageKeys,
    times_ns: &'a [i64],
    direction: Direction,
    taken: usize,
    /// The converted time of the next row, or [`THROUGH`].
    time: i64,
    /// The position of the page in the picks, after its first row was picked.
    place: Option<u32>,
}

impl<'a> Head<'a> {
    fn new(source: u16, page: &'a PageKeys, direction: Direction) -> Self {
        let times_ns = page.times_ns();
        let mut head =
            Self { source, page, times_ns, direction, taken: 0, time: THROUGH, place: None };
        head.time = head.time_at(0);
        head
    }

    #[inline]
    fn time_at(&self, at: usize) -> i64 {
        let place = match self.direction {
            Direction::Ascending => Some(at),
            Direction::Descending => self.times_ns.len().checked_sub(at + 1),
        };
        let time_ns = place.and_then(|place| self.times_ns.get(place));
        time_ns.map_or(THROUGH, |&time_ns| self.direction.turn(time_ns))
    }

    fn last(&self) -> i64 {
        self.time_at(self.times_ns.len().saturating_sub(1))
    }

    /// Takes the rows up to `until`. The next row must not be after `until`.
    #[inline]
    fn take(&mut self, until: i64, picks: &mut Picks) {
        let start = self.taken;
        let mut end = start + 1;
        self.time = self.time_at(end);
        while self.time <= until && self.time != THROUGH {
            end += 1;
            self.time = self.time_at(end);
        }
        self.taken = end;
        let place = self.place(picks);
        let first = self.row(start).min(self.row(end - 1));
        let len = self.times_ns.len();
        match self.direction {
            Direction::Ascending => {
                let times = self.times_ns.get(start..end).or_bug();
                picks.push(place, first, times.iter().copied());
            }
            Direction::Descending => {
                let times = self.times_ns.get(len - end..len - start).or_bug();
                picks.push(place, first, times.iter().rev().copied());
            }
        }
    }

    /// Takes the next row as an older version of the last picked row, which has the same time.
    fn take_older(&mut self, picks: &mut Picks) {
        let place = self.place(picks);
        picks.push_older(place, self.row(self.taken));
        self.taken += 1;
        self.time = self.time_at(self.taken);
    }

    fn place(&mut self, picks: &mut Picks) -> u32 {
        *self.place.get_or_insert_with(|| picks.place_of(self.source, self.page))
    }

    fn row(&self, at: usize) -> u32 {
        let (rows, at) = (self.page.rows(), at as u32);
        match self.direction {
            Direction::Ascending => rows.start + at,
            Direction::Descending => rows.end - 1 - at,
        }
    }
}

struct Least {
    time: i64,
    at: usize,
    shared: bool,
    next: i64,
}

impl Least {
    #[inline]
    fn of(heads: &[Head<'_>]) -> Self {
        let mut least = Self { time: THROUGH, at: 0, shared: false, next: THROUGH };
        for (at, &Head { time, .. }) in heads.iter().enumerate() {
            if time < least.time {
                least = Self { time, at, shared: false, next: least.time };
            } else if time == least.time {
                least.shared = true;
            } else if time < least.next {
                least.next = time;
            }
        }
        least
    }

    /// Returns the time up to which the rows of the page at `at` are complete and in no other page.
    fn until(&self, complete: i64) -> i64 {
        if self.shared { self.time } else { complete.min(self.next.saturating_sub(1)) }
    }
}
