//! The order in which a `std::unordered_map<std::string, T>` of libstdc++ (64 bits) lists its keys.

/// Buckets of the table, from its first to its largest: it doubles when there are as many keys, to the next prime of
/// the library's list that is larger by at least so much. Enough for all n-grams of a text, which has at most 10,005
/// bytes.
const BUCKETS: [u16; 11] = [13, 29, 59, 127, 257, 541, 1109, 2357, 5087, 10_273, 20_753];

const NONE: u16 = u16::MAX;

/// `std::hash<std::string>` of up to 16 bytes, which are the low bytes of `key` (`_Hash_bytes`: MurmurHash64A by Austin
/// Appleby, with a last step of its own).
pub(super) fn hash(key: u128, length: u32) -> u64 {
    const MUL: u64 = 0xc6a4_a793_5bd1_e995;
    const SEED: u64 = 0xc70f_6907;
    let shift_mix = |v: u64| v ^ (v >> 47);
    let mut hash = SEED ^ u64::from(length).wrapping_mul(MUL);
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

/// `hash % buckets`; by a constant it is some multiplications, a division otherwise.
#[inline]
fn bucket(hash: u64, buckets: u16) -> usize {
    let bucket = match buckets {
        13 => hash % 13,
        29 => hash % 29,
        59 => hash % 59,
        127 => hash % 127,
        257 => hash % 257,
        541 => hash % 541,
        1109 => hash % 1109,
        2357 => hash % 2357,
        5087 => hash % 5087,
        10_273 => hash % 10_273,
        _ => hash % u64::from(buckets),
    };
    bucket as usize
}

/// Orders keys that are inserted one after the other, given their hashes, which are all different keys'. The keys may
/// be at most 20,753.
///
/// The map is one list, in which the keys of a bucket stand together. A key is put at the front of its bucket's keys,
/// or of the list where there are none; when the table grows, keys are inserted anew in the order of the list. So, from
/// back to front, the buckets stand in the order of their first key, and keys in the order in which they came. That is
/// how it is kept here: back to front.
pub(super) struct Order {
    /// For each bucket, the place in `groups`; [`NONE`] if it has no key yet.
    buckets: Vec<u16>,
    /// For each bucket that has keys, their number, then the place of the next of them.
    groups: Vec<u16>,
    /// Places in `groups`, of each key.
    of_key: Vec<u16>,
    /// The keys, and the keys before the table grew.
    list: Vec<u16>,
    old: Vec<u16>,
}

impl Order {
    pub(super) fn new() -> Order {
        let empty = Vec::new;
        Order {
            buckets: empty(),
            groups: empty(),
            of_key: empty(),
            list: empty(),
            old: empty(),
        }
    }

    /// Places of the hashes in the order of the map.
    pub(super) fn of(&mut self, hashes: &[u64]) -> impl Iterator<Item = usize> {
        self.list.clear();
        for buckets in BUCKETS {
            let known = self.list.len();
            if known == hashes.len() {
                break;
            }
            std::mem::swap(&mut self.list, &mut self.old);
            self.old.reverse();
            self.old.extend(known as u16..hashes.len().min(buckets.into()) as u16);
            self.group(hashes, buckets);
        }
        self.list.iter().rev().map(|key| usize::from(*key))
    }

    /// Makes `list` of `old`: bucket after bucket.
    fn group(&mut self, hashes: &[u64], buckets: u16) {
        let Order {
            buckets: groups_of,
            groups,
            of_key,
            list,
            old,
        } = self;
        groups_of.clear();
        groups_of.resize(buckets.into(), NONE);
        groups.clear();
        groups.resize(old.len(), 0);
        of_key.clear();
        let mut used = 0;
        // Without branches, which nobody could predict.
        of_key.extend(old.iter().map(|key| {
            let group = &mut groups_of[bucket(hashes[usize::from(*key)], buckets)];
            let new = *group == NONE;
            *group = if new { used } else { *group };
            used += u16::from(new);
            groups[usize::from(*group)] += 1;
            *group
        }));
        let mut start = 0;
        for group in groups.iter_mut() {
            start += std::mem::replace(group, start);
        }
        list.resize(old.len(), 0);
        for (key, group) in old.iter().zip(of_key) {
            let place = &mut groups[usize::from(*group)];
            list[usize::from(*place)] = *key;
            *place += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(keys: impl Iterator<Item = String>) -> Vec<usize> {
        let hashes: Vec<u64> = keys
            .map(|text| {
                let mut bytes = [0; 16];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                hash(u128::from_le_bytes(bytes), text.len() as u32)
            })
            .collect();
        Order::new().of(&hashes).collect()
    }

    /// Expected is what g++ 12.2 gives for `std::unordered_map<std::string, int>`.
    #[test]
    fn order_is_that_of_libstdcxx() {
        let few = ordered((0..20).map(|i| (i * i).to_string()));
        let expected = [18, 17, 16, 15, 14, 2, 8, 0, 1, 3, 13, 4, 5, 10, 11, 6, 19, 7, 12, 9];
        assert_eq!(few, expected);
        let many = ordered((0..20_000).map(|i| format!("{}/{}", i * i, 7 * i)));
        let folded = many.iter().fold(0_u64, |folded, i| {
            folded.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(*i as u64)
        });
        assert_eq!(folded, 10_583_706_354_117_901_648);
        assert!(ordered(std::iter::empty()).is_empty());
    }
}
