//! Checks an RSA signature of a text (RS256) in the runtime's WebCrypto. The reply to the call is
//! one byte: 1 for a valid signature, and 0 otherwise.

use super::call::Address;
use super::round::Request;

/// The input of a signature check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureCheck<'a> {
    /// The key's modulus, base64url.
    pub modulus: &'a str,
    /// The key's exponent, base64url.
    pub exponent: &'a str,
    /// The signature.
    pub signature: &'a [u8],
    /// The signed text.
    pub signed: &'a str,
}

impl<'a> SignatureCheck<'a> {
    /// Returns the call that checks the signature.
    pub fn request(&self) -> Request {
        let mut message = Vec::new();
        for part in [self.modulus.as_bytes(), self.exponent.as_bytes(), self.signature] {
            message.extend_from_slice(&(part.len() as u64).to_le_bytes());
            message.extend_from_slice(part);
        }
        message.extend_from_slice(self.signed.as_bytes());
        Request::new(Address::SignatureCheck, message)
    }

    /// Decodes a message of [`SignatureCheck::request`]. Returns `None` for any other message.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let mut rest = message;
        let mut part = || {
            let (length, behind) = rest.split_first_chunk()?;
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            let (part, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(part)
        };
        let (modulus, exponent, signature) = (part()?, part()?, part()?);
        Some(Self {
            modulus: std::str::from_utf8(modulus).ok()?,
            exponent: std::str::from_utf8(exponent).ok()?,
            signature,
            signed: std::str::from_utf8(rest).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_check_round_trips() {
        let check = SignatureCheck {
            modulus: "n\u{fc}",
            exponent: "AQAB",
            signature: &[0, 255],
            signed: "head.claims",
        };
        let request = check.request();
        assert_eq!(request.to, Address::SignatureCheck);
        assert_eq!(SignatureCheck::read(&request.message), Some(check));
        let parts = request.message.len() - check.signed.len();
        for cut in 0..parts {
            assert_eq!(SignatureCheck::read(&request.message[..cut]), None, "{cut}");
        }
    }
}
