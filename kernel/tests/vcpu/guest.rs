//! A vCPU with everything it needs.

use abi::call::Binding;
use abi::exit::{AccessInfo, ExitClass, ExitReply, RouteKey};
use abi::{CallNumber, CallWord, MessageInfo, ObjectKind, Rights};
use kernel::arch::{Access, Exit, Trap};
use kernel::fake::Machine;
use kernel::fake::script::{User, with_words};

/// A vCPU with everything it needs, on `core`.
pub struct Guest {
    pub machine: Machine,
    pub core: u64,
    pub vcpu: u64,
    pub id: u64,
    pub space: u64,
    pub fund: u64,
    pub page: u64,
    pub exits: u64,
    pub devices: u64,
    pub server: User,
    pub device: User,
}

impl Guest {
    pub fn new(cores: usize, core: u64) -> Self {
        let machine = Machine::new(cores);
        let space = machine.make(ObjectKind::GuestSpace, 0);
        let fund = machine.make(ObjectKind::Untyped, 16);
        machine.must(CallNumber::Fund, &[space, fund]);
        let vcpu = machine.make(ObjectKind::Vcpu, core);
        let budget = machine.make(ObjectKind::Budget, core);
        machine.must(CallNumber::BudgetConfigure, &[budget, 1, 1]);
        let page = machine.make(ObjectKind::Frame, 12);
        for (binding, slot) in [
            (Binding::GuestSpace, space),
            (Binding::MessagePage, page),
            (Binding::Budget, budget),
        ] {
            machine.must(CallNumber::VcpuBind, &[vcpu, binding.number(), slot]);
        }
        let exits = machine.make(ObjectKind::Endpoint, core);
        let devices = machine.make(ObjectKind::Endpoint, core);
        for class in ExitClass::ALL {
            let badged = machine.slot();
            let all = u64::from(Rights::ALL.into_bits());
            machine.must(
                CallNumber::Mint,
                &[exits, badged, all, 0x100 + class.number()],
            );
            machine.must(CallNumber::VcpuExitRoute, &[vcpu, class.number(), badged]);
        }
        machine.must(CallNumber::VcpuDeviceRoute, &[vcpu, 3, devices]);
        let device = RouteKey::Device.number();
        machine.must(
            CallNumber::AddRoute,
            &[space, 3, device, 0x1000_0000, 0x1000],
        );
        let memory = RouteKey::Memory.number();
        machine.must(
            CallNumber::AddRoute,
            &[space, 4, memory, 0x8000_0000, 1 << 30],
        );
        let (server, device) = (machine.user(core), machine.user(core));
        machine.receive(server.id, exits);
        machine.receive(device.id, devices);
        let id = machine.address(vcpu);
        machine.check();
        Self {
            machine,
            core,
            vcpu,
            id,
            space,
            fund,
            page,
            exits,
            devices,
            server,
            device,
        }
    }

    pub fn core(&self) -> usize {
        usize::try_from(self.core).expect("small")
    }

    /// Lets the guest run: the servers wait.
    pub fn resume(&self) {
        self.machine.must(CallNumber::VcpuResume, &[self.vcpu]);
        self.machine.check();
    }

    /// Lets the guest leave with `exit`.
    pub fn exit(&self, exit: Exit) {
        assert!(
            self.machine.in_guest(self.core()),
            "{:?}",
            self.machine.state(self.id)
        );
        self.machine.trap(self.core(), Trap::Exit(exit));
        self.machine.settle();
        self.machine.check();
    }

    /// Answers the exit that a server has.
    pub fn answer(&self, server: User, reply: ExitReply, words: &[u64]) {
        let label = u16::try_from(reply.number()).expect("small");
        let info = MessageInfo::new().with_words(words.len()).with_label(label);
        let word = CallWord::new()
            .with_number(CallNumber::Reply as u8)
            .with_info(info);
        let sent = self.machine.send(server.id, word, &with_words(0, words));
        assert_eq!(sent.expect("done").status(), Ok(()));
        self.machine.check();
    }
}

/// A load of the fake machine's word at `address`, described by hardware.
pub fn load(address: u64) -> Exit {
    let info = AccessInfo::new()
        .with_size_log2(2)
        .with_register(5)
        .with_instruction_length(4);
    Exit::Access(Access {
        key: RouteKey::Device,
        address,
        virtual_address: 0,
        cause: 21,
        description: info.into_bits(),
    })
}

impl Guest {
    /// Lets the guest run on its core: whoever else would run there waits or is stopped.
    pub fn run_low(&self) {
        let machine = &self.machine;
        if machine.in_guest(self.core()) {
            return;
        }
        // The guest gets more urgent than who spins beside it.
        machine.must(CallNumber::VcpuPriority, &[self.vcpu, 62]);
        assert!(
            machine.in_guest(self.core()),
            "{:?}",
            machine.state(self.id)
        );
    }
}
