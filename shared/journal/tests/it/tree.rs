use std::collections::HashMap;

use journal::hash::{self, Hash};
use journal::proof::{ProofError, verify_consistency, verify_inclusion};
use journal::tree::{self, Element, Frontier, Node};
use proptest::prelude::*;

use crate::naive;

/// The eight inputs of the Certificate Transparency reference implementation's test vectors (RFC 6962).
const INPUTS: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// Their roots for 0 to 8 leaves.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Inclusion proofs of the same vectors: leaf, tree size, proof.
const INCLUSIONS: [(u64, u64, &[&str]); 3] = [
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        3,
        &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    ),
];

/// Consistency proofs of the same vectors: sizes, proof.
const CONSISTENCIES: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn hex_hash(hex: &str) -> Hash {
    Hash::from_slice(&hex::decode(hex).unwrap()).unwrap()
}

fn hex_hashes(list: &[&str]) -> Vec<Hash> {
    list.iter().map(|hex| hex_hash(hex)).collect()
}

/// A tree with every complete subtree it ever had, as the database keeps it.
struct Kept {
    frontier: Frontier,
    nodes: HashMap<Node, Hash>,
}

impl Kept {
    fn of(leaves: &[Hash]) -> Kept {
        let mut kept = Kept {
            frontier: Frontier::empty(),
            nodes: HashMap::new(),
        };
        for leaf in leaves {
            for (node, hash) in kept.frontier.append(*leaf) {
                assert!(
                    kept.nodes.insert(node, hash).is_none(),
                    "a complete subtree is completed once"
                );
            }
        }
        kept
    }

    fn fold(&self, elements: Option<Vec<Element>>) -> Vec<Hash> {
        let hash = |element: &Element| {
            let hashes: Vec<Hash> = element.iter().map(|node| self.nodes[node]).collect();
            tree::fold(&hashes).unwrap()
        };
        elements.unwrap().iter().map(hash).collect()
    }
}

/// The published roots (RFC 6962 reference vectors) come out for every size, incrementally and by definition.
#[test]
fn published_roots_are_reproduced() {
    let leaves: Vec<Hash> = INPUTS
        .iter()
        .map(|hex| hash::leaf(&hex::decode(hex).unwrap()))
        .collect();
    let mut frontier = Frontier::empty();
    assert_eq!(frontier.root(), hex_hash(ROOTS[0]));
    for (at, leaf) in leaves.iter().enumerate() {
        frontier.append(*leaf);
        assert_eq!(frontier.root(), hex_hash(ROOTS[at + 1]));
        assert_eq!(naive::mth(&leaves[..=at]), hex_hash(ROOTS[at + 1]));
    }
}

/// The published proofs are made and hold.
#[test]
fn published_proofs_are_reproduced() {
    let leaves: Vec<Hash> = INPUTS
        .iter()
        .map(|hex| hash::leaf(&hex::decode(hex).unwrap()))
        .collect();
    let kept = Kept::of(&leaves);
    for (index, size, published) in INCLUSIONS {
        let proof = kept.fold(tree::inclusion(index, size));
        assert_eq!(proof, hex_hashes(published));
        let root = hex_hash(ROOTS[size as usize]);
        assert_eq!(
            verify_inclusion(&leaves[index as usize], index, size, &proof, &root),
            Ok(())
        );
    }
    for (from, to, published) in CONSISTENCIES {
        let proof = kept.fold(tree::consistency(from, to));
        assert_eq!(proof, hex_hashes(published));
        let (old, new) = (hex_hash(ROOTS[from as usize]), hex_hash(ROOTS[to as usize]));
        assert_eq!(verify_consistency(from, to, &proof, &old, &new), Ok(()));
    }
}

/// Roots and proofs are those of the definitions of RFC 9162 §2.1, for every tree up to 130 leaves, and they hold.
#[test]
fn every_small_tree_agrees_with_the_definitions() {
    let leaves = naive::leaves(130);
    let kept = Kept::of(&leaves);
    let roots: Vec<Hash> = (0..=130).map(|size| naive::mth(&leaves[..size])).collect();
    for size in 0..=130 {
        assert_eq!(Kept::of(&leaves[..size]).frontier.root(), roots[size]);
        for index in 0..size {
            let proof = kept.fold(tree::inclusion(index as u64, size as u64));
            assert_eq!(proof, naive::path(index, &leaves[..size]));
            assert_eq!(
                verify_inclusion(&leaves[index], index as u64, size as u64, &proof, &roots[size]),
                Ok(())
            );
        }
        for from in 0..=size {
            let proof = kept.fold(tree::consistency(from as u64, size as u64));
            assert_eq!(proof, naive::proof(from, &leaves[..size]));
            assert_eq!(
                verify_consistency(from as u64, size as u64, &proof, &roots[from], &roots[size]),
                Ok(())
            );
        }
    }
}

/// A leaf is proved at its own place only, and under its own tree's size only.
#[test]
fn a_proof_holds_at_one_place() {
    let leaves = naive::leaves(40);
    for size in 1..=40_u64 {
        let part = &leaves[..size as usize];
        let root = naive::mth(part);
        for index in 0..size {
            let proof = naive::path(index as usize, part);
            for other in (0..=size + 2).filter(|other| *other != index) {
                assert!(verify_inclusion(&part[index as usize], other, size, &proof, &root).is_err());
            }
        }
    }
}

