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
    Identify: [NoCapability],
    Call: [cap BadArgument NotConfigured WrongCore CallTooDeep ServerGone NotCopyable],
    Receive: [cap WrongCore WrongState TimedOut],
    ReplyReceive: [cap WrongCore TimedOut NoCaller BadArgument NotConfigured NotCopyable],
    Reply: [NoCaller BadArgument NotConfigured NoCapability MissingRight NotCopyable],
    SaveReply: [NoCapability WrongObject NoCaller WrongState WrongCore],
    ReplyTo: [cap NoCaller WrongCore BadArgument NotConfigured NotCopyable],
    Signal: [cap],
    Wait: [cap WrongCore WrongState TimedOut],
    Yield: [],

    Retype: [cap BadArgument OutOfRange SlotOccupied OutOfMemory TreeTooDeep Unsupported],
    Copy: [NoCapability MissingRight NotCopyable SlotOccupied TreeTooDeep],
    Mint: [NoCapability MissingRight NotCopyable SlotOccupied TreeTooDeep BadArgument],
    Move: [NoCapability SlotOccupied],
    Delete | Revoke: [NoCapability],
    Split: [cap BadArgument AlreadyMapped HasChildren SlotOccupied],

    Fund: [cap HasChildren TableFull BadArgument],
    Map: [cap Misaligned OutOfRange AlreadyMapped NeedsMemory BadArgument],
    Unmap: [NoCapability WrongObject NotMapped],
    Protect: [cap NotMapped Misaligned OutOfRange NeedsMemory BadArgument],

    ThreadBind | VcpuBind: [cap WrongState WrongCore BadArgument],
    ThreadStart: [cap WrongState],
    ThreadStop | VcpuStop: [cap],
    ThreadResume | VcpuResume: [cap WrongState NotConfigured],
    ThreadPriority | VcpuPriority: [cap OutOfRange],
    ThreadRecovery | BudgetConfigure: [cap BadArgument],
    ThreadRead | ThreadWrite: [cap WrongState NoSuchRegister],

    InterruptTake: [cap OutOfRange InterruptTaken SlotOccupied],
    InterruptBind: [cap],
    InterruptAcknowledge: [cap NotConfigured],
    FirmwareCall: [cap Unsupported BadArgument FirmwareRefused],

    VcpuExitRoute | VcpuDeviceRoute: [cap OutOfRange WrongCore],
    VcpuRead: [cap WrongState NoSuchRegister],
    VcpuWrite: [cap WrongState NoSuchRegister BadRegisterValue],
    Inject | Fence: [cap BadArgument],
    AddRoute: [cap OutOfRange SlotOccupied AlreadyMapped BadArgument],
}
