//! Passwords, rights and encryption.

use super::{append, client, events, of, read, read_all};
use eventstore::StreamState::{Any, NoStream};
use eventstore::{BatchAppendOptions, Error, ReadAllOptions};
use tests::standin::{Config, Right, StandIn, User};

fn with_users() -> StandIn {
    StandIn::start_with(Config {
        users: vec![User::new("ops", "secret"), User::new("ana", "other")],
        ..Config::default()
    })
}

#[tokio::test]
async fn a_password_lets_in_and_a_wrong_one_or_none_does_not() {
    let standin = with_users();
    let ops = client(&standin.url_as("ops", "secret"));
    append(&ops, "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
    for url in [
        standin.url(),
        standin.url_as("ops", "other"),
        standin.url_as("eve", "secret"),
    ] {
        let refused = append(&client(&url), "call-1", Any, events(["b"]))
            .await
            .unwrap_err();
        assert!(refused.is_access_denied(), "{url}: {refused}");
        let refused = read(&client(&url), "call-1").await.unwrap_err();
        assert!(refused.is_access_denied(), "{url}: {refused}");
    }
    assert_eq!(standin.log().stream("call-1").len(), 1);
}

#[tokio::test]
async fn each_right_can_be_taken_away_and_given_back() {
    let standin = StandIn::start();
    let client = of(&standin);
    append(&client, "call-1", NoStream, events(["a"]))
        .await
        .unwrap();

    standin.deny(Right::ReadAll);
    let refused = read_all(&client, ReadAllOptions::default())
        .await
        .unwrap_err();
    assert!(refused.is_access_denied(), "{refused}");
    read(&client, "call-1").await.unwrap();
    standin.allow(Right::ReadAll);
    read_all(&client, ReadAllOptions::default()).await.unwrap();

    standin.deny(Right::ReadStreams);
    assert!(
        read(&client, "call-1")
            .await
            .unwrap_err()
            .is_access_denied()
    );
    standin.allow(Right::ReadStreams);

    standin.deny(Right::Write);
    let refused = append(&client, "call-1", Any, events(["b"]))
        .await
        .unwrap_err();
    assert!(refused.is_access_denied(), "{refused}");
    let session = client
        .batch_append(&BatchAppendOptions::default())
        .await
        .unwrap();
    let refused = session.append_to_stream("call-1", Any, events(["b"])).await;
    let Err(Error::Grpc { code, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(format!("{code:?}"), "PermissionDenied");
    standin.allow(Right::Write);
    append(&client, "call-1", Any, events(["b"])).await.unwrap();
}

#[tokio::test]
async fn an_encrypted_cluster_is_believed_with_its_authority_and_not_without() {
    let standin = StandIn::start_with(Config {
        nodes: 3,
        tls: true,
        ..Config::default()
    });
    let url = format!("{}&nodePreference=leader", standin.url());
    append(&client(&url), "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
    let authority = standin.authority().unwrap();
    let stranger = url.replace(&format!("&tlsCaFile={}", authority.display()), "");
    assert_ne!(stranger, url);
    append(&client(&stranger), "call-1", Any, events(["b"]))
        .await
        .unwrap_err();
    assert_eq!(standin.log().stream("call-1").len(), 1);
}
