//! The one place where connections come in: how many, how long one may be silent, and how the last ones are cut.
//!
//! TLS belongs here too when it comes: between `accept` and [`Connection`].

use futures::Stream;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::config::Limits;

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

/// Connections of `listener`, at most as many at once as `limits` and the process's file descriptors allow.
pub(crate) fn incoming(
    listener: TcpListener,
    limits: &Limits,
    ends: Ends,
) -> impl Stream<Item = io::Result<Connection>> + use<> {
    let free = Arc::new(Semaphore::new(connections_max(limits.connections)));
    let preface = Duration::from_millis(limits.preface_timeout_ms);
    futures::stream::unfold((listener, free, ends), move |(listener, free, ends)| async move {
        let permit = free.clone().acquire_owned().await.ok()?;
        let stream = accept(&listener).await;
        let connection = Connection::new(stream, permit, preface, &ends);
        Some((Ok(connection), (listener, free, ends)))
    })
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

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
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
    fn new(stream: TcpStream, permit: OwnedSemaphorePermit, preface: Duration, ends: &Ends) -> Self {
        // Without it small answers wait for acknowledgements; a socket that refuses is merely slower.
        let _slower = stream.set_nodelay(true);
        let silence = Silence {
            heard_bytes: 0,
            patience: Box::pin(sleep(preface)),
            closing: Box::pin(ends.closing.clone().cancelled_owned()),
        };
        let cut = Box::pin(ends.cut.clone().cancelled_owned());
        Self {
            stream,
            silence: Some(silence),
            cut,
            _permit: permit,
        }
    }

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
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}
