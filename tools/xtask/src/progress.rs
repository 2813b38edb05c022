//! What is going on, for whoever waits: a line at once, a spinner if it takes longer.

use std::io::IsTerminal;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Nothing is drawn for what is done sooner.
const PATIENCE: Duration = Duration::from_secs(2);

/// A step that may take long; it ends when this is dropped.
pub struct Step {
    done: Option<Sender<()>>,
    drawer: Option<JoinHandle<()>>,
}

impl Step {
    /// Begins a step. Without a terminal it is one line on standard error.
    pub fn begin(what: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            eprintln!("xtask: {what}");
            return Self {
                done: None,
                drawer: None,
            };
        }
        let (done, waiting) = channel::<()>();
        let what = what.to_owned();
        let drawer = std::thread::spawn(move || {
            if waiting.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let bar = spinner(what);
            let _ = waiting.recv();
            bar.finish_and_clear();
        });
        Self {
            done: Some(done),
            drawer: Some(drawer),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(drawer) = self.drawer.take() {
            let _ = drawer.join();
        }
    }
}

/// Returns a spinner that turns by itself.
fn spinner(what: String) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Returns a bar for `total` things of one kind, drawn only on a terminal.
pub fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template("[{elapsed}] {wide_bar} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}
