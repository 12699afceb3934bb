//! Matches measurements against the sources in FROM and the condition of SHOW MEASUREMENTS, and tag
//! keys against `WITH KEY`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::error::{Result, invalid};
use tidemark_influxql::ast::{
    BinaryOp, Expr, Measurement, MeasurementName, Regex, Source, TagKeyFilter,
};
use tidemark_model::regex::{Pattern, Patterns};

/// A comparison with a name or a tag value.
#[derive(Clone, Debug)]
pub(super) enum NameTest {
    In(BTreeSet<String>),
    Matches(Rc<Pattern>),
}

impl NameTest {
    pub(super) fn equal(name: &str) -> Self {
        Self::In([name.to_owned()].into())
    }

    pub(super) fn matches(regex: &Regex, patterns: &Patterns) -> Result<Self> {
        Ok(Self::Matches(patterns.get(regex.as_str())?))
    }

    /// Creates the test of `WITH MEASUREMENT`. As in 1.x, an empty name matches every measurement.
    pub(super) fn of_measurement(
        measurement: &Measurement,
        patterns: &Patterns,
    ) -> Result<Option<Self>> {
        match &measurement.name {
            MeasurementName::Name(name) if name.is_empty() => Ok(None),
            MeasurementName::Name(name) => Ok(Some(Self::equal(name))),
            MeasurementName::Regex(regex) => Self::matches(regex, patterns).map(Some),
        }
    }

    pub(super) fn accepts(&self, name: &str) -> bool {
        match self {
            Self::In(names) => names.contains(name),
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
    pub(super) fn new(sources: &'a [Source], patterns: &Patterns) -> Result<Self> {
        let mut tests: BTreeMap<Option<&str>, SourceTest<'_>> = BTreeMap::new();
        for source in sources {
            let Source::Measurement(measurement) = source else { continue };
            let test = tests.entry(measurement.policy.as_deref()).or_default();
            match &measurement.name {
                MeasurementName::Name(name) => {
                    test.names.insert(name);
                }
                MeasurementName::Regex(regex) => {
                    let text = regex.as_str();
                    test.patterns.insert(text, patterns.get(text)?);
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
            all.patterns.extend(test.patterns.clone());
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

/// Accepts the keys that pass the test if `wanted` is set, and all other keys otherwise.
#[derive(Clone, Debug)]
pub(super) struct KeyFilter {
    test: NameTest,
    wanted: bool,
}

impl KeyFilter {
    pub(super) fn new(filter: &TagKeyFilter, patterns: &Patterns) -> Result<Self> {
        let (test, wanted) = match filter {
            TagKeyFilter::Equal(key) => (NameTest::equal(key), true),
            TagKeyFilter::NotEqual(key) => (NameTest::equal(key), false),
            TagKeyFilter::In(keys) => (NameTest::In(keys.iter().cloned().collect()), true),
            TagKeyFilter::Match(regex) => (NameTest::matches(regex, patterns)?, true),
            TagKeyFilter::NotMatch(regex) => (NameTest::matches(regex, patterns)?, false),
        };
        Ok(Self { test, wanted })
    }

    pub(super) fn accepts(&self, key: &str) -> bool {
        self.test.accepts(key) == self.wanted
    }
}

#[derive(Clone, Debug)]
enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    /// The position in [`MeasurementFilter::leaves`].
    Leaf(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) key: String,
    pub(super) test: NameTest,
    negated: bool,
}

/// The condition of SHOW MEASUREMENTS, which selects measurements, not series, as in 1.x
/// (`MeasurementNamesByExpr`).
///
/// `host = 'a'` selects each measurement that has a series with `host` equal to `a`. `host != 'a'`
/// selects each measurement that has the tag `host` but no such series. AND and OR combine sets of
/// measurements.
#[derive(Clone, Debug)]
pub(super) struct MeasurementFilter {
    root: Filter,
    pub(super) leaves: Vec<Leaf>,
}

impl MeasurementFilter {
    pub(super) fn new(expr: &Expr, patterns: &Patterns) -> Result<Self> {
        let mut leaves = Vec::new();
        let root = build(expr, &mut leaves, patterns)?;
        Ok(Self { root, leaves })
    }

    /// Whether the filter accepts a measurement. For each comparison with a tag, `seen` contains
    /// whether the measurement has the tag, and whether a value of the tag matches.
    pub(super) fn accepts(&self, name: &str, seen: &[(bool, bool)]) -> bool {
        self.evaluate(&self.root, name, seen)
    }

    fn evaluate(&self, filter: &Filter, name: &str, seen: &[(bool, bool)]) -> bool {
        let is = |filter| self.evaluate(filter, name, seen);
        match filter {
            Filter::And(left, right) => is(left) && is(right),
            Filter::Or(left, right) => is(left) || is(right),
            Filter::Leaf(index) => match (self.leaves.get(*index), seen.get(*index)) {
                (Some(leaf), _) if leaf.key == "_name" => leaf.test.accepts(name) != leaf.negated,
                (Some(leaf), Some(&(present, hit))) => present && hit != leaf.negated,
                _ => false,
            },
        }
    }
}

fn build(expr: &Expr, leaves: &mut Vec<Leaf>, patterns: &Patterns) -> Result<Filter> {
    match expr {
        Expr::Paren(inner) => build(inner, leaves, patterns),
        Expr::Binary { op: op @ (BinaryOp::And | BinaryOp::Or), left, right } => {
            let join = if *op == BinaryOp::And { Filter::And } else { Filter::Or };
            let left = build(left, leaves, patterns)?;
            Ok(join(Box::new(left), Box::new(build(right, leaves, patterns)?)))
        }
        Expr::Binary { op, left, right } => {
            use BinaryOp::{Eq, EqRegex, Ne, NeRegex};
            if !matches!(op, Eq | Ne | EqRegex | NeRegex) {
                return invalid("invalid tag comparison operator");
            }
            let Expr::VarRef { name, .. } = &**left else {
                return invalid(format!("left side of '{op}' must be a tag key"));
            };
            let test = match (op, &**right) {
                (Eq | Ne, Expr::StringLiteral(text)) => NameTest::equal(text),
                (Eq | Ne, _) => {
                    return invalid(format!("right side of '{op}' must be a tag value string"));
                }
                (_, Expr::Regex(regex)) => NameTest::matches(regex, patterns)?,
                _ => return invalid(format!("right side of '{op}' must be a regular expression")),
            };
            let negated = matches!(op, Ne | NeRegex);
            leaves.push(Leaf { key: name.clone(), test, negated });
            Ok(Filter::Leaf(leaves.len() - 1))
        }
        // 1.x prints the value in Go's syntax.
        Expr::BooleanLiteral(value) => invalid(format!("&influxql.BooleanLiteral{{Val:{value}}}")),
        other => invalid(other.to_string()),
    }
}
