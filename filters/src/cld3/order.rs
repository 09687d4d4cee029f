//! The order in which a `std::unordered_map<std::string, T>` of libstdc++ (64 bits) lists its keys.

/// Buckets of the table, from its first to its largest: it doubles when there are as many keys, to the
/// next prime of the library's list that is larger by at least so much. Enough for all n-grams of a
/// text, which has at most 10,005 bytes.
const BUCKETS: [u16; 11] = [13, 29, 59, 127, 257, 541, 1109, 2357, 5087, 10_273, 20_753];

const NONE: u16 = u16::MAX;

/// `std::hash<std::string>` of up to 16 bytes, which are the low bytes of `key` (`_Hash_bytes`:
/// MurmurHash64A by Austin Appleby, with a last step of its own).
pub(super) fn hash(key: u128, length: usize) -> u64 {
    const MUL: u64 = 0xc6a4_a793_5bd1_e995;
    const SEED: u64 = 0xc70f_6907;
    let shift_mix = |v: u64| v ^ (v >> 47);
    let mut hash = SEED ^ (length as u64).wrapping_mul(MUL);
    for block in 0..length / 8 {
        let data = (key >> (64 * block)) as u64;
        hash ^= shift_mix(data.wrapping_mul(MUL)).wrapping_mul(MUL);
        hash = hash.wrapping_mul(MUL);
    }
    if !length.is_multiple_of(8) {
        hash ^= (key >> (64 * (length / 8))) as u64;
        hash = hash.wrapping_mul(MUL);
    }
    shift_mix(shift_mix(hash).wrapping_mul(MUL))
}

/// Orders keys that are inserted one after the other, given their hashes, which are all different keys'.
/// At most 20,753.
///
/// The map is one list, in which the keys of a bucket stand together. A key goes to the front of its
/// bucket's, and where there is none, to the front of the list; when the table grows, keys are inserted
/// anew in the order of the list. So, from back to front, the buckets stand in the order of their first
/// key, and keys in the order in which they came. That is how it is kept here: back to front.
pub(super) struct Order {
    /// Of each bucket, the place of its keys in `groups`.
    buckets: Vec<u16>,
    /// The first and the last key of each bucket that has one.
    groups: Vec<[u16; 2]>,
    /// The next key of the bucket.
    next: Vec<u16>,
    list: Vec<u16>,
}

impl Order {
    pub(super) fn new() -> Order {
        Order {
            buckets: Vec::new(),
            groups: Vec::new(),
            next: Vec::new(),
            list: Vec::new(),
        }
    }

    /// Places of the hashes in the order of the map.
    pub(super) fn of(&mut self, hashes: &[u64]) -> impl Iterator<Item = usize> {
        self.list.clear();
        let mut old = Vec::with_capacity(hashes.len());
        for buckets in BUCKETS {
            let known = self.list.len();
            if known == hashes.len() {
                break;
            }
            std::mem::swap(&mut self.list, &mut old);
            self.buckets.clear();
            self.buckets.resize(buckets.into(), NONE);
            self.groups.clear();
            self.next.resize(hashes.len(), NONE);
            let new = known as u16..hashes.len().min(buckets.into()) as u16;
            for key in old.drain(..).rev().chain(new) {
                let bucket = hashes[usize::from(key)] % u64::from(buckets);
                let group = &mut self.buckets[bucket as usize];
                self.next[usize::from(key)] = NONE;
                if *group == NONE {
                    *group = self.groups.len() as u16;
                    self.groups.push([key, key]);
                } else {
                    let last = &mut self.groups[usize::from(*group)][1];
                    self.next[usize::from(*last)] = key;
                    *last = key;
                }
            }
            for [first, _] in &self.groups {
                let mut key = *first;
                while key != NONE {
                    self.list.push(key);
                    key = self.next[usize::from(key)];
                }
            }
        }
        self.list.iter().rev().map(|key| usize::from(*key))
    }
}
