//! Every route of the real program.

use tests::judge::Judge;
use tests::service::{kept, one_of_each};
use tests::service_program::Serving;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_of_the_real_program_answers_as_its_document_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let (keys, held) = one_of_each();
    kept(&file, keys);
    let store = folder.path().join("calls");
    let service = Serving::with(&store, ["--keys".as_ref(), file.as_os_str()]);
    Judge::of(&service.url, &held).await.every_route().await;
    let ended = service.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let secret = |text: &&String| ended.err.contains(text.as_str());
    let keys = [
        &held.telephony,
        &held.ana,
        &held.reader,
        &held.auditor,
        &held.operator,
    ];
    assert_eq!(
        keys.into_iter().find(secret),
        None,
        "no key stands in the log"
    );
    assert!(
        !ended.err.contains("5550100"),
        "no number stands in the log"
    );
    assert!(
        ended.err.lines().count() > 50,
        "a line a request: {}",
        ended.err
    );
}
