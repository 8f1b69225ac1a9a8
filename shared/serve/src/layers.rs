//! The way of every request, outermost first: trace and metrics, so that refusals count too; deadline; limits;
//! authentication; handler. And the way back: every status leaves with a reason.

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use store::random::Random;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service, ServiceExt};
use tracing::{Instrument, Span};

use crate::admission::{Admission, Slot};
use crate::auth::Authenticator;
use crate::config::Limits;
use crate::deadline::deadline;
use crate::methods::{Access, Method, Methods};
use crate::observe::{Metrics, Observation};
use crate::tls::Proof;
use crate::trace::TraceContext;
use crate::{Call, Failure, Result};

const GRPC_STATUS: &str = "grpc-status";

/// What all requests of a process pass through.
pub(crate) struct RequestPath {
    pub(crate) methods: Methods,
    pub(crate) authenticator: Authenticator,
    pub(crate) admission: Admission,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) random: Random,
    /// Ends watch streams, whose readers come back to another instance.
    pub(crate) closing: CancellationToken,
}

/// Puts a service behind the request path.
#[derive(Clone)]
pub(crate) struct RequestPathLayer(pub(crate) Arc<RequestPath>);

impl<S> Layer<S> for RequestPathLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            path: self.0.clone(),
            inner,
        }
    }
}

/// A service behind the request path.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    path: Arc<RequestPath>,
    inner: S,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The inner service is waited for in `handle`, under the call's deadline.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (path, inner) = (self.path.clone(), self.inner.clone());
        Box::pin(async move { Ok(path.pass(request, inner).await) })
    }
}

/// What a call has come to while it is on its way.
struct Passage {
    observation: Observation,
    trace: TraceContext,
}

impl RequestPath {
    async fn pass<S>(&self, request: Request<Body>, inner: S) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send,
    {
        let method = self.methods.find(request.uri()).cloned();
        let observed = method.clone().unwrap_or_else(|| self.methods.unknown().clone());
        let observation = Observation::begin(self.metrics.clone(), observed);
        let trace = TraceContext::of(&observation.span, TraceContext::sent(request.headers()), &self.random);
        observation.span.record("trace_id", trace.trace_id());
        let span = observation.span.clone();
        let passage = Passage { observation, trace };
        async {
            match method {
                Some(method) => self.limit_and_answer(request, method, inner, passage).await,
                None => passage.refuse(Failure::unimplemented()),
            }
        }
        .instrument(span)
        .await
    }

    async fn limit_and_answer<S>(
        &self,
        request: Request<Body>,
        method: Arc<Method>,
        inner: S,
        passage: Passage,
    ) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send,
    {
        let deadline = match deadline(request.headers(), method.watch, &self.limits, Instant::now()) {
            Ok(deadline) => deadline,
            Err(failure) => return passage.refuse(failure),
        };
        let handled = self.handle(request, method.clone(), inner, deadline, passage.trace.clone());
        match timeout_at(deadline, handled).await {
            Ok(Ok((slot, response))) => {
                let closing = method.watch.then(|| self.closing.clone());
                passage.answer(response, slot, deadline, closing)
            }
            Ok(Err(failure)) => passage.refuse(failure),
            Err(_passed) => passage.refuse(Failure::deadline_exceeded()),
        }
    }

    async fn handle<S>(
        &self,
        mut request: Request<Body>,
        method: Arc<Method>,
        inner: S,
        deadline: Instant,
        trace: TraceContext,
    ) -> Result<(Slot, Response<Body>)>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send,
    {
        let slot = self.admission.enter(&method, deadline).await?;
        if method.access != Access::Open {
            // Every connection of ours says what it proves; one that did not would prove nothing.
            let proof = request.extensions().get::<Proof>().cloned().unwrap_or_default();
            let caller = self.authenticator.authenticate(request.headers(), &proof)?;
            let call = Call {
                actor: caller.actor,
                deadline,
                trace,
                token: caller.token,
                method,
            };
            request.extensions_mut().insert(call);
        }
        // A panicking handler is a defect of ours: it costs its own call, and the caller learns that it is over.
        match AssertUnwindSafe(inner.oneshot(request)).catch_unwind().await {
            Ok(Ok(response)) => Ok((slot, response)),
            Err(_panic) => Err(Failure::internal("a handler panicked")),
        }
    }
}

impl Passage {
    fn refuse(mut self, failure: Failure) -> Response<Body> {
        self.observation.ended(failure.code);
        status_of(failure, &self.trace).into_http()
    }

