//! The way back: from a configuration to what a file would say. Secrets are not shown.

use std::path::Path;

use http::HeaderValue;
use toml::{Table, Value};

use super::given::has_login;
use super::settings::{SETTINGS, Setting};
use super::{Config, Plans};

/// What is shown of a secret.
const SECRET: &str = "(set)";

impl Config {
    /// What a file would say, in the sections and the order of [`Self::DEFAULT_TOML`]. What is
    /// not set is not there.
    pub(crate) fn shown(&self) -> Table {
        let mut page = Table::new();
        for setting in SETTINGS {
            let Some(value) = (setting.show)(self) else {
                continue;
            };
            match setting.name.split_once('.') {
                None => page.insert(setting.name.to_owned(), value),
                Some((section, Setting::ANY)) => page.insert(section.to_owned(), value),
                Some((section, name)) => page
                    .entry(section)
                    .or_insert_with(|| Table::new().into())
                    .as_table_mut()
                    .and_then(|section| section.insert(name.to_owned(), value)),
            };
        }
        page
    }
}

pub(super) fn text(it: &str) -> Value {
    it.into()
}

pub(super) fn path(it: &Path) -> Value {
    text(&it.to_string_lossy())
}

/// A number within a setting's bounds, which are all far below the greatest of TOML.
pub(super) fn whole(number: impl TryInto<i64>) -> Value {
    number.try_into().unwrap_or(i64::MAX).into()
}

pub(super) fn limits(plans: &Plans) -> Value {
    let limits = plans
        .iter()
        .map(|(plan, limit)| (plan.clone(), whole(limit.get())));
    Value::Table(limits.collect())
}

pub(super) fn word<T: PartialEq>(choices: &[(&'static str, T)], chosen: &T) -> Value {
    words(choices, std::slice::from_ref(chosen))
}

/// What was chosen, in its order, with spaces between.
pub(super) fn words<T: PartialEq>(choices: &[(&'static str, T)], chosen: &[T]) -> Value {
    let words = chosen.iter().map(|it| {
        let choice = choices.iter().find(|(_, choice)| choice == it);
        choice.expect("only what is among the choices was chosen").0
    });
    text(&words.collect::<Vec<_>>().join(" "))
}

pub(super) fn origins(origins: &[HeaderValue]) -> Value {
    let origins = origins
        .iter()
        .map(|it| String::from_utf8_lossy(it.as_bytes()));
    text(&origins.collect::<Vec<_>>().join(" "))
}

/// A URL may have a password before its host, which is a secret.
pub(super) fn url(it: &str) -> Value {
    if has_login(it) { secret() } else { text(it) }
}

pub(super) fn secret() -> Value {
    text(SECRET)
}
