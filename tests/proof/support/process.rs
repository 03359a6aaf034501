//! Child processes that never outlive the tests.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use super::wait::{DEADLINE, eventually};

/// Lines of a child's log that a failing test shows.
const LOG_TAIL: usize = 40;

/// A child in a process group of its own, its output in a file.
///
/// Dropping it ends the group. A guard ends it when the test process goes without dropping
/// anything, as it does with servers in statics, by Ctrl-C and when it is killed.
pub struct Process {
    name: String,
    child: Child,
    guard: Child,
    log: PathBuf,
    killed: bool,
}

impl Process {
    /// Starts `command`; its output is appended to `NAME.log` in `folder`. If the test process goes,
    /// the folder goes too.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Process {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).expect("log file");
        let errors = output.try_clone().expect("second handle of the log file");
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| missing(&command, &error));
        let guard = guard(child.id(), folder);
        Process { name: name.to_owned(), child, guard, log, killed: false }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal` to the process group.
    pub fn signal(&self, signal: Signal) {
        let group = Pid::from_child(&self.child);
        // The group may be gone by itself, which is what most signals are for.
        let _ = kill_process_group(group, signal);
    }

    /// Ends the process group at once.
    pub fn kill(&mut self) {
        // Once the child is waited for, its number may belong to another process: no second signal,
        // and none from the guard.
        if std::mem::replace(&mut self.killed, true) {
            return;
        }
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// How the child ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("state of a child")
    }

    /// Waits until the child has ended.
    pub async fn exit(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually(&what, async || self.status()).await
    }

    /// What the child has written so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<_> = output.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL)..];
            eprintln!("--- last lines of {}:\n{}\n---", self.name, tail.join("\n"));
        }
    }
}

/// A shell that reads a pipe nobody writes to: the kernel closes it with the test process, however
/// that ends. In a group of its own, so that Ctrl-C does not end it together with the tests.
fn guard(group: u32, folder: &Path) -> Child {
    let script = r#"read -r _; kill -s KILL -- "-$0"; sleep 1; rm -rf -- "$1""#;
    Command::new("sh")
        .args(["-c", script, &group.to_string()])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("sh is on every system that runs these tests")
}

/// Runs `command` to its end and returns what it wrote to its standard output.
///
/// # Panics
/// When it cannot be started or fails.
pub async fn run(command: Command) -> String {
    let what = format!("{command:?}");
    let Output { status, stdout, stderr } = finish(command).await;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{what} failed: {status}\n{stdout}\n{stderr}");
    stdout
}

/// Runs `command` to its end, however it ends.
///
/// # Panics
/// When it cannot be started or does not end.
pub async fn finish(command: Command) -> Output {
    let mut command = tokio::process::Command::from(command);
    let ended = tokio::time::timeout(DEADLINE, command.kill_on_drop(true).output()).await;
    let command = command.as_std();
    let ended = ended.unwrap_or_else(|_elapsed| panic!("{command:?} runs after {DEADLINE:?}"));
    ended.unwrap_or_else(|error| missing(command, &error))
}

fn missing(command: &Command, error: &std::io::Error) -> ! {
    let program = command.get_program().display();
    match error.kind() {
        ErrorKind::NotFound => panic!("{program} is not installed: tests/run installs it"),
        _ => panic!("{program} cannot be started: {error}"),
    }
}
