//! Matches regular expressions in the syntax of Go and InfluxQL. Go and Rust differ in syntax,
//! errors and `\d \s \w \b`, so this module parses Go's syntax and translates it to Rust's.

mod captures;
mod class;
mod ranges;
mod syntax;
mod syntax_error;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{NFA, WhichCaptures};

use crate::configurable_limits::Exceeded;
use crate::limits::{
    REGEX_BYTES_MAX, REGEX_BYTES_PER_UNIT, REGEX_CACHE_BYTES_MAX, REGEX_COMPILED_BYTES_MAX,
    REGEX_PROPERTIES_MAX, REGEX_STATES_WORK_MAX, REGEX_STEPS_MAX, REGEX_UNICODE_RANGES_MAX,
};

pub use captures::Replacer;
pub use syntax_error::{InvalidSyntax, SyntaxErrorKind};

/// A match builds the states of a DFA while it reads the text. If the cache of states is too small,
/// the match clears the cache and builds states again. After this many clears, a match that reads
/// fewer than [`BYTES_PER_STATE_MIN`] bytes per state continues without a DFA.
const CACHE_CLEARS_MIN: usize = 3;
const BYTES_PER_STATE_MIN: usize = 10;
/// The size of the cache of a large regex, as a multiple of its compiled size. The cache can
/// contain all states of an alternation of texts.
const CACHE_PER_COMPILED: usize = 8;
/// Like [`CACHE_PER_COMPILED`], for deletes. The cache can contain all states of a list of texts
/// with up to 64 classes of bytes.
const DELETE_CACHE_PER_COMPILED: usize = 16;

/// A regular expression in Go's syntax, which matches anywhere in the text unless it is anchored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Regex {
    source: String,
}

/// The reason why a regular expression is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRegex {
    /// A syntax error of Go.
    #[error("error parsing regexp: {0}")]
    Syntax(#[from] InvalidSyntax),
    /// The source exceeds [`REGEX_BYTES_MAX`].
    #[error("error parsing regexp: {0}")]
    TooLong(Exceeded),
    /// The compiled regex would take more than [`REGEX_COMPILED_BYTES_MAX`], or the regex nests too
    /// deeply.
    #[error(
        "error parsing regexp: the compiled expression exceeds {REGEX_COMPILED_BYTES_MAX} bytes: \
         use fewer and shorter repetitions"
    )]
    TooLarge,
    /// The regex has more than [`REGEX_PROPERTIES_MAX`] Unicode classes, or more than
    /// [`REGEX_UNICODE_RANGES_MAX`] ranges of characters.
    #[error(
        "error parsing regexp: the expression has more than {REGEX_PROPERTIES_MAX} Unicode \
         classes, or more than {REGEX_UNICODE_RANGES_MAX} ranges of non-ASCII characters, counted \
         once for each repetition: use fewer classes, and fewer and shorter repetitions"
    )]
    TooManyRanges,
    /// Matching needs more than [`REGEX_STEPS_MAX`] steps.
    #[error(
        "a regular expression needs more than {REGEX_STEPS_MAX} steps for these texts: use fewer \
         and shorter repetitions, or anchor it with ^"
    )]
    TooSlow,
    /// Matching may need many steps, or the states of the regex need too much memory or work. Only
    /// [`Patterns::of_new_delete`] rejects such a regex.
    #[error(
        "a delete matches the regular expression with the tags of every series, and this \
         expression may need many steps: list the texts with = and OR, use fewer and shorter \
         repetitions, or anchor it with ^"
    )]
    NotAlwaysFast,
}

impl Regex {
    /// Checks and copies `source`. Syntax errors have Go's wording.
    pub fn new(source: &str) -> Result<Self, InvalidRegex> {
        Self::compiled(source).map(|(regex, _)| regex)
    }

    /// Compiles like [`Regex::new`], and also returns the size of the compiled regex, in bytes.
    pub fn compiled(source: &str) -> Result<(Self, usize), InvalidRegex> {
        let pattern = Pattern::new(source, &RegexWork::limited())?;
        Ok((Self { source: source.to_owned() }, pattern.compiled_bytes()))
    }

    /// Returns Go's source text without the enclosing slashes. A `/` is not escaped.
    pub fn as_str(&self) -> &str {
        &self.source
    }
}

/// A compiled regular expression that only reports whether a text matches.
#[derive(Clone, Debug)]
pub struct Pattern {
    dfa: DFA,
    cache: RefCell<Cache>,
    vm: PikeVM,
    work: RegexWork,
}

/// The remaining steps for slow matches, shared by several patterns. Most matches are fast: they
/// build a state machine that reads each byte once. A match that needs too many states is slow: it
/// takes one step per byte and instruction of the regex.
#[derive(Clone, Debug)]
pub struct RegexWork {
    steps_left: Rc<Cell<u64>>,
}

