//! Retype: making objects out of untyped memory.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::cap::right::CONTROL;
use crate::cap::slot::{Cap, Slot, SlotRef, Tag, nth};
use crate::cap::{derivation, table};
use crate::object::budget::Budget;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{ExecutionRef, flag};
use crate::object::notification::Notification;
use crate::object::reply::Reply;
use crate::object::space::{GuestSpace, Space};
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use abi::{Error, ObjectKind, PAGE_SHIFT, PAGE_SIZE, SlotAddress};
use arena::{Entry, KindError, Object};

/// The most objects of one call.
const MAX_COUNT: u64 = 256;
/// The most bytes that one step zeroes.
const ZERO_STEP: u64 = 2 * PAGE_SIZE;
/// Bytes that an instruction zeroes, about.
const ZEROED: u64 = 6;
/// Instructions, about, that a look at a slot costs.
const LOOK: u64 = 25;
/// Instructions, about, that making an object costs.
const MAKE: u64 = 400;
/// Largest order of a frame.
const MAX_ORDER: u64 = 38;

/// How objects of a type lie in memory.
struct Shape {
    kind: u8,
    stride: u64,
    carve: fn(&Entry<'_>, u64, u64) -> Result<(), KindError>,
}

impl Shape {
    /// Returns the shape of objects of type `T`.
    fn of<T: Object>() -> Option<Self> {
        Some(Self {
            kind: T::KIND,
            stride: T::STRIDE,
            carve: |entry, base, length| entry.carve::<T>(base, length).map(drop),
        })
    }

    /// Returns the shape of the kernel's objects of a kind; `None` for memory, which has none.
    fn named<A: Arch>(kind: ObjectKind) -> Option<Self> {
        match kind {
            ObjectKind::CapTable => Self::of::<Slot>(),
            ObjectKind::Space => Self::of::<Space>(),
            ObjectKind::GuestSpace => Self::of::<GuestSpace>(),
            ObjectKind::Thread => Self::of::<Thread<A>>(),
            ObjectKind::Vcpu => Self::of::<Vcpu<A>>(),
            ObjectKind::Budget => Self::of::<Budget>(),
            ObjectKind::Endpoint => Self::of::<Endpoint>(),
            ObjectKind::Reply => Self::of::<Reply>(),
            ObjectKind::Notification => Self::of::<Notification>(),
            _ => None,
        }
    }
}

/// What a retype is asked to make.
struct Plan {
    kind: ObjectKind,
    /// Of kernel objects, which have to start as zeros.
    shape: Option<Shape>,
    /// Bytes of each object.
    bytes: u64,
    /// `Tag::order` of each.
    order: u8,
    /// The core that each is bound to.
    core: u64,
    count: u64,
    /// Where in the untyped memory they begin.
    offset: u64,
    /// `Tag::level` of each.
    level: u8,
}

impl Plan {
    /// Returns where in the untyped memory the objects end, in whole pages.
    const fn end(&self) -> u64 {
        (self.offset + self.bytes * self.count).next_multiple_of(PAGE_SIZE)
    }
}

impl<A: Arch> Visit<'_, A> {
    /// Makes objects out of untyped memory. What takes long is done in steps: the bits above argument
    /// 3 tell how many of the destination slots were looked at, and arguments 3 and 4 how many objects
    /// are missing and where they go. That is only what is done next: all of it is checked each time.
    pub(crate) fn retype(&self, thread: &Thread<A>) -> Result<Outcome, Error> {
        let from = self.slot_at(thread, thread.frame.argument(0))?;
        let untyped = self.slot(from);
        let tag = table::check(untyped, ObjectKind::Untyped, CONTROL)?;
        let mut plan = self.plan(thread, untyped, tag)?;
        if tag.depth() >= derivation::MAX_DEPTH {
            return Err(Error::TreeTooDeep);
        }
        let (destination, table_level) = self.destination(thread, plan.count)?;
        if matches!(plan.kind, ObjectKind::CapTable | ObjectKind::Untyped) {
            plan.level = table::level_in(tag.level(), table_level)?;
        }
        let looked = self.look_at(destination, thread.frame.argument(3) >> 32, plan.count)?;
        if looked < plan.count || plan.shape.is_some() && !self.zero_some(untyped, &plan)? {
            thread.frame.set_result(3, plan.count | looked << 32);
            return Ok(Outcome::Waiting);
        }
        untyped.set_tag(tag.with_objects(tag.objects() || plan.shape.is_some()));
        let (mut made, mut offset, mut is_enough) = (0, plan.offset, false);
        while made < plan.count && !is_enough {
            let slot = nth(destination, made).ok_or(Error::NoCapability)?;
            self.make_one(from, (slot, untyped.object.get() + offset), &plan)?;
            (made, offset) = (made + 1, offset + plan.bytes);
            untyped.badge.set(offset);
            is_enough = self.spend(MAKE);
        }
        if made == plan.count {
            untyped.badge.set(plan.end());
            return Ok(Outcome::ok());
        }
        let left = plan.count - made;
        thread.frame.set_result(3, left | left << 32);
        thread.frame.set_result(4, thread.frame.argument(4) + made);
        Ok(Outcome::Waiting)
    }

