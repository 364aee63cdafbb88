//! `kaigi calls`: finds calls, in a store at hand or through a service.

use crate::args::Calls;
use crate::events::read_on;
use crate::exit::Exit;
use crate::output::Console;
use crate::read_models::warn_of_damage;
use crate::reads::{Router, Sheet};
use client::Question;
use domain::call::Phase;
use domain::{EventStore, Followed, Position, Prefix};
use projections::{CallFilter, CallList, ListedCall, Row as _};
use server::calls::at_hand as list_at_hand;
use std::sync::Arc;

/// Prints the calls of a store at hand that fit. All events are read for it: a program that asks this often should follow
/// a read model instead.
pub async fn at_hand(
    store: Arc<dyn EventStore>,
    args: Calls,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let question = question(&args);
    let mut list = CallList::new(filter(args));
    let (mut events, mut damaged) = (Prefix::NONE, 0);
    let take = |next: &Followed| match next {
        Followed::Events(page) => {
            list.fold(page);
            events = page.iter().fold(events, Prefix::plus);
        }
        Followed::Damaged(event) => {
            list.fold_damaged(event);
            events = events.plus_damaged(event);
            damaged += 1;
        }
        Followed::CaughtUp(_) => {}
    };
    read_on(store, Position::START, take).await?;
    warn_of_damage(damaged);
    let router = Router::AtHand(list_at_hand(list, events, domain::now()));
    print(&router, &question, console).await
}

/// Prints the calls of a service that fit.
pub async fn calls(router: &Router, args: &Calls, console: &mut Console) -> anyhow::Result<Exit> {
    print(router, &question(args), console).await
}

async fn print(
    router: &Router,
    question: &Question,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let sheet = Sheet {
        fields: ListedCall::COLUMNS,
        table: &ListedCall::TABLE,
    };
    let rows = router.ask(question, console.output()).await?;
    rows.print(sheet, console).await?;
    Ok(Exit::Done)
}

fn question(args: &Calls) -> Question {
    let agent = args.agent.as_ref().map(|agent| format!("agent:{agent}"));
    Question::new(["v1", "calls"])
        .for_roles("auditor or operator")
        .with_some("agent", agent)
        .with_some("customer", args.customer.as_ref())
        .with_some("queue", args.queue.as_ref())
        .with_some("correlation", args.correlation.as_ref())
        .with_some("from", args.from)
        .with_some("to", args.to)
        .with_some("phase", args.phase.map(Phase::name))
}

fn filter(args: Calls) -> CallFilter {
    CallFilter {
        agent: args.agent,
        customer: args.customer,
        queue: args.queue,
        correlation: args.correlation,
        from: args.from,
        to: args.to,
        phase: args.phase,
    }
}
