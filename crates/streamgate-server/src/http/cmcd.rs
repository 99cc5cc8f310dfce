//! `POST /v1/cmcd`: what players report of themselves (CTA-5004-B, event mode), as heartbeats.
//! Whatever comes of a report, it is answered 204: players repeat what is answered otherwise.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use streamgate_core::{Beat, Readmitted, StreamId, Target};

use super::Api;
use super::caller::{Caller, Reporter};
use super::extract::RawBody;
use super::problem::Problem;
use crate::cmcd::{self, Report};
use crate::limiter::Answer;
use crate::metrics::Reported;

/// What the player is to do, where its page looks: nothing in CMCD tells a player to stop.
pub(super) const STREAM_ACTION: HeaderName = HeaderName::from_static("stream-action");
/// What becomes of the player that reports.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    PlayOn,
    Stop,
}

/// Takes in what a player reports
///
/// For players that speak CMCD version 2 in event mode: `cmcd.url` of the start's answer is their
/// target. A report is a heartbeat, of `sta=a` a paused one; with `sta=e`, `f` or `q` the stream
/// gives its place up, and a later report takes one back if there is room. Always 204, also where
/// nothing came of it.
#[utoipa::path(
    post,
    path = "/v1/cmcd",
    operation_id = "reportByCmcd",
    tag = "players",
    params(("t" = Option<String>, Query, nullable = false,
        description = "The token in `cmcd.url`. It names the stream: records of others are passed over.")),
    request_body(content = String, content_type = "application/cmcd",
        description = "One record in each line; 16 KiB, 256 records and 16 streams at most"),
    responses((status = 204, description = "It was received",
        headers(("Stream-Action" = Option<String>,
            description = "`stop` when the stream has no place any more and its player must stop")))),
)]
pub(super) async fn collect(
    State(api): State<Api>,
    reporter: Reporter,
    body: Result<RawBody, Problem>,
) -> Response {
    let metrics = &api.0.metrics;
    let (caller, body) = match (reporter, body) {
        (_, Err(_)) => {
            metrics.reported(Reported::TooLarge, 1);
            return received(Verdict::PlayOn);
        }
        (Reporter::Nobody, Ok(_)) => {
            metrics.reported(Reported::Refused, 1);
            return received(Verdict::PlayOn);
        }
        (Reporter::Late, Ok(_)) => {
            metrics.reported(Reported::Over, 1);
            return received(Verdict::Stop);
        }
        (Reporter::Known(caller), Ok(RawBody(body))) => (caller, body),
    };
    let reports = cmcd::read(&body);
    metrics.reported(Reported::Unreadable, reports.unreadable);
    metrics.reported(Reported::Surplus, reports.surplus);
    let mut all_stop = !reports.streams.is_empty();
    for (stream, report) in reports.streams {
        let reported = take_in(&api, &caller, stream, report).await;
        metrics.reported(reported, 1);
        all_stop &= verdict(&caller, reported) == Verdict::Stop;
    }
    received(if all_stop {
        Verdict::Stop
    } else {
        Verdict::PlayOn
    })
}

/// Does what the last word about a stream asks for.
async fn take_in(api: &Api, caller: &Caller, stream: Option<StreamId>, report: Report) -> Reported {
    let Some(id) = stream.or_else(|| caller.own_stream().cloned()) else {
        return Reported::Refused;
    };
    let Ok(user) = caller.may_touch(None, &id) else {
        return Reported::Refused;
    };
    let target = Target {
        user: user.as_ref(),
        id: &id,
    };
    let limiter = api.limiter();
    match report {
        Report::Beat(beat) => {
            let claim = || caller.claim(api, &id, None);
            let beaten = limiter.heartbeat(target, &beat, claim).await;
            beaten.map_or(Reported::Failed, |answer| outcome_of(&answer))
        }
        Report::Finished => match limiter.lapse(target).await {
            Ok(true) => Reported::Finished,
            Ok(false) => Reported::Nothing,
            Err(_) => Reported::Failed,
        },
    }
}

fn outcome_of(answer: &Answer<Readmitted>) -> Reported {
    let readmitted = match answer {
        Answer::Provisional(_) => return Reported::Forgiven,
        Answer::Decided(readmitted) => readmitted,
    };
    match readmitted {
        Readmitted::Known(Beat::Renewed(_) | Beat::Fresh(_) | Beat::Joined(_)) => Reported::Renewed,
        Readmitted::Known(Beat::Resumed(_)) | Readmitted::Entered { .. } => Reported::Resumed,
        Readmitted::Known(Beat::Over(_)) | Readmitted::Denied(_) => Reported::Over,
        Readmitted::Known(Beat::Unknown) => Reported::Unknown,
    }
}

fn verdict(caller: &Caller, reported: Reported) -> Verdict {
    match reported {
        Reported::Over => Verdict::Stop,
        // It was admitted, and has had no place for so long that nobody remembers.
        Reported::Unknown if caller.own_stream().is_some() => Verdict::Stop,
        Reported::Unknown
        | Reported::Renewed
        | Reported::Resumed
        | Reported::Forgiven
        | Reported::Finished
        | Reported::Nothing
        | Reported::Failed
        | Reported::Refused
        | Reported::Unreadable
        | Reported::Surplus
        | Reported::TooLarge => Verdict::PlayOn,
    }
}

fn received(verdict: Verdict) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if verdict == Verdict::Stop {
        let stop = HeaderValue::from_static("stop");
        response.headers_mut().insert(STREAM_ACTION, stop);
    }
    response
}

/// Turns what kept a report out (too many requests, an engine out of sight) into what its player
/// takes. Another method than POST is nobody's report.
pub(super) async fn always_received(State(api): State<Api>, mut response: Response) -> Response {
    if response.status() == StatusCode::METHOD_NOT_ALLOWED || response.status().is_success() {
        return response;
    }
    api.0.metrics.reported(Reported::Failed, 1);
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.body_mut() = Body::empty();
    for header in [CONTENT_TYPE, CONTENT_LENGTH, RETRY_AFTER] {
        response.headers_mut().remove(header);
    }
    response
}
