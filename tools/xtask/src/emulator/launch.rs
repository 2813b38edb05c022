//! A machine that is ready to be started: the program, its serial line, and what its end means.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long an emulator may take to connect its serial line.
const CONNECT: Duration = Duration::from_secs(60);
/// How often that is looked at.
const TICK: Duration = Duration::from_millis(20);

/// Where an emulator has the machine's serial line.
#[derive(Debug)]
pub enum Line {
    /// On its standard input and output.
    Output,
    /// On a connection that it makes to this socket.
    Socket(TcpListener),
}

/// What the emulator's exit status is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Success is that the machine was switched off and did not say that it failed.
    Status,
    /// Nothing: a clean end has to be told by the serial line.
    Line,
    /// Nothing: Hercules's log has the PSW of the wait that the machine ended in.
    Wait,
}

/// An emulator's command with all that a run has to know about it.
#[derive(Debug)]
pub struct Launch {
    /// The command.
    pub command: Command,
    /// Its serial line.
    pub line: Line,
    /// What its exit status is worth.
    pub verdict: Verdict,
    /// Where QEMU notes resets, if it does.
    pub resets: Option<PathBuf>,
}

/// What QEMU notes where an x86 processor faults on the way to its double fault: it resets the machine
/// then, which with `-no-reboot` is a success.
const TRIPLE_FAULT: &str = "Triple fault";

/// An emulator that runs.
pub struct Running {
    /// Its process.
    pub child: Child,
    /// What the machine writes.
    pub output: Box<dyn Read + Send>,
    /// Where keys go that we type by ourselves.
    pub keys: Option<Box<dyn Write + Send>>,
}

/// Who types on the machine's serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nobody.
    Nothing,
    /// The user, on our standard input.
    Terminal,
    /// We ourselves.
    Program,
}

impl Launch {
    /// Returns the launch of a command that has the line on its standard input and output and
    /// tells failures by its status.
    pub fn plain(command: Command) -> Self {
        Self {
            command,
            line: Line::Output,
            verdict: Verdict::Status,
            resets: None,
        }
    }

    /// Lets QEMU note resets in this file, so that one by a triple fault is told from an end.
    pub fn note_resets(&mut self, file: PathBuf) {
        // What an earlier run left there is not this one's.
        let _ = std::fs::remove_file(&file);
        self.command.args(["-d", "cpu_reset", "-D"]).arg(&file);
        self.resets = Some(file);
    }

    /// Tells whether a triple fault was noted; else the notes are removed.
    fn has_faulted(&self) -> bool {
        let Some(file) = &self.resets else {
            return false;
        };
        let notes = std::fs::read_to_string(file).unwrap_or_default();
        let is_one = notes.contains(TRIPLE_FAULT);
        if !is_one {
            let _ = std::fs::remove_file(file);
        }
        is_one
    }

    /// Starts the emulator.
    pub fn start(&mut self, input: Input) -> Result<Running> {
        let name = self.command.get_program().display().to_string();
        let context = || format!("cannot start {name}");
        match &self.line {
            Line::Output => {
                let input = match input {
                    Input::Nothing => Stdio::null(),
                    Input::Terminal => Stdio::inherit(),
                    Input::Program => Stdio::piped(),
                };
                self.command.stdin(input).stdout(Stdio::piped());
                let mut child = self.command.spawn().with_context(context)?;
                let output = child.stdout.take().context("the emulator has no output")?;
                let keys = child.stdin.take().map(|keys| Box::new(keys) as _);
                let output = Box::new(output);
                Ok(Running {
                    child,
                    output,
                    keys,
                })
            }
            Line::Socket(listener) => {
                self.command.stdin(Stdio::null()).stdout(Stdio::null());
                let mut child = self
                    .command
                    .stderr(Stdio::null())
                    .spawn()
                    .with_context(context)?;
                let line = connected(listener, &mut child)?;
                let mut keys = None;
                match input {
                    Input::Nothing => {}
                    Input::Terminal => send_keys(line.try_clone()?),
                    Input::Program => keys = Some(Box::new(line.try_clone()?) as _),
                }
                let output = Box::new(line);
                Ok(Running {
                    child,
                    output,
                    keys,
                })
            }
        }
    }

    /// Returns what a finished emulator's status says against it, given that the line, of which
    /// these are the lines, `told` how the machine ended.
    pub fn complaint(&self, status: ExitStatus, told: bool, lines: &[String]) -> Option<String> {
        match self.verdict {
            Verdict::Status if self.has_faulted() => {
                Some("a triple fault reset the machine".to_owned())
            }
            Verdict::Status => (!status.success()).then(|| status.to_string()),
            Verdict::Line => {
                (!told).then(|| format!("it stopped without a closing line ({status})"))
            }
            Verdict::Wait => {
                let psw = lines.iter().rev().find_map(|line| wait(line));
                let psw = psw.unwrap_or("which its log does not have");
                (psw != CLEAN_WAIT).then(|| format!("it stopped with the PSW {psw}"))
            }
        }
    }
}

