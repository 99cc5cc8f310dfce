//! An ordinary HTTP client.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, Method, Request};
use serde_json::Value;
use ureq::tls::TlsConfig;

/// How long any one answer may take: more than the server's own deadline.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Talks to one server and keeps its connections.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            agent: agent(TlsConfig::default()),
            base: format!("http://{address}"),
        }
    }

    /// Talks HTTPS to a server called localhost.
    pub(crate) fn secure(address: SocketAddr, tls: TlsConfig) -> Self {
        Self {
            agent: agent(tls),
            base: format!("https://localhost:{}", address.port()),
        }
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call {
            client: self,
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path).send()
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path).send()
    }

    /// Posts without a body.
    #[track_caller]
    pub(crate) fn poke(&self, path: &str) -> Answer {
        self.call(Method::POST, path).send()
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path).json(body).send()
    }

    /// Starts a stream.
    #[track_caller]
    pub(crate) fn start(&self, body: &Value) -> Answer {
        self.post("/v1/streams", body)
    }

    /// Starts a stream that must be admitted; its id.
    #[track_caller]
    pub(crate) fn admitted(&self, body: &Value) -> String {
        let answer = self.start(body);
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.text("streamId")
    }

    /// The ids of a user's streams, in the order of the answer.
    #[track_caller]
    pub(crate) fn streams_of(&self, user: &str) -> Vec<String> {
        let answer = self.get(&format!("/v1/users/{user}/streams"));
        assert_eq!(answer.status, 200, "{answer:?}");
        ids_in(&answer.json()["streams"])
    }
}

fn agent(tls: TlsConfig) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_MAX))
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .proxy(None)
        .tls_config(tls)
        .build();
    ureq::Agent::new_with_config(config)
}

/// The stream ids in a list of streams or holders.
pub(crate) fn ids_in(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    let ids = list.iter().map(|stream| stream["streamId"].as_str());
    ids.map(|id| id.expect("an id").to_owned()).collect()
}

/// A request in the making.
pub(crate) struct Call<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    #[track_caller]
    pub(crate) fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        match self.try_send() {
            Ok(answer) => answer,
            Err(error) => panic!("{what} is answered, not {error}"),
        }
    }

    pub(crate) fn try_send(self) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("{}{}", self.client.base, self.path));
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let agent = &self.client.agent;
        let answer = if self.body.is_empty() {
            agent.run(request.body(())?)?
        } else {
            agent.run(request.body(self.body.as_slice())?)?
        };
        let (parts, mut body) = answer.into_parts();
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body.read_to_vec()?).into_owned(),
        })
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A text in the body's JSON.
    #[track_caller]
    pub(crate) fn text(&self, field: &str) -> String {
        let body = self.json();
        let Some(text) = body[field].as_str() else {
            panic!("{field} is no text: {self:?}");
        };
        text.to_owned()
    }

    /// The `code` of a problem.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.text("code")
    }
}
