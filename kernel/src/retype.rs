//! Retype: making objects out of untyped memory.

use crate::Visit;
use crate::arch::{Arch, UserFrame};
use crate::call::Outcome;
use crate::cap::right::CONTROL;
use crate::cap::slot::{Cap, Role, Slot, SlotRef, Tag};
use crate::cap::{derivation, table};
use crate::object::budget::Budget;
use crate::object::endpoint::Endpoint;
use crate::object::execution::{ExecutionRef, State, flag};
use crate::object::notification::Notification;
use crate::object::reply::Reply;
use crate::object::space::{GuestSpace, Space};
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use abi::{Error, ObjectKind, PAGE_SHIFT, PAGE_SIZE, Rights, SlotAddress};
use arena::{KindError, Object};

/// The most objects of one call.
const MAX_COUNT: u64 = 256;
/// Bytes that are zeroed before others get a chance to run.
const ZERO_STEP: u64 = 4 * PAGE_SIZE;
/// Largest order of a frame.
const MAX_ORDER: u64 = 38;

/// What a retype is asked to make.
struct Plan {
    kind: ObjectKind,
    /// Order of each object, in memory.
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
    /// Returns the bytes of all objects, in whole pages.
    const fn total(&self) -> u64 {
        (self.bytes * self.count).next_multiple_of(PAGE_SIZE)
    }

    /// Returns whether the objects are kernel objects, which have to start as zeros.
    const fn is_kernel_object(&self) -> bool {
        !matches!(self.kind, ObjectKind::Frame | ObjectKind::Untyped)
    }
}

