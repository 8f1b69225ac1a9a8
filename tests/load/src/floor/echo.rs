//! E: a unary echo, with the server settings of the services where they matter to speed; over the same TLS where the suite
//! is called over TLS.

use futures::future::{BoxFuture, Ready, ready};
use http::uri::PathAndQuery;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::task::{Context, Poll};
use store::time::Clock;
use tokio::net::TcpListener;
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

/// A server on loopback, in this process, with connections to it. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Floor {
    channels: Vec<Channel>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Floor {
    /// Starts it, over TLS where a clock is given: that of the certificates' time.
    pub(crate) async fn start(connections: usize, tls: Option<Clock>) -> Result<Self, LoadError> {
        let failed = |source| LoadError::file(std::path::Path::new("a loopback port"), source);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let server = Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .add_service(Echo);
        let (scheme, client, serving) = match tls.map(Secured::new).transpose()? {
            None => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                ("http", None, tokio::spawn(server.serve_with_incoming(incoming)))
            }
            Some(Secured { acceptor, client }) => {
                let incoming = secured::incoming(listener, acceptor);
                let serving = tokio::spawn(server.serve_with_incoming(incoming));
                ("https", Some(client), serving)
            }
        };
        let address = format!("{scheme}://{address}");
        let channels = (0..connections.max(1)).map(|_| channel(client.as_ref(), secured::NAME, &address));
        Ok(Self {
            channels: channels.collect::<Result<_, _>>()?,
            serving,
        })
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

impl Drop for Floor {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    /// Whatever it is called over: what was sent comes back.
    #[tokio::test]
    async fn it_echoes_in_the_clear_and_over_tls() {
        for tls in [None, Some(Clock::system())] {
            let floor = Floor::start(2, tls).await.unwrap();
            for caller in 0..4 {
                floor.call(caller).await.unwrap();
            }
        }
    }
}
