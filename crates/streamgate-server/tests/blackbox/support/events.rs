//! A player's open events, over HTTP/1.1.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::{SOON, elapsed_since, now};

/// An answer that is read event by event. It is hung up on when this is dropped.
pub(crate) struct Events {
    answer: BufReader<TcpStream>,
}

impl Events {
    /// Opens a stream's events, whose first must be that it is live.
    #[track_caller]
    pub(crate) fn live(address: SocketAddr, stream: &str) -> Self {
        let mut events = match Self::try_open(address, stream) {
            Ok(events) => events,
            Err(said) => panic!("its events are not open: {said}"),
        };
        let (name, data) = events.next().expect("a first event");
        assert_eq!(name, "live", "{data}");
        events
    }

    /// Opens a stream's events; or the status line that refused it.
    pub(crate) fn try_open(address: SocketAddr, stream: &str) -> Result<Self, String> {
        let mut connection = TcpStream::connect(address).expect("the server listens");
        connection
            .set_read_timeout(Some(SOON))
            .expect("a timeout can be set");
        write!(
            connection,
            "GET /v1/streams/{stream}/events HTTP/1.1\r\nhost: test\r\n\r\n"
        )
        .expect("the server takes it");
        let mut events = Self {
            answer: BufReader::new(connection),
        };
        let status = events.line().unwrap_or_default();
        while events.line().is_some_and(|line| !line.is_empty()) {}
        if status == "HTTP/1.1 200 OK" {
            Ok(events)
        } else {
            Err(status)
        }
    }

    /// The next event and its data, comments left out; a `retry` counts as one. `None` at the end.
    pub(crate) fn next(&mut self) -> Option<(String, String)> {
        let (mut name, began) = (None, now());
        loop {
            // Comments come all the time.
            assert!(elapsed_since(began) < SOON, "no event comes");
            let line = self.line()?;
            if line == "0" {
                return None;
            }
            match line.split_once(": ") {
                Some(("event", it)) => name = Some(it.to_owned()),
                Some(("retry", millis)) => return Some(("retry".into(), millis.to_owned())),
                Some(("data", data)) => return Some((name.take()?, data.to_owned())),
                // Comments, ids, and the sizes of chunks.
                Some(_) | None => {}
            }
        }
    }

    /// The problem that the stream ended with; nothing comes after it.
    #[track_caller]
    pub(crate) fn ending(mut self) -> Value {
        let (name, data) = self.next().expect("an event");
        assert_eq!(name, "ended", "{data}");
        assert_eq!(self.next(), None, "nothing comes after it");
        serde_json::from_str(&data).expect("a problem")
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.answer.read_line(&mut line).expect("it comes soon");
        (0 < read).then(|| line.trim_end().to_owned())
    }
}
