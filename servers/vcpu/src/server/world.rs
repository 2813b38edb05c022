//! The effects of handlers, made by the kernel.

use super::devices;
use super::output::Output;
use super::{Platform, Processor, Setup};
use crate::seats::Seats;
use crate::{
    Absent, Effects, Event, Exit, FenceKind, Line, MemoryError, Outcome, RegisterError, Start,
    VcpuId, VcpuSet,
};
use abi::Error;
use abi::exit::ExitClass;
use abi::register::{IS_IDLE, SEQUENCE};
use alloc::format;
use alloc::sync::Arc;
use api::{Delivery, Newest};
use core::marker::PhantomData;
use guest_memory::CopyError;
use irq_api::floating::{Act, Answer};

/// The kernel and the guest, as the handlers of one VM see them. Used behind the server's lock.
pub struct World<P: Platform> {
    /// What was granted.
    pub setup: Arc<Setup>,
    /// Its vCPUs, and the exit that is handled.
    seats: Seats<Processor, Outcome>,
    output: Output,
    /// The exit that is handled left registers in the page of its vCPU ([`Platform::NOTED`]), of
    /// which none was written since.
    is_noted: bool,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform> World<P> {
    /// Returns the world of a guest that did nothing yet; `None` where it has no vCPU.
    pub(super) fn new(setup: Arc<Setup>) -> Option<Self> {
        Some(Self {
            seats: Seats::new(&setup.vcpus)?,
            setup,
            output: Output::default(),
            is_noted: false,
            platform: PhantomData,
        })
    }

    /// Begins with an exit of a vCPU: returns what its delivery is, or `None` where the VM does not
    /// have that vCPU.
    #[inline]
    pub(super) fn begin(&mut self, vcpu: VcpuId, sequence: u64) -> Option<Delivery<Outcome>> {
        self.seats.begin(vcpu, sequence)
    }

    /// Notes which registers are in the register page, as the exit that was begun is a new one.
    #[inline]
    pub(super) fn note_registers(&mut self, exit: Exit) {
        self.is_noted = P::notes(exit);
    }

    /// Ends with the exit that was begun: from now on the registers are others. Records how it was
    /// answered, so that it gets the same answer if it comes again.
    #[inline]
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.forget_noted();
        self.seats.record(outcome);
    }

    /// Notes that registers may be others than those in the register page.
    #[inline]
    fn forget_noted(&mut self) {
        if !P::NOTED.is_empty() {
            self.is_noted = false;
        }
    }

    /// Ends with the exit that was begun, which had no effect yet: it met an absent page.
    #[cold]
    #[inline(never)]
    pub(super) fn put_off(&mut self, exit: (ExitClass, u64), absent: Absent) {
        self.forget_noted();
        let vcpu = self.seats.current();
        self.output.absent(vcpu, absent.address);
        if P::try_again(self, vcpu, exit).is_err() {
            self.note("a vCPU does not take back its program counter");
        }
    }

    /// Stops every vCPU and gives up what it waits for; returns the numbers of their newest exits,
    /// which mean nothing from now on.
    pub(super) fn reset(&mut self) -> Newest {
        let mut newest = Newest::default();
        for vcpu in VcpuSet::first(self.setup.vcpus.len()).iter() {
            let mut sequence = 0;
            self.attempt("the reset", vcpu, |vcpu| {
                vcpu.capability.stop()?;
                vcpu.capability.give_up_exit()?;
                sequence = vcpu.capability.read(SEQUENCE)?;
                Ok(())
            });
            newest.set(vcpu.index(), sequence);
            self.seats.retire(vcpu, sequence);
        }
        newest
    }

    /// Makes a call on a vCPU; what the kernel refuses is worth a line.
    #[inline]
    fn attempt(
        &mut self,
        what: &str,
        vcpu: VcpuId,
        call: impl FnOnce(Processor) -> Result<(), Error>,
    ) -> bool {
        let processor = self.seats.get(vcpu);
        let result = processor.map_or(Err(Error::NoCapability), call);
        if let Err(error) = result {
            self.failed(what, vcpu, error);
        }
        result.is_ok()
    }

