//! Stores of a few files, and what decides by them.

use iamd::directory::{Directory, Loader, StoreOptions};
use iamd::engine::Engine;
use iamd::snapshot::{Loaded, Revision};

/// What these files hold.
pub(crate) fn directory<S: AsRef<str>>(files: &[S]) -> Directory {
    let mut loader = Loader::new(&StoreOptions::default());
    for (n, file) in files.iter().enumerate() {
        loader.file(&format!("{n}.json"), file.as_ref());
    }
    loader.finish().expect("a store").0
}

/// With a cache of so many bytes.
pub(crate) fn engine<S: AsRef<str>>(files: &[S], cache_bytes: usize) -> Engine {
    let directory = directory(files);
    Engine::new(Loaded { directory, revision: Revision([0; 32]), bytes: 0, warnings: Vec::new() }, cache_bytes)
}
