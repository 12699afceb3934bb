//! Derives a key from a password with PBKDF2-HMAC-SHA-256 in the runtime's WebCrypto. The reply to
//! the call is the key's bytes.

use super::call::Address;
use super::round::Request;

/// The input of a key derivation.
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
}
