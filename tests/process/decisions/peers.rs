//! Who has called, as the log has it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient as Client;
use rustix::thread::{Gid, Uid, set_thread_gid, set_thread_groups, set_thread_uid};
use serde_json::{Value, json};
use tonic::transport::Endpoint;

use super::{decisions, lines};
use crate::authority::{Authority, Files};
use crate::caller::Caller;
use crate::operator::{alice_reads, quickstart, serve, skip};
use crate::program::{Program, iamd, unix};

#[tokio::test(flavor = "multi_thread")]
async fn a_line_names_who_has_called() {
    let folder = tempfile::tempdir().unwrap();
    let (path, socket) = (folder.path().join("decisions.log"), unix(&folder.path().join("iamd.sock")));
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority.pem);
    let store = quickstart();
    let listen = ["--listen", "127.0.0.1:0", "--listen", &socket, "--worker-threads", "1", "--drain-delay", "0s"];
    let mut command = iamd(&serve(store.path(), &listen));
    command.args(files.flags("tls", true)).args(["--tls-allowed-san", "b.example"]);
    command.arg("--decision-log").arg(&path);
    let mut program = Program::spawn(command, store);

    // By the name that let it in, which is not the first one.
    let names = ["a.example", "b.example"];
    let caller = Caller::new(&authority.pem, Some(&authority.issue("cart", &names)));
    caller.connect(&program.grpc[0]).await.unwrap().is_authorized(alice_reads()).await.unwrap();
    Client::connect(socket).await.unwrap().is_authorized(alice_reads()).await.unwrap();
    program.signal("TERM");
    assert_eq!(program.ended().0, 0);

    let found = decisions(lines(&fs::read_to_string(&path).unwrap()));
    let peers: Vec<&Value> = found.iter().map(|line| &line["peer"]).collect();
    let own = fs::metadata(folder.path()).unwrap().uid();
    assert_eq!(peers, [&json!("b.example"), &json!(format!("uid={own}"))]);
}

/// Connects as another user, of one group. Only the thread becomes that user, and ends.
fn connect_as(user: u32, group: u32, path: &Path) -> io::Result<UnixStream> {
    let path = PathBuf::from(path);
    let connecting = std::thread::spawn(move || {
        set_thread_groups(&[])?;
        set_thread_gid(Gid::from_raw(group))?;
        set_thread_uid(Uid::from_raw(user))?;
        UnixStream::connect(path)
    });
    connecting.join().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_users_are_let_in_by_mode_and_owner_and_named() {
    let folder = tempfile::tempdir().unwrap();
    if fs::metadata(folder.path()).unwrap().uid() != 0 {
        return skip("other users at a Unix socket: only root can become them");
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (log, path) = (folder.path().join("decisions.log"), folder.path().join("iamd.sock"));
    let (user, group, stranger) = (1234, 5678, 4321);
    let mut peers = Vec::new();
    for (flags, let_in) in [
        ("--unix-socket-mode 0600", &[][..]),
        ("--unix-socket-owner 1234:5678 --unix-socket-mode 0600", &[(user, group), (user, stranger)]),
        ("--unix-socket-owner 0:5678", &[(user, group), (stranger, group)]),
        ("--unix-socket-mode 0666", &[(user, group), (user, stranger), (stranger, group), (stranger, stranger)]),
    ] {
        let store = quickstart();
        let socket = unix(&path);
        // By one thread: only its lines stand in the order of the calls.
        let listen = ["--listen", &socket, "--worker-threads", "1", "--drain-delay", "0s"];
        let mut command = iamd(&serve(store.path(), &listen));
        command.args(flags.split(' ')).arg("--decision-log").arg(&log);
        let mut program = Program::spawn(command, store);
        for (user, group) in [(user, group), (user, stranger), (stranger, group), (stranger, stranger)] {
            let connected = connect_as(user, group, &path);
            if !let_in.contains(&(user, group)) {
                assert_eq!(connected.unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{user}:{group} {flags}");
                continue;
            }
            asks_over(connected.unwrap()).await;
            peers.push(json!(format!("uid={user}")));
        }
        program.signal("TERM");
        assert_eq!(program.ended().0, 0);
    }
    let found = decisions(lines(&fs::read_to_string(&log).unwrap()));
    assert_eq!(found.iter().map(|line| line["peer"].clone()).collect::<Vec<_>>(), peers);
}

/// One question over a connection that there is.
async fn asks_over(stream: UnixStream) {
    stream.set_nonblocking(true).unwrap();
    let mut stream = Some(TokioIo::new(tokio::net::UnixStream::from_std(stream).unwrap()));
    let once = tower::service_fn(move |_| {
        std::future::ready(stream.take().ok_or_else(|| io::Error::other("connected once already")))
    });
    let channel = Endpoint::from_static("http://iamd.example").connect_with_connector(once).await.unwrap();
    Client::new(channel).is_authorized(alice_reads()).await.unwrap();
}
