//! What can be wrong with a connection string, a server or its user is found when the store is opened, and told apart.

use super::{call, nodes, open, opened};
use domain::EventStore;
use serde_json::json;
use store_eventstoredb::{ClusterStore, OpenError};
use tests::closed_port::ClosedPort;
use tests::contract::{batches, chatter};
use tests::standin::{Config, Expected, Proposed, Right, StandIn, User};

const PASSWORD: &str = "ch@nge it";

async fn refused(url: &str) -> OpenError {
    let error = match ClusterStore::open(url).await {
        Ok(store) => panic!("opened: {store:?}"),
        Err(error) => error,
    };
    assert!(!format!("{error} {error:?}").contains("ch@nge"), "{error}");
    error
}

fn with_users() -> StandIn {
    StandIn::start_with(Config {
        users: vec![User::new("kai", PASSWORD)],
        ..Config::default()
    })
}

/// The connection string with that user, as one has to write it.
fn as_user(cluster: &StandIn, user: &str) -> String {
    cluster.url().replacen("://", &format!("://{user}@"), 1)
}

#[tokio::test]
async fn a_bad_connection_string_is_told_before_anything_is_tried() {
    for url in [
        "esdb://",
        "esdb://host?tsl=false",
        "esdb://kai:ch@nge@",
        "sled:x",
    ] {
        assert!(matches!(refused(url).await, OpenError::Url(_)), "{url}");
    }
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_told_with_the_reason() {
    let closed = ClosedPort::reserve();
    let port = closed.number();
    let url = format!("esdb://127.0.0.1:{port},nowhere.invalid:2113?tls=false");
    let OpenError::Unreachable(why) = refused(&url).await else {
        panic!("something else");
    };
    assert!(
        why.contains(&format!("127.0.0.1:{port}: ")) && why.contains("nowhere.invalid:2113: "),
        "{why}"
    );
}

#[tokio::test]
async fn one_node_of_several_is_enough() {
    let cluster = nodes(3);
    cluster.kill(0);
    opened(&cluster.url()).await;
}

#[tokio::test]
async fn a_wrong_password_is_told_from_a_missing_right() {
    let cluster = with_users();
    opened(&as_user(&cluster, "kai:ch%40nge%20it")).await;
    for user in ["kai:wrong", "nobody:ch%40nge%20it"] {
        let error = refused(&as_user(&cluster, user)).await;
        let name = user.split(':').next().expect("a name");
        assert!(matches!(error, OpenError::Credentials(_)), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let error = refused(&cluster.url()).await;
    assert!(matches!(error, OpenError::Credentials(_)), "{error}");
    assert!(error.to_string().contains("say who you are"), "{error}");
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let cluster = with_users();
    let url = as_user(&cluster, "kai:ch%40nge%20it");
    cluster.deny(Right::Write);
    let error = refused(&url).await;
    assert!(
        error
            .to_string()
            .contains("cannot write to stream kaigi_store"),
        "{error}"
    );
    cluster.allow(Right::Write);
    cluster.deny(Right::ReadAll);
    let error = refused(&url).await;
    assert!(matches!(error, OpenError::Right(_)), "{error}");
    assert!(error.to_string().contains("cannot read $all"), "{error}");
}

/// Who only reads needs no right to write, once there is a store.
#[tokio::test]
async fn a_reader_needs_no_right_to_write() {
    let cluster = nodes(1);
    let id = open(&cluster).await.id();
    cluster.deny(Right::Write);
    assert_eq!(open(&cluster).await.id(), id);
}

#[tokio::test]
async fn encryption_on_one_side_only_is_told_whichever_it_is() {
    let plain = nodes(1);
    let error = refused(&plain.url().replace("tls=false", "tls=true")).await;
    assert!(matches!(error, OpenError::Tls(_)), "{error}");
    assert!(error.to_string().contains("tls=false"), "{error}");
    let encrypted = StandIn::start_with(Config {
        tls: true,
        ..Config::default()
    });
    let url = format!("esdb://127.0.0.1:{}?tls=false", encrypted.ports()[0]);
    let error = refused(&url).await;
    assert!(matches!(error, OpenError::Tls(_)), "{error}");
    assert!(error.to_string().contains("tls=true"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let cluster = StandIn::start_with(Config {
        tls: true,
        ..Config::default()
    });
    let url = format!("esdb://127.0.0.1:{}", cluster.ports()[0]);
    let error = refused(&url).await;
    assert!(matches!(error, OpenError::Tls(_)), "{error}");
    assert!(error.to_string().contains("tlsCaFile"), "{error}");
    let store = opened(&cluster.url()).await;
    for batch in batches(&call("c"), chatter(3)).await {
        store.append(batch).await.expect("kept");
    }
}

#[tokio::test]
async fn an_authority_that_cannot_be_read_is_named() {
    let cluster = StandIn::start_with(Config {
        tls: true,
        ..Config::default()
    });
    let url = format!(
        "esdb://127.0.0.1:{}?tlsCaFile=/nowhere/ca.pem",
        cluster.ports()[0]
    );
    let error = refused(&url).await;
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

/// Whoever comes first makes the store, and all agree on which it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_open_an_empty_cluster_at_once_make_one_store() {
    let cluster = nodes(3);
    let mut openers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = cluster.url();
        openers.spawn(async move { opened(&url).await.id() });
    }
    let ids = openers.join_all().await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(cluster.log().stream("kaigi_store").len(), 1);
    let other = nodes(1);
    assert_ne!(open(&other).await.id(), ids[0]);
}

#[tokio::test]
async fn what_is_no_store_of_ours_is_left_alone() {
    for (event_type, data) in [
        ("shop_opened", json!({})),
        ("store_created", json!({ "id": "no uuid", "format": 1 })),
        (
            "store_created",
            json!({ "id": uuid::Uuid::new_v4(), "format": 2 }),
        ),
    ] {
        let cluster = nodes(1);
        let event = Proposed::json(event_type, &data);
        cluster
            .log()
            .append("kaigi_store", Expected::NoStream, vec![event])
            .expect("written");
        let before = cluster.log().events().len();
        let error = refused(&cluster.url()).await;
        assert!(matches!(error, OpenError::Damaged(_)), "{error}");
        assert_eq!(cluster.log().events().len(), before);
    }
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused() {
    let cluster = StandIn::start_with(Config {
        version: "21.10.8".to_owned(),
        ..Config::default()
    });
    let error = refused(&cluster.url()).await;
    assert!(matches!(error, OpenError::TooOld(_)), "{error}");
    assert!(error.to_string().contains("21.10.8"), "{error}");
}

/// Whoever comes second meets a store that cannot be read yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_others_are_making_is_waited_for() {
    let cluster = nodes(1);
    cluster.log().lag(std::time::Duration::from_millis(200));
    let (one, other) = (cluster.url(), cluster.url());
    let (one, other) = tokio::join!(opened(&one), opened(&other));
    assert_eq!(one.id(), other.id());
}
