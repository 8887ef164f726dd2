use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches, Parser};

use super::*;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    serve: ServeArgs,
}

fn check(flags: &[&str]) -> Result<Config, Vec<String>> {
    check_as(Flags::command(), flags)
}

fn check_as(command: Command, flags: &[&str]) -> Result<Config, Vec<String>> {
    let words = ["iamd", "--policies", "store"].iter().chain(flags);
    let flags = Flags::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap();
    Config::check(&flags.serve).map_err(|problems| problems.iter().map(Problem::to_string).collect())
}

#[test]
fn defaults_are_those_of_the_manual() {
    let config = check(&[]).unwrap();
    assert_eq!(config.policies, PathBuf::from("store"));
    assert_eq!(config.listen, [ListenAddress::Tcp("127.0.0.1:50051".parse().unwrap())]);
    assert_eq!(config.admin_listen, "127.0.0.1:9090".parse().unwrap());
    assert_eq!(config.cache_bytes, 64 << 20);
    assert_eq!(config.watch.poll_interval, Duration::from_secs(5));
    assert_eq!(config.watch.debounce, Duration::from_millis(100));
    assert_eq!(config.drain.delay, Duration::from_secs(5));
    assert_eq!(config.drain.timeout, Duration::from_secs(30));
    assert_eq!(config.limits.request_bytes, 1 << 20);
    let request = RequestLimits {
        batch: 1_000,
        context_keys: 256,
        context_values: 1_024,
        session_policies: 10,
        session_policy_bytes: 262_144,
    };
    assert_eq!(config.limits.request, request);
    assert_eq!(config.worker_threads, None);
}

#[test]
fn what_is_written_is_what_counts() {
    let flags =
        ["--listen", "[::1]:0,unix:/run/iamd.sock", "--listen", "0.0.0.0:1", "--insecure-listen", "--cache-size", "0"];
    let config = check(&flags).unwrap();
    let shown: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["[::1]:0", "unix:/run/iamd.sock", "0.0.0.0:1"]);
    assert_eq!(config.cache_bytes, 0);

    for (text, bytes) in [("1", 1), ("512KiB", 512 << 10), ("2 MiB", 2 << 20), ("1GiB", 1 << 30)] {
        assert_eq!(check(&["--cache-size", text]).unwrap().cache_bytes, bytes, "{text}");
    }
}

#[test]
fn a_default_cache_leaves_room_where_memory_is_limited() {
    let within = |flags: &[&str], limit| check(flags).unwrap().cache_bytes_within(limit);
    for (limit, bytes) in [(0, 64 << 20), (1 << 30, 64 << 20), (256 << 20, 64 << 20), (64 << 20, 16 << 20), (3, 0)] {
        assert_eq!(within(&[], limit), bytes, "{limit}");
        assert_eq!(within(&["--cache-size", "32MiB"], limit), 32 << 20, "as it is written");
    }
}

#[test]
fn nothing_is_too_large_where_memory_has_no_limit() {
    let config = check(&["--cache-size", "1GiB", "--decision-log", "-", "--decision-log-queue", "1GiB"]).unwrap();
    assert_eq!((config.cache_is_too_large(0), config.queue_is_too_large(0)), (None, None));
    assert!(config.cache_is_too_large(2 << 30).is_some() && config.queue_is_too_large(1 << 30).is_some());
}

