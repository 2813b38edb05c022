//! Guests: their spaces and virtual processors.

use crate::capability::{Capability, handle};
use crate::sys;
use abi::call::Binding;
use abi::exit::{ExitClass, RouteKey};
use abi::{CallNumber, Error};

handle! {
    /// The second-stage address space of a guest.
    GuestSpace
}
handle! {
    /// A virtual processor of a guest.
    Vcpu
}

/// A device or memory range of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// What the range is of.
    pub key: RouteKey,
    /// Where it begins.
    pub base: u64,
    /// Its length.
    pub length: u64,
}

impl GuestSpace {
    /// Declares a device or memory range under `index`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn add_route(self, index: u64, route: Route) -> Result<(), Error> {
        let arguments = [
            self.bits(),
            index,
            route.key.number(),
            route.base,
            route.length,
        ];
        sys::call(CallNumber::AddRoute, arguments).map(drop)
    }
}

impl Vcpu {
    /// Binds something to the stopped vCPU, or with `None` unbinds it.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn bind(self, binding: Binding, what: Option<Capability>) -> Result<(), Error> {
        let what = what.map_or(0, Capability::bits);
        sys::call(CallNumber::VcpuBind, [self.bits(), binding.number(), what]).map(drop)
    }

    /// Sets the endpoint that hears of exits of a class.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn route_exit(self, class: ExitClass, endpoint: Option<Capability>) -> Result<(), Error> {
        let endpoint = endpoint.map_or(0, Capability::bits);
        let arguments = [self.bits(), class.number(), endpoint];
        sys::call(CallNumber::VcpuExitRoute, arguments).map(drop)
    }

    /// Sets the endpoint that serves the accesses of a device route.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn route_device(self, route: u64, endpoint: Option<Capability>) -> Result<(), Error> {
        let endpoint = endpoint.map_or(0, Capability::bits);
        sys::call(CallNumber::VcpuDeviceRoute, [self.bits(), route, endpoint]).map(drop)
    }

    /// Reads a register.
    ///
    /// # Errors
    ///
    /// The kernel's.
    #[inline]
    pub fn read(self, register: u64) -> Result<u64, Error> {
        sys::call(CallNumber::VcpuRead, [self.bits(), register]).map(|values| values[0])
    }

    /// Writes a register.
    ///
    /// # Errors
    ///
    /// The kernel's.
    #[inline]
    pub fn write(self, register: u64, value: u64) -> Result<(), Error> {
        sys::call(CallNumber::VcpuWrite, [self.bits(), register, value]).map(drop)
    }

    /// Gives up the pending exit of the stopped vCPU, if there is one: it goes on with its registers
    /// as they are.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn give_up_exit(self) -> Result<(), Error> {
        self.write(abi::register::PENDING_EXIT, 0)
    }

    /// Lets the stopped vCPU run.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn resume(self) -> Result<(), Error> {
        sys::call(CallNumber::VcpuResume, [self.bits()]).map(drop)
    }

    /// Stops the vCPU.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn stop(self) -> Result<(), Error> {
        sys::call(CallNumber::VcpuStop, [self.bits()]).map(drop)
    }

    /// Sets the priority.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn set_priority(self, priority: u64) -> Result<(), Error> {
        sys::call(CallNumber::VcpuPriority, [self.bits(), priority]).map(drop)
    }

    /// Raises and lowers interrupt lines and returns those that were newly raised.
    ///
    /// # Errors
    ///
    /// The kernel's.
    #[inline]
    pub fn inject(self, raise: u64, lower: u64) -> Result<u64, Error> {
        sys::call(CallNumber::Inject, [self.bits(), raise, lower]).map(|values| values[0])
    }

    /// Returns when none of the vCPUs in the slots from this one on, that `mask` selects, uses a
    /// translation older than the call.
    ///
    /// # Errors
    ///
    /// The kernel's.
    #[inline]
    pub fn fence(self, mask: u64, kind: u64) -> Result<(), Error> {
        sys::call(CallNumber::Fence, [self.bits(), mask, kind]).map(drop)
    }
}
