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
    [A: Arch] 8 => Thread<A>,
    [A: Arch] 9 => Vcpu<A>,
    [] 10 => Space,
    [] 11 => GuestSpace,
    [] 12 => Budget,
    [] 13 => Endpoint,
    [] 14 => Notification,
    [] 15 => Slot,
    [] 16 => Reply,
    [] 17 => Interrupt,
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
