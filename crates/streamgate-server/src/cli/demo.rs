//! `streamgate demo`: a server with a page that shows what it does, in a browser on this machine.

use std::net::SocketAddr;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use clap::Args;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName};

use super::serve;
use crate::config::{Config, Sources};
use crate::http::Api;
use crate::log::log_to_stderr;

pub(super) const EXAMPLES: &str = "\
Examples:
  streamgate demo                            then open the address that it prints
  streamgate demo --listen 127.0.0.1:9000    where 8080 is taken";

/// How the demo differs from the defaults: nothing is kept, and silence is noticed soon.
const SETTINGS: [(&str, &str); 4] = [
    ("store", "memory"),
    ("heartbeat.interval_seconds", "5"),
    ("heartbeat.lease_seconds", "15"),
    ("log.level", "warn"),
];

/// What the pages may do: what comes from here, and what hls.js and the SDK make themselves.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; \
                      object-src 'none'; base-uri 'none'; frame-ancestors 'self'";

/// A file of the demo: its path, its media type, its bytes.
type Asset = (&'static str, &'static str, &'static [u8]);

macro_rules! assets {
    ($($path:literal as $media_type:literal from $file:literal,)*) => {
        [$(($path, $media_type, include_bytes!(concat!("../../", $file)) as &[u8]),)*]
    };
}

const ASSETS: &[Asset] = &assets![
    "/demo/" as "text/html; charset=utf-8" from "assets/demo/index.html",
    "/demo/player.html" as "text/html; charset=utf-8" from "assets/demo/player.html",
    "/demo/demo.css" as "text/css" from "assets/demo/demo.css",
    "/demo/wall.js" as "text/javascript" from "assets/demo/wall.js",
    "/demo/player.js" as "text/javascript" from "assets/demo/player.js",
    "/demo/streamgate.js" as "text/javascript" from "../../sdk/web/dist/streamgate.iife.js",
    "/demo/hls.light.min.js" as "text/javascript" from "assets/demo/hls.light.min.js",
    "/demo/film/film.m3u8" as "application/vnd.apple.mpegurl" from "assets/demo/film/film.m3u8",
    "/demo/film/init.mp4" as "video/mp4" from "assets/demo/film/init.mp4",
    "/demo/film/film0.m4s" as "video/iso.segment" from "assets/demo/film/film0.m4s",
    "/demo/film/film1.m4s" as "video/iso.segment" from "assets/demo/film/film1.m4s",
    "/demo/film/film2.m4s" as "video/iso.segment" from "assets/demo/film/film2.m4s",
    "/demo/film/film3.m4s" as "video/iso.segment" from "assets/demo/film/film3.m4s",
    "/demo/film/film4.m4s" as "video/iso.segment" from "assets/demo/film/film4.m4s",
    "/demo/film/film5.m4s" as "video/iso.segment" from "assets/demo/film/film5.m4s",
];

#[derive(Args)]
pub(super) struct DemoArgs {
    /// Listen on this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

pub(super) fn demo(args: &DemoArgs) -> anyhow::Result<()> {
    let settings = SETTINGS.map(|(name, value)| (name, value.to_owned()));
    let listen = ("listen", args.listen.to_string());
    let sources = Sources {
        file: None,
        environment: Vec::new(),
        flags: settings.into_iter().chain([listen]).collect(),
    };
    let (config, _) = Config::load(sources)?;
    log_to_stderr(&config.log);
    serve::block_on(&config, Some(pages()))
}

/// The page and all that it loads.
fn pages() -> Router<Api> {
    let to_the_page = get(async || Redirect::temporary("/demo/"));
    let index = Router::new().route("/", to_the_page.clone());
    let index = index.route("/demo", to_the_page);
    ASSETS.iter().fold(index, |router, &(path, kind, bytes)| {
        let headers: [(HeaderName, &str); 3] = [
            (CONTENT_TYPE, kind),
            (CONTENT_SECURITY_POLICY, POLICY),
            (CACHE_CONTROL, "no-cache"),
        ];
        router.route(path, get(async move || (headers, bytes)))
    })
}
