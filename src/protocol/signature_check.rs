//! Asks whether an RSA key has signed a text (RS256), which the runtime's own WebCrypto checks.
//!
//! It travels like a call, as [`super::password_derivation`] does; the reply is one byte: 1 if it
//! has, else 0.

use super::call::Address;
use super::round::Request;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureCheck<'a> {
    /// The key's modulus, base64url.
    pub modulus: &'a str,
    /// Its exponent, base64url.
    pub exponent: &'a str,
    /// The signature.
    pub signature: &'a [u8],
    /// What it is said to be of.
    pub signed: &'a str,
}

impl<'a> SignatureCheck<'a> {
    /// The call that asks.
    pub fn request(&self) -> Request {
        let mut message = Vec::new();
        for part in [self.modulus.as_bytes(), self.exponent.as_bytes(), self.signature] {
            message.extend_from_slice(&(part.len() as u64).to_le_bytes());
            message.extend_from_slice(part);
        }
        message.extend_from_slice(self.signed.as_bytes());
        Request::new(Address::SignatureCheck, message)
    }

    /// Reads what [`SignatureCheck::request`] wrote; `None` for anything else.
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
    fn it_is_read_as_it_was_written() {
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
