//! The kernel's objects, one file each.
//!
//! Objects are plain data made of words; what happens to them is in `ipc`, `sched`, `delete`, ….

pub mod budget;
pub mod endpoint;
pub mod execution;
pub mod interrupt;
pub mod notification;
pub mod reply;
pub mod space;
pub mod thread;
pub mod vcpu;

use crate::arch::Arch;
use crate::cap::Slot;
use abi::ObjectKind;
use arena::{Entry, Handle, Part};
use budget::Budget;
use endpoint::Endpoint;
use execution::Execution;
use interrupt::Interrupt;
use notification::Notification;
use reply::Reply;
use space::{AddressSpace, GuestSpace, Space};
use thread::Thread;
use vcpu::Vcpu;

/// An object that capabilities name by its type.
pub trait KernelObject: arena::Object {
    /// The kind of those capabilities.
    const OBJECT_KIND: ObjectKind;
}

arena::objects! {
    [A: Arch] 10 => Thread<A>,
    [A: Arch] 11 => Vcpu<A>,
    [] 12 => Slot,
    [] 13 => Space,
    [] 14 => GuestSpace,
    [] 15 => Budget,
    [] 16 => Endpoint,
    [] 17 => Reply,
    [] 18 => Notification,
    [] 19 => Interrupt,
}

arena::parts! {
    [A: Arch] Slot, A, [Slot]:
    Thread<A>, slots, thread::SLOTS;
    Vcpu<A>, slots, vcpu::SLOTS;
    Space, funds, space::FUNDS;
    GuestSpace, funds, space::FUNDS;
    Interrupt, binding, 1;
}

arena::parts! {
    [A: Arch] Execution, A, []:
    Thread<A>, execution, 1;
    Vcpu<A>, execution, 1;
}

arena::parts! {
    [A: Arch] AddressSpace, A, []:
    Space, space, 1;
    GuestSpace, space, 1;
}

/// Declares which kind of capability names which type.
macro_rules! kernel_objects {
    ($([$($generics:tt)*] $type:ty => $kind:ident;)+) => {
        $(impl<$($generics)*> KernelObject for $type {
            const OBJECT_KIND: ObjectKind = ObjectKind::$kind;
        })+
    };
}

kernel_objects! {
    [A: Arch] Thread<A> => Thread;
    [A: Arch] Vcpu<A> => Vcpu;
    [] Space => Space;
    [] GuestSpace => GuestSpace;
    [] Budget => Budget;
    [] Endpoint => Endpoint;
    [] Reply => Reply;
    [] Notification => Notification;
    [] Interrupt => Interrupt;
}

/// Returns a part that the kernel keeps the name of.
///
/// # Panics
///
/// Where it is not there: a bug of the kernel.
#[inline(always)]
pub fn part<'e, A: Arch, T: Part<A>>(entry: &'e Entry<'_>, handle: Handle<T>) -> &'e T {
    match entry.part::<T, A>(handle) {
        Some(part) => part,
        None => arena::gone(handle.address()),
    }
}

/// Returns a slot that the kernel keeps the name of: out of line, for where it is used a call costs
/// little beside what is done with it.
///
/// # Panics
///
/// Where it is not there: a bug of the kernel.
#[inline(never)]
pub fn slot_named<'e, A: Arch>(entry: &'e Entry<'_>, handle: Handle<Slot>) -> &'e Slot {
    part::<A, Slot>(entry, handle)
}

/// Returns the address of the object that has `slot` inside it.
#[must_use]
pub fn owner_of<A: Arch>(entry: &Entry<'_>, slot: u64) -> u64 {
    let kind = entry.arena().kind(slot);
    let stride = match kind {
        kind if kind == <Thread<A> as arena::Object>::KIND => <Thread<A> as arena::Object>::STRIDE,
        kind if kind == <Vcpu<A> as arena::Object>::KIND => <Vcpu<A> as arena::Object>::STRIDE,
        kind if kind == <Space as arena::Object>::KIND => <Space as arena::Object>::STRIDE,
        kind if kind == <GuestSpace as arena::Object>::KIND => {
            <GuestSpace as arena::Object>::STRIDE
        }
        kind if kind == <Interrupt as arena::Object>::KIND => <Interrupt as arena::Object>::STRIDE,
        _ => 64,
    };
    slot & !(stride - 1)
}
