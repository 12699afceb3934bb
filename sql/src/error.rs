//! Defines the errors of queries and their HTTP statuses.

use std::error::Error;
use std::fmt;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;

const MESSAGE_CHARS_MAX: usize = 2_000;

/// The error of a failed query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// The HTTP status of the response.
    pub(crate) status: u16,
    /// The message for the client.
    pub message: String,
}

impl QueryError {
    /// Creates an error about the statement or its values, for example a division by zero.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }

    /// Creates an error for a bug in this crate.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { status: 500, message: message.into() }
    }

    /// Creates an error about a limit of memory or work. A smaller query may succeed.
    pub fn exhausted(message: impl Into<String>) -> Self {
        Self { status: 507, message: message.into() }
    }

    /// Returns the HTTP status of the response.
    pub fn status(&self) -> u16 {
        self.status
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
            DataFusionError::ResourcesExhausted(_) => Self::exhausted(format!(
                "the query exceeds the available memory: narrow the time range or aggregate first \
                 ({message})"
            )),
            DataFusionError::Internal(_) => Self::internal(message),
            _ => Self::invalid(message),
        }
    }
}

/// Returns this crate's error in the chain of causes of a DataFusion error.
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
