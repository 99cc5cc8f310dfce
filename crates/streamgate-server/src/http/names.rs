//! Names in requests: parsed as they are read, with the schema that says what is taken.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error};
use streamgate_core::{ContentId, DeviceText, StreamId, TextError, UserId};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A name of the core, as it stands in a request.
#[derive(Clone, Debug)]
pub(super) struct Named<T>(pub(super) T);

/// A user, as a request names it.
pub(super) type UserName = Named<UserId>;
/// What a stream shows, as a request names it.
pub(super) type ContentName = Named<ContentId>;
/// Something about a device, as a request says it.
pub(super) type DeviceName = Named<DeviceText>;
/// A stream, as a request names it.
pub(super) type StreamName = Named<StreamId>;

/// What a request may name.
pub(super) trait Name: Sized {
    /// What its schema is called.
    const SCHEMA: &'static str;
    /// What it is, for people.
    const DESCRIPTION: &'static str;
    /// Bounds are in bytes; for ASCII these are characters, as in the schema.
    const BYTES_MAX: usize;
    /// The characters that it may have (ECMA-262).
    const PATTERN: &'static str;

    fn parse(text: &str) -> Result<Self, TextError>;
}

/// Anything but control characters (Unicode category Cc).
const NO_CONTROL: &str = r"^[^\x00-\x1f\x7f-\x9f]+$";

impl Name for UserId {
    const SCHEMA: &'static str = "UserId";
    const DESCRIPTION: &'static str =
        "Whose streams are counted together: 1 to 256 bytes of UTF-8, no control characters.";
    const BYTES_MAX: usize = Self::BYTES_MAX;
    const PATTERN: &'static str = NO_CONTROL;

    fn parse(text: &str) -> Result<Self, TextError> {
        Self::parse(text)
    }
}

impl Name for ContentId {
    const SCHEMA: &'static str = "ContentId";
    const DESCRIPTION: &'static str =
        "What a stream shows: 1 to 256 bytes of UTF-8, no control characters.";
    const BYTES_MAX: usize = Self::BYTES_MAX;
    const PATTERN: &'static str = NO_CONTROL;

    fn parse(text: &str) -> Result<Self, TextError> {
        Self::parse(text)
    }
}

impl Name for DeviceText {
    const SCHEMA: &'static str = "DeviceText";
    const DESCRIPTION: &'static str =
        "About a device: 1 to 128 bytes of UTF-8, no control characters.";
    const BYTES_MAX: usize = Self::BYTES_MAX;
    const PATTERN: &'static str = NO_CONTROL;

    fn parse(text: &str) -> Result<Self, TextError> {
        Self::parse(text)
    }
}

impl Name for StreamId {
    const SCHEMA: &'static str = "StreamId";
    const DESCRIPTION: &'static str = "A stream's name: ours, or one that its client chose.";
    const BYTES_MAX: usize = Self::BYTES_MAX;
    const PATTERN: &'static str = r"^[A-Za-z0-9._~-]+$";

    fn parse(text: &str) -> Result<Self, TextError> {
        Self::parse(text)
    }
}

impl<'de, T: Name> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        T::parse(&text).map(Self).map_err(Error::custom)
    }
}

impl<T: Name> PartialSchema for Named<T> {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(T::DESCRIPTION))
            .min_length(Some(1))
            .max_length(Some(T::BYTES_MAX))
            .pattern(Some(T::PATTERN));
        RefOr::T(object.build().into())
    }
}

impl<T: Name> ToSchema for Named<T> {
    fn name() -> Cow<'static, str> {
        T::SCHEMA.into()
    }
}
