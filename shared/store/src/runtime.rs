//! Threads of a database's own.
//!
//! A write is many short steps, each of which waits for the database: a thread that SQLite runs on, or a server. On the threads
//! that serve calls each step would wait for its turn behind all calls that are ready, and its socket would be looked at
//! when those threads rest; whoever writes next waits for all of it. Here nothing else runs.

use std::future::Future;
use std::io;
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// A runtime on threads of its own. What runs on it ends before it does, also when it is dropped.
pub(crate) struct OwnRuntime {
    handle: Handle,
    tasks: TaskTracker,
    _until_dropped: DropGuard,
}

impl OwnRuntime {
    /// Starts it for the database called `name`: with one thread and without sockets, where one writes after the other; or
    /// with as many threads as there are processors.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn start(name: &str, one_thread: bool) -> io::Result<Self> {
        let runtime = if one_thread {
            // Without sockets to look at, it is woken by less.
            Builder::new_current_thread().enable_time().build()?
        } else {
            Builder::new_multi_thread()
                .thread_name(format!("store-{name}"))
                .enable_all()
                .build()?
        };
        let (handle, tasks, dropped) = (runtime.handle().clone(), TaskTracker::new(), CancellationToken::new());
        let (left, over) = (tasks.clone(), dropped.clone());
        let live = async move {
            over.cancelled().await;
            left.close();
            left.wait().await;
        };
        thread::Builder::new()
            .name(format!("store-{name}"))
            .spawn(move || runtime.block_on(live))?;
        Ok(Self {
            handle,
            tasks,
            _until_dropped: dropped.drop_guard(),
        })
    }

    /// Runs `work` to its end, whoever waits for it or goes away.
    pub(crate) fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(self.tasks.track_future(work))
    }
}
