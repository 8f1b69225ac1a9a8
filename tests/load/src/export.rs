//! Requests for other tools: the same calls, as files that ghz, k6 and h2load read; and the floors that only read, for pgbench.

use api::consent::v1 as consent;
use api::dossier::v1 as dossier;
use api::identifier::v1 as identifier;
use api::messaging::v1 as messaging;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::LoadError;
use crate::call::submission;
use crate::document::{Filler, compose, first_extension, sha256, unique_id};
use crate::floor::pgbench::{self, Script};
use crate::person::{Person, physician};
use crate::population::Population;
use crate::scenario::Scenario;
use crate::target::{Clients, Target};

/// Requests of each kind: one after another, and again from the first.
const REQUESTS: usize = 100;
const DOCUMENT_BYTES: usize = 20_000;

/// The messages of calls.
type Calls = Vec<Vec<Vec<u8>>>;

/// The requests of one method.
struct Exported {
    name: &'static str,
    service: &'static str,
    method: &'static str,
    address: String,
    calls: Calls,
}

/// Settles the scenario's population and writes requests about it into a folder, with how to send them.
///
/// # Errors
/// [`LoadError`].
pub async fn export(target: &Target, scenario: &Scenario, folder: &Path) -> Result<(), LoadError> {
    let clients = Clients::new(target, scenario.connections, scenario.deadline())?;
    let population = Population::settle(target, &clients, scenario, (0, 1)).await?;
    std::fs::create_dir_all(folder).map_err(|source| LoadError::file(folder, source))?;
    let pool = DescriptorPool::decode(api::DESCRIPTOR_SET).map_err(|error| LoadError::Report(error.to_string()))?;
    let exported = requests(target, scenario, &clients, &population)?;
    let mut how = String::from(HOW);
    for requests in &exported {
        let path = folder.join(format!("{}.json", requests.name));
        write(&path, json(requests, &pool)?.as_bytes())?;
        how.push_str(&ghz(requests, target.tls.is_some()));
    }
    if let Some(first) = exported.first() {
        write(&folder.join("request.bin"), &framed(first))?;
        how.push_str(&h2load(first));
        write(&folder.join("k6.js"), k6(first, target.tls.is_some()).as_bytes())?;
    }
    how.push_str(PGBENCH);
    for script in pgbench::scripts() {
        write(
            &folder.join(format!("pgbench-{}.sql", script.name)),
            script.text.as_bytes(),
        )?;
        how.push_str(&pgbench(&script));
    }
    write(
        &folder.join("metadata.json"),
        metadata(&clients, &population)?.as_bytes(),
    )?;
    write(&folder.join("README.md"), how.as_bytes())
}

const HOW: &str = "# Requests of dmp load\n\nEach `NAME.json` is a list of requests of one method, all of one physician, \
whose token is in `metadata.json` and good for half an hour: export again when it is over. Keep that file to \
yourself. `submit.json` is the list of messages of one deposit.\n\n\
These tools are closed-loop unless told otherwise, and repeat the same requests: writes are answered from memory the second \
time (request_id). h2load does not look at grpc-status.\n\n";

const PGBENCH: &str =
    "\nS without this program, on the schemas that `dmp load ratios --floor-database URL` has left there:\n\n";

