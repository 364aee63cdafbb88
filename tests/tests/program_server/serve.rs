//! `kaigi serve`: configuration, start and end.

use tests::program::on;
use tests::service_program::Serving;

#[test]
fn it_serves_until_it_is_told_to_stop_and_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::on(folder.path());
    let ready = serving.wait_until_told("listening on");
    let store = format!("store sled:{}, without keys", folder.path().display());
    assert!(ready.contains(&store), "{ready}");
    let ended = serving.stop().ended_with(0);
    assert!(
        ended.err.contains("everything under way was answered"),
        "{ended:#?}"
    );
    assert_eq!(ended.out, "");
    let _ = on(folder.path(), ["store", "check"]).run().ended_with(0);
}
