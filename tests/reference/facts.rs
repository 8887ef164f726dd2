//! What AWS publishes of its services, read anew from the files in `data/`: the program's own tables are not trusted here.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use serde_json::Value;

pub(super) static FACTS: LazyLock<Facts> = LazyLock::new(Facts::read);

pub(super) struct Facts {
    /// Actions by service, without its name.
    pub actions: HashMap<String, Vec<String>>,
    /// Documents of AWS managed policies, in the order of their ARNs.
    pub managed: Vec<(String, Value)>,
    /// Services that RCPs hold for.
    rcp: HashSet<String>,
    /// Whether a key is multi-valued, by its folded name.
    keys: HashMap<String, bool>,
    /// Keys with a variable in them: what stands before it, what behind.
    templates: Vec<(String, String, bool)>,
}

impl Facts {
    fn read() -> Self {
        let reference = unpacked(include_bytes!("../../data/service-reference.json.gz"));
        let policies = unpacked(include_bytes!("../../data/aws-managed-policies.json.gz"));
        let services = reference["services"].as_object().unwrap();
        let mut facts = Self {
            actions: services.iter().map(|(name, service)| (name.clone(), names(&service["actions"]))).collect(),
            managed: policies["Policies"].as_array().unwrap().iter().map(managed).collect(),
            rcp: services.iter().filter(|(_, service)| service["rcp"] == true).map(|(name, _)| name.clone()).collect(),
            keys: HashMap::new(),
            templates: Vec::new(),
        };
        facts.managed.sort_by(|(a, _), (b, _)| a.cmp(b));
        let of_services = services.values().filter_map(|service| service["keys"].as_object());
        for (key, kind) in of_services.chain(reference["global_keys"].as_object()).flatten() {
            facts.learn(&fold(key), kind.as_str().unwrap().starts_with("ArrayOf"));
        }
        // The ones that say most are asked first.
        facts.templates.sort_by_key(|(before, behind, _)| std::cmp::Reverse(before.len() + behind.len()));
        facts
    }

    /// Where services disagree on a key it is single-valued (rule 42).
    fn learn(&mut self, key: &str, multivalued: bool) {
        let marks = [("${", "}"), ("<", ">"), ("tag-key", "tag-key")];
        let hole = marks.iter().find_map(|(open, close)| {
            let start = key.find(open)?;
            let end = start + key[start..].find(close)? + close.len();
            Some((key[..start].to_owned(), key[end..].to_owned()))
        });
        match hole.or_else(|| key.strip_suffix('/').map(|_| (key.to_owned(), String::new()))) {
            Some((before, behind)) => self.templates.push((before, behind, multivalued)),
            None => {
                let known = self.keys.entry(key.to_owned()).or_insert(multivalued);
                *known = *known && multivalued;
            }
        }
    }

    /// Whether a folded key is multi-valued; None for a key that AWS does not document.
    pub(super) fn multivalued(&self, key: &str) -> Option<bool> {
        let template = || {
            let fits = |(before, behind, _): &&(String, String, bool)| {
                key.len() > before.len() + behind.len() && key.starts_with(before) && key.ends_with(behind)
            };
            self.templates.iter().find(fits).map(|(_, _, multivalued)| *multivalued)
        };
        self.keys.get(key).copied().or_else(template)
    }

    pub(super) fn has_rcps(&self, service: &str) -> bool {
        self.rcp.contains(service)
    }

    pub(super) fn managed(&self, arn: &str) -> Option<&Value> {
        self.managed.iter().find(|(known, _)| known == arn).map(|(_, document)| document)
    }
}

fn unpacked(packed: &[u8]) -> Value {
    let mut text = String::new();
    GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn names(object: &Value) -> Vec<String> {
    object.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

fn managed(policy: &Value) -> (String, Value) {
    let versions = policy["PolicyVersionList"].as_array().unwrap();
    let version = versions.iter().find(|version| version["IsDefaultVersion"] == true).unwrap_or(&versions[0]);
    (policy["Arn"].as_str().unwrap().to_owned(), version["Document"].clone())
}

/// Letter by letter: keys are compared without case (rule 34).
pub(super) fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}
