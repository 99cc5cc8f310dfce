//! Common Media Client Data (CTA-5004-B): what players say of themselves, as far as it is about
//! having a place. Read as players write it: what is not understood is passed over.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::convert::Infallible;

use percent_encoding::percent_decode_str;
use sfv::visitor::ParameterVisitor;
use sfv::visitor::{DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor};
use sfv::{BareItemFromInput, KeyRef, Parser, StringRef, TokenRef};
use streamgate_core::{ContentId, Heartbeat, Playback, StreamId};

/// The newest version of the records that are understood.
const VERSION_MAX: i64 = 2;
/// How many records of a body are read.
const RECORDS_MAX: usize = 256;
/// How many streams' records of a body are read. A player has one.
const STREAMS_MAX: usize = 16;
/// The query parameter that carries a dictionary (CTA-5004-B, request mode).
const PARAMETER: &str = "CMCD";

/// What a player says of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// It plays, or will go on to.
    Beat(Heartbeat),
    /// It came to its end, failed, or was left: nothing plays until a later report says so.
    Finished,
}

/// What a body comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reports {
    /// The last word about each stream; `None` where the player does not say which.
    pub(crate) streams: Vec<(Option<StreamId>, Report)>,
    /// How many records were no records, or of a version to come, or of no stream of ours.
    pub(crate) unreadable: usize,
    /// How many were too many.
    pub(crate) surplus: usize,
}

/// One line of a body.
struct Record {
    stream: Option<StreamId>,
    /// Its place among the records of its stream, which may come in any order.
    number: Option<i64>,
    said: Said,
}

/// What a record says about playing.
enum Said {
    Playing(Option<Playback>, Option<ContentId>),
    Finished,
}

/// Reads the body of an event-mode report: a record in each line.
pub(crate) fn read(body: &[u8]) -> Reports {
    let mut lines = body
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty());
    let mut reports = Reports::default();
    let mut records: Vec<Record> = Vec::new();
    for line in lines.by_ref().take(RECORDS_MAX) {
        match Record::read(line) {
            Some(record) => records.push(record),
            None => reports.unreadable += 1,
        }
    }
    reports.surplus = lines.count();
    records.sort_by_key(|record| record.number);
    for record in records {
        reports.take(record);
    }
    reports
}

/// The stream that a dictionary of request mode names.
pub(crate) fn stream_of(dictionary: &[u8]) -> Option<StreamId> {
    Members::read(dictionary)?.stream()?
}

/// The stream that the dictionary in a query names.
pub(crate) fn stream_of_query(query: &str) -> Option<StreamId> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == PARAMETER)?;
    stream_of(&Cow::from(percent_decode_str(value)))
}

impl Reports {
    fn take(&mut self, record: Record) {
        let known = self.streams.iter().position(|it| it.0 == record.stream);
        let index = match known {
            Some(index) => index,
            None if self.streams.len() < STREAMS_MAX => {
                let report = Report::Beat(Heartbeat::default());
                self.streams.push((record.stream, report));
                self.streams.len() - 1
            }
            None => {
                self.surplus += 1;
                return;
            }
        };
        self.streams[index].1.go_on(record.said);
    }
}

impl Report {
    /// Takes in what was said after it.
    fn go_on(&mut self, said: Said) {
        let (playback, content) = match said {
            Said::Playing(playback, content) => (playback, content),
            Said::Finished => return *self = Self::Finished,
        };
        let before = match std::mem::replace(self, Self::Finished) {
            Self::Beat(beat) => beat,
            Self::Finished => Heartbeat::default(),
        };
        *self = Self::Beat(Heartbeat {
            playback: playback.or(before.playback),
            content: content.or(before.content),
        });
    }
}

