//! The files of a store, by number.

use std::sync::Arc;

use super::fragment::Linked;

/// How many files are in a page.
const PAGE: usize = 64;

/// In pages: to put another file in the place of one takes a copy of its page and of the list of pages.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pages: Arc<[Arc<[Arc<Linked>]>]>,
}

impl FromIterator<Arc<Linked>> for Files {
    fn from_iter<I: IntoIterator<Item = Arc<Linked>>>(files: I) -> Self {
        let files: Vec<_> = files.into_iter().collect();
        Self { pages: files.chunks(PAGE).map(Arc::from).collect() }
    }
}

impl Files {
    pub(super) fn get(&self, number: u32) -> Option<&Arc<Linked>> {
        self.pages.get(number as usize / PAGE)?.get(number as usize % PAGE)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Linked>> {
        self.pages.iter().flat_map(|page| page.iter())
    }

    /// The number of the file with this path, if files are in the order of their paths.
    pub(super) fn number_of(&self, path: &str) -> Option<u32> {
        let order = |file: &Arc<Linked>| (**file.fragment.path()).cmp(path);
        let begins_before = |page: &Arc<[Arc<Linked>]>| page.first().is_some_and(|file| order(file).is_le());
        let page = self.pages.partition_point(begins_before).checked_sub(1)?;
        let index = self.pages.get(page)?.binary_search_by(order).ok()?;
        u32::try_from(page * PAGE + index).ok()
    }

    /// These files in the places of others, whose numbers they have.
    pub(super) fn with(&self, others: &[(u32, Arc<Linked>)]) -> Self {
        if others.is_empty() {
            return self.clone();
        }
        let mut pages = self.pages.to_vec();
        for (number, file) in others {
            if let Some(page) = pages.get_mut(*number as usize / PAGE)
                && let Some(place) = Arc::make_mut(page).get_mut(*number as usize % PAGE)
            {
                *place = Arc::clone(file);
            }
        }
        Self { pages: pages.into() }
    }
}
