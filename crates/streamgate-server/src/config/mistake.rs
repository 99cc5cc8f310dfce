//! What is wrong with a configuration, where, and what may have been meant.

use std::fmt;
use std::sync::Arc;

/// How many mistakes are shown; of more, only the number.
const SHOWN_MAX: usize = 100;
/// How many characters of a name or a value are shown.
const CHARACTERS_SHOWN_MAX: usize = 80;

/// Everything that is wrong with a configuration: a line for each mistake, those of the file
/// first and in its order.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Mistakes(Vec<Mistake>);

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {message}")]
pub(super) struct Mistake {
    pub(super) origin: Origin,
    pub(super) message: String,
}

/// Where a value comes from; what overrides is greater.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// A line of the defaults.
    Default { line: usize },
    /// A line of the operator's file.
    File { name: Arc<str>, line: usize },
    /// An environment variable.
    Environment(String),
    /// A command-line flag.
    Flag(String),
}

impl Mistakes {
    /// Takes at least one mistake.
    pub(super) fn new(mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by(|a, b| a.origin.cmp(&b.origin));
        Self(mistakes)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().take(SHOWN_MAX);
        let lines: Vec<_> = shown.map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))?;
        match self.0.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default { line } => write!(f, "config.default.toml:{line}"),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Environment(variable) => write!(f, "environment {}", variable.escape_debug()),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// The beginning of a text that may have any length.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS_SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `; did you mean …?` with the nearest of the names after the prefix that all of them have, or
/// nothing when none is near.
pub(super) fn suggestion<S: AsRef<str>>(
    prefix: &str,
    wrong: &str,
    names: impl Iterator<Item = S>,
) -> String {
    let near = (wrong.len() + 1) / 3;
    names
        .map(|name| (distance(wrong, name.as_ref(), near), name))
        .filter(|(distance, _)| *distance <= near)
        .min_by_key(|(distance, _)| *distance)
        .map_or_else(String::new, |(_, name)| {
            format!("; did you mean {prefix}{}?", name.as_ref())
        })
}

/// How far a name is from the right one: 0 when it lacks only its section or its unit, else in
/// edits (Levenshtein), or anything above `far` when it is farther than that.
fn distance(wrong: &str, right: &str, far: usize) -> usize {
    let lacks_section = right.rsplit('.').next() == Some(wrong);
    let lacks_unit = right
        .strip_prefix(wrong)
        .is_some_and(|it| it.starts_with('_'));
    if lacks_section || lacks_unit {
        return 0;
    }
    if far < wrong.len().abs_diff(right.len()) {
        return far + 1;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in wrong.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let exchanged = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}
