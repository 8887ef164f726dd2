//! A whole request as one string of bytes: two requests have one key if and only if they are the same request.
//!
//! Every field is written, in a fixed order, and so that no part can be taken for another: a text is its length and its
//! bytes, a list its count and its elements, an option one byte that says whether it is there. Read from the left, such
//! a key can be taken apart in one way only; hence two different requests cannot share one.

use crate::access::{AccessRequest, Detail};

/// Writes the key of a request into `out`, whose former content is dropped; its memory is used again.
///
/// Context, tags and action are written as they are compared, in lower case and sorted by key, so that requests that
/// differ in nothing else share their answer.
pub fn write(request: &AccessRequest<'_>, detail: Detail, out: &mut Vec<u8>) {
    // Taken apart by name, so that a field that is added to the request cannot be forgotten here.
    let AccessRequest {
        principal,
        action,
        resource,
        context,
        resource_account,
        session_policies,
        session_tags,
        federated_by,
    } = request;
    out.clear();
    out.push(detail_byte(detail));
    write_text(principal.text(), out);
    write_text(action.folded(), out);
    write_text(resource.text(), out);
    write_option(resource_account.as_ref().map(|account| account.as_str()), out);
    write_option(*federated_by, out);
    write_texts(session_policies, out);
    write_number(session_tags.iter().len(), out);
    for (key, value) in session_tags.iter() {
        write_text(key, out);
        write_text(value, out);
    }
    write_number(context.iter().len(), out);
    for (key, values) in context.iter() {
        write_text(key, out);
        write_texts(values, out);
    }
}

const fn detail_byte(detail: Detail) -> u8 {
    match detail {
        Detail::Decision => 0,
        Detail::Statements => 1,
    }
}

fn write_option(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        None => out.push(0),
        Some(text) => {
            out.push(1);
            write_text(text, out);
        }
    }
}

