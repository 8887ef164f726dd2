//! What was asked, in a line.

use super::super::mask::{Mask, SESSION_POLICIES};
use super::super::text::{put, put_field, put_given, put_number, put_text};
use super::{Lines, put_list};
use crate::few::Few;
use crate::proto::v1::IsAuthorizedRequest;
use crate::proto::view::{Field, Fields};

/// The wire type of texts and messages.
const LENGTH_DELIMITED: u8 = 2;

const PRINCIPAL: &str = r#","principal":""#;
const ACTION: &str = r#","action":""#;
const RESOURCE: &str = r#","resource":""#;
const RESOURCE_ACCOUNT: &str = r#","resource_account":""#;
const SESSION_TAGS: &str = r#","session_tags":{"#;
const CONTEXT: &str = r#","context":{"#;
const FEDERATED_BY: &str = r#","federated_by":""#;

/// The next field, if it is a text or message of this number. Else it is left where it is.
#[inline]
fn text<'a>(fields: &mut Fields<'a>, number: u8) -> Option<&'a [u8]> {
    // Most fields that are asked for are not there, which their first byte says.
    if fields.rest().first() != Some(&(number << 3 | LENGTH_DELIMITED)) {
        return None;
    }
    let mut ahead = *fields;
    match ahead.next() {
        Some((_, Field::Bytes(bytes))) => {
            *fields = ahead;
            Some(bytes)
        }
        _ => None,
    }
}

/// Key and value of an entry of a map. None if it is not plain.
fn entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = Fields::of(bytes);
    let entry = (text(&mut fields, 1)?, text(&mut fields, 2)?);
    fields.rest().is_empty().then_some(entry)
}

impl Lines {
    /// A message as it lies; whether some of it is masked. None of one that is not plain: its fields do not stand in the order
    /// of their numbers, as all libraries write them, or a key is given twice. What was written of it is to be taken back.
    pub(super) fn put_plain(&mut self, out: &mut Vec<u8>, message: &[u8]) -> Option<bool> {
        let mut fields = Fields::of(message);
        put_field(out, PRINCIPAL, text(&mut fields, 1)?);
        put_field(out, ACTION, text(&mut fields, 2)?);
        put_field(out, RESOURCE, text(&mut fields, 3)?);
        let mut masked = self.put_plain_context(out, &mut fields)?;
        put_given(out, RESOURCE_ACCOUNT, text(&mut fields, 5).unwrap_or_default());
        let mut policies: Few<&[u8], 2> = Few::default();
        policies.extend(std::iter::from_fn(|| text(&mut fields, 6)));
        masked |= self.put_policies(out, policies.iter().copied());
        masked |= self.put_plain_tags(out, &mut fields)?;
        let mut behind = fields;
        if let Some((8, Field::Varint(_))) = behind.next() {
            fields = behind;
        }
        put_given(out, FEDERATED_BY, text(&mut fields, 9).unwrap_or_default());
        fields.rest().is_empty().then_some(masked)
    }

    fn put_plain_context(&mut self, out: &mut Vec<u8>, fields: &mut Fields<'_>) -> Option<bool> {
        // Of a key that is given twice the last value counts, as prost reads it; an object must not have it twice.
        let (mut keys, mut masked) = (Few::<_>::default(), false);
        while let Some(bytes) = text(fields, 4) {
            let (key, values) = entry(bytes)?;
            put(out, if keys.is_empty() { CONTEXT } else { "," });
            keys.push((key, ()));
            let mut values = Fields::of(values);
            masked |= self.put_key(out, key, std::iter::from_fn(|| text(&mut values, 1)));
            if !values.rest().is_empty() {
                return None;
            }
        }
        if !keys.is_empty() {
            out.push(b'}');
        }
        keys.has_each_key_once().then_some(masked)
    }

    fn put_plain_tags(&mut self, out: &mut Vec<u8>, fields: &mut Fields<'_>) -> Option<bool> {
        let (mut keys, mut masked) = (Few::<_>::default(), false);
        while let Some(bytes) = text(fields, 7) {
            let (key, value) = entry(bytes)?;
            put(out, if keys.is_empty() { SESSION_TAGS } else { "," });
            keys.push((key, ()));
            masked |= self.put_tag(out, key, value);
        }
        if !keys.is_empty() {
            out.push(b'}');
        }
        keys.has_each_key_once().then_some(masked)
    }

    /// Any message; whether some of it is masked.
    pub(super) fn put_any(&mut self, out: &mut Vec<u8>, message: &IsAuthorizedRequest) -> bool {
        put_field(out, PRINCIPAL, message.principal.as_bytes());
        put_field(out, ACTION, message.action.as_bytes());
        put_field(out, RESOURCE, message.resource.as_bytes());
        let mut masked = false;
        for (index, (key, values)) in message.context.iter().enumerate() {
            put(out, if index == 0 { CONTEXT } else { "," });
            masked |= self.put_key(out, key.as_bytes(), values.values.iter().map(String::as_bytes));
        }
        if !message.context.is_empty() {
            out.push(b'}');
        }
        put_given(out, RESOURCE_ACCOUNT, message.resource_account.as_bytes());
        masked |= self.put_policies(out, message.session_policies.iter().map(String::as_bytes));
        for (index, (key, value)) in message.session_tags.iter().enumerate() {
            put(out, if index == 0 { SESSION_TAGS } else { "," });
            masked |= self.put_tag(out, key.as_bytes(), value.as_bytes());
        }
        if !message.session_tags.is_empty() {
            out.push(b'}');
        }
        put_given(out, FEDERATED_BY, message.federated_by.as_bytes());
        masked
    }

    fn put_policies<'a>(&mut self, out: &mut Vec<u8>, policies: impl Iterator<Item = &'a [u8]>) -> bool {
        let mut policies = policies.peekable();
        if policies.peek().is_none() {
            return false;
        }
        out.push(b',');
        self.put_key(out, SESSION_POLICIES.as_bytes(), policies)
    }

    /// A key and its values, as its mask allows; whether it is masked.
    fn put_key<'a>(&mut self, out: &mut Vec<u8>, key: &[u8], values: impl Iterator<Item = &'a [u8]>) -> bool {
        let mask = self.masks.put_name(out, key);
        match mask {
            Mask::Shown => put_list(out, [b'[', b']'], values, put_text),
            Mask::Hashed => {
                put(out, r#"{"hashed":"#);
                put_list(out, [b'[', b']'], values, |out, value| self.put_hash(out, key, value));
                out.push(b'}');
            }
            Mask::Dropped => put_dropped(out, values.count()),
        }
        mask != Mask::Shown
    }

    /// A session tag has one value, and is masked as the condition key that it becomes.
    fn put_tag(&mut self, out: &mut Vec<u8>, tag: &[u8], value: &[u8]) -> bool {
        put_text(out, tag);
        out.push(b':');
        let key = [b"aws:PrincipalTag/", tag].concat();
        let mask = self.masks.of(&key);
        match mask {
            Mask::Shown => put_text(out, value),
            Mask::Hashed => {
                put(out, r#"{"hashed":["#);
                self.put_hash(out, &key, value);
                put(out, "]}");
            }
            Mask::Dropped => put_dropped(out, 1),
        }
        mask != Mask::Shown
    }

    fn put_hash(&self, out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
        out.push(b'"');
        self.masks.put_hash(out, key, value);
        out.push(b'"');
    }
}

fn put_dropped(out: &mut Vec<u8>, values: usize) {
    put(out, r#"{"dropped":"#);
    put_number(out, u64::try_from(values).unwrap_or(u64::MAX));
    out.push(b'}');
}
