//! What the floors' statements bind: rows of the sizes that the services' own rows have.

use api::identity::InsOid;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use store::random::Random;
use uuid::Uuid;

use super::base::{Frame, Writes};
use super::statement::Statement;
use super::statement::Value::{Bytes, Flag, Id, NoBytes, Number, Text};
use super::statements as sql;
use crate::operation::Operation;

/// People, dossiers and mailboxes of the floors' databases.
pub(super) const PEOPLE: i64 = 1_000;
pub(super) const DOSSIERS: i64 = 64;
const MAILBOXES: i64 = 64;

/// Sizes in bytes, by a look into the services' databases.
const DESCRIPTION: usize = 960;
const PAYLOAD: usize = 320;
const RESPONSE: usize = 1_240;
const WRAPPED_KEY: usize = 60;
const HEADER: usize = 164;
const MESSAGE_BODY: usize = 132;
const EVENT: usize = 39;
const NOTE: usize = 190;
/// A document of 20 kB, sealed.
const SEALED: usize = 20_016;

const LOG: i64 = 1;
const PHYSICIAN: &str = "899000000016";
const DEPOSITOR: &str = "professional:899000000016";
const CALLER: &str = "https://issuer.localhost/people/load-caller";

/// What can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Floored {
    /// A call of a service.
    Call(Operation),
    /// An entry of the journal, against one row of a plain table of the same shape.
    Append,
}

/// Whose database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Identifier,
    Consent,
    Dossier,
    Messaging,
    /// A log without a tree.
    Plain,
}

/// The statements of one call: first what is read, then what is written durably.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) reads: Vec<(Which, Vec<Statement>)>,
    pub(crate) writes: Option<(Which, Writes)>,
}

/// Gives out rows that never were before. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Supply {
    random: Random,
    next: Arc<AtomicI64>,
}

impl Supply {
    pub(crate) fn new(random: Random) -> Self {
        Self {
            random,
            next: Arc::default(),
        }
    }

