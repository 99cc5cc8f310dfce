//! Stream ids, and the locators inside those that we mint.

use alloc::sync::Arc;
use core::fmt;
use core::hash::Hasher;

use minicbor::data::Type;
use minicbor::decode::{Decode, Decoder, Error};
use minicbor::encode::{Encode, Encoder, Write};
use siphasher::sip::SipHasher24;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::text::TextError;
use crate::text::UserId;

/// Bits of a locator.
const LOCATOR_BITS: u32 = 60;
/// The version and variant bits of a UUID (RFC 9562, section 4).
const VERSION_MASK: u128 = 0xf << 76;
const VERSION_8: u128 = 8 << 76;
const VARIANT_MASK: u128 = 0b11 << 62;
const VARIANT: u128 = 0b10 << 62;
/// The random bits of an id that we mint: all below the variant.
const RANDOM_MASK: u128 = (1 << 62) - 1;

/// Where a user's record lives: 60 bits of a keyed hash of the user. It does not give the user
/// away. Two users may share one; their streams are counted apart all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locator(u64);

impl Locator {
    /// The locator with these low 60 bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & ((1 << LOCATOR_BITS) - 1))
    }

    /// Its 60 bits, in the low bits of the number.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// The secret that turns users into locators. All nodes over one store share it.
#[derive(Clone, PartialEq, Eq)]
pub struct LocatorKey([u8; 16]);

impl LocatorKey {
    /// The key with these bytes; they should be random.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for the place that keeps it secret.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The locator of a user: SipHash-2-4 (Aumasson and Bernstein, 2012), cut to 60 bits.
    #[must_use]
    pub fn locator(&self, user: &UserId) -> Locator {
        Locator::from_bits(self.hash(b'L', &[user.as_str()]))
    }

    /// The stream id for a user's `Idempotency-Key`: the same key gives the same id, on every
    /// node and after every restart, and nobody without the secret can guess it.
    #[must_use]
    pub fn idempotent_id(&self, user: &UserId, key: &str) -> StreamId {
        StreamId::mint(self.locator(user), self.hash(b'I', &[user.as_str(), key]))
    }

    fn hash(&self, purpose: u8, parts: &[&str]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write_u8(purpose);
        for part in parts {
            hasher.write(part.as_bytes());
            hasher.write_u8(0xff); // in no UTF-8 text, so the parts can't run together
        }
        hasher.finish()
    }
}

impl fmt::Debug for LocatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocatorKey(secret)")
    }
}

/// The name of one stream: a UUID, as we mint them, or whatever a client chose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(Form);

/// A UUID in its canonical text form is kept as its 16 bytes; every other id as it came. Not as
/// a `u128`, which would align all that has a stream id to 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    Uuid(Uuid),
    Chosen(Arc<str>),
}

impl StreamId {
    /// The most characters an id may have.
    pub const BYTES_MAX: usize = 64;

    /// How many characters an id has that we mint.
    pub const MINTED_LEN: usize = Hyphenated::LENGTH;

    /// Takes an id of 1 to 64 characters of `[A-Za-z0-9._~-]`.
    ///
    /// # Errors
    /// Says which of these rules the text breaks.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        if let Some(uuid) = canonical_uuid(text) {
            Ok(Self(Form::Uuid(uuid)))
        } else if text.is_empty() {
            Err(TextError::Empty)
        } else if Self::BYTES_MAX < text.len() {
            Err(TextError::TooLong {
                max: Self::BYTES_MAX,
            })
        } else if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
        {
            Err(TextError::Foreign)
        } else {
            Ok(Self(Form::Chosen(text.into())))
        }
    }

    /// Makes a UUID of version 8 (RFC 9562, section 5.8): 60 bits of locator, 62 of `random`.
    #[must_use]
    pub fn mint(at: Locator, random: u64) -> Self {
        let high = u128::from(at.bits() >> 12) << 80;
        let middle = u128::from(at.bits() & 0xfff) << 64;
        let low = u128::from(random) & RANDOM_MASK;
        let bits = high | VERSION_8 | middle | VARIANT | low;
        Self(Form::Uuid(Uuid::from_u128(bits)))
    }

    /// Its text, which may be made in `place`.
    pub fn text<'a>(&'a self, place: &'a mut [u8; Self::MINTED_LEN]) -> &'a str {
        match &self.0 {
            Form::Chosen(text) => text,
            Form::Uuid(uuid) => uuid.hyphenated().encode_lower(place),
        }
    }

    /// The locator inside, when the id has the form of those that we mint.
    #[must_use]
    pub fn locator(&self) -> Option<Locator> {
        let Form::Uuid(uuid) = self.0 else {
            return None;
        };
        let bits = uuid.as_u128();
        if bits & VERSION_MASK != VERSION_8 || bits & VARIANT_MASK != VARIANT {
            return None;
        }
        let high = u64::try_from(bits >> 80).ok()?;
        let middle = u64::try_from((bits >> 64) & 0xfff).ok()?;
        Some(Locator::from_bits(high << 12 | middle))
    }
}

/// Reads the 8-4-4-4-12 form in lower case (RFC 9562, section 4); another spelling of the same
/// UUID is another id.
fn canonical_uuid(text: &str) -> Option<Uuid> {
    let is_canonical =
        text.len() == Hyphenated::LENGTH && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    is_canonical.then(|| Uuid::try_parse(text))?.ok()
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; Self::MINTED_LEN]))
    }
}

impl<C> Encode<C> for StreamId {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match &self.0 {
            Form::Uuid(uuid) => e.bytes(uuid.as_bytes())?.ok(),
            Form::Chosen(text) => e.str(text)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for StreamId {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, Error> {
        let damaged = || Error::message("StreamId");
        if d.datatype()? == Type::Bytes {
            let bytes = d.bytes()?.try_into().ok().ok_or_else(damaged)?;
            Ok(Self(Form::Uuid(Uuid::from_bytes(bytes))))
        } else {
            Self::parse(d.str()?).ok().ok_or_else(damaged)
        }
    }
}
