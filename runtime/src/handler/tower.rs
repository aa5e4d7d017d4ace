//! A `tower::Service` as handler.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::Handler;
use crate::outcome::{IntoOutcome, Outcome};
use crate::record::Record;

/// Handles records with a [`tower_service::Service`].
///
/// Each record gets a clone of the service, waits until it is ready (a service that is not ready
/// holds records back: they are in flight and their handler timeout runs), and is then called.
/// An error of either is a failed attempt.
///
/// A cancelled attempt's future is dropped.
pub fn service<S>(service: S) -> Tower<S>
where
    S: Service<Record> + Clone + Send + 'static,
{
    Tower { service: Mutex::new(service) }
}

/// The handler that [`service`] makes.
pub struct Tower<S> {
    /// Locked to be cloned only: services are often not `Sync`.
    service: Mutex<S>,
}

impl<S> fmt::Debug for Tower<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tower").finish_non_exhaustive()
    }
}

impl<S> Handler for Tower<S>
where
    S: Service<Record> + Clone + Send + 'static,
    S::Response: IntoOutcome,
    S::Error: fmt::Display,
    S::Future: Send + 'static,
{
    type Future = TowerFuture<S>;

    fn handle(&self, record: Record) -> TowerFuture<S> {
        let service = self.service.lock().unwrap_or_else(PoisonError::into_inner).clone();
        TowerFuture { state: State::Waiting { service, record: Some(record) } }
    }
}

pin_project! {
    /// The future of a [`Tower`] handler.
    pub struct TowerFuture<S: Service<Record>> {
        #[pin]
        state: State<S, S::Future>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F> {
        Waiting { service: S, record: Option<Record> },
        Called { #[pin] future: F },
    }
}

impl<S> Future for TowerFuture<S>
where
    S: Service<Record>,
    S::Response: IntoOutcome,
    S::Error: fmt::Display,
{
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Waiting { service, record } => {
                    if let Err(error) = ready!(service.poll_ready(cx)) {
                        return Poll::Ready(Outcome::retry(error));
                    }
                    let Some(record) = record.take() else {
                        return Poll::Ready(Outcome::retry("the service panicked when called"));
                    };
                    let future = service.call(record);
                    this.state.set(State::Called { future });
                }
                StateProjection::Called { future } => {
                    return Poll::Ready(ready!(future.poll(cx)).into_outcome());
                }
            }
        }
    }
}

impl<S: Service<Record>> fmt::Debug for TowerFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerFuture").finish_non_exhaustive()
    }
}
