//! Reads one flag's text at a time and gathers what is wrong; a flag that is wrong yields a stand-in that nobody sees.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::{AccountId, ListenAddress, LogFormat, Problem, is_partition};

/// Far beyond what anybody means, and far from where adding it to the time of day would overflow.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Gathers problems while flags are read.
#[derive(Default)]
pub(super) struct Checker {
    problems: Vec<Problem>,
}

impl Checker {
    pub(super) fn problem(&mut self, flag: &'static str, message: impl Into<String>) {
        self.problems.push(Problem { flag: flag.to_owned(), message: message.into() });
    }

    /// Whether nothing is wrong with this flag so far.
    pub(super) fn is_clean(&self, flag: &str) -> bool {
        self.problems.iter().all(|problem| problem.flag != flag)
    }

    pub(super) fn finish<C>(self, checked: C) -> Result<C, Vec<Problem>> {
        if self.problems.is_empty() { Ok(checked) } else { Err(self.problems) }
    }

    pub(super) fn listen(&mut self, flag: &'static str, texts: &[String]) -> Vec<ListenAddress> {
        let mut addresses: Vec<ListenAddress> = Vec::with_capacity(texts.len());
        for text in texts {
            let address = match listen_address(text) {
                Some(address) => address,
                None => {
                    self.problem(
                        flag,
                        format!(
                            "`{text}` is not an address; write an IP address and a port, such as `127.0.0.1:50051`, \
                             or `unix:/PATH`"
                        ),
                    );
                    continue;
                }
            };
            if let Some(other) = addresses.iter().find(|other| other.overlaps(&address)) {
                let same = if other.to_string() == address.to_string() {
                    String::new()
                } else {
                    format!(", also as `{other}`")
                };
                self.problem(flag, format!("`{text}` is given twice{same}"));
            }
            addresses.push(address);
        }
        addresses
    }

    pub(super) fn socket_address(&mut self, flag: &'static str, text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| {
            self.problem(
                flag,
                format!("`{text}` is not an address; write an IP address and a port, such as `127.0.0.1:9090`"),
            );
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
        })
    }

    pub(super) fn account(&mut self, flag: &'static str, text: &str) -> Option<AccountId> {
        let account = AccountId::parse(text);
        if account.is_none() {
            self.problem(flag, format!("`{text}` is not an account id; write its 12 digits"));
        }
        account
    }

    pub(super) fn partition(&mut self, flag: &'static str, text: &str) -> String {
        if !is_partition(text) {
            self.problem(flag, format!("`{text}` is not a partition; write `aws`, `aws-cn`, `aws-us-gov` or another"));
        }
        text.to_owned()
    }

    pub(super) fn duration(&mut self, flag: &'static str, text: &str, least: Duration) -> Duration {
        duration(text, least).unwrap_or_else(|message| {
            self.problem(flag, message);
            least
        })
    }

    pub(super) fn size(&mut self, flag: &'static str, text: &str, allowed: RangeInclusive<usize>) -> usize {
        match size(text) {
            Some(bytes) if allowed.contains(&bytes) => bytes,
            Some(_) => self.outside(flag, text, &allowed),
            None => {
                self.problem(
                    flag,
                    format!(
                        "`{text}` is not a size; write a number of bytes, or a number with KiB, MiB or GiB, such as \
                         `64MiB`"
                    ),
                );
                *allowed.start()
            }
        }
    }

    pub(super) fn number<N>(&mut self, flag: &'static str, text: &str, allowed: RangeInclusive<N>) -> N
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        match text.parse() {
            Ok(number) if allowed.contains(&number) => number,
            _ => self.outside(flag, text, &allowed),
        }
    }

    fn outside<N: Display + Copy>(&mut self, flag: &'static str, text: &str, allowed: &RangeInclusive<N>) -> N {
        let (least, most) = (allowed.start(), allowed.end());
        self.problem(flag, format!("`{text}` is not allowed; write a whole number from {least} to {most}"));
        *least
    }

    /// What the command line cannot get wrong: there it has no value.
    pub(super) fn switch(&mut self, flag: &'static str, text: &str) -> bool {
        switch(text).unwrap_or_else(|| {
            self.problem(flag, format!("`{text}` is not known; write `true` or `false`, or unset it"));
            false
        })
    }

    pub(super) fn log_format(&mut self, flag: &'static str, text: &str) -> LogFormat {
        match text {
            "auto" => LogFormat::Auto,
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => {
                self.problem(flag, format!("`{text}` is not a log format; write `auto`, `text` or `json`"));
                LogFormat::Auto
            }
        }
    }
}

fn listen_address(text: &str) -> Option<ListenAddress> {
    match text.strip_prefix("unix:") {
        Some(path) => (!path.is_empty()).then(|| ListenAddress::Unix(PathBuf::from(path))),
        None => text.parse().ok().map(ListenAddress::Tcp),
    }
}

/// A duration in words such as `500ms`, no shorter than this. The error is for people.
pub(crate) fn duration(text: &str, least: Duration) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration < least => {
            Err(format!("`{text}` is too short; at least {}", humantime::format_duration(least)))
        }
        Ok(duration) if duration > LONGEST => {
            Err(format!("`{text}` is too long; at most {}", humantime::format_duration(LONGEST)))
        }
        Ok(duration) => Ok(duration),
        Err(_) => Err(format!("`{text}` is not a duration; write a number with a unit, such as `500ms`, `5s` or `1m`")),
    }
}

/// Whether a switch is on, as its variable says.
pub(crate) fn switch(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "t" | "y" => Some(true),
        "false" | "no" | "off" | "0" | "f" | "n" => Some(false),
        _ => None,
    }
}

/// A number of bytes, or of KiB, MiB or GiB.
fn size(text: &str) -> Option<usize> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(name, bytes)| Some((text.strip_suffix(name)?.trim_end(), bytes)))
        .unwrap_or((text, 1));
    let digits_only = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    digits_only.then(|| number.parse::<usize>().ok()?.checked_mul(unit)).flatten()
}
