//! Exits, faults and signals that wake: servers, one of which keeps its own budget, a guest with
//! devices and memory, and threads that fault and signal.

use abi::call::{Binding, FOREVER};
use abi::exit::{AccessInfo, ExitClass, ExitReply, RouteKey};
use abi::fault::FaultKind;
use abi::{CallNumber, CallWord, MessageInfo, ObjectKind};
use kernel::arch::{Access, Exit, Trap};
use kernel::fake::Machine;
use kernel::fake::script::{User, with_words};
use proptest::prelude::*;

/// Ticks of a turn.
const TURN: u64 = 100;

/// A machine with a guest.
struct Stage {
    machine: Machine,
    /// Where exits, accesses and faults are served.
    endpoint: u64,
    /// Where exits to memory are served, by a server on its own budget.
    memory: u64,
    /// The notification that is bound to the first server, and one to wait for.
    notifications: [u64; 2],
    /// The vCPU's address.
    id: u64,
    takes_turns: bool,
    /// The server of the first endpoint, that of the second, one that waits for signals, and one
    /// that makes faults and signals.
    users: [User; 4],
}

impl Stage {
    fn new(takes_fast_paths: bool, takes_turns: bool) -> Self {
        let machine = Machine::new(2);
        if !takes_fast_paths {
            machine.leave_all_to_the_general_path();
        }
        let [endpoint, memory] = [0; 2].map(|core| machine.make(ObjectKind::Endpoint, core));
        let notifications = [0; 2].map(|core| machine.make(ObjectKind::Notification, core));
        let (vcpu, id) = guest(&machine, [endpoint, memory], takes_turns);
        let users = [(); 4].map(|()| machine.stopped_user(0));
        let [first, second, _, actor] = &users;
        let bind = |user: &User, binding: Binding, slot| {
            let arguments = [user.slot, binding.number(), slot, 1];
            machine.must(CallNumber::ThreadBind, &arguments);
        };
        bind(first, Binding::Notification, notifications[0]);
        bind(actor, Binding::FaultHandler, endpoint);
        machine.must(
            CallNumber::ThreadBind,
            &[second.slot, Binding::Budget.number(), 0],
        );
        bind(second, Binding::Budget, second.budget);
        for user in &users {
            machine.must(CallNumber::ThreadResume, &[user.slot]);
        }
        for (user, endpoint) in users.iter().zip([endpoint, memory]) {
            machine.receive(user.id, endpoint);
        }
        for (user, priority) in users.iter().zip([58, 59, 57, 40]) {
            machine.must(CallNumber::ThreadPriority, &[user.slot, priority]);
        }
        machine.must(CallNumber::VcpuPriority, &[vcpu, 50]);
        let stage = Self {
            machine,
            endpoint,
            memory,
            notifications,
            id,
            takes_turns,
            users,
        };
        let machine = &stage.machine;
        machine.must(CallNumber::VcpuResume, &[vcpu]);
        // The first process leaves the machine to the others.
        let never = machine.make(ObjectKind::Endpoint, 0);
        assert_eq!(machine.receive(machine.init, never), None);
        stage
    }

    /// Lets whoever runs do something; returns everything that there is then.
    fn step(&self, step: &Step) -> Vec<u64> {
        let machine = &self.machine;
        // What is charged to a turn, and when, is the one thing that may differ.
        machine.advance(if self.takes_turns { 0 } else { step.ticks });
        match machine.current(0) {
            Some(id) if id == self.id => machine.trap(0, Trap::Exit(step.exit)),
            Some(user) if !machine.is_calling(user) => self.act(user, step),
            _ => {}
        }
        machine.settle();
        let all = self.users.iter().map(|user| user.id);
        for user in all.chain([machine.init]) {
            machine.finish_if_done(user);
        }
        machine.check();
        let times = machine.kernel.arch.cores[0]
            .timer
            .load(core::sync::atomic::Ordering::SeqCst);
        let mut image = machine.image();
        image.push(times.min(u64::MAX - 1));
        image
    }

    /// Takes a step that takes so many fast paths, behind which `now` runs.
    fn does(&self, step: &Step, taken: u64, now: u64, what: &str) {
        let before = self.machine.fast_paths_taken();
        self.step(step);
        let after = self.machine.fast_paths_taken();
        assert_eq!(after, before + taken, "{what}");
        assert_eq!(self.machine.current(0), Some(now), "who runs behind {what}");
    }

