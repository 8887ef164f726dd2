//! Who a peer has proved to be, and what it can do to others.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use clap::Parser;
use iamd::cli::{Cli, Command};
use iamd::config::{Config, ConnectionLimits};
use iamd::metrics::Metrics;
use iamd::server::State;
use iamd::server::connection::Connection;
use iamd::server::incoming::{Incoming, Listener};
use iamd::tls::Endpoints;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::authority::{Authority, Files};
use crate::caller::Caller;

/// A listener, and what it makes of the next connection.
struct Scene {
    address: String,
    incoming: Incoming,
    state: Arc<State>,
}

impl Scene {
    async fn new(listen: &str, flags: &[String]) -> Self {
        let words = ["iamd", "serve", "--policies", "unused", "--listen", listen];
        let words = words.iter().copied().chain(flags.iter().map(String::as_str));
        let Command::Serve(args) = Cli::try_parse_from(words).unwrap().command else { panic!("not `serve`") };
        let config = Config::check(&args).unwrap();
        let mut state = State::new(&config.limits, Arc::new(Metrics::new()));
        state.tls = Endpoints::load(&config).unwrap();
        let state = Arc::new(state);
        let listener = Listener::bind(&config.listen[0], &config.unix_socket).await.unwrap();
        let address = listener.address();
        let incoming = Incoming::new(vec![listener], Arc::clone(&state));
        Self { address, incoming, state }
    }

    async fn peer(&mut self) -> Option<String> {
        let accepted = self.incoming.next().await;
        Connection::open(accepted, &self.state, &ConnectionLimits::default())
            .await
            .unwrap()
            .peer()
            .map(ToString::to_string)
    }
}

#[tokio::test]
async fn of_plaintext_nothing_is_known() {
    let mut scene = Scene::new("127.0.0.1:0", &[]).await;
    let _client = TcpStream::connect(&scene.address).await.unwrap();
    assert_eq!(scene.peer().await, None);
}

#[tokio::test]
async fn at_a_unix_socket_the_kernel_says_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut scene = Scene::new(&format!("unix:{}", path.display()), &[]).await;
    let _client = UnixStream::connect(&path).await.unwrap();
    assert_eq!(scene.peer().await, Some(format!("uid={}", fs::metadata(folder.path()).unwrap().uid())));
}

#[tokio::test]
async fn over_tls_its_certificate_says_it() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority.pem);
    for (mutual, subject, names, expected) in [
        (true, "cart", &["cart.example", "spiffe://acme/cart", "spiffe://acme/other"][..], Some("spiffe://acme/cart")),
        (true, "cart", &["192.0.2.1", "cart.example", "b.example"], Some("cart.example")),
        (true, "cart", &["192.0.2.1"], Some("CN=cart")),
        (false, "cart", &["cart.example"], None),
    ] {
        let mut scene = Scene::new("127.0.0.1:0", &files.flags("tls", mutual)).await;
        let caller = Caller::new(&authority.pem, Some(&authority.issue(subject, names)));
        let address = scene.address.clone();
        let (_client, peer) = tokio::join!(caller.tls(&address), scene.peer());
        assert_eq!(peer.as_deref(), expected, "{names:?}");
    }
    // By the name that let it in, not by another.
    let names = &["https://acme/other", "https://acme/ns/cart", "ops@acme.example", "cart.example"];
    for (allowed, expected) in [
        ("https://acme/ns/*", "https://acme/ns/cart"),
        ("cart.example", "cart.example"),
        ("ops@acme.example", "ops@acme.example"),
    ] {
        let mut flags = files.flags("tls", true);
        flags.extend(["--tls-allowed-san".to_owned(), allowed.to_owned()]);
        let mut scene = Scene::new("127.0.0.1:0", &flags).await;
        let caller = Caller::new(&authority.pem, Some(&authority.issue("cart", names)));
        let address = scene.address.clone();
        let (_client, peer) = tokio::join!(caller.tls(&address), scene.peer());
        assert_eq!(peer.as_deref(), Some(expected), "{allowed}");
    }
    // Nothing to go by but the certificate itself.
    let mut scene = Scene::new("127.0.0.1:0", &files.flags("tls", true)).await;
    let caller = Caller::new(&authority.pem, Some(&authority.issue("", &["192.0.2.1"])));
    let address = scene.address.clone();
    let (_client, peer) = tokio::join!(caller.tls(&address), scene.peer());
    let peer = peer.unwrap();
    assert!(peer.starts_with("sha256:") && peer.len() == 7 + 64, "{peer}");
}

#[tokio::test]
async fn a_peer_that_reads_nothing_holds_up_no_goodbye() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority.pem);
    let mut scene = Scene::new("127.0.0.1:0", &files.flags("tls", false)).await;
    let caller = Caller::new(&authority.pem, None);
    let address = scene.address.clone();
    let limits = ConnectionLimits { write_timeout: Duration::from_millis(100), ..ConnectionLimits::default() };
    let opened = async {
        let accepted = scene.incoming.next().await;
        Connection::open(accepted, &scene.state, &limits).await.unwrap()
    };
    let (_client, mut connection) = tokio::join!(caller.tls(&address), opened);
    // Until nothing more is taken.
    let full = std::future::poll_fn(|context| {
        loop {
            match Pin::new(&mut connection).poll_write(context, &[0; 1 << 14]) {
                Poll::Ready(written) => drop(written.unwrap()),
                Poll::Pending => return Poll::Ready(()),
            }
        }
    });
    // Without the budget of tasks, which would end it before.
    tokio::task::unconstrained(full).await;
    let shut = tokio::time::timeout(Duration::from_secs(10), connection.shutdown()).await.unwrap();
    assert_eq!(shut.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn where_memory_is_tight_others_get_their_turn_between_two_reads() {
    for (memory, expected) in [("100GiB", [true; 4]), ("1MiB", [false, true, false, true])] {
        let mut scene = Scene::new("127.0.0.1:0", &["--memory-limit".to_owned(), memory.to_owned()]).await;
        scene.state.memory.watch().unwrap();
        let mut client = TcpStream::connect(&scene.address).await.unwrap();
        client.write_all(&[b'x'; 100]).await.unwrap();
        let accepted = scene.incoming.next().await;
        let mut connection = Connection::open(accepted, &scene.state, &ConnectionLimits::default()).await.unwrap();
        // From here on it is known that there is something to read.
        connection.read_exact(&mut [0; 10]).await.unwrap();
        let reads = std::future::poll_fn(|context| {
            Poll::Ready([(); 4].map(|()| {
                let mut room = [0; 10];
                Pin::new(&mut connection).poll_read(context, &mut ReadBuf::new(&mut room)).is_ready()
            }))
        });
        assert_eq!(reads.await, expected, "{memory}");
    }
}