/// What all requests are about: the first physician and the dossiers that let it in.
fn requests(
    target: &Target,
    scenario: &Scenario,
    clients: &Clients,
    population: &Population,
) -> Result<Vec<Exported>, LoadError> {
    let own = population.mailboxes.first().ok_or(LoadError::Invention)?;
    let physicians = population.mailboxes.len();
    let dossiers: Vec<usize> = (0..scenario.population.dossiers).step_by(physicians).collect();
    let dossier_of = |turn: usize| -> Result<(usize, String), LoadError> {
        let number = dossiers.get(turn % dossiers.len().max(1)).ok_or(LoadError::Invention)?;
        Ok((
            *number,
            population.people.get(*number).cloned().ok_or(LoadError::Invention)?,
        ))
    };
    let each = |call: &dyn Fn(usize) -> Result<Vec<Vec<u8>>, LoadError>| -> Result<Calls, LoadError> {
        (0..REQUESTS).map(call).collect()
    };
    let filler = Filler::new(scenario.seed, DOCUMENT_BYTES);
    let resolve = |turn: usize| {
        let person = Person::invent(scenario.seed, turn % population.people.len().max(1));
        let ins = person.ok_or(LoadError::Invention)?.ins();
        one(&identifier::ResolveIdentifierRequest {
            ins: Some(ins),
            traits: None,
        })
    };
    let authorize = |turn: usize| {
        one(&consent::AuthorizeRequest {
            dmp_id: dossier_of(turn)?.1,
            operation: consent::Operation::ReadDocuments.into(),
            context: None,
        })
    };
    let list = |turn: usize| {
        one(&dossier::ListDocumentsRequest {
            dmp_id: dossier_of(turn)?.1,
            ..dossier::ListDocumentsRequest::default()
        })
    };
    let read = |turn: usize| {
        let (number, dmp_id) = dossier_of(turn)?;
        one(&dossier::ReadDocumentRequest {
            dmp_id,
            unique_id: unique_id(&first_extension(scenario.seed, number, 0)),
            context: None,
        })
    };
    let submit = |turn: usize| {
        let (number, dmp_id) = dossier_of(turn)?;
        let person = Person::invent(scenario.seed, number).ok_or(LoadError::Invention)?;
        let request_id = clients.request_id();
        let content = compose(
            &person,
            &own.professional_id,
            &request_id,
            DOCUMENT_BYTES,
            turn,
            &filler,
        );
        let parts = submission(&request_id, &dmp_id, &content, sha256(&content));
        Ok(parts.iter().map(Message::encode_to_vec).collect())
    };
    let send = |_: usize| {
        one(&messaging::SendMessageRequest {
            request_id: clients.request_id(),
            mailbox_id: own.mailbox_id.clone(),
            recipients: vec![own.address.clone()],
            subject: "Avis".to_owned(),
            body: "Message de charge.".to_owned(),
            ..messaging::SendMessageRequest::default()
        })
    };
    let at = &target.endpoints;
    let exported = |name, service, method, address: &str, calls| Exported {
        name,
        service,
        method,
        address: address.to_owned(),
        calls,
    };
    Ok(vec![
        exported(
            "resolve",
            "dmp.identifier.v1.IdentifierService",
            "ResolveIdentifier",
            &at.identifier,
            each(&resolve)?,
        ),
        exported(
            "authorize",
            "dmp.consent.v1.AccessService",
            "Authorize",
            &at.consent,
            each(&authorize)?,
        ),
        exported(
            "list",
            "dmp.dossier.v1.DocumentService",
            "ListDocuments",
            &at.dossier,
            each(&list)?,
        ),
        exported(
            "read",
            "dmp.dossier.v1.DocumentService",
            "ReadDocument",
            &at.dossier,
            each(&read)?,
        ),
        exported(
            "submit",
            "dmp.dossier.v1.DocumentService",
            "SubmitDocument",
            &at.dossier,
            each(&submit)?,
        ),
        exported(
            "send",
            "dmp.messaging.v1.MessageService",
            "SendMessage",
            &at.messaging,
            each(&send)?,
        ),
    ])
}

fn one(message: &impl Message) -> Result<Vec<Vec<u8>>, LoadError> {
    Ok(vec![message.encode_to_vec()])
}

