//! `dmp up` as a process of its own.

use dmp::home::Home;
use journeys::Clients;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use store::random::Random;
use store::time::Clock;

/// The binary under test.
pub(crate) fn dmp() -> Command {
    Command::new(env!("CARGO_BIN_EXE_dmp"))
}

/// A suite in another process; killed when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it and waits until it says that it runs.
    pub(crate) fn start(folder: &Path, databases: &BTreeMap<String, String>) -> Self {
        Self::start_as(dmp(), folder, databases)
    }

    /// As [`Process::start`], by a command that has its environment.
    pub(crate) fn start_as(mut command: Command, folder: &Path, databases: &BTreeMap<String, String>) -> Self {
        command.arg("--data").arg(folder).args(["up", "--base-port", "0"]);
        for (service, url) in databases {
            command.arg("--database").arg(format!("{service}={url}"));
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let says_so = lines
            .map_while(Result::ok)
            .any(|line| line.contains("Stop with Ctrl-C"));
        assert!(says_so, "the suite did not start");
        Self(child)
    }

    /// Everybody who calls it.
    pub(crate) fn clients(folder: &Path) -> Clients {
        let home = Home::open(folder, &Random::system()).unwrap();
        Clients::new(
            &home.read_endpoints().unwrap(),
            &home,
            Clock::system(),
            Random::system(),
        )
    }

    /// Kills it as a power cut would: SIGKILL, no goodbye.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}
