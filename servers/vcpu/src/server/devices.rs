//! Calls of the guest's other servers: reset, exit lines, the firmware's console.
//!
//! Neither devices nor the interrupt server ever call this process, so these calls end; a device
//! whose output is full makes its caller wait a tenth of a second. A server that does not answer
//! costs its own guest only.

use crate::{Start, VcpuId};
use alloc::format;
use api::Newest;
use core::fmt;
use device_api::{Bytes, Device, Reply, Request};
use irq_api::Irq;
use irq_api::floating::{Act, Answer};
use rt::Endpoint;
use rt::client::CallFailure;

/// The device that is the guest's console.
const CONSOLE: usize = 0;

/// A server did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no way to call it from this core.
    Unreachable,
    /// The call failed.
    Call(CallFailure),
    /// It refused.
    Refused,
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => formatter.write_str("it cannot be called"),
            Self::Call(failure) => write!(formatter, "the call failed: {failure:?}"),
            Self::Refused => formatter.write_str("it refused"),
        }
    }
}

/// Returns a device's endpoint on this core.
fn device(index: usize) -> Option<Endpoint> {
    rt::peer(&format!("device.{index}"), rt::cores::current())
}

/// Asks a device.
fn ask(index: usize, request: &Request) -> Result<Reply, Trouble> {
    let endpoint = device(index).ok_or(Trouble::Unreachable)?;
    let reply = rt::client::request::<Device>(endpoint, request).map_err(Trouble::Call)?;
    reply.map_err(|_| Trouble::Refused)
}

/// Resets a device.
pub fn reset(index: usize, newest: Newest) -> Result<(), Trouble> {
    ask(index, &Request::Reset { newest }).map(drop)
}

/// Asks the interrupt server.
fn ask_irq(request: &irq_api::Request) -> Result<irq_api::Reply, Trouble> {
    let endpoint = rt::peer("irq", rt::cores::current()).ok_or(Trouble::Unreachable)?;
    let reply = rt::client::request::<Irq>(endpoint, request).map_err(Trouble::Call)?;
    reply.map_err(|_| Trouble::Refused)
}

/// Resets the interrupt controllers; after the devices, which move their lines.
pub fn reset_interrupts(newest: Newest) -> Result<(), Trouble> {
    ask_irq(&irq_api::Request::Reset { newest }).map(drop)
}

/// Loads from a device, or from the interrupt controllers where there is no index, in the exit of
/// this vCPU with this number.
pub fn load(
    index: Option<usize>,
    (vcpu, sequence): (VcpuId, u64),
    (address, size): (u64, u8),
) -> Option<u64> {
    let vcpu = u8::try_from(vcpu.index()).ok()?;
    let Some(index) = index else {
        let access = irq_api::Request::Access {
            vcpu,
            sequence,
            address,
            size,
        };
        return value_of(ask_irq(&access));
    };
    let load = Request::Load {
        vcpu,
        sequence,
        address,
        size,
    };
    match ask(index, &load) {
        Ok(Reply::Loaded { value }) => Some(value),
        _ => None,
    }
}

/// Returns what the interrupt server loaded.
fn value_of(reply: Result<irq_api::Reply, Trouble>) -> Option<u64> {
    match reply {
        Ok(irq_api::Reply::Value { value }) => Some(value),
        _ => None,
    }
}

/// Accesses a register of the interrupt controllers, in the exit of this vCPU with this number.
pub fn controller_register(
    (vcpu, sequence): (VcpuId, u64),
    number: u32,
    store: Option<u64>,
) -> Option<u64> {
    let request = irq_api::Request::Register {
        vcpu: u8::try_from(vcpu.index()).ok()?,
        sequence,
        number,
        store,
    };
    value_of(ask_irq(&request))
}

/// Returns what a processor has to do as the interrupt server says, once.
pub fn take_start() -> Option<Start> {
    let Ok(irq_api::Reply::Start { start }) = ask_irq(&irq_api::Request::TakeStart) else {
        return None;
    };
    let start = start?;
    Some(Start {
        vcpu: VcpuId::new(usize::from(start.vcpu))?,
        stop: start.stop,
        page: start.page,
    })
}

/// Posts, takes or forgets an interruption for an exit of a vCPU.
pub fn interruption(by: usize, sequence: u64, act: Act) -> Result<Answer, Trouble> {
    let endpoint = rt::peer("irq", rt::cores::current()).ok_or(Trouble::Unreachable)?;
    let by = u8::try_from(by).map_err(|_| Trouble::Refused)?;
    let request = irq_api::Request::Interruption { by, sequence, act };
    let reply = rt::client::request::<Irq>(endpoint, &request).map_err(Trouble::Call)?;
    match reply {
        Ok(irq_api::Reply::Interruption(answer)) => Ok(answer),
        _ => Err(Trouble::Refused),
    }
}

/// Returns the exit line that a device saw, once.
pub fn take_exit(index: usize) -> Option<i64> {
    match ask(index, &Request::TakeExit) {
        Ok(Reply::Exit { number }) => number,
        _ => None,
    }
}

/// Writes to the guest's console; returns how many bytes it took, or `None` where there is none.
pub fn write(bytes: &[u8]) -> Option<usize> {
    let mut done = 0;
    for chunk in bytes.chunks(Bytes::CAPACITY) {
        let bytes = Bytes::new(chunk);
        let Ok(Reply::Written { count }) = ask(CONSOLE, &Request::Write { bytes }) else {
            return (done > 0).then_some(done);
        };
        let count = usize::from(count).min(chunk.len());
        done += count;
        if count < chunk.len() {
            break;
        }
    }
    Some(done)
}

/// Reads from the guest's console; returns how many bytes there were.
pub fn read(buffer: &mut [u8]) -> usize {
    let most = u16::try_from(buffer.len().min(Bytes::CAPACITY)).unwrap_or(0);
    let Ok(Reply::Read { bytes }) = ask(CONSOLE, &Request::Read { most }) else {
        return 0;
    };
    let bytes = bytes.as_slice();
    for (place, byte) in buffer.iter_mut().zip(bytes) {
        *place = *byte;
    }
    bytes.len().min(buffer.len())
}
