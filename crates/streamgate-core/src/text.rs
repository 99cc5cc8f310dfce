//! Names that come from outside, parsed once into types that keep their bounds.

use alloc::sync::Arc;
use core::fmt;

use minicbor::decode::{Decode, Decoder, Error};
use minicbor::encode::{Encode, Encoder, Write};

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It has no characters.
    #[error("must not be empty")]
    Empty,
    /// It has more UTF-8 bytes than the type allows.
    #[error("must be at most {max} bytes long")]
    TooLong {
        /// The most bytes that the type allows.
        max: usize,
    },
    /// It has a control character (Unicode category Cc).
    #[error("must not contain control characters")]
    Control,
    /// A stream id has a character outside `[A-Za-z0-9._~-]`.
    #[error("must consist of letters, digits and . _ ~ - only")]
    Foreign,
}

fn checked(text: &str, max: usize) -> Result<Arc<str>, TextError> {
    if text.is_empty() {
        Err(TextError::Empty)
    } else if max < text.len() {
        Err(TextError::TooLong { max })
    } else if has_control(text) {
        Err(TextError::Control)
    } else {
        Ok(text.into())
    }
}

fn has_control(text: &str) -> bool {
    let is_visible_ascii = text
        .bytes()
        .fold(true, |all, byte| all & matches!(byte, 0x20..0x7f));
    !is_visible_ascii && text.chars().any(char::is_control)
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        ///
        /// Cheap to clone: clones share their text.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The most UTF-8 bytes it may have.
            pub const BYTES_MAX: usize = $max;

            /// Takes a text of 1 to [`Self::BYTES_MAX`] bytes without control characters.
            ///
            /// # Errors
            /// Says which of these rules the text breaks.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                checked(text, Self::BYTES_MAX).map(Self)
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(
                &self,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, Error> {
                Self::parse(d.str()?).ok().ok_or(Error::message(stringify!($name)))
            }
        }
    };
}

text!(
    /// Whose streams are counted together.
    UserId,
    256
);
text!(
    /// What a stream shows.
    ContentId,
    256
);
text!(
    /// One field of a device: its id, its name or its type.
    DeviceText,
    128
);
