//! What a player is told without asking: how its stream ends, as server-sent events (HTML
//! Standard, section 9.2).

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use streamgate_core::{Standing, StreamId, Target, Timestamp, UserId};
use streamgate_store::StoreError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::caller::Caller;
use super::extract::{Path, Query, stream_id};
use super::heartbeat::Whose;
use super::names::StreamName;
use super::problem::{Problem, ProblemBody};
use crate::config::HttpConfig;
use crate::watchers::{Watch, Woken};

/// How often something is said when there is nothing to say: proxies close what is silent for a
/// minute, and a client that is gone is noticed by what is sent to it.
const COMMENT: Duration = Duration::from_secs(15);
/// How often that is said: after an hour the player connects anew, and proves anew who it is.
const COMMENTS_MAX: u32 = 240;
/// How soon a stream is looked up again while the store is away: soon at first, then less and less.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(16);
/// The least time between two looks at a lease that should be over.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// When to come again after an answer that ended before the stream did: not all at once.
const RETRY_MS: std::ops::Range<u64> = 1000..5000;
/// The last event's id. A browser that comes back with it, since nobody closed its `EventSource`,
/// is answered 204, which makes it stay away.
const LAST: &str = "ended";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// nginx passes on at once what is answered with this.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How many may have their events open: three quarters of the connections, so that heartbeats
/// still get one.
pub(crate) fn watchers_max(config: &HttpConfig) -> usize {
    (config.connections_max * 3 / 4).max(1)
}

/// The connection is about to be closed: an extension of its requests.
#[derive(Clone, Debug)]
pub(super) struct Leaving(pub(super) CancellationToken);

/// This answer lasts: an extension of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lasting;

