//! A set of byte strings with a number each, as a double array: one table look-up a byte.

/// No number here.
pub(crate) const NONE: u32 = u32::MAX;

/// A node. Its child by byte `b` is node `base ^ b`, if that one's `parent` is this node.
#[derive(Debug, Clone, Copy)]
struct TrieNode {
    base: u32,
    parent: u32,
    value: u32,
}

/// 256 nodes: the children of one node share a block, since `base ^ b` differs from `base` in the last byte alone.
const BLOCK: usize = 256;

const FREE: TrieNode = TrieNode {
    base: 0,
    parent: NONE,
    value: NONE,
};

/// The double array.
#[derive(Debug)]
pub(crate) struct Trie {
    nodes: Vec<TrieNode>,
}

/// The node that stands for the empty string.
pub(crate) const ROOT: u32 = 0;

impl Trie {
    /// Builds it in time linear in the keys' bytes. `keys` are sorted and distinct, none is empty; numbers are below
    /// [`NONE`].
    pub fn new<K: AsRef<[u8]>>(keys: &[(K, u32)]) -> Trie {
        let mut builder = TrieBuilder {
            nodes: Vec::new(),
            open: Vec::new(),
        };
        builder.add_block();
        builder.nodes[ROOT as usize].parent = ROOT;
        // The root is the child of nobody.
        builder.open[0].free[0] &= !1;
        builder.open[0].left -= 1;
        // (node, depth, first key, end of keys): the keys that share the node's string.
        let mut ranges = vec![(ROOT, 0, 0, keys.len())];
        let mut labels = Vec::new();
        while let Some((node, depth, mut start, end)) = ranges.pop() {
            if start < end && keys[start].0.as_ref().len() == depth {
                builder.nodes[node as usize].value = keys[start].1;
                start += 1;
            }
            labels.clear();
            for (key, _) in &keys[start..end] {
                let label = key.as_ref()[depth];
                if labels.last() != Some(&label) {
                    labels.push(label);
                }
            }
            if labels.is_empty() {
                continue;
            }
            let base = builder.place(&labels);
            builder.nodes[node as usize].base = base;
            for &label in &labels {
                let child = base ^ u32::from(label);
                builder.nodes[child as usize].parent = node;
                let length = keys[start..end].partition_point(|(key, _)| key.as_ref()[depth] <= label);
                ranges.push((child, depth + 1, start, start + length));
                start += length;
            }
        }
        Trie { nodes: builder.nodes }
    }

    /// The node reached from `node` by `byte`.
    #[inline]
    pub fn child(&self, node: u32, byte: u8) -> Option<u32> {
        let child = self.nodes[node as usize].base ^ u32::from(byte);
        let found = self.nodes.get(child as usize)?;
        // The root has itself for a parent, but is nobody's child.
        (found.parent == node && child != ROOT).then_some(child)
    }

    /// The number of the string that ends at `node`, or [`NONE`].
    #[inline]
    pub fn value(&self, node: u32) -> u32 {
        self.nodes[node as usize].value
    }

    /// The number of `key`.
    pub fn get(&self, key: &[u8]) -> Option<u32> {
        let node = key.iter().try_fold(ROOT, |node, &byte| self.child(node, byte))?;
        Some(self.value(node)).filter(|value| *value != NONE)
    }

    /// Length of the longest string that `text` starts with.
    pub fn longest(&self, text: &[u8]) -> Option<usize> {
        let mut node = ROOT;
        let mut longest = None;
        for (i, &byte) in text.iter().enumerate() {
            match self.child(node, byte) {
                Some(child) => node = child,
                None => break,
            }
            if self.value(node) != NONE {
                longest = Some(i + 1);
            }
        }
        longest
    }
}

struct TrieBuilder {
    nodes: Vec<TrieNode>,
    /// Blocks that may have room, the newest last.
    open: Vec<Block>,
}

struct Block {
    start: u32,
    /// A bit a node that is free.
    free: [u64; 4],
    left: u32,
    /// How often no place was found.
    failures: u32,
}

impl TrieBuilder {
    fn add_block(&mut self) {
        let start = self.nodes.len() as u32;
        self.nodes.resize(self.nodes.len() + BLOCK, FREE);
        self.open.push(Block {
            start,
            free: [u64::MAX; 4],
            left: BLOCK as u32,
            failures: 0,
        });
    }

    /// A base at which all `labels` are free; takes them.
    fn place(&mut self, labels: &[u8]) -> u32 {
        /// Blocks looked at, and failures after which one is given up: keeps building linear, costs some per cent of
        /// room.
        const TRIES: usize = 16;
        const FAILURES: u32 = 64;
        let mut i = self.open.len();
        let mut tries = 0;
        while i > 0 && tries < TRIES {
            i -= 1;
            tries += 1;
            if let Some(offset) = self.open[i].place(labels) {
                let base = self.open[i].start + u32::from(offset);
                if self.open[i].left == 0 {
                    self.open.remove(i);
                }
                return base;
            }
            self.open[i].failures += 1;
            if self.open[i].failures > FAILURES {
                self.open.remove(i);
            }
        }
        self.add_block();
        let block = self.open.len() - 1;
        // An empty block has room for any labels.
        let offset = self.open[block].place(labels).unwrap_or_default();
        self.open[block].start + u32::from(offset)
    }
}

impl Block {
    fn is_free(&self, offset: u8) -> bool {
        self.free[usize::from(offset) / 64] >> (offset % 64) & 1 == 1
    }

    fn place(&mut self, labels: &[u8]) -> Option<u8> {
        if (self.left as usize) < labels.len() {
            return None;
        }
        for slot in 0..=u8::MAX {
            let base = slot ^ labels[0];
            if labels.iter().all(|label| self.is_free(base ^ label)) {
                for label in labels {
                    let offset = base ^ label;
                    self.free[usize::from(offset) / 64] &= !(1 << (offset % 64));
                }
                self.left -= labels.len() as u32;
                return Some(base);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn holds_what_was_put_in(keys: BTreeMap<Vec<u8>, u8>, others: Vec<Vec<u8>>) {
            let keys: Vec<(Vec<u8>, u32)> = keys
                .into_iter()
                .filter(|(key, _)| !key.is_empty())
                .map(|(key, value)| (key, value.into()))
                .collect();
            let trie = Trie::new(&keys);
            for (key, value) in &keys {
                prop_assert_eq!(trie.get(key), Some(*value));
                prop_assert_eq!(trie.longest(key), Some(key.len()));
            }
            for other in others {
                let found = keys.iter().find(|(key, _)| *key == other);
                prop_assert_eq!(trie.get(&other), found.map(|(_, value)| *value));
                let longest = keys.iter().filter(|(key, _)| other.starts_with(key));
                prop_assert_eq!(trie.longest(&other), longest.map(|(key, _)| key.len()).max());
            }
        }
    }
}
