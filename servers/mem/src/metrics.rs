//! How the memory is.

use crate::folios::Folios;
use crate::pool::{Pool, Use};
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
    /// Returns how the memory is; small blocks that wait to be used again are given back for that.
    #[must_use]
    pub fn metrics(&mut self) -> Metrics {
        let mut metrics = Metrics::default();
        for pool in &mut self.pools {
            metrics.free += pool.free();
            let counts = pool.whole_tree().count_blocks();
            for (sum, count) in metrics.free_blocks.iter_mut().zip(counts) {
                *sum += count;
            }
            if let Use::Area(memory) = pool.purpose {
                metrics.area_frames += memory.frames;
                metrics.area_free += pool.free();
            }
        }
        metrics
    }

    /// Returns the bytes that descriptors and trees take.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let trees = self.pools.iter().map(Pool::footprint);
        self.map.footprint() + trees.sum::<usize>()
    }
}
