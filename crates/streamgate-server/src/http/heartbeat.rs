//! Heartbeats, one at a time or a thousand.

use std::borrow::Cow;

use axum::extract::State;
use axum::response::Response;
use futures_util::future::join_all;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use streamgate_core::{Beat, ContentId, Heartbeat, Place, Playback, Readmitted, Target, UserId};
use utoipa::{IntoParams, ToSchema};

use super::caller::{BackEnd, Caller};
use super::extract::{JsonText, Lenient, Path, Query, object, parse_optional, stream_id, user_id};
use super::names::{ContentName, Named, StreamName, UserName};
use super::problem::{Code, Problem, ProblemBody};
use super::start::denied;
use super::views::{Granted, StreamBody, Viewer, json, push_json};
use super::{Api, BATCH_BODY_MAX};
use crate::limiter::Answer;

/// How many heartbeats a batch may have.
const BATCH_MAX: usize = 1000;
/// How many heartbeats of a batch may wait for the store at once. Few, so that they stay in the
/// processor's cache; up to 30 are polled in place, which saves an allocation for each.
const AT_ONCE_MAX: usize = 30;
/// How many bytes most results of a batch have at the most.
const RESULT_BYTES: usize = 400;

/// What a player may say with a heartbeat; nothing said, nothing changed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Heartbeat)]
pub(super) struct HeartbeatBody {
    /// Whether the picture moves. A paused stream keeps its place.
    #[serde(default)]
    state: Option<PlaybackWord>,
    /// What it shows now: a zap keeps the place.
    #[serde(default)]
    content_id: Option<ContentName>,
    /// The stream's own token, where a back end sends the heartbeat: with it, a stream that the
    /// store lost has its place again, and one that was admitted provisionally gets one. One that
    /// is not good proves nothing, and is otherwise no mistake.
    #[serde(default)]
    token: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum PlaybackWord {
    Playing,
    Paused,
}

impl From<HeartbeatBody> for Heartbeat {
    fn from(body: HeartbeatBody) -> Self {
        Self {
            playback: body.state.map(|state| match state {
                PlaybackWord::Playing => Playback::Playing,
                PlaybackWord::Paused => Playback::Paused,
            }),
            content: body.content_id.map(|Named(content)| content),
        }
    }
}

/// Whose stream it is, for an id that the client chose.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// Whose stream it is. Needed with an id that the client chose; not with one of ours.
    #[param(
        min_length = 1,
        max_length = 256,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]+$",
        nullable = false
    )]
    #[serde(default)]
    user_id: Option<String>,
}

impl Whose {
    pub(super) fn parse(&self) -> Result<Option<UserId>, Problem> {
        parse_optional("userId", self.user_id.as_deref(), UserId::parse)
    }
}

