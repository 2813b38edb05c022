//! Rings of bytes in a page that two processes share.
//!
//! ```text
//!  word  0      8      16 .. 144          256    264    272 .. 400
//!       [taken][put]  [1024 bytes]       [taken][put]  [1024 bytes]
//!        toward the console               from the console
//! ```
//! One side puts, the other takes. `put` and `taken` count bytes for ever, modulo 2^64; the byte
//! with number *n* has place *n* modulo [`CAPACITY`]. Each side writes one of the two counts and
//! keeps its own in private memory, so nothing that the other writes can move it: a lie about the
//! other count makes the ring look full or empty, or the bytes wrong, and nothing else.
//!
//! *No wake-up is lost* when both sides follow two rules: who put bytes signals afterwards; who
//! took bytes signals when [`Consumer::take_notice`] says so. For a producer that found no room
//! leaves at least half a ring to whoever takes next, and that is when the notice is given.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// Words of the page.
pub const PAGE_WORDS: usize = 512;
/// Bytes that a ring holds.
pub const CAPACITY: usize = 1024;

/// Words of one ring.
const RING_WORDS: usize = PAGE_WORDS / 2;
/// Word of the count of bytes that were taken.
const TAKEN: usize = 0;
/// Word of the count of bytes that were put; on another cache line.
const PUT: usize = 8;
/// First word of the bytes.
const BYTES: usize = 16;

const _: () = assert!(CAPACITY.is_power_of_two() && BYTES + CAPACITY / 8 <= RING_WORDS);

/// The words of one ring.
#[derive(Clone, Copy, Debug)]
struct Ring<'a> {
    taken: &'a AtomicU64,
    put: &'a AtomicU64,
    bytes: &'a [AtomicU64],
}

impl<'a> Ring<'a> {
    /// Returns the ring in these words, or `None` where they are too few.
    fn new(words: &'a [AtomicU64]) -> Option<Self> {
        Some(Self {
            taken: words.get(TAKEN)?,
            put: words.get(PUT)?,
            bytes: words.get(BYTES..BYTES + CAPACITY / 8)?,
        })
    }

    /// Returns how many bytes lie between two counts, or `None` where they cannot be true.
    fn between(taken: u64, put: u64) -> Option<usize> {
        usize::try_from(put.wrapping_sub(taken))
            .ok()
            .filter(|count| *count <= CAPACITY)
    }

    /// Returns the word with byte `number`, and how far up in it the byte is.
    fn place(&self, number: u64) -> Option<(&'a AtomicU64, u32)> {
        let place = number % CAPACITY as u64;
        let word = self.bytes.get(usize::try_from(place / 8).ok()?)?;
        Some((word, u32::try_from(place % 8).ok()? * 8))
    }
}

/// The side of a ring that puts.
#[derive(Debug)]
pub struct Producer<'a> {
    ring: Ring<'a>,
    put: u64,
}

impl<'a> Producer<'a> {
    /// Goes on where the page says that its predecessor was; where that cannot be, the ring is
    /// empty.
    fn new(ring: Ring<'a>) -> Self {
        let (taken, put) = (ring.taken.load(Acquire), ring.put.load(Acquire));
        let put = Ring::between(taken, put).map_or(taken, |_| put);
        ring.put.store(put, Release);
        Self { ring, put }
    }

    /// Returns how many bytes wait for the other side; a count that cannot be true is a full ring.
    #[must_use]
    pub fn waiting(&self) -> usize {
        Ring::between(self.ring.taken.load(Acquire), self.put).unwrap_or(CAPACITY)
    }

    /// Returns how many bytes fit now.
    #[must_use]
    pub fn room(&self) -> usize {
        CAPACITY - self.waiting()
    }

