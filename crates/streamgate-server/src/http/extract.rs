//! How requests are read: every mistake becomes a problem that names the field.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, Visitor};
use streamgate_core::{StreamId, TextError, UserId};

use super::BODY_MAX;
use super::problem::Problem;

/// The name of the header that makes a start's retries one start.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// How long an idempotency key may be, in characters.
const IDEMPOTENCY_KEY_MAX: usize = 255;

/// How long the rest of a body that is not looked at may take.
const IGNORED_BODY: Duration = Duration::from_secs(1);
/// How much of a body that is too large is read all the same.
const REFUSED_BODY_MAX: usize = 1 << 20;

/// How much an error answer repeats of what its caller wrote.
const ECHO_CHARACTERS_MAX: usize = 200;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

/// The text of a JSON body of at most `BYTES_MAX` bytes, not yet parsed.
pub(super) struct JsonText<const BYTES_MAX: usize>(pub(super) Bytes);

/// A JSON body, or none at all, or `null`.
pub(super) struct Lenient<T>(pub(super) T);

/// A body as it came, whatever it claims to be.
pub(crate) struct RawBody(pub(super) Bytes);

/// A body that is not looked at.
pub(super) struct IgnoredBody(axum::body::Body);

/// The parameters of the path.
pub(super) struct Path<T>(pub(super) T);

/// The parameters of the query.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let JsonText(bytes) = JsonText::<BODY_MAX>::from_request(request, state).await?;
        object(&bytes).map(Self)
    }
}

impl<S: Send + Sync, const BYTES_MAX: usize> FromRequest<S> for JsonText<BYTES_MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = says_json(request.headers());
        let bytes = read(request, BYTES_MAX).await?;
        if is_json {
            Ok(Self(bytes))
        } else {
            Err(Problem::unsupported_media_type())
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Lenient<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = says_json(request.headers());
        let bytes = read(request, BODY_MAX).await?;
        if bytes.is_empty() {
            Ok(Self(T::default()))
        } else if is_json {
            Ok(Self(
                json::<Option<Object<T>>>(&bytes)?.unwrap_or_default().0,
            ))
        } else {
            Err(Problem::unsupported_media_type())
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read(request, BODY_MAX).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for IgnoredBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Ok(Self::of(request))
    }
}

impl IgnoredBody {
    pub(super) fn of(request: Request) -> Self {
        Self(request.into_body())
    }

    /// Reads it all the same, as far as it is small and comes soon: a connection with something
    /// unread on it is closed after the answer, and its client does not expect that.
    pub(super) async fn discard(self) {
        discard(self.0, BODY_MAX).await;
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(path)| Self(path))
            .map_err(|rejection| Problem::invalid("path", rejection.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Left to itself, the parser puts a replacement character for what is no UTF-8, and two
        // names become one.
        let encoded = percent_decode_str(parts.uri.query().unwrap_or_default());
        if encoded.decode_utf8().is_err() {
            return Err(Problem::invalid("query", "must be UTF-8"));
        }
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|rejection| Problem::invalid("query", rejection.body_text()))
    }
}

/// Reads a body of at most `bytes_max` bytes. One that is larger is refused, but read on as far as
/// that is bearable: if the connection were closed with some of it unread, or on its way, the
/// client would see the connection reset and might never see the answer.
async fn read(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    if request.body().is_end_stream() {
        return Ok(Bytes::new());
    }
    let waits_to_be_asked = request.headers().contains_key(EXPECT);
    let mut body = request.into_body();
    let length = body.size_hint().lower();
    if (bytes_max as u64) < length {
        // A client that waits for 100 sends nothing when it is refused; one that sends more than
        // is read on would only be kept waiting.
        if !waits_to_be_asked && length <= REFUSED_BODY_MAX as u64 {
            discard(body, REFUSED_BODY_MAX).await;
        }
        return Err(Problem::payload_too_large(bytes_max));
    }
    match Limited::new(&mut body, bytes_max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            discard(body, REFUSED_BODY_MAX).await;
            Err(Problem::payload_too_large(bytes_max))
        }
        Err(error) => Err(Problem::malformed(error.to_string())),
    }
}

/// Reads a body without keeping it, as far as it is this small and comes soon.
async fn discard(body: axum::body::Body, bytes_max: usize) {
    let mut body = Limited::new(body, bytes_max);
    let read = async { while let Some(Ok(_)) = body.frame().await {} };
    drop(tokio::time::timeout(IGNORED_BODY, read).await);
}

/// Whether the body claims to be JSON, or claims nothing.
fn says_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// An object. Left to itself, serde also reads a struct from an array of its fields' values.
#[derive(Clone, Debug, Default)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// A small whole number, however it is written: JSON has 3 and 3.0 for the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct WholeNumber(pub(super) u8);

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        let numbers = 0..=u8::MAX;
        let same = numbers
            .into_iter()
            .find(|small| number.as_f64() == Some((*small).into()));
        same.map(Self)
            .ok_or_else(|| D::Error::custom("must be a small whole number"))
    }
}

/// Parses a JSON object; the problem names the field where it went wrong.
pub(super) fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    json(bytes).map(|Object(body)| body)
}

/// Parses it, and only if that fails once more, to learn where: to keep the path at hand costs
/// as much as to parse.
fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).or_else(|_| json_or_where(bytes))
}

fn json_or_where<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let detail = shortened(&error.inner().to_string());
        // A question mark stands for a field that had no name yet.
        match path
            .strip_suffix('?')
            .unwrap_or(&path)
            .trim_end_matches('.')
        {
            "" => Problem::malformed(detail),
            field => Problem::invalid(shortened(field), detail),
        }
    })?;
    deserializer
        .end()
        .map_err(|error| Problem::malformed(error.to_string()))?;
    Ok(value)
}

/// What an answer repeats of what its caller wrote.
fn shortened(text: &str) -> String {
    text.chars().take(ECHO_CHARACTERS_MAX).collect()
}

/// Parses a name; the problem names its field.
pub(super) fn parse<T>(
    field: &str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, TextError>,
) -> Result<T, Problem> {
    parse(text).map_err(|error| Problem::invalid(field, error.to_string()))
}

/// Parses a name that may be missing.
pub(super) fn parse_optional<T>(
    field: &str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, TextError>,
) -> Result<Option<T>, Problem> {
    text.map(|text| self::parse(field, text, parse)).transpose()
}

pub(super) fn user_id(text: &str) -> Result<UserId, Problem> {
    parse("userId", text, UserId::parse)
}

pub(super) fn stream_id(text: &str) -> Result<StreamId, Problem> {
    parse("streamId", text, StreamId::parse)
}

/// The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header), taken as it stands.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default();
    if key.is_empty() || IDEMPOTENCY_KEY_MAX < key.len() {
        let detail = format!("must be 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters");
        return Err(Problem::invalid("Idempotency-Key", detail));
    }
    Ok(Some(key.to_owned()))
}
