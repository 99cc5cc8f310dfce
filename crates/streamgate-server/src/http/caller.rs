//! Who calls, and what they may do: an extractor in the signature of every handler that does
//! something for somebody. What is allowed is decided here and nowhere else.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use streamgate_core::{Admitted, Claim, Limit, Place, StreamId, UserId};

use super::Api;
use super::extract::Query;
use super::heartbeat::Whose;
use super::problem::Problem;
use crate::auth::{Asked, Granted, KEY_PREFIX, Player, Refusal, Scope, StreamProof, TooMany};
use crate::cmcd;
use crate::metrics::{Called, Limited};

/// The name of the query parameter that may carry a stream token: players and
/// `navigator.sendBeacon` can't set headers.
const TOKEN_PARAMETER: &str = "t";
/// Where a gateway names the stream that it asks about.
const STREAM_ID: &str = "stream-id";
/// Where players name theirs (CTA-5004-B, request mode).
const CMCD_SESSION: &str = "cmcd-session";
/// Where gateways put the address that was asked for: nginx by custom, Traefik and Caddy.
const ORIGINALS: [&str; 3] = ["x-original-uri", "x-original-url", "x-forwarded-uri"];
/// The path whose query is its own. Below it, it is that of the request that is asked about.
const CHECK: &str = "/v1/check";

/// Whoever calls, as far as that was proved.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Nobody is asked: whoever reaches the service may do everything. A player may bring its
    /// stream's token all the same.
    Anybody(Option<StreamProof>),
    /// A back end or an operator, with an API key or a client certificate.
    Trusted(Arc<Granted>),
    /// A player, by a token of the video platform. It acts for its own user only.
    Player(Player),
    /// The player of one stream, by the token that its start was answered with.
    Stream(StreamProof),
}

/// A stream that a gateway asks about, who may know.
pub(super) struct Questioned {
    pub(super) user: Option<UserId>,
    pub(super) stream: StreamId,
    /// What its player can prove, if it was the player who said which.
    pub(super) proof: Option<StreamProof>,
}

/// Whoever sends a player's reports: it is answered alike.
pub(super) enum Reporter {
    Known(Caller),
    /// The player of a stream whose token for reports is over.
    Late,
    Nobody,
}

/// A client whose certificate is of the configured authority: an extension of its requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Certified;

/// A caller that may evict streams.
pub(super) struct Operator;

/// A caller that may read what concerns everybody.
pub(super) struct Reader;

/// A caller that may send heartbeats for any user.
pub(super) struct BackEnd(pub(super) Caller);

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Some(asked) = &api.0.auth.asked else {
            let token = credential(parts).ok().flatten();
            let proof = token.and_then(|it| proof(api, it.text()).ok());
            return Ok(Self::Anybody(proof));
        };
        let caller = match credential(parts) {
            Ok(credential) => who(parts, api, asked, credential).await,
            Err(problem) => Err(problem),
        };
        counted_call(api, caller)
    }
}

fn counted_call(api: &Api, caller: Result<Caller, Problem>) -> Result<Caller, Problem> {
    api.0.metrics.called(match &caller {
        Ok(Caller::Trusted(_) | Caller::Anybody(_)) => Called::Trusted,
        Ok(Caller::Player(_)) => Called::Player,
        Ok(Caller::Stream(_)) => Called::Stream,
        Err(_) => Called::Nobody,
    });
    caller
}

async fn who(
    parts: &Parts,
    api: &Api,
    asked: &Asked,
    credential: Option<Credential<'_>>,
) -> Result<Caller, Problem> {
    let token = match credential {
        None if parts.extensions.get::<Certified>().is_some() => {
            let scopes = asked.certificate_scopes.clone();
            let granted = Granted::new("certificate".into(), scopes);
            return Ok(Caller::Trusted(Arc::new(granted)));
        }
        None => return Err(Problem::unauthorized("no credentials")),
        // URLs stand in the logs of proxies: no other credential is taken there.
        Some(Credential::InQuery(token)) => return proof(api, token).map(Caller::Stream),
        Some(Credential::InHeader(token)) => token,
    };
    if token.starts_with(KEY_PREFIX) {
        let granted = asked.keys.verify(token, api.limiter().clock().wall());
        return granted
            .map(Caller::Trusted)
            .ok_or_else(|| Problem::unauthorized("the API key is not valid"));
    }
    let proved = proof(api, token).map(Caller::Stream);
    if proved.is_ok() || api.0.auth.stream_tokens.knows(token) {
        return proved;
    }
    let Some(players) = &asked.players else {
        return Err(Problem::unauthorized("the token is not valid"));
    };
    match players.verify(token).await {
        Ok(player) => Ok(Caller::Player(player)),
        Err(Refusal::Invalid(reason)) => {
            tracing::debug!(reason, "a token was refused");
            Err(Problem::unauthorized("the token is not valid"))
        }
        Err(Refusal::NoKeys) => Err(Problem::issuer_unreached()),
    }
}

