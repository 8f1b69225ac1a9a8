//! `dmp health`: whether the service of a configuration serves on this machine.

use serve::config::Common;
use serve::tls::{Client, TlsError};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use store::time::Clock;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How long the answer may take, with its connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Why the service does not serve, as far as its health tells.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The configuration names no port: there is nothing to ask.
    #[error("`listen` names no port")]
    NoPort,
    /// The authorities' certificates cannot be read.
    #[error("`tls.trust`: {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The authorities' certificates are none, or the trust domain has no such name.
    #[error("`tls.trust`, `tls.trust_domain`")]
    Tls(#[from] TlsError),
    /// It does not answer, or is not who it should be.
    #[error("{address} does not answer for {service}: {problem}")]
    Away {
        /// The service.
        service: &'static str,
        /// Where it was asked.
        address: SocketAddr,
        /// What the transport says.
        problem: String,
    },
    /// It is there and does not serve: its database is away, or it is stopping.
    #[error("{service} answers {}", .status.as_str_name())]
    NotServing {
        /// The service.
        service: &'static str,
        /// Its answer.
        status: ServingStatus,
    },
}

/// Asks the service called `service` that runs with these settings. Over TLS it must show its own name, and is shown no
/// certificate: health wants no token.
///
/// # Errors
/// [`HealthError`], unless it answers SERVING in time.
pub async fn check(service: &'static str, common: &Common, clock: &Clock) -> Result<(), HealthError> {
    let address = own_address(common.listen)?;
    let away = |problem: String| HealthError::Away {
        service,
        address,
        problem,
    };
    let mut client = HealthClient::new(channel(service, common, address, clock)?);
    let answered = timeout(ANSWER_WITHIN, client.check(HealthCheckRequest::default())).await;
    let answer = answered.map_err(|_| away("no answer in time".to_owned()))?;
    let status = answer
        .map_err(|status| away(root_cause(&status)))?
        .into_inner()
        .status();
    match status {
        ServingStatus::Serving => Ok(()),
        status => Err(HealthError::NotServing { service, status }),
    }
}

/// Where the service is reached from its own machine.
fn own_address(listen: SocketAddr) -> Result<SocketAddr, HealthError> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    match listen.port() {
        0 => Err(HealthError::NoPort),
        port => Ok(SocketAddr::new(ip, port)),
    }
}

fn channel(service: &'static str, common: &Common, address: SocketAddr, clock: &Clock) -> Result<Channel, HealthError> {
    let made = match &common.tls {
        None => serve::cleartext_channel(service, &format!("http://{address}")),
        Some(tls) => {
            let trust = std::fs::read(&tls.trust).map_err(|source| HealthError::Unreadable {
                path: tls.trust.clone(),
                source,
            })?;
            let client = Client::new(&trust, &tls.trust_domain, clock.clone())?;
            client.channel(service, &format!("https://{address}"))
        }
    };
    made.map_err(|error| HealthError::Away {
        service,
        address,
        problem: error.to_string(),
    })
}

/// tonic says « transport error », and what happened only in the last of its causes.
fn root_cause(status: &tonic::Status) -> String {
    let mut cause: &dyn std::error::Error = status;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match status.code() {
        tonic::Code::Unavailable | tonic::Code::Unknown => cause.to_string(),
        _ => status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_service_that_listens_everywhere_is_asked_on_loopback() {
        let asked = |listen: &str| own_address(listen.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(asked("0.0.0.0:7002").unwrap(), "127.0.0.1:7002");
        assert_eq!(asked("[::]:7002").unwrap(), "[::1]:7002");
        assert_eq!(asked("10.1.2.3:7002").unwrap(), "10.1.2.3:7002");
        assert!(matches!(asked("127.0.0.1:0"), Err(HealthError::NoPort)));
    }
}
