//! The Merkle tree: RFC 6962 hashes in tiles of 256, as C2SP tlog-tiles lays them out.

use sha2::{Digest as _, Sha256};

use crate::Error;

/// A hash of a leaf or of a node.
pub type Hash = [u8; 32];

/// How many hashes are in a full tile.
pub(crate) const WIDTH: u64 = 256;

/// Returns the hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(leaf);
    hasher.finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

/// Returns the root over all hashes of a range.
fn root(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(split(hashes.len() as u64) as usize);
            node_hash(&root(left), &root(right))
        }
    }
}

/// Returns the root of a tree whose leaves have these hashes.
pub fn root_of(leaves: &[Hash]) -> Hash {
    root(leaves)
}

/// Returns the largest power of two below `size`, which is above one.
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// Where hashes are read from: of `level`, the full or partial tile `number`.
pub(crate) trait Tiles {
    fn tile(&self, level: u32, number: u64) -> Result<Vec<Hash>, Error>;
}

/// The right edge of the tree: the tiles that are not full yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edge {
    size: u64,
    /// By level, the hashes of the tile that grows.
    levels: Vec<Vec<Hash>>,
}

/// A tile as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) level: u32,
    pub(crate) number: u64,
    pub(crate) hashes: Vec<Hash>,
}

