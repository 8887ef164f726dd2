use clap::Parser;

use super::*;
use crate::config::{Config, Problem, ServeArgs};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    serve: ServeArgs,
}

fn checked(flags: &str) -> Result<Option<DecisionLogOptions>, Vec<String>> {
    let words = ["iamd", "--policies", "store"].into_iter().chain(flags.split_whitespace());
    let config = Config::check(&Flags::try_parse_from(words).unwrap().serve);
    config.map(|config| config.decision_log).map_err(|problems| problems.iter().map(Problem::to_string).collect())
}

#[test]
fn off_by_default_and_careful_when_on() {
    assert_eq!(checked(""), Ok(None));
    let expected = DecisionLogOptions {
        target: LogTarget::Stdout,
        when_full: WhenFull::DropNewest,
        queue_bytes: 32 << 20,
        queue_is_default: true,
        rotation: Rotation { max_bytes: Some(100 << 20), max_age: None, max_files: Some(10) },
        filter: LogFilter { denials_only: false, actions: vec![], sample: 1.0 },
        masks: MaskOptions { full: false, keep: vec![], drop: vec![], hash: vec![], hash_key_file: None },
        statements: false,
    };
    assert_eq!(checked("--decision-log -"), Ok(Some(expected)));
}

#[test]
fn a_default_queue_leaves_room_where_memory_is_limited() {
    let within = |flags: &str, limit| checked(flags).unwrap().unwrap().within(limit).queue_bytes;
    for (limit, bytes) in
        [(0, 32 << 20), (1 << 30, 32 << 20), (256 << 20, 32 << 20), (64 << 20, 8 << 20), (3, 64 << 10)]
    {
        assert_eq!(within("--decision-log -", limit), bytes, "{limit}");
        assert_eq!(within("--decision-log - --decision-log-queue 16MiB", limit), 16 << 20, "as it is written");
    }
}

#[test]
fn what_is_written_is_what_counts() {
    let log = |flags: &str| checked(&format!("--decision-log /log {flags}")).unwrap().unwrap();
    assert_eq!(log("").target, LogTarget::File("/log".into()));
    assert_eq!(log("--decision-log-full drop-oldest").when_full, WhenFull::DropOldest);
    assert_eq!(log("--decision-log-full error").when_full, WhenFull::Error);
    assert_eq!(log("--decision-log-full block").when_full, WhenFull::Block(Duration::from_millis(100)));
    let block = log("--decision-log-full block --decision-log-block-timeout 2s");
    assert_eq!(block.when_full, WhenFull::Block(Duration::from_secs(2)));
    let rotation =
        log("--decision-log-max-bytes 64KiB --decision-log-max-age 1day --decision-log-max-files 3").rotation;
    let expected = Rotation { max_bytes: Some(65_536), max_age: Some(Duration::from_secs(86_400)), max_files: Some(3) };
    assert_eq!(rotation, expected);
    let never = log("--decision-log-max-bytes 0 --decision-log-max-files 0").rotation;
    assert_eq!(never, Rotation { max_bytes: None, max_age: None, max_files: None });
    assert_eq!(log("--decision-log-actions s3:*,iam:Get*").filter.actions, ["s3:*", "iam:Get*"]);
    assert_eq!(log("--decision-log-sample 0.25").filter.sample, 0.25);
    assert!(log("--decision-log-only denials").filter.denials_only);
    assert!(log("--decision-log-context full").masks.full);
}

#[test]
fn flags_that_contradict_each_other() {
    for (flags, expected) in [
        (
            "--decision-log /log --decision-log-max-bytes 0 --decision-log-max-files 3",
            "--decision-log-max-files: says nothing where files are never rotated; give --decision-log-max-age, or leave `--decision-log-max-bytes 0` out",
        ),
        (
            "--decision-log - --decision-log-context full --decision-log-keep-key aws:userid",
            "--decision-log-keep-key: says nothing with `--decision-log-context full`, which keeps every key",
        ),
        (
            "--decision-log - --decision-log-keep-key a --decision-log-drop-key a",
            "--decision-log-keep-key: `a` is also to be dropped or hashed; leave one out",
        ),
        (
            "--decision-log - --decision-log-hash-key a --decision-log-hash-key-file f --decision-log-drop-key a",
            "--decision-log-hash-key: `a` is also to be dropped; leave one out",
        ),
    ] {
        assert_eq!(checked(flags), Err(vec![expected.to_owned()]), "{flags}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (flags, expected) in [
        (
            "--decision-log-full error",
            "--decision-log-full: says nothing without --decision-log; write where to log, such as `--decision-log -`",
        ),
        (
            "--decision-log-drop-key x",
            "--decision-log-drop-key: says nothing without --decision-log; write where to log, such as `--decision-log -`",
        ),
        (
            "--decision-log - --decision-log-full wait",
            "--decision-log-full: `wait` is not known; write `drop-newest`, `drop-oldest`, `block` or `error`",
        ),
        (
            "--decision-log - --decision-log-block-timeout 1s",
            "--decision-log-block-timeout: says nothing with `--decision-log-full drop-newest`, only with `block`",
        ),
        (
            "--decision-log - --decision-log-max-age 1h",
            "--decision-log-max-age: says nothing of stdout; give --decision-log a file",
        ),
        (
            "--decision-log /log --decision-log-max-bytes 1",
            "--decision-log-max-bytes: `1` is not allowed; write 0 for never, or a whole number from 65536 to 1099511627776",
        ),
        (
            "--decision-log /log --decision-log-max-bytes 63KiB",
            "--decision-log-max-bytes: `63KiB` is not allowed; write 0 for never, or a whole number from 65536 to 1099511627776",
        ),
        (
            "--decision-log - --decision-log-queue 1KiB",
            "--decision-log-queue: `1KiB` is not allowed; write a whole number from 65536 to 17179869184",
        ),
        (
            "--decision-log - --decision-log-only allows",
            "--decision-log-only: `allows` is not known; write `denials`, or leave the flag out",
        ),
        (
            "--decision-log - --decision-log-sample 2",
            "--decision-log-sample: `2` is not a ratio; write a number from 0 to 1",
        ),
        (
            "--decision-log - --decision-log-sample NaN",
            "--decision-log-sample: `NaN` is not a ratio; write a number from 0 to 1",
        ),
        (
            "--decision-log - --decision-log-sample 0.5 --decision-log-only denials",
            "--decision-log-sample: is about what is allowed, of which `--decision-log-only denials` logs nothing; leave one out",
        ),
        (
            "--decision-log - --decision-log-actions GetObject",
            "--decision-log-actions: `GetObject` matches no action; write a service and an action, such as `s3:*`",
        ),
        (
            "--decision-log - --decision-log-context some",
            "--decision-log-context: `some` is not known; write `safe` or `full`",
        ),
        (
            "--decision-log - --decision-log-hash-key aws:userid",
            "--decision-log-hash-key: needs --decision-log-hash-key-file: without a secret, values could be guessed from their hashes",
        ),
    ] {
        assert_eq!(checked(flags), Err(vec![expected.to_owned()]), "{flags}");
    }
}
