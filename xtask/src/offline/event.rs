//! API Gateway's events: what it makes of a request, and a response of what the function answers.
//! The REST API's event is the format 1.0 of Lambda proxy integrations, the HTTP API's is 2.0.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use clap::ValueEnum;
use http::header::{CONTENT_TYPE, COOKIE, HOST, SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

const TRACE: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const ACCOUNT: &str = "123456789012";
const API: &str = "offline";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Which kind of API it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Api {
    /// A REST API, as the Serverless Framework's `http` makes it
    Rest,
    /// An HTTP API, as `template.yaml` makes it
    Http,
}

impl Api {
    /// The answer to a request that is not below the stage.
    pub(super) fn no_stage(self) -> Response {
        match self {
            Self::Rest => message(StatusCode::FORBIDDEN, "Forbidden"),
            Self::Http => message(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    /// What carries the name of the request in an answer.
    fn request_id(self) -> HeaderName {
        match self {
            Self::Rest => HeaderName::from_static("x-amzn-requestid"),
            Self::Http => HeaderName::from_static("apigw-requestid"),
        }
    }
}

/// A request below the stage, without its body.
pub(super) struct Call {
    api: Api,
    stage: String,
    head: Parts,
    /// The path below the stage.
    path: String,
    client: SocketAddr,
    id: String,
    at: Timestamp,
}

impl Call {
    /// None for a request that is not below the stage.
    pub(super) fn new(api: Api, stage: &str, mut head: Parts, client: SocketAddr) -> Option<Self> {
        let path = head.uri.path().strip_prefix('/')?.strip_prefix(stage)?;
        let path = match path {
            "" => "/",
            path if path.starts_with('/') => path,
            _longer_name => return None,
        };
        let (path, at) = (path.to_owned(), Timestamp::now());
        let random = getrandom::u64().unwrap_or_default();
        let more = getrandom::u64().unwrap_or_default();
        let hex = format!("{random:016x}{more:016x}");
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        let headers = &mut head.headers;
        if !headers.contains_key(TRACE) {
            let trace = format!("Root=1-{:08x}-{}", at.as_second(), &hex[..24]);
            headers.insert(TRACE, visible(&trace));
        }
        let ip = client.ip().to_string();
        let forwarded = match headers.get(FORWARDED_FOR).map(text) {
            Some(before) => format!("{before}, {ip}"),
            None => ip,
        };
        headers.insert(FORWARDED_FOR, visible(&forwarded));
        headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
        Some(Self {
            api,
            stage: stage.to_owned(),
            head,
            path,
            client,
            id: parts.join("-"),
            at,
        })
    }

    /// What follows the request through the services.
    pub(super) fn trace(&self) -> HeaderValue {
        self.head.headers[TRACE].clone()
    }

    /// The event that the function is given.
    pub(super) fn event(&self, body: &[u8]) -> String {
        let event = match self.api {
            Api::Rest => self.rest_event(body),
            Api::Http => self.http_event(body),
        };
        event.to_string()
    }

    fn rest_event(&self, body: &[u8]) -> Value {
        let (body, is_base64) = body_of(body);
        let query = self.query();
        let (last, all) = lists(
            query
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone())),
        );
        let headers = &self.head.headers;
        let (one, many) = lists(
            headers
                .iter()
                .map(|(name, value)| (name.as_str(), text(value))),
        );
        let or_null = |map: Map<String, Value>| {
            if map.is_empty() {
                Value::Null
            } else {
                map.into()
            }
        };
        json!({
            "resource": "/{proxy+}",
            "path": self.path,
            "httpMethod": self.head.method.as_str(),
            "headers": one,
            "multiValueHeaders": many,
            "queryStringParameters": or_null(last),
            "multiValueQueryStringParameters": or_null(all),
            "pathParameters": {"proxy": self.path.trim_start_matches('/')},
            "stageVariables": null,
            "requestContext": {
                "accountId": ACCOUNT,
                "apiId": API,
                "domainName": self.header(HOST),
                "domainPrefix": API,
                "extendedRequestId": self.id,
                "httpMethod": self.head.method.as_str(),
                "identity": {
                    "sourceIp": self.client.ip(),
                    "userAgent": self.header(USER_AGENT),
                },
                "path": self.head.uri.path(),
                "protocol": format!("{:?}", self.head.version),
                "requestId": self.id,
                "requestTime": self.time(),
                "requestTimeEpoch": self.at.as_millisecond(),
                "resourceId": "proxy",
                "resourcePath": "/{proxy+}",
                "stage": self.stage,
            },
            "body": body,
            "isBase64Encoded": is_base64,
        })
    }

    fn http_event(&self, body: &[u8]) -> Value {
        let (body, is_base64) = body_of(body);
        let mut headers = joined(
            self.head
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), text(value))),
        );
        headers.remove(COOKIE.as_str());
        let query = self.query();
        let query = joined(
            query
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone())),
        );
        let raw_path = self.head.uri.path();
        let mut event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": raw_path,
            "rawQueryString": self.head.uri.query().unwrap_or_default(),
            "headers": headers,
            "requestContext": {
                "accountId": ACCOUNT,
                "apiId": API,
                "domainName": self.header(HOST),
                "domainPrefix": API,
                "http": {
                    "method": self.head.method.as_str(),
                    "path": raw_path,
                    "protocol": format!("{:?}", self.head.version),
                    "sourceIp": self.client.ip(),
                    "userAgent": self.header(USER_AGENT),
                },
                "requestId": self.id,
                "routeKey": "$default",
                "stage": self.stage,
                "time": self.time(),
                "timeEpoch": self.at.as_millisecond(),
            },
            "isBase64Encoded": is_base64,
        });
        // What is not there is left out.
        let cookies = self.head.headers.get_all(COOKIE).iter().map(text);
        let cookies: Vec<String> = cookies
            .flat_map(|line| line.split("; ").map(str::to_owned).collect::<Vec<_>>())
            .collect();
        if !cookies.is_empty() {
            event["cookies"] = cookies.into();
        }
        if !query.is_empty() {
            event["queryStringParameters"] = json!(query);
        }
        if !body.is_null() {
            event["body"] = body;
        }
        event
    }

    /// The names and values in the query, decoded.
    fn query(&self) -> Vec<(String, String)> {
        let query = self.head.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect()
    }

    fn header(&self, name: HeaderName) -> String {
        self.head.headers.get(name).map(text).unwrap_or_default()
    }

    fn time(&self) -> String {
        self.at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
    }

    /// The response that API Gateway makes of what the function answered.
    pub(super) fn response(&self, answer: &[u8]) -> Response {
        match self.read(answer) {
            Some(mut response) => {
                self.name(response.headers_mut());
                response
            }
            None => self.refused(StatusCode::BAD_GATEWAY),
        }
    }

    /// None for an answer that is none, such as the report of an error.
    fn read(&self, answer: &[u8]) -> Option<Response> {
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let answer = answer.as_object()?;
        let status = match (answer.get("statusCode"), self.api) {
            // Some languages' JSON has no whole numbers.
            (Some(status), _) => status.as_u64().or_else(|| status.as_str()?.parse().ok())?,
            (None, _)
                if answer.contains_key("errorMessage") || answer.contains_key("errorType") =>
            {
                return None;
            }
            (None, Api::Rest) => return None,
            (None, Api::Http) => {
                let mut response =
                    Response::new(Body::from(Value::from(answer.clone()).to_string()));
                response.headers_mut().insert(CONTENT_TYPE, JSON);
                return Some(response);
            }
        };
        let body = answer
            .get("body")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let body = if answer.get("isBase64Encoded") == Some(&Value::Bool(true)) {
            Bytes::from(BASE64_STANDARD.decode(body).ok()?)
        } else {
            Bytes::from(body.to_owned())
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(u16::try_from(status).ok()?).ok()?;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        let single = answer.get("headers").and_then(Value::as_object);
        for (name, value) in single.into_iter().flatten() {
            headers.insert(HeaderName::try_from(name).ok()?, value_of(value)?);
        }
        let many = answer.get("multiValueHeaders").and_then(Value::as_object);
        for (name, values) in many.into_iter().flatten() {
            let name = HeaderName::try_from(name).ok()?;
            // The list has what the single one has, too.
            headers.remove(&name);
            for value in values.as_array()? {
                headers.append(&name, value_of(value)?);
            }
        }
        let cookies = answer.get("cookies").and_then(Value::as_array);
        for cookie in cookies.into_iter().flatten() {
            headers.append(SET_COOKIE, value_of(cookie)?);
        }
        // The connection is the front's.
        for name in ["connection", "content-length", "transfer-encoding"] {
            headers.remove(name);
        }
        Some(response)
    }

    /// API Gateway's own answer, where there is none of the function's.
    pub(super) fn refused(&self, status: StatusCode) -> Response {
        let (status, said) = match (self.api, status) {
            (Api::Rest, StatusCode::PAYLOAD_TOO_LARGE) => (status, "Request Too Long"),
            (Api::Http, StatusCode::PAYLOAD_TOO_LARGE) => (status, "Request Entity Too Large"),
            (_, StatusCode::TOO_MANY_REQUESTS) => (status, "Too Many Requests"),
            (_, StatusCode::SERVICE_UNAVAILABLE) => (status, "Service Unavailable"),
            (Api::Rest, StatusCode::GATEWAY_TIMEOUT) => (status, "Endpoint request timed out"),
            (Api::Http, StatusCode::GATEWAY_TIMEOUT) => {
                (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
            }
            (Api::Rest, _) => (StatusCode::BAD_GATEWAY, "Internal server error"),
            (Api::Http, _) => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        };
        let mut response = message(status, said);
        self.name(response.headers_mut());
        response
    }

    /// Adds what API Gateway calls the request.
    fn name(&self, headers: &mut HeaderMap) {
        headers.insert(self.api.request_id(), visible(&self.id));
        if self.api == Api::Rest {
            headers.insert(TRACE, self.trace());
        }
    }
}

fn message(status: StatusCode, said: &str) -> Response {
    let mut response = Response::new(Body::from(json!({"message": said}).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A body as an event has it, and whether that is base64: text goes as it is.
fn body_of(body: &[u8]) -> (Value, bool) {
    match std::str::from_utf8(body) {
        Ok("") => (Value::Null, false),
        Ok(text) => (text.into(), false),
        Err(_binary) => (BASE64_STANDARD.encode(body).into(), true),
    }
}

/// The last value of each name, and all of them.
fn lists<'a>(
    pairs: impl Iterator<Item = (&'a str, String)>,
) -> (Map<String, Value>, Map<String, Value>) {
    let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        all.entry(name).or_default().push(value);
    }
    let last = all
        .iter()
        .filter_map(|(name, values)| Some(((*name).to_owned(), values.last()?.as_str().into())));
    let last = last.collect();
    let all = all
        .into_iter()
        .map(|(name, values)| (name.to_owned(), values.into()));
    (last, all.collect())
}

/// The values of each name, with commas between.
fn joined<'a>(pairs: impl Iterator<Item = (&'a str, String)>) -> BTreeMap<&'a str, String> {
    let mut joined: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in pairs {
        joined
            .entry(name)
            .and_modify(|before| *before = format!("{before},{value}"))
            .or_insert(value);
    }
    joined
}

/// A header of an answer: some functions give numbers and truths as such.
fn value_of(value: &Value) -> Option<HeaderValue> {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    HeaderValue::try_from(text).ok()
}

/// What a header says, as far as it is text.
fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn visible(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
