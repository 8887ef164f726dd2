//! What holds for every policy store and every request: random ones are changed in ways that must not matter, or that
//! may only narrow.

#[cfg(test)]
mod properties {
    #[path = "../support/ask.rs"]
    mod ask;
    mod aws_managed_policies;
    mod clock;
    #[path = "../support/dice.rs"]
    mod dice;
    mod files;
    mod generate;
    mod json;
    mod laws;
    mod scene;
    mod traces;
}
