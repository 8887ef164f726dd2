use clap::Parser;

use super::*;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    serve: ServeArgs,
}

fn check(flags: &[&str]) -> Result<Config, Vec<String>> {
    let words = ["iamd", "--policies", "store"].iter().chain(flags);
    let flags = Flags::try_parse_from(words).unwrap();
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
    let flags = ["--listen", "[::1]:0,unix:/run/iamd.sock", "--listen", "0.0.0.0:1", "--cache-size", "0"];
    let config = check(&flags).unwrap();
    let shown: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["[::1]:0", "unix:/run/iamd.sock", "0.0.0.0:1"]);
    assert_eq!(config.cache_bytes, 0);

    for (text, bytes) in [("1", 1), ("512KiB", 512 << 10), ("2 MiB", 2 << 20), ("1GiB", 1 << 30)] {
        assert_eq!(check(&["--cache-size", text]).unwrap().cache_bytes, bytes, "{text}");
    }
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
fn flags_that_contradict_each_other() {
    let cases: [(&[&str], &str); 3] = [
        (&["--listen", "127.0.0.1:1,127.0.0.1:1"], "--listen: `127.0.0.1:1` is given twice"),
        (
            &["--listen", "127.0.0.1:9090"],
            "--admin-listen: `127.0.0.1:9090` is also in --listen; metrics and status need a port of their own",
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
