//! A collector of OpenTelemetry, as far as traces are concerned.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// What it has heard.
#[derive(Clone, Default)]
pub struct Collector {
    pub port: u16,
    heard: Arc<Mutex<Vec<(MetadataMap, ExportTraceServiceRequest)>>>,
    /// Whether it takes a request and then does nothing more.
    hangs: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.heard.lock().unwrap().push((metadata, message));
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    pub async fn hanging() -> Self {
        let collector = Self::start().await;
        collector.hangs.store(true, Ordering::Relaxed);
        collector
    }

    pub async fn start_with(tls: Option<ServerTlsConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self { port: listener.local_addr().unwrap().port(), ..Self::default() };
        let service = TraceServiceServer::new(collector.clone()).accept_compressed(CompressionEncoding::Gzip);
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let serving = server.add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(async move { serving.await.unwrap() });
        collector
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What was sent along with the first batch.
    pub fn metadata(&self) -> MetadataMap {
        self.heard.lock().unwrap()[0].0.clone()
    }

    /// Spans with what they have in common.
    pub fn resources(&self) -> Vec<ResourceSpans> {
        self.heard.lock().unwrap().iter().flat_map(|(_, message)| message.resource_spans.clone()).collect()
    }

    pub fn spans(&self) -> Vec<Span> {
        let scopes = self.resources().into_iter().flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// Waits until there are so many spans.
    pub async fn wait_for(&self, spans: usize) -> Vec<Span> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let heard = self.spans();
            if heard.len() >= spans {
                assert_eq!(heard.len(), spans, "{heard:#?}");
                return heard;
            }
            assert!(Instant::now() < deadline, "only {heard:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Attributes as text, `key=value`, sorted.
pub fn texts(attributes: &[KeyValue]) -> Vec<String> {
    let text = |attribute: &KeyValue| {
        let value = attribute.value.clone().unwrap().value.unwrap();
        let value = if let any_value::Value::IntValue(number) = value {
            number.to_string()
        } else if let any_value::Value::StringValue(text) = value {
            text
        } else {
            panic!("neither text nor a number: {value:?}")
        };
        format!("{}={value}", attribute.key)
    };
    let mut texts: Vec<String> = attributes.iter().map(text).collect();
    texts.sort();
    texts
}
