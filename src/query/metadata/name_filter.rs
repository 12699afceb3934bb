//! Matches measurements against the sources in FROM, and tag keys against `WITH KEY`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::influxql::ast::{Measurement, MeasurementName, Source, TagKeyFilter};
use crate::model::regex::Pattern;
use crate::query::error::QueryError;

pub(super) enum NameTest {
    Name(String),
    Matches(Pattern),
}

impl NameTest {
    pub(super) fn new(measurement: &Measurement) -> Result<Self, QueryError> {
        Ok(match &measurement.name {
            MeasurementName::Name(name) => Self::Name(name.clone()),
            MeasurementName::Regex(regex) => Self::Matches(Pattern::new(regex.as_str())?),
        })
    }

    pub(super) fn accepts(&self, name: &str) -> bool {
        match self {
            // As in 1.x, an empty name matches every measurement.
            Self::Name(wanted) => wanted.is_empty() || wanted == name,
            Self::Matches(pattern) => pattern.is_match(name),
        }
    }
}

/// The measurements in FROM, grouped by the policy as written, without repetitions.
pub(super) struct SourceTests<'a>(BTreeMap<Option<&'a str>, SourceTest<'a>>);

/// The names and regexes for one policy. Each regex is stored under its text.
#[derive(Default)]
pub(super) struct SourceTest<'a> {
    names: BTreeSet<&'a str>,
    patterns: BTreeMap<&'a str, Rc<Pattern>>,
}

impl<'a> SourceTests<'a> {
    pub(super) fn new(sources: &'a [Source]) -> Result<Self, QueryError> {
        let mut tests: BTreeMap<Option<&str>, SourceTest<'_>> = BTreeMap::new();
        let mut compiled: BTreeMap<&str, Rc<Pattern>> = BTreeMap::new();
        for source in sources {
            let Source::Measurement(measurement) = source else { continue };
            let test = tests.entry(measurement.policy.as_deref()).or_default();
            match &measurement.name {
                MeasurementName::Name(name) => {
                    test.names.insert(name);
                }
                MeasurementName::Regex(regex) => {
                    let text = regex.as_str();
                    if !compiled.contains_key(text) {
                        compiled.insert(text, Rc::new(Pattern::new(text)?));
                    }
                    test.patterns
                        .extend(compiled.get_key_value(text).map(|(k, v)| (*k, Rc::clone(v))));
                }
            }
        }
        Ok(Self(tests))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the sources whose policy, as written, satisfies `is_here`.
    pub(super) fn within(&self, is_here: impl Fn(Option<&str>) -> bool) -> SourceTest<'a> {
        let mut all = SourceTest::default();
        for (_, test) in self.0.iter().filter(|(policy, _)| is_here(**policy)) {
            all.names.extend(&test.names);
            all.patterns.extend(test.patterns.iter().map(|(k, v)| (*k, Rc::clone(v))));
        }
        all
    }
}

impl SourceTest<'_> {
    /// Whether all sources have an empty name.
    pub(super) fn has_only_empty_names(&self) -> bool {
        self.patterns.is_empty() && self.names.iter().eq([&""])
    }

    pub(super) fn accepts(&self, name: &str) -> bool {
        self.names.contains(name) || self.patterns.values().any(|pattern| pattern.is_match(name))
    }
}

#[derive(Clone, Debug)]
pub(super) enum KeyFilter {
    /// Accepts the keys in the list if the flag is set, and all other keys otherwise.
    Names(Vec<String>, bool),
    /// Accepts the matching keys if the flag is set, and all other keys otherwise.
    Matches(Pattern, bool),
}

impl KeyFilter {
    pub(super) fn new(filter: &TagKeyFilter) -> Result<Self, QueryError> {
        Ok(match filter {
            TagKeyFilter::Equal(key) => Self::Names(vec![key.clone()], true),
            TagKeyFilter::NotEqual(key) => Self::Names(vec![key.clone()], false),
            TagKeyFilter::In(keys) => Self::Names(keys.clone(), true),
            TagKeyFilter::Match(regex) => Self::Matches(Pattern::new(regex.as_str())?, true),
            TagKeyFilter::NotMatch(regex) => Self::Matches(Pattern::new(regex.as_str())?, false),
        })
    }

    pub(super) fn accepts(&self, key: &str) -> bool {
        match self {
            Self::Names(keys, wanted) => keys.iter().any(|known| known == key) == *wanted,
            Self::Matches(pattern, wanted) => pattern.is_match(key) == *wanted,
        }
    }
}
