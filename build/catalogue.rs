//! Repacks AWS's facts so that each is found without reading the others: every managed policy is a compressed stream
//! of its own, and what is known of condition keys and services becomes sorted tables.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::{fs, path::Path};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::DeflateEncoder;
use serde_json::{Map, Value};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

// Part of the build script itself, so that it runs again when they change.
const MANAGED_POLICIES: &[u8] = include_bytes!("../data/aws-managed-policies.json.gz");
const SERVICE_REFERENCE: &[u8] = include_bytes!("../data/service-reference.json.gz");

/// Writes `managed-policies.bin`, `service-reference.bin` and `catalogue.rs`, which `src/catalogue.rs` includes.
pub(crate) fn generate(out: &Path) -> Result<()> {
    let mut tables = String::new();
    fs::write(out.join("managed-policies.bin"), pack_policies(&mut tables)?)?;
    let reference = unpack(SERVICE_REFERENCE)?;
    write_condition_keys(&reference, &mut tables)?;
    write_services(&reference, &mut tables)?;
    fs::write(out.join("service-reference.bin"), pack_services(&reference, &mut tables)?)?;
    write_service_principals(&reference, &mut tables)?;
    fs::write(out.join("catalogue.rs"), tables)?;
    Ok(())
}

fn unpack(bytes: &[u8]) -> Result<Value> {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

// --- managed policies -----------------------------------------------------------------------------------------------

/// One deflate stream per document, end to end; the table tells where each one lies.
fn pack_policies(tables: &mut String) -> Result<Vec<u8>> {
    let data = unpack(MANAGED_POLICIES)?;
    let mut documents: BTreeMap<&str, String> = BTreeMap::new();
    for policy in list(&data, "Policies")? {
        documents.insert(text(policy, "Arn")?, default_document(policy)?);
    }
    let mut blob = Vec::new();
    writeln!(tables, "pub(super) static MANAGED_POLICIES: &[ManagedPolicy] = &[")?;
    for (arn, document) in documents {
        let offset = blob.len();
        let mut encoder = DeflateEncoder::new(&mut blob, Compression::best());
        encoder.write_all(document.as_bytes())?;
        encoder.finish()?;
        let (length, unpacked) = (blob.len() - offset, document.len());
        writeln!(
            tables,
            "ManagedPolicy {{ arn: {arn:?}, offset: {offset}, length: {length}, unpacked: {unpacked} }},"
        )?;
    }
    writeln!(tables, "];")?;
    Ok(blob)
}

fn default_document(policy: &Value) -> Result<String> {
    let default = text(policy, "DefaultVersionId")?;
    let versions = list(policy, "PolicyVersionList")?;
    let version = versions.iter().find(|version| version.get("VersionId").and_then(Value::as_str) == Some(default));
    let document = version.and_then(|version| version.get("Document"));
    Ok(serde_json::to_string(document.ok_or("a managed policy without its default version")?)?)
}

// --- condition keys -------------------------------------------------------------------------------------------------

/// A condition key as the services describe it.
struct ConditionKey {
    spelling: String,
    multivalued: bool,
    value_type: String,
}

/// Global keys come first, so that their spelling counts where a service spells one otherwise.
///
/// Where services disagree on a key, it is multi-valued only if all say so: a plain operator on a multi-valued key
/// never matches, not even a negated one in a Deny, so that a single value would slip past it. And its type is then
/// `String`, of which nothing is demanded.
fn write_condition_keys(reference: &Value, tables: &mut String) -> Result<()> {
    let mut exact: BTreeMap<String, ConditionKey> = BTreeMap::new();
    let mut templates: BTreeMap<(String, String), ConditionKey> = BTreeMap::new();
    let services = object(reference, "services")?.values().map(|service| object(service, "keys"));
    for keys in std::iter::once(object(reference, "global_keys")).chain(services) {
        for (written, value_type) in keys? {
            let value_type = value_type.as_str().ok_or("the type of a condition key is not a string")?;
            let (key, folded) = (read_key(written, value_type), fold(written));
            match template(&folded)? {
                Some(parts) => merge(templates.entry(parts), key),
                None => merge(exact.entry(folded), key),
            }
        }
    }
    let mut global: Vec<String> = object(reference, "global_keys")?.keys().map(|key| fold(key)).collect();
    global.sort();
    writeln!(tables, "pub(super) static GLOBAL_CONDITION_KEYS: &[&str] = &{global:?};")?;
    writeln!(tables, "pub(super) static CONDITION_KEYS: &[ConditionKey] = &[")?;
    for (folded, key) in &exact {
        writeln!(tables, "ConditionKey {{ folded: {folded:?}, {} }},", fields(key))?;
    }
    writeln!(tables, "];\npub(super) static CONDITION_KEY_TEMPLATES: &[Template] = &[")?;
    let mut by_length: Vec<_> = templates.iter().collect();
    by_length.sort_by_key(|((prefix, suffix), _)| std::cmp::Reverse(prefix.len() + suffix.len()));
    for ((prefix, suffix), key) in by_length {
        writeln!(tables, "Template {{ prefix: {prefix:?}, suffix: {suffix:?}, {} }},", fields(key))?;
    }
    writeln!(tables, "];")?;
    Ok(())
}

fn read_key(written: &str, value_type: &str) -> ConditionKey {
    let item = value_type.strip_prefix("ArrayOf");
    ConditionKey {
        spelling: written.replace("/tag-key", "/${TagKey}"),
        multivalued: item.is_some(),
        value_type: item.unwrap_or(value_type).to_owned(),
    }
}

fn merge<K: Ord>(known: std::collections::btree_map::Entry<'_, K, ConditionKey>, key: ConditionKey) {
    let agreed = |known: &mut ConditionKey| {
        known.multivalued &= key.multivalued;
        if known.value_type != key.value_type {
            known.value_type = "String".to_owned();
        }
    };
    known.and_modify(agreed).or_insert(key);
}

/// What stands before and after the variable of `aws:resourcetag/${tagkey}`, `s3:existingobjecttag/<key>`,
/// `aws:requesttag/tag-key`; None for a key without a variable.
fn template(folded: &str) -> Result<Option<(String, String)>> {
    let parts = if let Some(prefix) = folded.strip_suffix("tag-key").filter(|prefix| prefix.ends_with('/')) {
        Some((prefix, ""))
    } else if let Some((prefix, rest)) = folded.split_once("${") {
        Some((prefix, rest.split_once('}').ok_or("a variable is not closed")?.1))
    } else if let Some((prefix, rest)) = folded.split_once('<') {
        Some((prefix, rest.split_once('>').ok_or("a variable is not closed")?.1))
    } else {
        None
    };
    match parts {
        Some((_, suffix)) if suffix.contains(['$', '<']) => Err(format!("`{folded}` has two variables").into()),
        _ => Ok(parts.map(|(prefix, suffix)| (prefix.to_owned(), suffix.to_owned()))),
    }
}

/// As `access::fold_key` does it.
fn fold(key: &str) -> String {
    key.to_lowercase()
}

fn fields(key: &ConditionKey) -> String {
    let ConditionKey { spelling, multivalued, value_type } = key;
    format!(
        "spelling: {spelling:?}, \
         facts: ConditionKeyFacts {{ multivalued: {multivalued}, value_type: {value_type:?} }}"
    )
}

// --- services -------------------------------------------------------------------------------------------------------

fn write_services(reference: &Value, tables: &mut String) -> Result<()> {
    let mut names: Vec<String> = Vec::new();
    for (prefix, service) in object(reference, "services")? {
        if service.get("rcp").and_then(Value::as_bool) == Some(true) {
            names.push(prefix.to_lowercase());
        }
    }
    names.sort();
    writeln!(tables, "pub(super) static RESOURCE_CONTROL_SERVICES: &[&str] = &{names:?};")?;
    Ok(())
}

/// One deflate stream of JSON per service, end to end: what its actions take, and how its resources are named. Only
/// checks read it, a service at a time; what the service needs to decide is in the other tables.
fn pack_services(reference: &Value, tables: &mut String) -> Result<Vec<u8>> {
    let mut services: BTreeMap<String, String> = BTreeMap::new();
    let arns = arns_by_service(reference)?;
    for (prefix, service) in object(reference, "services")? {
        let foreign = arns.get(prefix).into_iter().flatten().filter(|(of, _)| of != prefix);
        let foreign: BTreeSet<&String> = foreign.map(|(_, arn)| arn).collect();
        let mut service = without_levels(service)?;
        if let Some(members) = service.as_object_mut() {
            members.insert("foreign".to_owned(), serde_json::to_value(foreign)?);
        }
        services.insert(prefix.to_lowercase(), serde_json::to_string(&service)?);
    }
    let mut blob = Vec::new();
    writeln!(tables, "pub(super) static SERVICES: &[PackedService] = &[")?;
    for (prefix, json) in services {
        let offset = blob.len();
        let mut encoder = DeflateEncoder::new(&mut blob, Compression::best());
        encoder.write_all(json.as_bytes())?;
        encoder.finish()?;
        let (length, unpacked) = (blob.len() - offset, json.len());
        writeln!(
            tables,
            "PackedService {{ prefix: {prefix:?}, offset: {offset}, length: {length}, unpacked: {unpacked} }},"
        )?;
    }
    writeln!(tables, "];\npub(super) static ARN_SERVICES: &[&str] = &{:?};", arns.keys().collect::<Vec<_>>())?;
    Ok(blob)
}

/// How resources are named: by the service in their ARNs, with the service that says so.
fn arns_by_service(reference: &Value) -> Result<BTreeMap<String, Vec<(String, String)>>> {
    let mut arns: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (prefix, service) in object(reference, "services")? {
        for resource in object(service, "resources")?.values() {
            for arn in text(resource, "arn")?.split(", ") {
                if let Some(named) = arn.split(':').nth(2).filter(|name| !name.contains('$')) {
                    arns.entry(named.to_owned()).or_default().push((prefix.clone(), arn.to_owned()));
                }
            }
        }
    }
    Ok(arns)
}

/// A service's actions and resources, without what no check asks for; actions by their names in lower case.
fn without_levels(service: &Value) -> Result<Value> {
    let mut actions = Map::new();
    for (name, action) in object(service, "actions")? {
        let mut action = action.as_object().ok_or("an action is not an object")?.clone();
        action.remove("level");
        action.insert("name".to_owned(), name.clone().into());
        actions.insert(name.to_lowercase(), action.into());
    }
    let resources = object(service, "resources")?.clone();
    Ok(serde_json::json!({"name": text(service, "name")?, "actions": actions, "resources": resources}))
}

/// Names by which services ask: those that AWS's own policies mention, besides `PREFIX.amazonaws.com`.
fn write_service_principals(reference: &Value, tables: &mut String) -> Result<()> {
    const DOMAIN: &str = ".amazonaws.com";
    let of_services = object(reference, "services")?.keys().map(|prefix| prefix.to_lowercase() + DOMAIN);
    let mut names: BTreeSet<String> = of_services.collect();
    let mut rest = vec![unpack(MANAGED_POLICIES)?];
    while let Some(value) = rest.pop() {
        match value {
            Value::Array(elements) => rest.extend(elements),
            Value::Object(members) => rest.extend(members.into_iter().map(|(_, value)| value)),
            Value::String(text) => {
                let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
                let label = text.strip_suffix(DOMAIN).filter(|label| !label.is_empty());
                names.extend(label.filter(|label| label.bytes().all(word)).map(|_| text.clone()));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    writeln!(tables, "pub(super) static SERVICE_PRINCIPALS: &[&str] = &{:?};", names.iter().collect::<Vec<_>>())?;
    Ok(())
}

// --- reading --------------------------------------------------------------------------------------------------------

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value.get(key).and_then(Value::as_str).ok_or_else(|| format!("`{key}` is not a string").into())
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value.get(key).and_then(Value::as_array).ok_or_else(|| format!("`{key}` is not a list").into())
}

fn object<'a>(value: &'a Value, key: &str) -> Result<&'a Map<String, Value>> {
    value.get(key).and_then(Value::as_object).ok_or_else(|| format!("`{key}` is not an object").into())
}
