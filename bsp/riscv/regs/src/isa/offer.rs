//! What a machine offers to its guests.

use super::Extension::{self, *};
use super::ExtensionSet;
use crate::environment::Henvcfg;

/// The extensions that can be offered.
///
/// They have no state of their own beyond integer and floating-point registers, or henvcfg turns
/// them on. What is left out has state that nobody saves (V), can wait on the host's account
/// (Zawrs: hstatus.VTW traps it), needs machine mode (Zkr, Sscofpmf), or is nothing that a guest
/// can have here (H, Ssaia, Zicfi*).
const OFFERED: [Extension; 36] = [
    Sstc,
    Svpbmt,
    Svadu,
    Svinval,
    Svnapot,
    Svvptc,
    Zihintpause,
    Zihintntl,
    Zicbom,
    Zicboz,
    Zicbop,
    Zba,
    Zbb,
    Zbs,
    Zbc,
    Zbkb,
    Zbkc,
    Zbkx,
    Zknd,
    Zkne,
    Zknh,
    Zksed,
    Zksh,
    Zkt,
    Zicond,
    Zfh,
    Zfhmin,
    Zfa,
    Zfbfmin,
    Zacas,
    Zabha,
    Zimop,
    Zca,
    Zcb,
    Zcmop,
    Ziccrse,
];

/// Returns henvcfg with all that guests can use (II 15.2.5); harts keep what they have.
#[must_use]
pub const fn guest_environment() -> Henvcfg {
    Henvcfg::new()
        .with_stce(true)
        .with_pbmte(true)
        .with_adue(true)
        .with_cbze(true)
        .with_cbcfe(true)
        // An invalidation that did not write back would show a guest what its memory was before
        // it was cleared for it.
        .with_cbie(1)
}

/// Returns what the machine tells the vCPU servers of its harts: the extensions that all of them
/// have, henvcfg as they keep it, and the bytes of the blocks of Zicbom and Zicboz.
#[must_use]
pub const fn features(extensions: ExtensionSet, environment: u64, blocks: [u32; 2]) -> [u64; 4] {
    let [management, zero] = blocks;
    let [low, high] = extensions.words();
    [
        low,
        high,
        environment,
        management as u64 | (zero as u64) << 32,
    ]
}

/// What every hart of a machine offers to guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Offer {
    /// The extensions.
    pub extensions: ExtensionSet,
    /// Bytes of a block that cbo.clean, cbo.flush and cbo.inval act on; a power of two, or 0 where
    /// there is none.
    pub management_block: u32,
    /// Bytes of a block that cbo.zero clears; a power of two, or 0 where there is none.
    pub zero_block: u32,
}

impl Offer {
    /// Returns the part that can be offered: known extensions, and operations on blocks only where
    /// a block's size is a power of two from 2 to 32,768 bytes.
    #[must_use]
    pub fn new(extensions: ExtensionSet, management_block: u32, zero_block: u32) -> Self {
        let known = OFFERED.into_iter().collect();
        let mut offer = Self {
            extensions: extensions.intersection(known),
            management_block,
            zero_block,
        };
        let blocks = [
            (Zicbom, &mut offer.management_block),
            (Zicboz, &mut offer.zero_block),
        ];
        for (extension, block) in blocks {
            let is_size = block.is_power_of_two() && (2..=1 << 15).contains(block);
            if !is_size || !offer.extensions.contains(extension) {
                *block = 0;
                offer.extensions = offer.extensions.without(extension);
            }
        }
        offer
    }

    /// Returns what [`features`] tells of.
    #[must_use]
    pub fn from_features([low, high, environment, blocks]: [u64; 4]) -> Self {
        let kept = Henvcfg::from_bits(environment);
        let needs = [
            (Sstc, kept.stce()),
            (Svpbmt, kept.pbmte()),
            (Svadu, kept.adue()),
            (Zicboz, kept.cbze()),
            (Zicbom, kept.cbcfe() && kept.cbie() == 1),
        ];
        let missing = needs.into_iter().filter(|(_, is_kept)| !is_kept);
        let missing = missing.map(|(extension, _)| extension).collect();
        let extensions = ExtensionSet::from_words([low, high]).difference(missing);
        Self::new(extensions, blocks as u32, (blocks >> 32) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_of_no_size_take_their_extension_along() {
        let both = [Zicbom, Zicboz, Zbb].into_iter().collect();
        let offer = Offer::new(both, 48, 0);
        assert_eq!(offer.extensions, [Zbb].into_iter().collect());
    }

    #[test]
    fn state_that_nobody_saves_is_not_offered() {
        let wanted = [V, H, Ssaia, Zawrs, Zkr, Zba].into_iter().collect();
        let offer = Offer::new(wanted, 64, 64);
        assert_eq!(offer.extensions, [Zba].into_iter().collect());
    }

    #[test]
    fn what_henvcfg_does_not_keep_is_not_offered() {
        let all: ExtensionSet = OFFERED.into_iter().collect();
        let offered = |environment: Henvcfg| {
            Offer::from_features(features(all, environment.into_bits(), [64, 128]))
        };
        let whole = offered(guest_environment());
        assert_eq!((whole.extensions, whole.zero_block), (all, 128));
        let without = offered(guest_environment().with_adue(false).with_cbcfe(false));
        let expected = all.without(Svadu).without(Zicbom);
        assert_eq!(
            (without.extensions, without.management_block),
            (expected, 0)
        );
    }

    proptest! {
        #[test]
        fn any_words_offer_something_that_can_be(words in any::<[u64; 4]>()) {
            let offer = Offer::from_features(words);
            prop_assert_eq!(Offer::new(offer.extensions, offer.management_block, offer.zero_block), offer);
        }
    }
}