    /// Notes that the kernel refused a call on a vCPU.
    #[cold]
    #[inline(never)]
    fn failed(&mut self, what: &str, vcpu: VcpuId, error: Error) {
        let index = vcpu.index();
        self.note(&format!("{what} of vCPU {index} failed: {error:?}"));
    }

    /// Notes a line for the log.
    pub(super) fn note(&mut self, text: &str) {
        self.output.line(text);
    }

    /// Returns whether there is something to be printed.
    #[inline]
    pub(super) fn has_output(&self) -> bool {
        self.output.is_due()
    }

    /// Returns what is to be printed, and whose it is.
    pub(super) fn take_output(&mut self) -> (Arc<Setup>, Output) {
        (Arc::clone(&self.setup), self.output.take())
    }

    /// Returns the last piece of a line that the guest did not end.
    pub(super) fn end_line(&mut self) {
        self.output.end_line();
    }
}

impl<P: Platform> Effects for World<P> {
    #[inline]
    fn general(&mut self, vcpu: VcpuId, register: u8) -> u64 {
        if P::HAS_ZERO && register == 0 {
            return 0;
        }
        let processor = self.seats.get(vcpu);
        processor.map_or(0, |processor| processor.general(register))
    }

    #[inline]
    fn set_general(&mut self, vcpu: VcpuId, register: u8, value: u64) {
        let is_zero = P::HAS_ZERO && register == 0;
        if !is_zero && let Some(processor) = self.seats.get(vcpu) {
            processor.set_general(register, value);
        }
    }

    #[inline]
    fn generals<const COUNT: usize>(&mut self, vcpu: VcpuId, first: u8) -> [u64; COUNT] {
        debug_assert!(
            !P::HAS_ZERO || first != 0,
            "a register that is not in the page"
        );
        let Some(processor) = self.seats.get(vcpu) else {
            return [0; COUNT];
        };
        let mut registers = first..;
        [(); COUNT].map(|()| processor.general(registers.next().unwrap_or_default()))
    }

    #[inline]
    fn set_generals<const COUNT: usize>(&mut self, vcpu: VcpuId, first: u8, values: [u64; COUNT]) {
        debug_assert!(
            !P::HAS_ZERO || first != 0,
            "a register that is not in the page"
        );
        let Some(processor) = self.seats.get(vcpu) else {
            return;
        };
        for (register, value) in (first..).zip(values) {
            processor.set_general(register, value);
        }
    }

    #[inline]
    fn read_register(&mut self, vcpu: VcpuId, id: u64) -> Result<u64, RegisterError> {
        let processor = self.seats.get(vcpu).ok_or(RegisterError)?;
        if let Some(place) = P::NOTED.iter().position(|noted| *noted == id)
            && self.is_noted
            && vcpu == self.seats.current()
            && let Some(value) = processor.word(P::NOTED_FROM + place)
        {
            return Ok(value);
        }
        processor.capability.read(id).map_err(|_| RegisterError)
    }

    #[inline]
    fn noted<const COUNT: usize>(&mut self, vcpu: VcpuId) -> Option<[u64; COUNT]> {
        if COUNT > P::NOTED.len() || !self.is_noted || vcpu != self.seats.current() {
            return None;
        }
        let processor = self.seats.get(vcpu)?;
        let mut values = [0; COUNT];
        for (value, place) in values.iter_mut().zip(P::NOTED_FROM..) {
            *value = processor.word(place)?;
        }
        Some(values)
    }

    #[inline]
    fn write_register(&mut self, vcpu: VcpuId, id: u64, value: u64) -> Result<(), RegisterError> {
        self.forget_noted();
        let processor = self.seats.get(vcpu).ok_or(RegisterError)?;
        let written = processor.capability.write(id, value);
        written.map_err(|_| RegisterError)
    }

    #[inline]
    fn inject(&mut self, vcpu: VcpuId, line: Line, level: bool) {
        let bit = P::line(line);
        let (raise, lower) = if level { (bit, 0) } else { (0, bit) };
        self.attempt("an interrupt", vcpu, |vcpu| {
            vcpu.capability.inject(raise, lower).map(drop)
        });
    }