    /// Sends what the handler gives, until its end, the deadline, or (for watches) the process's end.
    fn answer(
        mut self,
        response: Response<Body>,
        slot: Slot,
        deadline: Instant,
        closing: Option<CancellationToken>,
    ) -> Response<Body> {
        let (mut head, body) = response.into_parts();
        if let Some(code) = complete(&mut head.headers, &self.trace) {
            self.observation.ended(code);
            return Response::from_parts(head, Body::empty());
        }
        let answer = Answer {
            body,
            span: self.observation.span.clone(),
            trace: self.trace,
            deadline: Box::pin(sleep_until(deadline)),
            closing: closing.map(|closing| Box::pin(closing.cancelled_owned())),
            sending: Some((self.observation, slot)),
        };
        Response::from_parts(head, Body::new(answer))
    }
}

/// A failure as a status that the operator can find: INTERNAL carries the trace.
fn status_of(failure: Failure, trace: &TraceContext) -> Status {
    match failure.code {
        Code::Internal => failure.with("trace_id", trace.trace_id()).into(),
        _ => failure.into(),
    }
}

/// Gives a status that ends a call its reason, when tonic made it without one. `None` when no status is there yet.
fn complete(headers: &mut HeaderMap, trace: &TraceContext) -> Option<Code> {
    if !headers.contains_key(GRPC_STATUS) {
        return None;
    }
    let status = Status::from_header_map(headers)?;
    if status.code() == Code::Ok {
        return Some(Code::Ok);
    }
    let failure = Failure::of_ours(&status).unwrap_or_else(|| Failure::of_own_transport(&status));
    let code = failure.code;
    write_status(headers, &status_of(failure, trace));
    Some(code)
}

fn write_status(headers: &mut HeaderMap, status: &Status) {
    // Only a message that is no header value fails here, and ours are percent-encoded.
    if let Err(unwritable) = status.add_header(headers) {
        tracing::error!(code = ?unwritable.code(), "a status could not be written");
    }
}

/// The body of an answer: holds the call's slot and its observation until the last byte.
struct Answer {
    body: Body,
    span: Span,
    trace: TraceContext,
    deadline: Pin<Box<Sleep>>,
    closing: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// `None` once the status has been sent.
    sending: Option<(Observation, Slot)>,
}

impl Answer {
    fn end(&mut self, code: Code) {
        if let Some((mut observation, _slot)) = self.sending.take() {
            observation.ended(code);
        }
        self.body = Body::empty();
    }

    fn fail(&mut self, failure: Failure) -> Frame<bytes::Bytes> {
        self.end(failure.code);
        let mut trailers = HeaderMap::new();
        write_status(&mut trailers, &status_of(failure, &self.trace));
        Frame::trailers(trailers)
    }

    fn pass_on(&mut self, frame: Frame<bytes::Bytes>) -> Frame<bytes::Bytes> {
        match frame.into_trailers() {
            Ok(mut trailers) => {
                let code = complete(&mut trailers, &self.trace).unwrap_or(Code::Ok);
                self.end(code);
                Frame::trailers(trailers)
            }
            Err(data) => data,
        }
    }

    fn poll_sending(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame<bytes::Bytes>>> {
        // Before the body, which may always have more to give.
        if self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(self.fail(Failure::deadline_exceeded())));
        }
        match http_body::Body::poll_frame(Pin::new(&mut self.body), context) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.pass_on(frame))),
            Poll::Ready(Some(Err(status))) => {
                let failure = Failure::of_ours(&status).unwrap_or_else(|| Failure::of_own_transport(&status));
                Poll::Ready(Some(self.fail(failure)))
            }
            Poll::Ready(None) => {
                self.end(Code::Ok);
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_closing(context),
        }
    }

    /// After the body: what was already on its way to a watcher, such as the news that we stop, still goes out.
    fn poll_closing(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame<bytes::Bytes>>> {
        let Some(closing) = &mut self.closing else {
            return Poll::Pending;
        };
        closing
            .as_mut()
            .poll(context)
            .map(|()| Some(self.fail(Failure::draining())))
    }
}

impl http_body::Body for Answer {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        if self.sending.is_none() {
            return Poll::Ready(None);
        }
        let span = self.span.clone();
        let _entered = span.enter();
        self.poll_sending(context).map(|frame| frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.sending.is_none()
    }
}
