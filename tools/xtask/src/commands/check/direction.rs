//! Kinds of crates, and which may depend on which (`docs/style.md`).

use cargo_metadata::Package;

use crate::workspace::Workspace;

/// What a crate is, told by where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A machine's image: `bsp/*`.
    Image,
    /// Register layouts: `bsp/*/regs`.
    Registers,
    /// What a kernel says when it stops its machine.
    Report,
    /// The portable kernel.
    Kernel,
    /// The kernel's arena.
    Arena,
    /// The numbers of the system calls.
    Abi,
    /// The runtime of servers.
    Runtime,
    /// The protocols' base.
    Api,
    /// One server's protocol: `servers/**/api`.
    ServerApi,
    /// Copies in and out of guest memory.
    GuestMemory,
    /// The virtqueue mechanism.
    Queue,
    /// The first process.
    Init,
    /// A device that guests see.
    Device,
    /// A driver of the host.
    Driver,
    /// Any other server.
    Server,
    /// The system manifest.
    Manifest,
    /// The decoder of the log, for the other tools.
    LogView,
    /// What a trace of a machine looks like.
    Trace,
    /// The plugin of the emulator that writes one.
    Tracer,
    /// A bare-metal guest of ours.
    Guest,
    /// A fuzz target: may use whatever it exercises.
    Fuzz,
    /// A program for the developer's machine.
    Tool,
}

/// Returns what `package` is, or nothing where its place is unknown.
pub fn kind(workspace: &Workspace, package: &Package) -> Option<Kind> {
    let folder = package.manifest_path.parent()?.as_std_path();
    kind_of(folder.strip_prefix(workspace.root()).ok()?.to_str()?)
}

/// Returns the kind of the crate in a folder of the repository.
pub fn kind_of(folder: &str) -> Option<Kind> {
    let parts: Vec<_> = folder.split('/').collect();
    Some(match parts.as_slice() {
        ["kernel"] => Kind::Kernel,
        ["kernel", "arena"] => Kind::Arena,
        ["kernel", "abi"] => Kind::Abi,
        ["bsp", _, "regs"] => Kind::Registers,
        ["bsp", "report"] => Kind::Report,
        ["bsp", _] | ["bsp", _, "loader"] => Kind::Image,
        ["servers", "rt"] => Kind::Runtime,
        ["servers", "api"] => Kind::Api,
        ["servers", "init"] => Kind::Init,
        ["servers", "guest-memory"] => Kind::GuestMemory,
        ["servers", .., "api"] => Kind::ServerApi,
        ["servers", "device", "queue"] => Kind::Queue,
        ["servers", "device", _] => Kind::Device,
        ["servers", "driver", _] => Kind::Driver,
        ["servers", _] => Kind::Server,
        ["tools", "manifest"] => Kind::Manifest,
        ["tools", "logview"] => Kind::LogView,
        ["tools", "trace"] => Kind::Trace,
        ["tools", "tracer"] => Kind::Tracer,
        ["tools", "guests", ..] => Kind::Guest,
        ["tools", "fuzz", ..] => Kind::Fuzz,
        ["tools", _] => Kind::Tool,
        _ => return None,
    })
}

impl Kind {
    /// Returns what a crate of this kind may depend on, dependencies of tests aside.
    ///
    /// `abi` is allowed wherever the kernel's numbers are spoken: servers name its errors and
    /// rights in what they ask of `rt`.
    pub const fn may_use(self) -> &'static [Self] {
        use Kind::*;
        match self {
            Image => &[Kernel, Arena, Abi, Registers, Report],
            Kernel => &[Abi, Arena],
            Registers | Report | Arena | Abi | Api | Manifest | Trace => &[],
            Runtime => &[Abi, Api],
            ServerApi => &[Abi, Api],
            GuestMemory => &[Runtime, Abi, Api, ServerApi],
            Queue => &[GuestMemory],
            Init => &[Runtime, Abi, Api, ServerApi, Registers, Manifest],
            Server => &[Runtime, Abi, Api, ServerApi, Registers, GuestMemory],
            Device => &[Runtime, Abi, Api, ServerApi, Queue, GuestMemory],
            Driver => &[Runtime, Abi, Api, ServerApi, Registers],
            Guest => &[Registers],
            LogView => &[Manifest, Abi, Api],
            Tracer => &[Trace],
            Tool => &[Manifest, LogView, Trace, Abi, Api, ServerApi],
            Fuzz => &[
                Kernel,
                Arena,
                Abi,
                Registers,
                Runtime,
                Api,
                ServerApi,
                GuestMemory,
                Queue,
                Init,
                Device,
                Driver,
                Server,
                Manifest,
            ],
        }
    }

    /// Tells whether crates of this kind may contain unsafe code; `docs/safety.md` says why.
    pub const fn may_be_unsafe(self) -> bool {
        matches!(
            self,
            Self::Image
                | Self::Arena
                | Self::Runtime
                | Self::GuestMemory
                | Self::Guest
                | Self::Tracer
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_known_by_its_place() {
        for (folder, kind) in [
            ("kernel", Kind::Kernel),
            ("bsp/riscv", Kind::Image),
            ("bsp/riscv/regs", Kind::Registers),
            ("servers/irq", Kind::Server),
            ("servers/irq/api", Kind::ServerApi),
            ("servers/api", Kind::Api),
            ("servers/device/uart16550", Kind::Device),
            ("servers/driver/uart", Kind::Driver),
            ("tools/logview", Kind::LogView),
            ("tools/tracer", Kind::Tracer),
            ("tools/xtask", Kind::Tool),
        ] {
            assert_eq!(kind_of(folder), Some(kind), "{folder}");
        }
        assert_eq!(kind_of("somewhere/else"), None);
    }

    #[test]
    fn nothing_but_tools_depends_on_a_tool() {
        use Kind::*;
        for kind in [
            Image,
            Kernel,
            Arena,
            Abi,
            Registers,
            Runtime,
            Api,
            ServerApi,
            GuestMemory,
            Queue,
            Init,
            Device,
            Driver,
            Server,
            Manifest,
            Guest,
        ] {
            assert!(!kind.may_use().contains(&LogView), "{kind:?}");
            assert!(!kind.may_use().contains(&Tool), "{kind:?}");
        }
        assert!(Tool.may_use().contains(&LogView));
    }

    #[test]
    fn nothing_depends_on_an_image_and_no_server_on_a_server() {
        use Kind::*;
        for kind in [
            Image, Kernel, Registers, Runtime, ServerApi, Init, Device, Driver, Server, Tool,
        ] {
            assert!(!kind.may_use().contains(&Image), "{kind:?}");
            assert!(!kind.may_use().contains(&Server), "{kind:?}");
        }
        assert!(!Kernel.may_use().contains(&Runtime));
    }
}
