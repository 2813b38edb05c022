//! One run of the emulator: watched, limited in time, and never left behind.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use logview::{Programs, Translator};
use rustix::process::{Pid, Signal, kill_process};

use super::ending::{Ending, Story};
use super::launch::{Input, Launch, Running};
use super::serial::{self, Event, Lines};

/// Set when somebody asked us to stop.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// How often time limits are looked at while the line is silent.
const TICK: Duration = Duration::from_millis(100);
/// How long the machine may go on after its last guest ended.
const GRACE: Duration = Duration::from_secs(10);
/// How long it may go on, to finish its report, after a line that ends it.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long the emulator may take to end when asked.
const POLITE: Duration = Duration::from_secs(2);

/// What a run is given.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Names of the guests that have to end.
    pub guests: Vec<String>,
    /// The limit of time.
    pub timeout: Option<Duration>,
    /// Whether keys go to the machine; then it runs until it stops by itself.
    pub interactive: bool,
    /// Whether the line is shown on standard output.
    pub show: bool,
    /// What decodes the log.
    pub log: Programs,
    /// Whether the line is a console of lines, written as `api::line_mode` says.
    pub line_mode: bool,
    /// Keys, each row typed when a line has its text; then the user may quit.
    pub keys: Vec<Keys>,
}

/// Keys that are typed by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// The text of a line after which they are typed.
    pub after: String,
    /// The keys.
    pub keys: String,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// All lines of the serial line.
    pub lines: Vec<String>,
}

/// Makes interrupts end the emulator before us.
pub fn watch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
        .context("cannot watch for interrupts")
}

/// Runs the emulator to its end.
pub fn run(mut launch: Launch, options: &Options) -> Result<Outcome> {
    let input = match (options.interactive, options.keys.is_empty()) {
        (true, _) => Input::Terminal,
        (false, true) => Input::Nothing,
        (false, false) => Input::Program,
    };
    let Running {
        mut child,
        output,
        keys,
    } = launch.start(input)?;
    let bytes = reader(output);
    let mut watch = Watch::new(options, keys);
    let stop = watch.until_over(&bytes);
    let status = match stop {
        Stop::Closed => child.wait()?,
        Stop::Over | Stop::Timeout | Stop::Interrupted => end(&mut child, options.interactive)?,
    };
    while let Ok(part) = bytes.recv_timeout(TICK) {
        watch.take(&part);
    }
    watch.finish();
    let ending = match stop {
        Stop::Timeout => Ending::Timeout {
            seconds: options.timeout.map_or(0, |limit| limit.as_secs()),
        },
        Stop::Interrupted => Ending::Interrupted,
        Stop::Over => watch.story.ending(None),
        Stop::Closed => {
            let complaint = launch.complaint(status, watch.story.is_told(), &watch.lines);
            watch.story.ending(complaint)
        }
    };
    Ok(Outcome {
        ending,
        lines: watch.lines,
    })
}

/// Why watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The emulator closed the line.
    Closed,
    /// The line told that the machine is over.
    Over,
    /// The limit of time was reached.
    Timeout,
    /// Somebody asked us to stop.
    Interrupted,
}

/// Follows one serial line.
struct Watch<'a> {
    options: &'a Options,
    started: Instant,
    over_at: Option<Instant>,
    translator: Translator,
    cutter: Lines,
    lines: Vec<String>,
    story: Story,
    /// Where keys go, and those that were not typed yet.
    keys: (Option<Box<dyn Write + Send>>, VecDeque<Keys>),
}

impl<'a> Watch<'a> {
    /// Begins to follow.
    fn new(options: &'a Options, keys: Option<Box<dyn Write + Send>>) -> Self {
        let translator = Translator::new(options.log.clone());
        Self {
            options,
            started: Instant::now(),
            over_at: None,
            translator: translator.with_line_mode(options.line_mode),
            cutter: Lines::default(),
            lines: Vec::new(),
            keys: (keys, options.keys.iter().cloned().collect()),
            story: Story::new(options.guests.clone()),
        }
    }

    /// Follows until there is a reason to stop.
    fn until_over(&mut self, bytes: &Receiver<Vec<u8>>) -> Stop {
        loop {
            match bytes.recv_timeout(TICK) {
                Ok(part) => self.take(&part),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Stop::Closed,
            }
            if let Some(stop) = self.reason() {
                return stop;
            }
        }
    }

    /// Returns why to stop now, if there is a reason.
    fn reason(&self) -> Option<Stop> {
        let late = |since: Instant, limit: Duration| since.elapsed() >= limit;
        let batch = !self.options.interactive;
        if INTERRUPTED.load(Ordering::Relaxed) {
            Some(Stop::Interrupted)
        } else if self
            .options
            .timeout
            .is_some_and(|limit| late(self.started, limit))
        {
            Some(Stop::Timeout)
        } else if self.over_at.is_some_and(|at| batch && Instant::now() >= at) {
            Some(Stop::Over)
        } else {
            None
        }
    }

    /// Takes bytes of the line.
    fn take(&mut self, bytes: &[u8]) {
        let bytes = self.translator.take(bytes);
        self.follow(&bytes);
        if self.story.is_over() {
            self.over_within(LAST_WORDS);
        } else if self.story.all_guests_ended() {
            self.over_within(GRACE);
        }
    }

