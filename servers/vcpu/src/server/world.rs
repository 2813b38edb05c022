//! The effects of handlers, made by the kernel.

use super::devices;
use super::output::Output;
use super::{Platform, Processor, Setup};
use crate::{
    Effects, Event, Exit, FenceKind, Line, MemoryError, Outcome, RegisterError, Start, VcpuId,
    VcpuSet,
};
use abi::Error;
use abi::exit::ExitClass;
use abi::register::{IS_IDLE, SEQUENCE};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use api::{Deliveries, Delivery, Last, Newest};
use core::marker::PhantomData;
use guest_memory::CopyError;
use irq_api::floating::{Act, Answer};

/// The kernel and the guest, as the handlers of one VM see them. Used behind the server's lock.
pub struct World<P: Platform> {
    /// What was granted.
    pub setup: Arc<Setup>,
    /// Exits, and how they were answered.
    exits: Deliveries<Outcome, Vec<Last<Outcome>>>,
    output: Output,
    /// Number of the exit that is handled.
    pub(super) current: u64,
    /// The vCPU whose exit is handled, if that left registers in its page ([`Platform::noted`]) of
    /// which none was written since.
    noted: Option<VcpuId>,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform> World<P> {
    /// Returns the world of a guest that did nothing yet.
    pub(super) fn new(setup: Arc<Setup>) -> Self {
        let exits = Deliveries::new(vec![Last::default(); setup.vcpus.len()]);
        Self {
            setup,
            exits,
            output: Output::default(),
            current: 0,
            noted: None,
            platform: PhantomData,
        }
    }

    /// Returns whether the VM has this vCPU.
    pub(super) fn has(&self, vcpu: VcpuId) -> bool {
        vcpu.index() < self.setup.vcpus.len()
    }

    /// Begins with an exit of a vCPU.
    pub(super) fn begin(&mut self, vcpu: VcpuId, exit: &Exit, sequence: u64) {
        self.current = sequence;
        let [.., info] = exit.words;
        let is_undescribed = match exit.class {
            ExitClass::Device | ExitClass::Unclaimed => info == 0,
            _ => false,
        };
        self.noted = is_undescribed.then_some(vcpu);
    }

    /// Ends with the exit that was begun: from now on the registers are others.
    pub(super) fn end(&mut self) {
        self.noted = None;
    }

    /// Returns what the delivery of an exit is.
    pub(super) fn delivery(&self, vcpu: VcpuId, sequence: u64) -> Delivery<Outcome> {
        self.exits.look(vcpu.index(), sequence)
    }

    /// Records how an exit was answered, so that it gets the same answer if it comes again. One that
    /// has to wait had no effect yet.
    pub(super) fn record(&mut self, vcpu: VcpuId, sequence: u64, outcome: Outcome) {
        if !matches!(outcome, Outcome::Wait { .. }) {
            self.exits.record(vcpu.index(), sequence, outcome);
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
        }
        self.exits.retire_all(&newest);
        newest
    }

    /// Returns the capability and the registers of a vCPU.
    fn processor(&self, vcpu: VcpuId) -> Option<Processor> {
        self.setup.vcpus.get(vcpu.index()).copied()
    }

    /// Returns the registers of a vCPU, unless the one that is asked for is always 0.
    fn register_of(&self, vcpu: VcpuId, register: u8) -> Option<Processor> {
        let is_zero = P::HAS_ZERO && register == 0;
        self.processor(vcpu).filter(|_| !is_zero)
    }

    /// Makes a call on a vCPU; what the kernel refuses is worth a line.
    fn attempt(
        &mut self,
        what: &str,
        vcpu: VcpuId,
        call: impl FnOnce(Processor) -> Result<(), Error>,
    ) -> bool {
        let result = self.processor(vcpu).map_or(Err(Error::NoCapability), call);
        if let Err(error) = result {
            self.note(&format!(
                "{what} of vCPU {} failed: {error:?}",
                vcpu.index()
            ));
        }
        result.is_ok()
    }

    /// Notes a line for the log.
    pub(super) fn note(&mut self, text: &str) {
        self.output.line(text);
    }

    /// Notes that an exit met an absent page.
    pub(super) fn absent(&mut self, vcpu: VcpuId, address: u64) {
        self.output.absent(vcpu, address);
    }

    /// Returns what is to be printed, if anything, and whose it is.
    pub(super) fn take_output(&mut self) -> Option<(Arc<Setup>, Output)> {
        let output = self.output.take()?;
        Some((Arc::clone(&self.setup), output))
    }

    /// Returns the last piece of a line that the guest did not end.
    pub(super) fn end_line(&mut self) {
        self.output.end_line();
    }
}

impl<P: Platform> Effects for World<P> {
    fn general(&mut self, vcpu: VcpuId, register: u8) -> u64 {
        let processor = self.register_of(vcpu, register);
        processor.map_or(0, |processor| processor.general(register))
    }

    fn set_general(&mut self, vcpu: VcpuId, register: u8, value: u64) {
        if let Some(processor) = self.register_of(vcpu, register) {
            processor.set_general(register, value);
        }
    }

    fn read_register(&mut self, vcpu: VcpuId, id: u64) -> Result<u64, RegisterError> {
        let processor = self.processor(vcpu).ok_or(RegisterError)?;
        if self.noted == Some(vcpu)
            && let Some(value) = P::noted(id).and_then(|place| processor.word(place))
        {
            return Ok(value);
        }
        processor.capability.read(id).map_err(|_| RegisterError)
    }

    fn write_register(&mut self, vcpu: VcpuId, id: u64, value: u64) -> Result<(), RegisterError> {
        let processor = self.processor(vcpu).ok_or(RegisterError)?;
        self.noted = None;
        processor
            .capability
            .write(id, value)
            .map_err(|_| RegisterError)
    }

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
        self.exits.retire(vcpu.index(), newest);
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
        self.exits.retire(vcpu.index(), newest);
    }

    fn interruption(&mut self, by: VcpuId, act: Act) -> Answer {
        match devices::interruption(by.index(), self.current, act) {
            Ok(answer) => answer,
            Err(trouble) => {
                self.note(&format!("an interruption is lost: {trouble}"));
                Answer::default()
            }
        }
    }

    fn is_idle(&mut self, vcpu: VcpuId) -> bool {
        let processor = self.processor(vcpu);
        processor.is_some_and(|processor| processor.capability.read(IS_IDLE) == Ok(1))
    }

    fn read_guest(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.setup
            .memory
            .read(address, buffer)
            .map_err(memory_error)
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

    fn clock(&mut self) -> (u64, u64) {
        (rt::sys::counter(), self.setup.ticks)
    }

    fn load_device(&mut self, vcpu: VcpuId, ports: bool, place: (u64, u8)) -> Option<u64> {
        let (address, _) = place;
        let devices = &self.setup.description.devices;
        let index = devices.iter().position(|device| {
            device.ports == ports && address.wrapping_sub(device.base) < device.size
        });
        devices::load(index, (vcpu, self.current), place)
    }

    fn controller_register(
        &mut self,
        vcpu: VcpuId,
        number: u32,
        store: Option<u64>,
    ) -> Option<u64> {
        devices::controller_register((vcpu, self.current), number, store)
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
