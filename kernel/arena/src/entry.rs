//! One kernel entry of one core: the right to look at objects.

use crate::kind::{CONTINUED, PAGE_SIZE};
use crate::{Arena, Handle, Note, Object, Part, Quiescent, RAW, Seat, TABLE};
use core::mem::size_of;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU64, Ordering};

/// One kernel entry of one core. References to objects live no longer than the borrow of it.
pub struct Entry<'a> {
    arena: &'a Arena,
    seat: &'a Seat,
    // Where physical address 0 would be mapped.
    origin: *mut u8,
}

/// Words of a page.
const PAGE_WORDS: usize = PAGE_SIZE as usize / size_of::<AtomicU64>();

/// Why a range cannot change its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindError {
    /// The range is not a whole number of pages of the arena.
    NotPages,
    /// A page of the range is in use.
    NotRaw,
}

impl<'a> Entry<'a> {
    /// Makes the entry of the core that has this seat.
    #[inline(always)]
    pub(crate) fn new(arena: &'a Arena, seat: &'a Seat) -> Self {
        let origin = seat.origin();
        Self {
            arena,
            seat,
            origin,
        }
    }

    /// Returns the core that entered.
    #[must_use]
    #[inline(always)]
    pub fn core(&self) -> usize {
        self.seat.core()
    }

    /// Forgets what this core pinned and noted.
    pub fn forget(&self) {
        self.seat.clear();
    }

