//! What a source gives for a setting, and the ways to read it. Each says in its error what it
//! expected and what it found.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use streamgate_core::{LIMIT_MAX, Limit, LocatorKey};
use toml::de::DeValue;

use super::mistake::shortened;

/// The most characters that the name of a plan may have.
const PLAN_CHARACTERS_MAX: usize = 64;

/// A setting's name with a value for it.
pub(super) struct Given<'a> {
    /// The setting's dotted name.
    pub(super) name: &'a str,
    value: DeValue<'a>,
    /// As it was written, where strings need no quotes.
    bare: Option<&'a str>,
}

/// How a value is wrong: the end of a sentence that begins with the setting's name.
pub(super) type Unfit = String;

/// Whether nobody on the way can change what is fetched from this URL.
pub(crate) fn is_private(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_local =
        || host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_local(),
        Some(_) | None => false,
    }
}

/// Whether a URL has a user or a password before its host.
pub(super) fn has_login(url: &str) -> bool {
    let (_scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.contains('@')
}

impl<'a> Given<'a> {
    /// A value from a TOML document.
    pub(super) fn value(name: &'a str, value: DeValue<'a>) -> Self {
        let bare = None;
        Self { name, value, bare }
    }

    /// A value from where all is text: a TOML scalar if it can be one, a string otherwise.
    pub(super) fn text(name: &'a str, text: &'a str) -> Self {
        let text = text.trim();
        let value = DeValue::parse(text)
            .ok()
            .map(toml::Spanned::into_inner)
            .filter(|it| !it.is_array() && !it.is_table())
            .unwrap_or(DeValue::String(text.into()));
        let bare = Some(text);
        Self { name, value, bare }
    }

    pub(super) fn boolean(&self) -> Result<bool, Unfit> {
        self.value
            .as_bool()
            .ok_or_else(|| self.unfit("true or false"))
    }

    pub(super) fn count<T>(&self, range: RangeInclusive<T>, unit: &str) -> Result<T, Unfit>
    where
        T: TryFrom<u64> + PartialOrd + Display,
    {
        let bounds = format!("between {} and {} {unit}", range.start(), range.end());
        let Some(number) = self.value.as_integer() else {
            return Err(self.unfit(&format!("a whole number {bounds}")));
        };
        u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .and_then(|it| T::try_from(it).ok())
            .filter(|it| range.contains(it))
            .ok_or_else(|| self.unfit(&bounds))
    }

    pub(super) fn seconds(&self, range: RangeInclusive<u64>) -> Result<Duration, Unfit> {
        self.count(range, "seconds").map(Duration::from_secs)
    }

    pub(super) fn limit(&self) -> Result<Limit, Unfit> {
        let streams = self.count(1..=LIMIT_MAX, "streams")?;
        Ok(Limit::new(streams).expect("1 to LIMIT_MAX is a limit"))
    }

    /// The last part of the setting's own name, as the name of a plan.
    pub(super) fn plan(&self) -> Result<String, Unfit> {
        let (_, plan) = self.name.split_once('.').unwrap_or_default();
        let known = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let fits = (1..=PLAN_CHARACTERS_MAX).contains(&plan.len()) && plan.bytes().all(known);
        fits.then(|| plan.to_owned()).ok_or_else(|| {
            format!("must name a plan in 1 to {PLAN_CHARACTERS_MAX} characters of [A-Za-z0-9._-]")
        })
    }

    pub(super) fn address(&self) -> Result<SocketAddr, Unfit> {
        self.string()
            .and_then(|it| it.parse().ok())
            .ok_or_else(|| self.unfit("an IP address and a port, such as \"127.0.0.1:8080\""))
    }

    pub(super) fn path(&self) -> Result<PathBuf, Unfit> {
        self.string()
            .filter(|it| !it.is_empty() && !it.contains('\0'))
            .map(PathBuf::from)
            .ok_or_else(|| self.unfit("a string with a path"))
    }

    /// Some characters, none of them a control character.
    pub(super) fn words(&self) -> Result<String, Unfit> {
        self.string()
            .filter(|it| !it.is_empty() && !it.contains(char::is_control))
            .map(str::to_owned)
            .ok_or_else(|| self.unfit("a string"))
    }

    /// The name of a table of DynamoDB (its API reference, `CreateTable`).
    pub(super) fn table_name(&self) -> Result<String, Unfit> {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        self.string()
            .filter(|it| (3..=255).contains(&it.len()) && it.bytes().all(known))
            .map(str::to_owned)
            .ok_or_else(|| self.unfit("3 to 255 characters of [A-Za-z0-9._-]"))
    }

    /// Where something is fetched from: over the network only by HTTPS.
    pub(super) fn url(&self) -> Result<String, Unfit> {
        self.string()
            .filter(|it| is_private(it))
            .map(str::to_owned)
            .ok_or_else(|| self.unfit("an https:// URL (http:// on loopback)"))
    }

    /// Words with spaces between them, each one of the choices.
    pub(super) fn choices<T: Copy>(&self, choices: &[(&str, T)]) -> Result<Vec<T>, Unfit> {
        let chosen = self.string().and_then(|found| {
            let words = found.split_ascii_whitespace().map(|word| {
                let choice = choices.iter().find(|(it, _)| *it == word);
                choice.map(|(_, choice)| *choice)
            });
            words.collect::<Option<Vec<_>>>()
        });
        chosen.filter(|it| !it.is_empty()).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(it, _)| *it).collect();
            self.unfit(&format!("some of {:?}", words.join(" ")))
        })
    }

    /// Origins of pages (RFC 6454, section 6.2) with spaces between them; none is none.
    pub(super) fn origins(&self) -> Result<Vec<HeaderValue>, Unfit> {
        let origin = |text: &str| {
            let uri: http::Uri = text.parse().ok()?;
            let is_origin = matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some()
                && text.ends_with(uri.authority()?.as_str());
            is_origin.then(|| HeaderValue::from_str(text).ok())?
        };
        self.string()
            .and_then(|it| it.split_ascii_whitespace().map(origin).collect())
            .ok_or_else(|| self.unfit("origins such as \"https://example.com\""))
    }

    /// A secret: what was found is not repeated.
    pub(super) fn locator_key(&self) -> Result<LocatorKey, Unfit> {
        self.string()
            .filter(|it| it.len() == 32 && it.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|it| u128::from_str_radix(it, 16).ok())
            .map(|bits| LocatorKey::from_bytes(bits.to_be_bytes()))
            .ok_or_else(|| "must be a string of 32 hex digits".to_owned())
    }

    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, Unfit> {
        let found = self.string();
        let chosen = choices.iter().find(|(word, _)| found == Some(word));
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(it, _)| format!("{it:?}")).collect();
            self.unfit(&format!("one of {}", words.join(", ")))
        })
    }

    /// The value as a string. Bare text is one even where it looks like something else: a
    /// directory may be called `2024`.
    fn string(&self) -> Option<&str> {
        self.value.as_str().or(self.bare)
    }

    /// That something else was expected here.
    pub(super) fn unfit(&self, expected: &str) -> Unfit {
        let found = match &self.value {
            DeValue::String(text) => format!("{:?}", shortened(text)),
            DeValue::Integer(number) => shortened(&number.to_string()),
            DeValue::Float(number) => shortened(number.as_str()),
            DeValue::Boolean(it) => it.to_string(),
            DeValue::Datetime(it) => it.to_string(),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        format!("must be {expected}, not {found}")
    }
}
