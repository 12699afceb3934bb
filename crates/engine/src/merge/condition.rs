//! Evaluates conditions on the tag values of a series.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use tidemark_model::regex::Pattern;

/// A condition on tag values. The condition refers to tags by their position in the measurement's
/// tag order. When the order grows, the condition must be rebuilt.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names describe the items")]
pub enum TagCondition {
    /// A constant result for every series.
    Constant(bool),
    /// All conditions are true.
    All(Vec<TagCondition>),
    /// At least one condition is true.
    Any(Vec<TagCondition>),
    /// A comparison of two texts for equality.
    Equal {
        left: Text,
        right: Text,
        /// Whether the texts must differ.
        negated: bool,
    },
    /// A comparison of a text with several texts.
    In {
        text: Text,
        texts: BTreeSet<Box<str>>,
        /// Whether the condition is negated: true if the text equals none of `texts`.
        negated: bool,
    },
    /// A match of a text with a regular expression.
    Matches {
        text: Text,
        /// The regular expression.
        pattern: CachedRegex,
        /// Whether the condition is negated: true if the text does not match.
        negated: bool,
    },
}

/// An operand of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// The value of the tag at this position, or the empty string if the series lacks the tag.
    Tag(usize),
    /// A constant text.
    Literal(Box<str>),
    /// The empty string, as the value of a tag that is not in the tag order.
    Missing,
}

/// A regular expression that caches its last match. Series are sorted, so the values of their first
/// tags repeat.
#[derive(Clone, Debug)]
pub struct CachedRegex {
    pattern: Rc<Pattern>,
    last: RefCell<Option<(String, bool)>>,
}

impl CachedRegex {
    /// Creates the expression with an empty cache.
    pub fn new(pattern: Rc<Pattern>) -> Self {
        Self { pattern, last: RefCell::default() }
    }

    fn is_match(&self, text: &str) -> bool {
        let mut last = self.last.borrow_mut();
        match &mut *last {
            Some((known, matches)) if known == text => *matches,
            Some((known, matches)) => {
                known.clear();
                known.push_str(text);
                *matches = self.pattern.is_match(text);
                *matches
            }
            None => last.insert((text.to_owned(), self.pattern.is_match(text))).1,
        }
    }
}

impl TagCondition {
    /// Joins two conditions with AND if `all` is set, and otherwise with OR. Comparisons of one
    /// text with several constants become one comparison, because the condition of a delete may
    /// list thousands of constants.
    pub fn join(all: bool, left: Self, right: Self) -> Self {
        let (mut list, right) = (left.into_list(all), right.into_list(all));
        for condition in right {
            // Several "not in" joined with AND are one "not in", and several "in" joined with OR
            // are one "in".
            let same = list.iter_mut().find(|known| match (known, &condition) {
                (
                    Self::In { text: a, negated: not_a, .. },
                    Self::In { text: b, negated: not_b, .. },
                ) => a == b && *not_a == all && *not_b == all,
                _ => false,
            });
            match (same, condition) {
                (Some(Self::In { texts, .. }), Self::In { texts: more, .. }) => texts.extend(more),
                (_, condition) => list.push(condition),
            }
        }
        if all { Self::All(list) } else { Self::Any(list) }
    }

    fn into_list(self, all: bool) -> Vec<Self> {
        match self {
            Self::All(list) if all => list,
            Self::Any(list) if !all => list,
            condition => vec![condition],
        }
    }

    /// Returns the number of comparisons.
    pub fn comparisons(&self) -> usize {
        match self {
            Self::All(list) | Self::Any(list) => list.iter().map(Self::comparisons).sum(),
            _ => 1,
        }
    }