impl<A: Arch> Visit<'_, A> {
    /// Makes objects out of untyped memory.
    pub(crate) fn retype(
        &self,
        caller: ExecutionRef,
        thread: &Thread<A>,
    ) -> Result<Outcome, Error> {
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
        if plan.is_kernel_object() && !self.zero_some(untyped, &plan)? {
            // The call is made again, and goes on where it stopped.
            debug_assert!(self.execution(caller).state() == State::Ready);
            return Ok(Outcome::Waiting);
        }
        let base = untyped.object.get() + plan.offset;
        self.carve(base, &plan).map_err(|_| Error::Revoked)?;
        untyped.badge.set(plan.offset + plan.total());
        untyped.set_tag(tag.with_objects(tag.objects() || plan.is_kernel_object()));
        for index in 0..plan.count {
            let slot = destination + index * size_of::<Slot>() as u64;
            self.make_one(from, (slot, base + index * plan.bytes), &plan)?;
        }
        Ok(Outcome::ok())
    }

    /// Works out what a retype is asked to make, and whether it fits.
    fn plan(&self, thread: &Thread<A>, untyped: &Slot, tag: Tag) -> Result<Plan, Error> {
        let [kind, size, count] = [1, 2, 3].map(|index| thread.frame.argument(index));
        let kind = ObjectKind::from_number(kind).filter(|kind| kind.is_retyped());
        let kind = kind.ok_or(Error::BadArgument)?;
        let is_memory = matches!(kind, ObjectKind::Frame | ObjectKind::Untyped);
        if count == 0 || count > MAX_COUNT || (tag.device() && !is_memory) {
            return Err(Error::BadArgument);
        }
        if matches!(kind, ObjectKind::Vcpu | ObjectKind::GuestSpace) && !self.arch.has_guests() {
            return Err(Error::Unsupported);
        }
        if kind == ObjectKind::Space && self.tags_left() < count {
            return Err(Error::OutOfMemory);
        }
        let (bytes, order, core) = self.shape(kind, size)?;
        let align = if is_memory {
            bytes
        } else {
            PAGE_SIZE.max(bytes.min(PAGE_SIZE))
        };
        let used = untyped.object.get() + untyped.badge.get();
        let offset = used.next_multiple_of(align) - untyped.object.get();
        let plan = Plan {
            kind,
            bytes,
            order,
            core,
            count,
            offset,
            level: 0,
        };
        let end = bytes
            .checked_mul(count)
            .and_then(|bytes| offset.checked_add(bytes));
        if end.is_none_or(|end| end > untyped.bytes()) {
            return Err(Error::OutOfMemory);
        }
        Ok(plan)
    }

    /// Returns bytes, order and core of an object of `kind` with this size argument.
    fn shape(&self, kind: ObjectKind, size: u64) -> Result<(u64, u8, u64), Error> {
        let bytes = match kind {
            ObjectKind::Frame | ObjectKind::Untyped => {
                if !(u64::from(PAGE_SHIFT)..=MAX_ORDER).contains(&size) {
                    return Err(Error::BadArgument);
                }
                return Ok((1 << size, u8::try_from(size).unwrap_or(0), 0));
            }
            ObjectKind::CapTable => {
                if !size.is_power_of_two() || !(64..=65536).contains(&size) {
                    return Err(Error::BadArgument);
                }
                let order = u8::try_from(size.ilog2()).unwrap_or(0);
                return Ok((size * Slot::STRIDE, order, 0));
            }
            ObjectKind::Space => return Ok((Space::STRIDE, 0, 0)),
            ObjectKind::GuestSpace => return Ok((GuestSpace::STRIDE, 0, 0)),
            ObjectKind::Thread => Thread::<A>::STRIDE,
            ObjectKind::Vcpu => Vcpu::<A>::STRIDE,
            ObjectKind::Budget => Budget::STRIDE,
            ObjectKind::Endpoint => Endpoint::STRIDE,
            ObjectKind::Reply => Reply::STRIDE,
            ObjectKind::Notification => Notification::STRIDE,
            _ => return Err(Error::BadArgument),
        };
        if size >= 64 || self.online() >> size & 1 == 0 {
            return Err(Error::OutOfRange);
        }
        Ok((bytes, 0, size))
    }

    /// Returns the address of the first destination slot and the level of its table; all of the
    /// slots exist and are empty.
    fn destination(&self, thread: &Thread<A>, count: u64) -> Result<(u64, u8), Error> {
        let address = SlotAddress::from_bits(thread.frame.argument(4));
        for index in 0..count {
            let index = u32::try_from(index)
                .ok()
                .and_then(|index| address.index.checked_add(index));
            let at = SlotAddress {
                index: index.ok_or(Error::OutOfRange)?,
                ..address
            };
            let slot = self
                .slot_at(thread, at.into_bits())
                .map_err(|error| match error {
                    Error::NoCapability => Error::OutOfRange,
                    other => other,
                })?;
            if !self.slot(slot).tag().is_empty() {
                return Err(Error::SlotOccupied);
            }
        }
        let (first, level) = self.place_at(thread, address.into_bits())?;
        Ok((first.address(), level))
    }

    /// Zeroes a step of the memory that kernel objects will lie in; `true` when all of it is zero.
    fn zero_some(&self, untyped: &Slot, plan: &Plan) -> Result<bool, Error> {
        let end = plan.offset + plan.total();
        let zero = untyped.space.get().max(plan.offset);
        if zero >= end {
            return Ok(true);
        }
        let step = (end - zero).min(ZERO_STEP);
        self.entry
            .zero(untyped.object.get() + zero, step)
            .map_err(|_| Error::Revoked)?;
        untyped.space.set(zero + step);
        Ok(zero + step >= end)
    }

    /// Turns memory into pages of the right kind.
    fn carve(&self, base: u64, plan: &Plan) -> Result<(), KindError> {
        let total = plan.total();
        match plan.kind {
            ObjectKind::CapTable => self.entry.carve::<Slot>(base, total).map(drop),
            ObjectKind::Space => self.entry.carve::<Space>(base, total).map(drop),
            ObjectKind::GuestSpace => self.entry.carve::<GuestSpace>(base, total).map(drop),
            ObjectKind::Thread => self.entry.carve::<Thread<A>>(base, total).map(drop),
            ObjectKind::Vcpu => self.entry.carve::<Vcpu<A>>(base, total).map(drop),
            ObjectKind::Budget => self.entry.carve::<Budget>(base, total).map(drop),
            ObjectKind::Endpoint => self.entry.carve::<Endpoint>(base, total).map(drop),
            ObjectKind::Reply => self.entry.carve::<Reply>(base, total).map(drop),
            ObjectKind::Notification => self.entry.carve::<Notification>(base, total).map(drop),
            _ => Ok(()),
        }
    }

    /// Brings one new object into its first state and makes the capability to it.
    fn make_one(
        &self,
        parent: SlotRef,
        (slot, object): (u64, u64),
        plan: &Plan,
    ) -> Result<(), Error> {
        self.initialise(object, plan)?;
        let device = self.slot(parent).tag().device();
        let tag = Tag::new()
            .with_kind(plan.kind as u8)
            .with_rights(Rights::ALL)
            .with_order(plan.order)
            .with_original(true)
            .with_device(device)
            .with_level(plan.level)
            .with_role_number(Role::Table as u8);
        let slot = SlotRef::from_address(slot).ok_or(Error::NoCapability)?;
        self.insert_child(
            parent,
            slot,
            &Cap {
                tag,
                object,
                badge: 0,
            },
        )
    }

    /// Brings one new object into its first state; all of it is zero.
    fn initialise(&self, object: u64, plan: &Plan) -> Result<(), Error> {
        match plan.kind {
            ObjectKind::Thread | ObjectKind::Vcpu => {
                let item = ExecutionRef::from_address(object).ok_or(Error::Revoked)?;
                let execution = self.execution(item);
                execution.core.set(plan.core);
                if plan.kind == ObjectKind::Vcpu {
                    execution.raise(flag::VCPU);
                    self.arch.guest_reset(&self.vcpu(item).guest);
                }
            }
            ObjectKind::Space => {
                let [space] = &self.entry.at::<Space>(object).ok_or(Error::Revoked)?.space;
                space.tag.set(self.take_tag().ok_or(Error::OutOfMemory)?.0);
                self.identify_anew(space);
            }
            ObjectKind::GuestSpace => {
                let [space] = &self
                    .entry
                    .at::<GuestSpace>(object)
                    .ok_or(Error::Revoked)?
                    .space;
                space.is_guest.set(1);
                self.identify_anew(space);
            }
            ObjectKind::Budget => self.set_core::<Budget>(object, |it| &it.core, plan.core),
            ObjectKind::Endpoint => self.set_core::<Endpoint>(object, |it| &it.core, plan.core),
            ObjectKind::Reply => self.set_core::<Reply>(object, |it| &it.core, plan.core),
            ObjectKind::Notification => {
                self.set_core::<Notification>(object, |it| &it.core, plan.core);
            }
            _ => {}
        }
        Ok(())
    }

    /// Binds a new object to a core.
    fn set_core<T: Object>(
        &self,
        object: u64,
        field: impl Fn(&T) -> &crate::word::Word,
        core: u64,
    ) {
        if let Some(object) = self.entry.at(object) {
            field(object).set(core);
        }
    }
}