impl Record {
    fn read(line: &[u8]) -> Option<Self> {
        // Structured fields are ASCII; players write names as they are, and the name of a content
        // must not cost a stream its place.
        let mut plain = Cow::Borrowed(line);
        if !line.is_ascii() {
            let stand_in = |byte: &mut u8| *byte = if byte.is_ascii() { *byte } else { b'?' };
            plain.to_mut().iter_mut().for_each(stand_in);
        }
        let members = Members::read(&plain)?;
        if members.version.is_some_and(|version| VERSION_MAX < version) {
            return None;
        }
        let content = members.content.as_deref().filter(|_| line.is_ascii());
        let content = content.and_then(|it| ContentId::parse(it.as_str()).ok());
        let said = match members.state.map_or("", TokenRef::as_str) {
            "e" | "f" | "q" => Said::Finished,
            "a" => Said::Playing(Some(Playback::Paused), content),
            "p" => Said::Playing(Some(Playback::Playing), content),
            _ => Said::Playing(None, content),
        };
        Some(Self {
            stream: members.stream()?,
            number: members.number,
            said,
        })
    }
}

/// What we read of a dictionary. A value of another type is as if it was not there.
#[derive(Default)]
struct Members<'a> {
    session: Option<Cow<'a, StringRef>>,
    content: Option<Cow<'a, StringRef>>,
    state: Option<&'a TokenRef>,
    number: Option<i64>,
    version: Option<i64>,
}

/// One member of a dictionary.
struct Member<'m, 'a> {
    key: &'a str,
    members: &'m mut Members<'a>,
}

impl<'a> Members<'a> {
    fn read(dictionary: &'a [u8]) -> Option<Self> {
        let parser = Parser::new(dictionary);
        parser.parse_dictionary_with_visitor(Self::default()).ok()
    }

    /// The stream; `Some(None)` where none is named, `None` where that is none of ours.
    fn stream(&self) -> Option<Option<StreamId>> {
        let session = self.session.as_deref();
        session
            .map(|it| StreamId::parse(it.as_str()).ok())
            .map_or(Some(None), |stream| stream.map(Some))
    }
}

impl<'a> Member<'_, 'a> {
    /// Takes a value; of two with one key the last counts (RFC 9651, section 4.2.2).
    fn put(self, value: Option<BareItemFromInput<'a>>) {
        let members = self.members;
        match self.key {
            "sid" => members.session = value.and_then(string),
            "cid" => members.content = value.and_then(string),
            "sta" => members.state = value.as_ref().and_then(token),
            "sn" => members.number = value.as_ref().and_then(integer),
            "v" => members.version = value.as_ref().and_then(integer),
            _ => {}
        }
    }
}

fn string(value: BareItemFromInput<'_>) -> Option<Cow<'_, StringRef>> {
    if let BareItemFromInput::String(text) = value {
        Some(text)
    } else {
        None
    }
}

fn token<'a>(value: &BareItemFromInput<'a>) -> Option<&'a TokenRef> {
    if let BareItemFromInput::Token(token) = value {
        Some(token)
    } else {
        None
    }
}

fn integer(value: &BareItemFromInput<'_>) -> Option<i64> {
    value.as_integer().map(i64::from)
}

impl<'a> DictionaryVisitor<'a> for Members<'a> {
    type Out = Self;
    type Error = Infallible;

    fn entry(&mut self, key: &'a KeyRef) -> Result<impl EntryVisitor<'a>, Infallible> {
        Ok(Member {
            key: key.as_str(),
            members: self,
        })
    }

    fn finish(self) -> Result<Self, Infallible> {
        Ok(self)
    }
}

impl<'a> EntryVisitor<'a> for Member<'_, 'a> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'a>, Infallible> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'a>, Infallible> {
        self.put(None);
        Ok(Ignored)
    }
}

impl<'a> ItemVisitor<'a> for Member<'_, 'a> {
    type Out = ();
    type Error = Infallible;

    fn bare_item(
        self,
        value: BareItemFromInput<'a>,
    ) -> Result<impl ParameterVisitor<'a, Out = ()>, Infallible> {
        self.put(Some(value));
        Ok(Ignored)
    }
}
