//! DIAGNOSE: calls of the hypervisor. Function codes are those of KVM where it has them.

use super::program::Exception;
use super::{S390, Trouble};
use crate::lifecycle::LifecycleEvent;
use crate::{Access, Effects, EndReason, Outcome, RebootKind, VcpuId};
use abi::exit::{AccessInfo, RouteKey};

/// Gives up the rest of the turn.
const YIELD: u64 = 0x44;
/// The same, to another CPU.
const YIELD_TO: u64 = 0x9c;
/// Loads the system again, or asks for the parameters of that.
const LOAD: u64 = 0x308;
/// Notifies a device of a queue.
const NOTIFY: u64 = 0x500;
/// Accesses a register of a device: Skerry's own.
const ACCESS: u64 = 0x510;
/// Subfunction of `NOTIFY`: a channel device's queue.
const NOTIFY_CHANNEL_DEVICE: u64 = 3;
/// Answers of `LOAD`: there are no parameters; those that were given are not possible.
const NO_PARAMETERS: u64 = 0x102;
const INVALID_PARAMETERS: u64 = 0x402;
/// What `NOTIFY` returns where there is no such device.
pub const NO_DEVICE: i64 = -22;
/// Returns the address of a register of a device that `ACCESS` reaches, in the space of subchannels
/// and DIAG codes: subchannels are numbers of 32 bits, above them are codes.
#[must_use]
pub const fn device_address(register: u32) -> u64 {
    ACCESS << 32 | register as u64
}

/// Returns the access of register `r1` that bits of `r3` describe: bits 32 to 63 the address, 30 and
/// 31 the logarithm of the size, 29 a store.
fn access(r1: u8, (what, value): (u64, u64)) -> Access {
    let write = what >> 34 & 1 == 1;
    let size_log2 = (what >> 32 & 3) as u8;
    let bits = 8_u32 << size_log2;
    let info = AccessInfo::new()
        .with_key(RouteKey::Subchannel as u8)
        .with_size_log2(size_log2)
        .with_write(write)
        .with_register(r1);
    Access {
        address: device_address(what as u32),
        info,
        value: if write {
            value & u64::MAX >> (64 - bits)
        } else {
            0
        },
    }
}

impl S390 {
    /// Performs a call; the program counter is behind it.
    #[inline]
    pub(super) fn diagnose<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (r1, r3, code): (u8, u8, u64),
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        match code & 0xffff {
            YIELD | YIELD_TO => Ok(Outcome::RESUME),
            LOAD => self.load_again(vcpu, (r1, r3), effects),
            NOTIFY if effects.general(vcpu, 1) == NOTIFY_CHANNEL_DEVICE => {
                let subchannel = effects.general(vcpu, 2) & 0xffff_ffff;
                let queue = effects.general(vcpu, 3);
                effects.set_general(vcpu, 2, 0);
                let info = AccessInfo::new()
                    .with_key(RouteKey::Subchannel as u8)
                    .with_size_log2(3)
                    .with_write(true);
                self.metrics.forwarded += 1;
                Ok(Outcome::forward(Access {
                    address: subchannel,
                    info,
                    value: queue,
                }))
            }
            ACCESS => {
                let operands = (effects.general(vcpu, r3), effects.general(vcpu, r1));
                self.metrics.forwarded += 1;
                Ok(Outcome::forward(access(r1, operands)))
            }
            _ => Err(Exception::Specification.into()),
        }
    }

    /// Loads the system again, or tells that there are no parameters.
    #[inline(never)]
    fn load_again<E: Effects>(
        &mut self,
        vcpu: VcpuId,
        (r1, r3): (u8, u8),
        effects: &mut E,
    ) -> Result<Outcome, Trouble> {
        let kind = match effects.general(vcpu, r3) {
            3 => RebootKind::Cold,
            4 => RebootKind::Warm,
            function @ (5 | 6) => {
                if !r1.is_multiple_of(2) || !effects.general(vcpu, r1).is_multiple_of(4096) {
                    return Err(Exception::Specification.into());
                }
                let answer = [INVALID_PARAMETERS, NO_PARAMETERS][usize::from(function == 6)];
                effects.set_general(vcpu, r1 + 1, answer);
                return Ok(Outcome::RESUME);
            }
            _ => return Err(Exception::Specification.into()),
        };
        let event = LifecycleEvent::Reboot(kind, EndReason::None);
        self.step_lifecycle(Some(vcpu), event, effects);
        Ok(Outcome::STOP)
    }
}

#[cfg(test)]
mod tests {
    use super::{access, device_address};
    use abi::exit::RouteKey;

    #[test]
    fn the_operands_describe_an_access() {
        let store = access(5, (0x5_0000_0007, 0x1234_5678));
        assert_eq!(store.address, device_address(7));
        assert_eq!(store.address, 0x510_0000_0007);
        assert_eq!(store.value, 0x5678);
        assert!(store.info.write());
        assert_eq!(store.info.size(), 2);
        let load = access(5, (0x3_0000_0000, 9));
        assert_eq!(
            (load.value, load.info.size(), load.info.register()),
            (0, 8, 5)
        );
        assert_eq!(load.info.key(), RouteKey::Subchannel as u8);
        assert_eq!(load.info.instruction_length(), 0);
    }
}
