//! Services of one process call each other without a network: the same requests on the same path, with the same limits,
//! tokens, deadlines and traces; what is left out is HTTP/2 and two sockets. gRPC calls it the in-process transport.
//!
//! Only in the clear: over TLS a service's certificate is part of who it is, and there is none without a handshake.

use http::{Request, Response};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service;

use crate::layers::Guarded;
use crate::tls::Proof;

/// What serves at an address of this process, as long as it does.
type Place = Arc<RwLock<Option<Guarded<Routes>>>>;

/// The services of a process, by the addresses that they also listen on. Cheap to clone; whoever has a clone calls the
/// others directly. By default a service has one of its own, and so calls over the network.
#[derive(Clone, Default)]
pub struct InProcess(Arc<Mutex<HashMap<String, Place>>>);

impl InProcess {
    fn place(&self, address: &str) -> Place {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(address.to_owned()).or_default().clone()
    }

    /// The way to whatever serves at `address`, now or later.
    pub(crate) fn way(&self, address: &str) -> Way {
        Way(self.place(address))
    }

    /// Lets `service` be called at `address` until the guard is dropped.
    pub(crate) fn open(&self, address: &str, service: Guarded<Routes>) -> Open {
        let place = self.place(address);
        *place.write().unwrap_or_else(PoisonError::into_inner) = Some(service);
        Open(place)
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("InProcess")
    }
}

/// As long as it is there, its service can be called.
pub(crate) struct Open(Place);

impl Drop for Open {
    fn drop(&mut self) {
        // It has the ways to the others, and they have those to it.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The way to one address.
pub(crate) struct Way(Place);

impl Way {
    /// Calls what serves there; gives the request back when nothing does.
    pub(crate) async fn call(&self, mut request: Request<Body>) -> Result<Response<Body>, Request<Body>> {
        let service = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(mut service) = service else {
            return Err(request);
        };
        // As a connection of this machine's own network would be.
        request.extensions_mut().insert(Proof::Cleartext);
        let Ok(response) = service.call(request).await;
        Ok(response)
    }
}
