//! The bodies of answers, and the headers that go with them.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt::{self, Display};
use std::io::Write;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer};
use streamgate_core::{
    Device, LIMIT_MAX, Limit, Place, Playback, Stream, StreamId, StreamState, Terms, Timestamp,
    UserId, WallTime,
};
use utoipa::ToSchema;

use super::problem::seconds_up;
use crate::limiter::Limiter;

const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// How many bytes most answers about a stream have at the most.
const STREAM_BYTES: usize = 800;
/// How many bytes most `RateLimit` headers have at the most.
const RATE_LIMIT_BYTES: usize = 32;
/// The last millisecond that RFC 3339 has a text for, in milliseconds since 1970.
const END_OF_9999: u64 = 253_402_300_799_999;
/// How many bytes a time has to the second (RFC 3339), without what follows.
const SECOND_LEN: usize = "2026-11-23T12:00:00".len();
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
    #[schema(value_type = String, example = "6f3b1c2e-8a4d-8f00-9d7e-3b2a1c0d4e5f")]
    stream_id: StreamText,
    /// Whose it is.
    #[schema(value_type = String)]
    #[serde(serialize_with = "user_text")]
    user_id: UserId,
    state: StateBody,
    /// When it was admitted.
    #[schema(value_type = String, format = DateTime)]
    started_at: Moment,
    /// When its lease ends if no heartbeat comes. For people: a client counts
    /// `heartbeat.leaseSeconds` from when it sent its last acknowledged request.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
    /// How many streams the user may have live at once.
    limit: u8,
    /// How many the user has, this one counted.
    active: usize,
    /// Whether the lease was over, or the store had lost the stream, and it took its place back.
    resumed: bool,
    /// Whether the store could not be asked: nobody looked at the limit. The next heartbeat after
    /// it is back decides.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    provisional: bool,
    heartbeat: TermsBody,
    /// The streams that it replaced.
    #[schema(value_type = Vec<String>)]
    replaced: Vec<StreamText>,
    /// With a start, and with a heartbeat that brought one which is two minutes old: the token
    /// for the stream's next heartbeats and its stop.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// With a start: what a player that speaks CMCD is configured with.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    cmcd: Option<CmcdBody>,
}

/// What makes a player's CMCD reports (version 2, event mode) the stream's heartbeats.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Cmcd)]
struct CmcdBody {
    /// The target of the reports, a path of this API. It stays the same for the whole stream, and
    /// is good for a day and for nothing else.
    url: String,
    /// The player's session id: the stream's name.
    #[schema(value_type = String)]
    sid: StreamText,
    /// The interval of the reports.
    interval_seconds: u64,
}

/// A stream's name.
#[derive(Clone, Debug)]
struct StreamText(StreamId);

impl StreamText {
    fn push_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.text(&mut [0; StreamId::MINTED_LEN]).as_bytes());
    }
}

impl Serialize for StreamText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn user_text<S: Serializer>(user: &UserId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(user.as_str())
}

/// RFC 3339 in UTC, to the millisecond.
#[derive(Clone, Copy, Debug)]
struct Moment(WallTime);

thread_local! {
    /// The second that was written last, and how: leases are renewed in the order of time, so
    /// that the ends of thousands lie in one.
    static LAST: Cell<(u64, [u8; SECOND_LEN])> = const { Cell::new((u64::MAX, [0; SECOND_LEN])) };
}

impl Moment {
    fn push_to(self, out: &mut Vec<u8>) {
        write!(out, "{self}").expect("a vector takes every byte");
    }

