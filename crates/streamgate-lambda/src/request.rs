//! What a client sent, out of what AWS made of it.

#[cfg(test)]
mod tests;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Uri};
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use tracing::{Span, error_span};

/// What X-Ray follows a request by.
const TRACE: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request with the path that stands below the stage, and with Lambda's name for it unless it
/// has one: the same that is in each line of the log.
pub(crate) fn as_sent(mut request: Request) -> Request {
    let below_stage = {
        // A REST API has taken the stage away and lambda_http puts it back; an HTTP API leaves it.
        let path = request.raw_http_path();
        let context = request.request_context_ref();
        let stage = if let Some(RequestContext::ApiGatewayV1(context)) = context {
            context.stage.as_deref()
        } else if let Some(RequestContext::ApiGatewayV2(context)) = context {
            context.stage.as_deref()
        } else {
            None
        };
        let rest = path.strip_prefix('/').zip(stage);
        let rest = rest.and_then(|(path, stage)| path.strip_prefix(stage));
        let rest = rest.filter(|rest| rest.starts_with('/'));
        rest.unwrap_or(path).to_owned()
    };
    let target = match request.uri().query() {
        Some(query) => format!("{below_stage}?{query}"),
        None => below_stage,
    };
    // What is no path stays as lambda_http has it.
    if let Ok(target) = target.parse::<PathAndQuery>() {
        *request.uri_mut() = Uri::from(target);
    }
    let name = request
        .lambda_context_ref()
        .and_then(|context| HeaderValue::from_str(&context.request_id).ok());
    if let (Some(name), false) = (name, request.headers().contains_key(REQUEST_ID)) {
        request.headers_mut().insert(REQUEST_ID, name);
    }
    request
}

/// What each line of the log says of the request: the trace that Lambda, or else its front, gave
/// it. Lambda's name for it is there already.
pub(crate) fn span(request: &Request) -> Span {
    let trace = request.headers().get(TRACE).and_then(|it| it.to_str().ok());
    error_span!("request", trace)
}