/// Tells a player how its stream ends
///
/// Server-sent events. The first is `live`, and `ended` comes within a second of the stream's end,
/// with what a heartbeat is answered then: the problem document, whose `code` is
/// `stream-replaced` (and `by`, the stream that has the place), `stream-evicted`, `stream-stopped`
/// or `stream-expired`. Then the answer is over. After `stream-expired` a heartbeat may still bring
/// the stream back if there is room; after the others nothing does.
///
/// It renews no lease: heartbeats go on. A comment comes every 15 s. An answer that ends without
/// `ended` (after an hour, or when the service is restarted) says nothing of the stream: connect
/// again. With several nodes over DynamoDB the end of a stream is told when its lease would be
/// over, and to the next heartbeat. Not there in AWS Lambda.
#[utoipa::path(
    get,
    path = "/v1/streams/{streamId}/events",
    operation_id = "streamEvents",
    tag = "streams",
    params(
        ("streamId" = StreamName, Path),
        Whose,
        ("Last-Event-ID" = Option<String>, Header, nullable = false,
            description = "The `id` of the last event. Only that of `ended` makes a difference: 204"),
    ),
    responses(
        (status = 200, description = "Events `live` and `ended`", body = String, content_type = "text/event-stream"),
        (status = 204, description = "It is over, and that was told already"),
        (status = 404, description = "It never existed", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn events(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(whose): Query<Whose>,
    leaving: Option<Extension<Leaving>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = stream_id(&id)?;
    let user = caller.may_watch(whose.parse()?, &id)?;
    let target = Target {
        user: user.as_ref(),
        id: &id,
    };
    let at = api.limiter().locator(target);
    let at = at.ok_or_else(Problem::stream_unknown)?;
    let watch = api.limiter().watch(at, &id).ok_or_else(|| {
        api.0.metrics.shed();
        Problem::too_many_watchers()
    })?;
    // Watched first, so that nothing that happens after the look is missed.
    let next = match api.limiter().standing(target).await? {
        Standing::Unknown if caller.claim(&api, &id, None).is_none() => {
            return Err(Problem::stream_unknown());
        }
        Standing::Over(_) if headers.get(LAST_EVENT_ID).is_some_and(|id| id == LAST) => {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        standing @ (Standing::Over(_) | Standing::Live { .. } | Standing::Unknown) => {
            Next::Tell(standing)
        }
    };
    let leaving = leaving.map_or_else(|| api.0.draining.clone(), |it| it.0.0);
    let telling = Telling {
        api,
        user,
        id,
        watch,
        leaving,
        next,
        look_at: None,
        looking: None,
        look_again: LOOK_AGAIN,
        comment_at: Instant::now() + COMMENT,
        comments_left: COMMENTS_MAX,
    };
    let unbuffered = HeaderValue::from_static("no");
    let headers = [(ACCEL_BUFFERING, unbuffered)];
    Ok((headers, Extension(Lasting), Sse::new(telling.events())).into_response())
}

/// One player's events.
struct Telling {
    api: Api,
    user: Option<UserId>,
    id: StreamId,
    watch: Watch,
    leaving: CancellationToken,
    next: Next,
    /// When the lease ends that was seen last.
    look_at: Option<Instant>,
    /// A look that takes its time, while comments go on.
    looking: Option<Looking>,
    look_again: Duration,
    comment_at: Instant,
    comments_left: u32,
}

enum Next {
    Tell(Standing),
    Wait,
    End,
}

enum Happened {
    Leaving,
    Woken(Woken),
    Seen(Result<Standing, StoreError>),
    Time,
}

type Looking = Pin<Box<dyn Future<Output = Result<Standing, StoreError>> + Send>>;

impl Telling {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, async |mut it| {
            let event = it.event().await?;
            Some((Ok(event), it))
        })
    }

    /// The next event or comment; `None` when there is no more.
    async fn event(&mut self) -> Option<Event> {
        match std::mem::replace(&mut self.next, Next::Wait) {
            Next::End => return None,
            Next::Wait => {}
            Next::Tell(standing) => {
                if let Some(told) = self.tell(&standing) {
                    return Some(told);
                }
                let said = json!({"streamId": self.id.to_string(), "state": "live"});
                return Some(Event::default().event("live").data(said.to_string()));
            }
        }
        loop {
            match self.happening().await {
                Happened::Leaving => return Some(self.come_again()),
                Happened::Woken(Woken::LetGo) => return None,
                // A look that began before may have missed it.
                Happened::Woken(Woken::News) => self.looking = Some(self.look()),
                Happened::Seen(seen) => {
                    self.looking = None;
                    if let Some(told) = self.take_in(seen) {
                        return Some(told);
                    }
                }
                Happened::Time if self.comment_at <= Instant::now() => {
                    self.comment_at = Instant::now() + COMMENT;
                    self.comments_left -= 1;
                    return Some(if self.comments_left == 0 {
                        self.come_again()
                    } else {
                        Event::default().comment("")
                    });
                }
                Happened::Time => {
                    self.look_at = None;
                    self.looking = Some(self.look());
                }
            }
        }
    }

    async fn happening(&mut self) -> Happened {
        let alarm = self
            .look_at
            .map_or(self.comment_at, |at| at.min(self.comment_at));
        let looking = async {
            match &mut self.looking {
                Some(looking) => looking.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.leaving.cancelled() => Happened::Leaving,
            woken = self.watch.woken() => Happened::Woken(woken),
            seen = looking => Happened::Seen(seen),
            () = tokio::time::sleep_until(alarm) => Happened::Time,
        }
    }

    /// Looks the stream up, when it is its turn.
    fn look(&self) -> Looking {
        let (api, user, id) = (self.api.clone(), self.user.clone(), self.id.clone());
        Box::pin(async move {
            let target = Target {
                user: user.as_ref(),
                id: &id,
            };
            let _turn = api.limiter().watchers().turn().await;
            api.limiter().standing(target).await
        })
    }

    /// What there is to tell of what was seen, if anything.
    fn take_in(&mut self, seen: Result<Standing, StoreError>) -> Option<Event> {
        if let Ok(standing) = seen {
            self.look_again = LOOK_AGAIN;
            return self.tell(&standing);
        }
        let pause = self.look_again.mul_f64(rand::random_range(0.5..1.0));
        self.look_at = Some(Instant::now() + pause);
        self.look_again = (self.look_again * 2).min(LOOK_AGAIN_MAX);
        None
    }

    /// What there is to tell of this, if anything.
    fn tell(&mut self, standing: &Standing) -> Option<Event> {
        match standing {
            Standing::Live { until } => {
                self.look_at = Some(self.instant_of(*until));
                None
            }
            Standing::Over(over) => {
                self.next = Next::End;
                let said = Problem::over(over).text();
                Some(Event::default().event("ended").id(LAST).data(said))
            }
            // The store lost it. Its player's heartbeat may bring it back.
            Standing::Unknown => Some(self.come_again()),
        }
    }

    fn instant_of(&self, at: Timestamp) -> Instant {
        let left = at.since(self.api.limiter().clock().now());
        Instant::now() + left.max(LOOK_PAUSE)
    }

    /// The last word when it is not of the stream.
    fn come_again(&mut self) -> Event {
        self.next = Next::End;
        let millis = rand::random_range(RETRY_MS);
        Event::default().retry(Duration::from_millis(millis))
    }
}
