//! The four read models at once: for whoever follows a store with all of them, each call is evolved once for all.

use crate::active_calls::{self, ActiveCall};
use crate::handle_times::{HandleTimes, Parts};
use crate::monitoring::{self, MonitoredCall};
use crate::wrap_up_queue::{self, OwedWrapUp, Suggestions, WrapUpQueue};
use crate::{Projection, ReadModel};
use domain::{Call, CallId, Event, Timestamp};
use serde::{Deserialize, Serialize};

/// `active-calls`, `wrap-up-queue`, `handle-times` and `monitoring`; what is asked of `handle-times` alone can be
/// asked of this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllFour(HandleTimes);

/// What they keep of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfAllFour {
    suggestions: Suggestions,
    parts: Parts,
}

impl Projection for AllFour {
    const NAME: &'static str = "all-four";
    /// Either number rises with a change to what is kept for it.
    const VERSION: u32 = WrapUpQueue::VERSION * 1000 + HandleTimes::VERSION;

    type OfCall = OfAllFour;

    fn take_in(of_call: &mut OfAllFour, before: &Call, event: &Event, at: Timestamp) {
        WrapUpQueue::take_in(&mut of_call.suggestions, before, event, at);
        HandleTimes::take_in(&mut of_call.parts, before, event, at);
    }

    /// What is over for `wrap-up-queue` is for the other three.
    fn is_over(call: &Call) -> bool {
        WrapUpQueue::is_over(call)
    }

    fn let_go(&mut self, id: &CallId, call: &Call, of_call: OfAllFour) {
        self.0.let_go(id, call, of_call.parts);
    }

    fn forget(&mut self, id: &CallId) {
        self.0.forget(id);
    }
}

impl AsRef<HandleTimes> for AllFour {
    fn as_ref(&self) -> &HandleTimes {
        &self.0
    }
}

impl AsRef<Parts> for OfAllFour {
    fn as_ref(&self) -> &Parts {
        &self.parts
    }
}

impl ReadModel<AllFour> {
    /// The rows of `active-calls`.
    pub fn active_calls(&self) -> Vec<ActiveCall<'_>> {
        active_calls::rows(self)
    }

    /// Those to which nothing has happened for longer than `idle_ms`.
    pub fn idle_calls(&self, as_of: Timestamp, idle_ms: u64) -> Vec<ActiveCall<'_>> {
        active_calls::idle(self, as_of, idle_ms)
    }

    /// The rows of `wrap-up-queue`.
    pub fn wrap_up_queue(&self) -> Vec<OwedWrapUp<'_>> {
        let calls = self.kept();
        wrap_up_queue::rows(calls.map(|(id, kept)| (id, &kept.call, &kept.of_call.suggestions)))
    }

    /// The rows of `monitoring`.
    pub fn monitoring(&self) -> Vec<MonitoredCall<'_>> {
        monitoring::rows(self)
    }

    /// The row of `active-calls` of that call, if it goes on.
    pub fn active_call(&self, call: &CallId) -> Option<ActiveCall<'_>> {
        let (id, kept) = self.kept_of(call)?;
        active_calls::row(id, &kept.call)
    }

    /// The rows of `wrap-up-queue` of that call.
    pub fn owed_on(&self, call: &CallId) -> Vec<OwedWrapUp<'_>> {
        let kept = self.kept_of(call).into_iter();
        wrap_up_queue::rows(kept.map(|(id, kept)| (id, &kept.call, &kept.of_call.suggestions)))
    }

    /// The row of `monitoring` of that call, if it goes on.
    pub fn monitored(&self, call: &CallId) -> Option<MonitoredCall<'_>> {
        let (id, kept) = self.kept_of(call)?;
        monitoring::row(id, &kept.call)
    }

    /// When that call ended, as long as it is not completed.
    pub fn ended_at(&self, call: &CallId) -> Option<Timestamp> {
        let (_, kept) = self.kept_of(call)?;
        kept.call.ended_at()
    }
}
