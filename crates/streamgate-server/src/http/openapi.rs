//! The OpenAPI document, made from the handlers, and the page that shows it.

use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
#[cfg(feature = "docs")]
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::names::{ContentName, DeviceName, StreamName, UserName};
use super::problem::ProblemBody;
use super::{Api, gateways, news, reports, seed_routes, starts, streams, system};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "streamgate",
        description = "Stops an account from playing more video streams at once than it may.\n\n\
            Bodies are JSON objects; fields of a request that are not known are passed over, and \
            a client should do the same with those of an answer. Moments are RFC 3339 in UTC. \
            Errors are problem documents (RFC 9457) with a `code` that never changes, but for those \
            of the seed's paths.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(ProblemBody, ContentName, DeviceName, StreamName, UserName)),
    tags(
        (name = "streams", description = "What a player does: start, heartbeat, stop"),
        (name = "players", description = "What a player reports without any code of ours"),
        (name = "gateways", description = "What a gateway asks before it passes a request on"),
        (name = "users", description = "What an operator or a back end asks about a user"),
        (name = "seed", description = "The contract of the service that this one grew from"),
        (name = "system", description = "What machines ask about the service itself"),
    ),
)]
struct Base;

/// The paths whose callers take few answers: they say themselves which.
const RETICENT: [&str; 2] = ["/v1/check", "/v1/cmcd"];

/// The document, as `/openapi.json` and `streamgate openapi` show it.
pub(crate) fn document() -> Document {
    let routes: OpenApiRouter<Api> = OpenApiRouter::with_openapi(Base::openapi())
        .merge(starts())
        .merge(streams())
        .merge(news())
        .merge(reports())
        .merge(gateways())
        .merge(seed_routes())
        .merge(system());
    let mut document = routes.into_openapi();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    let bearer = bearer.description(Some(
        "An API key (`streamgate keys new`), a token of the video platform, or the token that a \
         start was answered with; the last may also come as `?t=`. Asked for where `auth` is \
         \"required\".",
    ));
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    // Where nobody is asked, nothing is needed.
    let none = SecurityRequirement::default();
    let needed = SecurityRequirement::new::<_, _, String>("bearer", []);
    document.security = Some(vec![none, needed]);
    for (path, item) in &mut document.paths.paths {
        if !path.starts_with("/v1/") {
            continue;
        }
        let operations = [&mut item.get, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let other_method = ("405", "This path does not take this method");
            if RETICENT.contains(&path.as_str()) {
                put(operation, [other_method]);
                continue;
            }
            let has_body = operation.request_body.is_some();
            let mut common = vec![
                other_method,
                ("400", "The request is not valid; `field` names where"),
            ];
            if has_body {
                common.push(("413", "The body is too large"));
                common.push(("415", "The body is not JSON"));
            }
            if path.contains('{') {
                common.push(("404", "There is nothing at this path"));
            }
            common.push((
                "401",
                "There is no credential where one is asked for, or none that is valid",
            ));
            common.push(("403", "The credential does not allow this"));
            common.push(("503", "Too much to do, or the store is down; nothing is known to have changed, and a retry is safe"));
            put(operation, common);
        }
    }
    document
}

/// Adds error answers to those that an operation names itself.
fn put(operation: &mut Operation, answers: impl IntoIterator<Item = (&'static str, &'static str)>) {
    for (status, description) in answers {
        let responses = &mut operation.responses.responses;
        responses
            .entry(status.into())
            .or_insert_with(|| problem(description));
    }
}

fn problem(description: &str) -> RefOr<utoipa::openapi::Response> {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new().description(description);
    RefOr::T(
        response
            .content("application/problem+json", content)
            .build(),
    )
}

/// `/openapi.json` and, for people, `/docs`.
pub(super) fn routes() -> Router<Api> {
    let document = document();
    let routes = Router::new().route(
        "/openapi.json",
        axum::routing::get(async move || Json(document)),
    );
    #[cfg(feature = "docs")]
    let routes = routes.merge(SwaggerUi::new("/docs").config(Config::from("/openapi.json")));
    routes
}
