//! Calls of the runtime's WebCrypto: the key of a password, and the check of a signature.

use super::call::Address;
use super::round::Request;

/// The input of a key derivation with PBKDF2-HMAC-SHA-256. The reply to the call is the key's
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Derivation<'a> {
    /// The number of iterations.
    pub iterations: u32,
    /// The salt in its stored text form. The bytes of this text are the salt.
    pub salt: &'a str,
    /// The password in clear text. The password is never logged and never sent to an object.
    pub password: &'a str,
}

impl<'a> Derivation<'a> {
    /// Returns the call that derives the key.
    pub fn request(&self) -> Request {
        let mut message = self.iterations.to_le_bytes().to_vec();
        message.extend_from_slice(&(self.salt.len() as u64).to_le_bytes());
        message.extend_from_slice(self.salt.as_bytes());
        message.extend_from_slice(self.password.as_bytes());
        Request::new(Address::KeyDerivation, message)
    }

    /// Decodes a message of [`Derivation::request`]. Returns `None` for any other message.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let (iterations, rest) = message.split_first_chunk()?;
        let (salt_bytes, rest) = rest.split_first_chunk()?;
        let salt_bytes = usize::try_from(u64::from_le_bytes(*salt_bytes)).ok()?;
        let (salt, password) = std::str::from_utf8(rest).ok()?.split_at_checked(salt_bytes)?;
        Some(Self { iterations: u32::from_le_bytes(*iterations), salt, password })
    }
}

/// The input of a check of an RSA signature of a text (RS256). The reply to the call is one byte: 1
/// for a valid signature, and 0 otherwise.
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
            let length = u64::from_le_bytes(*rest.split_off(..8)?.as_array()?);
            rest.split_off(..usize::try_from(length).ok()?)
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
    fn password_derivation_round_trips() {
        let derivation = Derivation { iterations: 7, salt: "s\u{fc}", password: "p\0w" };
        let request = derivation.request();
        assert_eq!(request.to, Address::KeyDerivation);
        assert_eq!(Derivation::read(&request.message), Some(derivation));
        for cut in 0..12 + 3 {
            assert_eq!(Derivation::read(&request.message[..cut]), None, "{cut}");
        }
    }

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
