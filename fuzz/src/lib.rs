//! What the fuzz targets share: the definitions that iamd is held against, and stores and requests to ask with.

pub mod ask;
pub mod json;
pub mod pattern;
pub mod place;
pub mod store;
