//! Answers as snapshots: names and times that differ from run to run get fixed ones.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::Value;

use super::Answer;

/// Headers that snapshots show.
const HEADERS: [&str; 8] = [
    "content-type",
    "allow",
    "cache-control",
    "location",
    "ratelimit-policy",
    "ratelimit",
    "retry-after",
    "content-length",
];

/// Fixed names for the ids of one test, in the order in which they appear.
#[derive(Default)]
pub(crate) struct Names(HashMap<String, String>);

impl Names {
    /// Status and body.
    pub(crate) fn show(&mut self, answer: &Answer) -> String {
        let mut page = format!("{}\n", answer.status);
        page.push_str(&self.body(answer));
        page
    }

    /// Status, the headers that matter, and body.
    pub(crate) fn show_all(&mut self, answer: &Answer) -> String {
        let mut page = format!("{}\n", answer.status);
        for name in HEADERS {
            if name == "content-length" && !answer.body.is_empty() {
                continue;
            }
            if let Some(value) = answer.header(name) {
                let value = self.header(name, value);
                writeln!(page, "{name}: {value}").expect("a string takes every character");
            }
        }
        page.push_str(&self.body(answer));
        page
    }

    fn body(&mut self, answer: &Answer) -> String {
        match serde_json::from_str(&answer.body) {
            Ok(mut value) => {
                self.settle(&mut value);
                laid_out(&value)
            }
            Err(_) => answer.body.clone(),
        }
    }

    fn header(&mut self, name: &str, value: &str) -> String {
        match (name, value.rsplit_once(";t="), value.rsplit_once('/')) {
            ("ratelimit", Some((start, _)), _) => format!("{start};t=<seconds>"),
            ("retry-after", ..) => "<seconds>".into(),
            ("location", _, Some((start, id))) => format!("{start}/{}", self.settled(id)),
            _ => value.to_owned(),
        }
    }

    fn settle(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.settled(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.settle(item)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    if name == "retryAfterSeconds" {
                        *field = Value::from("<seconds>");
                    } else if name == "token" {
                        *field = Value::from("<token>");
                    } else if name == "url" {
                        let url = field.as_str().unwrap_or_default();
                        let (path, _) = url.split_once("?t=").expect("it has a token");
                        *field = Value::from(format!("{path}?t=<token>"));
                    } else {
                        self.settle(field);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn settled(&mut self, text: &str) -> String {
        if is_time(text) {
            return "<time>".into();
        }
        if !is_minted(text) {
            return text.to_owned();
        }
        let next = self.0.len() + 1;
        let name = self.0.entry(text.to_owned());
        name.or_insert_with(|| format!("<id {next}>")).clone()
    }
}

/// JSON with a line for each field, and for each item of a list.
fn laid_out(value: &Value) -> String {
    let Value::Object(fields) = value else {
        return format!("{value}\n");
    };
    let lines = fields.iter().map(|(name, field)| {
        let Some(items) = field.as_array().filter(|items| !items.is_empty()) else {
            return format!("  {name}: {field}\n");
        };
        let items: String = items.iter().map(|item| format!("\n    {item}")).collect();
        format!("  {name}: [{items}\n  ]\n")
    });
    format!("{{\n{}}}\n", lines.collect::<String>())
}

/// RFC 3339 in UTC, to the millisecond.
fn is_time(text: &str) -> bool {
    text.len() == "2026-11-23T12:00:00.000Z".len()
        && text.ends_with('Z')
        && text.parse::<jiff::Timestamp>().is_ok()
}

/// A UUID of version 8 in lower case.
fn is_minted(text: &str) -> bool {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && parts.iter().all(|part| part.chars().all(is_hex))
        && parts[2].starts_with('8')
}