/// The PSW that ends a machine of s390x well: a disabled wait at address 0xfff.
const CLEAN_WAIT: &str = "00020001 80000000 0000000000000FFF";

/// Returns the PSW in a line of Hercules's log.
fn wait(line: &str) -> Option<&str> {
    line.trim().strip_prefix("PSW=")
}

/// Returns a socket for a serial line, and its port on this host.
pub fn socket() -> Result<(Line, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no socket for the line")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    Ok((Line::Socket(listener), port))
}

/// Returns the serial line that the emulator connects.
fn connected(listener: &TcpListener, child: &mut Child) -> Result<TcpStream> {
    let started = Instant::now();
    loop {
        match listener.accept() {
            Ok((line, _)) => {
                line.set_nonblocking(false)?;
                return Ok(line);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("no connection for the line"),
        }
        if let Some(status) = child.try_wait()? {
            bail!("the emulator ended before it connected its serial line: {status}");
        }
        if started.elapsed() >= CONNECT {
            child.kill()?;
            child.wait()?;
            bail!("the emulator did not connect its serial line");
        }
        thread::sleep(TICK);
    }
}

/// Sends what is typed to the machine, a line at a time: the terminal stays as it is.
fn send_keys(mut line: TcpStream) {
    thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok(length) = std::io::stdin().read(&mut buffer) {
            if length == 0 || line.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a launch of a script that has the line on a socket; `PORT` in it is the port.
    fn script(text: &str) -> Launch {
        let (line, port) = socket().expect("a host has sockets");
        let mut command = Command::new("bash");
        command.args(["-c", &text.replace("PORT", &port.to_string())]);
        Launch {
            command,
            line,
            verdict: Verdict::Line,
            resets: None,
        }
    }

    #[test]
    fn a_line_on_a_socket_is_read_to_its_end() {
        let mut launch = script("exec 3<>/dev/tcp/127.0.0.1/PORT; echo one >&3; echo two >&3");
        let mut running = launch.start(Input::Nothing).expect("starts");
        let mut text = String::new();
        running.output.read_to_string(&mut text).expect("is text");
        assert_eq!(text, "one\ntwo\n");
        assert!(running.child.wait().expect("ends").success());
    }

    #[test]
    fn an_emulator_that_ends_without_a_line_is_an_error() {
        assert!(script("exit 1").start(Input::Nothing).is_err());
    }

    #[test]
    fn a_status_without_worth_needs_a_closing_line() {
        let status = |code: &str| {
            Command::new("sh")
                .args(["-c", code])
                .status()
                .expect("a shell")
        };
        let mut launch = script("");
        assert_eq!(launch.complaint(status("exit 1"), true, &[]), None);
        assert!(launch.complaint(status("exit 0"), false, &[]).is_some());
        launch.verdict = Verdict::Status;
        assert_eq!(launch.complaint(status("exit 0"), false, &[]), None);
        assert!(launch.complaint(status("exit 1"), true, &[]).is_some());
    }

    #[test]
    fn a_triple_fault_is_no_success() {
        let folder = tempfile::tempdir().expect("a folder");
        let notes = folder.path().join("resets");
        let mut launch = Launch::plain(Command::new("true"));
        launch.note_resets(notes.clone());
        let status = launch.command.status().expect("a program");
        std::fs::write(&notes, "CPU Reset (CPU 0)\n").expect("is written");
        assert_eq!(launch.complaint(status, true, &[]), None);
        std::fs::write(&notes, "CPU Reset (CPU 0)\nTriple fault\n").expect("is written");
        assert!(launch.complaint(status, true, &[]).is_some());
        assert!(notes.exists());
    }

    #[test]
    fn hercules_tells_by_the_last_psw_whether_it_ended_well() {
        let mut launch = script("");
        launch.verdict = Verdict::Wait;
        let status = || Command::new("true").status().expect("is there");
        let lines = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let psw = |address: &str| format!("          PSW=00020001 80000000 {address}");
        let (well, badly) = (psw("0000000000000FFF"), psw("0000000000000000"));
        let complains = |texts: &[&str]| {
            let complaint = launch.complaint(status(), true, &lines(texts));
            complaint.is_some()
        };
        assert!(!complains(&[
            "HHCCP011I CPU0000: Disabled wait state",
            &well,
            "quit"
        ]));
        assert!(complains(&[&badly]) && complains(&[&well, &badly]) && complains(&["quit"]));
    }
}
