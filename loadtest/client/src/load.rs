//! Load: requests from a file, put on connections at a pace, and what came of it.

pub mod answer;
pub mod bodies;
pub mod drive;
pub mod pace;
pub mod progress;
pub mod reader;
pub mod record;
