//! A heap of a fixed size, for servers that ask for it. On a host the host's own is used.

use crate::lock::TicketLock;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use linked_list_allocator::Heap;

/// Bytes of the heap.
pub const SIZE: usize = 256 * 1024;

/// The memory of the heap.
#[repr(align(64))]
struct Arena(UnsafeCell<[u8; SIZE]>);

// SAFETY: only the allocator behind its lock reaches the bytes.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new([0; SIZE]));

/// The allocator of the process.
struct Global(TicketLock<Option<Heap>>);

#[global_allocator]
static GLOBAL: Global = Global(TicketLock::new(None));

/// Returns a heap over the arena.
fn over_arena() -> Heap {
    // SAFETY: called once, under the lock, and nothing else names the arena.
    unsafe { Heap::new(ARENA.0.get().cast(), SIZE) }
}

// SAFETY: blocks come from a correct allocator behind a lock.
unsafe impl GlobalAlloc for Global {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut heap = self.0.lock();
        let block = heap
            .get_or_insert_with(over_arena)
            .allocate_first_fit(layout);
        block.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let mut heap = self.0.lock();
        if let (Some(heap), Some(block)) = (heap.as_mut(), NonNull::new(block)) {
            // SAFETY: the caller vouches that the block came from `alloc` with this layout.
            unsafe { heap.deallocate(block, layout) };
        }
    }
}
