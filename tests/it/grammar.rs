//! Generates random statements from a grammar. Tests of any language can use it.

/// The name and the alternatives of a rule. `<x>` stands for one text generated from rule `x`.
/// `<x*,>` is a list of texts of rule `x`, separated by `,`.
pub(crate) type Rule = (&'static str, &'static [&'static str]);

const DEPTH_MAX: usize = 12;

/// Generates a text from the rule `name`, with at most about `bytes_max` bytes.
pub(crate) fn generate(
    grammar: &[Rule],
    name: &str,
    random: &mut fastrand::Rng,
    bytes_max: usize,
) -> String {
    let mut text = String::new();
    write(grammar, name, (random, bytes_max, 0), &mut text);
    text
}

fn write(
    grammar: &[Rule],
    name: &str,
    (random, bytes_max, depth): (&mut fastrand::Rng, usize, usize),
    text: &mut String,
) {
    let (_, alternatives) = grammar.iter().find(|(rule, _)| *rule == name).unwrap();
    // At the limits, chooses the first alternative, which must end the recursion in each rule.
    let is_over = depth >= DEPTH_MAX || text.len() >= bytes_max;
    let choice = if is_over { 0 } else { random.usize(..alternatives.len()) };
    let mut rest = alternatives[choice];
    while let Some((before, after)) = rest.split_once('<') {
        let Some((part, behind)) = after.split_once('>').filter(|(part, _)| is_part(part)) else {
            text.push_str(before);
            text.push('<');
            rest = after;
            continue;
        };
        text.push_str(before);
        rest = behind;
        let (part, separator) = part.split_once('*').unwrap_or((part, ""));
        let many = after.starts_with(&format!("{part}*"));
        // Generates mostly short lists, and some lists that are as long as `bytes_max` permits.
        let count = match (many, random.usize(..8)) {
            (false, _) => 1,
            (true, 0) => 4_000,
            (true, 1) => random.usize(1..100),
            (true, _) => random.usize(1..4),
        };
        let repeats = random.bool();
        let mut last = String::new();
        for at in 0..count {
            if at > 0 && text.len() >= bytes_max {
                break;
            }
            if at > 0 {
                text.push_str(separator);
            }
            if at == 0 || !repeats {
                let start = text.len();
                write(grammar, part, (&mut *random, bytes_max, depth + 1), text);
                last = text[start..].to_owned();
            } else {
                text.push_str(&last);
            }
        }
    }
    text.push_str(rest);
}

/// Whether the text between `<` and `>` is the name of a rule.
fn is_part(part: &str) -> bool {
    part.chars().next().is_some_and(|first| first.is_ascii_lowercase())
}