    /// Works out what a retype is asked to make, and whether it fits.
    fn plan(&self, thread: &Thread<A>, untyped: &Slot, tag: Tag) -> Result<Plan, Error> {
        let [kind, size, count] = [1, 2, 3].map(|index| thread.frame.argument(index));
        let (looked, count) = (count >> 32, count & u64::from(u32::MAX));
        let kind = ObjectKind::from_number(kind).filter(|kind| kind.is_retyped());
        let kind = kind.ok_or(Error::BadArgument)?;
        let shape = Shape::named::<A>(kind);
        let is_small = (1..=MAX_COUNT).contains(&count) && looked <= count;
        if !is_small || tag.device() && shape.is_some() {
            return Err(Error::BadArgument);
        }
        if matches!(kind, ObjectKind::Vcpu | ObjectKind::GuestSpace) && !self.arch.has_guests() {
            return Err(Error::Unsupported);
        }
        if kind == ObjectKind::Space && self.tags_left() < count {
            return Err(Error::OutOfMemory);
        }
        let (bytes, order, core) = self.measure(kind, size, shape.as_ref())?;
        let used = untyped.object.get() + untyped.badge.get();
        // An earlier step, or somebody else's, left room for more of them in its last page.
        let align = match &shape {
            Some(shape) if shape.kind == self.arena().kind(used) => 1,
            Some(_) => PAGE_SIZE,
            None => bytes,
        };
        let offset = used.next_multiple_of(align) - untyped.object.get();
        let plan = Plan {
            kind,
            shape,
            bytes,
            order,
            core,
            count,
            offset,
            level: 0,
        };
        let end = bytes.checked_mul(count);
        let end = end.and_then(|bytes| offset.checked_add(bytes));
        if end.is_none_or(|end| end > untyped.bytes()) {
            return Err(Error::OutOfMemory);
        }
        Ok(plan)
    }

    /// Returns bytes, order and core of an object of `kind` with this size argument.
    fn measure(
        &self,
        kind: ObjectKind,
        size: u64,
        shape: Option<&Shape>,
    ) -> Result<(u64, u8, u64), Error> {
        let is_order = (u64::from(PAGE_SHIFT)..=MAX_ORDER).contains(&size);
        let is_length = size.is_power_of_two() && (64..=65536).contains(&size);
        let small = |number: u64| u8::try_from(number).unwrap_or(0);
        match (kind, shape) {
            (_, None) if is_order => Ok((1 << size, small(size), 0)),
            (ObjectKind::CapTable, Some(shape)) if is_length => {
                Ok((size * shape.stride, small(size.ilog2().into()), 0))
            }
            (ObjectKind::CapTable, _) | (_, None) => Err(Error::BadArgument),
            (ObjectKind::Space | ObjectKind::GuestSpace, Some(shape)) => Ok((shape.stride, 0, 0)),
            _ if size >= 64 || self.online() >> size & 1 == 0 => Err(Error::OutOfRange),
            (_, Some(shape)) => Ok((shape.stride, 0, size)),
        }
    }

