//! The published interface contains the contract unchanged: clients that were built on the contract keep working.
//!
//! `buf breaking` says the same (see `buf.yaml`); this runs wherever the other tests run.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot read the contract has failed")]

use std::collections::BTreeSet;
use std::path::Path;

use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
};

/// Everything in a file that a client may depend on, one fact a line.
fn facts(file: &FileDescriptorProto) -> BTreeSet<String> {
    let mut facts = BTreeSet::from([format!("package {} in {}", file.package(), file.syntax())]);
    let scope = file.package();
    file.message_type.iter().for_each(|message| message_facts(scope, message, &mut facts));
    file.enum_type.iter().for_each(|one| enum_facts(scope, one, &mut facts));
    file.service.iter().for_each(|service| service_facts(scope, service, &mut facts));
    facts
}

fn message_facts(scope: &str, message: &DescriptorProto, facts: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", message.name());
    facts.insert(format!("message {name}, map entry: {}", message.options.as_ref().is_some_and(|o| o.map_entry())));
    for field in &message.field {
        let oneof = field.oneof_index.map(|index| message.oneof_decl[usize::try_from(index).unwrap()].name());
        facts.insert(format!(
            "field {name}.{} = {}: {:?} {:?} {}, JSON {}, oneof {oneof:?}, optional {}",
            field.name(),
            field.number(),
            field.label(),
            field.r#type(),
            field.type_name(),
            field.json_name(),
            field.proto3_optional(),
        ));
    }
    message.nested_type.iter().for_each(|nested| message_facts(&name, nested, facts));
    message.enum_type.iter().for_each(|nested| enum_facts(&name, nested, facts));
}

fn enum_facts(scope: &str, one: &EnumDescriptorProto, facts: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", one.name());
    facts.extend(one.value.iter().map(|value| format!("value {name}.{} = {}", value.name(), value.number())));
}

fn service_facts(scope: &str, service: &ServiceDescriptorProto, facts: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", service.name());
    facts.extend(service.method.iter().map(|method| {
        format!(
            "method {name}.{}: {} (stream {}) -> {} (stream {})",
            method.name(),
            method.input_type(),
            method.client_streaming(),
            method.output_type(),
            method.server_streaming(),
        )
    }));
}

fn contract() -> FileDescriptorProto {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/contract");
    protox::compile(["iamd/v1/authorization.proto"], [folder]).unwrap().file.remove(0)
}

/// What reflection tells callers.
fn published() -> FileDescriptorProto {
    let set = FileDescriptorSet::decode(iamd::proto::v1::DESCRIPTORS).unwrap();
    set.file.into_iter().find(|file| file.package() == "iamd.v1").unwrap()
}

fn broken(contract: &FileDescriptorProto) -> Vec<String> {
    facts(contract).difference(&facts(&published())).cloned().collect()
}

#[test]
fn what_the_contract_says_is_published_unchanged() {
    let contract = contract();
    // Every message, field, value and method: a comparison of nothing would always succeed.
    assert_eq!(facts(&contract).len(), 68, "{:#?}", facts(&contract));
    assert_eq!(broken(&contract), Vec::<String>::new());
}

#[test]
fn a_change_is_noticed() {
    type Change = fn(&mut FileDescriptorProto);
    let changes: [(Change, &str); 5] = [
        (|file| file.message_type[0].field[2].number = Some(10), "field iamd.v1.IsAuthorizedRequest.resource = 10: "),
        (|file| file.message_type[0].field[1].name = Some("verb".to_owned()), "field iamd.v1.IsAuthorizedRequest.verb"),
        (|file| file.enum_type[1].value[1].number = Some(9), "value iamd.v1.Decision.DECISION_ALLOW = 9"),
        (|file| file.service[0].method[0].server_streaming = Some(true), "method iamd.v1.AuthorizationService.IsAut"),
        (|file| file.package = Some("iamd.v2".to_owned()), "field iamd.v2."),
    ];
    for (change, expected) in changes {
        let mut contract = contract();
        change(&mut contract);
        let broken = broken(&contract);
        assert!(broken.iter().any(|fact| fact.starts_with(expected)), "{expected}: {broken:#?}");
    }
}
