//! A network that can be made slow, or torn.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// Forwards connections to one address, as slowly as it is told to.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    delay_ms: Arc<AtomicU64>,
    /// Each change tears the connections that are there.
    torn: watch::Sender<()>,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            delay_ms: Arc::default(),
            torn: watch::channel(()).0,
        };
        let (delay_ms, torn) = (proxy.delay_ms.clone(), proxy.torn.subscribe());
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let (delay_ms, mut torn) = (delay_ms.clone(), torn.clone());
                torn.mark_unchanged();
                tokio::spawn(async move {
                    // A target that is away is told by closing.
                    let Ok(to) = TcpStream::connect(target).await else {
                        return;
                    };
                    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
                    tokio::select! {
                        () = forward(from_read, to_write, &delay_ms) => {}
                        () = forward(to_read, from_write, &delay_ms) => {}
                        _ = torn.changed() => {}
                    }
                });
            }
        });
        proxy
    }

    /// Keeps back, from now on, whatever passes, in both directions.
    pub(crate) fn delay(&self, delay: Duration) {
        self.delay_ms.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// Tears every connection.
    pub(crate) fn tear(&self) {
        self.torn.send_replace(());
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay_ms: &AtomicU64) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        match delay_ms.load(Ordering::SeqCst) {
            0 => {}
            delay => sleep(Duration::from_millis(delay)).await,
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
