//! The effects of handlers, made by the kernel.

use super::output::Output;
use super::{Platform, Processor, Setup};
use crate::{Effects, Event, FenceKind, Line, MemoryError, RegisterError, VcpuId, VcpuSet};
use abi::Error;
use abi::exit::EXIT_CLASSES;
use abi::register::{COUNT_ACCESS, COUNT_CLASS};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::marker::PhantomData;
use guest_memory::CopyError;

/// The kernel and the guest, as the handlers of one VM see them. Used behind the server's lock.
pub struct World<P: Platform> {
    /// What was granted.
    pub setup: Arc<Setup>,
    /// By vCPU: exits up to this sequence number were made before the last reboot.
    stale: Vec<u64>,
    output: Output,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform> World<P> {
    /// Returns the world of a guest that did nothing yet.
    pub(super) fn new(setup: Arc<Setup>) -> Self {
        let stale = vec![0; setup.vcpus.len()];
        Self {
            setup,
            stale,
            output: Output::default(),
            platform: PhantomData,
        }
    }

    /// Returns whether the VM has this vCPU.
    pub(super) fn has(&self, vcpu: VcpuId) -> bool {
        vcpu.index() < self.setup.vcpus.len()
    }

    /// Returns whether an exit was made before the guest was last stopped as a whole.
    pub(super) fn is_stale(&self, vcpu: VcpuId, sequence: u64) -> bool {
        self.stale
            .get(vcpu.index())
            .is_some_and(|last| sequence <= *last)
    }

    /// Returns the capability and the registers of a vCPU.
    fn processor(&self, vcpu: VcpuId) -> Option<Processor> {
        self.setup.vcpus.get(vcpu.index()).copied()
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

/// Returns the sequence number of the newest exit of a vCPU: the kernel counts each exit that it
/// sends, by class or as an access.
fn newest_exit(vcpu: Processor) -> Result<u64, Error> {
    let mut sum = vcpu.capability.read(COUNT_ACCESS)?;
    for class in 0..EXIT_CLASSES as u64 {
        sum += vcpu.capability.read(COUNT_CLASS + class)?;
    }
    Ok(sum)
}

impl<P: Platform> Effects for World<P> {
    fn general(&mut self, vcpu: VcpuId, register: u8) -> u64 {
        self.processor(vcpu)
            .map_or(0, |processor| processor.general(register))
    }

    fn set_general(&mut self, vcpu: VcpuId, register: u8, value: u64) {
        if let Some(processor) = self.processor(vcpu) {
            processor.set_general(register, value);
        }
    }

    fn read_register(&mut self, vcpu: VcpuId, id: u64) -> Result<u64, RegisterError> {
        let processor = self.processor(vcpu).ok_or(RegisterError)?;
        processor.capability.read(id).map_err(|_| RegisterError)
    }

    fn write_register(&mut self, vcpu: VcpuId, id: u64, value: u64) -> Result<(), RegisterError> {
        let processor = self.processor(vcpu).ok_or(RegisterError)?;
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
            newest = newest_exit(vcpu)?;
            Ok(())
        });
        if let Some(stale) = self.stale.get_mut(vcpu.index()) {
            *stale = newest.max(*stale);
        }
    }

    fn read_guest(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.setup
            .memory
            .try_read(address, buffer)
            .map_err(memory_error)
    }

    fn write_guest(&mut self, address: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        self.setup
            .memory
            .try_write(address, bytes)
            .map_err(memory_error)
    }

    fn console_write(&mut self, bytes: &[u8]) -> usize {
        self.output.text(bytes);
        bytes.len()
    }

    fn console_read(&mut self, _: &mut [u8]) -> usize {
        // Input goes to the guest's serial port only.
        0
    }

    fn event(&mut self, event: Event) {
        self.output.event(event);
    }
}

/// Returns what handlers are told of a copy.
const fn memory_error(error: CopyError) -> MemoryError {
    match error {
        CopyError::Absent { address } => MemoryError::Absent { address },
        CopyError::Outside => MemoryError::Outside,
    }
}
