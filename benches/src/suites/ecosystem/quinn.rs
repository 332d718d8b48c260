//! QUIC by quinn: each request is a stream of its own, as in HTTP/3.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use quinn::rustls::crypto::{CryptoProvider, ring};
use quinn::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use quinn::rustls::{self, DigitallySignedStruct, SignatureScheme};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, Incoming, ServerConfig,
    TokioRuntime,
};

use super::load::{self, Caller};
use crate::closed_loop::{host, pattern};
use crate::harness::{Contender, Setup};
use crate::runtimes::{self, Evenkeel, Runtime, Tokio};

const CONNECTIONS: usize = 16;
const STREAMS: usize = 4;
const MESSAGE_BYTES: usize = 64;

pub(super) const CONTENDERS: &[Contender] = &[
    Contender::new(Evenkeel::NAME, |setup| {
        serve::<Evenkeel>(setup, Arc::new(evenkeel::quinn::Runtime::new()))
    }),
    Contender::new(Tokio::NAME, |setup| {
        serve::<Tokio>(setup, Arc::new(TokioRuntime))
    }),
];

fn serve<R: Runtime>(setup: &Setup, quinn: Arc<dyn quinn::Runtime>) -> Result<Vec<f64>, String> {
    let runtime = runtimes::start::<R>(&setup.options)?;
    let config = server_config()?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    let port = socket
        .local_addr()
        .map_err(|error| error.to_string())?
        .port();
    R::detach(runtime.spawn(async move {
        let endpoint = Endpoint::new(EndpointConfig::default(), Some(config), socket, quinn);
        let endpoint = endpoint.expect("an endpoint");
        while let Some(incoming) = endpoint.accept().await {
            R::detach(runtime.spawn_in_task(answer(incoming)));
        }
    }));
    host(port)
}

/// The streams of a connection, one after the other: what is under way at once is the transport's.
async fn answer(incoming: Incoming) -> Result<(), ConnectionError> {
    let connection = incoming.await?;
    loop {
        let (mut send, mut receive) = connection.accept_bi().await?;
        if let Ok(message) = receive.read_to_end(2 * MESSAGE_BYTES).await
            && send.write_all(&message).await.is_ok()
        {
            // It fails if the peer has gone, and then so has the connection.
            let _ = send.finish();
        }
    }
}

fn server_config() -> Result<ServerConfig, String> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    ServerConfig::with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(|error| error.to_string())
}

/// Trusts whoever answers: the server is a child of the same parent.
#[derive(Debug)]
struct Trusting(CryptoProvider);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn client_config() -> io::Result<ClientConfig> {
    let provider = ring::default_provider();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(provider.clone()));
    let config = builder
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(provider)))
        .with_no_client_auth();
    let config = QuicClientConfig::try_from(config).map_err(io::Error::other)?;
    Ok(ClientConfig::new(Arc::new(config)))
}

struct Client {
    connection: Connection,
    message: Vec<u8>,
}

impl Caller for Client {
    async fn call(&mut self) -> io::Result<()> {
        let (mut send, mut receive) = self.connection.open_bi().await?;
        send.write_all(&self.message).await?;
        send.finish().map_err(io::Error::other)?;
        let answer = receive.read_to_end(2 * MESSAGE_BYTES).await;
        if answer.map_err(io::Error::other)? != self.message {
            return Err(io::Error::other("a wrong answer"));
        }
        Ok(())
    }
}

pub(super) fn load(setup: &Setup) -> Result<Vec<f64>, String> {
    load::load(setup, async |port| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let runtime = Arc::new(TokioRuntime);
        let mut endpoint = Endpoint::new(EndpointConfig::default(), None, socket, runtime)?;
        endpoint.set_default_client_config(client_config()?);
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let connecting = endpoint.connect((Ipv4Addr::LOCALHOST, port).into(), "localhost");
            let connection = connecting.map_err(io::Error::other)?.await?;
            clients.extend((0..STREAMS).map(|_| Client {
                connection: connection.clone(),
                message: pattern(MESSAGE_BYTES),
            }));
        }
        Ok(clients)
    })
}
