//! Stores prepared statements in their handles. A handle contains the statement, its bound
//! parameters and a signature. Any instance can therefore execute the statement, and a client
//! cannot forge a handle.

use hmac::{Hmac, KeyInit, Mac};
use prost::Message;
use sha2::Sha256;

use super::messages::QueryParam;
use crate::api::error::{ApiError, ApiResult};
use crate::api::settings::Settings;

/// The signature precedes the signed data.
const SIGNATURE_BYTES: usize = 32;
/// The prefix of the signed data, so that a signature is valid for prepared statements only.
const CONTEXT: &[u8] = b"tidemark: a prepared statement of Flight SQL, 1";

#[derive(Clone, PartialEq, Message)]
pub(super) struct Prepared {
    /// The text, with each `?` replaced by `$1`, `$2` and so on.
    #[prost(string, tag = "1")]
    pub(super) query: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) params: Vec<QueryParam>,
}

impl Prepared {
    pub(super) fn handle(&self, settings: &Settings) -> ApiResult<Vec<u8>> {
        let statement = self.encode_to_vec();
        let signing = macs(settings, &statement).next();
        let signing = signing.ok_or_else(|| {
            ApiError::Internal(
                "the server cannot sign the handle, because no admin token is configured"
                    .to_owned(),
            )
        })?;
        let mut handle = signing.finalize().into_bytes().to_vec();
        handle.extend(statement);
        Ok(handle)
    }

    pub(super) fn of_handle(handle: &[u8], settings: &Settings) -> ApiResult<Self> {
        let known = handle.split_at_checked(SIGNATURE_BYTES).filter(|(signature, statement)| {
            macs(settings, statement).any(|mac| mac.verify_slice(signature).is_ok())
        });
        let text = "this server did not sign the handle of the prepared statement: prepare the \
                    statement again";
        let wrong = || ApiError::Invalid(text.to_owned());
        let (_, statement) = known.ok_or_else(wrong)?;
        Self::decode(statement).map_err(|_| wrong())
    }
}

/// During a rotation two admin tokens are valid, and the first token signs.
fn macs<'a>(
    settings: &'a Settings,
    statement: &'a [u8],
) -> impl Iterator<Item = Hmac<Sha256>> + 'a {
    settings.admin_tokens.iter().filter_map(move |token| {
        let mut mac = Hmac::<Sha256>::new_from_slice(token.as_key()).ok()?;
        mac.update(CONTEXT);
        mac.update(statement);
        Some(mac)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(tokens: [&str; 2]) -> Settings {
        let given = |name: &str| match name {
            "ADMIN_TOKEN" => Some(tokens[0].to_owned()),
            "ADMIN_TOKEN_NEXT" => Some(tokens[1].to_owned()),
            _ => None,
        };
        Settings::read(given).unwrap()
    }

    #[test]
    fn prepared_handles_are_authenticated() {
        let [one, two, none] =
            [["number-one-of-them", ""], ["number-two-of-them", "number-one-of-them"], ["", ""]];
        let prepared = Prepared { query: "SELECT $1".into(), params: Vec::new() };
        let handle = prepared.handle(&settings(one)).unwrap();
        assert_eq!(Prepared::of_handle(&handle, &settings(one)), Ok(prepared.clone()));
        assert_eq!(Prepared::of_handle(&handle, &settings(two)), Ok(prepared.clone()));
        let other = settings(["number-two-of-them", ""]);
        assert!(Prepared::of_handle(&handle, &other).is_err());
        assert!(prepared.handle(&settings(none)).is_err());
        for at in 0..handle.len() {
            let mut forged = handle.clone();
            forged[at] ^= 1;
            assert!(Prepared::of_handle(&forged, &settings(one)).is_err(), "byte {at}");
            assert!(Prepared::of_handle(&handle[..at], &settings(one)).is_err(), "cut at {at}");
        }
        let unsigned = prepared.encode_to_vec();
        assert!(Prepared::of_handle(&unsigned, &settings(one)).is_err());
    }
}
