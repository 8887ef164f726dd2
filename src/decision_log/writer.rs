//! The one thread that writes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::counts::{Lost, LostCounts};
use super::entry::Chunk;
use super::line::Lines;
use super::mask::Masks;
use super::sink::Sink;
use super::{Shared, now_us};
use crate::config::DecisionLogOptions;
use crate::finding::io_words;

/// How long decisions gather between two looks at the queue. Longer, and threads that share a core with the writer would wait for it
/// longer; shorter, and it would be woken for little (with 2 ms, the throughput was a hundredth less and the p99 no better).
const LINGER: Duration = Duration::from_millis(3);

/// How long after a failure it is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How often it is said that nothing can be written.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Chunks of one lane before the others have their turn.
const TURN: usize = 16;

/// Lines of several chunks are written at once, until there are so many bytes: the system takes a fifth less for each of them
/// than where the 84 KB of one chunk's lines are written at a time.
const GATHERED_BYTES: usize = 256 << 10;

/// A buffer that grew beyond this is given back.
const KEPT_BYTES: usize = 1 << 20;

/// Opens the log, and writes nothing yet. The error is for people.
pub(super) fn open(options: &DecisionLogOptions, shared: &Arc<Shared>) -> Result<Writer, String> {
    Ok(Writer {
        lines: Lines::new(Masks::new(&options.masks)?),
        sink: Sink::open(&options.target, options.rotation)?,
        shared: Arc::clone(shared),
        out: Vec::new(),
        gathered_bytes: gathered_bytes(options),
        in_hand: Vec::new(),
        decisions: 0,
        told: LostCounts::default(),
        reopen: false,
        reopened_at: None,
        complained_at: None,
    })
}

/// No more at once than an eighth of the queue, whose room is given back when they are written, nor of a file, which is to end
/// before it is too large.
fn gathered_bytes(options: &DecisionLogOptions) -> usize {
    let file = options.rotation.max_bytes.and_then(|bytes| usize::try_from(bytes).ok());
    GATHERED_BYTES.min(options.queue_bytes.min(file.unwrap_or(usize::MAX)) / 8)
}

#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    lines: Lines,
    sink: Sink,
    /// Lines that are not written yet; empty between passes.
    out: Vec<u8>,
    /// So many are written at once.
    gathered_bytes: usize,
    /// The chunks that these lines are of, with their lanes.
    in_hand: Vec<(usize, Chunk)>,
    /// How many decisions these lines tell of.
    decisions: u64,
    /// What the log says was lost.
    told: LostCounts,
    /// Whether the file is to be opened anew.
    reopen: bool,
    /// When that was last tried.
    reopened_at: Option<Instant>,
    complained_at: Option<Instant>,
}

