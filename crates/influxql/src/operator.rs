//! The binary operators and their precedence.

use std::fmt;

/// Declares [`BinaryOp`] with the text of each operator.
macro_rules! operators {
    ($($variant:ident $text:literal,)*) => {
        /// A binary operator.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the table below contains the text of each operator")]
        pub enum BinaryOp { $($variant,)* }

        impl BinaryOp {
            /// Returns the operator's text. `AND` and `OR` are in upper case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

operators! {
    Add "+", Sub "-", Mul "*", Div "/", Mod "%", BitwiseAnd "&", BitwiseOr "|", BitwiseXor "^",
    And "AND", Or "OR", Eq "=", Ne "!=", EqRegex "=~", NeRegex "!~", Lt "<", Le "<=", Gt ">",
    Ge ">=",
}

impl BinaryOp {
    /// Returns the precedence. Higher values bind tighter. Equal operators associate to the left.
    pub const fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Eq
            | Self::Ne
            | Self::EqRegex
            | Self::NeRegex
            | Self::Lt
            | Self::Le
            | Self::Gt
            | Self::Ge => 3,
            Self::Add | Self::Sub | Self::BitwiseOr | Self::BitwiseXor => 4,
            Self::Mul | Self::Div | Self::Mod | Self::BitwiseAnd => 5,
        }
    }

    pub(crate) const fn is_condition(self) -> bool {
        self.precedence() <= 3
    }
}

impl fmt::Display for BinaryOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
