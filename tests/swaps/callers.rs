//! Callers that never stop asking, by all three methods, and check each answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient;
use iamd::proto::v1::{
    BatchIsAuthorizedRequest, Decision, IsAuthorizedResponse, StreamIsAuthorizedRequest, batch_result,
    stream_is_authorized_response,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::generations::{Progress, allows, pairs, question};
use crate::service::Service;

type Client = AuthorizationServiceClient<Channel>;

/// Of each method: callers at a time, each on a connection of its own.
const EACH: usize = 2;

/// Requests of a stream that wait for their answers at a time.
const PIPELINE: usize = 8;

/// Who asks.
pub struct Callers {
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
    newest: watch::Receiver<u64>,
}

/// How many answers were checked.
#[derive(Debug, Default)]
pub struct Answers {
    unary: AtomicU64,
    batches: AtomicU64,
    streamed: AtomicU64,
}

impl Answers {
    pub fn each(&self) -> [u64; 3] {
        [&self.unary, &self.batches, &self.streamed].map(|answers| answers.load(Ordering::Relaxed))
    }

    pub fn all(&self) -> u64 {
        self.each().iter().sum()
    }
}

struct Shared {
    progress: Arc<Progress>,
    stop: AtomicBool,
    answers: Answers,
    /// The newest generation that has answered.
    newest: watch::Sender<u64>,
}

impl Callers {
    pub async fn start(service: &Service, progress: &Arc<Progress>) -> Self {
        let (sender, newest) = watch::channel(0);
        let shared = Arc::new(Shared {
            progress: Arc::clone(progress),
            stop: AtomicBool::new(false),
            answers: Answers::default(),
            newest: sender,
        });
        let mut tasks = JoinSet::new();
        for _ in 0..EACH {
            tasks.spawn(ask_singly(service.client().await, Arc::clone(&shared)));
            tasks.spawn(ask_in_batches(service.client().await, Arc::clone(&shared)));
            tasks.spawn(ask_in_a_stream(service.client().await, Arc::clone(&shared)));
        }
        Self { tasks, shared, newest }
    }

    /// Waits until a generation, or a later one, has answered somebody.
    pub async fn have_seen(&self, generation: u64) {
        let mut newest = self.newest.clone();
        let seen = newest.wait_for(|newest| *newest >= generation);
        let seen = tokio::time::timeout(Duration::from_secs(10), seen).await;
        assert!(seen.is_ok(), "nobody was answered by generation {generation}");
    }

    /// Ends them; the first fault that one of them found ends the test.
    pub async fn stop(mut self) -> Answers {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        Arc::into_inner(self.shared).unwrap().answers
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Checks an answer to a question that was asked when `oldest` was the oldest that could answer.
    fn check(&self, oldest: u64, pair: (u64, u64), answer: &IsAuthorizedResponse) {
        let (version, newest) = (answer.snapshot_version, self.progress.newest_legal());
        assert!((oldest..=newest).contains(&version), "version {version} is none of {oldest}..={newest}");
        let expected = if allows(version, pair) { Decision::Allow } else { Decision::ImplicitDeny };
        assert_eq!(answer.decision(), expected, "version {version}, user and queue {pair:?}");
        self.newest.send_if_modified(|newest| std::mem::replace(newest, version.max(*newest)) < version);
    }
}

async fn ask_singly(mut client: Client, shared: Arc<Shared>) {
    for pair in pairs().collect::<Vec<_>>().into_iter().cycle() {
        if shared.stopped() {
            return;
        }
        let oldest = shared.progress.oldest_legal();
        let answer = client.is_authorized(question(pair)).await.unwrap().into_inner();
        shared.check(oldest, pair, &answer);
        shared.answers.unary.fetch_add(1, Ordering::Relaxed);
    }
}

async fn ask_in_batches(mut client: Client, shared: Arc<Shared>) {
    // Everything twice is more than the service decides in one turn: others get theirs in between, and so does a swap.
    let asked: Vec<_> = pairs().chain(pairs()).collect();
    while !shared.stopped() {
        let requests = asked.iter().copied().map(question).collect();
        let oldest = shared.progress.oldest_legal();
        let batch = client.batch_is_authorized(BatchIsAuthorizedRequest { requests }).await.unwrap().into_inner();
        assert_eq!(batch.results.len(), asked.len());
        for (pair, result) in asked.iter().zip(batch.results) {
            let Some(batch_result::Result::Response(answer)) = result.result else {
                panic!("not answered: {result:?}")
            };
            assert_eq!(answer.snapshot_version, batch.snapshot_version, "one batch, one snapshot");
            shared.check(oldest, *pair, &answer);
        }
        shared.answers.batches.fetch_add(1, Ordering::Relaxed);
    }
}

async fn ask_in_a_stream(mut client: Client, shared: Arc<Shared>) {
    let (sender, receiver) = mpsc::channel(PIPELINE);
    let mut answers = client.stream_is_authorized(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    let mut questions = pairs().collect::<Vec<_>>().into_iter().cycle().zip(0..);
    let mut asked = HashMap::new();
    loop {
        while asked.len() < PIPELINE && !shared.stopped() {
            let (pair, id) = questions.next().unwrap();
            asked.insert(id, (shared.progress.oldest_legal(), pair));
            let request = StreamIsAuthorizedRequest { id, request: Some(question(pair)) };
            sender.send(request).await.unwrap();
        }
        if asked.is_empty() {
            return;
        }
        let answer = answers.message().await.unwrap().unwrap();
        let (oldest, pair) = asked.remove(&answer.id).unwrap();
        let Some(stream_is_authorized_response::Result::Response(answer)) = answer.result else {
            panic!("not answered: {answer:?}")
        };
        shared.check(oldest, pair, &answer);
        shared.answers.streamed.fetch_add(1, Ordering::Relaxed);
    }
}