    /// Returns the address of the first destination slot and the level of its table, which has all of
    /// the slots.
    fn destination(&self, thread: &Thread<A>, count: u64) -> Result<(u64, u8), Error> {
        let first = SlotAddress::from_bits(thread.frame.argument(4));
        let behind = u32::try_from(count - 1).unwrap_or(u32::MAX);
        let index = first.index.saturating_add(behind);
        let place = |address: SlotAddress| self.place_at(thread, address.into_bits());
        let last = place(SlotAddress { index, ..first });
        let found = place(first).and_then(|first| last.map(|_| first));
        match found {
            Ok((first, level)) => Ok((first.address(), level)),
            Err(Error::NoCapability) => Err(Error::OutOfRange),
            Err(error) => Err(error),
        }
    }

    /// Looks whether destination slots are empty, where `looked` of them were looked at; returns how
    /// many are.
    fn look_at(&self, destination: u64, looked: u64, count: u64) -> Result<u64, Error> {
        for index in looked..count {
            let slot = nth(destination, index).ok_or(Error::OutOfRange)?;
            if !self.slot(slot).tag().is_empty() {
                return Err(Error::SlotOccupied);
            }
            if self.spend(LOOK) {
                return Ok(index + 1);
            }
        }
        Ok(count)
    }

    /// Zeroes a step of the memory that kernel objects will lie in; `true` when all of it is zero, and
    /// the step is not over.
    fn zero_some(&self, untyped: &Slot, plan: &Plan) -> Result<bool, Error> {
        let zero = untyped.space.get().max(plan.offset);
        let step = plan.end().saturating_sub(zero).min(ZERO_STEP);
        if step == 0 {
            return Ok(true);
        }
        let zeroed = self.entry.zero(untyped.object.get() + zero, step);
        zeroed.map_err(|_| Error::Revoked)?;
        untyped.space.set(zero + step);
        Ok(!self.spend(step / ZEROED) && zero + step == plan.end())
    }

    /// Brings one new object into its first state and makes the capability to it.
    fn make_one(
        &self,
        parent: SlotRef,
        (slot, object): (SlotRef, u64),
        plan: &Plan,
    ) -> Result<(), Error> {
        if !self.slot(slot).tag().is_empty() {
            return Err(Error::SlotOccupied);
        }
        if let Some(shape) = &plan.shape
            && object.is_multiple_of(PAGE_SIZE)
        {
            let length = plan.bytes.next_multiple_of(PAGE_SIZE);
            (shape.carve)(&self.entry, object, length).map_err(|_| Error::Revoked)?;
        }
        let item = ExecutionRef::from_address(object).ok_or(Error::Revoked)?;
        self.initialise(item, plan)?;
        let device = self.slot(parent).tag().device();
        let mut cap = Cap::original(plan.kind, object);
        cap.tag = cap.tag.with_order(plan.order).with_level(plan.level);
        cap.tag.set_device(device);
        self.insert_child(parent, slot, &cap)
    }

    /// Brings one new object into its first state; all of it is zero.
    fn initialise(&self, item: ExecutionRef, plan: &Plan) -> Result<(), Error> {
        let entry = &self.entry;
        match plan.kind {
            ObjectKind::Thread => self.execution(item).core.set(plan.core),
            ObjectKind::Vcpu => {
                let execution = self.execution(item);
                execution.core.set(plan.core);
                execution.raise(flag::VCPU);
                self.arch.guest_reset(&self.vcpu(item).guest);
            }
            ObjectKind::Space => {
                let space = self.space(item.cast());
                space.tag.set(self.take_tag().ok_or(Error::OutOfMemory)?.0);
                self.identify_anew(space);
            }
            ObjectKind::GuestSpace => {
                let space = self.space(item.cast());
                space.is_guest.set(1);
                self.identify_anew(space);
            }
            ObjectKind::Budget => entry.get::<Budget>(item.cast()).core.set(plan.core),
            ObjectKind::Endpoint => entry.get::<Endpoint>(item.cast()).core.set(plan.core),
            ObjectKind::Reply => entry.get::<Reply>(item.cast()).core.set(plan.core),
            ObjectKind::Notification => {
                entry.get::<Notification>(item.cast()).core.set(plan.core);
            }
            _ => {}
        }
        Ok(())
    }
}
