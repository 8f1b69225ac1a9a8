//! E: a unary echo, with the server settings of the services where they matter to speed; over the same TLS where the suite
//! is called over TLS, and in a process of its own where the suite is in one: two processes take turns on the processors
//! otherwise than two halves of one do.

use futures::future::{BoxFuture, Ready, ready};
use http::uri::PathAndQuery;
use serde::{Deserialize, Serialize};
use serve::tls::Client;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::task::{Context, Poll};
use store::time::Clock;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::secured::{self, Secured};
use crate::LoadError;
use crate::target::channel;

const PATH: &str = "/dmp.load.Echo/Echo";

/// As the services' own.
const STREAMS_MAX: u32 = 128;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Bytes that go there and come back.
const PAYLOAD_BYTES: usize = 100;

type Codec = ProstCodec<Vec<u8>, Vec<u8>>;

#[derive(Debug, Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "dmp.load.Echo";
}

impl UnaryService<Vec<u8>> for Echo {
    type Response = Vec<u8>;
    type Future = Ready<Result<Response<Vec<u8>>, Status>>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Codec::default());
            Ok(grpc.unary(Self, request).await)
        })
    }
}

/// Where a server of E answers, as one that is a process says it in its first line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    address: String,
    /// Who vouches for it (PEM), over TLS.
    trust: Option<String>,
}

/// A server of E on loopback. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) place: Place,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Serving {
    /// Starts it, over TLS where a clock is given: that of the certificate's time.
    pub(crate) async fn start(tls: Option<Clock>) -> Result<Self, LoadError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let server = Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .add_service(Echo);
        let (scheme, trust, task) = match tls.map(Secured::new).transpose()? {
            None => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                ("http", None, tokio::spawn(server.serve_with_incoming(incoming)))
            }
            Some(Secured { acceptor, trust }) => {
                let incoming = secured::incoming(listener, acceptor);
                let task = tokio::spawn(server.serve_with_incoming(incoming));
                ("https", Some(trust), task)
            }
        };
        let address = format!("{scheme}://{address}");
        let place = Place { address, trust };
        Ok(Self { place, task })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn failed(source: std::io::Error) -> LoadError {
    LoadError::file(Path::new("E"), source)
}

/// What keeps E going. It ends when dropped.
#[derive(Debug)]
enum Held {
    Here(#[expect(dead_code, reason = "dropped")] Serving),
    Apart(#[expect(dead_code, reason = "dropped")] Child),
}

/// E, and connections to it.
#[derive(Debug)]
pub(crate) struct Floor {
    channels: Vec<Channel>,
    _server: Held,
}

impl Floor {
    /// Serves it in this process and connects; over TLS where a clock is given.
    pub(crate) async fn here(connections: usize, tls: Option<Clock>) -> Result<Self, LoadError> {
        let serving = Serving::start(tls.clone()).await?;
        let channels = channels(&serving.place, connections, tls)?;
        let _server = Held::Here(serving);
        Ok(Self { channels, _server })
    }

    /// The same in a process of its own, by this program's `load echo` on the suite's folder, which ends with its input.
    pub(crate) async fn apart(connections: usize, tls: Option<Clock>, folder: &Path) -> Result<Self, LoadError> {
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command
            .arg("--data")
            .arg(folder)
            .args(["load", "echo"])
            .args(tls.iter().map(|_| "--tls"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let mut said = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut said).await.map_err(failed)?;
        }
        let place = serde_json::from_str(&said);
        let place = place.map_err(|_| LoadError::Measurement("E does not say where it is".to_owned()))?;
        let channels = channels(&place, connections, tls)?;
        let _server = Held::Apart(child);
        Ok(Self { channels, _server })
    }

    /// One call of one of many callers.
    pub(crate) async fn call(&self, caller: usize) -> Result<(), Status> {
        let Some(channel) = self.channels.get(caller % self.channels.len()) else {
            return Ok(());
        };
        let mut client = tonic::client::Grpc::new(channel.clone());
        let ready = client.ready().await;
        ready.map_err(|error| Status::from_error(error.into()))?;
        let (sent, path) = (vec![7; PAYLOAD_BYTES], PathAndQuery::from_static(PATH));
        let answer = client.unary(Request::new(sent), path, Codec::default()).await?;
        if answer.into_inner().len() == PAYLOAD_BYTES {
            Ok(())
        } else {
            Err(Status::data_loss("the echo is another"))
        }
    }
}

fn channels(place: &Place, connections: usize, clock: Option<Clock>) -> Result<Vec<Channel>, LoadError> {
    let tls = match (&place.trust, clock) {
        (Some(trust), Some(clock)) => Some(secured::client(trust, clock)?),
        _ => None,
    };
    let tls: Option<&Client> = tls.as_ref();
    let channels = (0..connections.max(1)).map(|_| channel(tls, secured::NAME, &place.address));
    channels.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    /// Whatever it is called over: what was sent comes back.
    #[tokio::test]
    async fn it_echoes_in_the_clear_and_over_tls() {
        for tls in [None, Some(Clock::system())] {
            let floor = Floor::here(2, tls).await.unwrap();
            for caller in 0..4 {
                floor.call(caller).await.unwrap();
            }
        }
    }
}