/// As a list of messages; those of one call, where a call streams them.
fn json(requests: &Exported, pool: &DescriptorPool) -> Result<String, LoadError> {
    let failed = |error: &dyn std::fmt::Display| LoadError::Report(error.to_string());
    let service = pool.get_service_by_name(requests.service);
    let method = service.and_then(|service| service.methods().find(|method| method.name() == requests.method));
    let method = method.ok_or_else(|| failed(&requests.method))?;
    let calls = if method.is_client_streaming() {
        1
    } else {
        requests.calls.len()
    };
    let messages = requests.calls.iter().take(calls).flatten();
    let messages = messages.map(|bytes| DynamicMessage::decode(method.input(), bytes.as_slice()));
    let messages: Vec<DynamicMessage> = messages.collect::<Result<_, _>>().map_err(|error| failed(&error))?;
    serde_json::to_string_pretty(&messages).map_err(|error| failed(&error))
}

/// A message as gRPC frames it: not compressed, its length, itself.
fn framed(requests: &Exported) -> Vec<u8> {
    let message = requests
        .calls
        .first()
        .and_then(|call| call.first())
        .cloned()
        .unwrap_or_default();
    let length = u32::try_from(message.len()).unwrap_or_default().to_be_bytes();
    [&[0], length.as_slice(), &message].concat()
}

fn metadata(clients: &Clients, population: &Population) -> Result<String, LoadError> {
    let own = population.mailboxes.first().ok_or(LoadError::Invention)?;
    let request = clients
        .ask(&physician(&own.professional_id), ())
        .map_err(LoadError::Token)?;
    let token = request
        .metadata()
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let text = serde_json::json!({ "authorization": token });
    Ok(text.to_string())
}

fn host(requests: &Exported) -> &str {
    requests.address.rsplit('/').next().unwrap_or_default()
}

fn ghz(requests: &Exported, tls: bool) -> String {
    format!(
        "    ghz {} --call {}/{} -D {}.json -M metadata.json -c 64 --connections 4 -z 30s {}\n",
        if tls { "--cacert AUTHORITY.pem" } else { "--insecure" },
        requests.service,
        requests.method,
        requests.name,
        host(requests)
    )
}

fn h2load(requests: &Exported) -> String {
    format!(
        "\n    h2load -c 4 -m 16 -D 30 -d request.bin -H 'content-type: application/grpc' -H 'te: trailers' \\\n      \
         -H \"authorization: $(jq -r .authorization metadata.json)\" {}/{}/{}\n\n    k6 run k6.js\n",
        requests.address, requests.service, requests.method
    )
}

fn pgbench(script: &Script) -> String {
    format!(
        "    PGOPTIONS='-c search_path={}' pgbench -n -M prepared -c 64 -j 2 -T 30 -f pgbench-{}.sql URL\n",
        script.schema, script.name
    )
}

fn k6(requests: &Exported, tls: bool) -> String {
    format!(
        "import grpc from 'k6/net/grpc';\nimport {{ check }} from 'k6';\n\n\
         const requests = JSON.parse(open('./{name}.json'));\nconst metadata = JSON.parse(open('./metadata.json'));\n\
         const client = new grpc.Client();\n\n\
         export const options = {{ scenarios: {{ open: {{ executor: 'constant-arrival-rate', rate: 200, timeUnit: '1s',\n  \
         duration: '30s', preAllocatedVUs: 64 }} }} }};\n\n\
         export default function () {{\n  \
         if (__ITER === 0) client.connect('{host}', {{ plaintext: {plaintext}, reflect: true, reflectMetadata: metadata }});\n  \
         const answer = client.invoke('{service}/{method}', requests[__ITER % requests.length], {{ metadata }});\n  \
         check(answer, {{ ok: (a) => a && a.status === grpc.StatusOK }});\n}}\n",
        name = requests.name,
        host = host(requests),
        plaintext = !tls,
        service = requests.service,
        method = requests.method,
    )
}

/// A token is among what is written: for its owner only.
fn write(path: &Path, content: &[u8]) -> Result<(), LoadError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(content))
        .map_err(|source| LoadError::file(path, source))
}
