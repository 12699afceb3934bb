//! Defines gRPC's status codes and the encoding of status messages.

use crate::model::limits::GRPC_MESSAGE_BYTES_MAX;

/// The codes that this server and `tidemark flight` use, with gRPC's names and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    /// Maps an HTTP status of this server to a gRPC code.
    pub fn of_http(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            405 | 415 | 501 => Self::Unimplemented,
            408 | 503 => Self::Unavailable,
            409 => Self::AlreadyExists,
            413 | 429 | 507 => Self::ResourceExhausted,
            504 => Self::DeadlineExceeded,
            400 | 422 => Self::InvalidArgument,
            _ => Self::Internal,
        }
    }
}

/// Encodes UTF-8 bytes outside of printable ASCII as `%XX`. Truncates long texts.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len().min(GRPC_MESSAGE_BYTES_MAX));
    for character in text.chars() {
        let before = encoded.len();
        match character {
            '%' => encoded.push_str("%25"),
            ' '..='~' => encoded.push(character),
            character => {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    encoded.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        if encoded.len() > GRPC_MESSAGE_BYTES_MAX {
            encoded.truncate(before);
            break;
        }
    }
    encoded
}
