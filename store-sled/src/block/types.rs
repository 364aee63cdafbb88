//! The numbers of the events' types.

use domain::event::EventType;

/// The numbers under which types are stored. Frozen: a new type gets the next one, and none is ever used again.
macro_rules! type_codes {
    ($($code:literal = $name:ident,)*) => {
        pub(super) fn type_code(event_type: EventType) -> u8 {
            match event_type {
                $(EventType::$name => $code,)*
            }
        }

        pub(super) fn event_type(code: u8) -> Option<EventType> {
            match code {
                $($code => Some(EventType::$name),)*
                _ => None,
            }
        }
    };
}
type_codes! {
    1 = CallConnected,
    2 = ConsultRequested,
    3 = ConsultStarted,
    4 = ConsultEnded,
    5 = PartyJoined,
    6 = ConferenceStarted,
    7 = PartyHeld,
    8 = PartyReleased,
    9 = PartyLeft,
    10 = ControlTransferred,
    11 = ControlVacated,
    12 = ConferenceDissolved,
    13 = WrapUpAssistEntered,
    14 = CallEnded,
    15 = CallCompleted,
    16 = WrapUpOwed,
    17 = WrapUpApplied,
    18 = WrapUpSuggested,
    19 = MonitoringStarted,
    20 = SupervisorBargedIn,
    21 = MonitoringMoved,
    22 = MonitoringEnded,
}
