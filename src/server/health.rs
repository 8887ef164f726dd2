//! What callers may ask besides decisions: health (grpc.health.v1) and reflection (v1 and v1alpha).

use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::proto::v1;

/// The names that health is asked for: the whole server, and the service.
const NAMES: [&str; 2] = ["", "iamd.v1.AuthorizationService"];

/// What callers hear when they ask for health.
#[derive(Clone, Debug)]
pub struct Health(HealthReporter);

impl Health {
    /// SERVING, and the service that says so.
    pub async fn serving() -> (Self, HealthServer<HealthService>) {
        let health = Self(HealthReporter::new());
        health.set(ServingStatus::Serving).await;
        let service = HealthServer::new(HealthService::from_health_reporter(health.0.clone()));
        (health, service)
    }

    /// NOT_SERVING: load balancers send their calls elsewhere.
    pub async fn not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// Ends the streams of those who watch; they would hold their connections open.
    pub async fn forget(&self) {
        let mut reporter = self.0.clone();
        for name in NAMES {
            reporter.clear_service_status(name).await;
        }
    }

    async fn set(&self, status: ServingStatus) {
        for name in NAMES {
            self.0.set_service_status(name, status).await;
        }
    }
}

/// Both ask with the name of a service, or of a file or type.
const LARGEST_QUESTION: usize = 4 * 1024;

/// Health and reflection, by their paths.
pub fn routes(health: HealthServer<HealthService>) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (v1, v1_alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
    let routes = Routes::new(health.max_decoding_message_size(LARGEST_QUESTION))
        .add_service(v1.max_decoding_message_size(LARGEST_QUESTION))
        .add_service(v1_alpha.max_decoding_message_size(LARGEST_QUESTION));
    Ok(routes.prepare())
}
