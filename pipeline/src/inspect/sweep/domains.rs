//! Domains by number, and how many pages each has.

use std::collections::HashMap;
use std::sync::Arc;

/// Domains by number, with their pages. Numbers depend on the order of adding.
#[derive(Debug, Default)]
pub(super) struct Domains {
    ids: HashMap<Arc<str>, u32>,
    pages: Vec<u64>,
    names: Vec<Arc<str>>,
}

impl Domains {
    /// Counts a page; gives its domain's number.
    pub(super) fn add(&mut self, domain: &str) -> u32 {
        if let Some(&id) = self.ids.get(domain) {
            self.pages[id as usize] += 1;
            return id;
        }
        let id = u32::try_from(self.names.len()).expect("memory ends before four thousand million domains");
        let name: Arc<str> = Arc::from(domain);
        self.names.push(name.clone());
        self.pages.push(1);
        self.ids.insert(name, id);
        id
    }

    pub(super) fn name(&self, id: u32) -> &str {
        &self.names[id as usize]
    }

    pub(super) fn pages(&self, id: u32) -> u64 {
        self.pages[id as usize]
    }

    /// The `n` domains with most pages, those with most first, then by name.
    pub(crate) fn largest(&self, n: usize) -> Vec<u32> {
        let mut ids: Vec<u32> = self.ids.values().copied().collect();
        ids.sort_unstable_by_key(|&id| (std::cmp::Reverse(self.pages(id)), self.name(id)));
        ids.truncate(n);
        ids
    }
}
