//! A collector that keeps nothing: it answers each unary call with an empty message, as OTLP's own answer may be, and counts.

use futures::future::BoxFuture;
use prost::bytes::Buf;
use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::LoadError;

/// Larger than what an exporter sends at once.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A sink that takes what comes. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    counted: Arc<Counted>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

#[derive(Debug, Default)]
struct Counted {
    calls: AtomicU64,
    bytes: AtomicU64,
}

/// Starts one.
pub(crate) async fn start(listen: SocketAddr) -> Result<Sink, LoadError> {
    let failed = |source| LoadError::file(Path::new(&listen.to_string()), source);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let (address, counted) = (listener.local_addr().map_err(failed)?, Arc::<Counted>::default());
    // Whatever is called: traces, metrics and logs are three services.
    let any = Routes::default()
        .into_axum_router()
        .fallback_service(Taker(counted.clone()));
    let server = Server::builder().add_routes(Routes::from(any));
    let serving = tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    Ok(Sink {
        address,
        counted,
        serving,
    })
}

impl Sink {
    /// Calls taken.
    pub(crate) fn calls(&self) -> u64 {
        self.counted.calls.load(Ordering::Relaxed)
    }

    /// Bytes of their messages.
    pub(crate) fn bytes(&self) -> u64 {
        self.counted.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Debug, Clone)]
struct Taker(Arc<Counted>);

impl UnaryService<usize> for Taker {
    type Response = ();
    type Future = std::future::Ready<Result<Response<()>, Status>>;

    fn call(&mut self, request: Request<usize>) -> Self::Future {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(request.into_inner() as u64, Ordering::Relaxed);
        ready(Ok(Response::new(())))
    }
}

impl<B> tower::Service<http::Request<B>> for Taker
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let taker = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(Lengths).max_decoding_message_size(MESSAGE_BYTES_MAX);
            Ok(grpc.unary(taker, request).await)
        })
    }
}

/// Of what comes the length is read; what goes is empty.
#[derive(Debug, Clone, Copy)]
struct Lengths;

impl Codec for Lengths {
    type Encode = ();
    type Decode = usize;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Lengths {
    type Item = ();
    type Error = Status;

    fn encode(&mut self, (): (), _: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

impl Decoder for Lengths {
    type Item = usize;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<usize>, Status> {
        let length = message.remaining();
        message.advance(length);
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::target::channel;
    use http::uri::PathAndQuery;
    use tonic_prost::ProstCodec;

    #[tokio::test]
    async fn it_takes_whatever_is_called_and_counts_it() {
        let sink = start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let channel = channel(None, "sink", &format!("http://{}", sink.address)).unwrap();
        for path in ["/a.Traces/Export", "/b.Metrics/Export"] {
            let mut client = tonic::client::Grpc::new(channel.clone());
            client.ready().await.unwrap();
            let codec = ProstCodec::<Vec<u8>, ()>::default();
            let sent = Request::new(vec![7; 100]);
            client
                .unary(sent, PathAndQuery::from_static(path), codec)
                .await
                .unwrap();
        }
        // A field of 100 bytes, its tag and its length.
        assert_eq!((sink.calls(), sink.bytes()), (2, 2 * 102));
    }
}
