//! What a machine offers to its guests, as the one word that the vCPU server is granted.

use super::Extension::{self, *};
use super::ExtensionSet;

/// The extensions that can be offered, at their bits of the word.
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

/// First bit of the size of a block for Zicbom.
const MANAGEMENT: u32 = 56;
/// First bit of the size of a block for Zicboz.
const ZERO: u32 = 60;

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

    /// Returns the word: a bit for each extension, and the logarithms of both sizes.
    #[must_use]
    pub fn into_bits(self) -> u64 {
        let bits = OFFERED.iter().enumerate();
        let bits = bits.filter(|(_, extension)| self.extensions.contains(**extension));
        let logarithm = |block: u32| u64::from(block.checked_ilog2().unwrap_or(0));
        bits.fold(0, |word, (bit, _)| word | 1 << bit)
            | logarithm(self.management_block) << MANAGEMENT
            | logarithm(self.zero_block) << ZERO
    }

    /// Returns what a word says; bits without a meaning are ignored.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        let extensions = OFFERED.into_iter().enumerate();
        let extensions = extensions.filter(|(bit, _)| bits >> bit & 1 == 1);
        let block = |first: u32| 1_u32 << (bits >> first & 15);
        Self::new(
            extensions.map(|(_, extension)| extension).collect(),
            block(MANAGEMENT),
            block(ZERO),
        )
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
        assert_eq!(Offer::from_bits(offer.into_bits()), offer);
    }

    #[test]
    fn state_that_nobody_saves_is_not_offered() {
        let wanted = [V, H, Ssaia, Zawrs, Zkr, Zba].into_iter().collect();
        let offer = Offer::new(wanted, 64, 64);
        assert_eq!(offer.extensions, [Zba].into_iter().collect());
    }

    proptest! {
        #[test]
        fn a_word_says_what_was_offered(bits in any::<u64>()) {
            let offer = Offer::from_bits(bits);
            prop_assert_eq!(Offer::from_bits(offer.into_bits()), offer);
            prop_assert_eq!(Offer::new(offer.extensions, offer.management_block, offer.zero_block), offer);
        }
    }
}
