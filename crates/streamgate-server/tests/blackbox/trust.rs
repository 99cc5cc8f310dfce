//! Who may call, as operators set it up: API keys, certificates, files that change under way.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::support::{Answer, Client, SOON, Server, Setup, run, wait_until};

fn asking() -> Setup {
    Setup::new().set("AUTH", "required")
}

/// Runs `streamgate keys` on a server's directory; what it prints.
#[track_caller]
fn keys(setup_dir: &Path, args: &[&str]) -> Value {
    let dir = setup_dir.display().to_string();
    let args: Vec<&str> = [&["keys"], args, &["--data-dir", &dir]].concat();
    let output = run(Path::new("/"), &args);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn start_with(client: &Client, key: &str) -> Answer {
    client
        .call(Method::POST, "/v1/streams")
        .header("authorization", format!("Bearer {key}"))
        .json(&json!({"userId": "viewer-7f3a"}))
        .send()
}

#[test]
fn a_key_is_good_from_when_it_is_made_until_it_is_revoked_without_a_restart() {
    let server = asking().start();
    let client = server.client();
    let refused = client.start(&json!({"userId": "viewer-7f3a"}));
    assert_eq!(
        (refused.status, refused.code()),
        (401, "unauthorized".into())
    );
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Bearer realm=\"streamgate\"")
    );
    assert_eq!(client.get("/readyz").status, 200);

    let made = keys(
        &server.data_dir(),
        &["new", "--name", "cms", "--scope", "play", "--json"],
    );
    let (id, key) = (text(&made["id"]), text(&made["key"]));
    wait_until("the key is taken", SOON, || {
        (start_with(&client, &key).status == 201).then_some(())
    });
    let listed = keys(&server.data_dir(), &["list", "--json"]);
    assert_eq!(
        (&listed[0]["id"], &listed[0]["scopes"]),
        (&made["id"], &json!(["play"]))
    );

    keys(&server.data_dir(), &["revoke", &id]);
    wait_until("the key is not taken any more", SOON, || {
        (start_with(&client, &key).status == 401).then_some(())
    });
    let (log, kept) = (
        server.log(),
        fs::read_to_string(server.data_dir().join("keys.json")),
    );
    let secret = key.rsplit('_').next().expect("a secret");
    for told in [log, kept.expect("it is there")] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn at_level_info_no_user_and_no_secret_is_logged_and_no_answer_to_others_has_one() {
    let server = asking().start();
    let client = server.client();
    let made = keys(
        &server.data_dir(),
        &["new", "--name", "cms", "--scope", "play", "--json"],
    );
    let key = text(&made["key"]);
    let started = wait_until("the key is taken", SOON, || {
        let answer = start_with(&client, &key);
        (answer.status == 201).then_some(answer)
    });
    let (id, token) = (started.text("streamId"), started.text("token"));
    for path in [
        format!("/v1/streams/{id}/heartbeat?t={token}"),
        format!("/v1/streams/other/heartbeat?t={token}"),
        format!("/v1/streams/{id}/heartbeat?t={token}x"),
        format!("/v1/users/viewer-7f3a/streams/{id}/heartbeat"),
    ] {
        let answer = client.poke(&path);
        if answer.status != 200 {
            assert!(!answer.body.contains("viewer-7f3a"), "{answer:?}");
        }
    }
    let log = server.log();
    for secret in ["viewer-7f3a", token.as_str(), key.as_str()] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn support_staff_bring_their_key_in_a_file() {
    let server = asking().start();
    let dir = server.data_dir();
    let made = keys(
        &dir,
        &["new", "--name", "support", "--scope", "operate", "--json"],
    );
    let file = dir.join("my-key");
    fs::write(&file, format!("{}\n", text(&made["key"]))).expect("it is written");
    let url = format!("http://{}", server.address());
    let file = file.display().to_string();
    let list = [
        "streams", "list", "--user", "viewer", "--server", &url, "--json",
    ];
    wait_until("the key is taken", SOON, || {
        let with_key = [&list[..], &["--key-file", &file]].concat();
        run(&dir, &with_key).status.success().then_some(())
    });
    let without = run(&dir, &list);
    assert_eq!(without.status.code(), Some(1));
    let said = String::from_utf8_lossy(&without.stderr);
    assert!(said.contains("401"), "{said}");
}

#[test]
fn wrong_arguments_and_files_are_told_and_change_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let run = |args: &[&str]| {
        let output = run(home.path(), args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = run(&["keys", "new", "--name", "x", "--scope", "all"]);
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = run(&["keys", "new", "--name", "", "--scope", "play"]);
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = run(&["keys", "revoke", "unknown"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("there is no key \"unknown\""), "{said}");

    let serve = |settings: &[(&str, &str)]| {
        let setup = settings
            .iter()
            .fold(asking(), |it, (name, value)| it.set(name, value));
        let output = setup.run_to_end();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let jwt = [("JWT_ISSUER", "https://i/"), ("JWT_AUDIENCE", "us")];
    let said = serve(&[jwt[0], jwt[1], ("JWT_JWKS_FILE", "/nowhere")]);
    assert!(said.contains("cannot read /nowhere"), "{said}");
    let short = home.path().join("secret");
    fs::write(&short, "short\n").expect("it is written");
    let short = short.display().to_string();
    let said = serve(&[jwt[0], jwt[1], ("JWT_SECRET_FILE", &short)]);
    assert!(
        said.contains("has 5 bytes; a secret must have at least 32"),
        "{said}"
    );
    let said = serve(&[("TLS_CERTIFICATE_FILE", &short), ("TLS_KEY_FILE", &short)]);
    assert!(said.contains("cannot read a private key from"), "{said}");
}

#[test]
fn beyond_loopback_callers_must_be_asked_who_they_are() {
    let anywhere = Setup::new().arg("--listen").arg("0.0.0.0:0");
    let output = anywhere.run_to_end();
    assert_ne!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("listen"), "{said}");
}

/// An authority that signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// A certificate for a name, and its key, in PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        (signed.pem(), key.serialize_pem())
    }

    fn trusted(&self) -> ureq::tls::TlsConfigBuilder {
        let root = Certificate::from_der(self.certificate.der()).to_owned();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        TlsConfig::builder()
            .root_certs(RootCerts::from(vec![root]))
            .unversioned_rustls_crypto_provider(provider)
    }

    /// A client of a server of this authority, before its handshake.
    fn client(&self, protocols: &[&[u8]]) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.certificate.der().clone())
            .expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config
            .with_safe_default_protocol_versions()
            .expect("versions");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        let name = "localhost".try_into().expect("a name");
        ClientConnection::new(Arc::new(config), name).expect("a client")
    }

    /// What a server of this authority says in its handshake: its certificate and protocol.
    fn greet(&self, address: SocketAddr) -> Option<(CertificateDer<'static>, Option<Vec<u8>>)> {
        let mut tls = self.client(&[b"h2", b"http/1.1"]);
        let mut stream = TcpStream::connect(address).expect("it listens");
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).ok()?;
        }
        let certificate = tls.peer_certificates()?.first()?.clone().into_owned();
        Some((certificate, tls.alpn_protocol().map(<[u8]>::to_vec)))
    }
}