impl Writer {
    /// Starts the thread. The error is for people.
    pub(super) fn start(self) -> Result<(), String> {
        let thread = thread::Builder::new().name("iamd-log".to_owned()).spawn(|| self.run());
        thread.map(drop).map_err(|error| format!("cannot start the thread of the decision log: {error}"))
    }

    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        shared.queue.claim();
        self.write_mark("start");
        loop {
            self.heed_reopen();
            let any = self.pass();
            if shared.queue.is_stopping() {
                if !any {
                    break;
                }
                continue;
            }
            if !any {
                self.write_lost();
                shared.queue.sleep();
            }
            thread::sleep(LINGER);
        }
        self.write_lost();
        self.write_mark("stop");
        *shared.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        shared.end.notify_all();
    }

    /// Writes what waits now; whether there was anything.
    fn pass(&mut self) -> bool {
        let mut any = false;
        for lane in 0..self.shared.queue.lane_count() {
            for _ in 0..TURN {
                let Some((chunk, is_last)) = self.shared.queue.take(lane) else { break };
                any = true;
                self.put_chunk(&chunk);
                self.in_hand.push((lane, chunk));
                if self.out.len() >= self.gathered_bytes {
                    self.write_out();
                }
                if is_last {
                    break;
                }
            }
        }
        self.write_out();
        any
    }

    fn put_chunk(&mut self, chunk: &Chunk) {
        self.put_lost();
        for queued in chunk.iter() {
            let before = self.out.len();
            // A fault of ours in one line must not end the log; the panic hook has logged it.
            match catch_unwind(AssertUnwindSafe(|| self.lines.put(&mut self.out, &queued))) {
                Ok(()) => self.decisions += 1,
                Err(_) => {
                    self.out.truncate(before);
                    self.shared.counts.lost(Lost::Fault, 1);
                }
            }
        }
    }

    fn write_mark(&mut self, kind: &str) {
        self.lines.put_mark(&mut self.out, kind, now_us());
        self.write_out();
    }

    /// Says what is missing since it was last said.
    fn put_lost(&mut self) {
        let lost = self.shared.counts.lost_so_far();
        if lost != self.told {
            let since: Vec<u64> = lost.iter().zip(&self.told).map(|(now, then)| now.saturating_sub(*then)).collect();
            let since = LostCounts::try_from(since).unwrap_or_default();
            self.lines.put_lost(&mut self.out, &since, now_us());
            self.told = lost;
        }
    }

    fn write_lost(&mut self) {
        self.put_lost();
        self.write_out();
    }

    /// Writes the lines that are ready, however long it takes, and gives their chunks back.
    fn write_out(&mut self) {
        if !self.out.is_empty() {
            self.write_lines();
        }
        for (lane, chunk) in self.in_hand.drain(..) {
            self.shared.queue.done(lane, chunk);
        }
    }

    fn write_lines(&mut self) {
        self.find_file();
        let mut written = 0;
        while written < self.out.len() {
            let end = self.make_ready(written);
            written = self.write_until(end, written);
        }
        self.shared.counts.wrote(std::mem::take(&mut self.decisions), self.out.len());
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES);
    }

    /// Makes the file ready for lines from there on, and says where those end that belong in it. What was begun in it ends before them.
    fn make_ready(&mut self, start: usize) -> usize {
        let bytes = self.sink.make_ready(self.out.get(start..).unwrap_or_default());
        if !self.sink.is_torn() {
            return start + bytes;
        }
        self.out.insert(start, b'\n');
        start + bytes + 1
    }

    /// Writes up to there, however long it takes. Says where it goes on: there, or at the line that was begun in another file.
    fn write_until(&mut self, end: usize, mut written: usize) -> usize {
        while let Some(rest) = self.out.get(written..end).filter(|rest| !rest.is_empty()) {
            match self.sink.write(rest) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LINGER),
                Err(error) => {
                    self.pause_after(&error);
                    if self.find_file() {
                        let lines = self.out.get(..written).unwrap_or_default();
                        return memchr::memrchr(b'\n', lines).map_or(0, |end| end + 1);
                    }
                    continue;
                }
            }
            self.succeeded();
        }
        written
    }

    /// Waits until the path leads to the file that is written to, be it a new one; whether it was opened anew.
    fn find_file(&mut self) -> bool {
        let mut anew = false;
        loop {
            anew |= self.heed_reopen();
            match self.sink.find_again() {
                Ok(found) => return anew || found,
                Err(error) => self.pause_after(&error),
            }
        }
    }

    fn pause_after(&mut self, error: &io::Error) {
        self.failed(error);
        thread::park_timeout(RETRY_PAUSE);
    }

    fn failed(&mut self, error: &io::Error) {
        self.shared.counts.set_failing(true);
        if self.complained_at.is_none_or(|time| time.elapsed() >= COMPLAINT_INTERVAL) {
            self.complained_at = Some(Instant::now());
            tracing::error!(error = io_words(error), "cannot write the decision log; trying again until it works");
        }
    }

    fn succeeded(&mut self) {
        if self.shared.counts.set_failing(false) {
            self.complained_at = None;
            tracing::info!("the decision log can be written again");
        }
    }

    /// Opens the file anew if somebody asked for it; whether it did. Until it works, the old one is used.
    fn heed_reopen(&mut self) -> bool {
        self.reopen |= self.shared.queue.takes_reopen();
        if !self.reopen || self.reopened_at.is_some_and(|time| time.elapsed() < RETRY_PAUSE) {
            return false;
        }
        match self.sink.reopen() {
            Ok(()) => {
                self.reopen = false;
                self.reopened_at = None;
                tracing::info!("the decision log was opened anew");
                true
            }
            Err(error) => {
                self.reopened_at = Some(Instant::now());
                tracing::warn!(error = io_words(&error), "cannot open the decision log anew: the old file is used");
                false
            }
        }
    }
}
