//! Word from the file system that something happened. Only ever a hint: the poll is the guarantee.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::source::Reach;
use super::wake::{Wake, Wakes};

/// Watches every folder in which a change of the store may show, and rings when one does.
#[derive(Debug)]
pub(super) struct Watch {
    /// None where the system cannot watch, or is not asked to.
    watcher: Option<RecommendedWatcher>,
    /// What matters now: written by [`Watch::arm`], read by the watcher's thread for each event.
    reach: Arc<ArcSwap<Reach>>,
    armed: BTreeSet<PathBuf>,
    /// Folders that could not be watched, each logged once.
    refused: BTreeSet<PathBuf>,
    /// Of what was told: written by the watcher's thread, taken by the reload thread.
    told: Arc<Mutex<Told>>,
}

/// Of what the file system has told since that was asked for.
#[derive(Debug)]
enum Told {
    These(BTreeSet<PathBuf>),
    /// Of too much, or of nothing in particular.
    Anything,
}

/// Of more than so many, everything is looked at.
const MOST_TOLD: usize = 1_000;

impl Default for Told {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Told {
    fn add(&mut self, paths: Vec<PathBuf>) {
        let Self::These(these) = self else { return };
        these.extend(paths);
        if these.len() > MOST_TOLD {
            *self = Self::Anything;
        }
    }
}

impl Watch {
    /// Watches nothing, ever.
    pub(super) fn nothing() -> Self {
        Self {
            watcher: None,
            reach: Arc::default(),
            armed: BTreeSet::new(),
            refused: BTreeSet::new(),
            told: Arc::default(),
        }
    }

    /// Watches nothing until it is armed.
    pub(super) fn new(wakes: Arc<Wakes>) -> Self {
        let mut watch = Self::nothing();
        let (reach, told) = (Arc::clone(&watch.reach), Arc::clone(&watch.told));
        match notify::recommended_watcher(move |event| heard(event, &reach.load(), &told, &wakes)) {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => tracing::warn!(%error, "no file events, changes are noticed by polling alone"),
        }
        watch
    }

    /// Whether every folder in which a change may show is watched.
    pub(super) fn hears_everything(&self) -> bool {
        self.watcher.is_some() && self.refused.is_empty()
    }

    /// Everything of which was told since this was asked before; None if that may be anything. To be asked before looking.
    pub(super) fn told(&self) -> Option<BTreeSet<PathBuf>> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *told) {
            Told::These(these) => Some(these),
            Told::Anything => None,
        }
    }

    /// Watches exactly what matters. Whether a folder came in: what happened there before this call went unheard.
    ///
    /// A watch ends when its folder is deleted, and a folder of the same name is another one. So with `again`, which
    /// costs a system call per folder, all are watched anew; watching one twice changes nothing.
    pub(super) fn arm(&mut self, reach: &Arc<Reach>, again: bool) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        self.reach.store(Arc::clone(reach));
        let wanted: BTreeSet<PathBuf> = reach.watched().into_iter().map(Path::to_owned).collect();
        for gone in self.armed.difference(&wanted) {
            // It may have ended with its folder.
            let _ = watcher.unwatch(gone);
        }
        self.armed.retain(|folder| wanted.contains(folder));
        self.refused.retain(|folder| wanted.contains(folder));
        let mut came_in = false;
        for folder in wanted {
            if again || !self.armed.contains(&folder) {
                came_in |= self.watch(folder);
            }
        }
        came_in
    }

    /// Whether the folder was not watched before, and is now.
    fn watch(&mut self, folder: PathBuf) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        match watcher.watch(&folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.refused.remove(&folder);
                self.armed.insert(folder)
            }
            Err(error) => {
                self.armed.remove(&folder);
                let folder_shown = folder.display().to_string();
                if self.refused.insert(folder) {
                    tracing::warn!(%error, folder = folder_shown, "cannot watch a folder, polling instead");
                }
                false
            }
        }
    }
}

/// On the watcher's thread.
fn heard(event: notify::Result<Event>, reach: &Reach, told: &Mutex<Told>, wakes: &Wakes) {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    match event {
        Ok(event) if matters(&event, reach) => {
            if event.need_rescan() || event.paths.is_empty() {
                *told = Told::Anything;
            }
            told.add(event.paths);
            wakes.ring(Wake::Event);
        }
        Ok(_) => {}
        // Logged only where nothing is pending: a watcher that fails without end must not fill the log.
        Err(error) => {
            *told = Told::Anything;
            if wakes.ring(Wake::Event) {
                tracing::warn!(%error, "file events failed, polling goes on");
            }
        }
    }
}

fn matters(event: &Event, reach: &Reach) -> bool {
    let here = event.paths.is_empty() || event.paths.iter().any(|path| reach.concerns(path));
    event.need_rescan() || is_change(event) && here
}

/// Whether something may be another than before. Opening and reading is what we do ourselves, and changes nothing.
pub fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}
