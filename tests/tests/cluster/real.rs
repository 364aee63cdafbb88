//! The same on a server that is no stand-in, where `KAIGI_TEST_ESDB` names one: one node or a cluster.

use domain::Position;
use kaigi::store::StoreUrl;
use std::sync::Arc;
use std::time::Duration;
use tests::load::Load;
use tests::skip::not_asked_for;
use tests::trial::{Accused, Election, Finding, Verdict, contract, soak};

const NAMED_BY: &str = "KAIGI_TEST_ESDB";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_contract_and_a_short_load_on_a_real_server() {
    let Ok(url) = std::env::var(NAMED_BY) else {
        return not_asked_for(
            "the contract and a load on a real EventStoreDB or KurrentDB",
            "set KAIGI_TEST_ESDB to a connection string",
        );
    };
    let findings = findings(&url).await;
    for Finding {
        promise,
        verdict,
        ms,
    } in &findings
    {
        println!("{ms:>9}  {promise:<66}  {verdict}");
    }
    let no = |finding: &&Finding| matches!(finding.verdict, Verdict::DidNotHold(_));
    let broken: Vec<_> = findings.iter().filter(no).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

async fn findings(url: &str) -> Vec<Finding> {
    let store: StoreUrl = url.parse().expect("a connection string");
    let accused = Accused::at(store).await;
    let accused = Arc::new(accused.unwrap_or_else(|error| panic!("{error:#}")));
    let mut findings = Vec::new();
    let mut tell = |finding| findings.push(finding);
    contract(&accused, "", &mut tell).await;
    let load = Load {
        prefix: format!("{}-load", accused.calls()),
        calls: 100,
        at_once: 16,
        lasting: Duration::from_secs(5),
        since: Position::START,
    };
    // Others may use that cluster, too: whoever wants an election asks for it.
    let unasked = Election::Untried("store-contract --resign does".to_owned());
    soak(&accused, load, unasked, &mut tell).await;
    findings
}
