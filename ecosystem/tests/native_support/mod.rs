//! What the tests of what needs no runtime of tokio's share: certificates, curl, HTTP/1.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;

use evenkeel::JoinHandle;
use evenkeel::net::TcpStream;
use evenkeel::process::Command;
use evenkeel::serve::ServeFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A certificate of `localhost`, signed by itself.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl Identity {
    pub(crate) fn new() -> Identity {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Identity {
            certificate: made.cert.der().clone(),
            key: PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        }
    }

    /// A server with this certificate, and these protocols.
    pub(crate) fn server(&self, alpn: &[&str]) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider());
        let mut config = builder
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .unwrap();
        config.alpn_protocols = protocols(alpn);
        config
    }

    /// A client that trusts this certificate, and no other.
    pub(crate) fn client(&self, alpn: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider());
        let mut config = builder
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols(alpn);
        config
    }
}

fn protocols(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// Spawns a server of `evenkeel::serve`.
pub(crate) fn spawn_server<S>(server: S) -> JoinHandle<std::io::Result<()>>
where
    S: IntoFuture<Output = std::io::Result<()>, IntoFuture = ServeFuture>,
{
    evenkeel::spawn(server.into_future())
}

/// What curl prints; nothing, and a word to whoever reads, if there is no curl.
pub(crate) async fn curl(arguments: &[&str]) -> Option<String> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60"])
        .args(arguments)
        .output()
        .await;
    match output {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{arguments:?}: {errors}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(_) => {
            println!("skipped: no curl here");
            None
        }
    }
}

/// A connection of hyper's client, HTTP/1.
pub(crate) struct Http1(http1::SendRequest<Full<Bytes>>);

impl Http1 {
    pub(crate) async fn connect(address: SocketAddr) -> Http1 {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        drop(evenkeel::spawn(connection));
        Http1(sender)
    }

    /// Sends a request once the connection has done with the one before.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        self.0.ready().await?;
        self.0.send_request(request).await
    }

    /// The status of an answer, and its text.
    pub(crate) async fn get(&mut self, path: &str) -> (u16, String) {
        read(self.send(get(path)).await.unwrap()).await
    }
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    let request = Request::get(path).header("host", "localhost");
    request.body(Full::default()).unwrap()
}

pub(crate) async fn read(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}
