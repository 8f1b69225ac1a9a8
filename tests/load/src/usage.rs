//! Memory and processor time of the services, while they are under load: from `/proc`, when they run on this machine.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

/// Ticks of processor time a second, as Linux gives them to every program (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// How often the system's locks are looked through. They are told piece by piece, and one is missed when others, as of busy
/// databases, come and go between two pieces.
const LOOKS: usize = 10;

/// A process that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// What it is called in the report.
    pub name: String,
    /// Its number.
    pub pid: u32,
}

impl Watched {
    /// From `NAME=PID`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, pid) = text.split_once('=').ok_or("must be NAME=PID")?;
        Ok(Self {
            name: name.to_owned(),
            pid: pid.parse().map_err(|_| "must be NAME=PID")?,
        })
    }

    /// The process that holds the lock of an embedded suite's folder.
    pub(crate) fn of_folder(folder: &Path) -> Option<Self> {
        let lock = std::fs::metadata(folder.join("lock")).ok()?;
        let look = || holder(&std::fs::read_to_string("/proc/locks").ok()?, lock.ino());
        let pid = (0..LOOKS).find_map(|_| look())?;
        Some(Self {
            name: "suite".to_owned(),
            pid,
        })
    }
}

/// Who holds a lock on the file with this number, by `/proc/locks`: `1: FLOCK ADVISORY WRITE 4711 08:01:131 0 EOF`.
fn holder(locks: &str, inode: u64) -> Option<u32> {
    let inode = inode.to_string();
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = words.as_slice() else {
            return None;
        };
        (file.rsplit(':').next() == Some(&inode)).then(|| pid.parse().ok())?
    })
}

/// A process in one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time, in hundredths of one processor.
    pub cpu_percent: f64,
    /// Resident memory.
    pub memory_bytes: u64,
}

/// Looks at processes again and again.
#[derive(Debug)]
pub(crate) struct Observer {
    watched: Vec<Watched>,
    before: BTreeMap<u32, (f64, Instant)>,
}

impl Observer {
    pub(crate) fn new(watched: Vec<Watched>) -> Self {
        let mut observer = Self {
            watched,
            before: BTreeMap::new(),
        };
        observer.look();
        observer
    }

    /// Usage since the last look, by name; a process that has ended is left out.
    pub(crate) fn look(&mut self) -> BTreeMap<String, Usage> {
        let mut looks = BTreeMap::new();
        for Watched { name, pid } in &self.watched {
            let (Some(seconds), Some(memory_bytes)) = (cpu_seconds(*pid), memory(*pid)) else {
                continue;
            };
            let now = Instant::now();
            let (used, since) = self.before.insert(*pid, (seconds, now)).unwrap_or((seconds, now));
            let elapsed = now.duration_since(since).as_secs_f64();
            let cpu_percent = if elapsed > 0.0 {
                (seconds - used) / elapsed * 100.0
            } else {
                0.0
            };
            looks.insert(
                name.clone(),
                Usage {
                    cpu_percent,
                    memory_bytes,
                },
            );
        }
        looks
    }
}

fn cpu_seconds(pid: u32) -> Option<f64> {
    ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?).map(|ticks| ticks as f64 / TICKS_PER_SECOND)
}

/// User and system time: fields 14 and 15, counted behind the name, which may hold spaces.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

fn memory(pid: u32) -> Option<u64> {
    resident(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_understood() {
        let stat = "4711 (a name) with) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 77 1 2";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(resident("Name:\tdmp\nVmRSS:\t   2048 kB\n"), Some(2 << 20));
        let locks = "1: POSIX  ADVISORY  WRITE 12 08:01:131 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF\n";
        assert_eq!(holder(locks, 131), Some(4711));
        assert_eq!(holder(locks, 13), None);
    }

    /// This very process has memory, and is left out once it is no more.
    #[test]
    fn a_process_that_is_not_there_is_left_out() {
        let watched = |name: &str, pid| Watched {
            name: name.to_owned(),
            pid,
        };
        let mut observer = Observer::new(vec![watched("here", std::process::id()), watched("gone", u32::MAX)]);
        let looks = observer.look();
        assert_eq!(looks.keys().collect::<Vec<_>>(), ["here"]);
        assert!(looks.values().all(|usage| usage.memory_bytes > 100_000));
    }
}