    /// Lets a thread do what it is there for.
    fn act(&self, user: u64, step: &Step) {
        let machine = &self.machine;
        let [first, second, waits, actor] = self.users.each_ref().map(|user| user.id);
        let label = u16::try_from(step.reply.number()).expect("small");
        let info = MessageInfo::new().with_words(step.words).with_label(label);
        let call = |number: CallNumber| CallWord::new().with_number(number as u8).with_info(info);
        // An address, or an instruction's length: 0 or 8.
        let place = 0x1000_0000 + 8 * (step.words as u64 % 2);
        let words = [place, step.access.into_bits(), 77];
        if user == first || user == second {
            let endpoint = if user == first {
                self.endpoint
            } else {
                self.memory
            };
            let number = if step.receives {
                CallNumber::Receive
            } else {
                CallNumber::ReplyReceive
            };
            let arguments = with_words(endpoint, &words);
            machine.start(user, call(number), &arguments);
        } else if user == waits {
            let arguments = [self.notifications[1], 0, 0, 0, 0, 0, 0, FOREVER];
            machine.start(user, call(CallNumber::Wait), &arguments);
        } else if user == actor && step.faults {
            machine.trap(
                0,
                Trap::Fault {
                    kind: step.fault,
                    address: 0x7000,
                    cause: 13,
                },
            );
        } else if user == actor && step.words == 5 {
            machine.start(
                user,
                call(CallNumber::Call),
                &with_words(self.memory, &words),
            );
        } else {
            let notification = self.notifications[step.words % 2];
            machine.start(user, call(CallNumber::Signal), &[notification]);
        }
    }
}

/// Makes a vCPU whose exits are served at the first endpoint, and those to memory at the second.
pub(super) fn guest(
    machine: &Machine,
    [endpoint, memory]: [u64; 2],
    takes_turns: bool,
) -> (u64, u64) {
    let space = machine.make(ObjectKind::GuestSpace, 0);
    let fund = machine.make(ObjectKind::Untyped, 16);
    machine.must(CallNumber::Fund, &[space, fund]);
    let vcpu = machine.make(ObjectKind::Vcpu, 0);
    let budget = machine.make(ObjectKind::Budget, 0);
    let turn = if takes_turns { TURN } else { 0 };
    machine.must(CallNumber::BudgetConfigure, &[budget, 1000, 1000, turn]);
    let page = machine.make(ObjectKind::Frame, 12);
    for (binding, slot) in [
        (Binding::GuestSpace, space),
        (Binding::MessagePage, page),
        (Binding::Budget, budget),
    ] {
        machine.must(CallNumber::VcpuBind, &[vcpu, binding.number(), slot]);
    }
    for class in ExitClass::ALL {
        let to = match class {
            ExitClass::Memory => memory,
            _ => endpoint,
        };
        machine.must(CallNumber::VcpuExitRoute, &[vcpu, class.number(), to]);
    }
    machine.must(CallNumber::VcpuDeviceRoute, &[vcpu, 3, endpoint]);
    for (index, key, base) in [
        (3, RouteKey::Device, 0x1000_0000),
        (4, RouteKey::Memory, 0x8000_0000),
    ] {
        let route = [space, index, key.number(), base, 0x1000];
        machine.must(CallNumber::AddRoute, &route);
    }
    (vcpu, machine.address(vcpu))
}

/// What whoever runs does, each as it can.
#[derive(Clone, Debug)]
struct Step {
    exit: Exit,
    reply: ExitReply,
    access: AccessInfo,
    words: usize,
    receives: bool,
    faults: bool,
    fault: FaultKind,
    ticks: u64,
}

/// An access to memory or a device.
fn access(address: u64, access: Option<AccessInfo>) -> Exit {
    Exit::Access(Access {
        key: RouteKey::Device,
        address,
        virtual_address: address + 1,
        cause: 21,
        description: access.map_or(0, AccessInfo::into_bits),
    })
}

/// Draws a step.
fn step() -> impl Strategy<Value = Step> {
    let info = (0..4_u8, any::<bool>(), 0..32_u8).prop_map(|(size, write, register)| {
        AccessInfo::new()
            .with_size_log2(size)
            .with_write(write)
            .with_register(register)
            .with_instruction_length(4)
    });
    let exit = info.clone().prop_flat_map(|info| {
        prop_oneof![
            4 => Just(Exit::Hypercall),
            4 => Just(access(0x1000_0010, Some(info))),
            1 => Just(access(0x1000_0010, None)),
            4 => Just(access(0x8000_0010, None)),
            1 => Just(access(0x2000_0000, None)),
            1 => Just(Exit::Instruction { bits: 3 }),
            1 => Just(Exit::Idle),
        ]
    });
    let reply = prop_oneof![
        12 => Just(ExitReply::Resume),
        3 => Just(ExitReply::Behind),
        2 => Just(ExitReply::Forward),
        1 => Just(ExitReply::Decline),
        1 => Just(ExitReply::Idle),
    ];
    let fault = prop_oneof![
        Just(FaultKind::Load),
        Just(FaultKind::Breakpoint),
        Just(FaultKind::IllegalInstruction)
    ];
    let ticks = prop_oneof![3 => Just(0), 1 => 1..TURN];
    (
        exit,
        (reply, info),
        0..7_usize,
        prop::bool::weighted(0.1),
        any::<bool>(),
        fault,
        ticks,
    )
        .prop_map(
            |(exit, (reply, access), words, receives, faults, fault, ticks)| Step {
                exit,
                reply,
                access,
                words,
                receives,
                faults,
                fault,
                ticks,
            },
        )
}

