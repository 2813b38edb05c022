//! Telling how the memory is.

use super::{Decision, Row, Steward};
use crate::FRAME_SHIFT;
use crate::kernel::Kernel;
use alloc::vec::Vec;
use mem_api::{Account, Metrics, Reply, Statistics};

/// The order below which free blocks count as fragments: that of 2 MiB.
const LARGE_ORDER: u8 = 9;

impl<K: Kernel> Steward<K> {
    /// Says how much there is.
    pub(super) fn statistics(&mut self) -> Decision {
        let metrics = self.folios.metrics();
        let largest = metrics.free_blocks.iter().rposition(|count| *count > 0);
        let largest = largest.and_then(|order| u8::try_from(order).ok());
        let frames = self.given.iter().flatten().map(|given| {
            let frames = given.held.iter().map(|held| held.extent.frames());
            frames.sum::<u64>()
        });
        let statistics = Statistics {
            free_bytes: metrics.free << FRAME_SHIFT,
            used_bytes: frames.sum::<u64>() << FRAME_SHIFT,
            largest_order: largest.map_or(0, |order| order + FRAME_SHIFT as u8),
            allocations: u32::try_from(self.given.iter().flatten().count()).unwrap_or(u32::MAX),
        };
        Decision::Done(Reply::Statistics(statistics), Vec::new())
    }

    /// Says how the memory is.
    pub(super) fn metrics(&mut self) -> Decision {
        let metrics = self.folios.metrics();
        let count = |blocks: u64| u32::try_from(blocks).unwrap_or(u32::MAX);
        let thousandths = metrics.fragmentation(LARGE_ORDER);
        let reply = Metrics {
            free_blocks: metrics.free_blocks.map(count),
            free_pages: metrics.free,
            area_pages: metrics.area_frames,
            area_free_pages: metrics.area_free,
            moved_pages: self.moved,
            fragmentation: u16::try_from(thousandths).unwrap_or(u16::MAX),
        };
        Decision::Done(Reply::Metrics(reply), Vec::new())
    }

    /// Says what a client has.
    pub(super) fn account(&self, client: u16) -> Decision {
        let row = self.clients.get(usize::from(client));
        let told = |row: &Row| Account {
            process: row.client.process,
            guest: row.client.guest,
            used_pages: self.folios.account(row.owner).map_or(0, |has| has.used()),
            limit_pages: row.client.limit,
            refused: row.refused,
            slowed: row.slowed,
        };
        Decision::Done(Reply::Account(row.map(told)), Vec::new())
    }
}
