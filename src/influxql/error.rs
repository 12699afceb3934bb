//! Why a text is not InfluxQL, in 1.x's words.

/// Where a token starts. Printed counting from one, as 1.x does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// Lines before it.
    pub line: u32,
    /// Characters before it on its line.
    pub char: u32,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, char {}", u64::from(self.line) + 1, u64::from(self.char) + 1)
    }
}

/// Why a text was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Another token stands there than the grammar wants.
    #[error("found {found}, expected {} at {position}", .expected.join(", "))]
    Unexpected {
        /// The token as written.
        found: String,
        /// What the grammar wants, in 1.x's order.
        expected: Vec<&'static str>,
        /// Where.
        position: Position,
    },
}
