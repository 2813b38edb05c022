//! Interruptions of s390x: what may be pending, and what a CPU is open to.
//!
//! The guest's vcpu server posts them (a service call, an order of SIGP) and takes them one at a
//! time when the hardware says that a CPU is open; it stores them into the guest. The interrupt
//! server keeps what is pending and asks the hardware to watch for it.

use postcard::experimental::max_size::MaxSize;
use serde::{Deserialize, Serialize};

/// An interruption. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub enum Interruption {
    /// External: an emergency signal of the CPU with this address.
    EmergencySignal {
        /// The CPU that sent it.
        sender: u8,
    },
    /// External: an external call of the CPU with this address.
    ExternalCall {
        /// The CPU that sent it.
        sender: u8,
    },
    /// External: the clock comparator, where the hardware does not present it by itself.
    ClockComparator,
    /// External: the CPU timer, likewise.
    CpuTimer,
    /// External: the service processor answered, or has events (bit 0).
    ServiceSignal {
        /// The parameter; those of signals that were not taken are one.
        parameter: u32,
    },
    /// Input/output.
    InputOutput(InputOutput),
    /// Machine check: a repressible condition with this interruption code.
    MachineCheck {
        /// The code.
        code: u64,
    },
}

/// An input/output interruption as it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct InputOutput {
    /// Subsystem identification word; 0 of an adapter interruption.
    pub subsystem: u32,
    /// Interruption parameter.
    pub parameter: u32,
    /// Interruption identification word: bit 0 an adapter's, bits 2 to 4 the subclass.
    pub word: u32,
}

impl InputOutput {
    /// Returns the interruption of an adapter in this subclass.
    #[must_use]
    pub const fn adapter(subclass: u8) -> Self {
        Self {
            subsystem: 0,
            parameter: 0,
            word: 1 << 31 | ((subclass & 7) as u32) << 27,
        }
    }

    /// Returns the subclass, 0 to 7.
    #[must_use]
    pub const fn subclass(self) -> u8 {
        (self.word >> 27 & 7) as u8
    }
}

/// What a CPU takes: what its PSW lets through at all, and its control registers' masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct Open {
    /// The PSW is open to external interruptions.
    pub external: bool,
    /// The PSW is open to input/output interruptions.
    pub input_output: bool,
    /// The PSW is open to machine checks.
    pub machine_check: bool,
    /// The masks.
    pub masks: Masks,
}

/// Control registers that mask interruptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct Masks {
    /// Control register 0: external interruptions.
    pub external: u64,
    /// Control register 6: subclasses of input/output.
    pub input_output: u64,
    /// Control register 14: machine checks.
    pub machine_check: u64,
}

/// What the vcpu server does. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub enum Act {
    /// Makes an interruption of one CPU pending, or of all where `cpu` is nothing.
    Post {
        /// The CPU.
        cpu: Option<u8>,
        /// What.
        interruption: Interruption,
    },
    /// Takes what comes first of what the CPU is open to.
    Take {
        /// The CPU.
        cpu: u8,
        /// What it is open to.
        open: Open,
    },
    /// The CPU loaded its masks while they were watched.
    Load {
        /// The CPU.
        cpu: u8,
        /// The masks.
        masks: Masks,
    },
    /// The CPU is reset: what is pending for it alone is gone.
    Forget {
        /// The CPU.
        cpu: u8,
    },
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct Answer {
    /// What was taken.
    pub taken: Option<Interruption>,
    /// What was posted met one of its kind that is pending.
    pub coalesced: bool,
    /// The CPU's masks hold something back: its loads of them have to be watched.
    pub watch: bool,
}