/// What a request says of who it is from.
enum Credential<'a> {
    InHeader(&'a str),
    InQuery(&'a str),
}

impl<'a> Credential<'a> {
    fn text(&self) -> &'a str {
        match self {
            Self::InHeader(text) | Self::InQuery(text) => text,
        }
    }
}

/// The one credential of a request. Of two, each could be meant by somebody else.
fn credential(parts: &Parts) -> Result<Option<Credential<'_>>, Problem> {
    let in_query = parts.uri.query().and_then(token_parameter);
    match (token_header(&parts.headers)?, in_query) {
        (None, None) => Ok(None),
        (None, Some(token)) => Ok(Some(Credential::InQuery(token))),
        (Some(token), None) => Ok(Some(Credential::InHeader(token))),
        (Some(_), Some(_)) => Err(Problem::unauthorized("more than one credential")),
    }
}

fn token_header(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut headers = headers.get_all(AUTHORIZATION).iter();
    match (headers.next(), headers.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => std::str::from_utf8(value.as_bytes())
            .ok()
            .and_then(bearer)
            .map(Some)
            .ok_or_else(|| Problem::unauthorized("Authorization must be Bearer and one token")),
        (Some(_), Some(_)) => Err(Problem::unauthorized("more than one credential")),
    }
}

/// The stream that a gateway or a player names.
fn stream_named(parts: &Parts) -> Option<StreamId> {
    let text = |name: &str| parts.headers.get(name)?.to_str().ok();
    if let Some(id) = text(STREAM_ID).filter(|it| !it.is_empty()) {
        return StreamId::parse(id).ok();
    }
    if let Some(dictionary) = parts.headers.get(CMCD_SESSION) {
        return cmcd::stream_of(dictionary.as_bytes());
    }
    let originals = ORIGINALS.into_iter().filter_map(text);
    let originals = originals.map(|address| address.split_once('?').map(|(_, query)| query));
    let mut queries = std::iter::once(parts.uri.query())
        .chain(originals)
        .flatten();
    queries.find_map(cmcd::stream_of_query)
}

fn proof(api: &Api, token: &str) -> Result<StreamProof, Problem> {
    let proof = api
        .0
        .auth
        .stream_tokens
        .verify(token, api.limiter().clock().wall());
    proof.ok_or_else(|| Problem::unauthorized("the stream token is not valid"))
}

fn counted(api: &Api, whose: Limited, count: Result<(), TooMany>) -> Result<(), Problem> {
    count.map_err(|too_many| {
        api.0.metrics.rate_limited(whose);
        too_many.into()
    })
}

/// What follows the scheme (RFC 6750, section 2.1), whose case does not matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    // Two of them are no token at all: none has a space or a comma in it.
    scheme
        .eq_ignore_ascii_case("bearer ")
        .then(|| token.trim_ascii())
}

/// The token in a query. Ours have no character that would be escaped.
fn token_parameter(query: &str) -> Option<&str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(name, _)| *name == TOKEN_PARAMETER)
        .map(|(_, value)| value)
}

impl Caller {
    /// Whether it may start a stream of this user, and the limit that its token has. What the
    /// request itself says of a limit or a plan counts only for those that are trusted.
    pub(super) fn may_start(
        &self,
        api: &Api,
        user: &UserId,
        asks_for_limit: bool,
    ) -> Result<Option<Limit>, Problem> {
        let limit = match self {
            Self::Anybody(_) => None,
            Self::Trusted(granted) => {
                granted.must_have(Scope::Play)?;
                granted.count_start();
                counted(api, Limited::Key, api.0.auth.rates.key_starts(&granted.id))?;
                None
            }
            Self::Player(player) if player.user != *user => {
                return Err(Problem::forbidden("the token is another user's"));
            }
            Self::Player(_) if asks_for_limit => {
                let detail = "a player's limit and plan are what its token says";
                return Err(Problem::forbidden(detail));
            }
            Self::Player(player) => {
                let at = api.limiter().locator_of(user);
                counted(api, Limited::Player, api.0.auth.rates.player_starts(at))?;
                player.limit
            }
            Self::Stream(_) => return Err(Problem::forbidden("a stream token starts nothing")),
        };
        Ok(limit)
    }

