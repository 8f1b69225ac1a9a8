//! A call as its handler sees it: who, until when, in which trace.

use api::common::v1::{AuthenticationLevel, Role};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use crate::methods::Method;
use crate::token::BearerToken;
use crate::trace::TraceContext;
use crate::{Actor, Failure, Result};

/// A call whose caller is known. Cheap to clone.
#[derive(Clone)]
pub struct Call {
    /// Who acts: the bearer of the token, or of the one that a service forwards.
    pub actor: Arc<Actor>,
    /// When the call must have been answered.
    pub deadline: Instant,
    /// The call's place in its trace.
    pub trace: TraceContext,
    pub(crate) token: BearerToken,
    pub(crate) method: Arc<Method>,
}

impl Call {
    /// The call to which `request` belongs.
    ///
    /// # Errors
    /// `TOKEN_MISSING` for a request that did not come through the request path: closed, not open.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<&Self> {
        request.extensions().get::<Self>().ok_or_else(Failure::token_missing)
    }

    /// Full name of the method, as `dmp.consent.v1.ConsentService/GetConsent`.
    pub fn method(&self) -> &str {
        &self.method.full_name
    }

    /// What is left until the deadline.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Refuses callers of any other role.
    ///
    /// # Errors
    /// `ROLE_FORBIDDEN`.
    pub fn require_role(&self, roles: &[Role]) -> Result<()> {
        if roles.contains(&self.actor.role) {
            return Ok(());
        }
        Err(Failure::role_forbidden(self.actor.role, self.method()))
    }

    /// Refuses callers that are known less surely.
    ///
    /// # Errors
    /// `AUTHENTICATION_TOO_WEAK`.
    pub fn require_level(&self, needed: AuthenticationLevel) -> Result<()> {
        if self.actor.authentication_level as i32 >= needed as i32 {
            return Ok(());
        }
        Err(Failure::authentication_too_weak(needed))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Call({} by {:?})", self.method(), self.actor)
    }
}
