//! Numbers, dates, addresses, bytes: read and compared without the program's own readers.

use std::cmp::Ordering;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Sign, digits before the point without leading zeros, digits behind it without trailing ones.
#[derive(PartialEq, Eq)]
pub(super) struct Number {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Number {
    pub(super) fn read(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Self { negative: negative && !zero, whole: whole.to_owned(), fraction: fraction.to_owned() })
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let size = |number: &Self| (number.whole.len(), number.whole.clone(), number.fraction.clone());
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => size(self).cmp(&size(other)),
            (true, true) => size(other).cmp(&size(self)),
        }
    }
}

/// Nanoseconds since 1970 of an ISO 8601 date or epoch seconds.
pub(super) fn date(text: &str) -> Option<i128> {
    let year_alone = text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit());
    if !year_alone && let Some(seconds) = epoch(text) {
        return Some(seconds);
    }
    let (day, time) = text.split_once('T').map_or((text, None), |(day, time)| (day, Some(time)));
    let mut fields = day.split('-');
    let year = digits(fields.next()?, 4)?;
    let month = fields.next().map_or(Some(1), |field| digits(field, 2))?;
    let given = fields.next();
    let day = given.map_or(Some(1), |field| digits(field, 2))?;
    let in_range = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if fields.next().is_some() || !in_range || (time.is_some() && given.is_none()) {
        return None;
    }
    let of_day = time.map_or(Some(0), clock)?;
    Some(days_before(year, month, day) * 86_400_000_000_000 + of_day)
}

/// 9999-12-31.
const LAST: i128 = 253_402_214_400 * 1_000_000_000;

/// Whole seconds. ISO 8601 has no later date than this, and what is later is no date here.
fn epoch(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let digits = !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit());
    let nanoseconds = digits.then(|| text.parse::<i128>().ok()).flatten()? * 1_000_000_000;
    (nanoseconds < LAST).then_some(nanoseconds)
}

fn nanoseconds(fraction: &str) -> Option<i128> {
    format!("{fraction:0<9}").get(..9)?.parse().ok()
}

/// Nanoseconds since midnight in UTC of `hh:mm`, with seconds, fractions and zone if given.
fn clock(text: &str) -> Option<i128> {
    let (time, offset) = zone(text)?;
    let mut fields = time.splitn(3, ':');
    let (hour, minute) = (digits(fields.next()?, 2)?, digits(fields.next()?, 2)?);
    let (second, fraction) = match fields.next() {
        None => (0, 0),
        Some(field) => {
            let (second, fraction) = field.split_once('.').unwrap_or((field, "0"));
            if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            (digits(second, 2)?, nanoseconds(fraction)?)
        }
    };
    (hour < 24 && minute < 60 && second < 60)
        .then(|| (hour * 3600 + minute * 60 + second - offset) * 1_000_000_000 + fraction)
}

/// The time without its zone, and the zone's offset in seconds.
fn zone(text: &str) -> Option<(&str, i128)> {
    if let Some(time) = text.strip_suffix('Z') {
        return Some((time, 0));
    }
    let Some(start) = text.rfind(['+', '-']) else { return Some((text, 0)) };
    let sign = if text[start..].starts_with('-') { -1 } else { 1 };
    let offset = text[start + 1..].replace(':', "");
    let hours = digits(offset.get(..2)?, 2)?;
    let minutes = if offset.len() == 2 { 0 } else { digits(offset.get(2..)?, 2)? };
    Some((&text[..start], sign * (hours * 3600 + minutes * 60)))
}

fn digits(text: &str, count: usize) -> Option<i128> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn days_in(year: i128, month: i128) -> i128 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i128::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01: of whole years, with a leap day each that they had, and of whole months.
fn days_before(year: i128, month: i128, day: i128) -> i128 {
    let leap_days = |year: i128| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    let of_years = (year - 1970) * 365 + leap_days(year) - leap_days(1970);
    of_years + (1..month).map(|month| days_in(year, month)).sum::<i128>() + day - 1
}

/// An address; one that is IPv4 in disguise is IPv4 (rule 39).
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Whether a network, or a single address, holds an address.
pub(super) fn within(network: &str, address: IpAddr) -> bool {
    let (start, prefix) = network.split_once('/').map_or((network, None), |(start, prefix)| (start, Some(prefix)));
    let start: IpAddr = start.parse().unwrap();
    let (start, shift) = match (start, start.to_canonical()) {
        // The prefix of a mapped network counts the 96 bits before the IPv4 address.
        (IpAddr::V6(_), canonical @ IpAddr::V4(_)) => (canonical, 96),
        (start, _) => (start, 0),
    };
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let ((network, width), (host, host_width)) = (bits(start), bits(address));
    let prefix = prefix.map_or(width, |prefix| prefix.parse::<u32>().unwrap().saturating_sub(shift));
    let ignored = width - prefix;
    let cut = |bits: u128| bits.checked_shr(ignored).unwrap_or(0);
    width == host_width && cut(network) == cut(host)
}

pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_points_in_time() {
        assert_eq!((date("1970"), date("9999-12-31")), (Some(0), Some(LAST)));
        assert_eq!(date("2000-03-01"), Some(951_868_800_000_000_000));
        assert_eq!(date("2000-03-01T01:30:00+01:30"), date("2000-03"));
        assert_eq!(date("951868800"), date("2000-03-01T00:00:00Z"));
        assert_eq!(date("1969-12-31T23:59:59.5Z"), Some(-500_000_000));
        assert_eq!((date("2001-02-29"), date("soon"), date("2000-01T00:00Z")), (None, None, None));
    }

    #[test]
    fn numbers_are_compared_exactly() {
        let compare = |a, b| Number::read(a).unwrap().compare(&Number::read(b).unwrap());
        assert_eq!(compare("9007199254740993", "9007199254740992"), Ordering::Greater);
        assert_eq!(compare("-0", "0.00"), Ordering::Equal);
        assert_eq!(compare("-2", "-10"), Ordering::Greater);
        assert_eq!(compare("0.1", "0.09"), Ordering::Greater);
        assert!(Number::read("1e3").is_none() && Number::read("").is_none() && Number::read("0x1").is_none());
    }

    #[test]
    fn networks_hold_addresses() {
        let holds = |network, host| within(network, address(host).unwrap());
        assert!(holds("10.0.0.0/8", "10.1.2.3") && holds("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(
            !holds("10.0.0.0/8", "11.0.0.1") && !holds("::/0", "10.0.0.1") && holds("2001:db8::/32", "2001:db8::5")
        );
    }
}
