//! The one port that stands for AWS: Lambda and MSK are served here, everything else is passed on to moto.

mod lambda;
mod msk;
mod proxy;
mod stopped;
mod trouble;

use axum::{
    Router,
    extract::{FromRef, Path, State},
    routing::{any, post},
};
use tokio::net::TcpListener;

pub(crate) use lambda::{LambdaOptions, Lambdas};
pub(crate) use msk::{Msk, MskCluster, routes as msk_routes};
pub use msk::{SOURCE_ARN, TARGET_ARN};
pub(crate) use proxy::Requests;
pub(crate) use trouble::Troubles;
pub use trouble::{AwsFault, AwsService, AwsTrouble};

/// What the front needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    /// The Lambda functions.
    pub lambdas: Lambdas,
    /// The two clusters as MSK shows them.
    pub msk: Msk,
    /// moto.
    pub moto: proxy::Upstream,
    /// What stands for S3 in moto's place.
    pub s3: Option<proxy::Upstream>,
    /// Requests to moto's services so far.
    pub requests: Requests,
    /// Executions that were stopped.
    pub stopped: stopped::Stopped,
    /// Trouble with what moto and S3 stand for.
    pub troubles: Troubles,
}

impl Front {
    /// A front before a moto on `moto_port`, and before another S3 on `s3_port` if there is one.
    pub(crate) fn new(lambdas: Lambdas, clusters: [MskCluster; 2], moto_port: u16, s3_port: Option<u16>) -> Self {
        Self {
            lambdas,
            msk: Msk::new(clusters),
            moto: proxy::Upstream::new(moto_port),
            s3: s3_port.map(proxy::Upstream::new),
            requests: Requests::default(),
            stopped: stopped::Stopped::default(),
            troubles: Troubles::default(),
        }
    }

    /// Serves until the task is aborted.
    pub(crate) async fn serve(self, listener: TcpListener) {
        // Serving only fails when the listener does, and that ends with the program.
        if let Err(error) = axum::serve(listener, self.router()).await {
            tracing::error!(%error, "the front ended");
        }
    }

    fn router(self) -> Router {
        Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(lambda::invoke))
            .merge(msk_routes())
            .fallback(any(proxy::pass))
            .with_state(self)
    }
}

impl FromRef<Front> for Msk {
    fn from_ref(front: &Front) -> Self {
        front.msk.clone()
    }
}

type FrontState = State<Front>;
type ArnPath = Path<String>;

/// A number that looks like AWS's request ids; SDKs and moto's engine insist on one in every answer.
fn request_id() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let (high, low) = (RandomState::new().build_hasher().finish(), RandomState::new().build_hasher().finish());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        high & 0xffff,
        (high >> 16) & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}