/// A server with a certificate of `authority`, in files in `home`.
fn with_certificate(authority: &Authority, home: &Path) -> Setup {
    let (certificate, key) = authority.sign("localhost");
    fs::write(home.join("crt"), certificate).expect("it is written");
    fs::write(home.join("key"), key).expect("it is written");
    asking()
        .set("TLS_CERTIFICATE_FILE", home.join("crt").display())
        .set("TLS_KEY_FILE", home.join("key").display())
}

#[test]
fn https_is_served_with_http2_and_takes_new_certificates_without_a_restart() {
    let (authority, home) = (Authority::new(), tempfile::tempdir().expect("a directory"));
    let server = with_certificate(&authority, home.path()).start();
    let client = Client::secure(server.address(), authority.trusted().build());
    assert_eq!(client.get("/readyz").status, 200);
    let (first, protocol) = authority.greet(server.address()).expect("a handshake");
    assert_eq!(protocol.as_deref(), Some(&b"h2"[..]));

    // Half a change is none.
    let (certificate, key) = authority.sign("localhost");
    fs::write(home.path().join("crt"), certificate).expect("it is written");
    server.wait_for_log("the certificate stays as it was");
    let (same, _) = authority.greet(server.address()).expect("a handshake");
    assert_eq!(same, first);

    fs::write(home.path().join("key"), key).expect("it is written");
    wait_until("the new certificate is served", SOON, || {
        let (now, _) = authority.greet(server.address())?;
        (now != first).then_some(())
    });
    assert_eq!(client.get("/readyz").status, 200);
}

