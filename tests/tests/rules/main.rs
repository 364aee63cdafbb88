//! Every rule of `docs/spec/rules.md` as a test, a module for each of its chapters.

#![allow(
    clippy::wildcard_imports,
    reason = "the scenario module is a language; its words are not imported one by one"
)]

mod administration;
mod conferenced;
mod consult_and_hold;
mod explained;
mod forming;
mod leaving;
mod rejections;
mod supervisors;
mod wrap_up;
mod wrap_up_assist;