fn write_texts(texts: &[String], out: &mut Vec<u8>) {
    write_number(texts.len(), out);
    for text in texts {
        write_text(text, out);
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_number(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// One byte for what is below 255, as nearly all lengths are, so that there is less to hash and to compare; else the
/// byte 255 and eight more.
fn write_number(number: usize, out: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(byte) if byte < u8::MAX => out.push(byte),
        _ => {
            out.push(u8::MAX);
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;
    use crate::access::{Action, Context, Principal, ResourceName, Tags};
    use crate::arn::{AccountId, Arn};

    /// The fields of a request that make it what it is.
    #[derive(Clone, Debug, PartialEq)]
    struct Fields {
        principal: String,
        action: String,
        resource: String,
        resource_account: Option<u8>,
        federated_by: Option<String>,
        session_policies: Vec<String>,
        session_tags: BTreeMap<String, String>,
        context: BTreeMap<String, Vec<String>>,
        detail: Detail,
    }

    /// The pairs of a map, borrowed.
    fn pairs<V, B: ?Sized>(map: &BTreeMap<String, V>, borrow: fn(&V) -> &B) -> Vec<(&str, &B)> {
        map.iter().map(|(key, value)| (key.as_str(), borrow(value))).collect()
    }

    impl Fields {
        fn key(&self) -> Vec<u8> {
            let arn = Arn { text: &self.resource, partition: "", service: "", region: "", account: "", resource: "" };
            let account = |digit: u8| AccountId::parse(&format!("12345678901{digit}")).unwrap();
            let request = AccessRequest {
                principal: Principal::Service(&self.principal),
                action: Action::parse(&self.action).unwrap(),
                resource: ResourceName::Arn(arn),
                context: Context::new("context", &pairs(&self.context, Vec::as_slice)).unwrap(),
                resource_account: self.resource_account.map(account),
                session_policies: &self.session_policies,
                session_tags: Tags::new("session_tags", &pairs(&self.session_tags, String::as_str)).unwrap(),
                federated_by: self.federated_by.as_deref(),
            };
            let mut key = b"what was there before".to_vec();
            write(&request, self.detail, &mut key);
            key
        }

        /// Nearly the same request: something moved over a boundary, was split, joined, swapped, dropped or added.
        fn near_miss(&self, change: u8, at: usize) -> Self {
            let mut near = self.clone();
            match change {
                0 => move_letter(&mut near.principal, &mut near.resource),
                1 => std::mem::swap(&mut near.principal, &mut near.resource),
                2 => near.federated_by = near.federated_by.xor(Some(String::new())),
                3 => near.resource_account = near.resource_account.xor(Some(1)),
                4 => split_or_join(&mut near.session_policies, at),
                5 => swap_key_and_value(&mut near.session_tags),
                6 => near.session_tags_become_context(),
                7 => near.change_a_context_entry(at, |_, values| split_or_join(values, at)),
                8 => near.change_a_context_entry(at, |key, values| {
                    if let Some(value) = values.first_mut() {
                        move_letter(value, key);
                    }
                }),
                9 => near.change_a_context_entry(at, |_, values| values.reverse()),
                10 => near.change_a_context_entry(at, |_, values| values.push(String::new())),
                11 => near.session_policies.push(String::new()),
                12 => near.detail = Detail::Statements,
                13 => near.action.push('a'),
                14 => near.action.make_ascii_uppercase(),
                _ => {}
            }
            near
        }

        fn session_tags_become_context(&mut self) {
            let tags = std::mem::take(&mut self.session_tags);
            self.context.extend(tags.into_iter().map(|(key, value)| (key, vec![value])));
        }

        fn change_a_context_entry(&mut self, at: usize, change: impl FnOnce(&mut String, &mut Vec<String>)) {
            let Some(key) = self.context.keys().nth(at % self.context.len().max(1)).cloned() else { return };
            let mut values = self.context.remove(&key).unwrap();
            let mut changed = key.clone();
            change(&mut changed, &mut values);
            self.context.insert(if changed.is_empty() { key } else { changed }, values);
        }

        /// What must be equal for two keys to be: the case of an action is of no account.
        fn folded(&self) -> Self {
            Self { action: self.action.to_ascii_lowercase(), ..self.clone() }
        }
    }

    /// Reads a key from the left. That this gives back the request is why no two requests share a key.
    struct Reader<'a>(&'a [u8]);

    impl Reader<'_> {
        fn fields(mut self) -> Fields {
            let explain = self.flag();
            let fields = Fields {
                detail: if explain { Detail::Statements } else { Detail::Decision },
                principal: self.text(),
                action: self.text(),
                resource: self.text(),
                resource_account: self.flag().then(|| self.text().get(11..).unwrap().parse().unwrap()),
                federated_by: self.flag().then(|| self.text()),
                session_policies: self.texts(),
                session_tags: (0..self.number()).map(|_| (self.text(), self.text())).collect(),
                context: (0..self.number()).map(|_| (self.text(), self.texts())).collect(),
            };
            assert!(self.0.is_empty(), "{:?} is left", self.0);
            fields
        }

        fn take(&mut self, count: usize) -> &[u8] {
            let (taken, rest) = self.0.split_at(count);
            self.0 = rest;
            taken
        }

        fn flag(&mut self) -> bool {
            match self.take(1)[0] {
                byte @ (0 | 1) => byte == 1,
                byte => panic!("{byte} is no flag"),
            }
        }

        fn number(&mut self) -> usize {
            match self.take(1)[0] {
                255 => usize::from_le_bytes(self.take(8).try_into().unwrap()),
                byte => byte.into(),
            }
        }

        fn text(&mut self) -> String {
            let length = self.number();
            String::from_utf8(self.take(length).to_vec()).unwrap()
        }

        fn texts(&mut self) -> Vec<String> {
            (0..self.number()).map(|_| self.text()).collect()
        }
    }

    fn move_letter(from: &mut String, to: &mut String) {
        if let Some(letter) = from.pop() {
            to.insert(0, letter);
        }
    }

    fn swap_key_and_value(tags: &mut BTreeMap<String, String>) {
        if let Some((key, value)) = tags.pop_first() {
            let (key, value) = if value.is_empty() { (key, value) } else { (value, key) };
            tags.insert(key, value);
        }
    }

    fn split_or_join(texts: &mut Vec<String>, at: usize) {
        match texts.pop() {
            Some(text) if at.is_multiple_of(2) && !texts.is_empty() => texts.last_mut().unwrap().push_str(&text),
            Some(text) => {
                let (a, b) = text.split_at(at.min(text.len()));
                texts.extend([a.to_owned(), b.to_owned()]);
            }
            None => texts.push(String::new()),
        }
    }

    /// Few letters, so that much coincides; bytes that look like lengths and flags; some texts past one byte of length.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![8 => "[ab\0\u{1}\u{2}]{0,3}", 1 => "[a]{254,257}"]
    }

    fn key_text() -> impl Strategy<Value = String> {
        prop_oneof![8 => "[ab\0\u{1}\u{2}]{1,3}", 1 => "[a]{254,257}"]
    }

    fn fields() -> impl Strategy<Value = Fields> {
        let who_and_what = (text(), "[ab]:[ab]{1,2}", text(), proptest::option::of(0..3u8));
        let session = (proptest::option::of(text()), vec(text(), 0..3), btree_map(key_text(), text(), 0..3));
        let rest = (btree_map(key_text(), vec(text(), 0..3), 0..3), any::<bool>());
        (who_and_what, session, rest).prop_map(|(who_and_what, session, (context, explain))| {
            let (principal, action, resource, resource_account) = who_and_what;
            let (federated_by, session_policies, session_tags) = session;
            let detail = if explain { Detail::Statements } else { Detail::Decision };
            Fields {
                principal,
                action,
                resource,
                resource_account,
                federated_by,
                session_policies,
                session_tags,
                context,
                detail,
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn keys_are_equal_if_and_only_if_the_requests_are(a in fields(), change in 0..16u8, at in 0..4usize) {
            let b = a.near_miss(change, at);
            prop_assert_eq!(a.folded() == b.folded(), a.key() == b.key(), "{:?}\n{:?}", a, b);
        }

        #[test]
        fn a_key_says_all_of_its_request(a in fields()) {
            prop_assert_eq!(Reader(&a.key()).fields(), a.folded());
        }

        #[test]
        fn unrelated_requests_have_unrelated_keys(a in fields(), b in fields()) {
            prop_assert_eq!(a.folded() == b.folded(), a.key() == b.key());
        }

        #[test]
        fn no_key_is_the_beginning_of_another(a in fields(), change in 0..16u8, at in 0..4usize) {
            let (a, b) = (a.key(), a.near_miss(change, at).key());
            prop_assert!(a == b || !a.starts_with(&b) && !b.starts_with(&a));
        }
    }

    #[test]
    fn case_and_order_of_keys_do_not_matter() {
        let values = ["x".to_owned()];
        let key = |context: [&str; 2], action: &str| {
            let context = context.map(|key| (key, values.as_slice())).to_vec();
            let raw = crate::access::RawRequest {
                principal: "anonymous",
                action,
                resource: "*",
                context,
                ..Default::default()
            };
            let mut key = Vec::new();
            write(&AccessRequest::new(&raw).unwrap(), Detail::Decision, &mut key);
            key
        };
        assert_eq!(key(["aws:b", "aws:a"], "s3:GetObject"), key(["AWS:A", "aws:B"], "S3:getobject"));
        assert_ne!(key(["aws:b", "aws:a"], "s3:GetObject"), key(["aws:b", "aws:c"], "s3:GetObject"));
    }
}
