//! One HTTP/1.1 connection, with one request in flight at a time. It speaks just what a server
//! of JSON answers with: bodies with a Content-Length, or none.

use std::io::{self, Write};

use bytes::{Buf, Bytes, BytesMut};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::plan::Target;

/// The most header fields and bytes that an answer may have.
const FIELDS_MAX: usize = 64;
const ANSWER_MAX: usize = 16 << 20;
/// Room for what one read takes in.
const READ_BYTES: usize = 4 << 10;

/// Connects when it first sends, and again after an error.
pub(super) struct Connection {
    target: Target,
    stream: Option<TcpStream>,
    output: Vec<u8>,
    input: BytesMut,
}

struct Head {
    status: u16,
    /// How many bytes the head has, and the body.
    len: usize,
    body_len: usize,
    closes: bool,
}

impl Connection {
    pub(super) fn new(target: &Target) -> Self {
        Self {
            target: target.clone(),
            stream: None,
            output: Vec::new(),
            input: BytesMut::new(),
        }
    }

    /// Sends one request and returns the status and the body of its answer.
    pub(super) async fn send(
        &mut self,
        method: &Method,
        path: std::fmt::Arguments<'_>,
        body: &str,
        credential: Option<&str>,
    ) -> io::Result<(u16, Bytes)> {
        let Target {
            authority, prefix, ..
        } = &self.target;
        self.output.clear();
        write!(
            self.output,
            "{method} {prefix}{path} HTTP/1.1\r\nhost: {authority}\r\ncontent-length: {}\r\n",
            body.len()
        )?;
        if let Some(credential) = credential {
            write!(self.output, "authorization: Bearer {credential}\r\n")?;
        }
        let content_type: &[u8] = match body {
            "" => b"\r\n",
            _ => b"content-type: application/json\r\n\r\n",
        };
        self.output.extend_from_slice(content_type);
        self.output.extend_from_slice(body.as_bytes());

        // Whatever goes wrong from here on, this stream is not used again.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        stream.write_all(&self.output).await?;
        let head = loop {
            if let Some(head) = Head::parse(&self.input)? {
                break head;
            }
            self.read(&mut stream).await?;
        };
        while self.input.len() < head.len + head.body_len {
            self.read(&mut stream).await?;
        }
        self.input.advance(head.len);
        let body = self.input.split_to(head.body_len).freeze();
        if !head.closes {
            self.stream = Some(stream);
        }
        Ok((head.status, body))
    }

    async fn connect(&mut self) -> io::Result<TcpStream> {
        self.input.clear();
        let stream = TcpStream::connect(&self.target.authority).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn read(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        self.input.reserve(READ_BYTES);
        if ANSWER_MAX < self.input.len() {
            return Err(invalid("an answer is too long"));
        }
        match stream.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Head {
    /// The head of an answer, once it is there to its end.
    fn parse(input: &[u8]) -> io::Result<Option<Self>> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut answer = httparse::Response::new(&mut fields);
        let parsed = answer.parse(input).map_err(io::Error::other)?;
        let (httparse::Status::Complete(len), Some(status)) = (parsed, answer.code) else {
            return Ok(None);
        };
        let field = |name: &str| {
            let mut fields = answer.headers.iter();
            let field = fields.find(|field| field.name.eq_ignore_ascii_case(name));
            field.and_then(|field| std::str::from_utf8(field.value).ok())
        };
        let has_body = ![204, 304].contains(&status);
        let body_len = match field("content-length") {
            Some(len) if has_body => len.parse().map_err(io::Error::other)?,
            None if has_body => return Err(invalid("an answer has no Content-Length")),
            Some(_) | None => 0,
        };
        let closes = field("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
        Ok(Some(Self {
            status,
            len,
            body_len,
            closes,
        }))
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 12\r\n\r\n";
        let partial = Head::parse(&head.as_bytes()[..head.len() - 1]);
        assert!(partial.expect("it begins well").is_none());
        let parsed = Head::parse(format!("{head}hello").as_bytes());
        let parsed = parsed.expect("it is right").expect("it is whole");
        assert_eq!(
            (parsed.status, parsed.len, parsed.body_len, parsed.closes),
            (200, head.len(), 12, false)
        );
    }

    #[test]
    fn an_answer_without_content_has_no_length() {
        let head = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
        let parsed = Head::parse(head).expect("it is right");
        assert!(parsed.is_some_and(|head| head.body_len == 0 && head.closes));
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(Head::parse(b"SSH-2.0-OpenSSH_9.2\r\n").is_err());
    }
}