/// One bit changed anywhere, a hash too many or too few, or hashes exchanged: refused (RFC 9162 §2.1.3.2, §2.1.4.2).
#[test]
fn a_damaged_proof_is_refused() {
    let leaves = naive::leaves(29);
    let root = naive::mth(&leaves);
    for index in [0, 1, 12, 27, 28] {
        let proof = naive::path(index, &leaves);
        let verify = |leaf: &Hash, proof: &[Hash], root: &Hash| verify_inclusion(leaf, index as u64, 29, proof, root);
        assert_eq!(verify(&leaves[index], &proof, &root), Ok(()));
        every_flip(&leaves[index], |leaf| assert!(verify(leaf, &proof, &root).is_err()));
        every_flip(&root, |root| assert!(verify(&leaves[index], &proof, root).is_err()));
        every_damage(&proof, |proof| assert!(verify(&leaves[index], proof, &root).is_err()));
    }
    for from in [1, 2, 7, 8, 16, 20, 28] {
        let (proof, old) = (naive::proof(from, &leaves), naive::mth(&leaves[..from]));
        let verify = |proof: &[Hash], old: &Hash, new: &Hash| verify_consistency(from as u64, 29, proof, old, new);
        assert_eq!(verify(&proof, &old, &root), Ok(()));
        every_flip(&old, |old| assert!(verify(&proof, old, &root).is_err()));
        every_flip(&root, |root| assert!(verify(&proof, &old, root).is_err()));
        every_damage(&proof, |proof| assert!(verify(proof, &old, &root).is_err()));
    }
}

fn every_flip(hash: &Hash, mut check: impl FnMut(&Hash)) {
    for bit in 0..256 {
        let mut flipped = *hash;
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        check(&flipped);
    }
}

fn every_damage(proof: &[Hash], mut check: impl FnMut(&[Hash])) {
    for at in 0..proof.len() {
        every_flip(&proof[at], |flipped| {
            let mut damaged = proof.to_vec();
            damaged[at] = *flipped;
            check(&damaged);
        });
        check(&[&proof[..at], &proof[at + 1..]].concat());
    }
    for at in 0..=proof.len() {
        check(&[&proof[..at], &[hash::empty_root()], &proof[at..]].concat());
    }
    for at in 1..proof.len() {
        let mut damaged = proof.to_vec();
        damaged.swap(at - 1, at);
        check(&damaged);
    }
}

/// What does not exist is said not to exist, and no number makes a verifier panic.
#[test]
fn absurd_numbers_are_refused() {
    let root = hash::empty_root();
    assert_eq!(tree::inclusion(5, 5), None);
    assert_eq!(tree::inclusion(0, tree::MAX_SIZE + 1), None);
    assert_eq!(tree::consistency(6, 5), None);
    assert_eq!(tree::consistency(0, u64::MAX), None);
    assert_eq!(verify_inclusion(&root, 0, 0, &[], &root), Err(ProofError::OutOfRange));
    assert_eq!(
        verify_inclusion(&root, u64::MAX - 1, u64::MAX, &[root; 64], &root),
        Err(ProofError::OutOfRange)
    );
    assert_eq!(verify_consistency(2, 1, &[], &root, &root), Err(ProofError::OutOfRange));
    assert_eq!(
        verify_consistency(1, u64::MAX, &[root; 64], &root, &root),
        Err(ProofError::OutOfRange)
    );
    assert_eq!(
        verify_consistency(0, 3, &[], &Hash::ZERO, &root),
        Err(ProofError::WrongRoot)
    );
    assert_eq!(
        verify_consistency(0, 3, &[root], &root, &root),
        Err(ProofError::WrongLength)
    );
    assert!(Frontier::restore(3, vec![root]).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Larger trees agree with the definitions too.
    #[test]
    fn larger_trees_agree_with_the_definitions(size in 131_usize..3000, index in any::<prop::sample::Index>()) {
        let leaves = naive::leaves(size);
        let kept = Kept::of(&leaves);
        let root = naive::mth(&leaves);
        prop_assert_eq!(kept.frontier.root(), root);
        let at = index.index(size);
        let proof = kept.fold(tree::inclusion(at as u64, size as u64));
        prop_assert_eq!(&proof, &naive::path(at, &leaves));
        prop_assert_eq!(verify_inclusion(&leaves[at], at as u64, size as u64, &proof, &root), Ok(()));
        let proof = kept.fold(tree::consistency(at as u64, size as u64));
        prop_assert_eq!(&proof, &naive::proof(at, &leaves));
        let old = naive::mth(&leaves[..at]);
        prop_assert_eq!(verify_consistency(at as u64, size as u64, &proof, &old, &root), Ok(()));
    }

    /// A frontier restored from its hashes goes on as if it had never stopped.
    #[test]
    fn a_restored_frontier_goes_on(size in 0_usize..600, more in 0_usize..50) {
        let leaves = naive::leaves(size + more);
        let mut kept = Kept::of(&leaves[..size]);
        let roots = kept.frontier.nodes().map(|(_, hash)| hash).collect();
        let mut restored = Frontier::restore(size as u64, roots).unwrap();
        for leaf in &leaves[size..] {
            prop_assert_eq!(restored.append(*leaf), kept.frontier.append(*leaf));
        }
        prop_assert_eq!(restored.root(), naive::mth(&leaves));
    }

    /// Anything at all offered as a proof is refused or true, never a panic.
    #[test]
    fn no_proof_makes_the_verifier_panic(
        (index, size) in (any::<u64>(), any::<u64>()),
        proof in prop::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..70),
        root in any::<[u8; 32]>().prop_map(Hash),
    ) {
        prop_assert!(verify_inclusion(&root, index, size, &proof, &Hash::ZERO).is_err());
        prop_assert!(verify_consistency(index, size, &proof, &root, &Hash::ZERO).is_err());
    }
}