/// Says that a stream still plays
///
/// Renews its lease. One that is over takes its place back if there is room.
#[utoipa::path(
    post,
    path = "/v1/streams/{streamId}/heartbeat",
    operation_id = "heartbeat",
    tag = "streams",
    params(("streamId" = StreamName, Path), Whose),
    request_body = Option<HeartbeatBody>,
    responses(
        (status = 200, description = "The lease runs a full term from now", body = StreamBody,
            headers(("RateLimit-Policy" = String), ("RateLimit" = String))),
        (status = 404, description = "It never existed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "It is over; `code` says why, and the player must stop", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn heartbeat(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(whose): Query<Whose>,
    Lenient(body): Lenient<HeartbeatBody>,
) -> Result<Response, Problem> {
    beat(&api, &caller, whose.parse()?, &id, body).await
}

/// Says that a user's stream still plays
///
/// The same as `/v1/streams/{streamId}/heartbeat`, for an id that the client chose.
#[utoipa::path(
    post,
    path = "/v1/users/{userId}/streams/{streamId}/heartbeat",
    operation_id = "heartbeatOfUser",
    tag = "streams",
    params(
        ("userId" = UserName, Path),
        ("streamId" = StreamName, Path),
    ),
    request_body = Option<HeartbeatBody>,
    responses(
        (status = 200, description = "The lease runs a full term from now", body = StreamBody,
            headers(("RateLimit-Policy" = String), ("RateLimit" = String))),
        (status = 404, description = "It never existed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "It is over; `code` says why, and the player must stop", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn of_user(
    State(api): State<Api>,
    caller: Caller,
    Path((user, id)): Path<(String, String)>,
    Lenient(body): Lenient<HeartbeatBody>,
) -> Result<Response, Problem> {
    beat(&api, &caller, Some(user_id(&user)?), &id, body).await
}

async fn beat(
    api: &Api,
    caller: &Caller,
    user: Option<UserId>,
    id: &str,
    mut body: HeartbeatBody,
) -> Result<Response, Problem> {
    let id = stream_id(id)?;
    let user = caller.may_touch(user, &id)?;
    let target = Target {
        user: user.as_ref(),
        id: &id,
    };
    let token = body.token.take();
    let claim = || caller.claim(api, &id, token.as_deref());
    let beaten = api.limiter().heartbeat(target, &body.into(), claim).await?;
    let viewer = Viewer::new(api.limiter());
    let (place, granted) = granted(beaten, &viewer)?;
    // While nobody knows the stream, its token must not outlast what is remembered of endings.
    let token = (!granted.is_provisional).then(|| caller.renewed(api, &place));
    let token = token.flatten();
    Ok(viewer.placed(StatusCode::OK, place, Granted { token, ..granted }))
}

/// The place that a heartbeat has or keeps, or why it has none.
fn granted(beaten: Answer<Readmitted>, viewer: &Viewer) -> Result<(Place, Granted), Problem> {
    let beat = match beaten {
        Answer::Decided(Readmitted::Known(beat)) => beat,
        Answer::Decided(Readmitted::Denied(denial)) => {
            return Err(denied(viewer, &denial).told_to_a_player());
        }
        Answer::Decided(Readmitted::Entered { place, replaced }) => {
            let granted = Granted {
                replaced,
                is_resumed: true,
                ..Granted::default()
            };
            return Ok((place, granted));
        }
        Answer::Provisional(place) => {
            let granted = Granted {
                is_provisional: true,
                ..Granted::default()
            };
            return Ok((place, granted));
        }
    };
    let (place, is_resumed) = match beat {
        Beat::Renewed(place) | Beat::Fresh(place) | Beat::Joined(place) => (place, false),
        Beat::Resumed(place) => (place, true),
        Beat::Over(over) => return Err(Problem::over(&over)),
        Beat::Unknown => return Err(Problem::stream_unknown()),
    };
    let granted = Granted {
        is_resumed,
        ..Granted::default()
    };
    Ok((place, granted))
}

/// Up to 1,000 heartbeats.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = HeartbeatBatch)]
pub(super) struct BatchBody<'a> {
    #[schema(max_items = 1000)]
    #[serde(borrow)]
    heartbeats: Vec<BatchItem<'a>>,
}

/// One heartbeat of a batch. What its fields say is checked for each entry alone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HeartbeatBatchItem)]
struct BatchItem<'a> {
    /// Which stream.
    #[serde(borrow)]
    stream_id: Cow<'a, str>,
    /// Whose, for an id that the client chose.
    #[serde(default)]
    user_id: Option<String>,
    /// `playing` or `paused`.
    #[serde(default)]
    state: Option<String>,
    /// What it shows now.
    #[serde(default)]
    content_id: Option<String>,
    /// The stream's own token.
    #[serde(borrow, default)]
    token: Option<Cow<'a, str>>,
}

/// One result for each heartbeat, in their order.
#[derive(Debug, ToSchema)]
#[schema(as = HeartbeatBatchResults)]
#[expect(dead_code, reason = "the results are written one by one")]
pub(super) struct BatchResults {
    results: Vec<BatchResult<'static>>,
}

