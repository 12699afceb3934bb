//! Reports bugs, and converts them into errors.
//!
//! Code that finds an impossible state reports a bug and continues with a default. [`catch`] then
//! returns an error instead of the operation's result. Inner loops therefore need no `Result`.
//! SQLite handles failed allocations in this way (`mallocFailed`).

use std::cell::Cell;
use std::panic::Location;

/// A bug, with the source location that reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("internal error at {}:{}: please report this bug", file(place), place.line())]
pub struct Bug {
    place: &'static Location<'static>,
}

/// Returns the crate's folder and the path within its folder `src`, without the directories of the
/// build machine.
fn file(place: &'static Location<'static>) -> String {
    let path = place.file();
    let Some((folder, file)) = path.rsplit_once("/src/") else { return path.to_owned() };
    let folder = folder.rsplit('/').next().unwrap_or_default();
    format!("{folder}/{file}")
}

#[derive(Clone, Copy)]
enum State {
    Outside,
    NoBug,
    Found(Bug),
}

thread_local! {
    static STATE: Cell<State> = const { Cell::new(State::Outside) };
    static IS_TOLERATED: Cell<bool> = const { Cell::new(false) };
}

/// Runs an operation, which must not wait, and returns the first [`Bug`] that it reported.
pub fn catch<T>(operation: impl FnOnce() -> T) -> Result<T, Bug> {
    let outer = STATE.replace(State::NoBug);
    let result = operation();
    match STATE.replace(outer) {
        State::Found(bug) => Err(bug),
        State::Outside | State::NoBug => Ok(result),
    }
}

/// Returns the first [`Bug`] that the running operation reported, as an error. Code calls this
/// function before an effect that [`catch`] cannot undo, such as a write to the store.
pub fn check() -> Result<(), Bug> {
    match STATE.get() {
        State::Found(bug) => Err(bug),
        State::Outside | State::NoBug => Ok(()),
    }
}

/// Reports a bug at the caller's source location. Panics if debug assertions are enabled.
#[cold]
#[inline(never)]
#[track_caller]
pub fn report() {
    debug_assert!(IS_TOLERATED.get(), "a bug");
    if let State::NoBug = STATE.get() {
        STATE.set(State::Found(Bug { place: Location::caller() }));
    }
}

/// Reports a bug unless the condition is true.
#[inline]
#[track_caller]
pub fn ensure(holds: bool) {
    if !holds {
        report();
    }
}

/// Runs a test that reports bugs. During the test, debug assertions do not panic.
pub fn tolerate<T>(test: impl FnOnce() -> T) -> T {
    let before = IS_TOLERATED.replace(true);
    let result = test();
    IS_TOLERATED.set(before);
    result
}

/// A value that always exists in correct code.
pub trait OrBug<T> {
    /// Returns the value. If the value is missing, [reports](report) a bug and returns the default.
    fn or_bug(self) -> T;
}

impl<T: Default> OrBug<T> for Option<T> {
    #[inline]
    #[track_caller]
    fn or_bug(self) -> T {
        match self {
            Some(value) => value,
            None => {
                report();
                T::default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[usize]) -> i64 {
        rows.iter().map(|&row| [1, 2, 3].get(row).copied().or_bug()).sum()
    }

    #[test]
    fn bug_error_names_source_line() {
        assert_eq!(catch(|| sum(&[0, 2])), Ok(4));
        let bug = tolerate(|| catch(|| sum(&[0, 3, 4]))).unwrap_err();
        let line = line!() - 7;
        let text = format!("internal error at model/bug.rs:{line}: please report this bug");
        assert_eq!(bug.to_string(), text);
        assert_eq!(catch(|| sum(&[1])), Ok(2));
    }

    #[test]
    fn bug_check_sees_own_operation() {
        let nested = || {
            let inner = catch(|| (sum(&[9]), check()));
            (inner.is_err(), check())
        };
        assert_eq!(tolerate(|| catch(nested)), Ok((true, Ok(()))));
        let later = || (sum(&[9]), check().is_err());
        assert!(tolerate(|| catch(|| assert_eq!(later(), (0, true)))).is_err());
    }

    #[test]
    #[should_panic(expected = "a bug")]
    fn uncaught_bug_fails_its_test() {
        sum(&[3]);
    }
}
