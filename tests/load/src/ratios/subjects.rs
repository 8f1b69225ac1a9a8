//! What is compared, what it must reach, and what its floors leave out.

use serde::{Deserialize, Serialize};

use crate::floor::supply::Floored;
use crate::operation::Operation;

/// How many times as long as the slower floor's the 99th percentile may be, at half of what each of them bears.
pub(super) const P99_AIM: f64 = 3.0;

/// A kind of call, what it must reach, and what its floors leave out.
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) of: Floored,
    /// Whether it is compared to its statements.
    pub(super) statements: bool,
    /// Least ratio to E and to S; 0 where none is asked for.
    pub(super) aims: (f64, f64),
    pub(super) leaves_out: &'static str,
}

impl Subject {
    /// A kind of call beside E alone.
    pub(super) fn alone(operation: Operation) -> Self {
        Self {
            name: operation.name(),
            of: Floored::Call(operation),
            statements: false,
            aims: (0.0, 0.0),
            leaves_out: "E: everything but a call",
        }
    }
}

pub(super) const SUBJECTS: [Subject; 7] = [
    Subject {
        name: "resolve",
        of: Floored::Call(Operation::Resolve),
        statements: true,
        aims: (0.8, 0.8),
        leaves_out: "S: the call, the token, the making of an answer from rows",
    },
    Subject {
        name: "authorize",
        of: Floored::Call(Operation::Authorize),
        statements: true,
        aims: (0.6, 0.0),
        leaves_out: "E: the token, the reading of the revision, the decision. S: the call, the token, the decision. Whoever asks \
                     has asked before: facts are read again only of another revision",
    },
    Subject {
        name: "list",
        of: Floored::Call(Operation::List),
        statements: true,
        aims: (0.055, 0.6),
        leaves_out: "S: two calls and tokens, the decision, rendering, hashing and signing, and staging: its entry goes \
                     straight into the log, in one commit instead of two",
    },
    Subject {
        name: "submit",
        of: Floored::Call(Operation::Submit),
        statements: true,
        aims: (0.075, 0.6),
        leaves_out: "S: three calls and tokens, the decision, reading the CDA, encryption, hashing and signing, staging",
    },
    Subject {
        name: "send",
        of: Floored::Call(Operation::Send),
        statements: true,
        aims: (0.0, 0.6),
        leaves_out: "S: the call, the token, encryption, hashing and signing, staging, and telling the watchers",
    },
    Subject {
        name: "read",
        of: Floored::Call(Operation::Read),
        statements: false,
        aims: (0.14, 0.0),
        leaves_out: "E: everything but a call: consent, the journal's commit, decryption, 20 kB of answer",
    },
    Subject {
        name: "journal append",
        of: Floored::Append,
        statements: true,
        aims: (0.0, 0.7),
        leaves_out: "S: plain rows of the same shape, batched as well: the chain, the tree, hashing, the signed checkpoint",
    },
];

/// Where a peer's figures come from.
pub(super) const PEER_SOURCE: &str = "a FHIR server in Rust without authentication, audit or consent, measured at 64 calls in \
                                      flight on a quiet machine of 2 cores, on which E made 40,000 calls a second";

/// A call of another server that does something alike, in parts of E on its machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// What it does.
    pub does: String,
    /// The suite's call that it stands beside.
    pub beside: String,
    /// Least and most of its ratio to E.
    pub of_echo: (f64, f64),
}

/// The peer's calls.
pub(super) fn peers() -> Vec<Peer> {
    let peer = |does: &str, beside: &str, of_echo| Peer {
        does: does.to_owned(),
        beside: beside.to_owned(),
        of_echo,
    };
    vec![
        peer("create 20 kB", "submit", (0.015, 0.015)),
        peer("list 50 documents", "list", (0.011, 0.011)),
        peer("read one", "read", (0.14, 0.27)),
    ]
}
