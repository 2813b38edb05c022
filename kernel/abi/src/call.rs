//! The system calls.

mod errors;

use crate::message::MessageInfo;
use bitfield_struct::bitfield;

crate::error::numbered! {
    /// The system calls; `docs/abi.md` lists arguments, results and errors of each.
    pub enum CallNumber: u8 {
        /// Returns kind, rights, badge and size of a capability; of slot 0, the ABI version.
        Identify = 0,
        /// Calls an endpoint and waits for the reply.
        Call = 1,
        /// Waits for a message at an endpoint, at most until a deadline.
        Receive = 2,
        /// Answers the current caller and waits for the next message.
        ReplyReceive = 3,
        /// Answers the current caller.
        Reply = 4,
        /// Puts the current caller into a Reply object, to be answered later.
        SaveReply = 5,
        /// Answers the caller in a Reply object.
        ReplyTo = 6,
        /// Sets the badge's bits in a notification.
        Signal = 7,
        /// Waits for bits of a notification, at most until a deadline.
        Wait = 8,
        /// Lets other threads of the same priority run.
        Yield = 9,

        /// Makes objects out of untyped memory.
        Retype = 16,
        /// Copies a capability.
        Copy = 17,
        /// Copies a capability with fewer rights or a badge.
        Mint = 18,
        /// Moves a capability to another slot.
        Move = 19,
        /// Deletes a capability and all that was derived from it.
        Delete = 20,
        /// Deletes all that was derived from a capability.
        Revoke = 21,
        /// Divides a frame into two halves.
        Split = 22,

        /// Gives a space untyped memory for its page tables.
        Fund = 32,
        /// Maps a frame.
        Map = 33,
        /// Unmaps a frame.
        Unmap = 34,
        /// Changes the access rights of a range inside a mapped frame.
        Protect = 35,

        /// Binds a thread's space, capability table, message page, handler, budget or notification.
        ThreadBind = 48,
        /// Sets program counter, stack pointer and argument of a stopped thread.
        ThreadStart = 49,
        /// Stops a thread.
        ThreadStop = 50,
        /// Lets a stopped thread run.
        ThreadResume = 51,
        /// Sets a thread's priority.
        ThreadPriority = 52,
        /// Sets the range of code in which a fault resumes at another place.
        ThreadRecovery = 53,
        /// Reads a register of a stopped thread.
        ThreadRead = 54,
        /// Writes a register of a stopped thread.
        ThreadWrite = 55,
        /// Sets amount and period of a budget.
        BudgetConfigure = 56,

        /// Makes an Interrupt capability for one of the machine's interrupts.
        InterruptTake = 64,
        /// Binds an interrupt to a notification.
        InterruptBind = 65,
        /// Unmasks an interrupt after it was handled.
        InterruptAcknowledge = 66,
        /// Makes a firmware call from the allow-list.
        FirmwareCall = 67,
        /// Reads an I/O port.
        PortRead = 68,
        /// Writes an I/O port.
        PortWrite = 69,

        /// Binds a vCPU's guest space, register page or budget.
        VcpuBind = 80,
        /// Sets the endpoint of an exit class.
        VcpuExitRoute = 81,
        /// Sets the endpoint of a device route for this vCPU.
        VcpuDeviceRoute = 82,
        /// Reads a register.
        VcpuRead = 83,
        /// Writes a register.
        VcpuWrite = 84,
        /// Lets a stopped vCPU run.
        VcpuResume = 85,
        /// Stops a vCPU.
        VcpuStop = 86,
        /// Raises and lowers interrupt lines of a vCPU.
        Inject = 87,
        /// Flushes the translations of a set of vCPUs before their next guest instruction.
        Fence = 88,
        /// Declares a device or memory range of a guest space.
        AddRoute = 89,
        /// Sets a vCPU's priority.
        VcpuPriority = 90,
    }
}

/// The register that selects the call: its number and the shape of a sent message.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct CallWord {
    /// A [`CallNumber`].
    pub number: u8,
    #[bits(24)]
    __: u32,
    /// Shape of the message, of calls that send one.
    #[bits(32)]
    pub info: MessageInfo,
}

/// Argument registers of a call: 0 to 5 and two more; of a call that sends a message, 0 names the
/// endpoint, 1 to 6 are the message's first words and 7 is the deadline.
pub const ARGUMENTS: usize = 8;

/// Deadline that never comes.
pub const FOREVER: u64 = u64::MAX;

crate::error::numbered! {
    /// What `ThreadBind` and `VcpuBind` bind.
    pub enum Binding: u8 {
        /// The address space of the thread.
        Space = 0,
        /// The table in which the thread's calls look up capabilities.
        CapTable = 1,
        /// The frame with the words of a message that registers do not hold; of a vCPU, the frame
        /// with the guest's general registers.
        MessagePage = 2,
        /// The endpoint that hears of the thread's faults.
        FaultHandler = 3,
        /// The scheduling context.
        Budget = 4,
        /// The notification whose bits `Receive` returns too.
        Notification = 5,
        /// The second-stage address space of a vCPU.
        GuestSpace = 6,
    }
}

crate::error::numbered! {
    /// General registers of a thread that `ThreadRead` and `ThreadWrite` name on every machine.
    /// Numbers from [`MACHINE_REGISTERS`] on are the machine's own.
    pub enum ThreadRegister: u8 {
        /// The program counter.
        ProgramCounter = 0,
        /// The stack pointer.
        StackPointer = 1,
        /// The thread pointer.
        ThreadPointer = 2,
        /// The first argument register.
        Argument = 3,
    }
}

/// First machine-specific register number of `ThreadRead` and `ThreadWrite`.
pub const MACHINE_REGISTERS: u64 = 32;
