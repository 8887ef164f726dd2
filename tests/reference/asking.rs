//! Random requests, in protobuf's JSON form.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::policies::{Kind, document};
use super::vocabulary::{
    GARBAGE, HOME, KEYS, NEAR, OIDC, OUTSIDE, ROLE_ACTIONS, ROLES, SAML, SERVICES, SESSIONS, TARGETS, UNKNOWN, USERS,
    role_arn, user_arn,
};

#[derive(Clone, Copy)]
enum Who {
    User,
    Session,
    Role,
    FederatedUser,
    Root,
    Service,
    IdentityProvider,
    Anonymous,
    Stranger,
}

const CALLERS: [(usize, Who); 9] = [
    (25, Who::User),
    (24, Who::Session),
    (8, Who::Role),
    (16, Who::FederatedUser),
    (6, Who::Root),
    (6, Who::Service),
    (7, Who::IdentityProvider),
    (6, Who::Anonymous),
    (5, Who::Stranger),
];

pub(super) fn request(dice: &mut Dice) -> Value {
    let who = dice.weighted(&CALLERS);
    let principal = principal(dice, who);
    let (action, resource) = target(dice, who, &principal);
    let mut request = json!({"principal": principal, "action": action, "resource": resource});
    let context = context(dice);
    if !context.is_empty() {
        request["context"] = Value::Object(context);
    }
    if matches!(who, Who::Session | Who::Role | Who::FederatedUser) {
        session(dice, who, &mut request);
    }
    if matches!(who, Who::FederatedUser) && dice.chance(85) {
        let account = principal.split(':').nth(4).unwrap();
        let user = USERS.into_iter().find(|user| user.0 == account);
        let user = user.map_or_else(|| format!("arn:aws:iam::{account}:user/nobody"), user_arn);
        request["federatedBy"] = user.into();
    }
    if dice.chance(10) {
        request["resourceAccount"] = dice.pick(&[HOME, NEAR, OUTSIDE, UNKNOWN]).into();
    }
    request
}

fn principal(dice: &mut Dice, who: Who) -> String {
    let role = dice.pick(&ROLES);
    let account = dice.weighted(&[(6, HOME), (2, NEAR), (2, OUTSIDE), (1, UNKNOWN)]);
    match who {
        Who::User => user_arn(dice.pick(&USERS)),
        Who::Session => format!("arn:aws:sts::{}:assumed-role/{}/{}", role.0, role.2, dice.pick(&SESSIONS)),
        Who::Role => role_arn(role),
        Who::FederatedUser => format!("arn:aws:sts::{account}:federated-user/{}", dice.pick(&["fay", "finn"])),
        Who::Root => format!("arn:aws:iam::{account}:root"),
        Who::Service => dice.pick(&SERVICES).to_owned(),
        Who::IdentityProvider => {
            let all = ["accounts.google.com", "www.amazon.com", OIDC, SAML, "cognito-identity.amazonaws.com"];
            dice.pick(&all).to_owned()
        }
        Who::Anonymous => "anonymous".to_owned(),
        Who::Stranger => {
            let all = [
                "arn:aws:iam::111122223333:user/nobody",
                "arn:aws:iam::123123123123:user/alice",
                "arn:aws:sts::123123123123:assumed-role/app/one",
                "arn:aws:sts::111122223333:assumed-role/nobody/one",
                "arn:aws-cn:iam::111122223333:user/alice",
                "arn:aws-cn:sts::111122223333:assumed-role/app/one",
                "arn:aws-cn:iam::111122223333:root",
                "arn:aws:iam::111122223333:user/other/alice",
                "arn:aws:iam::111122223333:role/other/app",
                "arn:aws:iam::111122223333:role/aws-service-role/x.amazonaws.com/ops",
            ];
            dice.pick(&all).to_owned()
        }
    }
}

fn target(dice: &mut Dice, who: Who, principal: &str) -> (String, String) {
    let role = role_arn(dice.pick(&ROLES));
    if matches!(who, Who::IdentityProvider) {
        let asks = if principal == SAML { "sts:AssumeRoleWithSAML" } else { "sts:AssumeRoleWithWebIdentity" };
        return (dice.weighted(&[(8, asks), (1, "sts:TagSession"), (1, "sts:SetSourceIdentity")]).to_owned(), role);
    }
    if dice.chance(16) {
        return (dice.pick(&ROLE_ACTIONS).to_owned(), role);
    }
    let (mut resource, mut actions) = dice.pick(&TARGETS);
    // Most ask for what is their account's: across accounts little is allowed.
    for _ in 0..3 {
        if !principal.contains(owner(resource)) {
            (resource, actions) = dice.pick(&TARGETS);
        }
    }
    // Now and then an action on what it is not meant for.
    let action = if dice.chance(3) { dice.pick(&TARGETS).1[0] } else { dice.pick(actions) };
    (action.to_owned(), resource.to_owned())
}

fn owner(resource: &str) -> &'static str {
    let owner = |(arn, account): &(&str, &'static str)| resource.starts_with(arn).then_some(*account);
    super::vocabulary::RESOURCES.iter().find_map(owner).unwrap_or(HOME)
}

fn session(dice: &mut Dice, who: Who, request: &mut Value) {
    if dice.chance(30) {
        let mut tags = Map::new();
        tags.insert(dice.pick(&["team", "TEAM"]).to_owned(), dice.pick(&["red", "blue", ""]).into());
        if dice.chance(30) {
            tags.insert("other".to_owned(), dice.pick(&["data", "?", "near"]).into());
        }
        request["sessionTags"] = Value::Object(tags);
    }
    if dice.chance(if matches!(who, Who::FederatedUser) { 60 } else { 35 }) {
        let policies = (0..=dice.below(2)).map(|_| document(dice, Kind::Session).to_string());
        request["sessionPolicies"] = policies.collect::<Vec<_>>().into();
    }
}

fn context(dice: &mut Dice) -> Map<String, Value> {
    let mut context = Map::new();
    let share = dice.pick(&[0, 30, 60]);
    for (key, values) in KEYS {
        // Most requests come through no endpoint.
        if !dice.chance(if key == "aws:SourceVpce" { 25 } else { share }) {
            continue;
        }
        let key = if dice.chance(15) { dice.respell(key) } else { key.to_owned() };
        let values: Vec<&str> = match dice.below(100) {
            0..=3 => Vec::new(),
            4..=8 => vec![dice.pick(&GARBAGE)],
            9..=11 => vec![dice.pick(values), dice.pick(&GARBAGE)],
            12..=22 => dice.some(values, 3),
            _ if ["aws:TagKeys", "aws:CalledVia"].contains(&key.as_str()) => dice.some(values, 3),
            _ => vec![dice.pick(values)],
        };
        context.insert(key, json!({"values": values}));
    }
    context
}