    /// Whether it may keep or end this stream, and under which user it is to be looked for: a
    /// player's own, whatever the request says, so that another's stream is answered like one
    /// that never was.
    pub(super) fn may_touch(
        &self,
        user: Option<UserId>,
        id: &StreamId,
    ) -> Result<Option<UserId>, Problem> {
        let own = match self {
            Self::Anybody(_) => return Ok(user),
            Self::Trusted(granted) => return granted.must_have(Scope::Play).map(|()| user),
            Self::Player(player) => &player.user,
            Self::Stream(proof) if proof.stream == *id => &proof.user,
            Self::Stream(_) => return Err(Problem::forbidden("the token is another stream's")),
        };
        if user.is_some_and(|user| user != *own) {
            return Err(Problem::forbidden("the token is another user's"));
        }
        Ok(Some(own.clone()))
    }

    /// Whether it may hear how this stream ends, and under which user it is to be looked for.
    pub(super) fn may_watch(
        &self,
        user: Option<UserId>,
        id: &StreamId,
    ) -> Result<Option<UserId>, Problem> {
        match self {
            Self::Trusted(granted) => granted.may_look().map(|()| user),
            Self::Anybody(_) | Self::Player(_) | Self::Stream(_) => self.may_touch(user, id),
        }
    }

    /// Whether it may ask if a start of this user would be admitted, and the limit that its token
    /// has.
    pub(super) fn may_ask(
        &self,
        user: &UserId,
        asks_for_limit: bool,
    ) -> Result<Option<Limit>, Problem> {
        self.may_see(user)?;
        match self {
            Self::Player(_) if asks_for_limit => {
                let detail = "a player's limit and plan are what its token says";
                Err(Problem::forbidden(detail))
            }
            Self::Player(player) => Ok(player.limit),
            Self::Anybody(_) | Self::Trusted(_) | Self::Stream(_) => Ok(None),
        }
    }

    /// Whether it may see who is watching.
    pub(super) fn may_see(&self, user: &UserId) -> Result<(), Problem> {
        match self {
            Self::Anybody(_) => Ok(()),
            Self::Trusted(granted) => granted.may_look(),
            Self::Player(player) if player.user == *user => Ok(()),
            Self::Player(_) => Err(Problem::forbidden("the token is another user's")),
            Self::Stream(_) => Err(Problem::forbidden("a stream token shows nothing of others")),
        }
    }

    /// Whether it may ask if a stream is live whose name it knows, and whose that is then.
    fn may_know_of(&self, user: Option<UserId>) -> Result<Option<UserId>, Problem> {
        match self {
            Self::Anybody(_) => Ok(user),
            Self::Trusted(granted) => granted.may_look().map(|()| user),
            Self::Player(player) => Ok(Some(player.user.clone())),
            Self::Stream(_) => Err(Problem::forbidden("the token is another stream's")),
        }
    }

    /// The stream that it is the player of, as far as it proved that.
    pub(super) fn own_stream(&self) -> Option<&StreamId> {
        match self {
            Self::Anybody(Some(proof)) | Self::Stream(proof) => Some(&proof.stream),
            Self::Anybody(None) | Self::Trusted(_) | Self::Player(_) => None,
        }
    }

    fn must_have_some(&self, scopes: &[Scope]) -> Result<(), Problem> {
        match self {
            Self::Anybody(_) => Ok(()),
            Self::Trusted(granted) => granted.must_have_some(scopes),
            Self::Player(_) | Self::Stream(_) => Err(Problem::forbidden("this needs an API key")),
        }
    }

    /// What it can prove of this stream: by its own credential, or by the stream's token that a
    /// back end passes on.
    pub(super) fn claim(&self, api: &Api, id: &StreamId, passed_on: Option<&str>) -> Option<Claim> {
        let now = api.limiter().clock().wall();
        let own = match self {
            Self::Anybody(Some(proof)) | Self::Stream(proof) => Some(proof),
            Self::Anybody(None) | Self::Trusted(_) | Self::Player(_) => None,
        };
        let passed_on = passed_on.and_then(|token| api.0.auth.stream_tokens.verify(token, now));
        let proof = passed_on.as_ref().or(own).filter(|it| it.stream == *id)?;
        let is_own = match self {
            Self::Player(player) => player.user == proof.user,
            Self::Stream(own) => own.user == proof.user,
            Self::Anybody(_) | Self::Trusted(_) => true,
        };
        is_own.then(|| proof.claim(now))?
    }

