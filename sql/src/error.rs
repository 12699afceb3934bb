//! Why a query has no answer, and whose fault that is.

use std::error::Error;
use std::fmt;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;

/// Characters of a message that are shown.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Whoever asked: the text, its values, what it divides by.
    Asked,
    /// Whoever asked, by asking for less at once.
    Memory,
    /// The data could not be read; the status is that of whoever was to read it.
    Source(u16),
    /// Nobody but us.
    Internal,
}

/// A query that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// Who can mend it.
    pub fault: Fault,
    /// What is said about it.
    pub message: String,
}

impl QueryError {
    /// What is wrong with what was asked.
    pub fn asked(message: impl Into<String>) -> Self {
        Self { fault: Fault::Asked, message: message.into() }
    }

    /// What went wrong here.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { fault: Fault::Internal, message: message.into() }
    }

    /// The HTTP status that says so.
    pub fn status(&self) -> u16 {
        match self.fault {
            Fault::Asked => 400,
            Fault::Memory => 507,
            Fault::Source(status) => status,
            Fault::Internal => 500,
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for QueryError {}

impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        Self::External(Box::new(error))
    }
}

impl From<ArrowError> for QueryError {
    fn from(error: ArrowError) -> Self {
        DataFusionError::from(error).into()
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        if let Some(own) = own_error(&error) {
            return own.clone();
        }
        let message = shorten(error.strip_backtrace());
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self {
                fault: Fault::Memory,
                message: format!(
                    "the query needs more memory than there is: narrow the time or aggregate \
                     first ({message})"
                ),
            },
            DataFusionError::Internal(_) => Self { fault: Fault::Internal, message },
            _ => Self { fault: Fault::Asked, message },
        }
    }
}

/// The error of this crate that DataFusion carries.
fn own_error(error: &DataFusionError) -> Option<&QueryError> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(own) = error.downcast_ref::<QueryError>() {
            return Some(own);
        }
        next = error.source();
    }
    None
}

fn shorten(message: String) -> String {
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        None => message,
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
    }
}
