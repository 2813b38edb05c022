//! Covering a guest's RAM with the largest fitting folios.

use crate::account::Owner;
use crate::extent::Extent;
use crate::folios::Folios;
use crate::pool::Want;
use crate::refusal::Refusal;
use alloc::vec::Vec;

/// Memory that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    /// Number of its first page where it is used; folios are aligned there as they are here, so
    /// that the second stage can map them with its largest entries.
    pub start: u64,
    /// How many frames.
    pub frames: u64,
    /// The node to prefer.
    pub node: Option<u8>,
    /// The largest order of a folio.
    pub max_order: u8,
}

/// Part of a memory: one folio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Frames from the start of the memory.
    pub offset: u64,
    /// The folio.
    pub extent: Extent,
}

impl Folios {
    /// Takes movable folios that cover a memory, by rising offset and without gaps: at each place
    /// the largest that alignment, what is left, and free memory allow.
    ///
    /// # Errors
    ///
    /// As [`Folios::allocate`], and [`Refusal::ZeroLength`], [`Refusal::Overflow`]; nothing is
    /// taken then.
    pub fn cover(&mut self, owner: Owner, cover: Cover) -> Result<Vec<Piece>, Refusal> {
        if cover.frames == 0 {
            return Err(Refusal::ZeroLength);
        }
        let end = cover.start.checked_add(cover.frames);
        end.ok_or(Refusal::Overflow)?;
        self.account(owner)?.check(cover.frames)?;
        let mut pieces = Vec::new();
        let result = self.cover_all(owner, cover, &mut pieces);
        if let Err(refusal) = result {
            for piece in pieces {
                // They were taken a moment ago and nobody saw them.
                let _ = self.free_frames(owner, piece.extent.base(), piece.extent.frames());
            }
            return Err(refusal);
        }
        Ok(pieces)
    }

    /// Takes the folios of [`Folios::cover`] one by one.
    fn cover_all(
        &mut self,
        owner: Owner,
        cover: Cover,
        pieces: &mut Vec<Piece>,
    ) -> Result<(), Refusal> {
        let mut offset = 0;
        // What was not to be had once is not to be had again.
        let mut max_order = cover.max_order.min(self.map().geometry().max_order());
        while offset < cover.frames {
            let aligned = (cover.start + offset).trailing_zeros();
            let fits = aligned.min((cover.frames - offset).ilog2());
            let order = u8::try_from(fits).unwrap_or(u8::MAX).min(max_order);
            let want = Want {
                order,
                node: cover.node,
                movable: true,
            };
            match self.allocate(owner, want) {
                Ok(extent) => {
                    pieces.push(Piece { offset, extent });
                    offset += extent.frames();
                }
                Err(Refusal::OutOfMemory) if order > 0 => max_order = order - 1,
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{FrameNumber, Geometry, Gigantic};
    use crate::map::Memory;
    use proptest::prelude::*;

    fn folios(blocks: &[(u64, u64)]) -> (Folios, Owner) {
        let mut folios = Folios::new(Geometry {
            section_shift: 15,
            vmemmap: true,
            gigantic: Gigantic::OneGib,
        });
        for &(first, frames) in blocks {
            let first = FrameNumber::new(first).unwrap();
            let memory = Memory {
                first,
                frames,
                node: 0,
            };
            folios.donate(memory, 0).unwrap();
        }
        let owner = folios.add_owner(1 << 20).unwrap();
        (folios, owner)
    }

    const fn cover(start: u64, frames: u64) -> Cover {
        Cover {
            start,
            frames,
            node: None,
            max_order: 18,
        }
    }

    #[test]
    fn aligned_memory_comes_in_the_largest_folios() {
        let (mut folios, owner) = folios(&[(0x8_0000, 0x2_0000)]);
        let pieces = folios.cover(owner, cover(0x8_0000, 0x1_0000)).unwrap();
        assert_eq!(pieces.len(), 1);
        let pieces = folios.cover(owner, cover(0x8_0200, 0x600)).unwrap();
        let orders: Vec<_> = pieces.iter().map(|piece| piece.extent.order()).collect();
        assert_eq!(orders, [9, 10]);
    }

    proptest! {
        #[test]
        fn memory_is_covered_whole_or_not_at_all(
            start in 0_u64..5000, frames in 1_u64..5000, limit: bool,
        ) {
            let (mut folios, owner) = folios(&[(0x1003, 0x777), (0x4000, 0x800)]);
            let max_order = if limit { 3 } else { 18 };
            let before = (folios.free(), folios.account(owner));
            match folios.cover(owner, Cover { max_order, ..cover(start, frames) }) {
                Ok(pieces) => {
                    let mut offset = 0;
                    for piece in pieces {
                        let order = piece.extent.order();
                        prop_assert_eq!(piece.offset, offset);
                        prop_assert!(order <= max_order);
                        prop_assert_eq!(piece.extent.frames(), 1 << order);
                        prop_assert!((start + offset).is_multiple_of(1 << order));
                        offset += piece.extent.frames();
                    }
                    prop_assert_eq!(offset, frames);
                    prop_assert_eq!(folios.free() + frames, before.0);
                }
                Err(refusal) => {
                    prop_assert_eq!(refusal, Refusal::OutOfMemory);
                    prop_assert!(frames > before.0);
                    prop_assert_eq!((folios.free(), folios.account(owner)), before);
                }
            }
        }
    }
}
