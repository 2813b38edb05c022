//! A heap, for servers that ask for it: in the memory that the process's creator gave it, as much as
//! the manifest says. The first process has nobody to give it one: its heap is part of its image.
//! On a host the host's own is used.

use crate::grant;
use crate::lock::TicketLock;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use linked_list_allocator::Heap;

/// Memory of an image for a heap: for the first process, which gives it to [`use_image`].
///
/// It is a value of the program that wants it, not a feature of this crate: features are the same for
/// all programs that are built together.
#[repr(align(64))]
pub struct ImageHeap<const BYTES: usize> {
    bytes: UnsafeCell<[u8; BYTES]>,
    is_used: AtomicBool,
}

// SAFETY: the bytes are reached only by the allocator, behind its lock, and by one of them at most.
unsafe impl<const BYTES: usize> Sync for ImageHeap<BYTES> {}

impl<const BYTES: usize> ImageHeap<BYTES> {
    /// Returns memory that is zero and not used yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: UnsafeCell::new([0; BYTES]),
            is_used: AtomicBool::new(false),
        }
    }
}

impl<const BYTES: usize> Default for ImageHeap<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const BYTES: usize> core::fmt::Debug for ImageHeap<BYTES> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "ImageHeap({BYTES} bytes)")
    }
}

/// Makes memory of the image the heap; it has to come before the first allocation. Memory that is a
/// heap already, or that comes too late, is not used.
pub fn use_image<const BYTES: usize>(memory: &'static ImageHeap<BYTES>) {
    let mut heap = GLOBAL.0.lock();
    if heap.is_none() && !memory.is_used.swap(true, Ordering::Relaxed) {
        // SAFETY: the memory is static, and this is the only use that is ever made of it.
        *heap = Some(unsafe { Heap::new(memory.bytes.get().cast(), BYTES) });
    }
}

/// Returns address and bytes of the heap that the creator of the process gave it.
fn granted() -> Option<(*mut u8, usize)> {
    let (address, bytes) = (grant::value("heap")?, grant::value("heap-bytes")?);
    let bytes = grant::is_mapped(address, bytes).then(|| usize::try_from(bytes).ok())??;
    Some((address as *mut u8, bytes))
}

/// The allocator of the process.
struct Global(TicketLock<Option<Heap>>);

#[global_allocator]
static GLOBAL: Global = Global(TicketLock::new(None));

/// Returns the heap, or `None` in a process that was given none.
fn first_heap() -> Option<Heap> {
    let (start, bytes) = granted()?;
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
