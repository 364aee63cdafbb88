//! The feed of events, and the proof that none is missing.
