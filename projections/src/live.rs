//! Read models of calls that are not over: their rows are made when they are asked for.

use crate::description::Description;
use crate::read_model::{Holds, Projection, ReadModel};
use crate::row::{Followed, Place};
use domain::{Call, CallId};

/// A read model whose rows are made of calls that are not over.
pub trait LiveModel: Projection {
    /// A row of its list.
    type Row<'a>: Followed;

    /// How the interface shows it.
    const DESCRIPTION: Description;

    /// Whether it has one row for each call that goes on, in the order in which they were answered.
    const HAS_A_ROW_PER_LIVE_CALL: bool;

    /// The rows of those calls, in the order of the list.
    fn rows<'a>(calls: impl Iterator<Item = KeptCall<'a, Self>>) -> Vec<Self::Row<'a>>;
}

/// A call that is not over, and what a read model keeps beside it.
pub type KeptCall<'a, M> = (&'a CallId, &'a Call, &'a <M as Projection>::OfCall);

impl<P: Projection> ReadModel<P> {
    /// All rows of a read model that is held, in the order of the list.
    pub fn rows_of<M: LiveModel>(&self) -> Vec<M::Row<'_>>
    where
        P: Holds<M>,
    {
        M::rows(self.kept_for::<M>())
    }

    /// The rows of one call.
    pub fn rows_of_call<M: LiveModel>(&self, call: &CallId) -> Vec<M::Row<'_>>
    where
        P: Holds<M>,
    {
        let kept = self.kept_of(call).into_iter();
        M::rows(kept.map(|(id, kept)| (id, &kept.call, P::of_call(&kept.of_call))))
    }

    /// At most `max` rows after that place, in the order of the list.
    pub fn rows_after<M: LiveModel>(&self, after: Option<Place<'_>>, max: usize) -> Vec<M::Row<'_>>
    where
        P: Holds<M>,
    {
        if M::HAS_A_ROW_PER_LIVE_CALL {
            let after = after.map(|(at, call, _)| (at, call));
            let next = self.live_after(after, max).into_iter();
            let kept = next.filter_map(|call| self.kept_of(call));
            return M::rows(kept.map(|(id, kept)| (id, &kept.call, P::of_call(&kept.of_call))));
        }
        let mut rows = self.rows_of::<M>();
        rows.retain(|row| after.is_none_or(|after| row.place() > after));
        rows.truncate(max);
        rows
    }

    fn kept_for<M: Projection>(&self) -> impl Iterator<Item = KeptCall<'_, M>>
    where
        P: Holds<M>,
    {
        self.kept()
            .map(|(id, kept)| (id, &kept.call, P::of_call(&kept.of_call)))
    }
}

impl<M: LiveModel> ReadModel<M> {
    /// All rows, in the order of the list.
    pub fn rows(&self) -> Vec<M::Row<'_>> {
        self.rows_of::<M>()
    }
}

/// Those calls that go on, the longest-running first; of equal ones by call.
pub(crate) fn going_on<'a, T: 'a>(
    calls: impl Iterator<Item = (&'a CallId, &'a Call, T)>,
) -> Vec<(&'a CallId, &'a Call)> {
    let calls = calls.map(|(id, call, _)| (id, call));
    let mut live: Vec<_> = calls.filter(|(_, call)| call.is_live()).collect();
    live.sort_unstable_by_key(|(id, call)| (call.answered_at(), *id));
    live
}
