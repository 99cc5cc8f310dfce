//! The bodies of answers, and the headers that go with them.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue, LOCATION};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use streamgate_core::{
    Device, Limit, Place, Playback, Stream, StreamId, StreamState, Terms, Timestamp, WallTime,
};
use utoipa::ToSchema;

use super::problem::seconds_up;
use crate::clock::Clock;
use crate::limiter::Limiter;

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// What stands for itself in a path segment (RFC 3986, section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A stream that has its place.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Stream)]
pub(super) struct StreamBody {
    /// Its name.
    #[schema(example = "6f3b1c2e-8a4d-8f00-9d7e-3b2a1c0d4e5f")]
    stream_id: String,
    /// Whose it is.
    user_id: String,
    state: StateBody,
    /// When it was admitted.
    #[schema(format = DateTime)]
    started_at: String,
    /// When its lease ends if no heartbeat comes. For people: a client counts
    /// `heartbeat.leaseSeconds` from when it sent its last acknowledged request.
    #[schema(format = DateTime)]
    expires_at: String,
    /// How many streams the user may have live at once.
    limit: u8,
    /// How many the user has, this one counted.
    active: usize,
    /// Whether the lease was over and the stream took its place back.
    resumed: bool,
    heartbeat: TermsBody,
    /// The streams that it replaced.
    replaced: Vec<String>,
}

/// What the server asks of the client.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HeartbeatTerms)]
struct TermsBody {
    /// Send a heartbeat this often.
    interval_seconds: u64,
    /// Without one for this long, the place is given up.
    lease_seconds: u64,
}

/// Heard from within 1.5 heartbeats, or silent for longer.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = StreamState)]
enum StateBody {
    Live,
    Suspect,
}

/// What plays a stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = HolderDevice)]
struct DeviceBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    kind: Option<String>,
}

/// Whether the picture moves.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = Playback)]
enum PlaybackBody {
    Playing,
    Paused,
}

/// One of a user's streams, as others see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Holder)]
pub(crate) struct HolderBody {
    stream_id: String,
    state: StateBody,
    playback: PlaybackBody,
    device: DeviceBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<String>,
    #[schema(format = DateTime)]
    started_at: String,
    /// When its client was last heard, or the restart that forgave its silence.
    #[schema(format = DateTime)]
    last_heard_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Turns what the rules say into what people and programs read, at one moment.
pub(super) struct Viewer<'a> {
    clock: &'a dyn Clock,
    now: Timestamp,
    terms: Terms,
}

impl<'a> Viewer<'a> {
    pub(super) fn new(limiter: &'a Limiter) -> Self {
        let clock = limiter.clock();
        Self {
            clock,
            now: clock.now(),
            terms: limiter.terms(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn stream(&self, place: &Place, resumed: bool, replaced: &[StreamId]) -> StreamBody {
        let stream = &place.stream;
        StreamBody {
            stream_id: stream.id.to_string(),
            user_id: place.user.to_string(),
            state: StateBody::Live,
            started_at: rfc3339(stream.started_at),
            expires_at: self.time(stream.lease.expires_at()),
            limit: place.limit.get(),
            active: place.active,
            resumed,
            heartbeat: TermsBody {
                interval_seconds: self.terms.heartbeat.unwrap_or_default().as_secs(),
                lease_seconds: self.terms.lease.as_secs(),
            },
            replaced: replaced.iter().map(StreamId::to_string).collect(),
        }
    }

    pub(super) fn holder(&self, stream: &Stream) -> HolderBody {
        let Device { id, name, kind } = &stream.device;
        HolderBody {
            stream_id: stream.id.to_string(),
            state: match stream.lease.state(self.now) {
                StreamState::Live => StateBody::Live,
                StreamState::Suspect => StateBody::Suspect,
            },
            playback: match stream.playback {
                Playback::Playing => PlaybackBody::Playing,
                Playback::Paused => PlaybackBody::Paused,
            },
            device: DeviceBody {
                id: id.as_ref().map(ToString::to_string),
                name: name.as_ref().map(ToString::to_string),
                kind: kind.as_ref().map(ToString::to_string),
            },
            content_id: stream.content.as_ref().map(ToString::to_string),
            started_at: rfc3339(stream.started_at),
            last_heard_at: self.time(stream.lease.heard_at()),
            expires_at: self.time(stream.lease.expires_at()),
        }
    }

    /// The headers of an answer about a place, for a start with its address.
    pub(super) fn place_headers(&self, place: &Place) -> HeaderMap {
        self.rate_limit(place.limit, place.active, place.reclaimable_at)
    }

    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): how many
    /// places the user has and has left, and the seconds until the first may become free.
    pub(super) fn rate_limit(&self, limit: Limit, active: usize, free_at: Timestamp) -> HeaderMap {
        let left = usize::from(limit.get()).saturating_sub(active);
        let seconds = seconds_up(free_at.since(self.now));
        let mut headers = HeaderMap::with_capacity(4);
        put(
            &mut headers,
            RATE_LIMIT_POLICY,
            format!("\"streams\";q={limit}"),
        );
        put(
            &mut headers,
            RATE_LIMIT,
            format!("\"streams\";r={left};t={seconds}"),
        );
        headers
    }

    fn time(&self, at: Timestamp) -> String {
        rfc3339(self.clock.wall_at(at))
    }
}

/// Where a stream is found: by its id alone if that tells whose it is, else below its user.
pub(super) fn put_location(headers: &mut HeaderMap, place: &Place, stands_alone: bool) {
    let (user, id) = (&place.user, &place.stream.id);
    let location = if stands_alone {
        format!("/v1/streams/{id}")
    } else {
        let user = utf8_percent_encode(user.as_str(), SEGMENT);
        format!("/v1/users/{user}/streams/{id}")
    };
    put(headers, LOCATION, location);
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    let value = HeaderValue::try_from(value).expect("it is made of visible ASCII characters");
    headers.insert(name, value);
}

/// RFC 3339 in UTC, to the millisecond.
fn rfc3339(at: WallTime) -> String {
    let ms = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    format!("{at:.3}")
}
