//! Where Redis is, as people write it.

use std::fmt;
use std::str::FromStr;

/// The address of a Redis or Valkey: `redis://HOST:PORT`, `redis+cluster://HOST:PORT,HOST:PORT`
/// (some of its nodes) or `redis+sentinel://HOST:PORT,HOST:PORT/MASTER` (the sentinels, and what
/// they call the master); with `rediss` instead of `redis` over TLS. `USER:PASSWORD@` before the
/// hosts; a database's number after a server or a master: `/0`.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) kind: Kind,
    pub(super) is_tls: bool,
    /// `USER:PASSWORD@` or nothing.
    login: String,
    /// `HOST:PORT`.
    pub(super) hosts: Vec<String>,
    /// The number of a database.
    pub(super) database: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Server,
    Cluster,
    Sentinel { master: String },
}

/// What is wrong with an address. It says nothing of what is in it: there may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("must begin with redis://, redis+cluster:// or redis+sentinel://, or rediss for TLS")]
    Scheme,
    /// No host, or what is no host.
    #[error("must have a host, or several with commas between them")]
    Hosts,
    /// After the hosts stands what is neither a master nor a database.
    #[error("must end with /NUMBER of a database, or with /MASTER or /MASTER/NUMBER for sentinels")]
    Path,
}

impl FromStr for RedisUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let (scheme, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let is_tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(UrlError::Scheme),
        };
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (format!("{login}@"), rest),
            None => (String::new(), rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
        let is_host = |host: &String| {
            let uri = format!("{scheme}://{login}{host}");
            !host.is_empty() && redis::parse_redis_url(&uri).is_some_and(|it| it.has_host())
        };
        let (kind, database) = match kind {
            "" => (Kind::Server, path),
            "cluster" if path.is_empty() => (Kind::Cluster, path),
            "sentinel" => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                let master = Some(master).filter(|it| !it.is_empty());
                let master = master.ok_or(UrlError::Path)?.to_owned();
                (Kind::Sentinel { master }, database)
            }
            "cluster" => return Err(UrlError::Path),
            _ => return Err(UrlError::Scheme),
        };
        if !hosts.iter().all(is_host) || (kind == Kind::Server && hosts.len() != 1) {
            return Err(UrlError::Hosts);
        }
        let number = Some(database).filter(|it| !it.is_empty()).unwrap_or("0");
        Ok(Self {
            kind,
            is_tls,
            login,
            hosts,
            database: number.parse().ok().ok_or(UrlError::Path)?,
        })
    }
}

impl RedisUrl {
    /// Whether there is a password in it.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.login.contains(':')
    }

    /// The same for each host by itself.
    pub(super) fn of_each(&self) -> Vec<String> {
        self.hosts.iter().map(|host| self.of(host)).collect()
    }

    /// The same for one host.
    pub(super) fn of(&self, host: &str) -> String {
        format!("{}://{}{host}/{}", self.scheme(), self.login, self.database)
    }

    fn scheme(&self) -> &'static str {
        if self.is_tls { "rediss" } else { "redis" }
    }
}

/// Without what would let anybody in.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme())?;
        let hosts = self.hosts.join(",");
        match &self.kind {
            Kind::Server => write!(f, "://{hosts}")?,
            Kind::Cluster => write!(f, "+cluster://{hosts}")?,
            Kind::Sentinel { master } => write!(f, "+sentinel://{hosts}/{master}")?,
        }
        match self.database {
            0 => Ok(()),
            number => write!(f, "/{number}"),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}