    /// Whether the condition is true for a series with these values, from
    /// [`super::key::SeriesKey::values`]. Splitting a key takes longer than evaluating most
    /// conditions, so the caller splits the key once for all conditions.
    pub fn holds(&self, values: &[Cow<'_, str>]) -> bool {
        match self {
            Self::Constant(holds) => *holds,
            Self::All(all) => all.iter().all(|condition| condition.holds(values)),
            Self::Any(any) => any.iter().any(|condition| condition.holds(values)),
            Self::Equal { left, right, negated } => {
                (left.of(values) == right.of(values)) != *negated
            }
            Self::In { text, texts, negated } => texts.contains(text.of(values)) != *negated,
            Self::Matches { text, pattern, negated } => {
                pattern.is_match(text.of(values)) != *negated
            }
        }
    }
}

impl Text {
    fn of<'a>(&'a self, values: &'a [Cow<'_, str>]) -> &'a str {
        match self {
            Self::Tag(place) => values.get(*place).map_or("", |value| value),
            Self::Literal(text) => text,
            Self::Missing => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_model::regex::RegexWork;

    #[test]
    fn conditions_compare_tags_literals_and_regexes() {
        type Values = Vec<Cow<'static, str>>;
        let key =
            |values: &[&'static str]| -> Values { values.iter().map(|v| (*v).into()).collect() };
        let equal = |left, right, negated| TagCondition::Equal { left, right, negated };
        let literal = |text: &str| Text::Literal(text.into());
        let host = equal(Text::Tag(0), literal("a"), false);
        assert!(host.holds(&key(&["a", "b"])) && !host.holds(&key(&["b"])));
        let lacks = equal(Text::Tag(2), literal(""), false);
        assert!(lacks.holds(&key(&["a"])) && !lacks.holds(&key(&["a", "", "c"])));
        assert!(equal(Text::Missing, Text::Tag(1), false).holds(&key(&["a"])));
        let differ = equal(Text::Tag(0), Text::Tag(1), true);
        assert!(differ.holds(&key(&["a", "b"])) && !differ.holds(&key(&["a", "a"])));
        let pattern =
            || CachedRegex::new(Rc::new(Pattern::new("^a+$", &RegexWork::limited()).unwrap()));
        for negated in [false, true] {
            let matches = TagCondition::Matches { text: Text::Tag(1), pattern: pattern(), negated };
            for (value, is) in [("a", true), ("aa", true), ("aa", true), ("b", false), ("", false)]
            {
                assert_eq!(matches.holds(&key(&["x", value])), is != negated, "{value}");
            }
        }
        let both = TagCondition::All(vec![host.clone(), differ.clone()]);
        assert!(both.holds(&key(&["a", "b"])) && !both.holds(&key(&["a", "a"])));
        let any = TagCondition::Any(vec![host, lacks]);
        assert!(any.holds(&key(&["b", "c"])) && !any.holds(&key(&["b", "c", "d"])));
        assert!(TagCondition::Constant(true).holds(&key(&[])));
        assert!(!TagCondition::Any(Vec::new()).holds(&key(&[])));
    }

    #[test]
    fn comparisons_of_one_text_are_joined() {
        let compare = |tag, literal: &str, negated| TagCondition::In {
            text: Text::Tag(tag),
            texts: BTreeSet::from([literal.into()]),
            negated,
        };
        for (all, negated, comparisons) in
            [(true, true, 2), (false, false, 2), (true, false, 4), (false, true, 4)]
        {
            let of_tag = |tag| {
                let (a, b) = (compare(tag, "a", negated), compare(tag, "b", negated));
                TagCondition::join(all, a, b)
            };
            let joined = TagCondition::join(all, of_tag(0), of_tag(1));
            assert_eq!(joined.comparisons(), comparisons, "{all} {negated}");
            for values in [["a", "a"], ["a", "c"], ["c", "c"], ["b", "a"]] {
                let each = |value: &str| ["a", "b"].map(|text| (value == text) != negated);
                let each = [each(values[0]), each(values[1])].concat();
                let expected = if all { !each.contains(&false) } else { each.contains(&true) };
                let values = values.map(Cow::from);
                assert_eq!(joined.holds(&values), expected, "{all} {negated} {values:?}");
            }
        }
    }
}