    fn fence(&mut self, vcpus: VcpuSet, kind: FenceKind) {
        let kind = P::fence(kind);
        if let Some(first) = self.setup.first_of_row {
            let all = VcpuSet::first(self.setup.vcpus.len());
            if vcpus.is_subset(all) && first.fence(vcpus.bits(), kind).is_ok() {
                return;
            }
        }
        for vcpu in vcpus.iter() {
            self.attempt("a fence", vcpu, |vcpu| vcpu.capability.fence(1, kind));
        }
    }

    fn start(&mut self, vcpu: VcpuId) -> bool {
        self.attempt("the start", vcpu, |vcpu| vcpu.capability.resume())
    }

    fn stop(&mut self, vcpu: VcpuId) {
        let mut newest = 0;
        self.attempt("the stop", vcpu, |vcpu| {
            vcpu.capability.stop()?;
            newest = vcpu.capability.read(SEQUENCE)?;
            Ok(())
        });
        self.seats.retire(vcpu, newest);
    }

    fn pause(&mut self, vcpu: VcpuId) {
        self.attempt("the stop", vcpu, |vcpu| vcpu.capability.stop());
    }

    fn abandon(&mut self, vcpu: VcpuId) {
        let mut newest = 0;
        self.attempt("the reset", vcpu, |vcpu| {
            vcpu.capability.give_up_exit()?;
            newest = vcpu.capability.read(SEQUENCE)?;
            Ok(())
        });
        self.seats.retire(vcpu, newest);
    }

    fn interruption(&mut self, by: VcpuId, act: Act) -> Answer {
        match devices::interruption(by.index(), self.seats.sequence(), act) {
            Ok(answer) => answer,
            Err(trouble) => {
                self.note(&format!("an interruption is lost: {trouble}"));
                Answer::default()
            }
        }
    }

    fn is_idle(&mut self, vcpu: VcpuId) -> bool {
        let processor = self.seats.get(vcpu);
        processor.is_some_and(|processor| processor.capability.read(IS_IDLE) == Ok(1))
    }

    fn read_guest(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.setup
            .memory
            .read(address, buffer)
            .map_err(memory_error)
    }

    #[inline]
    fn guest_word(&mut self, address: u64) -> Option<[u8; 8]> {
        self.setup.memory.word(address)
    }

    fn write_guest(&mut self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        self.setup
            .memory
            .write(address, bytes)
            .map_err(memory_error)
    }

    fn console_write(&mut self, bytes: &[u8]) -> usize {
        // Without a console of the guest's, its lines go to the log.
        devices::write(bytes).unwrap_or_else(|| {
            self.output.text(bytes);
            bytes.len()
        })
    }

    fn console_read(&mut self, buffer: &mut [u8]) -> usize {
        devices::read(buffer)
    }

    fn event(&mut self, event: Event) {
        self.output.event(event);
    }

    fn counter(&mut self) -> u64 {
        rt::sys::counter()
    }

    #[inline]
    fn ticks_per_second(&mut self) -> u64 {
        self.setup.ticks
    }

    fn load_device(&mut self, vcpu: VcpuId, ports: bool, place: (u64, u8)) -> Option<u64> {
        let (address, _) = place;
        let devices = &self.setup.description.devices;
        let index = devices.iter().position(|device| {
            device.ports == ports && address.wrapping_sub(device.base) < device.size
        });
        devices::load(index, (vcpu, self.seats.sequence()), place)
    }

    fn controller_register(
        &mut self,
        vcpu: VcpuId,
        number: u32,
        store: Option<u64>,
    ) -> Option<u64> {
        devices::controller_register((vcpu, self.seats.sequence()), number, store)
    }

    fn take_start(&mut self) -> Option<Start> {
        devices::take_start()
    }
}

/// Returns what handlers are told of a copy.
const fn memory_error(error: CopyError) -> MemoryError {
    match error {
        CopyError::Absent { address } => MemoryError::Absent { address },
        CopyError::Outside => MemoryError::Outside,
    }
}
