//! Detects when the first few series of a list are complete.

/// The characters that 1.x escapes in a tag value of a series key.
const ESCAPED: [u8; 3] = [b',', b'=', b' '];

/// Counts the listed series that certainly precede all series not yet read.
///
/// A list is sorted by text: the first tag's name and value with escaped characters, then the next
/// tags. The scan reads series in the order of unescaped values. The orders can differ only if one
/// value is a prefix of another, or if a character is escaped. Otherwise, the first differing
/// character determines both orders.
pub(super) struct FirstSeries {
    wanted: u64,
    /// The number of series that certainly precede all unread series.
    sure: u64,
    /// Values whose position is still uncertain, with the number of series for each value.
    open: Vec<(String, u64)>,
}

impl FirstSeries {
    pub(super) fn new(wanted: u64) -> Self {
        Self { wanted, sure: 0, open: Vec::new() }
    }

    /// Whether the first `wanted` series precede all series with this or a later value of the first
    /// tag.
    pub(super) fn are_before(&mut self, value: &str) -> bool {
        let sure = &mut self.sure;
        self.open.retain(|(held, series)| {
            let is_sure = is_before(held.as_bytes(), value.as_bytes());
            *sure += if is_sure { *series } else { 0 };
            !is_sure
        });
        self.sure >= self.wanted
    }

    pub(super) fn add(&mut self, value: &str) {
        // Series with escaped values never count as certain. Series without the tag do not count
        // either, because their text begins with another tag.
        if value.bytes().any(|byte| ESCAPED.contains(&byte)) {
            return;
        }
        match self.open.last_mut().filter(|(held, _)| held == value) {
            Some((_, series)) => *series += 1,
            None => self.open.push((value.to_owned(), 1)),
        }
    }
}

/// Whether every text that begins with `value` or a greater value sorts after the texts that begin
/// with `held`. `held` has no characters to escape. An escaped character begins with a backslash,
/// which is greater than the character.
fn is_before(held: &[u8], value: &[u8]) -> bool {
    let differing = held.iter().zip(value).find(|(held, value)| held != value);
    differing.is_some_and(|(held, value)| held < value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_values_delay_first_series() {
        let mut first = FirstSeries::new(3);
        for value in ["", "a", "a b", "a,b", "a1", "a1"] {
            assert!(!first.are_before(value), "{value}");
            first.add(value);
        }
        assert!(!first.are_before("a2"), "two of a1 are, and `a` is not");
        assert!(first.are_before("b"));
        assert!(first.are_before("ba"));
    }

    /// Returns the text that `SHOW SERIES` prints.
    fn text(values: &[String; 2]) -> String {
        let mut text = String::new();
        for (name, value) in ["t", "u"].iter().zip(values).filter(|(_, value)| !value.is_empty()) {
            text += &format!(",{name}=");
            for character in value.chars() {
                let is_escaped = ESCAPED.iter().any(|&byte| char::from(byte) == character);
                text.extend(is_escaped.then_some('\\'));
                text.push(character);
            }
        }
        text
    }

    #[test]
    fn first_series_include_textual_minimum() {
        let mut stopped = 0;
        for seed in 0..3_000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut value = |most: usize| -> String {
                (0..rng.usize(..=most))
                    .map(|_| ['a', 'b', '!', ' ', ',', '=', '~'][rng.usize(..7)])
                    .collect()
            };
            let mut series: Vec<[String; 2]> = (0..30).map(|_| [value(3), value(1)]).collect();
            series.sort();
            series.dedup();
            let wanted = rng.usize(1..9);
            let mut first = FirstSeries::new(wanted as u64);
            let listed: Vec<&[String; 2]> = series
                .iter()
                .take_while(|values| {
                    let goes_on = !first.are_before(&values[0]);
                    first.add(&values[0]);
                    goes_on
                })
                .collect();
            stopped += usize::from(listed.len() < series.len());
            let mut by_text: Vec<&[String; 2]> = series.iter().collect();
            by_text.sort_by_key(|values| text(values));
            let missing = by_text.iter().take(wanted).find(|values| !listed.contains(values));
            assert_eq!(missing, None, "seed {seed}: {wanted} of {series:?}");
        }
        assert!(stopped > 1_000, "{stopped}");
    }
}
