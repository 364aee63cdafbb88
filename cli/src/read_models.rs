//! Read models between two runs of the program, kept beside the store.

use crate::events::read_on;
use crate::store::StoreUrl;
use domain::{EventStore, Followed};
use engine::checkpoints::{self, Found, Why};
use futures_util::future::{FutureExt as _, LocalBoxFuture, TryFutureExt as _};
use projections::{
    AllFour, CheckpointError, Checkpointed, Description, Holds, LiveModel, Projection, Visitor,
    visit,
};
use std::path::Path;
use std::sync::Arc;

/// That read model as of the store's last event.
pub async fn caught_up_for(
    model: &Description,
    url: &StoreUrl,
    store: Arc<dyn EventStore>,
) -> anyhow::Result<Checkpointed<AllFour>> {
    let mut named = Named {
        name: model.name,
        url,
        store,
        caught_up: None,
    };
    visit(&mut named);
    named.caught_up.expect("it is one of the list").await
}

/// All read models as of the store's last event, without a checkpoint.
pub async fn all_caught_up(store: Arc<dyn EventStore>) -> anyhow::Result<Checkpointed<AllFour>> {
    let mut model = Checkpointed::new(store.id());
    catch_up(&mut model, store).await?;
    Ok(model)
}

/// Looks for the read model of that name.
struct Named<'a> {
    name: &'static str,
    url: &'a StoreUrl,
    store: Arc<dyn EventStore>,
    caught_up: Option<LocalBoxFuture<'a, anyhow::Result<Checkpointed<AllFour>>>>,
}

impl Named<'_> {
    fn take<M: Projection>(&mut self)
    where
        AllFour: Holds<M>,
    {
        if M::NAME == self.name {
            let model = caught_up::<M>(self.url, Arc::clone(&self.store));
            self.caught_up = Some(model.map_ok(Checkpointed::into_part_of).boxed_local());
        }
    }
}

impl Visitor for Named<'_> {
    fn live<M: LiveModel>(&mut self)
    where
        AllFour: Holds<M>,
    {
        self.take::<M>();
    }

    fn ended<M: Projection>(&mut self)
    where
        AllFour: Holds<M>,
    {
        self.take::<M>();
    }
}

/// The read model as of the store's last event: resumed from its checkpoint, or built anew.
async fn caught_up<P: Projection>(
    url: &StoreUrl,
    store: Arc<dyn EventStore>,
) -> anyhow::Result<Checkpointed<P>> {
    let folder = url.read_models(store.id());
    let kept = match &folder {
        Some(folder) => kept(folder, &*store).await?,
        None => None,
    };
    // A damaged event may be whole again, and only a rebuild brings its call back.
    let kept = kept.filter(|model| model.state().damaged().is_empty());
    let mut model = kept.unwrap_or_else(|| Checkpointed::new(store.id()));
    let before = model.position();
    catch_up(&mut model, store).await?;
    if let Some(folder) = folder
        && model.position() > before
        && let Err(error) = checkpoints::keep(&folder, &model)
    {
        // Losing a checkpoint costs a replay, nothing else.
        let error = anyhow::Error::from(error);
        eprintln!(
            "kaigi: the checkpoint of {} is not kept: {error:#}",
            P::NAME
        );
    }
    Ok(model)
}

/// Folds what the store holds behind the read model.
async fn catch_up<P: Projection>(
    model: &mut Checkpointed<P>,
    store: Arc<dyn EventStore>,
) -> anyhow::Result<()> {
    read_on(store, model.position(), |next| match next {
        Followed::Events(events) => model.fold(events),
        Followed::Damaged(event) => model.fold_damaged(event),
        Followed::CaughtUp(_) => {}
    })
    .await?;
    warn_of_damage(model.state().damaged().len());
    Ok(())
}

/// Warns that the rows omit damaged calls.
pub fn warn_of_damage(damaged: usize) {
    if damaged > 0 {
        eprintln!(
            "kaigi: calls with a damaged event are left out: {damaged}; `kaigi store damaged` lists them"
        );
    }
}

async fn kept<P: Projection>(
    folder: &Path,
    store: &dyn EventStore,
) -> anyhow::Result<Option<Checkpointed<P>>> {
    match checkpoints::kept(folder, store).await? {
        Found::Kept(model) => Ok(Some(model)),
        Found::Nothing(why) => {
            if is_news(&why) {
                eprintln!("kaigi: {why}");
            }
            Ok(None)
        }
    }
}

/// A first time and an upgrade are no news to whoever looks at a table.
fn is_news(why: &Why) -> bool {
    match why {
        Why::NoFile => false,
        // An older layout is news, once: building anew takes longer than usual.
        Why::Useless { error, .. } => !matches!(error, CheckpointError::OtherVersion { .. }),
        Why::Unreadable { .. } | Why::Restored { .. } => true,
    }
}
