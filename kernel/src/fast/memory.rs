//! Mapping and unmapping what takes few leaves.

use super::look::{has, key, read, says};
use super::{CALLS, Fast, GUEST_SPACE, MAPS, SPACE};
use crate::Visit;
use crate::arch::{Arch, Level, LiveEntry, Memory, SpaceTag, Stage, UserFrame};
use crate::cap::Slot;
use crate::cap::slot::Tag;
use crate::memory::{NEW_LEAF, stage_of};
use crate::object::space::{AddressSpace, GuestSpace, Space};
use crate::object::thread::Thread;
use abi::{ObjectKind, PAGE_SIZE, Rights};
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// The order of a frame of one page.
const ORDER: u8 = PAGE_SIZE.trailing_zeros() as u8;
/// What the tag of such a frame says that is mapped nowhere, beside its rights.
const PAGE: u64 = TAG
    .with_kind(ObjectKind::Frame as u8)
    .with_order(ORDER)
    .into_bits();
/// What of a tag is looked at for that.
const LOOKED_AT: u64 = OF_ANY_ORDER | TAG.with_order(0xff).into_bits();
/// And what is looked at of a tag of a frame of any order.
const OF_ANY_ORDER: u64 = TAG.with_kind(0xff).with_refusal(0xff).into_bits() | MAPPED;
/// What the tag of such a frame says.
const FRAME: u64 = TAG.with_kind(ObjectKind::Frame as u8).into_bits();
/// The bit of a tag that says that a frame is mapped.
const MAPPED: u64 = TAG.with_mapped(true).into_bits();
/// Where the level is in the name of a table: above every address's number.
pub(crate) const LEVEL_SHIFT: u32 = 60;
/// An empty tag.
const TAG: Tag = Tag::new();

/// The access that every mapping has.
const READ: u64 = Rights::new().with_read(true).into_bits() as u64;
/// What it can have beside that.
const MORE: u64 = Rights::new()
    .with_write(true)
    .with_execute(true)
    .into_bits() as u64;

/// Where a page of a space is mapped, or would be.
struct Leaf<'e> {
    live: LiveEntry<'e>,
    /// The entry beside it in its table.
    beside: &'e AtomicU64,
    /// What an entry without a page says.
    empty: u64,
}