    fn number(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn uuid(&self) -> Uuid {
        self.random.uuid()
    }

    fn bytes(&self, size: usize) -> Vec<u8> {
        let mut bytes = self.random.bytes::<32>().repeat(size.div_ceil(32));
        bytes.truncate(size);
        bytes
    }

    pub(crate) fn people(&self) -> Vec<Statement> {
        let person = |number: i64| {
            [
                Statement::new(
                    sql::PERSON,
                    [
                        Text(dmp_id(number)),
                        Text("SPECIMEN-CHARGE".to_owned()),
                        Text("ALIX".to_owned()),
                    ],
                ),
                Statement::new(
                    sql::MATRICULE,
                    [Text(oid()), Text(matricule(number)), Text(dmp_id(number))],
                ),
            ]
        };
        (0..PEOPLE).flat_map(person).collect()
    }

    pub(crate) fn consents(&self) -> Vec<Statement> {
        let said = |number: i64| Statement::new(sql::REVISION, [Text(dmp_id(number))]);
        (0..DOSSIERS).map(said).collect()
    }

    pub(crate) fn dossiers(&self, documents: usize) -> Vec<Statement> {
        let mut statements = self.log();
        for number in 0..DOSSIERS {
            let values = [Text(dmp_id(number)), Bytes(self.bytes(WRAPPED_KEY))];
            statements.push(Statement::new(sql::OPEN, values));
            (0..documents).for_each(|_| statements.extend(self.document(&dmp_id(number))));
        }
        statements
    }

    pub(crate) fn mailboxes(&self) -> Vec<Statement> {
        let mailbox = |number: i64| {
            let owner = format!("8990000{number:05}");
            [
                Statement::new(sql::PARTY, [Text(owner.clone()), Text(format!("CHARGE {owner}"))]),
                Statement::new(
                    sql::OPEN_MAILBOX,
                    [Id(mailbox_id(number)), Text(address(number)), Text(owner), Flag(false)],
                ),
            ]
        };
        let mut statements = self.log();
        statements.extend((0..MAILBOXES).flat_map(mailbox));
        statements
    }

    fn log(&self) -> Vec<Statement> {
        vec![Statement::new(sql::LOG, [Number(LOG)])]
    }

    /// What a call runs; `None` for one that has no such floor.
    pub(crate) fn plan(&self, of: Floored) -> Option<Plan> {
        let dmp_id = self.dossier();
        let last_revision = || (Which::Consent, self.last_revision(&dmp_id));
        let plan = match of {
            Floored::Append => Plan {
                writes: Some((Which::Plain, self.plain_entry())),
                ..Plan::default()
            },
            Floored::Call(Operation::Resolve) => Plan {
                reads: vec![(Which::Identifier, self.resolve())],
                ..Plan::default()
            },
            Floored::Call(Operation::Authorize) => Plan {
                reads: vec![last_revision()],
                ..Plan::default()
            },
            Floored::Call(Operation::List) => Plan {
                reads: vec![last_revision(), (Which::Dossier, self.list(&dmp_id))],
                writes: Some((Which::Dossier, self.listed(&dmp_id))),
            },
            Floored::Call(Operation::Submit) => Plan {
                reads: vec![
                    last_revision(),
                    (Which::Identifier, self.resolve()),
                    (Which::Dossier, self.is_open(&dmp_id)),
                ],
                writes: Some((Which::Dossier, self.submit(&dmp_id))),
            },
            Floored::Call(Operation::Send) => Plan {
                reads: vec![(Which::Messaging, self.may_send())],
                writes: Some((Which::Messaging, self.send())),
            },
            Floored::Call(_) => return None,
        };
        Some(plan)
    }

    /// What resolving an identifier runs.
    pub(super) fn resolve(&self) -> Vec<Statement> {
        let matricule = matricule(self.number() % PEOPLE);
        vec![Statement::new(sql::RESOLVE, [Text(oid()), Text(matricule), Number(0)])]
    }

    /// Some dossier.
    pub(crate) fn dossier(&self) -> String {
        dmp_id(self.number() % DOSSIERS)
    }

    /// What consent reads to decide for who has asked before.
    pub(super) fn last_revision(&self, dmp_id: &str) -> Vec<Statement> {
        let values = [Number(0), Text(dmp_id.to_owned())];
        vec![Statement::new(sql::LAST_REVISION, values)]
    }

    fn is_open(&self, dmp_id: &str) -> Vec<Statement> {
        vec![Statement::new(sql::DOSSIER, [Text(dmp_id.to_owned())])]
    }

    fn list(&self, dmp_id: &str) -> Vec<Statement> {
        let values = [
            Text(dmp_id.to_owned()),
            Text("BIO-X".to_owned()),
            Text("BIO-Y".to_owned()),
            Text(DEPOSITOR.to_owned()),
            Text(PHYSICIAN.to_owned()),
            Number(1),
            Number(51),
        ];
        [self.is_open(dmp_id), vec![Statement::new(sql::LIST, values)]].concat()
    }

    /// What a listing leaves behind.
    fn listed(&self, dmp_id: &str) -> Writes {
        Writes {
            changes: vec![self.duty_use(dmp_id)],
            journal: self.entry(dmp_id),
        }
    }

    fn submit(&self, dmp_id: &str) -> Writes {
        let request_id = self.uuid();
        let unique_id = format!("2.25.1^{request_id}");
        let mut changes = vec![
            Statement::new(sql::FIND, [Text(dmp_id.to_owned()), Text(unique_id)]),
            Statement::new(sql::CHANGE, [Text(dmp_id.to_owned())]),
        ];
        changes.extend(self.document(dmp_id));
        changes.push(self.duty_use(dmp_id));
        changes.push(self.remember(request_id, "dmp.dossier.v1.DocumentService/SubmitDocument", RESPONSE));
        Writes {
            changes,
            journal: self.entry(dmp_id),
        }
    }

    fn may_send(&self) -> Vec<Statement> {
        vec![Statement::new(
            sql::MAILBOX,
            [Id(mailbox_id(self.number() % MAILBOXES))],
        )]
    }

    fn send(&self) -> Writes {
        let (request_id, message_id) = (self.uuid(), self.uuid());
        let (number, other) = (self.number(), self.number() % MAILBOXES);
        let sender = number % MAILBOXES;
        // In one order, as the service takes them: two messages in opposite directions must not wait for each other.
        let both = [sender.min(other), sender.max(other)];
        let mut changes = Vec::from(both.map(|mailbox| Statement::new(sql::NUMBER, [Text(address(mailbox))])));
        changes.extend([
            Statement::new(
                sql::MESSAGE,
                [
                    Id(message_id),
                    Id(mailbox_id(sender)),
                    Number(number),
                    Id(self.uuid()),
                    Flag(false),
                    Bytes(self.bytes(WRAPPED_KEY)),
                    Bytes(self.bytes(HEADER)),
                ],
            ),
            Statement::new(
                sql::BODY,
                [
                    Id(message_id),
                    Bytes(self.bytes(32)),
                    Bytes(self.bytes(WRAPPED_KEY)),
                    Bytes(self.bytes(MESSAGE_BODY)),
                ],
            ),
            Statement::new(sql::DELIVERY, [Id(mailbox_id(other)), Number(number), Id(message_id)]),
            Statement::new(
                sql::PUBLISH,
                [
                    Text("mailbox".to_owned()),
                    Text(mailbox_id(other).to_string()),
                    Bytes(self.bytes(EVENT)),
                    Number(0),
                ],
            ),
            self.remember(request_id, "dmp.messaging.v1.MessageService/SendMessage", HEADER),
        ]);
        // A chain that nobody has written into yet, so that its end is looked for.
        let subject = message_id.to_string();
        let heads = Statement::new(sql::HEADS, [Text(subject.clone()), Number(LOG), Number(LOG)]);
        let mut journal = vec![heads];
        journal.extend(self.entry(&subject));
        Writes { changes, journal }
    }

    /// An entry of the journal and a node of its tree.
    fn entry(&self, subject: &str) -> Vec<Statement> {
        let place = self.number();
        let entry = [
            Number(LOG),
            Number(place),
            Id(self.uuid()),
            Text(subject.to_owned()),
            Number(place),
            Bytes(self.bytes(32)),
            Number(0),
            Bytes(self.bytes(32)),
            Bytes(self.bytes(PAYLOAD)),
            NoBytes,
            Bytes(self.bytes(32)),
        ];
        let node = [Number(LOG), Number(1), Number(place), Bytes(self.bytes(32))];
        vec![Statement::new(sql::ENTRY, entry), Statement::new(sql::NODE, node)]
    }

    /// The same row of an entry, and nothing else.
    fn plain_entry(&self) -> Writes {
        let entries = self.entry(&self.dossier()).into_iter();
        Writes {
            changes: Vec::new(),
            journal: entries.filter(|statement| statement.sql == sql::ENTRY).collect(),
        }
    }

    /// What an entry says.
    pub(crate) fn payload(&self) -> Vec<u8> {
        self.bytes(PAYLOAD)
    }

    /// What a log writes once for all entries of a batch.
    pub(crate) fn frame(&self) -> Frame {
        let supply = self.clone();
        Box::new(move || {
            let size = supply.number();
            let note = "x".repeat(NOTE);
            (
                vec![Statement::new(
                    sql::ADVANCE,
                    [Number(0), Number(LOG), Number(0), Number(LOG), Id(Uuid::max())],
                )],
                vec![Statement::new(sql::CHECKPOINT, [Number(LOG), Number(size), Text(note)])],
            )
        })
    }

    fn document(&self, dmp_id: &str) -> Vec<Statement> {
        let (logical_id, unique_id) = (self.uuid(), format!("2.25.1^{}", self.uuid()));
        let document = [
            Text(dmp_id.to_owned()),
            Text(unique_id.clone()),
            Id(logical_id),
            Id(self.uuid()),
            Number(1),
            Text("11488-4".to_owned()),
            Text("10".to_owned()),
            Flag(false),
            Flag(false),
            Flag(false),
            Number(0),
            Number(self.number()),
            Text("text/xml".to_owned()),
            Number(20_000),
            Bytes(self.bytes(32)),
            Text(DEPOSITOR.to_owned()),
            Number(0),
            Bytes(self.bytes(DESCRIPTION)),
        ];
        vec![
            Statement::new(sql::DOCUMENT, document),
            Statement::new(
                sql::AUTHOR,
                [Text(dmp_id.to_owned()), Text(PHYSICIAN.to_owned()), Text(unique_id)],
            ),
            Statement::new(
                sql::KEY,
                [
                    Text(dmp_id.to_owned()),
                    Id(logical_id),
                    Bytes(self.bytes(WRAPPED_KEY)),
                    Number(1),
                ],
            ),
            Statement::new(
                sql::CONTENT,
                [
                    Text(dmp_id.to_owned()),
                    Id(logical_id),
                    Number(0),
                    Bytes(self.bytes(SEALED)),
                ],
            ),
        ]
    }

    fn duty_use(&self, dmp_id: &str) -> Statement {
        let values = [
            Text(PHYSICIAN.to_owned()),
            Text(dmp_id.to_owned()),
            Number(0),
            Id(self.uuid()),
        ];
        Statement::new(sql::DUTY_USE, values)
    }

    fn remember(&self, request_id: Uuid, method: &str, bytes: usize) -> Statement {
        let values = [
            Text(CALLER.to_owned()),
            Id(request_id),
            Text(method.to_owned()),
            Bytes(self.bytes(32)),
            Bytes(self.bytes(bytes)),
            Number(0),
        ];
        Statement::new(sql::REMEMBER, values)
    }
}

fn oid() -> String {
    InsOid::Test.as_str().to_owned()
}

pub(super) fn dmp_id(number: i64) -> String {
    format!("{number:020}")
}

pub(super) fn matricule(number: i64) -> String {
    format!("2850469{number:08}")
}

fn mailbox_id(number: i64) -> Uuid {
    Uuid::from_u128(u128::from(number.unsigned_abs()))
}

fn address(number: i64) -> String {
    format!("charge.{number}@charge.mssante.example")
}

/// The statements that the floor of a call runs, each once; `None` for one that has no such floor.
pub(crate) fn texts(operation: Operation) -> Option<BTreeSet<&'static str>> {
    let supply = Supply::new(Random::seeded(0));
    let Plan { reads, writes } = supply.plan(Floored::Call(operation))?;
    let mut statements: Vec<Statement> = reads.into_iter().flat_map(|(_, statements)| statements).collect();
    if let Some((_, writes)) = writes {
        let (before, after) = supply.frame()();
        statements.extend([writes.changes, before, writes.journal, after].concat());
    }
    Some(statements.iter().map(|statement| statement.sql).collect())
}
