//! The closed set of RPCs that metrics tell apart.

use tonic::Code;

/// An RPC that the service knows; everything else is [`Rpc::Unknown`], so that no caller can invent a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rpc {
    /// One request, one decision.
    IsAuthorized,
    /// Many requests at once.
    BatchIsAuthorized,
    /// A pipeline of requests.
    StreamIsAuthorized,
    /// Health, asked once.
    HealthCheck,
    /// Health, watched.
    HealthWatch,
    /// Reflection.
    ReflectionV1,
    /// Reflection, as older tools ask for it.
    ReflectionV1Alpha,
    /// Anything else.
    Unknown,
}

impl Rpc {
    /// Every RPC.
    pub const ALL: [Self; 8] = [
        Self::IsAuthorized,
        Self::BatchIsAuthorized,
        Self::StreamIsAuthorized,
        Self::HealthCheck,
        Self::HealthWatch,
        Self::ReflectionV1,
        Self::ReflectionV1Alpha,
        Self::Unknown,
    ];

    /// The RPC at this path of a request.
    pub fn of(path: &str) -> Self {
        match path {
            "/iamd.v1.AuthorizationService/IsAuthorized" => Self::IsAuthorized,
            "/iamd.v1.AuthorizationService/BatchIsAuthorized" => Self::BatchIsAuthorized,
            "/iamd.v1.AuthorizationService/StreamIsAuthorized" => Self::StreamIsAuthorized,
            "/grpc.health.v1.Health/Check" => Self::HealthCheck,
            "/grpc.health.v1.Health/Watch" => Self::HealthWatch,
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" => Self::ReflectionV1,
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => Self::ReflectionV1Alpha,
            _ => Self::Unknown,
        }
    }

    /// Label `grpc_service`.
    pub const fn service(self) -> &'static str {
        match self {
            Self::IsAuthorized | Self::BatchIsAuthorized | Self::StreamIsAuthorized => "iamd.v1.AuthorizationService",
            Self::HealthCheck | Self::HealthWatch => "grpc.health.v1.Health",
            Self::ReflectionV1 => "grpc.reflection.v1.ServerReflection",
            Self::ReflectionV1Alpha => "grpc.reflection.v1alpha.ServerReflection",
            Self::Unknown => "unknown",
        }
    }

    /// Label `grpc_method`.
    pub const fn method(self) -> &'static str {
        match self {
            Self::IsAuthorized => "IsAuthorized",
            Self::BatchIsAuthorized => "BatchIsAuthorized",
            Self::StreamIsAuthorized => "StreamIsAuthorized",
            Self::HealthCheck => "Check",
            Self::HealthWatch => "Watch",
            Self::ReflectionV1 | Self::ReflectionV1Alpha => "ServerReflectionInfo",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it asks for decisions.
    pub const fn is_authorization(self) -> bool {
        matches!(self, Self::IsAuthorized | Self::BatchIsAuthorized | Self::StreamIsAuthorized)
    }

    /// Whether it asks for health: never shed, since a full service is not a dead one. A watch lasts, and is a call like
    /// others.
    pub const fn is_health(self) -> bool {
        matches!(self, Self::HealthCheck)
    }

    /// Whether one request is followed by one answer.
    pub const fn is_unary(self) -> bool {
        matches!(self, Self::IsAuthorized | Self::BatchIsAuthorized | Self::HealthCheck)
    }
}

/// Label `grpc_code`, by the number of the code.
pub(super) const CODE_NAMES: [&str; super::CODES] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What a request may get instead of a decision.
pub(super) const REQUEST_ERRORS: [Code; 3] = [Code::InvalidArgument, Code::Internal, Code::Unavailable];
