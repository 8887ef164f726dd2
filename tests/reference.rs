//! A second evaluator, written from docs/evaluation.md as plainly as can be, without index, cache or compilation: it and
//! the program must give the same answers, to random stores and requests and to AWS's own managed policies.
#![expect(clippy::string_slice, reason = "a text is cut where a character was found")]
#![expect(clippy::wildcard_enum_match_arm, reason = "all other kinds of JSON, of callers and of policies are meant")]

#[cfg(test)]
mod reference {
    // The second evaluator: facts of AWS, then values, then what a policy says, then the decision.
    mod caller;
    mod condition;
    mod decide;
    mod facts;
    mod organization;
    mod principal;
    mod question;
    mod request;
    mod statement;
    mod store;
    mod values;
    mod variable;
    mod wildcard;

    // Random stores and requests.
    #[path = "../support/ask.rs"]
    mod ask;
    mod asking;
    #[path = "../support/dice.rs"]
    mod dice;
    mod policies;
    mod throw;
    mod vocabulary;
    mod world;

    // What it is compared on.
    mod agreement;
    mod compare;
    mod managed;
    mod shrink;
    mod suites;
}
