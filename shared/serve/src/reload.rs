//! Files that are read again while the process runs: certificates, their keys, and the keys of token issuers.
//!
//! Their content is compared, not their times: a mounted secret may change behind a link, and times are coarse. What
//! cannot be used is refused with an error in the log, and what was in use stays in use until the files are right.

use aws_lc_rs::digest;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::config::Invalid;

/// Largest file taken: hundreds of certificates.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Requests to look at once that may wait.
const REQUESTS_MAX: usize = 16;

/// What was last made of its files. Cheap to clone; all clones see the same.
pub(crate) struct Live<T>(watch::Receiver<Arc<T>>);

impl<T> Live<T> {
    /// What comes of no file, and stays.
    pub(crate) fn fixed(value: T) -> Self {
        Self(watch::channel(Arc::new(value)).1)
    }

    /// As it is now.
    pub(crate) fn now(&self) -> Arc<T> {
        self.0.borrow().clone()
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Something to look at on each tick.
pub(crate) trait Watched: Send {
    fn look(&mut self);
}

/// Everything of a process that is looked at again and again.
#[derive(Default)]
pub(crate) struct Reloads(Vec<Box<dyn Watched>>);

/// Asks for a look now, and hears when it has been done.
pub(crate) type Request = oneshot::Sender<()>;

pub(crate) fn requests() -> (mpsc::Sender<Request>, mpsc::Receiver<Request>) {
    mpsc::channel(REQUESTS_MAX)
}

impl Reloads {
    pub(crate) fn add(&mut self, watched: impl Watched + 'static) {
        self.0.push(Box::new(watched));
    }

    /// Makes something of `files`, now and whenever they change. `make` gets their contents in the same order, and says
    /// which key cannot be used and why.
    pub(crate) fn load<T: Send + Sync + 'static>(
        &mut self,
        files: Vec<Keyed>,
        make: impl Fn(&[Content]) -> Result<T, Invalid> + Send + 'static,
    ) -> Result<Live<T>, Invalid> {
        let contents = read_all(&files)?;
        let (current, live) = watch::channel(Arc::new(make(&contents)?));
        self.add(Source {
            files,
            make,
            current,
            used: fingerprint(&contents),
            refused: None,
        });
        Ok(Live(live))
    }

    /// Looks `every` so often, and when asked to, until `stop`.
    pub(crate) async fn run(mut self, every: Duration, mut requests: mpsc::Receiver<Request>, stop: CancellationToken) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let request = tokio::select! {
                () = stop.cancelled() => return,
                _tick = ticks.tick() => None,
                Some(request) = requests.recv() => Some(request),
            };
            // Files may stand on a disk that lets wait; nothing else waits for them.
            let looked = tokio::task::spawn_blocking(move || {
                self.0.iter_mut().for_each(|watched| watched.look());
                self
            });
            let Ok(looked) = looked.await else {
                tracing::error!("reading files again ended in a panic");
                return;
            };
            self = looked;
            // Whoever asked may have gone.
            let _gone = request.map(|request| request.send(()));
        }
    }
}

/// A file and the key of the settings that names it.
pub(crate) struct Keyed {
    pub(crate) key: String,
    pub(crate) path: PathBuf,
}

impl Keyed {
    pub(crate) fn new(key: impl Into<String>, path: &Path) -> Self {
        Self {
            key: key.into(),
            path: path.to_owned(),
        }
    }
}

/// The content of a file, which may be a private key.
pub(crate) type Content = Zeroizing<Vec<u8>>;

struct Source<T, F> {
    files: Vec<Keyed>,
    make: F,
    current: watch::Sender<Arc<T>>,
    /// Of the contents that are in use.
    used: Vec<u8>,
    /// Why the files cannot be used, as said in the log: once, and not on each tick.
    refused: Option<Invalid>,
}

impl<T, F> Source<T, F>
where
    F: Fn(&[Content]) -> Result<T, Invalid>,
{
    /// Whether something else is in use from now on. What was refused is tried again on each tick: its time may come.
    fn renew(&mut self) -> Result<bool, Invalid> {
        let contents = read_all(&self.files)?;
        let found = fingerprint(&contents);
        if found == self.used {
            return Ok(false);
        }
        let made = (self.make)(&contents)?;
        self.current.send_replace(Arc::new(made));
        self.used = found;
        Ok(true)
    }
}

impl<T, F> Watched for Source<T, F>
where
    T: Send + Sync,
    F: Fn(&[Content]) -> Result<T, Invalid> + Send,
{
    fn look(&mut self) {
        match self.renew() {
            Ok(renewed) => {
                self.refused = None;
                if renewed {
                    let keys: Vec<&str> = self.files.iter().map(|file| file.key.as_str()).collect();
                    tracing::info!(?keys, "read anew");
                }
            }
            Err(invalid) => {
                if self.refused.as_ref() != Some(&invalid) {
                    let Invalid { key, expected } = &invalid;
                    tracing::error!(
                        key,
                        expected,
                        "a file cannot be used; what was read before stays in use"
                    );
                }
                self.refused = Some(invalid);
            }
        }
    }
}

fn read_all(files: &[Keyed]) -> Result<Vec<Content>, Invalid> {
    let read = |file: &Keyed| {
        read(&file.path).map_err(|error| {
            let problem = format!("cannot read {}: {error}", file.path.display());
            Invalid::new(file.key.clone(), problem)
        })
    };
    files.iter().map(read).collect()
}

fn read(path: &Path) -> io::Result<Content> {
    let mut content = Zeroizing::new(Vec::new());
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(content)
}

fn fingerprint(contents: &[Content]) -> Vec<u8> {
    let each = |content: &Content| digest::digest(&digest::SHA256, content).as_ref().to_vec();
    contents.iter().flat_map(each).collect()
}
