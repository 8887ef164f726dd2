//! What was asked, in a line.

use super::super::mask::{Mask, SESSION_POLICIES};
use super::super::text::{put, put_given, put_inner, put_number, put_text};
use super::{Lines, put_list};
use crate::few::Few;
use crate::proto::v1::IsAuthorizedRequest;
use crate::proto::view::{Field, Fields, map_entry};

const RESOURCE_ACCOUNT: &str = r#","resource_account":""#;
const SESSION_TAGS: &str = r#","session_tags":{"#;
const CONTEXT: &str = r#","context":{"#;
const FEDERATED_BY: &str = r#","federated_by":""#;

impl Lines {
    /// A message as it lies; whether some of it is masked. None of one that is not plain: its fields do not stand in the order
    /// of their numbers, as all libraries write them, or a key is given twice. What was written of it is to be taken back.
    pub(super) fn put_plain(&mut self, out: &mut Vec<u8>, message: &[u8]) -> Option<bool> {
        let mut fields = Fields::of(message);
        put_asked(out, [fields.text(1)?, fields.text(2)?, fields.text(3)?]);
        let mut masked = self.put_plain_context(out, &mut fields)?;
        put_given(out, RESOURCE_ACCOUNT, fields.text(5).unwrap_or_default());
        let mut policies: Few<&[u8], 2> = Few::default();
        policies.extend(std::iter::from_fn(|| fields.text(6)));
        masked |= self.put_policies(out, policies.iter().copied());
        masked |= self.put_plain_tags(out, &mut fields)?;
        let mut behind = fields;
        if let Some((8, Field::Varint(_))) = behind.next() {
            fields = behind;
        }
        put_given(out, FEDERATED_BY, fields.text(9).unwrap_or_default());
        fields.rest().is_empty().then_some(masked)
    }

    fn put_plain_context(&mut self, out: &mut Vec<u8>, fields: &mut Fields<'_>) -> Option<bool> {
        let (mut any, mut masked) = (false, false);
        while let Some(bytes) = fields.text(4) {
            let (key, values) = map_entry(bytes)?;
            put(out, if any { "," } else { CONTEXT });
            any = true;
            // Of a key that is given twice the last value counts, as prost reads it; an object must not have it twice.
            let mask = self.masks.put_name_once(out, key)?;
            let mut values = Fields::of(values);
            masked |= self.put_values(out, key, mask, std::iter::from_fn(|| values.text(1)));
            if !values.rest().is_empty() {
                return None;
            }
        }
        if any {
            out.push(b'}');
        }
        Some(masked)
    }

    fn put_plain_tags(&mut self, out: &mut Vec<u8>, fields: &mut Fields<'_>) -> Option<bool> {
        let (mut keys, mut masked) = (Few::<_>::default(), false);
        while let Some(bytes) = fields.text(7) {
            let (key, value) = map_entry(bytes)?;
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
        put_asked(out, [&message.principal, &message.action, &message.resource].map(|text| text.as_bytes()));
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
        self.put_values(out, key, mask, values)
    }

    /// The values of a key behind its name; whether they are masked.
    fn put_values<'a>(
        &self,
        out: &mut Vec<u8>,
        key: &[u8],
        mask: Mask,
        values: impl Iterator<Item = &'a [u8]>,
    ) -> bool {
        match mask {
            Mask::Shown => put_shown(out, values),
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

fn put_asked(out: &mut Vec<u8>, [principal, action, resource]: [&[u8]; 3]) {
    put(out, r#","principal":""#);
    put_inner(out, principal);
    put(out, r#"","action":""#);
    put_inner(out, action);
    put(out, r#"","resource":""#);
    put_inner(out, resource);
    out.push(b'"');
}

fn put_shown<'a>(out: &mut Vec<u8>, mut values: impl Iterator<Item = &'a [u8]>) {
    let Some(first) = values.next() else { return put(out, "[]") };
    put(out, r#"[""#);
    put_inner(out, first);
    for value in values {
        put(out, r#"",""#);
        put_inner(out, value);
    }
    put(out, r#""]"#);
}

fn put_dropped(out: &mut Vec<u8>, values: usize) {
    // As nearly always.
    if values == 1 {
        return put(out, r#"{"dropped":1}"#);
    }
    put(out, r#"{"dropped":"#);
    put_number(out, u64::try_from(values).unwrap_or(u64::MAX));
    out.push(b'}');
}
