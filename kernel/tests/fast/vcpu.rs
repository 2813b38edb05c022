//! Calls on a vCPU: lines that are raised and lowered, registers that are read and written.

use super::guest::guest;
use abi::{CallNumber, CallWord, ObjectKind, Rights, register};
use kernel::arch::{Exit, Trap};
use kernel::fake::Machine;
use kernel::fake::guest::{BYTE, GENERAL, LINES};
use kernel::fake::script::User;
use proptest::prelude::*;

/// What calls can be about: a vCPU, it without the right to inject, and without that to control, a
/// notification, and nothing.
const TARGETS: usize = 5;
/// Registers: of the guest, with a limit, of the kernel, and none.
const REGISTERS: [u64; 8] = [
    GENERAL,
    GENERAL + 1,
    BYTE,
    register::TIMER_DEADLINE,
    register::PENDING_EXIT,
    register::IS_IDLE,
    register::COUNT_CLASS,
    12345,
];

/// A machine with a guest whose exits nobody serves, and a thread on each of two cores: that of the
/// guest's runs where the guest does not.
struct Stage {
    machine: Machine,
    /// The vCPU's address.
    id: u64,
    targets: [u64; TARGETS],
    users: [User; 2],
}

impl Stage {
    fn new(takes_fast_paths: bool) -> Self {
        let machine = Machine::new(2);
        if !takes_fast_paths {
            machine.leave_all_to_the_general_path();
        }
        let [endpoint, memory] = [0; 2].map(|core| machine.make(ObjectKind::Endpoint, core));
        let notification = machine.make(ObjectKind::Notification, 0);
        let (vcpu, id) = guest(&machine, [endpoint, memory], true);
        let [controls, injects] = [
            Rights::new().with_control(true),
            Rights::new().with_inject(true),
        ]
        .map(|rights| {
            let slot = machine.slot();
            let mint = [vcpu, slot, rights.into_bits().into(), 0];
            machine.must(CallNumber::Mint, &mint);
            slot
        });
        let targets = [vcpu, controls, injects, notification, machine.slot()];
        let users = [0, 1].map(|core| machine.user(core));
        machine.must(CallNumber::ThreadPriority, &[users[0].slot, 40]);
        machine.must(CallNumber::VcpuPriority, &[vcpu, 50]);
        machine.must(CallNumber::VcpuResume, &[vcpu]);
        // The first process leaves the machine to the others.
        let never = machine.make(ObjectKind::Endpoint, 0);
        assert_eq!(machine.receive(machine.init, never), None);
        Self {
            machine,
            id,
            targets,
            users,
        }
    }

    /// Does what a step says, where it can be done; returns everything that there is then.
    fn step(&self, step: &Step) -> Vec<u64> {
        let machine = &self.machine;
        match *step {
            Step::Exit(exit) if machine.current(0) == Some(self.id) => {
                machine.trap(0, Trap::Exit(exit));
            }
            Step::Call(core, number, target, arguments) => {
                let user = self.users[core].id;
                if machine.current(core) == Some(user) {
                    let word = CallWord::new().with_number(number as u8);
                    let [first, second] = arguments;
                    machine.start(user, word, &[self.targets[target], first, second]);
                }
            }
            Step::Exit(_) => {}
        }
        machine.settle();
        for user in &self.users {
            machine.finish_if_done(user.id);
        }
        machine.check();
        machine.image()
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// The guest leaves.
    Exit(Exit),
    /// The thread of a core makes a call with two arguments about a target.
    Call(usize, CallNumber, usize, [u64; 2]),
}

/// Draws a step.
fn step() -> impl Strategy<Value = Step> {
    let core = prop::sample::select(vec![0_usize, 0, 0, 1]);
    let target = prop::sample::select(vec![0_usize, 0, 0, 0, 1, 2, 3, 4]);
    let lines = prop_oneof![3 => (0..=LINES, 0..=LINES), 1 => any::<(u64, u64)>()];
    let inject = lines.prop_map(|(raise, lower)| {
        let lower = if lower & 1 == 0 {
            lower & !raise
        } else {
            lower
        };
        (CallNumber::Inject, [raise, lower])
    });
    let id = prop::sample::select(REGISTERS.to_vec());
    let read = id.clone().prop_map(|id| (CallNumber::VcpuRead, [id, 0]));
    let value = prop_oneof![Just(0), 0..300_u64, any::<u64>()];
    let write = (id, value).prop_map(|(id, value)| (CallNumber::VcpuWrite, [id, value]));
    let other = prop_oneof![Just(CallNumber::VcpuStop), Just(CallNumber::VcpuResume)];
    let call = prop_oneof![
        5 => inject,
        3 => read,
        4 => write,
        4 => other.prop_map(|number| (number, [0; 2])),
    ];
    let call = (core, call, target).prop_map(|(core, (number, arguments), target)| {
        Step::Call(core, number, target, arguments)
    });
    let exit = prop_oneof![Just(Exit::Hypercall), Just(Exit::Idle)];
    prop_oneof![8 => call, 3 => exit.prop_map(Step::Exit)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_fast_call_on_a_vcpu_leaves_what_the_general_path_leaves(
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let (fast, general) = (Stage::new(true), Stage::new(false));
        for step in &steps {
            prop_assert_eq!(fast.step(step), general.step(step), "{:?}", step);
        }
        prop_assert_eq!(general.machine.fast_paths_taken(), 0);
    }
}

#[test]
fn lines_and_registers_of_a_vcpu_that_waits_take_fast_paths() {
    let stage = Stage::new(true);
    let takes = |paths: u64, step: Step, what: &str| {
        let before = stage.machine.fast_paths_taken();
        stage.step(&step);
        let taken = stage.machine.fast_paths_taken() - before;
        assert_eq!(taken, paths, "{what}");
    };
    let call = |target, number, arguments| Step::Call(0, number, target, arguments);
    takes(0, Step::Exit(Exit::Hypercall), "nobody serves the exit");
    let inject = |target| call(target, CallNumber::Inject, [1, 2]);
    takes(1, inject(0), "lines");
    takes(1, inject(2), "lines, with the right for it alone");
    takes(0, inject(1), "lines without the right");
    let both = call(0, CallNumber::Inject, [3, 1]);
    takes(0, both, "a line that is raised and lowered");
    let read = |id| call(1, CallNumber::VcpuRead, [id, 0]);
    takes(1, read(GENERAL), "a register");
    takes(0, read(12345), "a register that there is not");
    let write = |target, value| call(target, CallNumber::VcpuWrite, [BYTE, value]);
    takes(1, write(0, 255), "a register's new value");
    takes(0, write(0, 256), "what a register cannot have");
    takes(0, write(2, 255), "a register without the right");
    let far = Step::Call(1, CallNumber::VcpuRead, 0, [GENERAL, 0]);
    takes(0, far, "a register of another core's");
    takes(0, call(0, CallNumber::VcpuStop, [0; 2]), "a stop");
    takes(
        1,
        call(0, CallNumber::VcpuWrite, [register::PENDING_EXIT, 0]),
        "an exit that is given up",
    );
    takes(0, call(0, CallNumber::VcpuResume, [0; 2]), "it runs");
    takes(0, Step::Exit(Exit::Idle), "it waits");
    takes(0, inject(0), "a line that wakes it");
    assert_eq!(stage.machine.current(0), Some(stage.id));
}
