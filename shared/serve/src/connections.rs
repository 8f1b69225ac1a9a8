//! The one place where connections come in: how many, how long one may be silent, and how the last ones are cut.
//!
//! Answers leave together: who wants to send lets everybody else have a turn who is ready to answer on the same connection.
//! A write, and waking who reads it, is most of what a short call costs.
//!
//! With TLS a connection is greeted before it counts as one: in a task of its own, so that nobody waits for somebody
//! else's handshake; within the time that a new connection may be silent; under the same cap on their number. Greetings
//! end with the accept loop, so that no peer delays the end of the process.

use futures::Stream;
use opentelemetry::metrics::Counter;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::config::Limits;
use crate::tls::{self, Proof};
use crate::trace::label;

/// Length of the HTTP/2 client preface (RFC 9113 §3.4).
const PREFACE_BYTES: usize = 24;

/// Share of the process's file descriptors that one service's connections may take, as a divisor: the four services of
/// one process together still leave a fifth to databases and files.
const DESCRIPTORS_SHARE: usize = 5;

/// How long accepting rests after it failed: without descriptors left, trying again at once only burns the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// When connections end.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// No new ones, and those that have said nothing yet are closed.
    pub(crate) closing: CancellationToken,
    /// All of them, whatever they are doing.
    pub(crate) cut: CancellationToken,
}

/// Connections of `listener`, at most as many at once as `limits` and the process's file descriptors allow; each one
/// greeted by `tls` where that is given.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: Option<tls::Server>,
    limits: &Limits,
    ends: Ends,
) -> impl Stream<Item = io::Result<Connection>> + use<> {
    let arrivals = Arrivals {
        listener,
        free: Arc::new(Semaphore::new(connections_max(limits.connections))),
        preface: Duration::from_millis(limits.preface_timeout_ms),
        ends,
    };
    let greetings = Greetings {
        tls: tls.map(Arc::new),
        refused: opentelemetry::global::meter("serve")
            .u64_counter("dmp.tls.refused_handshakes")
            .with_description("Connections that ended before TLS stood, by reason")
            .build(),
        under_way: JoinSet::new(),
    };
    futures::stream::unfold((arrivals, greetings), |(arrivals, mut greetings)| async move {
        let connection = greetings.next(&arrivals).await?;
        Some((Ok(connection), (arrivals, greetings)))
    })
}

/// Connections as they come in.
struct Arrivals {
    listener: TcpListener,
    free: Arc<Semaphore>,
    preface: Duration,
    ends: Ends,
}

/// A connection of which nothing is known yet. Dropping it closes it and makes place for another.
struct Arrival {
    stream: TcpStream,
    silence: Silence,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    permit: OwnedSemaphorePermit,
}

/// Connections that are being greeted, and how.
struct Greetings {
    tls: Option<Arc<tls::Server>>,
    refused: Counter<u64>,
    under_way: JoinSet<Option<Connection>>,
}

impl Arrivals {
    /// May be dropped at any time: nothing is lost.
    async fn next(&self) -> Option<Arrival> {
        let permit = self.free.clone().acquire_owned().await.ok()?;
        let stream = accept(&self.listener).await;
        // Without it small answers wait for acknowledgements; a socket that refuses is merely slower.
        let _slower = stream.set_nodelay(true);
        let silence = Silence {
            heard_bytes: 0,
            patience: Box::pin(sleep(self.preface)),
            closing: Box::pin(self.ends.closing.clone().cancelled_owned()),
        };
        Some(Arrival {
            stream,
            silence,
            cut: Box::pin(self.ends.cut.clone().cancelled_owned()),
            permit,
        })
    }
}

impl Greetings {
    async fn next(&mut self, arrivals: &Arrivals) -> Option<Connection> {
        loop {
            tokio::select! {
                Some(greeted) = self.under_way.join_next() => {
                    if let Ok(Some(connection)) = greeted {
                        return Some(connection);
                    }
                }
                arrival = arrivals.next() => {
                    let arrival = arrival?;
                    let Some(tls) = &self.tls else {
                        return Some(arrival.in_the_clear());
                    };
                    self.under_way.spawn(arrival.greet(tls.clone(), self.refused.clone()));
                }
            }
        }
    }
}

impl Arrival {
    fn in_the_clear(self) -> Connection {
        Connection {
            stream: BufWriter::new(Box::new(self.stream)),
            gathered: false,
            proof: Proof::Cleartext,
            silence: Some(self.silence),
            cut: self.cut,
            _permit: self.permit,
        }
    }

    async fn greet(mut self, tls: Arc<tls::Server>, refused: Counter<u64>) -> Option<Connection> {
        let greeted = tokio::select! {
            greeted = tls.accept(self.stream) => greeted,
            () = self.silence.patience.as_mut() => Err(io::ErrorKind::TimedOut.into()),
        };
        match greeted {
            Ok((stream, proof)) => Some(Connection {
                stream: BufWriter::new(Box::new(stream)),
                gathered: false,
                proof,
                silence: Some(self.silence),
                cut: self.cut,
                _permit: self.permit,
            }),
            Err(error) => {
                // Whoever can reach the port can make these: they are counted, and shown only to who asks for much.
                tracing::debug!(%error, "no TLS with a client");
                refused.add(1, &[label("reason", tls::reason(&error))]);
                None
            }
        }
    }
}

fn connections_max(configured: usize) -> usize {
    let Some(descriptors) = descriptors_max() else {
        return configured;
    };
    let share = (descriptors / DESCRIPTORS_SHARE).max(1);
    if share < configured {
        tracing::warn!(
            configured,
            taken = share,
            "fewer connections than configured: raise the descriptor limit"
        );
    }
    configured.min(share)
}

/// The soft limit on open files, where the system tells it.
fn descriptors_max() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => return stream,
            Err(error) => {
                tracing::warn!(kind = ?error.kind(), "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What bytes come from and go to.
trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// One connection.
pub(crate) struct Connection {
    stream: BufWriter<Box<dyn Bytes>>,
    /// Whether others have had their turn since the last flush.
    gathered: bool,
    proof: Proof,
    /// `None` once its preface has been read.
    silence: Option<Silence>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: OwnedSemaphorePermit,
}

/// A peer that has not yet said that it speaks HTTP/2. hyper waits for it without limit, also when shutting down.
struct Silence {
    heard_bytes: usize,
    patience: Pin<Box<Sleep>>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    fn poll_cut(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }

    fn heard(&mut self, bytes: usize) {
        if let Some(silence) = &mut self.silence {
            silence.heard_bytes += bytes;
            if silence.heard_bytes >= PREFACE_BYTES {
                self.silence = None;
            }
        }
    }
}

impl Silence {
    fn poll_end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.patience.as_mut().poll(context).is_ready() || self.closing.as_mut().poll(context).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_cut(context)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.heard(buffer.filled().len() - before);
        if let (Poll::Pending, Some(silence)) = (&read, &mut self.silence) {
            silence.poll_end(context)?;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_cut(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_cut(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(context)?;
        // Woken at once, but behind those who are ready now: what they have to say then goes out with this.
        if !self.gathered && !self.stream.buffer().is_empty() {
            self.gathered = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.gathered = false;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // With TLS a farewell is sent first, and a peer that reads nothing lets it wait.
        self.poll_cut(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Connection {
    /// In the extensions of each request that comes this way.
    type ConnectInfo = Proof;

    fn connect_info(&self) -> Proof {
        self.proof.clone()
    }
}
