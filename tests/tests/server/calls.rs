//! Finding calls, and one call as it stands or stood.
