//! Asks Cedar, in this process, what `iamd-load generate --peers` wrote: `iamd-cedar DIR SECONDS`.
//!
//! Prints one line of JSON: decisions, seconds, decisions by kind, and how many were not as expected. Requests are made
//! beforehand, with their contexts: what is measured is `is_authorized` alone.
use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, RestrictedExpression};

struct Question {
    request: Request,
    /// `A`, `D` or `I`.
    expected: char,
}

/// Decisions before it counts.
const WARM_UP: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(seconds)) = (arguments.next(), arguments.next()) else {
        return Err("iamd-cedar DIR SECONDS".into());
    };
    let read = |name: &str| std::fs::read_to_string(format!("{directory}/{name}"));
    let policies: PolicySet = read("policies.cedar")?.parse()?;
    let entities = Entities::from_json_str(&read("entities.json")?, None)?;
    let questions = read("requests.tsv")?.lines().map(question).collect::<Result<Vec<_>, _>>()?;
    let authorizer = Authorizer::new();
    for question in questions.iter().take(WARM_UP) {
        decide(&authorizer, question, &policies, &entities);
    }

    let time = Duration::from_secs_f64(seconds.parse()?);
    let (began, mut wrong, mut kinds) = (Instant::now(), 0_u64, BTreeMap::<char, u64>::new());
    let (mut times, cpu_before) = (Vec::new(), cpu_seconds());
    for question in questions.iter().cycle().take_while(|_| began.elapsed() < time) {
        let asked = Instant::now();
        let decision = decide(&authorizer, question, &policies, &entities);
        times.push(asked.elapsed());
        *kinds.entry(decision).or_default() += 1;
        wrong += u64::from(decision != question.expected);
    }
    let decisions = times.len();
    let busy = 100.0 * (cpu_seconds() - cpu_before) / began.elapsed().as_secs_f64();
    let seconds = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_nanos() as f64 / 1000.0;
    let count = |kind| kinds.get(&kind).copied().unwrap_or(0);
    println!(
        "{{\"decisions\": {decisions}, \"seconds\": {seconds:.6}, \"allow\": {}, \"explicit_deny\": {}, \"implicit_deny\": {}, \
         \"wrong\": {wrong}, \"busy\": {busy:.1}, \"p50_us\": {}, \"p90_us\": {}, \"p99_us\": {}, \"p999_us\": {}, \"max_us\": {}}}",
        count('A'),
        count('D'),
        count('I'),
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0),
    );
    Ok(())
}

/// Time that this thread has had a core (Linux).
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).map_or(0.0, |time| time / 1e9)
}

/// A line of principal, bucket, address and the decision that is expected.
fn question(line: &str) -> Result<Question, Box<dyn Error>> {
    let [user, bucket, address, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
        return Err(format!("not four fields: {line}").into());
    };
    let entity = |kind: &str, name: &str| format!("{kind}::\"{name}\"").parse::<EntityUid>();
    let context = Context::from_pairs([
        ("ip".to_owned(), RestrictedExpression::new_ip(address)),
        ("tls".to_owned(), RestrictedExpression::new_bool(true)),
    ])?;
    let (principal, action) = (entity("User", user)?, entity("Action", "GetObject")?);
    let request = Request::new(principal, action, entity("Bucket", bucket)?, context, None)?;
    Ok(Question { request, expected: expected.chars().next().unwrap_or('?') })
}

/// A denial without a policy that made it is an implicit one.
fn decide(authorizer: &Authorizer, question: &Question, policies: &PolicySet, entities: &Entities) -> char {
    let response = authorizer.is_authorized(&question.request, policies, entities);
    match response.decision() {
        Decision::Allow => 'A',
        Decision::Deny if response.diagnostics().reason().next().is_some() => 'D',
        Decision::Deny => 'I',
    }
}
