//! The real program: `iamd serve` on free ports, and what it says.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// `iamd` with these words, without the environment's settings.
pub fn iamd(words: &[&str]) -> Command {
    let mut command = without_settings(Command::new(env!("CARGO_BIN_EXE_iamd")));
    command.args(words);
    command
}

/// The environment of whoever runs the tests is not the test's.
pub fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("IAMD_") || name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command
}

/// Runs `iamd` to its end: exit code and stderr.
pub fn run(words: &[&str]) -> (i32, String) {
    run_to_end(iamd(words))
}

/// The same of a command; one that does not end is ended, and has no exit code.
pub fn run_to_end(mut command: Command) -> (i32, String) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id().to_string();
    let (ended, end) = channel::<()>();
    let watch = std::thread::spawn(move || {
        if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            drop(Command::new("kill").args(["-s", "KILL", &pid]).status());
        }
    });
    let Output { status, stderr, stdout } = child.wait_with_output().unwrap();
    drop(ended);
    watch.join().unwrap();
    assert_eq!(String::from_utf8(stdout).unwrap(), "", "what is not data belongs on stderr");
    let stderr = String::from_utf8(stderr).unwrap();
    (status.code().unwrap_or_else(|| panic!("it did not end by itself: {stderr}")), stderr)
}

/// A policy store that loads: one user.
pub fn store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let users = directory.path().join("123456789012");
    std::fs::create_dir(&users).unwrap();
    std::fs::write(users.join("alice.json"), r#"{"UserName": "alice"}"#).unwrap();
    directory
}

/// A running service; killed when dropped.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    pub grpc: Vec<String>,
    pub admin: String,
    /// When the last signal was sent; until there is one, when it was started.
    signalled: Cell<Instant>,
    _store: tempfile::TempDir,
}

impl Program {
    pub fn start(flags: &[&str]) -> Self {
        Self::start_on(&["--listen", "127.0.0.1:0"], flags)
    }

    pub fn start_on(listen: &[&str], flags: &[&str]) -> Self {
        let store = store();
        let mut command = iamd(&["serve", "--admin-listen", "127.0.0.1:0", "--policies"]);
        command.arg(store.path()).args(listen).args(flags);
        Self::spawn(command, store)
    }

    pub fn spawn(command: Command, store: tempfile::TempDir) -> Self {
        let mut program = Self::new(command, store);
        program.wait_until_serving();
        program
    }

    /// Started, but perhaps not serving yet.
    pub fn new(command: Command, store: tempfile::TempDir) -> Self {
        Self::with_stdout(command, store, Stdio::null())
    }

    /// Started, and what it prints goes there.
    pub fn with_stdout(mut command: Command, store: tempfile::TempDir, stdout: Stdio) -> Self {
        let mut child = command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        let signalled = Cell::new(Instant::now());
        Self { child, lines, grpc: Vec::new(), admin: String::new(), signalled, _store: store }
    }

    pub fn wait_until_serving(&mut self) {
        let serving = self.logged("serving");
        let text = |field: &str| serving[field].as_str().unwrap().to_owned();
        self.grpc = text("grpc").split(',').map(str::to_owned).collect();
        self.admin = text("admin");
    }

    /// Waits for this message of the log.
    pub fn logged(&mut self, message: &str) -> serde_json::Value {
        self.logged_until(message, &mut Vec::new())
    }

    /// The same, with the lines before it.
    pub fn logged_until(&mut self, message: &str, seen: &mut Vec<String>) -> serde_json::Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("`{message}` was not logged, only {seen:?}"));
            let entry: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if entry["message"] == message {
                return entry;
            }
            seen.push(line);
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        self.signalled.set(Instant::now());
        assert!(Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap().success());
    }

    /// Waits for the end: exit code, and how long after the last signal it came.
    pub fn ended(&mut self) -> (i32, Duration) {
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code().unwrap_or(-1), self.signalled.get().elapsed());
            }
            assert!(asked.elapsed() < PATIENCE, "the program does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for an end at `--drain-timeout`, counted from the signal: not sooner, and not a second later. Of that second the
    /// service may take 0.45 s; the rest is for a busy machine.
    pub fn ended_at(&mut self, drain_timeout: Duration) {
        let (code, took) = self.ended();
        assert_eq!(code, 0);
        let promised = drain_timeout..drain_timeout + Duration::from_secs(1);
        assert!(promised.contains(&took), "{took:?} after the signal, not within {promised:?}");
    }

    /// The most memory that it ever had at a time.
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        peak.unwrap().trim().parse::<u64>().unwrap() * 1024
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        get(&self.admin, path)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One HTTP request: status code and body.
pub fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// `unix:` and a path, as a flag.
pub fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}
