//! Requests, and the decision each must get.

use std::collections::{BTreeMap, HashSet};

use crate::load::answer::Decision;
use crate::proto::iamd;

use super::GenerateArgs;
use super::chance::{Chance, Zipf};
use super::world::{Statement, World};

/// A request, and its decision.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    pub(super) user: u64,
    pub(super) action: String,
    pub(super) resource: String,
    pub(super) context: BTreeMap<String, String>,
    pub(super) decision: Decision,
    /// The policy that decides it.
    pub(super) policy: Option<u64>,
}

/// The digits that a run may replace to make a request new; nothing else in a request has as many zeros in a row.
const PLACE: &str = "0000000000";

impl Question {
    pub(super) fn message(&self) -> iamd::IsAuthorizedRequest {
        let values = |value: &String| iamd::ContextValues { values: vec![value.clone()] };
        iamd::IsAuthorizedRequest {
            principal: World::user_arn(self.user),
            action: self.action.clone(),
            resource: self.resource.clone(),
            context: self.context.iter().map(|(key, value)| (key.clone(), values(value))).collect(),
            ..Default::default()
        }
    }
}

/// As many different ones as asked for.
pub(super) fn questions(world: &World, args: &GenerateArgs) -> Result<Vec<Question>, String> {
    let mut asker = Asker {
        world,
        chance: Chance::of(args.seed, 4, 0),
        users: Zipf::new(args.users, args.zipf_principals),
        policies: Zipf::new(args.policies, args.zipf_resources),
        places: Zipf::new(args.statements_per_policy, args.zipf_resources),
        objects: Zipf::new(args.objects.max(1), args.zipf_resources),
        user: None,
        host: None,
    };
    let mut known = HashSet::new();
    let mut questions = Vec::new();
    let mut again = 0_u64;
    while (questions.len() as u64) < args.requests {
        // Where the popular ones are used up, objects nobody has asked for yet.
        let beyond = (again > 20).then_some(args.objects + again);
        // Whoever is next may be anybody, however often it is tried.
        if (questions.len() as u64).is_multiple_of(args.in_a_row) {
            (asker.user, asker.host) = (None, None);
        }
        let question = asker.question(beyond);
        let key =
            (question.user, question.action.clone(), question.resource.clone(), question.context.get(TAG).cloned());
        if known.insert(key) {
            again = 0;
            questions.push(question);
        } else {
            again += 1;
        }
    }
    Ok(questions)
}

const TAG: &str = "s3:ExistingObjectTag/app";

struct Asker<'a> {
    world: &'a World,
    chance: Chance,
    users: Zipf,
    policies: Zipf,
    places: Zipf,
    objects: Zipf,
    /// Who asks, and from where, while they are held on to.
    user: Option<u64>,
    host: Option<u64>,
}

impl Asker<'_> {
    fn question(&mut self, object: Option<u64>) -> Question {
        let args = &self.world.args;
        let (allowed, denied) = (args.allowed, args.denied);
        let user = *self.user.get_or_insert_with(|| self.users.draw(&mut self.chance));
        let wanted = match self.chance.below(100) {
            share if share < allowed => Decision::Allow,
            share if share < allowed + denied => Decision::ExplicitDeny,
            _ => Decision::ImplicitDeny,
        };
        let own = self.world.policies_for(user);
        let found = match wanted {
            Decision::ImplicitDeny => None,
            Decision::Allow | Decision::ExplicitDeny => self.own_statement(&own, wanted == Decision::ExplicitDeny),
        };
        match found {
            Some((policy, statement)) => {
                Question { decision: wanted, policy: Some(policy), ..self.ask(user, Some(statement), object) }
            }
            None => {
                let statement = self.foreign_statement(&own);
                self.ask(user, statement, object)
            }
        }
    }

    /// One of a user's statements that allows, or that denies.
    fn own_statement(&mut self, own: &[u64], denies: bool) -> Option<(u64, Statement)> {
        let policy = own.get(self.chance.below(own.len().max(1) as u64) as usize)?;
        let count = self.world.args.statements_per_policy;
        let drawn = self.places.draw(&mut self.chance);
        // The next one of that effect.
        let place = (0..count).map(|step| (drawn + step) % count).find(|place| self.world.denies(*place) == denies)?;
        Some((*policy, self.world.statement(*policy, place)))
    }

    /// One of a policy that the user does not have.
    fn foreign_statement(&mut self, own: &[u64]) -> Option<Statement> {
        for _ in 0..20 {
            let policy = self.policies.draw(&mut self.chance);
            if !own.contains(&policy) {
                let place = self.places.draw(&mut self.chance);
                return Some(self.world.statement(policy, place));
            }
        }
        None
    }

    /// A request for what a statement is about, or for something that none is about; nothing decides it yet.
    fn ask(&mut self, user: u64, statement: Option<Statement>, object: Option<u64>) -> Question {
        let object = object.unwrap_or_else(|| self.objects.draw(&mut self.chance));
        let host = *self.host.get_or_insert_with(|| 1 + self.chance.below(250));
        let mut context = BTreeMap::from([
            ("aws:SecureTransport".to_owned(), "true".to_owned()),
            ("aws:SourceIp".to_owned(), format!("203.0.113.{host}")),
        ]);
        let others = [
            ("aws:RequestedRegion", "eu-central-1"),
            ("aws:UserAgent", "aws-sdk-rust/1.3.9 os/linux lang/rust#1.88.0"),
        ];
        for (key, value) in others.into_iter().take(self.world.args.context_keys as usize - 2) {
            context.insert(key.to_owned(), value.to_owned());
        }
        let (action, start, tag) = match statement {
            Some(statement) => (statement.asked_action, statement.asked_resource, statement.tag),
            None => ("s3:GetObject".to_owned(), "arn:aws:s3:::data-of-nobody/".to_owned(), None),
        };
        if let Some(tag) = tag {
            context.insert(TAG.to_owned(), tag);
        }
        let resource = format!("{start}o{object}-{PLACE}");
        Question { user, action, resource, context, decision: Decision::ImplicitDeny, policy: None }
    }
}