/// Returns where two images differ, and what they have there.
fn differences(one: &[u64], other: &[u64]) -> Vec<(usize, u64, u64)> {
    assert_eq!(one.len(), other.len(), "both have the same objects");
    let pairs = one.iter().zip(other).enumerate();
    let differ = pairs.filter(|(_, (one, other))| one != other);
    differ
        .map(|(at, (one, other))| (at, *one, *other))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_exit_a_fault_or_a_signal_leaves_what_the_general_path_leaves(
        steps in prop::collection::vec(step(), 1..80),
        takes_turns: bool,
    ) {
        let (fast, general) = (Stage::new(true, takes_turns), Stage::new(false, takes_turns));
        for step in &steps {
            prop_assert_eq!(differences(&fast.step(step), &general.step(step)), [], "{:?}", step);
        }
        prop_assert_eq!(general.machine.fast_paths_taken(), 0);
    }
}

/// Returns a step of what needs nothing else.
fn usual() -> Step {
    Step {
        exit: Exit::Hypercall,
        reply: ExitReply::Resume,
        access: AccessInfo::new(),
        words: 1,
        receives: false,
        faults: true,
        fault: FaultKind::Breakpoint,
        ticks: 0,
    }
}

#[test]
fn exits_faults_and_signals_that_wake_take_fast_paths() {
    let stage = Stage::new(true, true);
    let does = |step: &Step, taken: u64, now: u64, what: &str| stage.does(step, taken, now, what);
    let step = usual();
    let [first, second, waits, actor] = stage.users.each_ref().map(|user| user.id);
    does(&step, 0, stage.id, "a wait");
    let described = AccessInfo::new().with_instruction_length(4);
    for (what, exit, server) in [
        ("a hypercall", Exit::Hypercall, first),
        ("an instruction", Exit::Instruction { bits: 3 }, first),
        ("an access", access(0x1000_0010, Some(described)), first),
        ("a missing page", access(0x8000_0010, None), second),
    ] {
        let step = Step {
            exit,
            ..step.clone()
        };
        does(&step, 1, server, what);
        does(&step, 1, stage.id, "its answer");
    }
    let idles = Step {
        exit: Exit::Idle,
        ..step.clone()
    };
    does(&idles, 0, actor, "a guest that waits");
    does(&step, 1, first, "a fault");
    does(&step, 1, actor, "its answer");
    let signals = Step {
        faults: false,
        ..step
    };
    does(&signals, 1, waits, "a signal that ends a wait");
    does(&signals, 0, actor, "a wait");
    let to_bound = Step {
        words: 2,
        ..signals.clone()
    };
    does(&to_bound, 1, first, "a signal at an endpoint");
    let receives = Step {
        receives: true,
        ..signals.clone()
    };
    does(&receives, 0, actor, "a receive");
    let calls = Step {
        words: 5,
        ..signals.clone()
    };
    does(&calls, 1, second, "a call of a server on its own budget");
    does(&signals, 1, actor, "its answer");
}

#[test]
fn what_a_server_emulated_or_decoded_takes_fast_paths() {
    let stage = Stage::new(true, true);
    let does = |step: &Step, now: u64, what: &str| stage.does(step, 1, now, what);
    let step = usual();
    let [first, second, ..] = stage.users.each_ref().map(|user| user.id);
    stage.does(&step, 0, stage.id, "a wait");
    let missing = Step {
        exit: access(0x8000_0010, None),
        reply: ExitReply::Forward,
        ..step.clone()
    };
    does(&missing, second, "a missing page");
    does(&missing, first, "an access in its place");
    does(&step, stage.id, "its answer");
    let emulated = Step {
        reply: ExitReply::Behind,
        ..step
    };
    does(&emulated, first, "an instruction");
    does(&emulated, stage.id, "its answer");
}

#[test]
fn an_instruction_of_no_length_is_skipped_by_both_paths() {
    // What held interrupts off ends with it, as with every other (`Behind` of a string's element).
    let stages = [true, false].map(|fast| Stage::new(fast, false));
    let step = Step {
        reply: ExitReply::Behind,
        words: 2,
        ..usual()
    };
    for what in ["a wait", "a hypercall", "its answer"] {
        let [fast, general] = stages.each_ref().map(|stage| stage.step(&step));
        assert_eq!(differences(&fast, &general), [], "{what}");
    }
    let [fast, general] = stages.each_ref().map(|it| it.machine.fast_paths_taken());
    assert_eq!((fast, general), (2, 0), "the exit and its answer");
}
