//! How the memory is.

use crate::folios::{Folios, Use};
use crate::radix::ORDERS;

/// What is free and used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Free frames.
    pub free: u64,
    /// Free blocks by order: each free frame is counted in the largest block that it lies in.
    pub free_blocks: [u64; ORDERS],
    /// Frames of areas.
    pub area_frames: u64,
    /// Of these, free ones.
    pub area_free: u64,
}

impl Metrics {
    /// Returns the share of the free memory, in thousandths, that is in blocks below an order: what
    /// a request of that order cannot use.
    #[must_use]
    pub fn fragmentation(&self, order: u8) -> u64 {
        let blocks = self.free_blocks.iter().enumerate().take(usize::from(order));
        let small: u64 = blocks.map(|(order, count)| count << order).sum();
        (small * 1000).checked_div(self.free).unwrap_or(0)
    }
}

impl Folios {
    /// Returns how the memory is.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        for pool in &self.pools {
            metrics.free += pool.tree.free();
            let counts = pool.tree.count_blocks();
            for (sum, count) in metrics.free_blocks.iter_mut().zip(counts) {
                *sum += count;
            }
            if let Use::Area(memory) = pool.purpose {
                metrics.area_frames += memory.frames;
                metrics.area_free += pool.tree.free();
            }
        }
        metrics
    }

    /// Returns the bytes that descriptors and trees take.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let trees = self.pools.iter().map(|pool| pool.tree.footprint());
        self.map.footprint() + trees.sum::<usize>()
    }
}
