//! What every HTTP server of this command has in common, whatever it serves.
//!
//! `listen` says where it may listen and what that takes, `connections` accepts and serves while there
//! may be more and brings them to an end, `timed` cuts off who is slow, `token` says who may ask.

mod connections;
mod listen;
mod timed;
mod token;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};

pub(crate) use self::connections::Server;
pub(crate) use self::listen::{Flags, bind, check, make_room};
pub(crate) use self::timed::Times;
pub(crate) use self::token::{Stranger, Token, admit, read as read_token};

/// What a request is answered with.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Answers requests.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one, and sees to it that its connection can go on or ends well.
    fn call(&self, request: Request<Incoming>) -> impl Future<Output = Answer> + Send;

    /// A connection is served from now on.
    fn connected(&self) {}

    /// It has ended.
    fn disconnected(&self) {}
}