impl RegexWork {
    /// Allows [`REGEX_STEPS_MAX`] steps.
    pub fn limited() -> Self {
        Self { steps_left: Rc::new(Cell::new(REGEX_STEPS_MAX)) }
    }

    /// Allows any number of steps.
    pub fn unlimited() -> Self {
        Self { steps_left: Rc::new(Cell::new(u64::MAX)) }
    }

    /// Allows [`REGEX_STEPS_MAX`] steps from now on.
    pub fn renew(&self) {
        self.steps_left.set(REGEX_STEPS_MAX);
    }

    /// Checks that no match so far exceeded the steps, because such a match may be wrong.
    ///
    /// # Errors
    /// [`InvalidRegex::TooSlow`] if the matches exceeded the limit.
    pub fn check(&self) -> Result<(), InvalidRegex> {
        if self.steps_left.get() == 0 { Err(InvalidRegex::TooSlow) } else { Ok(()) }
    }

    fn spend(&self, steps: u64) -> bool {
        let left = self.steps_left.get();
        self.steps_left.set(if left == u64::MAX { left } else { left.saturating_sub(steps) });
        self.steps_left.get() > 0
    }
}

impl Pattern {
    /// Compiles `source`, which has Go's syntax. Errors have Go's texts, and slow matches use up
    /// the steps of `work`. The compiled regex has at most [`REGEX_COMPILED_BYTES_MAX`].
    pub fn new(source: &str, work: &RegexWork) -> Result<Self, InvalidRegex> {
        Self::with_cache(source, work, CACHE_PER_COMPILED, true)
    }

    fn with_cache(
        source: &str,
        work: &RegexWork,
        cache_per_compiled: usize,
        limits_ranges: bool,
    ) -> Result<Self, InvalidRegex> {
        check_len(source)?;
        let rust = syntax::translate(source, limits_ranges)?.rust;
        let config = NFA::config()
            .nfa_size_limit(Some(REGEX_COMPILED_BYTES_MAX))
            .which_captures(WhichCaptures::None);
        let nfa = NFA::compiler().configure(config).build(&rust);
        let nfa = nfa.map_err(|_| InvalidRegex::TooLarge)?;
        let config = DFA::config()
            .cache_capacity(REGEX_CACHE_BYTES_MAX.max(cache_per_compiled * nfa.memory_usage()))
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(CACHE_CLEARS_MIN))
            .minimum_bytes_per_state(Some(BYTES_PER_STATE_MIN));
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa.clone());
        let dfa = dfa.map_err(|_| InvalidRegex::TooLarge)?;
        let vm = PikeVM::new_from_nfa(nfa).map_err(|_| InvalidRegex::TooLarge)?;
        Ok(Self { cache: RefCell::new(dfa.create_cache()), dfa, vm, work: work.clone() })
    }

    /// Returns the size of the compiled regex, in bytes.
    pub fn compiled_bytes(&self) -> usize {
        self.vm.get_nfa().memory_usage()
    }

    /// Whether the regex matches anywhere in `text`. After the limit of [`RegexWork`], the result
    /// is wrong, and [`RegexWork::check`] fails.
    pub fn is_match(&self, text: &str) -> bool {
        let input = Input::new(text).earliest(true);
        let found = self.dfa.try_search_fwd(&mut self.cache.borrow_mut(), &input);
        found.map_or_else(|_| self.is_slow_match(text), |found| found.is_some())
    }

    fn is_slow_match(&self, text: &str) -> bool {
        let states = self.vm.get_nfa().states().len() as u64;
        let steps = (text.len() as u64 + 1).saturating_mul(states);
        self.work.spend(steps) && self.vm.is_match(&mut self.vm.create_cache(), text)
    }

    /// Returns an error if a match has exceeded the limit of steps, because its result may then be
    /// wrong: see [`RegexWork::check`].
    ///
    /// # Errors
    /// [`InvalidRegex::TooSlow`] if the matches exceeded the limit.
    pub fn check(&self) -> Result<(), InvalidRegex> {
        self.work.check()
    }

    /// Returns the memory of the compiled regex and of the states that its matches have built, in
    /// bytes.
    fn memory_bytes(&self) -> usize {
        self.compiled_bytes() + self.cache.borrow().memory_usage()
    }

    /// Builds all states of the regex. Returns the work: the memory of the states in bytes,
    /// multiplied by the number of classes of bytes. Returns `None` if the work exceeds `work_max`,
    /// or if the states exceed the cache. If the cache has room for all states, no match is slow.
    fn work_of_states(&self, work_max: u64) -> Option<u64> {
        let (dfa, mut cache) = (&self.dfa, self.dfa.create_cache());
        let classes = dfa.byte_classes();
        let start = dfa.start_state_forward(&mut cache, &Input::new("")).ok()?;
        let (mut known, mut open) = (BTreeSet::from([start]), vec![start]);
        let work = |cache: &Cache| cache.memory_usage() as u64 * classes.alphabet_len() as u64;
        while let Some(state) = open.pop() {
            // A match ends at the first state of these kinds.
            if state.is_match() || state.is_dead() {
                continue;
            }
            for unit in classes.representatives(..) {
                let next = match unit.as_u8() {
                    Some(byte) => dfa.next_state(&mut cache, state, byte),
                    None => dfa.next_eoi_state(&mut cache, state),
                };
                let next = next.ok()?;
                // A cleared cache no longer contains `state`.
                if cache.clear_count() > 0 || work(&cache) > work_max {
                    return None;
                }
                if known.insert(next) {
                    open.push(next);
                }
            }
        }
        Some(work(&cache))
    }
}

