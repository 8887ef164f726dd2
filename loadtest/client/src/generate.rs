//! `iamd-load generate`: a policy store of any size, and requests about it with the decisions they must get.
//!
//! Everything follows from the options: the same seed gives the same bytes, on any machine. Nothing is kept in memory that
//! grows with the number of users, so a million of them are no matter.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

mod chance;
mod files;
mod peers;
mod questions;
mod world;

use questions::questions;
use world::World;

/// What tells statements apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One action, a bucket for each statement
    Resources,
    /// 161 actions of seven services, as few resources as that allows
    Actions,
    /// Action and resource match always: only a condition tells (nothing to build an index on)
    Worst,
}

/// Arguments of `generate`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct GenerateArgs {
    /// Directory to write: store/, requests.bin, requests.decisions, requests.json, tests.json
    #[arg(value_name = "DIR")]
    #[serde(skip)]
    pub directory: PathBuf,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub users: u64,
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub groups: u64,
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub groups_per_user: u64,
    /// Managed policies
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub policies: u64,
    /// Attached to each user
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub policies_per_user: u64,
    /// Attached to each group
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub policies_per_group: u64,
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub statements_per_policy: u64,
    /// What tells statements apart
    #[arg(long, value_enum, default_value = "resources")]
    pub kind: Kind,
    /// Every so many-th statement is a Deny; 0 for none
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub deny_every: u64,
    /// Share of the statements that have conditions (network and TLS), in per cent
    #[arg(long, default_value_t = 20, value_name = "PERCENT")]
    pub conditions: u64,
    /// Different requests
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub requests: u64,
    /// Share of the requests that are allowed, in per cent
    #[arg(long, default_value_t = 70, value_name = "PERCENT")]
    pub allowed: u64,
    /// Share that is denied explicitly; the rest is denied because nothing allows it
    #[arg(long, default_value_t = 10, value_name = "PERCENT")]
    pub denied: u64,
    /// Objects in each bucket that are asked about
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub objects: u64,
    /// Exponent of Zipf's law for who asks: 0 is everybody alike
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    pub zipf_principals: f64,
    /// And for what is asked for
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    pub zipf_resources: f64,
    /// So many requests in a row are of the same caller in the same circumstances, as those of a batch mostly are
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub in_a_row: u64,
    /// Condition keys in each request: 2 that policies ask for, and up to 2 that none does
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=4))]
    pub context_keys: u64,
    /// Also write the same decisions for Cerbos, OPA and Cedar (kind `resources` only)
    #[arg(long)]
    pub peers: bool,
    /// Also write the first file of policies with every tenth policy turned round (changed/), and the decisions that are
    /// right while it is exchanged for the other (changed.decisions)
    #[arg(long)]
    pub changed: bool,
    /// Write no requests.json and tests.json (for millions of requests)
    #[arg(long)]
    pub only_binary: bool,
}

pub fn run(args: &GenerateArgs) -> Result<(), String> {
    let written = generate(args)?;
    println!("{written}");
    Ok(())
}

/// Writes everything; gives what was written, for people.
pub fn generate(args: &GenerateArgs) -> Result<String, String> {
    check(args)?;
    let world = World::new(args);
    let questions = questions(&world, args)?;
    let fail = |error: std::io::Error| format!("cannot write below {}: {error}", args.directory.display());
    files::store(&world, &args.directory.join("store")).map_err(fail)?;
    files::requests(&questions, args).map_err(fail)?;
    if args.changed {
        files::changed(&world, &args.directory, &questions).map_err(fail)?;
    }
    if args.peers {
        peers::write(&world, &questions, &args.directory).map_err(fail)?;
    }
    let count = |letter| questions.iter().filter(|question| question.decision.letter() == letter).count();
    Ok(format!(
        "{}: {} users, {} groups, {} policies with {} statements; {} requests: {} allowed, {} denied explicitly, {} not allowed",
        args.directory.display(),
        args.users,
        args.groups,
        args.policies,
        args.policies * args.statements_per_policy,
        questions.len(),
        count('A'),
        count('D'),
        count('I'),
    ))
}

fn check(args: &GenerateArgs) -> Result<(), String> {
    let at_least_one =
        [("users", args.users), ("policies", args.policies), ("statements-per-policy", args.statements_per_policy)];
    if let Some((name, _)) = at_least_one.into_iter().find(|(_, value)| *value == 0) {
        return Err(format!("`--{name}` is at least 1"));
    }
    if args.policies_per_user > args.policies || args.policies_per_group > args.policies {
        return Err("more policies are attached than there are".to_owned());
    }
    if args.groups_per_user > args.groups {
        return Err("users are in more groups than there are".to_owned());
    }
    if args.allowed + args.denied > 100 || args.conditions > 100 {
        return Err("shares are more than 100 %".to_owned());
    }
    if args.peers && args.kind != Kind::Resources {
        return Err("`--peers` is for `--kind resources`".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
