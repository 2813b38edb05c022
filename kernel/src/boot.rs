//! The first process: made by the kernel out of the boot bundle, with a capability to everything.

use crate::Visit;
use crate::arch::{Arch, Level, Memory, SpaceTag, Stage, UserFrame};
use crate::cap::slot::{Cap, Role, Slot, SlotRef, Tag, nth};
use crate::object::budget::Budget;
use crate::object::execution::ExecutionRef;
use crate::object::interrupt::Interrupt;
use crate::object::space::{AddressSpace, Space};
use crate::object::thread::Thread;
use abi::boot::{self, BootInfo, UntypedRange};
use abi::bundle::{Bundle, BundleError, Segment};
use abi::call::ThreadRegister;
use abi::{ObjectKind, PAGE_SIZE, Rights};
use arena::{Handle, Object};
use core::mem::offset_of;
use core::sync::atomic::Ordering;

/// A range of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub base: u64,
    /// Bytes.
    pub length: u64,
}

/// What the machine has, for the first process.
pub struct BootPlan<'a> {
    /// Unused memory, page-aligned.
    pub memory: &'a [Range],
    /// Device memory for drivers, page-aligned.
    pub devices: &'a [Range],
    /// The pages of the boot bundle.
    pub bundle: Range,
    /// The boot bundle.
    pub bytes: &'a [u8],
    /// Ticks per second of the counter.
    pub ticks_per_second: u64,
    /// The machine's device tree, or an empty range.
    pub device_tree: Range,
    /// What the machine has, in its own words.
    pub features: [u64; 4],
    /// Random bits of the firmware, or zeros.
    pub seed: [u64; 4],
    /// The words of [`BootInfo::nodes`].
    pub nodes: &'a [u64],
}

/// Why there is no first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// The bundle is no good.
    Bundle(BundleError),
    /// There is too little memory.
    OutOfMemory,
    /// A segment of the first process lies where it must not.
    BadSegment,
}

impl BootError {
    /// Returns what to tell whoever started the machine.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Bundle(BundleError::Truncated) => "the boot bundle is truncated",
            Self::Bundle(BundleError::NoMagic) => "the initial ramdisk is no boot bundle",
            Self::Bundle(BundleError::BadChecksum) => "the boot bundle is corrupt",
            Self::Bundle(BundleError::Malformed) => "the boot bundle is malformed",
            Self::OutOfMemory => "there is too little memory",
            Self::BadSegment => "one of its segments lies where it must not",
        }
    }
}

/// Bytes of table memory of the first process.
const FUND: u64 = 512 * 1024;

/// Memory that is handed out from one end while the first process is made.
struct Bump {
    next: u64,
    end: u64,
}

impl Bump {
    /// Takes page-aligned memory.
    fn take(&mut self, bytes: u64, align: u64) -> Result<u64, BootError> {
        let base = self.next.next_multiple_of(align.max(PAGE_SIZE));
        let end = base.checked_add(bytes.next_multiple_of(PAGE_SIZE));
        let end = end
            .filter(|end| *end <= self.end)
            .ok_or(BootError::OutOfMemory)?;
        self.next = end;
        Ok(base)
    }
}

/// The objects of the first process.
struct First<'e, A: Arch> {
    table: u64,
    space: &'e AddressSpace,
    space_address: u64,
    thread: &'e Thread<A>,
    thread_address: u64,
    budget: u64,
    last: Option<SlotRef>,
}

