//! A TOML document with its lines, and with what could not be read in it.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, Error};

/// The text of a document, by lines.
pub(super) struct Page<'a> {
    text: &'a str,
    /// Where each line begins.
    starts: Vec<usize>,
    /// The lines that are not TOML, each with its first error.
    pub(super) broken: BTreeMap<usize, String>,
    /// The first of them that should have begun a table. What lies below it may have been taken
    /// into another one.
    astray_from: Option<usize>,
}

impl<'a> Page<'a> {
    /// Reads a document, past the lines that are not TOML.
    pub(super) fn read(text: &'a str) -> (Self, DeTable<'a>) {
        let line_ends = text.match_indices('\n').map(|(i, _)| i + 1);
        let mut page = Self {
            text,
            starts: std::iter::once(0).chain(line_ends).collect(),
            broken: BTreeMap::new(),
            astray_from: None,
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        page.note(errors);
        (page, table.into_inner())
    }

    fn note(&mut self, mut errors: Vec<Error>) {
        let text_end = self.text.trim_end().len();
        let at = |error: &Error| error.span().map_or(text_end, |it| it.start.min(text_end));
        errors.sort_by_key(at);
        for error in errors {
            let line = self.line(at(&error));
            if !self.broken.contains_key(&line) {
                let before = &self.text.as_bytes()[self.starts[line - 1]..at(&error)];
                let column = String::from_utf8_lossy(before).chars().count() + 1;
                let message = format!("syntax error in column {column}: {}", error.message());
                self.broken.insert(line, message);
            }
        }
        self.astray_from = self.broken.keys().copied().find(|line| {
            let line = &self.text[self.starts[line - 1]..];
            line.trim_start_matches([' ', '\t']).starts_with('[')
        });
    }

    /// The number of the line with this byte; the first is 1.
    pub(super) fn line(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= byte)
    }

    /// Whether what stands here was read as it was meant.
    pub(super) fn is_sound(&self, key: &Range<usize>, value: &Range<usize>) -> bool {
        let first = self.line(key.start.min(value.start));
        let last = self.line(key.end.max(value.end));
        let astray = self.astray_from.is_some_and(|line| line <= last);
        !astray && self.broken.range(first..=last).next().is_none()
    }
}
