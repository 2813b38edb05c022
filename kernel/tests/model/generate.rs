//! Random calls, more often with arguments that make sense than not.

use super::WINDOW;
use super::reference::{Cap, Place, Reference};
use abi::message::{RECEIVE_SLOTS, SENT_SLOTS};
use abi::{CallNumber, CallWord, MessageInfo, ObjectKind, Rights, register};
use kernel::fake::Machine;
use kernel::fake::guest::{BYTE, PROGRAM_COUNTER};

/// Places that tests map at.
const PLACES: [u64; 6] = [
    3 << 30,
    (3 << 30) + (1 << 21),
    (3 << 30) + 4096,
    4 << 30,
    6 << 30,
    1 << 38,
];

pub struct Generator<'m> {
    pub machine: &'m Machine,
    pub reference: &'m Reference,
    /// The core of the thread.
    pub core: u64,
    /// Whether the thread may wait.
    pub may_wait: bool,
    /// Whether any priority will do.
    pub any_priority: bool,
}

impl Generator<'_> {
    fn below(&self, limit: u64) -> u64 {
        self.machine.random(usize::try_from(limit).expect("small")) as u64
    }

    fn often(&self) -> bool {
        self.below(10) != 0
    }

    fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.machine.random(from.len())]
    }

    /// Returns a slot whose capability is as wanted, mostly.
    fn slot_with(&self, wanted: impl Fn(&Cap) -> bool) -> u64 {
        let fits = |(place, cap): (&Place, &Cap)| match place {
            Place::Slot(slot) if wanted(cap) && *slot != WINDOW.end => Some(*slot),
            _ => None,
        };
        let found: Vec<u64> = self.reference.caps.iter().filter_map(fits).collect();
        if found.is_empty() || !self.often() {
            return self.pick(&[0, 5000, self.any_slot(), self.any_slot(), self.any_slot()]);
        }
        self.pick(&found)
    }

    /// Returns a slot of an object of `kind` on the thread's own core, mostly.
    fn near(&self, kind: ObjectKind) -> u64 {
        let here = |cap: &Cap| {
            cap.kind == kind
                && (self.below(8) == 0 || self.machine.object_core(cap.object) == self.core)
        };
        self.slot_with(here)
    }

    fn slot_of(&self, kind: ObjectKind) -> u64 {
        self.slot_with(|cap| cap.kind == kind)
    }

    fn any_slot(&self) -> u64 {
        WINDOW.start + self.below(WINDOW.end - WINDOW.start)
    }

    fn window_cap(&self) -> u64 {
        let inside = |slot: &u64| WINDOW.contains(slot);
        let slot = self.slot_with(|_| true);
        if inside(&slot) { slot } else { self.any_slot() }
    }

    fn empty_slot(&self) -> u64 {
        if !self.often() {
            return self.pick(&[0, 5000, self.any_slot()]);
        }
        let first = self.any_slot();
        let mut slots = (first..WINDOW.end).chain(WINDOW.start..first);
        let free = slots.find(|slot| !self.reference.caps.contains_key(&Place::Slot(*slot)));
        free.unwrap_or(first)
    }

    fn deadline(&self) -> u64 {
        let now = self
            .machine
            .kernel
            .arch
            .now
            .load(std::sync::atomic::Ordering::Relaxed);
        if self.may_wait {
            now + self.below(6) * 100
        } else {
            0
        }
    }

    /// Returns a random call: its word and arguments.
    pub fn call(&self) -> (CallNumber, CallWord, [u64; 8]) {
        let number = self.pick(CallNumber::ALL);
        let mut x = [0; 8];
        let made = self.arguments(number);
        x[..made.len()].copy_from_slice(&made);
        let words = self.pick(&[0, 1, 1, 2, 3, 3, 6, 6, 8, 8, 121]);
        let caps = self.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 5]);
        let info = MessageInfo::new()
            .with_words(words)
            .with_caps(caps)
            .with_label(self.pick(&[0, 1, 2, 3]));
        let word = CallWord::new().with_number(number as u8);
        let sends = matches!(
            number,
            CallNumber::Call | CallNumber::Reply | CallNumber::ReplyReceive | CallNumber::ReplyTo
        );
        (number, if sends { word.with_info(info) } else { word }, x)
    }

    /// Puts slots for sent and received capabilities into a message page.
    pub fn fill_page(&self, thread: u64) {
        for index in 0..4 {
            let sent = self.slot_with(|cap| cap.rights.grant());
            self.machine.set_page_word(thread, SENT_SLOTS + index, sent);
            // Received capabilities stay behind: the reference does not follow them.
            self.machine.set_page_word(thread, RECEIVE_SLOTS + index, 0);
        }
    }

    #[expect(clippy::too_many_lines, reason = "a table, a row per call")]
    fn arguments(&self, number: CallNumber) -> Vec<u64> {
        use ObjectKind as Kind;
        match number {
            CallNumber::Identify => vec![self.slot_with(|_| true)],
            CallNumber::Call if !self.may_wait => vec![self.any_slot()],
            CallNumber::Call => vec![self.near(Kind::Endpoint)],
            CallNumber::Receive | CallNumber::ReplyReceive => {
                vec![self.near(Kind::Endpoint), 0, 0, 0, 0, 0, 0, self.deadline()]
            }
            CallNumber::Reply | CallNumber::Yield => vec![],
            CallNumber::SaveReply | CallNumber::ReplyTo => vec![self.near(Kind::Reply)],
            CallNumber::Signal => vec![self.near(Kind::Notification)],
            CallNumber::Wait => {
                vec![
                    self.near(Kind::Notification),
                    0,
                    0,
                    0,
                    0,
                    0,
                    0,
                    self.deadline(),
                ]
            }
            CallNumber::Retype => self.retype(),
            CallNumber::Copy => vec![self.slot_with(|cap| cap.rights.grant()), self.empty_slot()],
            CallNumber::Mint => {
                let mask = self.pick(&[0x3ff, 0x3ff, 0x2ff, 0x1ff, 0x307, self.below(0x400)]);
                let badge = self.pick(&[0, 0, 1, 6, 1 << 40]);
                vec![
                    self.slot_with(|cap| cap.rights.grant()),
                    self.empty_slot(),
                    mask,
                    badge,
                ]
            }
            CallNumber::Move => vec![self.window_cap(), self.empty_slot()],
            CallNumber::Delete => {
                let small = |cap: &Cap| cap.kind != Kind::Untyped || self.below(16) == 0;
                let slot = self.slot_with(small);
                vec![if WINDOW.contains(&slot) {
                    slot
                } else {
                    self.any_slot()
                }]
            }
            CallNumber::Revoke => {
                // Revoking memory ends all that was made: not too often.
                let small = |cap: &Cap| cap.kind != Kind::Untyped || self.below(40) == 0;
                vec![
                    Some(self.slot_with(small))
                        .filter(|slot| WINDOW.contains(slot))
                        .unwrap_or(self.any_slot()),
                ]
            }
            CallNumber::Split => {
                vec![
                    self.slot_with(|cap| cap.kind == Kind::Frame && cap.order > 12),
                    self.empty_slot(),
                ]
            }
            CallNumber::Fund => {
                let free = |cap: &Cap| cap.kind == Kind::Untyped && cap.used == 0 && cap.order < 18;
                vec![self.space(), self.slot_with(free)]
            }
            CallNumber::Map => {
                let rights = self.pick(&[1, 3, 3, 7, 0, 2]);
                let place = self.pick(&PLACES) + self.below(4) * 4096;
                let place = if self.below(20) == 0 {
                    place + 1
                } else {
                    place
                };
                vec![self.slot_of(Kind::Frame), self.space(), place, rights]
            }
            CallNumber::Unmap => vec![self.slot_with(|cap| cap.mapped.is_some())],
            CallNumber::Protect => {
                let (offset, length) = (
                    self.below(3) * 4096,
                    self.pick(&[4096, 4096, 8192, 1 << 20, 5]),
                );
                let frame = self.slot_with(|cap| cap.mapped.is_some());
                vec![frame, offset, length, self.pick(&[0, 1, 3, 2])]
            }
            _ => self.object_arguments(number),
        }
    }

    fn space(&self) -> u64 {
        self.slot_with(|cap| matches!(cap.kind, ObjectKind::Space | ObjectKind::GuestSpace))
    }

    fn retype(&self) -> Vec<u64> {
        use ObjectKind as Kind;
        let kind = if self.often() {
            self.pick(&Kind::ALL[..11])
        } else {
            self.pick(Kind::ALL)
        };
        let size = match kind {
            Kind::Untyped => self.pick(&[12, 13, 13, 13, 14, 14, 15, 11]),
            Kind::Frame => self.pick(&[12, 12, 12, 12, 13, 13, 13, 14, 21, 22, 30, 39]),
            Kind::CapTable => self.pick(&[64, 64, 128, 65]),
            _ => self.below(self.machine.cores() as u64 + u64::from(self.below(8) == 0)),
        };
        let wanted = |cap: &Cap| {
            let large = kind == Kind::Frame && size > 20;
            cap.kind == Kind::Untyped
                && (!large || cap.device)
                && (large || !cap.device || self.below(4) == 0)
        };
        let count = self.pick(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 0, 300]);
        vec![
            self.slot_with(wanted),
            kind.number(),
            size,
            count,
            self.empty_slot(),
        ]
    }

    #[expect(clippy::too_many_lines, reason = "a table, a row per call")]
    fn object_arguments(&self, number: CallNumber) -> Vec<u64> {
        use ObjectKind as Kind;
        let thread = || self.slot_of(Kind::Thread);
        let vcpu = || self.slot_of(Kind::Vcpu);
        let few = || self.pick(&[0, 1, 2, 3, 32, 99]);
        match number {
            CallNumber::ThreadBind => {
                let binding = self.below(8);
                let kinds = [
                    Kind::Space,
                    Kind::CapTable,
                    Kind::Frame,
                    Kind::Endpoint,
                    Kind::Budget,
                    Kind::Notification,
                ];
                let kind = kinds.get(usize::try_from(binding).expect("small")).copied();
                let slot = match kind {
                    Some(Kind::CapTable) => self.pick(&[1, 1, 1, 0, 3]),
                    Some(kind) => self.slot_of(kind),
                    None => self.any_slot(),
                };
                vec![thread(), binding, if self.below(8) == 0 { 0 } else { slot }]
            }
            CallNumber::ThreadStart => vec![thread(), 0x1000, 0x2000, 0],
            CallNumber::ThreadPriority | CallNumber::VcpuPriority => {
                let is_thread = number == CallNumber::ThreadPriority;
                let priority = match (self.any_priority, is_thread) {
                    (true, true) => self.pick(&[60, 60, 59, 58, 64]),
                    (false, true) => self.pick(&[60, 60, 64]),
                    (_, false) => self.pick(&[0, 59, 64]),
                };
                vec![if is_thread { thread() } else { vcpu() }, priority]
            }
            CallNumber::ThreadRecovery => vec![thread(), self.below(3), self.below(3), 0],
            CallNumber::ThreadStop | CallNumber::ThreadResume => vec![thread()],
            CallNumber::ThreadRead | CallNumber::ThreadWrite => vec![thread(), few(), 0],
            CallNumber::BudgetConfigure => {
                let [amount, period, turn] = self.pick(&[
                    [1, 1, 0],
                    [1, 1, 7],
                    [5, 50, 0],
                    [10, 40, 0],
                    [0, 1, 0],
                    [3, 2, 0],
                    [2, 3, 1],
                ]);
                vec![self.slot_of(Kind::Budget), amount, period, turn]
            }
            CallNumber::InterruptTake => {
                vec![
                    self.slot_of(Kind::InterruptControl),
                    self.below(17),
                    self.empty_slot(),
                ]
            }
            CallNumber::InterruptBind => {
                vec![
                    self.slot_of(Kind::Interrupt),
                    self.pick(&[0, self.slot_of(Kind::Notification)]),
                ]
            }
            CallNumber::InterruptAcknowledge => vec![self.slot_of(Kind::Interrupt)],
            CallNumber::FirmwareCall => vec![self.slot_of(Kind::Firmware), self.below(5), 6],
            CallNumber::PortRead | CallNumber::PortWrite => {
                vec![
                    self.slot_of(Kind::IoPorts),
                    self.pick(&[0, 1, 4, 15, 16, 0xfffd, 0x1_0000, u64::MAX]),
                    self.pick(&[1, 1, 2, 4, 3]),
                    self.pick(&[0, 1, 255, 256]),
                ]
            }
            CallNumber::VcpuBind => {
                let kinds = [
                    (6, Kind::GuestSpace),
                    (2, Kind::Frame),
                    (4, Kind::Budget),
                    (5, Kind::Notification),
                ];
                let (binding, kind) = self.pick(&kinds);
                vec![
                    vcpu(),
                    binding,
                    if self.below(8) == 0 {
                        0
                    } else {
                        self.slot_of(kind)
                    },
                ]
            }
            CallNumber::VcpuExitRoute | CallNumber::VcpuDeviceRoute => {
                let clear = self.below(4) == 0;
                vec![
                    vcpu(),
                    self.below(8),
                    if clear {
                        0
                    } else {
                        self.slot_of(Kind::Endpoint)
                    },
                ]
            }
            CallNumber::VcpuRead | CallNumber::VcpuWrite => {
                let ids = [
                    PROGRAM_COUNTER,
                    BYTE,
                    register::TIMER_DEADLINE,
                    register::PENDING_EXIT,
                    99,
                ];
                vec![vcpu(), self.pick(&ids), self.pick(&[0, 1, 255, 256])]
            }
            CallNumber::Inject => {
                vec![vcpu(), self.pick(&[0, 1, 2, 256]), self.pick(&[0, 0, 1, 4])]
            }
            CallNumber::Fence => vec![vcpu(), self.pick(&[1, 1, 1, 3, 0]), self.pick(&[0, 1, 64])],
            CallNumber::AddRoute => {
                let base = self.pick(&[0x1000, 0x2000, 0x3000, u64::MAX]);
                let length = self.pick(&[0x1000, 0x10, 0]);
                vec![
                    self.slot_of(Kind::GuestSpace),
                    self.below(33),
                    self.below(5),
                    base,
                    length,
                ]
            }
            _ => vec![vcpu()],
        }
    }
}

/// Returns rights that a reader sees.
pub const fn read() -> Rights {
    Rights::new().with_read(true)
}