impl<A: Arch> Visit<'_, A> {
    /// Makes the current thread's `Map`, or `Unmap`, of one page, where nobody else manages
    /// capabilities, or waits to.
    #[inline(always)]
    pub(super) fn fast_memory<'e>(
        &'e self,
        thread: &'e Thread<A>,
        maps: bool,
    ) -> Option<Fast<'e, A>> {
        if !self.lock.try_acquire() {
            return None;
        }
        let done = if self.lock.is_awaited() {
            None
        } else if maps {
            self.fast_map(thread)
        } else {
            self.fast_unmap(thread)
        };
        let waiting = self.lock.release();
        if waiting != 0 {
            self.pass_on(waiting);
        }
        done.map(|()| Self::done(thread, [0; 2]))
    }

    /// Maps a page that is mapped nowhere to where nothing is; where there is no table of leaves,
    /// one is made.
    #[inline(always)]
    fn fast_map(&self, thread: &Thread<A>) -> Option<()> {
        let bits = thread.frame.argument(3);
        let access = Rights::from_bits(bits as u16);
        let slot = self.table_slot(thread, thread.frame.argument(0))?;
        let (tag, need) = (slot.tag(), TAG.with_rights(access).into_bits());
        if bits & !MORE != READ {
            return None;
        }
        if !says(tag, LOOKED_AT | need, PAGE | need) {
            return self.fast_map_block(thread, slot, access);
        }
        let (object, space) = self.space_of(thread, thread.frame.argument(1))?;
        let address = thread.frame.argument(2);
        let leaf = self.leaf_at(space, address, true)?;
        if leaf.live.word.load(Ordering::Relaxed) != leaf.empty {
            return None;
        }
        slot.begin_mapping(tag, [object, address, space.identity.get()], PAGE_SIZE);
        let memory = Memory {
            physical: slot.object.get(),
            access,
            device: tag.device(),
        };
        self.write_leaf(space, &leaf.live, memory);
        self.tell_unaware(space);
        Some(())
    }

    /// Does what [`Visit::fast_map`] does with a frame of any order, where that is one step of the
    /// general path, in one table.
    #[inline(never)]
    fn fast_map_block(&self, thread: &Thread<A>, slot: &Slot, access: Rights) -> Option<()> {
        let (tag, need) = (slot.tag(), TAG.with_rights(access).into_bits());
        if !says(tag, OF_ANY_ORDER | need, FRAME | need) {
            return None;
        }
        let (object, space) = self.space_of(thread, thread.frame.argument(1))?;
        let address = thread.frame.argument(2);
        let (level, words) = self.block_at(space, address, tag.order())?;
        let stage = stage_of(space);
        let empty = self.arch.empty(stage, level);
        if !words.iter().all(|word| read(word) == empty) {
            return None;
        }
        slot.begin_mapping(tag, [object, address, space.identity.get()], slot.bytes());
        let (mut address, mut physical) = (address, slot.object.get());
        for word in words {
            let entry = LiveEntry {
                word,
                stage,
                level,
                address,
            };
            let memory = Memory {
                physical,
                access,
                device: tag.device(),
            };
            self.write_leaf(space, &entry, memory);
            address += 1 << level.shift;
            physical += 1 << level.shift;
        }
        self.tell_unaware(space);
        Some(())
    }

    /// Unmaps a page of a space that no other core ever used, out of a table with another page beside
    /// it: so the table stays.
    #[inline(always)]
    fn fast_unmap(&self, thread: &Thread<A>) -> Option<()> {
        let slot = self.table_slot(thread, thread.frame.argument(0))?;
        let tag = slot.tag();
        if !says(tag, LOOKED_AT, PAGE | MAPPED) {
            return None;
        }
        let space = self.space_of_mapped(slot)?;
        let leaf = self.leaf_at(space, slot.address.get(), false)?;
        if leaf.beside.load(Ordering::Relaxed) == leaf.empty {
            return None;
        }
        let (bits, cores) = (leaf.live.word.load(Ordering::Relaxed), space.cores.get());
        if cores & !(1 << self.entry.core()) != 0 {
            return None;
        }
        self.arch.replace(&leaf.live, leaf.empty);
        fence(Ordering::SeqCst);
        if space.cores.get() != cores {
            // A core loaded the space meanwhile and may have seen the page: a round is needed, and it
            // finds the page where it was. Who faulted looks again, for that core is `unaware` yet.
            self.arch.replace(&leaf.live, bits);
            return None;
        }
        slot.badge.set(0);
        slot.set_tag(tag.with_mapped(false));
        let LiveEntry { stage, address, .. } = leaf.live;
        match stage {
            Stage::User => self.arch.flush_page(SpaceTag(space.tag.get()), address),
            Stage::Guest => self.arch.flush_guests(),
        }
        Some(())
    }

    /// Returns the space of either kind that slot `index` of a thread's table names, with its address;
    /// the one that was used last is noted.
    #[inline(always)]
    fn space_of(&self, thread: &Thread<A>, index: u64) -> Option<(u64, &AddressSpace)> {
        let [owner, number, object, kind] = self.entry.note(MAPS)?;
        let [object, kind] = if read(owner) == key(thread) && read(number) == index {
            [read(object), read(kind)]
        } else {
            self.first_space_of(thread, index)?
        };
        let [space] = if kind == ObjectKind::Space as u64 {
            &self.entry.again::<Space>(object, CALLS)?.space
        } else {
            &self.entry.again::<GuestSpace>(object, CALLS)?.space
        };
        Some((object, space))
    }

    /// Returns the address and the kind of the space that slot `index` of a thread's table names, and
    /// notes them.
    #[inline(never)]
    fn first_space_of(&self, thread: &Thread<A>, index: u64) -> Option<[u64; 2]> {
        let slot = self.table_slot(thread, index)?;
        let tag = slot.tag();
        if !has(tag, SPACE) && !has(tag, GUEST_SPACE) {
            return None;
        }
        let (object, kind) = (slot.object.get(), u64::from(tag.kind()));
        self.entry
            .make_note(MAPS, [key(thread), index, object, kind]);
        Some([object, kind])
    }

    /// Returns where a page is mapped, or would be, in the table of leaves that was used last or in one
    /// that is looked for.
    #[inline(always)]
    fn leaf_at(&self, space: &AddressSpace, address: u64, makes: bool) -> Option<Leaf<'_>> {
        let stage = stage_of(space);
        let level = self.arch.levels(stage).last()?;
        let name = name_of(level, 0, address);
        let table = self.table_of(space, name, (address, ORDER, makes))?;
        let index = level.index(address);
        let pair = self.entry.table_words(table, index)?;
        let [word, beside] = [pair.get(index & 1)?, pair.get(index & 1 ^ 1)?];
        let is_aligned = address.is_multiple_of(PAGE_SIZE);
        is_aligned.then_some(Leaf {
            live: LiveEntry {
                word,
                stage,
                level,
                address,
            },
            beside,
            empty: self.arch.empty(stage, level),
        })
    }

    /// Returns the level and the entries for a block of an order: in one table, and not more than the
    /// general path would write in one step.
    #[inline(always)]
    fn block_at(
        &self,
        space: &AddressSpace,
        address: u64,
        order: u8,
    ) -> Option<(&'static Level, &[AtomicU64])> {
        let stage = stage_of(space);
        let depth = self.depth_at(stage, address, order).ok()?;
        let (level, behind) = self.arch.levels(stage).get(depth..)?.split_first()?;
        let (first, leaves) = (level.index(address) as u64, 1 << order >> level.shift);
        if leaves * NEW_LEAF > self.arch.step() || first + leaves > 1 << level.bits {
            return None;
        }
        let name = name_of(level, behind.len(), address);
        let table = self.table_of(space, name, (address, order, true))?;
        Some((level, self.entry.words(table + first * 8, leaves * 8)?))
    }

    /// Returns the table of this name, for leaves of a frame of an order: the one that was used last,
    /// or one that is looked for.
    #[inline(always)]
    fn table_of(&self, space: &AddressSpace, name: u64, of: (u64, u8, bool)) -> Option<u64> {
        let [noted, table] = &space.leaves;
        match table.get() {
            table if table != 0 && noted.get() == name => Some(table),
            _ => self.find_leaves(space, of),
        }
    }

    /// Returns the table for leaves of a frame of an order at an address, and notes it by its name;
    /// where there is none, but for one the table above it, it `makes` that.
    #[inline(never)]
    fn find_leaves(
        &self,
        space: &AddressSpace,
        (address, order, makes): (u64, u8, bool),
    ) -> Option<u64> {
        let stage = stage_of(space);
        let depth = self.depth_at(stage, address, order).ok()?;
        let (level, behind) = self.arch.levels(stage).get(depth..)?.split_first()?;
        let place = self.walk(space, address, depth)?;
        let table = if place.depth == depth {
            place.table
        } else if makes && place.depth + 1 == depth {
            self.make_table(space, &place).ok()?
        } else {
            return None;
        };
        let [noted, leaves] = &space.leaves;
        noted.set(name_of(level, behind.len(), address));
        leaves.set(table);
        Some(table)
    }
}

/// Returns which table of a level an address is in, of those of all levels: this one has so many
/// behind it.
#[inline(always)]
const fn name_of(level: &Level, behind: usize, address: u64) -> u64 {
    address >> level.shift >> level.bits | (behind as u64) << LEVEL_SHIFT
}
