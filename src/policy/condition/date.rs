//! `Date...`: ISO 8601 or seconds since the epoch, on either side (evaluation.md, rule 37).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::operator::Relation;
use super::{Compared, parsed};
use crate::policy::document::{Reader, Text};

/// The values of a date operator.
#[derive(Debug)]
pub(crate) struct Dates {
    relation: Relation,
    values: Box<[Timestamp]>,
}

impl Dates {
    pub(crate) fn new(relation: Relation, texts: &[Text], reader: &mut Reader<'_>) -> Option<Self> {
        let expected = "a date, such as `2026-01-31T08:00:00Z`, or seconds since the epoch";
        let values = parsed(texts, reader, expected, parse)?;
        Some(Self { relation, values: values.into() })
    }

    pub(crate) fn compare(&self, value: &str) -> Compared {
        let Some(value) = parse(value) else {
            return Compared::Unreadable;
        };
        Compared::of(self.values.iter().any(|policy| self.relation.holds(value.cmp(policy))))
    }
}

/// Reads a moment: `YYYY`, `YYYY-MM`, `YYYY-MM-DD`, those with `Thh:mm[:ss[.fraction]]` and a zone (`Z`, `+hh:mm`,
/// `+hhmm`, `+hh`; UTC if absent), or seconds since the epoch. Four digits alone are a year.
pub fn parse(text: &str) -> Option<Timestamp> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().all(|b| b.is_ascii_digit()) && (digits.len() != 4 || text.starts_with('-')) {
        return Timestamp::from_second(text.parse().ok()?).ok();
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut fields = date.split('-');
    let year = number(fields.next()?, 4)?;
    let month = fields.next().map_or(Some(1), |field| number(field, 2))?;
    let day = fields.next().map_or(Some(1), |field| number(field, 2))?;
    if fields.next().is_some() || time.is_some() && date.len() != 10 {
        return None;
    }
    let (clock, offset) = time.map_or(Some((Clock::default(), Offset::UTC)), time_of_day)?;
    let [month, day] = [month, day].map(|field| i8::try_from(field).ok());
    let moment = DateTime::new(year, month?, day?, clock.hour, clock.minute, clock.second, clock.nanosecond).ok()?;
    offset.to_timestamp(moment).ok()
}

#[derive(Default)]
struct Clock {
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
}

fn time_of_day(text: &str) -> Option<(Clock, Offset)> {
    let zone_at = text.find(['Z', '+', '-']).unwrap_or(text.len());
    let (time, zone) = text.split_at_checked(zone_at)?;
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) => (time, Some(fraction)),
        None => (time, None),
    };
    let mut fields = time.split(':').map(|field| number(field, 2).and_then(|n| i8::try_from(n).ok()));
    let (hour, minute, second) = (fields.next()??, fields.next()??, fields.next());
    if fields.next().is_some() || fraction.is_some() && second.is_none() {
        return None;
    }
    let nanosecond = fraction.map_or(Some(0), nanoseconds)?;
    let second = second.map_or(Some(0), |second| second)?;
    Some((Clock { hour, minute, second, nanosecond }, offset(zone)?))
}

/// Digits after the point; those past the ninth do not count.
fn nanoseconds(fraction: &str) -> Option<i32> {
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let padded: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    padded.parse().ok()
}

fn offset(zone: &str) -> Option<Offset> {
    let (sign, digits) = match zone {
        "" | "Z" => return Some(Offset::UTC),
        _ => (if zone.starts_with('-') { -1 } else { 1 }, zone.strip_prefix(['+', '-'])?),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "00"),
    };
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2).filter(|m| *m < 60)?);
    Offset::from_seconds(sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60)).ok()
}

/// Exactly so many digits.
fn number(text: &str, length: usize) -> Option<i16> {
    let valid = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let cases = [
            ("2024", 1_704_067_200),
            ("2024-03", 1_709_251_200),
            ("2024-02-29", 1_709_164_800),
            ("2024-02-29T12:30Z", 1_709_209_800),
            ("2024-02-29T12:30:15Z", 1_709_209_815),
            ("2024-02-29T12:30:15", 1_709_209_815),
            ("2024-02-29T12:30:15.999Z", 1_709_209_815),
            ("2024-02-29T12:30:15+02:00", 1_709_202_615),
            ("2024-02-29T12:30:15-0130", 1_709_215_215),
            ("2024-02-29T12:30:15+02", 1_709_202_615),
            ("1577836801", 1_577_836_801),
            ("0", 0),
            ("-5", -5),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse(text).map(Timestamp::as_second), Some(seconds), "{text}");
        }
        assert!(parse("2024-01-01T00:00:00.1Z") > parse("2024-01-01T00:00:00.09Z"));
    }

    #[test]
    fn what_is_not_a_date() {
        for text in [
            "",
            "-",
            "yesterday",
            "2024-13",
            "2023-02-29",
            "24-01-01",
            "2024-1-1",
            "2024T10:00Z",
            "2024-01-01T",
            "2024-01-01T10",
            "2024-01-01T25:00Z",
            "2024-01-01T10:00.5Z",
            "2024-01-01T10:00:00.Z",
            "2024-01-01T10:00:00:00Z",
            "2024-01-01T10:00:00+02:60",
            "2024-01-01T10:00:00+25:99",
            "2024-01-01T10:00:00Zx",
            "2024-01-01 10:00:00Z",
            "99999999999999999999",
            "2024-01-01-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
