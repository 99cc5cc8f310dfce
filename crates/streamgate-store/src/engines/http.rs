//! As much HTTP/1.1 as DynamoDB's clients and DynamoDB Local speak: messages with a
//! `content-length`, one after the other.

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;

/// More headers than anybody sends here.
const HEADERS_MAX: usize = 64;

/// Whether a message asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Answer,
}

/// One message, as it came.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    head_len: usize,
    /// Of an answer.
    pub(super) status: u16,
}

struct Head {
    len: usize,
    body_len: usize,
    status: u16,
}

impl Message {
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[self.head_len..]
    }
}

/// Reads messages from one connection.
#[derive(Debug)]
pub(super) struct Messages<'a> {
    from: &'a TcpStream,
    unread: Vec<u8>,
    kind: Kind,
}

impl<'a> Messages<'a> {
    pub(super) fn new(from: &'a TcpStream, kind: Kind) -> Self {
        Self {
            from,
            unread: Vec::new(),
            kind,
        }
    }

    /// The next one; `None` at the end. After a timeout it may be called again.
    pub(super) fn next(&mut self) -> io::Result<Option<Message>> {
        loop {
            if let Some(head) = self.head()?
                && head.len + head.body_len <= self.unread.len()
            {
                let rest = self.unread.split_off(head.len + head.body_len);
                return Ok(Some(Message {
                    bytes: std::mem::replace(&mut self.unread, rest),
                    head_len: head.len,
                    status: head.status,
                }));
            }
            let mut chunk = [0; 16 << 10];
            match (&mut &*self.from).read(&mut chunk)? {
                0 if self.unread.is_empty() => return Ok(None),
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                len => self.unread.extend_from_slice(&chunk[..len]),
            }
        }
    }

    /// The head of what is there, if that is whole.
    fn head(&self) -> io::Result<Option<Head>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let (parsed, status, headers) = match self.kind {
            Kind::Request => {
                let mut request = httparse::Request::new(&mut headers);
                let parsed = request.parse(&self.unread);
                (parsed, 0, &*request.headers)
            }
            Kind::Answer => {
                let mut answer = httparse::Response::new(&mut headers);
                let parsed = answer.parse(&self.unread);
                (parsed, answer.code.unwrap_or(0), &*answer.headers)
            }
        };
        let httparse::Status::Complete(len) = parsed.map_err(io::Error::other)? else {
            return Ok(None);
        };
        let length = headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .map(|header| String::from_utf8_lossy(header.value).trim().parse());
        let body_len = length.transpose().map_err(io::Error::other)?;
        Ok(Some(Head {
            len,
            body_len: body_len.unwrap_or(0),
            status,
        }))
    }
}
