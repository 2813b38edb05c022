//! Random bits of firmware, dealt out so that nobody can tell another's from its own.

use core::array;
use core::sync::atomic::{AtomicU64, Ordering};

/// Bits that nobody else knows.
pub struct Seed([u8; 32]);

impl Seed {
    /// Returns the seed in four words, or `None` where all are zero: nobody gave one.
    #[must_use]
    pub fn new(words: [u64; 4]) -> Option<Self> {
        let mut bytes = [0; 32];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        (words != [0; 4]).then_some(Self(bytes))
    }

    /// Returns a seed made of this one: another one for each purpose and index, and none of them
    /// tells of this one (BLAKE3, keyed).
    #[must_use]
    pub fn child(&self, purpose: &str, index: u64) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(purpose.as_bytes());
        hasher.update(&index.to_le_bytes());
        Self(hasher.finalize().into())
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the words, as [`Self::new`] takes them.
    #[must_use]
    pub fn words(&self) -> [u64; 4] {
        array::from_fn(|index| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&self.0[index * 8..][..8]);
            u64::from_le_bytes(bytes)
        })
    }
}

/// A row of seeds, a new one each time.
pub struct Seeds {
    source: Seed,
    given: AtomicU64,
}

impl Seeds {
    /// Returns the row that `source` makes.
    #[must_use]
    pub const fn new(source: Seed) -> Self {
        Self {
            source,
            given: AtomicU64::new(0),
        }
    }

    /// Returns the next seed.
    #[must_use]
    pub fn next(&self) -> Seed {
        let index = self.given.fetch_add(1, Ordering::Relaxed);
        self.source.child("next", index)
    }
}

/// A secret is not printed.
macro_rules! hidden {
    ($($name:ident),+) => {$(
        impl core::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.write_str(stringify!($name))
            }
        }
    )+};
}
hidden!(Seed, Seeds);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bits_are_no_seed() {
        assert!(Seed::new([0; 4]).is_none());
        let seed = Seed::new([1, 2, 3, u64::MAX]).unwrap();
        assert_eq!(seed.words(), [1, 2, 3, u64::MAX]);
    }

    #[test]
    fn purposes_indices_and_turns_all_give_other_bits() {
        let seed = Seed::new([7; 4]).unwrap();
        let seeds = Seeds::new(seed.child("guest", 0));
        let all = [
            seed.child("guest", 0),
            seed.child("guest", 1),
            seed.child("other", 0),
            seeds.next(),
            seeds.next(),
        ];
        for (index, one) in all.iter().enumerate() {
            assert_ne!(one.bytes(), seed.bytes());
            assert!(
                all[..index]
                    .iter()
                    .all(|other| other.bytes() != one.bytes())
            );
        }
        assert_eq!(format!("{seed:?}"), "Seed");
    }
}