#[test]
fn all_problems_are_reported_at_once() {
    let flags = [
        "--account-id",
        "12",
        "--partition",
        "azure",
        "--listen",
        "localhost:1",
        "--listen",
        "unix:",
        "--admin-listen",
        "9090",
        "--cache-size",
        "64MB",
        "--poll-interval",
        "5",
        "--debounce",
        "soon",
        "--max-request-bytes",
        "10",
        "--max-batch",
        "0",
        "--worker-threads",
        "many",
        "--log-format",
        "xml",
        "--log-level",
        "loud",
    ];
    let problems = check(&flags).unwrap_err();
    let expected = [
        "--account-id: `12` is not an account id; write its 12 digits",
        "--partition: `azure` is not a partition; write `aws`, `aws-cn`, `aws-us-gov` or another",
        "--listen: `localhost:1` is not an address; write an IP address and a port, such as `127.0.0.1:50051`, or \
         `unix:/PATH`",
        "--listen: `unix:` is not an address; write an IP address and a port, such as `127.0.0.1:50051`, or \
         `unix:/PATH`",
        "--admin-listen: `9090` is not an address; write an IP address and a port, such as `127.0.0.1:9090`",
        "--cache-size: `64MB` is not a size; write a number of bytes, or a number with KiB, MiB or GiB, such as `64MiB`",
        "--poll-interval: `5` is not a duration; write a number with a unit, such as `500ms`, `5s` or `1m`",
        "--debounce: `soon` is not a duration; write a number with a unit, such as `500ms`, `5s` or `1m`",
        "--max-request-bytes: `10` is not allowed; write a whole number from 1024 to 1073741824",
        "--max-batch: `0` is not allowed; write a whole number from 1 to 1000000",
        "--worker-threads: `many` is not allowed; write a whole number from 1 to 1024",
        "--log-format: `xml` is not a log format; write `auto`, `text` or `json`",
        "--log-level: `loud` is not a log level; write `error`, `warn`, `info`, `debug` or `trace`, or directives such \
         as `info,iamd=debug`",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn what_would_overflow_is_refused() {
    let flags = ["--request-timeout", "584000000000years", "--cache-size", "64GiB", "--poll-interval", "30days"];
    assert_eq!(check(&flags).unwrap_err(), ["--request-timeout: `584000000000years` is too long; at most 30days"]);
    let expected = "--cache-size: `65GiB` is not allowed; write a whole number from 0 to 68719476736";
    assert_eq!(check(&["--cache-size", "65GiB"]).unwrap_err(), [expected]);
}

#[test]
fn levels_that_would_hide_what_goes_wrong() {
    let said = |text: &str| check(&[&format!("--log-level={text}")]).map(drop).map_err(|problems| problems.join("\n"));
    for text in [
        "error",
        "INFO",
        "3",
        "info,iamd=debug",
        "iamd=warn",
        "error,h2=off",
        "info,hyper-util=debug",
        "warn,iamd::tls=trace",
        "debug,h2[x]=trace",
        "info,[x]=debug",
        "info,",
    ] {
        assert_eq!(said(text), Ok(()), "{text}");
    }
    let crates = "there are `iamd`, `axum`, `h2`, ";
    for (text, expected) in [
        ("", "`` is not a log level; write `error`, "),
        (",", "`,` is not a log level; write `error`, "),
        ("iamd", "`iamd` is not a log level; write `error`, "),
        ("off", "`off` hides what goes wrong; write `error` at least"),
        ("OFF", "`OFF` hides what goes wrong; write `error` at least"),
        ("0", "`0` hides what goes wrong; write `error` at least"),
        ("info,iamd=off", "`info,iamd=off` hides what goes wrong; write `error` at least"),
        ("info,iamd::tls=off", "`info,iamd::tls=off` hides what goes wrong; write `error` at least"),
        ("off,iamd=info", "`off,iamd=info` hides what goes wrong; write `error` at least"),
        ("iamdd=debug", "`iamdd=debug` is about `iamdd`, of which nothing is logged; did you mean `iamd`?"),
        (
            "info,imad::tls=debug",
            "`info,imad::tls=debug` is about `imad::tls`, of which nothing is logged; did you mean `iamd`?",
        ),
        ("info,loud", &format!("`info,loud` is about `loud`, of which nothing is logged; {crates}")),
        ("h2=debug", "`h2=debug` hides what goes wrong elsewhere; begin with a level, as in `error,h2=debug`"),
        (
            "iamd::tls=debug",
            "`iamd::tls=debug` hides what goes wrong elsewhere; begin with a level, as in `error,iamd::tls",
        ),
        (
            "iamd[x]=debug",
            "`iamd[x]=debug` hides what goes wrong elsewhere; begin with a level, as in `error,iamd[x]=debug`",
        ),
    ] {
        let said = said(text).unwrap_err();
        assert!(said.starts_with(&format!("--log-level: {expected}")), "{said}");
    }
}

/// What is wrong with each flag of `serve`, with a value that it cannot have: what is wrong, and what is allowed.
const WRONG: [(&str, &str, &str); 48] = [
    ("--account-id", "1234", "`1234` is not an account id; write its 12 digits"),
    ("--strict", "2", "`2` is not known; write `true` or `false`, or unset it"),
    ("--huge-pages", "", "`` is not known; write `true` or `false`, or unset it"),
    ("--insecure-listen", "ture", "`ture` is not known; write `true` or `false`, or unset it"),
    ("--insecure-listen", " true", "` true` is not known; write `true` or `false`, or unset it"),
    ("--partition", "AWS", "`AWS` is not a partition; write `aws`, `aws-cn`, `aws-us-gov` or another"),
    ("--listen", "localhost", "`localhost` is not an address; write an IP address and a port, such as"),
    ("--listen", "unix:", "`unix:` is not an address; write an IP address and a port, such as"),
    ("--admin-listen", "unix:/x", "`unix:/x` is not an address; write an IP address and a port, such as"),
    ("--unix-socket-mode", "0o660", "`0o660` is not a mode; write up to four octal digits, at most `0777`"),
    ("--unix-socket-mode", "4755", "`4755` is not a mode; write up to four octal digits, at most `0777`"),
    ("--unix-socket-mode", "rw", "`rw` is not a mode; write up to four octal digits, at most `0777`"),
    ("--unix-socket-owner", "nobody", "`nobody` is not an owner; write numbers, UID or UID:GID, such as `65532:65532`"),
    ("--unix-socket-owner", "1:", "`1:` is not an owner; write numbers, UID or UID:GID, such as `65532:65532`"),
    ("--tls-min-version", "1.1", "`1.1` is not a version that is spoken; write `1.2` or `1.3`"),
    ("--admin-tls-min-version", "TLSv1.3", "`TLSv1.3` is not a version that is spoken; write `1.2` or `1.3`"),
    ("--tls-allowed-san", "*.acme", "`*.acme` is not a name: `*` stands for everything below a URI, at its end and"),
    ("--admin-tls-allowed-san", "a b", "`a b` is not a name: names of certificates have neither spaces nor letters"),
    (
        "--cache-size",
        "1TiB",
        "`1TiB` is not a size; write a number of bytes, or a number with KiB, MiB or GiB, such as",
    ),
    ("--poll-interval", "1ms", "`1ms` is too short; at least 10ms"),
    ("--debounce", "1", "`1` is not a duration; write a number with a unit, such as `500ms`, `5s` or `1m`"),
    ("--drain-delay", "-1s", "`-1s` is not a duration; write a number with a unit, such as `500ms`, `5s` or `1m`"),
    ("--drain-timeout", "31days", "`31days` is too long; at most 30days"),
    ("--request-timeout", "0s", "`0s` is too short; at least 1ms"),
    ("--max-request-bytes", "2GiB", "`2GiB` is not allowed; write a whole number from 1024 to 1073741824"),
    ("--max-batch", "0", "`0` is not allowed; write a whole number from 1 to 1000000"),
    ("--max-connections", "1e3", "`1e3` is not allowed; write a whole number from 1 to 1000000"),
    ("--max-streams-per-connection", "0", "`0` is not allowed; write a whole number from 1 to 1000000"),
    ("--max-in-flight", "-1", "`-1` is not allowed; write a whole number from 1 to 1000000"),
    ("--max-context-keys", "", "`` is not allowed; write a whole number from 0 to 100000"),
    ("--max-context-values", "1000001", "`1000001` is not allowed; write a whole number from 0 to 1000000"),
    ("--max-session-policies", "1.5", "`1.5` is not allowed; write a whole number from 0 to 1000"),
    ("--max-session-policy-bytes", "x", "`x` is not a size; write a number of bytes, or a number with KiB, MiB or GiB"),
    ("--max-header-bytes", "100", "`100` is not allowed; write a whole number from 1024 to 1048576"),
    ("--window-bytes", "1KiB", "`1KiB` is not allowed; write a whole number from 65536 to 1073741824"),
    ("--max-pending-resets", "0", "`0` is not allowed; write a whole number from 1 to 100000"),
    ("--write-timeout", "0s", "`0s` is too short; at least 1ms"),
    ("--idle-timeout", "15", "`15` is not a duration; write a number with a unit, such as `500ms`, `5s` or `1m`"),
    ("--keepalive-interval", "never", "`never` is not a duration; write a number with a unit, such as"),
    ("--keepalive-timeout", "0s", "`0s` is too short; at least 1ms"),
    ("--max-connection-age", "1", "`1` is not a duration; write a number with a unit, such as"),
    ("--max-connection-age-grace", "31days", "`31days` is too long; at most 30days"),
    ("--max-queue-time", "100", "`100` is not a duration; write a number with a unit, such as"),
    ("--memory-limit", "half", "`half` is not a size; write a number of bytes, or a number with KiB, MiB or GiB"),
    ("--memory-high", "100", "`100` is not allowed; write a whole number from 1 to 99"),
    ("--worker-threads", "0", "`0` is not allowed; write a whole number from 1 to 1024"),
    ("--log-format", "yaml", "`yaml` is not a log format; write `auto`, `text` or `json`"),
    ("--log-level", "verbose", "`verbose` is not a log level; write `error`, `warn`, `info`, `debug` or `trace`, or"),
];

/// The same of the flags that say nothing without a decision log.
const WRONG_OF_LOG: [(&str, &str, &str); 15] = [
    ("--decision-log", "", "`` is no path; write a file, or `-` for stdout"),
    ("--decision-log-full", "wait", "`wait` is not known; write `drop-newest`, `drop-oldest`, `block` or `error`"),
    ("--decision-log-block-timeout", "0s", "`0s` is too short; at least 1ms"),
    ("--decision-log-queue", "1KiB", "`1KiB` is not allowed; write a whole number from 65536 to 17179869184"),
    (
        "--decision-log-max-bytes",
        "big",
        "`big` is not a size; write a number of bytes, or a number with KiB, MiB or GiB",
    ),
    ("--decision-log-max-age", "1ms", "`1ms` is too short; at least 1s"),
    ("--decision-log-max-files", "-1", "`-1` is not allowed; write a whole number from 0 to 1000000"),
    ("--decision-log-only", "allows", "`allows` is not known; write `denials`, or leave the flag out"),
    ("--decision-log-actions", "s3", "`s3` matches no action; write a service and an action, such as `s3:*`"),
    ("--decision-log-sample", "NaN", "`NaN` is not a ratio; write a number from 0 to 1"),
    ("--decision-log-context", "all", "`all` is not known; write `safe` or `full`"),
    ("--decision-log-keep-key", "", "`` matches no key; write a condition key, such as `aws:userid` or `saml:*`"),
    ("--decision-log-drop-key", "", "`` matches no key; write a condition key, such as `aws:userid` or `saml:*`"),
    ("--decision-log-hash-key", "", "`` matches no key; write a condition key, such as `aws:userid` or `saml:*`"),
    ("--decision-log-statements", "all", "`all` is not known; write `true` or `false`, or unset it"),
];

/// Switches have a value in their variable alone; here on the command line, too.
fn with_values(argument: Arg) -> Arg {
    let is_switch = matches!(argument.get_action(), ArgAction::SetTrue);
    if is_switch { argument.action(ArgAction::Set).default_value("false") } else { argument }
}

#[test]
fn every_flag_says_what_is_wrong_with_its_value() {
    let of_log = WRONG_OF_LOG.iter().map(|wrong| (Some("--decision-log=log"), wrong));
    for (besides, (flag, value, expected)) in WRONG.iter().map(|wrong| (None, wrong)).chain(of_log) {
        let wrong = format!("{flag}={value}");
        let besides = besides.filter(|_| *flag != "--decision-log");
        let flags: Vec<&str> = besides.into_iter().chain([wrong.as_str()]).collect();
        let problems = check_as(Flags::command().mut_args(with_values), &flags).unwrap_err();
        let about: Vec<_> = problems.iter().filter(|problem| problem.starts_with(&format!("{flag}: `"))).collect();
        assert!(
            about.len() == 1 && about[0].starts_with(&format!("{flag}: {expected}")),
            "{flag}={value}: {problems:?}"
        );
    }
}

/// Their files are looked at when the service starts; what is wrong with them has tests of its own.
const FILES: [&str; 8] = [
    "--policies",
    "--tls-cert",
    "--tls-key",
    "--tls-client-ca",
    "--admin-tls-cert",
    "--admin-tls-key",
    "--admin-tls-client-ca",
    "--decision-log-hash-key-file",
];

#[test]
fn no_flag_is_left_out() {
    let command = Flags::command().mut_args(with_values);
    let flags = command.get_arguments().filter(|argument| argument.get_action().takes_values());
    let wrong = || WRONG.iter().chain(&WRONG_OF_LOG);
    let tested = |flag: &String| wrong().any(|(name, ..)| name == flag) || FILES.contains(&flag.as_str());
    let untested: Vec<String> =
        flags.map(|argument| format!("--{}", argument.get_long().unwrap())).filter(|flag| !tested(flag)).collect();
    assert!(untested.is_empty(), "WRONG has no line for {untested:?}");
}

#[test]
fn switches() {
    let on = |text: &str| {
        let flag = format!("--huge-pages={text}");
        check_as(Flags::command().mut_args(with_values), &[&flag]).unwrap().huge_pages
    };
    assert!(["true", "TRUE", "yes", "on", "1", "t", "y"].into_iter().all(on));
    assert!(!["false", "False", "no", "off", "0", "f", "n"].into_iter().any(on));
    assert!(!check(&[]).unwrap().huge_pages && check(&["--huge-pages"]).unwrap().huge_pages);

    // One that is wrong is not also said to be off.
    let exposed = ["--insecure-listen=ture", "--listen=0.0.0.0:1"];
    let problems = check_as(Flags::command().mut_args(with_values), &exposed).unwrap_err();
    assert!(problems.len() == 1 && problems[0].starts_with("--insecure-listen: `ture`"), "{problems:?}");
}

#[test]
fn transport_security_as_written() {
    let config = check(&[]).unwrap();
    assert_eq!((config.tls, config.admin_tls), (None, None));
    assert_eq!(config.unix_socket, SocketOptions { mode: 0o660, owner: None });
    let flags = [
        "--tls-cert=a",
        "--tls-key=b",
        "--tls-client-ca=c",
        "--tls-allowed-san=spiffe://acme/*,10.0.0.1",
        "--tls-allowed-san=cart.acme",
        "--listen=0.0.0.0:1,unix:/x",
        "--unix-socket-mode=600",
        "--unix-socket-owner=7:8",
        "--admin-tls-cert=d",
        "--admin-tls-key=e",
        "--admin-tls-min-version=1.3",
        "--admin-listen=[::]:2",
    ];
    let config = check(&flags).unwrap();
    let tls = config.tls.clone().unwrap();
    assert_eq!((tls.cert, tls.key, tls.client_ca), ("a".into(), "b".into(), Some("c".into())));
    assert_eq!((tls.allowed.len(), tls.min_version), (3, TlsVersion::V12));
    let admin = config.admin_tls.clone().unwrap();
    assert_eq!((admin.client_ca, admin.min_version), (None, TlsVersion::V13));
    assert_eq!(config.unix_socket, SocketOptions { mode: 0o600, owner: Some((7, Some(8))) });
    assert_eq!(config.exposed().count(), 0);
}

#[test]
fn flags_that_contradict_each_other() {
    let cases: [(&[&str], &str); 17] = [
        (&["--tls-cert=a"], "--tls-cert: needs --tls-key, too: a certificate and its key are two files"),
        (
            &["--admin-tls-key=a"],
            "--admin-tls-key: needs --admin-tls-cert, too: a certificate and its key are two files",
        ),
        (&["--tls-client-ca=a"], "--tls-client-ca: needs --tls-cert and --tls-key: without them there is no TLS"),
        (&["--tls-min-version=1.3"], "--tls-min-version: needs --tls-cert and --tls-key: without them there is no TLS"),
        (
            &["--admin-tls-cert=a", "--admin-tls-key=b", "--admin-tls-allowed-san=c"],
            "--admin-tls-allowed-san: needs --admin-tls-client-ca: without it clients have no certificates",
        ),
        (
            &["--tls-cert=a", "--tls-key=b", "--listen=unix:/x"],
            "--tls-cert: there is no TCP address in --listen, and Unix sockets have no TLS",
        ),
        (&["--unix-socket-mode=0600"], "--unix-socket-mode: there is no Unix socket in --listen"),
        (&["--unix-socket-owner=1"], "--unix-socket-owner: there is no Unix socket in --listen"),
        (
            &["--listen=192.0.2.1:1,127.0.0.1:2,[::ffff:127.0.0.1]:3"],
            "--listen: `192.0.2.1:1` is not loopback, and has no TLS; give --tls-cert and --tls-key, listen on \
             `127.0.0.1:50051`, or allow it with --insecure-listen",
        ),
        (
            &["--admin-listen=0.0.0.0:9090", "--tls-cert=a", "--tls-key=b"],
            "--admin-listen: `0.0.0.0:9090` is not loopback, and has no TLS; give --admin-tls-cert and \
             --admin-tls-key, listen on `127.0.0.1:9090`, or allow it with --insecure-listen",
        ),
        (
            &["--listen=0.0.0.0:9090", "--admin-listen=0.0.0.0:9090", "--insecure-listen"],
            "--admin-listen: `0.0.0.0:9090` is also in --listen; metrics and status need a port of their own",
        ),
        (&["--listen", "127.0.0.1:1,127.0.0.1:1"], "--listen: `127.0.0.1:1` is given twice"),
        (
            &["--listen", "127.0.0.1:9090"],
            "--admin-listen: `127.0.0.1:9090` is also in --listen; metrics and status need a port of their own",
        ),
        (
            &["--memory-limit=0", "--memory-high=80"],
            "--memory-high: is a share of --memory-limit, and `0` means that there is none; leave one out",
        ),
        (
            &["--max-session-policy-bytes=1025KiB"],
            "--max-session-policy-bytes: `1025KiB` is more than --max-request-bytes (`1MiB`), and session policies are a \
             part of the message; lower it, or raise the other",
        ),
        // What is wrong by itself contradicts nothing.
        (
            &["--cache-size=1GiB", "--memory-limit=1GB", "--max-session-policy-bytes=2MiB", "--max-request-bytes=4MiB"],
            "--memory-limit: `1GB` is not a size; write a number of bytes, or a number with KiB, MiB or GiB, such as `64MiB`",
        ),
        (
            &["--drain-delay", "10s", "--drain-timeout", "9s"],
            "--drain-timeout: `9s` is shorter than --drain-delay (`10s`); both are counted from the signal",
        ),
    ];
    for (flags, expected) in cases {
        assert_eq!(check(flags).unwrap_err(), [expected]);
    }
}

/// On both sides of what fits.
#[test]
fn a_cache_that_leaves_too_little_of_the_memory() {
    for (cache, limit, high, most) in [
        ("1GiB", "1GiB", "90", Some(724)),
        ("725MiB", "1GiB", "90", Some(724)),
        ("724MiB", "1GiB", "90", None),
        ("28MiB", "64MiB", "79", Some(27)),
        ("28MiB", "64MiB", "80", None),
        // A quarter is what it takes by default.
        ("5MiB", "20MiB", "90", None),
        ("6MiB", "20MiB", "90", Some(5)),
        ("0", "16MiB", "90", None),
    ] {
        let found = check(&["--cache-size", cache, "--memory-limit", limit, "--memory-high", high]);
        let expected = most.map(|most| {
            format!(
                "--cache-size: `{cache}`, and a quarter of it for session policies, leave less than 16 MiB for all else below \
                 {high} % of --memory-limit (`{limit}`): with a full cache calls would be refused; write `{most}MiB` at most, \
                 or raise the other"
            )
        });
        assert_eq!(found.err(), expected.map(|message| vec![message]), "{cache} of {limit}");
    }
}

#[test]
fn addresses_that_cover_each_other() {
    let cases: [(&[&str], &str); 4] = [
        (
            &["--listen", "127.0.0.1:1,0.0.0.0:1", "--insecure-listen"],
            "--listen: `0.0.0.0:1` is given twice, also as `127.0.0.1:1`",
        ),
        (
            &["--listen", "[::]:1,127.0.0.1:1", "--insecure-listen"],
            "--listen: `127.0.0.1:1` is given twice, also as `[::]:1`",
        ),
        (
            &["--listen", "unix:/run/a.sock,unix:/run//./a.sock"],
            "--listen: `unix:/run//./a.sock` is given twice, also as `unix:/run/a.sock`",
        ),
        (
            &["--listen", "0.0.0.0:9090", "--insecure-listen"],
            "--admin-listen: `127.0.0.1:9090` is also in --listen, as `0.0.0.0:9090`; metrics and status need a port of their own",
        ),
    ];
    for (flags, expected) in cases {
        assert_eq!(check(flags).unwrap_err(), [expected], "{flags:?}");
    }
    for flags in [
        "127.0.0.1:1,127.0.0.2:1",
        "0.0.0.0:0,127.0.0.1:0",
        "0.0.0.0:1,[::1]:1",
        "[fe80::1%2]:1,[fe80::1%3]:1",
        "unix:/a.sock,unix:/b.sock",
    ] {
        check(&["--listen", flags, "--insecure-listen"]).unwrap();
    }
}

#[test]
fn a_queue_that_leaves_too_little_memory() {
    for (queue, cache, limit, most) in [
        ("128MiB", None, "64MiB", Some(21)),
        ("22MiB", None, "64MiB", Some(21)),
        ("21MiB", None, "64MiB", None),
        ("41MiB", Some("0"), "64MiB", None),
        ("42MiB", Some("0"), "64MiB", Some(41)),
        // An eighth is what it takes by default.
        ("3MiB", None, "24MiB", None),
        ("4MiB", None, "24MiB", Some(3)),
    ] {
        let cache = cache.map(|cache| format!("--cache-size={cache}"));
        let queue = format!("--decision-log-queue={queue}");
        let flags = ["--decision-log=-", "--memory-limit", limit, &queue].into_iter().chain(cache.as_deref());
        let expected = most.map(|most| {
            let (_, queue) = queue.split_once('=').unwrap();
            vec![format!(
                "--decision-log-queue: `{queue}` leaves, beside the cache, less than 16 MiB for all else below 90 % of --memory-limit \
                 (`{limit}`): with a full queue calls would be refused; write `{most}MiB` at most, or raise the other"
            )]
        });
        assert_eq!(check(&flags.collect::<Vec<_>>()).err(), expected, "{queue}");
    }
    // The cache gives way to it.
    let both = ["--decision-log=-", "--memory-limit=64MiB", "--decision-log-queue=16MiB", "--cache-size=32MiB"];
    assert!(check(&both).unwrap_err()[0].ends_with("write `20MiB` at most, or raise the other"));
}

#[test]
fn what_is_not_written_contradicts_nothing() {
    for flags in [
        &["--max-request-bytes=64KiB"][..],
        &["--memory-limit=32MiB"],
        &["--cache-size=1GiB"],
        &["--cache-size=1GiB", "--memory-limit=0"],
        &["--max-session-policy-bytes=1MiB"],
        // Calls wait in sockets, before their time counts.
        &["--request-timeout=50ms"],
        &["--max-queue-time=2s"],
    ] {
        assert!(check(flags).is_ok(), "{flags:?}");
    }
}

#[test]
fn limits_of_connections_and_of_what_there_is_to_do() {
    let config = check(&[]).unwrap();
    assert_eq!(config.limits.connection, ConnectionLimits::default());
    assert_eq!(config.limits.overload, Overload::default());

    let flags = ["--idle-timeout", "0s", "--max-connection-age", "1h", "--max-queue-time", "0s", "--memory-limit", "0"];
    let limits = check(&flags).unwrap().limits;
    assert_eq!((limits.connection.idle_timeout, limits.connection.age), (None, Some(Duration::from_secs(3600))));
    assert_eq!((limits.overload.queue_time, limits.overload.memory), (None, MemoryLimit::None));
    let limit = check(&["--memory-limit", "64MiB"]).unwrap().limits.overload.memory;
    assert_eq!(limit, MemoryLimit::Bytes(64 << 20));

    let flags = [
        "--max-header-bytes",
        "1",
        "--window-bytes",
        "1KiB",
        "--write-timeout",
        "0s",
        "--keepalive-interval",
        "often",
        "--memory-limit",
        "lots",
        "--memory-high",
        "100",
    ];
    assert_eq!(
        check(&flags).unwrap_err(),
        [
            "--max-header-bytes: `1` is not allowed; write a whole number from 1024 to 1048576",
            "--window-bytes: `1KiB` is not allowed; write a whole number from 65536 to 1073741824",
            "--write-timeout: `0s` is too short; at least 1ms",
            "--keepalive-interval: `often` is not a duration; write a number with a unit, such as `500ms`, `5s` or `1m`",
            "--memory-limit: `lots` is not a size; write a number of bytes, or a number with KiB, MiB or GiB, such as `64MiB`",
            "--memory-high: `100` is not allowed; write a whole number from 1 to 99",
        ]
    );
}
