//! Killed in the midst of load, and started again with the same log.

use std::collections::HashSet;
use std::fs::{self, File};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::task::JoinHandle;

use super::replay::replay;
use super::{Logging, alice_deletes, decisions, eventually, lines, logging, logging_to};
use crate::operator::{alice_reads, client, metric, quickstart};

/// Over each of so many connections so many call at a time.
const CONNECTIONS: usize = 4;
const CALLERS: usize = 8;

/// Ids of calls that were answered.
type Answers = Arc<Mutex<Vec<String>>>;

/// Calls again and again, each time with another id, until a call fails: the id of that one.
async fn load(log: &Logging, answers: &Answers) -> Vec<JoinHandle<String>> {
    let mut callers = Vec::new();
    for connection in 0..CONNECTIONS {
        let client = client(&log.program).await;
        for caller in 0..CALLERS {
            let (mut client, answers) = (client.clone(), Arc::clone(answers));
            callers.push(tokio::spawn(async move {
                let mut n = 0;
                loop {
                    let id = format!("{connection}-{caller}-{n}");
                    let asked = if n % 2 == 0 { alice_reads() } else { alice_deletes() };
                    let mut request = tonic::Request::new(asked);
                    request.metadata_mut().insert("x-request-id", id.parse().unwrap());
                    if client.is_authorized(request).await.is_err() {
                        return id;
                    }
                    answers.lock().unwrap().push(id);
                    n += 1;
                }
            }));
        }
    }
    callers
}

fn ids(decisions: &[Value]) -> HashSet<&str> {
    decisions.iter().map(|line| line["request_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_in_the_log_and_the_next_start_goes_on() {
    let mut log = logging("--max-queue-time 0s --request-timeout 10s").await;
    let answers = Answers::default();
    let callers = load(&log, &answers).await;
    eventually("a thousand are answered", || answers.lock().unwrap().len() > 1_000);
    let certain = answers.lock().unwrap().clone();
    // One thread's lines stand in their order: no more than one of each caller can stand before one of these.
    let written = (certain.len() + callers.len()) as f64;
    eventually("they are written", || metric(&log.program, "iamd_decision_log_written_total") >= written);
    assert!(!callers.iter().any(JoinHandle::is_finished), "a call failed before");
    log.program.signal("KILL");
    log.program.ended();
    let mut asked = HashSet::new();
    for caller in callers {
        asked.insert(caller.await.unwrap());
    }
    let answers = std::mem::take(&mut *answers.lock().unwrap());
    asked.extend(answers);

    let text = fs::read_to_string(&log.path).unwrap();
    // What follows the last whole line was cut off; all others can be read.
    let (whole, rest) = text.rsplit_once('\n').unwrap();
    let found = decisions(lines(whole));
    let logged = ids(&found);
    assert_eq!(logged.len(), found.len(), "none stands there twice");
    assert!(logged.iter().all(|id| asked.contains(*id)), "none stands there that nobody has asked for");
    let missing: Vec<_> = certain.iter().filter(|id| !logged.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "{} are missing, such as {:?}", missing.len(), missing.first());

    // A kill seldom hits within a line: unless it did, the last one is cut off here.
    let (mut torn, mut expected) = (text.clone(), found.len());
    if rest.is_empty() {
        torn.truncate(whole.len() - 20);
        File::options().write(true).open(&log.path).unwrap().set_len(torn.len() as u64).unwrap();
        expected -= 1;
    }
    let mut again = logging_to(tempfile::tempdir().unwrap(), &log.path, "", Stdio::null()).await;
    again.batch(&alice_reads(), 5).await;
    expected += 5;
    again.program.signal("TERM");
    assert_eq!(again.program.ended().0, 0);

    let text = fs::read_to_string(&log.path).unwrap();
    let rest = text.strip_prefix(&torn).expect("what stood there stands there").strip_prefix('\n');
    let types: Vec<_> = lines(rest.expect("the line is closed")).iter().map(|line| line["type"].clone()).collect();
    assert_eq!([types.first(), types.last()].map(Option::unwrap), ["start", "stop"]);
    let (code, out, err) = replay(&log.path, quickstart().path(), &[]);
    let told: Vec<&str> = err.lines().collect();
    let place = format!("{}:{}: is no line of a decision log: ", log.path.display(), torn.lines().count());
    assert_eq!((code, out.as_str(), told.len()), (2, "", 3), "{err}");
    assert!(told[0].starts_with(&place), "{err}");
    assert_eq!(told[1], format!("0 of {expected} decisions would change, of no requests"));
    assert_eq!(told[2], "1 line cannot be read");
}
