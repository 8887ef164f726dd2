//! Who has called, as the log has it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient as Client;
use serde_json::{Value, json};

use super::{decisions, lines};
use crate::authority::{Authority, Files};
use crate::caller::Caller;
use crate::operator::{alice_reads, quickstart, serve};
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
    command.args(files.flags("tls", true)).args(["--tls-allowed-san", "spiffe://acme/ns/*"]);
    command.arg("--decision-log").arg(&path);
    let mut program = Program::spawn(command, store);

    // By the name that let it in, which is not the first one.
    let names = ["spiffe://acme/other", "spiffe://acme/ns/cart"];
    let caller = Caller::new(&authority.pem, Some(&authority.issue("cart", &names)));
    caller.connect(&program.grpc[0]).await.unwrap().is_authorized(alice_reads()).await.unwrap();
    Client::connect(socket).await.unwrap().is_authorized(alice_reads()).await.unwrap();
    program.signal("TERM");
    assert_eq!(program.ended().0, 0);

    let found = decisions(lines(&fs::read_to_string(&path).unwrap()));
    let peers: Vec<&Value> = found.iter().map(|line| &line["peer"]).collect();
    let own = fs::metadata(folder.path()).unwrap().uid();
    assert_eq!(peers, [&json!("spiffe://acme/ns/cart"), &json!(format!("uid={own}"))]);
}