impl<A: Arch> Visit<'_, A> {
    /// Makes the first process on the core that entered; it runs when that core next decides.
    ///
    /// # Errors
    ///
    /// [`BootError`].
    pub fn boot(&self, plan: &BootPlan<'_>) -> Result<(), BootError> {
        let bundle = Bundle::parse(plan.bytes).map_err(BootError::Bundle)?;
        let largest = plan.memory.iter().max_by_key(|range| range.length);
        let largest = largest.ok_or(BootError::OutOfMemory)?;
        let mut bump = Bump {
            next: largest.base,
            end: largest.base + largest.length,
        };
        self.make_interrupts(&mut bump)?;
        let mut first = self.make_first(&mut bump)?;
        for segment in bundle.segments() {
            self.load_segment(&mut bump, first.space, (&segment, plan.bytes))?;
        }
        let rights = Rights::new().with_read(true);
        let mapping = (boot::BUNDLE, plan.bundle.base, plan.bundle.length);
        self.map_boot(first.space, mapping, rights)?;
        let writable = rights.with_write(true);
        let mut add = |place| self.map_new(&mut bump, first.space, place);
        let bottom = boot::STACK_TOP - boot::STACK_SIZE;
        add((bottom, boot::STACK_SIZE, writable))?;
        let page = add((boot::MESSAGE_PAGE, PAGE_SIZE, writable))?;
        let info = add((boot::BOOT_INFO, size_of::<BootInfo>() as u64, rights))?;
        self.give_basics(&mut first, page);
        self.give_memory(&mut first, plan, (largest, &bump, info));
        self.start_first(&first, &bundle);
        Ok(())
    }

    /// Makes the objects of the interrupt lines.
    fn make_interrupts(&self, bump: &mut Bump) -> Result<(), BootError> {
        let bytes = u64::from(A::INTERRUPTS) * Interrupt::STRIDE;
        let base = self.make_pages::<Interrupt>(bump, bytes)?;
        self.interrupts.set(base);
        for line in 0..A::INTERRUPTS {
            if let Some(interrupt) = self.interrupt_line(line) {
                interrupt.line.set(u64::from(line));
            }
        }
        Ok(())
    }

    /// Takes zeroed memory and turns it into pages of `T`.
    fn make_pages<T: Object>(&self, bump: &mut Bump, bytes: u64) -> Result<u64, BootError> {
        let length = bytes.next_multiple_of(PAGE_SIZE);
        let base = bump.take(length, T::STRIDE)?;
        self.zero_boot(base, length)?;
        self.entry
            .carve::<T>(base, length)
            .map_err(|_| BootError::OutOfMemory)?;
        Ok(base)
    }

    /// Zeroes memory that is not in use yet.
    fn zero_boot(&self, base: u64, length: u64) -> Result<(), BootError> {
        self.entry
            .zero(base, length.next_multiple_of(PAGE_SIZE))
            .map_err(|_| BootError::OutOfMemory)
    }

    /// Makes table, space and thread of the first process.
    fn make_first(&self, bump: &mut Bump) -> Result<First<'_, A>, BootError> {
        let slots = boot::SLOTS as u64 * Slot::STRIDE;
        let table = self.make_pages::<Slot>(bump, slots)?;
        let space = self.make_pages::<Space>(bump, Space::STRIDE)?;
        let thread = self.make_pages::<Thread<A>>(bump, Thread::<A>::STRIDE)?;
        let fund = bump.take(FUND, FUND)?;
        self.entry
            .carve_tables(fund, FUND)
            .map_err(|_| BootError::OutOfMemory)?;
        let budget = self.make_pages::<Budget>(bump, PAGE_SIZE)?;
        let space_address = space;
        let space = Handle::<Space>::from_address(space).ok_or(BootError::OutOfMemory)?;
        let [space] = &self.entry.get(space).space;
        space.tag.set(self.take_tag().map_or(1, |tag| tag.0));
        self.identify_anew(space);
        space.fund_next.set(fund);
        space.fund_end.set(fund + FUND);
        self.make_root(space).ok_or(BootError::OutOfMemory)?;
        let thread_address = thread;
        let thread = Handle::<Thread<A>>::from_address(thread).ok_or(BootError::OutOfMemory)?;
        let thread = self.entry.get(thread);
        thread.execution().core.set(self.entry.core() as u64);
        thread.execution().priority.set(boot::PRIORITY);
        Ok(First {
            table,
            space,
            space_address,
            thread,
            thread_address,
            budget,
            last: None,
        })
    }

    /// Loads one segment of the first process.
    fn load_segment(
        &self,
        bump: &mut Bump,
        space: &AddressSpace,
        (segment, bytes): (&Segment, &[u8]),
    ) -> Result<(), BootError> {
        let length = segment.memory_size.next_multiple_of(PAGE_SIZE);
        if segment
            .address
            .checked_add(length)
            .is_none_or(|end| end > A::USER_END)
        {
            return Err(BootError::BadSegment);
        }
        let access = Rights::new()
            .with_read(segment.flags & abi::bundle::READ != 0)
            .with_write(segment.flags & abi::bundle::WRITE != 0)
            .with_execute(segment.flags & abi::bundle::EXECUTE != 0);
        let memory = self.map_new(bump, space, (segment.address, length, access))?;
        let start = usize::try_from(segment.offset).map_err(|_| BootError::BadSegment)?;
        let size = usize::try_from(segment.file_size).map_err(|_| BootError::BadSegment)?;
        let source = bytes.get(start..start + size);
        let source = source.ok_or(BootError::BadSegment)?;
        let words = self.entry.words(memory, length);
        let words = words.ok_or(BootError::OutOfMemory)?;
        for (word, chunk) in words.iter().zip(source.chunks(8)) {
            let mut padded = [0; 8];
            for (to, from) in padded.iter_mut().zip(chunk) {
                *to = *from;
            }
            word.store(u64::from_ne_bytes(padded), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Takes zeroed memory and maps it into the first process; returns its physical address.
    fn map_new(
        &self,
        bump: &mut Bump,
        space: &AddressSpace,
        (address, bytes, access): (u64, u64, Rights),
    ) -> Result<u64, BootError> {
        let length = bytes.next_multiple_of(PAGE_SIZE);
        let memory = bump.take(length, PAGE_SIZE)?;
        self.zero_boot(memory, length)?;
        self.map_boot(space, (address, memory, length), access)?;
        Ok(memory)
    }

    /// Maps memory into the first process, with the largest leaves that alignment allows.
    fn map_boot(
        &self,
        space: &AddressSpace,
        (address, physical, length): (u64, u64, u64),
        access: Rights,
    ) -> Result<(), BootError> {
        let mut done = 0;
        while done < length {
            let (at, from) = (address + done, physical + done);
            let fits = |level: &Level| {
                let bytes = 1_u64 << level.shift;
                level.leaf && bytes <= length - done && (at | from).is_multiple_of(bytes)
            };
            let depth = self.arch.levels(Stage::User).iter().position(fits);
            let depth = depth.ok_or(BootError::BadSegment)?;
            let place = self.walk(space, at, depth);
            let place = place.ok_or(BootError::OutOfMemory)?;
            if place.depth != depth {
                let made = self.make_table(space, &place);
                made.map_err(|error| match error {
                    abi::Error::NeedsMemory => BootError::OutOfMemory,
                    _ => BootError::BadSegment,
                })?;
                continue;
            }
            let memory = Memory {
                physical: from,
                access,
                device: false,
            };
            self.arch
                .replace(&place, self.arch.leaf(Stage::User, place.level, memory));
            self.arch.flush_page(SpaceTag(space.tag.get()), at);
            done += place.bytes();
        }
        Ok(())
    }

    /// Puts an original capability into a slot of the first process's table.
    fn give(&self, first: &mut First<'_, A>, index: u32, cap: (Tag, u64)) {
        let Some(slot) = nth(first.table, u64::from(index)) else {
            return;
        };
        let (tag, object) = cap;
        let cap = Cap {
            tag: tag.with_rights(Rights::ALL).with_original(true),
            object,
            badge: 0,
        };
        match first.last {
            Some(last) => self.insert_behind(last, slot, &cap),
            None => self.slot(slot).fill(&cap),
        }
        first.last = Some(slot);
    }

    /// Gives the first process the capabilities of its own parts and of the machine.
    fn give_basics(&self, first: &mut First<'_, A>, page: u64) {
        let kind = |kind: ObjectKind| Tag::new().with_kind(kind as u8);
        let order = u8::try_from(boot::SLOTS.ilog2()).unwrap_or(0);
        let table = kind(ObjectKind::CapTable).with_order(order);
        let (table_address, space, thread) =
            (first.table, first.space_address, first.thread_address);
        let frame = kind(ObjectKind::Frame).with_order(12);
        for (index, tag, object) in [
            (boot::SLOT_CAP_TABLE, table, table_address),
            (boot::SLOT_SPACE, kind(ObjectKind::Space), space),
            (boot::SLOT_THREAD, kind(ObjectKind::Thread), thread),
            (boot::SLOT_BUDGET, kind(ObjectKind::Budget), first.budget),
            (
                boot::SLOT_INTERRUPT_CONTROL,
                kind(ObjectKind::InterruptControl),
                PAGE_SIZE,
            ),
            (boot::SLOT_FIRMWARE, kind(ObjectKind::Firmware), PAGE_SIZE),
            (boot::SLOT_IO_PORTS, kind(ObjectKind::IoPorts), PAGE_SIZE),
            (boot::SLOT_MESSAGE_PAGE, frame, page),
        ] {
            self.give(first, index, (tag, object));
        }
    }

    /// Gives the first process all memory that is left, and says where it is.
    fn give_memory(
        &self,
        first: &mut First<'_, A>,
        plan: &BootPlan<'_>,
        (largest, bump, info): (&Range, &Bump, u64),
    ) {
        let mut given = Given { info, count: 0 };
        // Should there be too many blocks, no file may be cut: memory can be done without.
        self.give_blocks(first, &mut given, (plan.bundle, boot::BUNDLE_MEMORY));
        let rest = Range {
            base: bump.next,
            length: bump.end - bump.next,
        };
        self.give_blocks(first, &mut given, (rest, boot::ORDINARY));
        for range in plan.memory.iter().filter(|range| *range != largest) {
            self.give_blocks(first, &mut given, (*range, boot::ORDINARY));
        }
        for range in plan.devices {
            self.give_blocks(first, &mut given, (*range, boot::DEVICE));
        }
        let words = [
            boot::MAGIC,
            // Where one did not come up, those behind it are not used: numbers have no gaps.
            u64::from(self.online().trailing_ones()),
            plan.ticks_per_second,
            plan.bytes.len() as u64,
            given.count,
            plan.device_tree.base,
            plan.device_tree.length,
        ];
        self.write_info(info, 0, &words);
        self.write_info(info, offset_of!(BootInfo, features) / 8, &plan.features);
        self.write_info(info, offset_of!(BootInfo, seed) / 8, &plan.seed);
        self.write_info(info, offset_of!(BootInfo, nodes) / 8, plan.nodes);
    }

    /// Writes words of the boot information.
    fn write_info(&self, info: u64, first: usize, values: &[u64]) {
        let length = (size_of::<BootInfo>() as u64).next_multiple_of(PAGE_SIZE);
        let words = self.entry.words(info, length).unwrap_or(&[]);
        for (word, value) in words.iter().skip(first).zip(values) {
            word.store(*value, Ordering::Relaxed);
        }
    }

    /// Gives the first process a range as untyped blocks, each as large as its place allows.
    fn give_blocks(
        &self,
        first: &mut First<'_, A>,
        given: &mut Given,
        (range, kind): (Range, u64),
    ) {
        let (mut base, end) = (range.base, range.base + range.length);
        while base < end && given.count < boot::MAX_UNTYPED as u64 {
            let align = base.trailing_zeros().min(u64::BITS - 1);
            let order = align.min((end - base).ilog2());
            let index = boot::SLOT_FIRST_UNTYPED + u32::try_from(given.count).unwrap_or(0);
            let tag = Tag::new()
                .with_kind(ObjectKind::Untyped as u8)
                .with_order(u8::try_from(order).unwrap_or(0))
                .with_level(1)
                .with_device(kind == boot::DEVICE);
            self.give(first, index, (tag, base));
            let at = offset_of!(BootInfo, untyped) / 8;
            let row = size_of::<UntypedRange>() / 8;
            let at = at + usize::try_from(given.count).unwrap_or(0) * row;
            self.write_info(given.info, at, &[base, 1 << order, kind]);
            given.count += 1;
            base += 1 << order;
        }
    }

    /// Binds the first thread's parts and lets it run.
    fn start_first(&self, first: &First<'_, A>, bundle: &Bundle<'_>) {
        let Some(item) = ExecutionRef::from_address(first.thread_address) else {
            return;
        };
        let execution = first.thread.execution();
        let place = first.thread_address + offset_of!(Thread<A>, slots) as u64;
        for (index, role) in [
            (boot::SLOT_SPACE, Role::Space),
            (boot::SLOT_CAP_TABLE, Role::CapTable),
            (boot::SLOT_MESSAGE_PAGE, Role::MessagePage),
            (boot::SLOT_BUDGET, Role::Budget),
        ] {
            let from = nth(first.table, u64::from(index));
            if let (Some(from), Some(to)) = (from, nth(place, role as u64 - 1)) {
                let _ = self.bind(from, to, role);
            }
        }
        if let Some(budget) = execution.budget.get() {
            let budget = self.entry.get(budget);
            budget.core.set(self.entry.core() as u64);
            budget.amount.set(1);
            budget.period.set(1);
        }
        let frame = &first.thread.frame;
        frame.set_register(
            ThreadRegister::ProgramCounter.number(),
            bundle.entry_point(),
        );
        frame.set_register(ThreadRegister::StackPointer.number(), boot::STACK_TOP);
        self.make_ready(item);
    }
}

/// How many untyped capabilities were given, and where that is written down.
struct Given {
    info: u64,
    count: u64,
}