/// What one heartbeat of a batch comes to.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HeartbeatBatchResult)]
struct BatchResult<'a> {
    stream_id: &'a str,
    /// The status that the heartbeat alone would have been answered with.
    status: u16,
    /// The stream, with status 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<StreamBody>,
    /// Why not, with any other status.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    /// The stream that took the place, with `stream-replaced`.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// The field that is meant, with `invalid-request`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// What is wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl<'a> BatchResult<'a> {
    fn new(stream_id: &'a str, beaten: Result<(Place, Granted), Problem>, viewer: &Viewer) -> Self {
        let result = Self {
            stream_id,
            status: StatusCode::OK.as_u16(),
            stream: None,
            code: None,
            by: None,
            field: None,
            detail: None,
        };
        match beaten {
            Ok((place, granted)) => Self {
                stream: Some(viewer.stream(place, granted)),
                ..result
            },
            Err(problem) => {
                let refused = Self {
                    status: problem.status().as_u16(),
                    code: Some(problem.code()),
                    by: problem.successor(),
                    ..result
                };
                // That a stream is over says it all.
                if matches!(problem.status(), StatusCode::GONE | StatusCode::NOT_FOUND) {
                    return refused;
                }
                let (field, detail) = problem.place_and_detail();
                Self {
                    field,
                    detail: Some(detail),
                    ..refused
                }
            }
        }
    }

    /// Appends what serde would write of it.
    fn push_to(&self, out: &mut Vec<u8>) {
        let Some(stream) = &self.stream else {
            return push_json(out, self);
        };
        out.extend_from_slice(br#"{"streamId":"#);
        push_json(out, self.stream_id);
        out.extend_from_slice(br#","status":200,"stream":"#);
        stream.push_to(out);
        out.push(b'}');
    }
}

/// Says that many streams still play
///
/// For a gateway or a back end that gathers its players' heartbeats. Each has its own result;
/// one that is refused does not touch the others.
#[utoipa::path(
    post,
    path = "/v1/heartbeats",
    operation_id = "heartbeats",
    tag = "streams",
    request_body = BatchBody<'static>,
    responses((status = 200, description = "One result for each heartbeat, in their order", body = BatchResults)),
)]
pub(super) async fn batch(
    State(api): State<Api>,
    BackEnd(caller): BackEnd,
    JsonText(bytes): JsonText<BATCH_BODY_MAX>,
) -> Result<Response, Problem> {
    let body: BatchBody<'_> = object(&bytes)?;
    if BATCH_MAX < body.heartbeats.len() {
        let detail = format!("must have at most {BATCH_MAX} entries");
        return Err(Problem::invalid("heartbeats", detail));
    }
    let mut out = Vec::with_capacity(RESULT_BYTES * (body.heartbeats.len() + 1));
    let viewer = Viewer::new(api.limiter());
    out.extend_from_slice(br#"{"results":["#);
    for items in body.heartbeats.chunks(AT_ONCE_MAX) {
        let beats = join_all(items.iter().map(|item| beat_of_batch(&api, &caller, item))).await;
        for (item, beaten) in items.iter().zip(beats) {
            if !out.ends_with(b"[") {
                out.push(b',');
            }
            let granted = beaten.and_then(|it| granted(it, &viewer));
            BatchResult::new(&item.stream_id, granted, &viewer).push_to(&mut out);
        }
    }
    out.extend_from_slice(b"]}");
    Ok(json(out))
}

async fn beat_of_batch(
    api: &Api,
    caller: &Caller,
    item: &BatchItem<'_>,
) -> Result<Answer<Readmitted>, Problem> {
    let id = stream_id(&item.stream_id)?;
    let user = parse_optional("userId", item.user_id.as_deref(), UserId::parse)?;
    let playback = item.state.as_deref().map(|word| match word {
        "playing" => Ok(Playback::Playing),
        "paused" => Ok(Playback::Paused),
        _ => Err(Problem::invalid("state", "must be playing or paused")),
    });
    let beat = Heartbeat {
        playback: playback.transpose()?,
        content: parse_optional("contentId", item.content_id.as_deref(), ContentId::parse)?,
    };
    let target = Target {
        user: user.as_ref(),
        id: &id,
    };
    let claim = || caller.claim(api, &id, item.token.as_deref());
    Ok(api.limiter().heartbeat(target, &beat, claim).await?)
}
