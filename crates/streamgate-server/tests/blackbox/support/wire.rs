//! HTTP/1.1 by hand, for requests that no library sends.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Answer, elapsed_since, now};

/// How long reading or writing may take where the test says nothing else.
const IO_MAX: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    unread: Vec<u8>,
}

/// The bytes of an ordinary request with a JSON body.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IO_MAX))?;
        stream.set_write_timeout(Some(IO_MAX))?;
        Ok(Self {
            stream,
            unread: Vec::new(),
        })
    }

    /// Opens a connection that must open.
    #[track_caller]
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::connect(address).expect("the server takes connections")
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request and reads its answer.
    pub(crate) fn exchange(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        self.send(bytes)?;
        self.answer()
    }

    /// Reads the next answer, an interim one too.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        loop {
            if let Some((answer, end)) = parse(&self.unread)? {
                self.unread.drain(..end);
                return Ok(answer);
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) if self.unread.is_empty() => return Err(ErrorKind::NotConnected.into()),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.unread.extend_from_slice(&chunk[..read]),
                Err(error) if !self.unread.is_empty() => {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, error));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether nothing comes for this long.
    pub(crate) fn is_silent_for(&mut self, duration: Duration) -> bool {
        let timeout = self.stream.set_read_timeout(Some(duration));
        timeout.expect("a timeout can be set");
        let peeked = self.stream.peek(&mut [0]);
        let timeout = self.stream.set_read_timeout(Some(IO_MAX));
        timeout.expect("a timeout can be set");
        matches!(&peeked, Err(error) if is_timeout(error))
    }

    /// Reads until the server closes the connection; what came, or `None` if it does not.
    pub(crate) fn rest(&mut self, within: Duration) -> Option<Vec<u8>> {
        let start = now();
        let mut chunk = [0; 16 << 10];
        loop {
            let left = within.checked_sub(elapsed_since(start))?;
            let left = left.max(Duration::from_millis(1));
            let timeout = self.stream.set_read_timeout(Some(left));
            timeout.expect("a timeout can be set");
            match self.stream.read(&mut chunk) {
                Ok(0) => return Some(std::mem::take(&mut self.unread)),
                Ok(read) => self.unread.extend_from_slice(&chunk[..read]),
                Err(error) if is_timeout(&error) => return None,
                Err(_reset) => return Some(std::mem::take(&mut self.unread)),
            }
        }
    }
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The first answer in `bytes` and where it ends, if it is there as a whole.
fn parse(bytes: &[u8]) -> io::Result<Option<(Answer, usize)>> {
    let damaged = || io::Error::new(ErrorKind::InvalidData, "no HTTP answer");
    let Some(head_end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..head_end]).map_err(io::Error::other)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|it| it.parse().ok()).ok_or_else(damaged)?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(damaged)?;
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?,
            HeaderValue::from_str(value.trim()).map_err(io::Error::other)?,
        );
    }
    let length = headers.get("content-length");
    let length = length.and_then(|it| it.to_str().ok()?.parse().ok());
    let end = head_end + 4 + length.unwrap_or(0);
    let Some(body) = bytes.get(head_end + 4..end) else {
        return Ok(None);
    };
    let answer = Answer {
        status,
        headers,
        body: String::from_utf8_lossy(body).into_owned(),
    };
    Ok(Some((answer, end)))
}