    /// Returns note `number`, if there are so many: what this core noted since it last acknowledged.
    #[inline(always)]
    #[must_use]
    pub fn note(&self, number: usize) -> Option<&'a Note> {
        self.seat.notes.get(number)
    }

    /// Makes note `number`, of what was looked at before, unless a grace period is under way: so a
    /// note says nothing about what that period takes away.
    pub fn make_note(&self, number: usize, words: [u64; 4]) {
        let note = self.note(number).filter(|_| self.arena.grace().is_idle());
        for (place, word) in note.into_iter().flatten().zip(&words) {
            place.store(*word, Ordering::Relaxed);
        }
    }

    /// Returns the arena.
    #[must_use]
    pub const fn arena(&self) -> &'a Arena {
        self.arena
    }

    /// Returns the object that `handle` names, or `None` where no `T` is at its address.
    #[inline(always)]
    pub fn find<T: Object>(&self, handle: Handle<T>) -> Option<&T> {
        let pointer = self.locate(handle.address(), T::KIND, T::STRIDE)?;
        // SAFETY: the page holds objects of type `T` from its start on, `STRIDE` apart, for as long
        // as this entry is not borrowed mutably; every bit pattern is a `T`, and a `T` is `Sync`.
        Some(unsafe { pointer.cast::<T>().as_ref() })
    }

    /// Returns the pointer to `address`, if its page is of `kind` and an object begins there where
    /// objects are `stride` apart. One function for all types, for calls are shorter than copies.
    #[inline(never)]
    fn locate(&self, address: u64, kind: u8, stride: u64) -> Option<NonNull<u8>> {
        // Below the arena this wraps to a page that has no kind byte.
        let arena = self.arena;
        let offset = usize::try_from(address.wrapping_sub(arena.physical)).ok()?;
        let found = arena.kinds.get(offset / PAGE_SIZE as usize)?;
        let aligned = offset as u64 & (stride.min(PAGE_SIZE) - 1) == 0;
        if found.load(Ordering::Relaxed) != kind || !aligned {
            return None;
        }
        // SAFETY: a page with a kind lies in the arena, which is one mapping.
        Some(unsafe { arena.base.add(offset) })
    }

    /// Returns the object at an address that pin number `pin` of its type names.
    #[inline(always)]
    pub fn pinned<T: Object>(&self, address: u64, pin: usize) -> Option<&T> {
        if self.seat.pin::<T>(pin)?.load(Ordering::Relaxed) != address {
            return None;
        }
        let pointer = self.origin.wrapping_add(address as usize);
        // SAFETY: what a pin names is in the arena.
        let pointer = unsafe { NonNull::new(pointer).unwrap_unchecked() };
        // SAFETY: this core found a `T` there since it last acknowledged, and pinned it: no page
        // that had an object then is anything else before the core acknowledges again.
        Some(unsafe { pointer.cast::<T>().as_ref() })
    }

    /// Returns the object at an address, and pins it.
    #[inline(always)]
    fn pin<T: Object>(&self, address: u64, pin: usize) -> Option<&T> {
        let pin = self.seat.pin::<T>(pin)?;
        let pointer = self.look(pin, address, (T::KIND, T::STRIDE))?;
        // SAFETY: as in `find`.
        Some(unsafe { pointer.cast::<T>().as_ref() })
    }

    /// Does what [`Entry::locate`] does, and notes the address in a pin, unless a grace period is
    /// under way: between its acknowledgement and the end of a period a core may still find what goes
    /// then.
    #[inline(never)]
    fn look(&self, pin: &AtomicU64, address: u64, of: (u8, u64)) -> Option<NonNull<u8>> {
        let pointer = self.locate(address, of.0, of.1)?;
        if self.arena.grace().is_idle() {
            pin.store(address, Ordering::Relaxed);
        }
        Some(pointer)
    }

    /// Returns the object at an address, which is looked at unless pin number `pin` of its type names
    /// it, and pinned then: for paths that are shortest.
    #[inline(always)]
    pub fn again<T: Object>(&self, address: u64, pin: usize) -> Option<&T> {
        // No closure: where code is to be small, each would be a call.
        match self.pinned(address, pin) {
            Some(object) => Some(object),
            None => self.pin(address, pin),
        }
    }

    /// Returns the object that `handle` names.
    ///
    /// # Panics
    ///
    /// Where no `T` is at its address: a bug of the kernel, never the effect of a system call.
    #[inline(always)]
    pub fn get<T: Object>(&self, handle: Handle<T>) -> &T {
        match self.find(handle) {
            Some(object) => object,
            None => gone(),
        }
    }

    /// Returns the object at an address, or `None` where no `T` is there.
    #[inline(always)]
    pub fn at<T: Object>(&self, address: u64) -> Option<&T> {
        self.find(Handle::from_address(address)?)
    }

    /// Returns the part that `handle` names, or `None` where no object has a `T` there.
    #[inline(always)]
    pub fn part<T: Part<P>, P>(&self, handle: Handle<T>) -> Option<&T> {
        let address = handle.address();
        let kind = self.arena.kind(address);
        if !T::lies_at(kind, address.wrapping_sub(self.arena.physical) % PAGE_SIZE) {
            return None;
        }
        let pointer = self.arena.pointer(address).cast::<T>();
        // SAFETY: an object of that kind has a `T` at that offset (obligation of `Part`), and it
        // stays for as long as this entry is not borrowed mutably.
        Some(unsafe { pointer.as_ref() })
    }

    /// Returns the 64-bit words of `length` bytes of raw or table pages at `address`: memory of
    /// users, or translation tables.
    #[must_use]
    pub fn words(&self, address: u64, length: u64) -> Option<&[AtomicU64]> {
        let kind = self.arena.kind(address);
        if !(kind == RAW || kind == TABLE) || !address.is_multiple_of(8) || length == 0 {
            return None;
        }
        if length > PAGE_SIZE - address % PAGE_SIZE {
            self.uniform(address, length, kind)?;
        }
        let count = usize::try_from(length).ok()? / size_of::<u64>();
        let pointer = self.arena.pointer(address).cast::<AtomicU64>().as_ptr();
        // SAFETY: the range lies in pages that hold no objects, mapped for ever; it is only ever
        // accessed as atomics by the kernel.
        Some(unsafe { slice::from_raw_parts(pointer, count) })
    }

    /// Returns the 64-bit words of the raw page at `address`, memory of users, which is looked at
    /// unless pin number `pin` of pages names it, and pinned then.
    #[must_use]
    #[inline(always)]
    pub fn page(&self, address: u64, pin: usize) -> Option<&[AtomicU64; PAGE_WORDS]> {
        let pin = self.seat.pins[crate::seat::PAGES].get(pin)?;
        if pin.load(Ordering::Relaxed) != address {
            self.look(pin, address, (RAW, PAGE_SIZE))?;
        }
        // SAFETY: as in `words`, for one page, at whose start this core looked: it is in the arena.
        Some(unsafe { &*self.origin.wrapping_add(address as usize).cast() })
    }

    /// Returns the words of the table at an address in a page of tables of which one is `index`: the
    /// even one is the first.
    #[must_use]
    #[inline(always)]
    pub fn table_words(&self, address: u64, index: usize) -> Option<&[AtomicU64; 2]> {
        let pair = self.locate(address + (index as u64 & !1) * 8, TABLE, 16)?;
        // SAFETY: as in `words`, for two.
        Some(unsafe { pair.cast().as_ref() })
    }

    /// Returns `Some` if every page of a page-aligned range has this kind.
    fn uniform(&self, address: u64, length: u64, kind: u8) -> Option<()> {
        let pages = self.arena.range(address, length)?;
        pages
            .iter()
            .all(|page| page.load(Ordering::Relaxed) == kind)
            .then_some(())
    }

    /// Writes zeros to a page-aligned range of raw pages.
    ///
    /// # Errors
    ///
    /// [`KindError`]; nothing was written then.
    pub fn zero(&self, address: u64, length: u64) -> Result<(), KindError> {
        let range = self.arena.range(address, length);
        range.ok_or(KindError::NotPages)?;
        self.uniform(address, length, RAW)
            .ok_or(KindError::NotRaw)?;
        fill(self.words(address, length).ok_or(KindError::NotRaw)?, 0);
        Ok(())
    }

    /// Turns raw pages into pages of `T`, as many as fit, and returns the first one.
    ///
    /// # Errors
    ///
    /// [`KindError`]; nothing changed then. A range that no `T` fits into is `NotPages`.
    pub fn carve<T: Object>(&self, address: u64, length: u64) -> Result<Handle<T>, KindError> {
        self.carve_kind(address, length, (T::KIND, T::STRIDE))?;
        Handle::from_address(address).ok_or(KindError::NotPages)
    }

    /// Turns raw pages into pages of a kind whose objects are a stride apart.
    fn carve_kind(
        &self,
        address: u64,
        length: u64,
        (kind, stride): (u8, u64),
    ) -> Result<(), KindError> {
        let range = self.arena.range(address, length);
        let pages = range.ok_or(KindError::NotPages)?;
        // Strides are powers of two or whole pages; a range is whole pages.
        let per_object = usize::try_from(stride.div_ceil(PAGE_SIZE)).unwrap_or(usize::MAX);
        if pages.is_empty() || !pages.len().is_multiple_of(per_object) {
            return Err(KindError::NotPages);
        }
        self.uniform(address, length, RAW)
            .ok_or(KindError::NotRaw)?;
        for object in pages.chunks(per_object) {
            let kinds = core::iter::once(kind).chain(core::iter::repeat(CONTINUED));
            for (page, kind) in object.iter().zip(kinds) {
                page.store(kind, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Turns raw pages into pages for translation tables.
    ///
    /// # Errors
    ///
    /// [`KindError`]; nothing changed then.
    pub fn carve_tables(&self, address: u64, length: u64) -> Result<(), KindError> {
        self.carve_kind(address, length, (TABLE, PAGE_SIZE))
    }

    /// Turns the pages of a range back into raw ones; reserved pages stay what they are.
    ///
    /// # Errors
    ///
    /// [`KindError::NotPages`].
    pub fn release(
        arena: &Arena,
        address: u64,
        length: u64,
        quiescent: &Quiescent<'_>,
    ) -> Result<(), KindError> {
        if !quiescent.is_of(arena) {
            return Err(KindError::NotRaw);
        }
        let pages = arena.range(address, length).ok_or(KindError::NotPages)?;
        for page in pages {
            if page.load(Ordering::Relaxed) >= TABLE {
                page.store(RAW, Ordering::Release);
            }
        }
        Ok(())
    }
}

/// Reports a name that the kernel kept of something that is not there: out of line and the same for
/// all types, for it is behind every look at an object.
///
/// # Panics
///
/// Always.
#[cold]
#[inline(never)]
pub fn gone() -> ! {
    panic!("the kernel keeps the name of something that is gone")
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.arena.leave(self.core());
    }
}

/// Stores a word to each of `words`, eight in a round that is written out: filling a page is most of
/// what making a table or an object costs.
pub fn fill(words: &[AtomicU64], value: u64) {
    let (rounds, rest) = words.as_chunks::<8>();
    let store = |word: &AtomicU64| word.store(value, Ordering::Relaxed);
    for [a, b, c, d, e, f, g, h] in rounds {
        store(a);
        store(b);
        store(c);
        store(d);
        store(e);
        store(f);
        store(g);
        store(h);
    }
    rest.iter().for_each(store);
}

/// Returns whether each of `words` is zero, looking at eight in a round as [`fill`] does.
#[must_use]
#[inline(never)]
pub fn is_zero(words: &[AtomicU64]) -> bool {
    let (rounds, rest) = words.as_chunks::<8>();
    let get = |word: &AtomicU64| word.load(Ordering::Relaxed);
    let is_zero = rounds.iter().all(|[a, b, c, d, e, f, g, h]| {
        let first = get(a) | get(b) | get(c) | get(d);
        first | get(e) | get(f) | get(g) | get(h) == 0
    });
    is_zero && rest.iter().all(|word| get(word) == 0)
}