    /// Shows translated bytes and takes their lines.
    fn follow(&mut self, bytes: &[u8]) {
        if self.options.show {
            show(bytes);
        }
        for line in self.cutter.take(bytes) {
            self.line(line);
        }
    }

    /// Takes what came after the last line's end.
    fn finish(&mut self) {
        let rest = self.translator.finish();
        self.follow(&rest);
        if let Some(line) = self.cutter.rest() {
            self.line(line);
        }
    }

    /// Takes one line.
    fn line(&mut self, line: String) {
        // Without keys nobody can quit: then a guest wrote the line.
        let has_keys = self.options.interactive || !self.options.keys.is_empty();
        let told = |event: &Event| has_keys || *event != Event::Quit;
        if let Some(event) = serial::event(&line).filter(told) {
            self.story.take(event);
        }
        self.type_keys(&line);
        self.lines.push(line);
    }

    /// Types the next keys if they come after this line.
    fn type_keys(&mut self, line: &str) {
        let (Some(input), keys) = &mut self.keys else {
            return;
        };
        let Some(next) = keys.pop_front_if(|next| line.contains(&next.after)) else {
            return;
        };
        // A machine that is gone takes no keys; that is found out by its end.
        let _ = input.write_all(next.keys.as_bytes());
    }

    /// Sets the time at which the machine is over, unless an earlier one is set.
    fn over_within(&mut self, time: Duration) {
        let at = Instant::now() + time;
        self.over_at = Some(self.over_at.map_or(at, |known| known.min(at)));
    }
}

/// Reads the line on a thread of its own.
fn reader(mut line: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match line.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) if sender.send(buffer[..length].to_vec()).is_err() => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    receiver
}

/// Writes to standard output, which QEMU makes non-blocking where it is the same terminal.
fn show(mut bytes: &[u8]) {
    let mut output = std::io::stdout().lock();
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(TICK / 50),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
    let _ = output.flush();
}

/// Ends the emulator; one that has the terminal is asked first, so that it gives it back.
fn end(child: &mut Child, asks: bool) -> Result<ExitStatus> {
    if let Ok(Some(status)) = child.try_wait() {
        return Ok(status);
    }
    if !asks {
        child.kill()?;
        return Ok(child.wait()?);
    }
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let asked = Instant::now();
    while asked.elapsed() < POLITE {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(TICK / 10);
    }
    child.kill()?;
    Ok(child.wait()?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Returns a shell script in place of the emulator.
    fn shell(text: &str) -> Launch {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        Launch::plain(command)
    }

    /// Runs a shell script in place of the emulator.
    fn script(text: &str, guests: &[&str], seconds: u64) -> Outcome {
        let options = Options {
            guests: guests.iter().map(|name| (*name).to_owned()).collect(),
            timeout: Some(Duration::from_secs(seconds)),
            ..Options::default()
        };
        run(shell(text), &options).expect("there is a shell")
    }

    #[test]
    fn a_machine_that_stops_by_itself_gives_all_its_lines() {
        let outcome = script(
            "echo one; printf 'skerry: guest a ended: status 0'",
            &["a"],
            60,
        );
        assert_eq!(outcome.ending, Ending::Clean);
        assert_eq!(outcome.lines, ["one", "skerry: guest a ended: status 0"]);
    }

    #[test]
    fn log_frames_are_lines_in_their_place() {
        let outcome = script(r"printf 'one\n\033_sk3;AQI\033\\two\033_'", &[], 60);
        let event = "[tag 3] ERROR no event of this program: [01, 02]";
        assert_eq!(outcome.lines, ["one", event, "two"]);
    }

    #[test]
    fn only_a_user_at_the_keys_can_quit() {
        let text = "echo '[log] skerry: quit'";
        for (interactive, ending) in [
            (true, Ending::Clean),
            (false, Ending::Unfinished(vec!["a".to_owned()])),
        ] {
            let options = Options {
                guests: vec!["a".to_owned()],
                interactive,
                ..Options::default()
            };
            let outcome = run(shell(text), &options);
            assert_eq!(outcome.expect("there is a shell").ending, ending);
        }
    }

    #[test]
    fn a_machine_that_fails_is_not_clean() {
        let outcome = script("exit 3", &[], 60);
        assert!(matches!(outcome.ending, Ending::Emulator(_)));
    }

    #[test]
    fn a_machine_that_hangs_is_ended_in_time() {
        let started = Instant::now();
        let outcome = script("echo up; exec sleep 60", &[], 1);
        assert_eq!(outcome.ending, Ending::Timeout { seconds: 1 });
        assert_eq!(outcome.lines, ["up"]);
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_panicked_machine_may_finish_its_report_and_is_ended() {
        let text = "echo skerry: panic: here; echo more; exec sleep 60";
        let outcome = script(text, &["a"], 30);
        assert_eq!(
            outcome.ending,
            Ending::Panic("skerry: panic: here".to_owned())
        );
        assert_eq!(outcome.lines.last().map(String::as_str), Some("more"));
    }

    #[test]
    fn an_emulator_that_cannot_be_started_is_an_error() {
        let launch = Launch::plain(Command::new("/no/such/emulator"));
        assert!(run(launch, &Options::default()).is_err());
    }
}
