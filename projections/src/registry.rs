//! The list of read models. Each is named here once; the service and the command line go through this list.

use crate::active_calls::ActiveCalls;
use crate::description::Description;
use crate::handle_times::HandleTimes;
use crate::live::LiveModel;
use crate::monitoring::Monitoring;
use crate::read_model::{Holds, Projection, ReadModel};
use crate::wrap_up_queue::WrapUpQueue;
use domain::{Call, CallId, Event, Timestamp};
use serde::{Deserialize, Serialize};

/// Declares the projection that folds every read model at once, so that each call is evolved once for all of them.
macro_rules! registry {
    ($($kind:ident $name:ident: $model:ty,)+) => {
        /// All read models; what is asked of one of them can be asked of this.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct AllFour {
            $($name: $model,)+
        }

        /// What they keep of one call.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct OfAllFour {
            $($name: <$model as Projection>::OfCall,)+
        }

        impl Projection for AllFour {
            const NAME: &'static str = "all-four";
            /// Rises with the version of each, and with their number.
            const VERSION: u32 = FIRST_VERSION $(+ <$model>::VERSION)+;

            type OfCall = OfAllFour;

            fn take_in(of_call: &mut OfAllFour, before: &Call, event: &Event, at: Timestamp) {
                $(<$model>::take_in(&mut of_call.$name, before, event, at);)+
            }

            /// A call is kept until it is over for each of them.
            fn is_over(call: &Call) -> bool {
                $(<$model>::is_over(call))&&+
            }

            fn let_go(&mut self, id: &CallId, call: &Call, of_call: OfAllFour) {
                $(self.$name.let_go(id, call, of_call.$name);)+
            }

            fn forget(&mut self, id: &CallId) {
                $(self.$name.forget(id);)+
            }
        }

        $(impl Holds<$model> for AllFour {
            fn of_call(of_call: &OfAllFour) -> &<$model as Projection>::OfCall {
                &of_call.$name
            }

            fn held(&self) -> &$model {
                &self.$name
            }

            fn with_of_call(of_call: <$model as Projection>::OfCall) -> OfAllFour {
                OfAllFour {
                    $name: of_call,
                    ..OfAllFour::default()
                }
            }

            fn with_held(held: $model) -> Self {
                Self {
                    $name: held,
                    ..Self::default()
                }
            }
        })+

        /// How the interface shows each, in its order.
        pub fn descriptions() -> impl Iterator<Item = &'static Description> {
            const DESCRIPTIONS: &[&Description] = &[$(&<$model>::DESCRIPTION),+];
            DESCRIPTIONS.iter().copied()
        }

        /// Shows each to the visitor, in the order of the interface.
        pub fn visit<V: Visitor>(visitor: &mut V) {
            $(visitor.$kind::<$model>();)+
        }
    };
}

/// Code that does the same for every read model, with the types of each.
pub trait Visitor {
    /// Takes a read model of calls that are not over.
    fn live<M: LiveModel>(&mut self)
    where
        AllFour: Holds<M>;

    /// Takes the read model of ended calls.
    fn ended<M: Projection>(&mut self)
    where
        AllFour: Holds<M>;
}

/// Keeps the checkpoints readable that were written while versions were put together in another way.
const FIRST_VERSION: u32 = 997;

registry! {
    live active_calls: ActiveCalls,
    live wrap_up_queue: WrapUpQueue,
    ended handle_times: HandleTimes,
    live monitoring: Monitoring,
}

impl ReadModel<AllFour> {
    /// When that call ended, as long as it is not completed.
    pub fn ended_at(&self, call: &CallId) -> Option<Timestamp> {
        let (_, kept) = self.kept_of(call)?;
        kept.call.ended_at()
    }
}
