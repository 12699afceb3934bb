//! Lists how a call ends: gRPC's codes, and the text beside them.

use crate::model::limits::GRPC_MESSAGE_BYTES_MAX;

/// The codes that are used here, by gRPC's names and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Code {
    Ok = 0,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    /// What a status of HTTP is to a client of gRPC: `tidemark flight` maps them alike.
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

/// A text as a trailer has it: of UTF-8 whatever is not printable ASCII as `%XX`. What is long is
/// cut.
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