    /// Puts what fits of `bytes`; returns how many. The other side is to be signalled afterwards.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        for byte in bytes.iter().take(count) {
            self.put_byte(*byte);
        }
        if count > 0 {
            self.ring.put.store(self.put, Release);
        }
        count
    }

    /// Writes the next byte, without telling of it yet.
    fn put_byte(&mut self, byte: u8) {
        if let Some((word, shift)) = self.ring.place(self.put) {
            let others = word.load(Relaxed) & !(0xff << shift);
            word.store(others | u64::from(byte) << shift, Relaxed);
        }
        self.put = self.put.wrapping_add(1);
    }
}

/// The side of a ring that takes.
#[derive(Debug)]
pub struct Consumer<'a> {
    ring: Ring<'a>,
    taken: u64,
    notice: bool,
}

impl<'a> Consumer<'a> {
    /// Goes on where the page says that its predecessor was; where that cannot be, the ring is
    /// empty.
    fn new(ring: Ring<'a>) -> Self {
        let (taken, put) = (ring.taken.load(Acquire), ring.put.load(Acquire));
        let taken = Ring::between(taken, put).map_or(put, |_| taken);
        ring.taken.store(taken, Release);
        Self {
            ring,
            taken,
            notice: false,
        }
    }

    /// Returns how many bytes wait; a count that cannot be true is an empty ring.
    #[must_use]
    pub fn waiting(&self) -> usize {
        Ring::between(self.taken, self.ring.put.load(Acquire)).unwrap_or(0)
    }

    /// Takes bytes to `buffer`; returns how many.
    pub fn pop(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.peek(buffer);
        self.skip(count);
        count
    }

    /// Copies the bytes that come next to `buffer` without taking them; returns how many.
    pub fn peek(&self, buffer: &mut [u8]) -> usize {
        let count = self.waiting().min(buffer.len());
        for (index, place) in (0..).zip(buffer.iter_mut().take(count)) {
            *place = self.byte(self.taken.wrapping_add(index));
        }
        count
    }

    /// Takes up to `count` bytes without looking at them, as after [`Consumer::peek`].
    pub fn skip(&mut self, count: usize) {
        let waiting = self.waiting();
        let count = waiting.min(count);
        self.taken = self.taken.wrapping_add(count as u64);
        if count > 0 {
            self.ring.taken.store(self.taken, Release);
            self.notice |= waiting >= CAPACITY / 2;
        }
    }

    /// Returns whether the other side may wait for room that was made since the last call; then it
    /// is to be signalled.
    pub const fn take_notice(&mut self) -> bool {
        core::mem::replace(&mut self.notice, false)
    }

    /// Reads byte `number`.
    fn byte(&self, number: u64) -> u8 {
        self.ring.place(number).map_or(0, |(word, shift)| {
            let [low, ..] = (word.load(Relaxed) >> shift).to_le_bytes();
            low
        })
    }
}

/// The ends of one side of a page.
#[derive(Debug)]
pub struct Ends<'a> {
    /// Bytes to the other side.
    pub output: Producer<'a>,
    /// Bytes from the other side.
    pub input: Consumer<'a>,
}

impl<'a> Ends<'a> {
    /// Returns the console's ends of a page, or `None` where it is too short.
    #[must_use]
    pub fn of_console(page: &'a [AtomicU64]) -> Option<Self> {
        let (toward, from) = rings(page)?;
        Some(Self {
            output: Producer::new(from),
            input: Consumer::new(toward),
        })
    }

    /// Returns the ends of the console's peer, or `None` where the page is too short.
    #[must_use]
    pub fn of_peer(page: &'a [AtomicU64]) -> Option<Self> {
        let (toward, from) = rings(page)?;
        Some(Self {
            output: Producer::new(toward),
            input: Consumer::new(from),
        })
    }
}

/// Returns the rings of a page: toward the console, and from it.
fn rings(page: &[AtomicU64]) -> Option<(Ring<'_>, Ring<'_>)> {
    let (toward, from) = page.split_at_checked(RING_WORDS)?;
    Some((Ring::new(toward)?, Ring::new(from)?))
}