#[test]
fn a_client_that_does_not_read_or_says_nothing_is_hung_up_on_over_https_too() {
    let (authority, home) = (Authority::new(), tempfile::tempdir().expect("a directory"));
    let server = with_certificate(&authority, home.path()).start();
    let connect = |protocol: &[u8]| {
        let mut tls = authority.client(&[protocol]);
        let mut stream = TcpStream::connect(server.address()).expect("it listens");
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).expect("a handshake");
        }
        let timeout = stream.set_read_timeout(Some(SOON));
        timeout.expect("a timeout can be set");
        let timeout = stream.set_write_timeout(Some(Duration::from_millis(100)));
        timeout.expect("a timeout can be set");
        StreamOwned::new(tls, stream)
    };
    // Nothing after the handshake: the end comes before the read times out.
    let mut silent = connect(b"h2");
    let said = silent.read_to_end(&mut Vec::new()).map_err(|it| it.kind());
    assert!(
        !matches!(said, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)),
        "{said:?}"
    );

    let mut greedy = connect(b"http/1.1");
    let asks = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(64);
    wait_until(
        "a client that does not read is hung up on",
        2 * SOON,
        || match greedy.write_all(&asks).and_then(|()| greedy.flush()) {
            Ok(()) => None,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                None
            }
            Err(_hung_up) => Some(()),
        },
    );
}

#[test]
fn a_client_certificate_of_the_right_authority_is_as_good_as_a_key_and_no_other_is() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let home = tempfile::tempdir().expect("a directory");
    let ca = home.path().join("ca");
    fs::write(&ca, authority.certificate.pem()).expect("it is written");
    let server = with_certificate(&authority, home.path())
        .set("TLS_CLIENT_CA_FILE", ca.display())
        .set("TLS_CLIENT_SCOPES", "play")
        .start();
    let body = json!({"userId": "viewer"});
    let nobody = Client::secure(server.address(), authority.trusted().build());
    assert_eq!(nobody.start(&body).status, 401);

    let known_by = |authority: &Authority, trusted: ureq::tls::TlsConfigBuilder| {
        let (certificate, key) = authority.sign("cms");
        let certificate = Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
        let key = PrivateKey::from_pem(key.as_bytes()).expect("a key");
        let client = ClientCert::new_with_certs(&[certificate], key);
        Client::secure(server.address(), trusted.client_cert(Some(client)).build())
    };
    let cms = known_by(&authority, authority.trusted());
    assert_eq!(cms.start(&body).status, 201);
    assert_eq!(
        cms.delete("/v1/users/viewer/streams").status,
        403,
        "only play"
    );
    let forged = known_by(&stranger, authority.trusted());
    let answered = forged.call(Method::GET, "/readyz").try_send();
    assert!(answered.is_err(), "{answered:?}");
}

#[test]
fn pages_of_the_configured_origins_may_call_and_others_may_not() {
    let server = Setup::new()
        .set("CORS_ORIGINS", "https://a.example https://b.example")
        .start();
    let client = server.client();
    let preflight = |origin: &str| {
        client
            .call(Method::OPTIONS, "/v1/streams")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
            .send()
    };
    let allowed = preflight("https://b.example");
    assert_eq!(allowed.status, 200);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://b.example")
    );
    assert_eq!(allowed.header("access-control-max-age"), Some("7200"));
    let refused = preflight("https://c.example");
    assert_eq!(refused.header("access-control-allow-origin"), None);
    let answer = client
        .call(Method::POST, "/v1/streams")
        .header("origin", "https://a.example")
        .json(&json!({"userId": "viewer"}))
        .send();
    assert_eq!(answer.status, 201);
    let exposed = answer
        .header("access-control-expose-headers")
        .expect("some are");
    assert!(exposed.contains("ratelimit"), "{exposed}");

    let closed = Server::start();
    let answer = closed
        .client()
        .call(Method::POST, "/v1/streams")
        .header("origin", "https://a.example")
        .json(&json!({"userId": "viewer"}))
        .send();
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn others_find_the_public_keys_of_the_stream_tokens() {
    let server = Setup::new().set("TOKENS_ALGORITHM", "ES256").start();
    let page = server.client().get("/.well-known/jwks.json").json();
    assert_eq!(page["keys"][0]["crv"], "P-256");
    assert_eq!(page["keys"][0].get("d"), None, "{page}");
}

#[test]
fn a_stream_token_outlives_a_restart_and_gateways_check_it() {
    let server = Server::start();
    let started = server.client().start(&json!({"userId": "viewer"}));
    let (id, token) = (started.text("streamId"), started.text("token"));
    let server = server.restart();
    let client = server.client();
    let check = format!("/v1/check?t={token}");
    assert_eq!(client.get(&check).status, 200);
    assert_eq!(client.get("/v1/check").status, 401);
    assert_eq!(client.get(&format!("{check}x")).status, 401);
    assert_eq!(client.delete(&format!("/v1/streams/{id}")).status, 204);
    assert_eq!(client.get(&check).status, 403);
}