    /// A new token for a player whose own is old, provisional, or the platform's. A back end's
    /// heartbeat has no use for one.
    pub(super) fn renewed(&self, api: &Api, place: &Place) -> Option<String> {
        let is_due = match self {
            Self::Anybody(None) | Self::Trusted(_) => false,
            Self::Player(_) => true,
            Self::Anybody(Some(proof)) | Self::Stream(proof) => proof.is_to_be_renewed,
        };
        is_due.then(|| {
            let now = api.limiter().clock().wall();
            api.0.auth.token_of(place, Admitted::ByStore, now)
        })
    }
}

impl Granted {
    fn must_have(&self, scope: Scope) -> Result<(), Problem> {
        self.must_have_some(&[scope])
    }

    fn may_look(&self) -> Result<(), Problem> {
        self.must_have_some(&[Scope::Read, Scope::Operate, Scope::Play])
    }

    fn must_have_some(&self, scopes: &[Scope]) -> Result<(), Problem> {
        if scopes.iter().any(|scope| self.scopes.contains(scope)) {
            Ok(())
        } else {
            Err(Problem::forbidden("the API key has another scope"))
        }
    }
}

impl FromRequestParts<Api> for Reporter {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Infallible> {
        let now = api.limiter().clock().wall();
        let token = parts.uri.query().and_then(token_parameter);
        let tokens = &api.0.auth.stream_tokens;
        if let Some(proof) = token.and_then(|it| tokens.verify_for_reports(it, now)) {
            return Ok(Self::Known(Caller::Stream(proof)));
        }
        if token.is_some_and(|it| tokens.was_for_reports(it)) {
            return Ok(Self::Late);
        }
        Ok(match Caller::from_request_parts(parts, api).await {
            // Also where nobody is asked its token says which stream is meant.
            Ok(Caller::Anybody(Some(proof))) => Self::Known(Caller::Stream(proof)),
            Ok(caller) => Self::Known(caller),
            Err(_) => Self::Nobody,
        })
    }
}

impl FromRequestParts<Api> for Questioned {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let questioned = questioned(parts, api).await;
        questioned.map_err(Problem::told_to_a_gateway)
    }
}

/// A player's own token says which stream is meant. Without one it is whatever stream is named,
/// for those who may know. What a viewer's request has in `Authorization` or as `t` may be meant
/// for somebody else: only a good token is one.
async fn questioned(parts: &mut Parts, api: &Api) -> Result<Questioned, Problem> {
    let named = stream_named(parts);
    let in_header = token_header(&parts.headers).ok().flatten();
    let in_query = parts.uri.query().and_then(token_parameter);
    let proofs = [in_header, in_query].map(|token| token.and_then(|it| proof(api, it).ok()));
    let caller = match proofs {
        [Some(_), Some(_)] => return Err(Problem::unauthorized("more than one credential")),
        [Some(proof), None] | [None, Some(proof)] => {
            if named.is_some_and(|named| named != proof.stream) {
                return Err(Problem::forbidden("the token is another stream's"));
            }
            return Ok(Questioned {
                user: Some(proof.user.clone()),
                stream: proof.stream.clone(),
                proof: Some(proof),
            });
        }
        [None, None] => {
            let credential = in_header.map(Credential::InHeader);
            match (&api.0.auth.asked, &named) {
                (None, _) => Caller::Anybody(None),
                (Some(_), None) => return Err(Problem::unauthorized("no stream token")),
                (Some(asked), Some(_)) => {
                    let mut caller = who(parts, api, asked, credential).await;
                    if caller.is_err() && parts.extensions.get::<Certified>().is_some() {
                        caller = who(parts, api, asked, None).await;
                    }
                    counted_call(api, caller)?
                }
            }
        }
    };
    let Some(stream) = named else {
        return Err(Problem::unauthorized("no stream is named"));
    };
    let whose = match parts.uri.path() {
        CHECK => Query::<Whose>::from_request_parts(parts, api).await?.0,
        _ => Whose::default(),
    };
    let user = caller.may_know_of(whose.parse()?)?;
    Ok(Questioned {
        user,
        stream,
        proof: None,
    })
}

impl FromRequestParts<Api> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, api).await?;
        caller.must_have_some(&[Scope::Operate]).map(|()| Self)
    }
}

impl FromRequestParts<Api> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, api).await?;
        let scopes = [Scope::Read, Scope::Operate];
        caller.must_have_some(&scopes).map(|()| Self)
    }
}

impl FromRequestParts<Api> for BackEnd {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, api).await?;
        caller.must_have_some(&[Scope::Play]).map(|()| Self(caller))
    }
}
