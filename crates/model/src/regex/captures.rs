//! Replaces texts with the help of capturing groups.

use regex_automata::nfa::thompson::NFA;
use regex_automata::nfa::thompson::pikevm::{Cache, PikeVM};
use regex_automata::util::captures::Captures;

use super::syntax;
use super::{InvalidRegex, RegexWork, check_len};
use crate::limits::REGEX_COMPILED_BYTES_MAX;

/// A compiled regular expression with its capturing groups.
#[derive(Debug)]
pub struct Replacer {
    vm: PikeVM,
    cache: Cache,
    captures: Captures,
    /// The names of the groups from the second group on. The first group is the whole match.
    names: Vec<String>,
    work: RegexWork,
}

impl Replacer {
    /// Compiles `source`, which has Go's syntax. Matches use up the steps of `work`.
    ///
    /// # Errors
    /// [`InvalidRegex`] if the syntax is wrong or the regex is too large.
    pub fn new(source: &str, work: &RegexWork) -> Result<Self, InvalidRegex> {
        check_len(source)?;
        let translated = syntax::translate(source, true)?;
        let config = NFA::config().nfa_size_limit(Some(REGEX_COMPILED_BYTES_MAX));
        let nfa = NFA::compiler().configure(config).build(&translated.rust);
        let nfa = nfa.map_err(|_| InvalidRegex::TooLarge)?;
        let vm = PikeVM::new_from_nfa(nfa).map_err(|_| InvalidRegex::TooLarge)?;
        let (cache, captures) = (vm.create_cache(), vm.create_captures());
        Ok(Self { vm, cache, captures, names: translated.captures, work: work.clone() })
    }

    /// Returns the template with the captured texts, or `None` if the regex does not match. The
    /// template has Go's syntax: `$1`, `${1}`, `$name`, `${name}` and `$$`.
    ///
    /// # Errors
    /// [`InvalidRegex::TooSlow`] if the matches exceed the steps of `work`.
    pub fn replace(&mut self, text: &str, template: &str) -> Result<Option<String>, InvalidRegex> {
        let states = self.vm.get_nfa().states().len() as u64;
        let steps = (text.len() as u64 + 1).saturating_mul(states);
        if !self.work.spend(steps) {
            return Err(InvalidRegex::TooSlow);
        }
        self.vm.captures(&mut self.cache, text, &mut self.captures);
        Ok(self.captures.is_match().then(|| self.expand(text, template)))
    }

    fn expand(&self, text: &str, mut template: &str) -> String {
        let mut expanded = String::new();
        while let Some((before, after)) = template.split_once('$') {
            expanded.push_str(before);
            template = after;
            if let Some(after) = template.strip_prefix('$') {
                expanded.push('$');
                template = after;
            } else if let Some((name, after)) = group_name(template) {
                expanded.push_str(self.captured(text, name));
                template = after;
            } else {
                expanded.push('$');
            }
        }
        expanded.push_str(template);
        expanded
    }

    /// Returns the text of a group, or an empty text if there is no such group.
    fn captured<'t>(&self, text: &'t str, name: &str) -> &'t str {
        let is_number = name.bytes().all(|c| c.is_ascii_digit());
        let span = |group| self.captures.get_group(group).and_then(|span| text.get(span.range()));
        if is_number {
            return name.parse().ok().and_then(span).unwrap_or_default();
        }
        let groups = self.names.iter().enumerate().filter(|(_, known)| *known == name);
        groups.filter_map(|(i, _)| span(i + 1)).next().unwrap_or_default()
    }
}

/// Splits `name}…` or `name…` at the end of the name.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (name, after) = match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => text.split_at_checked(text.find(|c| !is_word(c)).unwrap_or(text.len()))?,
    };
    (!name.is_empty() && name.chars().all(is_word)).then_some((name, after))
}