    /// The same, cheaper if the last one so written lies in the same second.
    fn push_near(self, out: &mut Vec<u8>) {
        let ms = self.0.as_millis().min(END_OF_9999);
        let (second, ms) = (ms / 1000, ms % 1000);
        let (last, mut text) = LAST.get();
        if last != second {
            let whole = self.to_string();
            text.copy_from_slice(&whole.as_bytes()[..SECOND_LEN]);
            LAST.set((second, text));
        }
        out.extend_from_slice(&text);
        let [hundreds, tens, ones] = [ms / 100, ms / 10 % 10, ms % 10]
            .map(|digit| b'0' + u8::try_from(digit).expect("a digit is less than 10"));
        out.extend_from_slice(&[b'.', hundreds, tens, ones, b'Z']);
    }
}

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis().min(END_OF_9999);
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        humantime::format_rfc3339_millis(at).fmt(f)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl StreamBody {
    /// Appends what serde would write of it, for a sixth of the price: this is the answer to
    /// every heartbeat, up to a thousand at a time, and only the user's name needs escaping.
    pub(super) fn push_to(&self, out: &mut Vec<u8>) {
        let Self {
            limit,
            active,
            resumed,
            provisional,
            heartbeat,
            ..
        } = self;
        out.extend_from_slice(br#"{"streamId":""#);
        self.stream_id.push_to(out);
        out.extend_from_slice(br#"","userId":"#);
        push_json(out, self.user_id.as_str());
        out.extend_from_slice(match self.state {
            StateBody::Live => br#","state":"live","startedAt":""#,
            StateBody::Suspect => br#","state":"suspect","startedAt":""#,
        });
        self.started_at.push_to(out);
        out.extend_from_slice(br#"","expiresAt":""#);
        self.expires_at.push_near(out);
        out.extend_from_slice(br#"","limit":"#);
        push_json(out, limit);
        out.extend_from_slice(br#","active":"#);
        push_json(out, active);
        out.extend_from_slice(br#","resumed":"#);
        push_json(out, resumed);
        if *provisional {
            out.extend_from_slice(br#","provisional":true"#);
        }
        out.extend_from_slice(br#","heartbeat":{"intervalSeconds":"#);
        push_json(out, &heartbeat.interval_seconds);
        out.extend_from_slice(br#","leaseSeconds":"#);
        push_json(out, &heartbeat.lease_seconds);
        out.extend_from_slice(br#"},"replaced":["#);
        for (i, replaced) in self.replaced.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"\"" } else { b",\"" });
            replaced.push_to(out);
            out.push(b'"');
        }
        out.push(b']');
        if let Some(token) = &self.token {
            out.extend_from_slice(br#","token":""#);
            // Letters, digits and . _ - only.
            out.extend_from_slice(token.as_bytes());
            out.push(b'"');
        }
        if let Some(cmcd) = &self.cmcd {
            out.extend_from_slice(br#","cmcd":{"url":""#);
            out.extend_from_slice(cmcd.url.as_bytes());
            out.extend_from_slice(br#"","sid":""#);
            cmcd.sid.push_to(out);
            out.extend_from_slice(br#"","intervalSeconds":"#);
            push_json(out, &cmcd.interval_seconds);
            out.push(b'}');
        }
        out.push(b'}');
    }
}

impl IntoResponse for StreamBody {
    fn into_response(self) -> Response {
        // A start's answer has two tokens.
        let more = self.cmcd.as_ref().map_or(0, |it| it.url.len());
        let mut bytes = Vec::with_capacity(STREAM_BYTES + more);
        self.push_to(&mut bytes);
        json(bytes)
    }
}

/// An answer of JSON that is written already.
pub(super) fn json(bytes: Vec<u8>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, kind)], bytes).into_response()
}

pub(super) fn push_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("what we answer can be written as JSON");
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
    #[schema(value_type = String, format = DateTime)]
    started_at: Moment,
    /// When its client was last heard, or the restart that forgave its silence.
    #[schema(value_type = String, format = DateTime)]
    last_heard_at: Moment,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
}

/// What an answer about a stream says besides its place.
#[derive(Clone, Debug, Default)]
pub(super) struct Granted {
    pub(super) is_resumed: bool,
    pub(super) is_provisional: bool,
    pub(super) replaced: Vec<StreamId>,
    pub(super) token: Option<String>,
    pub(super) report_token: Option<String>,
}

/// Turns what the rules say into what people and programs read, at one moment.
pub(super) struct Viewer {
    now: Timestamp,
    /// What the clock on the wall shows now.
    wall: WallTime,
    terms: Terms,
}

impl Viewer {
    pub(super) fn new(limiter: &Limiter) -> Self {
        let clock = limiter.clock();
        Self {
            now: clock.now(),
            wall: clock.wall(),
            terms: limiter.terms(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn wall(&self) -> WallTime {
        self.wall
    }

    pub(super) fn stream(&self, place: Place, granted: Granted) -> StreamBody {
        let stream = place.stream;
        let interval_seconds = self.terms.heartbeat.unwrap_or_default().as_secs();
        let cmcd = granted.report_token.map(|token| CmcdBody {
            url: format!("/v1/cmcd?t={token}"),
            sid: StreamText(stream.id.clone()),
            interval_seconds,
        });
        StreamBody {
            stream_id: StreamText(stream.id),
            user_id: place.user,
            state: StateBody::Live,
            started_at: Moment(stream.started_at),
            expires_at: self.time(stream.lease.expires_at()),
            limit: place.limit.get(),
            active: place.active,
            resumed: granted.is_resumed,
            provisional: granted.is_provisional,
            heartbeat: TermsBody {
                interval_seconds,
                lease_seconds: self.terms.lease.as_secs(),
            },
            replaced: granted.replaced.into_iter().map(StreamText).collect(),
            token: granted.token,
            cmcd,
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
            started_at: Moment(stream.started_at),
            last_heard_at: self.time(stream.lease.heard_at()),
            expires_at: self.time(stream.lease.expires_at()),
        }
    }

    /// The answer about a stream that has its place.
    pub(super) fn placed(&self, status: StatusCode, place: Place, granted: Granted) -> Response {
        let (limit, active, free_at) = (place.limit, place.active, place.reclaimable_at);
        let stream = self.stream(place, granted);
        let mut response = (status, stream).into_response();
        self.put_rate_limit(response.headers_mut(), limit, active, free_at);
        response
    }

    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): how many
    /// places the user has and has left, and the seconds until the first may become free.
    pub(super) fn put_rate_limit(
        &self,
        headers: &mut HeaderMap,
        limit: Limit,
        active: usize,
        free_at: Timestamp,
    ) {
        let left = usize::from(limit.get()).saturating_sub(active);
        let seconds = seconds_up(free_at.since(self.now));
        let policy = POLICIES[usize::from(limit.get())].clone();
        headers.insert(RATE_LIMIT_POLICY, policy);
        let mut rate_limit = Vec::with_capacity(RATE_LIMIT_BYTES);
        rate_limit.extend_from_slice(br#""streams";r="#);
        push_json(&mut rate_limit, &left);
        rate_limit.extend_from_slice(b";t=");
        push_json(&mut rate_limit, &seconds);
        headers.insert(RATE_LIMIT, visible(rate_limit));
    }

    /// What the clock on the wall shows when the lease clock shows `at`.
    fn time(&self, at: Timestamp) -> Moment {
        let ms = self.wall.as_millis() + at.as_millis();
        Moment(WallTime::from_millis(
            ms.saturating_sub(self.now.as_millis()),
        ))
    }
}

/// Where a stream is found: by its id alone if that tells whose it is, else below its user.
pub(super) fn location(place: &Place, stands_alone: bool) -> HeaderValue {
    let (user, id) = (&place.user, &place.stream.id);
    visible(if stands_alone {
        format!("/v1/streams/{id}")
    } else {
        let user = utf8_percent_encode(user.as_str(), SEGMENT);
        format!("/v1/users/{user}/streams/{id}")
    })
}

fn visible(value: impl Into<Vec<u8>>) -> HeaderValue {
    HeaderValue::try_from(value.into()).expect("it is made of visible ASCII characters")
}

/// `RateLimit-Policy` for each limit.
static POLICIES: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
    let limits = 0..=LIMIT_MAX;
    limits
        .map(|limit| visible(format!("\"streams\";q={limit}")))
        .collect()
});