impl Edge {
    /// Reads the edge of a tree of `size` leaves.
    pub(crate) fn read(size: u64, tiles: &impl Tiles) -> Result<Self, Error> {
        let mut levels = Vec::new();
        let (mut count, mut level) = (size, 0);
        while count > 0 {
            let hashes = match count % WIDTH {
                0 => Vec::new(),
                some => {
                    let mut hashes = tiles.tile(level, count / WIDTH)?;
                    if (hashes.len() as u64) < some {
                        let why = format!("tile {level}/{} is too short", count / WIDTH);
                        return Err(Error::Tampered { why });
                    }
                    hashes.truncate(some as usize);
                    hashes
                }
            };
            levels.push(hashes);
            count /= WIDTH;
            level += 1;
        }
        Ok(Self { size, levels })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; `full` is told every tile that is full by it.
    pub(crate) fn push(&mut self, leaf: Hash, full: &mut Vec<Tile>) {
        self.size += 1;
        let (mut hash, mut count) = (leaf, self.size);
        for level in 0.. {
            if self.levels.len() <= level {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(level) else { return };
            hashes.push(hash);
            if (hashes.len() as u64) < WIDTH {
                return;
            }
            let hashes = std::mem::take(hashes);
            hash = root(&hashes);
            count /= WIDTH;
            full.push(Tile { level: level as u32, number: count - 1, hashes });
        }
    }

    /// Returns the tiles that are not full.
    pub(crate) fn partial(&self) -> impl Iterator<Item = Tile> {
        let mut count = self.size;
        self.levels.iter().enumerate().filter_map(move |(level, hashes)| {
            let number = count / WIDTH;
            count /= WIDTH;
            (!hashes.is_empty()).then(|| Tile {
                level: level as u32,
                number,
                hashes: hashes.clone(),
            })
        })
    }

    /// Returns the root.
    pub(crate) fn root(&self) -> Hash {
        // from the smallest subtree to the largest: each is to the left of what was folded so far
        let mut folded: Option<Hash> = None;
        for hashes in &self.levels {
            let mut rest = hashes.as_slice();
            let mut perfect = Vec::new();
            while !rest.is_empty() {
                let size = 1usize << (usize::BITS - 1 - rest.len().leading_zeros());
                let (tree, further) = rest.split_at(size);
                perfect.push(root(tree));
                rest = further;
            }
            for hash in perfect.into_iter().rev() {
                folded = Some(folded.map_or(hash, |right| node_hash(&hash, &right)));
            }
        }
        folded.unwrap_or_else(|| root(&[]))
    }
}

/// Returns the hash over the leaves from `from` to before `to`.
fn range(tiles: &impl Tiles, from: u64, to: u64) -> Result<Hash, Error> {
    let size = to - from;
    if size == 0 {
        return Ok(root(&[]));
    }
    if size.is_power_of_two() && from.is_multiple_of(size) {
        // a perfect subtree lies in one tile of the level at which it has at most 256 hashes
        let bits = size.trailing_zeros();
        let level = bits / 8;
        let unit = 1u64 << (8 * level);
        let (first, count) = (from / unit, size / unit);
        let tile = tiles.tile(level, first / WIDTH)?;
        let at = (first % WIDTH) as usize;
        let hashes = tile.get(at..at + count as usize).ok_or_else(|| Error::Tampered {
            why: format!("tile {level}/{} is too short", first / WIDTH),
        })?;
        return Ok(root(hashes));
    }
    let middle = from + split(size);
    Ok(node_hash(&range(tiles, from, middle)?, &range(tiles, middle, to)?))
}

/// Returns the proof that leaf `index` is in the tree of `size` leaves (RFC 6962, 2.1.1).
///
/// # Errors
/// A tile cannot be read. Of a leaf that is not in the tree, the proof is empty.
pub(crate) fn prove_inclusion(
    tiles: &impl Tiles,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, Error> {
    let mut proof = Vec::new();
    let (mut from, mut to) = (0, size);
    if index >= size {
        return Ok(proof);
    }
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            proof.push(range(tiles, middle, to)?);
            to = middle;
        } else {
            proof.push(range(tiles, from, middle)?);
            from = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Returns the proof that the tree of `old` leaves is the beginning of that of `new` (RFC 6962, 2.1.2).
///
/// # Errors
/// A tile cannot be read.
pub(crate) fn prove_consistency(
    tiles: &impl Tiles,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, Error> {
    let mut proof = Vec::new();
    if old == 0 || old >= new {
        return Ok(proof);
    }
    let (mut from, mut to, mut is_whole, mut old) = (0, new, true, old);
    while old != to - from {
        let k = split(to - from);
        if old <= k {
            proof.push(range(tiles, from + k, to)?);
            to = from + k;
        } else {
            proof.push(range(tiles, from, from + k)?);
            from += k;
            old -= k;
            is_whole = false;
        }
    }
    if !is_whole {
        proof.push(range(tiles, from, to)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Returns whether `proof` shows that a leaf with `hash` is at `index` in the tree of `size` with `root`.
pub fn proves_inclusion(hash: Hash, index: u64, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    // RFC 9162, 2.1.3.2
    let (mut node, mut last, mut at) = (hash, size - 1, index);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            node = node_hash(sibling, &node);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            node = node_hash(&node, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && node == *root
}

/// Returns whether `proof` shows that the tree of `old` leaves is the beginning of that of `new`.
pub fn proves_consistency(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    proof: &[Hash],
) -> bool {
    if old == new {
        return old_root == new_root && proof.is_empty();
    }
    if old == 0 {
        return proof.is_empty();
    }
    if old > new {
        return false;
    }
    // RFC 9162, 2.1.4.2
    let mut path = proof.iter();
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let first = if old.is_power_of_two() { Some(old_root) } else { path.next() };
    let Some(first) = first else { return false };
    let (mut of_old, mut of_new) = (*first, *first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            of_old = node_hash(sibling, &of_old);
            of_new = node_hash(sibling, &of_new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            of_new = node_hash(&of_new, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && of_old == *old_root && of_new == *new_root
}

/// Returns the path of a tile (C2SP tlog-tiles); a tile that is not full says how many hashes it has.
pub(crate) fn path(level: &str, number: u64, width: u64) -> String {
    let mut groups = vec![format!("{:03}", number % 1000)];
    let mut rest = number / 1000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    groups.reverse();
    let partial = if width < WIDTH { format!(".p/{width}") } else { String::new() };
    format!("tile/{level}/{}{partial}", groups.join("/"))
}

/// Returns the proof of [`proves_inclusion`] over hashes of leaves that are in memory.
///
/// # Errors
/// Never: it is in memory.
pub fn inclusion(leaves: &[Hash], index: u64) -> Result<Vec<Hash>, Error> {
    prove_inclusion(&Leaves::new(leaves), index, leaves.len() as u64)
}

/// Returns the proof of [`proves_consistency`] over hashes of leaves that are in memory.
///
/// # Errors
/// Never: it is in memory.
pub fn consistency(leaves: &[Hash], old: u64) -> Result<Vec<Hash>, Error> {
    prove_consistency(&Leaves::new(leaves), old, leaves.len() as u64)
}

/// The tiles of a tree in memory.
struct Leaves(std::collections::BTreeMap<(u32, u64), Vec<Hash>>);

impl Leaves {
    fn new(leaves: &[Hash]) -> Self {
        let (mut edge, mut tiles) = (Edge::default(), Vec::new());
        for leaf in leaves {
            edge.push(*leaf, &mut tiles);
        }
        tiles.extend(edge.partial());
        Self(tiles.into_iter().map(|tile| ((tile.level, tile.number), tile.hashes)).collect())
    }
}

impl Tiles for Leaves {
    fn tile(&self, level: u32, number: u64) -> Result<Vec<Hash>, Error> {
        Ok(self.0.get(&(level, number)).cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    #[test]
    fn the_hashes_are_those_of_rfc_6962() {
        // the test vectors of certificate-transparency-go and of Tessera
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let hashes: Vec<Hash> = inputs.iter().map(|leaf| leaf_hash(leaf)).collect();
        let hex = |hash: Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for (size, expected) in [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            assert_eq!(hex(root_of(&hashes[..size])), expected, "{size} leaves");
        }
    }

    #[test]
    fn the_edge_has_the_root_of_the_whole_tree_at_every_size() {
        let all = leaves(1500);
        let (mut edge, mut full) = (Edge::default(), Vec::new());
        for (at, leaf) in all.iter().enumerate() {
            edge.push(*leaf, &mut full);
            assert_eq!(edge.root(), root_of(&all[..=at]), "{} leaves", at + 1);
        }
        assert_eq!(full.len(), 5);
    }

    #[test]
    fn an_edge_that_is_read_goes_on_where_it_was() {
        for size in [0, 1, 255, 256, 257, 65_536, 65_537, 70_000] {
            let all = leaves(size);
            let (mut edge, mut full) = (Edge::default(), Vec::new());
            all.iter().for_each(|leaf| edge.push(*leaf, &mut full));
            let read = Edge::read(size, &Leaves::new(&all)).unwrap();
            assert_eq!(read.root(), edge.root(), "{size}");
        }
    }

    #[test]
    fn paths_are_those_of_tlog_tiles() {
        assert_eq!(path("0", 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(path("entries", 0, 8), "tile/entries/000.p/8");
    }

    proptest::proptest! {
        #[test]
        fn proofs_hold_and_hold_for_nothing_else(size in 1u64..700, one in 0u64..700, other in 0u64..700) {
            let (index, old) = (one % size, 1 + other % size);
            let all = leaves(size);
            let root = root_of(&all);
            let proof = inclusion(&all, index).unwrap();
            let hash = all[index as usize];
            proptest::prop_assert!(proves_inclusion(hash, index, size, &root, &proof));
            proptest::prop_assert!(!proves_inclusion(leaf_hash(b"other"), index, size, &root, &proof));
            let of_old = root_of(&all[..old as usize]);
            let proof = consistency(&all, old).unwrap();
            proptest::prop_assert!(proves_consistency((old, &of_old), (size, &root), &proof));
            if old < size {
                proptest::prop_assert!(!proves_consistency((old, &root), (size, &root), &proof));
            }
        }
    }
}
