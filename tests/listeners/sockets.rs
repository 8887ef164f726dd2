//! Unix sockets: who may connect, from their first moment.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, read};
use crate::program::{Program, run, store, unix};

fn start(path: &Path, flags: &[&str]) -> Program {
    Program::start_on(&["--listen", &unix(path)], flags)
}

/// Nothing else is left beside the socket.
fn mode(path: &Path) -> u32 {
    let entries = fs::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>(), [path]);
    let found = fs::symlink_metadata(path).unwrap();
    assert!(found.file_type().is_socket());
    found.permissions().mode() & 0o7777
}

#[test]
fn the_mode_is_as_the_flag_says() {
    for (flags, expected) in
        [(&[][..], 0o660), (&["--unix-socket-mode", "0600"], 0o600), (&["--unix-socket-mode", "777"], 0o777)]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("iamd.sock");
        // Killed before: the file that is left is replaced.
        drop(UnixListener::bind(&path).unwrap());
        let _program = start(&path, flags);
        assert_eq!(mode(&path), expected);
        assert_eq!(run(&["healthcheck", "--address", &unix(&path)]), (0, String::new()));
    }
}

#[test]
fn the_owner_is_as_the_flag_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("iamd.sock");
    let (user, group) = (fs::metadata(folder.path()).unwrap().uid(), fs::metadata(folder.path()).unwrap().gid());
    let (user, group) = if user == 0 { (1234, 5678) } else { (user, group) };
    let _program = start(&path, &["--unix-socket-owner", &format!("{user}:{group}")]);
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid()), (user, group));
    assert_eq!(mode(&path), 0o660);
}

#[test]
fn a_path_that_is_too_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s".repeat(110));
    let store = store();
    let policies = store.path().to_str().unwrap();
    let long = folder.path().join("d".repeat(110));
    fs::create_dir(&long).unwrap();
    for path in [path, long.join("s")] {
        let listen = unix(&path);
        let words = ["serve", "--policies", policies, "--admin-listen", "127.0.0.1:0", "--listen", &listen];
        let expected = format!(
            "error: cannot listen on {listen}: the path is too long for a socket; hint: choose a path of 90 bytes at most\n"
        );
        assert_eq!(run(&words), (1, expected));
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().filter(|e| e.as_ref().unwrap().path() != long).count(),
            0
        );
    }
}

#[test]
fn a_file_that_is_somebody_elses_by_then_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("iamd.sock");
    let mut program = start(&path, &["--drain-delay", "0s"]);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    program.signal("TERM");
    assert_eq!(program.ended().0, 0);
    assert!(path.exists());
}

/// As gRPC's C core writes it, which Python, Ruby, PHP and C++ use, and others: no authority that HTTP knows.
#[test]
fn clients_may_send_the_path_as_the_authority() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("iamd.sock");
    let _program = start(&path, &[]);
    for authority in ["run%2Fiamd.sock", "/run/iamd.sock", "localhost"] {
        let mut socket = UnixStream::connect(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.write_all(PREFACE).unwrap();
        socket.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
        let literal = |name: &str, value: &str| {
            let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            [&[0x40][..], &text(name), &text(value)].concat()
        };
        let fields = [
            vec![0x83, 0x86],
            literal(":authority", authority),
            literal(":path", "/grpc.health.v1.Health/Check"),
            literal("content-type", "application/grpc"),
            literal("te", "trailers"),
        ];
        // The second call names what both sides remember of the first one: the same fields, counted from the last one on.
        for (stream, fields) in [(1, fields.concat()), (3, vec![0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe])] {
            socket
                .write_all(
                    &[frame(HEADERS, END_HEADERS, stream, &fields), frame(DATA, END_STREAM, stream, &[0; 5])].concat(),
                )
                .unwrap();
            assert_eq!(answer(&mut socket, stream), [HEADERS, DATA, HEADERS], "{authority}: head, message, status");
        }
    }
}

/// The kinds of the frames of a stream up to its end.
fn answer(socket: &mut UnixStream, wanted: u32) -> Vec<u8> {
    let mut kinds = Vec::new();
    loop {
        let frame = read(socket).unwrap();
        if frame.stream == wanted {
            kinds.push(frame.kind);
            let ends = matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0;
            if ends || frame.kind == RST_STREAM {
                return kinds;
            }
        }
    }
}
