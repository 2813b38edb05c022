//! A heap, for servers that ask for it: in the memory that the process's creator gave it, as much as
//! the manifest says. The first process has nobody to give it one: its heap is part of its image.
//! On a host the host's own is used.

use crate::lock::TicketLock;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use linked_list_allocator::Heap;

#[cfg(feature = "heap-in-image")]
mod place {
    use core::cell::UnsafeCell;

    /// Bytes of the heap.
    const SIZE: usize = 256 * 1024;

    /// The memory of the heap.
    #[repr(align(64))]
    struct Arena(UnsafeCell<[u8; SIZE]>);

    // SAFETY: only the allocator behind its lock reaches the bytes.
    unsafe impl Sync for Arena {}

    static ARENA: Arena = Arena(UnsafeCell::new([0; SIZE]));

    /// Returns address and bytes of the heap.
    pub fn find() -> Option<(*mut u8, usize)> {
        Some((ARENA.0.get().cast(), SIZE))
    }
}

#[cfg(not(feature = "heap-in-image"))]
mod place {
    use crate::grant;

    /// Returns address and bytes of the heap.
    pub fn find() -> Option<(*mut u8, usize)> {
        let (address, bytes) = (grant::value("heap")?, grant::value("heap-bytes")?);
        let bytes = grant::is_mapped(address, bytes).then(|| usize::try_from(bytes).ok())??;
        Some((address as *mut u8, bytes))
    }
}

/// The allocator of the process.
struct Global(TicketLock<Option<Heap>>);

#[global_allocator]
static GLOBAL: Global = Global(TicketLock::new(None));

/// Returns the heap, or `None` in a process that was given none.
fn first_heap() -> Option<Heap> {
    let (start, bytes) = place::find()?;
    // SAFETY: called under the lock and not again once it gave a heap; the memory is mapped for as
    // long as the process lives, and nothing else names it.
    Some(unsafe { Heap::new(start, bytes) })
}

// SAFETY: blocks come from a correct allocator behind a lock.
unsafe impl GlobalAlloc for Global {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut heap = self.0.lock();
        if heap.is_none() {
            *heap = first_heap();
        }
        let block = heap
            .as_mut()
            .and_then(|heap| heap.allocate_first_fit(layout).ok());
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