fn check_len(source: &str) -> Result<(), InvalidRegex> {
    if source.len() <= REGEX_BYTES_MAX {
        return Ok(());
    }
    let (fault, name) = ("the regular expression is too long", "REGEX_BYTES_MAX");
    let exceeded = Exceeded::fixed(fault, name, REGEX_BYTES_MAX, source.len());
    Err(InvalidRegex::TooLong(exceeded))
}

/// Compiled regular expressions by their source, which share their remaining steps.
#[derive(Debug)]
pub struct Patterns {
    known: RefCell<BTreeMap<String, Rc<Pattern>>>,
    /// The size, in bytes, of the expressions that were compiled since the last call of
    /// [`Patterns::take_work`].
    compiled_bytes: Cell<usize>,
    work: RegexWork,
    cache_per_compiled: usize,
    /// Whether [`REGEX_PROPERTIES_MAX`] and [`REGEX_UNICODE_RANGES_MAX`] apply.
    limits_ranges: bool,
    /// The remaining work of [`Pattern::work_of_states`]. `None` accepts every regex.
    states_work_left: Option<Cell<u64>>,
}

impl Patterns {
    /// Allows [`REGEX_STEPS_MAX`] steps for all matches together.
    pub fn limited() -> Self {
        Self {
            known: RefCell::default(),
            compiled_bytes: Cell::default(),
            work: RegexWork::limited(),
            cache_per_compiled: CACHE_PER_COMPILED,
            limits_ranges: true,
            states_work_left: None,
        }
    }

    /// Creates an empty list for the expressions of stored deletes, whose matches must be correct
    /// after any number of steps. Release 0.1.0 stored deletes without the limits of Unicode
    /// classes and ranges.
    pub fn of_deletes() -> Self {
        let (work, cache_per_compiled) = (RegexWork::unlimited(), DELETE_CACHE_PER_COMPILED);
        Self { work, cache_per_compiled, limits_ranges: false, ..Self::limited() }
    }

    /// Creates an empty list for the expressions of a new delete. The list accepts only expressions
    /// whose matches by [`Patterns::of_deletes`] are fast for all texts. This check may take
    /// [`REGEX_STATES_WORK_MAX`] for all expressions together.
    pub fn of_new_delete() -> Self {
        let states_work_left = Some(Cell::new(REGEX_STATES_WORK_MAX));
        Self { limits_ranges: true, states_work_left, ..Self::of_deletes() }
    }

    /// Returns the steps that the matches of all expressions share.
    pub fn work(&self) -> &RegexWork {
        &self.work
    }

    /// Returns the compiled expression. The first call compiles the expression.
    pub fn get(&self, source: &str) -> Result<Rc<Pattern>, InvalidRegex> {
        if let Some(known) = self.known.borrow().get(source) {
            return Ok(Rc::clone(known));
        }
        let (cache, limits_ranges) = (self.cache_per_compiled, self.limits_ranges);
        let pattern = Pattern::with_cache(source, &self.work, cache, limits_ranges)?;
        self.compiled_bytes.set(self.compiled_bytes.get() + pattern.compiled_bytes());
        let pattern = Rc::new(pattern);
        if let Some(left) = &self.states_work_left {
            let work = pattern.work_of_states(left.get()).ok_or(InvalidRegex::NotAlwaysFast)?;
            left.set(left.get() - work);
        }
        self.known.borrow_mut().insert(source.to_owned(), Rc::clone(&pattern));
        Ok(pattern)
    }

    /// Returns the work of compiling expressions since the last call. One unit of work takes about
    /// 50 ns.
    pub fn take_work(&self) -> usize {
        self.compiled_bytes.take() / REGEX_BYTES_PER_UNIT
    }

    /// Removes all expressions if they take more than `bytes_max` together.
    pub fn clear_above(&self, bytes_max: usize) {
        let bytes: usize = self.known.borrow().values().map(|known| known.memory_bytes()).sum();
        if bytes > bytes_max {
            self.known.borrow_mut().clear();
        }
    }
}

impl fmt::Display for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source.replace('/', "\\/"))
    }
}

#[cfg(test)]
mod tests;
