//! The errors that each call can answer. The conformance suite has a case for every entry.

use super::CallNumber;
use crate::error::Error;

/// Makes [`CallNumber::errors`] of a table; `cap` stands for the three errors of every capability
/// argument.
macro_rules! table {
    (@errors cap $($error:ident)*) => {
        &[Error::NoCapability, Error::WrongObject, Error::MissingRight $(, Error::$error)*]
    };
    (@errors $($error:ident)*) => { &[$(Error::$error),*] };
    ($($($call:ident)|+: [$($error:ident)*],)+) => {
        impl CallNumber {
            /// Returns every error that this call can answer, but for `UnknownCall`.
            #[must_use]
            pub const fn errors(self) -> &'static [Error] {
                match self {
                    $($(Self::$call)|+ => table!(@errors $($error)*),)+
                }
            }
        }
    };
}

table! {
    Identify: [cap],
    Call: [cap BadArgument NotConfigured WrongCore CallTooDeep ServerGone NotCopyable],
    Receive: [cap WrongCore WrongState TimedOut],
    ReplyReceive: [cap WrongCore TimedOut NoCaller BadArgument NotConfigured NotCopyable],
    Reply: [cap NoCaller BadArgument NotConfigured NotCopyable],
    SaveReply: [NoCapability WrongObject NoCaller WrongState WrongCore],
    ReplyTo: [cap NoCaller WrongCore BadArgument NotConfigured NotCopyable],
    Signal: [cap],
    Wait: [cap WrongCore WrongState TimedOut],
    Yield: [],

    Retype: [cap BadArgument OutOfRange SlotOccupied OutOfMemory TreeTooDeep Unsupported],
    Copy: [cap NotCopyable SlotOccupied TreeTooDeep],
    Mint: [cap NotCopyable SlotOccupied TreeTooDeep BadArgument],
    Move: [cap SlotOccupied TreeTooDeep],
    Delete | Revoke: [cap],
    Split: [cap BadArgument AlreadyMapped HasChildren SlotOccupied],

    Fund: [cap HasChildren TableFull BadArgument OutOfMemory],
    Map: [cap Misaligned OutOfRange AlreadyMapped NeedsMemory BadArgument],
    Unmap: [cap NotMapped],
    Protect: [cap NotMapped Misaligned OutOfRange NeedsMemory BadArgument],

    ThreadBind | VcpuBind: [cap WrongState WrongCore BadArgument TreeTooDeep],
    ThreadStart: [cap WrongState],
    ThreadStop | VcpuStop: [cap],
    ThreadResume | VcpuResume: [cap WrongState NotConfigured],
    ThreadPriority | VcpuPriority: [cap OutOfRange],
    ThreadRecovery | BudgetConfigure: [cap BadArgument],
    ThreadRead | ThreadWrite: [cap WrongState NoSuchRegister],

    InterruptTake: [cap OutOfRange InterruptTaken SlotOccupied TreeTooDeep],
    InterruptBind: [cap WrongState TreeTooDeep],
    InterruptAcknowledge: [cap NotConfigured],
    FirmwareCall: [cap Unsupported BadArgument FirmwareRefused],
    PortRead | PortWrite: [cap BadArgument OutOfRange Unsupported],

    VcpuExitRoute | VcpuDeviceRoute: [cap OutOfRange WrongCore WrongState TreeTooDeep],
    VcpuRead: [cap WrongState NoSuchRegister],
    VcpuWrite: [cap WrongState NoSuchRegister BadRegisterValue],
    Inject | Fence: [cap BadArgument],
    AddRoute: [cap OutOfRange SlotOccupied AlreadyMapped BadArgument],
}
