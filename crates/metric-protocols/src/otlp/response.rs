//! The responses of OTLP, as protobuf and JSON.

use prost::Message;
use serde_json::json;

/// The encoding of a request and of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

/// `ExportMetricsServiceResponse`
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `ExportMetricsPartialSuccess`
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_data_points: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

impl Encoding {
    /// Returns the media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// Returns the body of a successful response. `rejected` contains the number of rejected data
    /// points and a message.
    pub fn success(self, rejected: Option<(u64, String)>) -> Vec<u8> {
        let rejected =
            rejected.map(|(points, message)| (i64::try_from(points).unwrap_or(i64::MAX), message));
        match (self, rejected) {
            (Self::Json, None) => b"{}".to_vec(),
            (Self::Json, Some((points, message))) => {
                // Protobuf's JSON represents 64-bit integers as strings.
                let rejected =
                    json!({"rejectedDataPoints": points.to_string(), "errorMessage": message});
                json!({ "partialSuccess": rejected }).to_string().into_bytes()
            }
            (Self::Protobuf, rejected) => {
                let partial_success = rejected.map(|(rejected_data_points, error_message)| {
                    PartialSuccess { rejected_data_points, error_message }
                });
                ExportResponse { partial_success }.encode_to_vec()
            }
        }
    }

    /// Returns the body of an error with this gRPC code.
    pub fn error(self, code: i32, message: String) -> Vec<u8> {
        match self {
            Self::Json => json!({"code": code, "message": message}).to_string().into_bytes(),
            Self::Protobuf => Status { code, message }.encode_to_vec(),
        }
    }
}
